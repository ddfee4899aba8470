package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/plainbody"
	"k3s-aws-auth/scripts/internal/policy"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lab is a gate behind a TLS listener.
type lab struct {
	*Gate
	t       *testing.T
	address string
	http    *http.Client
	clock   *clock
}

func newLab(t *testing.T) *lab {
	t.Helper()
	c := &clock{now: time.Now()}
	g, err := New(Options{AccountID: account, Region: region, Now: c.Now, Log: testLog{t}})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.ServeTLS(l, "host")
	}()
	t.Cleanup(func() {
		_ = g.Close()
		<-done
	})
	address := l.Addr().String()
	return &lab{Gate: g, t: t, address: address, clock: c, http: &http.Client{Transport: plainbody.Transport(&http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: g.CertPool()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { // every name leads to the gate, as in a pod
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	})}}
}

// testLog writes the gate's log to the test's while it runs.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// config is an SDK configuration for a caller; retries are off so that errors show at once.
func (l *lab) config(id, secret, token string) aws.Config {
	return aws.Config{Region: region, HTTPClient: l.http, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
}

func (l *lab) admin() aws.Config {
	id, secret := l.Admin()
	return l.config(id, secret, "")
}

func (l *lab) iam() *iam.Client { return iam.NewFromConfig(l.admin()) }

// failure checks the code and text of an AWS error, and its HTTP status where it is not 0.
func failure(t *testing.T, err error, code, text string, status int) {
	t.Helper()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, code, api.ErrorCode(), api.ErrorMessage())
	require.Contains(t, api.ErrorMessage(), text)
	var response interface{ HTTPStatusCode() int }
	if status != 0 && errors.As(err, &response) {
		require.Equal(t, status, response.HTTPStatusCode())
	}
}

// role makes a role with a trust policy and one inline policy (none where empty).
func (l *lab) role(name, trust, inline string) string {
	l.t.Helper()
	ctx := context.Background()
	out, err := l.iam().CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	require.NoError(l.t, err)
	if inline != "" {
		_, err = l.iam().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("inline"), PolicyDocument: &inline})
		require.NoError(l.t, err)
	}
	return *out.Role.Arn
}

