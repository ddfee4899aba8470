package impact

import (
	"encoding/json"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// typeCloudControl is a resource of any CloudFormation type. Of one the review knows what it is; see typed.
const typeCloudControl = "aws:cloudcontrol/resource:Resource"

// typed returns a preview in which the profiles and lists of revoked certificates of Roles Anywhere that Cloud Control makes
// are such, with the properties that their desired states say. All else of Cloud Control stays what it is, which nobody here understands.
func typed(p *preview.Preview) *preview.Preview {
	out := *p
	out.Changes = slices.Clone(p.Changes)
	for i, c := range out.Changes {
		kind := kindOf(c.Now())
		if kind == "" || c.Before != nil && kindOf(c.Before) != kind {
			continue
		}
		as := *c
		as.Before = described(c.Before, kind)
		if as.After = described(c.After, kind); c.Before == c.After {
			as.After = as.Before
		}
		out.Changes[i] = &as
	}
	return &out
}

// kindOf is the type as which the review knows a resource of Cloud Control, empty where it knows none.
func kindOf(r *preview.Resource) string {
	if r.Type != typeCloudControl {
		return ""
	}
	switch r.Value("typeName") {
	case "AWS::RolesAnywhere::Profile":
		return typeRAProfile
	case "AWS::RolesAnywhere::CRL":
		return typeCRL
	}
	return ""
}

// described is the resource that a desired state describes. Of one that is not known yet, only what it depends on is: it stays
// a property that no profile has.
func described(r *preview.Resource, kind string) *preview.Resource {
	if r == nil {
		return nil
	}
	as := *r
	as.Type, as.Inputs = kind, map[string]any{}
	as.PropertyDependencies = map[string][]string{"roleArns": r.PropertyDependencies["desiredState"]}
	var state map[string]any
	text, _ := r.Value("desiredState").(string)
	if json.Unmarshal([]byte(text), &state) != nil {
		as.Inputs["desiredState"], as.Inputs["roleArns"] = r.Value("desiredState"), []any{preview.Unknown}
		return &as
	}
	for name, v := range state {
		if name == "Tags" {
			v = tagsByKey(v)
		}
		as.Inputs[strings.ToLower(name[:1])+name[1:]] = v
	}
	return &as
}

// tagsByKey makes the map of tags that other resources have.
func tagsByKey(v any) any {
	out := map[string]any{}
	entries, _ := v.([]any)
	for _, e := range entries {
		tag, _ := e.(map[string]any)
		key, ok := tag["Key"].(string)
		if !ok {
			return v
		}
		out[key] = tag["Value"]
	}
	return out
}
