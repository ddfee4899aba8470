package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
	"k3s-aws-auth/scripts/bench/internal/latency"
	runplan "k3s-aws-auth/scripts/bench/internal/plan"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/target"
	"k3s-aws-auth/scripts/internal/cli"
)

// coldStartFlags are those of cold-start beside where.
type coldStartFlags struct {
	measuring
	runs, warmups int
	seed          uint32
	more, check   bool
}

func coldStartCommand() *cobra.Command {
	f := &coldStartFlags{}
	cmd := &cobra.Command{
		Use:   "cold-start",
		Short: "Time new pods from creation to the first answer of STS",
		Long: `cold-start makes copies of each setup's demo pod, one after the other, and times them from their creation until
"aws sts get-caller-identity" answers in them, in phases. The cases take turns in a random order.

It writes runs.csv (one row a run, added as it comes), summary.csv, charts and report.md into --dir. A case whose
warm-up runs and first three runs all fail is given up; the others go on, and the exit code is 1.`,
		Example: `  bench cold-start --up
  bench cold-start --setup instance-profile,irsa-s3 --runs 50 --seed 7 --dir out
  bench cold-start --setup instance-profile,irsa-s3 --runs 50 --dir out --append
  bench cold-start --client cli,sdk --latency scripts/bench/profiles/eu-central-1.yaml
  bench cold-start --setup instance-profile,roles-anywhere --up \
      --variant sidecar=roles-anywhere,rolesAnywhere.helper.delivery=sidecar
  bench cold-start --setup irsa-s3,irsa-cloudfront --keys cached,cold \
      --variant ttl-1=irsa-cloudfront,issuer.cacheTtlSeconds=1 --up
  bench cold-start --cluster a=instance-profile,$HOME/kubeconfig.a --cluster b=irsa-s3,$HOME/kubeconfig.b`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	f.add(cmd, time.Minute)
	flags := cmd.Flags()
	flags.IntVar(&f.runs, "runs", 30, "measured runs of each case")
	flags.IntVar(&f.warmups, "warmup", 2, "runs of each case before the measured ones")
	flags.Uint32Var(&f.seed, "seed", 0, "seed of the order and of the intervals (default: a random one, which is printed)")
	flags.BoolVar(&f.more, "append", false, "continue the runs.csv that --dir has")
	flags.BoolVar(&f.check, "check", false, "exit with 1 also where a target is missed")
	return cmd
}

func (f *coldStartFlags) run(ctx context.Context) error {
	p, err := f.plan()
	if err != nil {
		return err
	}
	switch {
	case f.runs < 1:
		return cli.Usage(errors.New("--runs: must be at least 1"))
	case f.warmups < 0:
		return cli.Usage(errors.New("--warmup: must not be negative"))
	}
	profile, err := f.delays(p)
	if err != nil {
		return err
	}
	if f.seed == 0 {
		f.seed = rand.Uint32() //nolint:gosec // an order, not a secret
	}
	return f.during(ctx, p, profile, runsFile, f.more, func(s *session, file *runs.File, environment runs.Environment) error {
		environment.Seed = int(f.seed)
		fmt.Fprintf(os.Stderr, "%d cases, %d runs each after %d to warm up, seed %d\n", len(s.cases), f.runs, f.warmups, f.seed)
		measured := f.measure(ctx, s, file, environment)
		// What was measured is reported also where something failed or was interrupted.
		result, err := makeReport(f.dir, profile, f.command())
		if err == nil {
			if f.asJSON {
				err = json.NewEncoder(os.Stdout).Encode(result.json())
			} else {
				result.print(os.Stdout)
			}
		}
		if err == nil && measured == nil && f.check {
			err = result.missed()
		}
		return errors.Join(measured, err)
	})
}

// results opens a file of runs in dir, which gets a name by the time where it is empty. A file that is there already is
// an error unless it is to be continued: runs of different days and machines do not belong into one figure.
func results(dir *string, name string, more bool) (*runs.File, error) {
	if *dir == "" {
		if more {
			return nil, cli.Usage(errors.New("--append: needs --dir"))
		}
		*dir = filepath.Join("bench-results", time.Now().UTC().Format("20060102-150405"))
	}
	path := filepath.Join(*dir, name)
	if _, err := os.Stat(path); err == nil && !more {
		return nil, cli.Usage(fmt.Errorf("--dir: %s is there already: choose another directory, or continue it with --append", path))
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return nil, err
	}
	return runs.Append(path)
}

// measure makes the runs. The error names the cases that never succeeded.
func (f *coldStartFlags) measure(ctx context.Context, s *session, file *runs.File, environment runs.Environment) error {
	succeeded, failed := make([]int, len(s.cases)), make([]int, len(s.cases))
	last := make([]error, len(s.cases))
	order := runplan.Interleave(len(s.cases), f.warmups, f.runs, uint64(f.seed))
	id := strconv.FormatInt(time.Now().Unix(), 36)
	for i, r := range order {
		c := s.cases[r.Case]
		if succeeded[r.Case] == 0 && failed[r.Case] >= f.warmups+3 {
			continue // it has been given up
		}
		sample := coldstart.Run(ctx, c, coldstart.Options{Name: fmt.Sprintf("bench-%s-%d", id, i+1), Timeout: f.timeout, Version: r.Warmup || f.warmups == 0 && r.Round == 1})
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted after %d of %d runs; those are kept", i, len(order))
		}
		row := rowOf(c, sample, environment)
		row.Warmup, row.Round = r.Warmup, r.Round
		if err := file.Add(row); err != nil {
			return err
		}
		outcome := fmt.Sprintf("%.3f s, %.3f s from the container's start", row.Answered, row.StartToAnswer())
		if sample.Err != nil {
			failed[r.Case]++
			last[r.Case] = sample.Err
			outcome = "failed: " + sample.Err.Error()
		} else {
			succeeded[r.Case]++
		}
		kind := "run"
		if r.Warmup {
			kind = "warm-up"
		}
		fmt.Fprintf(os.Stderr, "%4d/%d %s %d %-28s %s\n", i+1, len(order), kind, r.Round, c.Name, outcome)
	}
	var errs []error
	for i, c := range s.cases {
		if succeeded[i] == 0 {
			errs = append(errs, fmt.Errorf("%s never succeeded: %w", c.Name, last[i]))
		}
	}
	return errors.Join(errs...)
}

