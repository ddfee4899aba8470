package stacks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/existing"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// errUnseen is that the cluster does not show what it has.
var errUnseen = errors.New("what is in the cluster already cannot be seen")

// refuseOthers reports namespaces and ServiceAccounts that the stack would make
// and that somebody else has made, all of them at once.
func refuseOthers(ctx context.Context, cfg *config.Config, access *existing.Access) error {
	want := existing.Wanted{Accounts: map[string][]string{}}
	for _, namespace := range cfg.Namespaces() {
		want.Namespaces = append(want.Namespaces, namespace.Name)
	}
	if cfg.Injects() && cfg.Injection == config.InjectionWebhook {
		want.Namespaces = append(want.Namespaces, cfg.Webhook.Namespace)
	}
	for _, identity := range cfg.Identities {
		if identity.CreateAccount {
			for _, account := range identity.Accounts() {
				want.Accounts[account.Namespace] = append(want.Accounts[account.Namespace], account.Name)
			}
		}
	}
	taken, err := access.Taken(ctx, want, existing.Mark{
		PartOf: [2]string{workload.PartOfLabel, workload.PartOf},
		Owner:  [2]string{workload.OwnerLabel, cfg.ClusterName},
		Former: map[string][]string{
			workload.EnforceLabel: {workload.LevelRestricted, workload.LevelPrivileged},
			workload.WarnLabel:    {workload.LevelRestricted},
		},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnseen, err)
	}
	p := &config.Problems{}
	for _, t := range taken {
		if t.Account == "" && t.Namespace == cfg.Webhook.Namespace {
			p.Add("webhook.namespace", config.Quote(t.Namespace), "a namespace of its own: this one is there already, made by %s", t.By)
		}
		for i, identity := range cfg.Identities {
			at := fmt.Sprintf("identities[%d]", i)
			account := config.Account{Namespace: t.Namespace, Name: t.Account}
			switch {
			case t.Account == "" && identity.CreateNamespace && slices.ContainsFunc(identity.Accounts(), func(a config.Account) bool { return a.Namespace == t.Namespace }):
				p.Add(at+".createNamespace", "true", "false: namespace %s is there already, made by %s, and deploying must not change it", t.Namespace, t.By)
			case t.Account != "" && slices.Contains(identity.Accounts(), account):
				all := ""
				if len(identity.ServiceAccounts) > 0 {
					all = ", which is for all service accounts of the entry: the stack deletes those that it made,"
				}
				p.Add(identity.AccountKey(at, account), config.Quote(t.Account), "free: service account %s/%s is there already, made by %s. Leave it to them by "+
					"createServiceAccount: false%s and annotate it with the commands of the output identities; or have them give it up and delete it, "+
					"and run this again; or hand it over: kubectl --namespace %s label serviceaccount %s %s=%s, then pulumi import (docs/identities.md)",
					t.Namespace, t.Account, t.By, cmp.Or(all, ","), t.Namespace, t.Account, workload.PartOfLabel, workload.PartOf)
			}
		}
	}
	return p.Err()
}

// clearOfOthers resolves once refuseOthers has nothing to say, and waits for the
// cluster to ask it. Of an existing cluster this is known before anything is
// registered; see checkExisting.
func clearOfOthers(ctx *pulumi.Context, cfg *config.Config, cluster *cluster) pulumi.StringOutput {
	if ctx.DryRun() || cfg.Existing() {
		return pulumi.String("").ToStringOutput()
	}
	clear := cluster.kubeconfig.ApplyTWithContext(ctx.Context(), func(waiting context.Context, kubeconfig string) (string, error) {
		access, err := existing.Parse(kubeconfig)
		if err != nil {
			return "", err
		}
		return "", refuseOthers(waiting, cfg, access)
	}).(pulumi.StringOutput)
	return pulumi.Unsecret(clear).(pulumi.StringOutput)
}

const previewDeadline = 5 * time.Second

// checkExisting asks an existing cluster, in previews too, before anything is
// registered.
func checkExisting(ctx *pulumi.Context, cfg *config.Config) error {
	if !cfg.Existing() {
		return nil
	}
	access, err := existing.Parse(cfg.Cluster.Kubeconfig)
	if err != nil {
		return fmt.Errorf("cluster.kubeconfig: %w", err)
	}
	if !ctx.DryRun() {
		return refuseOthers(ctx.Context(), cfg, access)
	}
	// A preview may run where nobody reaches the cluster, and does not wait for it.
	short, cancel := context.WithTimeout(ctx.Context(), previewDeadline)
	defer cancel()
	if err = refuseOthers(short, cfg, access); errors.Is(err, errUnseen) {
		return ctx.Log.Warn(err.Error(), nil)
	}
	return err
}
