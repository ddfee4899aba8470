package chain

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k3s-aws-auth/scripts/internal/kube"
)

// Access is how a cluster, its account and the world are reached.
type Access struct {
	Cluster *kube.Cluster
	AWS     aws.Config
	// Web fetches what the world sees, without credentials.
	Web *http.Client
	// NoSecrets leaves Secrets unread, NoToken asks for no token. Sessions asks for sessions of all identities.
	NoSecrets, NoToken, Sessions bool
}

// Collect looks at everything and changes nothing: it lists, gets, and asks for one token that nobody takes. What cannot
// be looked at is in Unseen.
func Collect(ctx context.Context, a Access, stack *Stack) *Facts {
	f := &Facts{Format: Format, Taken: time.Now().UTC().Truncate(time.Second), Stack: stack}
	c := &collector{Access: a, facts: f}
	c.cluster(ctx)
	c.parallel(func() { c.account(ctx) }, func() { c.issuers(ctx) })
	if a.Sessions {
		c.sessions(ctx)
	}
	slices.SortFunc(f.Unseen, func(a, b Unseen) int { return strings.Compare(a.What, b.What) })
	return f
}

type collector struct {
	Access
	facts *Facts
	mu    sync.Mutex
}

func (c *collector) parallel(all ...func()) {
	var group sync.WaitGroup
	for _, do := range all {
		group.Go(do)
	}
	group.Wait()
}

// miss notes that a part could not be looked at.
func (c *collector) miss(what string, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts.Unseen = append(c.facts.Unseen, Unseen{What: what, Why: plain(err)})
}

// decline notes that a flag leaves a part out.
func (c *collector) decline(what, flag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts.Unseen = append(c.facts.Unseen, Unseen{What: what, Why: flag, Declined: true})
}

// plain is an error without the ids of its request, which differ each time.
func plain(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// keySet reads a JWKS. A key's sum is over the members that make it (RFC 7638), in their own order here.
func keySet(body []byte) ([]Key, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("it is no JSON")
	}
	if set.Keys == nil {
		return nil, errors.New("it has no list keys")
	}
	var out []Key
	for _, k := range set.Keys {
		text := func(name string) string { s, _ := k[name].(string); return s }
		key := Key{ID: text("kid"), Alg: text("alg")}
		switch text("kty") {
		case "RSA":
			key.Sum = digest("RSA", text("n"), text("e"))
		case "EC":
			key.Sum = digest("EC", text("crv"), text("x"), text("y"))
		default:
			continue // STS takes no other (IAM's quotas: RSA and EC keys)
		}
		out = append(out, key)
	}
	return out, nil
}

// issuers looks at the documents of the cluster's issuer, and of the stack's.
func (c *collector) issuers(ctx context.Context) {
	var urls []string
	add := func(u string) {
		if strings.HasPrefix(u, "https://") && !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	if !slices.ContainsFunc(Identities(c.facts), func(i Identity) bool { return i.Presents == presentsToken }) {
		return
	}
	add(c.facts.Cluster.Issuer)
	if t := c.facts.Cluster.Token; t != nil {
		add(t.Issuer)
	}
	if s := c.facts.Stack; s != nil {
		add(s.Issuer)
	}
	found := make([]Issuer, len(urls))
	var all []func()
	for i, u := range urls {
		all = append(all, func() { found[i] = c.issuer(ctx, u) })
	}
	c.parallel(all...)
	c.facts.Issuers = found
}

func (c *collector) issuer(ctx context.Context, issuer string) Issuer {
	out := Issuer{URL: issuer}
	body, discovery := c.fetch(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if discovery.Status == http.StatusOK {
		var d struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		switch err := json.Unmarshal(body, &d); {
		case err != nil:
			discovery.Malformed = "it is no JSON"
		case d.JWKS == "":
			discovery.Malformed = "it has no jwks_uri"
		}
		out.Issuer, out.JWKSURI = d.Issuer, d.JWKS
	}
	out.Discovery = discovery
	if out.JWKSURI == "" {
		return out
	}
	body, out.JWKS = c.fetch(ctx, out.JWKSURI)
	if out.JWKS.Status == http.StatusOK {
		var err error
		if out.Keys, err = keySet(body); err != nil {
			out.JWKS.Malformed = err.Error()
		}
	}
	return out
}

// fetch gets a document as anybody may.
func (c *collector) fetch(ctx context.Context, address string) ([]byte, Document) {
	d := Document{URL: address}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		d.Error = err.Error()
		return nil, d
	}
	began := time.Now()
	resp, err := c.Web.Do(req)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		d.Untrusted = errors.As(err, &untrusted)
		d.Error = err.Error()
		return nil, d
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readAll(resp)
	if err != nil {
		d.Error = err.Error()
		return nil, d
	}
	d.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	d.Status, d.Type, d.Server, d.MaxAge = resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Server"), maxAge(resp.Header.Get("Cache-Control"))
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		leaf := resp.TLS.PeerCertificates[0]
		d.TLS = &Validity{leaf.NotBefore, leaf.NotAfter}
	}
	return body, d
}

// maxAge is how long caches may keep an answer; nil where it does not say.
func maxAge(header string) *int {
	for part := range strings.SplitSeq(header, ",") {
		var n int
		if _, err := fmt.Sscanf(strings.TrimSpace(part), "max-age=%d", &n); err == nil {
			return &n
		}
	}
	return nil
}
