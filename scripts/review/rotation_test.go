package main

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// TestAlmostSteps changes one thing about each harmless step of a rotation, after which it is none.
func TestAlmostSteps(t *testing.T) {
	one := func(p *preview.Preview, part string) *preview.Change {
		t.Helper()
		i := slices.IndexFunc(p.Changes, func(c *preview.Change) bool { return strings.HasSuffix(c.Now().URN, part) })
		if i < 0 {
			t.Fatalf("nothing is called %s", part)
		}
		return p.Changes[i]
	}
	// was gives a resource another input than it had before.
	was := func(c *preview.Change, property string, change func(string) string) {
		t.Helper()
		old := c.Before.Inputs[property].(string)
		r := *c.Before
		r.Inputs = maps.Clone(r.Inputs)
		r.Inputs[property] = change(old)
		if r.Inputs[property] == old {
			t.Fatalf("%s of %s stays", property, r.Name())
		}
		if c.Op == preview.Same {
			c.After = &r
		}
		c.Before = &r
	}
	instead := func(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }
	signsWithTheFirst := instead("signing-key-file=/etc/rancher/k3s/service-account/2.key", "signing-key-file=/etc/rancher/k3s/service-account/1.key",
		"private-key-file=/etc/rancher/k3s/service-account/2.key", "private-key-file=/etc/rancher/k3s/service-account/1.key")
	for _, c := range []struct {
		what, recording string
		change          func(*preview.Preview)
		want            string
	}{
		{"the key is not in the key set yet", "rotation-key-active", func(p *preview.Preview) {
			was(one(p, "::lab-issuer-jwks"), "content", func(string) string { return `{"keys":[]}` })
		}, "signing-key-unpublished"},
		{"a server does not accept the key yet", "rotation-key-active", func(p *preview.Preview) {
			was(one(p, "-server-0"), "userData", instead("- service-account-key-file=/etc/rancher/k3s/service-account/2.key\n", "- v=1\n"))
		}, "flag-changed"},
		{"a server signs with the key", "rotation-key-retired", func(p *preview.Preview) {
			was(one(p, "-server-0"), "userData", signsWithTheFirst)
		}, "signing-key-in-use"},
		{"another server signs with the key", "rotation-key-retired", func(p *preview.Preview) {
			other := *one(p, "-server-0")
			before := *other.Before
			before.URN = strings.Replace(before.URN, "-server-0", "-server-1", 1)
			other.Op, other.Before, other.After = preview.Same, &before, &before
			was(&other, "userData", signsWithTheFirst)
			p.Changes = append(p.Changes, &other)
		}, "signing-key-in-use"},
		{"the key is not one that this stack has made", "rotation-key-next", func(p *preview.Preview) {
			delete(one(p, "-service-account-2.key").After.PropertyDependencies, "value")
		}, "flag-changed"},
		{"the servers sign for the issuer", "rotation-issuer-retired", func(p *preview.Preview) {
			const bucket, cdn = "https://lab-issuer-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com", "https://oidc.lab.example.com"
			was(one(p, "-server-0"), "userData", instead("issuer="+bucket, "issuer="+cdn, "issuer="+cdn, "issuer="+bucket))
		}, "issuer-dropped"},
		{"IAM does not know the issuer yet", "rotation-issuer-active", func(p *preview.Preview) {
			was(one(p, "lab-oidc-oidc.lab.example.com"), "url", func(string) string { return "https://oidc.example.org" })
		}, "issuer-unpublished"},
		{"a certificate of the CA is there", "rotation-ca-retired", func(p *preview.Preview) {
			for _, c := range p.Changes {
				if c.Before != nil && c.Before.Type == "tls:index/locallySignedCert:LocallySignedCert" && len(c.Before.PropertyDependencies["caCertPem"]) == 1 {
					c.Before.PropertyDependencies["caCertPem"][0] = strings.Replace(c.Before.PropertyDependencies["caCertPem"][0], "-ca-2-", "-ca-1-", 1)
				}
			}
		}, "ca-replaced"},
		{"the bundle gets a stranger's CA", "rotation-ca-retired", func(p *preview.Preview) {
			source := one(p, "-anchor").After.Inputs["source"].(map[string]any)["sourceData"].(map[string]any)
			source["x509CertificateData"] = source["x509CertificateData"].(string) + "-----BEGIN CERTIFICATE-----\nc3RyYW5nZXI=\n-----END CERTIFICATE-----\n"
		}, "ca-replaced"},
		{"the CA that joins is made anew with the one that is there", "rotation-ca-next", func(p *preview.Preview) {
			one(p, "-ca-ca-1-cert").Op = preview.Replace
		}, "ca-replaced"},
	} {
		p, err := preview.Parse(unpack(t, c.recording), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.change(p)
		report := impact.Review(p)
		if !slices.ContainsFunc(report.Signs, func(s impact.Sign) bool { return s.ID == c.want }) {
			t.Errorf("%s: no %s in %+v", c.what, c.want, report.Signs)
		}
		if c.want != "flag-changed" && report.Verdict != impact.Danger {
			t.Errorf("%s: the verdict is %s", c.what, report.Verdict)
		}
	}
}

// TestInterruptedSteps: an update that ended anywhere in a harmless step of a rotation leaves a rest that is harmless too, though what it
// has done was done a moment ago.
func TestInterruptedSteps(t *testing.T) {
	files, err := filepath.Glob("testdata/rotation-*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json.gz")
		whole := func() (p *preview.Preview, order []*preview.Change) {
			p, err := preview.Parse(unpack(t, name), nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Now = now
			for _, c := range p.Changes {
				if c.Before != nil {
					c.Before.Modified = now.Add(-60 * 24 * time.Hour)
				}
				if c.Op != preview.Same {
					order = append(order, c)
				}
			}
			return p, order
		}
		p, order := whole()
		if slices.ContainsFunc(order, func(c *preview.Change) bool { return c.Op != preview.Update && c.Op != preview.Delete }) {
			continue // what is made has values that a recorded preview does not know
		}
		if r := impact.Review(p); r.Verdict == impact.Danger {
			t.Fatalf("%s is a danger: %+v", name, r.Signs)
		}
		random := rand.New(rand.NewPCG(1, uint64(len(name))))
		for trial := range 12 {
			p, order := whole()
			random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			var done []string
			for range 1 + trial%len(order) {
				c := order[slices.IndexFunc(order, func(c *preview.Change) bool { return mayRun(c, order) })]
				order = slices.DeleteFunc(order, func(o *preview.Change) bool { return o == c })
				done = append(done, c.Now().Name())
				if c.Op == preview.Delete {
					p.Changes = slices.DeleteFunc(p.Changes, func(o *preview.Change) bool { return o == c })
					continue
				}
				applied := *c.After
				applied.Modified = now.Add(-time.Minute)
				c.Op, c.Before, c.After, c.Properties = preview.Same, &applied, &applied, nil
			}
			if r := impact.Review(p); r.Verdict == impact.Danger {
				t.Fatalf("%s, after %q: %+v", name, done, r.Signs)
			}
		}
	}
}

// mayRun tells whether the engine may run a step before all others of a list: updates in any order, and what is deleted after all of
// them, what depends on another before that.
func mayRun(c *preview.Change, list []*preview.Change) bool {
	if c.Op != preview.Delete {
		return true
	}
	return !slices.ContainsFunc(list, func(o *preview.Change) bool {
		return o.Op != preview.Delete || o.Before.Parent == c.Before.URN || slices.Contains(o.Before.Dependencies, c.Before.URN)
	})
}
