package gate

import (
	"io"
	"net"
	"net/http"
	"time"
)

// Proxy returns an HTTP CONNECT proxy for the host's clients: port 443 of a name that leads to the gate in the gate's
// DNS view goes to the gate's TLS. A name that does not resolve answers 502, everything else 403.
func (g *Gate) Proxy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "the lab's proxy knows CONNECT only", http.StatusForbidden)
			return
		}
		host, port, err := net.SplitHostPort(r.Host)
		if err != nil || port != "443" {
			http.Error(w, "the lab's proxy leads to port 443 only", http.StatusForbidden)
			return
		}
		resolution, ok := g.Resolve(host)
		if !ok || len(resolution.Addrs) == 0 {
			http.Error(w, "no such host in the lab: "+host, http.StatusBadGateway)
			return
		}
		if isLoopbackName(canonicalName(host)) || !g.serves(resolution) {
			http.Error(w, "not a host of the lab's AWS: "+host, http.StatusForbidden)
			return
		}
		upstream, err := g.loopback().dial(r.Context(), "host")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = upstream.Close() }()
		client, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer func() { _ = client.Close() }()
		_ = client.SetDeadline(time.Time{})
		if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return
		}
		done := make(chan struct{}, 2)
		go func() {
			_, _ = io.Copy(upstream, buffered)
			done <- struct{}{}
		}()
		go func() {
			_, _ = io.Copy(client, upstream)
			done <- struct{}{}
		}()
		<-done
	})
}
