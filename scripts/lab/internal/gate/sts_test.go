package gate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

func TestAssumeRole(t *testing.T) {
	l := newLab(t)
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::111122223333:root"},
"Condition":{"StringEquals":{"sts:ExternalId":"42"}}}]}`
	arn := l.role("app", trust, putOnly)
	client := sts.NewFromConfig(l.admin())
	in := func(f func(*sts.AssumeRoleInput)) *sts.AssumeRoleInput {
		out := &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("build-1"), ExternalId: aws.String("42")}
		if f != nil {
			f(out)
		}
		return out
	}
	out, err := client.AssumeRole(ctx, in(nil))
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/app/build-1", *out.AssumedRoleUser.Arn)
	require.True(t, strings.HasPrefix(*out.AssumedRoleUser.AssumedRoleId, "AROA"))
	require.WithinDuration(t, l.Now().Add(time.Hour), *out.Credentials.Expiration, 2*time.Second)

	denied := "User: arn:aws:iam::111122223333:user/admin is not authorized to perform: sts:AssumeRole on resource: "
	for name, c := range map[string]struct {
		change     func(*sts.AssumeRoleInput)
		code, text string
	}{
		"external id":   {func(i *sts.AssumeRoleInput) { i.ExternalId = aws.String("41") }, "AccessDenied", denied + arn},
		"none":          {func(i *sts.AssumeRoleInput) { i.ExternalId = nil }, "AccessDenied", denied + arn},
		"no such role":  {func(i *sts.AssumeRoleInput) { i.RoleArn = aws.String(arn + "x") }, "AccessDenied", denied + arn + "x"},
		"tags":          {func(i *sts.AssumeRoleInput) { i.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}} }, "AccessDenied", "sts:TagSession"},
		"source":        {func(i *sts.AssumeRoleInput) { i.SourceIdentity = aws.String("me") }, "AccessDenied", "sts:SetSourceIdentity"},
		"session slash": {func(i *sts.AssumeRoleInput) { i.RoleSessionName = aws.String("a/b") }, "ValidationError", `regular expression pattern: [\w+=,.@-]*`},
		"session short": {func(i *sts.AssumeRoleInput) { i.RoleSessionName = aws.String("a") }, "ValidationError", "greater than or equal to 2"},
		"session long":  {func(i *sts.AssumeRoleInput) { i.RoleSessionName = aws.String(strings.Repeat("a", 65)) }, "ValidationError", "less than or equal to 64"},
		"short":         {func(i *sts.AssumeRoleInput) { i.DurationSeconds = aws.Int32(899) }, "ValidationError", "greater than or equal to 900"},
		"long":          {func(i *sts.AssumeRoleInput) { i.DurationSeconds = aws.Int32(43201) }, "ValidationError", "less than or equal to 43200"},
		"beyond role":   {func(i *sts.AssumeRoleInput) { i.DurationSeconds = aws.Int32(3601) }, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		"policy":        {func(i *sts.AssumeRoleInput) { i.Policy = aws.String("{") }, "MalformedPolicyDocument", "Syntax"},
		"policy size":   {func(i *sts.AssumeRoleInput) { i.Policy = aws.String(putOnly + strings.Repeat(" ", 2048)) }, "PackedPolicyTooLarge", ""},
		"role ARN":      {func(i *sts.AssumeRoleInput) { i.RoleArn = aws.String("arn:aws:iam::111122223333:user/x") }, "ValidationError", "is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.AssumeRole(ctx, in(c.change))
			failure(t, err, c.code, c.text, 0)
		})
	}
}

func TestRoleChaining(t *testing.T) {
	l := newLab(t)
	first := l.role("first", trustAccount, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"arn:aws:iam::111122223333:role/second"}]}`)
	second := l.role("second", trustAccount, "")
	third := l.role("third", trustAccount, "")
	_, err := l.iam().UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String("second"), MaxSessionDuration: aws.Int32(43200)})
	require.NoError(t, err)
	session := l.assume(l.admin(), first, "a1", func(in *sts.AssumeRoleInput) {
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}, {Key: aws.String("x"), Value: aws.String("y")}}
		in.TransitiveTagKeys = []string{"team"}
		in.SourceIdentity = aws.String("ann")
	})
	client := sts.NewFromConfig(session)
	_, err = client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &second, RoleSessionName: aws.String("a2"), DurationSeconds: aws.Int32(7200)})
	failure(t, err, "ValidationError", "1 hour session limit for roles assumed by role chaining", 400)
	_, err = client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &third, RoleSessionName: aws.String("a2")})
	failure(t, err, "AccessDenied", "", 403)
	out, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &second, RoleSessionName: aws.String("a2")})
	require.NoError(t, err)
	require.Equal(t, "ann", *out.SourceIdentity)
	_, p, f := l.credentials(*out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
	require.Empty(t, f)
	require.Equal(t, map[string]string{"team": "red"}, p.Tags)
	require.Equal(t, "ann", p.SourceIdentity)
}

