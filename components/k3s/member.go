package k3s

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/components/kubeclient"
)

// How old the last sign of life of a node may be. A kubelet renews its lease
// every ten seconds, and EC2 takes longer than this to stop and start a machine:
// a machine that has just been restarted cannot pass for one that never was.
const livelyLease = 15 * time.Second

// Reasons to give up the wait for a server.
var (
	errServerNotWell = errors.New("a server is not a healthy member")
	errNoMajority    = errors.New("etcd has no majority of its members")
)

// How long what is not well may take before it counts as broken: a server that
// runs and is not ready, and a whole API of machines that are not new.
const (
	unreadyPatience = 2 * time.Minute
	silencePatience = time.Minute
	firstBoot       = 20 * time.Minute
)

// fleet is the machines of a cluster's servers that EC2 has, terminated ones and
// those on their way there excluded.
type fleet struct {
	ids, privateIPs []string
	// launched is when each of ids was, where that was asked for.
	launched []time.Time
}

// has tells whether the machine of a node is there: by the instance's id, or by
// the address where the node was named by K3s (k3s://<name>).
func (f fleet) has(n node) bool {
	if id := n.instanceID(); id != "" {
		return slices.Contains(f.ids, id)
	}
	return slices.Contains(f.privateIPs, n.address("InternalIP"))
}

// serverWait is what is waited for, and how to find out.
type serverWait struct {
	access kubeclient.Admin
	// number, instanceID and privateIP are the server's, of servers servers.
	number, servers       int
	instanceID, privateIP string
	version               string
	// machines asks EC2; with times where ages is true.
	machines func(ctx context.Context, ages bool) (fleet, error)
	hint     string
	progress func(string)
}

// nodeList is the little of the nodes that tells whether servers are well.
type nodeList struct {
	Items []node `json:"items"`
}

