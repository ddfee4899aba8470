package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
	"k3s-aws-auth/scripts/bench/internal/report"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/stats"
	"k3s-aws-auth/scripts/bench/internal/target"
	"k3s-aws-auth/scripts/internal/cli"
)

type burstFlags struct {
	measuring
	pods, minutes int
}

func burstCommand() *cobra.Command {
	f := &burstFlags{}
	cmd := &cobra.Command{
		Use:   "burst",
		Short: "Start many pods at once and count what they ask AWS for",
		Long: `burst starts copies of each setup's demo pod at once, or by a CronJob every minute, and counts the calls to STS, Roles
Anywhere and the metadata service, and what AWS fetched of the issuer's documents, with the most within one second.
Calls are counted in the lab only: on AWS, look into CloudTrail. Quotas are not enforced in the lab; the report names
those that a burst would reach.

It writes burst.csv (one row a pod, added as each burst ends) and burst.md into --dir. The exit code is 1 where a pod
did not get its answer.`,
		Example: `  bench burst --up --pods 20
  bench burst --setup irsa-s3,irsa-cloudfront --keys cold
  bench burst --setup roles-anywhere --pods 10 --cronjob 3      three minutes of a CronJob with 10 pods each`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	f.add(cmd, 2*time.Minute)
	flags := cmd.Flags()
	flags.IntVar(&f.pods, "pods", 20, "pods at once")
	flags.IntVar(&f.minutes, "cronjob", 0, "let a CronJob start the pods every minute, so many times")
	return cmd
}

func (f *burstFlags) run(ctx context.Context) error {
	p, err := f.plan()
	if err != nil {
		return err
	}
	switch {
	case f.pods < 1 || f.pods > 500:
		return cli.Usage(errors.New("--pods: must be 1 to 500"))
	case f.minutes < 0 || f.minutes > 60:
		return cli.Usage(errors.New("--cronjob: must be 0 to 60"))
	}
	profile, err := f.delays(p)
	if err != nil {
		return err
	}
	return f.during(ctx, p, profile, "burst.csv", false, func(s *session, file *runs.File, environment runs.Environment) error {
		bursts, failed := f.measure(ctx, s, file, environment)
		var err error
		if len(bursts) > 0 {
			err = f.show(bursts)
		}
		return errors.Join(failed, err)
	})
}

// measure makes the bursts, one case after the other, after one pod to warm up.
func (f *burstFlags) measure(ctx context.Context, s *session, file *runs.File, environment runs.Environment) (results []*report.Burst, err error) {
	id := strconv.FormatInt(time.Now().Unix(), 36) + strconv.Itoa(rand.IntN(10)) //nolint:gosec // a name
	var errs []error
	for i, c := range s.cases {
		name := fmt.Sprintf("burst-%s-%d", id, i+1)
		warm := coldstart.Run(ctx, c, coldstart.Options{Name: name + "-warm", Timeout: f.timeout, Version: true})
		if warm.Err != nil {
			errs = append(errs, fmt.Errorf("%s: the pod before the burst failed: %w", c.Name, warm.Err))
			continue
		}
		fmt.Fprintf(os.Stderr, "burst of %d pods: %s\n", f.pods, c.Name)
		res, err := f.burst(ctx, c, name)
		if ctx.Err() != nil {
			return results, errors.Join(append(errs, errors.New("interrupted; finished bursts are kept"))...)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, err))
			continue
		}
		b := &report.Burst{Case: c.Name, Setup: c.Setup.Name, Keys: map[bool]string{true: "cold"}[c.ColdKeys], Helper: c.Helper, Client: c.Client,
			Pods: f.pods, Minutes: f.minutes, Environment: environment, Version: warm.Version, Load: warm.Load}
		b.Kubernetes, b.Where = c.Kubernetes, "cluster"
		if c.Lab != nil {
			b.Where = "lab"
			b.Counts = coldstart.Tally(res.Events, c.Demo.Namespace, name)
		}
		for _, sample := range res.Samples {
			row := rowOf(c, sample, environment)
			row.Version = warm.Version
			if err := file.Add(row); err != nil {
				return results, err
			}
			if sample.Err != nil {
				b.Failed++
				b.LastError = sample.Err.Error()
				continue
			}
			b.StartToAnswer = append(b.StartToAnswer, sample.StartToAnswer())
			if f.minutes == 0 {
				b.ApplyToAnswer = append(b.ApplyToAnswer, sample.Answered)
			}
		}
		results = append(results, b)
		if b.Failed > 0 {
			errs = append(errs, fmt.Errorf("%s: %d of %d pods got no answer: %s", c.Name, b.Failed, len(res.Samples), b.LastError))
		}
	}
	return results, errors.Join(errs...)
}

func (f *burstFlags) burst(ctx context.Context, c *target.Case, name string) (*coldstart.BurstResult, error) {
	o := coldstart.Options{Name: name, Timeout: f.timeout}
	if f.minutes > 0 {
		return coldstart.CronJob(ctx, c, o, f.pods, f.minutes)
	}
	return coldstart.Burst(ctx, c, o, f.pods), nil
}

// show writes the report and prints a table or JSON.
func (f *burstFlags) show(results []*report.Burst) error {
	if err := write(filepath.Join(f.dir, "burst.md"), func(w io.Writer) error { return report.WriteBursts(w, results) }); err != nil {
		return err
	}
	if f.asJSON {
		return json.NewEncoder(os.Stdout).Encode(struct {
			Dir    string          `json:"dir"`
			Bursts []*report.Burst `json:"bursts"`
		}{f.dir, results})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CASE\tPODS\tFAILED\tMEDIAN\tP95\tWHAT\tCALLS\tREFUSED\tPEAK A SECOND")
	for _, b := range results {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t\t\t\t\n", b.Case, len(b.StartToAnswer)+b.Failed, b.Failed,
			seconds(stats.Median(b.StartToAnswer)), seconds(stats.Quantile(b.StartToAnswer, 0.95)))
		for _, c := range b.Counts {
			_, _ = fmt.Fprintf(w, "\t\t\t\t\t%s\t%d\t%d\t%d\n", c.What, c.Calls, c.Refused, c.Peak)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("report: %s\n", filepath.Join(f.dir, "burst.md"))
	return nil
}

func seconds(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.3f s", v)
}
