package chain

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// signs is the issuer of new tokens: by a token itself, or by what the API server says.
func (f *Facts) signs() string {
	if f.Cluster.Token != nil {
		return f.Cluster.Token.Issuer
	}
	return f.Cluster.Issuer
}

// trustedIssuers are the issuers (host and path) whose providers a role's trust policy names.
func trustedIssuers(trust string) (out []string) {
	d, err := policy.Parse([]byte(trust))
	if err != nil {
		return nil
	}
	for _, s := range d.Statements {
		if s.Effect != "Allow" || s.Principal == nil {
			continue
		}
		for _, arn := range s.Principal.Federated {
			if _, h, ok := strings.Cut(arn, ":oidc-provider/"); ok && !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	return out
}

// issuer checks the issuer of tokens at the API server, in the world and in IAM. Identities by tokens have it in common.
func (c *checker) issuer() {
	ids := c.presenting(presentsToken)
	issuer := c.signs()
	if len(ids) == 0 || issuer == "" {
		return
	}
	var expected []string
	if c.Stack != nil && c.Stack.Issuer != "" {
		expected = append(expected, host(c.Stack.Issuer))
	}
	for _, id := range ids {
		if r := c.role(id.Role); r != nil {
			for _, h := range trustedIssuers(r.Trust) {
				if !slices.Contains(expected, h) {
					expected = append(expected, h)
				}
			}
		}
	}
	// An issuer that IAM knows is somebody's, and roles that trust another one are told as such.
	known := c.provides(issuer) != nil && (c.Stack == nil || c.Stack.Issuer == "")
	if len(expected) > 0 && !slices.Contains(expected, host(issuer)) && !known {
		c.foreign = true
		want := "https://" + strings.Join(expected, ", https://")
		seen := "the API server signs tokens as " + issuer
		alike := func(a string) string {
			return strings.TrimSuffix(strings.Replace(strings.ToLower(strings.TrimRight(host(a), "/")), ":443", "", 1), "/")
		}
		switch {
		case slices.ContainsFunc(expected, func(h string) bool { return alike(h) == alike(issuer) }):
			c.add("issuer-spelled", "the API server", ids, seen, "expected", want)
		case !strings.HasPrefix(issuer, "https://"):
			c.add("issuer-insecure", "the API server", ids, seen)
		default:
			c.add("issuer-changed", "the API server", ids, seen, "expected", want)
		}
		return // what the world sees of an issuer that nobody meant says nothing
	}
	if seen := find(c.Issuers, func(i *Issuer) bool { return i.URL == issuer }); seen != nil {
		c.documents(ids, seen)
	}
	c.provider(ids, issuer)
}

// documents checks an issuer's discovery document and key set as anybody sees them.
func (c *checker) documents(ids []Identity, i *Issuer) {
	where := "issuer " + i.URL
	h := host(i.URL)
	if u, err := url.Parse(i.URL); err == nil {
		h = u.Hostname()
	}
	d, k := i.Discovery, i.JWKS
	switch {
	case d.Untrusted:
		c.add("issuer-untrusted", where, ids, d.Error, "host", h)
		return
	case d.Error != "":
		c.add("issuer-unreachable", where, ids, d.Error, "url", d.URL)
		return
	case d.Status >= http.StatusInternalServerError: // a distribution or its origin, not the document
		c.add("issuer-unreachable", where, ids, fmt.Sprintf("%s answers %d", d.URL, d.Status), "url", d.URL)
		return
	case d.Status == http.StatusForbidden && d.Server == "CloudFront":
		c.add("distribution-refuses", where, ids, fmt.Sprintf("CloudFront itself answers %d for %s", d.Status, d.URL), "host", h)
		return
	case d.Status != http.StatusOK:
		c.add("discovery-refused", where, ids, fmt.Sprintf("%s answers %d", d.URL, d.Status), "url", d.URL)
		return
	case d.Malformed != "":
		c.add("discovery-malformed", where, ids, d.URL+": "+d.Malformed)
		return
	case i.Issuer != i.URL:
		c.add("discovery-issuer", where, ids, fmt.Sprintf("the document says issuer %q", i.Issuer), "expected", i.URL)
	}
	switch {
	case k.Error != "":
		c.add("jwks-unreachable", where, ids, k.Error, "url", i.JWKSURI)
	case k.Status != http.StatusOK:
		c.add("jwks-unreachable", where, ids, fmt.Sprintf("%s answers %d", i.JWKSURI, k.Status), "url", i.JWKSURI)
	case k.Malformed != "":
		c.add("jwks-malformed", where, ids, i.JWKSURI+": "+k.Malformed)
	case len(i.Keys) == 0:
		c.add("jwks-empty", where, ids, i.JWKSURI+" has no key")
	default:
		c.keys(ids, where, i.Keys)
	}
	for _, document := range []Document{d, k} {
		if document.Seconds > 5 {
			c.add("issuer-slow", where, ids, fmt.Sprintf("%s took %.1f s", document.URL, document.Seconds), "url", document.URL)
		}
		if document.Status == http.StatusOK && document.Type != "" && !strings.Contains(document.Type, "json") {
			c.add("discovery-type", where, ids, document.URL+" has content type "+document.Type)
		}
		if document.MaxAge != nil && *document.MaxAge > 86400 {
			c.add("issuer-cached-long", where, ids, fmt.Sprintf("caches may keep %s for %d s", document.URL, *document.MaxAge))
		}
	}
	if d.TLS != nil {
		if state, words := c.ended(*d.TLS); state == "near" {
			c.add("issuer-certificate-ends", where, ids, words, "host", h)
		}
	}
}

// keys checks that what the API server signs with is published. Without a token it is not known which of its keys signs.
func (c *checker) keys(ids []Identity, where string, published []Key) {
	at := func(list []Key, id string) *Key { return find(list, func(k *Key) bool { return k.ID == id }) }
	if t := c.Cluster.Token; t != nil && at(published, t.KeyID) == nil {
		c.add("key-not-published", where, ids, "new tokens are signed with key "+t.KeyID+", which the published key set has not")
		return
	}
	missing := 0
	for _, k := range c.Cluster.Keys {
		p := at(published, k.ID)
		if p == nil {
			missing++
			continue
		}
		if p.Sum != k.Sum {
			c.add("key-differs", where, ids, "key "+k.ID+" is another one in the published key set")
		}
	}
	if c.Cluster.Token == nil && missing > 0 && missing == len(c.Cluster.Keys) {
		c.add("key-not-published", where, ids, "the published key set has none of the API server's keys")
	}
}

// provider checks IAM's side of the issuer.
func (c *checker) provider(ids []Identity, issuer string) {
	if !c.sees(partProviders) || !c.sees(partCaller) {
		return
	}
	p := c.provides(issuer)
	if p == nil {
		c.add("provider-missing", "account "+c.Account.ID, ids, "no OIDC provider has the URL of the issuer", "issuer", issuer)
		return
	}
	for _, id := range ids {
		if audience := c.audience(id); !slices.Contains(p.Clients, audience) {
			c.add("provider-audience", "OIDC provider "+p.ARN, []Identity{id}, "its client ids are "+list(p.Clients), "audience", audience)
		}
	}
}

// provides is IAM's provider of an issuer; nil where there is none.
func (f *Facts) provides(issuer string) *Provider {
	return find(f.Account.Providers, func(p *Provider) bool { return strings.TrimPrefix(p.URL, "https://") == host(issuer) })
}

// audience is the audience that the tokens of an identity should have.
func (f *Facts) audience(id Identity) string {
	if a := f.account(id.Namespace, id.Account); a != nil && a.Audience != "" {
		return a.Audience
	}
	return stsAudience
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// injection checks that labelled service accounts have somebody who injects.
func (c *checker) injection() {
	if !c.sees(partInjection) {
		return
	}
	var ids []Identity
	for _, id := range c.ids {
		if a := c.account(id.Namespace, id.Account); a != nil && a.Labelled {
			ids = append(ids, id)
		}
	}
	works := slices.ContainsFunc(c.Cluster.Injectors, func(i Injector) bool { return i.Works })
	if len(ids) == 0 || works {
		return
	}
	if len(c.Cluster.Injectors) == 0 {
		c.add("injector-missing", "the cluster", ids, "there is none")
	}
	for _, i := range c.Cluster.Injectors {
		c.add("injector-fails", i.Kind+" "+i.Name, ids, i.Why)
	}
}
