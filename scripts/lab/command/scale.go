package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
	"k3s-aws-auth/scripts/lab/internal/trivial"
)

// What --check holds the figures against. The ratios to trivial resources are for people to judge: providers that have
// something to do share this machine with the engine.
const (
	maxPerIdentity = 3    // resources in AWS and Kubernetes
	maxGrowth      = 1.15 // time and memory of the most identities to those of the fewest but one, for each identity
)

// scaleStep is one measurement: a program whose stack grows to a number of identities.
type scaleStep struct {
	Kind       string `json:"kind"`
	Identities int    `json:"identities"`
	// Resources is all that the stack has, Made those that this step added, Real those of them in AWS and Kubernetes.
	Resources int `json:"resources"`
	Made      int `json:"made"`
	Real      int `json:"real"`
	// Preview is of what Up then does, Again of the stack that nothing changes any more: seconds.
	Preview float64 `json:"previewSeconds"`
	Up      float64 `json:"upSeconds"`
	Again   float64 `json:"againSeconds"`
	// Memory is the most that one process had, in MiB: the program's, and the engine's or a plugin's.
	Memory       float64 `json:"programMiB"`
	EngineMemory float64 `json:"engineMiB"`
}

func scaleCommand() *cobra.Command {
	var setup string
	var sizes []int
	var asJSON, check, checkpoints bool
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Time preview and up for more and more identities, beside as many trivial resources",
		Long: `Scale lets a stack grow from one identity to more and more, and beside it, step by step, a stack of as many components and
resources that do nothing, which is what the Pulumi engine costs by itself. The engine writes its state once, at the end
(PULUMI_SKIP_CHECKPOINTS): with a state in files it rewrites all of it after each resource, whatever the program, which
--checkpoints measures too.`,
		Example: `  lab scale
  lab scale --identities 1,10,100 --checkpoints
  lab scale --setup roles-anywhere --identities 1,10,100 --check`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := chosen(setup, false); err != nil {
				return err
			}
			for i, n := range sizes {
				if n < 1 || i > 0 && n <= sizes[i-1] {
					return cli.Usage(fmt.Errorf("--identities: found %v: must be at least 1 and rise", sizes))
				}
			}
			steps, err := scale(cmd.Context(), setup, sizes, checkpoints)
			if asJSON {
				err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(steps))
			} else {
				printScale(os.Stdout, steps)
			}
			if err == nil && check {
				err = checkScale(steps)
			}
			return err
		},
	}
	setupFlag(cmd, &setup, "irsa-s3", false)
	cmd.Flags().IntSliceVar(&sizes, "identities", []int{1, 10, 100, 1000}, "how many identities the stack grows to, step by step")
	checkpointsFlag(cmd, &checkpoints)
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 where a figure is beyond what it may be")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	return cmd
}

// checkpointsFlag adds --checkpoints.
func checkpointsFlag(cmd *cobra.Command, checkpoints *bool) {
	cmd.Flags().BoolVar(checkpoints, "checkpoints", false, "let the engine write its whole state after each resource, as it does by default")
}

// scale measures each size with both programs, each step in a process of its own, whose memory it is.
func scale(ctx context.Context, setup string, sizes []int, checkpoints bool) (steps []scaleStep, err error) {
	if _, _, err := state.Load(setup); !errors.Is(err, state.ErrNotRunning) {
		return nil, errors.Join(err, fmt.Errorf("the lab of %s runs: end it with `lab down --setup %s`, since scale drops its account", setup, setup))
	}
	defer func() {
		// The account is the daemon's: to delete thousands of resources one by one would prove nothing more.
		if lab, dir, loadErr := state.Load(setup); loadErr == nil {
			err = errors.Join(err, stopDaemon(lab, dir))
		}
	}()
	run := func(arguments ...string) (scaleStep, error) {
		var s scaleStep
		return s, child(ctx, &s, append([]string{"scale-step", "--setup", setup, fmt.Sprintf("--checkpoints=%t", checkpoints)}, arguments...)...)
	}
	// The first makes the cluster, which is not what is measured.
	base, err := run("--identities", "0")
	if err != nil {
		return nil, err
	}
	if _, err := run("--identities", "0", "--trivial", "--resources", strconv.Itoa(base.Resources)); err != nil {
		return nil, err
	}
	for _, n := range sizes {
		own, err := run("--identities", strconv.Itoa(n))
		if err != nil {
			return steps, err
		}
		steps = append(steps, own)
		other, err := run("--identities", strconv.Itoa(n), "--trivial", "--resources", strconv.Itoa(own.Resources))
		if err != nil {
			return steps, err
		}
		steps = append(steps, other)
	}
	return steps, nil
}

