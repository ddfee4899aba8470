package stacks

import (
	"fmt"
	"maps"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/podrole"
	ra "k3s-aws-auth/components/rolesanywhere"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// kubernetesSide makes what identities have in the cluster, one after the
// other, and keeps what the stack says of each in its outputs.
type kubernetesSide struct {
	ctx     *pulumi.Context
	cfg     *config.Config
	cluster *cluster
	bucket  *demoBucket
	// sourceIdentity says that sessions of pods carry one.
	sourceIdentity bool
	// clear resolves once nothing of others is in the way.
	clear pulumi.StringOutput
	// namespaces are those that the stack makes, by name.
	namespaces map[string]pulumi.Resource
	outputs    pulumi.Array
}

// newKubernetesSide makes the namespaces. kind is the type token of the workloads
// that go into them.
func newKubernetesSide(ctx *pulumi.Context, cfg *config.Config, cluster *cluster, bucket *demoBucket, kind string) (*kubernetesSide, error) {
	k := &kubernetesSide{ctx: ctx, cfg: cfg, cluster: cluster, bucket: bucket,
		clear: clearOfOthers(ctx, cfg, cluster), namespaces: map[string]pulumi.Resource{}}
	for _, wanted := range cfg.Namespaces() {
		// One that stays behind is the stack's own when it is wanted again.
		provider, err := cluster.adopting(ctx, cfg)
		if err != nil {
			return nil, err
		}
		made, err := workload.NewNamespace(ctx, named(cfg, wanted.Name), &workload.NamespaceArgs{
			Name: wanted.Name, Owner: cfg.ClusterName, Level: wanted.Level, Clear: k.clear,
			FormerURNs: formerNamespaces(ctx, cfg, wanted.Name, kind),
		}, pulumi.Provider(provider))
		if err != nil {
			return nil, err
		}
		k.namespaces[wanted.Name] = made.Resource
	}
	return k, nil
}

// formerNamespaces are the URNs that a namespace may have in a stack of an earlier
// release, in which it was a child of whichever identity was the first of it.
func formerNamespaces(ctx *pulumi.Context, cfg *config.Config, namespace, kind string) []pulumi.URN {
	var urns []pulumi.URN
	for _, identity := range cfg.Identities {
		if identity.Namespace == namespace {
			urns = append(urns, pulumi.URN(fmt.Sprintf("urn:pulumi:%s::%s::%s$kubernetes:core/v1:Namespace::%s-namespace",
				ctx.Stack(), ctx.Project(), kind, formerName(cfg, identity))))
		}
	}
	return urns
}

// instanceProfile makes the Kubernetes side of an identity whose pods use the
// agents' role.
func (k *kubernetesSide) instanceProfile(identity config.Identity, account config.Account) error {
	return k.add(identity, account, k.cluster.agentRoleArn, nil, func(name string, who workload.Identity, demo *workload.Demo, opts ...pulumi.ResourceOption) (*workload.Workload, error) {
		return workload.NewInstanceProfile(k.ctx, name, &workload.InstanceProfileArgs{
			Identity: who, RoleArn: k.cluster.agentRoleArn, Demo: demo,
		}, opts...)
	})
}

// webIdentity makes the Kubernetes side of an identity whose pods present
// tokens of its service account, which injector gives them unless it is nil.
func (k *kubernetesSide) webIdentity(identity config.Identity, account config.Account, role *podrole.PodRole, injector *injection.Injector) error {
	return k.add(identity, account, role.Arn, nil, func(name string, who workload.Identity, demo *workload.Demo, opts ...pulumi.ResourceOption) (*workload.Workload, error) {
		return workload.NewWebIdentity(k.ctx, name, &workload.WebIdentityArgs{
			Identity: who, RoleArn: role.Arn, PullsImages: len(identity.Pull) > 0, Injector: injector, Demo: demo,
		}, opts...)
	})
}

// certificate makes the Kubernetes side of an identity whose pods present its
// certificate, which injector gives them unless it is nil.
func (k *kubernetesSide) certificate(identity config.Identity, account config.Account, role *podrole.PodRole, anchor *ra.Anchor, profile *ra.Profile,
	leaf *ra.Leaf, injector *injection.Injector) error {
	outputs := pulumi.Map{"certificateSerial": leaf.Serial}
	return k.add(identity, account, role.Arn, outputs, func(name string, who workload.Identity, demo *workload.Demo, opts ...pulumi.ResourceOption) (*workload.Workload, error) {
		return workload.NewRolesAnywhere(k.ctx, name, &workload.RolesAnywhereArgs{
			Identity:       who,
			RoleArn:        role.Arn,
			ProfileArn:     profile.NamedArn,
			TrustAnchorArn: anchor.Arn,
			CertPem:        leaf.CertPem,
			KeyPem:         leaf.KeyPem,
			SessionName:    k.sessionName(account),
			SessionSeconds: k.cfg.RolesAnywhere.SessionSeconds,
			Helper:         helper(k.cfg),
			Injector:       injector,
			Demo:           demo,
		}, opts...)
	})
}

// sessionName is what rolesAnywhere.sessionName names an account's sessions;
// empty where it leaves them as they are.
func (k *kubernetesSide) sessionName(account config.Account) string {
	if k.cfg.RolesAnywhere.SessionName != config.SessionPod {
		return ""
	}
	return names.Session(account.Namespace, account.Name)
}

type newWorkload func(name string, who workload.Identity, demo *workload.Demo, opts ...pulumi.ResourceOption) (*workload.Workload, error)

// add makes the workload of a service account in the cluster and notes its outputs,
// with those that are its own.
func (k *kubernetesSide) add(identity config.Identity, account config.Account, roleArn pulumi.StringOutput, own pulumi.Map, create newWorkload) error {
	var after []pulumi.Resource
	if namespace, made := k.namespaces[account.Namespace]; made {
		after = append(after, namespace)
	}
	w, err := create(named(k.cfg, account.Key()), workload.Identity{
		Namespace:       account.Namespace,
		ServiceAccount:  account.Name,
		Owner:           k.cfg.ClusterName,
		ExistingAccount: !identity.CreateAccount,
		After:           after,
		Clear:           k.clear,
		Region:          k.cfg.Region,
	}, k.demo(identity, account), pulumi.Provider(k.cluster.provider), formerly(k.cfg, identity, account))
	if err != nil {
		return err
	}
	output := pulumi.Map{
		"name":           pulumi.String(identity.Name),
		"namespace":      pulumi.String(account.Namespace),
		"serviceAccount": pulumi.String(account.Name),
		"roleArn":        roleArn,
		"prove":          prove(account, w),
	}
	if session := k.sessionName(account); session != "" {
		output["sessionName"] = pulumi.String(session)
	}
	if len(identity.AssumeRoles) > 0 {
		output["assumeRoles"] = k.assumeRoles(identity, roleArn)
	}
	if len(identity.PrefixPerPod) > 0 {
		output["prefixes"] = prefixes(identity, account, k.bucket)
	}
	if !identity.CreateAccount {
		output["annotate"] = w.Annotate
	}
	maps.Copy(output, own)
	k.outputs = append(k.outputs, output)
	return nil
}

// assumeRoles lists the roles that the identity may assume in its turn, each with
// the trust policy that it needs in its own account.
func (k *kubernetesSide) assumeRoles(identity config.Identity, roleArn pulumi.StringOutput) pulumi.Array {
	var roles pulumi.Array
	for _, role := range identity.AssumeRoles {
		roles = append(roles, pulumi.Map{
			"roleArn": pulumi.String(role.RoleArn),
			"trustPolicy": roleArn.ApplyT(func(principal string) (string, error) {
				return iampolicy.AssumeRoleTrust(principal, role.ExternalID, k.sourceIdentity).JSON()
			}).(pulumi.StringOutput),
		})
	}
	return roles
}

// demo describes the pod that proves an identity of an account, or is nil.
func (k *kubernetesSide) demo(identity config.Identity, account config.Account) *workload.Demo {
	if k.bucket == nil {
		return nil
	}
	pod := identity.PodName(account)
	demo := &workload.Demo{
		Bucket:  k.bucket.Name,
		Prefix:  demoPrefix(identity, account),
		Image:   k.cfg.DemoImage,
		PodName: pod,

		ResourceName: named(k.cfg, account.Namespace+"."+pod+"-pod"),
	}
	if account == identity.Account() {
		demo.FormerName = formerName(k.cfg, identity) + "-pod"
	}
	return demo
}

// prove is the command that shows an identity from inside a pod: the demo's, or
// any other that runs with it.
func prove(account config.Account, w *workload.Workload) pulumi.StringOutput {
	return w.Prove.ApplyT(func(command string) string {
		if command != "" {
			return command
		}
		return fmt.Sprintf("kubectl --namespace %s exec <pod of service account %s> -- aws sts get-caller-identity",
			account.Namespace, account.Name)
	}).(pulumi.StringOutput)
}

// export writes the outputs that all setups have.
func (k *kubernetesSide) export() {
	// Marked here too: whoever has it is the cluster's administrator.
	k.ctx.Export("kubeconfig", pulumi.ToSecret(k.cluster.kubeconfig))
	k.ctx.Export("endpoint", k.cluster.endpoint)
	k.ctx.Export("identities", k.outputs)
}
