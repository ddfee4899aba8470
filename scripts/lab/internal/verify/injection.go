package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"

	"k3s-aws-auth/scripts/lab/internal/prove"
)

// What the program's injection is known by, from outside: docs/injection.md.
const (
	injectionLabel   = "k3s-aws-auth/injection"
	injectionEnabled = "enabled"
	tokenVolume      = "aws-iam-token" //nolint:gosec // the name of a volume
)

// injectionName is that of the Deployments that ask for an identity without a word about it.
const injectionName = "injection-check"

// Injection holds a cluster that injects identities to it: an ordinary Deployment has the identity of its ServiceAccount,
// and one of another ServiceAccount is left alone. It returns nothing where pods' own manifests say what they need.
func (t *Target) Injection(ctx context.Context) ([]Case, error) {
	account, err := t.Cluster.Client.CoreV1().ServiceAccounts(t.Identity.Namespace).Get(ctx, t.Identity.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if account.Labels[injectionLabel] != injectionEnabled {
		return nil, nil
	}
	role := t.Identity.RoleARN[strings.LastIndex(t.Identity.RoleARN, "/")+1:]
	checks := []struct {
		name, account, want string
		ask                 func(ctx context.Context, pod *corev1.Pod) (string, error)
	}{
		{"an ordinary Deployment of the ServiceAccount", t.Identity.ServiceAccount, ":assumed-role/" + role + "/", t.caller},
		{"an object that it puts", t.Identity.ServiceAccount, "ok", func(ctx context.Context, pod *corev1.Pod) (string, error) {
			return "ok", t.Cluster.Put(ctx, pod.Namespace, pod.Name, t.Identity.Bucket, t.Identity.Prefix+"lab/injected.txt")
		}},
		{"a Deployment of another ServiceAccount", "default", "untouched", func(_ context.Context, pod *corev1.Pod) (string, error) {
			return untouched(pod), nil
		}},
	}
	var cases []Case
	var errs []error
	pods := map[string]*corev1.Pod{}
	for _, check := range checks {
		c := Case{Name: check.name, Want: check.want}
		pod := pods[check.account]
		if pod == nil {
			made, remove, err := t.deploy(ctx, check.account)
			defer remove()
			if err != nil {
				return cases, errors.Join(append(errs, fmt.Errorf("%s: %w", check.name, err))...)
			}
			pod, pods[check.account] = made, made
		}
		got, err := check.ask(ctx, pod)
		if err != nil {
			got = message(err)
		}
		c.Got = got
		c.OK = err == nil && strings.Contains(got, check.want)
		if !c.OK {
			errs = append(errs, fmt.Errorf("%s: want %q, got %q", c.Name, c.Want, c.Got))
		}
		cases = append(cases, c)
	}
	return cases, errors.Join(errs...)
}

// caller asks AWS from inside a pod who it is.
func (t *Target) caller(ctx context.Context, pod *corev1.Pod) (string, error) {
	said, err := t.Cluster.Exec(ctx, pod.Namespace, pod.Name, prove.Container, "aws", "sts", "get-caller-identity", "--output", "json")
	if err != nil {
		return "", err
	}
	var answer struct{ Arn string }
	return answer.Arn, errors.Join(json.Unmarshal([]byte(said), &answer), ctx.Err())
}

// untouched tells what a pod has of AWS.
func untouched(pod *corev1.Pod) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name == tokenVolume {
			return "the volume " + v.Name
		}
	}
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "AWS_") {
				return "the variable " + e.Name
			}
		}
	}
	return "untouched"
}

// deploy makes a Deployment with the demo pod's image and nothing of AWS, and returns its pod once that runs. remove
// takes it away, also after an error.
func (t *Target) deploy(ctx context.Context, account string) (pod *corev1.Pod, remove func(), err error) {
	client, namespace := t.Cluster.Client, t.Identity.Namespace
	remove = func() {}
	model, err := client.CoreV1().Pods(namespace).Get(ctx, t.Identity.Pod, metav1.GetOptions{})
	if err != nil {
		return nil, remove, err
	}
	var like corev1.Container
	for _, c := range model.Spec.Containers {
		if c.Name == prove.Container {
			like = c
		}
	}
	name := injectionName + "-" + account
	selector, grace, no := map[string]string{"app.kubernetes.io/name": name}, int64(0), false
	_, err = client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: selector},
				Spec: corev1.PodSpec{
					ServiceAccountName:            account,
					AutomountServiceAccountToken:  &no,
					SecurityContext:               model.Spec.SecurityContext,
					TerminationGracePeriodSeconds: &grace,
					Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{
						EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
					Containers: []corev1.Container{{
						Name: prove.Container, Image: like.Image, ImagePullPolicy: corev1.PullIfNotPresent,
						Command: []string{"/bin/sh", "-c", "sleep 600"}, SecurityContext: like.SecurityContext,
						Env:          []corev1.EnvVar{{Name: "HOME", Value: "/tmp"}},
						VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
					}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, remove, err
	}
	remove = func() {
		foreground := metav1.DeletePropagationForeground
		_ = client.AppsV1().Deployments(namespace).Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{PropagationPolicy: &foreground})
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if list.Items[i].Status.Phase == corev1.PodRunning {
				pod = &list.Items[i]
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, remove, fmt.Errorf("deployment %s/%s has no running pod: %w", namespace, name, err)
	}
	return pod, remove, nil
}
