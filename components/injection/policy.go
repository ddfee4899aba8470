package injection

import (
	"context"
	"errors"
	"fmt"
	"strings"

	admission "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1beta1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/kubeclient"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// What an API server needs to serve the policy, up to the release in which it is
// on by default.
var (
	PolicyFeatureGates  = []string{"MutatingAdmissionPolicy=true"}
	PolicyRuntimeConfig = []string{"admissionregistration.k8s.io/v1beta1=true"}
)

// AdmissionPolicyArgs describes the policy of one cluster.
type AdmissionPolicyArgs struct {
	// Name is the policy's and its binding's name in the cluster.
	Name string
	// Region is the AWS region that pods call.
	Region string
	// Kubeconfig is an administrator's way into the cluster, to wait until its
	// API servers apply the policy.
	Kubeconfig pulumi.StringInput
	// Certificates are the parts of pods that present a certificate. Nil is for
	// pods that present tokens.
	Certificates *Parts
}

// NewAdmissionPolicy makes a MutatingAdmissionPolicy with its binding, by which
// the API server itself injects identities: nothing runs for it, so nothing can
// be down. One policy does it for all identities. Its parameters are the
// ServiceAccounts with [Label] in the pod's namespace, so that the annotations
// there are the only place where an identity is written down.
//
// A pod that cannot get its identity is refused, not let through without it
// (failurePolicy Fail): also one that has something else in the token's place.
// opts should name a provider that upserts: see forced. Pods of other ServiceAccounts are not even looked at.
func NewAdmissionPolicy(ctx *pulumi.Context, name string, args *AdmissionPolicyArgs, opts ...pulumi.ResourceOption) (*Injector, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	injector := &Injector{kubeconfig: args.Kubeconfig.ToStringOutput()}
	if err := ctx.RegisterComponentResource(AdmissionPolicyType, name, injector, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", AdmissionPolicyType, name, err)
	}
	child := pulumi.Parent(injector)
	what := tokens(args.Region)
	if args.Certificates != nil {
		var err error
		if what, err = args.Certificates.injected(); err != nil {
			return nil, fmt.Errorf("admission policy %s: %w", args.Name, err)
		}
	}
	policy, err := admission.NewMutatingAdmissionPolicy(ctx, name+"-policy", &admission.MutatingAdmissionPolicyArgs{
		Metadata: metav1.ObjectMetaArgs{Name: injector.served(ctx, args.Name), Labels: partOf(), Annotations: forced},
		Spec: admission.MutatingAdmissionPolicySpecArgs{
			FailurePolicy: pulumi.String("Fail"),
			// Injecting twice changes nothing, and a container that another
			// policy or webhook adds later gets the identity too.
			ReinvocationPolicy: pulumi.String("IfNeeded"),
			ParamKind:          admission.ParamKindArgs{ApiVersion: pulumi.String("v1"), Kind: pulumi.String("ServiceAccount")},
			MatchConstraints: admission.MatchResourcesArgs{
				ResourceRules: admission.NamedRuleWithOperationsArray{admission.NamedRuleWithOperationsArgs{
					ApiGroups:   pulumi.ToStringArray([]string{""}),
					ApiVersions: pulumi.ToStringArray([]string{"v1"}),
					Operations:  pulumi.ToStringArray([]string{"CREATE"}),
					Resources:   pulumi.ToStringArray([]string{"pods"}),
				}},
			},
			MatchConditions: admission.MatchConditionArray{
				condition("pod-of-the-service-account", `object.spec.?serviceAccountName.orValue("default") == params.metadata.name`),
				what.condition,
			},
			Variables: what.variables,
			Mutations: what.mutations,
		},
	}, child)
	if err != nil {
		return nil, fmt.Errorf("admission policy %s: %w", args.Name, err)
	}
	binding, err := admission.NewMutatingAdmissionPolicyBinding(ctx, name+"-binding", &admission.MutatingAdmissionPolicyBindingArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(args.Name), Labels: partOf(), Annotations: forced},
		Spec: admission.MutatingAdmissionPolicyBindingSpecArgs{
			PolicyName: pulumi.String(args.Name),
			// Without a namespace, parameters are sought in the pod's own.
			ParamRef: admission.ParamRefArgs{
				Selector: metav1.LabelSelectorArgs{MatchLabels: pulumi.StringMap{Label: pulumi.String(LabelValue)}},
				// A namespace without identities.
				ParameterNotFoundAction: pulumi.String("Allow"),
			},
		},
	}, child, pulumi.DependsOn([]pulumi.Resource{policy}))
	if err != nil {
		return nil, fmt.Errorf("binding of admission policy %s: %w", args.Name, err)
	}
	injector.after = []pulumi.Resource{policy, binding}
	if err := outputs.Register(ctx, injector); err != nil {
		return nil, fmt.Errorf("%s %q: %w", AdmissionPolicyType, name, err)
	}
	return injector, nil
}

