package rolesanywhere_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/rolesanywhere"
	"k3s-aws-auth/components/rules"
)

const anchorArn = "arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/0a1b"

// leafPEM is a certificate, of nobody.
var leafPEM = func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(0x2a1b)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}()

func answers(r pulumitest.Resource) resource.PropertyMap {
	out := resource.PropertyMap{}
	secret := func(text string) resource.PropertyValue { return resource.MakeSecret(resource.NewStringProperty(text)) }
	switch r.Type {
	case "tls:index/privateKey:PrivateKey":
		out["privateKeyPem"] = secret("KEY " + r.Name + "\n")
	case "tls:index/locallySignedCert:LocallySignedCert":
		out["certPem"] = resource.NewStringProperty(leafPEM)
		out["validityEndTime"] = resource.NewStringProperty("2030-01-01T00:00:00Z")
	case "tls:index/selfSignedCert:SelfSignedCert":
		out["validityStartTime"] = resource.NewStringProperty("2029-01-01T00:00:00Z")
		out["certPem"] = resource.NewStringProperty("CERT " + r.Name + "\n")
		out["validityEndTime"] = resource.NewStringProperty("2030-01-01T00:00:00Z")
	case "tls:index/certRequest:CertRequest":
		out["certRequestPem"] = resource.NewStringProperty("REQUEST " + r.Name + "\n")
	case "aws:rolesanywhere/trustAnchor:TrustAnchor":
		out["arn"] = resource.NewStringProperty(anchorArn)
	case "aws:rolesanywhere/profile:Profile":
		out["arn"] = resource.NewStringProperty("arn:aws:rolesanywhere:eu-central-1:111122223333:profile/2c3d")
	}
	return out
}

func TestAnchorProfileAndLeaf(t *testing.T) {
	var arn, profileArn, cert, key string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		anchor, err := rolesanywhere.NewAnchor(ctx, "lab", &rolesanywhere.AnchorArgs{Name: "lab", Protect: true, Tags: map[string]string{"project": "lab"}})
		if err != nil {
			return err
		}
		profile, err := rolesanywhere.NewProfile(ctx, "lab", &rolesanywhere.ProfileArgs{
			Name: "lab", RoleArns: pulumi.StringArray{pulumi.String("arn:aws:iam::111122223333:role/lab-uploader")}, Tags: map[string]string{"project": "lab"},
		})
		if err != nil {
			return err
		}
		leaf, err := rolesanywhere.NewLeaf(ctx, "uploader", &rolesanywhere.LeafArgs{
			CommonName: "default.uploader", CAKeyPem: anchor.CAKeyPem, CACertPem: anchor.CACertPem, ValidityHours: 720, EarlyRenewalHours: 240,
		})
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, anchor.Arn, &arn)
		pulumitest.Result(ctx, profile.Arn, &profileArn)
		pulumitest.Result(ctx, leaf.CertPem, &cert)
		pulumitest.Result(ctx, leaf.KeyPem, &key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if arn != anchorArn || !strings.Contains(profileArn, ":profile/") || cert != leafPEM || key != "KEY uploader-key\n" {
		t.Errorf("arn %q, profile %q, cert %q, key %q", arn, profileArn, cert, key)
	}
	pulumitest.Golden(t, "graph.txt", recorder.Graph())
	for _, name := range []string{"lab-ca-1-key", "lab-ca-1-cert", "lab-anchor", "lab-profile", "uploader-key", "uploader-request", "uploader-cert"} {
		pulumitest.Golden(t, name+".json", recorder.Get(t, name).JSON())
	}
	for name, input := range map[string]string{"lab-ca-1-cert": "privateKeyPem", "uploader-request": "privateKeyPem", "uploader-cert": "caPrivateKeyPem"} {
		if !recorder.Get(t, name).IsSecret(input) {
			t.Errorf("%s: %s is not a secret", name, input)
		}
	}
	if recorder.Get(t, "lab-anchor").IsSecret("source") {
		t.Error("the CA certificates are public, and a secret would hide them from the preview")
	}
}

