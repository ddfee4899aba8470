// Package rolesanywhere makes what IAM Roles Anywhere needs: certificate
// authorities of one's own with a trust anchor ([NewAnchor]), a profile
// ([NewProfile]) and leaf certificates ([NewLeaf]). All keys are born in the
// graph and are secrets of the stack.
package rolesanywhere

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudcontrol"
	ra "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/rolesanywhere"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/pki"
	"k3s-aws-auth/components/rules"
)

// Type tokens of the components.
const (
	AnchorType  = "k3s-aws-auth:rolesanywhere:Anchor"
	ProfileType = "k3s-aws-auth:rolesanywhere:Profile"
	LeafType    = "k3s-aws-auth:rolesanywhere:Leaf"
)

// Defaults and limits; the limits are those of IAM Roles Anywhere.
const (
	maxCertificates = 2 // of an anchor
	maxResourceName = 255
)

// Organization is the subject organization of all certificates made here.
const Organization = "k3s-aws-auth"

var (
	resourceNamePattern = regexp.MustCompile(`^[ a-zA-Z0-9_-]{1,255}$`)
	// commonNamePattern is the alphabet of an STS source identity, which is
	// "CN=" and the common name, 64 characters at most.
	commonNamePattern = regexp.MustCompile(`^[\w+=,.@-]{1,61}$`)
)

// AnchorArgs describes a trust anchor and its certificate authorities.
type AnchorArgs struct {
	// Name is the anchor's name, letters, digits, space, _ and -, at most 255;
	// empty leaves it to Pulumi.
	Name string
	// CAs are the certificate authorities: the active one signs leaves, all are
	// trusted. Nil means one, [keyset.Default]. At most two, AWS's limit.
	CAs []keyset.Member
	// CAValidityHours is how long each CA is valid; 0 means
	// [rules.DefaultCAValidityHours].
	CAValidityHours int
	// Protect makes Pulumi refuse to delete the CAs' keys, their certificates
	// and the trust anchor.
	Protect bool
	Tags    map[string]string
}

// Anchor is a trust anchor with its certificate authorities.
type Anchor struct {
	pulumi.ResourceState

	// Arn is the trust anchor's ARN.
	Arn pulumi.StringOutput `pulumi:"arn"`
	// CAKeyPem (secret) and CACertPem are those of the CA that signs.
	CAKeyPem  pulumi.StringOutput `pulumi:"caKeyPem"`
	CACertPem pulumi.StringOutput `pulumi:"caCertPem"`
	// BundlePem holds the certificates of all CAs.
	BundlePem pulumi.StringOutput `pulumi:"bundlePem"`

	cas []authority // by name
}

// authority is a CA of an anchor.
type authority struct {
	keyset.Member
	keyPem, certPem pulumi.StringOutput
}

// NewAnchor makes the certificate authorities and the trust anchor.
//
// AWS warns 45 days before a CA or a leaf ends (its default notification
// settings, which are left alone, because any of one's own replaces the anchor).
func NewAnchor(ctx *pulumi.Context, name string, args *AnchorArgs, opts ...pulumi.ResourceOption) (*Anchor, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	anchor := &Anchor{}
	if err := ctx.RegisterComponentResource(AnchorType, name, anchor, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", AnchorType, name, err)
	}
	cas := args.CAs
	if len(cas) == 0 {
		cas = keyset.Default()
	}
	var certificates []any
	for _, ca := range keyset.Sorted(cas) {
		certificate, err := newCA(ctx, name, ca, anchor, args)
		if err != nil {
			return nil, err
		}
		anchor.cas = append(anchor.cas, authority{ca, certificate.KeyPem, certificate.CertPem})
		if ca.State == keyset.Active {
			anchor.CAKeyPem, anchor.CACertPem = certificate.KeyPem, certificate.CertPem
		}
		certificates = append(certificates, certificate.CertPem)
	}
	anchor.BundlePem = pulumi.All(certificates...).ApplyT(func(pems []any) string {
		var bundle strings.Builder
		for _, pem := range pems {
			bundle.WriteString(strings.TrimSpace(pem.(string)) + "\n")
		}
		return bundle.String()
	}).(pulumi.StringOutput)

	anchorArgs := &ra.TrustAnchorArgs{
		// Unset would be sent as false, and a disabled anchor refuses every
		// session.
		Enabled: pulumi.Bool(true),
		Source: ra.TrustAnchorSourceArgs{
			SourceType: pulumi.String("CERTIFICATE_BUNDLE"),
			SourceData: ra.TrustAnchorSourceSourceDataArgs{X509CertificateData: anchor.BundlePem},
		},
		Tags: pulumi.ToStringMap(args.Tags),
	}
	if args.Name != "" {
		anchorArgs.Name = pulumi.String(args.Name)
	}
	resource, err := ra.NewTrustAnchor(ctx, names.Autonamed(name+"-anchor", maxResourceName), anchorArgs, pulumi.Parent(anchor),
		// Roles name the anchor by its ARN: without it no role can be assumed.
		pulumi.Protect(args.Protect))
	if err != nil {
		return nil, fmt.Errorf("trust anchor %s: %w", name, err)
	}
	anchor.Arn = resource.Arn
	if err := outputs.Register(ctx, anchor); err != nil {
		return nil, fmt.Errorf("%s %q: %w", AnchorType, name, err)
	}
	return anchor, nil
}