func scaleStepCommand() *cobra.Command {
	var setup string
	var n, resources int
	var isTrivial, checkpoints bool
	cmd := &cobra.Command{
		Use:     "scale-step",
		Short:   "One step of scale",
		Example: "  lab scale-step --setup irsa-s3 --identities 10",
		Hidden:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := measure(cmd.Context(), setup, n, resources, isTrivial, checkpoints)
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(s)
		},
	}
	setupFlag(cmd, &setup, "irsa-s3", false)
	checkpointsFlag(cmd, &checkpoints)
	cmd.Flags().IntVar(&n, "identities", 0, "identities beside the first one")
	cmd.Flags().BoolVar(&isTrivial, "trivial", false, "the trivial program instead")
	cmd.Flags().IntVar(&resources, "resources", 0, "resources of the trivial program")
	return cmd
}

func measure(ctx context.Context, setup string, n, resources int, isTrivial, checkpoints bool) (*scaleStep, error) {
	product, scripts, err := directories()
	if err != nil {
		return nil, err
	}
	tools, err := build.All(ctx, scripts, os.Stderr, build.Wish{Trivial: true})
	if err != nil {
		return nil, err
	}
	lab, dir, err := ensureDaemon(ctx, setup, product, nil)
	if err != nil {
		return nil, err
	}
	// The language host writes down here what memory the program took.
	memory := filepath.Join(dir, "program-memory")
	for name, value := range map[string]string{"PULUMI_EXPERIMENTAL": strconv.FormatBool(!checkpoints),
		"PULUMI_SKIP_CHECKPOINTS": strconv.FormatBool(!checkpoints), "PULUMI_LAB_PROGRAM_RSS": memory} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	s := &scaleStep{Kind: "program", Identities: n}
	var p *program.Program
	if isTrivial {
		s.Kind = "trivial"
		p, err = openTrivial(ctx, lab, dir, tools, n, resources)
	} else {
		p, err = program.Open(ctx, lab, dir, tools, program.Changes{Values: []string{`demo="false"`, "identities=" + manyIdentities(n+1)}})
	}
	if err != nil {
		return nil, err
	}
	if n > 0 {
		if s.Preview, err = timed(func() error { _, err := p.Preview(ctx); return err }); err != nil {
			return nil, err
		}
	}
	var made *program.Result
	show := newProgress(os.Stderr, fmt.Sprintf("%s, %d identities", s.Kind, n))
	s.Up, err = timed(func() (err error) { made, err = p.Up(ctx, show.and(nil)); return err })
	show.end()
	if err != nil {
		return nil, err
	}
	s.Resources, s.Made, s.Real = made.Resources, made.Changes["create"], made.Real
	if n > 0 {
		if s.Again, err = timed(func() error { _, err := p.Preview(ctx); return err }); err != nil {
			return nil, err
		}
	}
	s.EngineMemory = mostMemory()
	s.Memory, err = programMemory(memory)
	return s, err
}

// What each identity has in the stack.
const (
	componentsPerIdentity = 2
	resourcesPerIdentity  = 3
)

