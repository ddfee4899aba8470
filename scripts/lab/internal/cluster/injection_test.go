package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	admission "k8s.io/api/admissionregistration/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"k3s-aws-auth/components/injection"
)

// golden is where the component's tests keep the manifests that it makes.
const golden = "../../../../components/injection/testdata"

func manifest(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(golden, path))
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(into), path)
}

const roleArn = "arn:aws:iam::111122223333:role/lab-uploader"

func envOf(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

func tokenVolume(pod *corev1.Pod) *corev1.ServiceAccountTokenProjection {
	for _, v := range pod.Spec.Volumes {
		if v.Name == "aws-iam-token" && v.Projected != nil {
			return v.Projected.Sources[0].ServiceAccountToken
		}
	}
	return nil
}

// policyServer is an API server with the flags that the product gives to one, and which lets pods be privileged, as K3s does.
func policyServer(t *testing.T, binary string) (*Server, kubernetes.Interface) {
	t.Helper()
	root := nodeRoot(t)
	config := filepath.Join(root, "etc/rancher/k3s/config.yaml")
	flags, err := os.ReadFile(config)
	require.NoError(t, err)
	write(t, config, fmt.Sprintf("%s- allow-privileged=true\n- feature-gates=%s\n- runtime-config=%s\n", flags,
		strings.Join(injection.PolicyFeatureGates, ","), strings.Join(injection.PolicyRuntimeConfig, ",")))
	s, err := StartServer(t.Context(), ServerOptions{Name: "server", Root: root, Dir: t.TempDir(), Kubernetes: binary, PrivateIP: "10.0.0.10"})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	access, err := s.RESTConfig("admin", []string{"system:masters"})
	require.NoError(t, err)
	access.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	return s, client
}

// TestAdmissionPolicy lets the real API server admit pods with the policy of the product.
func TestAdmissionPolicy(t *testing.T) {
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the control plane's binary")
	}
	_, client := policyServer(t, binary)
	ctx := t.Context()

	var policy admission.MutatingAdmissionPolicy
	var binding admission.MutatingAdmissionPolicyBinding
	manifest(t, "admission-policy/policy.json", &policy)
	manifest(t, "admission-policy/binding.json", &binding)
	policies := client.AdmissionregistrationV1beta1()
	_, err := policies.MutatingAdmissionPolicies().Create(ctx, &policy, metav1.CreateOptions{FieldValidation: "Strict"})
	require.NoError(t, err)
	_, err = policies.MutatingAdmissionPolicyBindings().Create(ctx, &binding, metav1.CreateOptions{FieldValidation: "Strict"})
	require.NoError(t, err)

	account := func(namespace, name string, labels, annotations map[string]string) {
		t.Helper()
		_, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: labels, Annotations: annotations}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	for _, namespace := range []string{"other", "kube-public"} {
		_, _ = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	}
	marked := map[string]string{"k3s-aws-auth/injection": "enabled"}
	account("default", "uploader", marked, map[string]string{
		"eks.amazonaws.com/role-arn": roleArn, "eks.amazonaws.com/audience": "sts.amazonaws.com", "eks.amazonaws.com/token-expiration": "3600",
		"eks.amazonaws.com/sts-regional-endpoints": "true", "k3s-aws-auth/session-name": "default.uploader"})
	account("default", "plain", nil, map[string]string{"eks.amazonaws.com/role-arn": roleArn})
	account("default", "no-role", marked, nil)
	account("default", "own", marked, map[string]string{"eks.amazonaws.com/role-arn": roleArn + "-own", "eks.amazonaws.com/token-expiration": "soon"})
	account("other", "uploader", nil, nil)

	admit := func(namespace, account string, change func(*corev1.Pod)) (*corev1.Pod, error) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"},
			Spec:       corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		}
		if change != nil {
			change(pod)
		}
		return client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{"All"}})
	}
	// The policy is in force within moments, and until then nothing is refused for good.
	var last any
	require.Eventually(t, func() bool {
		pod, err := admit("default", "uploader", nil)
		last = err
		return err == nil && tokenVolume(pod) != nil
	}, 30*time.Second, 100*time.Millisecond, "%v", &last)
	must := func(namespace, account string, change func(*corev1.Pod)) *corev1.Pod {
		t.Helper()
		pod, err := admit(namespace, account, change)
		require.NoError(t, err)
		return pod
	}

	t.Run("an ordinary pod", func(t *testing.T) {
		pod := must("default", "uploader", nil)
		require.Equal(t, map[string]string{
			"AWS_ROLE_ARN": roleArn, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
			"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_STS_REGIONAL_ENDPOINTS": "regional",
			"AWS_ROLE_SESSION_NAME": "default.uploader", "AWS_EC2_METADATA_DISABLED": "true",
		}, envOf(pod.Spec.Containers[0]))
		require.Contains(t, pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{
			Name: "aws-iam-token", ReadOnly: true, MountPath: "/var/run/secrets/eks.amazonaws.com/serviceaccount"})
		token := tokenVolume(pod)
		require.Equal(t, "sts.amazonaws.com", token.Audience)
		require.EqualValues(t, 3600, *token.ExpirationSeconds)
		require.Equal(t, "token", token.Path)
		require.Len(t, pod.Spec.Volumes, 2, "the pod's own token of the Kubernetes API stays")
	})
	t.Run("a pod with much of its own", func(t *testing.T) {
		no := false
		pod := must("default", "uploader", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"eks.amazonaws.com/skip-containers": "left, alone", "eks.amazonaws.com/token-expiration": "60"}
			p.Spec.AutomountServiceAccountToken = &no
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "init", Env: []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)"}}}, {Name: "left", Image: "x"}}
			p.Spec.Containers = []corev1.Container{
				{Name: "app", Image: "app", Ports: []corev1.ContainerPort{{ContainerPort: 53, Protocol: "UDP"}, {ContainerPort: 53, Protocol: "TCP"}},
					Env: []corev1.EnvVar{{Name: "TWICE", Value: "1"}, {Name: "AWS_REGION", Value: "us-west-2"}, {Name: "TWICE", Value: "2"}}},
				{Name: "alone", Image: "x"},
				{Name: "static", Image: "x", Env: []corev1.EnvVar{{Name: "AWS_ROLE_ARN", Value: "arn:aws:iam::111122223333:role/own"},
					{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "legacy"}, {Name: "AWS_EC2_METADATA_DISABLED", Value: "false"}}},
			}
		})
		init, app, alone, static := pod.Spec.InitContainers[0], pod.Spec.Containers[0], pod.Spec.Containers[1], pod.Spec.Containers[2]
		require.Equal(t, roleArn, envOf(init)["AWS_ROLE_ARN"])
		require.Equal(t, []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)"}}, init.Env[:2], "the order of its own")
		require.Equal(t, roleArn, envOf(app)["AWS_ROLE_ARN"])
		require.Equal(t, "us-west-2", envOf(app)["AWS_REGION"])
		require.NotContains(t, envOf(app), "AWS_DEFAULT_REGION", "a container that chose its region keeps it")
		require.Len(t, app.Ports, 2)
		require.Equal(t, "2", envOf(app)["TWICE"])
		for _, c := range []corev1.Container{alone, pod.Spec.InitContainers[1]} {
			require.Empty(t, c.Env)
			require.Empty(t, c.VolumeMounts)
		}
		require.Equal(t, "arn:aws:iam::111122223333:role/own", envOf(static)["AWS_ROLE_ARN"])
		require.Equal(t, "legacy", envOf(static)["AWS_STS_REGIONAL_ENDPOINTS"])
		require.Equal(t, "false", envOf(static)["AWS_EC2_METADATA_DISABLED"])
		require.NotContains(t, envOf(static), "AWS_WEB_IDENTITY_TOKEN_FILE", "half an identity is none")
		require.EqualValues(t, 600, *tokenVolume(pod).ExpirationSeconds, "Kubernetes allows no less")
		require.Len(t, pod.Spec.Volumes, 1)
	})
	t.Run("a pod that has it all", func(t *testing.T) {
		once := must("default", "uploader", nil)
		again := must("default", "uploader", func(p *corev1.Pod) { p.Spec = *once.Spec.DeepCopy() })
		require.Equal(t, once.Spec, again.Spec)
	})
	t.Run("something else in the token's place", func(t *testing.T) {
		elsewhere := []corev1.VolumeMount{{Name: "aws-iam-token", MountPath: "/cache"}}
		named := func(source corev1.VolumeSource) []corev1.Volume {
			return []corev1.Volume{{Name: "aws-iam-token", VolumeSource: source}}
		}
		projected := func(audience, path string) corev1.VolumeSource {
			return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, Path: path}}}}}
		}
		empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		for name, source := range map[string]corev1.VolumeSource{
			"emptyDir": empty,
			"secret":   {Secret: &corev1.SecretVolumeSource{SecretName: "s"}},
			"audience": projected("vault", "token"),
			"path":     projected("sts.amazonaws.com", "other"),
			"no token": {Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}}}},
		} {
			_, err := admit("default", "uploader", func(p *corev1.Pod) {
				p.Spec.Volumes = named(source)
				p.Spec.Containers[0].VolumeMounts = elsewhere
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "sidecar", Image: "x"})
			})
			require.ErrorContains(t, err, "the pod has a volume aws-iam-token of its own without the token", name)
		}
		_, err := admit("default", "uploader", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "mine", VolumeSource: empty}}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "mine", MountPath: "/var/run/secrets/eks.amazonaws.com/serviceaccount/"}}
		})
		require.ErrorContains(t, err, "a container mounts a volume of its own at /var/run/secrets/eks.amazonaws.com/serviceaccount")

		// The token itself, wherever else a container has it.
		pod := must("default", "uploader", func(p *corev1.Pod) {
			p.Spec.Volumes = named(projected("sts.amazonaws.com", "token"))
			p.Spec.Containers[0].VolumeMounts = elsewhere
		})
		require.Contains(t, pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{
			Name: "aws-iam-token", ReadOnly: true, MountPath: "/var/run/secrets/eks.amazonaws.com/serviceaccount"})
		// Who has an identity of its own keeps it, with its volume.
		must("default", "uploader", func(p *corev1.Pod) {
			p.Spec.Volumes = named(projected("vault", "jwt"))
			p.Spec.Containers[0].VolumeMounts = elsewhere
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: "/cache/jwt"}}
		})
	})
	t.Run("variables", func(t *testing.T) { // docs/injection.md says how many
		many := func(n int) error {
			_, err := admit("default", "uploader", func(p *corev1.Pod) {
				for i := range n {
					p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: "x"})
				}
			})
			return err
		}
		require.NoError(t, many(1500))
		require.ErrorContains(t, many(9000), "cost limit")
	})
	t.Run("without annotations but the role", func(t *testing.T) {
		pod := must("default", "own", nil)
		require.Equal(t, roleArn+"-own", envOf(pod.Spec.Containers[0])["AWS_ROLE_ARN"])
		require.Equal(t, "default.own", envOf(pod.Spec.Containers[0])["AWS_ROLE_SESSION_NAME"])
		require.EqualValues(t, 86400, *tokenVolume(pod).ExpirationSeconds)
	})
	t.Run("everybody else is left alone", func(t *testing.T) {
		for _, who := range [][2]string{{"default", "plain"}, {"default", "no-role"}, {"default", "default"}, {"default", ""}, {"other", "uploader"}, {"kube-public", "default"}} {
			if who[0] != "default" || who[1] == "default" || who[1] == "" {
				require.Eventually(t, func() bool { // the controllers make "default" a moment after the namespace
					_, err := admit(who[0], who[1], nil)
					return err == nil
				}, 20*time.Second, 50*time.Millisecond)
			}
			pod := must(who[0], who[1], nil)
			require.Nil(t, tokenVolume(pod), who)
			require.Empty(t, pod.Spec.Containers[0].Env, who)
		}
	})
}

