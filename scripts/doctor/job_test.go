package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestJob holds the example Job to what docs/doctor.md says that the doctor needs: all of it but Secrets and tokens, which its
// arguments leave out.
func TestJob(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor-job.example.yml")
	require.NoError(t, err)
	parts := strings.Split(string(text), "\n---\n")
	require.Len(t, parts, 3)
	var role rbacv1.ClusterRole
	var binding rbacv1.ClusterRoleBinding
	var job batchv1.Job
	for i, into := range []any{&role, &binding, &job} {
		require.NoError(t, yaml.UnmarshalStrict([]byte(parts[i]), into))
	}
	require.Equal(t, role.Name, binding.RoleRef.Name)
	require.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: job.Spec.Template.Spec.ServiceAccountName, Namespace: job.Namespace}}, binding.Subjects)

	page, err := os.ReadFile("../../docs/doctor.md")
	require.NoError(t, err)
	var documented rbacv1.ClusterRole
	block := regexp.MustCompile("(?s)```yaml\n(apiVersion: rbac.*?)```").FindStringSubmatch(string(page))
	require.NotNil(t, block)
	require.NoError(t, yaml.UnmarshalStrict([]byte(block[1]), &documented))
	var want []rbacv1.PolicyRule
	for _, r := range documented.Rules {
		r.Resources = slices.DeleteFunc(r.Resources, func(s string) bool { return s == "secrets" || s == "serviceaccounts/token" })
		if len(r.Resources)+len(r.NonResourceURLs) > 0 {
			want = append(want, r)
		}
	}
	require.Equal(t, want, role.Rules)

	cmd, args, err := root().Find(job.Spec.Template.Spec.Containers[0].Args)
	require.NoError(t, err)
	require.Equal(t, "check", cmd.Name())
	require.NoError(t, cmd.ParseFlags(args))
	for _, flag := range []string{"no-secrets", "no-token"} {
		require.True(t, cmd.Flags().Changed(flag), flag)
	}
}
