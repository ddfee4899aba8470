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
	"github.com/aws/aws-sdk-go-v2/service/iam"
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
	var ids []string
	for _, n := range nodes.Items {
		if mark := productionMark(n.Labels); mark != "" {
			return refuse("node "+n.Name, mark)
		}
		if id := n.Spec.ProviderID[strings.LastIndex(n.Spec.ProviderID, "/")+1:]; strings.HasPrefix(id, "i-") {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	machines, err := t.EC2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: ids})
	if err != nil {
		return fmt.Errorf("tags of the machines: %w", err)
	}
	for _, r := range machines.Reservations {
		for _, i := range r.Instances {
			tags := map[string]string{}
			for _, tag := range i.Tags {
				tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
			}
			if mark := productionMark(tags); mark != "" {
				return refuse("machine "+aws.ToString(i.InstanceId), mark)
			}
		}
	}
	return nil
}
