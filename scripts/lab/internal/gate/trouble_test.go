package gate

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

func TestTrouble(t *testing.T) {
	g := &Gate{}
	call := func(source, action string) *Error { return g.trouble(&Call{Source: source, Action: action}) }
	g.SetTrouble([]Trouble{{Source: "pod/default/", Action: "AssumeRole", Code: "Throttling", Message: "Rate exceeded", Status: 400, Until: time.Now().Add(time.Hour)},
		{Source: "pod/", Action: "CreateSession", Code: "X", Status: 500, Until: time.Now().Add(-time.Second)}})
	require.Equal(t, "Throttling", call("pod/default/a", "AssumeRole").Code)
	require.Nil(t, call("pod/other/a", "AssumeRole"))
	require.Nil(t, call("pod/default/a", "GetCallerIdentity"))
	require.Nil(t, call("pod/default/a", "CreateSession"), "it is over")
	g.SetTrouble(nil)
	require.Nil(t, call("pod/default/a", "AssumeRole"))
}

// TestTroubleReachesClients holds the two by AWS's own client: calls fail for one caller, and sessions end early.
func TestTroubleReachesClients(t *testing.T) {
	l := newLab(t)
	control := httptest.NewServer(l.Control())
	defer control.Close()
	post := func(body string) int {
		resp, err := http.Post(control.URL+"/_lab/trouble", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	arn := l.role("app", trustAccount, "")
	assume := func() (*sts.AssumeRoleOutput, error) {
		return sts.NewFromConfig(l.admin()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("build")})
	}
	for _, bad := range []string{`{}`, `{"longestSession":"soon"}`, `{"longestSession":"-1s"}`, `{"longestSession":"0s","troubles":[{"source":"","action":"AssumeRole","code":"X","status":400}]}`,
		`{"longestSession":"0s","troubles":[{"source":"host","action":"AssumeRole","code":"X","status":200}]}`} {
		require.Equal(t, http.StatusBadRequest, post(bad), bad)
	}
	require.Equal(t, http.StatusOK, post(`{"longestSession":"20s"}`))
	out, err := assume()
	require.NoError(t, err)
	require.WithinDuration(t, l.Now().Add(20*time.Second), *out.Credentials.Expiration, 2*time.Second)

	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	source := l.Events()[len(l.Events())-1].Source
	require.NotEmpty(t, source)
	require.Equal(t, http.StatusOK, post(`{"longestSession":"0s","troubles":[{"source":"`+source+`","action":"AssumeRole","code":"Throttling","message":"Rate exceeded","status":400,"until":"`+until+`"}]}`))
	_, err = assume()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, "Throttling", api.ErrorCode())
	require.Equal(t, http.StatusOK, post(`{"longestSession":"0s"}`))
	out, err = assume()
	require.NoError(t, err)
	require.WithinDuration(t, l.Now().Add(time.Hour), *out.Credentials.Expiration, 2*time.Second)
}
