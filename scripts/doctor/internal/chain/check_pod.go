package chain

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

func (p *Pod) String() string { return "pod " + p.Namespace + "/" + p.Name }

// mounted is the volume whose mount holds a file, with the file's path within it.
func (c *Container) mounted(file string) (m *Mount, within string) {
	for i := range c.Mounts {
		at := c.Mounts[i].Path
		if (file == at || strings.HasPrefix(file, at+"/")) && (m == nil || len(at) > len(m.Path)) {
			m = &c.Mounts[i]
		}
	}
	if m == nil {
		return nil, ""
	}
	return m, strings.TrimPrefix(strings.TrimPrefix(file, m.Path), "/")
}

// anyPod checks what goes for pods of every identity.
func (c *checker) anyPod(id Identity, p *Pod) {
	ids, at := []Identity{id}, []string{"namespace", p.Namespace, "pod", p.Name}
	region := false
	for _, container := range p.Containers {
		if len(container.Static) > 0 {
			kind := "half-keys"
			if len(container.Static) > 1 {
				kind = "static-keys-first"
			}
			c.add(kind, p.String(), ids, "container "+container.Name+" gets "+strings.Join(container.Static, ", "), at...)
		}
		region = region || container.Env["AWS_REGION"]+container.Env["AWS_DEFAULT_REGION"]+container.Env["AWS_CONFIG_FILE"] != ""
	}
	// SDKs need a region for every service but IAM; where nothing of the identity is there, that was told.
	if !region && (p.web() != nil || c.helper(p) != nil) {
		c.add("no-region", p.String(), ids, "no container has a region", at...)
	}
	if p.HostNetwork && id.Presents != presentsMetadata {
		c.add("host-network", p.String(), ids, "it has hostNetwork", at...)
	}
}

// tokenPod checks what a pod needs to present a token.
func (c *checker) tokenPod(id Identity, p *Pod) {
	ids, at := []Identity{id}, []string{"namespace", p.Namespace, "pod", p.Name}
	add := func(kind, seen string, more ...string) {
		c.add(kind, p.String(), ids, seen, append(slices.Clone(at), more...)...)
	}
	given, bare := 0, []string{}
	for i := range p.Containers {
		container := &p.Containers[i]
		role, file := container.Env["AWS_ROLE_ARN"], container.Env["AWS_WEB_IDENTITY_TOKEN_FILE"]
		switch {
		case role == "" && file == "":
			if !container.Init && !slices.Contains(p.Skip, container.Name) && container.Env["AWS_CONFIG_FILE"] == "" {
				bare = append(bare, container.Name)
			}
			continue
		case role == "" || file == "":
			given++
			have := map[bool]string{true: "AWS_WEB_IDENTITY_TOKEN_FILE", false: "AWS_ROLE_ARN"}[role == ""]
			add("half-web-identity", "container "+container.Name+" has "+have+" alone")
			continue
		}
		given++
		c.tokenFile(id, p, container, file, add)
		if a := c.account(p.Namespace, p.Account); a != nil && a.Role != "" && role != a.Role && role != elsewhere {
			add("role-other", "container "+container.Name+" has AWS_ROLE_ARN "+role, "role", a.Role)
		}
	}
	switch {
	case given == 0 && len(bare) > 0:
		add("not-injected", "it has nothing of its identity")
	case len(bare) > 0:
		a := c.account(p.Namespace, p.Account)
		if a != nil && a.Labelled { // the policy gives all containers theirs; a manifest may leave one out on purpose
			add("container-left-out", "container "+strings.Join(bare, ", ")+" has nothing of the identity")
		}
	}
}

// apiServerToken is where pods have the API server's own token.
const apiServerToken = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path

