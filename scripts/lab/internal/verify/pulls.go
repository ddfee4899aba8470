package verify

import (
	"context"
	"fmt"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/lab/internal/prove"
)

// pullAttempts are pulls that must be refused, once those that must not be were seen to work: on the node that has the
// image by then.
func (t *Target) pullAttempts(ctx context.Context) ([]attempt, error) {
	if t.Pulls == "" {
		return nil, nil
	}
	run := func(ctx context.Context, account, image string) error {
		_, remove, err := t.Cluster.Start(ctx, kube.Stranger{Namespace: t.Identity.Namespace, Model: t.Identity.Pod, Container: prove.Container,
			Account: account, Image: image})
		if err == nil {
			remove()
		}
		return err
	}
	right := "default"
	if t.Pulls == "pod" {
		right = t.Identity.ServiceAccount
	}
	if err := run(ctx, right, t.Own); err != nil {
		return nil, fmt.Errorf("an image that may be pulled is not: %w", err)
	}
	all := []attempt{{
		name: "an image of a repository that is not listed",
		want: "403 Forbidden",
		try:  func(ctx context.Context) error { return run(ctx, right, t.Other) },
	}}
	if t.Pulls == "pod" {
		all = append(all, attempt{
			name: "the identity's image under another service account, on a node that has it",
			want: "no basic auth credentials",
			try:  func(ctx context.Context) error { return run(ctx, "default", t.Own) },
		})
	}
	return all, nil
}
