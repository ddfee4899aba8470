package chain

import (
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pullVerb is what a node may do that a role lets ask for tokens of an audience: the audience is the rule's resource
// (k8s.io/kubernetes/plugin/pkg/admission/noderestriction).
const pullVerb = "request-serviceaccounts-token-audience"

// pullTokens finds of which service accounts nodes may ask for tokens for STS.
func (c *collector) pullTokens(ctx context.Context) error {
	rbac := c.Cluster.Client.RbacV1()
	bindings, err := rbac.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, b := range bindings.Items {
		if b.RoleRef.Kind != "ClusterRole" || !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return s.Kind == rbacv1.GroupKind && s.Name == "system:nodes" }) {
			continue
		}
		role, err := rbac.ClusterRoles().Get(ctx, b.RoleRef.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		for _, rule := range role.Rules {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{"*"}
			}
			if has(rule.APIGroups, "") && has(rule.Resources, stsAudience) && has(rule.Verbs, pullVerb) {
				c.facts.Cluster.PullTokens = append(c.facts.Cluster.PullTokens, names...)
			}
		}
	}
	return nil
}

// has tells whether a rule's list has a value, or all.
func has(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, "*")
}
