package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/forge"
)

// Properties: no mutation of a valid credential is accepted. Each run takes a new seed and says which; seedVariable
// repeats one.
const (
	seedVariable = "K3S_AWS_AUTH_SEED"
	mutations    = 1000 // of each credential
)

func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d repeats this run", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func times(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return mutations / 10
	}
	return mutations
}

// mutate changes bytes: one bit, one byte, a byte more or less, two exchanged, the end cut off. The result differs from
// the argument.
func mutate(r *rand.Rand, in []byte) []byte {
	for {
		out := slices.Clone(in)
		i := r.IntN(len(out))
		switch r.IntN(7) {
		case 0:
			out[i] ^= 1 << r.IntN(8)
		case 1:
			out[i] = byte(r.IntN(256))
		case 2:
			out = slices.Insert(out, i, byte(r.IntN(256)))
		case 3:
			out = slices.Delete(out, i, i+1)
		case 4:
			j := r.IntN(len(out))
			out[i], out[j] = out[j], out[i]
		case 5:
			out = out[:i]
		case 6:
			out = append(out, byte(r.IntN(256)))
		}
		if !bytes.Equal(in, out) {
			return out
		}
	}
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// mutateText replaces one letter or digit by another: what text forms leave open (spaces, order, escapes) stays.
func mutateText(r *rand.Rand, in string) string {
	for {
		out := []byte(in)
		i := r.IntN(len(out))
		c := letters[r.IntN(len(letters))]
		if strings.IndexByte(letters, out[i]) < 0 || out[i] == c {
			continue
		}
		out[i] = c
		return string(out)
	}
}

// call answers a request in this process, as it would arrive over TLS.
func (l *lab) call(r *http.Request) (int, string) {
	l.t.Helper()
	in := r.Clone(context.Background())
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	in.RemoteAddr = "192.0.2.1:1"
	w := httptest.NewRecorder()
	l.ServeHTTP(w, in)
	return w.Code, w.Body.String()
}

func (l *lab) webIdentityCall(role, token string) (int, string) {
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {"default.uploader"}, "WebIdentityToken": {token}}
	r, err := http.NewRequest(http.MethodPost, "https://sts.eu-central-1.amazonaws.com/", strings.NewReader(form.Encode()))
	require.NoError(l.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return l.call(r)
}

// quiet is a lab that does not log, since it would say why each mutation is refused.
func quiet(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.options.Log = io.Discard
	return l
}

func TestNoMutationOfATokenIsAccepted(t *testing.T) {
	for _, algorithm := range []string{"RS256", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			r := newRandom(t)
			l := quiet(t)
			i := newIssuer(t, l, "oidc.example.com", algorithm)
			role := l.role("app", i.trust(), putOnly)
			l.role("apq", strings.Replace(i.trust(), ":uploader", ":uploadeq", 1), putOnly) // a neighbour that trusts another
			token := i.token(t, l, algorithm, nil)
			status, answer := l.webIdentityCall(role, token)
			require.Equal(t, 200, status, answer)
			parts := strings.Split(token, ".")
			refused := map[string]int{}
			for range times(t) {
				changed := slices.Clone(parts)
				part := r.IntN(3)
				plain, err := base64.RawURLEncoding.DecodeString(parts[part])
				require.NoError(t, err)
				changed[part] = base64.RawURLEncoding.EncodeToString(mutate(r, plain))
				text := strings.Join(changed, ".")
				status, answer := l.webIdentityCall(role, text)
				require.Equal(t, 400, status, "%s\n%s", text, answer)
				code := between(answer, "<Code>", "</Code>")
				require.Contains(t, []string{"InvalidIdentityToken", "ExpiredTokenException"}, code, "%s\n%s", text, answer)
				refused[code]++
			}
			for range times(t) / 10 {
				other := mutateText(r, role)
				status, answer := l.webIdentityCall(other, token)
				require.NotEqual(t, 200, status, "%s\n%s", other, answer)
			}
			status, answer = l.webIdentityCall(role, token)
			require.Equal(t, 200, status, answer)
			t.Log(refused)
		})
	}
}

