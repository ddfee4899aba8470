package k3s

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

// cloud stands for AWS and the tls provider: its keys and certificates are real
// ones, made as the provider makes them, and its machines boot into onBoot.
type cloud struct {
	*pulumitest.Recorder

	t *testing.T
	// address is the elastic address.
	address string
	// onBoot is called with a server's user data.
	onBoot func(userData string)

	mu         sync.Mutex
	secrets    []string          // every private key that was made
	parameters map[string]string // SSM parameters by name
}

func newCloud(t *testing.T) *cloud {
	return &cloud{t: t, address: "203.0.113.10", parameters: map[string]string{}}
}

// run runs the program as an update, or as a preview in which all is known.
func (c *cloud) run(preview bool, program pulumi.RunFunc) error {
	c.t.Helper()
	var err error
	c.Recorder, err = pulumitest.Run(c.t, pulumitest.Options{
		Preview: preview,
		Call:    c.call,
		Outputs: func(r pulumitest.Resource) resource.PropertyMap {
			outputs, err := c.outputs(r)
			if err != nil {
				c.t.Errorf("%s %s: %v", r.Type, r.Name, err)
			}
			return outputs
		},
	}, program)
	return err
}

func (c *cloud) call(token string, args resource.PropertyMap) (resource.PropertyMap, error) {
	switch token {
	case "aws:index/getPartition:getPartition":
		return resource.NewPropertyMapFromMap(map[string]any{"partition": "aws", "dnsSuffix": "amazonaws.com"}), nil
	case "aws:index/getCallerIdentity:getCallerIdentity":
		return resource.NewPropertyMapFromMap(map[string]any{"accountId": "111122223333"}), nil
	case "aws:ssm/getParameter:getParameter":
		image := "ami-086"
		if strings.Contains(args["name"].StringValue(), "/arm64/") {
			image = "ami-0a64"
		}
		return resource.PropertyMap{
			"type": resource.NewStringProperty("String"),
			// The provider marks it so, although an image id is public.
			"value": resource.MakeSecret(resource.NewStringProperty(image)),
		}, nil
	}
	return nil, fmt.Errorf("unexpected call of %s", token)
}

func (c *cloud) outputs(r pulumitest.Resource) (resource.PropertyMap, error) {
	text := func(key resource.PropertyKey) string { return plain(r.Inputs[key]).StringValue() }
	switch r.Type {
	case "tls:index/privateKey:PrivateKey":
		key, err := newTestKey(text("algorithm"))
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.secrets = append(c.secrets, key)
		c.mu.Unlock()
		return resource.PropertyMap{"privateKeyPem": resource.MakeSecret(resource.NewStringProperty(key))}, nil
	case "tls:index/selfSignedCert:SelfSignedCert":
		cert, err := certify(r.Inputs, text("privateKeyPem"), "", "")
		return resource.PropertyMap{"certPem": resource.NewStringProperty(cert)}, err
	case "tls:index/certRequest:CertRequest":
		request, err := request(r.Inputs, text("privateKeyPem"))
		return resource.PropertyMap{"certRequestPem": resource.NewStringProperty(request)}, err
	case "tls:index/locallySignedCert:LocallySignedCert":
		cert, err := certify(r.Inputs, text("certRequestPem"), text("caCertPem"), text("caPrivateKeyPem"))
		return resource.PropertyMap{"certPem": resource.NewStringProperty(cert)}, err
	case "aws:ssm/parameter:Parameter":
		c.mu.Lock()
		c.parameters[text("name")] = text("value")
		c.mu.Unlock()
	case "aws:ec2/eip:Eip":
		return resource.NewPropertyMapFromMap(map[string]any{"publicIp": c.address, "allocationId": "eipalloc-1"}), nil
	case "aws:ec2/instance:Instance":
		if c.onBoot != nil && strings.Contains(r.Name, "-server-") {
			c.onBoot(text("userData"))
		}
		address := "10.0.0.4"
		if n := r.Name[len(r.Name)-1]; strings.Contains(r.Name, "-server-") && n != '0' {
			address = "10.0.0." + string(n+4)
		}
		return resource.NewPropertyMapFromMap(map[string]any{"privateIp": address}), nil
	case "aws:lb/loadBalancer:LoadBalancer":
		return resource.NewPropertyMapFromMap(map[string]any{
			"arn": "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/net/" + r.Name + "/1",
			// As AWS names them: longer than the name by about 60 characters.
			"dnsName": r.Name + "-0a1b2c3-0123456789abcdef.elb.eu-central-1.amazonaws.com",
		}), nil
	case "aws:lb/targetGroup:TargetGroup":
		return resource.NewPropertyMapFromMap(map[string]any{
			"arn": "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/" + r.Name + "/1",
		}), nil
	case "aws:iam/role:Role", "aws:iam/instanceProfile:InstanceProfile":
		return resource.NewPropertyMapFromMap(map[string]any{
			"name": r.Name + "-0a1b2c3",
			"arn":  "arn:aws:iam::111122223333:role/" + r.Name + "-0a1b2c3",
		}), nil
	}
	return nil, nil
}

// plain takes a value out of its secret wrapping.
func plain(value resource.PropertyValue) resource.PropertyValue {
	for value.IsSecret() {
		value = value.SecretValue().Element
	}
	return value
}

