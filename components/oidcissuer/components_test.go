package oidcissuer

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	aws "github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-tls/sdk/v5/go/tls"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/internal/pulumitest"
)

const (
	bucketName  = "lab-issuer-111122223333-eu-central-1"
	bucketURL   = "https://lab-issuer-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com"
	providerArn = "arn:aws:iam::111122223333:oidc-provider/"
)

// answers gives resources the outputs that AWS computes.
func answers(r pulumitest.Resource) resource.PropertyMap {
	out := map[string]any{}
	switch r.Type {
	case "aws:s3/bucketV2:BucketV2":
		name := r.Input("bucket").(string)
		out["arn"] = "arn:aws:s3:::" + name
		out["bucketRegionalDomainName"] = name + ".s3.eu-central-1.amazonaws.com"
	case "aws:s3/bucketObjectv2:BucketObjectv2":
		out["etag"] = "0123"
	case "aws:acm/certificate:Certificate":
		out["arn"] = "arn:aws:acm:us-east-1:111122223333:certificate/c"
		out["domainValidationOptions"] = []any{map[string]any{
			"domainName": "oidc.example.com", "resourceRecordName": "_a.oidc.example.com.",
			"resourceRecordType": "CNAME", "resourceRecordValue": "_b.acm-validations.aws.",
		}}
	case "aws:cloudfront/distribution:Distribution":
		out["arn"] = "arn:aws:cloudfront::111122223333:distribution/E1"
		out["domainName"] = "d1.cloudfront.net"
		out["hostedZoneId"] = "Z2FDTNDATAQYW2"
	case "aws:route53/record:Record":
		out["fqdn"] = strings.TrimSuffix(r.Input("name").(string), ".")
	case "aws:iam/openIdConnectProvider:OpenIdConnectProvider":
		hostPath := strings.TrimPrefix(r.Input("url").(string), "https://")
		out["url"] = hostPath
		out["arn"] = providerArn + hostPath
	}
	return resource.NewPropertyMapFromMap(out)
}

func publicKeys(t *testing.T, files ...string) pulumi.StringArray {
	t.Helper()
	var keys pulumi.StringArray
	for _, file := range files {
		text, err := os.ReadFile("testdata/" + file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, pulumi.String(string(text)))
	}
	return keys
}

// withSite lets the probe of a component find a local site.
func withSite(t *testing.T, url string) *site {
	t.Helper()
	s, _ := goodSite(t)
	discovery, err := Discovery(url)
	if err != nil {
		t.Fatal(err)
	}
	s.discovery = serve(string(discovery))
	client := s.client(t)
	// The test's certificate is for example.com.
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
	newClient = func() *http.Client { return client }
	t.Cleanup(func() { newClient = newProbeClient })
	return s
}

func bucketArgs(t *testing.T) *BucketIssuerArgs {
	return &BucketIssuerArgs{
		Bucket: bucketName, Region: "eu-central-1", PublicKeys: publicKeys(t, "rsa1"), Protect: true,
		Tags: map[string]string{"project": "lab"},
	}
}

func TestBucketIssuer(t *testing.T) {
	s := withSite(t, bucketURL)
	var url, ready, bucket string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		issuer, err := NewBucketIssuer(ctx, "issuer", bucketArgs(t))
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, issuer.URL, &url)
		pulumitest.Result(ctx, issuer.Ready, &ready)
		pulumitest.Result(ctx, issuer.BucketName, &bucket)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if url != bucketURL || ready != bucketURL || bucket != bucketName {
		t.Errorf("url %q, ready %q, bucket %q", url, ready, bucket)
	}
	if s.requests.Load() == 0 {
		t.Error("the documents were not probed")
	}
	pulumitest.Golden(t, "bucket/graph.txt", recorder.Graph())
	for _, name := range []string{"issuer-access", "issuer-ownership", "issuer-discovery", "issuer-jwks"} {
		pulumitest.Golden(t, "bucket/"+name+".json", recorder.Get(t, name).JSON())
	}
	policy := recorder.Get(t, "issuer-policy")
	pulumitest.Golden(t, "bucket/issuer-policy.json", pulumitest.IndentJSON(t, policy.Input("policy").(string)))
	for _, first := range []string{"issuer-access", "issuer-ownership", "issuer-discovery", "issuer-jwks"} {
		if !slices.Contains(policy.DependsOn, first) {
			t.Errorf("the policy does not wait for %s: %s", first, policy.DependsOn)
		}
	}
	// S3 takes a while to allow what the block allows.
	if got := recorder.Get(t, "issuer-access").Hooks; !slices.Equal(got, []string{"after create issuer-public-changed", "after update issuer-public-changed"}) {
		t.Errorf("a change of the public access block is not noted: %q", got)
	}
	if got := policy.Hooks; !slices.Equal(got, []string{"before create issuer-public-wait", "before update issuer-public-wait"}) {
		t.Errorf("the policy does not wait after it: %q", got)
	}
	for _, r := range recorder.Resources() {
		for _, forbidden := range []string{"acl", "grants"} {
			if r.Input(forbidden) != nil {
				t.Errorf("%s sets %s", r.Name, forbidden)
			}
		}
	}
}

