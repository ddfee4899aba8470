// Package workload makes the Kubernetes side of a pod identity: its
// ServiceAccount, what its pods need to present (a projected token, or a
// certificate and the credential helper), and on request a demo pod that proves
// the identity. One constructor for each way of getting credentials:
// [NewInstanceProfile], [NewWebIdentity], [NewRolesAnywhere].
//
// All pods meet the restricted Pod Security Standard, except with the helper
// mounted from the node, which needs a hostPath volume.
package workload

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// Type tokens of the components.
const (
	InstanceProfileType = "k3s-aws-auth:workload:InstanceProfile"
	WebIdentityType     = "k3s-aws-auth:workload:WebIdentity"
	RolesAnywhereType   = "k3s-aws-auth:workload:RolesAnywhere"
)

// What marks the objects that this package makes.
const (
	PartOfLabel = "app.kubernetes.io/part-of"
	PartOf      = "k3s-aws-auth"
)

// Identity is the ServiceAccount that an identity's pods run as.
type Identity struct {
	Namespace      string
	ServiceAccount string
	// Owner is the value of [OwnerLabel] of the ServiceAccount.
	Owner string
	// ExistingAccount leaves the ServiceAccount to whoever makes it: what it
	// needs is then in [Workload.Annotate].
	ExistingAccount bool
	// After must exist before everything in the namespace, such as the namespace
	// itself (see [NewNamespace]).
	After []pulumi.Resource
	// Clear resolves once the ServiceAccount's name is known to be free, or its
	// object to be the stack's own. Nil does not wait.
	Clear pulumi.StringInput
	// Region is the AWS region that pods call.
	Region string
}

// Workload is the Kubernetes side of a pod identity.
type Workload struct {
	pulumi.ResourceState

	// ServiceAccount is the ServiceAccount's name, once it exists.
	ServiceAccount pulumi.StringOutput `pulumi:"serviceAccount"`
	// Annotate are the commands that give an existing ServiceAccount what it
	// needs; empty where the workload makes it, or where it needs nothing.
	Annotate pulumi.StringOutput
	// Prove is the command that shows the identity from inside the demo pod;
	// empty without one.
	Prove pulumi.StringOutput `pulumi:"prove"`
}

// InstanceProfileArgs describes a workload that uses its node's role.
type InstanceProfileArgs struct {
	Identity
	// RoleArn is the agents' role, which every pod there shares.
	RoleArn pulumi.StringInput
	Demo    *Demo
}

// NewInstanceProfile makes a ServiceAccount without any identity of its own:
// SDKs in its pods find the node's role at the instance metadata service.
func NewInstanceProfile(ctx *pulumi.Context, name string, args *InstanceProfileArgs, opts ...pulumi.ResourceOption) (*Workload, error) {
	if args == nil {
		return nil, fmt.Errorf("InstanceProfile %q: args are missing", name)
	}
	if err := validate("InstanceProfile", name, args.Identity, args.Demo, map[string]pulumi.StringInput{"RoleArn": args.RoleArn}, nil); err != nil {
		return nil, err
	}
	b, err := newBuilder(ctx, InstanceProfileType, name, args.Identity, opts)
	if err != nil {
		return nil, err
	}
	if err := b.serviceAccount(nil); err != nil {
		return nil, err
	}
	return b.finish(args.Demo, args.RoleArn, parts{Parts: injection.Parts{Env: regionEnv(args.Region)}})
}

// WebIdentityArgs describes a workload that presents ServiceAccount tokens.
type WebIdentityArgs struct {
	Identity
	// RoleArn is the role to assume.
	RoleArn pulumi.StringInput
	// Audience is the tokens' audience; empty means sts.amazonaws.com.
	Audience string
	// TokenExpirationSeconds is how long a token is valid, 600 to 86400; 0
	// means 86400. The kubelet renews at 80 %.
	TokenExpirationSeconds int
	// PullsImages lets kubelets pull the pods' images with the role too, where they are
	// told to (see k3s.ImagePulls and [NewPullTokens]).
	PullsImages bool
	// Injected marks the ServiceAccount for an admission policy that another
	// stack has made in the cluster. The webhook needs no mark.
	Injected bool
	// Injector is what gives pods their identity in this cluster, where the same
	// stack makes it: the ServiceAccount is marked, and the demo pod waits for it.
	// Without either, pods' own manifests have to do it.
	Injector *injection.Injector
	Demo     *Demo
}

