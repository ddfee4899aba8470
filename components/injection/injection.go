// Package injection makes a cluster give pods what their identity needs, so that
// an ordinary Deployment has the identity of its ServiceAccount without a word
// about AWS in it: a projected token, the role, the region. Two constructors do
// the same in two ways: [NewAdmissionPolicy] lets the API server do it, and
// [NewWebhook] runs the webhook that EKS has.
//
// Both read the annotations of the EKS pod identity webhook on ServiceAccounts;
// the policy looks at ServiceAccounts with [Label] only.
package injection

import (
	"context"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/kubeclient"
)

// Type tokens of the components. Changing one needs an alias.
const (
	AdmissionPolicyType = "k3s-aws-auth:injection:AdmissionPolicy"
	WebhookType         = "k3s-aws-auth:injection:Webhook"
)

// What a ServiceAccount says about its pods' identity.
const (
	// Label marks the ServiceAccounts that the policy looks at.
	Label      = "k3s-aws-auth/injection"
	LabelValue = "enabled"
	// AnnotationPrefix is that of the webhook's annotations: role-arn, audience,
	// token-expiration, sts-regional-endpoints, and skip-containers on pods.
	AnnotationPrefix = "eks.amazonaws.com/"
	// SessionNameAnnotation is the session name of the pods, which the policy
	// injects and the webhook does not know.
	SessionNameAnnotation = "k3s-aws-auth/session-name"
)

// What the webhook does without annotations, and so the policy too.
const (
	DefaultAudience               = "sts.amazonaws.com"
	DefaultTokenExpirationSeconds = 86400
	MinTokenExpirationSeconds     = 600
	// TokenVolume, TokenDirectory and TokenFile are where pods find the token.
	TokenVolume    = "aws-iam-token"                                     //nolint:gosec // the name of a volume
	TokenDirectory = "/var/run/secrets/eks.amazonaws.com/serviceaccount" //nolint:gosec // a path
	TokenFile      = "token"
)

// Injector is what injects, whichever it is.
type Injector struct {
	pulumi.ResourceState

	// after are the resources that make it, the last ones.
	after      []pulumi.Resource
	kubeconfig pulumi.StringOutput
}

// Account is a ServiceAccount that is there, with the identity of its pods.
type Account struct {
	Namespace, Name string
	// Identity is what tells injected pods: the role that they assume, or the
	// Secret with their certificate.
	Identity pulumi.StringInput
	// Resource is the ServiceAccount; nil for one that the stack does not make.
	Resource pulumi.CustomResource
}

// Await returns the ServiceAccount's name for a pod that must not be made before
// its identity is injected: it resolves once pods of that ServiceAccount get it.
// API servers notice a new policy, webhook or ServiceAccount only some
// moments later, each for itself, and would let a pod pass until then. Previews
// do not wait.
func (i *Injector) Await(ctx *pulumi.Context, account Account) pulumi.StringOutput {
	if ctx.DryRun() {
		return pulumi.String(account.Name).ToStringOutput()
	}
	needed := []any{i.kubeconfig, account.Identity.ToStringOutput()}
	if account.Resource != nil {
		needed = append(needed, account.Resource.ID())
	}
	for _, resource := range i.after {
		needed = append(needed, resource.(pulumi.CustomResource).ID())
	}
	name := pulumi.All(needed...).ApplyTWithContext(ctx.Context(), func(waiting context.Context, values []any) (string, error) {
		access, err := kubeclient.Parse(values[0].(string))
		if err != nil {
			return "", err
		}
		progress := func(answer string) {
			_ = ctx.Log.Info(fmt.Sprintf("waiting for the injection into pods of %s/%s: %s", account.Namespace, account.Name, answer),
				&pulumi.LogArgs{Resource: i, Ephemeral: true})
		}
		return account.Name, awaitInjection(waiting, access, account.Namespace, account.Name, values[1].(string), injectionDeadline, progress)
	}).(pulumi.StringOutput)
	// The name is no secret, though the kubeconfig is.
	return pulumi.Unsecret(name).(pulumi.StringOutput)
}