// A token with all of the right claims is of no use with another key, whatever its header says of itself.
func TestNoHeaderReplacesTheKey(t *testing.T) {
	r := newRandom(t)
	l := quiet(t)
	i := newIssuer(t, l, "oidc.example.com", "RS256")
	role := l.role("app", i.trust(), putOnly)
	claims, kid, err := forge.Claims(i.token(t, l, "RS256", nil))
	require.NoError(t, err)
	foreign := newKey(t, "RS256")
	for range times(t) / 10 {
		header := map[string]any{"alg": "RS256"}
		for _, extra := range []struct {
			name  string
			value any
		}{{"kid", kid}, {"kid", "other"}, {"kid", ""}, {"typ", "JWT"}, {"typ", "at+jwt"}, {"jku", "https://oidc.example.com/openid/v1/jwks"}, {"cty", "JWT"},
			{"x5u", "https://oidc.example.com/cert"}, {"b64", true}, {"iss", claims["iss"]}} {
			if r.IntN(3) == 0 {
				header[extra.name] = extra.value
			}
		}
		token, err := forge.SignHeader(header, claims, foreign)
		require.NoError(t, err)
		status, answer := l.webIdentityCall(role, token)
		require.Equal(t, 400, status, "%v\n%s", header, answer)
		require.Contains(t, answer, "InvalidIdentityToken")
	}
}

// anywhereCall signs CreateSession with a key for a certificate that need not be its own.
func (a *anywhere) anywhereCall(id leaf, alter func(*http.Request)) (int, string) {
	a.t.Helper()
	r, err := forge.Session{Host: "rolesanywhere.eu-central-1.amazonaws.com", Region: region, AnchorARN: a.anchor, ProfileARN: a.profile, RoleARN: a.role,
		Body: map[string]any{"durationSeconds": 900}}.Sign(context.Background(), forge.Certified{Cert: id.cert, Key: id.key, Chain: id.chain})
	require.NoError(a.t, err)
	if alter != nil {
		alter(r)
	}
	return a.call(r)
}

func TestNoMutationOfACertificateIsAccepted(t *testing.T) {
	for _, algorithm := range []string{"ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			r := newRandom(t)
			a := newAnywhere(t)
			a.options.Log = io.Discard
			id := a.ca.leaf(t, "uploader", algorithm, nil)
			status, answer := a.anywhereCall(id, nil)
			require.Equal(t, 201, status, answer)
			parsed := 0
			for range times(t) {
				der := mutate(r, id.cert.Raw)
				if cert, err := x509.ParseCertificate(der); err == nil {
					// Its holder signs anew, so that the certificate is all that is wrong.
					parsed++
					status, answer := a.anywhereCall(leaf{cert: cert, key: id.key}, nil)
					require.GreaterOrEqual(t, status, 400, "%x\n%s", der, answer)
					require.Less(t, status, 500, "%x\n%s", der, answer)
				}
				status, answer := a.anywhereCall(id, func(r *http.Request) { r.Header.Set("X-Amz-X509", base64.StdEncoding.EncodeToString(der)) })
				require.GreaterOrEqual(t, status, 400, "%x\n%s", der, answer)
				require.Less(t, status, 500, "%x\n%s", der, answer)
			}
			require.NotZero(t, parsed, "no mutation was a certificate at all")
			t.Logf("%d of the mutations are certificates by their form", parsed)
		})
	}
}

func TestNoMutationOfASessionRequestIsAccepted(t *testing.T) {
	r := newRandom(t)
	a := newAnywhere(t)
	a.options.Log = io.Discard
	id := a.ca.leaf(t, "uploader", "ES256", nil)
	for range times(t) {
		what := ""
		status, answer := a.anywhereCall(id, func(q *http.Request) { what = mutateRequest(t, r, q) })
		require.GreaterOrEqual(t, status, 400, "%s\n%s", what, answer)
		require.Less(t, status, 500, "%s\n%s", what, answer)
	}
}

