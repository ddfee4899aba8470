//go:build unix

package ec2

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

// defaultTTL is the IP time to live of everything but the answer to a token request.
const defaultTTL = 64

type connKey struct{}

// ServeMetadata serves a metadata handler on a listener until it is closed. Before it answers a PUT (the token request)
// it sets the connection's IP TTL to the hop limit at that moment, as EC2 does, and restores 64 for other requests on
// the connection: so the kernel's forwarding decides how far a token travels, and nothing here looks at who asks. The
// error is that of the listener; nil where it was closed.
func ServeMetadata(l net.Listener, hopLimit func() int, h http.Handler) error {
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ttl := defaultTTL
			if r.Method == http.MethodPut {
				ttl = hopLimit()
			}
			if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
				if err := setTTL(c, ttl); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
			}
			h.ServeHTTP(w, r)
		}),
	}
	err := server.Serve(l)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// setTTL sets the IP TTL of what the connection sends from now on. Connections without a socket (tests' pipes) pass.
func setTTL(c net.Conn, ttl int) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) {
		inner = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, ttl)
	}); err != nil {
		return err
	}
	return inner
}
