package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/setups"
)

// Diagnosis is what doctor says during a failure.
type Diagnosis struct {
	// First is the id of its first finding; empty where it has none.
	First string `json:"first"`
	// Unseen are the parts that it could not look at.
	Unseen []string `json:"unseen,omitempty"`
	// Expected is what First should be.
	Expected string `json:"expected"`
}

// unseenCluster stands for a doctor that says that it cannot look at the cluster.
const unseenCluster = "(the cluster cannot be looked at)"

// Doctor is the program that walks the chain, with the arguments that lead it to a target.
type Doctor struct {
	path string
	args []string
}

// buildDoctor compiles doctor from the scripts module into dir.
func buildDoctor(ctx context.Context, scripts, dir string, out io.Writer) (string, error) {
	path := filepath.Join(dir, "doctor")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./doctor")
	cmd.Dir, cmd.Stdout, cmd.Stderr = scripts, out, out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build doctor: %w", err)
	}
	return path, nil
}

// diagnose asks doctor until it says what is expected, or the time is over.
func (t *Target) diagnose(ctx context.Context, expected string) (*Diagnosis, error) {
	deadline := time.Now().Add(10 * t.Pace.Observe) // a kubelet posts its status every 10 s in a lab, every 5 minutes elsewhere
	for {
		d, err := t.Doctor.look(ctx)
		if err != nil {
			return nil, err
		}
		d.Expected = expected
		if d.First == expected || time.Now().After(deadline) {
			return d, nil
		}
		if err := sleep(ctx, t.Pace.Poll); err != nil {
			return nil, err
		}
	}
}

// look runs doctor once. Its exit codes 1 and 2 are news, not failures.
func (d *Doctor) look(ctx context.Context) (*Diagnosis, error) {
	cmd := exec.CommandContext(ctx, d.path, slices.Concat([]string{"check", "--output", "json"}, d.args)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || len(out) == 0) {
		said := ""
		if exit != nil {
			said = ": " + strings.TrimSpace(string(exit.Stderr))
		}
		return nil, fmt.Errorf("doctor: %w%s", err, said)
	}
	return readDiagnosis(out)
}

func readDiagnosis(report []byte) (*Diagnosis, error) {
	var r struct {
		Findings []struct{ ID string }
		Unseen   []struct{ What string }
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return nil, fmt.Errorf("doctor: %w", err)
	}
	out := &Diagnosis{}
	for _, u := range r.Unseen {
		out.Unseen = append(out.Unseen, u.What)
		if u.What == "the cluster" {
			out.First = unseenCluster
		}
	}
	if len(r.Findings) > 0 && out.First == "" {
		out.First = r.Findings[0].ID
	}
	return out, nil
}

// Told says by a setup's facts what doctor's first finding should be; empty where it should have none.
type Told func(setups.Setup) string

// toldNothing is for what doctor has no way to see, or for what breaks nothing.
func toldNothing(setups.Setup) string { return "" }

// toldAlways is one finding in every setup.
func toldAlways(id string) Told { return func(setups.Setup) string { return id } }

// toldWithToken is a finding where pods present a token.
func toldWithToken(id string) Told {
	return func(s setups.Setup) string {
		if s.PresentsToken() {
			return id
		}
		return ""
	}
}

// toldWithRole differs by what pods present for a role of their own.
func toldWithRole(token, certificate string) Told {
	return func(s setups.Setup) string {
		if s.PresentsCertificate() {
			return certificate
		}
		return token
	}
}