func TestBucketIssuerPreviewDoesNotProbe(t *testing.T) {
	s := withSite(t, bucketURL)
	var ready string
	_, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers, Preview: true}, func(ctx *pulumi.Context) error {
		issuer, err := NewBucketIssuer(ctx, "issuer", bucketArgs(t))
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, issuer.Ready, &ready)
		return nil
	})
	if err != nil || ready != bucketURL {
		t.Errorf("ready %q, error %v", ready, err)
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("a preview sent %d requests", n)
	}
}

// Public keys that were computed from a secret are published, and shown.
func TestPublicKeysAreNoSecret(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers, Preview: true}, func(ctx *pulumi.Context) error {
		args := bucketArgs(t)
		args.PublicKeys = pulumi.ToSecret(args.PublicKeys.ToStringArrayOutput()).(pulumi.StringArrayOutput)
		_, err := NewBucketIssuer(ctx, "issuer", args)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if recorder.Get(t, "issuer-jwks").IsSecret("content") {
		t.Error("the JWKS is hidden")
	}
}

func TestBucketIssuerRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*BucketIssuerArgs) *BucketIssuerArgs
		want   string
	}{
		"nil":    {func(*BucketIssuerArgs) *BucketIssuerArgs { return nil }, "args are missing"},
		"dots":   {func(a *BucketIssuerArgs) *BucketIssuerArgs { a.Bucket = "a.b.c"; return a }, "without dots"},
		"region": {func(a *BucketIssuerArgs) *BucketIssuerArgs { a.Region = "Frankfurt"; return a }, "region"},
		"keys":   {func(a *BucketIssuerArgs) *BucketIssuerArgs { a.PublicKeys = nil; return a }, "PublicKeys"},
		"age":    {func(a *BucketIssuerArgs) *BucketIssuerArgs { a.CacheMaxAgeSeconds = -1; return a }, "CacheMaxAgeSeconds"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				_, err := NewBucketIssuer(ctx, "issuer", tc.change(bucketArgs(t)))
				return err
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if n := len(recorder.Resources()); n != 0 {
				t.Errorf("%d resources were registered before the refusal", n)
			}
		})
	}
}

func TestBucketIssuerPassesFailuresOn(t *testing.T) {
	withSite(t, bucketURL)
	boom := errors.New("boom")
	for _, child := range []string{"issuer-bucket", "issuer-access", "issuer-ownership", "issuer-discovery", "issuer-jwks", "issuer-policy"} {
		_, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers, Fail: func(r pulumitest.Resource) error {
			if r.Name == child {
				return boom
			}
			return nil
		}}, func(ctx *pulumi.Context) error {
			_, err := NewBucketIssuer(ctx, "issuer", bucketArgs(t))
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: error %v", child, err)
		}
	}
}

func cloudFrontArgs(t *testing.T, ctx *pulumi.Context) *CloudFrontIssuerArgs {
	t.Helper()
	args := &CloudFrontIssuerArgs{
		Domain: "oidc.example.com", DNS: DNSRoute53, HostedZoneID: "Z1", Bucket: bucketName,
		PublicKeys: publicKeys(t, "rsa1", "ec256"), CacheTTLSeconds: 60, Tags: map[string]string{"project": "lab"},
	}
	if ctx != nil {
		provider, err := aws.NewProvider(ctx, "us-east-1", &aws.ProviderArgs{Region: pulumi.String("us-east-1")})
		if err != nil {
			t.Fatal(err)
		}
		args.UsEast1 = provider
	}
	return args
}

