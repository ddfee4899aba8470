package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Token asks the cluster for a token of a ServiceAccount that is valid for an hour.
func (c *Cluster) Token(ctx context.Context, namespace, account, audience string) (string, error) {
	seconds := int64(3600)
	r, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authv1.TokenRequest{
		Spec: authv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("a token of %s:%s: %w", namespace, account, err)
	}
	return r.Status.Token, nil
}

// Account makes a ServiceAccount for one try, and its namespace where that is not there. remove takes away what was made.
func (c *Cluster) Account(ctx context.Context, namespace, account string) (remove func(), err error) {
	core := c.Client.CoreV1()
	_, err = core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	madeNamespace, madeAccount := err == nil, false
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	remove = func() {
		after := context.WithoutCancel(ctx)
		if madeAccount {
			_ = core.ServiceAccounts(namespace).Delete(after, account, metav1.DeleteOptions{})
		}
		if madeNamespace {
			_ = core.Namespaces().Delete(after, namespace, metav1.DeleteOptions{})
		}
	}
	_, err = core.ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	madeAccount = err == nil
	if err != nil && !apierrors.IsAlreadyExists(err) {
		remove()
		return nil, err
	}
	return remove, nil
}

// Stranger is a pod with the image and the security context of another, and no identity at all.
type Stranger struct {
	// Namespace, Model and Container name the pod that it is like.
	Namespace, Model, Container string
	// Node is where it runs; the model's node where empty. It tolerates every taint there.
	Node string
	// Env is its environment.
	Env map[string]string
	// Account is its ServiceAccount, default where empty, and Image its image, the model's where empty.
	Account, Image string
	// HostNetwork puts it into the machine's own network.
	HostNetwork bool
}

// Start runs the pod and waits for it, or until its image could not be pulled. remove deletes it.
func (c *Cluster) Start(ctx context.Context, s Stranger) (name string, remove func(), err error) {
	pods := c.Client.CoreV1().Pods(s.Namespace)
	model, err := pods.Get(ctx, s.Model, metav1.GetOptions{})
	if err != nil {
		return "", nil, err
	}
	var like corev1.Container
	for _, container := range model.Spec.Containers {
		if container.Name == s.Container {
			like = container
		}
	}
	if s.Node == "" {
		s.Node = model.Spec.NodeName
	}
	var env []corev1.EnvVar
	for k, v := range s.Env {
		env = append(env, corev1.EnvVar{Name: k, Value: v})
	}
	no, grace := false, int64(0)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "stranger-"},
		Spec: corev1.PodSpec{
			NodeName:                      s.Node,
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			ServiceAccountName:            cmp.Or(s.Account, "default"),
			AutomountServiceAccountToken:  &no,
			SecurityContext:               model.Spec.SecurityContext,
			HostNetwork:                   s.HostNetwork,
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: s.Container, Image: cmp.Or(s.Image, like.Image), ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"/bin/sh", "-c", "sleep 600"}, SecurityContext: like.SecurityContext, Env: env,
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
		if err != nil {
			return false, err
		}
		for _, status := range p.Status.ContainerStatuses {
			if waiting := status.State.Waiting; waiting != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"}, waiting.Reason) {
				return false, fmt.Errorf("%s: %s", waiting.Reason, waiting.Message)
			}
		}
		return p.Status.Phase == corev1.PodRunning, nil
	})
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("a pod without an identity does not run: %w", err)
	}
	return pod.Name, remove, nil
}
