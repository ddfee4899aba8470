// Package setups reads which setups the project's program has, and what is true of each, from stacks/setups.json: a tool
// need not be compiled together with the program, decides by these facts, and knows no setup by its name.
package setups

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/labs"
)

// What pods may present to AWS.
const (
	Metadata    = "instance-metadata"     // a session of their machine
	Token       = "service-account-token" // a token that the cluster has issued
	Certificate = "certificate"           // a certificate of the program's CA
)

// Where the cluster publishes its documents, as the issuer of the tokens.
const (
	Nowhere      = "none"
	Bucket       = "bucket"
	Distribution = "distribution"
)

// What names pods' sessions.
const (
	Instance          = "instance-id"
	ServiceAccount    = "service-account"
	CertificateSerial = "certificate-serial"
)

// Setup is one way of giving pods their AWS credentials. Package stacks/config says what each fact means.
type Setup struct {
	// Name is the value of the configuration key setup.
	Name string `json:"name"`
	// Presents is what a pod shows to AWS: Metadata, Token or Certificate.
	Presents string `json:"presents"`
	// Issuer is where the documents are by which AWS verifies tokens: Nowhere, Bucket or Distribution.
	Issuer string `json:"issuer"`
	// OwnRoles says that each identity has a role of its own; otherwise all have their machine's.
	OwnRoles bool `json:"ownRoles"`
	// SourceIdentity says that sessions carry a source identity.
	SourceIdentity bool `json:"sourceIdentity"`
	// SessionName is Instance, ServiceAccount or CertificateSerial.
	SessionName string `json:"sessionName"`
}

// PresentsMetadata reports whether pods present a session of their machine.
func (s Setup) PresentsMetadata() bool { return s.Presents == Metadata }

// PresentsToken reports whether pods present a token of their service account.
func (s Setup) PresentsToken() bool { return s.Presents == Token }

// PresentsCertificate reports whether pods present an X.509 certificate.
func (s Setup) PresentsCertificate() bool { return s.Presents == Certificate }

// ShutsMetadata reports whether pods must not reach their machine's metadata.
func (s Setup) ShutsMetadata() bool { return s.Presents != Metadata }

// IssuerIsBucket reports whether the issuer's documents are in a public bucket.
func (s Setup) IssuerIsBucket() bool { return s.Issuer == Bucket }

// IssuerIsDistribution reports whether the issuer's documents are behind CloudFront.
func (s Setup) IssuerIsDistribution() bool { return s.Issuer == Distribution }

// check reports every fact that tools would not know what to do with.
func (s Setup) check() error {
	var errs []error
	for _, fact := range []struct {
		name, value string
		known       []string
	}{
		{"presents", s.Presents, []string{Metadata, Token, Certificate}},
		{"issuer", s.Issuer, []string{Nowhere, Bucket, Distribution}},
		{"sessionName", s.SessionName, []string{Instance, ServiceAccount, CertificateSerial}},
	} {
		if !slices.Contains(fact.known, fact.value) {
			errs = append(errs, fmt.Errorf("setup %s: %s: found %q: must be one of %s", s.Name, fact.name, fact.value, strings.Join(fact.known, ", ")))
		}
	}
	if s.PresentsToken() != (s.Issuer != Nowhere) {
		errs = append(errs, fmt.Errorf("setup %s: presents %s, issuer %s: tokens, and they alone, have an issuer", s.Name, s.Presents, s.Issuer))
	}
	return errors.Join(errs...)
}

// List is every setup of a project, in the program's own order.
type List []Setup

// Load reads the setups of the project in a directory. A fact that tools do not know is an error.
func Load(project string) (List, error) {
	path := filepath.Join(project, "stacks", "setups.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list List
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for _, s := range list {
		errs = append(errs, s.check())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s:\n%w", path, err)
	}
	return list, nil
}

// Around reads the setups of the project around the working directory.
func Around() (List, error) {
	project, _, err := labs.Directories()
	if err != nil {
		return nil, err
	}
	return Load(project)
}

// Names lists the setups' names.
func (l List) Names() []string {
	var names []string
	for _, s := range l {
		names = append(names, s.Name)
	}
	return names
}

// Find returns the setup of a name, and whether there is one.
func (l List) Find(name string) (Setup, bool) {
	i := slices.IndexFunc(l, func(s Setup) bool { return s.Name == name })
	if i < 0 {
		return Setup{}, false
	}
	return l[i], true
}

// All stands for every setup on a command line.
const All = "all"

// Choose returns the setups that a command line's word stands for: one, or all.
func (l List) Choose(word string) (List, error) {
	if word == All {
		return l, nil
	}
	s, ok := l.Find(word)
	if !ok {
		return nil, fmt.Errorf("--setup: found %q: must be one of %s or %s", word, strings.Join(l.Names(), ", "), All)
	}
	return List{s}, nil
}

// Usage is the help text of a flag that takes a setup, with the names as far as they can be read.
func Usage() string {
	list, err := Around()
	if err != nil {
		return "setup, by its name in stacks/setups.json"
	}
	return "setup: " + strings.Join(list.Names(), ", ")
}

// Get returns the setup of a name. Its error lists those that there are.
func (l List) Get(name string) (Setup, error) {
	s, ok := l.Find(name)
	if !ok {
		return s, fmt.Errorf("setup: found %q: must be one of %s", name, strings.Join(l.Names(), ", "))
	}
	return s, nil
}

// Where returns the setups of which something is true.
func (l List) Where(is func(Setup) bool) List {
	return slices.DeleteFunc(slices.Clone(l), func(s Setup) bool { return !is(s) })
}

// Rank is a setup's place in the list; behind all others where it is not there.
func (l List) Rank(name string) int {
	if i := slices.IndexFunc(l, func(s Setup) bool { return s.Name == name }); i >= 0 {
		return i
	}
	return len(l)
}
