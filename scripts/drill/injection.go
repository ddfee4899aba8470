package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionv1beta1 "k8s.io/api/admissionregistration/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// partOf selects what the stacks make in a cluster.
const partOf = "app.kubernetes.io/part-of=k3s-aws-auth"

// injectionBinding finds the binding by which the API server gives pods their identity; nil where there is none.
func (t *Target) injectionBinding(ctx context.Context) (*admissionv1beta1.MutatingAdmissionPolicyBinding, error) {
	list, err := t.Cluster.Client.AdmissionregistrationV1beta1().MutatingAdmissionPolicyBindings().List(ctx, metav1.ListOptions{LabelSelector: partOf})
	if apierrors.IsNotFound(err) { // the API server does not serve policies
		return nil, nil
	}
	if err != nil || len(list.Items) == 0 {
		return nil, err
	}
	if len(list.Items) > 1 {
		return nil, fmt.Errorf("the cluster has %d bindings of admission policies for identities: which is this stack's cannot be told", len(list.Items))
	}
	return &list.Items[0], nil
}

// noInjector tells why there is nothing to take away.
func noInjector(ctx context.Context, t *Target) (string, error) {
	binding, err := t.injectionBinding(ctx)
	if err != nil || binding != nil {
		return "", err
	}
	hooks, err := t.Cluster.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, h := range hooks.Items {
		if strings.Contains(h.Name, "identity") {
			return "the cluster has webhook " + h.Name + ", which this drill does not know how to take away", nil
		}
	}
	return noInjection, nil
}

// unbindInjection deletes the policy's binding, and returns once API servers have noticed.
func unbindInjection(ctx context.Context, t *Target, r *Recovery) error {
	binding, err := t.injectionBinding(ctx)
	if err != nil {
		return err
	}
	if binding == nil {
		return errors.New("the admission policy's binding has gone since the drill began")
	}
	bindings := t.Cluster.Client.AdmissionregistrationV1beta1().MutatingAdmissionPolicyBindings()
	again, manager, err := applied(binding)
	if err != nil {
		return err
	}
	r.Add("make the binding "+binding.Name+" of the admission policy again", func(ctx context.Context) error {
		if _, err := bindings.Patch(ctx, binding.Name, types.ApplyPatchType, again, metav1.PatchOptions{FieldManager: manager, Force: new(true)}); err != nil {
			return err
		}
		return t.awaitInjection(ctx, true)
	})
	if err := bindings.Delete(ctx, binding.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return t.awaitInjection(ctx, false)
}

// applied is a binding as whoever made it would apply it, and who that is, so that its next update finds what it left.
func applied(binding *admissionv1beta1.MutatingAdmissionPolicyBinding) (body []byte, manager string, err error) {
	manager = "k3s-aws-auth-drill"
	if len(binding.ManagedFields) > 0 {
		manager = binding.ManagedFields[0].Manager
	}
	body, err = json.Marshal(map[string]any{
		"apiVersion": admissionv1beta1.SchemeGroupVersion.String(), "kind": "MutatingAdmissionPolicyBinding",
		"metadata": map[string]any{"name": binding.Name, "labels": binding.Labels, "annotations": binding.Annotations},
		"spec":     binding.Spec,
	})
	return body, manager, err
}

// awaitInjection waits until pods of the identity's ServiceAccount are injected, or are not. API servers take a second
// for that, each for itself, so it asks until ten answers in a row agree. The pods are admitted and not made.
func (t *Target) awaitInjection(ctx context.Context, want bool) error {
	deadline := time.Now().Add(t.Pace.Start)
	for streak := 0; streak < 10; {
		pod := drillPod(t.Model, t.Pace.Pause, ordinary, New)
		admitted, err := t.Cluster.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && hasIdentity(admitted) == want {
			streak++
		} else {
			streak = 0
		}
		if streak < 10 && time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("pods of %s: injection is not %t after %s", pod.Spec.ServiceAccountName, want, t.Pace.Start), err)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// hasIdentity tells whether a pod's container is told where its credentials are: a token's role, or the credential helper.
func hasIdentity(pod *corev1.Pod) bool {
	env := environment(pod)
	return env["AWS_ROLE_ARN"]+env["AWS_CONFIG_FILE"]+env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] != ""
}
