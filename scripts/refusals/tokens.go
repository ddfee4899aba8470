package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"k3s-aws-auth/scripts/internal/forge"
)

const (
	invalidToken  = "InvalidIdentityToken"
	notAuthorized = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	noKey         = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"
	wrongAudience = "Incorrect token audience"
	noProvider    = "No OpenIDConnect provider found in your account for "
)

// genuine is the identity's own token taken apart, and the key that signs the cluster's tokens: each forgery is like it
// but for one thing.
type genuine struct {
	token  string
	claims map[string]any
	kid    string
	key    *rsa.PrivateKey
}

func (t *Target) genuine(ctx context.Context) (g genuine, err error) {
	if g.token, err = t.token(ctx); err != nil {
		return g, err
	}
	if g.claims, g.kid, err = forge.Claims(g.token); err != nil {
		return g, broken(err)
	}
	g.key, err = t.State.SigningKey()
	return g, broken(err)
}

// header is that of the genuine token with changes.
func (g genuine) header(change map[string]any) map[string]any {
	return forge.With(map[string]any{"alg": "RS256", "kid": g.kid}, change)
}

// Tries with tokens at STS. What is signed with the cluster's key shows what holds where even that key is stolen or misled.
var tokenCases = []Case{
	forged("token-unsigned", "the right claims with `alg: none` and no signature", invalidToken, "", func(g genuine) (string, error) {
		return forge.Assemble(g.header(map[string]any{"alg": "none"}), g.claims, nil)
	}),
	forged("token-unsigned-in-case", "the right claims with `alg: nOnE`", invalidToken, "", func(g genuine) (string, error) {
		return forge.Assemble(g.header(map[string]any{"alg": "nOnE"}), g.claims, nil)
	}),
	forged("token-unsigned-with-signature", "a genuine token whose header says `alg: none`", invalidToken, "", func(g genuine) (string, error) {
		h, err := forge.Encode(g.header(map[string]any{"alg": "none"}))
		if err != nil {
			return "", err
		}
		return forge.ReplacePart(g.token, 0, h)
	}),
	forged("token-signature-dropped", "a genuine token without its signature", invalidToken, "", func(g genuine) (string, error) {
		return forge.ReplacePart(g.token, 2, "")
	}),
	forged("token-key-confused-pem", "an HMAC by the public key in PEM (`alg: HS256`)", invalidToken, "", func(g genuine) (string, error) {
		der, err := x509.MarshalPKIXPublicKey(g.key.Public())
		if err != nil {
			return "", err
		}
		return forge.HMAC(g.header(map[string]any{"alg": "HS256"}), g.claims, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}),
	forged("token-key-confused-der", "an HMAC by the public key in DER (`alg: HS256`)", invalidToken, "", func(g genuine) (string, error) {
		der, err := x509.MarshalPKIXPublicKey(g.key.Public())
		if err != nil {
			return "", err
		}
		return forge.HMAC(g.header(map[string]any{"alg": "HS256"}), g.claims, der)
	}),
	forged("token-key-confused-modulus", "an HMAC by the modulus that the JWKS shows", invalidToken, "", func(g genuine) (string, error) {
		return forge.HMAC(g.header(map[string]any{"alg": "HS256"}), g.claims, []byte(base64.RawURLEncoding.EncodeToString(g.key.N.Bytes())))
	}),
	forged("token-hmac-as-rs256", "an HMAC that says `alg: RS256`", invalidToken, "", func(g genuine) (string, error) {
		return forge.HMAC(g.header(nil), g.claims, g.key.N.Bytes())
	}),
	forged("token-pss", "the right key with an algorithm that AWS does not take (`alg: PS256`)", invalidToken, "", func(g genuine) (string, error) {
		return forge.Sign(jose.PS256, g.key, g.kid, g.claims)
	}),
	forged("token-claims-altered", "a genuine token whose subject was changed", invalidToken, "", func(g genuine) (string, error) {
		c, err := forge.Encode(forge.With(g.claims, map[string]any{"sub": "system:serviceaccount:kube-system:admin"}))
		if err != nil {
			return "", err
		}
		return forge.ReplacePart(g.token, 1, c)
	}),
	forged("token-prolonged", "a genuine token whose expiry was changed", invalidToken, "", func(g genuine) (string, error) {
		c, err := forge.Encode(forge.With(g.claims, map[string]any{"exp": time.Now().Add(48 * time.Hour).Unix()}))
		if err != nil {
			return "", err
		}
		return forge.ReplacePart(g.token, 1, c)
	}),
	forged("token-foreign-key", "the right claims, signed by another key under the right key id", invalidToken, "", byAnotherKey(func(g genuine, key *rsa.PrivateKey) (string, error) {
		return forge.Sign(jose.RS256, key, g.kid, g.claims)
	})),
	forged("token-foreign-kid", "the right claims, signed by another cluster's key under its key id", invalidToken, noKey, byAnotherKey(func(g genuine, key *rsa.PrivateKey) (string, error) {
		return forge.Sign(jose.RS256, key, "of-another-cluster", g.claims)
	})),
	forged("token-without-kid", "the right claims, signed by another key and no key id", invalidToken, "", byAnotherKey(func(g genuine, key *rsa.PrivateKey) (string, error) {
		return forge.Sign(jose.RS256, key, "", g.claims)
	})),
	forged("token-brings-its-key", "another key that the token itself brings along (`jwk`)", invalidToken, "", byAnotherKey(func(g genuine, key *rsa.PrivateKey) (string, error) {
		jwk := jose.JSONWebKey{Key: key.Public(), KeyID: g.kid, Algorithm: "RS256", Use: "sig"}
		return forge.SignHeader(g.header(map[string]any{"jwk": jwk}), g.claims, key)
	})),
	forged("token-brings-its-address", "another key at an address that the token names (`jku`)", invalidToken, "", byAnotherKey(func(g genuine, key *rsa.PrivateKey) (string, error) {
		return forge.SignHeader(g.header(map[string]any{"jku": "https://keys.example.com/jwks"}), g.claims, key)
	})),
	forged("token-critical-extension", "the right key, with a critical header that nobody knows (`crit`)", invalidToken, "", func(g genuine) (string, error) {
		return forge.SignHeader(g.header(map[string]any{"crit": []string{"http://example.com/unknown"}, "http://example.com/unknown": true}), g.claims, g.key)
	}),
	forged("token-as-json", "a genuine token in the JSON serialization", invalidToken, "", func(g genuine) (string, error) {
		parts := strings.Split(g.token, ".")
		b, err := json.Marshal(map[string]string{"protected": parts[0], "payload": parts[1], "signature": parts[2]})
		return string(b), err
	}),
	forged("token-too-long", "a token of more than 20,000 characters", "ValidationError", "20000", func(g genuine) (string, error) {
		return forge.Sign(jose.RS256, g.key, g.kid, forge.With(g.claims, map[string]any{"padding": strings.Repeat("x", 20000)}))
	}),
	claim("token-expired", "a token of the right key that has expired", "ExpiredTokenException", "must be before the expiration date/time ", func() map[string]any {
		return map[string]any{"iat": time.Now().Add(-3 * time.Hour).Unix(), "nbf": time.Now().Add(-3 * time.Hour).Unix(), "exp": time.Now().Add(-2 * time.Hour).Unix()}
	}),
	{Name: "token-replayed-past-expiry", For: tokens, What: "a token that was accepted, once more after its expiry", Code: "ExpiredTokenException", Text: "Token expired: current date/time ",
		Try: func(ctx context.Context, t *Target) error {
			g, err := t.genuine(ctx)
			if err != nil {
				return err
			}
			expiry := time.Now().Add(2 * time.Second).Truncate(time.Second)
			token, err := forge.Sign(jose.RS256, g.key, g.kid, forge.With(g.claims, map[string]any{"exp": expiry.Unix()}))
			if err != nil {
				return broken(err)
			}
			if err := t.assume(ctx, t.Identity.RoleARN, token); err != nil {
				return broken(fmt.Errorf("before its expiry: %w", err))
			}
			time.Sleep(time.Until(expiry.Add(100 * time.Millisecond)))
			return t.assume(ctx, t.Identity.RoleARN, token)
		}},
	claim("token-without-expiry", "a token of the right key that never expires", invalidToken, "", fixed("exp", nil)),
	claim("token-not-yet-valid", "a token of the right key for tomorrow", invalidToken, "", func() map[string]any {
		return map[string]any{"nbf": time.Now().Add(24 * time.Hour).Unix(), "exp": time.Now().Add(25 * time.Hour).Unix()}
	}),
	claim("issuer-unknown", "a token that says it is of another cluster's issuer", invalidToken, noProvider+"https://oidc.other.example.com", fixed("iss", "https://oidc.other.example.com")),
	issuer("issuer-with-slash", "the issuer with a slash at its end", func(iss string) string { return iss + "/" }),
	issuer("issuer-in-capitals", "the issuer's host in capital letters", func(iss string) string { return "https://" + strings.ToUpper(strings.TrimPrefix(iss, "https://")) }),
	issuer("issuer-longer", "a host name that begins with the issuer's", func(iss string) string { return iss + ".example.com" }),
	issuer("issuer-with-user", "the issuer's host as the user part of another's address", func(iss string) string { return iss + "@example.com" }),
	issuer("issuer-by-http", "the issuer's host by plain HTTP", func(iss string) string { return strings.Replace(iss, "https://", "http://", 1) }),
	claim("issuer-missing", "a token without an issuer", invalidToken, "", fixed("iss", nil)),
	cluster("audience-of-another", "a token for another audience, from the cluster itself", invalidToken, wrongAudience, func(t *Target) (string, string, string) {
		return t.Identity.Namespace, t.Identity.ServiceAccount, "vault.example.com"
	}),
	cluster("audience-of-the-cluster", "a token for the cluster's own API", invalidToken, wrongAudience, func(t *Target) (string, string, string) {
		return t.Identity.Namespace, t.Identity.ServiceAccount, "https://kubernetes.default.svc.cluster.local"
	}),
	claim("audience-in-capitals", "the audience in capital letters", invalidToken, wrongAudience, fixed("aud", []string{"STS.AMAZONAWS.COM"})),
	claim("audience-longer", "an audience that begins with the right one", invalidToken, wrongAudience, fixed("aud", []string{stsAudience + ".cn"})),
	claim("audience-empty", "a token for nobody", invalidToken, wrongAudience, fixed("aud", []string{})),
	claim("audience-other-party", "the right audience, but issued to another party (`azp`)", invalidToken, wrongAudience, fixed("azp", "somebody")),
	cluster("subject-other-account", "a token of the namespace's default ServiceAccount", "AccessDenied", notAuthorized, func(t *Target) (string, string, string) {
		return t.Identity.Namespace, "default", stsAudience
	}),
	cluster("subject-other-namespace", "a token of a ServiceAccount of the same name in another namespace", "AccessDenied", notAuthorized, func(t *Target) (string, string, string) {
		return "somewhere-else", t.Identity.ServiceAccount, stsAudience
	}),
	cluster("subject-longer-account", "a token of a ServiceAccount whose name begins with the identity's", "AccessDenied", notAuthorized, func(t *Target) (string, string, string) {
		return t.Identity.Namespace, t.Identity.ServiceAccount + nobodys, stsAudience
	}),
	subject("subject-longer", "a subject that begins with the right one", func(s string) string { return s + nobodys }),
	subject("subject-shorter", "a subject that lacks the last letter", func(s string) string { return s[:len(s)-1] }),
	subject("subject-in-capitals", "the ServiceAccount's name in capital letters", func(s string) string { return s[:len(s)-1] + strings.ToUpper(s[len(s)-1:]) }),
	subject("subject-look-alike", "a subject with a Cyrillic letter that looks like a Latin one", func(s string) string { return strings.Replace(s, "a", "\u0430", 1) }),
	subject("subject-full-width", "a subject with a full-width letter, which normalizes to the Latin one", func(s string) string { return s[:len(s)-1] + string(rune(s[len(s)-1])-'a'+'\uff41') }),
	subject("subject-with-space", "a subject with a space at its end", func(s string) string { return s + " " }),
	subject("subject-with-newline", "a subject with a newline at its end", func(s string) string { return s + "\n" }),
	subject("subject-with-nul", "a subject with a NUL and more behind it", func(s string) string { return s + "\x00:x" }),
	subject("subject-zero-width", "a subject with a zero-width space", func(s string) string { return s + "\u200b" }),
	subject("subject-wildcard", "a subject that is itself a pattern", func(s string) string { return s[:strings.LastIndexByte(s, ':')+1] + "*" }),
	claim("subject-missing", "a token without a subject", invalidToken, "", fixed("sub", nil)),
	claim("subject-list", "a list of subjects, the right one among them", invalidToken, "", fixed("sub", []string{"system:serviceaccount:default:uploader"})),
	{Name: "role-missing", For: tokens, What: "the right token for a role that does not exist", Code: "AccessDenied", Text: notAuthorized,
		Try: func(ctx context.Context, t *Target) error {
			token, err := t.token(ctx)
			if err != nil {
				return err
			}
			return t.assume(ctx, t.Identity.RoleARN+"-gone", token)
		}},
	{Name: "role-too-long", For: tokens, What: "the right token for a session longer than the role's maximum", Code: "ValidationError", Text: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
		Try: func(ctx context.Context, t *Target) error {
			token, err := t.token(ctx)
			if err != nil {
				return err
			}
			_, err = sts.NewFromConfig(t.config(aws.Credentials{})).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: &t.Identity.RoleARN, RoleSessionName: aws.String("refusals"), WebIdentityToken: &token, DurationSeconds: aws.Int32(43200)})
			return err
		}},
	{Name: "token-by-assume-role", For: tokens, What: "the right token sent to AssumeRole, which wants a signature", Code: "MissingAuthenticationToken",
		Try: func(ctx context.Context, t *Target) error {
			return t.get(ctx, "GET", "https://sts."+t.Region+"."+dnsSuffix+"/?Action=AssumeRole&Version=2011-06-15&RoleSessionName=refusals&RoleArn="+t.Identity.RoleARN, nil)
		}},
}