// issuer is an OIDC issuer at a host of the lab.
type issuer struct {
	*site
	url  string
	key  crypto.Signer
	kid  string
	prov string // ARN
}

func newKey(t *testing.T, algorithm string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RS1024":
		key, err = rsa.GenerateKey(rand.Reader, 1024)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	require.NoError(t, err)
	return key
}

func (i *issuer) publish(t *testing.T, keys map[string]crypto.PublicKey) {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, kid := range sortedKeys(keys) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: keys[kid], KeyID: kid, Use: "sig"})
	}
	b, err := json.Marshal(set)
	require.NoError(t, err)
	i.set("/openid/v1/jwks", string(b))
}

func newIssuer(t *testing.T, l *lab, host, algorithm string) *issuer {
	t.Helper()
	i := &issuer{site: newSite(l, host), url: "https://" + host, key: newKey(t, algorithm), kid: "key-1"}
	i.set("/.well-known/openid-configuration", fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://%s/openid/v1/jwks"}`, i.url, host))
	i.publish(t, map[string]crypto.PublicKey{i.kid: i.key.Public()})
	out, err := l.iam().CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &i.url, ClientIDList: []string{"sts.amazonaws.com"}})
	require.NoError(t, err)
	i.prov = *out.OpenIDConnectProviderArn
	return i
}

func (i *issuer) token(t *testing.T, l *lab, algorithm string, change func(claims map[string]any, key *jose.SigningKey, kid *string)) string {
	t.Helper()
	claims := map[string]any{"iss": i.url, "sub": "system:serviceaccount:default:uploader", "aud": []string{"sts.amazonaws.com"},
		"exp": l.Now().Add(time.Hour).Unix(), "iat": l.Now().Unix(), "nbf": l.Now().Unix()}
	key, kid := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: i.key}, i.kid
	if change != nil {
		change(claims, &key, &kid)
	}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
	require.NoError(t, err)
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	require.NoError(t, err)
	return token
}

