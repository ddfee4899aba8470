package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/rules"
)

// Account is a service account, whose pods are an identity.
type Account struct{ Namespace, Name string }

// Key is what no other account has. The names of its resources begin with it. A
// namespace has no dots, so the first one ends it, and no earlier name (an
// identity's Name) has any.
func (a Account) Key() string { return a.Namespace + "." + a.Name }

// Subject is the account in its tokens.
func (a Account) Subject() string { return iampolicy.Subject(a.Namespace, a.Name) }

// CommonName is the account in its certificate.
func (a Account) CommonName() string { return names.CommonName(a.Namespace, a.Name) }

// Account is the identity's own service account, after which its role is named.
func (i *Identity) Account() Account { return Account{i.Namespace, i.ServiceAccount} }

// Accounts are all service accounts with the identity's role: its own, then the
// others by name, so that the list's order shows nowhere.
func (i *Identity) Accounts() []Account {
	var others []Account
	for _, text := range i.ServiceAccounts {
		others = append(others, i.account(text))
	}
	slices.SortFunc(others, func(a, b Account) int { return strings.Compare(a.Key(), b.Key()) })
	return append([]Account{i.Account()}, others...)
}

// account reads an entry of serviceAccounts: namespace/name, or a name in the
// identity's own namespace.
func (i *Identity) account(text string) Account {
	if namespace, name, both := strings.Cut(text, "/"); both {
		return Account{namespace, name}
	}
	return Account{i.Namespace, text}
}

// AccountKey is the key of the configuration that names an account, of the entry
// at a path.
func (i *Identity) AccountKey(at string, a Account) string {
	for j, text := range i.ServiceAccounts {
		if i.account(text) == a {
			return fmt.Sprintf("%s.serviceAccounts[%d]", at, j)
		}
	}
	return at + ".serviceAccount"
}

// PodName is what the pod is called that proves an account's identity.
func (i *Identity) PodName(a Account) string {
	if a == i.Account() {
		return i.Name
	}
	return names.Shorten(i.Name+"-"+a.Name, names.MaxKubernetesObject)
}

// OwnPrefix is where in a bucket pods of an account have objects of their own, by
// an entry of prefixPerPod: what comes behind the bucket's ARN, a slash, and then
// ends in a slash.
func OwnPrefix(location string, a Account) string {
	_, below, _ := strings.Cut(location, "/")
	return strings.TrimPrefix(below+"/"+a.CommonName()+"/", "/")
}

// validateAccounts checks the further service accounts of an identity.
func validateAccounts(at string, c *Config, i Identity, p *Problems) {
	if len(i.ServiceAccounts) > 0 && i.ServiceAccount == "" {
		p.Add(at+".serviceAccount", "nothing", "the first service account, after which the role is named: serviceAccounts has the others")
	}
	for j, text := range i.ServiceAccounts {
		key := fmt.Sprintf("%s.serviceAccounts[%d]", at, j)
		namespace, _, both := strings.Cut(text, "/")
		switch {
		case both && strings.ContainsAny(namespace, "*?"):
			p.Add(key, Quote(text), "in one namespace: a wildcard would let every namespace have the role")
		case both && rules.Label(namespace) != "":
			p.Add(key, Quote(text), "namespace/name, or a name in the namespace of the entry")
		default:
			validateServiceAccount(key, i.account(text).Name, p)
		}
		if c.Injection == InjectionWebhook && i.account(text).Namespace == c.Webhook.Namespace {
			p.Add(key, Quote(text), "in another namespace than webhook.namespace, whose pods the webhook leaves alone")
		}
	}
}

// locationPattern matches a bucket's ARN, alone or with a path below it.
var locationPattern = regexp.MustCompile(`^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.'()=+@,:-]+)*$`)

// validatePrefixes checks prefixPerPod.
func validatePrefixes(at string, c *Config, i Identity, demo bool, p *Problems) {
	if len(i.PrefixPerPod) > 0 && c.facts.Presents != PresentsCertificate && !p.Has("setup") {
		must := "left out for setup %s, in which a session is called what its pod asks for, so that no policy can tell pods of one role apart: " +
			"give each its own entry of identities"
		if !c.facts.OwnRoles {
			must = "left out for setup %s, whose identities share one role: no policy can tell them apart"
		}
		p.Add(at+".prefixPerPod", "a list", must, c.Setup)
	}
	for j, location := range i.PrefixPerPod {
		key := fmt.Sprintf("%s.prefixPerPod[%d]", at, j)
		switch plain := substitute(location, sampleBucketArn); {
		case plain != location && !demo:
			p.Add(key, Quote(location), "another bucket where demo is not true, since there is no demo bucket")
		case !locationPattern.MatchString(plain):
			p.Add(key, Quote(location), "the ARN of a bucket, or of a path in it without a slash at the end, and no wildcards: "+
				"arn:aws:s3:::my-bucket/tenants or %s/tenants", DemoBucketArn)
		case slices.Index(i.PrefixPerPod, location) < j:
			p.Add(key, Quote(location), "listed once")
		case plain == location:
			c.inPartition(key, location, p)
		}
	}
}

// validateApart checks that no account's own prefix is within that of another one,
// who could do everything there: a path of prefixPerPod may end like an account's
// common name, by chance or on purpose.
func validateApart(c *Config, p *Problems) {
	type owned struct {
		key, location, prefix string
		by                    Account
	}
	var all []owned
	owners := map[string]owned{} // by prefix
	for i, identity := range c.Identities {
		for j, location := range identity.PrefixPerPod {
			for _, account := range identity.Accounts() {
				own := owned{fmt.Sprintf("identities[%d].prefixPerPod[%d]", i, j), location, location + "/" + account.CommonName() + "/", account}
				all, owners[own.prefix] = append(all, own), own
			}
		}
	}
	for _, inner := range all {
		for end, letter := range inner.prefix {
			if letter != '/' {
				continue
			}
			if outer, is := owners[inner.prefix[:end+1]]; is && outer.by != inner.by && !p.Has(inner.key) && !p.Has(outer.key) {
				p.Add(inner.key, Quote(inner.location), "another path: this one is within what %s/%s has to itself by %s", outer.by.Namespace, outer.by.Name, outer.key)
			}
		}
	}
}
