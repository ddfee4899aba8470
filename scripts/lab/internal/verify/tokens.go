package verify

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"k3s-aws-auth/scripts/internal/forge"
)

const stsAudience = "sts.amazonaws.com"

// tokenAttempts are the wrong callers of IRSA.
func (t *Target) tokenAttempts(ctx context.Context) ([]attempt, error) {
	right, err := t.Cluster.Token(ctx, t.Identity.Namespace, t.Identity.ServiceAccount, stsAudience)
	if err != nil {
		return nil, err
	}
	// The forgeries start from the claims of a token that AWS takes: only what is named is wrong with them.
	if err := t.assume(ctx, right); err != nil {
		return nil, fmt.Errorf("the identity's own token is refused: %w", err)
	}
	claims, kid, err := forge.Claims(right)
	if err != nil {
		return nil, err
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	with := func(namespace, account, audience string) func(context.Context) error {
		return func(ctx context.Context) error {
			token, err := t.Cluster.Token(ctx, namespace, account, audience)
			if err != nil {
				return fmt.Errorf("the cluster gave no token: %w", err)
			}
			return t.assume(ctx, token)
		}
	}
	forged := func(key *rsa.PrivateKey, kid string, change map[string]any) func(context.Context) error {
		return func(ctx context.Context) error {
			token, err := forge.Sign(jose.RS256, key, kid, forge.With(claims, change))
			if err != nil {
				return err
			}
			return t.assume(ctx, token)
		}
	}
	const elsewhere = "somewhere-else"
	return []attempt{
		{"another service account", "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
			with(t.Identity.Namespace, "default", stsAudience)},
		{"the same service account's name in another namespace", "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
			func(ctx context.Context) error {
				remove, err := t.Cluster.Account(ctx, elsewhere, t.Identity.ServiceAccount)
				if err != nil {
					return err
				}
				defer remove()
				return with(elsewhere, t.Identity.ServiceAccount, stsAudience)(ctx)
			}},
		{"another audience", "InvalidIdentityToken: Incorrect token audience",
			with(t.Identity.Namespace, t.Identity.ServiceAccount, "vault.example.com")},
		{"a token signed by another cluster's key", "InvalidIdentityToken", forged(other, "of-another-cluster", nil)},
		{"a token signed by another key under the right key id", "InvalidIdentityToken", forged(other, kid, nil)},
		{"an expired token", "ExpiredTokenException: Token expired", forged(t.SigningKey, kid, map[string]any{
			"iat": time.Now().Add(-3 * time.Hour).Unix(), "nbf": time.Now().Add(-3 * time.Hour).Unix(),
			"exp": time.Now().Add(-2 * time.Hour).Unix()})},
	}, nil
}

func (t *Target) assume(ctx context.Context, token string) error {
	config := t.AWS.Copy()
	config.Credentials = aws.AnonymousCredentials{}
	_, err := sts.NewFromConfig(config).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &t.Identity.RoleARN, RoleSessionName: aws.String("verify"), WebIdentityToken: &token})
	return err
}
