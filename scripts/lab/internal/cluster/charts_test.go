package cluster

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// charts are pods as the charts of what people run first render them, with their own values: external-dns and cert-manager, and
// controller and nodes of the EBS CSI driver. The driver's pass no Pod Security level but privileged.
var charts = map[string]string{
	"external-dns": `
spec:
  serviceAccountName: uploader
  automountServiceAccountToken: true
  securityContext: {fsGroup: 65534, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: external-dns
      image: registry.k8s.io/external-dns/external-dns:v0.19.0
      imagePullPolicy: IfNotPresent
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, privileged: false, readOnlyRootFilesystem: true,
        runAsGroup: 65532, runAsNonRoot: true, runAsUser: 65532}
      args: [--log-level=info, --interval=1m, --source=service, --source=ingress, --policy=upsert-only, --registry=txt, --provider=aws]
      ports: [{name: http, protocol: TCP, containerPort: 7979}]
      livenessProbe: {httpGet: {path: /healthz, port: http}, initialDelaySeconds: 10}
`,
	"cert-manager": `
spec:
  serviceAccountName: uploader
  enableServiceLinks: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  nodeSelector: {kubernetes.io/os: linux}
  containers:
    - name: cert-manager-controller
      image: quay.io/jetstack/cert-manager-controller:v1.18.2
      args: [--v=2, --cluster-resource-namespace=$(POD_NAMESPACE), --leader-election-namespace=kube-system]
      ports: [{containerPort: 9402, name: http-metrics, protocol: TCP}, {containerPort: 9403, name: http-healthz, protocol: TCP}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}
      env: [{name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]
`,
	"ebs-csi-controller": `
spec:
  serviceAccountName: uploader
  priorityClassName: system-cluster-critical
  tolerations: [{key: CriticalAddonsOnly, operator: Exists}, {effect: NoExecute, operator: Exists, tolerationSeconds: 300}]
  securityContext: {fsGroup: 1000, runAsGroup: 1000, runAsNonRoot: true, runAsUser: 1000}
  containers:
    - name: ebs-plugin
      image: public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver:v1.46.0
      args: [controller, --endpoint=$(CSI_ENDPOINT), --v=2]
      env:
        - {name: CSI_ENDPOINT, value: unix:///var/lib/csi/sockets/pluginproxy/csi.sock}
        - {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: aws-secret, key: key_id, optional: true}}}
        - {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: aws-secret, key: access_key, optional: true}}}
        - {name: AWS_EC2_ENDPOINT, valueFrom: {configMapKeyRef: {name: aws-meta, key: endpoint, optional: true}}}
      envFrom: null
      volumeMounts: [{name: socket-dir, mountPath: /var/lib/csi/sockets/pluginproxy/}]
      ports: [{name: healthz, containerPort: 9808, protocol: TCP}]
      resources: {limits: {memory: 256Mi}, requests: {cpu: 10m, memory: 40Mi}}
      securityContext: &plain {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}
    - {name: csi-provisioner, image: public.ecr.aws/csi-components/csi-provisioner:v5.3.0, securityContext: *plain,
       env: &address [{name: ADDRESS, value: /var/lib/csi/sockets/pluginproxy/csi.sock}], volumeMounts: &socket [{name: socket-dir, mountPath: /var/lib/csi/sockets/pluginproxy/}]}
    - {name: csi-attacher, image: public.ecr.aws/csi-components/csi-attacher:v4.9.0, securityContext: *plain, env: *address, volumeMounts: *socket}
    - {name: csi-resizer, image: public.ecr.aws/csi-components/csi-resizer:v1.14.0, securityContext: *plain, env: *address, volumeMounts: *socket}
    - {name: liveness-probe, image: public.ecr.aws/csi-components/livenessprobe:v2.16.0, securityContext: *plain, volumeMounts: [{name: socket-dir, mountPath: /csi}]}
  volumes: [{name: socket-dir, emptyDir: {}}]
`,
	"ebs-csi-node": `
spec:
  serviceAccountName: uploader
  priorityClassName: system-node-critical
  tolerations: [{operator: Exists}]
  hostNetwork: false
  securityContext: {fsGroup: 0, runAsGroup: 0, runAsNonRoot: false, runAsUser: 0}
  containers:
    - name: ebs-plugin
      image: public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver:v1.46.0
      args: [node, --endpoint=$(CSI_ENDPOINT), --v=2]
      env: [{name: CSI_ENDPOINT, value: "unix:/csi/csi.sock"}, {name: CSI_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
      volumeMounts:
        - {name: kubelet-dir, mountPath: /var/lib/kubelet, mountPropagation: Bidirectional}
        - {name: plugin-dir, mountPath: /csi}
        - {name: device-dir, mountPath: /dev}
      securityContext: {privileged: true, readOnlyRootFilesystem: true}
      lifecycle: {preStop: {exec: {command: [/bin/aws-ebs-csi-driver, pre-stop-hook]}}}
    - name: node-driver-registrar
      image: public.ecr.aws/csi-components/csi-node-driver-registrar:v2.14.0
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}
      volumeMounts: [{name: plugin-dir, mountPath: /csi}]
  volumes:
    - {name: kubelet-dir, hostPath: {path: /var/lib/kubelet, type: Directory}}
    - {name: plugin-dir, hostPath: {path: /var/lib/kubelet/plugins/ebs.csi.aws.com/, type: DirectoryOrCreate}}
    - {name: device-dir, hostPath: {path: /dev, type: Directory}}
`,
}

