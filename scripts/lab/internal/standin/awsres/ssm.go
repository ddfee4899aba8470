package awsres

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var ssmResources = map[string]*resource{
	"aws:ssm/parameter:Parameter": {
		Create: createParameter, Read: readParameter, Update: updateParameter, Delete: deleteParameter, Check: checkParameter,
		Diff: func(d *diff) {
			if engine.Str(d.Old, "tier") == string(types.ParameterTierAdvanced) && engine.Str(d.In, "tier") == string(types.ParameterTierStandard) {
				d.Replace("tier")
			}
			// What AWS made of it is Standard or Advanced.
			if engine.Str(d.Old, "tier") != "" && engine.Str(d.In, "tier") == string(types.ParameterTierIntelligentTiering) {
				d.Drop("tier")
			}
		},
		Volatile: func(changed map[string]bool) []string {
			if changed["value"] || changed["insecureValue"] || changed["description"] || changed["type"] {
				return []string{"version"}
			}
			return nil
		},
	},
}

var ssmFunctions = map[string]function{
	"aws:ssm/getParameter:getParameter": func(ctx context.Context, c *call) (m, error) {
		name := engine.Str(c.In, "name")
		decrypt := !engine.Has(c.In, "withDecryption") || engine.Bool(c.In, "withDecryption")
		out, err := c.Client.ssm().GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: &decrypt})
		if err != nil {
			return nil, fmt.Errorf("reading SSM Parameter (%s): %w", name, err)
		}
		p := out.Parameter
		state := m{
			"id": aws.ToString(p.Name), "name": aws.ToString(p.Name), "arn": aws.ToString(p.ARN), "type": string(p.Type), "value": aws.ToString(p.Value),
			"version": float64(p.Version), "withDecryption": decrypt,
		}
		if p.Type != types.ParameterTypeSecureString {
			state["insecureValue"] = state["value"]
		}
		return state, nil
	},
}

func checkParameter(c *checker) {
	if c.In["type"] == string(types.ParameterTypeSecureString) && c.Given("insecureValue") {
		c.Fail("insecureValue", "invalid configuration: insecureValue cannot be used with type SecureString.")
	}
}

func parameterValue(in m) *string {
	if v := engine.StrPtr(in, "value"); v != nil {
		return v
	}
	return engine.StrPtr(in, "insecureValue")
}

func putParameter(c *call, overwrite bool) *ssm.PutParameterInput {
	in := &ssm.PutParameterInput{
		Name: engine.StrPtr(c.In, "name"), Type: types.ParameterType(engine.Str(c.In, "type")), Value: parameterValue(c.In),
		AllowedPattern: engine.StrPtr(c.In, "allowedPattern"), DataType: engine.StrPtr(c.In, "dataType"),
		Description: engine.StrPtr(c.In, "description"), Tier: types.ParameterTier(engine.Str(c.In, "tier")), Overwrite: aws.Bool(overwrite),
	}
	if in.Type == types.ParameterTypeSecureString {
		in.KeyId = engine.StrPtr(c.In, "keyId")
	}
	return in
}

func ssmTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func createParameter(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	overwrite := engine.Bool(c.In, "overwrite")
	in := putParameter(c, overwrite)
	if !overwrite { // the API refuses tags together with an overwrite
		in.Tags = ssmTags(c.Tags())
	}
	if _, err := c.Client.ssm().PutParameter(ctx, in); err != nil {
		return "", nil, fmt.Errorf("creating SSM Parameter (%s): %w", name, err)
	}
	if overwrite && len(c.Tags()) > 0 {
		if err := c.Client.parameterTags(ctx, name, c.Tags(), nil); err != nil {
			return name, nil, err
		}
	}
	return name, nil, nil
}

func (c *Client) parameterTags(ctx context.Context, name string, set map[string]string, remove []string) error {
	if len(remove) > 0 {
		if _, err := c.ssm().RemoveTagsFromResource(ctx, &ssm.RemoveTagsFromResourceInput{
			ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: &name, TagKeys: remove,
		}); err != nil {
			return fmt.Errorf("removing tags of SSM Parameter (%s): %w", name, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.ssm().AddTagsToResource(ctx, &ssm.AddTagsToResourceInput{
			ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: &name, Tags: ssmTags(set),
		}); err != nil {
			return fmt.Errorf("setting tags of SSM Parameter (%s): %w", name, err)
		}
	}
	return nil
}

func readParameter(ctx context.Context, c *call) (m, error) {
	name := c.ID
	var out *ssm.GetParameterOutput
	err := visible(ctx, c, func(ctx context.Context) error {
		var err error
		out, err = c.Client.ssm().GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
		if is(err, "ParameterNotFound") {
			return engine.ErrGone
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading SSM Parameter (%s): %w", name, err)
	}
	p := out.Parameter
	state := m{
		"name": aws.ToString(p.Name), "arn": c.Client.arn("ssm", "parameter/"+strings.TrimPrefix(name, "/")), "type": string(p.Type),
		"version": float64(p.Version), "tags": m{},
	}
	if engine.Has(c.Old, "insecureValue") && !engine.Has(c.Old, "value") && p.Type != types.ParameterTypeSecureString {
		state["insecureValue"], state["value"] = aws.ToString(p.Value), aws.ToString(p.Value)
	} else {
		state["value"] = aws.ToString(p.Value)
	}
	if p.DataType != nil {
		state["dataType"] = aws.ToString(p.DataType)
	}
	described, err := c.Client.ssm().DescribeParameters(ctx, &ssm.DescribeParametersInput{
		ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Name"), Option: aws.String("Equals"), Values: []string{name}}},
	})
	if optional(err) != nil {
		return nil, fmt.Errorf("describing SSM Parameter (%s): %w", name, err)
	}
	if err == nil {
		for _, d := range described.Parameters {
			if aws.ToString(d.Name) != name {
				continue
			}
			state["description"], state["allowedPattern"] = aws.ToString(d.Description), aws.ToString(d.AllowedPattern)
			state["keyId"], state["tier"] = aws.ToString(d.KeyId), string(d.Tier)
		}
	}
	tags, err := c.Client.ssm().ListTagsForResource(ctx, &ssm.ListTagsForResourceInput{
		ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: &name,
	})
	if optional(err) != nil {
		return nil, fmt.Errorf("listing tags of SSM Parameter (%s): %w", name, err)
	}
	if err == nil {
		all := m{}
		for _, t := range tags.TagList {
			all[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		state["tags"] = all
	}
	return state, nil
}

func updateParameter(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("value", "insecureValue", "type", "allowedPattern", "dataType", "description", "keyId", "tier", "arn") {
		if _, err := c.Client.ssm().PutParameter(ctx, putParameter(c, true)); err != nil {
			return nil, fmt.Errorf("updating SSM Parameter (%s): %w", c.ID, err)
		}
	}
	set, remove := c.TagChanges()
	return nil, c.Client.parameterTags(ctx, c.ID, set, remove)
}

func deleteParameter(ctx context.Context, c *call) error {
	_, err := c.Client.ssm().DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &c.ID})
	if err = absent(err, "ParameterNotFound"); err != nil {
		return fmt.Errorf("deleting SSM Parameter (%s): %w", c.ID, err)
	}
	return nil
}
