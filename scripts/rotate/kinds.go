package main

import (
	"encoding/json"
	"fmt"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/rules"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/rotate/internal/stackedit"
	"k3s-aws-auth/scripts/rotate/internal/walk"
	"k3s-aws-auth/stacks/config"
)

// kind is what is rotated.
type kind struct {
	name string
	// path leads to the set in the configuration.
	path []string
	most int
	// has reads the set of a configuration.
	has func(*config.Config) walk.Set
	// proof says how the world shows that what is deployed holds.
	proof string
}

func set(members []keyset.Member) walk.Set { return members }

var kinds = map[string]*kind{
	"key": {"key", []string{"signingKeys"}, rules.MaxSigningKeys, func(c *config.Config) walk.Set { return set(c.SigningKeySet()) },
		"each issuer publishes exactly these keys, and every server signs with the active one"},
	"issuer": {"issuer", []string{"issuers"}, 3, func(c *config.Config) walk.Set {
		var s walk.Set
		for _, i := range c.IssuerSet() {
			s = append(s, i.Member)
		}
		return s
	}, "each issuer's documents can be read, and every server names the active one in its tokens"},
	"ca": {"ca", []string{"rolesAnywhere", "cas"}, 2, func(c *config.Config) walk.Set { return set(c.CASet()) },
		"the trust anchor has exactly these CAs, and every Secret a certificate of the active one"},
}

// deployed reads the set of the configuration that an update was given.
func (k *kind) deployed(values map[string]string) (walk.Set, error) {
	var value any
	if text := values[config.Project+":"+k.path[0]]; text != "" {
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			return nil, fmt.Errorf("%s: %w", k.path[0], err)
		}
	}
	for _, key := range k.path[1:] {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	list, _ := value.([]any)
	if len(list) == 0 {
		return keyset.Default(), nil
	}
	var s walk.Set
	for _, element := range list {
		m, _ := element.(map[string]any)
		s = append(s, keyset.Member{Name: fmt.Sprint(m["name"]), State: keyset.State(fmt.Sprint(m["state"]))})
	}
	if problems := keyset.Validate(s, len(s)); len(problems) > 0 {
		return nil, nil // the program has refused it: nothing was deployed
	}
	return s, nil
}

// member is what a new issuer says beside its name.
type member struct{ bucket, domain, dns, zone string }

func (m member) keys() map[string]string {
	keys := map[string]string{"bucket": m.bucket, "domain": m.domain, "hostedZoneId": m.zone}
	if m.domain != "" {
		keys["dns"] = m.dns
	}
	return keys
}

// write makes the file's set another one.
func (k *kind) write(f *stackedit.File, to walk.Set, fresh map[string]member) error {
	more := map[string]map[string]string{}
	for name, m := range fresh {
		more[name] = m.keys()
	}
	if k.name != "issuer" {
		return f.SetMembers(to, more, k.path...)
	}
	list, err := setups.Around()
	if err != nil {
		return err
	}
	now, _ := list.Find(f.Text("setup"))
	// What `issuer` says of the one issuer goes to that one as a member.
	if listed, err := f.List("issuers"); err != nil {
		return err
	} else if len(listed) == 0 {
		one := member{bucket: f.Text("issuer", "bucket")}
		if now.IssuerIsDistribution() {
			one.domain, one.dns, one.zone = f.Text("issuer", "domain"), f.Text("issuer", "dns"), f.Text("issuer", "hostedZoneId")
		}
		more[keyset.DefaultName] = one.keys()
	}
	for _, key := range []string{"bucket", "domain", "dns", "hostedZoneId"} {
		f.Remove("issuer", key)
	}
	if err := f.SetMembers(to, more, k.path...); err != nil {
		return err
	}
	domain, err := f.Member("domain", to.Active(), "issuers")
	if err != nil {
		return err
	}
	// The setup is that of the active issuer.
	where := setups.Bucket
	if domain != "" {
		where = setups.Distribution
	}
	if now.Issuer == where {
		return nil
	}
	for _, s := range list {
		if s.PresentsToken() && s.Issuer == where {
			return f.Set(s.Name, "setup")
		}
	}
	return fmt.Errorf("no setup has an issuer in a %s", where)
}

// check refuses what a stack does not have.
func (k *kind) check(c *config.Config) error {
	presents := c.Facts().Presents
	switch {
	case k.name == "ca" && presents != config.PresentsCertificate:
		return fmt.Errorf("setup %s has no CA: its pods present no certificates", c.Setup)
	case k.name != "ca" && presents != config.PresentsToken:
		return fmt.Errorf("setup %s has no %s that AWS reads: its pods present no tokens", c.Setup, map[string]string{"key": "signing key", "issuer": "issuer"}[k.name])
	case k.name != "ca" && c.Existing():
		return fmt.Errorf("with cluster.mode existing, the %s is the cluster's: rotate it there", k.name)
	}
	return nil
}
