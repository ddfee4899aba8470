package oidcissuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// stsTimeout is how long AWS waits for either document; one that is slower
	// is as good as none.
	stsTimeout = 5 * time.Second
	// maxDocumentBytes bounds what the probe reads. A full JWKS of 200 keys is
	// far below.
	maxDocumentBytes = 1 << 20
	firstPause       = time.Second
	longestPause     = 15 * time.Second
)

// probe fetches the two documents of an issuer as AWS STS does: anonymously,
// over TLS verified against the system's roots, without following redirects.
// The proxy of the environment is honoured.
type probe struct {
	issuer string
	// keyIDs must all be in the JWKS.
	keyIDs []string
	// deadline ends the wait for documents that are not there yet.
	deadline time.Duration
	// causes are the likely causes of a refusal (HTTP 403) by this way of
	// publishing, most likely first.
	causes []string
	// progress is told, now and then, what the wait is for. May be nil.
	progress func(message string)

	client *http.Client // nil: newClient
	pause  time.Duration
}

// newClient makes the client of a probe that has none; tests put another in its
// place.
var newClient = newProbeClient

// newProbeClient returns a client with a fresh connection for each request, so
// that each attempt sees the DNS and the certificate of its own time.
func newProbeClient() *http.Client {
	return &http.Client{
		Timeout: stsTimeout,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   stsTimeout,
			ResponseHeaderTimeout: stsTimeout,
			DisableKeepAlives:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// wait returns nil once both documents answer with the right content, or an
// error that names the URL, what it answered last and why that may be, when the
// deadline or the context ends.
func (p probe) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.deadline)
	defer cancel()
	if p.client == nil {
		p.client = newClient()
	}
	pause := p.pause
	if pause == 0 {
		pause = firstPause
	}
	start := time.Now()
	reported := start
	var last error
	for {
		err := p.once(ctx)
		if err == nil {
			return nil
		}
		// The end of the wait cuts a request short: what the one before it
		// answered says more.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if p.progress != nil && ctx.Err() == nil && time.Since(reported) >= longestPause {
			reported = time.Now()
			p.progress(fmt.Sprintf("still waiting for %s (%s of %s): %v", p.issuer, time.Since(start).Round(time.Second), p.deadline, last))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("OIDC issuer %s does not answer anonymously after %s: %w%s",
				p.issuer, time.Since(start).Round(time.Second), last, p.hint(last))
		case <-time.After(pause):
		}
		pause = min(pause*3/2, longestPause)
	}
}

// once fetches and checks both documents.
func (p probe) once(ctx context.Context) error {
	var discovery discoveryDocument
	url := p.issuer + "/" + DiscoveryPath
	if err := p.fetch(ctx, url, &discovery); err != nil {
		return err
	}
	if discovery.Issuer != p.issuer {
		return &contentError{url, fmt.Sprintf("names issuer %q instead of %q", discovery.Issuer, p.issuer)}
	}
	jwksURL := p.issuer + "/" + JWKSPath
	if discovery.JWKSURI != jwksURL {
		return &contentError{url, fmt.Sprintf("names jwks_uri %q instead of %q", discovery.JWKSURI, jwksURL)}
	}
	var set keySet
	if err := p.fetch(ctx, jwksURL, &set); err != nil {
		return err
	}
	var missing []string
	for _, id := range p.keyIDs {
		if !slices.ContainsFunc(set.Keys, func(key jsonWebKey) bool { return key.Kid == id }) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return &contentError{jwksURL, "does not have the key " + strings.Join(missing, ", ")}
	}
	return nil
}

func (p probe) fetch(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("request %s: %w", url, err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return err // a *url.Error, which names the method and the URL
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocumentBytes))
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return &statusError{url, response.Status, response.StatusCode}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &contentError{url, fmt.Sprintf("is no JSON document of its kind (%v)", err)}
	}
	return nil
}

// statusError is an answer that is not 200, contentError one with the wrong
// content.
type statusError struct {
	url, status string
	code        int
}

func (e *statusError) Error() string { return fmt.Sprintf("GET %s answered %s", e.url, e.status) }

type contentError struct{ url, what string }

func (e *contentError) Error() string { return fmt.Sprintf("GET %s %s", e.url, e.what) }

// hint says what usually causes the error, or nothing.
func (p probe) hint(err error) string {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		status    *statusError
		content   *contentError
	)
	var causes []string
	switch {
	case errors.As(err, &dns):
		causes = []string{
			"the DNS record is not there yet",
			"a resolver remembers that it was not there (up to the zone's SOA minimum, often 15 minutes)",
			"the domain's name servers are not those of the hosted zone",
		}
	case errors.As(err, &hostname):
		causes = []string{
			"the certificate does not cover the domain: the DNS record points at another server",
			"the distribution does not have the domain as an alias",
		}
	case errors.As(err, &authority), errors.As(err, &invalid):
		causes = []string{
			"a proxy on the way presents its own certificate, which AWS would not see",
			"the certificate is not yet or no longer valid, or this machine lacks the root certificates",
		}
	case errors.As(err, &status) && status.code == http.StatusForbidden:
		causes = p.causes
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		causes = []string{"the object is missing: something outside this stack deleted it, or the name belongs to another bucket"}
	case errors.As(err, &content):
		causes = []string{
			"a cache still serves the documents of before a change; it forgets them after their Cache-Control max-age",
			"something outside this stack writes to the bucket",
			"the domain points at another server",
		}
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		causes = []string{
			"the server does not answer within 5 s, which is as long as AWS waits",
			"this machine has no way out to it (HTTPS_PROXY is honoured)",
		}
	}
	if len(causes) == 0 {
		return ""
	}
	return "; likely causes: " + strings.Join(causes, "; ")
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
