package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/bench/internal/latency"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/labs"
)

// measuring is what commands that measure have in common: where, how patiently, with which delays, and where to.
type measuring struct {
	where
	timeout      time.Duration
	profile, dir string
	asJSON       bool
}

func (f *measuring) add(cmd *cobra.Command, timeout time.Duration) {
	f.where.add(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&f.timeout, "timeout", timeout, "how long a pod goes on asking STS")
	flags.StringVar(&f.profile, "latency", "", "file of delays that the lab adds to AWS's answers")
	flags.StringVar(&f.dir, "dir", "", "directory of the results (default bench-results/<time>)")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object on standard output")
}

// delays checks the flags in common and reads the file of delays; nil where none is named.
func (f *measuring) delays(p *plan) (*latency.Profile, error) {
	if f.timeout < time.Second {
		return nil, cli.Usage(errors.New("--timeout: must be at least 1s"))
	}
	if f.profile == "" {
		return nil, nil
	}
	profile, err := latency.Read(f.profile)
	if err != nil {
		return nil, cli.Usage(err)
	}
	if len(p.clusters) > 0 {
		return nil, cli.Usage(errors.New("--latency: only the lab can delay AWS's answers, --cluster has delays of its own"))
	}
	return profile, nil
}

// during lets measure work with the targets of the plan, under the delays, and a file of runs in the directory of the
// results, which is continued where more is set. Labs and delays end with it.
func (f *measuring) during(ctx context.Context, p *plan, profile *latency.Profile, name string, more bool,
	measure func(*session, *runs.File, runs.Environment) error,
) (err error) {
	product, scripts, err := labs.Directories()
	if err != nil {
		return err
	}
	file, err := results(&f.dir, name, more)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	session, err := f.open(ctx, p, scripts, os.Stderr)
	if session != nil {
		defer func() { err = errors.Join(err, session.close(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return err
	}
	undo, err := delay(ctx, session.targets, profile)
	defer undo()
	if err != nil {
		return err
	}
	environment := runs.Here(ctx, product)
	if profile != nil {
		environment.Profile = profile.Name
	}
	return measure(session, file, environment)
}
