package k3s

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
)

// place is where the cluster is: what ARNs and host names are made of.
type place struct {
	partition, dnsSuffix, region, account string
}

// lookUpPlace asks the component's own provider.
func lookUpPlace(ctx *pulumi.Context, region string, parent pulumi.ResourceOrInvokeOption) (place, error) {
	partition, err := aws.GetPartition(ctx, nil, parent)
	if err != nil {
		return place{}, fmt.Errorf("look up the partition: %w", err)
	}
	identity, err := aws.GetCallerIdentity(ctx, nil, parent)
	if err != nil {
		return place{}, fmt.Errorf("look up the account: %w", err)
	}
	return place{partition.Partition, partition.DnsSuffix, region, identity.AccountId}, nil
}

// parameters is the ARN of SSM parameters by their path, which begins with a
// slash.
func (p place) parameters(path string) string {
	return fmt.Sprintf("arn:%s:ssm:%s:%s:parameter%s", p.partition, p.region, p.account, path)
}

// serverPolicies lets a server read all of its cluster's parameters, leave its
// id as the founder where there are several servers, and keep snapshots in the
// bucket.
func serverPolicies(p place, args *ClusterArgs) (map[string]pulumi.StringInput, error) {
	root := parameterRoot(args.ClusterName)
	boot := []iampolicy.Statement{{
		Sid:       "ReadOwnParameters",
		Actions:   []string{"ssm:GetParameter"},
		Resources: []string{p.parameters(root + "/server/*"), p.parameters(root + "/agent/*")},
	}}
	if args.Servers > 1 {
		boot = append(boot, iampolicy.Statement{
			Sid:       "SignAsFounder",
			Actions:   []string{"ssm:PutParameter"},
			Resources: []string{p.parameters(founderParameter(args.ClusterName))},
		})
	}
	policies := map[string]iampolicy.Document{sessionPolicy: sessionManager(), bootPolicy: iampolicy.New(boot...)}
	if args.EtcdSnapshots != nil {
		policies[snapshotPolicy] = snapshots(p, args)
	}
	return documents(policies)
}

// snapshots is what K3s does with its snapshots: it looks whether the bucket
// exists (a request without a prefix), lists and reads its own folder, uploads,
// in parts where one is large, and removes what is too old.
func snapshots(p place, args *ClusterArgs) iampolicy.Document {
	bucket := fmt.Sprintf("arn:%s:s3:::%s", p.partition, args.EtcdSnapshots.Bucket)
	return iampolicy.New(
		iampolicy.Statement{
			Sid:       "ListOwnSnapshots",
			Actions:   []string{"s3:ListBucket"},
			Resources: []string{bucket},
			Conditions: map[string]map[string][]string{
				"StringLikeIfExists": {"s3:prefix": {args.ClusterName + "/*"}},
			},
		},
		iampolicy.Statement{
			Sid:       "KeepOwnSnapshots",
			Actions:   []string{"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"},
			Resources: []string{bucket + "/" + args.ClusterName + "/*"},
		},
	)
}

// agentPolicies lets an agent read the agents' token, and nothing give it more.
// Whoever reads service.key can be every pod, and agents may carry permissions
// from elsewhere (all pods' own in the instance-profile setup, or a managed
// policy that reads every parameter), so that path is denied outright. Reading
// by path is denied from the parents down as well: SSM checks only the path that
// was asked for, not what it returns below it. Where agents pull images with their
// own role, it may do that too.
func agentPolicies(p place, args *ClusterArgs) (map[string]pulumi.StringInput, error) {
	root := parameterRoot(args.ClusterName)
	policies := map[string]iampolicy.Document{
		sessionPolicy: sessionManager(),
		bootPolicy: iampolicy.New(
			iampolicy.Statement{
				Sid:       "ReadOwnParameters",
				Actions:   []string{"ssm:GetParameter"},
				Resources: []string{p.parameters(root + "/agent/*")},
			},
			iampolicy.Statement{
				Sid:       "NeverServerParameters",
				Effect:    iampolicy.Deny,
				Actions:   []string{"ssm:*"},
				Resources: []string{p.parameters(root + "/server/*")},
			},
			iampolicy.Statement{
				Sid:       "NeverByPath",
				Effect:    iampolicy.Deny,
				Actions:   []string{"ssm:GetParametersByPath"},
				Resources: []string{p.parameters("/"), p.parameters("/k3s-aws-auth*")},
			},
		),
	}
	if repositories := args.nodeRepositories(); len(repositories) > 0 {
		policies[pullPolicy] = iampolicy.New(iampolicy.Pull(repositories)...)
	}
	return documents(policies)
}

// sessionManager is the least that `aws ssm start-session` needs, as AWS
// documents it: the way into a node, since none has SSH. The managed policy
// AmazonSSMManagedInstanceCore is not used: it reads every parameter of the
// account, the servers' keys included.
func sessionManager() iampolicy.Document {
	return iampolicy.New(iampolicy.Statement{
		Sid: "SessionManager",
		Actions: []string{
			"ssm:UpdateInstanceInformation",
			"ssmmessages:CreateControlChannel",
			"ssmmessages:CreateDataChannel",
			"ssmmessages:OpenControlChannel",
			"ssmmessages:OpenDataChannel",
		},
		Resources: []string{"*"}, // these actions know no resources
	})
}

func documents(policies map[string]iampolicy.Document) (map[string]pulumi.StringInput, error) {
	inputs := make(map[string]pulumi.StringInput, len(policies))
	for name, document := range policies {
		body, err := document.JSON()
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", name, err)
		}
		inputs[name] = pulumi.String(body)
	}
	return inputs, nil
}
