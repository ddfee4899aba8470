// Package emulator runs kumo (github.com/sivchari/kumo), an AWS emulator, inside the process, or stands for another
// emulator at a URL, and forwards authorized calls to it. It keeps the bytes, listings, versions and uploads of S3's
// objects: nothing that decides about identity. Its answers name owners of its own, which their users replace.
package emulator

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/sivchari/kumo"
)

// Emulator forwards calls. Make it with New; it is safe for concurrent use.
type Emulator struct {
	target *url.URL
	client *http.Client
	close  func()
}

// kumo keeps its services in one registry of the process: servers share their state, and must not be made at once.
var starting sync.Mutex

// New returns the emulator at endpoint, or starts kumo where it is empty.
func New(endpoint string) (*Emulator, error) {
	e := &Emulator{close: func() {}, client: &http.Client{Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if endpoint == "" {
		starting.Lock()
		server := kumo.NewServer()
		starting.Unlock()
		endpoint, e.close = server.URL, server.Close
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return nil, fmt.Errorf("emulator: endpoint %q is not a URL", endpoint)
	}
	e.target = u
	return e, nil
}

// Close stops kumo where New started it.
func (e *Emulator) Close() { e.close() }

// Answer is what the emulator said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Request is one call for the emulator.
type Request struct {
	Method string
	// Path is the escaped path, Query the raw query.
	Path, Query string
	Header      http.Header
	Body        []byte
}

// Do forwards a call. An error means that the emulator did not answer.
func (e *Emulator) Do(r *http.Request, in Request) (*Answer, error) {
	u := *e.target
	u.RawQuery = in.Query
	req, err := http.NewRequestWithContext(r.Context(), in.Method, u.Scheme+"://"+u.Host+in.Path, bytes.NewReader(in.Body))
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	req.URL.RawQuery = in.Query
	for name, values := range in.Header {
		switch name {
		case "Authorization", "X-Amz-Security-Token", "Connection", "Host", "Content-Length", "Accept-Encoding", "X-Forwarded-For", "X-Forwarded-Host":
		default:
			req.Header[name] = values
		}
	}
	req.Header.Set("Accept-Encoding", "identity")
	// Emulators verify no signature, but some (moto) take an unsigned call for an anonymous one.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none")
	req.ContentLength = int64(len(in.Body))
	res, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	return &Answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// Write sends an answer on.
func (a *Answer) Write(w http.ResponseWriter) {
	for name, values := range a.Header {
		switch name {
		case "Date", "Connection", "Transfer-Encoding", "Content-Length":
		default:
			w.Header()[name] = values
		}
	}
	switch v := a.Header.Get("Content-Length"); {
	case len(a.Body) > 0:
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	case v != "" && a.Status != http.StatusNoContent:
		w.Header().Set("Content-Length", v) // of HEAD, whose body is empty, the length of what GET would send
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}
