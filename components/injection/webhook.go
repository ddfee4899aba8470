package injection

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	admissionv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1"
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/pki"
	"k3s-aws-auth/components/rules"
)

// webhookName is the name of everything in the webhook's namespace.
const webhookName = "pod-identity-webhook"

// Ports, above 1023 since the webhook runs as an ordinary user.
const (
	webhookPort = 8443
	metricsPort = 9999
)

// WebhookArgs describes the webhook of one cluster.
type WebhookArgs struct {
	// NamespaceProvider makes the namespace, which outlives the webhook, where it
	// is there already; nil means the provider of the rest.
	NamespaceProvider pulumi.ProviderResource
	// Owner is the value of the namespace's label k3s-aws-auth/cluster.
	Owner string
	// Name is the name of what is no namespace's: the cluster role, its binding
	// and the webhook's configuration.
	Name string
	// Namespace is made for the webhook, and is its alone.
	Namespace string
	// Image is that of the amazon-eks-pod-identity-webhook, pinned.
	Image    string
	Replicas int
	// NodeSelector and Tolerations say where its pods may run.
	NodeSelector map[string]string
	Tolerations  []Toleration
	// Region is the AWS region that pods call.
	Region string
	// Kubeconfig is an administrator's way into the cluster, to wait until its
	// API servers call the webhook.
	Kubeconfig pulumi.StringInput
}

// Toleration is one of Kubernetes's; what is empty is left out.
type Toleration struct {
	Key, Operator, Value, Effect string
}

// NewWebhook runs the amazon-eks-pod-identity-webhook, with a certificate of the
// graph in place of cert-manager or the cluster's signer.
//
// A pod that is made while no replica answers is let through without its
// identity (failurePolicy Ignore), so that the webhook never keeps a cluster from
// starting. Two replicas on different nodes, a disruption budget and the priority
// of cluster services keep that from happening by chance.
func NewWebhook(ctx *pulumi.Context, name string, args *WebhookArgs, opts ...pulumi.ResourceOption) (*Injector, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	injector := &Injector{kubeconfig: args.Kubeconfig.ToStringOutput()}
	if err := ctx.RegisterComponentResource(WebhookType, name, injector, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", WebhookType, name, err)
	}
	w := &webhook{ctx: ctx, name: name, args: args, parent: injector}
	ca, certificate, err := w.certificate()
	if err != nil {
		return nil, err
	}
	secret := func() error { return w.secret(certificate) }
	// Pulumi waits until the service has an address, so the pods come first.
	for _, step := range []func() error{w.namespace, w.account, secret, w.deployment, w.service, w.budget} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	// The last: from now on the API server calls it.
	if err := w.configuration(ca.CertPem); err != nil {
		return nil, err
	}
	injector.after = []pulumi.Resource{w.last}
	if err := outputs.Register(ctx, injector); err != nil {
		return nil, fmt.Errorf("%s %q: %w", WebhookType, name, err)
	}
	return injector, nil
}

// webhook makes the children, one after the other: manifests name each other by
// plain strings, which Pulumi does not order by.
type webhook struct {
	ctx    *pulumi.Context
	name   string
	args   *WebhookArgs
	parent pulumi.Resource
	last   pulumi.Resource
}

func (w *webhook) child() []pulumi.ResourceOption {
	options := []pulumi.ResourceOption{pulumi.Parent(w.parent)}
	if w.last != nil {
		options = append(options, pulumi.DependsOn([]pulumi.Resource{w.last}))
	}
	return options
}

// made notes a child as the one that the next waits for.
func (w *webhook) made(what string, resource pulumi.Resource, err error) error {
	if err != nil {
		return fmt.Errorf("%s of the pod identity webhook: %w", what, err)
	}
	w.last = resource
	return nil
}

// labels select the webhook's pods.
var labels = pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(webhookName)}

func (w *webhook) metadata() metav1.ObjectMetaArgs {
	own := partOf()
	own["app.kubernetes.io/name"] = labels["app.kubernetes.io/name"]
	return metav1.ObjectMetaArgs{Namespace: pulumi.String(w.args.Namespace), Name: pulumi.String(webhookName), Labels: own}
}

