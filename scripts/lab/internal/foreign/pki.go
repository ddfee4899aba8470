package foreign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// pki is the cluster's own: the files of K3s's custom CA layout
// (https://docs.k3s.io/cli/certificate#using-custom-ca-certificates), by their paths below server/tls.
type pki struct {
	files map[string]string
	token string

	serverCA            []byte
	clientCA            *x509.Certificate
	clientCAKey         *ecdsa.PrivateKey
	adminCert, adminKey []byte
	notBefore, notAfter time.Time
}

func newPKI() (*pki, error) {
	p := &pki{files: map[string]string{}, notBefore: time.Now().Add(-time.Hour), notAfter: time.Now().AddDate(1, 0, 0)}
	for _, name := range []string{"server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca"} {
		cert, key, err := p.authority(name)
		if err != nil {
			return nil, err
		}
		if name == "client-ca" {
			p.clientCA, p.clientCAKey = cert, key
		}
	}
	p.serverCA = []byte(p.files["server-ca.crt"])
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	p.files["service.key"] = encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(signing))
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	p.token = hex.EncodeToString(token)
	return p, p.admin()
}

// authority makes a CA and its two files.
func (p *pki) authority(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "somebody-" + name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	cert, text, err := p.sign(template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	p.files[name+".crt"], p.files[name+".key"] = text, encode("EC PRIVATE KEY", secret)
	return cert, key, nil
}

// admin makes the administrator's certificate.
func (p *pki) admin() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, text, err := p.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "somebody", Organization: []string{"system:masters"}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, p.clientCA, key.Public(), p.clientCAKey)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	p.adminCert, p.adminKey = []byte(text), []byte(encode("EC PRIVATE KEY", secret))
	return nil
}

func (p *pki) sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, string, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, "", err
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, p.notBefore, p.notAfter
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, "", err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, encode("CERTIFICATE", der), err
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// kubeconfig is the administrator's, with everything in it.
func (p *pki) kubeconfig(server string) (string, error) {
	config := api.NewConfig()
	config.Clusters["somebody"] = &api.Cluster{Server: server, CertificateAuthorityData: p.serverCA}
	config.AuthInfos["somebody"] = &api.AuthInfo{ClientCertificateData: p.adminCert, ClientKeyData: p.adminKey}
	config.Contexts["somebody"] = &api.Context{Cluster: "somebody", AuthInfo: "somebody"}
	config.CurrentContext = "somebody"
	text, err := clientcmd.Write(*config)
	return string(text), err
}
