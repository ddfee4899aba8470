package machines

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestStopAndStart changes a server's user data while it is stopped: it boots with the new one, and what was in the
// cluster is still there.
func TestStopAndStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := productNode(t, "server")
	id := r.launch("server", goldenServer, n.userData(t), nil)
	const done = "done: K3s v1.35.4+k3s1, server"
	r.said(id, done, 1, 2*time.Minute)
	client := func() kubernetes.Interface {
		// At a later boot systemd starts K3s once it is prepared.
		require.Eventually(t, func() bool { return len(r.machines.Servers()) == 1 }, 2*time.Minute, 50*time.Millisecond)
		servers := r.machines.Servers()
		config, err := servers[0].RESTConfig("admin", []string{"system:masters"})
		require.NoError(t, err)
		client, err := kubernetes.NewForConfig(config)
		require.NoError(t, err)
		return client
	}
	ctx, api := context.Background(), ec2.NewFromConfig(r.config)
	const path = "/apis/admissionregistration.k8s.io/v1beta1"
	before := client()
	_, err := before.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = before.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	require.Error(t, err, "this API is off where nobody asks for it")

	_, err = api.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(r.machines.Servers()) == 0 }, 10*time.Second, 10*time.Millisecond)
	n.config = strings.Replace(n.config, "kube-apiserver-arg:\n", "kube-apiserver-arg:\n  - feature-gates=MutatingAdmissionPolicy=true\n"+
		"  - runtime-config=admissionregistration.k8s.io/v1beta1=true\n", 1)
	require.Eventually(t, func() bool {
		_, err = api.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &id, UserData: &types.SecureBlobAttributeValue{Value: []byte(n.userData(t))}})
		return err == nil
	}, 20*time.Second, 50*time.Millisecond, "%v", err)
	_, err = api.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	r.said(id, done, 2, 2*time.Minute)
	after := client()
	_, err = after.CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = after.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	require.NoError(t, err, "the new user data is in force")
	require.NoError(t, r.machines.Errors())
}