// A profile that accepts names of sessions comes beside the other one, whose
// inputs it leaves as they are.
func TestNamedProfile(t *testing.T) {
	role := func(name string) pulumi.StringInput { return pulumi.String("arn:aws:iam::111122223333:role/" + name) }
	args := func(named *rolesanywhere.NamedArgs) *rolesanywhere.ProfileArgs {
		return &rolesanywhere.ProfileArgs{Named: named, DurationSeconds: 900, RoleArns: pulumi.StringArray{role("b"), role("a")},
			Tags: map[string]string{"project": "lab", "Name": "x"}}
	}
	here := &rolesanywhere.NamedArgs{Partition: "aws", Region: "eu-central-1", AccountID: "111122223333"}
	var plain, arn, named, without string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		profile, err := rolesanywhere.NewProfile(ctx, "lab", args(here))
		if err != nil {
			return err
		}
		other, err := rolesanywhere.NewProfile(ctx, "other", args(nil))
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, profile.Arn, &arn)
		pulumitest.Result(ctx, profile.NamedArn, &named)
		pulumitest.Result(ctx, other.Arn, &plain)
		pulumitest.Result(ctx, other.NamedArn, &without)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if without != plain || named == arn || !strings.HasPrefix(named, "arn:aws:rolesanywhere:eu-central-1:111122223333:profile/") {
		t.Errorf("plain %q, without a name %q; arn %q, named %q", plain, without, arn, named)
	}
	pulumitest.Golden(t, "named/graph.txt", recorder.Graph())
	pulumitest.Golden(t, "named/lab-named.json", recorder.Get(t, "lab-named").JSON())
	if is, was := recorder.Get(t, "lab-profile").JSON(), recorder.Get(t, "other-profile").JSON(); is != was {
		t.Errorf("the other profile is %s, not %s", is, was)
	}
}

// A rotation lists a second CA: the first signs, both are trusted, and the old
// one's resources do not change.
func TestTwoCAs(t *testing.T) {
	var signer string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		anchor, err := rolesanywhere.NewAnchor(ctx, "lab", &rolesanywhere.AnchorArgs{CAs: []keyset.Member{{Name: "2027", State: keyset.Active}, {Name: "1", State: keyset.Retiring}}})
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, anchor.CACertPem, &signer)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if signer != "CERT lab-ca-2027-cert\n" {
		t.Errorf("the first CA must sign, but it is %q", signer)
	}
	pulumitest.Golden(t, "two-cas/lab-anchor.json", recorder.Get(t, "lab-anchor").JSON())
	recorder.Get(t, "lab-ca-1-cert")
}

