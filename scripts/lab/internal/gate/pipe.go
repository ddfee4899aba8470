package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// pipeListener accepts in-memory connections, so that the gate's own clients (fetching a JWKS) and the proxy go
// through the same TLS as everybody, without a port.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for the next connection.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and dial.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is a placeholder: nothing outside the process can dial it.
func (l *pipeListener) Addr() net.Addr { return pipeAddr("gate") }

// sourceConn is a connection that knows where it comes from.
type sourceConn struct {
	net.Conn
	source string
}

// Source labels the events of the connection.
func (c sourceConn) Source() string { return c.source }

// dial connects as the given source.
func (l *pipeListener) dial(ctx context.Context, source string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- sourceConn{server, source}:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

type sourceKey struct{}

// usedKey leads to whether a connection has had a request.
type usedKey struct{}

// firstOnConnection tells whether the request of a context is the first of its connection; it is so once.
func firstOnConnection(ctx context.Context) bool {
	used, ok := ctx.Value(usedKey{}).(*atomic.Bool)
	return ok && used.CompareAndSwap(false, true)
}

// ServeTLS accepts TLS connections on l until it is closed and answers them as AWS does. source labels the events:
// "host", "node/<name>", "pod/<namespace>/<name>"; a connection with a method Source() string labels itself. It always returns an error: net.ErrClosed after Close or l.Close.
func (g *Gate) ServeTLS(l net.Listener, source string) error {
	server := &http.Server{
		Handler:           g,
		TLSConfig:         g.TLSConfig(),
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(logWriter{g}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			ctx = context.WithValue(ctx, usedKey{}, &atomic.Bool{})
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			if labelled, ok := c.(interface{ Source() string }); ok && labelled.Source() != "" {
				return context.WithValue(ctx, sourceKey{}, labelled.Source())
			}
			return context.WithValue(ctx, sourceKey{}, source)
		},
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return net.ErrClosed
	}
	g.servers[server] = struct{}{}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.servers, server)
		g.mu.Unlock()
	}()
	err := server.ServeTLS(l, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return net.ErrClosed
	}
	return err
}

// logWriter turns the HTTP server's complaints (failed handshakes) into log lines.
type logWriter struct{ g *Gate }

// Write logs one line.
func (w logWriter) Write(b []byte) (int, error) {
	w.g.logf("%s", trimNewline(b))
	return len(b), nil
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}

// loopback returns the in-memory listener, serving since the first use.
func (g *Gate) loopback() *pipeListener {
	g.loopOnce.Do(func() {
		go func() { _ = g.ServeTLS(g.loop, "gate") }()
	})
	return g.loop
}

// Client returns an HTTP client in the lab's world: names resolve by Resolve, port 443 leads to the gate by real TLS,
// and only the web CA is trusted. It is what AWS itself uses to read an issuer's documents.
func (g *Gate) Client(timeout time.Duration) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: g.CertPool(), MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   30 * time.Second,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			res, ok := g.Resolve(host)
			if !ok || len(res.Addrs) == 0 {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			if port != "443" {
				return nil, fmt.Errorf("dial %s: only port 443 leads anywhere", address)
			}
			if !g.serves(res) {
				return nil, fmt.Errorf("dial %s: %v is not an AWS endpoint", address, res.Addrs)
			}
			return g.loopback().dial(ctx, "aws")
		},
	}
	return &http.Client{Transport: transport, Timeout: timeout}
}

// serves tells whether a resolved name leads to the gate: the edge's address does, an instance's does not.
func (g *Gate) serves(r Resolution) bool {
	for _, a := range r.Addrs {
		if a == EdgeAddr {
			return true
		}
	}
	return false
}

// Close ends all servers that ServeTLS runs.
func (g *Gate) Close() error {
	g.mu.Lock()
	g.closed = true
	servers := make([]*http.Server, 0, len(g.servers))
	for s := range g.servers {
		servers = append(servers, s)
	}
	g.mu.Unlock()
	_ = g.loop.Close()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