// clusterMetadata is that of what is in no namespace.
func (w *webhook) clusterMetadata() metav1.ObjectMetaArgs {
	return metav1.ObjectMetaArgs{Name: pulumi.String(w.args.Name), Labels: partOf()}
}

func (w *webhook) namespace() error {
	own := partOf()
	own["pod-security.kubernetes.io/enforce"] = pulumi.String("restricted")
	own["pod-security.kubernetes.io/warn"] = pulumi.String("restricted")
	if w.args.Owner != "" {
		own["k3s-aws-auth/cluster"] = pulumi.String(w.args.Owner)
	}
	// Never deleted, as workload.NewNamespace says of those of identities.
	options := append(w.child(), pulumi.RetainOnDelete(true))
	if w.args.NamespaceProvider != nil {
		options = append(options, pulumi.Provider(w.args.NamespaceProvider))
	}
	namespace, err := corev1.NewNamespace(w.ctx, w.name+"-namespace", &corev1.NamespaceArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(w.args.Namespace), Labels: own},
	}, options...)
	return w.made("namespace", namespace, err)
}

// account lets the webhook read ServiceAccounts, and nothing else.
func (w *webhook) account() error {
	account, err := corev1.NewServiceAccount(w.ctx, w.name+"-account", &corev1.ServiceAccountArgs{Metadata: w.metadata()}, w.child()...)
	if err := w.made("service account", account, err); err != nil {
		return err
	}
	role, err := rbacv1.NewClusterRole(w.ctx, w.name+"-role", &rbacv1.ClusterRoleArgs{
		Metadata: w.clusterMetadata(),
		Rules: rbacv1.PolicyRuleArray{rbacv1.PolicyRuleArgs{
			ApiGroups: pulumi.ToStringArray([]string{""}),
			Resources: pulumi.ToStringArray([]string{"serviceaccounts"}),
			Verbs:     pulumi.ToStringArray([]string{"get", "list", "watch"}),
		}},
	}, w.child()...)
	if err := w.made("cluster role", role, err); err != nil {
		return err
	}
	binding, err := rbacv1.NewClusterRoleBinding(w.ctx, w.name+"-role-binding", &rbacv1.ClusterRoleBindingArgs{
		Metadata: w.clusterMetadata(),
		RoleRef: rbacv1.RoleRefArgs{
			ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String("ClusterRole"), Name: pulumi.String(w.args.Name),
		},
		Subjects: rbacv1.SubjectArray{rbacv1.SubjectArgs{
			Kind: pulumi.String("ServiceAccount"), Name: pulumi.String(webhookName), Namespace: pulumi.String(w.args.Namespace),
		}},
	}, w.child()...)
	return w.made("cluster role binding", binding, err)
}

func (w *webhook) secret(certificate *pki.Certificate) error {
	secret, err := corev1.NewSecret(w.ctx, w.name+"-certificate", &corev1.SecretArgs{
		Metadata: w.metadata(),
		Type:     pulumi.String("kubernetes.io/tls"),
		Data:     pulumi.StringMap{"tls.crt": encoded(certificate.CertPem), "tls.key": encoded(certificate.KeyPem)},
	}, w.child()...)
	return w.made("certificate's secret", secret, err)
}

func (w *webhook) service() error {
	service, err := corev1.NewService(w.ctx, w.name+"-service", &corev1.ServiceArgs{
		Metadata: w.metadata(),
		Spec: corev1.ServiceSpecArgs{
			Selector: labels,
			Ports: corev1.ServicePortArray{corev1.ServicePortArgs{
				Name: pulumi.String("https"), Port: pulumi.Int(443), TargetPort: pulumi.String("https"),
			}},
		},
	}, w.child()...)
	return w.made("service", service, err)
}

