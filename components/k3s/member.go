package k3s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// How old the last sign of life of a node may be. A kubelet renews its lease
// every ten seconds, and EC2 takes longer than this to stop and start a machine:
// a machine that has just been restarted cannot pass for one that never was.
const livelyLease = 15 * time.Second

// errServerNotWell is what waitForServer fails with when the deadline passes.
var errServerNotWell = errors.New("a server is not a healthy member")

// nodeList is the little of the nodes that tells whether servers are well.
type nodeList struct {
	Items []node `json:"items"`
}

type node struct {
	Metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
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

// waitForServer returns once the server with a private address is a node that
// is ready, of the wanted K3s version and alive, and all other servers are ready
// too: then one more may be restarted or replaced without etcd losing its
// majority. It fails when the deadline passes, with what is amiss.
func waitForServer(ctx context.Context, access apiAccess, privateIP, version string, deadline time.Duration, hint string, progress func(string)) error {
	return access.poll(ctx, deadline, errServerNotWell, hint, progress, func(ctx context.Context, client *http.Client) (string, error) {
		if answer, err := askReady(ctx, client, access.endpoint); err != nil {
			return answer, err
		}
		var nodes nodeList
		if _, err := get(ctx, client, access.endpoint+"/api/v1/nodes", &nodes); err != nil {
			return "", err
		}
		self, err := nodes.server(privateIP, version)
		if err != nil {
			return err.Error(), err
		}
		var last lease
		now, err := get(ctx, client, access.endpoint+"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+self, &last)
		if err != nil {
			return "", err
		}
		if age := now.Sub(last.Spec.RenewTime); age > livelyLease {
			err := fmt.Errorf("node %s has not been heard of for %s", self, age.Round(time.Second))
			return err.Error(), err
		}
		return "", nil
	})
}

// server returns the name of the node with a private address, if it and all
// other servers are well.
func (nodes nodeList) server(privateIP, version string) (string, error) {
	self := ""
	var unwell []string
	for _, n := range nodes.Items {
		isSelf := n.address("InternalIP") == privateIP
		if isSelf {
			self = n.Metadata.Name
		}
		_, controlPlane := n.Metadata.Labels["node-role.kubernetes.io/control-plane"]
		switch {
		case isSelf && n.Status.NodeInfo.KubeletVersion != version:
			unwell = append(unwell, fmt.Sprintf("node %s has K3s %s and should have %s", self, n.Status.NodeInfo.KubeletVersion, version))
		case (isSelf || controlPlane) && !n.ready():
			unwell = append(unwell, fmt.Sprintf("node %s, a server, is not ready: if its machine is gone for good, "+
				"take it out of etcd with `kubectl delete node %[1]s`", n.Metadata.Name))
		}
	}
	if self == "" {
		unwell = append(unwell, fmt.Sprintf("no node has the address %s yet", privateIP))
	}
	if len(unwell) > 0 {
		return "", errors.New(strings.Join(unwell, "; "))
	}
	return self, nil
}

func (n node) address(kind string) string {
	for _, address := range n.Status.Addresses {
		if address.Type == kind {
			return address.Address
		}
	}
	return ""
}

func (n node) ready() bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}

// get reads an object of the API and returns the server's own time, since this
// machine's clock may be another.
func get(ctx context.Context, client *http.Client, url string, into any) (time.Time, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return time.Time{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return time.Time{}, errors.New(strings.Join(strings.Fields(response.Status+" "+string(body)), " "))
	}
	now, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: the answer has no date: %w", url, err)
	}
	return now, json.NewDecoder(response.Body).Decode(into)
}
