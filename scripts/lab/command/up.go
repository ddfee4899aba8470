package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/machines"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/prove"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// upResult is the JSON of `up`.
type upResult struct {
	Setup      string           `json:"setup"`
	Resources  int              `json:"resources"`
	Seconds    float64          `json:"seconds"`
	Identities []prove.Identity `json:"identities"`
}

func upCommand() *cobra.Command {
	var setup, project string
	var plugins map[string]string
	var changes program.Changes
	var asJSON, route53, existing bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Deploy a setup in a lab of its own, prove its identities and leave it running",
		Example: `  lab up --setup irsa-s3
  lab up --setup roles-anywhere --json
  lab up --setup irsa-cloudfront --route53
  lab up --stack prod
  lab up --setup irsa-s3 --existing
  lab up --setup irsa-s3 --config issuer.thumbprint=dynamic --config cluster.agents=1`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := stackSetup(cmd, project, changes.Stack, &setup); err != nil {
				return err
			}
			if _, err := chosen(setup, false); err != nil {
				return err
			}
			if err := settleProject(&project, plugins); err != nil {
				return err
			}
			res, err := up(cmd.Context(), setup, project, plugins, route53, existing, changes)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(os.Stdout).Encode(res)
			}
			table(os.Stdout, []row{{up: res}})
			return nil
		},
	}
	setupFlag(cmd, &setup, "irsa-s3", false)
	stackFlag(cmd, &changes.Stack)
	configFlag(cmd, &changes.Values)
	cmd.Flags().BoolVar(&route53, "route53", false, "let the issuer's DNS records be made in the account's own hosted zone")
	existingFlag(cmd, &existing)
	projectFlag(cmd, &project)
	pluginFlag(cmd, &plugins)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command, values *[]string) {
	cmd.Flags().StringArrayVar(values, "config", nil, "change a value of the stack file: key=value, dots lead into objects, the value is YAML, null takes the key away")
}

// stackFlag adds --stack.
func stackFlag(cmd *cobra.Command, stack *string) {
	cmd.Flags().StringVar(stack, "stack", "",
		"deploy Pulumi.<stack>.yaml in place of Pulumi.lab.yaml, with the lab's domain, hosted zone and demo; without --setup, its own setup")
}

// projectFlag adds --project.
func projectFlag(cmd *cobra.Command, project *string) {
	cmd.Flags().StringVar(project, "project", "", "directory of the Pulumi program to deploy, such as another checkout; the one around, where it is left out")
}

// pluginFlag adds --plugin.
func pluginFlag(cmd *cobra.Command, plugins *map[string]string) {
	cmd.Flags().StringToStringVar(plugins, "plugin", nil,
		"use a provider plugin of yours in place of the lab's: aws=PATH, tls=PATH or kubernetes=PATH, its program or the directory that it is in; may be repeated")
}

// projectArgs are the two flags for another command.
func projectArgs(project string, plugins map[string]string) []string {
	var args []string
	if project != "" {
		args = append(args, "--project", project)
	}
	for _, kind := range slices.Sorted(maps.Keys(plugins)) {
		args = append(args, "--plugin", kind+"="+plugins[kind])
	}
	return args
}

// settleProject makes the values of both flags absolute, and refuses what cannot be meant.
func settleProject(project *string, plugins map[string]string) (err error) {
	if *project != "" {
		if *project, err = filepath.Abs(*project); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(*project, "Pulumi.yaml")); err != nil {
			return cli.Usage(fmt.Errorf("--project: found %s: must be a directory with a Pulumi.yaml: %w", *project, err))
		}
	}
	for kind, path := range plugins {
		if plugins[kind], err = build.Plugin(kind, path); err != nil {
			return cli.Usage(err)
		}
	}
	return nil
}

// existingFlag adds --existing.
func existingFlag(cmd *cobra.Command, existing *bool) {
	cmd.Flags().BoolVar(existing, "existing", false, "give identities to a cluster that the program did not make (cluster.mode: existing)")
}

// stackSetup takes the setup from the stack file that --stack names, where --setup names none.
func stackSetup(cmd *cobra.Command, project, stack string, setup *string) error {
	if stack == "" || cmd.Flags().Changed("setup") {
		return nil
	}
	product, _, err := directories()
	if err != nil {
		return err
	}
	if *setup, err = program.Setup(cmp.Or(project, product), stack); err != nil {
		return cli.Usage(fmt.Errorf("--stack: %w", err))
	}
	return nil
}