func (w *webhook) deployment() error {
	spread := func(topology string) corev1.TopologySpreadConstraintArgs {
		return corev1.TopologySpreadConstraintArgs{
			LabelSelector: metav1.LabelSelectorArgs{MatchLabels: labels}, MaxSkew: pulumi.Int(1),
			// Two replicas on one node are better than one.
			TopologyKey: pulumi.String(topology), WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
		}
	}
	health := corev1.HTTPGetActionArgs{Path: pulumi.String("/healthz"), Port: pulumi.String("https"), Scheme: pulumi.String("HTTPS")}
	var tolerations corev1.TolerationArray
	for _, t := range w.args.Tolerations {
		tolerations = append(tolerations, corev1.TolerationArgs{
			Key: optional(t.Key), Operator: optional(t.Operator), Value: optional(t.Value), Effect: optional(t.Effect),
		})
	}
	deployment, err := appsv1.NewDeployment(w.ctx, w.name+"-deployment", &appsv1.DeploymentArgs{
		Metadata: w.metadata(),
		Spec: appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(w.args.Replicas),
			Selector: metav1.LabelSelectorArgs{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategyArgs{RollingUpdate: appsv1.RollingUpdateDeploymentArgs{
				MaxUnavailable: pulumi.Int(0), MaxSurge: pulumi.Int(1),
			}},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels},
				Spec: corev1.PodSpecArgs{
					ServiceAccountName: pulumi.String(webhookName),
					PriorityClassName:  pulumi.String("system-cluster-critical"),
					NodeSelector:       pulumi.ToStringMap(w.args.NodeSelector),
					Tolerations:        tolerations,
					TopologySpreadConstraints: corev1.TopologySpreadConstraintArray{
						spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone"),
					},
					SecurityContext: corev1.PodSecurityContextArgs{
						RunAsNonRoot: pulumi.Bool(true), RunAsUser: pulumi.Int(rules.NonRoot), RunAsGroup: pulumi.Int(rules.NonRoot),
						FsGroup:        pulumi.Int(rules.NonRoot), // reads the key
						SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
					},
					Containers: corev1.ContainerArray{corev1.ContainerArgs{
						Name: pulumi.String("webhook"), Image: pulumi.String(w.args.Image), ImagePullPolicy: pulumi.String("IfNotPresent"),
						Command: pulumi.ToStringArray(w.command()),
						Ports: corev1.ContainerPortArray{
							corev1.ContainerPortArgs{Name: pulumi.String("https"), ContainerPort: pulumi.Int(webhookPort)},
							corev1.ContainerPortArgs{Name: pulumi.String("metrics"), ContainerPort: pulumi.Int(metricsPort)},
						},
						ReadinessProbe: corev1.ProbeArgs{HttpGet: health, PeriodSeconds: pulumi.Int(5)},
						LivenessProbe:  corev1.ProbeArgs{HttpGet: health, PeriodSeconds: pulumi.Int(20), InitialDelaySeconds: pulumi.Int(10)},
						Resources: corev1.ResourceRequirementsArgs{
							Requests: pulumi.ToStringMap(map[string]string{"cpu": "10m", "memory": "32Mi"}),
							Limits:   pulumi.ToStringMap(map[string]string{"memory": "128Mi"}),
						},
						SecurityContext: corev1.SecurityContextArgs{
							AllowPrivilegeEscalation: pulumi.Bool(false), ReadOnlyRootFilesystem: pulumi.Bool(true),
							Capabilities: corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
						},
						VolumeMounts: corev1.VolumeMountArray{corev1.VolumeMountArgs{
							Name: pulumi.String("certificate"), MountPath: pulumi.String("/etc/webhook/certs"), ReadOnly: pulumi.Bool(true),
						}},
					}},
					Volumes: corev1.VolumeArray{corev1.VolumeArgs{
						Name:   pulumi.String("certificate"),
						Secret: corev1.SecretVolumeSourceArgs{SecretName: pulumi.String(webhookName), DefaultMode: pulumi.Int(0o440)},
					}},
				},
			},
		},
	}, w.child()...)
	return w.made("deployment", deployment, err)
}

// command is the webhook with its flags. It finds certificate and key where
// --tls-cert and --tls-key say by default, and reads them again when they change.
func (w *webhook) command() []string {
	return []string{
		"/webhook",
		"--in-cluster=false", // the certificate is in a file; the Kubernetes API is found as in any pod
		"--namespace=" + w.args.Namespace,
		"--service-name=" + webhookName,
		fmt.Sprintf("--port=%d", webhookPort),
		fmt.Sprintf("--metrics-port=%d", metricsPort),
		"--tls-min-version=1.2",
		"--annotation-prefix=" + strings.TrimSuffix(AnnotationPrefix, "/"),
		"--token-audience=" + DefaultAudience,
		"--token-mount-path=" + TokenDirectory,
		"--aws-default-region=" + w.args.Region,
		"--sts-regional-endpoint=true",
		// A pod that is made right after its ServiceAccount waits this long for
		// the webhook to see that.
		"--service-account-lookup-grace-period=200ms",
	}
}

