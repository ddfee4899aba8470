package main

import (
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/cli"
)

// allDrills lists every drill in the order in which they run: the published comparison's six first.
func allDrills() []*Drill {
	return slices.Concat(clusterDrills(), identityDrills(), issuerDrills(), certificateDrills(), nodeDrills())
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

// webIdentitySetups and certificateSetups build the tables of expectations.
func webIdentitySetups(e Expectation) map[string]Expectation {
	return map[string]Expectation{irsaS3: e, irsaCloudFront: e}
}

// everywhere is e with web identity, and unaffected in the other two setups.
func withWebIdentity(e Expectation) map[string]Expectation {
	return map[string]Expectation{instanceProfile: unaffected, irsaS3: e, irsaCloudFront: e, rolesAnywhere: unaffected}
}

func inAll(e Expectation) map[string]Expectation {
	return map[string]Expectation{instanceProfile: e, irsaS3: e, irsaCloudFront: e, rolesAnywhere: e}
}

func only(setup string, e Expectation) map[string]Expectation {
	return map[string]Expectation{setup: e}
}

// because gives one reason to several setups.
func because(reason string, setups ...string) map[string]string {
	out := map[string]string{}
	for _, s := range setups {
		out[s] = reason
	}
	return out
}
