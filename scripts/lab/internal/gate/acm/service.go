// Package acm is AWS Certificate Manager for public certificates that are validated by DNS. A certificate is issued by
// the gate's web CA, and only once every name's validation record resolves in the gate's view of DNS; this is looked up
// whenever somebody asks for the certificate. Imported, private and e-mail-validated certificates answer NotImplemented.
package acm

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// The states of a certificate.
const (
	Pending  = "PENDING_VALIDATION"
	Issued   = "ISSUED"
	TimedOut = "VALIDATION_TIMED_OUT"
)

// validationPeriod is how long ACM waits for the records.
const validationPeriod = 72 * time.Hour

// maxNames is ACM's default quota of names in a certificate.
const maxNames = 10

// Service implements gate.Service and gate.Inventory. Make it with New.
type Service struct {
	g *gate.Gate

	mu    sync.Mutex
	certs map[string]*certificate // by ARN
	users func(arn string) []string
}

type certificate struct {
	arn, region, domain  string
	names                []string // the domain and the alternative names, each once
	status, key, logging string
	created, issued      time.Time
	validated            map[string]bool
	tags                 map[string]string
	token                string
	pair                 *tls.Certificate
}

// Certificate is what other services see of a certificate.
type Certificate struct {
	ARN, Region, Status string
	Names               []string
	// Pair is nil until the certificate is issued.
	Pair *tls.Certificate
}

// New makes the service for a gate's account.
func New(g *gate.Gate) *Service {
	return &Service{g: g, certs: map[string]*certificate{}, users: func(string) []string { return nil }}
}

// SetUsers sets who answers which resources use a certificate; such a certificate cannot be deleted.
func (s *Service) SetUsers(f func(arn string) []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = f
}

// Certificate returns a certificate by ARN, validated as of now.
func (s *Service) Certificate(arn string) (Certificate, bool) {
	c, ok := s.refresh(arn)
	if !ok {
		return Certificate{}, false
	}
	return Certificate{ARN: c.arn, Region: c.region, Status: c.status, Names: c.names, Pair: c.pair}, true
}

// Name is the signing name.
func (s *Service) Name() string { return "acm" }

// Protocol is JSON 1.1.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolJSON11 }

// Inventory lists the certificates.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var arns []string
	for arn := range s.certs {
		arns = append(arns, arn)
	}
	sort.Strings(arns)
	return map[string][]string{"acm certificate": arns}
}

// Record is the CNAME that proves the control of a name. Both names end with a dot. A wildcard shares the record of its
// base name, and an account gets the same record for a name each time.
func (s *Service) Record(domain string) (name, value string) {
	base := strings.TrimPrefix(strings.ToLower(domain), "*.")
	digest := func(what string) string {
		sum := sha256.Sum256([]byte(what + "\x00" + s.g.AccountID() + "\x00" + base))
		return hex.EncodeToString(sum[:])
	}
	d := digest("value")
	return "_" + digest("name")[:32] + "." + base + ".", "_" + d[:32] + "." + strings.ToLower(base32(d[32:42])) + ".acm-validations.aws."
}

// base32 turns hexadecimal digits into letters only, as the middle label of ACM's values looks.
func base32(hexadecimal string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + 'g'
		}
		return r
	}, hexadecimal)
}

