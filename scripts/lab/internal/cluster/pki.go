package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// authority is a CA that the node was given.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

// loadAuthority reads <name>.crt and <name>.key as K3s does with custom CAs
// (https://docs.k3s.io/cli/certificate#using-custom-ca-certificates).
func loadAuthority(dir, name string) (*authority, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("%s.crt has no PEM block", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", name, err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.key: %w", name, err)
	}
	if pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return nil, fmt.Errorf("%s.key is not the key of %s.crt", name, name)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s.crt is not a CA certificate", name)
	}
	return &authority{cert: cert, pem: certPEM, key: key}, nil
}

func parseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not a private key in PKCS #1, SEC 1 or PKCS #8", block.Type)
	}
	return key.(crypto.Signer), nil
}

// issue makes a key and a certificate of it for a client (no names) or a server (with names).
func (a *authority) issue(commonName string, organization, names []string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName, Organization: organization},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     time.Now().AddDate(0, 0, leafDays),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(names) > 0 {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), nil
}

// Validity of leaf certificates, and how near their end K3s renews them when it starts (CertificateRenewDays in
// pkg/daemons/config/types.go; 365 days are the default of its certificate library). While it runs it renews none.
const (
	leafDays  = 365
	renewDays = 120
)

// keep issues a certificate into files, unless there is one of this CA with these names that does not end soon
// (createClientCertKey and createServerSigningCertKey in pkg/daemons/control/deps/deps.go).
func (a *authority) keep(crt, key, commonName string, organization, names []string) error {
	if old, err := readCertificate(crt); err == nil && old.CheckSignatureFrom(a.cert) == nil &&
		time.Until(old.NotAfter) > renewDays*24*time.Hour && coversAll(old, names) {
		return nil
	}
	certPEM, keyPEM, err := a.issue(commonName, organization, names)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(crt, certPEM, 0o600), os.WriteFile(key, keyPEM, 0o600))
}

func coversAll(cert *x509.Certificate, names []string) bool {
	for _, n := range names {
		if cert.VerifyHostname(n) != nil {
			return false
		}
	}
	return true
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s has no PEM block", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// Age lets the leaf certificates in K3s's directories of a machine be as they are when so much time has passed. The
// machine's clock stays, since AWS would refuse what it signs.
func (s *Server) Age(root string, d time.Duration) error {
	var paths []string
	for _, pattern := range []string{"server/tls/*.crt", "agent/*.crt"} {
		found, err := filepath.Glob(filepath.Join(root, s.Config.DataDir, pattern))
		if err != nil {
			return err
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		old, err := readCertificate(path)
		if err != nil {
			return err
		}
		if old.IsCA {
			continue
		}
		var by *authority
		for _, a := range []*authority{s.serverCA, s.clientCA, s.requestHeaderCA} {
			if old.CheckSignatureFrom(a.cert) == nil {
				by = a
			}
		}
		if by == nil {
			return fmt.Errorf("%s is of no CA of this cluster", path)
		}
		older := *old
		older.NotBefore, older.NotAfter = old.NotBefore.Add(-d), old.NotAfter.Add(-d)
		der, err := x509.CreateCertificate(rand.Reader, &older, by.cert, old.PublicKey, by.key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// hash is what the secure form of a K3s token pins (K3s's pkg/clientaccess): of a bundle the last certificate, which is
// the root, else the file's bytes.
func (a *authority) hash() string {
	data, rest := a.pem, a.pem
	var blocks []*pem.Block
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	if len(blocks) > 1 {
		data = blocks[len(blocks)-1].Bytes
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// credential splits a token `K10<hash>::<user>:<password>`; a short token is a password alone.
func credential(token string) (caHash, password string, err error) {
	if !strings.HasPrefix(token, "K10") {
		return "", token, nil
	}
	caHash, userinfo, ok := strings.Cut(strings.TrimPrefix(token, "K10"), "::")
	_, password, ok2 := strings.Cut(userinfo, ":")
	if !ok || !ok2 || len(caHash) != sha256.Size*2 {
		return "", "", errors.New("the token is not of the form K10<CA hash>::<user>:<password>")
	}
	return caHash, password, nil
}