// NewWebIdentity makes the ServiceAccount, annotated as the EKS pod identity
// webhook wants it. With an injector, the demo pod is an ordinary pod that knows
// nothing of AWS, and so proves the injection. Without one it does for itself
// what an injector would do: the same volume, path and variables, so that it
// works with and without.
func NewWebIdentity(ctx *pulumi.Context, name string, args *WebIdentityArgs, opts ...pulumi.ResourceOption) (*Workload, error) {
	if args == nil {
		return nil, fmt.Errorf("WebIdentity %q: args are missing", name)
	}
	audience, expiration := args.Audience, args.TokenExpirationSeconds
	if audience == "" {
		audience = injection.DefaultAudience
	}
	if expiration == 0 {
		expiration = injection.DefaultTokenExpirationSeconds
	}
	var faults []error
	if expiration < injection.MinTokenExpirationSeconds || expiration > injection.DefaultTokenExpirationSeconds {
		faults = append(faults, fmt.Errorf("TokenExpirationSeconds is %d, must be %d to %d",
			expiration, injection.MinTokenExpirationSeconds, injection.DefaultTokenExpirationSeconds))
	}
	if err := validate("WebIdentity", name, args.Identity, args.Demo, map[string]pulumi.StringInput{"RoleArn": args.RoleArn}, faults); err != nil {
		return nil, err
	}
	b, err := newBuilder(ctx, WebIdentityType, name, args.Identity, opts)
	if err != nil {
		return nil, err
	}
	annotations := pulumi.StringMap{
		injection.AnnotationPrefix + "role-arn":               args.RoleArn,
		injection.AnnotationPrefix + "audience":               pulumi.String(audience),
		injection.AnnotationPrefix + "sts-regional-endpoints": pulumi.String("true"),
		injection.AnnotationPrefix + "token-expiration":       pulumi.Sprintf("%d", expiration),
	}
	if args.PullsImages {
		annotations[names.PullRoleAnnotation] = args.RoleArn
	}
	session := names.Session(args.Namespace, args.ServiceAccount)
	if args.Injected || args.Injector != nil {
		annotations[injection.SessionNameAnnotation] = pulumi.String(session)
		b.labels = map[string]string{injection.Label: injection.LabelValue}
	}
	if err := b.serviceAccount(annotations); err != nil {
		return nil, err
	}
	if args.Injector != nil {
		return b.finish(args.Demo, args.RoleArn, parts{by: args.Injector, identity: args.RoleArn})
	}
	return b.finish(args.Demo, args.RoleArn, parts{Parts: injection.Parts{
		Env: append(regionEnv(args.Region),
			noMetadata(),
			env("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
			corev1.EnvVarArgs{Name: pulumi.String("AWS_ROLE_ARN"), Value: args.RoleArn.ToStringOutput()},
			env("AWS_WEB_IDENTITY_TOKEN_FILE", injection.TokenDirectory+"/"+injection.TokenFile),
			// Without it, SDKs make up names that say nothing in CloudTrail.
			env("AWS_ROLE_SESSION_NAME", session),
		),
		Volumes: corev1.VolumeArray{corev1.VolumeArgs{
			Name: pulumi.String(injection.TokenVolume),
			Projected: corev1.ProjectedVolumeSourceArgs{
				DefaultMode: pulumi.Int(secretMode),
				Sources: corev1.VolumeProjectionArray{corev1.VolumeProjectionArgs{
					ServiceAccountToken: corev1.ServiceAccountTokenProjectionArgs{
						Audience:          pulumi.String(audience),
						ExpirationSeconds: pulumi.Int(expiration),
						Path:              pulumi.String(injection.TokenFile),
					},
				}},
			},
		}},
		Mounts: corev1.VolumeMountArray{readOnly(injection.TokenVolume, injection.TokenDirectory)},
	}})
}

// secretMode is the mode of tokens, keys and certificates in a pod: root's, and
// readable by the pod's fsGroup.
const secretMode = 0o440

// builder makes the children of a workload, in order.
type builder struct {
	ctx       *pulumi.Context
	name      string
	identity  Identity
	component *Workload
	typeToken string
	// labels are the ServiceAccount's, beside those of all children.
	labels map[string]string
	// account is the ServiceAccount, once it is made; nil for an existing one.
	account *corev1.ServiceAccount
	// before are the children that a pod needs.
	before []pulumi.Resource
}

func newBuilder(ctx *pulumi.Context, typeToken, name string, identity Identity, opts []pulumi.ResourceOption) (*builder, error) {
	b := &builder{ctx: ctx, name: name, identity: identity, component: &Workload{}, typeToken: typeToken,
		before: slices.Clone(identity.After)}
	if err := ctx.RegisterComponentResource(typeToken, name, b.component, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", typeToken, name, err)
	}
	return b, nil
}

// child returns the options of the next child: after those made so far.
func (b *builder) child() []pulumi.ResourceOption {
	options := []pulumi.ResourceOption{pulumi.Parent(b.component)}
	if len(b.before) > 0 {
		// Manifests name each other by plain strings, which a preview shows
		// and Pulumi does not order by.
		options = append(options, pulumi.DependsOn(b.before))
	}
	return options
}

// metadata returns a child's metadata. Names are physical: manifests outside
// this program refer to them.
func (b *builder) metadata(name string) metav1.ObjectMetaArgs {
	return metav1.ObjectMetaArgs{
		Namespace: pulumi.String(b.identity.Namespace),
		Name:      pulumi.String(name),
		Labels: pulumi.StringMap{
			"app.kubernetes.io/name": pulumi.String(names.Shorten(b.identity.ServiceAccount, 63)),
			PartOfLabel:              pulumi.String(PartOf),
		},
	}
}

func (b *builder) serviceAccount(annotations pulumi.StringMap) error {
	b.component.Annotate = b.annotate(annotations)
	if b.identity.ExistingAccount {
		b.component.ServiceAccount = pulumi.String(b.identity.ServiceAccount).ToStringOutput()
		return nil
	}
	metadata := b.metadata(b.identity.ServiceAccount)
	if b.identity.Clear != nil {
		metadata.Name = once(b.identity.Clear, b.identity.ServiceAccount)
	}
	if annotations != nil {
		metadata.Annotations = annotations
	}
	if b.identity.Owner != "" {
		metadata.Labels.(pulumi.StringMap)[OwnerLabel] = pulumi.String(b.identity.Owner)
	}
	for key, value := range b.labels {
		metadata.Labels.(pulumi.StringMap)[key] = pulumi.String(value)
	}
	account, err := corev1.NewServiceAccount(b.ctx, b.name+"-account", &corev1.ServiceAccountArgs{Metadata: metadata}, b.child()...)
	if err != nil {
		return fmt.Errorf("service account %s/%s: %w", b.identity.Namespace, b.identity.ServiceAccount, err)
	}
	b.account = account
	b.before = append(b.before, account)
	b.component.ServiceAccount = account.Metadata.Name().Elem()
	return nil
}

// once is a name that is not used before an input has resolved.
func once(clear pulumi.StringInput, name string) pulumi.StringOutput {
	return clear.ToStringOutput().ApplyT(func(string) string { return name }).(pulumi.StringOutput)
}

// annotate returns the commands that give an existing ServiceAccount its
// annotations and labels.
func (b *builder) annotate(annotations pulumi.StringMap) pulumi.StringOutput {
	if !b.identity.ExistingAccount || len(annotations) == 0 {
		return pulumi.String("").ToStringOutput()
	}
	return annotations.ToStringMapOutput().ApplyT(func(values map[string]string) string {
		command := func(verb string, values map[string]string) string {
			words := []string{"kubectl --namespace", b.identity.Namespace, verb, "serviceaccount", b.identity.ServiceAccount, "--overwrite"}
			for _, key := range slices.Sorted(maps.Keys(values)) {
				words = append(words, key+"="+values[key])
			}
			return strings.Join(words, " ")
		}
		commands := command("annotate", values)
		if len(b.labels) > 0 {
			commands += " && " + command("label", b.labels)
		}
		return commands
	}).(pulumi.StringOutput)
}

// finish makes the demo pod if there is one, and registers the outputs.
func (b *builder) finish(demo *Demo, roleArn pulumi.StringInput, in parts) (*Workload, error) {
	prove := ""
	if demo != nil {
		if err := b.demoPod(demo, roleArn, in); err != nil {
			return nil, err
		}
		prove = fmt.Sprintf("kubectl --namespace %s exec %s --container %s -- aws sts get-caller-identity",
			b.identity.Namespace, demo.podName(b.identity), appContainer)
	}
	b.component.Prove = pulumi.String(prove).ToStringOutput()
	if err := outputs.Register(b.ctx, b.component); err != nil {
		return nil, fmt.Errorf("%s %q: %w", b.typeToken, b.name, err)
	}
	return b.component, nil
}

// parts is what a pod's manifest has to have the identity.
type parts struct {
	injection.Parts
	// by injects them instead, into pods with this identity.
	by       *injection.Injector
	identity pulumi.StringInput
}

func env(name, value string) corev1.EnvVarArgs {
	return corev1.EnvVarArgs{Name: pulumi.String(name), Value: pulumi.String(value)}
}

// regionEnv gives the region by both names that SDKs read.
func regionEnv(region string) corev1.EnvVarArray {
	return corev1.EnvVarArray{env("AWS_REGION", region), env("AWS_DEFAULT_REGION", region)}
}

// noMetadata keeps SDKs that lost their configuration from falling back to the
// node's role.
func noMetadata() corev1.EnvVarArgs { return env("AWS_EC2_METADATA_DISABLED", "true") }

func readOnly(volume, path string) corev1.VolumeMountArgs {
	return corev1.VolumeMountArgs{Name: pulumi.String(volume), MountPath: pulumi.String(path), ReadOnly: pulumi.Bool(true)}
}

// validate checks what all kinds of workloads have in common, and adds the
// faults that the caller found.
func validate(kind, name string, identity Identity, demo *Demo, required map[string]pulumi.StringInput, faults []error) error {
	errs := faults
	errs = append(errs, rules.Fault("namespace", identity.Namespace, rules.Label(identity.Namespace)),
		rules.Fault("ServiceAccount", identity.ServiceAccount, rules.Subdomain(identity.ServiceAccount)))
	if identity.Region == "" {
		errs = append(errs, errors.New("region is missing"))
	}
	var missing []string
	for key, input := range required {
		if input == nil {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("missing: %s", strings.Join(sorted(missing), ", ")))
	}
	if demo != nil {
		errs = append(errs, demo.faults(identity)...)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s %q: %w", kind, name, err)
	}
	return nil
}
