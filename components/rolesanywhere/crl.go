package rolesanywhere

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudcontrol"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// RevocationType is the type token of [Revocation].
const RevocationType = "k3s-aws-auth:rolesanywhere:Revocation"

// RevocationArgs describes which certificates get no new sessions.
type RevocationArgs struct {
	// Anchor is the trust anchor whose CAs have signed the certificates.
	Anchor *Anchor
	// Serials are the certificates' serial numbers in hexadecimal, as [Leaf] has it, at
	// least one.
	Serials pulumi.StringArrayInput
	Tags    map[string]string
}

// Revocation is a certificate revocation list of each CA of a trust anchor.
type Revocation struct {
	pulumi.ResourceState
}

// NewRevocation imports a list of revoked certificates for each of the anchor's
// CAs. Roles Anywhere refuses new sessions with them; sessions that run end by
// themselves, one session's length later at the latest.
//
// A list says nothing of a certificate's time, and ends with its CA, so that no
// list has to be renewed: nothing but the serial numbers changes one.
func NewRevocation(ctx *pulumi.Context, name string, args *RevocationArgs, opts ...pulumi.ResourceOption) (*Revocation, error) {
	if args == nil || args.Anchor == nil || args.Serials == nil {
		return nil, fmt.Errorf("Revocation %q: Anchor or Serials are missing", name)
	}
	revocation := &Revocation{}
	if err := ctx.RegisterComponentResource(RevocationType, name, revocation, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", RevocationType, name, err)
	}
	for _, ca := range args.Anchor.cas {
		resource := name + "-crl-" + ca.Name
		state := pulumi.All(ca.keyPem, ca.certPem, args.Serials, args.Anchor.Arn).ApplyT(func(values []any) (string, error) {
			list, err := revocationList(values[0].(string), values[1].(string), values[2].([]string))
			if err != nil {
				return "", fmt.Errorf("revocation list of CA %s: %w", ca.Name, err)
			}
			return crlState(resource, list, values[3].(string), args.Tags)
		}).(pulumi.StringOutput)
		if _, err := cloudcontrol.NewResource(ctx, resource, &cloudcontrol.ResourceArgs{
			TypeName: pulumi.String("AWS::RolesAnywhere::CRL"),
			// The CA's key signs it and is not in it. A reviewer must see it.
			DesiredState: pulumi.Unsecret(state).(pulumi.StringOutput),
		}, pulumi.Parent(revocation),
			// AWS's handler takes another anchor for an update, and leaves the list where it
			// is (UpdateHandler.java of aws-rolesanywhere-crl, in
			// aws-cloudformation/aws-cloudformation-resource-providers-rolesanywhere).
			pulumi.ReplacementTrigger(args.Anchor.Arn)); err != nil {
			return nil, fmt.Errorf("revocation list of CA %s: %w", ca.Name, err)
		}
	}
	if err := outputs.Register(ctx, revocation); err != nil {
		return nil, fmt.Errorf("%s %q: %w", RevocationType, name, err)
	}
	return revocation, nil
}

// crlState is the desired state of the CloudFormation resource type
// AWS::RolesAnywhere::CRL
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rolesanywhere-crl.html).
func crlState(name, list, anchorArn string, tags map[string]string) (string, error) {
	state := struct {
		CrlData        string
		Enabled        bool
		Name           string
		Tags           []resourceTag
		TrustAnchorArn string
	}{list, true, names.Shorten(name, maxResourceName), []resourceTag{}, anchorArn}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		state.Tags = append(state.Tags, resourceTag{key, tags[key]})
	}
	text, err := json.Marshal(state)
	return string(text), err
}

// revocationList returns a CA's list of revoked serial numbers as PEM. The same
// inputs give the same bytes: its times are the CA's own, and a nil source of
// randomness makes ECDSA deterministic (RFC 6979; crypto/ecdsa, since Go 1.24).
func revocationList(caKeyPEM, caCertPEM string, serials []string) (string, error) {
	serials = slices.Compact(slices.Sorted(slices.Values(serials)))
	if len(serials) == 0 {
		return "", errors.New("no serial numbers")
	}
	certBlock, _ := pem.Decode([]byte(caCertPEM))
	keyBlock, _ := pem.Decode([]byte(caKeyPEM))
	if certBlock == nil || keyBlock == nil {
		return "", errors.New("the CA's certificate or key is not PEM")
	}
	ca, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return "", fmt.Errorf("the CA's certificate: %w", err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return "", errors.New("the CA's key is no EC key in SEC 1 form")
	}
	template := &x509.RevocationList{
		// Numbers should grow (RFC 5280, section 5.2.3), for readers that keep several
		// lists; Roles Anywhere is told each time which one counts.
		Number:     big.NewInt(int64(len(serials))),
		ThisUpdate: ca.NotBefore,
		NextUpdate: ca.NotAfter,
	}
	for _, text := range serials {
		if must := rules.Serial(text); must != "" {
			return "", rules.Fault("a serial number", text, must)
		}
		serial, _ := new(big.Int).SetString(text, 16)
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: ca.NotBefore})
	}
	der, err := x509.CreateRevocationList(nil, template, ca, crypto.Signer(key))
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})), nil
}

// serialOf is a certificate's serial number in hexadecimal, without colons.
func serialOf(certPem string) (string, error) {
	block, _ := pem.Decode([]byte(certPem))
	if block == nil {
		return "", errors.New("the certificate is not PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	return certificate.SerialNumber.Text(16), nil
}
