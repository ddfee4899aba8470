package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func identityDrills() []*Drill {
	deleted := func(text string) Expectation {
		return Expectation{Kept: Fails, Fresh: Fails, New: Fails, Error: "InvalidClientTokenId|" + text, Restart: []View{Kept}}
	}
	return []*Drill{
		{
			ID: "role-deleted", Article: "F-04", Title: "IAM role deleted",
			Does:   "delete the identity's IAM role with its policies, and later make it again",
			Told:   toldAlways("role-missing"),
			Expect: withOwnRole(deleted),
			Note: "The published comparison saw a session outlive its role until it ended; AWS documents neither. The lab ends it with the role, and a " +
				"role of the same name is another one, so a kept session stays refused after the recovery.",
			Inject: deleteRole,
		},
		{
			ID: "provider-deleted", Article: "F-05", Title: "IAM OIDC provider deleted",
			Does:   "delete the issuer's IAM OIDC provider, and later make it again",
			Told:   toldAlways("provider-missing"),
			Expect: withToken(sessionsGoOn(noProvider), noOIDC),
			Inject: deleteProvider,
		},
		{
			ID: "trust-mismatch", Article: "F-06", Title: "trust policy names another subject",
			Does:   "change the role's trust policy to the name of another ServiceAccount or certificate",
			Told:   toldWithRole("trust-subject", "trust-name"),
			Expect: withOwnRole(sessionsGoOn),
			Note:   "The error is the one of a deleted role: AWS does not tell which.",
			Inject: mismatchTrust,
		},
	}
}

// deleteRole takes a role away with everything that hangs on it.
func deleteRole(ctx context.Context, t *Target, r *Recovery) error {
	client := t.IAM()
	found, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &t.RoleName})
	if err != nil {
		return err
	}
	role := found.Role
	trust, err := url.QueryUnescape(aws.ToString(role.AssumeRolePolicyDocument))
	if err != nil {
		return err
	}
	tags, err := client.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: &t.RoleName})
	if err != nil {
		return err
	}
	names, err := client.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &t.RoleName})
	if err != nil {
		return err
	}
	inline := map[string]string{}
	for _, n := range names.PolicyNames {
		p, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &t.RoleName, PolicyName: &n})
		if err != nil {
			return err
		}
		if inline[n], err = url.QueryUnescape(aws.ToString(p.PolicyDocument)); err != nil {
			return err
		}
	}
	attached, err := client.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &t.RoleName})
	if err != nil {
		return err
	}
	if names.IsTruncated || attached.IsTruncated || tags.IsTruncated {
		return fmt.Errorf("role %s has more policies or tags than the drill would restore", t.RoleName)
	}
	r.Add("make role "+t.RoleName+" again", func(ctx context.Context) error {
		in := &iam.CreateRoleInput{RoleName: role.RoleName, Path: role.Path, AssumeRolePolicyDocument: &trust, Description: role.Description,
			MaxSessionDuration: role.MaxSessionDuration, Tags: tags.Tags}
		if role.PermissionsBoundary != nil {
			in.PermissionsBoundary = role.PermissionsBoundary.PermissionsBoundaryArn
		}
		var exists *types.EntityAlreadyExistsException
		if _, err := client.CreateRole(ctx, in); err != nil && !errors.As(err, &exists) {
			return err
		}
		for n, document := range inline {
			if _, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &t.RoleName, PolicyName: &n, PolicyDocument: &document}); err != nil {
				return err
			}
		}
		for _, p := range attached.AttachedPolicies {
			if _, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &t.RoleName, PolicyArn: p.PolicyArn}); err != nil {
				return err
			}
		}
		return nil
	})
	for n := range inline {
		if _, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &t.RoleName, PolicyName: &n}); err != nil {
			return err
		}
	}
	for _, p := range attached.AttachedPolicies {
		if _, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &t.RoleName, PolicyArn: p.PolicyArn}); err != nil {
			return err
		}
	}
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &t.RoleName})
	return err
}

func deleteProvider(ctx context.Context, t *Target, r *Recovery) error {
	client, arn := t.IAM(), t.ProviderARN()
	p, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if err != nil {
		return err
	}
	r.Add("make OIDC provider "+arn+" again", func(ctx context.Context) error {
		_, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://" + t.IssuerHost),
			ClientIDList: p.ClientIDList, ThumbprintList: p.ThumbprintList, Tags: p.Tags})
		var exists *types.EntityAlreadyExistsException
		if errors.As(err, &exists) {
			return nil
		}
		return err
	})
	_, err = client.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	return err
}

func mismatchTrust(ctx context.Context, t *Target, r *Recovery) error {
	client := t.IAM()
	role, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &t.RoleName})
	if err != nil {
		return err
	}
	trust, err := url.QueryUnescape(aws.ToString(role.Role.AssumeRolePolicyDocument))
	if err != nil {
		return err
	}
	other, err := otherSubject(trust)
	if err != nil {
		return err
	}
	r.Add("restore the trust policy of role "+t.RoleName, func(ctx context.Context) error {
		_, err := client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &t.RoleName, PolicyDocument: &trust})
		return err
	})
	_, err = client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &t.RoleName, PolicyDocument: &other})
	return err
}

// otherSubject returns a trust policy in which every condition on a token's subject or a certificate's common name names
// somebody else. A policy without one is an error: it would trust everybody.
func otherSubject(trust string) (string, error) {
	var document any
	if err := json.Unmarshal([]byte(trust), &document); err != nil {
		return "", fmt.Errorf("trust policy: %w", err)
	}
	changed := 0
	var rename func(v any) any
	rename = func(v any) any {
		switch v := v.(type) {
		case string:
			changed++
			return v + "-drill"
		case []any:
			for i := range v {
				v[i] = rename(v[i])
			}
		}
		return v
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for k, e := range v {
				if strings.HasSuffix(k, ":sub") || strings.HasSuffix(k, "x509Subject/CN") {
					v[k] = rename(e)
					continue
				}
				walk(e)
			}
		}
	}
	walk(document)
	if changed == 0 {
		return "", errors.New("the trust policy names no subject")
	}
	out, err := json.Marshal(document)
	return string(out), err
}