// TestWebhookManifests lets the real API server take the webhook's manifests, strictly, and holds what becomes of them: its
// pods may run under the restricted Pod Security Standard, its ServiceAccount may read ServiceAccounts and nothing else,
// and pods are let through while it does not answer.
func TestWebhookManifests(t *testing.T) {
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the control plane's binary")
	}
	_, client := policyServer(t, binary)
	ctx, strict := t.Context(), metav1.CreateOptions{FieldValidation: "Strict"}

	var namespace corev1.Namespace
	var account corev1.ServiceAccount
	var role rbacv1.ClusterRole
	var roleBinding rbacv1.ClusterRoleBinding
	var secret corev1.Secret
	var deployment appsv1.Deployment
	var service corev1.Service
	var budget policyv1.PodDisruptionBudget
	var configuration admissionv1.MutatingWebhookConfiguration
	for file, into := range map[string]any{"namespace": &namespace, "account": &account, "role": &role, "role-binding": &roleBinding,
		"certificate": &secret, "deployment": &deployment, "service": &service, "budget": &budget, "configuration": &configuration} {
		manifest(t, "webhook/"+file+".json", into)
	}
	own := namespace.Name
	_, err := client.CoreV1().Namespaces().Create(ctx, &namespace, strict)
	require.NoError(t, err)
	_, err = client.CoreV1().ServiceAccounts(own).Create(ctx, &account, strict)
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoles().Create(ctx, &role, strict)
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &roleBinding, strict)
	require.NoError(t, err)
	// The golden files have no certificates; their place is checked all the same.
	ca, err := loadAuthority(filepath.Join(nodeRoot(t), "var/lib/rancher/k3s/server/tls"), "server-ca")
	require.NoError(t, err)
	crt, key, err := ca.issue("webhook", nil, []string{"pod-identity-webhook.pod-identity-webhook.svc"})
	require.NoError(t, err)
	require.Contains(t, string(secret.Data["tls.key"]), "KEY of ")
	secret.Data = map[string][]byte{"tls.crt": crt, "tls.key": key}
	_, err = client.CoreV1().Secrets(own).Create(ctx, &secret, strict)
	require.NoError(t, err)
	made, err := client.AppsV1().Deployments(own).Create(ctx, &deployment, strict)
	require.NoError(t, err)
	_, err = client.CoreV1().Services(own).Create(ctx, &service, strict)
	require.NoError(t, err)
	_, err = client.PolicyV1().PodDisruptionBudgets(own).Create(ctx, &budget, strict)
	require.NoError(t, err)

	require.Equal(t, secret.Name, made.Spec.Template.Spec.Volumes[0].Secret.SecretName)
	require.Equal(t, "/etc/webhook/certs", made.Spec.Template.Spec.Containers[0].VolumeMounts[0].MountPath, "where the webhook looks by default")
	var pods *corev1.PodList
	require.Eventually(t, func() bool {
		pods, err = client.CoreV1().Pods(own).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(budget.Spec.Selector)})
		return err == nil && len(pods.Items) == 2
	}, 30*time.Second, 100*time.Millisecond, "the restricted standard lets its pods be made")
	require.EqualValues(t, 2000000000, *pods.Items[0].Spec.Priority)
	for name, selector := range map[string]map[string]string{"service": service.Spec.Selector, "deployment": made.Spec.Selector.MatchLabels} {
		for k, v := range selector {
			require.Equal(t, v, pods.Items[0].Labels[k], name)
		}
	}

	configuration.Webhooks[0].ClientConfig.CABundle = ca.pem
	hook, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, &configuration, strict)
	require.NoError(t, err)
	require.Equal(t, service.Name, hook.Webhooks[0].ClientConfig.Service.Name)
	require.Equal(t, service.Namespace, hook.Webhooks[0].ClientConfig.Service.Namespace)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	require.Eventually(t, func() bool {
		_, err = client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{DryRun: []string{"All"}})
		return err == nil
	}, 30*time.Second, 100*time.Millisecond, "a webhook that does not answer keeps no pod from running: %v", err)

	user := "system:serviceaccount:" + own + ":" + account.Name
	for verb, allowed := range map[string]bool{"get": true, "list": true, "watch": true, "create": false, "update": false, "delete": false} {
		require.Equal(t, allowed, may(t, client, user, verb, "serviceaccounts"), verb)
	}
	for _, resource := range []string{"secrets", "pods", "configmaps", "nodes"} {
		require.False(t, may(t, client, user, "get", resource), resource)
	}
}

func may(t *testing.T, client kubernetes.Interface, user, verb, resource string) bool {
	t.Helper()
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}
