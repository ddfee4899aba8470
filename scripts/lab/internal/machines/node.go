package machines

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"k3s-aws-auth/scripts/lab/internal/cluster"
	"k3s-aws-auth/scripts/lab/internal/kubelet"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// kubeletIP is where the API server reaches the lab's kubelets: private addresses lead nowhere outside the sandbox.
const kubeletIP = "127.0.0.1"

// runKubelet runs a machine's kubelet until ctx ends.
func (m *Machines) runKubelet(ctx context.Context, vm *machine, config *cluster.Config, member *cluster.Admission, started func()) error {
	client, err := kubernetes.NewForConfig(member.REST)
	if err != nil {
		return err
	}
	taints, err := parseTaints(config.NodeTaint)
	if err != nil {
		return err
	}
	labels, err := parseLabels(config.NodeLabel)
	if err != nil {
		return err
	}
	version, err := m.version(vm)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(m.o.Dir, vm.instance.ID, "kubelet.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	runner := m.runner(vm)
	k, err := kubelet.New(kubelet.Options{
		NodeName:   vm.name,
		ProviderID: config.ProviderID(vm.name),
		Version:    version,
		Labels:     labels,
		Taints:     taints,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: vm.instance.PrivateIP},
			{Type: corev1.NodeExternalIP, Address: kubeletIP},
			{Type: corev1.NodeHostName, Address: vm.name},
		},
		Client:      client,
		Runner:      runner,
		Dir:         filepath.Join(m.o.Dir, vm.instance.ID, "kubelet"),
		NodeRoot:    vm.root,
		Images:      m.o.Images,
		Pulls:       m.pulls(vm, config),
		ServingCert: &member.Serving,
		ClientCAs:   member.ClientCA,
		OnPodNetwork: func(pod *corev1.Pod, net sandbox.PodNet) {
			name := "pod/" + pod.Namespace + "/" + pod.Name
			go m.serve(name, func() error { return m.o.Gate.ServeTLS(net.HTTPS, name) })
			go serveDNS(net.DNS, m.resolve)
		},
		Skew: func() time.Duration { return m.o.Gate.SkewOf("node/" + vm.name) },
		Log:  log,
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	vm.kubelet = k
	m.mu.Unlock()
	go func() {
		select {
		case <-k.Ready():
			started()
		case <-ctx.Done():
		}
	}()
	if err := k.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	return nil
}

// version is the K3s release that a machine runs: what its binary says of itself or, where boot scripts are not run, the
// one that the machine was told.
func (m *Machines) version(vm *machine) (string, error) {
	if m.readsInputs != "" {
		env, err := readEnv(filepath.Join(vm.root, bootEnvPath))
		return env["K3S_VERSION"], err
	}
	return releaseOf(filepath.Join(vm.root, "usr/local/bin/k3s"))
}

// runner runs a machine's pods: in its namespaces, or on the host where there are none.
func (m *Machines) runner(vm *machine) kubelet.Runner {
	if m.o.Sandbox != nil {
		return kubelet.NewSandboxRunner(m.o.Sandbox, vm.instance.ID)
	}
	env := append([]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + vm.metadataURL}, m.o.HostEnv...)
	return kubelet.NewHostRunner(filepath.Join(m.o.Dir, vm.instance.ID, "images"), env)
}

// parseTaints reads K3s's node-taint entries, key=value:effect or key:effect.
func parseTaints(list []string) ([]corev1.Taint, error) {
	var taints []corev1.Taint
	for _, t := range list {
		name, effect, ok := strings.Cut(t, ":")
		if !ok {
			return nil, fmt.Errorf("node-taint %q has no effect", t)
		}
		key, value, _ := strings.Cut(name, "=")
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return taints, nil
}

func parseLabels(list []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, l := range list {
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			return nil, fmt.Errorf("node-label %q has no value", l)
		}
		labels[key] = value
	}
	return labels, nil
}
