package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

// options are the command line's.
type options struct {
	setup    string
	only     []string
	list     bool
	yes      bool
	asJSON   bool
	current  bool
	doctor   bool
	up       bool
	config   []string
	identity string
	image    string
	out      string
}

func root() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Break things on purpose, watch the pods, repair, compare",
		Long: `Drill breaks one thing at a time in the running labs (or, with --current, in the cluster and account that your
environment points at), watches an existing pod (with a kept session, and with a new session for each call) and a new pod,
records every error, repairs what it broke, also when it is interrupted, and compares with what it expects.

It never runs on a stack that is marked production or protected by a tag or label.`,
		Example: `  drill --list
  drill --setup irsa-s3 --only provider-deleted
  drill --setup all --up --yes --out results     the whole matrix: starts the labs and takes them down again
  drill --setup all --doctor --yes               does doctor find what was broken?
  drill --current --only F-04                    the cluster of KUBECONFIG and the account of your AWS credentials`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cli.Strict(cmd)
	f := cmd.Flags()
	f.StringVar(&o.setup, "setup", setups.All, setups.Usage()+" or "+setups.All+" (every running lab)")
	f.StringSliceVar(&o.only, "only", nil, "drills by id or by their number, such as F-01, separated by commas")
	f.BoolVar(&o.list, "list", false, "list the drills with what they expect, and end")
	f.BoolVar(&o.yes, "yes", false, "do not ask before each drill")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object on standard output")
	f.BoolVar(&o.current, "current", false, "work on the cluster of KUBECONFIG and the account of the AWS environment, not on labs")
	f.StringArrayVar(&o.config, "config", nil, "with --up: change a value of the labs' configuration, key=value as `lab up` takes it")
	f.BoolVar(&o.doctor, "doctor", false, "let doctor look during each failure, and hold its first finding against what it should be")
	f.BoolVar(&o.up, "up", false, "start labs that do not run, and take those down again at the end")
	f.StringVar(&o.identity, "identity", "", "name of the demo pod whose identity is drilled; the first one if empty")
	f.StringVar(&o.image, "image", "", "image of the drills' pods, which has sh and the AWS CLI: if empty, "+sdkImage+" in labs (`cli` is the demo pod's), else the demo pod's")
	f.StringVar(&o.out, "out", "", "directory that gets drill.csv, drill.md and drill.json")
	return cmd
}

