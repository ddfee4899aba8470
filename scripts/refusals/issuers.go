package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"

	"k3s-aws-auth/scripts/internal/forge"
)

// foreign is another cluster's issuer in the same account: a public bucket, an OIDC provider, and a role that trusts the
// identity's subject from it. Cases publish wrong documents there, and leave the cluster's own alone.
type foreign struct {
	url, bucket string
	key         *rsa.PrivateKey
	discovery   map[string]any
	keys        []jose.JSONWebKey
	private     bool // the bucket is not public
	audiences   []string
	noProvider  bool
	role        string
}

const (
	discoveryKey = ".well-known/openid-configuration"
	jwksKey      = "keys.json"
	foreignKid   = "of-another-cluster"
)

// Tries with another issuer whose tokens would be right, but for what its documents, its provider or the role's trust
// say.
var issuerCases = []Case{
	{Name: "foreign-issuer-own-role", For: tokens, What: "the right subject from another cluster's issuer, for the identity's role", Code: "AccessDenied", Text: notAuthorized,
		Try: func(ctx context.Context, t *Target) error {
			return t.foreign(ctx, nil, func(f *foreign, token string) error {
				if err := t.assume(ctx, f.role, token); err != nil {
					return broken(fmt.Errorf("the other issuer's own role: %w", err))
				}
				return t.assume(ctx, t.Identity.RoleARN, token)
			})
		}},
	{Name: "own-issuer-foreign-role", For: tokens, What: "the identity's token for a role that trusts another cluster's issuer", Code: "AccessDenied", Text: notAuthorized,
		Try: func(ctx context.Context, t *Target) error {
			own, err := t.token(ctx)
			if err != nil {
				return err
			}
			return t.foreign(ctx, nil, func(f *foreign, _ string) error { return t.assume(ctx, f.role, own) })
		}},
	{Name: "foreign-key-own-issuer", For: tokens, What: "a token that names the cluster's issuer, signed by another issuer's published key", Code: invalidToken, Text: noKey,
		Try: func(ctx context.Context, t *Target) error {
			g, err := t.genuine(ctx)
			if err != nil {
				return err
			}
			return t.foreign(ctx, nil, func(f *foreign, _ string) error {
				token, err := forge.Sign(jose.RS256, f.key, foreignKid, g.claims)
				if err != nil {
					return broken(err)
				}
				return t.assume(ctx, t.Identity.RoleARN, token)
			})
		}},
	published("jwks-duplicate-kid", "a JWKS with two keys of the same id", noKey, func(f *foreign) error {
		other, err := rsa.GenerateKey(rand.Reader, 2048)
		f.keys = append(f.keys, jose.JSONWebKey{Key: other.Public(), KeyID: foreignKid, Algorithm: "RS256", Use: "sig"})
		return err
	}),
	published("jwks-foreign-kid", "a JWKS that has the key under another id", noKey, func(f *foreign) error {
		f.keys[0].KeyID = "another"
		return nil
	}),
	published("jwks-foreign-key", "a JWKS that has another key under the token's id", "", func(f *foreign) error {
		other, err := rsa.GenerateKey(rand.Reader, 2048)
		f.keys[0].Key = other.Public()
		return err
	}),
	published("jwks-encryption-key", "a JWKS whose key is for encryption", noKey, func(f *foreign) error {
		f.keys[0].Use = "enc"
		return nil
	}),
	published("jwks-other-algorithm", "a JWKS whose key is for another algorithm", noKey, func(f *foreign) error {
		f.keys[0].Algorithm = "RS512"
		return nil
	}),
	published("jwks-empty", "a JWKS without keys", noKey, func(f *foreign) error {
		f.keys = nil
		return nil
	}),
	published("jwks-symmetric-key", "a JWKS with a symmetric key under the token's id", noKey, func(f *foreign) error {
		f.keys[0] = jose.JSONWebKey{Key: []byte(strings.Repeat("k", 32)), KeyID: foreignKid, Algorithm: "RS256", Use: "sig"}
		return nil
	}),
	published("jwks-missing", "a discovery document that leads to a JWKS that is not there", noKey, func(f *foreign) error {
		f.discovery["jwks_uri"] = f.url + "/gone.json"
		return nil
	}),
	published("jwks-by-http", "a discovery document that leads to a JWKS by plain HTTP", noKey, func(f *foreign) error {
		f.discovery["jwks_uri"] = strings.Replace(f.url, "https://", "http://", 1) + "/" + jwksKey
		return nil
	}),
	published("discovery-other-issuer", "a discovery document with another issuer", noKey, func(f *foreign) error {
		f.discovery["issuer"] = "https://oidc.other.example.com"
		return nil
	}),
	published("discovery-issuer-with-slash", "a discovery document whose issuer has a slash at its end", noKey, func(f *foreign) error {
		f.discovery["issuer"] = f.url + "/"
		return nil
	}),
	published("discovery-without-issuer", "a discovery document without an issuer", noKey, func(f *foreign) error {
		delete(f.discovery, "issuer")
		return nil
	}),
	published("discovery-missing", "an issuer without a discovery document", noKey, func(f *foreign) error {
		f.discovery = nil
		return nil
	}),
	published("documents-private", "an issuer whose bucket is not public", noKey, func(f *foreign) error {
		f.private = true
		return nil
	}),
	published("provider-missing", "an issuer that the account has no provider for", noProvider, func(f *foreign) error {
		f.noProvider = true
		return nil
	}),
	published("provider-other-audience", "a provider that takes another audience", wrongAudience, func(f *foreign) error {
		f.audiences = []string{"vault.example.com"}
		return nil
	}),
}

