package services_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/stretchr/testify/require"
)

const anywhereTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`

// posted sends a signed request to a service that has no client of the SDK here, and returns status, content type and body.
func posted(t *testing.T, c aws.Config, service string, headers map[string]string, body string) (int, string, string) {
	t.Helper()
	ctx := context.Background()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+service+"."+c.Region+".amazonaws.com/", strings.NewReader(body))
	require.NoError(t, err)
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	who, err := c.Credentials.Retrieve(ctx)
	require.NoError(t, err)
	hash := sha256.Sum256([]byte(body))
	require.NoError(t, v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(hash[:]), service, c.Region, time.Now()))
	res, err := c.HTTPClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header.Get("Content-Type"), string(content)
}

type progressEvent struct {
	TypeName, Identifier, RequestToken, Operation, OperationStatus, StatusMessage, ErrorCode string
}

type controlAnswer struct {
	ProgressEvent       progressEvent
	ResourceDescription struct{ Identifier, Properties string }
	Type                string `json:"__type"`
	Message             string
}

// control calls Cloud Control.
func control(t *testing.T, c aws.Config, action string, in map[string]any) controlAnswer {
	t.Helper()
	body, err := json.Marshal(in)
	require.NoError(t, err)
	_, kind, content := posted(t, c, "cloudcontrolapi", map[string]string{"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "CloudApiService." + action}, string(body))
	require.Equal(t, "application/x-amz-json-1.0", kind)
	var out controlAnswer
	require.NoError(t, json.NewDecoder(bytes.NewReader([]byte(content))).Decode(&out), content)
	return out
}

// ended waits for what was begun.
func ended(t *testing.T, c aws.Config, begun controlAnswer) progressEvent {
	t.Helper()
	require.Empty(t, begun.Type, begun.Message)
	require.Equal(t, "IN_PROGRESS", begun.ProgressEvent.OperationStatus)
	for range 5 {
		if e := control(t, c, "GetResourceRequestStatus", map[string]any{"RequestToken": begun.ProgressEvent.RequestToken}).ProgressEvent; e.OperationStatus != "IN_PROGRESS" {
			return e
		}
	}
	t.Fatal("it does not end")
	return progressEvent{}
}

// TestCloudControl follows a profile by Cloud Control, with its errors.
func TestCloudControl(t *testing.T) {
	l := newLab(t)
	c := l.config(region)
	role := *do(t, iam.NewFromConfig(c).CreateRole, &iam.CreateRoleInput{RoleName: aws.String("pod"), AssumeRolePolicyDocument: aws.String(anywhereTrust)}).Role.Arn
	const kind = "AWS::RolesAnywhere::Profile"
	state := fmt.Sprintf(`{"AcceptRoleSessionName":true,"Enabled":true,"Name":"pods","RoleArns":[%q],"Tags":[{"Key":"a","Value":"1"}]}`, role)

	begun := control(t, c, "CreateResource", map[string]any{"TypeName": kind, "DesiredState": state, "ClientToken": "one"})
	require.Empty(t, begun.ProgressEvent.Identifier, "not known before it is made")
	made := ended(t, c, begun)
	require.Equal(t, "SUCCESS", made.OperationStatus)
	require.Equal(t, "CREATE", made.Operation)
	id := made.Identifier
	again := control(t, c, "CreateResource", map[string]any{"TypeName": kind, "DesiredState": state, "ClientToken": "one"})
	require.Equal(t, begun.ProgressEvent.RequestToken, again.ProgressEvent.RequestToken, "the same client token makes nothing new")
	require.Equal(t, "ClientTokenConflictException", control(t, c, "CreateResource", map[string]any{"TypeName": kind, "DesiredState": "{}", "ClientToken": "one"}).Type)
	require.Len(t, l.Inventory()["rolesanywhere profile"], 1)

	profile := do(t, rolesanywhere.NewFromConfig(c).GetProfile, &rolesanywhere.GetProfileInput{ProfileId: &id}).Profile
	require.True(t, *profile.AcceptRoleSessionName)
	require.True(t, *profile.Enabled)
	var properties map[string]any
	read := control(t, c, "GetResource", map[string]any{"TypeName": kind, "Identifier": id})
	require.NoError(t, json.Unmarshal([]byte(read.ResourceDescription.Properties), &properties))
	require.Equal(t, *profile.ProfileArn, properties["ProfileArn"])
	require.Equal(t, []any{map[string]any{"Key": "a", "Value": "1"}}, properties["Tags"])

	patch := func(operations string) progressEvent {
		return ended(t, c, control(t, c, "UpdateResource", map[string]any{"TypeName": kind, "Identifier": id, "PatchDocument": operations}))
	}
	require.Equal(t, "SUCCESS", patch(`[{"op":"replace","path":"/AcceptRoleSessionName","value":false},{"op":"replace","path":"/Enabled","value":false},{"op":"remove","path":"/Tags/0"}]`).OperationStatus)
	profile = do(t, rolesanywhere.NewFromConfig(c).GetProfile, &rolesanywhere.GetProfileInput{ProfileId: &id}).Profile
	require.False(t, *profile.AcceptRoleSessionName)
	require.False(t, *profile.Enabled)
	for operations, want := range map[string]string{
		`[{"op":"replace","path":"/ProfileArn","value":"x"}]`:                       "NotUpdatable",
		`[{"op":"remove","path":"/RoleArns/7"}]`:                                    "InvalidRequest",
		`[{"op":"add","path":"/X","value":1}]`:                                      "InvalidRequest",
		`[{"op":"add","path":"/RoleArns/0","value":"arn:aws:iam::1:role/gone"}]`:    "NotFound",
		`[{"op":"replace","path":"/DurationSeconds","value":1}]`:                    "InvalidRequest",
		`[{"op":"add","path":"/SessionPolicy","value":"{\"Statement\":\"none\"}"}]`: "InvalidRequest",
	} {
		e := patch(operations)
		require.Equal(t, "FAILED", e.OperationStatus, operations)
		require.Equal(t, want, e.ErrorCode, "%s: %s", operations, e.StatusMessage)
	}

	for name, call := range map[string]struct {
		action, want string
		in           map[string]any
	}{
		"no type":          {"GetResource", "ValidationException", map[string]any{"TypeName": "", "Identifier": id}},
		"nobody's type":    {"GetResource", "TypeNotFoundException", map[string]any{"TypeName": "Own::Lab::Thing", "Identifier": id}},
		"another type":     {"GetResource", "NotImplemented", map[string]any{"TypeName": "AWS::S3::Bucket", "Identifier": id}},
		"nobody's profile": {"GetResource", "ResourceNotFoundException", map[string]any{"TypeName": kind, "Identifier": "00000000-0000-0000-0000-000000000000"}},
		"no JSON":          {"CreateResource", "ValidationException", map[string]any{"TypeName": kind, "DesiredState": "x"}},
		"a role":           {"CreateResource", "NotImplemented", map[string]any{"TypeName": kind, "DesiredState": "{}", "RoleArn": role}},
		"nobody's request": {"GetResourceRequestStatus", "RequestTokenNotFoundException", map[string]any{"RequestToken": "x"}},
		"a list":           {"ListResources", "NotImplemented", map[string]any{"TypeName": kind}},
		"mappings":         {"CreateResource", "NotImplemented", map[string]any{"TypeName": kind, "DesiredState": `{"Name":"a","RoleArns":[],"AttributeMappings":[]}`}},
	} {
		require.Equal(t, call.want, control(t, c, call.action, call.in).Type, name)
	}

	gone := func() progressEvent {
		return ended(t, c, control(t, c, "DeleteResource", map[string]any{"TypeName": kind, "Identifier": id}))
	}
	require.Equal(t, "SUCCESS", gone().OperationStatus)
	require.Equal(t, "NotFound", gone().ErrorCode)
	require.Empty(t, l.Inventory()["rolesanywhere profile"])

	_, _, schema := posted(t, c, "cloudformation", map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		url.Values{"Action": {"DescribeType"}, "Type": {"RESOURCE"}, "TypeName": {kind}}.Encode())
	require.Contains(t, schema, "AcceptRoleSessionName")
	status, _, refusal := posted(t, c, "cloudformation", map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		url.Values{"Action": {"DescribeType"}, "Type": {"RESOURCE"}, "TypeName": {"Own::Lab::Thing"}}.Encode())
	require.Equal(t, 404, status)
	require.Contains(t, refusal, "TypeNotFoundException")
}

// TestCloudControlPermissions: a caller needs Cloud Control's action and each permission of the handler, which sees that the
// call comes by a service. Without one of the handler's the request is taken, and fails.
func TestCloudControlPermissions(t *testing.T) {
	l := newLab(t)
	role := *do(t, iam.NewFromConfig(l.config(region)).CreateRole, &iam.CreateRoleInput{RoleName: aws.String("pod"), AssumeRolePolicyDocument: aws.String(anywhereTrust)}).Role.Arn
	in := map[string]any{"TypeName": "AWS::RolesAnywhere::Profile", "DesiredState": fmt.Sprintf(`{"Name":"pods","RoleArns":[%q],"Tags":[{"Key":"a","Value":"1"}]}`, role)}
	own := []string{"cloudformation:CreateResource", "cloudformation:GetResourceRequestStatus"}
	handler := []string{"iam:GetRole", "iam:PassRole", "rolesanywhere:CreateProfile", "rolesanywhere:TagResource", "rolesanywhere:ListTagsForResource"}
	policyOf := func(actions []string, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"` + condition + `}]}`
	}
	all := append(append([]string{}, own...), handler...)
	full := l.user("full", policyOf(all, ""))
	require.Equal(t, "SUCCESS", ended(t, full, control(t, full, "CreateResource", in)).OperationStatus)
	for i, missing := range handler {
		less := l.user(fmt.Sprint("less-", i), policyOf(append(append([]string{}, all[:2+i]...), all[3+i:]...), ""))
		e := ended(t, less, control(t, less, "CreateResource", in))
		require.Equal(t, "AccessDenied", e.ErrorCode, missing)
		require.Contains(t, e.StatusMessage, "is not authorized to perform: "+missing)
	}
	none := l.user("none", policyOf(handler, ""))
	refused := control(t, none, "CreateResource", in)
	require.Equal(t, "AccessDeniedException", refused.Type)
	require.Contains(t, refused.Message, "cloudformation:CreateResource")

	// What may be done by a service alone may be done by Cloud Control.
	const byService = `,"Condition":{"Bool":{"aws:ViaAWSService":"true"}}`
	direct := l.user("by-service", `{"Version":"2012-10-17","Statement":[`+strings.TrimSuffix(strings.TrimPrefix(policyOf(own, ""), `{"Version":"2012-10-17","Statement":[`), "]}")+","+
		strings.TrimPrefix(policyOf(handler, byService), `{"Version":"2012-10-17","Statement":[`))
	require.Equal(t, "SUCCESS", ended(t, direct, control(t, direct, "CreateResource", in)).OperationStatus)
	_, err := rolesanywhere.NewFromConfig(direct).CreateProfile(t.Context(), &rolesanywhere.CreateProfileInput{Name: aws.String("x"), RoleArns: []string{role}})
	requireCode(t, err, "AccessDeniedException", "rolesanywhere:CreateProfile")
}