// TestCertificatePolicyCharts holds that the pods of ordinary charts have the identity without an edit, that each of their
// containers has it, and that nothing else of them changes.
func TestCertificatePolicyCharts(t *testing.T) {
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the control plane's binary")
	}
	_, client := policyServer(t, binary)
	certificatePolicies(t, client)
	admit := func(delivery, text, account string) (*corev1.Pod, error) {
		pod := podFrom(t, text)
		pod.GenerateName, pod.Spec.ServiceAccountName = "app-", account
		return client.CoreV1().Pods(delivery).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{"All"}})
	}
	sees := map[string]string{"image-volume": "AWS_CONFIG_FILE", "node": "AWS_CONFIG_FILE", "sidecar": "AWS_EC2_METADATA_SERVICE_ENDPOINT"}
	compare := func(name string) {
		for delivery := range deliveries {
			var plain *corev1.Pod
			var last error
			require.Eventually(t, func() bool { // the controllers make "default", and a label counts, a moment later
				plain, last = admit(delivery, charts[name], "default")
				return last == nil
			}, 20*time.Second, 50*time.Millisecond, "%s, %s: %v", name, delivery, &last)
			pod, err := admit(delivery, charts[name], "uploader")
			require.NoError(t, err, "%s, %s", name, delivery)
			require.Equal(t, "credential-helper", pod.Spec.InitContainers[0].Name, "%s, %s", name, delivery)
			for _, c := range pod.Spec.Containers {
				require.Contains(t, envOf(c), sees[delivery], "%s, %s: %s", name, delivery, c.Name)
			}
			require.Equal(t, bare(plain, nil), bare(pod, plain), "%s, %s", name, delivery)
		}
	}
	for _, name := range []string{"external-dns", "cert-manager"} {
		compare(name)
	}
	for delivery := range deliveries {
		_, err := client.CoreV1().Namespaces().Update(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: delivery,
			Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}}}, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	for _, name := range []string{"ebs-csi-controller", "ebs-csi-node"} {
		compare(name)
	}
}

// bare is a pod's specification without what is injected: by Kubernetes itself, and by the policy where plain is the pod without it.
func bare(pod, plain *corev1.Pod) corev1.PodSpec {
	spec := *pod.Spec.DeepCopy()
	spec.ServiceAccountName, spec.DeprecatedServiceAccount = "", ""
	ours := func(name string) bool {
		return strings.HasPrefix(name, "kube-api-access-") || plain != nil && strings.HasPrefix(name, "rolesanywhere-")
	}
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return ours(v.Name) })
	for i := range spec.Containers {
		c := &spec.Containers[i]
		c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return ours(m.Name) })
		if plain != nil {
			c.Env = c.Env[:len(plain.Spec.Containers[i].Env)]
		}
		if len(c.Env) == 0 {
			c.Env = nil
		}
	}
	if plain != nil {
		spec.InitContainers = spec.InitContainers[1:]
	}
	if len(spec.InitContainers) == 0 {
		spec.InitContainers = nil
	}
	return spec
}
