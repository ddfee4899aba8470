package machines

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"k3s-aws-auth/scripts/lab/internal/cluster"
)

// callDeadline bounds one use of kubectl.
const callDeadline = 30 * time.Second

// kubectl plays the two uses that a boot script has for it: `k3s kubectl get node NAME`, which fails where there is no
// such Node, and `k3s kubectl delete node --selector S`.
func (m *Machines) kubectl(ctx context.Context, vm *machine, args []string) (string, error) {
	words, selector := []string{}, ""
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--selector" && i+1 < len(args):
			i++
			selector = args[i]
		case strings.HasPrefix(a, "--selector="):
			selector = strings.TrimPrefix(a, "--selector=")
		case a != "--wait=false":
			words = append(words, a)
		}
	}
	get := len(words) == 3 && words[0] == "get" && selector == ""
	remove := len(words) == 2 && words[0] == "delete" && selector != ""
	if (!get && !remove) || words[1] != "node" {
		return "", fmt.Errorf("the lab has no kubectl %s", strings.Join(args, " "))
	}
	server := m.serverOf(vm.instance.ID)
	if server == nil {
		return "", errors.New("this machine has no API server")
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	client, err := admin(server)
	if err != nil {
		return "", err
	}
	if remove {
		return deleteNodes(ctx, client, server, selector)
	}
	n, err := client.CoreV1().Nodes().Get(ctx, words[2], metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("error from server: %w", err)
	}
	return n.Name + "\n", nil
}

// deleteNodes deletes the Nodes that a selector finds. As with K3s, a server whose Node is deleted is taken out of etcd.
func deleteNodes(ctx context.Context, client kubernetes.Interface, server *cluster.Server, selector string) (string, error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return "", err
	}
	var said strings.Builder
	for _, n := range nodes.Items {
		if err := client.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{}); err != nil {
			return "", err
		}
		if err := server.Forget(ctx, n.Name); err != nil {
			return "", err
		}
		fmt.Fprintf(&said, "node %q deleted\n", n.Name)
	}
	if said.Len() == 0 {
		return "No resources found\n", nil
	}
	return said.String(), nil
}

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
	patch := []byte(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true","node-role.kubernetes.io/etcd":"true"}}}`)
	_, err = client.CoreV1().Nodes().Patch(ctx, vm.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