// signedCalls are requests with a valid signature: to S3 with a header and a payload, to STS with a form, and presigned.
func signedCalls(t *testing.T, l *lab, c aws.Credentials) map[string]func() *http.Request {
	t.Helper()
	sign := func(service, address, contentType, body string, headers map[string]string) func() *http.Request {
		return func() *http.Request {
			method := http.MethodPut
			if service == "sts" {
				method = http.MethodPost
			}
			r, err := http.NewRequest(method, address, strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", contentType)
			for k, v := range headers {
				r.Header.Set(k, v)
			}
			sum := sha256.Sum256([]byte(body))
			hash := hex.EncodeToString(sum[:])
			if service == "s3" {
				r.Header.Set("X-Amz-Content-Sha256", hash)
			}
			require.NoError(t, v4.NewSigner().SignHTTP(ctx, c, r, hash, service, region, l.Now()))
			return r
		}
	}
	return map[string]func() *http.Request{
		"s3":  sign("s3", "https://demo.s3.eu-central-1.amazonaws.com/in/report", "text/plain", "the report of today", map[string]string{"X-Amz-Meta-Owner": "uploader"}),
		"sts": sign("sts", "https://sts.eu-central-1.amazonaws.com/", "application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15", nil),
		"presigned": func() *http.Request {
			r, err := http.NewRequest(http.MethodPut, "https://demo.s3.eu-central-1.amazonaws.com/in/report?X-Amz-Expires=300", nil)
			require.NoError(t, err)
			address, _, err := v4.NewSigner().PresignHTTP(ctx, c, r, "UNSIGNED-PAYLOAD", "s3", region, l.Now())
			require.NoError(t, err)
			out, err := http.NewRequest(http.MethodPut, address, strings.NewReader("the report of today"))
			require.NoError(t, err)
			return out
		},
	}
}

func TestNoMutationOfASignedRequestIsAccepted(t *testing.T) {
	l := quiet(t)
	withObjects(l)
	arn := l.role("app", trustAccount, putOnly)
	out, err := sts.NewFromConfig(l.admin()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("pod")})
	require.NoError(t, err)
	c := aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
	for name, request := range signedCalls(t, l, c) {
		t.Run(name, func(t *testing.T) {
			r := newRandom(t)
			status, answer := l.call(request())
			require.Equal(t, 200, status, answer)
			kinds := map[string]int{}
			for range times(t) {
				q := request()
				what := mutateRequest(t, r, q)
				kind, _, _ := strings.Cut(what, " ")
				kinds[kind]++
				status, answer := l.call(q)
				require.GreaterOrEqual(t, status, 400, "%s\n%s", what, answer)
				require.Less(t, status, 500, "%s\n%s", what, answer)
			}
			t.Log(kinds)
		})
	}
}

// mutateRequest changes one thing of a signed request, in the places that its signature covers, and says what.
func mutateRequest(t *testing.T, r *rand.Rand, q *http.Request) string {
	t.Helper()
	presigned := q.Header.Get("Authorization") == ""
	var signedHeaders []string
	if !presigned {
		signedHeaders = strings.Split(between(q.Header.Get("Authorization"), "SignedHeaders=", ","), ";")
	}
	body, err := io.ReadAll(q.Body)
	require.NoError(t, err)
	setBody := func(b []byte) {
		q.Body = io.NopCloser(bytes.NewReader(b))
		q.ContentLength = int64(len(b))
	}
	setBody(body)
	for {
		switch r.IntN(10) {
		case 0: // the payload; a presigned one is not signed
			if presigned || len(body) == 0 {
				continue
			}
			next := mutate(r, body)
			setBody(next)
			if r.IntN(2) == 0 && q.Header.Get("X-Amz-Content-Sha256") != "" {
				sum := sha256.Sum256(next)
				q.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
			}
			return fmt.Sprintf("body %q", next)
		case 1: // the value of a signed header
			if len(signedHeaders) == 0 {
				continue
			}
			h := signedHeaders[r.IntN(len(signedHeaders))]
			old := q.Header.Get(h)
			if h == "content-length" || h == "host" || old == "" {
				continue
			}
			q.Header.Set(h, mutateText(r, old))
			return "header " + h + ": " + q.Header.Get(h)
		case 2: // a signed header less
			if len(signedHeaders) == 0 {
				continue
			}
			h := signedHeaders[r.IntN(len(signedHeaders))]
			if h == "host" || h == "content-length" {
				continue
			}
			q.Header.Del(h)
			return "dropped " + h
		case 3: // a signed header twice
			if len(signedHeaders) == 0 {
				continue
			}
			h := signedHeaders[r.IntN(len(signedHeaders))]
			if h == "host" || h == "content-length" {
				continue
			}
			q.Header.Add(h, "x")
			return "twice " + h
		case 4: // the authorization itself: algorithm, key, date, region, service, list, signature
			if presigned {
				continue
			}
			q.Header.Set("Authorization", mutateText(r, q.Header.Get("Authorization")))
			return "authorization " + q.Header.Get("Authorization")
		case 5: // a parameter
			if q.URL.RawQuery == "" {
				continue
			}
			values := q.URL.Query()
			names := sortedKeys(values)
			name := names[r.IntN(len(names))]
			if values.Get(name) == "" {
				continue
			}
			values.Set(name, mutateText(r, values.Get(name)))
			q.URL.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
			return "query " + name + "=" + values.Get(name)
		case 6: // a parameter more or less
			values := q.URL.Query()
			if names := sortedKeys(values); len(names) > 0 && r.IntN(2) == 0 {
				name := names[r.IntN(len(names))]
				values.Del(name)
				q.URL.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
				return "parameter less: " + name
			}
			values.Set([]string{"acl", "versionId", "x", "X-Amz-Expires", "Action", "roleArn"}[r.IntN(6)], "1")
			if values.Encode() == q.URL.Query().Encode() {
				continue
			}
			q.URL.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
			return "parameter more: " + q.URL.RawQuery
		case 7: // the path
			if len(strings.Trim(q.URL.Path, "/")) == 0 {
				continue
			}
			q.URL.Path = mutateText(r, q.URL.Path)
			return "path " + q.URL.Path
		case 8: // the method
			methods := []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodHead}
			m := methods[r.IntN(len(methods))]
			if m == q.Method {
				continue
			}
			q.Method = m
			return "method " + m
		default: // the host: another region, another service, another bucket
			hosts := []string{"demo.s3.eu-west-1.amazonaws.com", "dem0.s3.eu-central-1.amazonaws.com", "sts.eu-west-1.amazonaws.com", "sts.amazonaws.com",
				"iam.amazonaws.com", "rolesanywhere.eu-west-1.amazonaws.com", "s3.eu-central-1.amazonaws.com"}
			q.Host = hosts[r.IntN(len(hosts))]
			q.URL.Host = q.Host
			return "host " + q.Host
		}
	}
}

