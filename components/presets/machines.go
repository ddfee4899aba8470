package presets

import "k3s-aws-auth/components/iampolicy"

// ebsCSI returns the permissions of the EBS CSI driver's controller. It makes
// volumes and snapshots only with the cluster's own tag, and everything else it
// does to volumes and snapshots that carry it, so that clusters of one account
// cannot touch each other's disks. The driver writes that tag when it is told the
// cluster's name (--k8s-tag-cluster-id); the tag of the driver alone,
// ebs.csi.aws.com/cluster, is the same in every cluster.
//
// Not here are what only a few storage classes need: copies of volumes
// (ec2:CopyVolumes, whose source and target one policy cannot tell apart by
// tags), fast snapshot restore, which costs by the hour, and changing tags of
// volumes that exist.
//
// Source: https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/example-iam-policy.json,
// which takes any volume that any driver made, and attaches any volume to any
// machine; tags: docs/tagging.md there.
func ebsCSI(a Args) []iampolicy.Statement {
	const owned = "owned"
	tag := "kubernetes.io/cluster/" + a.ClusterName
	made := equals("aws:ResourceTag/"+tag, owned)
	making := equals("aws:RequestTag/"+tag, owned)
	volumes := []string{a.arn("ec2", a.Region, a.Account, "volume/*")}
	// ARNs of snapshots have no account in some places and one in others.
	snapshots := []string{a.arn("ec2", a.Region, "*", "snapshot/*")}
	nodes := iampolicy.Statement{
		Sid:       "EBSAttachToNodes",
		Actions:   []string{"ec2:AttachVolume", "ec2:DetachVolume"},
		Resources: []string{a.arn("ec2", a.Region, a.Account, "instance/*")},
	}
	if a.NodeTagKey != "" {
		nodes.Conditions = equals("aws:ResourceTag/"+a.NodeTagKey, a.NodeTagValue)
	}
	statements := []iampolicy.Statement{
		{
			Sid: "EBSRead",
			Actions: []string{
				"ec2:DescribeAvailabilityZones", "ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeTags",
				"ec2:DescribeVolumeStatus", "ec2:DescribeVolumes", "ec2:DescribeVolumesModifications",
			},
			Resources:  []string{"*"},
			Conditions: a.inRegion(),
		},
		{Sid: "EBSMakeVolumes", Actions: []string{"ec2:CreateVolume"}, Resources: volumes, Conditions: making},
		{Sid: "EBSMakeSnapshots", Actions: []string{"ec2:CreateSnapshot"}, Resources: snapshots, Conditions: making},
		{
			Sid:        "EBSTagWhatIsMade",
			Actions:    []string{"ec2:CreateTags"},
			Resources:  append(append([]string{}, volumes...), snapshots...),
			Conditions: equals("ec2:CreateAction", "CreateSnapshot", "CreateVolume"),
		},
		{
			Sid: "EBSVolumes",
			Actions: []string{
				"ec2:AttachVolume", "ec2:CreateSnapshot", "ec2:DeleteVolume", "ec2:DetachVolume", "ec2:ModifyVolume",
			},
			Resources: volumes, Conditions: made,
		},
		{
			// To restore a snapshot is to make a volume of it.
			Sid: "EBSSnapshots", Actions: []string{"ec2:CreateVolume", "ec2:DeleteSnapshot"}, Resources: snapshots, Conditions: made,
		},
		nodes,
	}
	if len(a.KMSKeyARNs) > 0 {
		statements = append(statements, a.ebsKeys()...)
	}
	return statements
}

// ebsKeys lets EC2, and nobody else, use keys for encrypted volumes.
//
// Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
func (a Args) ebsKeys() []iampolicy.Statement {
	via := a.via("ec2")
	return []iampolicy.Statement{
		{
			Sid: "EBSKeys",
			Actions: []string{
				"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo",
			},
			Resources:  a.KMSKeyARNs,
			Conditions: equals("kms:ViaService", via...),
		},
		{
			Sid:       "EBSKeyGrants",
			Actions:   []string{"kms:CreateGrant"},
			Resources: a.KMSKeyARNs,
			Conditions: map[string]map[string][]string{
				"Bool":         {"kms:GrantIsForAWSResource": {"true"}},
				"StringEquals": {"kms:ViaService": via},
			},
		},
	}
}

// clusterAutoscaler returns the permissions of the cluster autoscaler: it looks
// at all groups, which knows no limit but the region, and changes those that a
// tag gives to this cluster. eks:DescribeNodegroup is left out, since there is no
// EKS.
//
// Source: https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
func clusterAutoscaler(a Args) []iampolicy.Statement {
	return []iampolicy.Statement{
		{
			Sid: "AutoscalerRead",
			Actions: []string{
				"autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
				"autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags",
				"ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
				"ec2:GetInstanceTypesFromInstanceRequirements",
			},
			Resources:  []string{"*"},
			Conditions: a.inRegion(),
		},
		{
			Sid:        "AutoscalerScale",
			Actions:    []string{"autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"},
			Resources:  []string{a.arn("autoscaling", a.Region, a.Account, "autoScalingGroup:*:autoScalingGroupName/*")},
			Conditions: equals("aws:ResourceTag/k8s.io/cluster-autoscaler/"+a.ClusterName, "owned"),
		},
	}
}