func TestCloudFrontIssuer(t *testing.T) {
	s := withSite(t, "https://oidc.example.com")
	jwks, err := JWKS([]string{read(t, "rsa1"), read(t, "ec256")})
	if err != nil {
		t.Fatal(err)
	}
	s.jwks = serve(string(jwks))
	var ready, arn string
	records := []map[string]string{{"not": "set"}}
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		issuer, err := NewCloudFrontIssuer(ctx, "issuer", cloudFrontArgs(t, ctx))
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, issuer.Ready, &ready)
		pulumitest.Result(ctx, issuer.DistributionArn, &arn)
		pulumitest.Result(ctx, issuer.Records, &records)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ready != "https://oidc.example.com" || arn != "arn:aws:cloudfront::111122223333:distribution/E1" || len(records) != 0 {
		t.Errorf("ready %q, arn %q, records %v", ready, arn, records)
	}
	pulumitest.Golden(t, "cloudfront/graph.txt", recorder.Graph())
	for _, name := range []string{"issuer-access", "issuer-oac", "issuer-cache", "issuer-certificate", "issuer-validation", "issuer-issued", "issuer-cdn", "issuer-ipv4", "issuer-ipv6", "issuer-jwks"} {
		pulumitest.Golden(t, "cloudfront/"+name+".json", recorder.Get(t, name).JSON())
	}
	pulumitest.Golden(t, "cloudfront/issuer-policy.json", pulumitest.IndentJSON(t, recorder.Get(t, "issuer-policy").Input("policy").(string)))
}

func TestCloudFrontIssuerExternalDNS(t *testing.T) {
	withSite(t, "https://oidc.example.com")
	var records []map[string]string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		args := cloudFrontArgs(t, ctx)
		args.DNS, args.HostedZoneID, args.PublicKeys = DNSExternal, "", publicKeys(t, "rsa1")
		issuer, err := NewCloudFrontIssuer(ctx, "issuer", args)
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, issuer.Records, &records)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 {
		t.Fatalf("records %v", records)
	}
	for i, want := range []map[string]string{
		{"name": "_a.oidc.example.com.", "type": "CNAME", "value": "_b.acm-validations.aws."},
		{"name": "oidc.example.com", "type": "CNAME", "value": "d1.cloudfront.net"},
	} {
		for key, value := range want {
			if records[i][key] != value {
				t.Errorf("record %d: %s is %q, want %q", i, key, records[i][key], value)
			}
		}
		if records[i]["purpose"] == "" {
			t.Errorf("record %d does not say what it is for", i)
		}
	}
	pulumitest.Golden(t, "cloudfront/graph-external.txt", recorder.Graph())
	if got := recorder.Get(t, "issuer-issued").Input("validationRecordFqdns"); got != nil {
		t.Errorf("the validation names records that are not the program's: %v", got)
	}
}

func TestCloudFrontIssuerPreviewShowsEverything(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Preview: true}, func(ctx *pulumi.Context) error {
		_, err := NewCloudFrontIssuer(ctx, "issuer", cloudFrontArgs(t, ctx))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pulumitest.Golden(t, "cloudfront/graph.txt", recorder.Graph())
}

func TestCloudFrontIssuerLongNamesFitAWS(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers, Preview: true}, func(ctx *pulumi.Context) error {
		_, err := NewCloudFrontIssuer(ctx, strings.Repeat("n", 200), cloudFrontArgs(t, ctx))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorder.Resources() {
		limit := map[string]int{"aws:cloudfront/originAccessControl:OriginAccessControl": 64, "aws:cloudfront/cachePolicy:CachePolicy": 128}[r.Type]
		if limit > 0 && len(r.Name)+8 > limit {
			t.Errorf("%s: autoname has %d characters, limit %d", r.Type, len(r.Name)+8, limit)
		}
	}
}

func TestCloudFrontIssuerRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*CloudFrontIssuerArgs)
		want   string
	}{
		"domain":        {func(a *CloudFrontIssuerArgs) { a.Domain = "https://x" }, "domain"},
		"dns":           {func(a *CloudFrontIssuerArgs) { a.DNS = "Route53" }, "DNS is"},
		"no zone":       {func(a *CloudFrontIssuerArgs) { a.HostedZoneID = "" }, "HostedZoneID is missing"},
		"zone external": {func(a *CloudFrontIssuerArgs) { a.DNS = DNSExternal }, "HostedZoneID is set"},
		"bucket":        {func(a *CloudFrontIssuerArgs) { a.Bucket = "A" }, "bucket"},
		"price class":   {func(a *CloudFrontIssuerArgs) { a.PriceClass = "PriceClass_300" }, "PriceClass"},
		"provider":      {func(a *CloudFrontIssuerArgs) { a.UsEast1 = nil }, "UsEast1"},
		"ttl":           {func(a *CloudFrontIssuerArgs) { a.CacheTTLSeconds = -5 }, "CacheTTLSeconds"},
		"keys":          {func(a *CloudFrontIssuerArgs) { a.PublicKeys = nil }, "PublicKeys"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				args := cloudFrontArgs(t, ctx)
				tc.change(args)
				_, err := NewCloudFrontIssuer(ctx, "issuer", args)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := NewCloudFrontIssuer(nil, "issuer", nil); err == nil {
		t.Error("nil args were accepted")
	}
}

func TestProvider(t *testing.T) {
	var arn, hostPath, second string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		provider, err := NewProvider(ctx, "oidc", &ProviderArgs{
			Issuers: []Issuer{{URL: bucketURL, Ready: pulumi.String(bucketURL)}, {URL: "https://old.example.com/path"}},
			Tags:    map[string]string{"project": "lab"},
		})
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, provider.Arn, &arn)
		pulumitest.Result(ctx, provider.IssuerHostPath, &hostPath)
		pulumitest.Result(ctx, provider.Issuers[1].IssuerHostPath, &second)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(bucketURL, "https://")
	if arn != providerArn+want || hostPath != want || second != "old.example.com/path" {
		t.Errorf("arn %q, host path %q, second %q", arn, hostPath, second)
	}
	pulumitest.Golden(t, "provider/graph.txt", recorder.Graph())
	pulumitest.Golden(t, "provider/oidc.json", recorder.Get(t, "oidc-"+want).JSON())
}

// The IAM provider must not be made while the issuer does not answer, and its
// URL must all the same be known in a preview.
func TestProviderWaitsForTheIssuer(t *testing.T) {
	s := withSite(t, bucketURL)
	s.discovery = status(403)
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		down := pulumi.String("x").ToStringOutput().ApplyT(func(string) (string, error) { return "", errors.New("issuer is down") }).(pulumi.StringOutput)
		_, err := NewProvider(ctx, "oidc", &ProviderArgs{Issuers: []Issuer{{URL: bucketURL, Ready: down}}})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "issuer is down") {
		t.Errorf("error %v", err)
	}
	for _, r := range recorder.Resources() {
		if r.Type == "aws:iam/openIdConnectProvider:OpenIdConnectProvider" {
			t.Error("the IAM provider was registered though the issuer is down")
		}
	}
}

