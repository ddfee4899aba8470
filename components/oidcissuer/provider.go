package oidcissuer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-tls/sdk/v5/go/tls"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/outputs"
)

// ProviderType is the type token of [Provider].
const ProviderType = "k3s-aws-auth:oidcissuer:Provider"

// AudienceSTS is the audience of tokens that are for AWS STS.
const AudienceSTS = "sts.amazonaws.com"

// Thumbprint modes.
const (
	// ThumbprintNone gives IAM no thumbprint: AWS verifies the TLS certificate
	// of S3, of CloudFront and of every issuer with a publicly trusted CA
	// against its own roots, and ignores thumbprints there.
	ThumbprintNone = "none"
	// ThumbprintDynamic reads the chain that the issuer presents and gives IAM
	// the top intermediate CA. It is for issuers whose CA AWS does not trust.
	// Once given, thumbprints cannot be cleared, only changed.
	ThumbprintDynamic = "dynamic"
)

// Issuer is one issuer to register with IAM.
type Issuer struct {
	// URL is the issuer's URL, plain, because it names the resource.
	URL string
	// Ready resolves when the issuer answers; the IAM provider is not made
	// before. Nil does not wait.
	Ready pulumi.StringInput
}

// ProviderArgs describes the IAM OIDC providers of a cluster: one per issuer.
type ProviderArgs struct {
	// Issuers are the cluster's issuers, the one that signs first. More than
	// one is a migration: tokens of each are accepted while it is listed.
	Issuers []Issuer
	// Audiences are the client ids; nil means [AudienceSTS] alone.
	Audiences []string
	// Thumbprint is [ThumbprintNone] (also when empty) or [ThumbprintDynamic].
	Thumbprint string
	// Protect makes Pulumi refuse to delete the IAM providers.
	Protect bool
	Tags    map[string]string
}

// Registered is an issuer that IAM knows.
type Registered struct {
	// URL is the issuer's URL as given.
	URL string
	// Arn is the IAM provider's ARN.
	Arn pulumi.StringOutput
	// IssuerHostPath is the url of the provider as IAM reports it, without
	// https://: the prefix of the condition keys of trust policies.
	IssuerHostPath pulumi.StringOutput
}

// Provider is the set of IAM OIDC providers of a cluster.
type Provider struct {
	pulumi.ResourceState

	// Arn and IssuerHostPath are those of the first issuer.
	Arn            pulumi.StringOutput `pulumi:"arn"`
	IssuerHostPath pulumi.StringOutput `pulumi:"issuerHostPath"`
	// Issuers are all of them, in the order of the arguments.
	Issuers []Registered
}

// NewProvider registers the issuers with IAM, each once its documents answer.
// An issuer's resource is named after its URL, so that issuers can be added,
// promoted and removed without touching the others.
func NewProvider(ctx *pulumi.Context, name string, args *ProviderArgs, opts ...pulumi.ResourceOption) (*Provider, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	provider := &Provider{}
	if err := ctx.RegisterComponentResource(ProviderType, name, provider, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", ProviderType, name, err)
	}
	audiences := args.Audiences
	if len(audiences) == 0 {
		audiences = []string{AudienceSTS}
	}
	for _, issuer := range args.Issuers {
		hostPath := strings.TrimPrefix(issuer.URL, "https://")
		providerArgs := &iam.OpenIdConnectProviderArgs{
			Url:           pulumi.String(issuer.URL),
			ClientIdLists: pulumi.ToStringArray(audiences),
			Tags:          pulumi.ToStringMap(args.Tags),
		}
		if args.Thumbprint == ThumbprintDynamic {
			providerArgs.ThumbprintLists = pulumi.StringArray{thumbprint(ctx, provider, issuer)}
		}
		options := []pulumi.ResourceOption{pulumi.Parent(provider),
			// Every role names it: without it no pod gets credentials.
			pulumi.Protect(args.Protect)}
		if issuer.Ready != nil {
			// A wait without a resource to wait for: the URL stays known in the
			// preview, and the provider is made only once the issuer answers.
			options = append(options, pulumi.DependsOnInputs(
				issuer.Ready.ToStringOutput().ApplyT(func(string) []pulumi.Resource { return nil }).(pulumi.ResourceArrayOutput)))
		}
		registered, err := iam.NewOpenIdConnectProvider(ctx, name+"-"+hostPath, providerArgs, options...)
		if err != nil {
			return nil, fmt.Errorf("IAM OIDC provider of %s: %w", issuer.URL, err)
		}
		provider.Issuers = append(provider.Issuers, Registered{
			URL: issuer.URL,
			Arn: registered.Arn,
			// IAM reports it without the scheme; the trim is for the preview,
			// in which the input stands for the output.
			IssuerHostPath: registered.Url.ApplyT(func(url string) string {
				return strings.TrimPrefix(url, "https://")
			}).(pulumi.StringOutput),
		})
	}
	provider.Arn = provider.Issuers[0].Arn
	provider.IssuerHostPath = provider.Issuers[0].IssuerHostPath
	if err := outputs.Register(ctx, provider); err != nil {
		return nil, fmt.Errorf("%s %q: %w", ProviderType, name, err)
	}
	return provider, nil
}