func newCA(ctx *pulumi.Context, name string, ca keyset.Member, parent pulumi.Resource, args *AnchorArgs) (*pki.Certificate, error) {
	prefix := name + "-ca-" + ca.Name
	return pki.NewCertificate(ctx, &pki.CertificateArgs{
		Name: prefix + "-cert", KeyName: prefix + "-key",
		CommonName:    names.Shorten(prefix, 64),
		Organization:  Organization,
		IsCA:          true,
		Uses:          []string{pki.CertSigning, pki.CRLSigning},
		ValidityHours: cmp.Or(args.CAValidityHours, rules.DefaultCAValidityHours),
	}, pulumi.Parent(parent),
		// A CA that is lost takes every leaf with it. One that is retiring is about to
		// be removed.
		pulumi.Protect(args.Protect && ca.State != keyset.Retiring))
}

// ProfileArgs describes a profile: the roles that sessions can be made for.
type ProfileArgs struct {
	// Name is the profile's name, letters, digits, space, _ and -, at most
	// 255; empty leaves it to Pulumi.
	Name string
	// RoleArns are the roles, at most 250. Which certificate may assume which
	// role is up to the roles' trust policies.
	RoleArns pulumi.StringArrayInput
	// DurationSeconds is the length of a session, 900 to 43200; 0 means
	// [rules.DefaultSessionSeconds]. Above the maximum of a role, CreateSession for
	// that role fails.
	DurationSeconds int
	// Named makes a second profile beside, for the same roles, which lets those
	// who ask for a session name it; nil makes none.
	Named *NamedArgs
	Tags  map[string]string
}

// NamedArgs says where the second profile is made, which its ARN follows from.
// All three are required.
type NamedArgs struct {
	Partition, Region, AccountID string
}

// Profile is a Roles Anywhere profile.
type Profile struct {
	pulumi.ResourceState

	Arn pulumi.StringOutput `pulumi:"arn"`
	// NamedArn is the ARN of the profile that accepts names of sessions, and
	// [Profile.Arn] where there is none.
	NamedArn pulumi.StringOutput
}

// NewProfile makes the profile. With [ProfileArgs.Named] the one that accepts
// names comes in addition, not in its place: a process that has read the ARN of
// the first goes on getting sessions by it until it ends.
func NewProfile(ctx *pulumi.Context, name string, args *ProfileArgs, opts ...pulumi.ResourceOption) (*Profile, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	profile := &Profile{}
	if err := ctx.RegisterComponentResource(ProfileType, name, profile, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", ProfileType, name, err)
	}
	roles := args.RoleArns.ToStringArrayOutput().ApplyT(func(arns []string) ([]string, error) {
		if len(arns) == 0 || len(arns) > rules.MaxProfileRoles {
			return nil, fmt.Errorf("profile %s has %d roles, must have 1 to %d", name, len(arns), rules.MaxProfileRoles)
		}
		return arns, nil
	}).(pulumi.StringArrayOutput)
	profileArgs := &ra.ProfileArgs{
		// What AWS takes an unset value for is not known.
		Enabled:         pulumi.Bool(true),
		DurationSeconds: pulumi.Int(cmp.Or(args.DurationSeconds, rules.DefaultSessionSeconds)),
		RoleArns:        roles,
		Tags:            pulumi.ToStringMap(args.Tags),
	}
	if args.Name != "" {
		profileArgs.Name = pulumi.String(args.Name)
	}
	resource, err := ra.NewProfile(ctx, names.Autonamed(name+"-profile", maxResourceName), profileArgs, pulumi.Parent(profile))
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	profile.Arn, profile.NamedArn = resource.Arn, resource.Arn
	if args.Named != nil {
		if profile.NamedArn, err = newNamed(ctx, name+"-named", profile, args, roles); err != nil {
			return nil, err
		}
	}
	if err := outputs.Register(ctx, profile); err != nil {
		return nil, fmt.Errorf("%s %q: %w", ProfileType, name, err)
	}
	return profile, nil
}