// openTrivial opens a stack of its own with as many components for each identity as the program has, and so many
// resources in all.
func openTrivial(ctx context.Context, lab *state.Lab, dir string, tools *build.Tools, n, resources int) (*program.Program, error) {
	attach, err := trivial.Serve(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("PULUMI_DEBUG_PROVIDERS", attach); err != nil {
		return nil, err
	}
	own := filepath.Join(dir, "trivial")
	if err := os.MkdirAll(own, 0o700); err != nil {
		return nil, err
	}
	beside := resources - n*(componentsPerIdentity+resourcesPerIdentity)
	size, err := json.Marshal(trivial.Size{Groups: n, Components: componentsPerIdentity, Resources: resourcesPerIdentity, Beside: beside})
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(trivial.SizeVariable, string(size)); err != nil {
		return nil, err
	}
	return program.OpenOther(ctx, lab, own, tools, program.Changes{Values: []string{`demo="false"`}}, tools.Trivial)
}

// manyIdentities is the configuration of so many identities, each with a permission of its own.
func manyIdentities(n int) string {
	type statement struct {
		Actions   []string `json:"actions"`
		Resources []string `json:"resources"`
	}
	type identity struct {
		Name           string      `json:"name"`
		Namespace      string      `json:"namespace"`
		ServiceAccount string      `json:"serviceAccount"`
		Statements     []statement `json:"statements"`
	}
	var list []identity
	for i := range n {
		name := fmt.Sprintf("identity-%d", i)
		list = append(list, identity{name, "default", name, []statement{{[]string{"s3:GetObject"}, []string{"arn:aws:s3:::example/" + name + "/*"}}}})
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // texts and lists of texts
	}
	return string(text)
}

func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// mostMemory is the largest resident set, in MiB, of one process that this one has started, itself or by another, and
// that has ended: the engine's or a plugin's, which is larger than the program's.
func mostMemory() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		return 0
	}
	return float64(usage.Maxrss) / maxrssPerMiB
}

// programMemory is the largest resident set of the program's last run, in MiB, as the language host has written it down.
func programMemory(path string) (float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	rss, err := strconv.ParseFloat(string(data), 64)
	return rss / maxrssPerMiB, err
}

// printScale prints pairs of steps, this program's and the trivial one's.
func printScale(out io.Writer, steps []scaleStep) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IDENTITIES\tRESOURCES\tMADE\tEACH\tPREVIEW (S)\tUP (S)\tNO CHANGE (S)\tTRIVIAL (S)\tRATIOS\tPROGRAM (MIB)\tENGINE (MIB)")
	for i := 0; i+1 < len(steps); i += 2 {
		own, other := steps[i], steps[i+1]
		fmt.Fprintf(w, "%d\t%d\t%d\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f, %.2f, %.2f\t%.2f, %.2f, %.2f\t%.0f\t%.0f (%.0f)\n", own.Identities, own.Resources, own.Made,
			each(steps, i), own.Preview, own.Up, own.Again, other.Preview, other.Up, other.Again,
			own.Preview/other.Preview, own.Up/other.Up, own.Again/other.Again, own.Memory, own.EngineMemory, other.EngineMemory)
	}
	w.Flush()
}

// each is how many resources in AWS and Kubernetes a step made for each of its identities.
func each(steps []scaleStep, i int) float64 {
	before := 0
	if i >= 2 {
		before = steps[i-2].Identities
	}
	return float64(steps[i].Real) / float64(steps[i].Identities-before)
}

// checkScale tells what is beyond what it may be.
func checkScale(steps []scaleStep) error {
	var wrong []string
	add := func(bad bool, format string, a ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, a...))
		}
	}
	for i := 0; i+1 < len(steps); i += 2 {
		add(each(steps, i) > maxPerIdentity, "%d identities: %.1f resources for each, may be %d", steps[i].Identities, each(steps, i), maxPerIdentity)
	}
	if len(steps) >= 6 {
		few, most := steps[2], steps[len(steps)-2]
		factor := maxGrowth * float64(most.Resources) / float64(few.Resources)
		for _, g := range []struct {
			what      string
			few, most float64
		}{{"preview", few.Preview, most.Preview}, {"preview without changes", few.Again, most.Again},
			{"the program's memory", few.Memory, most.Memory}, {"the engine's memory", few.EngineMemory, most.EngineMemory}} {
			add(g.most > factor*g.few, "%s grows %.1f times from %d to %d identities, whose resources are %.1f times as many", g.what,
				g.most/g.few, few.Identities, most.Identities, float64(most.Resources)/float64(few.Resources))
		}
		fewMade, mostMade := few.Up/float64(few.Made), most.Up/float64(most.Made)
		add(mostMade > maxGrowth*fewMade, "up takes %.1f times as long for each resource from %d to %d identities", mostMade/fewMade, few.Identities, most.Identities)
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}