// refresh validates a pending certificate and returns a copy. DNS is asked without the lock, since answers come from
// other services.
func (s *Service) refresh(arn string) (certificate, bool) {
	s.mu.Lock()
	c, ok := s.certs[arn]
	if !ok {
		s.mu.Unlock()
		return certificate{}, false
	}
	names, pending := c.names, c.status == Pending
	s.mu.Unlock()
	proven := map[string]bool{}
	if pending {
		for _, n := range names {
			proven[n] = s.resolves(n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.status == Pending && pending {
		all := true
		for _, n := range c.names {
			c.validated[n] = c.validated[n] || proven[n]
			all = all && c.validated[n]
		}
		switch {
		case all:
			if pair, err := s.g.Mint(c.names...); err == nil {
				c.pair, c.status, c.issued = pair, Issued, s.g.Now()
			}
		case s.g.Now().Sub(c.created) > validationPeriod:
			c.status = TimedOut
		}
	}
	out := *c
	out.validated, out.tags = clone(c.validated), clone(c.tags)
	return out, true
}

func clone[V any](m map[string]V) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// resolves asks DNS whether a name's validation record leads to its value.
func (s *Service) resolves(domain string) bool {
	name, value := s.Record(domain)
	res, _ := s.g.Resolve(strings.TrimSuffix(name, "."))
	for _, hop := range res.Chain {
		if strings.EqualFold(strings.TrimSuffix(hop, "."), strings.TrimSuffix(value, ".")) {
			return true
		}
	}
	return false
}

// Covers tells whether one of a certificate's names covers a host name; a wildcard covers one label.
func Covers(names []string, host string) bool {
	host = strings.ToLower(host)
	_, parent, _ := strings.Cut(host, ".")
	for _, n := range names {
		n = strings.ToLower(n)
		if n == host || n == "*."+parent || (strings.HasPrefix(host, "*.") && n == host) {
			return true
		}
	}
	return false
}

type tag struct{ Key, Value string }

type input struct {
	CertificateArn, DomainName, ValidationMethod, IdempotencyToken, KeyAlgorithm string
	SubjectAlternativeNames                                                      []string
	Options                                                                      *struct{ CertificateTransparencyLoggingPreference string }
	Tags                                                                         []tag
	CertificateStatuses                                                          []string
	Includes                                                                     map[string]any
	MaxItems                                                                     int
	NextToken, SortBy, SortOrder                                                 string
}

// action is one operation: the members of input that it takes, and its handler. Its requirement is acm:ACTION on the
// certificate, or on everything where it names none.
type action struct {
	members string
	handle  func(*Service, *gate.Call, *input) (any, error)
}

var actions = map[string]action{
	"RequestCertificate": {"DomainName ValidationMethod IdempotencyToken KeyAlgorithm SubjectAlternativeNames Options Tags",
		(*Service).request},
	"DescribeCertificate":       {"CertificateArn", (*Service).describe},
	"GetCertificate":            {"CertificateArn", (*Service).get},
	"ListCertificates":          {"CertificateStatuses Includes MaxItems NextToken SortBy SortOrder", (*Service).list},
	"DeleteCertificate":         {"CertificateArn", (*Service).remove},
	"UpdateCertificateOptions":  {"CertificateArn Options", (*Service).options},
	"ListTagsForCertificate":    {"CertificateArn", (*Service).listTags},
	"AddTagsToCertificate":      {"CertificateArn Tags", (*Service).addTags},
	"RemoveTagsFromCertificate": {"CertificateArn Tags", (*Service).removeTags},
}

// Requirements parses the call.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	a, ok := actions[c.Action]
	if !ok {
		return nil, gate.NotImplemented("ACM action " + c.Action)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(c.Body, &members); err != nil {
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	for m := range members {
		if !strings.Contains(" "+a.members+" ", " "+m+" ") {
			return nil, gate.NotImplemented("member " + m + " of ACM action " + c.Action)
		}
	}
	in := &input{}
	if err := json.NewDecoder(bytes.NewReader(c.Body)).Decode(in); err != nil {
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	c.Data = in
	resource := "*"
	context := map[string][]string{}
	if in.CertificateArn != "" {
		resource = in.CertificateArn
		s.mu.Lock()
		if cert, ok := s.certs[resource]; ok {
			for k, v := range cert.tags {
				context["aws:ResourceTag/"+k] = []string{v}
			}
		}
		s.mu.Unlock()
	}
	for _, t := range in.Tags {
		context["aws:RequestTag/"+t.Key] = []string{t.Value}
		context["aws:TagKeys"] = append(context["aws:TagKeys"], t.Key)
	}
	if c.Action == "RequestCertificate" {
		context["acm:DomainNames"] = append([]string{in.DomainName}, in.SubjectAlternativeNames...)
		context["acm:ValidationMethod"] = []string{in.ValidationMethod}
	}
	out := []policy.Request{{Action: "acm:" + c.Action, Resource: resource, Context: context}}
	if c.Action == "RequestCertificate" && len(in.Tags) > 0 {
		out = append(out, policy.Request{Action: "acm:AddTagsToCertificate", Resource: s.g.ARN("acm", c.Region, "certificate/*"), Context: context})
	}
	return out, nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	out, err := actions[c.Action].handle(s, c, c.Data.(*input))
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	if out == nil {
		out = struct{}{}
	}
	gate.WriteJSON(w, c, http.StatusOK, out)
}

var (
	domainSyntax = regexp.MustCompile(`^(\*\.)?(([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])$`)
	arnSyntax    = regexp.MustCompile(`^arn:[\w-]+:acm:[\w-]+:[0-9]{12}:certificate/.+$`)
)

func (s *Service) request(c *gate.Call, in *input) (any, error) {
	switch in.ValidationMethod {
	case "DNS":
	case "", "EMAIL":
		return nil, gate.NotImplemented("validation by e-mail (ACM's default; ask for DNS)")
	default:
		return nil, gate.NotImplemented("validation method " + in.ValidationMethod)
	}
	names := []string{}
	seen := map[string]bool{}
	for _, n := range append([]string{in.DomainName}, in.SubjectAlternativeNames...) {
		n = strings.ToLower(n)
		if !domainSyntax.MatchString(n) || len(n) > 253 {
			return nil, gate.Errorf(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at 'domainName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(\\*\\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])$", n)
		}
		if strings.HasSuffix(n, "."+gate.DNSSuffix) || strings.HasSuffix(n, ".cloudfront.net") {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidDomainValidationOptionsException", "ACM issues no certificates for %s.", n)
		}
		if !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	if len(names[0]) > 64 {
		return nil, gate.Errorf(http.StatusBadRequest, "ValidationException", "The first domain name can be no more than 64 characters long.")
	}
	if len(names) > maxNames {
		return nil, gate.Errorf(http.StatusBadRequest, "LimitExceededException", "The maximum number of domain names in a certificate is %d.", maxNames)
	}
	key := in.KeyAlgorithm
	if key == "" {
		key = "RSA_2048"
	}
	if key != "RSA_2048" && key != "EC_prime256v1" && key != "EC_secp384r1" {
		return nil, gate.Errorf(http.StatusBadRequest, "ValidationException", "Key algorithm %s is not supported for requested certificates.", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.IdempotencyToken != "" {
		for _, old := range s.certs {
			if old.region == c.Region && old.token == in.IdempotencyToken && strings.Join(old.names, ",") == strings.Join(names, ",") && c.Time.Sub(old.created) < time.Hour {
				return map[string]string{"CertificateArn": old.arn}, nil
			}
		}
	}
	n := &certificate{arn: s.g.ARN("acm", c.Region, "certificate/"+wire.UUID()), region: c.Region, domain: names[0], names: names, status: Pending, key: key,
		logging: "ENABLED", created: c.Time, validated: map[string]bool{}, tags: map[string]string{}, token: in.IdempotencyToken}
	if in.Options != nil && in.Options.CertificateTransparencyLoggingPreference != "" {
		n.logging = in.Options.CertificateTransparencyLoggingPreference
	}
	for _, t := range in.Tags {
		n.tags[t.Key] = t.Value
	}
	s.certs[n.arn] = n
	return map[string]string{"CertificateArn": n.arn}, nil
}

func notFound(arn string, account string) error {
	if !arnSyntax.MatchString(arn) {
		return gate.Errorf(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at 'certificateArn' failed to satisfy constraint", arn)
	}
	return gate.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Could not find certificate %s in account %s.", arn, account)
}

// find returns a certificate of the call's region, validated as of now.
func (s *Service) find(c *gate.Call, arn string) (certificate, error) {
	cert, ok := s.refresh(arn)
	if !ok || cert.region != c.Region {
		return cert, notFound(arn, s.g.AccountID())
	}
	return cert, nil
}

// change runs f on a certificate of the call's region with the lock held.
func (s *Service) change(c *gate.Call, arn string, f func(*certificate) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cert, ok := s.certs[arn]
	if !ok || cert.region != c.Region {
		return notFound(arn, s.g.AccountID())
	}
	return f(cert)
}

func epoch(t time.Time) float64 { return math.Round(float64(t.UnixMilli())) / 1000 }

func (s *Service) describe(c *gate.Call, in *input) (any, error) {
	cert, err := s.find(c, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	validations := []any{}
	for _, n := range cert.names {
		name, value := s.Record(n)
		status := "PENDING_VALIDATION"
		switch {
		case cert.validated[n]:
			status = "SUCCESS"
		case cert.status == TimedOut:
			status = "FAILED"
		}
		validations = append(validations, map[string]any{"DomainName": n, "ValidationDomain": n, "ValidationMethod": "DNS", "ValidationStatus": status,
			"ResourceRecord": map[string]string{"Name": name, "Type": "CNAME", "Value": value}})
	}
	users := s.usersOf(cert.arn)
	out := map[string]any{"CertificateArn": cert.arn, "DomainName": cert.domain, "SubjectAlternativeNames": cert.names, "DomainValidationOptions": validations,
		"CreatedAt": epoch(cert.created), "Status": cert.status, "KeyAlgorithm": cert.key, "SignatureAlgorithm": "SHA256WITHRSA", "InUseBy": users, "Type": "AMAZON_ISSUED",
		"Subject": "CN=" + cert.domain, "RenewalEligibility": "INELIGIBLE", "KeyUsages": []any{}, "ExtendedKeyUsages": []any{},
		"Options": map[string]string{"CertificateTransparencyLoggingPreference": cert.logging}}
	if cert.pair != nil {
		leaf := cert.pair.Leaf
		out["IssuedAt"], out["NotBefore"], out["NotAfter"] = epoch(cert.issued), epoch(leaf.NotBefore), epoch(leaf.NotAfter)
		out["Serial"], out["Issuer"], out["SignatureAlgorithm"] = serial(leaf.SerialNumber), leaf.Issuer.CommonName, signature(leaf.SignatureAlgorithm.String())
		if len(users) > 0 {
			out["RenewalEligibility"] = "ELIGIBLE"
		}
		out["KeyUsages"] = []any{map[string]string{"Name": "DIGITAL_SIGNATURE"}}
		out["ExtendedKeyUsages"] = []any{map[string]string{"Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1"}}
	}
	if cert.status == TimedOut {
		out["FailureReason"] = "NO_AVAILABLE_CONTACTS"
	}
	return map[string]any{"Certificate": out}, nil
}

// signature turns Go's name of an algorithm ("ECDSA-SHA256") into ACM's ("SHA256WITHECDSA").
func signature(name string) string {
	key, hash, _ := strings.Cut(name, "-")
	return strings.ToUpper(hash + "WITH" + key)
}

func serial(n *big.Int) string {
	b := n.Bytes()
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = fmt.Sprintf("%02x", b[i])
	}
	return strings.Join(parts, ":")
}

func (s *Service) usersOf(arn string) []string {
	s.mu.Lock()
	users := s.users
	s.mu.Unlock()
	out := users(arn)
	if out == nil {
		out = []string{}
	}
	return out
}

func (s *Service) get(c *gate.Call, in *input) (any, error) {
	cert, err := s.find(c, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	if cert.pair == nil {
		return nil, gate.Errorf(http.StatusBadRequest, "RequestInProgressException", "Certificate %s is still pending validation.", cert.arn)
	}
	encode := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	chain := ""
	for _, der := range cert.pair.Certificate[1:] {
		chain += encode(der)
	}
	return map[string]string{"Certificate": encode(cert.pair.Certificate[0]), "CertificateChain": chain}, nil
}

func (s *Service) list(c *gate.Call, in *input) (any, error) {
	s.mu.Lock()
	var arns []string
	for arn, cert := range s.certs {
		if cert.region == c.Region {
			arns = append(arns, arn)
		}
	}
	s.mu.Unlock()
	sort.Strings(arns)
	out := []any{}
	for _, arn := range arns {
		cert, ok := s.refresh(arn)
		if !ok || (len(in.CertificateStatuses) > 0 && !strings.Contains(","+strings.Join(in.CertificateStatuses, ",")+",", ","+cert.status+",")) {
			continue
		}
		out = append(out, map[string]any{"CertificateArn": cert.arn, "DomainName": cert.domain, "SubjectAlternativeNameSummaries": cert.names,
			"HasAdditionalSubjectAlternativeNames": false, "Status": cert.status, "Type": "AMAZON_ISSUED", "KeyAlgorithm": cert.key,
			"InUse": len(s.usersOf(arn)) > 0, "CreatedAt": epoch(cert.created)})
	}
	return map[string]any{"CertificateSummaryList": out}, nil
}

func (s *Service) remove(c *gate.Call, in *input) (any, error) {
	users := s.usersOf(in.CertificateArn)
	return nil, s.change(c, in.CertificateArn, func(cert *certificate) error {
		if len(users) > 0 {
			return gate.Errorf(http.StatusBadRequest, "ResourceInUseException", "Certificate %s in account %s is in use.", cert.arn, s.g.AccountID())
		}
		delete(s.certs, cert.arn)
		return nil
	})
}

func (s *Service) options(c *gate.Call, in *input) (any, error) {
	return nil, s.change(c, in.CertificateArn, func(cert *certificate) error {
		if in.Options != nil {
			cert.logging = in.Options.CertificateTransparencyLoggingPreference
		}
		return nil
	})
}

func (s *Service) listTags(c *gate.Call, in *input) (any, error) {
	cert, err := s.find(c, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	out := []tag{}
	for k, v := range cert.tags {
		out = append(out, tag{k, v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return map[string]any{"Tags": out}, nil
}

func (s *Service) addTags(c *gate.Call, in *input) (any, error) {
	return nil, s.change(c, in.CertificateArn, func(cert *certificate) error {
		for _, t := range in.Tags {
			cert.tags[t.Key] = t.Value
		}
		return nil
	})
}

func (s *Service) removeTags(c *gate.Call, in *input) (any, error) {
	return nil, s.change(c, in.CertificateArn, func(cert *certificate) error {
		for _, t := range in.Tags {
			// A value that is given must match.
			if t.Value == "" || cert.tags[t.Key] == t.Value {
				delete(cert.tags, t.Key)
			}
		}
		return nil
	})
}