// assume asks for a session of a role with a token, and nothing else.
func (t *Target) assume(ctx context.Context, role, token string) error {
	_, err := sts.NewFromConfig(t.config(aws.Credentials{})).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &role, RoleSessionName: aws.String("refusals"), WebIdentityToken: &token})
	return err
}

// forged tries a token made from a genuine one.
func forged(name, what, code, text string, build func(genuine) (string, error)) Case {
	return Case{Name: name, For: tokens, What: what, Code: code, Text: text, Try: func(ctx context.Context, t *Target) error {
		g, err := t.genuine(ctx)
		if err != nil {
			return err
		}
		token, err := build(g)
		if err != nil {
			return broken(err)
		}
		return t.assume(ctx, t.Identity.RoleARN, token)
	}}
}

func byAnotherKey(build func(genuine, *rsa.PrivateKey) (string, error)) func(genuine) (string, error) {
	return func(g genuine) (string, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return "", err
		}
		return build(g, key)
	}
}

// claim tries a token of the cluster's own key with other claims.
func claim(name, what, code, text string, change func() map[string]any) Case {
	return forged(name, what, code, text, func(g genuine) (string, error) {
		return forge.Sign(jose.RS256, g.key, g.kid, forge.With(g.claims, change()))
	})
}

func fixed(name string, value any) func() map[string]any {
	return func() map[string]any { return map[string]any{name: value} }
}