func newTestKey(algorithm string) (string, error) {
	if algorithm == "RSA" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return "", err
		}
		return toPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return toPEM("EC PRIVATE KEY", der), err
}

func toPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func parseKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not a PEM key")
	}
	if block.Type == "RSA PRIVATE KEY" {
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func parseCertificates(text string) (certificates []*x509.Certificate, err error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func subject(inputs resource.PropertyMap) pkix.Name {
	name := pkix.Name{}
	if s := plain(inputs["subject"]); s.IsObject() {
		if cn := s.ObjectValue()["commonName"]; cn.IsString() {
			name.CommonName = cn.StringValue()
		}
		if o := s.ObjectValue()["organization"]; o.IsString() {
			name.Organization = []string{o.StringValue()}
		}
	}
	return name
}

func request(inputs resource.PropertyMap, keyPEM string) (string, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject(inputs)}, key)
	return toPEM("CERTIFICATE REQUEST", der), err
}

// certify makes a certificate as the tls provider does: a random serial, the
// listed usages only, a subject key id on CAs, and the issuer's key id unless it
// signs itself. source is a private key (self-signed) or a request.
func certify(inputs resource.PropertyMap, source, caPEM, caKeyPEM string) (string, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return "", err
	}
	hours := time.Duration(inputs["validityPeriodHours"].NumberValue()) * time.Hour
	template := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             time.Now(),
		NotAfter:              time.Now().Add(hours),
		BasicConstraintsValid: true,
		IsCA:                  inputs.HasValue("isCaCertificate") && inputs["isCaCertificate"].BoolValue(),
	}
	for _, use := range inputs["allowedUses"].ArrayValue() {
		switch use.StringValue() {
		case "cert_signing":
			template.KeyUsage |= x509.KeyUsageCertSign
		case "digital_signature":
			template.KeyUsage |= x509.KeyUsageDigitalSignature
		case "key_encipherment":
			template.KeyUsage |= x509.KeyUsageKeyEncipherment
		case "client_auth":
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		default:
			return "", fmt.Errorf("allowedUses: %q is not one of the provider's", use.StringValue())
		}
	}
	issuer := template
	var public crypto.PublicKey
	var signer crypto.Signer
	if caPEM == "" {
		if signer, err = parseKey(source); err != nil {
			return "", err
		}
		template.Subject, public = subject(inputs), signer.Public()
	} else {
		block, _ := pem.Decode([]byte(source))
		if block == nil {
			return "", errors.New("certRequestPem is not PEM")
		}
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return "", err
		}
		template.Subject, public = csr.Subject, csr.PublicKey
		cas, err := parseCertificates(caPEM)
		if err != nil {
			return "", err
		}
		if len(cas) != 1 {
			return "", fmt.Errorf("caCertPem must be one certificate and is %d", len(cas))
		}
		issuer = cas[0]
		if signer, err = parseKey(caKeyPEM); err != nil {
			return "", err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, signer)
	return toPEM("CERTIFICATE", der), err
}

// labArgs are the arguments of the lab's cluster.
func labArgs() *ClusterArgs {
	return &ClusterArgs{
		ClusterName:        "lab",
		Version:            "v1.35.4+k3s1",
		Servers:            1,
		Agents:             2,
		ServerInstanceType: "t3.medium",
		AgentInstanceType:  "t3.medium",
		RootVolumeGiB:      20,
		CPUCredits:         "standard",
		VpcID:              pulumi.String("vpc-1"),
		SubnetIDs:          pulumi.ToStringArray([]string{"subnet-a", "subnet-b"}),
		VpcCIDR:            "10.0.0.0/16",
		APICIDRs:           []string{"198.51.100.7/32"},
		Issuers:            pulumi.ToStringArray([]string{"https://new.example.com", "https://old.example.com"}),
		AgentHopLimit:      1,
		Region:             "eu-central-1",
		Tags:               map[string]string{"team": "platform"},
	}
}

// prodArgs are the arguments of a cluster of three servers.
func prodArgs() *ClusterArgs {
	args := labArgs()
	args.Servers, args.LoadBalancer = 3, LoadBalancerInternet
	args.SubnetIDs = pulumi.ToStringArray([]string{"subnet-a", "subnet-b", "subnet-c"})
	args.PublicSubnetIDs = pulumi.ToStringArray([]string{"public-a", "public-b", "public-c"})
	args.EtcdSnapshots = &EtcdSnapshots{Bucket: "acme-backups", Schedule: "0 */6 * * *", Retention: 12}
	return args
}

// preview makes the cluster without waiting for it.
func preview(t *testing.T, args *ClusterArgs) *cloud {
	t.Helper()
	c := newCloud(t)
	require.NoError(t, c.run(true, newLab(args)))
	return c
}

func newLab(args *ClusterArgs) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		_, err := NewCluster(ctx, "lab", args)
		return err
	}
}

// bootFiles are the files that a node's user data writes, by path.
func (c *cloud) bootFiles(t *testing.T, instance string) map[string]string {
	t.Helper()
	return parseUserData(t, plain(c.Find(t, "aws:ec2/instance:Instance", instance).Inputs["userData"]).StringValue())
}