func (w *webhook) budget() error {
	budget, err := policyv1.NewPodDisruptionBudget(w.ctx, w.name+"-budget", &policyv1.PodDisruptionBudgetArgs{
		Metadata: w.metadata(),
		Spec: policyv1.PodDisruptionBudgetSpecArgs{
			// One replica alone must not keep a node from being drained.
			MaxUnavailable: pulumi.Int(1),
			Selector:       metav1.LabelSelectorArgs{MatchLabels: labels},
		},
	}, w.child()...)
	return w.made("disruption budget", budget, err)
}

func (w *webhook) configuration(caPEM pulumi.StringOutput) error {
	configuration, err := admissionv1.NewMutatingWebhookConfiguration(w.ctx, w.name+"-configuration", &admissionv1.MutatingWebhookConfigurationArgs{
		Metadata: w.clusterMetadata(),
		Webhooks: admissionv1.MutatingWebhookArray{admissionv1.MutatingWebhookArgs{
			Name:                    pulumi.String(webhookName + ".amazonaws.com"),
			AdmissionReviewVersions: pulumi.ToStringArray([]string{"v1beta1"}), // the only one that it speaks
			SideEffects:             pulumi.String("None"),
			FailurePolicy:           pulumi.String("Ignore"),
			ReinvocationPolicy:      pulumi.String("IfNeeded"),
			TimeoutSeconds:          pulumi.Int(5),
			ClientConfig: admissionv1.WebhookClientConfigArgs{
				CaBundle: encoded(caPEM),
				Service: admissionv1.ServiceReferenceArgs{
					Namespace: pulumi.String(w.args.Namespace), Name: pulumi.String(webhookName),
					Path: pulumi.String("/mutate"), Port: pulumi.Int(443),
				},
			},
			Rules: admissionv1.RuleWithOperationsArray{admissionv1.RuleWithOperationsArgs{
				ApiGroups:   pulumi.ToStringArray([]string{""}),
				ApiVersions: pulumi.ToStringArray([]string{"v1"}),
				Operations:  pulumi.ToStringArray([]string{"CREATE"}),
				Resources:   pulumi.ToStringArray([]string{"pods"}),
				Scope:       pulumi.String("Namespaced"),
			}},
			// Its own pods need no identity, and must not wait for themselves.
			NamespaceSelector: metav1.LabelSelectorArgs{MatchExpressions: metav1.LabelSelectorRequirementArray{
				metav1.LabelSelectorRequirementArgs{
					Key: pulumi.String("kubernetes.io/metadata.name"), Operator: pulumi.String("NotIn"),
					Values: pulumi.ToStringArray([]string{w.args.Namespace}),
				},
			}},
			ObjectSelector: metav1.LabelSelectorArgs{MatchExpressions: metav1.LabelSelectorRequirementArray{
				metav1.LabelSelectorRequirementArgs{
					Key: pulumi.String(AnnotationPrefix + "skip-pod-identity-webhook"), Operator: pulumi.String("DoesNotExist"),
				},
			}},
		}},
	}, w.child()...)
	return w.made("configuration", configuration, err)
}

func encoded(text pulumi.StringOutput) pulumi.StringOutput {
	return text.ApplyT(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }).(pulumi.StringOutput)
}

func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}

func (args *WebhookArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("webhook %q: args are missing", name)
	}
	var errs []error
	for _, n := range []struct{ field, value string }{{"name", args.Name}, {"namespace", args.Namespace}} {
		errs = append(errs, rules.Fault(n.field, n.value, rules.Label(n.value)))
	}
	errs = append(errs, rules.Fault("image", args.Image, rules.PinnedImage(args.Image)))
	if args.Replicas < 1 {
		errs = append(errs, fmt.Errorf("replicas is %d, must be at least 1", args.Replicas))
	}
	errs = append(errs, rules.Fault("region", args.Region, rules.Region(args.Region)))
	if args.Kubeconfig == nil {
		errs = append(errs, errors.New("kubeconfig is missing"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("webhook %q: %w", name, err)
	}
	return nil
}
