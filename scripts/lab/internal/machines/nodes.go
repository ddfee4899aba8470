package machines

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"k3s-aws-auth/scripts/lab/internal/cluster"
)

// controlPlaneLabel marks the Nodes of servers.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

func admin(server *cluster.Server) (kubernetes.Interface, error) {
	config, err := server.RESTConfig("system:admin", []string{"system:masters"})
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// markServer gives a server's Node its role: K3s's servers do so, since a kubelet may not say it of itself.
func (m *Machines) markServer(ctx context.Context, vm *machine, server *cluster.Server) error {
	client, err := admin(server)
	if err != nil {
		return err
	}
	patch := []byte(`{"metadata":{"labels":{"` + controlPlaneLabel + `":"true","node-role.kubernetes.io/etcd":"true"}}}`)
	_, err = client.CoreV1().Nodes().Patch(ctx, vm.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// followNodes does what K3s's servers do when a server's Node is deleted: it takes that server out of etcd. It returns
// when ctx ends.
func (m *Machines) followNodes(ctx context.Context, server *cluster.Server) {
	client, err := admin(server)
	for ctx.Err() == nil && err == nil {
		var nodes watch.Interface
		nodes, err = client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{LabelSelector: controlPlaneLabel})
		if err != nil {
			// The API server restarts now and then; the next try comes after it.
			if wait(ctx, time.Second) {
				err = nil
			}
			continue
		}
		for e := range nodes.ResultChan() {
			node, ok := e.Object.(*corev1.Node)
			if !ok || e.Type != watch.Deleted {
				continue
			}
			if err := server.Forget(ctx, node.Name); err != nil && ctx.Err() == nil {
				m.log.Printf("%s: %v", node.Name, err)
			}
		}
	}
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
