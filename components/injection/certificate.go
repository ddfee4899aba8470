package injection

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/pki"
)

// Validity of the webhook's certificates, in hours. The CA stays for ten years:
// API servers and pods learn of a new one at different moments. The server's
// certificate is renewed by any `up` in its last 90 days, and the webhook reads
// the new one without a restart.
const (
	caHours      = 10 * 365 * 24
	serverHours  = 365 * 24
	renewalHours = 90 * 24
)

// certificate makes what the webhook proves itself by to API servers, and a CA of
// the webhook's own, which nothing but the API server's calls of it trusts.
func (w *webhook) certificate() (ca, server *pki.Certificate, err error) {
	parent := pulumi.Parent(w.parent)
	ca, err = pki.NewCertificate(w.ctx, &pki.CertificateArgs{
		Name: w.name + "-ca", KeyName: w.name + "-ca-key",
		CommonName:    webhookName + "-ca",
		IsCA:          true,
		Uses:          []string{pki.CertSigning, pki.DigitalSignature},
		ValidityHours: caHours,
	}, parent)
	if err != nil {
		return nil, nil, fmt.Errorf("CA of the pod identity webhook: %w", err)
	}
	host := webhookName + "." + w.args.Namespace + ".svc"
	server, err = pki.NewCertificate(w.ctx, &pki.CertificateArgs{
		Name: w.name + "-server", KeyName: w.name + "-server-key", RequestName: w.name + "-server",
		// API servers look at the names; a common name has at most 64 characters.
		CommonName:        webhookName,
		DNSNames:          []string{host, host + ".cluster.local"},
		Uses:              []string{pki.DigitalSignature, pki.ServerAuth},
		ValidityHours:     serverHours,
		EarlyRenewalHours: pulumi.Int(renewalHours),
		Issuer:            ca.Issuer(),
	}, parent)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of the pod identity webhook: %w", err)
	}
	return ca, server, nil
}