func TestProviderIsOrderedAfterTheDocuments(t *testing.T) {
	withSite(t, bucketURL)
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		issuer, err := NewBucketIssuer(ctx, "issuer", bucketArgs(t))
		if err != nil {
			return err
		}
		_, err = NewProvider(ctx, "oidc", &ProviderArgs{Issuers: []Issuer{{URL: bucketURL, Ready: issuer.Ready}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(recorder.Get(t, "oidc-"+strings.TrimPrefix(bucketURL, "https://")).DependsOn, " ")
	for _, want := range []string{"issuer-policy", "issuer-jwks", "issuer-discovery"} {
		if !strings.Contains(got, want) {
			t.Errorf("the IAM provider does not depend on %s: %s", want, got)
		}
	}
}

func TestProviderDynamicThumbprint(t *testing.T) {
	asked := ""
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers, Call: func(token string, args resource.PropertyMap) (resource.PropertyMap, error) {
		if token != "tls:index/getCertificate:getCertificate" {
			return nil, errors.New("unexpected invoke " + token)
		}
		asked = args["url"].StringValue()
		return resource.NewPropertyMapFromMap(map[string]any{"id": "1", "certificates": []any{
			map[string]any{"isCa": true, "issuer": "CN=Root", "subject": "CN=Root", "sha1Fingerprint": strings.Repeat("a", 40)},
			map[string]any{"isCa": true, "issuer": "CN=Root", "subject": "CN=Intermediate", "sha1Fingerprint": strings.Repeat("b", 40)},
			map[string]any{"isCa": false, "issuer": "CN=Intermediate", "subject": "CN=leaf", "sha1Fingerprint": strings.Repeat("c", 40)},
		}}), nil
	}}, func(ctx *pulumi.Context) error {
		_, err := NewProvider(ctx, "oidc", &ProviderArgs{
			Issuers: []Issuer{{URL: "https://oidc.example.com", Ready: pulumi.String("ready")}}, Thumbprint: ThumbprintDynamic,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if asked != "https://oidc.example.com" {
		t.Errorf("asked %q", asked)
	}
	got := recorder.Get(t, "oidc-oidc.example.com").Input("thumbprintLists").([]any)
	if len(got) != 1 || got[0] != strings.Repeat("b", 40) {
		t.Errorf("thumbprints %v", got)
	}
}

func TestTopIntermediate(t *testing.T) {
	root := tls.GetCertificateCertificate{IsCa: true, Issuer: "CN=Root", Subject: "CN=Root", Sha1Fingerprint: "root"}
	crossed := tls.GetCertificateCertificate{IsCa: true, Issuer: "CN=Older root", Subject: "CN=Root", Sha1Fingerprint: "crossed"}
	intermediate := tls.GetCertificateCertificate{IsCa: true, Issuer: "CN=Root", Subject: "CN=Intermediate", Sha1Fingerprint: "intermediate"}
	leaf := tls.GetCertificateCertificate{Issuer: "CN=Intermediate", Subject: "CN=leaf", Sha1Fingerprint: "leaf"}
	for name, tc := range map[string]struct {
		chain []tls.GetCertificateCertificate
		want  string
	}{
		"usual":               {[]tls.GetCertificateCertificate{intermediate, leaf}, "intermediate"},
		"root presented":      {[]tls.GetCertificateCertificate{root, intermediate, leaf}, "intermediate"},
		"cross-signed root":   {[]tls.GetCertificateCertificate{crossed, intermediate, leaf}, "crossed"},
		"private CA directly": {[]tls.GetCertificateCertificate{root, leaf}, "root"},
		"only the leaf":       {[]tls.GetCertificateCertificate{leaf}, ""},
		"nothing":             {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := topIntermediate(tc.chain)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestProviderRefuses(t *testing.T) {
	for name, args := range map[string]*ProviderArgs{
		"nil":        nil,
		"none":       {},
		"slash":      {Issuers: []Issuer{{URL: "https://oidc.example.com//"}}},
		"twice":      {Issuers: []Issuer{{URL: "https://oidc.example.com"}, {URL: "https://oidc.example.com"}}},
		"thumbprint": {Issuers: []Issuer{{URL: "https://oidc.example.com"}}, Thumbprint: strings.Repeat("a", 40)},
		"audience":   {Issuers: []Issuer{{URL: "https://oidc.example.com"}}, Audiences: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				_, err := NewProvider(ctx, "oidc", args)
				return err
			})
			if err == nil || len(recorder.Resources()) != 0 {
				t.Errorf("error %v, %d resources", err, len(recorder.Resources()))
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGuardedIssuers holds what versions and access logs add to an issuer: the
// order of the bucket's settings, and that the documents come after them.
func TestGuardedIssuers(t *testing.T) {
	withSite(t, bucketURL)
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		args := bucketArgs(t)
		args.Versioned, args.LogBucket = true, pulumi.String("lab-logs")
		_, err := NewBucketIssuer(ctx, "issuer", args)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pulumitest.Golden(t, "guarded/graph.txt", recorder.Graph())
	for _, name := range []string{"issuer-encryption", "issuer-versioning", "issuer-logging"} {
		pulumitest.Golden(t, "guarded/"+name+".json", recorder.Get(t, name).JSON())
	}
	for after, before := range map[string]string{
		"issuer-encryption": "issuer-ownership", "issuer-versioning": "issuer-encryption", "issuer-logging": "issuer-versioning",
		"issuer-jwks": "issuer-logging", "issuer-discovery": "issuer-logging", "issuer-policy": "issuer-logging",
	} {
		if got := recorder.Get(t, after).DependsOn; !slices.Contains(got, before) {
			t.Errorf("%s does not wait for %s: %s", after, before, got)
		}
	}
}

// TestProtectedProvider holds that IAM's side of an issuer is protected too.
func TestProtectedProvider(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		_, err := NewProvider(ctx, "oidc", &ProviderArgs{Issuers: []Issuer{{URL: bucketURL}}, Protect: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorder.OfType("aws:iam/openIdConnectProvider:OpenIdConnectProvider") {
		if !r.Protect {
			t.Errorf("%s is not protected", r.Name)
		}
	}
}
