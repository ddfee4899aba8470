package kubelet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

const (
	leaseNamespace = "kube-node-lease"
	leaseSeconds   = int32(40)
	leaseInterval  = 10 * time.Second
	registerTries  = 60 * time.Second
)

// register makes or updates the Node and its Lease, trying again while the API server is not there yet.
func (k *Kubelet) register(ctx context.Context) error {
	deadline := time.Now().Add(registerTries)
	for {
		err := errors.Join(k.applyNode(ctx), k.renewLease(ctx))
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) || apierrors.IsInvalid(err) {
			return err
		}
		k.logf("register: %v", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (k *Kubelet) node() *corev1.Node {
	labels := map[string]string{
		"beta.kubernetes.io/arch": runtime.GOARCH, "beta.kubernetes.io/os": "linux",
		corev1.LabelHostname: k.o.NodeName, corev1.LabelArchStable: runtime.GOARCH, corev1.LabelOSStable: "linux",
	}
	maps.Copy(labels, k.o.Labels)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: k.o.NodeName, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: k.o.ProviderID, Taints: k.o.Taints},
	}
}

func (k *Kubelet) nodeStatus(old corev1.NodeStatus) corev1.NodeStatus {
	now := metav1.NewTime(k.o.Now().Add(k.o.Skew()))
	status := *old.DeepCopy()
	status.Capacity, status.Allocatable = k.o.Capacity, k.o.Capacity
	status.Addresses = k.o.Addresses
	status.DaemonEndpoints = corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: k.server.port()}}
	status.NodeInfo = corev1.NodeSystemInfo{
		KubeletVersion: k.o.Version, OperatingSystem: "linux", Architecture: runtime.GOARCH, OSImage: k.o.OSImage,
		ContainerRuntimeVersion: "lab://1", KernelVersion: runtime.GOOS, MachineID: k.o.NodeName, SystemUUID: k.o.NodeName, BootID: k.o.NodeName,
	}
	// Conditions of others, as K3s's EtcdIsVoter, are none of a kubelet's business.
	own := []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeReady}
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.NodeCondition) bool { return slices.Contains(own, c.Type) })
	for _, c := range []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	} {
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		for _, was := range old.Conditions {
			if was.Type == c.Type && was.Status == c.Status {
				c.LastTransitionTime = was.LastTransitionTime
			}
		}
		status.Conditions = append(status.Conditions, c)
	}
	return status
}

// applyNode creates the Node or brings it up to date, and reports it ready.
func (k *Kubelet) applyNode(ctx context.Context) error {
	nodes := k.o.Client.CoreV1().Nodes()
	want := k.node()
	_, err := nodes.Create(ctx, want.DeepCopy(), metav1.CreateOptions{})
	switch {
	case err == nil:
		k.recorder.Eventf(&corev1.ObjectReference{Kind: "Node", Name: k.o.NodeName}, corev1.EventTypeNormal, "Starting", "Starting kubelet.")
	case !apierrors.IsAlreadyExists(err):
		return err
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		node, err := nodes.Get(ctx, k.o.NodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if node.Labels == nil {
			node.Labels = map[string]string{}
		}
		maps.Copy(node.Labels, want.Labels)
		if node.Spec.ProviderID == "" {
			node.Spec.ProviderID = want.Spec.ProviderID
		}
		// The API server taints a new node as not ready, and the node lifecycle controller takes the taint away again
		// when the node reports ready. The lab has no such controller, so its kubelet does both.
		var taints []corev1.Taint
		for _, t := range node.Spec.Taints {
			if t.Key != corev1.TaintNodeNotReady {
				taints = append(taints, t)
			}
		}
		node.Spec.Taints = taints
		updated, err := nodes.Update(ctx, node, metav1.UpdateOptions{})
		if apierrors.IsForbidden(err) {
			// NodeRestriction keeps nodes off their own taints; then a controller has to do it.
			k.logf("taints and labels: %v", err)
			updated, err = node, nil
		}
		if err != nil {
			return err
		}
		updated.Status = k.nodeStatus(updated.Status)
		_, err = nodes.UpdateStatus(ctx, updated, metav1.UpdateOptions{})
		return err
	})
}

func (k *Kubelet) renewLease(ctx context.Context) error {
	leases := k.o.Client.CoordinationV1().Leases(leaseNamespace)
	now := metav1.NewMicroTime(k.o.Now())
	seconds := leaseSeconds
	lease, err := leases.Get(ctx, k.o.NodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: k.o.NodeName, Namespace: leaseNamespace},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &k.o.NodeName, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}
		if node, err := k.o.Client.CoreV1().Nodes().Get(ctx, k.o.NodeName, metav1.GetOptions{}); err == nil {
			lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
		}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return fmt.Errorf("node lease: %w", err)
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &k.o.NodeName, &seconds, &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// ready tells whether a node counts as ready.
func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// heartbeat renews the lease, and registers the node again where somebody deleted it or it is not ready any more.
func (k *Kubelet) heartbeat(ctx context.Context) {
	tick := time.NewTicker(leaseInterval)
	defer tick.Stop()
	var skew time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := k.renewLease(ctx); err != nil && ctx.Err() == nil {
			k.logf("heartbeat: %v", err)
		}
		// A node that missed heartbeats while the API server was away is no longer ready until its kubelet says so, and one
		// whose clock was set has a status of another date.
		node, err := k.o.Client.CoreV1().Nodes().Get(ctx, k.o.NodeName, metav1.GetOptions{})
		set := skew != k.o.Skew()
		if apierrors.IsNotFound(err) || err == nil && (set || !ready(node)) {
			skew = k.o.Skew()
			if err := k.applyNode(ctx); err != nil {
				k.logf("register again: %v", err)
			}
		}
	}
}