// published tries the token of another issuer that is right but for what change makes of it.
func published(name, what, text string, change func(*foreign) error) Case {
	return Case{Name: name, For: inBucket, What: what, Code: invalidToken, Text: text, Try: func(ctx context.Context, t *Target) error {
		return t.foreign(ctx, change, func(f *foreign, token string) error { return t.assume(ctx, f.role, token) })
	}}
}

// foreign makes another issuer with a change, lets use try it with a token of it for the identity's subject, and removes
// all of it.
func (t *Target) foreign(ctx context.Context, change func(*foreign) error, use func(f *foreign, token string) error) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return broken(err)
	}
	bucket := unique("issuer")
	f := &foreign{bucket: bucket, url: "https://" + t.bucketHost(bucket), key: key, audiences: []string{stsAudience},
		keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: foreignKid, Algorithm: "RS256", Use: "sig"}}}
	f.discovery = map[string]any{"issuer": f.url, "jwks_uri": f.url + "/" + jwksKey, "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}}
	if change != nil {
		if err := change(f); err != nil {
			return broken(err)
		}
	}
	var made []func()
	defer func() {
		for _, remove := range slices.Backward(made) {
			remove()
		}
	}()
	undo := func(remove func()) { made = append(made, remove) }
	if err := errors.Join(t.publish(ctx, f, undo), t.trust(ctx, f, undo)); err != nil {
		return broken(err)
	}
	subject := "system:serviceaccount:" + t.Identity.Namespace + ":" + t.Identity.ServiceAccount
	now := time.Now()
	token, err := forge.Sign(jose.RS256, key, foreignKid, map[string]any{"iss": f.url, "sub": subject, "aud": []string{stsAudience},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		return broken(err)
	}
	return use(f, token)
}

// publish puts the issuer's documents into a public bucket.
func (t *Target) publish(ctx context.Context, f *foreign, undo func(func())) error {
	client := s3.NewFromConfig(t.config(t.admin))
	after := context.WithoutCancel(ctx)
	in := &s3.CreateBucketInput{Bucket: &f.bucket}
	if t.Region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(t.Region)}
	}
	if _, err := client.CreateBucket(ctx, in); err != nil {
		return err
	}
	undo(func() { _, _ = client.DeleteBucket(after, &s3.DeleteBucketInput{Bucket: &f.bucket}) })
	put := func(key string, document any) error {
		data, err := json.Marshal(document)
		if err != nil {
			return err
		}
		_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: &f.bucket, Key: &key, Body: bytes.NewReader(data), ContentType: aws.String("application/json")})
		undo(func() { _, _ = client.DeleteObject(after, &s3.DeleteObjectInput{Bucket: &f.bucket, Key: &key}) })
		return err
	}
	if f.discovery != nil {
		if err := put(discoveryKey, f.discovery); err != nil {
			return err
		}
	}
	if f.keys == nil {
		f.keys = []jose.JSONWebKey{}
	}
	if err := put(jwksKey, jose.JSONWebKeySet{Keys: f.keys}); err != nil || f.private {
		return err
	}
	_, err := client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: &f.bucket, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
		BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(false), RestrictPublicBuckets: aws.Bool(false)}})
	if err != nil {
		return err
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/*"}]}`, f.bucket)
	// S3 may refuse a public policy for some seconds after the block allows it.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		_, err = client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &f.bucket, Policy: &policy})
		var denied smithy.APIError
		if !errors.As(err, &denied) || denied.ErrorCode() != "AccessDenied" || time.Now().After(deadline) {
			return err
		}
	}
}

// trust makes the provider of the issuer and a role that trusts the identity's subject from it.
func (t *Target) trust(ctx context.Context, f *foreign, undo func(func())) error {
	host := strings.TrimPrefix(f.url, "https://")
	provider := "arn:aws:iam::" + t.Account + ":oidc-provider/" + host
	if !f.noProvider {
		client := iam.NewFromConfig(t.config(t.admin))
		out, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &f.url, ClientIDList: f.audiences})
		if err != nil {
			return err
		}
		provider = *out.OpenIDConnectProviderArn
		undo(func() {
			_, _ = client.DeleteOpenIDConnectProvider(context.WithoutCancel(ctx), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &provider})
		})
	}
	arn, remove, err := t.role(ctx, fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":%q},
"Condition":{"StringEquals":{"%s:sub":"system:serviceaccount:%s:%s","%s:aud":%q}}}]}`, provider, host, t.Identity.Namespace, t.Identity.ServiceAccount, host, stsAudience))
	if err != nil {
		return err
	}
	undo(remove)
	f.role = arn
	return nil
}
