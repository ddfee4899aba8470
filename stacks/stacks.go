// Package stacks composes the components into the four setups, one short file
// each, and is where a run begins.
package stacks

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/existing"
	"k3s-aws-auth/stacks/config"
)

// setup is one way of giving pods their AWS credentials.
type setup struct {
	// name is the value of the configuration key setup.
	name string
	// facts are what everybody else decides by.
	facts config.Facts
	// check adds what is wrong with the configuration for this setup alone.
	check func(*config.Config, *config.Problems)
	// deploy registers everything.
	deploy func(*pulumi.Context, *config.Config) error
}

// registry lists every setup, in the order of what a pod presents. Nothing else in the program knows them all; setups.json
// tells tools outside of this module what it says, and a test holds it to this.
var registry = []setup{
	instanceProfile,
	irsaS3,
	irsaCloudFront,
	rolesAnywhere,
}

// Setups returns the names of all setups, sorted.
func Setups() []string {
	var names []string
	for _, s := range registry {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// Facts returns every setup as those see it that decide by facts, without the
// rules that are its own, in the registry's order.
func Facts() []config.Setup {
	list := known(registry)
	for i := range list {
		list[i].Check = nil
	}
	return list
}

// known is what the configuration is told of setups.
func known(list []setup) []config.Setup {
	var all []config.Setup
	for _, s := range list {
		all = append(all, config.Setup{Name: s.name, Facts: s.facts, Check: func(cfg *config.Config, p *config.Problems) {
			if s.check != nil {
				s.check(cfg, p)
			}
			checkKubeconfig(cfg, p)
		}})
	}
	return all
}

// checkKubeconfig adds what is wrong with an existing cluster's kubeconfig, with
// the rest.
func checkKubeconfig(cfg *config.Config, p *config.Problems) {
	if !cfg.Existing() || cfg.Cluster.Kubeconfig == "" {
		return
	}
	if _, err := existing.Parse(cfg.Cluster.Kubeconfig); err != nil {
		p.Add("cluster.kubeconfig", "one that does not do", "self-contained and of use to this program: %v", err)
	}
}

// Load reads and validates the stack's configuration. It is the only reader of
// configuration; its error lists everything that is wrong, one line each.
func Load(ctx *pulumi.Context) (*config.Config, error) { return config.Load(ctx, known(registry)) }

// Run is the program: it loads the configuration and deploys the setup that it
// selects.
func Run(ctx *pulumi.Context) error {
	cfg, err := Load(ctx)
	if err != nil {
		return fmt.Errorf("the stack's configuration is not valid:\n%w", err)
	}
	if err := checkExisting(ctx, cfg); err != nil {
		return fmt.Errorf("the existing cluster has what the stack would make:\n%w", err)
	}
	i := slices.IndexFunc(registry, func(s setup) bool { return s.name == cfg.Setup })
	if err := registry[i].deploy(ctx, cfg); err != nil {
		return fmt.Errorf("setup %s: %w", cfg.Setup, err)
	}
	ctx.Export("setup", pulumi.String(cfg.Setup))
	return nil
}
