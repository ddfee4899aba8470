package account

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"
)

// Two pages of IAM, an attached policy that they do not have, and a service that may not be read.
func TestGatherReadsAllPages(t *testing.T) {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	document := doc(allow("s3:GetObject", "arn:aws:s3:::a+b %2B/*"))
	encode := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	role := func(name string) string {
		return "<member><RoleName>" + name + "</RoleName><Arn>arn:aws:iam::111122223333:role/" + name + "</Arn><AssumeRolePolicyDocument>" + encode(trust) + "</AssumeRolePolicyDocument>" +
			"<RolePolicyList><member><PolicyName>own</PolicyName><PolicyDocument>" + encode(document) + "</PolicyDocument></member></RolePolicyList>" +
			"<AttachedManagedPolicies><member><PolicyName>X</PolicyName><PolicyArn>arn:aws:iam::aws:policy/X</PolicyArn></member></AttachedManagedPolicies></member>"
	}
	calls := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		action := r.Form.Get("Action")
		calls[action]++
		answer := map[string]string{
			"GetCallerIdentity":          "<Arn>arn:aws:iam::111122223333:user/me</Arn><Account>111122223333</Account>",
			"ListOpenIDConnectProviders": "<OpenIDConnectProviderList><member><Arn>p</Arn></member></OpenIDConnectProviderList>",
			"GetOpenIDConnectProvider":   "<Url>oidc.example.com</Url><ClientIDList><member>sts.amazonaws.com</member></ClientIDList>",
			"GetPolicy":                  "<Policy><DefaultVersionId>v7</DefaultVersionId></Policy>",
			"GetPolicyVersion":           "<PolicyVersion><Document>" + encode(document) + "</Document></PolicyVersion>",
		}[action]
		switch {
		case action == "GetAccountAuthorizationDetails" && r.Form.Get("Marker") == "":
			answer = "<IsTruncated>true</IsTruncated><Marker>more</Marker><RoleDetailList>" + role("a") + "</RoleDetailList>"
		case action == "GetAccountAuthorizationDetails":
			answer = "<IsTruncated>false</IsTruncated><RoleDetailList>" + role("b") + "</RoleDetailList>"
		case r.URL.Query().Has("policy"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("<Error><Code>NoSuchBucketPolicy</Code><Message>none</Message></Error>"))
			return
		case action == "":
			w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"message":"not you"}`))
			return
		}
		fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, answer)
	}))
	defer server.Close()
	s, err := Gather(t.Context(), sdk.Config{Region: "eu-central-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "none", ""),
		Retryer: func() sdk.Retryer { return sdk.NopRetryer{} }}, "bucket")
	require.NoError(t, err)
	require.Equal(t, "aws", s.Partition)
	require.Len(t, s.Roles, 2)
	require.Equal(t, trust, s.Roles[1].Trust)
	require.Equal(t, document, s.Roles[0].Inline[0].Document)
	require.Equal(t, []Managed{{"arn:aws:iam::aws:policy/X", document}}, s.Policies)
	require.Equal(t, 1, calls["GetPolicy"], "once for both roles")
	require.Equal(t, []Provider{{ARN: "p", URL: "oidc.example.com", Clients: []string{"sts.amazonaws.com"}}}, s.Providers)
	require.Equal(t, []Bucket{{Name: "bucket"}}, s.Buckets)
	require.Equal(t, []string{"trust anchors: AccessDeniedException: not you", "profiles of Roles Anywhere: AccessDeniedException: not you"}, s.Missing)
}
