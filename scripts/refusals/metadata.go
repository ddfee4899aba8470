package main

import (
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Tries from pods at the metadata service of their machines.
var metadataCases = []Case{
	{Name: "imds-hop-limit", For: notReaching, What: "a pod without an identity that asks for a token of its machine's metadata", Code: "timeout",
		Try: func(ctx context.Context, t *Target) error {
			pod, err := t.stranger(ctx)
			if err != nil {
				return err
			}
			_, err = t.metadataToken(ctx, pod)
			return err
		}},
	{Name: "imds-hop-limit-identity", For: notReaching, What: "the identity's own pod that asks for a token of its machine's metadata", Code: "timeout",
		Try: func(ctx context.Context, t *Target) error {
			_, err := t.metadataToken(ctx, t.Identity.Pod.Name)
			return err
		}},
	{Name: "imds-hop-limit-server", What: "a pod that got onto a server, and asks for a token of its metadata", Code: "timeout",
		Try: func(ctx context.Context, t *Target) error {
			node, err := t.node(ctx, func(n corev1.Node) bool { return len(n.Spec.Taints) > 0 })
			if err != nil {
				return err
			}
			pod, err := t.strangerOn(ctx, node)
			if err != nil {
				return err
			}
			_, err = t.metadataToken(ctx, pod)
			return err
		}},
	{Name: "node-credentials", For: notReaching, What: "an AWS client in a pod without an identity", Code: "Unable to locate credentials",
		Try: func(ctx context.Context, t *Target) error {
			pod, err := t.stranger(ctx)
			if err != nil {
				return err
			}
			_, err = t.Cluster.Exec(ctx, t.Identity.Namespace, pod, container, "aws", "sts", "get-caller-identity")
			if err != nil && strings.Contains(err.Error(), "Unable to locate credentials") {
				return &answer{"Unable to locate credentials", err.Error()}
			}
			return err
		}},
	{Name: "imdsv1", What: "the machine's credentials without a token (IMDSv1)", Code: "401",
		Try: func(ctx context.Context, t *Target) error {
			_, err := t.curl(ctx, t.Identity.Pod.Name, "meta-data/iam/security-credentials/")
			return err
		}},
	{Name: "imds-token-made-up", What: "the machine's credentials with a token that nobody gave out", Code: "401",
		Try: func(ctx context.Context, t *Target) error {
			_, err := t.curl(ctx, t.Identity.Pod.Name, "meta-data/iam/security-credentials/", "--header", tokenHeader+": "+strings.Repeat("A", 56))
			return err
		}},
	{Name: "imds-token-of-another-machine", For: reaching, What: "the machine's credentials with a token of another machine", Code: "401",
		Try: func(ctx context.Context, t *Target) error {
			other, err := t.node(ctx, func(n corev1.Node) bool { return len(n.Spec.Taints) == 0 && n.Name != t.Identity.Pod.Spec.NodeName })
			if err != nil {
				return err
			}
			pod, err := t.strangerOn(ctx, other)
			if err != nil {
				return err
			}
			token, err := t.metadataToken(ctx, pod)
			if err != nil {
				return broken(err)
			}
			_, err = t.curl(ctx, t.Identity.Pod.Name, "meta-data/iam/security-credentials/", "--header", tokenHeader+": "+token)
			return err
		}},
	token("imds-forwarded", "a token for a request that came through a proxy (X-Forwarded-For)", "403", "--header", "X-Forwarded-For: 203.0.113.7"),
	token("imds-ttl-missing", "a token without a lifetime", "400", "--header", ttlHeader+":"),
	token("imds-ttl-zero", "a token with a lifetime of 0", "400", "--header", ttlHeader+": 0"),
	token("imds-ttl-long", "a token for more than six hours", "400", "--header", ttlHeader+": 21601"),
	{Name: "imds-token-by-post", For: reaching, What: "a token by POST, as a form of a browser would", Code: "405",
		Try: func(ctx context.Context, t *Target) error {
			_, err := t.curl(ctx, t.Identity.Pod.Name, "api/token", "--request", "POST", "--header", ttlHeader+": 60")
			return err
		}},
	{Name: "imds-token-by-get", For: reaching, What: "a token by GET, as a server that can be led would", Code: "401",
		Try: func(ctx context.Context, t *Target) error {
			_, err := t.curl(ctx, t.Identity.Pod.Name, "api/token", "--header", ttlHeader+": 60")
			return err
		}},
	{Name: "imds-other-role", For: reaching, What: "credentials of a role that the machine does not have", Code: "404",
		Try: func(ctx context.Context, t *Target) error {
			token, err := t.metadataToken(ctx, t.Identity.Pod.Name)
			if err != nil {
				return broken(err)
			}
			_, err = t.curl(ctx, t.Identity.Pod.Name, "meta-data/iam/security-credentials/admin", "--header", tokenHeader+": "+token)
			return err
		}},
}

// token asks for a token of IMDSv2 in a wrong way, where a right way would get one.
func token(name, what, code string, arguments ...string) Case {
	return Case{Name: name, For: reaching, What: what, Code: code, Try: func(ctx context.Context, t *Target) error {
		all := append([]string{"--request", "PUT"}, arguments...)
		if !strings.HasPrefix(name, "imds-ttl") {
			all = append(all, "--header", ttlHeader+": 60")
		}
		_, err := t.curl(ctx, t.Identity.Pod.Name, "api/token", all...)
		return err
	}}
}

// node finds a machine of the cluster.
func (t *Target) node(ctx context.Context, fits func(corev1.Node) bool) (string, error) {
	nodes, err := t.Cluster.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", broken(err)
	}
	for _, n := range nodes.Items {
		if fits(n) {
			return n.Name, nil
		}
	}
	return "", broken(errors.New("the cluster has no such machine"))
}
