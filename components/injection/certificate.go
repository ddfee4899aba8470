package injection

import (
	"fmt"

	"github.com/pulumi/pulumi-tls/sdk/v5/go/tls"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
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

// servingCertificate is what the webhook proves itself by to API servers.
type servingCertificate struct {
	caPEM, certPEM pulumi.StringOutput
	keyPEM         pulumi.StringOutput // secret
}

// certificate makes a CA of the webhook's own, which nothing but the API server's
// calls of it trusts.
func (w *webhook) certificate() (*servingCertificate, error) {
	parent := pulumi.Parent(w.parent)
	fail := func(err error) (*servingCertificate, error) {
		return nil, fmt.Errorf("certificate of the pod identity webhook: %w", err)
	}
	key := func(name string) (pulumi.StringOutput, error) {
		// The provider's default curve, P-224, is one that Go refuses.
		made, err := tls.NewPrivateKey(w.ctx, name, &tls.PrivateKeyArgs{Algorithm: pulumi.String("ECDSA"), EcdsaCurve: pulumi.String("P256")}, parent)
		if err != nil {
			return pulumi.StringOutput{}, err
		}
		return made.PrivateKeyPem, nil
	}
	caKey, err := key(w.name + "-ca-key")
	if err != nil {
		return fail(err)
	}
	ca, err := tls.NewSelfSignedCert(w.ctx, w.name+"-ca", &tls.SelfSignedCertArgs{
		PrivateKeyPem:       caKey,
		Subject:             tls.SelfSignedCertSubjectArgs{CommonName: pulumi.String(webhookName + "-ca")},
		IsCaCertificate:     pulumi.Bool(true),
		AllowedUses:         pulumi.ToStringArray([]string{"cert_signing", "digital_signature"}),
		ValidityPeriodHours: pulumi.Int(caHours),
	}, parent)
	if err != nil {
		return fail(err)
	}
	serverKey, err := key(w.name + "-server-key")
	if err != nil {
		return fail(err)
	}
	host := webhookName + "." + w.args.Namespace + ".svc"
	request, err := tls.NewCertRequest(w.ctx, w.name+"-server", &tls.CertRequestArgs{
		PrivateKeyPem: serverKey,
		// API servers look at the names; a common name has at most 64 characters.
		Subject:  tls.CertRequestSubjectArgs{CommonName: pulumi.String(webhookName)},
		DnsNames: pulumi.ToStringArray([]string{host, host + ".cluster.local"}),
	}, parent)
	if err != nil {
		return fail(err)
	}
	server, err := tls.NewLocallySignedCert(w.ctx, w.name+"-server", &tls.LocallySignedCertArgs{
		CertRequestPem:      request.CertRequestPem,
		CaPrivateKeyPem:     caKey,
		CaCertPem:           ca.CertPem,
		AllowedUses:         pulumi.ToStringArray([]string{"digital_signature", "server_auth"}),
		ValidityPeriodHours: pulumi.Int(serverHours),
		EarlyRenewalHours:   pulumi.Int(renewalHours),
	}, parent)
	if err != nil {
		return fail(err)
	}
	return &servingCertificate{caPEM: ca.CertPem, certPEM: server.CertPem, keyPEM: serverKey}, nil
}
