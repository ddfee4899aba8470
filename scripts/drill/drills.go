package main

import (
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/setups"
)

// allDrills lists every drill in the order in which they run: the published comparison's six first.
func allDrills() []*Drill {
	return slices.Concat(clusterDrills(), identityDrills(), issuerDrills(), certificateDrills(), nodeDrills(), imageDrills())
}

// choose returns the drills with the given ids (or numbers), all where none are given.
func choose(all []*Drill, only []string) ([]*Drill, error) {
	if len(only) == 0 {
		return all, nil
	}
	var out []*Drill
	for _, id := range only {
		before := len(out)
		for _, d := range all {
			if (strings.EqualFold(d.ID, id) || d.Article != "" && strings.HasPrefix(strings.ToUpper(d.Article), strings.ToUpper(id))) && !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
		if len(out) == before {
			return nil, cli.Usage(fmt.Errorf("--only: no drill %q: see --list", id))
		}
	}
	return out, nil
}

// The errors that AWS answers (docs: STS's API reference; texts of Roles Anywhere are those that users report).
const (
	noProvider      = "No OpenIDConnect provider found in your account for"
	noKey           = "Couldn't retrieve verification key from your identity provider"
	notAuthorized   = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	unableToAssume  = "Unable to assume role for"
	accessDenied    = "AccessDeniedException"
	noCredentials   = "Unable to locate credentials|no EC2 IMDS role found|NoCredentialProviders"
	skewed          = "SignatureDoesNotMatch|Signature not yet current|still expired|RequestTimeTooSkewed"
	refused         = "connection refused|connection reset|EOF"
	noOIDC          = "no OIDC provider: AWS is never asked to verify a token"
	noCertificate   = "no certificate in this setup"
	noPodRole       = "the role is the machines' own, not the identity's"
	noInjection     = "nothing injects identities here: pods carry their own volumes and variables"
	noTokenVerified = "tokens of the cluster never reach AWS" //nolint:gosec // a reason, not a token
)

// Rule says by a setup's facts what a drill should come to there, or why it does not run there.
type Rule func(setups.Setup) (e Expectation, why string)

// inAll is e in every setup.
func inAll(e Expectation) Rule { return func(setups.Setup) (Expectation, string) { return e, "" } }

// withToken is e where pods present a token, and elsewhere not a drill.
func withToken(e Expectation, why string) Rule {
	return where(setups.Setup.PresentsToken, e, why)
}

// withCertificate is e where pods present a certificate, and elsewhere not a drill.
func withCertificate(e Expectation) Rule {
	return where(setups.Setup.PresentsCertificate, e, noCertificate)
}

// where is e in setups of which something is true, and elsewhere not a drill.
func where(is func(setups.Setup) bool, e Expectation, why string) Rule {
	return func(s setups.Setup) (Expectation, string) {
		if is(s) {
			return e, ""
		}
		return Expectation{}, why
	}
}

// either is yes in setups of which something is true, and no elsewhere.
func either(is func(setups.Setup) bool, yes, no Expectation) Rule {
	return func(s setups.Setup) (Expectation, string) {
		if is(s) {
			return yes, ""
		}
		return no, ""
	}
}

// withOwnRole is what come makes of AWS's refusal of what pods present for a role, where each identity has one of its own.
func withOwnRole(come func(refusal string) Expectation) Rule {
	return func(s setups.Setup) (Expectation, string) {
		switch {
		case !s.OwnRoles:
			return Expectation{}, noPodRole
		case s.PresentsToken():
			return come(notAuthorized), ""
		case s.PresentsCertificate():
			return come(unableToAssume), ""
		}
		return Expectation{}, "it is not known what AWS answers where each identity has a role of its own and presents " + s.Presents
	}
}

// everywhere are the rule's outcomes in a project's setups, by their names.
func (r Rule) everywhere(list setups.List) (expect map[string]Expectation, why map[string]string) {
	expect, why = map[string]Expectation{}, map[string]string{}
	for _, s := range list {
		if e, reason := r(s); reason != "" {
			why[s.Name] = reason
		} else {
			expect[s.Name] = e
		}
	}
	return expect, why
}
