package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestWebhookItself runs the upstream webhook of the version that the product deploys, with the product's flags, rights and
// configuration, and lets the real API server call it. It builds the webhook from its module, which takes some minutes once.
// Only addresses differ: the lab has no services.
func TestWebhookItself(t *testing.T) {
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the control plane's binary")
	}
	ctx := t.Context()
	var deployment appsv1.Deployment
	var configuration admissionv1.MutatingWebhookConfiguration
	var namespace corev1.Namespace
	var account corev1.ServiceAccount
	var role rbacv1.ClusterRole
	var roleBinding rbacv1.ClusterRoleBinding
	for file, into := range map[string]any{"deployment": &deployment, "configuration": &configuration, "namespace": &namespace,
		"account": &account, "role": &role, "role-binding": &roleBinding} {
		manifest(t, "webhook/"+file+".json", into)
	}
	container := deployment.Spec.Template.Spec.Containers[0]
	dir := t.TempDir()
	_, version, ok := strings.Cut(container.Image, ":")
	require.True(t, ok)
	const module = "github.com/aws/amazon-eks-pod-identity-webhook"
	program := filepath.Join(dir, "webhook")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, module)
	build.Dir, build.Env = "../../../tools/pod_identity_webhook", append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	pinned, err := os.ReadFile(filepath.Join(build.Dir, "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(pinned), module+" "+version+" ", "the version that the product deploys")

	server, client := policyServer(t, binary)
	_, err = client.CoreV1().Namespaces().Create(ctx, &namespace, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().ServiceAccounts(namespace.Name).Create(ctx, &account, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &roleBinding, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "uploader",
		Annotations: map[string]string{"eks.amazonaws.com/role-arn": roleArn, "eks.amazonaws.com/audience": "sts.amazonaws.com",
			"eks.amazonaws.com/token-expiration": "3600", "eks.amazonaws.com/sts-regional-endpoints": "true"}}}, metav1.CreateOptions{})
	require.NoError(t, err)

	ca, err := loadAuthority(filepath.Join(nodeRoot(t), "var/lib/rancher/k3s/server/tls"), "server-ca")
	require.NoError(t, err)
	crt, key, err := ca.issue("webhook", nil, []string{"127.0.0.1"})
	require.NoError(t, err)
	write(t, filepath.Join(dir, "tls.crt"), string(crt))
	write(t, filepath.Join(dir, "tls.key"), string(key))
	kubeconfigOf(t, filepath.Join(dir, "kubeconfig"), server, func() string {
		token, err := client.CoreV1().ServiceAccounts(namespace.Name).CreateToken(ctx, account.Name, &authv1.TokenRequest{}, metav1.CreateOptions{})
		require.NoError(t, err)
		return token.Status.Token
	}())
	ports, err := freePorts(2)
	require.NoError(t, err)
	args := append(container.Command[1:], "--kubeconfig="+filepath.Join(dir, "kubeconfig"), "--tls-cert="+filepath.Join(dir, "tls.crt"),
		"--tls-key="+filepath.Join(dir, "tls.key"), fmt.Sprintf("--port=%d", ports[0]), fmt.Sprintf("--metrics-port=%d", ports[1]))
	running, end := context.WithCancel(context.Background())
	webhook := exec.CommandContext(running, program, args...)
	log, err := os.Create(filepath.Join(dir, "webhook.log"))
	require.NoError(t, err)
	defer log.Close()
	webhook.Stdout, webhook.Stderr = log, log
	require.NoError(t, webhook.Start())
	stop := func() { end(); _ = webhook.Wait() }
	defer stop()

	call := configuration.Webhooks[0]
	url := fmt.Sprintf("https://127.0.0.1:%d%s", ports[0], *call.ClientConfig.Service.Path)
	call.ClientConfig = admissionv1.WebhookClientConfig{URL: &url, CABundle: ca.pem}
	configuration.Webhooks[0] = call
	_, err = client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, &configuration, metav1.CreateOptions{})
	require.NoError(t, err)

	admit := func(namespace, account string, labels map[string]string) *corev1.Pod {
		t.Helper()
		var pod *corev1.Pod
		require.Eventually(t, func() bool {
			pod, err = client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Labels: labels},
				Spec: deployment.Spec.Template.Spec}, metav1.CreateOptions{DryRun: []string{"All"}})
			return err == nil
		}, 20*time.Second, 100*time.Millisecond, "%v", err)
		return pod
	}
	deployment.Spec.Template.Spec = corev1.PodSpec{ServiceAccountName: "uploader", SecurityContext: deployment.Spec.Template.Spec.SecurityContext,
		Containers: []corev1.Container{{Name: "app", Image: "app", SecurityContext: container.SecurityContext}}}
	require.Eventually(t, func() bool { return tokenVolume(admit("default", "uploader", nil)) != nil }, 30*time.Second, 100*time.Millisecond,
		"%s", tail(log.Name()))
	pod := admit("default", "uploader", nil)
	require.Equal(t, map[string]string{
		"AWS_ROLE_ARN": roleArn, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
		"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_STS_REGIONAL_ENDPOINTS": "regional",
	}, envOf(pod.Spec.Containers[0]), "what the policy injects, but for the session name and the metadata service")
	require.EqualValues(t, 3600, *tokenVolume(pod).ExpirationSeconds)
	require.Equal(t, "sts.amazonaws.com", tokenVolume(pod).Audience)
	require.Nil(t, tokenVolume(admit("default", "uploader", map[string]string{"eks.amazonaws.com/skip-pod-identity-webhook": ""})))

	stop()
	require.Nil(t, tokenVolume(admit("default", "uploader", nil)), "without the webhook, pods are let through as they are")
}

// kubeconfigOf writes a kubeconfig with a token.
func kubeconfigOf(t *testing.T, path string, s *Server, token string) {
	t.Helper()
	access, err := s.RESTConfig("admin", []string{"system:masters"})
	require.NoError(t, err)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: access.Host, CertificateAuthorityData: access.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "c"
	require.NoError(t, clientcmd.WriteToFile(*config, path))
}
