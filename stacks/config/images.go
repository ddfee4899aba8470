package config

import (
	"fmt"
	"slices"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/rules"
)

// podPullsMinor is the first minor version of Kubernetes whose kubelets give a pod
// an image of the disk only where the pod could have pulled it too, without a
// feature gate (KubeletEnsureSecretPulledImages, KEP-2535). Kubelets ask with a
// pod's token one minor version earlier (KEP-4412), but then whatever one pod has
// pulled is every pod's on that node.
const podPullsMinor = 35

// AgentPolicyRoom is how many characters the agents' role has for policies of the
// configuration, beside those that agents have anyway.
const AgentPolicyRoom = rules.MaxInlinePolicy - 2240

// validateImagePulls checks who pulls images from where, and by which program.
func validateImagePulls(c *Config, p *Problems) {
	validateRepositories("cluster.pullRepositories", c.Cluster.PullRepositories, c, p)
	if p.Has("cluster.imagePulls") {
		return
	}
	by, provider := c.Cluster.ImagePulls, c.Cluster.CredentialProvider
	switch {
	case by != PullsByNode && len(c.Cluster.PullRepositories) > 0:
		p.Add("cluster.pullRepositories", fmt.Sprintf("%d repositories", len(c.Cluster.PullRepositories)),
			"left out unless cluster.imagePulls is node: what pods pull with their own roles is in identities[].pull")
	case by == PullsByNode && len(c.Cluster.PullRepositories) == 0:
		p.Add("cluster.pullRepositories", "nothing", "the repositories that agents may pull from, while cluster.imagePulls is node")
	}
	if n := c.NodePullCharacters(); n > AgentPolicyRoom {
		p.Add("cluster.pullRepositories", fmt.Sprintf("a policy of %d characters", n), "at most %d characters, "+
			"the room that IAM leaves in the agents' role", AgentPolicyRoom)
	}
	for _, part := range []struct {
		key, value, must string
		rule             func(string) string
	}{
		{"cluster.credentialProvider.url", provider.URL, "where agents download ecr-credential-provider", rules.Download},
		{"cluster.credentialProvider.sha256", provider.SHA256, "the SHA-256 of ecr-credential-provider", rules.SHA256},
	} {
		switch {
		case by == "" && part.value != "":
			p.Add(part.key, Quote(part.value), "left out unless cluster.imagePulls is node or pod: nothing else runs it")
		case by != "" && part.value == "":
			p.Add(part.key, "nothing", "%s, while cluster.imagePulls is %s", part.must, by)
		case part.value != "":
			follows(part.key, part.value, part.rule, p)
		}
	}
	if by == "" {
		return
	}
	if c.Existing() {
		p.Add("cluster.imagePulls", Quote(by), "left out while cluster.mode is existing: it is about machines, which are not the program's there. "+
			"What their owner does instead is in docs/images.md")
	}
	if by == PullsByPod {
		validatePodPulls(c, p)
	}
}

// validatePodPulls checks what it takes that each pod pulls with its own role.
func validatePodPulls(c *Config, p *Problems) {
	if c.facts.Presents != PresentsToken && !p.Has("setup") {
		p.Add("cluster.imagePulls", Quote(PullsByPod), "node, or left out, for setup %s: a kubelet pulls with a pod's role by exchanging a token "+
			"of the pod's service account, which only the roles of irsa-s3 and irsa-cloudfront trust", c.Setup)
	}
	if minor := c.KubernetesMinor(); minor != 0 && minor < podPullsMinor {
		p.Add("cluster.version", Quote(c.Cluster.Version), "Kubernetes 1.%d or newer for cluster.imagePulls pod: "+
			"before it, an image that one pod has pulled is every pod's on that node", podPullsMinor)
	}
	if len(c.PodRepositories()) == 0 {
		p.Add("identities", "none with pull", "a list in which at least one identity has pull, while cluster.imagePulls is pod")
	}
}

// validatePull checks the repositories of one identity. sids are those of its own
// statements, which are in one policy with those by which it pulls.
func validatePull(at string, c *Config, i Identity, sids map[string]int, p *Problems) {
	key := at + ".pull"
	validateRepositories(key, i.Pull, c, p)
	if len(i.Pull) > 0 && c.Cluster.ImagePulls != PullsByPod && !p.Has("cluster.imagePulls") {
		p.Add(key, fmt.Sprintf("%d repositories", len(i.Pull)), "left out unless cluster.imagePulls is pod: no kubelet would ask with the identity's role")
	}
	for _, s := range iampolicy.Pull(i.Pull) {
		if own, taken := sids[s.Sid]; taken {
			p.Add(fmt.Sprintf("%s.statements[%d].sid", at, own), Quote(s.Sid), "another sid than those by which the identity pulls images")
		}
	}
}

// validateRepositories checks a list of repositories' ARNs.
func validateRepositories(key string, arns []string, c *Config, p *Problems) {
	for i, arn := range arns {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case rules.RepositoryARN(arn) != "":
			p.Add(at, Quote(arn), "%s", rules.RepositoryARN(arn))
		case !c.inPartition(at, arn, p):
		case slices.Index(arns, arn) < i:
			p.Add(at, Quote(arn), "listed once")
		}
	}
}

// NodePullCharacters is the size of the policy by which agents pull images, by
// IAM's count.
func (c *Config) NodePullCharacters() int {
	return characters(iampolicy.Pull(c.Cluster.PullRepositories))
}

// PodRepositories are the repositories that pods are pulled from with roles of their
// own, each once, sorted.
func (c *Config) PodRepositories() []string {
	var arns []string
	for _, i := range c.Identities {
		arns = append(arns, i.Pull...)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}
