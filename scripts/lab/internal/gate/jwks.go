package gate

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the form of IAM's thumbprints
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// fetchTimeout is how long AWS waits for an issuer's document.
	fetchTimeout = 5 * time.Second
	// defaultJWKSTTL is how long keys are kept. AWS does not document its own time; a token whose kid is unknown makes
	// the gate fetch again at once, so only the removal of a key is seen late.
	defaultJWKSTTL = time.Minute
	maxDocument    = 1 << 20
	maxKeys        = 100
)

// jwksCache keeps issuers' keys for a while, by the gate's clock.
type jwksCache struct {
	mu      sync.Mutex
	ttl     time.Duration
	entries map[string]jwksEntry
}

type jwksEntry struct {
	set     *jose.JSONWebKeySet
	fetched time.Time
}

func newJWKSCache() *jwksCache {
	return &jwksCache{ttl: defaultJWKSTTL, entries: map[string]jwksEntry{}}
}

// get returns an issuer's keys, fetched where they are not cached or fresh is true. cached tells where they are from.
func (j *jwksCache) get(g *Gate, provider providerView, fresh bool) (set *jose.JSONWebKeySet, cached bool, err error) {
	now := g.Now()
	j.mu.Lock()
	entry, ok := j.entries[provider.arn]
	ttl := j.ttl
	j.mu.Unlock()
	if age := now.Sub(entry.fetched); ok && !fresh && age >= 0 && age < ttl {
		return entry.set, true, nil
	}
	set, err = g.fetchKeys(provider)
	if err != nil {
		return nil, false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries[provider.arn] = jwksEntry{set, now}
	return set, false, nil
}

// FlushKeys forgets the cached keys of all issuers.
func (g *Gate) FlushKeys() {
	g.sts.keys.mu.Lock()
	defer g.sts.keys.mu.Unlock()
	g.sts.keys.entries = map[string]jwksEntry{}
}

// SetKeyTTL sets how long issuers' keys are kept; 0 fetches them for each token.
func (g *Gate) SetKeyTTL(ttl time.Duration) {
	g.sts.keys.mu.Lock()
	defer g.sts.keys.mu.Unlock()
	g.sts.keys.ttl = ttl
}

// thumbprintError: the issuer's certificate is of an untrusted CA and not of the provider's thumbprints.
type thumbprintError struct{ err error }

// Error returns the reason.
func (e *thumbprintError) Error() string { return "thumbprint: " + e.err.Error() }

// unreachableError: the issuer did not answer in time, or with a server error.
type unreachableError struct{ err error }

// Error returns the reason.
func (e *unreachableError) Error() string { return e.err.Error() }

// issuerClient trusts the web CA, or certificates with one of the given thumbprints in their chain. A redirect is not
// followed.
func (g *Gate) issuerClient(thumbprints []string) *http.Client {
	client := g.Client(fetchTimeout)
	transport := client.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	pool := g.CertPool()
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, with thumbprints as the second chance
		VerifyConnection: func(state tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				intermediates.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: state.ServerName, Roots: pool, Intermediates: intermediates})
			var unknown x509.UnknownAuthorityError
			if err == nil || !errors.As(err, &unknown) {
				return err
			}
			if !slices.ContainsFunc(state.PeerCertificates, func(c *x509.Certificate) bool { return slices.Contains(thumbprints, thumbprintOf(c)) }) {
				return &thumbprintError{err}
			}
			return state.PeerCertificates[0].VerifyHostname(state.ServerName)
		},
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

func thumbprintOf(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // the form of IAM's thumbprints
	return hex.EncodeToString(sum[:])
}

// fetchThumbprint connects to an issuer and returns the thumbprint of the topmost certificate that it shows.
func (g *Gate) fetchThumbprint(issuer string) (string, error) {
	host, _, _ := strings.Cut(issuer, "/")
	top := ""
	client := g.issuerClient(nil)
	client.Transport.(*http.Transport).TLSClientConfig.VerifyConnection = func(state tls.ConnectionState) error {
		top = thumbprintOf(state.PeerCertificates[len(state.PeerCertificates)-1])
		return nil
	}
	resp, err := client.Get("https://" + host + "/")
	if err != nil {
		return "", err
	}
	return top, resp.Body.Close()
}

// fetchKeys reads the discovery document of an issuer and the keys that it points to.
func (g *Gate) fetchKeys(provider providerView) (*jose.JSONWebKeySet, error) {
	client := g.issuerClient(provider.thumbprints)
	issuer := "https://" + provider.url
	var discovery struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := fetchJSON(client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &discovery); err != nil {
		return nil, err
	}
	if discovery.Issuer != issuer {
		return nil, fmt.Errorf("the discovery document's issuer is %q, not %q", discovery.Issuer, issuer)
	}
	if !strings.HasPrefix(discovery.JWKS, "https://") {
		return nil, fmt.Errorf("jwks_uri %q is not an https URL", discovery.JWKS)
	}
	var set jose.JSONWebKeySet
	if err := fetchJSON(client, discovery.JWKS, &set); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, k := range set.Keys {
		switch k.Key.(type) {
		case *rsa.PublicKey:
			counts["RSA"]++
		case *ecdsa.PublicKey:
			counts["EC"]++
		}
	}
	if counts["RSA"]+counts["EC"] == 0 {
		return nil, fmt.Errorf("%s has no RSA or EC key", discovery.JWKS)
	}
	if counts["RSA"] > maxKeys || counts["EC"] > maxKeys {
		return nil, fmt.Errorf("%s has more than %d keys of one type", discovery.JWKS, maxKeys)
	}
	return &set, nil
}

func fetchJSON(client *http.Client, url string, into any) error {
	resp, err := client.Get(url)
	if err != nil {
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() {
			return &unreachableError{err}
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return &unreachableError{err}
	}
	if resp.StatusCode >= 500 {
		return &unreachableError{fmt.Errorf("GET %s: %s", url, resp.Status)}
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}

// fits tells whether a key is of the type that an algorithm needs.
func fits(k jose.JSONWebKey, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS")
	case *ecdsa.PublicKey:
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[algorithm] == key.Curve.Params().BitSize
	}
	return false
}