const (
	trustAccount = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Principal":{"AWS":"arn:aws:iam::111122223333:root"}}]}`
	trustEC2     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}}]}`
	putOnly      = `{"Version":"2012-10-17","Statement":[{"Sid":"Put","Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::demo/in/*"}]}`
)

// assume returns a configuration with a session of a role.
func (l *lab) assume(from aws.Config, roleARN, session string, more ...func(*sts.AssumeRoleInput)) aws.Config {
	l.t.Helper()
	in := &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: &session}
	for _, f := range more {
		f(in)
	}
	out, err := sts.NewFromConfig(from).AssumeRole(context.Background(), in)
	require.NoError(l.t, err)
	return l.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
}

// objects is a service in S3's protocol: it asks for s3:PutObject or s3:GetObject and has a bucket policy.
type objects struct {
	mu     sync.Mutex
	policy *policy.Document
	got    map[string]string
}

func (o *objects) Name() string               { return "s3" }
func (o *objects) Protocol() Protocol         { return ProtocolS3 }
func (o *objects) AllowsAnonymous(*Call) bool { return true }
func (o *objects) Inventory() map[string][]string {
	return map[string][]string{"s3 bucket": {"demo"}, "s3 nothing": nil}
}

func (o *objects) ResourcePolicies(*Call, policy.Request) ([]*policy.Document, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.policy == nil {
		return nil, nil
	}
	return []*policy.Document{o.policy}, nil
}

func (o *objects) Requirements(c *Call) ([]policy.Request, error) {
	c.Action = map[string]string{"PUT": "PutObject", "GET": "GetObject"}[c.R.Method]
	path := strings.TrimPrefix(c.R.URL.Path, "/")
	if bucket, _, ok := strings.Cut(c.Host, ".s3."); ok {
		path = bucket + "/" + path
	}
	return []policy.Request{{Action: "s3:" + c.Action, Resource: "arn:aws:s3:::" + path}}, nil
}

func (o *objects) Serve(w http.ResponseWriter, c *Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.Action == "PutObject" {
		o.got[c.Resource] = string(c.Body)
		w.Header().Set("ETag", `"x"`)
		return
	}
	_, _ = io.WriteString(w, o.got[c.Resource])
}

func withObjects(l *lab) *objects {
	o := &objects{got: map[string]string{}}
	l.Register(o)
	return o
}

func put(cfg aws.Config, key, body string) error {
	_, err := s3.NewFromConfig(cfg).PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String("demo"), Key: &key, Body: strings.NewReader(body)})
	return err
}

func TestIdentityPoliciesDecide(t *testing.T) {
	l := newLab(t)
	o := withObjects(l)
	arn := l.role("app", trustAccount, putOnly)
	session := l.assume(l.admin(), arn, "pod")

	require.NoError(t, put(session, "in/a b+c.json", "hello"))
	require.Equal(t, "hello", o.got["arn:aws:s3:::demo/in/a b+c.json"], "the payload arrives without aws-chunked framing")

	err := put(session, "out/a.json", "no")
	failure(t, err, "AccessDenied", `User: arn:aws:sts::111122223333:assumed-role/app/pod is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::demo/out/a.json" because no identity-based policy allows the s3:PutObject action`, 403)

	_, err = ssm.NewFromConfig(session).GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String("/x")})
	failure(t, err, "NotImplemented", "service ssm", 501)

	_, err = iam.NewFromConfig(session).GetRole(context.Background(), &iam.GetRoleInput{RoleName: aws.String("app")})
	failure(t, err, "AccessDenied", "User: arn:aws:sts::111122223333:assumed-role/app/pod is not authorized to perform: iam:GetRole on resource: arn:aws:iam::111122223333:role/app because no identity-based policy allows the iam:GetRole action", 403)

	o.mu.Lock()
	o.policy, err = policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`))
	o.mu.Unlock()
	require.NoError(t, err)
	failure(t, put(session, "in/a.json", ""), "AccessDenied", "with an explicit deny in a resource-based policy", 403)

	events := l.Events()
	last := events[len(events)-1]
	require.Equal(t, "s3", last.Service)
	require.Equal(t, "PutObject", last.Action)
	require.Equal(t, "AccessDenied", last.ErrorCode)
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/app/pod", last.Caller)
	require.Equal(t, "host", last.Source)
	require.Equal(t, 403, last.Status)
}

func TestBoundaryAndSessionPolicyIntersect(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	ctx := context.Background()
	arn := l.role("app", trustAccount, putOnly)
	narrow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::demo/in/narrow/*"}]}`

	session := l.assume(l.admin(), arn, "pod", func(in *sts.AssumeRoleInput) { in.Policy = &narrow })
	require.NoError(t, put(session, "in/narrow/a", ""))
	failure(t, put(session, "in/a", ""), "AccessDenied", "because no session policy allows the s3:PutObject action", 403)

	boundary, err := l.iam().CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("limit"), PolicyDocument: &narrow})
	require.NoError(t, err)
	_, err = l.iam().PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: aws.String("app"), PermissionsBoundary: boundary.Policy.Arn})
	require.NoError(t, err)
	plain := l.assume(l.admin(), arn, "pod")
	require.NoError(t, put(plain, "in/narrow/a", ""))
	failure(t, put(plain, "in/a", ""), "AccessDenied", "because no permissions boundary allows the s3:PutObject action", 403)
}