// up deploys a setup and proves its identities. The seconds are those of a warm lab: from the start of the daemon to
// the last proof, without building the tools.
func up(ctx context.Context, setup, project string, plugins map[string]string, route53, existing bool, changes program.Changes) (*upResult, error) {
	product, _, err := directories()
	if err != nil {
		return nil, err
	}
	project = cmp.Or(project, product)
	if err := program.Refuse(project, changes); err != nil {
		return nil, err
	}
	tools, err := tools(ctx, project, plugins, setup)
	if err != nil {
		return nil, err
	}
	if changes.Provider, err = pullProvider(ctx, project, changes); err != nil {
		return nil, err
	}
	start := time.Now()
	lab, dir, err := ensureDaemon(ctx, setup, project, plugins)
	if err != nil {
		return nil, err
	}
	if route53 {
		changes.Values = append(changes.Values, "issuer.dns=route53", "issuer.hostedZoneId="+lab.HostedZoneID)
	}
	if existing {
		changes.Values = append(changes.Values, "cluster.mode=existing")
	}
	for _, w := range lab.Weaker {
		fmt.Fprintln(os.Stderr, "weaker here:", w)
	}
	p, err := program.Open(ctx, lab, dir, tools, changes)
	if err != nil {
		return nil, err
	}
	if existing {
		if err := existingCluster(ctx, lab, dir, setup, p); err != nil {
			return nil, err
		}
	}
	show := newProgress(os.Stderr, "up "+setup)
	deploying, stop := context.WithCancelCause(ctx)
	go watchMachines(deploying, lab, stop)
	res, err := p.Up(deploying, show.and(externalDNS(ctx, lab)))
	show.end()
	if cause := context.Cause(deploying); err != nil && ctx.Err() == nil && cause != nil {
		err = cause
	}
	stop(nil)
	if err != nil {
		return nil, err
	}
	if err := writeKubeconfig(state.Kubeconfig(dir), res.Outputs); err != nil {
		return nil, err
	}
	identities, err := prove.Identities(ctx, state.Kubeconfig(dir), res.Outputs)
	out := &upResult{Setup: setup, Resources: res.Resources, Seconds: seconds(start), Identities: identities}
	if err != nil {
		return out, fmt.Errorf("%w\nThe lab of %s goes on: look with `eval \"$(lab env --setup %s)\"`, end it with `lab down --setup %s`",
			err, setup, setup, setup)
	}
	return out, nil
}

// pullProvider builds ECR's credential provider for a configuration with cluster.imagePulls.
func pullProvider(ctx context.Context, project string, changes program.Changes) (*program.Provider, error) {
	wanted, err := program.PullsImages(project, changes)
	if err != nil || !wanted {
		return nil, err
	}
	_, scripts, err := directories()
	if err != nil {
		return nil, err
	}
	path, err := build.CredentialProvider(ctx, scripts, os.Stderr)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return &program.Provider{URL: machines.ProviderURL, SHA256: hex.EncodeToString(sum[:])}, nil
}

// watchMachines ends a deployment as soon as a machine has failed to boot: the program would wait for it in vain.
func watchMachines(ctx context.Context, lab *state.Lab, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
		var status struct {
			Error string `json:"error"`
		}
		if err := control(ctx, lab, http.MethodGet, "/_lab/machines", nil, &status); err == nil && status.Error != "" {
			stop(fmt.Errorf("a machine did not boot: %s", status.Error))
			return
		}
	}
}

func seconds(start time.Time) float64 {
	return time.Since(start).Round(10 * time.Millisecond).Seconds()
}

// ensureDaemon returns the running lab of a setup, started where there is none. From then on the lab is one of this
// project and these plugins.
func ensureDaemon(ctx context.Context, setup, project string, plugins map[string]string) (*state.Lab, string, error) {
	lab, dir, err := state.Load(setup)
	if err == nil && (lab.Project != project || !maps.Equal(lab.Plugins, plugins)) {
		lab.Project, lab.Plugins = project, plugins
		err = lab.Save(dir)
	}
	if !errors.Is(err, state.ErrNotRunning) {
		return lab, dir, err
	}
	// What a lab leaves that was not taken down is no use to the next: its account lived in the daemon.
	if err := os.RemoveAll(dir); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	log, err := os.OpenFile(state.DaemonLog(dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, "", err
	}
	defer log.Close()
	cmd := exec.Command(self, append([]string{"serve", "--setup", setup}, projectArgs(project, plugins)...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the process state says how it ended
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if lab, dir, err := state.Load(setup); err == nil {
			return lab, dir, nil
		}
		select {
		case <-ended:
			said, _ := os.ReadFile(state.DaemonLog(dir))
			return nil, "", fmt.Errorf("the lab's daemon ended: %s\n%s", cmd.ProcessState, said)
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, "", fmt.Errorf("the lab's daemon did not start within a minute: see %s", state.DaemonLog(dir))
}
