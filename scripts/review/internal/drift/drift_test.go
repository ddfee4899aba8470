package drift

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	inline = `{"urn":"urn:pulumi:lab::p::aws:iam/rolePolicy:RolePolicy::known","type":"aws:iam/rolePolicy:RolePolicy","id":"r:known","inputs":{"role":"r","policy":"program"},"outputs":{"role":"r","name":"known","policy":"program"}}`
	wider  = `{"urn":"urn:pulumi:lab::p::aws:iam/rolePolicy:RolePolicy::known","type":"aws:iam/rolePolicy:RolePolicy","id":"r:known","inputs":{"role":"r","policy":"wider"},"outputs":{"role":"r","name":"known","policy":"wider"}}`
	role1  = `{"urn":"urn:pulumi:lab::p::aws:iam/role:Role::r","type":"aws:iam/role:Role","id":"r","inputs":{},"outputs":{"arn":"arn:r"}}`
)

func steps(list ...string) []byte {
	return []byte(`text in front {"steps":[` + strings.Join(list, ",") + `],"changeSummary":{"update":9}}`)
}

func turned(t *testing.T, p *Preview) []map[string]any {
	t.Helper()
	data, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Steps []map[string]any `json:"steps"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d.Steps
}

// TestReverse: what the engine would put back is what somebody has changed.
func TestReverse(t *testing.T) {
	program := strings.Replace(strings.Replace(inline, `"id":"r:known",`, ``, 1), `"outputs":{"role":"r","name":"known","policy":"program"}`, `"outputs":{"policy":"program"}`, 1)
	urn := `"urn":"urn:pulumi:lab::p::aws:iam/rolePolicy:RolePolicy::known"`
	p, err := Reverse(steps(
		`{"op":"refresh",`+urn+`,"oldState":`+inline+`,"newState":`+wider+`}`,
		`{"op":"update",`+urn+`,"oldState":`+wider+`,"newState":`+program+`}`,
		`{"op":"create","urn":"u2","newState":`+role1+`}`,
		`{"op":"delete","urn":"u3","oldState":`+role1+`}`,
		`{"op":"create-replacement","urn":"u4","oldState":`+role1+`,"newState":`+role1+`}`,
	))
	if err != nil {
		t.Fatal(err)
	}
	got := turned(t, p)
	if len(got) != 4 {
		t.Fatalf("%d steps: the refresh is told by the update", len(got))
	}
	before, after := got[0]["oldState"].(map[string]any), got[0]["newState"].(map[string]any)
	if before["inputs"].(map[string]any)["policy"] != "program" || after["inputs"].(map[string]any)["policy"] != "wider" {
		t.Errorf("%v to %v", before, after)
	}
	if out := before["outputs"].(map[string]any); out["policy"] != "program" || out["name"] != "known" || before["id"] != "r:known" {
		t.Errorf("what only AWS knows is missing, or AWS's own counts: %v", before)
	}
	if got[1]["op"] != "delete" || got[1]["oldState"] == nil || got[2]["op"] != "create" || got[2]["newState"] == nil || got[3]["op"] != "replace" {
		t.Errorf("%v", got[1:])
	}
	for name, data := range map[string][]byte{
		"unknown step":       steps(`{"op":"remove-pending-replace","urn":"u"}`),
		"refreshed and gone": steps(`{"op":"refresh","urn":"u"}`),
		"no steps":           []byte(`{"changeSummary":{}}`),
		"no JSON":            []byte("error"),
	} {
		if _, err := Reverse(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type account struct{ IAM }

func (account) ListRolePolicies(_ context.Context, in *iam.ListRolePoliciesInput, _ ...func(*iam.Options)) (*iam.ListRolePoliciesOutput, error) {
	if in.Marker == nil {
		return &iam.ListRolePoliciesOutput{PolicyNames: []string{"known"}, IsTruncated: true, Marker: aws.String("2")}, nil
	}
	return &iam.ListRolePoliciesOutput{PolicyNames: []string{"hand"}}, nil
}

func (account) GetRolePolicy(context.Context, *iam.GetRolePolicyInput, ...func(*iam.Options)) (*iam.GetRolePolicyOutput, error) {
	return &iam.GetRolePolicyOutput{PolicyDocument: aws.String(url.QueryEscape(`{"a b": "+%"}`))}, nil
}

func (account) ListAttachedRolePolicies(context.Context, *iam.ListAttachedRolePoliciesInput, ...func(*iam.Options)) (*iam.ListAttachedRolePoliciesOutput, error) {
	return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: []types.AttachedPolicy{
		{PolicyArn: aws.String("arn:known"), PolicyName: aws.String("known")}, {PolicyArn: aws.String("arn:hand"), PolicyName: aws.String("hand")},
	}}, nil
}

func (account) GetPolicy(context.Context, *iam.GetPolicyInput, ...func(*iam.Options)) (*iam.GetPolicyOutput, error) {
	return &iam.GetPolicyOutput{Policy: &types.Policy{PolicyName: aws.String("hand"), DefaultVersionId: aws.String("v2")}}, nil
}

func (account) GetPolicyVersion(_ context.Context, in *iam.GetPolicyVersionInput, _ ...func(*iam.Options)) (*iam.GetPolicyVersionOutput, error) {
	return &iam.GetPolicyVersionOutput{PolicyVersion: &types.PolicyVersion{Document: aws.String(url.QueryEscape(aws.ToString(in.VersionId)))}}, nil
}

// TestAccount: what the stack's roles have in AWS and the stack does not, and nothing of what it has.
func TestAccount(t *testing.T) {
	attachment := `{"urn":"u","type":"aws:iam/rolePolicyAttachment:RolePolicyAttachment","id":"r-1","inputs":{"role":"r","policyArn":"arn:known"},"outputs":{}}`
	p, err := Reverse(steps(
		`{"op":"same","urn":"urn:pulumi:lab::p::aws:iam/role:Role::r","oldState":`+role1+`,"newState":`+role1+`}`,
		`{"op":"same","urn":"u1","oldState":`+inline+`,"newState":`+inline+`}`,
		`{"op":"same","urn":"u","oldState":`+attachment+`,"newState":`+attachment+`}`,
	))
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.Account(context.Background(), account{})
	if err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	got := turned(t, p)[3:]
	if len(got) != 3 {
		t.Fatalf("%v", got)
	}
	for i, want := range []string{`{"a b": "+%"}`, "v2", "arn:hand"} {
		in := got[i]["newState"].(map[string]any)["inputs"].(map[string]any)
		if got[i]["op"] != "create" || in["policy"] != want && in["policyArn"] != want {
			t.Errorf("%v, want %s", got[i], want)
		}
	}
}

// TestPassedOver holds that what the provider passes over by its own rules is no drift, and that nothing else is.
func TestPassedOver(t *testing.T) {
	state := func(typ, tier, value string) string {
		return `{"type": "` + typ + `", "inputs": {"tier": "` + tier + `", "value": "` + value + `"}, "outputs": {"tier": "` + tier + `"}}`
	}
	const parameter = "aws:ssm/parameter:Parameter"
	for name, c := range map[string]struct {
		typ, aws, program, value string
		same                     bool
	}{
		"AWS has chosen a tier":   {parameter, "Standard", "Intelligent-Tiering", "v", true},
		"another tier":            {parameter, "Standard", "Advanced", "v", false},
		"another value":           {parameter, "Standard", "Intelligent-Tiering", "w", false},
		"the like of other types": {"aws:s3/bucketV2:BucketV2", "Standard", "Intelligent-Tiering", "v", false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Reverse([]byte(`{"steps": [{"op": "same", "urn": "urn:pulumi:lab::p::` + c.typ + `::x", "oldState": ` +
				state(c.typ, c.aws, c.value) + `, "newState": ` + state(c.typ, c.program, "v") + `}]}`))
			if err != nil {
				t.Fatal(err)
			}
			inputs := func(side string) string {
				var s struct{ Inputs map[string]string }
				if err := json.Unmarshal(p.steps[0][side], &s); err != nil {
					t.Fatal(err)
				}
				return s.Inputs["tier"] + s.Inputs["value"]
			}
			if same := inputs("oldState") == inputs("newState"); same != c.same {
				t.Errorf("AWS has %s, the program says %s", inputs("oldState"), inputs("newState"))
			}
		})
	}
}