func TestAnonymous(t *testing.T) {
	l := newLab(t)
	o := withObjects(l)
	o.got["arn:aws:s3:::issuer/doc"] = "public"
	get := func(url string) (int, string) {
		resp, err := l.http.Get(url)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	status, body := get("https://issuer.s3.eu-central-1.amazonaws.com/doc")
	require.Equal(t, 403, status)
	require.Contains(t, body, "<Code>AccessDenied</Code><Message>Access Denied</Message>")
	var err error
	o.policy, err = policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::issuer/doc"}}`))
	require.NoError(t, err)
	status, body = get("https://issuer.s3.eu-central-1.amazonaws.com/doc")
	require.Equal(t, 200, status)
	require.Equal(t, "public", body)
	status, body = get("https://iam.amazonaws.com/?Action=ListRoles&Version=2010-05-08")
	require.Equal(t, 403, status)
	require.Contains(t, body, "MissingAuthenticationToken")
	status, _ = get("https://bedrock.eu-central-1.amazonaws.com/")
	require.Equal(t, 501, status)
}

func TestServicePrincipal(t *testing.T) {
	l := newLab(t)
	o := withObjects(l)
	o.got["arn:aws:s3:::site/doc"] = "origin"
	var err error
	o.policy, err = policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:GetObject",
"Resource":"arn:aws:s3:::site/*","Condition":{"StringEquals":{"AWS:SourceArn":"arn:aws:cloudfront::111122223333:distribution/E1"}}}}`))
	require.NoError(t, err)
	for distribution, status := range map[string]int{"E1": 200, "E2": 403} {
		r := httptest.NewRequest("GET", "https://site.s3.eu-central-1.amazonaws.com/doc", nil)
		w := httptest.NewRecorder()
		l.Dispatch(w, &Call{Service: "s3", Region: region, R: r, Source: "edge",
			Principal: ServicePrincipal("cloudfront.amazonaws.com", "arn:aws:cloudfront::111122223333:distribution/"+distribution, account)})
		require.Equal(t, status, w.Code, distribution)
	}
	events := l.Events()
	require.Equal(t, "cloudfront.amazonaws.com", events[len(events)-1].Caller)
	require.Equal(t, "edge", events[len(events)-1].Source)
}

func TestAuthenticationErrors(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	ctx := context.Background()
	id, secret := l.Admin()
	identity := func(cfg aws.Config) error {
		_, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
		return err
	}
	require.NoError(t, identity(l.admin()))
	failure(t, identity(l.config("AKIAUNKNOWN", secret, "")), "InvalidClientTokenId", "The security token included in the request is invalid.", 403)
	failure(t, identity(l.config(id, "wrong", "")), "SignatureDoesNotMatch", "The request signature we calculated does not match", 403)
	failure(t, identity(l.config(id, secret, "token")), "InvalidClientTokenId", "", 403)
	failure(t, put(l.config("AKIAUNKNOWN", secret, ""), "k", ""), "InvalidAccessKeyId", "does not exist in our records", 403)
	failure(t, put(l.config(id, "wrong", ""), "k", ""), "SignatureDoesNotMatch", "", 403)

	arn := l.role("app", trustAccount, putOnly)
	out, err := sts.NewFromConfig(l.admin()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("pod"), DurationSeconds: aws.Int32(900)})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(*out.Credentials.AccessKeyId, "ASIA"))
	c := out.Credentials
	session := l.config(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	require.NoError(t, identity(session))
	failure(t, identity(l.config(*c.AccessKeyId, *c.SecretAccessKey, "")), "InvalidClientTokenId", "", 403)
	failure(t, put(l.config(*c.AccessKeyId, *c.SecretAccessKey, "x"), "k", ""), "InvalidToken", "", 400)
	failure(t, put(l.config(*c.AccessKeyId, *c.SecretAccessKey, ""), "k", ""), "InvalidAccessKeyId", "does not exist in our records", 403)

	l.clock.Add(14 * time.Minute) // the clients' clocks stay behind
	require.NoError(t, identity(session))
	l.clock.Add(2 * time.Minute)
	failure(t, identity(session), "ExpiredToken", "The security token included in the request is expired", 403)
	failure(t, put(session, "in/k", ""), "ExpiredToken", "The provided token has expired.", 400)
	failure(t, identity(l.admin()), "SignatureDoesNotMatch", "Signature expired: ", 403)
	failure(t, put(l.admin(), "k", ""), "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 403)
	l.clock.Add(-32 * time.Minute)
	failure(t, identity(l.admin()), "SignatureDoesNotMatch", "Signature not yet current: ", 403)
	l.clock.Add(16 * time.Minute)

	wrongRegion := l.admin()
	wrongRegion.Region = "eu-west-1"
	client := sts.NewFromConfig(wrongRegion, func(o *sts.Options) { o.BaseEndpoint = aws.String("https://sts.eu-central-1.amazonaws.com") })
	_, err = client.GetCallerIdentity(ctx, nil)
	failure(t, err, "SignatureDoesNotMatch", "Credential should be scoped to a valid region", 403)

	_, err = l.iam().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("inline")})
	require.NoError(t, err)
	_, err = l.iam().DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("app")})
	require.NoError(t, err)
	failure(t, identity(session), "InvalidClientTokenId", "", 403)
}

func TestAuthErrorTable(t *testing.T) {
	for _, c := range []struct {
		p      Protocol
		f      authFailure
		code   string
		status int
	}{
		{ProtocolJSON11, failUnsigned, "MissingAuthenticationTokenException", 400},
		{ProtocolJSON11, failUnknownKey, "UnrecognizedClientException", 400},
		{ProtocolJSON11, failExpiredToken, "ExpiredTokenException", 400},
		{ProtocolJSON11, failMismatch, "InvalidSignatureException", 400},
		{ProtocolRESTJSON, failUnknownKey, "UnrecognizedClientException", 403},
		{ProtocolRESTJSON, failSkewed, "InvalidSignatureException", 403},
		{ProtocolEC2, failSkewed, "RequestExpired", 400},
		{ProtocolEC2, failMismatch, "AuthFailure", 401},
		{ProtocolEC2, failUnknownKey, "AuthFailure", 401},
		{ProtocolRESTXML, failUnknownKey, "InvalidClientTokenId", 403},
		{ProtocolQuery, failPresignedExpired, "RequestExpired", 403},
		{ProtocolQuery, failMalformed, "IncompleteSignature", 400},
		{ProtocolQuery, failScopeDate, "SignatureDoesNotMatch", 403},
		{ProtocolJSON11, failScopeDate, "InvalidSignatureException", 400},
		{ProtocolEC2, failScopeDate, "IncompleteSignature", 400},
		{ProtocolS3, failScopeDate, "AuthorizationHeaderMalformed", 400},
		{ProtocolS3, failUnsignedHeaders, "AccessDenied", 403},
		{ProtocolS3, failRegion, "AuthorizationHeaderMalformed", 400},
		{ProtocolS3, failPresignedExpired, "AccessDenied", 403},
	} {
		e := authError(c.p, c.f, "detail")
		require.Equal(t, c.code, e.Code, "%v %v", c.p, c.f)
		require.Equal(t, c.status, e.Status, "%v %v", c.p, c.f)
		require.NotEmpty(t, e.Message)
	}
}

func TestPresignedCalls(t *testing.T) {
	l := newLab(t)
	o := withObjects(l)
	o.got["arn:aws:s3:::demo/k"] = "data"
	ctx := context.Background()
	signed, err := s3.NewPresignClient(s3.NewFromConfig(l.admin())).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("demo"), Key: aws.String("k")},
		func(o *s3.PresignOptions) { o.Expires = time.Minute })
	require.NoError(t, err)
	get := func(url string) (int, string) {
		resp, err := l.http.Get(url)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	status, body := get(signed.URL)
	require.Equal(t, 200, status, body)
	require.Equal(t, "data", body)
	caller, err := sts.NewPresignClient(sts.NewFromConfig(l.admin())).PresignGetCallerIdentity(ctx, nil)
	require.NoError(t, err)
	status, body = get(caller.URL)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, "<Arn>arn:aws:iam::111122223333:user/admin</Arn>")
	l.clock.Add(2 * time.Minute)
	status, body = get(signed.URL)
	require.Equal(t, 403, status)
	require.Contains(t, body, "Request has expired")
}

func TestLoopbackEndpoint(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	cfg := l.admin()
	cfg.BaseEndpoint = aws.String("https://" + l.address)
	ctx := context.Background()
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, account, *who.Account)
	_, err = iam.NewFromConfig(cfg).ListRoles(ctx, nil)
	require.NoError(t, err)
	_, err = rolesanywhere.NewFromConfig(cfg).ListTrustAnchors(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, put(cfg, "in/x", "body"))
	resp, err := l.http.Get("https://localhost:1/demo/in/x")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 403, resp.StatusCode, "anonymous path-style S3")
	resp, err = l.http.Post("https://127.0.0.1/", "application/x-www-form-urlencoded", strings.NewReader("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"))
	require.NoError(t, err)
	body, _ := io.ReadAll(resp.Body)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, string(body), "ValidationError")
}

func TestTLSNames(t *testing.T) {
	l := newLab(t)
	for name, ok := range map[string]bool{"sts.eu-central-1.amazonaws.com": true, "a.b.s3.eu-central-1.amazonaws.com": true, "d1.cloudfront.net": true,
		"localhost": true, "127.0.0.1": true, "example.com": false, "amazonaws.com.evil.example": false} {
		conn, err := tls.Dial("tcp", l.address, &tls.Config{RootCAs: l.CertPool(), ServerName: name})
		if !ok {
			require.Error(t, err, name)
			continue
		}
		require.NoError(t, err, name)
		require.NoError(t, conn.Close())
	}
	_, err := tls.Dial("tcp", l.address, &tls.Config{RootCAs: l.CertPool(), ServerName: "localhost", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	require.Error(t, err)
}

func TestWebCAIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := New(Options{Dir: dir, AccountID: account, Region: region})
	require.NoError(t, err)
	second, err := New(Options{Dir: dir, AccountID: account, Region: region})
	require.NoError(t, err)
	require.Equal(t, first.CA(), second.CA())
	_, err = New(Options{AccountID: "12", Region: region})
	require.Error(t, err)
	_, err = New(Options{AccountID: account})
	require.Error(t, err)
}

func TestResolve(t *testing.T) {
	l := newLab(t)
	l.Register(&site{zone: map[string][]DNSRecord{
		"www.example.com":     {{Name: "www.example.com", Type: "CNAME", Value: "d1.cloudfront.net."}},
		"d1.cloudfront.net":   {{Name: "d1.cloudfront.net", Type: "A", Value: EdgeAddr}},
		"loop.example.com":    {{Name: "loop.example.com", Type: "CNAME", Value: "loop.example.com"}},
		"dangling.aws.domain": {{Name: "dangling.aws.domain", Type: "CNAME", Value: "nowhere.example.com"}},
		"api.example.com":     {{Name: "api.example.com", Type: "A", Value: "127.1.2.3"}},
	}})
	for name, want := range map[string]struct {
		chain, addrs []string
		ok           bool
	}{
		"STS.eu-central-1.amazonaws.com.":  {nil, []string{"127.0.0.1"}, true},
		"www.example.com":                  {[]string{"d1.cloudfront.net"}, []string{"127.0.0.1"}, true},
		"d2.cloudfront.net":                {nil, nil, false},
		"x.elb.eu-central-1.amazonaws.com": {nil, nil, false},
		"dangling.aws.domain":              {[]string{"nowhere.example.com"}, nil, true},
		"api.example.com":                  {nil, []string{"127.1.2.3"}, true},
		"example.org":                      {nil, nil, false},
		"10.0.0.1":                         {nil, []string{"10.0.0.1"}, true},
	} {
		got, ok := l.Resolve(name)
		require.Equal(t, want.ok, ok, name)
		require.Equal(t, want.chain, got.Chain, name)
		require.Equal(t, want.addrs, got.Addrs, name)
	}
	got, ok := l.Resolve("loop.example.com")
	require.True(t, ok)
	require.Empty(t, got.Addrs)
	l.AddExternalDNS(DNSRecord{Name: "Other.example.org.", Type: "cname", Value: "www.example.com"})
	got, ok = l.Resolve("other.example.org")
	require.True(t, ok)
	require.Equal(t, []string{"www.example.com", "d1.cloudfront.net"}, got.Chain)
	require.Equal(t, 1, l.RemoveExternalDNS("other.example.org", ""))
	_, ok = l.Resolve("other.example.org")
	require.False(t, ok)
}

// site is a service with a zone and pages of its own, like CloudFront's edge.
type site struct {
	host  string
	zone  map[string][]DNSRecord
	cert  *tls.Certificate
	mu    sync.Mutex
	pages map[string]string
	slow  time.Duration
	fail  int
	hits  int
}

func (s *site) Name() string                                 { return "site " + s.host }
func (s *site) Protocol() Protocol                           { return ProtocolRESTXML }
func (s *site) Requirements(*Call) ([]policy.Request, error) { return nil, NotImplemented("site") }
func (s *site) Serve(http.ResponseWriter, *Call)             {}
func (s *site) HandlesHost(host string) bool                 { return s.host != "" && host == s.host }
func (s *site) LookupDNS(name string) []DNSRecord            { return s.zone[name] }
func (s *site) TLSConfig(h *tls.ClientHelloInfo) (*tls.Config, error) {
	if h.ServerName != s.host || s.cert == nil {
		return nil, nil
	}
	return &tls.Config{Certificates: []tls.Certificate{*s.cert}}, nil
}

func (s *site) ServeHost(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.hits++
	page, ok := s.pages[r.URL.Path]
	slow, fail := s.slow, s.fail
	s.mu.Unlock()
	time.Sleep(slow)
	switch {
	case fail != 0:
		w.WriteHeader(fail)
	case !ok:
		w.WriteHeader(http.StatusForbidden)
	default:
		_, _ = io.WriteString(w, page)
	}
}

func (s *site) set(path, page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = page
}

// newSite registers a site at a host with a certificate of the web CA.
func newSite(l *lab, host string) *site {
	cert, err := l.Mint(host)
	require.NoError(l.t, err)
	s := &site{host: host, cert: cert, pages: map[string]string{}, zone: map[string][]DNSRecord{host: {{Name: host, Type: "A", Value: EdgeAddr}}}}
	l.Register(s)
	return s
}

func TestProxy(t *testing.T) {
	l := newLab(t)
	newSite(l, "issuer.example.com").set("/doc", "page")
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "past") }))
	defer elsewhere.Close()
	var past []string
	proxy := httptest.NewServer(l.Proxy(func(ctx context.Context, address string) (net.Conn, error) {
		past = append(past, address)
		return Past(ctx, elsewhere.Listener.Addr().String())
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: l.CertPool()}}}
	resp, err := client.Get("https://issuer.example.com/doc")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "page", string(body))
	cfg := l.admin()
	cfg.HTTPClient = client
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(context.Background(), nil)
	require.NoError(t, err)
	events := l.Events()
	require.Equal(t, "host", events[len(events)-1].Source)
	for _, u := range []string{"https://localhost/", "https://127.0.0.2/", "https://sts.amazonaws.com:444/", "https://console.aws.amazon.com/", "http://issuer.example.com/doc"} {
		resp, err := client.Get(u)
		if err == nil {
			require.Equal(t, http.StatusForbidden, resp.StatusCode, u)
			require.NoError(t, resp.Body.Close())
		}
	}
	require.Empty(t, past, "nothing of AWS's, of the lab's or of this machine goes past it")
	pool := x509.NewCertPool()
	pool.AddCert(elsewhere.Certificate())
	client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}}}
	resp, err = client.Get("https://modules.example.org:8443/")
	require.NoError(t, err)
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "past", string(body))
	require.Equal(t, []string{"modules.example.org:8443"}, past)
}

func TestControl(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	control := httptest.NewServer(l.Control())
	defer control.Close()
	call := func(method, path, body string, into any) int {
		r, err := http.NewRequest(method, control.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		if into != nil && resp.StatusCode == 200 {
			require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
		}
		return resp.StatusCode
	}
	l.role("app", trustAccount, "")
	var events []Event
	require.Equal(t, 200, call("GET", "/_lab/events", "", &events))
	require.Equal(t, "CreateRole", events[0].Action)
	require.Equal(t, 200, call("GET", "/_lab/events?since=1", "", &events))
	require.Empty(t, events)
	require.Equal(t, 400, call("GET", "/_lab/events?since=x", "", nil))
	var inventory map[string][]string
	require.Equal(t, 200, call("GET", "/_lab/inventory", "", &inventory))
	require.Equal(t, map[string][]string{"iam role": {"app"}, "s3 bucket": {"demo"}}, inventory)
	require.Equal(t, 200, call("POST", "/_lab/dns", `{"name":"a.example","type":"A","value":"127.0.0.1"}`, nil))
	require.Equal(t, 400, call("POST", "/_lab/dns", `{"name":"a.example"}`, nil))
	require.Equal(t, 400, call("POST", "/_lab/dns", `{"nam":"a.example"}`, nil))
	var records []DNSRecord
	require.Equal(t, 200, call("GET", "/_lab/dns", "", &records))
	require.Len(t, records, 1)
	require.Equal(t, 200, call("DELETE", "/_lab/dns?name=a.example", "", nil))
	require.Empty(t, l.ExternalDNS())
	before := l.Now()
	require.Equal(t, 200, call("POST", "/_lab/clock", `{"offset":"-20m"}`, nil))
	require.Equal(t, -20*time.Minute, l.Now().Sub(before))
	require.Equal(t, 400, call("POST", "/_lab/clock", `{"offset":"soon"}`, nil))
	require.Equal(t, 200, call("POST", "/_lab/jwks", `{"flush":true,"ttlSeconds":0}`, nil))
	var admin map[string]string
	require.Equal(t, 200, call("GET", "/_lab/credentials", "", &admin))
	id, _ := l.Admin()
	require.Equal(t, id, admin["accessKeyId"])
	// None of it is served on AWS's listener.
	resp, err := l.http.Get("https://localhost/_lab/credentials")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 403, resp.StatusCode)
}

func TestErrorProtocols(t *testing.T) {
	e := &Error{Code: "Some", Message: "a < b", Status: 409, Extra: map[string]string{"BucketName": "b"}}
	for p, want := range map[Protocol]string{
		ProtocolQuery:    `<ErrorResponse><Error><Type>Sender</Type><Code>Some</Code><Message>a &lt; b</Message></Error><RequestId>id</RequestId></ErrorResponse>`,
		ProtocolRESTXML:  `<ErrorResponse><Error><Type>Sender</Type><Code>Some</Code><Message>a &lt; b</Message></Error><RequestId>id</RequestId></ErrorResponse>`,
		ProtocolEC2:      `<Response><Errors><Error><Code>Some</Code><Message>a &lt; b</Message></Error></Errors><RequestID>id</RequestID></Response>`,
		ProtocolS3:       `<Error><Code>Some</Code><Message>a &lt; b</Message><BucketName>b</BucketName><RequestId>id</RequestId><HostId>id</HostId></Error>`,
		ProtocolJSON11:   `{"__type":"Some","message":"a \u003c b"}`,
		ProtocolJSON10:   `{"__type":"Some","message":"a \u003c b"}`,
		ProtocolRESTJSON: `{"message":"a \u003c b"}`,
	} {
		w := httptest.NewRecorder()
		c := &Call{protocol: p, RequestID: "id"}
		WriteError(w, c, e)
		require.Equal(t, 409, w.Code)
		require.Contains(t, w.Body.String(), want)
		require.Same(t, e, c.Failure())
	}
	require.Equal(t, "InternalFailure", AsError(errors.New("x")).Code)
}

func TestNodeRoleCredentials(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	l.Register(&machines{profile: map[string]string{"i-1": "node", "i-2": "", "i-3": "gone"}})
	_, err := l.NodeRoleCredentials("i-0")
	require.Error(t, err)
	_, err = l.NodeRoleCredentials("i-2")
	require.Error(t, err)
	_, err = l.NodeRoleCredentials("i-3")
	require.Error(t, err)
	_, err = l.iam().CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("node")})
	require.NoError(t, err)
	_, err = l.NodeRoleCredentials("i-1")
	require.ErrorContains(t, err, "has no role")
	arn := l.role("node-role", trustAccount, "")
	_, err = l.iam().AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("node"), RoleName: aws.String("node-role")})
	require.NoError(t, err)
	_, err = l.NodeRoleCredentials("i-1")
	require.ErrorContains(t, err, "EC2 cannot assume the role node-role")
	_, err = l.iam().UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("node-role"), PolicyDocument: aws.String(trustEC2)})
	require.NoError(t, err)
	first, err := l.NodeRoleCredentials("i-1")
	require.NoError(t, err)
	cfg := l.config(first.AccessKeyID, first.SecretAccessKey, first.SessionToken)
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/node-role/i-1", *who.Arn)
	again, err := l.NodeRoleCredentials("i-1")
	require.NoError(t, err)
	require.Equal(t, first, again)
	l.clock.Add(5*time.Hour + time.Minute)
	fresh, err := l.NodeRoleCredentials("i-1")
	require.NoError(t, err)
	require.NotEqual(t, first.AccessKeyID, fresh.AccessKeyID)
	_, _, role, ok := l.InstanceProfileRole("arn:aws:iam::111122223333:instance-profile/node")
	require.True(t, ok)
	require.Equal(t, arn, role)
	_, _, _, ok = l.InstanceProfileRole("arn:aws:iam::111122223333:instance-profile/x/node")
	require.False(t, ok)
}

type machines struct {
	site
	profile map[string]string
}

func (m *machines) Name() string { return "ec2" }

func (m *machines) InstanceProfileOf(id string) (string, bool) {
	p, ok := m.profile[id]
	return p, ok
}

func TestConcurrentCalls(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	arn := l.role("app", trustAccount, putOnly)
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 5 {
				name := "pod-" + string(rune('a'+i))
				out, err := sts.NewFromConfig(l.admin()).AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: &name})
				if err != nil {
					errs <- err
					return
				}
				c := out.Credentials
				if err := put(l.config(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken), "in/"+name, "x"); err != nil {
					errs <- err
				}
				_, _ = l.iam().TagRole(context.Background(), &iam.TagRoleInput{RoleName: aws.String("app")})
				l.Inventory()
				l.EventsSince(3)
			}
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func BenchmarkSignedCall(b *testing.B) {
	g, err := New(Options{AccountID: account, Region: region})
	require.NoError(b, err)
	id, secret := g.Admin()
	signer := v4.NewSigner()
	for b.Loop() {
		const body = "Action=GetCallerIdentity&Version=2011-06-15"
		r := httptest.NewRequest("POST", "https://sts.eu-central-1.amazonaws.com/", strings.NewReader(body))
		r.RequestURI = "/"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		hash := "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"
		if err := signer.SignHTTP(context.Background(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hash, "sts", region, time.Now()); err != nil {
			b.Fatal(err)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body.String())
		}
	}
}
