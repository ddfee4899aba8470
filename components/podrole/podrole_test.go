package podrole_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/podrole"
)

const account = "111122223333"

func answers(r pulumitest.Resource) resource.PropertyMap {
	if r.Type != "aws:iam/role:Role" {
		return nil
	}
	name := r.Name + "-1234567"
	if given := r.Input("name"); given != nil {
		name = given.(string)
	}
	return resource.NewPropertyMapFromMap(map[string]any{"name": name, "arn": "arn:aws:iam::" + account + ":role/" + name})
}

func issuer(host string) podrole.WebIdentityIssuer {
	return podrole.WebIdentityIssuer{
		Arn:      pulumi.String("arn:aws:iam::" + account + ":oidc-provider/" + host),
		HostPath: pulumi.String(host),
	}
}

// trusting is the trust in the uploader's tokens of some issuers.
func trusting(issuers ...podrole.WebIdentityIssuer) pulumi.StringOutput {
	return podrole.WebIdentityTrust(podrole.Tokens{Issuers: issuers, Audience: "sts.amazonaws.com", Subjects: []string{iampolicy.Subject("default", "uploader")}})
}

func uploader() []iampolicy.Statement {
	return []iampolicy.Statement{{
		Sid: "PutOwnPrefix", Actions: []string{"s3:PutObject"}, Resources: []string{"arn:aws:s3:::lab-demo/uploader/*"},
	}}
}

