// Package target finds and derives what a benchmark measures: the demo pod of a setup, as the program declared it.
package target

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

// Clients.
const (
	ClientCLI = "cli"
	ClientSDK = "sdk"
)

// Target is a cluster with a demo pod.
type Target struct {
	// Name names it in tables and charts.
	Name    string
	Setup   setups.Setup
	Cluster *kube.Cluster
	// Lab is nil where the cluster is not the lab's: then there is no event record.
	Lab *labs.Lab
	// Demo is the pod that is copied, Role the name of the role that it is.
	Demo *corev1.Pod
	Role string
	// Helper is the way of the Roles Anywhere helper into the pod.
	Helper string
	// Kubernetes is the kubelets' version.
	Kubernetes string

	read int // the last event that News returned
}

// News returns what the lab's record has since the last call.
func (t *Target) News(ctx context.Context) ([]labs.Event, error) {
	events, err := t.Lab.Events(ctx, t.read)
	if len(events) > 0 {
		t.read = events[len(events)-1].Sequence
	}
	return events, err
}

// Open connects to a cluster and finds its demo pod; identity is the pod's name, or empty for the first by name.
func Open(ctx context.Context, name string, setup setups.Setup, kubeconfig, identity string, lab *labs.Lab) (*Target, error) {
	cluster, err := kube.Connect(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	pods, err := cluster.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	nodes, err := cluster.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t := &Target{Name: name, Setup: setup, Cluster: cluster, Lab: lab}
	if len(nodes.Items) > 0 {
		t.Kubernetes = nodes.Items[0].Status.NodeInfo.KubeletVersion
	}
	if t.Demo, t.Role, err = demo(pods.Items, identity); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.Helper = Helper(t.Demo)
	return t, nil
}

// demo picks the demo pod.
func demo(pods []corev1.Pod, identity string) (*corev1.Pod, string, error) {
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	var names []string
	for i := range pods {
		p := &pods[i]
		role, ok := Role(p)
		if !ok || p.Labels[RunLabel] != "" {
			continue
		}
		names = append(names, p.Name)
		if identity == "" || identity == p.Name {
			return p, role, nil
		}
	}
	if len(names) > 0 {
		return nil, "", fmt.Errorf("no demo pod is called %s: there are %s", identity, strings.Join(names, ", "))
	}
	return nil, "", fmt.Errorf("the cluster has no demo pod: the program makes one for each identity with `demo: true`")
}

// Case is one way of measuring a target.
type Case struct {
	Name string
	*Target
	// Client is ClientCLI or ClientSDK.
	Client string
	// Image replaces the demo's image, for the SDK client.
	Image string
	// ColdKeys makes STS forget the issuer's keys before each run (in the lab only).
	ColdKeys bool
}

// Cases combines targets with clients and states of STS's key cache, all in the given order. Names get what tells them
// apart. An error says that a target cannot have cold keys.
func Cases(targets []*Target, clients []string, sdkImage string, coldKeys []bool) ([]*Case, error) {
	var cases []*Case
	for _, t := range targets {
		for _, client := range clients {
			for _, cold := range coldKeys {
				c := &Case{Name: t.Name, Target: t, Client: client, ColdKeys: cold}
				if client == ClientSDK {
					c.Image = sdkImage
				}
				if len(clients) > 1 {
					c.Name += "/" + client
				}
				if cold && !t.Setup.PresentsToken() {
					continue // it has no keys that STS would fetch
				}
				if cold && t.Lab == nil {
					return nil, fmt.Errorf("%s: only the lab can make STS forget an issuer's keys", t.Name)
				}
				if len(coldKeys) > 1 && cold {
					c.Name += "/cold-keys"
				}
				cases = append(cases, c)
			}
		}
	}
	return cases, nil
}
