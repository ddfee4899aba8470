package oidcissuer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/oidcissuer"
)

// Key ids computed by: openssl pkey -pubin -outform DER | openssl dgst -sha256
// -binary | basenc --base64url, without the padding.
const (
	kidRSA1 = "n97SwxxZlt_PTrmmQ_mxkkZDYOaQ5CX_-FHmZPBxjTc"
	kidRSA2 = "uDroRKJ4gpcWGTNGYZOFKxSnbGRzQW3oMlb2zxYWFQI"
	kidEC   = "JOuvMua92k7mRwNNinvQjgHBrGMRJA0VXFWlYyvX0Dw"
)

func key(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".pub"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDiscovery(t *testing.T) {
	document, err := oidcissuer.Discovery("https://lab-issuer.s3.eu-central-1.amazonaws.com")
	if err != nil {
		t.Fatal(err)
	}
	pulumitest.Golden(t, "discovery.json", string(document))
}

func TestJWKS(t *testing.T) {
	document, err := oidcissuer.JWKS([]string{key(t, "rsa1"), key(t, "rsa2"), key(t, "ec256")})
	if err != nil {
		t.Fatal(err)
	}
	pulumitest.Golden(t, "jwks.json", string(document))
}

func TestKeyIDsAreThoseOfKubernetes(t *testing.T) {
	ids, err := oidcissuer.KeyIDs([]string{key(t, "rsa1"), key(t, "rsa2"), key(t, "ec256")})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{kidRSA1, kidRSA2, kidEC}; !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
}

func TestAlgorithms(t *testing.T) {
	algorithms, err := oidcissuer.Algorithms([]string{key(t, "rsa1"), key(t, "ec256"), key(t, "rsa2")})
	if err != nil || !slices.Equal(algorithms, []string{"RS256", "ES256"}) {
		t.Errorf("%v, %v", algorithms, err)
	}
}

func TestKeysOfOneFileAndRepeatedKeys(t *testing.T) {
	// service.key may hold several keys, and a rotation may list one twice.
	ids, err := oidcissuer.KeyIDs([]string{key(t, "rsa1") + "\n" + key(t, "rsa2"), key(t, "rsa1")})
	if err != nil || !slices.Equal(ids, []string{kidRSA1, kidRSA2}) {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestJWKSRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private := pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small))
	good := key(t, "rsa1")
	for name, tc := range map[string]struct {
		keys []string
		want error
		text string
	}{
		"none":             {nil, oidcissuer.ErrNoKeys, ""},
		"empty":            {[]string{good, " \n"}, nil, "public key 1 is empty"},
		"private":          {[]string{good, private}, oidcissuer.ErrPrivateKey, ""},
		"private after":    {[]string{good + private}, oidcissuer.ErrPrivateKey, ""},
		"small":            {[]string{pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&small.PublicKey))}, nil, "1024 bits"},
		"text":             {[]string{"not a key"}, nil, "text outside"},
		"text after":       {[]string{good + "rest"}, nil, "text outside"},
		"certificate":      {[]string{pemBlock("CERTIFICATE", []byte{1})}, nil, "is not a public key"},
		"broken DER":       {[]string{pemBlock("PUBLIC KEY", []byte{1, 2, 3})}, nil, "public key 0"},
		"damaged first":    {[]string{strings.Replace(good, "-----END PUBLIC", "-----EN PUBLIC", 1) + key(t, "rsa2")}, nil, "damaged"},
		"damaged and last": {[]string{good[:len(good)/2]}, nil, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := oidcissuer.JWKS(tc.keys)
			if err == nil {
				t.Fatalf("accepted: %s", out)
			}
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want one with %q", err, tc.text)
			}
		})
	}
}

func pemBlock(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestIssuerURLFromBucket(t *testing.T) {
	if got := oidcissuer.IssuerURLFromBucket("lab", "eu-central-1", ""); got != "https://lab.s3.eu-central-1.amazonaws.com" {
		t.Error(got)
	}
	if got := oidcissuer.IssuerURLFromBucket("lab", "cn-north-1", "amazonaws.com.cn"); got != "https://lab.s3.cn-north-1.amazonaws.com.cn" {
		t.Error(got)
	}
}

func TestValidateIssuerURL(t *testing.T) {
	for _, good := range []string{"https://oidc.example.com", "https://oidc.example.com/clusters/a", "https://oidc.example.com/", "https://oidc.example.com/a/"} {
		if err := oidcissuer.ValidateIssuerURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "oidc.example.com", "http://oidc.example.com", "https://", "https://oidc.example.com//", "https://oidc.example.com:443",
		"https://oidc.example.com:", "https://oidc.example.com?x=1", "https://oidc.example.com?", "https://oidc.example.com#a",
		"https://user@oidc.example.com", "https://OIDC.example.com", "https://oidc.example.com/a//", "https://" + strings.Repeat("a", 250) + ".com",
	} {
		if err := oidcissuer.ValidateIssuerURL(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestValidateBucketName(t *testing.T) {
	for _, good := range []string{"abc", "lab-issuer-111122223333-eu-central-1", strings.Repeat("a", 63)} {
		if err := oidcissuer.ValidateBucketName(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "ab", "a.b.c", "Lab", "-lab", "lab-", "la_b", strings.Repeat("a", 64), "xn--lab", "lab-s3alias", "lab--x-s3"} {
		if err := oidcissuer.ValidateBucketName(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestValidateDomain(t *testing.T) {
	for _, good := range []string{"oidc.example.com", "a.io", "oidc.xn--p1ai"} {
		if err := oidcissuer.ValidateDomain(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "example", "oidc.example.com.", "https://oidc.example.com", "OIDC.example.com", "-a.example.com", "a.example.com/x", "*.example.com", "127.0.0.1",
		strings.Repeat("a", 60) + ".example.com"} {
		if err := oidcissuer.ValidateDomain(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// FuzzJWKS holds that whatever is given as keys is either refused or becomes a
// key set in which every key is complete, has its own id and is public.
func FuzzJWKS(f *testing.F) {
	f.Add(key(f, "rsa1"), key(f, "ec256"))
	f.Add(key(f, "rsa1")+key(f, "rsa2"), "")
	f.Add("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		document, err := oidcissuer.JWKS([]string{a, b})
		ids, idErr := oidcissuer.KeyIDs([]string{a, b})
		if (err == nil) != (idErr == nil) {
			t.Fatalf("JWKS says %v, KeyIDs says %v", err, idErr)
		}
		if err != nil {
			return
		}
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal(document, &set); err != nil {
			t.Fatal(err)
		}
		if len(set.Keys) == 0 || len(set.Keys) != len(ids) {
			t.Fatalf("%d keys, %d ids", len(set.Keys), len(ids))
		}
		seen := map[string]bool{}
		for i, k := range set.Keys {
			if k["kid"] != ids[i] || seen[k["kid"]] || k["use"] != "sig" || k["alg"] == "" {
				t.Fatalf("key %v", k)
			}
			seen[k["kid"]] = true
			for member := range k {
				if slices.Contains([]string{"d", "p", "q", "dp", "dq", "qi", "k"}, member) {
					t.Fatalf("private member %q", member)
				}
			}
			if k["kty"] == "RSA" && (k["n"] == "" || k["e"] == "") || k["kty"] == "EC" && (k["x"] == "" || k["y"] == "") {
				t.Fatalf("incomplete key %v", k)
			}
		}
	})
}
