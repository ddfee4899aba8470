package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
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
)

// injectionName begins the names of what asks for an identity without a word about it.
const injectionName = "injection-check"

// Injection holds a cluster that injects identities to it: an ordinary Deployment, StatefulSet or CronJob has the identity
// of its ServiceAccount, and one of another ServiceAccount is left alone. It returns nothing where pods' own manifests say
// what they need.
func (t *Target) Injection(ctx context.Context) ([]Case, error) {
	account, err := t.Cluster.Client.CoreV1().ServiceAccounts(t.Identity.Namespace).Get(ctx, t.Identity.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if account.Labels[injectionLabel] != injectionEnabled {
		return nil, nil
	}
	session := ":assumed-role/" + t.Identity.RoleARN[strings.LastIndex(t.Identity.RoleARN, "/")+1:] + "/"
	checks := []struct {
		name, kind, account, want string
		ask                       func(ctx context.Context, pod *corev1.Pod) (string, error)
	}{
		{"an ordinary Deployment of the ServiceAccount", "Deployment", t.Identity.ServiceAccount, session, t.callers},
		{"an object that it puts", "Deployment", t.Identity.ServiceAccount, "ok", func(ctx context.Context, pod *corev1.Pod) (string, error) {
			return "ok", t.Cluster.Put(ctx, pod.Namespace, pod.Name, t.Identity.Bucket, t.Identity.Prefix+"lab/injected.txt")
		}},
		{"an ordinary StatefulSet", "StatefulSet", t.Identity.ServiceAccount, session, t.callers},
		{"a Job of an ordinary CronJob, once it is done", "CronJob", t.Identity.ServiceAccount, session, t.logged},
		{"a Deployment of another ServiceAccount", "Deployment", "default", "untouched", func(_ context.Context, pod *corev1.Pod) (string, error) {
			return untouched(pod), nil
		}},
	}
	var cases []Case
	var errs []error
	pods := map[string]*corev1.Pod{}
	for _, check := range checks {
		c := Case{Name: check.name, Want: check.want}
		pod := pods[check.kind+check.account]
		if pod == nil {
			made, remove, err := t.make(ctx, check.kind, check.account)
			defer remove()
			if err != nil {
				return cases, errors.Join(append(errs, fmt.Errorf("%s: %w", check.name, err))...)
			}
			pod, pods[check.kind+check.account] = made, made
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

// callers asks AWS from inside each container of a pod who it is, and returns what the last one hears, or the first error.
func (t *Target) callers(ctx context.Context, pod *corev1.Pod) (arn string, err error) {
	for _, container := range pod.Spec.Containers {
		if arn, err = t.caller(ctx, pod, container.Name); err != nil {
			return "", fmt.Errorf("container %s: %w", container.Name, err)
		}
	}
	return arn, nil
}

// caller asks AWS from inside a container who it is.
func (t *Target) caller(ctx context.Context, pod *corev1.Pod, container string) (string, error) {
	said, err := t.Cluster.Exec(ctx, pod.Namespace, pod.Name, container, "aws", "sts", "get-caller-identity", "--output", "json")
	if err != nil {
		return "", err
	}
	return arn([]byte(said))
}

// logged is who AWS said that a pod is, which its container has printed.
func (t *Target) logged(ctx context.Context, pod *corev1.Pod) (string, error) {
	said, err := t.Cluster.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: prove.Container}).DoRaw(ctx)
	if err != nil {
		return "", err
	}
	return arn(said)
}

// arn reads STS's answer.
func arn(said []byte) (string, error) {
	var answer struct{ Arn string }
	err := json.Unmarshal(said, &answer)
	return answer.Arn, err
}

// untouched tells what a pod has that its manifest does not say.
func untouched(pod *corev1.Pod) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name != scratch {
			return "the volume " + v.Name
		}
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name != prove.Container && c.Name != second && c.Name != first {
			return "the container " + c.Name
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "AWS_") {
				return "the variable " + e.Name
			}
		}
	}
	return "untouched"
}

// What an ordinary pod has: a volume, and beside the container in which the lab's tools call AWS a second one, and a first
// that runs before both.
const (
	scratch = "tmp"
	second  = "exporter"
	first   = "migrate"
)

