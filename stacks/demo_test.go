package stacks

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/stacks/config"
)

// TestUnproven holds that a run which waits for a demo pod in vain says so before,
// and that nobody else is warned.
func TestUnproven(t *testing.T) {
	const bucket = config.DemoBucketArn
	allow := func(resources ...string) []config.Statement {
		return []config.Statement{{Effect: iampolicy.Allow, Actions: []string{"s3:PutObject"}, Resources: resources}}
	}
	for _, tc := range []struct {
		name       string
		setup      string
		statements []config.Statement
		managed    []string
		warns      bool
	}{
		{"its own objects", "irsa-s3", allow(bucket + "/new/*"), nil, false},
		{"its own object", "irsa-s3", allow(bucket + "/new/new.json"), nil, false},
		{"all objects", "irsa-s3", allow(bucket + "/*"), nil, false},
		{"renamed, its statements not", "irsa-s3", allow(bucket + "/old/*"), nil, true},
		{"one of several", "roles-anywhere", allow(bucket+"/old/*", bucket+"/n*"), nil, false},
		{"beside the bucket itself", "irsa-s3", allow(bucket, bucket+"/old/*"), nil, false},
		{"anything else", "irsa-s3", allow(bucket+"/old/*", "*"), nil, false},
		{"a managed policy", "irsa-s3", allow(bucket + "/old/*"), []string{"arn:aws:iam::aws:policy/AmazonS3FullAccess"}, false},
		{"a variable", "irsa-s3", allow(bucket + "/${aws:PrincipalTag/x}/*"), nil, false},
		{"a shared role", "instance-profile", allow(bucket + "/old/*"), nil, false},
		{"nothing of the bucket", "irsa-s3", allow("arn:aws:s3:::x/*"), nil, false},
		{"denied alone", "irsa-s3", []config.Statement{{Effect: iampolicy.Deny, Actions: []string{"s3:*"}, Resources: []string{bucket + "/old/*"}}}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := slices.IndexFunc(registry, func(s setup) bool { return s.name == tc.setup })
			warnings := unproven(registry[i].facts, []config.Identity{{Name: "new", Statements: tc.statements, ManagedPolicyArns: tc.managed}})
			require.Len(t, warnings, map[bool]int{true: 1}[tc.warns])
			require.Equal(t, tc.warns, strings.Contains(strings.Join(warnings, ""), "put ${demo.bucketArn}/new/new.json"))
		})
	}
}

// TestUnprovenAccounts holds that the objects of all service accounts count, and that
// permissions beside statements let nobody put one.
func TestUnprovenAccounts(t *testing.T) {
	const bucket = config.DemoBucketArn
	put := func(resource string) []config.Statement {
		return []config.Statement{{Effect: iampolicy.Allow, Actions: []string{"s3:PutObject"}, Resources: []string{resource}}}
	}
	for _, tc := range []struct {
		name     string
		identity config.Identity
		object   string // empty: no warning
	}{
		{"all objects", config.Identity{Statements: put(bucket + "/new/*")}, ""},
		{"the first one's object", config.Identity{Statements: put(bucket + "/new/new.json")}, "new/new-worker.json"},
		{"pulls alone", config.Identity{Pull: []string{"arn:aws:ecr:eu-central-1:111122223333:repository/team/app"}}, "new/new.json"},
		{"assumed roles alone", config.Identity{AssumeRoles: []config.Assumed{{RoleArn: "arn:aws:iam::444455556666:role/reader"}}}, "new/new.json"},
		{"a preset alone", config.Identity{Preset: config.Preset{Name: "ebs-csi"}}, "new/new.json"},
		{"prefixes elsewhere", config.Identity{PrefixPerPod: []string{"arn:aws:s3:::acme"}}, "new/new.json"},
		{"prefixes", config.Identity{PrefixPerPod: []string{bucket + "/a"}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.identity.Name, tc.identity.Namespace, tc.identity.ServiceAccount, tc.identity.ServiceAccounts = "new", "billing", "reports", []string{"worker"}
			warnings := unproven(rolesAnywhere.facts, []config.Identity{tc.identity})
			if tc.object == "" {
				require.Empty(t, warnings)
				return
			}
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], "put ${demo.bucketArn}/"+tc.object+",")
		})
	}
}