// Headers of S3 that nobody signed are refused, whatever they are: they would change what a signed request means.
func TestNoUnsignedHeaderOfS3IsAccepted(t *testing.T) {
	l := quiet(t)
	withObjects(l)
	id, secret := l.Admin()
	calls := signedCalls(t, l, aws.Credentials{AccessKeyID: id, SecretAccessKey: secret})
	for _, name := range []string{"X-Amz-Acl", "X-Amz-Copy-Source", "X-Amz-Meta-Other", "X-Amz-Tagging", "X-Amz-Grant-Read", "X-Amz-Storage-Class",
		"X-Amz-Server-Side-Encryption", "x-amz-website-redirect-location"} {
		for _, kind := range []string{"s3", "presigned"} {
			r := calls[kind]()
			r.Header.Set(name, "x")
			status, answer := l.call(r)
			require.Equal(t, 403, status, answer)
			require.Contains(t, answer, "<Code>AccessDenied</Code><Message>There were headers present in the request which were not signed</Message>")
			require.Contains(t, answer, "<HeadersNotSigned>"+strings.ToLower(name)+"</HeadersNotSigned>")
		}
	}
	// A replayed request with a right signature is accepted while its time is: AWS has no other protection than that.
	r := calls["s3"]()
	copied := r.Clone(ctx)
	copied.Body = io.NopCloser(strings.NewReader("the report of today"))
	for _, q := range []*http.Request{r, copied} {
		status, answer := l.call(q)
		require.Equal(t, 200, status, answer)
	}
}

// The date of the scope must be the day of the signing time, with AWS's text.
func TestScopeDate(t *testing.T) {
	l := quiet(t)
	id, secret := l.Admin()
	r := signedCalls(t, l, aws.Credentials{AccessKeyID: id, SecretAccessKey: secret})["sts"]()
	day := l.Now().UTC().Format("20060102")
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/"+day+"/", "/20110909/", 1))
	status, answer := l.call(r)
	require.Equal(t, 403, status)
	require.Equal(t, "SignatureDoesNotMatch", between(answer, "<Code>", "</Code>"))
	require.Contains(t, answer, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: ")
	require.Contains(t, answer, "20110909")
}

func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	out, _, _ := strings.Cut(rest, after)
	return out
}

// A mutated answer of the issuer never makes a foreign key good: the documents are either refused or say the same.
func TestNoMutationOfTheDocumentsIsAccepted(t *testing.T) {
	r := newRandom(t)
	l := quiet(t)
	i := newIssuer(t, l, "oidc.example.com", "ES256")
	role := l.role("app", i.trust(), putOnly)
	l.SetKeyTTL(0)
	foreign := newKey(t, "ES256")
	claims, kid, err := forge.Claims(i.token(t, l, "ES256", nil))
	require.NoError(t, err)
	token, err := forge.SignHeader(map[string]any{"alg": "ES256", "kid": kid}, claims, foreign)
	require.NoError(t, err)
	i.mu.Lock()
	page := i.pages["/openid/v1/jwks"]
	i.mu.Unlock()
	var set map[string]any
	require.NoError(t, json.Unmarshal([]byte(page), &set))
	for range times(t) / 10 {
		i.set("/openid/v1/jwks", string(mutate(r, []byte(page))))
		status, answer := l.webIdentityCall(role, token)
		require.Equal(t, 400, status, answer)
	}
}
