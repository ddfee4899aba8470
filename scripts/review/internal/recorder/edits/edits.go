// Package edits has changes that somebody could make to a fork's code and that no value of the configuration makes.
// Previews are recorded with them, to see that the review notices.
package edits

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// all are the edits by name. Each changes the arguments of one resource, or leaves them alone.
var all = map[string]func(args *pulumi.ResourceTransformationArgs){
	// Agents' metadata service in reach of pods, and without IMDSv2.
	"metadata-open": func(args *pulumi.ResourceTransformationArgs) {
		if instance, ok := args.Props.(*ec2.InstanceArgs); ok && strings.Contains(args.Name, "-agent-") {
			instance.MetadataOptions = ec2.InstanceMetadataOptionsArgs{
				HttpEndpoint:            pulumi.String("enabled"),
				HttpTokens:              pulumi.String("optional"),
				HttpPutResponseHopLimit: pulumi.Int(2),
				InstanceMetadataTags:    pulumi.String("disabled"),
			}
		}
	},
	// Any ServiceAccount, and a token for any audience, may be the uploader.
	"trust-wildcard": func(args *pulumi.ResourceTransformationArgs) {
		role, ok := args.Props.(*iam.RoleArgs)
		if !ok || !strings.Contains(args.Name, "uploader") {
			return
		}
		role.AssumeRolePolicy = pulumi.ToOutput(role.AssumeRolePolicy).ApplyT(func(v any) string {
			text := strings.ReplaceAll(v.(string), "StringEquals", "StringLike")
			text = strings.ReplaceAll(text, "system:serviceaccount:default:uploader", "system:serviceaccount:*")
			before, rest, _ := strings.Cut(text, `{"StringLike":{`)
			_, after, _ := strings.Cut(rest, `",`) // drops the audience, the first of the two keys
			return before + `{"StringLike":{` + after
		}).(pulumi.StringOutput)
	},
	// The demo bucket opened to everybody.
	"bucket-public": func(args *pulumi.ResourceTransformationArgs) {
		if block, ok := args.Props.(*s3.BucketPublicAccessBlockArgs); ok && strings.Contains(args.Name, "demo") {
			block.BlockPublicPolicy = pulumi.Bool(false)
			block.RestrictPublicBuckets = pulumi.Bool(false)
		}
	},
}

// Apply returns the program with the named edits (comma-separated; empty for none), or an error that lists the names
// where one is unknown.
func Apply(program pulumi.RunFunc, names string) (pulumi.RunFunc, error) {
	if names == "" {
		return program, nil
	}
	var chosen []func(*pulumi.ResourceTransformationArgs)
	for _, name := range strings.Split(names, ",") {
		edit, ok := all[name]
		if !ok {
			return nil, fmt.Errorf("unknown edit %q: must be one of %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
		chosen = append(chosen, edit)
	}
	return func(ctx *pulumi.Context) error {
		err := ctx.RegisterStackTransformation(func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
			for _, edit := range chosen {
				edit(args)
			}
			return &pulumi.ResourceTransformationResult{Props: args.Props, Opts: args.Opts}
		})
		if err != nil {
			return err
		}
		return program(ctx)
	}, nil
}