func TestLeafHours(t *testing.T) {
	for name, tc := range map[string]struct{ validity, renewal, wantValidity, wantRenewal int }{
		"defaults":        {0, 0, rules.DefaultLeafValidityHours, rules.DefaultLeafEarlyRenewalHours},
		"given":           {48, 12, 48, 12},
		"only at the end": {48, 0, 48, 0},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
				_, err := rolesanywhere.NewLeaf(ctx, "x", &rolesanywhere.LeafArgs{
					CommonName: "a.b", CAKeyPem: pulumi.String("k"), CACertPem: pulumi.String("c"), ValidityHours: tc.validity, EarlyRenewalHours: tc.renewal,
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			cert := recorder.Get(t, "x-cert")
			if v, r := cert.Input("validityPeriodHours"), cert.Input("earlyRenewalHours"); v != float64(tc.wantValidity) || r != float64(tc.wantRenewal) {
				t.Errorf("validity %v, renewal %v", v, r)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	k, c := pulumi.String("k"), pulumi.String("c")
	roles := pulumi.StringArray{pulumi.String("arn")}
	anchor := func(args *rolesanywhere.AnchorArgs) func(*pulumi.Context) error {
		return func(ctx *pulumi.Context) error { _, err := rolesanywhere.NewAnchor(ctx, "x", args); return err }
	}
	profile := func(args *rolesanywhere.ProfileArgs) func(*pulumi.Context) error {
		return func(ctx *pulumi.Context) error { _, err := rolesanywhere.NewProfile(ctx, "x", args); return err }
	}
	leaf := func(args *rolesanywhere.LeafArgs) func(*pulumi.Context) error {
		return func(ctx *pulumi.Context) error { _, err := rolesanywhere.NewLeaf(ctx, "x", args); return err }
	}
	for name, tc := range map[string]struct {
		run  func(*pulumi.Context) error
		want string
	}{
		"anchor nil":    {anchor(nil), "args are missing"},
		"anchor name":   {anchor(&rolesanywhere.AnchorArgs{Name: "a/b"}), "name is"},
		"three CAs":     {anchor(&rolesanywhere.AnchorArgs{CAs: []keyset.Member{{Name: "1", State: keyset.Active}, {Name: "2", State: keyset.Next}, {Name: "3", State: keyset.Next}}}), "CAs: found 3 members, must be at most 2"},
		"CA twice":      {anchor(&rolesanywhere.AnchorArgs{CAs: []keyset.Member{{Name: "1", State: keyset.Active}, {Name: "1", State: keyset.Next}}}), "another name than that of [0]"},
		"CA name":       {anchor(&rolesanywhere.AnchorArgs{CAs: []keyset.Member{{Name: "A b", State: keyset.Active}}}), "CAs[0].name"},
		"CA validity":   {anchor(&rolesanywhere.AnchorArgs{CAValidityHours: -1}), "CAValidityHours"},
		"profile nil":   {profile(nil), "args are missing"},
		"no roles":      {profile(&rolesanywhere.ProfileArgs{}), "RoleArns"},
		"short session": {profile(&rolesanywhere.ProfileArgs{RoleArns: roles, DurationSeconds: 899}), "DurationSeconds"},
		"long session":  {profile(&rolesanywhere.ProfileArgs{RoleArns: roles, DurationSeconds: 43201}), "DurationSeconds"},
		"named nowhere": {profile(&rolesanywhere.ProfileArgs{RoleArns: roles, Named: &rolesanywhere.NamedArgs{Partition: "aws", Region: "eu-central-1"}}),
			"the named profile is {Partition:aws Region:eu-central-1 AccountID:}, must say"},
		"leaf nil":       {leaf(nil), "args are missing"},
		"no common name": {leaf(&rolesanywhere.LeafArgs{CAKeyPem: k, CACertPem: c}), "CommonName"},
		"long name":      {leaf(&rolesanywhere.LeafArgs{CommonName: strings.Repeat("x", 62), CAKeyPem: k, CACertPem: c}), "CommonName"},
		"slash in name":  {leaf(&rolesanywhere.LeafArgs{CommonName: "a/b", CAKeyPem: k, CACertPem: c}), "CommonName"},
		"no CA":          {leaf(&rolesanywhere.LeafArgs{CommonName: "a.b"}), "CAKeyPem"},
		"renews at once": {leaf(&rolesanywhere.LeafArgs{CommonName: "a.b", CAKeyPem: k, CACertPem: c, ValidityHours: 24, EarlyRenewalHours: 24}), "EarlyRenewalHours"},
		"negative":       {leaf(&rolesanywhere.LeafArgs{CommonName: "a.b", CAKeyPem: k, CACertPem: c, ValidityHours: -1}), "negative"},
		"only renewal":   {leaf(&rolesanywhere.LeafArgs{CommonName: "a.b", CAKeyPem: k, CACertPem: c, EarlyRenewalHours: 24}), "EarlyRenewalHours"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, tc.run)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if n := len(recorder.Resources()); n != 0 {
				t.Errorf("%d resources before the refusal", n)
			}
		})
	}
}

func TestProfileNeedsARole(t *testing.T) {
	_, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		_, err := rolesanywhere.NewProfile(ctx, "x", &rolesanywhere.ProfileArgs{RoleArns: pulumi.StringArray{}})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "0 roles") {
		t.Errorf("error %v", err)
	}
}
