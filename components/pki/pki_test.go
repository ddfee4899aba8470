package pki

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

// What is not given is not sent: to every certificate that exists, a new input
// would be a reason to replace it.
func TestCertificateSendsWhatIsGiven(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		ca, err := NewCertificate(ctx, &CertificateArgs{
			Name: "ca", KeyName: "ca-key", CommonName: "ca", Uses: []string{CertSigning}, IsCA: true, ValidityHours: 10,
		})
		if err != nil {
			return err
		}
		_, err = NewCertificate(ctx, &CertificateArgs{
			Name: "server", KeyName: "server-key", RequestName: "server-request", Organization: "o", DNSNames: []string{"a.svc"},
			Uses: []string{ServerAuth}, ValidityHours: 5, EarlyRenewalHours: pulumi.Int(0), Issuer: ca.Issuer(),
		})
		return err
	})
	require.NoError(t, err)
	keys := func(name string) (all []string) {
		for key := range recorder.Get(t, name).Inputs {
			all = append(all, string(key))
		}
		return all
	}
	require.ElementsMatch(t, []string{"algorithm", "ecdsaCurve"}, keys("ca-key"))
	require.ElementsMatch(t, []string{"allowedUses", "isCaCertificate", "privateKeyPem", "subject", "validityPeriodHours"}, keys("ca"))
	require.ElementsMatch(t, []string{"dnsNames", "privateKeyPem", "subject"}, keys("server-request"))
	require.ElementsMatch(t, []string{"allowedUses", "caCertPem", "caPrivateKeyPem", "certRequestPem", "earlyRenewalHours", "validityPeriodHours"}, keys("server"))
	require.Equal(t, map[string]any{"organization": "o"}, recorder.Get(t, "server-request").Input("subject"))
	require.True(t, recorder.Get(t, "ca").IsSecret("privateKeyPem"))
}
