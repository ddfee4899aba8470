package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// request is a call before it is signed. What is left empty is that of a right PutObject below the identity's prefix.
type request struct {
	method, host, path, query, body string
	// service and region are those of the credential scope.
	service, region string
	credentials     aws.Credentials
	at              time.Time
	headers         map[string]string
	presigned       time.Duration // the signature is in the query and lives as long; 0 puts it into the header
}

// put signs a request as the SDKs do.
func (t *Target) put(ctx context.Context, q request) (*http.Request, error) {
	id := t.Identity
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&q.method, http.MethodPut)
	set(&q.host, t.bucketHost(id.Bucket))
	set(&q.path, "/"+id.Prefix+"refusals.txt")
	set(&q.service, "s3")
	set(&q.region, t.Region)
	if q.credentials.AccessKeyID == "" {
		c, err := t.session(ctx)
		if err != nil {
			return nil, err
		}
		q.credentials = c
	}
	if q.at.IsZero() {
		q.at = time.Now()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, "https://"+q.host+q.path+"?"+q.query, strings.NewReader(q.body))
	if err != nil {
		return nil, broken(err)
	}
	for k, v := range q.headers {
		r.Header.Set(k, v)
	}
	sum := sha256.Sum256([]byte(q.body))
	hash := hex.EncodeToString(sum[:])
	if q.presigned > 0 {
		values := r.URL.Query()
		values.Set("X-Amz-Expires", strconv.Itoa(int(q.presigned.Seconds())))
		r.URL.RawQuery = values.Encode()
		address, _, err := v4.NewSigner().PresignHTTP(ctx, q.credentials, r, "UNSIGNED-PAYLOAD", q.service, q.region, q.at)
		if err != nil {
			return nil, broken(err)
		}
		if r.URL, err = url.Parse(address); err != nil {
			return nil, broken(err)
		}
		return r, nil
	}
	if q.service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	return r, broken(v4.NewSigner().SignHTTP(ctx, q.credentials, r, hash, q.service, q.region, q.at))
}

// signed tries a request that is changed before it is signed (plan) or afterwards (alter).
func signed(name, what, code, text string, plan func(*Target, *request), alter func(*Target, *http.Request)) Case {
	return Case{Name: name, What: what, Code: code, Text: text, Try: func(ctx context.Context, t *Target) error {
		own, err := t.session(ctx)
		if err != nil {
			return err
		}
		q := request{headers: map[string]string{"X-Amz-Meta-Owner": "uploader"}, body: "right", credentials: own}
		if plan != nil {
			plan(t, &q)
		}
		r, err := t.put(ctx, q)
		if err != nil {
			return err
		}
		if alter != nil {
			alter(t, r)
		}
		return t.send(r)
	}}
}

// mixed tries the identity's session with something of another role's session in it.
func mixed(name, what string, mix func(own, other *aws.Credentials)) Case {
	return Case{Name: name, What: what, Code: "InvalidClientTokenId", Text: badToken, Try: func(ctx context.Context, t *Target) error {
		own, err := t.session(ctx)
		if err != nil {
			return err
		}
		other, err := t.otherRole(ctx)
		if err != nil {
			return err
		}
		mix(&own, &other)
		_, err = sts.NewFromConfig(t.config(own)).GetCallerIdentity(ctx, nil)
		return err
	}}
}

// whoami makes a request STS's GetCallerIdentity by POST.
func whoami(t *Target, q *request) {
	q.method, q.host, q.path, q.service = http.MethodPost, "sts."+t.Region+"."+dnsSuffix, "/", "sts"
	q.body = "Action=GetCallerIdentity&Version=2011-06-15"
	q.headers = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
}

func header(name, value string) func(*Target, *http.Request) {
	return func(_ *Target, r *http.Request) { r.Header.Set(name, value) }
}

// body replaces the payload without touching the headers, but for its length.
func body(text string) func(*Target, *http.Request) {
	return func(_ *Target, r *http.Request) {
		next, err := http.NewRequest(r.Method, r.URL.String(), bytes.NewReader([]byte(text))) //nolint:gosec // never sent: it lends its body
		if err == nil {
			r.Body, r.GetBody, r.ContentLength = next.Body, next.GetBody, next.ContentLength
		}
	}
}

// authorization replaces a part of the Authorization header.
func authorization(old, replacement string) func(*Target, *http.Request) {
	return func(_ *Target, r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
	}
}

const (
	mismatch  = "SignatureDoesNotMatch"
	noMatch   = "The request signature we calculated does not match the signature you provided."
	badToken  = "The security token included in the request is invalid"
	oldMinute = 20 * time.Minute // beyond the 15 minutes that AWS allows
)