// ordinary is a pod with the demo pod's image and security, and nothing of AWS. All its file systems are read-only but one.
// Its init container calls AWS where the ServiceAccount has an identity, and so does the one container of a pod that ends.
func ordinary(model *corev1.Pod, account string, labels map[string]string, identity, ends bool) corev1.PodTemplateSpec {
	var like corev1.Container
	for _, c := range model.Spec.Containers {
		if c.Name == prove.Container {
			like = c
		}
	}
	container := func(name, script string) corev1.Container {
		return corev1.Container{Name: name, Image: like.Image, ImagePullPolicy: corev1.PullIfNotPresent,
			Command: []string{"/bin/sh", "-ec", script}, SecurityContext: like.SecurityContext,
			Env:          []corev1.EnvVar{{Name: "HOME", Value: "/tmp"}},
			VolumeMounts: []corev1.VolumeMount{{Name: scratch, MountPath: "/tmp"}}}
	}
	const call = "aws sts get-caller-identity --output json"
	grace, no := int64(0), false
	spec := corev1.PodSpec{
		ServiceAccountName:            account,
		AutomountServiceAccountToken:  &no,
		SecurityContext:               model.Spec.SecurityContext,
		TerminationGracePeriodSeconds: &grace,
		Volumes:                       []corev1.Volume{{Name: scratch, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
	if identity {
		spec.InitContainers = []corev1.Container{container(first, call)}
	}
	if ends {
		spec.Containers, spec.RestartPolicy = []corev1.Container{container(prove.Container, call)}, corev1.RestartPolicyOnFailure
	} else {
		spec.Containers = []corev1.Container{container(prove.Container, "sleep 600"), container(second, "sleep 600")}
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
}

// make makes a Deployment, a StatefulSet, or a CronJob with a Job of it, and returns its pod once that runs or, of a Job,
// is done. remove takes all away, also after an error.
func (t *Target) make(ctx context.Context, kind, account string) (pod *corev1.Pod, remove func(), err error) {
	client, namespace := t.Cluster.Client, t.Identity.Namespace
	remove = func() {}
	model, err := client.CoreV1().Pods(namespace).Get(ctx, t.Identity.Pod, metav1.GetOptions{})
	if err != nil {
		return nil, remove, err
	}
	name := strings.ToLower(injectionName + "-" + kind + "-" + account)
	selector := map[string]string{"app.kubernetes.io/name": name}
	object, until := metav1.ObjectMeta{Name: name}, corev1.PodRunning
	template := ordinary(model, account, selector, account == t.Identity.ServiceAccount, kind == "CronJob")
	foreground := metav1.DeletePropagationForeground
	gone := metav1.DeleteOptions{PropagationPolicy: &foreground}
	after := context.WithoutCancel(ctx)
	switch kind {
	case "Deployment":
		_, err = client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{ObjectMeta: object,
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template}}, metav1.CreateOptions{})
		remove = func() { _ = client.AppsV1().Deployments(namespace).Delete(after, name, gone) }
	case "StatefulSet":
		_, err = client.AppsV1().StatefulSets(namespace).Create(ctx, &appsv1.StatefulSet{ObjectMeta: object,
			Spec: appsv1.StatefulSetSpec{ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template}}, metav1.CreateOptions{})
		remove = func() { _ = client.AppsV1().StatefulSets(namespace).Delete(after, name, gone) }
	case "CronJob":
		until = corev1.PodSucceeded
		remove = func() {
			_ = client.BatchV1().Jobs(namespace).Delete(after, name, gone)
			_ = client.BatchV1().CronJobs(namespace).Delete(after, name, gone)
		}
		var cron *batchv1.CronJob
		cron, err = client.BatchV1().CronJobs(namespace).Create(ctx, &batchv1.CronJob{ObjectMeta: object,
			Spec: batchv1.CronJobSpec{Schedule: "0 3 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}}, metav1.CreateOptions{})
		if err == nil { // as `kubectl create job --from`, since the CronJob's own time is far away
			_, err = client.BatchV1().Jobs(namespace).Create(ctx, &batchv1.Job{ObjectMeta: object, Spec: cron.Spec.JobTemplate.Spec}, metav1.CreateOptions{})
		}
	}
	if err != nil {
		return nil, remove, err
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if list.Items[i].Status.Phase == until {
				pod = &list.Items[i]
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, remove, fmt.Errorf("%s %s/%s has no pod that is %s: %w", kind, namespace, name, until, err)
	}
	return pod, remove, nil
}
