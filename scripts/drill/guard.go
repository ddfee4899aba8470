package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	stageKey   = regexp.MustCompile(`(?i)^([a-z0-9./-]*[:/])?(environment|env|stage|tier|stack)$`)
	stageValue = regexp.MustCompile(`(?i)^(prod|production|live)([-_].*)?$`)
	markKey    = regexp.MustCompile(`(?i)^([a-z0-9./-]*[:/])?(production|protect|protected|protection|deletion-protection|termination-protection)$`)
	noValue    = regexp.MustCompile(`(?i)^(false|no|off|0|none)$`)
)

// productionMark finds a tag or label that marks production or protection, as key=value; empty where there is none.
func productionMark(marks map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(marks)) {
		value := strings.TrimSpace(marks[key])
		if stageKey.MatchString(key) && stageValue.MatchString(value) || markKey.MatchString(key) && !noValue.MatchString(value) {
			return key + "=" + value
		}
	}
	return ""
}

// Guard refuses a target that is marked production or protected: by a tag of the identity's role or of a machine (as
// this program's stacks have with production: true), or a label of a node or namespace.
func (t *Target) Guard(ctx context.Context) error {
	refuse := func(where, mark string) error {
		return fmt.Errorf("%s is marked %s: drills break things on purpose and never run there", where, mark)
	}
	role, err := t.IAM().ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: &t.RoleName})
	if err != nil {
		return fmt.Errorf("tags of role %s: %w", t.RoleName, err)
	}
	tags := map[string]string{}
	for _, tag := range role.Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	if mark := productionMark(tags); mark != "" {
		return refuse("role "+t.RoleName, mark)
	}
	core := t.Cluster.Client.CoreV1()
	namespaces, err := core.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range namespaces.Items {
		if mark := productionMark(n.Labels); mark != "" {
			return refuse("namespace "+n.Name, mark)
		}
	}
	nodes, err := core.Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		if mark := productionMark(n.Labels); mark != "" {
			return refuse("node "+n.Name, mark)
		}
	}
	machines, err := t.machines(ctx, nodes.Items)
	if err != nil {
		return err
	}
	for _, i := range machines {
		tags := map[string]string{}
		for _, tag := range i.Tags {
			tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		if mark := productionMark(tags); mark != "" {
			return refuse("machine "+aws.ToString(i.InstanceId), mark)
		}
	}
	return nil
}

// machines finds the machine of every node: by the instance's id in its providerID or, where that is K3s's own
// (k3s://<name>), by its address; of several machines with that address all. A node without a machine is an error: what
// cannot be seen may be production.
func (t *Target) machines(ctx context.Context, nodes []corev1.Node) ([]types.Instance, error) {
	ids, addresses := map[string]string{}, map[string]string{} // the nodes' names by them
	for _, n := range nodes {
		if id := n.Spec.ProviderID[strings.LastIndex(n.Spec.ProviderID, "/")+1:]; strings.HasPrefix(n.Spec.ProviderID, "aws://") && strings.HasPrefix(id, "i-") {
			ids[id] = n.Name
			continue
		}
		address := ""
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				address = a.Address
			}
		}
		addresses[address] = n.Name
	}
	var found []types.Instance
	for name, wanted := range map[string]map[string]string{"instance-id": ids, "private-ip-address": addresses} {
		if len(wanted) == 0 {
			continue
		}
		missing := maps.Clone(wanted)
		pages := ec2.NewDescribeInstancesPaginator(t.EC2(), &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: &name, Values: slices.Sorted(maps.Keys(wanted))}}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("tags of the machines: %w", err)
			}
			for _, r := range page.Reservations {
				for _, i := range r.Instances {
					found = append(found, i)
					delete(missing, aws.ToString(i.InstanceId))
					delete(missing, aws.ToString(i.PrivateIpAddress))
				}
			}
		}
		if len(missing) > 0 {
			return nil, fmt.Errorf("no machine of this account and region is that of the nodes %s: a drill does not run where it cannot see whether a machine is marked production",
				strings.Join(slices.Sorted(maps.Values(missing)), ", "))
		}
	}
	return found, nil
}
