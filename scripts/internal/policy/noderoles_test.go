package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/policy"
)

// The policies of the product's nodes, as its own tests hold them.
const nodePolicies = "../../../components/k3s/testdata"

// TestNodeRoles holds what the machines of a cluster can and cannot do by the policies that the product gives them:
// servers of one, servers of three that also keep snapshots, and agents.
func TestNodeRoles(t *testing.T) {
	const (
		server, servers, agent = "server", "servers", "agent"
		parameter              = "arn:aws:ssm:eu-central-1:111122223333:parameter"
		own                    = parameter + "/k3s-aws-auth/lab"
		bucket                 = "arn:aws:s3:::acme-backups"
	)
	roles := map[string][]*policy.Document{
		server:  documents(t, "lab-server-boot.json", "lab-server-session-manager.json"),
		servers: documents(t, "servers/lab-server-boot.json", "servers/lab-server-etcd-snapshots.json", "lab-server-session-manager.json"),
		agent:   documents(t, "lab-agent-boot.json", "lab-agent-session-manager.json"),
	}
	all := []string{server, servers, agent}
	for _, c := range []struct {
		action, resource string
		context          map[string][]string
		may              []string // the others may not
	}{
		// Secrets. Those of servers make identities: whoever has a signing key or client-ca.key is anybody.
		{action: "ssm:GetParameter", resource: own + "/server/service-account/1.key", may: []string{server, servers}},
		{action: "ssm:GetParameter", resource: own + "/server/client-ca.key", may: []string{server, servers}},
		{action: "ssm:GetParameter", resource: own + "/server/etcd/peer-ca.key", may: []string{server, servers}},
		{action: "ssm:GetParameter", resource: own + "/server/token", may: []string{server, servers}},
		{action: "ssm:GetParameter", resource: own + "/server/founder", may: []string{server, servers}},
		{action: "ssm:GetParameter", resource: own + "/agent/token", may: all},
		// Names that look like the own ones, and those of others.
		{action: "ssm:GetParameter", resource: own + "/agent"},
		{action: "ssm:GetParameter", resource: own + "/servers/token"},
		{action: "ssm:GetParameter", resource: own + "-2/agent/token"},
		{action: "ssm:GetParameter", resource: own + "-2/server/token"},
		{action: "ssm:GetParameter", resource: parameter + "/k3s-aws-auth/other/agent/token"},
		{action: "ssm:GetParameter", resource: parameter + "/somebody/else"},
		{action: "ssm:GetParameter", resource: "arn:aws:ssm:eu-west-1:111122223333:parameter/k3s-aws-auth/lab/agent/token"},
		{action: "ssm:GetParameter", resource: "arn:aws:ssm:eu-central-1:444455556666:parameter/k3s-aws-auth/lab/agent/token"},
		// Other ways to the same values, and lists.
		{action: "ssm:GetParameters", resource: own + "/agent/token"},
		{action: "ssm:GetParametersByPath", resource: own + "/agent"},
		{action: "ssm:GetParametersByPath", resource: own},
		{action: "ssm:GetParametersByPath", resource: parameter + "/"},
		{action: "ssm:GetParameterHistory", resource: own + "/agent/token"},
		{action: "ssm:GetParameterHistory", resource: own + "/server/service-account/1.key"},
		{action: "ssm:DescribeParameters", resource: "*"},
		// Writes: servers of several sign as founder, nobody writes anything else.
		{action: "ssm:PutParameter", resource: own + "/server/founder", may: []string{servers}},
		{action: "ssm:PutParameter", resource: own + "/server/service-account/1.key"},
		{action: "ssm:PutParameter", resource: own + "/server/founder/x"},
		{action: "ssm:PutParameter", resource: own + "/agent/token"},
		{action: "ssm:DeleteParameter", resource: own + "/server/founder"},
		{action: "ssm:DeleteParameter", resource: own + "/agent/token"},
		{action: "ssm:LabelParameterVersion", resource: own + "/server/founder"},
		// Session Manager lets people in; the machine may not send commands to others.
		{action: "ssm:UpdateInstanceInformation", resource: "*", may: all},
		{action: "ssmmessages:OpenDataChannel", resource: "*", may: all},
		{action: "ssm:SendCommand", resource: "arn:aws:ec2:eu-central-1:111122223333:instance/i-0"},
		{action: "ssm:StartSession", resource: "arn:aws:ec2:eu-central-1:111122223333:instance/i-0"},
		// Snapshots of etcd.
		{action: "s3:PutObject", resource: bucket + "/lab/etcd-snapshot", may: []string{servers}},
		{action: "s3:GetObject", resource: bucket + "/lab/etcd-snapshot", may: []string{servers}},
		{action: "s3:DeleteObject", resource: bucket + "/lab/etcd-snapshot", may: []string{servers}},
		{action: "s3:PutObject", resource: bucket + "/other/etcd-snapshot"},
		{action: "s3:GetObject", resource: bucket + "/lab-2/etcd-snapshot"},
		{action: "s3:GetObject", resource: "arn:aws:s3:::acme-backups-2/lab/etcd-snapshot"},
		{action: "s3:GetObjectVersion", resource: bucket + "/lab/etcd-snapshot"},
		{action: "s3:ListBucket", resource: bucket, context: map[string][]string{"s3:prefix": {"lab/"}}, may: []string{servers}},
		{action: "s3:ListBucket", resource: bucket, context: map[string][]string{"s3:prefix": {"other/"}}},
		{action: "s3:ListBucket", resource: bucket, context: map[string][]string{"s3:prefix": {""}}},
		{action: "s3:PutBucketPolicy", resource: bucket},
		// No way to more.
		{action: "iam:PassRole", resource: "arn:aws:iam::111122223333:role/anything"},
		{action: "sts:AssumeRole", resource: "arn:aws:iam::111122223333:role/anything"},
		{action: "ec2:RunInstances", resource: "*"},
		{action: "ec2:ModifyInstanceMetadataOptions", resource: "arn:aws:ec2:eu-central-1:111122223333:instance/i-0"},
		{action: "ec2:DescribeInstanceAttribute", resource: "*"},
		{action: "kms:Decrypt", resource: "arn:aws:kms:eu-central-1:111122223333:key/any"},
		{action: "secretsmanager:GetSecretValue", resource: "*"},
	} {
		for _, role := range all {
			decision := policy.Evaluate(policy.Request{Action: c.action, Resource: c.resource, Context: c.context}, roles[role]...).Decision
			may := false
			for _, r := range c.may {
				may = may || r == role
			}
			require.Equal(t, may, decision == policy.Allow, "%s: %s on %s %v: %s", role, c.action, c.resource, c.context, decision)
		}
	}
	// Agents are shut out whatever else their role gets: in setup instance-profile that is what the user writes.
	everything, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`))
	require.NoError(t, err)
	for _, c := range []struct{ action, resource string }{
		{"ssm:GetParameter", own + "/server/service-account/1.key"},
		{"ssm:GetParameters", own + "/server/token"},
		{"ssm:GetParameterHistory", own + "/server/client-ca.key"},
		{"ssm:PutParameter", own + "/server/founder"},
		{"ssm:GetParametersByPath", parameter + "/"},
		{"ssm:GetParametersByPath", parameter + "/k3s-aws-auth"},
		{"ssm:GetParametersByPath", own},
		{"ssm:GetParametersByPath", own + "/server"},
	} {
		got := policy.Evaluate(policy.Request{Action: c.action, Resource: c.resource}, append([]*policy.Document{everything}, roles[agent]...)...)
		require.Equal(t, policy.ExplicitDeny, got.Decision, "agent with everything: %s on %s", c.action, c.resource)
	}
}

func documents(t *testing.T, names ...string) []*policy.Document {
	t.Helper()
	var out []*policy.Document
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(nodePolicies, name))
		require.NoError(t, err)
		doc, err := policy.Parse(data)
		require.NoError(t, err, name)
		doc.Source = name
		out = append(out, doc)
	}
	return out
}
