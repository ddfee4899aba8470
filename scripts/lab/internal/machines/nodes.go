package machines

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"k3s-aws-auth/scripts/lab/internal/cluster"
)

// What K3s writes on the Nodes of servers (pkg/etcd/etcd.go, metadata_controller.go and member_controller.go).
const (
	controlPlaneLabel  = "node-role.kubernetes.io/control-plane"
	etcdLabel          = "node-role.kubernetes.io/etcd"
	memberAnnotation   = "etcd.k3s.cattle.io/node-name"
	addressAnnotation  = "etcd.k3s.cattle.io/node-address"
	memberFinalizer    = "wrangler.cattle.io/managed-etcd-controller"
	voterCondition     = "EtcdIsVoter"
	membershipInterval = time.Second
)

func admin(server *cluster.Server) (kubernetes.Interface, error) {
	config, err := server.RESTConfig("system:admin", []string{"system:masters"})
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// markServer gives a server's Node its role and its member of etcd: K3s's servers do so, since a kubelet may not say it of
// itself. The finalizer keeps a Node that is deleted until its member is out of etcd.
func (m *Machines) markServer(ctx context.Context, vm *machine, server *cluster.Server) error {
	client, err := admin(server)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels":      map[string]string{controlPlaneLabel: "true", etcdLabel: "true"},
		"annotations": map[string]string{memberAnnotation: server.MemberName(), addressAnnotation: vm.instance.PrivateIP},
		"finalizers":  []string{memberFinalizer},
	}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, vm.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// followMembers does what the server whose member leads etcd does: it takes the members of deleted Nodes out of etcd, and
// says on the Nodes of servers whether theirs is a full member (manageLearners and setEtcdStatusCondition in
// pkg/etcd/etcd.go). It returns when ctx ends.
func (m *Machines) followMembers(ctx context.Context, server *cluster.Server) {
	client, err := admin(server)
	if err != nil {
		m.log.Printf("%v", err)
		return
	}
	for wait(ctx, membershipInterval) {
		seen, err := server.Members()
		if err != nil || !seen.Leader {
			continue
		}
		call, cancel := context.WithTimeout(ctx, 10*time.Second)
		nodes, err := client.CoreV1().Nodes().List(call, metav1.ListOptions{LabelSelector: etcdLabel})
		if err == nil { // else the API server restarts
			for i := range nodes.Items {
				if err := m.followMember(call, client, server, &nodes.Items[i], seen.Members); err != nil && ctx.Err() == nil {
					m.log.Printf("%s: %v", nodes.Items[i].Name, err)
				}
			}
		}
		cancel()
	}
}

func (m *Machines) followMember(ctx context.Context, client kubernetes.Interface, server *cluster.Server, node *corev1.Node, members []cluster.Member) error {
	member := node.Annotations[memberAnnotation]
	if node.DeletionTimestamp != nil {
		if !slices.Contains(node.Finalizers, memberFinalizer) {
			return nil
		}
		if err := server.Forget(ctx, member); err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(node.Finalizers), func(f string) bool { return f == memberFinalizer })
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": left}})
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	now := metav1.Now()
	c := corev1.NodeCondition{Type: voterCondition, Status: corev1.ConditionFalse, Reason: "NotAMember", Message: "Node is not a member of the etcd cluster",
		LastHeartbeatTime: now, LastTransitionTime: now}
	for _, known := range members {
		switch {
		case known.Name != member:
		case known.Error != "":
			c.Reason, c.Message = "Unhealthy", known.Error
		case known.Learner:
			c.Reason, c.Message = "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"
		default:
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, "MemberNotLearner", "Node is a voting member of the etcd cluster"
		}
	}
	for _, old := range node.Status.Conditions {
		if old.Type == c.Type && old.Status == c.Status && old.Reason == c.Reason {
			return nil
		}
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{c}}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().PatchStatus(ctx, node.Name, patch)
	return err
}

// wait returns false where ctx ended before the time was over.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