func (i *issuer) trust() string {
	host := strings.TrimPrefix(i.url, "https://")
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":%q},
"Condition":{"StringEquals":{"%s:sub":"system:serviceaccount:default:uploader","%s:aud":"sts.amazonaws.com"}}}]}`, i.prov, host, host)
}

// webIdentity calls without credentials, as SDKs do.
func (l *lab) webIdentity(role, token string, f func(*sts.AssumeRoleWithWebIdentityInput)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("default.uploader"), WebIdentityToken: &token}
	if f != nil {
		f(in)
	}
	cfg := aws.Config{Region: region, HTTPClient: l.http, Credentials: aws.AnonymousCredentials{}, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
	return sts.NewFromConfig(cfg).AssumeRoleWithWebIdentity(ctx, in)
}

func TestWebIdentity(t *testing.T) {
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"} {
		t.Run(algorithm, func(t *testing.T) {
			l := newLab(t)
			withObjects(l)
			i := newIssuer(t, l, "oidc.example.com", algorithm)
			arn := l.role("app", i.trust(), putOnly)
			out, err := l.webIdentity(arn, i.token(t, l, algorithm, nil), nil)
			require.NoError(t, err)
			require.Equal(t, "arn:aws:sts::111122223333:assumed-role/app/default.uploader", *out.AssumedRoleUser.Arn)
			require.Equal(t, "system:serviceaccount:default:uploader", *out.SubjectFromWebIdentityToken)
			require.Equal(t, "sts.amazonaws.com", *out.Audience)
			require.Equal(t, i.prov, *out.Provider)
			session := l.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
			who, err := sts.NewFromConfig(session).GetCallerIdentity(ctx, nil)
			require.NoError(t, err)
			require.Equal(t, *out.AssumedRoleUser.Arn, *who.Arn)
			require.NoError(t, put(session, "in/x", ""))
			events := l.Events()
			for _, e := range events {
				if e.Action == "AssumeRoleWithWebIdentity" {
					require.Equal(t, "system:serviceaccount:default:uploader", e.Details["sub"])
					require.Equal(t, "anonymous", e.Caller)
				}
			}
		})
	}
}

func TestWebIdentityErrors(t *testing.T) {
	l := newLab(t)
	i := newIssuer(t, l, "oidc.example.com", "RS256")
	arn := l.role("app", i.trust(), putOnly)
	open := l.role("open", strings.Replace(i.trust(), "system:serviceaccount:default:uploader", "system:serviceaccount:other:x", 1), "")
	foreign := newKey(t, "RS256")
	elliptic := newKey(t, "ES256")
	type change = func(map[string]any, *jose.SigningKey, *string)
	claim := func(name string, value any) change {
		return func(c map[string]any, _ *jose.SigningKey, _ *string) {
			if value == nil {
				delete(c, name)
				return
			}
			c[name] = value
		}
	}
	const noProvider = "No OpenIDConnect provider found in your account for "
	for name, c := range map[string]struct {
		change     change
		role       string
		token      string
		code, text string
		status     int
	}{
		"good":                 {role: arn},
		"audience text":        {role: arn, change: claim("aud", "sts.amazonaws.com")},
		"several audiences":    {role: arn, change: claim("aud", []string{"x", "sts.amazonaws.com"})},
		"other subject":        {role: arn, change: claim("sub", "system:serviceaccount:default:other"), code: "AccessDenied", text: "Not authorized to perform sts:AssumeRoleWithWebIdentity", status: 403},
		"other namespace":      {role: arn, change: claim("sub", "system:serviceaccount:kube-system:uploader"), code: "AccessDenied", text: "Not authorized to perform sts:AssumeRoleWithWebIdentity", status: 403},
		"other role":           {role: open, code: "AccessDenied", text: "Not authorized to perform sts:AssumeRoleWithWebIdentity", status: 403},
		"missing role":         {role: arn + "x", code: "AccessDenied", text: "Not authorized to perform sts:AssumeRoleWithWebIdentity", status: 403},
		"other audience":       {role: arn, change: claim("aud", []string{"https://kubernetes.default.svc"}), code: "InvalidIdentityToken", text: "Incorrect token audience", status: 400},
		"authorized party":     {role: arn, change: claim("azp", "someone"), code: "InvalidIdentityToken", text: "Incorrect token audience", status: 400},
		"other issuer":         {role: arn, change: claim("iss", "https://other.example.com"), code: "InvalidIdentityToken", text: noProvider + "https://other.example.com", status: 400},
		"issuer with slash":    {role: arn, change: claim("iss", "https://oidc.example.com/"), code: "InvalidIdentityToken", text: noProvider + "https://oidc.example.com/", status: 400},
		"issuer without https": {role: arn, change: claim("iss", "oidc.example.com"), code: "InvalidIdentityToken", text: noProvider + "oidc.example.com", status: 400},
		"no issuer":            {role: arn, change: claim("iss", nil), code: "InvalidIdentityToken", status: 400},
		"no expiry":            {role: arn, change: claim("exp", nil), code: "InvalidIdentityToken", status: 400},
		"no subject":           {role: arn, change: claim("sub", nil), code: "InvalidIdentityToken", status: 400},
		"expired":              {role: arn, change: claim("exp", l.Now().Add(-time.Second).Unix()), code: "ExpiredTokenException", text: fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", l.Now().Unix(), l.Now().Add(-time.Second).Unix()), status: 400},
		"not yet valid":        {role: arn, change: claim("nbf", l.Now().Add(time.Hour).Unix()), code: "InvalidIdentityToken", status: 400},
		"key of another":       {role: arn, change: func(_ map[string]any, k *jose.SigningKey, _ *string) { k.Key = foreign }, code: "InvalidIdentityToken", text: "signature cannot be verified", status: 400},
		"kid of another":       {role: arn, change: func(_ map[string]any, k *jose.SigningKey, kid *string) { *kid = "key-2" }, code: "InvalidIdentityToken", text: "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements", status: 400},
		"type of another":      {role: arn, change: func(_ map[string]any, k *jose.SigningKey, _ *string) { k.Key, k.Algorithm = elliptic, "ES256" }, code: "InvalidIdentityToken", text: "Couldn't retrieve verification key", status: 400},
		"symmetric":            {role: arn, change: func(_ map[string]any, k *jose.SigningKey, _ *string) { k.Key, k.Algorithm = make([]byte, 32), "HS256" }, code: "InvalidIdentityToken", text: "not a valid JWT", status: 400},
		"pss":                  {role: arn, change: func(_ map[string]any, k *jose.SigningKey, _ *string) { k.Algorithm = "PS256" }, code: "InvalidIdentityToken", text: "not a valid JWT", status: 400},
		"none":                 {role: arn, token: "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL29pZGMuZXhhbXBsZS5jb20ifQ.", code: "InvalidIdentityToken", text: "not a valid JWT", status: 400},
		"not a token":          {role: arn, token: "token", code: "InvalidIdentityToken", text: "not a valid JWT", status: 400},
		"too long":             {role: arn, token: strings.Repeat("a", 20001), code: "ValidationError", text: "20000", status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			token := c.token
			if token == "" {
				token = i.token(t, l, "RS256", c.change)
			}
			_, err := l.webIdentity(c.role, token, nil)
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			failure(t, err, c.code, c.text, c.status)
		})
	}
	_, err := l.webIdentity(arn, i.token(t, l, "RS256", nil), func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = aws.Int32(7200) })
	failure(t, err, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", 400)
	_, err = l.webIdentity(arn, i.token(t, l, "RS256", nil), func(in *sts.AssumeRoleWithWebIdentityInput) { in.RoleSessionName = aws.String("default/uploader") })
	failure(t, err, "ValidationError", "roleSessionName", 400)
	l.clock.Add(2 * time.Hour)
	_, err = l.webIdentity(arn, i.token(t, l, "RS256", nil), nil)
	require.NoError(t, err, "a web identity is not signed, so the client's clock does not matter")
}

func TestKeysOfIssuers(t *testing.T) {
	l := newLab(t)
	i := newIssuer(t, l, "oidc.example.com", "ES256")
	arn := l.role("app", i.trust(), "")
	good := func() error {
		_, err := l.webIdentity(arn, i.token(t, l, "ES256", nil), nil)
		return err
	}
	require.NoError(t, good())
	i.mu.Lock()
	i.hits = 0
	i.mu.Unlock()
	require.NoError(t, good())
	require.Zero(t, i.hits, "the keys are cached")

	next := newKey(t, "ES256")
	i.publish(t, map[string]crypto.PublicKey{"key-1": i.key.Public(), "key-2": next.Public()})
	old := i.key
	i.key, i.kid = next, "key-2"
	require.NoError(t, good(), "an unknown kid makes the gate look again")
	i.publish(t, map[string]crypto.PublicKey{"key-2": next.Public()})
	i.key, i.kid = old, "key-1"
	require.NoError(t, good(), "a removed key works as long as it is cached")
	l.FlushKeys()
	failure(t, good(), "InvalidIdentityToken", "Couldn't retrieve verification key", 400)

	i.key, i.kid = next, "key-2"
	l.SetKeyTTL(0)
	for name, page := range map[string]string{
		"other issuer": `{"issuer":"https://oidc.example.com/","jwks_uri":"https://oidc.example.com/openid/v1/jwks"}`,
		"plain http":   `{"issuer":"https://oidc.example.com","jwks_uri":"http://oidc.example.com/openid/v1/jwks"}`,
		"elsewhere":    `{"issuer":"https://oidc.example.com","jwks_uri":"https://nowhere.example.com/jwks"}`,
		"not there":    `{"issuer":"https://oidc.example.com","jwks_uri":"https://oidc.example.com/keys.json"}`,
		"not JSON":     `<html>`,
	} {
		i.set("/.well-known/openid-configuration", page)
		failure(t, good(), "InvalidIdentityToken", "Couldn't retrieve verification key", 400)
		t.Log(name)
	}
	i.set("/.well-known/openid-configuration", `{"issuer":"https://oidc.example.com","jwks_uri":"https://oidc.example.com/openid/v1/jwks"}`)
	require.NoError(t, good())
	i.set("/openid/v1/jwks", `{"keys":[]}`)
	failure(t, good(), "InvalidIdentityToken", "Couldn't retrieve verification key", 400)
	i.publish(t, map[string]crypto.PublicKey{"key-2": next.Public()})
	i.mu.Lock()
	i.fail = http.StatusServiceUnavailable
	i.mu.Unlock()
	failure(t, good(), "IDPCommunicationError", "", 400)
}

func TestThumbprints(t *testing.T) {
	l := newLab(t)
	i := newIssuer(t, l, "oidc.example.com", "ES256")
	arn := l.role("app", i.trust(), "")
	l.SetKeyTTL(0)
	other, err := openWebCA("") // a CA that AWS does not trust
	require.NoError(t, err)
	i.cert, err = other.mint("oidc.example.com")
	require.NoError(t, err)
	_, err = l.webIdentity(arn, i.token(t, l, "ES256", nil), nil)
	failure(t, err, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint", 400)
	root, err := x509.ParseCertificate(i.cert.Certificate[1])
	require.NoError(t, err)
	_, err = l.iam().UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: &i.prov, ThumbprintList: []string{thumbprintOf(root)}})
	require.NoError(t, err)
	_, err = l.webIdentity(arn, i.token(t, l, "ES256", nil), nil)
	require.NoError(t, err)
	i.cert, err = other.mint("other.example.com")
	require.NoError(t, err)
	_, err = l.webIdentity(arn, i.token(t, l, "ES256", nil), nil)
	failure(t, err, "InvalidIdentityToken", "", 400)
}

func TestTokenTags(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	i := newIssuer(t, l, "oidc.example.com", "ES256")
	inline := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::demo/${aws:PrincipalTag/team}/*"}]}`
	arn := l.role("app", i.trust(), inline)
	_, err := l.iam().TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String("app"), Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("default")}}})
	require.NoError(t, err)
	tagged := func(c map[string]any, _ *jose.SigningKey, _ *string) {
		c["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"team": []string{"red"}}, "transitive_tag_keys": []string{"team"}}
	}
	_, err = l.webIdentity(arn, i.token(t, l, "ES256", tagged), nil)
	failure(t, err, "AccessDenied", "Not authorized to perform sts:TagSession", 403)
	trust := strings.Replace(i.trust(), `"sts:AssumeRoleWithWebIdentity"`, `["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`, 1)
	_, err = l.iam().UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("app"), PolicyDocument: &trust})
	require.NoError(t, err)
	use := func(token string) aws.Config {
		out, err := l.webIdentity(arn, token, nil)
		require.NoError(t, err)
		return l.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	}
	red := use(i.token(t, l, "ES256", tagged))
	require.NoError(t, put(red, "red/x", ""))
	failure(t, put(red, "default/x", ""), "AccessDenied", "", 403)
	plain := use(i.token(t, l, "ES256", nil))
	require.NoError(t, put(plain, "default/x", ""))
	failure(t, put(plain, "red/x", ""), "AccessDenied", "", 403)
}
