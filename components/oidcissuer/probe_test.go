package oidcissuer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const testIssuer = "https://example.com"

// site is an issuer on a local TLS server: one handler per document.
type site struct {
	discovery, jwks http.HandlerFunc
	requests        atomic.Int32
}

func serve(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// client returns a client for which every host is the site, with TLS verified
// for example.com, the name in httptest's certificate.
func (s *site) client(t *testing.T) *http.Client {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		switch r.URL.Path {
		case "/" + DiscoveryPath:
			s.discovery(w, r)
		case "/" + JWKSPath:
			s.jwks(w, r)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(server.Close)
	client := newProbeClient()
	transport := client.Transport.(*http.Transport)
	transport.Proxy = nil
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	transport.TLSClientConfig.MinVersion = tls.VersionTLS12
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, server.Listener.Addr().String())
	}
	return client
}

func goodSite(t *testing.T) (*site, []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/rsa1.pub")
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{string(text)}
	discovery, err := Discovery(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := JWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := KeyIDs(keys)
	if err != nil {
		t.Fatal(err)
	}
	return &site{discovery: serve(string(discovery)), jwks: serve(string(jwks))}, ids
}

func TestProbeFindsTheDocuments(t *testing.T) {
	s, ids := goodSite(t)
	p := probe{issuer: testIssuer, keyIDs: ids, deadline: 10 * time.Second, client: s.client(t)}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.requests.Load(); n != 2 {
		t.Errorf("%d requests, want one for each document", n)
	}
}

func TestProbeWaitsUntilTheKeyIsPublished(t *testing.T) {
	s, ids := goodSite(t)
	good, calls := s.jwks, 0
	s.jwks = func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			_, _ = fmt.Fprint(w, `{"keys":[{"kid":"old"}]}`)
			return
		}
		good(w, r)
	}
	p := probe{issuer: testIssuer, keyIDs: ids, deadline: 10 * time.Second, client: s.client(t), pause: time.Millisecond}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if calls != 3 {
		t.Errorf("%d tries, want 3", calls)
	}
}

func TestProbeErrorsNameURLAndCause(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*site, *probe)
		want   []string
	}{
		"forbidden": {func(s *site, p *probe) { s.discovery = status(403); p.causes = []string{"the account's block"} },
			[]string{"GET https://example.com/.well-known/openid-configuration answered 403 Forbidden", "likely causes: the account's block"}},
		"missing": {func(s *site, _ *probe) { s.jwks = status(404) },
			[]string{"/openid/v1/jwks answered 404", "missing"}},
		"redirect": {func(s *site, _ *probe) {
			s.discovery = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, testIssuer+"/"+JWKSPath, http.StatusFound)
			}
		}, []string{"answered 302"}},
		"other issuer": {func(s *site, _ *probe) {
			s.discovery = serve(`{"issuer":"https://example.com/","jwks_uri":"https://example.com/openid/v1/jwks"}`)
		}, []string{`names issuer "https://example.com/" instead of "https://example.com"`, "cache"}},
		"other jwks": {func(s *site, _ *probe) {
			s.discovery = serve(`{"issuer":"https://example.com","jwks_uri":"https://example.com/keys.json"}`)
		}, []string{`names jwks_uri "https://example.com/keys.json"`}},
		"no key":   {func(s *site, _ *probe) { s.jwks = serve(`{"keys":[]}`) }, []string{"does not have the key n97SwxxZlt_PTrmmQ_mxkkZDYOaQ5CX_-FHmZPBxjTc"}},
		"not JSON": {func(s *site, _ *probe) { s.jwks = serve(`<html>`) }, []string{"is no JSON document of its kind"}},
		"slow": {func(s *site, p *probe) {
			p.client.Timeout = 20 * time.Millisecond
			s.discovery = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, []string{"openid-configuration", "does not answer within 5 s"}},
		"name unknown": {func(_ *site, p *probe) {
			p.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "example.com", IsNotFound: true}
			}
		}, []string{"no such host", "the DNS record is not there yet"}},
		"certificate of another name": {func(_ *site, p *probe) { p.issuer = "https://other.invalid" },
			[]string{"other.invalid", "the certificate does not cover the domain"}},
		"certificate of an unknown CA": {func(_ *site, p *probe) {
			p.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = nil
		}, []string{"certificate", "a proxy on the way"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, ids := goodSite(t)
			p := probe{issuer: testIssuer, keyIDs: ids, client: s.client(t)}
			tc.change(s, &p)
			err := p.once(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			message := err.Error() + p.hint(err)
			for _, want := range tc.want {
				if !strings.Contains(message, want) {
					t.Errorf("%q is not in: %s", want, message)
				}
			}
		})
	}
}

// The end of the wait shows the last answer and its causes, not the deadline.
func TestProbeStopsWithTheContext(t *testing.T) {
	s, ids := goodSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	s.discovery = func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 2 {
			cancel()
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}
	p := probe{issuer: testIssuer, keyIDs: ids, deadline: time.Hour, client: s.client(t), pause: time.Millisecond, causes: []string{"the block"}}
	err := p.wait(ctx)
	var answer *statusError
	if !errors.As(err, &answer) || answer.code != http.StatusForbidden {
		t.Fatalf("error %v, want the last answer", err)
	}
	for _, want := range []string{"OIDC issuer https://example.com does not answer anonymously after", "403 Forbidden", "likely causes: the block"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestProbeEndsAtItsDeadline(t *testing.T) {
	s, ids := goodSite(t)
	s.discovery = status(http.StatusForbidden)
	p := probe{issuer: testIssuer, keyIDs: ids, deadline: 10 * time.Millisecond, client: s.client(t), pause: time.Millisecond}
	if err := p.wait(t.Context()); err == nil {
		t.Error("no error")
	}
}