// profileState is the desired state of the CloudFormation resource type
// AWS::RolesAnywhere::Profile, as far as it is set here
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rolesanywhere-profile.html).
type profileState struct {
	AcceptRoleSessionName bool
	DurationSeconds       int
	Enabled               bool
	Name                  string
	RoleArns              []string
	Tags                  []resourceTag
}

type resourceTag struct{ Key, Value string }

// newNamed makes the profile that accepts names of sessions and returns its
// ARN. The AWS provider's own resource of profiles cannot say so in v6; Cloud
// Control can.
func newNamed(ctx *pulumi.Context, name string, profile *Profile, args *ProfileArgs, roles pulumi.StringArrayOutput) (pulumi.StringOutput, error) {
	state := profileState{
		AcceptRoleSessionName: true,
		DurationSeconds:       cmp.Or(args.DurationSeconds, rules.DefaultSessionSeconds),
		Enabled:               true,
		// Required there. Names of profiles need not be unique.
		Name: names.Shorten(cmp.Or(args.Name, name), maxResourceName),
		Tags: []resourceTag{},
	}
	for _, key := range slices.Sorted(maps.Keys(args.Tags)) {
		state.Tags = append(state.Tags, resourceTag{key, args.Tags[key]})
	}
	resource, err := cloudcontrol.NewResource(ctx, name, &cloudcontrol.ResourceArgs{
		TypeName: pulumi.String("AWS::RolesAnywhere::Profile"),
		DesiredState: roles.ApplyT(func(arns []string) (string, error) {
			state := state
			// A change is sent as a patch that names roles by their place, so
			// the places must be those that AWS has, sorted or as given.
			state.RoleArns = slices.Sorted(slices.Values(arns))
			text, err := json.Marshal(state)
			return string(text), err
		}).(pulumi.StringOutput),
	}, pulumi.Parent(profile))
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("profile %s, which accepts names of sessions: %w", name, err)
	}
	// Not from the resource's properties: they are unknown in the preview of
	// every change, and with them all that names the profile.
	where := args.Named
	return pulumi.Sprintf("arn:%s:rolesanywhere:%s:%s:profile/%s", where.Partition, where.Region, where.AccountID, resource.ID()), nil
}

// LeafArgs describes the certificate of one pod identity.
type LeafArgs struct {
	// CommonName is the subject common name that the role's trust policy
	// names (see names.CommonName), at most 61 characters.
	CommonName string
	// CAKeyPem and CACertPem are those of the CA that signs.
	CAKeyPem  pulumi.StringInput
	CACertPem pulumi.StringInput
	// ValidityHours is how long the certificate is valid, EarlyRenewalHours
	// how long before its end a `pulumi up` renews it (0: only once it is
	// over). Both 0 means [rules.DefaultLeafValidityHours] and
	// [rules.DefaultLeafEarlyRenewalHours]. Nothing renews a certificate between
	// deployments, and nothing revokes the old one.
	ValidityHours     int
	EarlyRenewalHours int
	// Renewal is a value whose change renews the key, and with it the certificate
	// (see [NewRenewal]); nil keeps the key as long as the identity lives.
	Renewal pulumi.StringInput
}

// Leaf is a certificate with its key. It needs no tags: it is no AWS resource.
type Leaf struct {
	pulumi.ResourceState

	CertPem pulumi.StringOutput `pulumi:"certPem"`
	// KeyPem is a secret.
	KeyPem pulumi.StringOutput `pulumi:"keyPem"`
	// ValidUntil is the certificate's end, RFC 3339.
	ValidUntil pulumi.StringOutput `pulumi:"validUntil"`
	// Serial is its serial number in hexadecimal.
	Serial pulumi.StringOutput `pulumi:"serial"`
}

// NewRenewal returns a value that changes whenever leaves of the given validity
// are due for renewal, by the next `pulumi up`. A certificate that is renewed goes
// on with its key, since the key comes first: the provider tells only of
// certificates when they are due. So it is a certificate that nobody presents, and
// its key is a key for nothing else.
func NewRenewal(ctx *pulumi.Context, name string, validityHours, earlyRenewalHours int, options ...pulumi.ResourceOption) (pulumi.StringOutput, error) {
	clock, err := pki.NewCertificate(ctx, &pki.CertificateArgs{
		Name: name + "-clock", KeyName: name + "-key",
		CommonName:        "renewal of leaves",
		Uses:              []string{pki.DigitalSignature},
		ValidityHours:     validityHours,
		EarlyRenewalHours: pulumi.Int(earlyRenewalHours),
	}, options...)
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	return clock.ValidFrom, nil
}

