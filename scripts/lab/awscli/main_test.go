package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeAWS answers the few calls of the client on one endpoint.
func fakeAWS(t *testing.T, stored *string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sts := func(status int, xml string) {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, xml)
		}
		switch {
		case strings.Contains(string(body), "Action=GetCallerIdentity"):
			sts(200, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::111122223333:assumed-role/uploader/default.uploader</Arn><UserId>AROAX:default.uploader</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
		case strings.Contains(string(body), "Action=AssumeRoleWithWebIdentity"):
			sts(403, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error><RequestId>r</RequestId></ErrorResponse>`)
		case r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/demo/uploader/"):
			*stored = string(body)
			w.Header().Set("ETag", `"abc"`)
		case r.Method == http.MethodPut:
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>User: x is not authorized to perform: s3:PutObject</Message></Error>`)
		case r.URL.Query().Get("list-type") == "2":
			_, _ = fmt.Fprintf(w, `<ListBucketResult><Contents><Key>%sa.json</Key><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>"abc"</ETag><Size>3</Size></Contents></ListBucketResult>`, r.URL.Query().Get("prefix"))
		default:
			w.Header().Set("ETag", `"abc"`)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}!")
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestRun(t *testing.T) {
	var stored string
	server := fakeAWS(t, &stored)
	dir := t.TempDir()
	body := filepath.Join(dir, "body")
	require.NoError(t, os.WriteFile(body, []byte("payload"), 0o600))
	token := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(token, []byte("a.b.c"), 0o600))
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}
	web := map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/uploader", "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_REGION": "eu-central-1"}
	for _, test := range []struct {
		name   string
		env    map[string]string
		args   string
		status int
		stdout string
		stderr string
	}{
		{"identity", keys, "sts get-caller-identity --output json", 0, "{\n    \"UserId\": \"AROAX:default.uploader\",\n    \"Account\": \"111122223333\",\n    \"Arn\": \"arn:aws:sts::111122223333:assumed-role/uploader/default.uploader\"\n}\n", ""},
		{"query as text", keys, "sts get-caller-identity --query Arn --output text", 0, "arn:aws:sts::111122223333:assumed-role/uploader/default.uploader\n", ""},
		{"query as json", keys, "sts get-caller-identity --query Arn", 0, "\"arn:aws:sts::111122223333:assumed-role/uploader/default.uploader\"\n", ""},
		{"text", keys, "sts get-caller-identity --output text", 0, "111122223333\tarn:aws:sts::111122223333:assumed-role/uploader/default.uploader\tAROAX:default.uploader\n", ""},
		{"put", keys, "s3api put-object --bucket demo --key uploader/a.json --body " + body, 0, "{\n    \"ETag\": \"\\\"abc\\\"\"\n}\n", ""},
		{"put refused", keys, "s3api put-object --bucket demo --key other/a.json --body " + body, 254, "", "An error occurred (AccessDenied) when calling the PutObject operation: User: x is not authorized to perform: s3:PutObject\n"},
		{"web identity refused", web, "s3api put-object --bucket demo --key uploader/a.json --body " + body, 254, "", "An error occurred (AccessDenied) when calling the AssumeRoleWithWebIdentity operation: Not authorized to perform sts:AssumeRoleWithWebIdentity\n"},
		{"get", keys, "s3api get-object --bucket demo --key a " + filepath.Join(dir, "out"), 0, "{\n    \"ContentLength\": 3,\n    \"ETag\": \"\\\"abc\\\"\",\n    \"ContentType\": \"application/json\"\n}\n", ""},
		{"list", keys, "s3api list-objects-v2 --bucket demo --prefix uploader/", 0, "\"Key\": \"uploader/a.json\"", ""},
		{"no credentials", map[string]string{"AWS_REGION": "eu-central-1"}, "sts get-caller-identity", 253, "", "Unable to locate credentials"},
		{"no region", map[string]string{"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s"}, "sts get-caller-identity", 253, "", "ou must specify a region"},
		{"missing option", keys, "s3api put-object --bucket demo", 252, "", "the following arguments are required: --key, --body"},
		{"unknown option", keys, "sts get-caller-identity --colour x", 252, "", "unknown options: --colour"},
		{"unknown command", keys, "ec2 describe-instances", 252, "", "unknown command: ec2 describe-instances"},
		{"no body file", keys, "s3api put-object --bucket demo --key a --body /nonexistent", 252, "", "no such file"},
		{"help", keys, "help", 0, "usage: aws sts", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_OUTPUT", "AWS_CA_BUNDLE"} {
				t.Setenv(name, test.env[name])
			}
			t.Setenv("AWS_ENDPOINT_URL", server.URL)
			t.Setenv("AWS_ENDPOINT_URL_STS", "") // restored after the test
			require.NoError(t, os.Unsetenv("AWS_ENDPOINT_URL_STS"))
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
			var stdout, stderr bytes.Buffer
			status := run(context.Background(), strings.Fields(test.args), &stdout, &stderr)
			require.Equal(t, test.status, status, stderr.String())
			require.Contains(t, stdout.String(), test.stdout)
			require.Contains(t, stderr.String(), test.stderr)
		})
	}
	require.Contains(t, stored, "payload")
	got, err := os.ReadFile(filepath.Join(dir, "out"))
	require.NoError(t, err)
	require.Equal(t, "{}!", string(got))
}