// served returns the policy's name once the API server says that it serves
// policies. Otherwise Pulumi fails with words that do not say what to do.
func (i *Injector) served(ctx *pulumi.Context, name string) pulumi.StringOutput {
	if ctx.DryRun() {
		return pulumi.String(name).ToStringOutput()
	}
	known := i.kubeconfig.ApplyTWithContext(ctx.Context(), func(waiting context.Context, kubeconfig string) (string, error) {
		access, err := kubeclient.Parse(kubeconfig)
		if err != nil {
			return "", err
		}
		return name, awaitPolicyAPI(waiting, access, apiDeadline)
	}).(pulumi.StringOutput)
	return pulumi.Unsecret(known).(pulumi.StringOutput)
}

// forced takes over fields of what is there under the name. When a stack goes to
// another way of injecting, its servers lose the flags before the policy is
// deleted: Pulumi then finds no such API, and the objects stay in etcd, unseen,
// until a server with the flags serves them again. To take over the object itself
// needs a provider with upsertExistingObjects from 4.29 on, where the annotation
// counts for updates alone.
var forced = pulumi.StringMap{"pulumi.com/patchForce": pulumi.String("true")}

func condition(name, expression string) admission.MatchConditionArgs {
	return admission.MatchConditionArgs{Name: pulumi.String(name), Expression: pulumi.String(expression)}
}

func partOf() pulumi.StringMap {
	return pulumi.StringMap{"app.kubernetes.io/part-of": pulumi.String("k3s-aws-auth")}
}

// injected is what a policy does to the pods of which ServiceAccounts.
type injected struct {
	condition admission.MatchConditionArgs
	// variables are what the mutations share. CEL's list library is newer than
	// the oldest Kubernetes that has policies, so no expression uses it.
	variables admission.VariableArray
	mutations admission.MutationArray
}

func (i *injected) add(name, expression string) {
	i.variables = append(i.variables, admission.VariableArgs{Name: pulumi.String(name), Expression: pulumi.String(expression)})
}

// apply merges lists by their keys: name, or mountPath.
func (i *injected) apply(expression string) {
	i.mutations = append(i.mutations, admission.MutationArgs{
		PatchType:          pulumi.String("ApplyConfiguration"),
		ApplyConfiguration: admission.ApplyConfigurationArgs{Expression: pulumi.String(expression)},
	})
}

func (i *injected) patch(expression string) {
	i.mutations = append(i.mutations, admission.MutationArgs{
		PatchType: pulumi.String("JSONPatch"),
		JsonPatch: admission.JSONPatchArgs{Expression: pulumi.String(expression)},
	})
}

// ofPod and ofAccount are the values of annotations.
func ofPod(annotation string) string {
	return `object.metadata.?annotations[?"` + AnnotationPrefix + annotation + `"].orValue("")`
}

func ofAccount(annotation, otherwise string) string {
	return `params.metadata.?annotations[?"` + annotation + `"].orValue(` + otherwise + `)`
}

// annotated is the condition that a ServiceAccount says who its pods are.
func annotated(name, annotation string) admission.MatchConditionArgs {
	return condition(name, ofAccount(annotation, `""`)+` != ""`)
}

