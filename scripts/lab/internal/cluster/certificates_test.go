package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admission "k8s.io/api/admissionregistration/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// deliveries are those of the credential helper, with the annotations of a ServiceAccount of each.
var deliveries = map[string]map[string]string{
	"image-volume": {"k3s-aws-auth/certificate": "uploader-rolesanywhere", "k3s-aws-auth/aws-config": "uploader-aws-config"},
	"node":         {"k3s-aws-auth/certificate": "uploader-rolesanywhere", "k3s-aws-auth/aws-config": "uploader-aws-config"},
	"sidecar": {"k3s-aws-auth/certificate": "uploader-rolesanywhere", "k3s-aws-auth/role-arn": roleArn,
		"k3s-aws-auth/profile-arn":      "arn:aws:rolesanywhere:eu-central-1:111122223333:profile/2c3d",
		"k3s-aws-auth/trust-anchor-arn": "arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/0a1b",
		"k3s-aws-auth/session-name":     "default.uploader"},
}

// certificatePolicies makes the product's policy of each delivery, in a namespace that is named after the delivery and
// enforces the restricted Pod Security Standard, except with the helper from the node. Each binding looks at its own
// ServiceAccounts alone, so that they do not meet.
func certificatePolicies(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx, strict := t.Context(), metav1.CreateOptions{FieldValidation: "Strict"}
	for delivery, annotations := range deliveries {
		var policy admission.MutatingAdmissionPolicy
		var binding admission.MutatingAdmissionPolicyBinding
		manifest(t, "../../workload/testdata/roles-anywhere-injected-"+delivery+"/policy.json", &policy)
		manifest(t, "admission-policy/binding.json", &binding)
		policy.Name, binding.Name, binding.Spec.PolicyName = delivery, delivery, delivery
		binding.Spec.ParamRef.Selector.MatchLabels["k3s-aws-auth/injection"] = delivery
		level := map[bool]string{true: "privileged", false: "restricted"}[delivery == "node"]
		_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: delivery,
			Labels: map[string]string{"pod-security.kubernetes.io/enforce": level}}}, strict)
		require.NoError(t, err)
		_, err = client.CoreV1().ServiceAccounts(delivery).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "uploader",
			Labels: map[string]string{"k3s-aws-auth/injection": delivery}, Annotations: annotations}}, strict)
		require.NoError(t, err)
		policies := client.AdmissionregistrationV1beta1()
		_, err = policies.MutatingAdmissionPolicies().Create(ctx, &policy, strict)
		require.NoError(t, err)
		_, err = policies.MutatingAdmissionPolicyBindings().Create(ctx, &binding, strict)
		require.NoError(t, err)
	}
	for delivery := range deliveries {
		var last any
		require.Eventually(t, func() bool {
			pod, err := client.CoreV1().Pods(delivery).Create(ctx, podFrom(t, ordinaryPod), metav1.CreateOptions{DryRun: []string{"All"}})
			last = err
			return err == nil && volume(pod, "rolesanywhere-certificate") != nil
		}, 30*time.Second, 100*time.Millisecond, "%s: %v", delivery, &last)
	}
}

// ordinaryPod knows nothing of AWS. Each container says by itself what the restricted standard asks for, and the pod nothing.
const ordinaryPod = `
metadata: {generateName: app-}
spec:
  serviceAccountName: uploader
  initContainers:
    - {name: migrate, image: registry.test/migrate, securityContext: &restricted {runAsNonRoot: true, runAsUser: 1000, allowPrivilegeEscalation: false,
       readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}}
  containers:
    - {name: app, image: registry.test/app, securityContext: *restricted, volumeMounts: [{name: certificate, mountPath: /certs}]}
    - {name: exporter, image: registry.test/exporter, securityContext: *restricted, env: [{name: AWS_REGION, value: us-west-2}]}
  volumes: [{name: certificate, emptyDir: {}}]
`

func podFrom(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &pod))
	return &pod
}

func volume(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}

