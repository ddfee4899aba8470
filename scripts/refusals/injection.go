package main

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pods that put something else in the place of what the API server would give them (docs/injection.md): they would run, and
// their identity would be whatever that is.
var injectionCases = []Case{
	{Name: "injection-volume", For: notReaching, Here: (*Target).injects, What: "an ordinary pod with a volume of its own by the name of the identity's",
		Code: "Invalid", Text: "of its own", Try: func(ctx context.Context, t *Target) error {
			return t.admit(ctx, func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: t.injected()[0].Name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			})
		}},
	{Name: "injection-mount", For: notReaching, Here: func(t *Target) bool { return t.injects() && len(t.injectedMounts()) > 0 },
		What: "an ordinary pod with a volume of its own in the identity's place", Code: "Invalid", Text: "mounts a volume of its own at",
		Try: func(ctx context.Context, t *Target) error {
			return t.admit(ctx, func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "own", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
				p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: t.injectedMounts()[0].MountPath}}
			})
		}},
	{Name: "injection-helper", For: certificates, Here: (*Target).injects, What: "an ordinary pod with an init container of its own by the name of the credential helper's",
		Code: "Invalid", Text: "of its own", Try: func(ctx context.Context, t *Target) error {
			return t.admit(ctx, func(p *corev1.Pod) {
				own := *p.Spec.Containers[0].DeepCopy()
				own.Name = t.Identity.Pod.Spec.InitContainers[0].Name
				p.Spec.InitContainers = []corev1.Container{own}
			})
		}},
}

// injects tells whether pods of the identity get it from the API server. The demo pod's own manifest has one volume, tmp.
func (t *Target) injects() bool { return t.Identity.Injected }

// injected are the volumes that the demo pod was given.
func (t *Target) injected() []corev1.Volume {
	return slices.DeleteFunc(slices.Clone(t.Identity.Pod.Spec.Volumes), func(v corev1.Volume) bool { return v.Name == "tmp" })
}

// injectedMounts are where its container has them.
func (t *Target) injectedMounts() []corev1.VolumeMount {
	for _, c := range t.Identity.Pod.Spec.Containers {
		if c.Name == container {
			return slices.DeleteFunc(slices.Clone(c.VolumeMounts), func(m corev1.VolumeMount) bool { return m.Name == "tmp" })
		}
	}
	return nil
}

// admit asks the API server for an ordinary pod of the identity, changed by change, and makes none. Without the change it
// must be let in, with the identity.
func (t *Target) admit(ctx context.Context, change func(*corev1.Pod)) error {
	like, no := t.Identity.Pod.Spec, false
	ask := func(change func(*corev1.Pod)) (*corev1.Pod, error) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "refusals-"}, Spec: corev1.PodSpec{
			ServiceAccountName: t.Identity.ServiceAccount, AutomountServiceAccountToken: &no, SecurityContext: like.SecurityContext,
			Containers: []corev1.Container{{Name: container, Image: like.Containers[0].Image, SecurityContext: like.Containers[0].SecurityContext}},
		}}
		change(pod)
		return t.Cluster.Client.CoreV1().Pods(t.Identity.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	plain, err := ask(func(*corev1.Pod) {})
	if err == nil && len(plain.Spec.Volumes) != len(t.injected()) {
		err = errors.New("an ordinary pod is not given what the demo pod was given")
	}
	if err != nil {
		return broken(err)
	}
	_, err = ask(change)
	if reason := apierrors.ReasonForError(err); err != nil && reason != metav1.StatusReasonUnknown {
		return &answer{string(reason), err.Error()}
	}
	return err
}
