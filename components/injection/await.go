package injection

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k3s-aws-auth/components/kubeclient"
)

// How long to wait. API servers look for new policies once a second; a webhook
// has to start.
const (
	injectionDeadline = 3 * time.Minute
	apiDeadline       = time.Minute
)

// probes is how many pods in a row, pause apart and each over a connection of
// its own, must be injected. Behind a load balancer the connections reach all API
// servers, and together they take longer than an API server needs to notice what
// another one has.
const (
	probes = 12
	pause  = 100 * time.Millisecond
	// longPause is that between two questions that were answered badly.
	longPause = 500 * time.Millisecond
)

// Conditions that callers can tell.
var (
	// ErrNotInjected is that pods go without their identity after all.
	ErrNotInjected = errors.New("pods do not get their identity")
	// ErrNoPolicyAPI is that the API server knows no admission policies.
	ErrNoPolicyAPI = errors.New("the cluster's API server does not serve MutatingAdmissionPolicy")
)

// awaitInjection returns once pods of a ServiceAccount get an identity, which it
// sees by pods that it lets the API server admit without making them.
func awaitInjection(ctx context.Context, access *kubeclient.Client, namespace, account, identity string, deadline time.Duration, progress func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	body, err := json.Marshal(probePod(account))
	if err != nil {
		return err
	}
	last := ""
	for streak := 0; streak < probes; {
		wait := pause
		answer := ask(ctx, access, namespace, body, identity)
		switch {
		case answer == "":
			streak++
		case ctx.Err() == nil:
			streak, wait = 0, longPause
			if answer != last {
				last = answer
				progress(answer)
			}
		}
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return fmt.Errorf("%w: ServiceAccount %s/%s, after %s. Last answer: %s", ErrNotInjected, namespace, account, deadline, last)
		case <-time.After(wait):
		}
	}
	return nil
}

// ask asks once. It returns what is wrong, or nothing.
func ask(ctx context.Context, access *kubeclient.Client, namespace string, pod []byte, identity string) string {
	path := "/api/v1/namespaces/" + url.PathEscape(namespace) + "/pods?dryRun=All"
	said, err := access.Do(ctx, kubeclient.Request{Method: http.MethodPost, Path: path, Body: bytes.NewReader(pod)})
	if err != nil {
		return err.Error()
	}
	var answer struct {
		Message string `json:"message"`
		Spec    struct {
			Containers []struct {
				Env []struct {
					Name  string `json:"name"`
					Value string `json:"value"`
				} `json:"env"`
			} `json:"containers"`
			Volumes []struct {
				Secret struct {
					Name string `json:"secretName"`
				} `json:"secret"`
			} `json:"volumes"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(said.Body, &answer); err != nil {
		return said.String()
	}
	if said.Status != http.StatusCreated {
		return fmt.Sprintf("%d %s", said.Status, answer.Message)
	}
	for _, container := range answer.Spec.Containers {
		for _, env := range container.Env {
			if env.Name == "AWS_ROLE_ARN" && env.Value == identity {
				return ""
			}
		}
	}
	for _, volume := range answer.Spec.Volumes {
		if volume.Secret.Name == identity {
			return ""
		}
	}
	return "a pod was let through without its identity, " + identity
}

// probePod is a pod that every Pod Security Standard and most quotas allow.
func probePod(account string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"generateName": "injection-probe-"},
		"spec": map[string]any{
			"serviceAccountName":           account,
			"automountServiceAccountToken": false,
			"securityContext": map[string]any{
				"runAsNonRoot": true, "runAsUser": 65532,
				"seccompProfile": map[string]any{"type": "RuntimeDefault"},
			},
			"containers": []any{map[string]any{
				"name": "probe", "image": "registry.k8s.io/pause:3.10",
				"resources": map[string]any{
					"requests": map[string]any{"cpu": "1m", "memory": "1Mi"},
					"limits":   map[string]any{"cpu": "1m", "memory": "1Mi"},
				},
				"securityContext": map[string]any{
					"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
					"capabilities": map[string]any{"drop": []any{"ALL"}},
				},
			}},
		},
	}
}

// awaitPolicyAPI returns once the API server serves admission policies. Servers
// that got the flags a moment ago may just be restarting.
func awaitPolicyAPI(ctx context.Context, access *kubeclient.Client, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for {
		answer, err := access.Do(ctx, kubeclient.Request{Path: "/apis/admissionregistration.k8s.io/v1beta1"})
		var list struct {
			Resources []struct {
				Name string `json:"name"`
			} `json:"resources"`
		}
		if err == nil && answer.Status == http.StatusOK {
			err = json.Unmarshal(answer.Body, &list)
		}
		for _, resource := range list.Resources {
			if resource.Name == "mutatingadmissionpolicies" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			why := fmt.Sprintf("%d from %s", answer.Status, access.Endpoint)
			if err != nil {
				why = err.Error()
			}
			return fmt.Errorf("%w (%s): it needs Kubernetes 1.34 or newer and the flags --feature-gates=%s and --runtime-config=%s, on every server",
				ErrNoPolicyAPI, why, strings.Join(PolicyFeatureGates, ","), strings.Join(PolicyRuntimeConfig, ","))
		case <-time.After(longPause):
		}
	}
}
