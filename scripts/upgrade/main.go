// Command upgrade proves in the lab that a stack of an older release becomes one of this directory without losing what
// holds identity or data, and without one failed exchange of credentials on the way.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/setups"
)

func main() { cli.Main(command()) }

// result is the JSON of a check.
type result struct {
	From  string `json:"from"`
	Setup string `json:"setup"`
	Steps []Step `json:"steps"`
	// Exchanges is how many exchanges of credentials were made while the upgrade ran.
	Exchanges int `json:"exchanges"`
	// LongestGap is the longest time between the beginnings of two exchanges, in seconds: where it is long, a failure
	// could have hidden in it.
	LongestGap float64 `json:"longestGapSeconds"`
}

func command() *cobra.Command {
	var o options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "upgrade --from REF",
		Short: "Upgrade a stack of an older release in the lab, under a constant load of exchanges",
		Long: `Deploys the program and the stack file of a git ref in a lab, previews this directory's program with the same stack
file, and fails where anything is replaced or deleted that may hold identity or data: everything but a short list of types
(see holdsNothing in scripts/upgrade/judge.go). What of that list is replaced or deleted, CHANGELOG.md must name under
"Upgrading". Then it upgrades, while a pod exchanges its credentials again and again, and fails on the first exchange that
fails or is answered for another role.`,
		Example: `  upgrade --from v0.1.0
  upgrade --from main~20 --setup roles-anywhere --json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.from == "" {
				return cli.Usage(errors.New("--from is missing: the git ref whose stack is upgraded, such as the last tag"))
			}
			all, err := o.run(cmd.Context())
			if asJSON {
				return errors.Join(err, json.NewEncoder(os.Stdout).Encode(all))
			}
			for _, res := range all {
				if res.Exchanges > 0 {
					fmt.Printf("%s from %s: %s; %d exchanges while it ran, none failed (longest gap %.1f s)\n",
						res.Setup, res.From, summary(res.Steps), res.Exchanges, res.LongestGap)
				}
			}
			return err
		},
	}
	cli.Strict(cmd)
	cmd.Flags().StringVar(&o.from, "from", "", "git `REF` of the release to begin with")
	cmd.Flags().StringVar(&o.to, "to", "", "`DIRECTORY` with the program to upgrade to; this one where empty")
	cmd.Flags().StringVar(&o.setup, "setup", "irsa-s3", "`SETUP` to deploy, or all of them: all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

type options struct{ from, to, setup string }

// summary counts steps.
func summary(steps []Step) string {
	if len(steps) == 0 {
		return "nothing changes"
	}
	count := map[string]int{}
	for _, s := range steps {
		count[s.Op]++
	}
	var parts []string
	for _, op := range []string{"create", "update", "replace", "delete"} {
		if count[op] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", count[op], op))
		}
	}
	return strings.Join(parts, ", ")
}

// run upgrades one setup after the other. It returns what it saw with the error.
func (o options) run(ctx context.Context) (all []*result, err error) {
	all = []*result{}
	dir, err := os.MkdirTemp("", "upgrade-") // short: sockets are below it
	if err != nil {
		return all, err
	}
	defer os.RemoveAll(dir)
	b, err := prepare(ctx, o.from, o.to, dir)
	if err != nil {
		return all, err
	}
	list, err := setups.Load(b.now)
	if err != nil {
		return all, err
	}
	chosen := list.Names()
	if _, ok := list.Find(o.setup); ok {
		chosen = []string{o.setup}
	} else if o.setup != "all" {
		return all, cli.Usage(fmt.Errorf("--setup: found %q: must be one of %s, or all", o.setup, strings.Join(list.Names(), ", ")))
	}
	for _, setup := range chosen {
		res, err := b.upgrade(ctx, o.from, setup)
		all = append(all, res)
		if err != nil {
			return all, fmt.Errorf("%s: %w", setup, err)
		}
	}
	return all, nil
}

// upgrade deploys the old program and upgrades it to the new one, in a lab of its own.
func (b *bench) upgrade(ctx context.Context, from, setup string) (res *result, err error) {
	res = &result{From: from, Setup: setup, Steps: []Step{}}
	fmt.Fprintf(os.Stderr, "deploying %s at %s\n", setup, from)
	defer func() {
		err = errors.Join(err, b.lab(context.WithoutCancel(ctx), nil, "down", "--setup", setup))
	}()
	deploy := func() error { return b.lab(ctx, nil, "up", "--setup", setup, "--project", b.old, "--json") }
	if err = deploy(); err != nil && ctx.Err() == nil {
		// A release from before it was known how slow AWS is (a public policy right after its block was opened) fails
		// here as it does there, and goes on where it stopped.
		fmt.Fprintf(os.Stderr, "%s stopped. Once more, as one does on AWS\n", from)
		err = deploy()
	}
	if err != nil {
		return res, fmt.Errorf("deploy %s: %w", from, err)
	}
	var preview bytes.Buffer
	if err := b.lab(ctx, &preview, "preview", "--setup", setup, "--project", b.now); err != nil {
		return res, fmt.Errorf("preview the upgrade: %w", err)
	}
	if res.Steps, err = Changes(preview.Bytes()); err != nil {
		return res, err
	}
	fmt.Fprintf(os.Stderr, "the upgrade: %s\n", summary(res.Steps))
	changelog, err := os.ReadFile(filepath.Join(b.now, "CHANGELOG.md"))
	if err != nil {
		return res, err
	}
	if err := Judge(res.Steps, string(changelog)); err != nil {
		return res, err
	}
	load, err := startLoad(ctx, filepath.Join(b.labs, setup, "kubeconfig"))
	if err != nil {
		return res, err
	}
	defer load.stop()
	upgrading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go load.watch(upgrading, cancel)
	upErr := b.lab(upgrading, nil, "up", "--setup", setup, "--project", b.now, "--json")
	if cause := context.Cause(upgrading); cause != nil && ctx.Err() == nil {
		return res, cause
	}
	if upErr != nil {
		return res, fmt.Errorf("upgrade: %w", upErr)
	}
	// What fails only after the last step fails still.
	if err := sleep(upgrading, 5*time.Second); err != nil {
		return res, context.Cause(upgrading)
	}
	res.Exchanges, res.LongestGap, err = load.end(ctx)
	return res, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