// Tries with the identity's own session, a valid one, in all setups: what SigV4 protects.
var signedCases = []Case{
	signed("sigv4-header-altered", "a signed put whose metadata header was changed", mismatch, noMatch, nil, header("X-Amz-Meta-Owner", "somebody")),
	signed("sigv4-header-dropped", "a signed put that lost a signed header", mismatch, noMatch, nil,
		func(_ *Target, r *http.Request) { r.Header.Del("X-Amz-Meta-Owner") }),
	signed("sigv4-header-added", "a signed put with a header of S3 that nobody signed", "AccessDenied", "There were headers present in the request which were not signed", nil,
		header("X-Amz-Tagging", "team=red")),
	signed("sigv4-header-acl-added", "a signed put made public by a header that nobody signed", "AccessDenied", "There were headers present in the request which were not signed", nil,
		header("X-Amz-Acl", "public-read")),
	signed("sigv4-header-unlisted", "a signed put whose list of signed headers was shortened", mismatch, noMatch, nil, authorization(";x-amz-meta-owner", "")),
	signed("sigv4-body-altered", "a signed put with another payload", "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.", nil, body("wrong")),
	signed("sigv4-body-and-hash-altered", "a signed put with another payload and that payload's hash", mismatch, noMatch, nil,
		func(t *Target, r *http.Request) {
			body("wrong")(t, r)
			sum := sha256.Sum256([]byte("wrong"))
			r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		}),
	signed("sigv4-body-unsigned", "a signed put whose hash was replaced by UNSIGNED-PAYLOAD", mismatch, noMatch, nil,
		func(t *Target, r *http.Request) {
			body("wrong")(t, r)
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		}),
	signed("sigv4-sts-body-altered", "a signed GetCallerIdentity turned into another call", mismatch, noMatch, whoami, body("Action=GetAccessKeyInfo&AccessKeyId=AKIAIOSFODNN7EXAMPLE&Version=2011-06-15")),
	signed("sigv4-query-added", "a signed put with a parameter that nobody signed", mismatch, noMatch, nil,
		func(_ *Target, r *http.Request) { r.URL.RawQuery = "acl" }),
	signed("sigv4-path-altered", "a signed put replayed at another key", mismatch, noMatch, nil,
		func(_ *Target, r *http.Request) { r.URL.Path += "x" }),
	signed("sigv4-method-altered", "a signed put replayed as a delete", mismatch, noMatch, nil,
		func(t *Target, r *http.Request) {
			r.Method = http.MethodDelete
			body("")(t, r)
			r.Header.Set("X-Amz-Content-Sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
		}),
	signed("sigv4-host-altered", "a signed put replayed at another bucket", mismatch, noMatch, nil,
		func(t *Target, r *http.Request) {
			r.URL.Host = t.bucketHost("not-" + t.Identity.Bucket)
			r.Host = r.URL.Host
		}),
	signed("sigv4-region-s3", "a put signed for another region", "AuthorizationHeaderMalformed", "expecting '",
		func(_ *Target, q *request) { q.region = "eu-west-1" }, nil),
	signed("sigv4-region-sts", "GetCallerIdentity signed for another region", mismatch, "Credential should be scoped to a valid region",
		func(t *Target, q *request) { whoami(t, q); q.region = "eu-west-1" }, nil),
	signed("sigv4-region-renamed", "GetCallerIdentity signed for another region, with the right one written into its scope", mismatch, noMatch,
		func(t *Target, q *request) { whoami(t, q); q.region = "eu-west-1" },
		func(t *Target, r *http.Request) { authorization("/eu-west-1/", "/"+t.Region+"/")(t, r) }),
	signed("sigv4-service", "GetCallerIdentity signed for S3", mismatch, "Credential should be scoped to correct service: 'sts'",
		func(t *Target, q *request) { whoami(t, q); q.service = "s3" }, nil),
	signed("sigv4-date-altered", "a signed put that claims another time", mismatch, noMatch, nil,
		func(_ *Target, r *http.Request) {
			at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			if err == nil {
				r.Header.Set("X-Amz-Date", at.Add(time.Second).Format("20060102T150405Z"))
			}
		}),
	signed("sigv4-scope-date", "GetCallerIdentity with yesterday in its scope and today in its header", mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP", whoami,
		func(t *Target, r *http.Request) {
			day := r.Header.Get("X-Amz-Date")[:8]
			at, err := time.Parse("20060102", day)
			if err == nil {
				authorization("/"+day+"/", "/"+at.AddDate(0, 0, -1).Format("20060102")+"/")(t, r)
			}
		}),
	signed("sigv4-replayed-s3", "a put that was signed 20 minutes ago", "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
		func(_ *Target, q *request) { q.at = time.Now().Add(-oldMinute) }, nil),
	signed("sigv4-replayed-sts", "GetCallerIdentity that was signed 20 minutes ago", mismatch, "Signature expired: ",
		func(t *Target, q *request) { whoami(t, q); q.at = time.Now().Add(-oldMinute) }, nil),
	signed("sigv4-future", "GetCallerIdentity that is signed for in 20 minutes", mismatch, "Signature not yet current: ",
		func(t *Target, q *request) { whoami(t, q); q.at = time.Now().Add(oldMinute) }, nil),
	signed("sigv4-signature-altered", "a signed put with one digit of the signature changed", mismatch, noMatch, nil,
		func(_ *Target, r *http.Request) {
			a := r.Header.Get("Authorization")
			last := "0"
			if strings.HasSuffix(a, "0") {
				last = "1"
			}
			r.Header.Set("Authorization", a[:len(a)-1]+last)
		}),
	signed("sigv4-signature-empty", "a signed put without its signature", "AuthorizationHeaderMalformed", "", nil,
		func(_ *Target, r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:strings.LastIndexByte(a, '=')+1])
		}),
	signed("sigv4-certificate-algorithm", "a put that names the algorithm of certificates", "AuthorizationHeaderMalformed", "", nil, authorization("AWS4-HMAC-SHA256", "AWS4-X509-RSA-SHA256")),
	signed("sigv4-other-secret", "a put signed with another secret key", mismatch, noMatch,
		func(_ *Target, q *request) { q.credentials.SecretAccessKey = strings.Repeat("0", 40) }, nil),
	signed("sigv4-unknown-key", "GetCallerIdentity with an access key that does not exist", "InvalidClientTokenId", badToken,
		func(t *Target, q *request) {
			whoami(t, q)
			q.credentials = aws.Credentials{AccessKeyID: "ASIAIOSFODNN7EXAMPLE", //nolint:gosec // AWS's own example
				SecretAccessKey: strings.Repeat("0", 40), SessionToken: "x"}
		}, nil),
	signed("session-without-token", "the identity's key without its session token", "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.",
		func(_ *Target, q *request) { q.credentials.SessionToken = "" }, nil),
	signed("session-token-made-up", "the identity's key with a session token that nobody gave out", "InvalidToken", "The provided token is malformed or otherwise invalid.",
		func(_ *Target, q *request) { q.credentials.SessionToken = strings.Repeat("A", 300) }, nil),
	mixed("session-token-of-another-role", "the identity's key with the session token of another role's session",
		func(own, other *aws.Credentials) { own.SessionToken = other.SessionToken }),
	mixed("session-key-of-another-role", "the secret and token of another role's session under the identity's access key",
		func(own, other *aws.Credentials) {
			own.SecretAccessKey, own.SessionToken = other.SecretAccessKey, other.SessionToken
		}),
	signed("presigned-expired", "a presigned put whose minute is over", "AccessDenied", "Request has expired",
		func(_ *Target, q *request) {
			q.presigned, q.at, q.headers = time.Minute, time.Now().Add(-2*time.Minute), nil
		}, nil),
	signed("presigned-prolonged", "a presigned put whose minute was made an hour", mismatch, noMatch,
		func(_ *Target, q *request) {
			q.presigned, q.at, q.headers = time.Minute, time.Now().Add(-2*time.Minute), nil
		},
		func(_ *Target, r *http.Request) { replaceQuery(r, "X-Amz-Expires", "3600") }),
	signed("presigned-other-key", "a presigned put at another key", mismatch, noMatch,
		func(_ *Target, q *request) { q.presigned, q.headers = time.Minute, nil },
		func(_ *Target, r *http.Request) { r.URL.Path += "x" }),
	signed("presigned-header-added", "a presigned put with a header of S3 that nobody signed", "AccessDenied", "There were headers present in the request which were not signed",
		func(_ *Target, q *request) { q.presigned, q.headers = time.Minute, nil }, header("X-Amz-Meta-Owner", "somebody")),
	{Name: "unsigned-sts", What: "GetCallerIdentity without a signature", Code: "MissingAuthenticationToken",
		Try: func(ctx context.Context, t *Target) error {
			return t.get(ctx, http.MethodGet, "https://sts."+t.Region+"."+dnsSuffix+"/?Action=GetCallerIdentity&Version=2011-06-15", nil)
		}},
}

func replaceQuery(r *http.Request, name, value string) {
	q := r.URL.Query()
	q.Set(name, value)
	r.URL.RawQuery = q.Encode()
}
