package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// example is a program of examples/ with a stack of its own in a lab.
type example struct {
	w    *whole
	name string
}

// deploy makes the example's stack, which is destroyed at the test's end, and returns its outputs.
func (w *whole) deploy(name string, config map[string]string) map[string]string {
	w.t.Helper()
	product, _, err := directories()
	require.NoError(w.t, err)
	e := example{w, filepath.Join(product, "examples", name)}
	e.pulumi("stack", "init", "test")
	w.t.Cleanup(func() {
		e.pulumi("destroy", "--stack", "test", "--yes", "--skip-preview", "--remove")
	})
	for key, value := range config {
		e.pulumi("config", "set", "--stack", "test", "--secret", key, "--", value)
	}
	e.pulumi("up", "--stack", "test", "--yes", "--skip-preview")
	e.pulumi("preview", "--stack", "test", "--expect-no-changes")
	var outputs map[string]string
	require.NoError(w.t, json.Unmarshal(e.pulumi("stack", "output", "--stack", "test", "--json"), &outputs))
	return outputs
}

// pulumi runs a command in the example's directory, as examples/README.md has it.
func (e example) pulumi(args ...string) []byte {
	e.w.t.Helper()
	cmd := exec.Command(e.w.command, append([]string{"pulumi", "--setup", e.w.setup, "--"}, args...)...)
	cmd.Dir, cmd.Stderr = e.name, os.Stderr
	out, err := cmd.Output()
	require.NoError(e.w.t, err, string(out))
	return out
}

// TestExamples deploys every example in a lab: an issuer that IAM takes; and for an ordinary pod of a cluster that is there
// already a role with its namespace and service account, by which it gets in where another pod does not.
func TestExamples(t *testing.T) {
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1", "injection=admission-policy")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	_, issuer := w.issued(c, demo)
	host := strings.TrimPrefix(issuer, "https://")
	provider := "arn:aws:iam::" + w.lab.AccountID + ":oidc-provider/" + host
	kubeconfig, err := os.ReadFile(state.Kubeconfig(w.dir))
	require.NoError(t, err)

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	made := w.deploy("issuer", map[string]string{"bucket": "example-issuer-of-a-test", "publicKey": public, "aws:region": w.lab.Region})
	require.Equal(t, "https://example-issuer-of-a-test.s3."+w.lab.Region+".amazonaws.com", made["issuerUrl"])
	require.Equal(t, "arn:aws:iam::"+w.lab.AccountID+":oidc-provider/"+strings.TrimPrefix(made["issuerUrl"], "https://"), made["providerArn"])

	made = w.deploy("identities", map[string]string{
		"kubeconfig": string(kubeconfig), "providerArn": provider, "issuerHostPath": host, "namespace": "shop", "serviceAccount": "reader",
		"policyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", "aws:region": w.lab.Region,
	})
	reader := w.start(c, demo, "shop", "reader")
	said, err := c.Exec(w.ctx, "shop", reader, "app", "aws", "sts", "get-caller-identity")
	require.NoError(t, err)
	require.Contains(t, said, ":assumed-role/"+path.Base(made["roleArn"])+"/")

	made = w.deploy("role", map[string]string{"providerArn": provider, "issuerHostPath": host, "namespace": "shop", "serviceAccount": "reader", "bucket": "acme-data"})
	as := "AWS_ROLE_ARN=" + made["roleArn"] + " aws sts get-caller-identity"
	said, err = c.Exec(w.ctx, "shop", reader, "app", "/bin/sh", "-c", as)
	require.NoError(t, err)
	require.Contains(t, said, ":assumed-role/"+path.Base(made["roleArn"])+"/")
	_, err = c.Exec(w.ctx, demo.Namespace, demo.Name, "app", "/bin/sh", "-c", as)
	require.ErrorContains(t, err, "AccessDenied")
}

// start runs an ordinary pod of a service account, as the demo pod's image, and waits for it.
func (w *whole) start(c *kube.Cluster, demo *corev1.Pod, namespace, account string) string {
	w.t.Helper()
	pods := c.Client.CoreV1().Pods(namespace)
	pod, err := pods.Create(w.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: account}, Spec: corev1.PodSpec{
		ServiceAccountName: account,
		SecurityContext:    demo.Spec.SecurityContext,
		Containers: []corev1.Container{{Name: "app", Image: demo.Spec.Containers[0].Image, Command: []string{"/bin/sh", "-c", "sleep 600"},
			// The CLI keeps answers in its home, and the root file system is read-only.
			Env: []corev1.EnvVar{{Name: "HOME", Value: "/tmp"}}, VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
			SecurityContext: demo.Spec.Containers[0].SecurityContext}},
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}}, metav1.CreateOptions{})
	require.NoError(w.t, err)
	require.Eventually(w.t, func() bool {
		p, err := pods.Get(w.ctx, pod.Name, metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodRunning
	}, time.Minute, 100*time.Millisecond)
	return pod.Name
}