type node struct {
	Metadata struct {
		Name              string            `json:"name"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		ProviderID string `json:"providerID"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		NodeInfo struct {
			KubeletVersion string `json:"kubeletVersion"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

type lease struct {
	Spec struct {
		RenewTime time.Time `json:"renewTime"`
	} `json:"spec"`
}

// wait returns once the server is a node that is ready, a full member of etcd, of
// the wanted K3s version and alive, and all other servers whose machines exist are
// ready too: then one more may be restarted or replaced.
//
// Nodes of servers whose machines are gone do not count, and are deleted, by which
// K3s takes them out of etcd: it admits no new member while it waits for an old
// one. A server that stands in the way of a change for good ends the wait, with
// what helps; else it ends with the deadline.
func (w serverWait) wait(ctx context.Context, deadline time.Duration) error {
	var silent, unready time.Time // since when
	return poll(ctx, w.access, deadline, errServerNotWell, w.hint, w.progress, func(ctx context.Context, client *kubeclient.Client) (string, error) {
		if answer, err := askReady(ctx, client); err != nil {
			if silent.IsZero() {
				silent = time.Now()
			}
			if time.Since(silent) > silencePatience {
				silent = time.Now()
				if lost := w.noMajority(ctx); lost != nil {
					return "", lost
				}
			}
			return answer, err
		}
		silent = time.Time{}
		var nodes nodeList
		if _, err := get(ctx, client, "/api/v1/nodes", &nodes); err != nil {
			return "", err
		}
		machines, err := w.machines(ctx, false)
		if err != nil {
			return "", err
		}
		if gone := nodes.gone(machines); len(gone) > 0 {
			for _, n := range gone {
				if err := forget(ctx, client, n); err != nil {
					return "", err
				}
			}
			text := "the machine of " + nodeNames(gone) + " is gone for good: its Node is deleted, and so its member of etcd"
			return text, errors.New(text)
		}
		self, err := nodes.server(w.privateIP, w.instanceID, w.version)
		if err == nil {
			err = nodes.others(self)
			if err == nil {
				unready = time.Time{}
			} else if unready.IsZero() {
				unready = time.Now()
			} else if time.Since(unready) > unreadyPatience {
				return "", final(fmt.Errorf("%w: %w", errServerNotWell, err))
			}
		}
		if err == nil {
			err = w.majorityStays(nodes)
		}
		if err != nil {
			return err.Error(), err
		}
		var last lease
		now, err := get(ctx, client, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+self, &last)
		if err != nil {
			return "", err
		}
		if age := now.Sub(last.Spec.RenewTime); age > livelyLease {
			err := fmt.Errorf("node %s has not been heard from for %s", self, age.Round(time.Second))
			return err.Error(), err
		}
		return "", nil
	})
}

// noMajority is the end of the wait where the API is silent and fewer servers than
// a majority are older than a first boot takes.
func (w serverWait) noMajority(ctx context.Context) error {
	machines, err := w.machines(ctx, true)
	if err != nil {
		return nil // whatever else is wrong, the wait goes on
	}
	old := 0
	for _, at := range machines.launched {
		if !at.IsZero() && time.Since(at) > firstBoot {
			old++
		}
	}
	if old == 0 || old > w.servers/2 {
		return nil
	}
	return final(fmt.Errorf("%w: %d of %d servers are left, and it admits no other. If the cluster has run before, make one of them its only member: there `sudo systemctl stop k3s`, "+
		"delete the line server: of /etc/rancher/k3s/config.yaml, `sudo k3s server --cluster-reset`, `sudo systemctl start k3s`, then `pulumi up`; or restore a snapshot (docs/cluster.md). "+
		"If it has never run: %s", errNoMajority, old, w.servers, w.hint))
}

// majorityStays refuses to let the next server restart for another K3s version
// where etcd would lose its majority by that, since members are missing.
func (w serverWait) majorityStays(nodes nodeList) error {
	members, well := 0, 0
	var next *node
	for i, n := range nodes.Items {
		if !n.isServer() {
			continue
		}
		members++
		if n.ready() {
			well++
		}
		if n.Metadata.Labels[serverLabel] == strconv.Itoa(w.number+1) {
			next = &nodes.Items[i]
		}
	}
	version := ""
	if next != nil {
		version = next.Status.NodeInfo.KubeletVersion
	}
	if next == nil || !next.ready() || version == w.version || members == w.servers || well-1 > members/2 {
		return nil
	}
	return final(fmt.Errorf("%w: %d of %d servers are missing, and to restart %s for K3s %s would take etcd's majority. First make the missing ones, with the version that the others have: "+
		"`pulumi config set --path cluster.version %s`, `pulumi up`; then upgrade", errServerNotWell, w.servers-members, w.servers, next.Metadata.Name, w.version, version))
}

// forget deletes a Node.
func forget(ctx context.Context, client *kubeclient.Client, n node) error {
	answer, err := do(ctx, client, kubeclient.Request{Method: http.MethodDelete, Path: "/api/v1/nodes/" + n.Metadata.Name})
	if err != nil {
		return err
	}
	if answer.Status >= 300 && answer.Status != http.StatusNotFound {
		return fmt.Errorf("delete node %s: %s", n.Metadata.Name, answer)
	}
	return nil
}

// gone are the Nodes of servers that are not ready and whose machines do not exist.
func (nodes nodeList) gone(machines fleet) []node {
	var gone []node
	for _, n := range nodes.Items {
		if n.isServer() && !n.ready() && !machines.has(n) && n.Metadata.DeletionTimestamp == "" {
			gone = append(gone, n)
		}
	}
	return gone
}

// server returns the name of the node of a machine, if it is well.
func (nodes nodeList) server(privateIP, instanceID, version string) (string, error) {
	for _, n := range nodes.Items {
		if n.address("InternalIP") != privateIP || n.instanceID() != "" && n.instanceID() != instanceID {
			continue
		}
		name := n.Metadata.Name
		switch voter := n.condition("EtcdIsVoter"); {
		case n.Status.NodeInfo.KubeletVersion != version:
			return "", fmt.Errorf("node %s has K3s %s and should have %s", name, n.Status.NodeInfo.KubeletVersion, version)
		case !n.ready():
			return "", fmt.Errorf("node %s is not ready", name)
		case voter != "True":
			return "", fmt.Errorf("node %s is not a voting member of etcd yet", name)
		}
		return name, nil
	}
	return "", fmt.Errorf("no node has the address %s yet", privateIP)
}

// others is an error where a server other than the given one is not well.
func (nodes nodeList) others(self string) error {
	var unwell []node
	for _, n := range nodes.Items {
		if n.isServer() && n.Metadata.Name != self && !n.ready() {
			unwell = append(unwell, n)
		}
	}
	if len(unwell) == 0 {
		return nil
	}
	id := cmp.Or(unwell[0].instanceID(), "<instance id>")
	return fmt.Errorf("%s, a server, is not ready, though its machine exists. Look at it (`aws ssm start-session --target %s`), or give it up: "+
		"`aws ec2 terminate-instances --instance-ids %[2]s`, then `pulumi refresh` and `pulumi up`", nodeNames(unwell), id)
}

func nodeNames(nodes []node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, "node "+n.Metadata.Name)
	}
	return strings.Join(all, ", ")
}

func (n node) isServer() bool {
	_, is := n.Metadata.Labels["node-role.kubernetes.io/control-plane"]
	return is
}

// instanceID is the last part of aws:///<zone>/<id>; empty where the node has
// another name.
func (n node) instanceID() string {
	if !strings.HasPrefix(n.Spec.ProviderID, "aws://") {
		return ""
	}
	return n.Spec.ProviderID[strings.LastIndex(n.Spec.ProviderID, "/")+1:]
}

func (n node) address(kind string) string {
	for _, address := range n.Status.Addresses {
		if address.Type == kind {
			return address.Address
		}
	}
	return ""
}

func (n node) ready() bool { return n.condition("Ready") == "True" }

// condition is a condition's status; empty where the node has none of this type.
func (n node) condition(kind string) string {
	for _, condition := range n.Status.Conditions {
		if condition.Type == kind {
			return condition.Status
		}
	}
	return ""
}

// get reads an object of the API and returns the server's own time, since this
// machine's clock may be another.
func get(ctx context.Context, client *kubeclient.Client, path string, into any) (time.Time, error) {
	answer, err := do(ctx, client, kubeclient.Request{Path: path})
	if err != nil {
		return time.Time{}, err
	}
	if answer.Status != http.StatusOK {
		return time.Time{}, errors.New(answer.String())
	}
	now, err := http.ParseTime(answer.Date)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: the answer has no date: %w", path, err)
	}
	return now, json.Unmarshal(answer.Body, into)
}
