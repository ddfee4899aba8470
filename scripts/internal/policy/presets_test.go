package policy_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/presets"
	"k3s-aws-auth/scripts/internal/policy"
)

// TestPresets puts calls to what the product gives its presets: those that the programs make in their ordinary work,
// and those that somebody would make who had taken such a program over.
func TestPresets(t *testing.T) {
	const (
		account  = "111122223333"
		region   = "eu-central-1"
		zone     = "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ"
		other    = "arn:aws:route53:::hostedzone/ZSOMEBODYELSE"
		secret   = "arn:aws:secretsmanager:" + region + ":" + account + ":secret:"
		param    = "arn:aws:ssm:" + region + ":" + account + ":parameter"
		key      = "arn:aws:kms:" + region + ":" + account + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
		volume   = "arn:aws:ec2:" + region + ":" + account + ":volume/vol-0"
		snapshot = "arn:aws:ec2:" + region + "::snapshot/snap-0"
		instance = "arn:aws:ec2:" + region + ":" + account + ":instance/i-0"
		group    = "arn:aws:autoscaling:" + region + ":" + account + ":autoScalingGroup:0f:autoScalingGroupName/agents"

		names      = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
		types      = "route53:ChangeResourceRecordSetsRecordTypes"
		newCluster = "aws:RequestTag/kubernetes.io/cluster/lab"
		ofCluster  = "aws:ResourceTag/kubernetes.io/cluster/lab"
	)
	type context = map[string][]string
	here := context{"aws:RequestedRegion": {region}}
	records := func(recordTypes []string, recordNames ...string) context {
		return context{names: recordNames, types: recordTypes}
	}
	via := func(service string) context {
		return context{"kms:ViaService": {service + "." + region + ".amazonaws.com"}}
	}
	with := func(contexts ...context) context {
		all := context{}
		for _, c := range contexts {
			for k, v := range c {
				all[k] = v
			}
		}
		return all
	}
	txt := []string{"TXT"}
	owned, mine := context{ofCluster: {"owned"}}, context{newCluster: {"owned"}}
	driver := context{"aws:RequestTag/ebs.csi.aws.com/cluster": {"true"}, "aws:RequestTag/CSIVolumeName": {"pvc-0"}}
	drivers := context{"aws:ResourceTag/ebs.csi.aws.com/cluster": {"true"}, "aws:ResourceTag/CSIVolumeName": {"pvc-0"}}
	node := context{"aws:ResourceTag/k3s-aws-auth/cluster": {"lab"}}

	type call struct {
		action, resource string
		context          context
	}
	for name, tc := range map[string]struct {
		lists           presets.Lists
		allowed, denied []call
	}{
		presets.ExternalSecrets: {
			lists: presets.Lists{
				SecretARNs: []string{secret + "prod/*", secret + "db-??????"}, ParameterARNs: []string{param + "/prod/*"}, KMSKeyARNs: []string{key},
			},
			allowed: []call{
				{"secretsmanager:GetSecretValue", secret + "prod/api-AbCdEf", nil},
				{"secretsmanager:DescribeSecret", secret + "db-AbCdEf", nil},
				{"ssm:GetParameter", param + "/prod/url", nil},
				{"kms:Decrypt", key, via("secretsmanager")},
				{"kms:Decrypt", key, via("ssm")},
			},
			denied: []call{
				{"secretsmanager:GetSecretValue", secret + "staging/api-AbCdEf", nil},
				{"secretsmanager:GetSecretValue", secret + "db-admin-AbCdEf", nil},
				{"secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:" + account + ":secret:prod/api-AbCdEf", nil},
				{"secretsmanager:GetSecretValue", "arn:aws:secretsmanager:" + region + ":444455556666:secret:prod/api-AbCdEf", nil},
				{"secretsmanager:PutSecretValue", secret + "prod/api-AbCdEf", nil},
				{"secretsmanager:DeleteSecret", secret + "prod/api-AbCdEf", nil},
				{"secretsmanager:PutResourcePolicy", secret + "prod/api-AbCdEf", nil},
				{"secretsmanager:ListSecrets", "*", nil},
				{"secretsmanager:BatchGetSecretValue", "*", nil},
				{"ssm:GetParameter", param + "/staging/url", nil},
				{"ssm:GetParameter", param + "/k3s-aws-auth/lab/server/service-account/1.key", nil},
				{"ssm:GetParametersByPath", param + "/prod/", nil},
				{"ssm:GetParameterHistory", param + "/prod/url", nil},
				{"ssm:PutParameter", param + "/prod/url", nil},
				{"kms:Decrypt", key, nil}, // ciphertext of one's own
				{"kms:Decrypt", key, via("ec2")},
				{"kms:Encrypt", key, via("ssm")},
				{"kms:CreateGrant", key, via("ssm")},
			},
		},
		presets.SecretsStoreCSI: {
			lists: presets.Lists{SecretARNs: []string{secret + "prod/db-??????"}, ParameterARNs: []string{param + "/prod/url"}},
			allowed: []call{
				{"secretsmanager:GetSecretValue", secret + "prod/db-AbCdEf", nil},
				{"secretsmanager:DescribeSecret", secret + "prod/db-AbCdEf", nil},
				{"ssm:GetParameters", param + "/prod/url", nil},
			},
			denied: []call{
				{"secretsmanager:GetSecretValue", secret + "prod/db2-AbCdEf", nil},
				{"secretsmanager:UpdateSecret", secret + "prod/db-AbCdEf", nil},
				{"ssm:GetParameters", param + "/prod/url2", nil},
				{"ssm:GetParametersByPath", param + "/prod", nil},
				{"ssm:DescribeParameters", "*", nil},
				{"kms:Decrypt", key, via("ssm")},
			},
		},
		presets.CertManager: {
			lists: presets.Lists{HostedZoneIDs: []string{"Z0123456789ABCDEFGHIJ"}},
			allowed: []call{
				{"route53:GetChange", "arn:aws:route53:::change/C0", nil},
				{"route53:ListResourceRecordSets", zone, nil},
				{"route53:ChangeResourceRecordSets", zone, records(txt, "_acme-challenge.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records(txt, "_acme-challenge.www.example.com", "_acme-challenge.example.com")},
			},
			denied: []call{
				{"route53:ChangeResourceRecordSets", other, records(txt, "_acme-challenge.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"CNAME"}, "_acme-challenge.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"TXT", "A"}, "_acme-challenge.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records(txt, "example.com")},
				{"route53:ChangeResourceRecordSets", zone, records(txt, "www._acme-challenge.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records(txt, "_acme-challenge.example.com", "_dmarc.example.com")},
				{"route53:ChangeResourceRecordSets", zone, nil}, // no key is not every key
				{"route53:ListResourceRecordSets", other, nil},
				{"route53:ListHostedZonesByName", "*", nil},
				{"route53:ListHostedZones", "*", nil},
				{"route53:DeleteHostedZone", zone, nil},
				{"route53:ChangeTagsForResource", zone, nil},
			},
		},
		presets.ExternalDNS: {
			lists: presets.Lists{HostedZoneIDs: []string{"Z0123456789ABCDEFGHIJ"}},
			allowed: []call{
				{"route53:ListHostedZones", "*", nil},
				{"route53:ListResourceRecordSets", zone, nil},
				{"route53:ListTagsForResources", zone, nil},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"A", "TXT"}, "www.example.com", "a-www.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"AAAA", "CNAME"}, "www.example.com")},
			},
			denied: []call{
				{"route53:ChangeResourceRecordSets", other, records([]string{"A"}, "www.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"NS"}, "mine.example.com")},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"A", "MX"}, "example.com")},
				{"route53:ChangeResourceRecordSets", zone, records([]string{"CAA"}, "example.com")},
				{"route53:ChangeResourceRecordSets", zone, nil},
				{"route53:ListResourceRecordSets", other, nil},
				{"route53:CreateHostedZone", "*", nil},
				{"route53:DeleteHostedZone", zone, nil},
			},
		},
		presets.EBSCSI: {
			lists: presets.Lists{KMSKeyARNs: []string{key}},
			allowed: []call{
				{"ec2:DescribeVolumes", "*", here},
				{"ec2:DescribeInstances", "*", here},
				{"ec2:CreateVolume", volume, with(driver, mine)},
				{"ec2:CreateVolume", snapshot, with(drivers, owned)},
				{"ec2:CreateTags", volume, context{"ec2:CreateAction": {"CreateVolume"}}},
				{"ec2:CreateTags", snapshot, context{"ec2:CreateAction": {"CreateSnapshot"}}},
				{"ec2:AttachVolume", volume, with(drivers, owned)},
				{"ec2:AttachVolume", instance, node},
				{"ec2:DetachVolume", volume, owned},
				{"ec2:DetachVolume", instance, node},
				{"ec2:ModifyVolume", volume, owned},
				{"ec2:DeleteVolume", volume, owned},
				{"ec2:CreateSnapshot", volume, owned},
				{"ec2:CreateSnapshot", snapshot, mine},
				{"ec2:DeleteSnapshot", snapshot, owned},
				{"kms:GenerateDataKeyWithoutPlaintext", key, via("ec2")},
				{"kms:CreateGrant", key, with(via("ec2"), context{"kms:GrantIsForAWSResource": {"true"}})},
			},
			denied: []call{
				{"ec2:DescribeVolumes", "*", context{"aws:RequestedRegion": {"us-east-1"}}},
				// Volumes that nobody tagged, and those of the same driver in another cluster.
				{"ec2:CreateVolume", volume, nil},
				{"ec2:CreateVolume", volume, driver},
				{"ec2:CreateVolume", snapshot, drivers},
				{"ec2:AttachVolume", volume, nil},
				{"ec2:AttachVolume", volume, drivers},
				{"ec2:AttachVolume", volume, context{"aws:ResourceTag/kubernetes.io/cluster/other": {"owned"}}},
				{"ec2:AttachVolume", volume, mine}, // the caller's word is not the volume's tag
				{"ec2:AttachVolume", instance, nil},
				{"ec2:AttachVolume", instance, context{"aws:ResourceTag/k3s-aws-auth/cluster": {"other"}}},
				{"ec2:DetachVolume", volume, drivers},
				{"ec2:ModifyVolume", volume, nil},
				{"ec2:DeleteVolume", volume, drivers},
				{"ec2:DeleteVolume", volume, context{ofCluster: {"shared"}}},
				{"ec2:CreateSnapshot", volume, nil},
				{"ec2:CreateSnapshot", snapshot, driver},
				{"ec2:DeleteSnapshot", snapshot, nil},
				// A tag is given at birth only, or any volume could be made one's own.
				{"ec2:CreateTags", volume, mine},
				{"ec2:CreateTags", volume, with(mine, context{"ec2:CreateAction": {"RunInstances"}})},
				{"ec2:CreateTags", instance, context{"ec2:CreateAction": {"CreateVolume"}}},
				{"ec2:DeleteTags", volume, owned},
				{"ec2:CopyVolumes", volume, with(owned, mine)},
				{"ec2:ModifySnapshotAttribute", snapshot, owned}, // sharing with another account
				{"ec2:TerminateInstances", instance, node},
				{"ec2:DeleteVolume", "arn:aws:ec2:us-east-1:" + account + ":volume/vol-0", owned},
				{"kms:Decrypt", key, nil},
				{"kms:Decrypt", key, via("ssm")},
				{"kms:CreateGrant", key, via("ec2")},
				{"kms:CreateGrant", key, context{"kms:GrantIsForAWSResource": {"true"}}},
			},
		},
		presets.ClusterAutoscaler: {
			allowed: []call{
				{"autoscaling:DescribeAutoScalingGroups", "*", here},
				{"ec2:DescribeLaunchTemplateVersions", "*", here},
				{"autoscaling:SetDesiredCapacity", group, context{"aws:ResourceTag/k8s.io/cluster-autoscaler/lab": {"owned"}}},
				{"autoscaling:TerminateInstanceInAutoScalingGroup", group, context{"aws:ResourceTag/k8s.io/cluster-autoscaler/lab": {"owned"}}},
			},
			denied: []call{
				{"autoscaling:DescribeAutoScalingGroups", "*", context{"aws:RequestedRegion": {"us-east-1"}}},
				{"autoscaling:SetDesiredCapacity", group, nil},
				{"autoscaling:SetDesiredCapacity", group, context{"aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": {"true"}}},
				{"autoscaling:SetDesiredCapacity", group, context{"aws:ResourceTag/k8s.io/cluster-autoscaler/other": {"owned"}}},
				{"autoscaling:TerminateInstanceInAutoScalingGroup", group, context{"aws:ResourceTag/k8s.io/cluster-autoscaler/lab": {"shared"}}},
				{"autoscaling:UpdateAutoScalingGroup", group, context{"aws:ResourceTag/k8s.io/cluster-autoscaler/lab": {"owned"}}},
				{"autoscaling:CreateOrUpdateTags", group, nil},
				{"ec2:TerminateInstances", instance, node},
				{"ec2:RunInstances", "*", here},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			statements, err := presets.Statements(name, presets.Args{
				Partition: "aws", Account: account, Region: region, ClusterName: "lab",
				NodeTagKey: "k3s-aws-auth/cluster", NodeTagValue: "lab", Lists: tc.lists,
			})
			require.NoError(t, err)
			text, err := iampolicy.Permissions(statements)
			require.NoError(t, err)
			document, err := policy.Parse([]byte(text))
			require.NoError(t, err)
			check := func(want policy.Decision, calls []call) {
				for _, c := range calls {
					got := policy.Evaluate(policy.Request{Action: c.action, Resource: c.resource, Context: c.context}, document)
					require.Equal(t, want, got.Decision, fmt.Sprintf("%s on %s %v: %v", c.action, c.resource, c.context, got.Notes))
				}
			}
			check(policy.Allow, tc.allowed)
			check(policy.ImplicitDeny, tc.denied)
			// What makes identities is out of every preset's reach.
			for _, action := range []string{"iam:PassRole", "iam:PutRolePolicy", "sts:AssumeRole", "ssm:PutParameter", "s3:PutObject"} {
				check(policy.ImplicitDeny, []call{{action, "*", here}})
			}
		})
	}
	require.Len(t, presets.Names(), 6, "a preset without its table")
}