// NewLeaf makes the key and the certificate: no CA, for digital signatures
// (which Roles Anywhere requires) and client authentication.
func NewLeaf(ctx *pulumi.Context, name string, args *LeafArgs, opts ...pulumi.ResourceOption) (*Leaf, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	leaf := &Leaf{}
	if err := ctx.RegisterComponentResource(LeafType, name, leaf, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", LeafType, name, err)
	}
	validity, early := args.hours()
	certificate, err := pki.NewCertificate(ctx, &pki.CertificateArgs{
		Name: name + "-cert", KeyName: name + "-key", RequestName: name + "-request",
		CommonName:        args.CommonName,
		Organization:      Organization,
		Uses:              []string{pki.DigitalSignature, pki.ClientAuth},
		ValidityHours:     validity,
		EarlyRenewalHours: pulumi.Int(early),
		KeyRenewal:        args.Renewal,
		Issuer:            &pki.Issuer{CertPem: args.CACertPem, KeyPem: args.CAKeyPem},
	}, pulumi.Parent(leaf))
	if err != nil {
		return nil, fmt.Errorf("leaf of %s: %w", args.CommonName, err)
	}
	leaf.CertPem, leaf.KeyPem, leaf.ValidUntil = certificate.CertPem, certificate.KeyPem, certificate.ValidUntil
	leaf.Serial = leaf.CertPem.ApplyT(serialOf).(pulumi.StringOutput)
	if err := outputs.Register(ctx, leaf); err != nil {
		return nil, fmt.Errorf("%s %q: %w", LeafType, name, err)
	}
	return leaf, nil
}

// hours returns the validity and the early renewal, or their defaults.
func (args *LeafArgs) hours() (validity, renewal int) {
	if args.ValidityHours == 0 && args.EarlyRenewalHours == 0 {
		return rules.DefaultLeafValidityHours, rules.DefaultLeafEarlyRenewalHours
	}
	return args.ValidityHours, args.EarlyRenewalHours
}

func (args *AnchorArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("Anchor %q: args are missing", name)
	}
	errs := []error{validateName(args.Name)}
	if args.CAValidityHours < 0 {
		errs = append(errs, fmt.Errorf("CAValidityHours is %d, must not be negative", args.CAValidityHours))
	}
	if args.CAs != nil {
		for _, problem := range keyset.Validate(args.CAs, maxCertificates) {
			errs = append(errs, fmt.Errorf("CAs%s: found %s, must be %s", problem.Key, problem.Found, problem.Must))
		}
	}
	return wrap("Anchor", name, errs)
}

func (args *ProfileArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("Profile %q: args are missing", name)
	}
	errs := []error{validateName(args.Name)}
	if args.RoleArns == nil {
		errs = append(errs, errors.New("RoleArns are missing"))
	}
	if d := cmp.Or(args.DurationSeconds, rules.DefaultSessionSeconds); d < rules.MinSessionSeconds || d > rules.MaxSessionSeconds {
		errs = append(errs, fmt.Errorf("DurationSeconds is %d, must be %d to %d", d, rules.MinSessionSeconds, rules.MaxSessionSeconds))
	}
	if n := args.Named; n != nil && (n.Partition == "" || n.Region == "" || n.AccountID == "") {
		errs = append(errs, fmt.Errorf("the named profile is %+v, must say Partition, Region and AccountID", *n))
	}
	return wrap("Profile", name, errs)
}

func (args *LeafArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("Leaf %q: args are missing", name)
	}
	var errs []error
	if !commonNamePattern.MatchString(args.CommonName) {
		errs = append(errs, fmt.Errorf("CommonName is %q, must be 1 to %d letters, digits and _+=,.@-", args.CommonName, names.MaxCommonName))
	}
	if args.CAKeyPem == nil || args.CACertPem == nil {
		errs = append(errs, errors.New("CAKeyPem or CACertPem is missing"))
	}
	if args.ValidityHours < 0 || args.EarlyRenewalHours < 0 {
		errs = append(errs, errors.New("ValidityHours and EarlyRenewalHours must not be negative"))
	}
	if validity, renewal := args.hours(); renewal >= validity {
		errs = append(errs, fmt.Errorf("EarlyRenewalHours is %d, must be less than ValidityHours, %d: every deployment would renew", renewal, validity))
	}
	return wrap("Leaf", name, errs)
}

func validateName(name string) error {
	if name != "" && !resourceNamePattern.MatchString(name) {
		return fmt.Errorf("name is %q, must be 1 to 255 letters, digits, spaces, _ and -", name)
	}
	return nil
}

func wrap(kind, name string, errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s %q: %w", kind, name, err)
	}
	return nil
}