// skippedExpression lists the containers that their pod wants to be left alone.
var skippedExpression = ofPod("skip-containers") + `.split(",").map(name, name.trim())`

// allContainers are those of a pod of both kinds.
const allContainers = "(object.spec.?containers.orValue([]) + object.spec.?initContainers.orValue([]))"

// variable is one of an environment: a CEL expression for its value, and the names
// of those that speak for it. A container that has one of them keeps what it has.
type variable struct {
	name, value string
	unless      []string
}

// environment lists variables that have a value, for a pod that is not refused.
func environment(list []variable) string {
	var env []string
	for _, v := range list {
		env = append(env, fmt.Sprintf(`{"name": "%s", "value": %s, "unless": "^(%s)$"}`, v.name, v.value, strings.Join(append(v.unless, v.name), "|")))
	}
	return "[\n  " + strings.Join(env, ",\n  ") + "\n].filter(v, v.value != \"\" && variables.own == \"\")"
}

// refusal is an expression that fails. A pod for which one does is refused, and
// the missing key is what its maker reads. The key is no constant, so that no
// compiler looks for it.
func refusal(message string) string { return `{"": ""}["` + message + `"]` }

// tokens gives pods a projected token, and the role to assume by it.
func tokens(region string) *injected {
	list := &injected{condition: annotated("service-account-has-a-role", AnnotationPrefix+"role-arn")}
	add, pod, account := list.add, ofPod, ofAccount
	add("skipped", skippedExpression)
	add("audience", account(AnnotationPrefix+"audience", `"`+DefaultAudience+`"`))
	// The pod's annotation goes before the ServiceAccount's; what is no number
	// does not count.
	add("expirations", `[`+pod("token-expiration")+`, `+account(AnnotationPrefix+"token-expiration", `""`)+
		fmt.Sprintf(`, "%d"].filter(seconds, seconds.matches("^[0-9]{1,9}$")).map(seconds, int(seconds))`, DefaultTokenExpirationSeconds))
	add("expiration", fmt.Sprintf(`variables.expirations[0] < %[1]d ? %[1]d : variables.expirations[0]`, MinTokenExpirationSeconds))
	add("session", account(SessionNameAnnotation,
		`size(params.metadata.namespace + "." + params.metadata.name) <= 64 ? params.metadata.namespace + "." + params.metadata.name : ""`))
	region = `"` + region + `"`
	env := []variable{
		{"AWS_STS_REGIONAL_ENDPOINTS", account(AnnotationPrefix+"sts-regional-endpoints", `"true"`) + ` == "false" ? "" : "regional"`, nil},
		{"AWS_DEFAULT_REGION", region, []string{"AWS_REGION"}},
		{"AWS_REGION", region, []string{"AWS_DEFAULT_REGION"}},
		{"AWS_ROLE_ARN", account(AnnotationPrefix+"role-arn", `""`), []string{"AWS_WEB_IDENTITY_TOKEN_FILE"}},
		{"AWS_WEB_IDENTITY_TOKEN_FILE", `"` + TokenDirectory + "/" + TokenFile + `"`, []string{"AWS_ROLE_ARN"}},
		{"AWS_ROLE_SESSION_NAME", `variables.session`, []string{"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}},
		// Keeps SDKs that lost their configuration from falling back to the
		// node's role.
		{"AWS_EC2_METADATA_DISABLED", `"true"`, nil},
	}
	add("pending", pendingExpression)
	add("own", ownExpression)
	add("environment", environment(env))
	list.apply(containersExpression(`!(c.name in variables.skipped)`, mount{TokenVolume, TokenDirectory}))
	// An apply configuration may not touch a projected volume's sources, which
	// are one atomic list.
	list.patch(volumeExpression)
	return list
}

// pendingExpression lists the containers that are to get the token: not skipped,
// and without a word of their own on where it is or whose it is.
var pendingExpression = allContainers + `.filter(c, !(c.name in variables.skipped) &&
  !c.?env.orValue([]).exists(e, e.name == "AWS_ROLE_ARN" || e.name == "AWS_WEB_IDENTITY_TOKEN_FILE"))`

// ownExpression is empty, or fails: where the pod has a volume of the token's name,
// or a mount at the token's place, that holds no such token, the containers that
// are to get one would find something else there.
var ownExpression = strings.NewReplacer("VOLUME", TokenVolume, "DIRECTORY", TokenDirectory, "FILE", TokenFile).Replace(
	`size(variables.pending) == 0 ? "" :
object.spec.?volumes.orValue([]).exists(v, v.name == "VOLUME" && !v.?projected.?sources.orValue([]).exists(s, has(s.serviceAccountToken) &&
    s.serviceAccountToken.path == "FILE" && s.serviceAccountToken.?audience.orValue("") == variables.audience))
  ? ` + refusal(`the pod has a volume VOLUME of its own without the token FILE for " + variables.audience + ": give it another name`) + ` :
variables.pending.exists(c, c.?volumeMounts.orValue([]).exists(m, m.mountPath.matches("^DIRECTORY/*$") && m.name != "VOLUME"))
  ? ` + refusal(`a container mounts a volume of its own at DIRECTORY, the place of the token for " + variables.audience + ": mount it elsewhere`) + ` : ""`)

// mount is the directory of a volume in containers.
type mount struct{ volume, path string }

// containersExpression gives the containers of which a condition holds the
// variables that they have not, and mounts, read-only.
func containersExpression(condition string, mounts ...mount) string {
	return "Object{spec: Object.spec{\n" + containersOf("containers", condition, mounts) + ",\n" + containersOf("initContainers", condition, mounts) + "\n}}"
}

func containersOf(list, condition string, mounts []mount) string {
	var each []string
	for _, m := range mounts {
		each = append(each, fmt.Sprintf(`c.?volumeMounts.orValue([]).exists(m, m.mountPath.matches("^%s/*$")) ? []
      : [Object.spec.LIST.volumeMounts{name: "%s", mountPath: "%[1]s", readOnly: true}]`, m.path, m.volume))
	}
	mounted := ""
	switch len(each) {
	case 0:
	case 1:
		mounted = ",\n    volumeMounts: " + each[0]
	default:
		mounted = ",\n    volumeMounts: (" + strings.Join(each, ") +\n      (") + ")"
	}
	return strings.NewReplacer("LIST", list).Replace(
		`  LIST: object.spec.?LIST.orValue([]).filter(c, ` + condition + `).map(c, Object.spec.LIST{
    name: c.name,
    env: variables.environment.filter(v, !c.?env.orValue([]).exists(e, e.name.matches(v.unless)))
      .map(v, Object.spec.LIST.env{name: v.name, value: v.value})` + mounted + `
  })`)
}

// volumeExpression adds the token's volume, unless the pod has one of its name.
// Its files have the default mode: every user reads them, and the kubelet
// narrows that where fsGroup or runAsUser says to whom.
var volumeExpression = strings.NewReplacer("VOLUME", TokenVolume, "FILE", TokenFile).Replace(
	`object.spec.?volumes.orValue([]).exists(v, v.name == "VOLUME") ? [] :
(has(object.spec.volumes) ? [] : [JSONPatch{op: "add", path: "/spec/volumes", value: []}]) +
[JSONPatch{op: "add", path: "/spec/volumes/-", value: Object.spec.volumes{
  name: "VOLUME",
  projected: Object.spec.volumes.projected{
    sources: [Object.spec.volumes.projected.sources{
      serviceAccountToken: Object.spec.volumes.projected.sources.serviceAccountToken{
        audience: variables.audience,
        expirationSeconds: variables.expiration,
        path: "FILE"
      }
    }]
  }
}}]`)

func (args *AdmissionPolicyArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("AdmissionPolicy %q: args are missing", name)
	}
	var errs []error
	errs = append(errs, rules.Fault("name", args.Name, rules.Label(args.Name)), rules.Fault("region", args.Region, rules.Region(args.Region)))
	if args.Kubeconfig == nil {
		errs = append(errs, errors.New("kubeconfig is missing"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("AdmissionPolicy %q: %w", name, err)
	}
	return nil
}
