package gate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// amazon are the domains below which everything is AWS's: what of them the gate does not answer must not lead to the
// real ones, with the lab's credentials.
var amazon = []string{"amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws", "on.aws", "cloudfront.net", "awsapps.com", "aws.amazon.com"}

func isAmazons(host string) bool {
	return slices.ContainsFunc(amazon, func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) })
}

// Proxy returns an HTTP CONNECT proxy for the host's clients: port 443 of a name that leads to the gate in the gate's
// DNS view goes to the gate's TLS. Names of AWS that the gate does not know answer 502, and names of this machine 403.
// Whatever else there is goes past the lab, by the way that past takes: a shell with `lab env` also fetches Go modules
// and plugins.
func (g *Gate) Proxy(past func(ctx context.Context, address string) (net.Conn, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "the lab's proxy knows CONNECT only", http.StatusForbidden)
			return
		}
		host, port, err := net.SplitHostPort(r.Host)
		if err != nil {
			http.Error(w, "CONNECT needs a host and a port", http.StatusBadRequest)
			return
		}
		name := canonicalName(host)
		resolution, known := g.Resolve(host)
		literal := net.ParseIP(name) != nil
		var upstream net.Conn
		switch {
		case isLoopbackName(name) || literal && net.ParseIP(name).IsLoopback():
			http.Error(w, "a host of this machine: "+host, http.StatusForbidden)
			return
		case known && !literal && len(resolution.Addrs) > 0 && g.serves(resolution) && port == "443":
			upstream, err = g.loopback().dial(r.Context(), "host")
		case known && !literal || isAmazons(name):
			http.Error(w, "no such host in the lab's AWS: "+host, http.StatusBadGateway)
			return
		default:
			upstream, err = past(r.Context(), r.Host)
		}
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

// Past reaches an address as this process's environment says: through the HTTP proxy that it names, or directly.
func Past(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+address, nil) //nolint:gosec // a proxy goes where it is asked to
	if err != nil {
		return nil, err
	}
	proxy, err := http.ProxyFromEnvironment(request)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if proxy.Scheme != "http" {
		return nil, fmt.Errorf("a proxy by %s is not known to the lab", proxy.Scheme)
	}
	through, err := (&net.Dialer{}).DialContext(ctx, "tcp", proxy.Host)
	if err != nil {
		return nil, err
	}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
		request.Header.Set("Proxy-Authorization", request.Header.Get("Authorization"))
		request.Header.Del("Authorization")
	}
	request.URL.Opaque = address
	answer, err := ask(through, request) //nolint:bodyclose // what follows the answer is the tunnel
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: the proxy %s answers %s", address, proxy.Host, answer.Status)
	}
	if err != nil {
		_ = through.Close()
		return nil, err
	}
	return through, nil
}

func ask(conn net.Conn, request *http.Request) (*http.Response, error) {
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	// A proxy sends nothing behind its answer before it is spoken to.
	return http.ReadResponse(bufio.NewReader(conn), request)
}
