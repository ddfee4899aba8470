package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/bench/internal/target"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

// where are the flags that say what is measured.
type where struct {
	setups   []string
	variants []string
	clusters []string
	clients  []string
	keys     []string
	sdkImage string
	identity string
	up       bool
	keep     bool
}

func (f *where) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.setups, "setup", nil, "setups in the lab, separated by commas, or all; the default is all unless --cluster is given")
	flags.StringArrayVar(&f.variants, "variant", nil, "a further case in a lab of its own, with changes of the configuration: NAME=SETUP,key=value,... (repeatable)")
	flags.StringArrayVar(&f.clusters, "cluster", nil, "a cluster that is not the lab's: NAME=SETUP,KUBECONFIG (repeatable)")
	flags.StringSliceVar(&f.clients, "client", []string{target.ClientCLI}, "clients in the pods: cli (the demo's image), sdk (--sdk-image)")
	flags.StringSliceVar(&f.keys, "keys", []string{"cached"}, "STS's cache of the issuer's keys: cached (as time leaves it), cold (emptied before each run of irsa-*, lab only)")
	flags.StringVar(&f.sdkImage, "sdk-image", "k3s-aws-auth/sdk-client:latest", "image with /bin/sh and scripts/lab/awscli as aws; the lab knows the default")
	flags.StringVar(&f.identity, "identity", "", "name of the demo pod that is copied (default: the first)")
	flags.BoolVar(&f.up, "up", false, "start labs that are not running, and take those down at the end")
	flags.BoolVar(&f.keep, "keep", false, "with --up: leave the labs running")
}

// variant is a parsed --variant or --cluster.
type variant struct {
	name, setup string
	rest        []string
}

func parseVariant(list setups.List, flag, text string) (variant, error) {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	v := variant{name, parts[0], parts[1:]}
	_, known := list.Find(v.setup)
	switch {
	case !ok || name == "" || len(v.rest) == 0:
		return v, cli.Usage(fmt.Errorf("--%s: found %q: must be NAME=SETUP,key=value", flag, text))
	case !known:
		return v, cli.Usage(fmt.Errorf("--%s: found setup %q: must be one of %s", flag, v.setup, strings.Join(list.Names(), ", ")))
	case strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, "."):
		return v, cli.Usage(fmt.Errorf("--%s: found name %q: must be a name without slashes", flag, name))
	}
	return v, nil
}

// plan is what the flags ask for, checked.
type plan struct {
	// list are all setups that there are, setups the names of those that are asked for.
	list               setups.List
	setups             []string
	variants, clusters []variant
	cold               []bool
}

func (f *where) plan() (*plan, error) {
	all, err := setups.Around()
	if err != nil {
		return nil, err
	}
	p := &plan{list: all, setups: f.setups}
	if len(p.setups) == 0 && len(f.clusters) == 0 {
		p.setups = []string{setups.All}
	}
	if slices.Equal(p.setups, []string{setups.All}) {
		p.setups = all.Names()
	}
	for _, s := range p.setups {
		if _, ok := all.Find(s); !ok {
			return nil, cli.Usage(fmt.Errorf("--setup: found %q: must be all or of %s", s, strings.Join(all.Names(), ", ")))
		}
	}
	names := slices.Clone(p.setups)
	for flag, list := range map[string][]string{"variant": f.variants, "cluster": f.clusters} {
		for _, text := range list {
			v, err := parseVariant(all, flag, text)
			if err != nil {
				return nil, err
			}
			if slices.Contains(names, v.name) {
				return nil, cli.Usage(fmt.Errorf("--%s: the name %s is there already", flag, v.name))
			}
			names = append(names, v.name)
			if flag == "cluster" {
				p.clusters = append(p.clusters, v)
			} else {
				p.variants = append(p.variants, v)
			}
		}
	}
	if len(f.clients) == 0 {
		return nil, cli.Usage(errors.New("--client: must be cli, sdk or both"))
	}
	for _, c := range f.clients {
		if c != target.ClientCLI && c != target.ClientSDK {
			return nil, cli.Usage(fmt.Errorf("--client: found %q: must be cli or sdk", c))
		}
	}
	for _, k := range f.keys {
		if k != "cached" && k != "cold" {
			return nil, cli.Usage(fmt.Errorf("--keys: found %q: must be cached or cold", k))
		}
		p.cold = append(p.cold, k == "cold")
	}
	return p, nil
}

// session is the open targets of a benchmark, and what is to be taken down at its end.
type session struct {
	cases   []*target.Case
	targets []*target.Target
	close   func(context.Context) error
}

// open starts the labs that are asked for and connects to all targets. close is to be called also after an error.
func (f *where) open(ctx context.Context, p *plan, scripts string, progress io.Writer) (s *session, err error) {
	s = &session{}
	temporary, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	closers := []func(context.Context) error{func(context.Context) error { return os.RemoveAll(temporary) }}
	s.close = func(ctx context.Context) error {
		var errs []error
		for _, c := range slices.Backward(closers) {
			errs = append(errs, c(ctx))
		}
		return errors.Join(errs...)
	}
	var command *labs.Command // built once it is needed
	add := func(root, name, setup string, changes []string) error {
		lab, err := labs.Open(root, setup)
		if errors.Is(err, labs.ErrNotRunning) {
			if !f.up {
				return fmt.Errorf("%w: start it with `lab up`, or let --up do it", err)
			}
			if command == nil {
				if command, err = labs.Build(ctx, scripts, temporary, progress); err != nil {
					return err
				}
			}
			if !f.keep {
				closers = append(closers, func(ctx context.Context) error { return command.Down(ctx, root, setup) })
			}
			_, _ = fmt.Fprintf(progress, "starting a lab for %s\n", name)
			lab, err = command.Up(ctx, root, setup, changes...)
		}
		if err != nil {
			return err
		}
		facts, err := p.list.Get(setup)
		if err != nil {
			return err
		}
		t, err := target.Open(ctx, name, facts, lab.Kubeconfig, f.identity, lab)
		s.targets = append(s.targets, t)
		return err
	}
	for _, setup := range p.setups {
		if err := add("", setup, setup, nil); err != nil {
			return s, err
		}
	}
	for _, v := range p.variants {
		root, err := variantRoot(v.name)
		if err == nil {
			err = add(root, v.name, v.setup, v.rest)
		}
		if err != nil {
			return s, err
		}
	}
	for _, c := range p.clusters {
		facts, err := p.list.Get(c.setup)
		if err != nil {
			return s, err
		}
		t, err := target.Open(ctx, c.name, facts, strings.Join(c.rest, ","), f.identity, nil)
		if err != nil {
			return s, err
		}
		s.targets = append(s.targets, t)
	}
	s.cases, err = target.Cases(s.targets, f.clients, f.sdkImage, p.cold)
	if err == nil && len(s.cases) == 0 {
		err = cli.Usage(errors.New("--keys cold leaves no case: only setups whose pods present a token have keys to fetch"))
	}
	return s, err
}

// variantRoot is a directory for the lab of a variant, below that of the setups.
func variantRoot(name string) (string, error) {
	root, err := labs.Root()
	return filepath.Join(root, "variants", name), err
}
