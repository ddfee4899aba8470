package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"k3s-aws-auth/scripts/internal/setups"
)

// Tries at the public bucket of the cluster's documents: it opens two objects for reading, and nothing else.
var bucketCases = []Case{
	documents("issuer-anonymous-list", inBucket, "a listing of the issuer's bucket without credentials", http.MethodGet, "?list-type=2", ""),
	documents("issuer-anonymous-put", inBucket, "a JWKS put into the issuer's bucket without credentials", http.MethodPut, jwksObject, `{"keys":[]}`),
	documents("issuer-anonymous-delete", inBucket, "the JWKS deleted without credentials", http.MethodDelete, jwksObject, ""),
	documents("issuer-anonymous-get-other", inBucket, "another object of the issuer's bucket without credentials", http.MethodGet, "private.txt", ""),
	documents("issuer-anonymous-policy", inBucket, "the issuer's bucket policy without credentials", http.MethodGet, "?policy", ""),
	documents("issuer-anonymous-acl", inBucket, "an access list for the issuer's discovery document without credentials", http.MethodPut, discoveryKey+"?acl", ""),
	{Name: "issuer-identity-put", For: tokens, What: "a JWKS put into the issuer's bucket by the identity", Code: "AccessDenied", Text: "s3:PutObject",
		Try: func(ctx context.Context, t *Target) error {
			bucket, err := t.issuerBucket()
			if err != nil {
				return err
			}
			c, err := t.session(ctx)
			if err != nil {
				return err
			}
			_, err = s3.NewFromConfig(t.config(c)).PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(jwksObject), Body: strings.NewReader(`{"keys":[]}`)})
			return err
		}},
}

// jwksObject is the key of the cluster's JWKS.
const jwksObject = "openid/v1/jwks"

// Tries past and at the CDN in front of the private bucket.
var edgeCases = []Case{
	documents("cdn-bypassed", atEdge, "the discovery document from the bucket, past the CDN", http.MethodGet, discoveryKey, ""),
	documents("cdn-bypassed-jwks", atEdge, "the JWKS from the bucket, past the CDN", http.MethodGet, jwksObject, ""),
	documents("cdn-bypassed-list", atEdge, "a listing of the bucket, past the CDN", http.MethodGet, "?list-type=2", ""),
	documents("cdn-bypassed-put", atEdge, "a JWKS put into the bucket, past the CDN", http.MethodPut, jwksObject, `{"keys":[]}`),
	{Name: "cdn-bypassed-by-identity", For: atEdge, What: "the discovery document from the bucket by the identity", Code: "AccessDenied", Text: "s3:GetObject",
		Try: func(ctx context.Context, t *Target) error {
			bucket, err := t.issuerBucket()
			if err != nil {
				return err
			}
			c, err := t.session(ctx)
			if err != nil {
				return err
			}
			_, err = s3.NewFromConfig(t.config(c)).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(discoveryKey)})
			return err
		}},
	edge("cdn-put", "a JWKS put through the CDN", http.MethodPut, "/"+jwksObject, `{"keys":[]}`),
	edge("cdn-delete", "the JWKS deleted through the CDN", http.MethodDelete, "/"+jwksObject, ""),
	edge("cdn-post", "a form posted to the CDN", http.MethodPost, "/", "x"),
	edge("cdn-list", "a listing of the bucket through the CDN", http.MethodGet, "/?list-type=2", ""),
	edge("cdn-missing", "an object that is not there, which the CDN must not tell", http.MethodGet, "/private.txt", ""),
	{Name: "cdn-old-tls", For: atEdge, What: "the discovery document by TLS 1.1", Code: "protocol version", Text: "",
		Try: func(ctx context.Context, t *Target) error {
			issuer, err := t.output("issuerUrl")
			if err != nil {
				return err
			}
			transport := t.http.Transport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			transport.TLSClientConfig = transport.TLSClientConfig.Clone()
			if transport.TLSClientConfig == nil {
				transport.TLSClientConfig = &tls.Config{}
			}
			transport.TLSClientConfig.MinVersion, transport.TLSClientConfig.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+"/"+discoveryKey, nil)
			if err != nil {
				return broken(err)
			}
			resp, err := (&http.Client{Transport: transport}).Do(r)
			if err == nil {
				return resp.Body.Close()
			}
			var alert tls.AlertError
			if errors.As(err, &alert) || strings.Contains(err.Error(), "protocol version") {
				return &answer{"protocol version", err.Error()}
			}
			return err
		}},
}

// documents tries a call without credentials at the issuer's bucket.
func documents(name string, of func(setups.Setup) bool, what, method, key, body string) Case {
	return Case{Name: name, For: of, What: what, Code: "AccessDenied", Text: "Access Denied", Try: func(ctx context.Context, t *Target) error {
		bucket, err := t.issuerBucket()
		if err != nil {
			return err
		}
		return t.get(ctx, method, t.objectURL(bucket, key), []byte(body))
	}}
}

// edge tries a call at the CDN, which answers 403 for whatever it does not serve.
func edge(name, what, method, path, body string) Case {
	return Case{Name: name, For: atEdge, What: what, Code: "403", Try: func(ctx context.Context, t *Target) error {
		issuer, err := t.output("issuerUrl")
		if err != nil {
			return err
		}
		err = t.get(ctx, method, issuer+path, []byte(body))
		var a *answer
		if errors.As(err, &a) && a.Code == "AccessDenied" { // S3's answer, passed on by the CDN with its status
			return &answer{"403", a.Code + ": " + a.Message}
		}
		return err
	}}
}
