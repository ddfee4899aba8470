package awsres

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

func TestCheckConfig(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	out, failures := checkConfig(m{"defaultTags": `{"tags":{"a":"b"}}`})
	require.Empty(t, failures)
	require.Equal(t, "eu-west-1", out["region"])
	require.Equal(t, true, out["skipMetadataApiCheck"])

	out, failures = checkConfig(m{"region": "us-east-1"})
	require.Empty(t, failures)
	require.Equal(t, "us-east-1", out["region"])

	_, failures = checkConfig(m{"regoin": "us-east-1"})
	require.Len(t, failures, 1)
	require.Equal(t, "regoin", failures[0].Property)

	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, failures = checkConfig(m{})
	require.Len(t, failures, 1)
	require.Equal(t, "region", failures[0].Property)
	_, failures = checkConfig(m{"region": engine.Unknown{}})
	require.Empty(t, failures, "a region that is not known yet is none missing")
}

func TestDecodeConfig(t *testing.T) {
	out, err := decodeConfig(m{"defaultTags": `{"tags":{"a":"b"}}`, "skipCredentialsValidation": "true", "allowedAccountIds": `["1"]`, "maxRetries": "2", "region": "r"})
	require.NoError(t, err)
	require.Equal(t, m{"defaultTags": m{"tags": m{"a": "b"}}, "skipCredentialsValidation": true, "allowedAccountIds": []any{"1"}, "maxRetries": 2.0, "region": "r"}, out)
	for _, bad := range []m{{"defaultTags": "{"}, {"skipCredentialsValidation": "perhaps"}, {"maxRetries": "many"}} {
		_, err := decodeConfig(bad)
		require.Error(t, err)
	}
}

func TestTags(t *testing.T) {
	c := &Client{defaultTags: map[string]string{"team": "a", "env": "lab"}, ignoreKeys: []string{"cost"}, ignoreStart: []string{"kubernetes.io/"}}
	require.Equal(t, m{"team": "b", "env": "lab"}, c.tagsAll(m{"team": "b", "cost": "x"}))
	all := m{"team": "a", "env": "prod", "mine": "1", "cost": "x", "kubernetes.io/x": "y", "aws:cloudformation": "z"}
	require.Equal(t, m{"env": "prod", "mine": "1"}, c.ownTags(all, m{}))
	require.Equal(t, m{"team": "a", "env": "prod", "mine": "1"}, c.ownTags(all, m{"team": "a"}), "a default tag that the program repeats is its own too")
}

// TestConfigureNamesBadCredentials configures against an endpoint that refuses them.
func TestConfigureNamesBadCredentials(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>`))
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	configureWith := func(in m) error {
		_, err := engine.NewServer(Package(""), "").Configure(context.Background(), &pulumirpc.ConfigureRequest{Args: object(t, in)})
		return err
	}
	err := configureWith(m{"region": "eu-central-1"})
	require.ErrorContains(t, err, "unable to validate AWS credentials")
	require.ErrorContains(t, err, "InvalidClientTokenId")
	require.Equal(t, 1, calls)
	require.NoError(t, configureWith(m{"region": "eu-central-1", "skipCredentialsValidation": "true", "skipRequestingAccountId": "true"}))
	require.Equal(t, 1, calls, "no call where none is asked for")
	require.ErrorContains(t, configureWith(m{}), "missing region")
}

func TestPartition(t *testing.T) {
	for region, want := range map[string][2]string{
		"eu-central-1": {"aws", "amazonaws.com"}, "cn-north-1": {"aws-cn", "amazonaws.com.cn"}, "us-gov-west-1": {"aws-us-gov", "amazonaws.com"},
	} {
		partition, suffix := partitionOf(region)
		require.Equal(t, want, [2]string{partition, suffix})
	}
}