func rowOf(c *target.Case, s *coldstart.Sample, e runs.Environment) *runs.Row {
	e.Kubernetes, e.Where = c.Kubernetes, "cluster"
	if c.Lab != nil {
		e.Where = "lab"
	}
	r := &runs.Row{Environment: e, Case: c.Name, Setup: c.Setup.Name, Client: c.Client, Helper: c.Helper, Image: c.Image,
		Phases: s.Phases, Node: s.Node, Began: s.Began, Attempts: s.Attempts, Observed: s.Observed, Calls: s.Calls, Load: s.Load,
		Caller: s.Caller, Version: s.Version}
	if r.Image == "" {
		for _, k := range c.Demo.Spec.Containers {
			if k.Name == target.Container {
				r.Image = k.Image
			}
		}
	}
	if c.ColdKeys {
		r.Keys = "cold"
	}
	if s.Err != nil {
		r.Error = s.Err.Error()
		r.Answered = math.NaN()
	}
	return r
}

// delay puts a profile in force in all labs. undo ends the delays.
func delay(ctx context.Context, targets []*target.Target, p *latency.Profile) (undo func(), err error) {
	undo = func() {}
	if p == nil {
		return undo, nil
	}
	undo = func() {
		for _, t := range targets {
			if err := t.Lab.SetLatency(context.WithoutCancel(ctx), nil); err != nil {
				fmt.Fprintln(os.Stderr, "bench: the delays are still in force:", err)
			}
		}
	}
	for _, t := range targets {
		if err := t.Lab.SetLatency(ctx, p.ForLab()); err != nil {
			return undo, err
		}
	}
	return undo, nil
}

// command is the command line as a reader would repeat it.
func (f *coldStartFlags) command() string {
	args := append([]string{"bench"}, os.Args[1:]...)
	return strings.Join(args, " ")
}
