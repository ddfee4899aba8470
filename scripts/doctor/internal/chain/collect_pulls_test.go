package chain

import (
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"k3s-aws-auth/scripts/internal/kube"
)

// What nodes may ask for is read from roles that are bound to all nodes, and from no others.
func TestPullTokens(t *testing.T) {
	role := func(name string, verbs, audiences, names []string) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: audiences, ResourceNames: names, Verbs: verbs}}}
	}
	bound := func(name, group string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: name}, Subjects: []rbacv1.Subject{{Kind: "Group", Name: group}}}
	}
	verb, audience := []string{pullVerb}, []string{stsAudience}
	client := fake.NewClientset(
		role("pulls", verb, audience, []string{"app"}), bound("pulls", "system:nodes"),
		role("people", verb, audience, []string{"people"}), bound("people", "admins"),
		role("vault", verb, []string{"vault"}, []string{"vault"}), bound("vault", "system:nodes"),
		role("readers", []string{"get"}, audience, []string{"readers"}), bound("readers", "system:nodes"),
		bound("nothing", "system:nodes"))
	c := &collector{Access: Access{Cluster: &kube.Cluster{Client: client}}, facts: &Facts{}}
	require.NoError(t, c.pullTokens(t.Context()))
	require.Equal(t, []string{"app"}, c.facts.Cluster.PullTokens)

	client = fake.NewClientset(role("all", []string{"*"}, []string{"*"}, nil), bound("all", "system:nodes"))
	c = &collector{Access: Access{Cluster: &kube.Cluster{Client: client}}, facts: &Facts{}}
	require.NoError(t, c.pullTokens(t.Context()))
	require.Equal(t, []string{"*"}, c.facts.Cluster.PullTokens)
}
