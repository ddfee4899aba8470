package k3s

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/pki"
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

// authority is a CA of the cluster.
type authority struct {
	// certPEM is the CA's own certificate. bundlePEM is what K3s reads as the
	// CA's .crt file: the certificate and, where it has one, its root.
	certPEM, bundlePEM pulumi.StringOutput
	keyPEM             pulumi.StringOutput
}

// keyring is everything that proves an identity inside the cluster, born in the
// graph so that tokens, kubeconfig and JWKS are known before a machine boots.
type keyring struct {
	server, client, requestHeader, etcdPeer, etcdServer authority
	// serverRootPEM is the root above the server CA: join tokens pin it.
	serverRootPEM pulumi.StringOutput
	// signing are the ServiceAccount keys.
	signing []SigningKey
	// adminCertPEM and adminKeyPEM are the kubeconfig's client certificate.
	adminCertPEM, adminKeyPEM pulumi.StringOutput
}

// newPKI makes the set that K3s calls custom CA certificates
// (https://docs.k3s.io/cli/certificate), but for the ServiceAccount keys, which
// K3s's datastore would keep as they are; see signing.go.
//
// The five CAs have no common root. K3s's example script gives them one, and
// with it every client certificate of one CA verifies against all: a kubelet's
// own certificate would open etcd. Only the server CA has a root above it, whose
// key never leaves the state; K3s then hashes the root, not the CA, into its
// join tokens, so the CA can be renewed below it without new tokens.
func newPKI(ctx *pulumi.Context, name string, args *ClusterArgs, parent pulumi.ResourceOption) (*keyring, error) {
	p := &keyring{}
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
	if p.signing, err = newSigningKeys(ctx, name, args.SigningKeys, parent, keep); err != nil {
		return nil, err
	}

	admin, err := pki.NewCertificate(ctx, &pki.CertificateArgs{
		Name: name + "-admin", KeyName: name + "-admin-key", RequestName: name + "-admin",
		// K3s's own admin: the group is what the API server looks at.
		CommonName: "system:admin", Organization: "system:masters",
		Uses:              []string{pki.DigitalSignature, pki.KeyEncipherment, pki.ClientAuth},
		ValidityHours:     adminHours,
		EarlyRenewalHours: pulumi.Int(adminRenewalHours),
		Issuer:            &pki.Issuer{CertPem: p.client.certPEM, KeyPem: p.client.keyPEM},
	}, parent)
	if err != nil {
		return nil, err
	}
	p.adminCertPEM, p.adminKeyPEM = admin.CertPem, admin.KeyPem
	return p, nil
}

// newAuthority makes a CA, self-signed or signed by root.
func newAuthority(ctx *pulumi.Context, name, commonName string, root *authority, options ...pulumi.ResourceOption) (authority, error) {
	args := &pki.CertificateArgs{
		Name: name, KeyName: name + "-key", RequestName: name,
		CommonName:    commonName,
		Uses:          []string{pki.CertSigning, pki.DigitalSignature, pki.KeyEncipherment},
		IsCA:          true,
		ValidityHours: caHours,
	}
	if root != nil {
		args.Issuer = &pki.Issuer{CertPem: root.certPEM, KeyPem: root.keyPEM}
		args.SubjectKeyID = true // K3s compares key ids to tell which CA signed a certificate
	}
	ca, err := pki.NewCertificate(ctx, args, options...)
	if err != nil {
		return authority{}, err
	}
	made := authority{certPEM: ca.CertPem, bundlePEM: ca.CertPem, keyPEM: ca.KeyPem}
	if root != nil {
		made.bundlePEM = pulumi.Sprintf("%s%s", ca.CertPem, root.certPEM)
	}
	return made, nil
}
