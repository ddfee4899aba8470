package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func downCommand() *cobra.Command {
	var setup string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Destroy a setup, count what is left in its account and cluster, and end its lab",
		Example: `  lab down                         every running lab
  lab down --setup irsa-s3 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			setups := []string{setup}
			if setup == "" {
				running, err := state.Running()
				if err != nil {
					return err
				}
				setups = running
			} else if _, err := chosen(setup, false); err != nil {
				return err
			}
			remaining, failed := 0, 0
			var errs []error
			for _, s := range setups {
				left, err := down(cmd.Context(), s)
				remaining += left
				if err != nil {
					failed++
					errs = append(errs, fmt.Errorf("%s: %w", s, err))
				}
			}
			if asJSON {
				errs = append(errs, json.NewEncoder(os.Stdout).Encode(map[string]int{"remaining": remaining, "failed": failed}))
			} else {
				fmt.Printf("%d labs down, %d resources remain\n", len(setups)-failed, remaining)
			}
			return errors.Join(errs...)
		},
	}
	setupFlag(cmd, &setup, "", false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// down destroys a setup's stack and counts, by listing the account and the cluster, what it left. The lab ends only
// where nothing is left; else it stays for a look.
func down(ctx context.Context, setup string) (remaining int, err error) {
	lab, dir, err := state.Load(setup)
	if errors.Is(err, state.ErrNotRunning) {
		return 0, os.RemoveAll(dir)
	}
	if err != nil {
		return 0, err
	}
	tools, err := tools(ctx, lab.Project, lab.Plugins, setup)
	if err != nil {
		return 0, err
	}
	p, err := program.Open(ctx, lab, dir, tools, program.Changes{})
	if err != nil {
		return 0, err
	}
	protected, err := p.Unprotect(ctx)
	if err != nil {
		return 0, err
	}
	if protected > 0 {
		fmt.Fprintf(os.Stderr, "down %s: took the protection off %d resources, which `pulumi destroy` would refuse to delete, by `pulumi state unprotect --all`\n", setup, protected)
	}
	show := newProgress(os.Stderr, "down "+setup)
	err = p.Destroy(ctx, show.and(nil))
	show.end()
	if err != nil {
		return 0, fmt.Errorf("%w\nThe lab goes on: repeat `lab down --setup %s`, or end its process %d to drop it with all it has", err, setup, lab.PID)
	}
	if err := removeExisting(ctx, dir); err != nil {
		return 0, err
	}
	left, err := inventory(ctx, lab)
	if err != nil {
		return 0, err
	}
	for _, kind := range slices.Sorted(maps.Keys(left)) {
		remaining += len(left[kind])
		fmt.Fprintf(os.Stderr, "left behind: %s %s\n", kind, strings.Join(left[kind], ", "))
	}
	if remaining > 0 {
		return remaining, fmt.Errorf("%d resources are left behind", remaining)
	}
	return 0, stopDaemon(lab, dir)
}

// inventory lists what is in the account and in the cluster, by kind.
func inventory(ctx context.Context, lab *state.Lab) (map[string][]string, error) {
	left := map[string][]string{}
	return left, control(ctx, lab, http.MethodGet, "/_lab/inventory", nil, &left)
}

// control calls the lab's own interface.
func control(ctx context.Context, lab *state.Lab, method, path string, body io.Reader, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, lab.Control+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+lab.ControlToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		said, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(said)))
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// stopDaemon ends a lab's daemon and drops its directory.
func stopDaemon(lab *state.Lab, dir string) error {
	if err := syscall.Kill(lab.PID, syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(lab.PID, 0) == nil; {
		if time.Now().After(deadline) {
			return fmt.Errorf("the lab's daemon (process %d) does not end", lab.PID)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return os.RemoveAll(dir)
}
