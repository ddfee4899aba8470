package chain

import (
	"cmp"
	"slices"
	"strings"

	"k3s-aws-auth/components/names"
	"k3s-aws-auth/scripts/internal/setups"
)

// What pods of an identity present to AWS.
const (
	presentsMetadata    = setups.Metadata
	presentsToken       = setups.Token
	presentsCertificate = setups.Certificate
)

// Identity is a service account whose pods should have a role.
type Identity struct {
	Namespace, Account string
	// Role is the ARN of the role; empty where nothing says which.
	Role     string
	Presents string
}

// String is the service account as people write it.
func (i Identity) String() string { return i.Namespace + "/" + i.Account }

// Identities are the service accounts that should have a role: by the stack, by the annotation of the EKS webhook, by the
// program's label, and by what their pods are given. In their order by name.
func Identities(f *Facts) []Identity {
	found := map[string]*Identity{}
	add := func(namespace, account, role, presents string) {
		key := namespace + "/" + account
		i := found[key]
		if i == nil {
			i = &Identity{Namespace: namespace, Account: account}
			found[key] = i
		}
		i.Role, i.Presents = cmp.Or(i.Role, role), cmp.Or(i.Presents, presents)
	}
	setup := ""
	if f.Stack != nil {
		setup = f.Stack.Presents
		for _, s := range f.Stack.Identities {
			add(s.Namespace, s.Account, s.Role, setup)
		}
	}
	for _, a := range f.Cluster.Accounts {
		switch {
		case a.Role != "":
			add(a.Namespace, a.Name, a.Role, presentsToken)
		case a.Helper != nil:
			add(a.Namespace, a.Name, a.Helper.Role, presentsCertificate)
		case a.Certificate != "" && f.given(a.Namespace, a.Name) == nil:
			add(a.Namespace, a.Name, "", presentsCertificate)
		case (a.PartOf || a.Certificate != "") && f.given(a.Namespace, a.Name) != nil:
			add(a.Namespace, a.Name, f.given(a.Namespace, a.Name).Role, presentsCertificate)
		case a.PartOf && setup == presentsCertificate:
			add(a.Namespace, a.Name, "", presentsCertificate)
		case a.PartOf && f.secret(a.Namespace, certificateSecret(a.Name)) != nil:
			add(a.Namespace, a.Name, "", presentsCertificate)
		case a.PartOf && (setup == presentsMetadata || setup == "") && !f.podPresents(a.Namespace, a.Name):
			add(a.Namespace, a.Name, "", presentsMetadata)
		}
	}
	for i := range f.Cluster.Pods {
		p := &f.Cluster.Pods[i]
		if w := p.web(); w != nil {
			// A pod that names a role and runs as another service account than the role trusts is found by the role's trust.
			add(p.Namespace, p.Account, w["AWS_ROLE_ARN"], presentsToken)
		} else if h := f.helper(p); h != nil {
			add(p.Namespace, p.Account, h.Role, presentsCertificate)
		}
	}
	out := make([]Identity, 0, len(found))
	for _, i := range found {
		out = append(out, *i)
	}
	slices.SortFunc(out, func(a, b Identity) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// certificateSecret and awsConfig are the names that the program gives (components/workload).
func certificateSecret(account string) string {
	return names.Shorten(account+"-rolesanywhere", names.MaxKubernetesObject)
}

func awsConfig(account string) string {
	return names.Shorten(account+"-aws-config", names.MaxKubernetesObject)
}

// given is the helper of the AWS configuration that the program made for a service account; nil where there is none.
func (f *Facts) given(namespace, account string) *Helper {
	m := f.configMap(namespace, awsConfig(account))
	if m == nil {
		return nil
	}
	for _, c := range m.Files {
		if c.Process != nil {
			return c.Process
		}
	}
	return nil
}

// podPresents tells whether a pod of a service account is given a token or a certificate.
func (f *Facts) podPresents(namespace, account string) bool {
	return slices.ContainsFunc(f.Cluster.Pods, func(p Pod) bool {
		return p.Namespace == namespace && p.Account == account && (p.web() != nil || f.helper(&p) != nil)
	})
}

// web is the environment of the first container that presents a token; nil where none does.
func (p *Pod) web() map[string]string {
	for _, c := range p.Containers {
		if c.Env["AWS_ROLE_ARN"] != "" && c.Env["AWS_WEB_IDENTITY_TOKEN_FILE"] != "" {
			return c.Env
		}
	}
	return nil
}

// helper is what the credential helper is told in a pod: as a sidecar, or by a mounted AWS configuration.
func (f *Facts) helper(p *Pod) *Helper {
	for _, c := range p.Containers {
		if c.Helper != nil {
			return c.Helper
		}
	}
	for _, v := range p.ConfigMaps {
		if m := f.configMap(p.Namespace, v.Name); m != nil {
			for _, c := range m.Files {
				if c.Process != nil {
					return c.Process
				}
			}
		}
	}
	return nil
}
