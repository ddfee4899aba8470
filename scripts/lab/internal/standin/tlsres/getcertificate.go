package tlsres

import (
	"bufio"
	"context"
	"crypto/sha1" // #nosec G505 -- the thumbprint that IAM asks for is a SHA-1
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// dialTimeout bounds the connection and handshake with a server whose certificates are asked for.
const dialTimeout = 30 * time.Second

// getCertificate reads the certificates that a server presents, or one from text. The topmost comes first, the leaf
// last.
func getCertificate(ctx context.Context, c *call) (m, error) {
	var chain []*x509.Certificate
	if content := engine.Str(c.In, "content"); content != "" {
		block, _ := pem.Decode([]byte(content))
		if block == nil {
			return nil, fmt.Errorf("content: %w", errNoPEM)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("content: %w", err)
		}
		chain = []*x509.Certificate{cert}
	} else {
		target, err := url.Parse(engine.Str(c.In, "url"))
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		presented, err := presentedBy(ctx, target, !engine.Has(c.In, "verifyChain") || engine.Bool(c.In, "verifyChain"))
		if err != nil {
			return nil, err
		}
		chain = slices.Clone(presented)
		slices.Reverse(chain)
	}
	out := make([]any, 0, len(chain))
	all := sha1.New() // #nosec G401 -- an id
	for _, cert := range chain {
		sum := sha1.Sum(cert.Raw) // #nosec G401 -- see the import
		_, _ = all.Write(cert.Raw)
		out = append(out, m{
			"certPem":            string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})),
			"isCa":               cert.IsCA,
			"issuer":             cert.Issuer.String(),
			"subject":            cert.Subject.String(),
			"notAfter":           cert.NotAfter.Format(time.RFC3339),
			"notBefore":          cert.NotBefore.Format(time.RFC3339),
			"publicKeyAlgorithm": cert.PublicKeyAlgorithm.String(),
			"serialNumber":       cert.SerialNumber.String(),
			"sha1Fingerprint":    hex.EncodeToString(sum[:]),
			"signatureAlgorithm": cert.SignatureAlgorithm.String(),
			"version":            float64(cert.Version),
		})
	}
	return m{"id": hex.EncodeToString(all.Sum(nil)), "certificates": out}, nil
}

// presentedBy returns the certificates of a server in the order of its handshake, leaf first. It dials through the
// environment's proxy where that applies to the host.
func presentedBy(ctx context.Context, target *url.URL, verify bool) ([]*x509.Certificate, error) {
	port := target.Port()
	switch {
	case target.Scheme == "https" && port == "":
		port = "443"
	case target.Scheme == "tls" && port == "":
		return nil, fmt.Errorf("url: %s: the tls scheme needs a port", target)
	case target.Scheme != "https" && target.Scheme != "tls", target.Hostname() == "":
		return nil, fmt.Errorf("url: %q: https://HOST[:PORT] or tls://HOST:PORT is needed", target.String())
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address := net.JoinHostPort(target.Hostname(), port)
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	client := tls.Client(conn, &tls.Config{
		ServerName:         target.Hostname(),
		InsecureSkipVerify: !verify, // #nosec G402 -- the program asked for it by verifyChain: false
		MinVersion:         tls.VersionTLS12,
	})
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return client.ConnectionState().PeerCertificates, nil
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	return connect(ctx, proxy, address)
}

// connect opens a tunnel to address through an HTTP proxy.
func connect(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	if proxy.Scheme != "http" {
		return nil, fmt.Errorf("a proxy of scheme %q is not supported", proxy.Scheme)
	}
	via := proxy.Host
	if proxy.Port() == "" {
		via = net.JoinHostPort(proxy.Hostname(), "80")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", via)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", via, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	var request strings.Builder
	fmt.Fprintf(&request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", address, address)
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		token := base64.StdEncoding.EncodeToString([]byte(proxy.User.Username() + ":" + password))
		fmt.Fprintf(&request, "Proxy-Authorization: Basic %s\r\n", token)
	}
	request.WriteString("\r\n")
	if _, err := conn.Write([]byte(request.String())); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", via, err)
	}
	reader := bufio.NewReader(conn)
	//nolint:bodyclose // what follows is the tunnel, whatever the answer's headers say of a body: closing would read it
	resp, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", via, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: CONNECT %s: %s", via, address, resp.Status)
	}
	if reader.Buffered() > 0 {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: the server spoke before the handshake", via)
	}
	return conn, nil
}
