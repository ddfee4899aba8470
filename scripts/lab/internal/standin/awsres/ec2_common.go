package awsres

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// ec2Propagation is how long EC2 may take to make something new known everywhere.
const ec2Propagation = 5 * time.Minute

// dependencyWait bounds how long a delete of a network resource waits for what still uses it.
const dependencyWait = 20 * time.Minute

// tagSpec returns the tags of a new EC2 resource, nil where there are none.
func tagSpec(kind types.ResourceType, tags map[string]string) []types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	return []types.TagSpecification{{ResourceType: kind, Tags: ec2Tags(tags)}}
}

func ec2Tags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func sorted(tags map[string]string) []string {
	keys := make([]string, 0, len(tags))
	for k := range tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// readTags returns the tags of an EC2 resource as a property.
func readTags(tags []types.Tag) m {
	out := m{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// updateEC2Tags brings an EC2 resource's tags to what the inputs ask for.
func updateEC2Tags(ctx context.Context, c *call, ids ...string) error {
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		var tags []types.Tag
		for _, k := range remove {
			tags = append(tags, types.Tag{Key: aws.String(k)})
		}
		if _, err := c.Client.ec2().DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: ids, Tags: tags}); err != nil {
			return fmt.Errorf("removing tags of %v: %w", ids, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.ec2().CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: ec2Tags(set)}); err != nil {
			return fmt.Errorf("setting tags of %v: %w", ids, err)
		}
	}
	return nil
}

// deleteEC2 calls a delete until nothing depends on the resource any more.
func deleteEC2(ctx context.Context, what, id string, gone []string, do func(context.Context) error) error {
	err := engine.Retry(ctx, dependencyWait, func(err error) bool {
		return is(err, "DependencyViolation", "InvalidGroup.InUse")
	}, do)
	if err = absent(err, gone...); err != nil {
		return fmt.Errorf("deleting EC2 %s (%s): %w", what, id, err)
	}
	return nil
}

// lingering looks for network interfaces that Lambda, Comprehend or DMS left behind, as the provider does before it deletes a
// subnet or a security group (deleteLingeringENIs in terraform-provider-aws's ec2/vpc_network_interface.go): a deployer has
// to be allowed that. A lab has none of these services, so there is nothing to delete.
func lingering(ctx context.Context, c *call, name string) error {
	if _, err := c.Client.ec2().DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{filter(name, c.ID)}}); err != nil {
		return fmt.Errorf("listing EC2 Network Interfaces: %w", err)
	}
	return nil
}

// visible retries a look-up of something just made until EC2 knows it.
func visible(ctx context.Context, c *call, find func(context.Context) error) error {
	if c.Changed != nil || c.ID != "" {
		return find(ctx)
	}
	return engine.Retry(ctx, ec2Propagation, func(err error) bool { return errors.Is(err, engine.ErrGone) }, find)
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}
