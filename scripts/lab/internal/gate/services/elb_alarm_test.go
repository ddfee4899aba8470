package services_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/gate/elbv2"
)

func TestNetworkLoadBalancer(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	machines, c := ec2.NewFromConfig(l.config(region)), elb.NewFromConfig(l.config(region))
	n := l.network(machines)
	l.instanceProfile("node")
	i, err := l.run(machines, n)
	require.NoError(t, err)
	changes := 0
	l.ELB.SetChanged(func() { changes++ })

	_, err = c.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("api"), Subnets: []string{n.subnet}})
	requireCode(t, err, "NotImplemented", "type other than network")
	b, err := c.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("api"), Type: "network", Subnets: []string{n.subnet}, SecurityGroups: []string{n.group},
		Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	require.NoError(t, err)
	arn := b.LoadBalancers[0].LoadBalancerArn
	require.True(t, strings.HasPrefix(*b.LoadBalancers[0].DNSName, "127.20."))
	require.Equal(t, n.vpc, *b.LoadBalancers[0].VpcId)
	_, err = c.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("api"), Type: "network", Subnets: []string{n.subnet}})
	requireCode(t, err, "DuplicateLoadBalancerName")
	seen, err := c.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{*arn}})
	require.NoError(t, err)
	require.Equal(t, types.LoadBalancerStateEnumActive, seen.LoadBalancers[0].State.Code)
	_, err = c.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: arn, Attributes: []types.LoadBalancerAttribute{{Key: aws.String("load_balancing.cross_zone.enabled"), Value: aws.String("true")}}})
	require.NoError(t, err)
	attributes, err := c.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: arn})
	require.NoError(t, err)
	require.Contains(t, attributes.Attributes, types.LoadBalancerAttribute{Key: aws.String("load_balancing.cross_zone.enabled"), Value: aws.String("true")})

	g, err := c.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: aws.String("api"), Protocol: "TCP", Port: aws.Int32(6443), VpcId: &n.vpc, HealthCheckProtocol: "TCP"})
	require.NoError(t, err)
	group := g.TargetGroups[0].TargetGroupArn
	_, err = c.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: group, Targets: []types.TargetDescription{{Id: aws.String("i-0")}}})
	requireCode(t, err, "InvalidTarget")
	_, err = c.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: group, Targets: []types.TargetDescription{{Id: i.InstanceId}}})
	require.NoError(t, err)
	health := func() types.TargetHealthStateEnum {
		out, err := c.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: group})
		require.NoError(t, err)
		return out.TargetHealthDescriptions[0].TargetHealth.State
	}
	require.Equal(t, types.TargetHealthStateEnumUnused, health())
	listen := &elb.CreateListenerInput{LoadBalancerArn: arn, Port: aws.Int32(6443), Protocol: "TCP", DefaultActions: []types.Action{{Type: "forward", TargetGroupArn: group}}}
	listener, err := c.CreateListener(ctx, listen)
	require.NoError(t, err)
	_, err = c.CreateListener(ctx, listen)
	requireCode(t, err, "DuplicateListener")
	require.Equal(t, types.TargetHealthStateEnumInitial, health())
	l.ELB.SetHealth(func(target elbv2.Target) bool { return target.InstanceID == *i.InstanceId && target.Port == 6443 })
	require.Equal(t, types.TargetHealthStateEnumHealthy, health())
	all := l.ELB.Listeners()
	require.Len(t, all, 1)
	require.Equal(t, *b.LoadBalancers[0].DNSName, all[0].Address)
	require.Equal(t, *i.InstanceId, all[0].Targets[0].InstanceID)
	require.Positive(t, changes)
	groups, err := c.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{"api"}})
	require.NoError(t, err)
	require.Equal(t, []string{*arn}, groups.TargetGroups[0].LoadBalancerArns)
	tags, err := c.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{*arn}})
	require.NoError(t, err)
	require.Equal(t, "b", *tags.TagDescriptions[0].Tags[0].Value)

	_, err = c.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: group})
	requireCode(t, err, "ResourceInUse")
	_, err = machines.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	_, err = machines.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnet})
	requireCode(t, err, "DependencyViolation")
	_, err = machines.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &n.group})
	requireCode(t, err, "DependencyViolation")
	_, err = c.DeleteListener(ctx, &elb.DeleteListenerInput{ListenerArn: listener.Listeners[0].ListenerArn})
	require.NoError(t, err)
	_, err = c.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: arn})
	require.NoError(t, err)
	_, err = c.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{*arn}})
	requireCode(t, err, "LoadBalancerNotFound")
	_, err = c.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: group})
	require.NoError(t, err)
	_, err = machines.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnet})
	require.NoError(t, err)
	for kind := range l.Inventory() {
		require.False(t, strings.HasPrefix(kind, "elb "), kind)
	}
}