// mounted are the places of volumes in a container, but that of the Kubernetes API's token.
func mounted(c corev1.Container) map[string]string {
	mounts := map[string]string{}
	for _, m := range c.VolumeMounts {
		if m.MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" {
			mounts[m.MountPath] = m.Name
		}
	}
	return mounts
}

// TestCertificatePolicy lets the real API server admit pods with the policies of the product that give them certificate
// and helper.
func TestCertificatePolicy(t *testing.T) {
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the control plane's binary")
	}
	_, client := policyServer(t, binary)
	certificatePolicies(t, client)
	admit := func(delivery string, change func(*corev1.Pod)) (*corev1.Pod, error) {
		pod := podFrom(t, ordinaryPod)
		if change != nil {
			change(pod)
		}
		return client.CoreV1().Pods(delivery).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{"All"}})
	}
	must := func(delivery string, change func(*corev1.Pod)) *corev1.Pod {
		t.Helper()
		pod, err := admit(delivery, change)
		require.NoError(t, err)
		return pod
	}
	t.Run("an ordinary pod gets the parts", func(t *testing.T) {
		parts := map[string]map[string]string{
			"image-volume": {"/var/run/secrets/rolesanywhere": "rolesanywhere-certificate", "/etc/rolesanywhere": "rolesanywhere-aws-config", "/opt/rolesanywhere": "rolesanywhere-helper"},
			"node":         {"/var/run/secrets/rolesanywhere": "rolesanywhere-certificate", "/etc/rolesanywhere": "rolesanywhere-aws-config", "/opt/rolesanywhere/aws_signing_helper": "rolesanywhere-helper"},
			"sidecar":      {},
		}
		for delivery := range deliveries {
			env := map[string]string{"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
				"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/etc/rolesanywhere/config", "AWS_SDK_LOAD_CONFIG": "1"}
			if delivery == "sidecar" {
				env = map[string]string{"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
					"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9911"}
			}
			pod := must(delivery, nil)
			helper, migrate := pod.Spec.InitContainers[0], pod.Spec.InitContainers[1]
			require.Equal(t, "credential-helper", helper.Name, "before what may call AWS")
			require.Equal(t, "migrate", migrate.Name)
			app, exporter := pod.Spec.Containers[0], pod.Spec.Containers[1]
			require.Equal(t, env, envOf(migrate), delivery)
			require.Equal(t, env, envOf(app), delivery)
			require.Equal(t, parts[delivery], mounted(exporter), delivery)
			require.Equal(t, "certificate", mounted(app)["/certs"], "a volume of its own that an ordinary pod may have")
			require.Equal(t, "us-west-2", envOf(exporter)["AWS_REGION"])
			require.NotContains(t, envOf(exporter), "AWS_DEFAULT_REGION", "a container that chose its region keeps it")
			certificate := volume(pod, "rolesanywhere-certificate").Secret
			require.Equal(t, "uploader-rolesanywhere", certificate.SecretName)
			require.EqualValues(t, 0o444, *certificate.DefaultMode, "the pod has no fsGroup that would let its users read it")
			if delivery == "sidecar" {
				require.Equal(t, corev1.ContainerRestartPolicyAlways, *helper.RestartPolicy)
				require.Equal(t, []string{"serve", "--certificate", "/var/run/secrets/rolesanywhere/tls.crt", "--private-key", "/var/run/secrets/rolesanywhere/tls.key",
					"--trust-anchor-arn", "arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/0a1b",
					"--profile-arn", "arn:aws:rolesanywhere:eu-central-1:111122223333:profile/2c3d", "--role-arn", roleArn,
					"--region", "eu-central-1", "--session-duration", "3600", "--role-session-name", "default.uploader", "--port", "9911", "--hop-limit", "1"}, helper.Args)
				continue
			}
			require.Equal(t, "registry.test/app", helper.Image, "the app's, which the node pulls anyway")
			require.Equal(t, "uploader-aws-config", volume(pod, "rolesanywhere-aws-config").ConfigMap.Name)
		}
		require.Equal(t, "128Mi", volume(must("image-volume", nil), "rolesanywhere-helper").EmptyDir.SizeLimit.String())
		require.NotEmpty(t, volume(must("image-volume", nil), "rolesanywhere-helper-image").Image.Reference)
		require.Equal(t, corev1.HostPathFile, *volume(must("node", nil), "rolesanywhere-helper").HostPath.Type)
	})
	t.Run("a pod that has it all", func(t *testing.T) {
		for delivery := range deliveries {
			once := must(delivery, nil)
			again := must(delivery, func(p *corev1.Pod) { p.Spec = *once.Spec.DeepCopy() })
			require.Equal(t, once.Spec, again.Spec, delivery)
			// As where another policy or webhook adds a container after this one.
			later := must(delivery, func(p *corev1.Pod) {
				p.Spec = *once.Spec.DeepCopy()
				added := *p.Spec.Containers[0].DeepCopy()
				added.Name, added.Image, added.Env, added.VolumeMounts = "added", "registry.test/added", nil, nil
				p.Spec.Containers = append([]corev1.Container{added}, p.Spec.Containers...)
			})
			require.Equal(t, envOf(once.Spec.Containers[0]), envOf(later.Spec.Containers[0]), delivery)
			require.Equal(t, once.Spec.InitContainers, later.Spec.InitContainers, delivery)
			require.Len(t, later.Spec.Volumes, len(once.Spec.Volumes), delivery)
		}
	})
	t.Run("where all images are pulled always", func(t *testing.T) { // by the plugin AlwaysPullImages, and a backup brings the pod back
		once := must("image-volume", nil)
		again := must("image-volume", func(p *corev1.Pod) {
			p.Spec = *once.Spec.DeepCopy()
			volume(p, "rolesanywhere-helper-image").Image.PullPolicy = corev1.PullAlways
		})
		require.Equal(t, corev1.PullAlways, volume(again, "rolesanywhere-helper-image").Image.PullPolicy)
	})
	t.Run("containers that are left alone", func(t *testing.T) {
		for delivery := range deliveries {
			pod := must(delivery, func(p *corev1.Pod) {
				p.Annotations = map[string]string{"eks.amazonaws.com/skip-containers": "app, migrate"}
				p.Spec.Containers[1].Env = []corev1.EnvVar{{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: "/token"}}
			})
			require.Nil(t, volume(pod, "rolesanywhere-certificate"), delivery)
			require.Len(t, pod.Spec.InitContainers, 1, delivery)
			require.Empty(t, pod.Spec.Containers[0].Env, delivery)
			require.Len(t, pod.Spec.Containers[1].Env, 1, delivery)
		}
		for _, variable := range []string{"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
			pod := must("image-volume", func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: variable, Value: "own"}} })
			require.Equal(t, map[string]string{variable: "own"}, envOf(pod.Spec.Containers[0]))
			require.Equal(t, "registry.test/exporter", pod.Spec.InitContainers[0].Image, "of the first container that is to get the helper")
		}
		// As in pods whose manifests say it all, also beside containers that do not call AWS.
		for delivery := range deliveries {
			said := corev1.EnvVar{Name: "AWS_CONFIG_FILE", Value: "/etc/rolesanywhere/config"}
			if delivery == "sidecar" {
				said = corev1.EnvVar{Name: "AWS_EC2_METADATA_SERVICE_ENDPOINT", Value: "http://127.0.0.1:9911"}
			}
			pod := must(delivery, func(p *corev1.Pod) {
				p.Spec.InitContainers[0].Name = "credential-helper"
				p.Spec.Containers[0].Env = []corev1.EnvVar{said}
			})
			require.Len(t, pod.Spec.InitContainers, 1, delivery)
			require.Nil(t, volume(pod, "rolesanywhere-certificate"), delivery)
			require.NotContains(t, envOf(pod.Spec.Containers[1]), said.Name, delivery)
		}
		pod := must("sidecar", func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "AWS_EC2_METADATA_SERVICE_ENDPOINT", Value: "http://127.0.0.1:1"}, {Name: "AWS_EC2_METADATA_DISABLED", Value: "true"}}
		})
		require.Len(t, pod.Spec.Containers[0].Env, 2)
		pod = must("sidecar", func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "AWS_EC2_METADATA_DISABLED", Value: "False"}}
		})
		require.Equal(t, "http://127.0.0.1:9911", envOf(pod.Spec.Containers[0])["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
	})
	t.Run("refusals", func(t *testing.T) {
		empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		other := map[string]corev1.VolumeSource{
			"rolesanywhere-certificate":  {Secret: &corev1.SecretVolumeSource{SecretName: "other"}},
			"rolesanywhere-aws-config":   {ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}}},
			"rolesanywhere-helper":       {HostPath: &corev1.HostPathVolumeSource{Path: "/other"}},
			"rolesanywhere-helper-image": {Image: &corev1.ImageVolumeSource{Reference: "registry.test/other"}},
		}
		for delivery := range deliveries {
			injected := must(delivery, nil)
			for name, source := range other {
				for _, source := range []corev1.VolumeSource{source, empty} {
					_, err := admit(delivery, func(p *corev1.Pod) {
						p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
					})
					if volume(injected, name) == nil {
						if source.HostPath == nil {
							require.NoError(t, err, "%s: %s is no volume of this delivery", delivery, name)
						}
						continue
					}
					require.ErrorContains(t, err, "the pod has a volume "+name+" of its own: give it another name", delivery)
				}
			}
			for path := range mounted(injected.Spec.Containers[1]) {
				for _, place := range []string{path + "/", path + "/config", path + "/."} {
					_, err := admit(delivery, func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts[0].MountPath = place })
					require.ErrorContains(t, err, "a container mounts a volume of its own at "+path+": mount it elsewhere", delivery)
				}
				above := func(change func(*corev1.Pod)) error {
					_, err := admit(delivery, func(p *corev1.Pod) {
						p.Spec.Containers[0].VolumeMounts[0].MountPath = filepath.Dir(path)
						change(p)
					})
					return err
				}
				const nothing = "in which nothing else can be mounted: mount it elsewhere"
				require.ErrorContains(t, above(func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts[0].ReadOnly = true }), nothing)
				require.ErrorContains(t, above(func(p *corev1.Pod) {
					p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}
				}), nothing)
				require.NoError(t, above(func(*corev1.Pod) {}), "directories can be made in %s", path)
			}
			_, err := admit(delivery, func(p *corev1.Pod) { p.Spec.InitContainers[0].Name = "credential-helper" })
			require.ErrorContains(t, err, "the pod has an init container credential-helper of its own: give it another name", delivery)
			_, err = admit(delivery, func(p *corev1.Pod) { p.Spec.Containers[0].Name = "credential-helper" })
			require.ErrorContains(t, err, "the pod has a container credential-helper of its own: give it another name", delivery)
			for _, windows := range []func(*corev1.Pod){
				func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} },
				func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} },
			} {
				_, err = admit(delivery, windows)
				require.ErrorContains(t, err, "the pod is for Windows", delivery)
			}
			// Whoever is left alone keeps what has these names.
			must(delivery, func(p *corev1.Pod) {
				p.Annotations = map[string]string{"eks.amazonaws.com/skip-containers": "app,exporter,migrate"}
				p.Spec.InitContainers[0].Name = "credential-helper"
				p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "rolesanywhere-certificate", VolumeSource: empty})
			})
		}
		_, err := admit("sidecar", func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "AWS_EC2_METADATA_DISABLED", Value: "true"}}
		})
		require.ErrorContains(t, err, "a container sets AWS_EC2_METADATA_DISABLED, and so would not ask the credential helper")
		_, err = admit("sidecar", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
		require.ErrorContains(t, err, "the pod is on its node's network")
		_, err = admit("sidecar", func(p *corev1.Pod) { p.Spec.Containers[1].Ports = []corev1.ContainerPort{{ContainerPort: 9911}} })
		require.ErrorContains(t, err, "a container has port 9911, which is the credential helper's: take another")
		must("sidecar", func(p *corev1.Pod) {
			p.Spec.Containers[1].Ports = []corev1.ContainerPort{{ContainerPort: 9911, Protocol: "UDP"}, {ContainerPort: 9912}}
		})
		require.Equal(t, "true", envOf(must("node", func(p *corev1.Pod) { p.Spec.HostNetwork = true }).Spec.Containers[0])["AWS_EC2_METADATA_DISABLED"])
	})
	t.Run("a ServiceAccount that lacks an annotation", func(t *testing.T) {
		for delivery, missing := range map[string]string{"image-volume": "k3s-aws-auth/aws-config", "sidecar": "k3s-aws-auth/profile-arn"} {
			annotations := map[string]string{}
			for key, value := range deliveries[delivery] {
				if key != missing {
					annotations[key] = value
				}
			}
			_, err := client.CoreV1().ServiceAccounts(delivery).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "half",
				Labels: map[string]string{"k3s-aws-auth/injection": delivery}, Annotations: annotations}}, metav1.CreateOptions{})
			require.NoError(t, err)
			require.Eventually(t, func() bool { // the policy sees it a moment later
				_, err = admit(delivery, func(p *corev1.Pod) { p.Spec.ServiceAccountName = "half" })
				return err != nil
			}, 20*time.Second, 50*time.Millisecond)
			require.ErrorContains(t, err, "no such key: "+missing)
			require.Less(t, len(err.Error()), 400, "a reason that somebody finds: %v", err)
		}
	})
	t.Run("variables", func(t *testing.T) { // the API server ends policies that cost too much
		pod := must("image-volume", func(p *corev1.Pod) {
			for i := range 2000 {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: "x"})
			}
		})
		require.Len(t, pod.Spec.Containers[0].Env, 2000+5)
	})
	t.Run("everybody else is left alone", func(t *testing.T) {
		for delivery := range deliveries {
			require.Eventually(t, func() bool { // the controllers make "default" a moment after the namespace
				pod, err := admit(delivery, func(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" })
				return err == nil && len(pod.Spec.InitContainers) == 1 && len(pod.Spec.Containers[0].Env) == 0
			}, 20*time.Second, 50*time.Millisecond)
		}
	})
	t.Run("whatever makes pods", func(t *testing.T) {
		for delivery := range deliveries {
			workloads(t, client, delivery)
		}
	})
}

// workloads makes a Deployment, a StatefulSet, and a CronJob with a Job of it, of the ordinary pod, and holds that their
// controllers get pods with the identity, under the namespace's Pod Security level.
func workloads(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	ctx, strict := t.Context(), metav1.CreateOptions{FieldValidation: "Strict"}
	template := func(name string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: podFrom(t, ordinaryPod).Spec}
	}
	selector := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}
	_, err := client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "deployment"},
		Spec: appsv1.DeploymentSpec{Selector: selector("deployment"), Template: template("deployment")}}, strict)
	require.NoError(t, err)
	_, err = client.AppsV1().StatefulSets(namespace).Create(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "set"},
		Spec: appsv1.StatefulSetSpec{ServiceName: "set", Selector: selector("set"), Template: template("set")}}, strict)
	require.NoError(t, err)
	once := template("job")
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron, err := client.BatchV1().CronJobs(namespace).Create(ctx, &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}}}}, strict)
	require.NoError(t, err)
	_, err = client.BatchV1().Jobs(namespace).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: cron.Spec.JobTemplate.Spec}, strict)
	require.NoError(t, err)
	for _, name := range []string{"deployment", "set", "job"} {
		last := fmt.Sprintf("%s/%s has no pod", namespace, name)
		require.Eventually(t, func() bool {
			pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
			return err == nil && slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
				return p.Spec.InitContainers[0].Name == "credential-helper" && volume(&p, "rolesanywhere-certificate") != nil
			})
		}, 30*time.Second, 100*time.Millisecond, last)
	}
}
