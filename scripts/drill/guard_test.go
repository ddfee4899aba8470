package main

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestGuardFindsMachines finds the machine of every node, however it is named, and refuses where it does not.
func TestGuardFindsMachines(t *testing.T) {
	fleet := map[string]string{"i-1": "10.0.0.1", "i-2": "10.0.0.2", "i-3": "10.0.0.2"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		var items strings.Builder
		for id, ip := range fleet {
			if wanted(r.Form, id, ip) {
				fmt.Fprintf(&items, "<item><instanceId>%s</instanceId><privateIpAddress>%s</privateIpAddress></item>", id, ip)
			}
		}
		fmt.Fprintf(w, `%s<DescribeInstancesResponse><reservationSet><item><instancesSet>%s</instancesSet></item></reservationSet></DescribeInstancesResponse>`, xml.Header, items.String())
	}))
	defer server.Close()
	target := &Target{AWS: aws.Config{Region: "eu-central-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}}
	node := func(name, provider, ip string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: provider},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}}}
	}
	for _, c := range []struct {
		name  string
		nodes []corev1.Node
		found int
		want  string
	}{
		{"by id", []corev1.Node{node("a", "aws:///eu-central-1a/i-1", "10.0.0.1")}, 1, ""},
		{"named by K3s", []corev1.Node{node("a", "k3s://a", "10.0.0.1")}, 1, ""},
		{"two machines of one address", []corev1.Node{node("a", "aws:///eu-central-1a/i-1", "10.0.0.1"), node("b", "k3s://b", "10.0.0.2")}, 3, ""},
		{"an id that is not there", []corev1.Node{node("a", "aws:///eu-central-1a/i-9", "10.0.0.1")}, 0, "no machine of this account and region is that of the nodes a"},
		{"an address that is not there", []corev1.Node{node("a", "aws:///eu-central-1a/i-1", "10.0.0.1"), node("b", "k3s://b", "10.9.9.9")}, 0, "that of the nodes b"},
		{"nothing to go by", []corev1.Node{node("a", "", "")}, 0, "that of the nodes a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := target.machines(t.Context(), c.nodes)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Len(t, found, c.found)
		})
	}
}

// wanted tells whether an instance matches a call's one filter.
func wanted(form url.Values, id, ip string) bool {
	value := map[string]string{"instance-id": id, "private-ip-address": ip}[form.Get("Filter.1.Name")]
	for i := 1; form.Has(fmt.Sprintf("Filter.1.Value.%d", i)); i++ {
		if form.Get(fmt.Sprintf("Filter.1.Value.%d", i)) == value {
			return true
		}
	}
	return false
}
