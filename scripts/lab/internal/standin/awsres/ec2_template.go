package awsres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// templateGone are the codes by which EC2 says that there is no such launch template.
var templateGone = []string{
	"InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.VersionNotFound", "InvalidLaunchTemplateId.Malformed",
	"InvalidLaunchTemplateName.NotFoundException",
}

// templateFields are the properties of a launch template that are not data of its versions.
var templateFields = []string{"name", "namePrefix", "description", "tags", "tagsAll", "defaultVersion", "updateDefaultVersion"}

// templateNames maps the properties that the API's structures call otherwise.
var templateNames = names{
	"networkInterfaces.securityGroups": "Groups", "securityGroupNames": "SecurityGroups", "vpcSecurityGroupIds": "SecurityGroupIds",
	"privateDnsNameOptions.enableResourceNameDnsAaaaRecord": "EnableResourceNameDnsAAAARecord",
	"ramDiskId": "RamDiskId", "tagSpecifications": "-",
}

// newVersion says whether a change of the properties makes a new version.
func newVersion(changed map[string]bool) bool {
	for name := range changed {
		if name == "description" || !listed(templateFields, name) {
			return true
		}
	}
	return false
}

// templateData turns the inputs into the data of a version.
func templateData(in m) (*types.RequestLaunchTemplateData, error) {
	data := m{}
	for k, v := range in {
		if !listed(templateFields, k) {
			data[k] = v
		}
	}
	req := &types.RequestLaunchTemplateData{}
	if err := fill(req, data, templateNames); err != nil {
		return nil, fmt.Errorf("launch template data: %w", err)
	}
	for _, s := range engine.Objs(in, "tagSpecifications") {
		req.TagSpecifications = append(req.TagSpecifications, types.LaunchTemplateTagSpecificationRequest{
			ResourceType: types.ResourceType(engine.Str(s, "resourceType")), Tags: ec2Tags(engine.StrMap(s, "tags")),
		})
	}
	return req, nil
}

func createTemplate(ctx context.Context, c *call) (string, m, error) {
	data, err := templateData(c.In)
	if err != nil {
		return "", nil, err
	}
	out, err := c.Client.ec2().CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: engine.StrPtr(c.In, "name"), LaunchTemplateData: data, VersionDescription: engine.StrPtr(c.In, "description"),
		TagSpecifications: tagSpec(types.ResourceTypeLaunchTemplate, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 Launch Template (%s): %w", engine.Str(c.In, "name"), err)
	}
	return aws.ToString(out.LaunchTemplate.LaunchTemplateId), nil, nil
}

func readTemplate(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.ec2().DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{c.ID}})
	if is(err, templateGone...) || err == nil && len(out.LaunchTemplates) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Launch Template (%s): %w", c.ID, err)
	}
	t := out.LaunchTemplates[0]
	latest := strconv.FormatInt(aws.ToInt64(t.LatestVersionNumber), 10)
	versions, err := c.Client.ec2().DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateId: &c.ID, Versions: []string{latest},
	})
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Launch Template (%s) version %s: %w", c.ID, latest, err)
	}
	state := m{}
	if len(versions.LaunchTemplateVersions) > 0 {
		v := versions.LaunchTemplateVersions[0]
		state = dump(v.LaunchTemplateData, c.Type.Inputs, templateNames)
		state["description"] = aws.ToString(v.VersionDescription)
		specs := []any{}
		if v.LaunchTemplateData != nil {
			for _, s := range v.LaunchTemplateData.TagSpecifications {
				if s.ResourceType == types.ResourceTypeLaunchTemplate {
					continue // the template's own, which are no data of a version
				}
				specs = append(specs, m{"resourceType": string(s.ResourceType), "tags": readTags(s.Tags)})
			}
		}
		state["tagSpecifications"] = specs
	}
	state["arn"] = c.Client.arn("ec2", "launch-template/"+c.ID)
	state["name"] = aws.ToString(t.LaunchTemplateName)
	state["latestVersion"] = float64(aws.ToInt64(t.LatestVersionNumber))
	state["defaultVersion"] = float64(aws.ToInt64(t.DefaultVersionNumber))
	state["tags"] = readTags(t.Tags)
	return state, nil
}

func updateTemplate(ctx context.Context, c *call) (m, error) {
	latest := strconv.Itoa(int(engine.Int(c.Old, "latestVersion")))
	if newVersion(c.Changed) {
		data, err := templateData(c.In)
		if err != nil {
			return nil, err
		}
		out, err := c.Client.ec2().CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
			LaunchTemplateId: &c.ID, LaunchTemplateData: data, VersionDescription: engine.StrPtr(c.In, "description"),
		})
		if err != nil {
			return nil, fmt.Errorf("creating EC2 Launch Template (%s) Version: %w", c.ID, err)
		}
		if v := out.LaunchTemplateVersion; v != nil {
			latest = strconv.FormatInt(aws.ToInt64(v.VersionNumber), 10)
		}
	}
	version := ""
	switch {
	case engine.Bool(c.In, "updateDefaultVersion"):
		version = latest
	case c.Changed["defaultVersion"]:
		version = strconv.Itoa(int(engine.Int(c.In, "defaultVersion")))
	}
	if version != "" {
		if _, err := c.Client.ec2().ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{
			LaunchTemplateId: &c.ID, DefaultVersion: &version,
		}); err != nil {
			return nil, fmt.Errorf("updating EC2 Launch Template (%s) default version: %w", c.ID, err)
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteTemplate(ctx context.Context, c *call) error {
	_, err := c.Client.ec2().DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: &c.ID})
	if err = absent(err, templateGone...); err != nil {
		return fmt.Errorf("deleting EC2 Launch Template (%s): %w", c.ID, err)
	}
	return nil
}