func (c *checker) tokenFile(id Identity, p *Pod, container *Container, file string, add func(kind, seen string, more ...string)) {
	audience := c.audience(id)
	in := "container " + container.Name
	if file == elsewhere {
		return
	}
	if strings.HasPrefix(file, apiServerToken+"/") {
		add("token-of-api-server", in+" has AWS_WEB_IDENTITY_TOKEN_FILE "+file, "audience", audience)
		return
	}
	m, within := container.mounted(path.Clean(file))
	if m == nil {
		add("token-not-mounted", in+" has no mount that holds "+file, "file", file)
		return
	}
	var tokens []TokenVolume
	for _, t := range p.Tokens {
		if t.Volume == m.Volume {
			tokens = append(tokens, t)
		}
	}
	if m.SubPath != "" {
		add("token-sub-path", in+" mounts "+m.Path+" by subPath "+m.SubPath)
		return
	}
	token := find(tokens, func(t *TokenVolume) bool { return t.Path == within })
	switch {
	case len(tokens) == 0:
		add("token-not-mounted", fmt.Sprintf("%s has volume %s at %s, which has no token for AWS", in, m.Volume, m.Path), "file", file)
	case token == nil:
		add("token-path", fmt.Sprintf("%s finds the token at %s", in, path.Join(m.Path, tokens[0].Path)), "file", file)
	case token.Audience != audience:
		add("token-audience", "the token's volume asks for "+token.Audience, "audience", audience)
	}
}

// metadataPod checks what a pod needs to reach its machine's role.
func (c *checker) metadataPod(id Identity, p *Pod) {
	ids, at := []Identity{id}, []string{"namespace", p.Namespace, "pod", p.Name}
	for _, container := range p.Containers {
		if strings.EqualFold(container.Env["AWS_EC2_METADATA_DISABLED"], "true") {
			c.add("metadata-disabled", p.String(), ids, "container "+container.Name+" has AWS_EC2_METADATA_DISABLED=true", at...)
		}
	}
	n := c.node(p.Node)
	if n == nil {
		return
	}
	if n.Server && len(c.Cluster.Nodes) > 1 {
		c.add("on-server", p.String(), ids, "it runs on server "+n.Name, at...)
		return
	}
	i := c.instance(n)
	if i == nil {
		return
	}
	where := "instance " + i.ID + " (node " + n.Name + ")"
	if !i.Endpoint {
		c.add("metadata-off", where, ids, "its metadata service is off", "instance", i.ID)
		return
	}
	if i.HopLimit < 2 && !p.HostNetwork {
		c.add("hop-limit-low", where, ids, fmt.Sprintf("its hop limit is %d", i.HopLimit), "instance", i.ID)
	}
	if !c.sees(partRoles) {
		return
	}
	role := find(c.Account.Roles, func(r *Role) bool { return i.Profile != "" && slices.Contains(r.Machines, i.Profile) })
	switch {
	case i.Profile == "":
		c.add("instance-profile-missing", where, ids, "it has no instance profile", "role", id.Role)
	case role == nil:
		c.add("instance-profile-missing", where, ids, "its instance profile "+i.Profile+" has no role", "role", id.Role)
	case id.Role != "" && role.ARN != id.Role:
		c.add("instance-profile-missing", where, ids, "its instance profile has the role "+role.ARN, "role", id.Role)
	}
}

// nodes checks the machines' metadata options. Pods that have their machine's role on purpose need a hop limit of 2 on
// agents; nothing else does.
func (c *checker) nodes() {
	open := len(c.presenting(presentsMetadata)) > 0 || c.Stack != nil && c.Stack.Presents == presentsMetadata || !c.sees(partAccounts)
	for i := range c.Cluster.Nodes {
		n := &c.Cluster.Nodes[i]
		machine := c.instance(n)
		if machine == nil {
			continue
		}
		where := "instance " + machine.ID + " (node " + n.Name + ")"
		if machine.Endpoint && machine.HopLimit > 1 && (!open || n.Server) {
			c.add("hop-limit-high", where, nil, fmt.Sprintf("its hop limit is %d", machine.HopLimit), "instance", machine.ID)
		}
		if machine.Endpoint && !machine.Tokens {
			c.add("imdsv1", where, nil, "its metadata service takes requests without a token", "instance", machine.ID)
		}
	}
}
