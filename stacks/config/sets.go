package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/rules"
)

// Limits of sets.
const (
	maxIssuers = 3 // of what a trust policy has room for
	maxCAs     = 2 // IAM Roles Anywhere, of a trust anchor
)

// set returns the members as the components take them; one, where none is listed.
func set(members []Member) []keyset.Member {
	if len(members) == 0 {
		return keyset.Default()
	}
	list := make([]keyset.Member, len(members))
	for i, m := range members {
		list[i] = keyset.Member{Name: m.Name, State: keyset.State(m.State)}
	}
	return list
}

// SigningKeySet is the set of keys that sign tokens.
func (c *Config) SigningKeySet() []keyset.Member { return set(c.SigningKeys) }

// CASet is the set of CAs of the trust anchor.
func (c *Config) CASet() []keyset.Member { return set(c.RolesAnywhere.CAs) }

// Published is an issuer of the cluster's tokens that the program publishes.
type Published struct {
	keyset.Member
	// Bucket is empty where the program names it.
	Bucket string
	// Domain is empty for a public bucket.
	Domain, DNS, HostedZoneID string
}

// IssuerSet is the set of issuers; one, where none is listed. It is sorted by
// name, so that who is active changes no list that is made of it.
func (c *Config) IssuerSet() []Published {
	if len(c.Issuers) == 0 {
		only := Published{Member: keyset.Default()[0], Bucket: c.Issuer.Bucket}
		if c.facts.Issuer == IssuerDistribution {
			only.Domain, only.DNS, only.HostedZoneID = c.Issuer.Domain, c.Issuer.DNS, c.Issuer.HostedZoneID
		}
		return []Published{only}
	}
	list := make([]Published, len(c.Issuers))
	for i, m := range c.Issuers {
		list[i] = Published{keyset.Member{Name: m.Name, State: keyset.State(m.State)}, m.Bucket, m.Domain, m.DNS, m.HostedZoneID}
	}
	slices.SortFunc(list, func(a, b Published) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Distributed reports whether an issuer is behind CloudFront.
func (c *Config) Distributed() bool {
	return slices.ContainsFunc(c.IssuerSet(), func(i Published) bool { return i.Domain != "" })
}

// validateSets checks what may be listed as a set, and what is revoked.
func validateSets(c *Config, p *Problems) {
	check := func(key string, members []keyset.Member, most int) {
		for _, problem := range keyset.Validate(members, most) {
			p.Add(key+problem.Key, problem.Found, "%s", problem.Must)
		}
	}
	check("signingKeys", c.SigningKeySet(), rules.MaxSigningKeys)
	check("rolesAnywhere.cas", c.CASet(), maxCAs)
	if len(c.SigningKeys) > 0 {
		switch {
		case c.Existing():
			p.Add("signingKeys", "a list", "left out while cluster.mode is existing: the keys are those of the cluster")
		case c.facts.Presents != PresentsToken && !p.Has("setup"):
			p.Add("signingKeys", "a list", "left out for setup %s, whose pods show no tokens to AWS", c.Setup)
		}
	}
	if len(c.Issuers) > 0 {
		var members []keyset.Member
		for _, i := range c.Issuers {
			members = append(members, keyset.Member{Name: i.Name, State: keyset.State(i.State)})
		}
		check("issuers", members, maxIssuers)
		validateIssuers(c, p)
	}
	for i, r := range c.RolesAnywhere.Revoked {
		named := slices.ContainsFunc(c.Identities, func(identity Identity) bool { return identity.Name == r })
		if key := fmt.Sprintf("rolesAnywhere.revoked[%d]", i); !named && rules.Serial(r) != "" {
			p.Add(key, Quote(r), "the name of an identity, or %s", rules.Serial(r))
		} else if first := slices.Index(c.RolesAnywhere.Revoked, r); first < i {
			p.Add(key, Quote(r), "another one than rolesAnywhere.revoked[%d]", first)
		}
	}
	for i, identity := range c.Identities {
		at := fmt.Sprintf("identities[%d].", i)
		if _, err := time.Parse(time.RFC3339, identity.RevokeSessionsBefore); err != nil && identity.RevokeSessionsBefore != "" {
			p.Add(at+"revokeSessionsBefore", Quote(identity.RevokeSessionsBefore), `a moment such as "2026-11-30T12:00:00Z", in quotes`)
		}
		if p.Has("setup") || c.facts.OwnRoles {
			continue
		}
		const must = "left out for setup %s, whose identities share one role: nobody could tell whom to shut out"
		if identity.Suspended {
			p.Add(at+"suspended", "true", must, c.Setup)
		}
		if identity.RevokeSessionsBefore != "" {
			p.Add(at+"revokeSessionsBefore", Quote(identity.RevokeSessionsBefore), must, c.Setup)
		}
	}
}

// validateIssuers checks the issuers that are listed, each like the one of issuer.
func validateIssuers(c *Config, p *Problems) {
	if c.facts.Issuer == IssuerNone && !p.Has("setup") {
		p.Add("issuers", "a list", "left out for setup %s, which has no issuer that AWS reads", c.Setup)
	}
	for _, only := range []struct{ key, value string }{
		{"issuer.bucket", c.Issuer.Bucket}, {"issuer.domain", c.Issuer.Domain}, {"issuer.hostedZoneId", c.Issuer.HostedZoneID},
	} {
		if only.value != "" {
			p.Add(only.key, Quote(only.value), "left out beside issuers, each of which has its own")
		}
	}
	buckets, domains := map[string]int{}, map[string]int{}
	for i, m := range c.Issuers {
		at := fmt.Sprintf("issuers[%d].", i)
		validatePlace(at, Issuer{Bucket: m.Bucket, Domain: m.Domain, DNS: m.DNS, HostedZoneID: m.HostedZoneID}, p)
		if m.Domain != "" && m.DNS == DNSRoute53 && m.HostedZoneID == "" {
			p.Add(at+"hostedZoneId", "nothing", "the Route 53 zone of %sdomain, unless %sdns is external", at, at)
		}
		for _, one := range []struct {
			key, value string
			seen       map[string]int
		}{{"bucket", m.Bucket, buckets}, {"domain", m.Domain, domains}} {
			if first, taken := one.seen[one.value]; taken && one.value != "" {
				p.Add(at+one.key, Quote(one.value), "another one than issuers[%d].%s", first, one.key)
			}
			one.seen[one.value] = i
		}
		if m.State != string(keyset.Active) {
			continue
		}
		switch behind := m.Domain != ""; {
		case c.facts.Issuer == IssuerDistribution && !behind:
			p.Add(at+"domain", "nothing", "the host name of the active issuer for setup %s", c.Setup)
		case c.facts.Issuer == IssuerBucket && behind:
			p.Add(at+"domain", Quote(m.Domain), "left out of the active issuer for setup %s: one behind CloudFront is active with setup irsa-cloudfront", c.Setup)
		}
	}
}
