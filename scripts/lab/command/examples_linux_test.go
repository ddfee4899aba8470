package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

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
	w.up("cluster.agents=1", "injection=admission-policy", w.withDoctor())
	w.downAtEnd()
	c := w.kube()
	w.doctorJob(c)
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

// withDoctor is the lab's identities, and one with the permissions that docs/doctor.md says the doctor needs.
func (w *whole) withDoctor() string {
	w.t.Helper()
	page, err := os.ReadFile("../../../docs/doctor.md")
	require.NoError(w.t, err)
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	require.NotNil(w.t, block)
	var policy struct {
		Statement []struct{ Action []string }
	}
	require.NoError(w.t, json.Unmarshal(block[1], &policy))
	require.Len(w.t, policy.Statement, 1)
	actions, err := json.Marshal(policy.Statement[0].Action)
	require.NoError(w.t, err)
	const own = `{actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/%[1]s/*"]}`
	return fmt.Sprintf(`identities=[{name: uploader, namespace: default, serviceAccount: uploader, statements: [`+own+`]},`+
		`{name: doctor, namespace: doctor, serviceAccount: doctor, createNamespace: true, statements: [{actions: %[3]s, resources: ["*"]}, `+
		strings.ReplaceAll(own, "%[1]s", "%[2]s")+`]}]`, "uploader", "doctor", actions)
}

// doctorJob runs the example Job as it is but for its image, and holds that the least that it has is enough: nothing is found,
// and only what its arguments leave out is not looked at.
func (w *whole) doctorJob(c *kube.Cluster) {
	w.t.Helper()
	dir := state.Client(w.dir)
	require.NoError(w.t, os.MkdirAll(dir, 0o755))
	out, err := exec.CommandContext(w.ctx, "go", "build", "-o", filepath.Join(dir, "doctor"), "k3s-aws-auth/scripts/doctor").CombinedOutput()
	require.NoError(w.t, err, string(out))
	text, err := os.ReadFile("../../../docs/doctor-job.example.yml")
	require.NoError(w.t, err)
	var role rbacv1.ClusterRole
	var binding rbacv1.ClusterRoleBinding
	var job batchv1.Job
	for i, part := range strings.Split(string(text), "\n---\n") {
		require.NoError(w.t, yaml.UnmarshalStrict([]byte(part), []any{&role, &binding, &job}[i]))
	}
	container := &job.Spec.Template.Spec.Containers[0]
	container.Image, container.Command = state.ClientImage, []string{state.ClientMount + "/doctor"} // as ko's image starts it
	_, err = c.Client.RbacV1().ClusterRoles().Create(w.ctx, &role, metav1.CreateOptions{})
	require.NoError(w.t, err)
	_, err = c.Client.RbacV1().ClusterRoleBindings().Create(w.ctx, &binding, metav1.CreateOptions{})
	require.NoError(w.t, err)
	_, err = c.Client.BatchV1().Jobs(job.Namespace).Create(w.ctx, &job, metav1.CreateOptions{})
	require.NoError(w.t, err)
	var pod corev1.Pod
	require.Eventually(w.t, func() bool {
		pods, err := c.Client.CoreV1().Pods(job.Namespace).List(w.ctx, metav1.ListOptions{LabelSelector: "job-name=" + job.Name})
		if err == nil && len(pods.Items) == 1 {
			pod = pods.Items[0]
		}
		return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	}, 2*time.Minute, 200*time.Millisecond)
	said, err := c.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(w.ctx)
	require.NoError(w.t, err)
	require.Equal(w.t, corev1.PodSucceeded, pod.Status.Phase, string(said))
	require.Contains(w.t, string(said), "2 identities with 3 pods: 0 findings")
	require.Equal(w.t, 2, bytes.Count(said, []byte("\n  ")), "only what its arguments leave out is not looked at: %s", said)
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