// issuer tries a token of the cluster's own key with an issuer that is almost the right one.
func issuer(name, what string, change func(string) string) Case {
	return forged(name, what, invalidToken, noProvider, func(g genuine) (string, error) {
		iss, _ := g.claims["iss"].(string)
		return forge.Sign(jose.RS256, g.key, g.kid, forge.With(g.claims, map[string]any{"iss": change(iss)}))
	})
}

// nobodys ends names that begin like the identity's. worker2 might well be another service account with its role.
const nobodys = "-zz" // short enough for the longest common name

// subject tries a token of the cluster's own key with a subject that is almost the right one.
func subject(name, what string, change func(string) string) Case {
	return forged(name, what, "AccessDenied", notAuthorized, func(g genuine) (string, error) {
		sub, _ := g.claims["sub"].(string)
		return forge.Sign(jose.RS256, g.key, g.kid, forge.With(g.claims, map[string]any{"sub": change(sub)}))
	})
}

// cluster tries a token that the cluster itself gives out, for another ServiceAccount or audience.
func cluster(name, what, code, text string, of func(*Target) (namespace, account, audience string)) Case {
	return Case{Name: name, For: tokens, What: what, Code: code, Text: text, Try: func(ctx context.Context, t *Target) error {
		namespace, account, audience := of(t)
		if namespace != t.Identity.Namespace || account != t.Identity.ServiceAccount {
			remove, err := t.Cluster.Account(ctx, namespace, account)
			if err != nil {
				return broken(err)
			}
			defer remove()
		}
		token, err := t.Cluster.Token(ctx, namespace, account, audience)
		if err != nil {
			return broken(err)
		}
		return t.assume(ctx, t.Identity.RoleARN, token)
	}}
}