func TestAlarms(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := cloudwatch.NewFromConfig(l.config(region))
	in := &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("node"), ComparisonOperator: "GreaterThanThreshold", EvaluationPeriods: aws.Int32(2), DatapointsToAlarm: aws.Int32(1),
		MetricName: aws.String("StatusCheckFailed"), Namespace: aws.String("AWS/EC2"), Period: aws.Int32(60), Statistic: "Maximum", Threshold: aws.Float64(0), TreatMissingData: aws.String("breaching"),
		Dimensions: []cw.Dimension{{Name: aws.String("InstanceId"), Value: aws.String("i-1")}}, Tags: []cw.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	_, err := c.PutMetricAlarm(ctx, in)
	require.NoError(t, err)
	out, err := c.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"node"}})
	require.NoError(t, err)
	a := out.MetricAlarms[0]
	require.Equal(t, "breaching", *a.TreatMissingData)
	require.EqualValues(t, 0, *a.Threshold)
	require.EqualValues(t, 1, *a.DatapointsToAlarm)
	require.Equal(t, "i-1", *a.Dimensions[0].Value)
	require.True(t, *a.ActionsEnabled)
	require.Equal(t, cw.StateValueInsufficientData, a.StateValue)
	require.Equal(t, "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:node", *a.AlarmArn)
	require.False(t, a.StateUpdatedTimestamp.IsZero())
	_, err = c.TagResource(ctx, &cloudwatch.TagResourceInput{ResourceARN: a.AlarmArn, Tags: []cw.Tag{{Key: aws.String("c"), Value: aws.String("d")}}})
	require.NoError(t, err)
	_, err = c.UntagResource(ctx, &cloudwatch.UntagResourceInput{ResourceARN: a.AlarmArn, TagKeys: []string{"a"}})
	require.NoError(t, err)
	tags, err := c.ListTagsForResource(ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: a.AlarmArn})
	require.NoError(t, err)
	require.Equal(t, "c", *tags.Tags[0].Key)
	_, err = c.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("x"), MetricData: []cw.MetricDatum{{MetricName: aws.String("y")}}})
	requireCode(t, err, "NotImplemented", "PutMetricData")
	in.AlarmActions = []string{"arn:aws:sns:us-east-1:111122223333:alarms"}
	_, err = c.PutMetricAlarm(ctx, in)
	requireCode(t, err, "ValidationError", "Only eu-central-1 is supported")
	in.AlarmActions = nil
	in.EvaluationPeriods = aws.Int32(0)
	_, err = c.PutMetricAlarm(ctx, in)
	requireCode(t, err, "ValidationError")
	_, err = cloudwatch.NewFromConfig(l.user("nobody", "")).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{})
	requireCode(t, err, "AccessDenied", "cloudwatch:DescribeAlarms")
	_, err = c.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"gone"}})
	requireCode(t, err, "ResourceNotFound")
	_, err = c.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"node"}})
	require.NoError(t, err)
}
