package impact

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	pemfile "encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// TestRevocations: to revoke more is harmless, and to revoke less is said.
func TestRevocations(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	list := func(enabled bool, serials ...int64) *preview.Resource {
		template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Unix(0, 0), NextUpdate: time.Unix(1<<31, 0)}
		for _, n := range serials {
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Unix(0, 0)})
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, &x509.Certificate{SubjectKeyId: []byte{1}, KeyUsage: x509.KeyUsageCRLSign}, key)
		if err != nil {
			t.Fatal(err)
		}
		state, err := json.Marshal(map[string]any{"CrlData": string(pemfile.EncodeToMemory(&pemfile.Block{Type: "X509 CRL", Bytes: der})), "Enabled": enabled, "Name": "crl", "TrustAnchorArn": "a"})
		if err != nil {
			t.Fatal(err)
		}
		return res(typeCloudControl, "crl", props{"typeName": "AWS::RolesAnywhere::CRL", "desiredState": string(state)})
	}
	unread := res(typeCloudControl, "crl", props{"typeName": "AWS::RolesAnywhere::CRL", "desiredState": preview.Unknown})
	elsewhere := list(true, 1)
	elsewhere.Inputs["desiredState"] = strings.Replace(textOf(elsewhere.Inputs["desiredState"]), `"TrustAnchorArn":"a"`, `"TrustAnchorArn":"b"`, 1)
	for _, c := range []struct {
		what   string
		change *preview.Change
		want   string
	}{
		{"a first list", created(list(true, 1)), ""},
		{"one more", updated(list(true, 1), list(true, 1, 2)), ""},
		{"nothing", same(list(true, 1)), ""},
		{"one less", updated(list(true, 1, 2), list(true, 2)), "certificate-unrevoked"},
		{"another one", updated(list(true, 1), list(true, 2)), "certificate-unrevoked"},
		{"switched off", updated(list(true, 1), list(false, 1)), "certificate-unrevoked"},
		{"no list", deleted(list(true, 1)), "certificate-unrevoked"},
		{"for another trust anchor", updated(list(true, 1), elsewhere), "certificate-unrevoked"},
		{"what is not known yet", updated(list(true, 1), unread), "unclear"},
	} {
		r := judge(c.change)
		if got := append(ids(r, Danger), ids(r, Warning)...); c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
