package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// byHand gives the uploader's role more than the stack says, as somebody with the console would: an inline policy and an
// attached one, neither of which a refresh of the stack shows. undo takes them away again.
func byHand(t *testing.T, env []string) (undo func()) {
	t.Helper()
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "AWS_") {
			t.Setenv(k, v)
		}
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	api := iam.NewFromConfig(cfg)
	var role *string
	pages := iam.NewListRolesPaginator(api, &iam.ListRolesInput{})
	for pages.HasMorePages() && role == nil {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Roles {
			if strings.Contains(aws.ToString(r.RoleName), "uploader") {
				role = r.RoleName
			}
		}
	}
	if role == nil {
		t.Fatal("the lab has no role of the uploader")
	}
	inline, managed := aws.String("emergency"), aws.String("arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy")
	if _, err := api.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: role, PolicyName: inline,
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:PutRolePolicy","Resource":"*"}]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: managed}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := api.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: inline}); err != nil {
			t.Error(err)
		}
		if _, err := api.DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: managed}); err != nil {
			t.Error(err)
		}
	}
}
