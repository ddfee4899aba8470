// Package account tells who can really be whom in an AWS account: which roles the issuer or the CA of a cluster can become,
// what the account has beside what the cluster's stack made, and who could make identities of the cluster. A Snapshot is
// read once and without changing anything; Analyze judges it without asking anybody.
package account

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	ratypes "github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Snapshot is what an account has, as plain data: names and policies, and no secret.
type Snapshot struct {
	Taken     time.Time `json:"taken"`
	Account   string    `json:"account"`
	Partition string    `json:"partition"`
	Region    string    `json:"region"`
	// Caller is the ARN of whoever has read it.
	Caller    string     `json:"caller"`
	Users     []User     `json:"users"`
	Groups    []Entity   `json:"groups,omitempty"`
	Roles     []Role     `json:"roles"`
	Policies  []Managed  `json:"policies,omitempty"`
	Providers []Provider `json:"providers,omitempty"`
	Anchors   []Anchor   `json:"anchors,omitempty"`
	Profiles  []Profile  `json:"profiles,omitempty"`
	Buckets   []Bucket   `json:"buckets,omitempty"`
	// Missing says what could not be read, and why: what is not there was not judged.
	Missing []string `json:"missing,omitempty"`
}

// Entity is what users, groups and roles have in common.
type Entity struct {
	ARN    string   `json:"arn"`
	Name   string   `json:"name"`
	Inline []Inline `json:"inline,omitempty"`
	// Attached are ARNs of managed policies.
	Attached []string          `json:"attached,omitempty"`
	Boundary string            `json:"boundary,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

// Inline is a policy within an entity.
type Inline struct {
	Name     string `json:"name"`
	Document string `json:"document"`
}

// User is a user, with the names of the groups that it is in.
type User struct {
	Entity
	Groups []string `json:"groups,omitempty"`
}

// Role is a role, with its trust policy and the names of the instance profiles that hold it.
type Role struct {
	Entity
	Trust    string   `json:"trust"`
	Machines []string `json:"instanceProfiles,omitempty"`
}

// Managed is a managed policy in its default version.
type Managed struct {
	ARN      string `json:"arn"`
	Document string `json:"document"`
}

// Provider is an OIDC provider. URL has no scheme, as IAM tells it.
type Provider struct {
	ARN     string   `json:"arn"`
	URL     string   `json:"url"`
	Clients []string `json:"clients,omitempty"`
}

// Anchor is a trust anchor of Roles Anywhere. Keys are the SHA-256 of its certificates' public keys in hexadecimal, Certificates
// the certificates themselves, DER in base64.
type Anchor struct {
	ARN     string   `json:"arn"`
	Name    string   `json:"name"`
	Enabled bool     `json:"enabled"`
	Keys    []string `json:"keys,omitempty"`

	Certificates []string `json:"certificates,omitempty"`
	// PCA is the ARN of the private CA of AWS that it trusts instead of certificates.
	PCA string `json:"pca,omitempty"`
}

// Profile is a profile of Roles Anywhere: the roles that a session may have, and what limits them.
type Profile struct {
	ARN      string   `json:"arn"`
	Name     string   `json:"name"`
	Enabled  bool     `json:"enabled"`
	Roles    []string `json:"roles,omitempty"`
	Policy   string   `json:"sessionPolicy,omitempty"`
	Policies []string `json:"managedPolicies,omitempty"`
	// Seconds are a session's length, and SessionName tells whether it may be named.
	Seconds     int  `json:"seconds,omitempty"`
	SessionName bool `json:"acceptsSessionName,omitempty"`
}

// Bucket is a bucket with its policy, which is empty where it has none.
type Bucket struct {
	Name   string `json:"name"`
	Policy string `json:"policy,omitempty"`
}

// Gather reads an account. It calls iam:GetAccountAuthorizationDetails, iam:ListOpenIDConnectProviders,
// iam:GetOpenIDConnectProvider, rolesanywhere:ListTrustAnchors, rolesanywhere:ListProfiles, s3:GetBucketPolicy of the buckets
// that are named, and iam:GetPolicy and iam:GetPolicyVersion of attached policies that the first does not give. It is an
// error where IAM's answer cannot be had; whatever else fails is in Missing.
func Gather(ctx context.Context, cfg aws.Config, buckets ...string) (*Snapshot, error) {
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("who calls: %w", err)
	}
	s := &Snapshot{Taken: time.Now().UTC().Truncate(time.Second), Account: aws.ToString(who.Account), Caller: aws.ToString(who.Arn), Region: cfg.Region}
	s.Partition, _, _ = strings.Cut(strings.TrimPrefix(s.Caller, "arn:"), ":")
	api := iam.NewFromConfig(cfg)
	if err := s.Details(ctx, api); err != nil {
		return nil, fmt.Errorf("the account's IAM: %w", err)
	}
	miss := func(what string, err error) {
		if err != nil {
			s.Missing = append(s.Missing, what+": "+plain(err))
		}
	}
	miss("attached policies", s.attached(ctx, api))
	s.Providers, err = Providers(ctx, api)
	miss("OIDC providers", err)
	ra := rolesanywhere.NewFromConfig(cfg)
	s.Anchors, err = Anchors(ctx, ra)
	miss("trust anchors", err)
	s.Profiles, err = Profiles(ctx, ra)
	miss("profiles of Roles Anywhere", err)
	files := s3.NewFromConfig(cfg)
	for _, name := range buckets {
		b := Bucket{Name: name}
		out, err := files.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &name})
		if coded(err, "NoSuchBucketPolicy") {
			err = nil
		}
		if err != nil {
			miss("the policy of bucket "+name, err)
			continue
		}
		if out != nil {
			b.Policy = aws.ToString(out.Policy)
		}
		s.Buckets = append(s.Buckets, b)
	}
	return s, nil
}

func coded(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// plain is an error of AWS without the ids of its request.
func plain(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}

// Details reads users, groups, roles and managed policies, or those kinds of them that are named. Their documents are URL-encoded
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html).
func (s *Snapshot) Details(ctx context.Context, api *iam.Client, kinds ...types.EntityType) error {
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(api, &iam.GetAccountAuthorizationDetailsInput{MaxItems: aws.Int32(1000), Filter: kinds})
	var errs []error
	text := func(document *string) string {
		// '+' is a plus sign by RFC 3986, which the unescaping of queries would take for a space.
		t, err := url.PathUnescape(aws.ToString(document))
		errs = append(errs, err)
		return t
	}
	inline := func(list []types.PolicyDetail) (out []Inline) {
		for _, p := range list {
			out = append(out, Inline{aws.ToString(p.PolicyName), text(p.PolicyDocument)})
		}
		return out
	}
	attached := func(list []types.AttachedPolicy) (out []string) {
		for _, p := range list {
			out = append(out, aws.ToString(p.PolicyArn))
		}
		return out
	}
	boundary := func(b *types.AttachedPermissionsBoundary) string {
		if b == nil {
			return ""
		}
		return aws.ToString(b.PermissionsBoundaryArn)
	}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.UserDetailList {
			s.Users = append(s.Users, User{Groups: u.GroupList, Entity: Entity{ARN: aws.ToString(u.Arn), Name: aws.ToString(u.UserName), Inline: inline(u.UserPolicyList),
				Attached: attached(u.AttachedManagedPolicies), Boundary: boundary(u.PermissionsBoundary), Tags: tagsOf(u.Tags)}})
		}
		for _, g := range page.GroupDetailList {
			s.Groups = append(s.Groups, Entity{ARN: aws.ToString(g.Arn), Name: aws.ToString(g.GroupName), Inline: inline(g.GroupPolicyList), Attached: attached(g.AttachedManagedPolicies)})
		}
		for _, r := range page.RoleDetailList {
			role := Role{Trust: text(r.AssumeRolePolicyDocument), Entity: Entity{ARN: aws.ToString(r.Arn), Name: aws.ToString(r.RoleName), Inline: inline(r.RolePolicyList),
				Attached: attached(r.AttachedManagedPolicies), Boundary: boundary(r.PermissionsBoundary), Tags: tagsOf(r.Tags)}}
			for _, p := range r.InstanceProfileList {
				role.Machines = append(role.Machines, aws.ToString(p.InstanceProfileName))
			}
			s.Roles = append(s.Roles, role)
		}
		for _, p := range page.Policies {
			for _, v := range p.PolicyVersionList {
				if aws.ToString(v.VersionId) == aws.ToString(p.DefaultVersionId) && v.Document != nil {
					s.Policies = append(s.Policies, Managed{aws.ToString(p.Arn), text(v.Document)})
				}
			}
		}
	}
	return errors.Join(errs...)
}

func tagsOf(list []types.Tag) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, t := range list {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// attached reads the policies in use that the account's details do not have.
func (s *Snapshot) attached(ctx context.Context, api *iam.Client) error {
	have := map[string]bool{}
	for _, p := range s.Policies {
		have[p.ARN] = true
	}
	var errs []error
	need := func(arn string) {
		if arn == "" || have[arn] {
			return
		}
		have[arn] = true
		out, err := api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s", arn, plain(err)))
			return
		}
		version, err := api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: out.Policy.DefaultVersionId})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s", arn, plain(err)))
			return
		}
		document, err := url.PathUnescape(aws.ToString(version.PolicyVersion.Document))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", arn, err))
			return
		}
		s.Policies = append(s.Policies, Managed{arn, document})
	}
	each := func(e *Entity) {
		for _, arn := range e.Attached {
			need(arn)
		}
		need(e.Boundary)
	}
	for i := range s.Users {
		each(&s.Users[i].Entity)
	}
	for i := range s.Groups {
		each(&s.Groups[i])
	}
	for i := range s.Roles {
		each(&s.Roles[i].Entity)
	}
	return errors.Join(errs...)
}

// Providers reads the account's OIDC providers, at most 100, of which the list has no more than the ARNs
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListOpenIDConnectProviders.html). Beside an error are those that
// were read before it.
func Providers(ctx context.Context, api *iam.Client) (out []Provider, err error) {
	list, err := api.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil {
		return nil, err
	}
	for _, entry := range list.OpenIDConnectProviderList {
		p, err := api.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: entry.Arn})
		if err != nil {
			return out, err
		}
		out = append(out, Provider{ARN: aws.ToString(entry.Arn), URL: aws.ToString(p.Url), Clients: p.ClientIDList})
	}
	return out, nil
}

// Anchors reads the region's trust anchors. Beside an error are those that were read before it.
func Anchors(ctx context.Context, api *rolesanywhere.Client) (out []Anchor, err error) {
	pages := rolesanywhere.NewListTrustAnchorsPaginator(api, &rolesanywhere.ListTrustAnchorsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return out, err
		}
		for _, a := range page.TrustAnchors {
			anchor := Anchor{ARN: aws.ToString(a.TrustAnchorArn), Name: aws.ToString(a.Name), Enabled: aws.ToBool(a.Enabled)}
			if a.Source != nil {
				switch d := a.Source.SourceData.(type) {
				case *ratypes.SourceDataMemberX509CertificateData:
					anchor.trust(d.Value)
				case *ratypes.SourceDataMemberAcmPcaArn:
					anchor.PCA = d.Value
				}
			}
			out = append(out, anchor)
		}
	}
	return out, nil
}

// Profiles reads the region's profiles of Roles Anywhere. Beside an error are those that were read before it.
func Profiles(ctx context.Context, api *rolesanywhere.Client) (out []Profile, err error) {
	pages := rolesanywhere.NewListProfilesPaginator(api, &rolesanywhere.ListProfilesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return out, err
		}
		for _, p := range page.Profiles {
			out = append(out, Profile{ARN: aws.ToString(p.ProfileArn), Name: aws.ToString(p.Name), Enabled: aws.ToBool(p.Enabled), Roles: p.RoleArns,
				Policy: aws.ToString(p.SessionPolicy), Policies: p.ManagedPolicyArns,
				Seconds: int(aws.ToInt32(p.DurationSeconds)), SessionName: aws.ToBool(p.AcceptRoleSessionName)})
		}
	}
	return out, nil
}

// trust adds the certificates of a bundle, and sorts the keys.
func (a *Anchor) trust(bundle string) {
	rest := []byte(bundle)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			slices.Sort(a.Keys)
			return
		}
		a.Certificates = append(a.Certificates, base64.StdEncoding.EncodeToString(block.Bytes))
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
			a.Keys = append(a.Keys, hex.EncodeToString(sum[:]))
		}
	}
}
