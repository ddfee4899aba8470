package chain

import (
	"slices"

	"k3s-aws-auth/scripts/internal/policy"
)

// pullSid is the id of the statement by which the program lets a role pull images.
const pullSid = "PullImages"

// pulls checks what it takes that the identity's pods are pulled with its role (docs/images.md).
func (c *checker) pulls(id Identity) {
	a := c.account(id.Namespace, id.Account)
	if a == nil {
		return
	}
	where, ids := "service account "+id.String(), []Identity{id}
	if r := c.role(id.Role); r != nil && r.pullsImages() && a.PullRole != id.Role {
		seen := "it has no such annotation"
		if a.PullRole != "" {
			seen = "it names " + a.PullRole
		}
		c.add("pull-annotation", where, ids, seen, "role", id.Role)
		return
	}
	if a.PullRole != "" && c.sees(partNodeRoles) && !has(c.Cluster.PullTokens, a.Name) {
		c.add("pull-tokens", where, ids, "no role of the group system:nodes names it")
	}
}

// pullsImages tells whether the program lets the role pull images.
func (r *Role) pullsImages() bool {
	return slices.ContainsFunc(r.Policies, func(text string) bool {
		d, err := policy.Parse([]byte(text))
		return err == nil && slices.ContainsFunc(d.Statements, func(s policy.Statement) bool { return s.SID == pullSid })
	})
}
