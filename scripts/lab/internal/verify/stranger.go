package verify

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"k3s-aws-auth/scripts/lab/internal/prove"
)

// stranger starts a pod on the identity's node with the identity's image and no identity at all: what the AWS client
// finds there by itself is what the node gives away.
func (t *Target) stranger(ctx context.Context) (name string, remove func(), err error) {
	pods := t.Cluster.Client.CoreV1().Pods(t.Identity.Namespace)
	model, err := pods.Get(ctx, t.Identity.Pod, metav1.GetOptions{})
	if err != nil {
		return "", nil, err
	}
	var image string
	var security *corev1.SecurityContext
	for _, c := range model.Spec.Containers {
		if c.Name == prove.Container {
			image, security = c.Image, c.SecurityContext
		}
	}
	no, grace := false, int64(0)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "stranger-"},
		Spec: corev1.PodSpec{
			NodeName:                      model.Spec.NodeName,
			ServiceAccountName:            "default",
			AutomountServiceAccountToken:  &no,
			SecurityContext:               model.Spec.SecurityContext,
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: prove.Container, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"/bin/sh", "-c", "sleep 600"}, SecurityContext: security,
				// A region is no credential, and without one the client would fail for its lack.
				Env: []corev1.EnvVar{{Name: "AWS_REGION", Value: t.AWS.Region}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("a pod without an identity: %w", err)
	}
	remove = func() {
		_ = pods.Delete(context.WithoutCancel(ctx), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		p, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodRunning, err
	})
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("a pod without an identity does not run: %w", err)
	}
	return pod.Name, remove, nil
}
