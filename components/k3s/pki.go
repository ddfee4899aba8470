package k3s

import (
	"fmt"

	"github.com/pulumi/pulumi-tls/sdk/v5/go/tls"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Validity of certificates, in hours.
const (
	// caHours is ten years, as for the CAs that K3s makes itself. Their early
	// renewal stays 0: a renewed CA is a new certificate and, by the tokens, a
	// new trust anchor, which nodes take over only through K3s's own
	// `k3s certificate rotate-ca`. An `up` must never start that by the calendar.
	caHours = 10 * 365 * 24
	// adminHours is two years for the kubeconfig's client certificate: twice what
	// K3s's own certificates live, so that it is not the first to end, and no more,
	// since Kubernetes cannot revoke one. Any `up` in the second year renews it, and
	// nothing but the kubeconfig changes.
	adminHours        = 2 * 365 * 24
	adminRenewalHours = 365 * 24
)

// Key usages. The tls provider wants snake_case; the camelCase of its SDK's
// comments is refused.
var (
	caUses     = pulumi.ToStringArray([]string{"cert_signing", "digital_signature", "key_encipherment"})
	clientUses = pulumi.ToStringArray([]string{"digital_signature", "key_encipherment", "client_auth"})
)

// authority is a CA of the cluster.
type authority struct {
	// certPEM is the CA's own certificate. bundlePEM is what K3s reads as the
	// CA's .crt file: the certificate and, where it has one, its root.
	certPEM, bundlePEM pulumi.StringOutput
	keyPEM             pulumi.StringOutput
}

// pki is everything that proves an identity inside the cluster, born in the
// graph so that tokens, kubeconfig and JWKS are known before a machine boots.
type pki struct {
	server, client, requestHeader, etcdPeer, etcdServer authority
	// serverRootPEM is the root above the server CA: join tokens pin it.
	serverRootPEM pulumi.StringOutput
	// serviceKeys is service.key: the ServiceAccount keys one after the other,
	// the active one first.
	serviceKeys pulumi.StringOutput
	// adminCertPEM and adminKeyPEM are the kubeconfig's client certificate.
	adminCertPEM, adminKeyPEM pulumi.StringOutput
}

// newPKI makes the set that K3s calls custom CA certificates
// (https://docs.k3s.io/cli/certificate). It is the whole set on purpose: K3s
// does not promise anything for a service.key that is placed alone.
//
// The five CAs have no common root. K3s's example script gives them one, and
// with it every client certificate of one CA verifies against all: a kubelet's
// own certificate would open etcd. Only the server CA has a root above it, whose
// key never leaves the state; K3s then hashes the root, not the CA, into its
// join tokens, so the CA can be renewed below it without new tokens.
func newPKI(ctx *pulumi.Context, name string, args *ClusterArgs, parent pulumi.ResourceOption) (*pki, error) {
	p := &pki{}
	// What every node and every kubeconfig trusts cannot be made a second time.
	keep := pulumi.Protect(args.Protect)
	root, err := newAuthority(ctx, name+"-server-root-ca", args.ClusterName+"-server-root-ca", nil, parent, keep)
	if err != nil {
		return nil, err
	}
	p.serverRootPEM = root.certPEM
	for _, ca := range []struct {
		name      string
		authority *authority
		root      *authority
	}{
		{"server-ca", &p.server, &root},
		{"client-ca", &p.client, nil},
		{"request-header-ca", &p.requestHeader, nil},
		{"etcd-peer-ca", &p.etcdPeer, nil},
		{"etcd-server-ca", &p.etcdServer, nil},
	} {
		*ca.authority, err = newAuthority(ctx, name+"-"+ca.name, args.ClusterName+"-"+ca.name, ca.root, parent, keep)
		if err != nil {
			return nil, err
		}
	}
	if p.serviceKeys, err = newServiceKeys(ctx, name, args.SigningKeys, parent, keep); err != nil {
		return nil, err
	}

	adminKey, err := newKey(ctx, name+"-admin", parent)
	if err != nil {
		return nil, err
	}
	request, err := tls.NewCertRequest(ctx, name+"-admin", &tls.CertRequestArgs{
		PrivateKeyPem: adminKey,
		// K3s's own admin: the group is what the API server looks at.
		Subject: tls.CertRequestSubjectArgs{
			CommonName:   pulumi.String("system:admin"),
			Organization: pulumi.String("system:masters"),
		},
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("admin certificate request: %w", err)
	}
	admin, err := tls.NewLocallySignedCert(ctx, name+"-admin", &tls.LocallySignedCertArgs{
		CertRequestPem:      request.CertRequestPem,
		CaCertPem:           p.client.certPEM,
		CaPrivateKeyPem:     p.client.keyPEM,
		AllowedUses:         clientUses,
		ValidityPeriodHours: pulumi.Int(adminHours),
		EarlyRenewalHours:   pulumi.Int(adminRenewalHours),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("admin certificate: %w", err)
	}
	p.adminCertPEM, p.adminKeyPEM = admin.CertPem, adminKey
	return p, nil
}

// newKey makes an ECDSA P256 key (the provider's default curve, P224, is one
// that Go and browsers refuse) and returns it as SEC 1 PEM, which is secret.
func newKey(ctx *pulumi.Context, name string, options ...pulumi.ResourceOption) (pulumi.StringOutput, error) {
	key, err := tls.NewPrivateKey(ctx, name+"-key", &tls.PrivateKeyArgs{
		Algorithm:  pulumi.String("ECDSA"),
		EcdsaCurve: pulumi.String("P256"),
	}, options...)
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("key %s: %w", name, err)
	}
	return key.PrivateKeyPem, nil
}

// newAuthority makes a CA, self-signed or signed by root.
func newAuthority(ctx *pulumi.Context, name, commonName string, root *authority, options ...pulumi.ResourceOption) (authority, error) {
	key, err := newKey(ctx, name, options...)
	if err != nil {
		return authority{}, err
	}
	if root == nil {
		cert, err := tls.NewSelfSignedCert(ctx, name, &tls.SelfSignedCertArgs{
			PrivateKeyPem:       key,
			Subject:             tls.SelfSignedCertSubjectArgs{CommonName: pulumi.String(commonName)},
			IsCaCertificate:     pulumi.Bool(true),
			AllowedUses:         caUses,
			ValidityPeriodHours: pulumi.Int(caHours),
		}, options...)
		if err != nil {
			return authority{}, fmt.Errorf("certificate of %s: %w", name, err)
		}
		return authority{certPEM: cert.CertPem, bundlePEM: cert.CertPem, keyPEM: key}, nil
	}
	request, err := tls.NewCertRequest(ctx, name, &tls.CertRequestArgs{
		PrivateKeyPem: key,
		Subject:       tls.CertRequestSubjectArgs{CommonName: pulumi.String(commonName)},
	}, options...)
	if err != nil {
		return authority{}, fmt.Errorf("certificate request of %s: %w", name, err)
	}
	cert, err := tls.NewLocallySignedCert(ctx, name, &tls.LocallySignedCertArgs{
		CertRequestPem:      request.CertRequestPem,
		CaCertPem:           root.certPEM,
		CaPrivateKeyPem:     root.keyPEM,
		IsCaCertificate:     pulumi.Bool(true),
		SetSubjectKeyId:     pulumi.Bool(true), // K3s compares key ids to tell which CA signed a certificate
		AllowedUses:         caUses,
		ValidityPeriodHours: pulumi.Int(caHours),
	}, options...)
	if err != nil {
		return authority{}, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return authority{
		certPEM:   cert.CertPem,
		bundlePEM: pulumi.Sprintf("%s%s", cert.CertPem, root.certPEM),
		keyPEM:    key,
	}, nil
}

// newServiceKeys returns service.key: the given keys in their order, or one new
// RSA key (2048 bits: STS takes RS256 and nothing needs more).
func newServiceKeys(ctx *pulumi.Context, name string, given pulumi.StringArrayInput, options ...pulumi.ResourceOption) (pulumi.StringOutput, error) {
	if given == nil {
		key, err := tls.NewPrivateKey(ctx, name+"-service-key", &tls.PrivateKeyArgs{
			Algorithm: pulumi.String("RSA"),
			RsaBits:   pulumi.Int(2048),
		}, options...)
		if err != nil {
			return pulumi.StringOutput{}, fmt.Errorf("ServiceAccount key: %w", err)
		}
		return key.PrivateKeyPem, nil
	}
	keys := given.ToStringArrayOutput().ApplyT(joinServiceKeys).(pulumi.StringOutput)
	return pulumi.ToSecret(keys).(pulumi.StringOutput), nil
}