// One golden trust policy and one golden permission policy for each setup that
// has pod roles. (In instance-profile, pods have none.)
func TestPolicies(t *testing.T) {
	for setup, trust := range map[string]func() pulumi.StringOutput{
		"irsa-s3": func() pulumi.StringOutput {
			return trusting(issuer("lab-issuer.s3.eu-central-1.amazonaws.com"))
		},
		"irsa-cloudfront": func() pulumi.StringOutput {
			return trusting(issuer("oidc.example.com"))
		},
		"irsa-migration": func() pulumi.StringOutput {
			return trusting(issuer("oidc.example.com"), issuer("lab-issuer.s3.eu-central-1.amazonaws.com"))
		},
		"roles-anywhere": func() pulumi.StringOutput {
			anchors := pulumi.StringArray{pulumi.String("arn:aws:rolesanywhere:eu-central-1:" + account + ":trust-anchor/0a1b")}
			return podrole.RolesAnywhereTrust(podrole.Certificates{TrustAnchorArns: anchors, CommonNames: []string{"default.uploader"}})
		},
	} {
		t.Run(setup, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
				_, err := podrole.NewPodRole(ctx, "uploader", &podrole.PodRoleArgs{
					RoleName: "lab-uploader", Trust: trust(), Statements: uploader(), Tags: map[string]string{"project": "lab"},
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			role, policy := recorder.Get(t, "uploader-role"), recorder.Get(t, "uploader-policy")
			pulumitest.Golden(t, setup+"/trust.json", pulumitest.IndentJSON(t, role.Input("assumeRolePolicy").(string)))
			pulumitest.Golden(t, setup+"/permissions.json", pulumitest.IndentJSON(t, policy.Input("policy").(string)))
			if policy.Input("role") != "lab-uploader" {
				t.Errorf("the policy is given to %v, must be the role's name", policy.Input("role"))
			}
			pulumitest.Golden(t, "graph.txt", recorder.Graph())
		})
	}
}

func TestManagedPoliciesSessionAndBoundary(t *testing.T) {
	var arn, name string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		role, err := podrole.NewPodRole(ctx, "reader", &podrole.PodRoleArgs{
			Trust:             pulumi.String("{}"),
			ManagedPolicyArns: []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", "arn:aws:iam::111122223333:policy/team/extra"},
			MaxSessionSeconds: 43200, PermissionsBoundary: "arn:aws:iam::111122223333:policy/boundary",
		})
		if err != nil {
			return err
		}
		pulumitest.Result(ctx, role.Arn, &arn)
		pulumitest.Result(ctx, role.Name, &name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if name != "reader-role-1234567" || arn != "arn:aws:iam::111122223333:role/reader-role-1234567" {
		t.Errorf("arn %q, name %q", arn, name)
	}
	pulumitest.Golden(t, "managed/graph.txt", recorder.Graph())
	pulumitest.Golden(t, "managed/role.json", recorder.Get(t, "reader-role").JSON())
}

// TestAttachmentNames holds that no two attachments have one logical name: the
// engine knows a resource by its type and that name, whichever role it is for.
func TestAttachmentNames(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		for role, policies := range map[string][]string{
			"a": {
				"arn:aws:iam::aws:policy/y", "arn:aws:iam::111122223333:policy/y", "arn:aws:iam::444455556666:policy/y",
				"arn:aws:iam::111122223333:policy/x-y", "arn:aws:iam::111122223333:policy/x/y", "arn:aws:iam::aws:policy/x-y",
			},
			"a-x":            {"arn:aws:iam::aws:policy/y", "arn:aws:iam::111122223333:policy/y"},
			"a-aws":          {"arn:aws:iam::aws:policy/y", "arn:aws:iam::111122223333:policy/y"},
			"a-111122223333": {"arn:aws:iam::aws:policy/y", "arn:aws:iam::111122223333:policy/y"},
		} {
			if _, err := podrole.NewPodRole(ctx, role, &podrole.PodRoleArgs{Trust: pulumi.String("{}"), ManagedPolicyArns: policies}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	attachments := recorder.OfType("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
	if len(attachments) != 12 {
		t.Errorf("%d attachments, want 12", len(attachments))
	}
	for i := 1; i < len(attachments); i++ {
		if a, b := attachments[i-1], attachments[i]; a.Name == b.Name {
			t.Errorf("%s for policy %v of %s, and for policy %v of %s", a.Name, a.Input("policyArn"), a.Parent, b.Input("policyArn"), b.Parent)
		}
	}
}

func TestTrustIsChecked(t *testing.T) {
	var many []podrole.WebIdentityIssuer
	for i := range 10 {
		many = append(many, issuer(fmt.Sprintf("issuer-%d.example.com", i)))
	}
	for name, trust := range map[string]func() pulumi.StringOutput{
		"no issuers": func() pulumi.StringOutput {
			return podrole.WebIdentityTrust(podrole.Tokens{Issuers: nil, Audience: "sts.amazonaws.com", Subjects: []string{iampolicy.Subject("a", "b")}})
		},
		"too many": func() pulumi.StringOutput {
			return podrole.WebIdentityTrust(podrole.Tokens{Issuers: many, Audience: "sts.amazonaws.com", Subjects: []string{iampolicy.Subject("a", "b")}})
		},
		"no anchors": func() pulumi.StringOutput {
			return podrole.RolesAnywhereTrust(podrole.Certificates{TrustAnchorArns: pulumi.StringArray{}, CommonNames: []string{"a.b"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
				_, err := podrole.NewPodRole(ctx, "x", &podrole.PodRoleArgs{Trust: trust()})
				return err
			})
			if err == nil {
				t.Error("accepted")
			}
			for _, r := range recorder.Resources() {
				if r.Type == "aws:iam/role:Role" {
					t.Error("the role was registered")
				}
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	good := func() *podrole.PodRoleArgs { return &podrole.PodRoleArgs{Trust: pulumi.String("{}")} }
	for name, tc := range map[string]struct {
		args func() *podrole.PodRoleArgs
		want string
	}{
		"nil":       {func() *podrole.PodRoleArgs { return nil }, "args are missing"},
		"trust":     {func() *podrole.PodRoleArgs { return &podrole.PodRoleArgs{} }, "Trust"},
		"role name": {func() *podrole.PodRoleArgs { a := good(); a.RoleName = strings.Repeat("x", 65); return a }, "RoleName"},
		"session":   {func() *podrole.PodRoleArgs { a := good(); a.MaxSessionSeconds = 900; return a }, "MaxSessionSeconds"},
		"statement": {func() *podrole.PodRoleArgs {
			a := good()
			a.Statements = []iampolicy.Statement{{Actions: []string{"s3:*"}}}
			return a
		}, "statement 0: resources"},
		"managed": {func() *podrole.PodRoleArgs { a := good(); a.ManagedPolicyArns = []string{"ReadOnly"}; return a }, "ManagedPolicyArns[0]"},
		"managed twice": {func() *podrole.PodRoleArgs {
			a := good()
			a.ManagedPolicyArns = []string{"arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/A"}
			return a
		}, "listed twice"},
		"boundary": {func() *podrole.PodRoleArgs { a := good(); a.PermissionsBoundary = "x"; return a }, "PermissionsBoundary"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				_, err := podrole.NewPodRole(ctx, "x", tc.args())
				return err
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if n := len(recorder.Resources()); n != 0 {
				t.Errorf("%d resources before the refusal", n)
			}
		})
	}
}

func TestPassesFailuresOn(t *testing.T) {
	for _, child := range []string{"x-role", "x-policy", "x-aws:policy/A"} {
		_, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers, Fail: func(r pulumitest.Resource) error {
			if r.Name == child {
				return errors.New("boom")
			}
			return nil
		}}, func(ctx *pulumi.Context) error {
			_, err := podrole.NewPodRole(ctx, "x", &podrole.PodRoleArgs{
				Trust: pulumi.String("{}"), Statements: uploader(), ManagedPolicyArns: []string{"arn:aws:iam::aws:policy/A"},
			})
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: error %v", child, err)
		}
	}
}

func TestLongNamesFitIAM(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		_, err := podrole.NewPodRole(ctx, strings.Repeat("n", 300), &podrole.PodRoleArgs{Trust: pulumi.String("{}"), Statements: uploader()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorder.Resources() {
		limit := map[string]int{"aws:iam/role:Role": 64, "aws:iam/rolePolicy:RolePolicy": 128}[r.Type]
		if limit > 0 && len(r.Name)+8 > limit {
			t.Errorf("%s: autoname has %d characters", r.Type, len(r.Name)+8)
		}
	}
}