func (o *options) run(ctx context.Context) error {
	list, err := setups.Around()
	if err != nil {
		return err
	}
	chosen, err := list.Choose(o.setup)
	if err != nil {
		return cli.Usage(err)
	}
	drills, err := choose(allDrills(), o.only)
	if err != nil {
		return err
	}
	if len(o.config) > 0 && !o.up {
		return cli.Usage(errors.New("--config is for labs that --up starts"))
	}
	if o.current && o.up {
		return cli.Usage(errors.New("--up starts labs: it does not go with --current"))
	}
	if o.list {
		return o.printList(list, drills)
	}
	doctor := ""
	if o.doctor {
		dir, err := os.MkdirTemp("", "drill-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		_, scripts, err := labs.Directories()
		if err != nil {
			return err
		}
		if doctor, err = buildDoctor(ctx, scripts, dir, os.Stderr); err != nil {
			return err
		}
	}
	var results []*Result
	var errs []error
	var done []string
	where := "in the lab (times are those of one machine, not AWS's)"
	var mu sync.Mutex
	each := func(t *Target) {
		if doctor != "" {
			t.Doctor = &Doctor{path: doctor}
			if !o.current {
				t.Doctor.args = []string{"--setup", t.Setup.Name}
			}
		}
		got, err := o.drill(ctx, t, drills)
		mu.Lock()
		defer mu.Unlock()
		done = append(done, t.Setup.Name)
		results = append(results, got...)
		errs = append(errs, err)
	}
	if o.current {
		where = "on AWS"
		t, err := currentTarget(ctx, o, list)
		if err != nil {
			return err
		}
		each(t)
	} else if err := o.eachLab(ctx, list, chosen, each); err != nil {
		errs = append(errs, err)
	}
	slices.SortFunc(done, func(a, b string) int { return list.Rank(a) - list.Rank(b) })
	slices.SortStableFunc(results, func(a, b *Result) int { return list.Rank(a.Setup) - list.Rank(b.Setup) })
	if len(results) > 0 {
		errs = append(errs, o.report(results, done, where))
	}
	different := 0
	for _, r := range results {
		if r.Status == Different {
			different++
			fmt.Fprintf(os.Stderr, "DIFFERENT  %s, %s: %s\n", r.Drill, r.Setup, strings.Join(r.Differences, "; "))
		}
	}
	if different > 0 {
		errs = append(errs, fmt.Errorf("%d outcomes differ from what is expected", different))
	}
	return errors.Join(errs...)
}

// eachLab connects to the labs of the chosen setups, starts those that do not run where --up says so, and calls each for them: side
// by side with --yes, one after the other where a person is asked.
func (o *options) eachLab(ctx context.Context, list, chosen setups.List, each func(*Target)) error {
	var command *labs.Command // built only where a lab must be started
	var errs []error
	var targets []*Target
	for _, s := range chosen.Names() {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		lab, err := labs.Open("", s)
		if errors.Is(err, labs.ErrNotRunning) {
			if !o.up {
				continue
			}
			if command == nil {
				dir, err := os.MkdirTemp("", "drill-")
				if err != nil {
					return err
				}
				defer func() { _ = os.RemoveAll(dir) }()
				_, scripts, err := labs.Directories()
				if err != nil {
					return err
				}
				if command, err = labs.Build(ctx, scripts, dir, os.Stderr); err != nil {
					return err
				}
			}
			lab, err = command.Up(ctx, "", s, o.config...)
			defer func() {
				if err := command.Down(context.WithoutCancel(ctx), "", s); err != nil {
					fmt.Fprintln(os.Stderr, "drill:", err)
				}
			}()
		}
		var t *Target
		if err == nil {
			t, err = labTarget(lab, list)
		}
		if err == nil {
			err = t.Discover(ctx, o.identity)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
			continue
		}
		targets = append(targets, t)
	}
	if len(targets) == 0 && len(errs) == 0 {
		return errors.New("no lab is running: start one with `go -C scripts run ./lab up`, or give --up, or --current for a real cluster")
	}
	var group sync.WaitGroup
	for _, t := range targets {
		if o.yes {
			group.Go(func() { each(t) })
		} else {
			each(t)
		}
	}
	group.Wait()
	return errors.Join(errs...)
}

// currentTarget is what the environment points at.
func currentTarget(ctx context.Context, o *options, list setups.List) (*Target, error) {
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	path := clientcmd.NewDefaultClientConfigLoadingRules().GetDefaultFilename()
	cluster, err := kube.Connect(path)
	if err != nil {
		return nil, err
	}
	t := &Target{Setups: list, Cluster: cluster, AWS: account, Pace: realPace, PullImage: namedImage(), Hands: &Person{Out: os.Stderr}}
	if o.setup != setups.All {
		t.Setup.Name = o.setup
	}
	if !o.yes {
		t.Hands = &Person{In: os.Stdin, Out: os.Stderr}
	}
	return t, t.Discover(ctx, o.identity)
}

// drill runs drills on a target. Errors are those of drills that did not work and of recoveries that left something.
func (o *options) drill(ctx context.Context, t *Target, drills []*Drill) ([]*Result, error) {
	if err := t.Guard(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Setup.Name, err)
	}
	switch {
	case o.image == "" && !o.current:
		t.Image = sdkImage
	case o.image != "cli":
		t.Image = o.image
	}
	s := &Session{t: t}
	var results []*Result
	var errs []error
	for _, d := range drills {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		if _, why := d.Expect(t.Setup); why == "" && !o.yes {
			yes, err := ask(ctx, os.Stdin, os.Stderr, fmt.Sprintf("%s, %s: will %s. Go on? [y/N] ", t.Setup.Name, d.ID, d.Does))
			if err != nil {
				errs = append(errs, err)
				break
			}
			if !yes {
				results = append(results, &Result{Drill: d.ID, Article: d.Article, Title: d.Title, Setup: t.Setup.Name, Status: Skipped, Reason: "not wanted"})
				continue
			}
		}
		r, err := s.Run(ctx, d)
		fmt.Fprintf(os.Stderr, "%-17s %-29s %-6s %-11s %5.1f s\n", t.Setup.Name, d.ID, cell(r), r.Status, r.Seconds)
		results = append(results, r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s, %s: %w", t.Setup.Name, d.ID, err))
		}
	}
	return results, errors.Join(append(errs, s.Close(ctx))...)
}

// ask reads a yes from in.
func ask(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprint(out, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case line := <-answer:
		return strings.EqualFold(strings.TrimSpace(line), "y") || strings.EqualFold(strings.TrimSpace(line), "yes"), nil
	}
}

// report writes the matrix to standard output and, if asked, into files.
func (o *options) report(results []*Result, setups []string, where string) error {
	if o.out != "" {
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return err
		}
		var md, table strings.Builder
		writeMarkdown(&md, results, setups, where)
		if err := writeCSV(&table, results); err != nil {
			return err
		}
		data, err := json.MarshalIndent(map[string]any{"results": results}, "", "  ")
		if err != nil {
			return err
		}
		for name, text := range map[string]string{"drill.md": md.String(), "drill.csv": table.String(), "drill.json": string(data) + "\n"} {
			if err := os.WriteFile(filepath.Join(o.out, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	if o.asJSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"results": results})
	}
	writeTable(os.Stdout, results, setups)
	return nil
}

// printList shows the drills and what they expect.
func (o *options) printList(list setups.List, drills []*Drill) error {
	if o.asJSON {
		type entry struct {
			ID      string                 `json:"id"`
			Article string                 `json:"article,omitempty"`
			Title   string                 `json:"title"`
			Does    string                 `json:"does"`
			Expect  map[string]Expectation `json:"expect"`
			Why     map[string]string      `json:"notApplicable,omitempty"`
			Note    string                 `json:"note,omitempty"`
		}
		entries := []entry{}
		for _, d := range drills {
			expect, why := d.Expect.everywhere(list)
			entries = append(entries, entry{d.ID, d.Article, d.Title, d.Does, expect, why, d.Note})
		}
		return json.NewEncoder(os.Stdout).Encode(entries)
	}
	for _, d := range drills {
		fmt.Printf("%s%s: %s\n  will %s\n", prefix(d.Article), d.ID, d.Title, d.Does)
		for _, s := range list {
			if e, why := d.Expect(s); why == "" {
				fmt.Printf("  %-17s kept session %s, new session %s, new pod %s\n", s.Name, e.Kept, e.Fresh, e.New)
			} else {
				fmt.Printf("  %-17s n/a: %s\n", s.Name, why)
			}
		}
	}
	return nil
}