// thumbprint reads the chain that the issuer presents once it is ready.
func thumbprint(ctx *pulumi.Context, parent pulumi.Resource, issuer Issuer) pulumi.StringOutput {
	url := pulumi.String(issuer.URL).ToStringOutput()
	if issuer.Ready != nil {
		// The invoke must not run before there is a server to ask.
		url = issuer.Ready.ToStringOutput().ApplyT(func(string) string { return issuer.URL }).(pulumi.StringOutput)
	}
	chain := tls.GetCertificateOutput(ctx, tls.GetCertificateOutputArgs{
		Url: url.ToStringPtrOutput(),
	}, pulumi.Parent(parent))
	return chain.Certificates().ApplyT(func(certificates []tls.GetCertificateCertificate) (string, error) {
		sum, err := topIntermediate(certificates)
		if err != nil {
			return "", fmt.Errorf("thumbprint of %s: %w", issuer.URL, err)
		}
		return sum, nil
	}).(pulumi.StringOutput)
}

// topIntermediate returns the SHA-1 fingerprint (40 lower-case hex digits) of
// the certificate that IAM wants as a thumbprint, from a chain listed topmost
// first and leaf last, as tls.getCertificate lists it.
//
// That is the topmost CA certificate that is not a root: servers normally leave
// the root out, so it is the first of the list. Never the leaf: leaves are
// renewed every few months, and every renewal would then break all tokens. A
// self-signed CA is taken only where it is the sole CA presented, which is a
// private CA that signs leaves directly. A chain without a CA is an error.
func topIntermediate(certificates []tls.GetCertificateCertificate) (string, error) {
	selfSigned := ""
	for _, certificate := range certificates {
		if !certificate.IsCa {
			continue
		}
		if certificate.Issuer != certificate.Subject {
			return certificate.Sha1Fingerprint, nil
		}
		if selfSigned == "" {
			selfSigned = certificate.Sha1Fingerprint
		}
	}
	if selfSigned == "" {
		return "", errors.New("the server presents no CA certificate beside its own, and IAM's thumbprint must not be that of the leaf")
	}
	return selfSigned, nil
}

func (args *ProviderArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("Provider %q: args are missing", name)
	}
	var errs []error
	if len(args.Issuers) == 0 {
		errs = append(errs, errors.New("issuers are missing"))
	}
	seen := map[string]bool{}
	for _, issuer := range args.Issuers {
		errs = append(errs, ValidateIssuerURL(issuer.URL))
		if seen[issuer.URL] {
			errs = append(errs, fmt.Errorf("issuer %s is listed twice; IAM has one provider per URL", issuer.URL))
		}
		seen[issuer.URL] = true
	}
	if len(args.Audiences) > 100 {
		errs = append(errs, fmt.Errorf("%d audiences, IAM takes at most 100", len(args.Audiences)))
	}
	for _, audience := range args.Audiences {
		if audience == "" || len(audience) > 255 {
			errs = append(errs, fmt.Errorf("audience %q must have 1 to 255 characters", audience))
		}
	}
	if args.Thumbprint != "" && args.Thumbprint != ThumbprintNone && args.Thumbprint != ThumbprintDynamic {
		errs = append(errs, fmt.Errorf("thumbprint is %q, must be %s or %s", args.Thumbprint, ThumbprintNone, ThumbprintDynamic))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("Provider %q: %w", name, err)
	}
	return nil
}
