package gate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// webCA signs for the host names of the emulated AWS, as Amazon Trust Services does for the real ones. Its validity is
// by the wall clock, not the gate's: shifting the gate's clock must not break TLS.
type webCA struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte

	mu     sync.Mutex
	minted map[string]*tls.Certificate
}

const webCAFile = "web-ca.pem"

// openWebCA reads the CA from dir or makes one there; an empty dir keeps it in memory.
func openWebCA(dir string) (*webCA, error) {
	if dir != "" {
		b, err := os.ReadFile(filepath.Join(dir, webCAFile))
		if err == nil {
			return parseWebCA(b)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := randomSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "k3s-aws-auth lab web CA", Organization: []string{"k3s-aws-auth lab"}},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, webCAFile), b, 0o600); err != nil {
			return nil, err
		}
	}
	return parseWebCA(b)
}

func parseWebCA(b []byte) (*webCA, error) {
	pair, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is %T, not ECDSA", pair.PrivateKey)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	return &webCA{cert: cert, key: key, minted: map[string]*tls.Certificate{},
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}, nil
}

func randomSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// certificate mints (once) a certificate for a host name or an IP address, valid for 90 days.
func (ca *webCA) certificate(name string) (*tls.Certificate, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if c, ok := ca.minted[name]; ok && time.Until(c.Leaf.NotAfter) > 24*time.Hour {
		return c, nil
	}
	cert, err := ca.mint(name)
	if err != nil {
		return nil, err
	}
	if len(ca.minted) > 10000 {
		ca.minted = map[string]*tls.Certificate{}
	}
	ca.minted[name] = cert
	return cert, nil
}

func (ca *webCA) mint(names ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := randomSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: truncate(names[0], 64)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(0, 0, 90),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}

// CA returns the PEM certificate of the web CA, which clients of the lab trust.
func (g *Gate) CA() []byte { return append([]byte(nil), g.web.certPEM...) }

// CertPool returns a pool that holds the web CA only.
func (g *Gate) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(g.web.cert)
	return pool
}

// Mint signs a certificate of the web CA for the given DNS names and IP addresses, valid for 90 days: ACM uses it, as
// Amazon's CA signs both for ACM and for AWS's own names.
func (g *Gate) Mint(names ...string) (*tls.Certificate, error) {
	if len(names) == 0 {
		return nil, errors.New("gate: certificate without names")
	}
	return g.web.mint(names...)
}

// TLSConfig returns the server side of TLS for every name of the emulated AWS. The certificate follows SNI: a service's
// own (CertificateSource), else one of the web CA for AWS host names, loopback names and addresses. Other names fail
// the handshake with unrecognized_name, because a certificate for them would be a lie.
func (g *Gate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			g.DelayConnect(hello.Context(), strings.ToLower(strings.TrimSuffix(hello.ServerName, ".")))
			for _, s := range g.each() {
				source, ok := s.(CertificateSource)
				if !ok {
					continue
				}
				config, err := source.TLSConfig(hello)
				if config != nil || err != nil {
					return config, err
				}
			}
			return nil, nil
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
			if name == "" {
				return g.web.certificate(localIP(hello.Conn))
			}
			if !isLoopbackName(name) && !isAWSName(name) {
				return nil, fmt.Errorf("gate: no certificate for %q", name)
			}
			return g.web.certificate(name)
		},
	}
}

// localIP is the address that a client without SNI connected to; 127.0.0.1 where the connection has none.
func localIP(c net.Conn) string {
	if c != nil {
		if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
			return a.IP.String()
		}
	}
	return "127.0.0.1"
}

func isLoopbackName(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// isAWSName tells AWS's own names: the API endpoints, S3's sites and CloudFront's distributions.
func isAWSName(name string) bool {
	for _, suffix := range []string{"." + DNSSuffix, ".api.aws", ".cloudfront.net", ".on.aws"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
