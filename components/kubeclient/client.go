// Package kubeclient asks Kubernetes API servers, by a kubeconfig. It has the
// little that components need, without client-go and what that brings along.
package kubeclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Limits of a request.
const (
	deadline    = 30 * time.Second
	maxDocument = 16 << 20 // a namespace may have thousands of ServiceAccounts
)

// Client asks the API server of one cluster.
type Client struct {
	// Endpoint is the API server's URL.
	Endpoint string

	headers http.Header // who asks
	http    *http.Client
	kept    bool
}

// Request is what an API server is asked.
type Request struct {
	// Method is GET where it is empty.
	Method string
	// Path is that below the endpoint, with its query.
	Path string
	// Accept are the answer's media types; empty means JSON, the key set's too.
	Accept string
	// Body is JSON, or nil.
	Body io.Reader
}

// Answer is what an API server says.
type Answer struct {
	// Status is an HTTP status, such as 200.
	Status int
	Body   []byte
	// Date is the header of that name: the server's own time, since this machine's
	// clock may be another.
	Date string
}

// String is the answer in one line: its status, and the beginning of its body.
func (a Answer) String() string {
	text := fmt.Sprintf("%d %s %s", a.Status, http.StatusText(a.Status), a.Body[:min(len(a.Body), 512)])
	return strings.Join(strings.Fields(text), " ")
}

// Keep returns a client that keeps its connections, and with them the one of
// several servers that answers, and a function that closes them. Others use a
// connection a request: behind a load balancer any server may answer each.
func (c *Client) Keep() (*Client, func()) {
	kept := *c
	kept.kept = true
	return &kept, c.http.CloseIdleConnections
}

// Do asks the API server. It fails where there is no answer; what an answer means
// is up to the caller.
func (c *Client) Do(ctx context.Context, ask Request) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, ask.Method, c.Endpoint+ask.Path, ask.Body)
	if err != nil {
		return Answer{}, err
	}
	// The API server answers 406 where the type of a document is not asked for: it
	// has one for the discovery document and another for the JWKS
	// (k8s.io/kubernetes/pkg/routes/openidmetadata.go).
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	if ask.Accept != "" {
		request.Header.Set("Accept", ask.Accept)
	}
	request.Close = !c.kept
	if ask.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.headers {
		request.Header[name] = values
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", ask.Path, err)
	}
	return Answer{Status: response.StatusCode, Body: body, Date: response.Header.Get("Date")}, nil
}
