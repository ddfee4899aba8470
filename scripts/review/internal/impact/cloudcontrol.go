package impact

import (
	"encoding/json"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// typeCloudControl is a resource of any CloudFormation type. Of one the review knows what it is; see typed.
const typeCloudControl = "aws:cloudcontrol/resource:Resource"

// typed returns a preview in which the Roles Anywhere profiles that Cloud Control makes are profiles, with the properties
// that their desired states say. All else of Cloud Control stays what it is, which nobody here understands.
func typed(p *preview.Preview) *preview.Preview {
	out := *p
	out.Changes = slices.Clone(p.Changes)
	for i, c := range out.Changes {
		if !isProfile(c.Before) && !isProfile(c.After) || c.Before != nil && !isProfile(c.Before) || c.After != nil && !isProfile(c.After) {
			continue
		}
		as := *c
		as.Before = profileOf(c.Before)
		if as.After = profileOf(c.After); c.Before == c.After {
			as.After = as.Before
		}
		out.Changes[i] = &as
	}
	return &out
}

func isProfile(r *preview.Resource) bool {
	return r != nil && r.Type == typeCloudControl && r.Value("typeName") == "AWS::RolesAnywhere::Profile"
}

// profileOf is the profile that a desired state describes. Of one that is not known yet, only what it depends on is: it stays
// a property that no profile has.
func profileOf(r *preview.Resource) *preview.Resource {
	if r == nil {
		return nil
	}
	as := *r
	as.Type, as.Inputs = typeRAProfile, map[string]any{}
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
