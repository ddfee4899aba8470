package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/scripts/review/internal/enginetest"
)

// planned is a program of two resources, the second of which gets an output of the first.
type planned struct {
	value, fixed, suffix string
	extra                bool
}

func (p planned) run(ctx *pulumi.Context) error {
	a, err := enginetest.Register(ctx, "fake:index:Role", "a", pulumi.Map{"value": pulumi.String(p.value), "fixed": pulumi.String(p.fixed),
		"password": pulumi.ToSecret(pulumi.String("hunter2"))})
	if err != nil {
		return err
	}
	if _, err := enginetest.Register(ctx, "fake:index:Policy", "b", pulumi.Map{"value": pulumi.Sprintf("%s%s", a.Out, p.suffix)}); err != nil {
		return err
	}
	if p.extra {
		_, err = enginetest.Register(ctx, "fake:index:Policy", "c", pulumi.Map{"value": pulumi.String("extra")})
	}
	return err
}

// TestPlans is what the engine's plans hold and what they do not, by the engine itself: docs/review.md says it, and
// apply.yml does the rest.
func TestPlans(t *testing.T) {
	fresh := func(t *testing.T) *enginetest.Engine {
		t.Helper()
		e, err := enginetest.New(t.Context(), t.TempDir())
		if errors.Is(err, enginetest.ErrNoCLI) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const file = "plan.json"
	must := func(t *testing.T, e *enginetest.Engine, p planned, args ...string) {
		t.Helper()
		e.Program(p.run)
		if out, err := e.Pulumi(t.Context(), args...); err != nil {
			t.Fatalf("pulumi %s: %v\n%s", args, err, out)
		}
	}
	refused := func(t *testing.T, e *enginetest.Engine, p planned, want string) {
		t.Helper()
		before := e.World()
		e.Program(p.run)
		out, err := e.Pulumi(t.Context(), "up", "--plan", file, "--yes")
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, without %q:\n%s", err, want, out)
		}
		after := e.World()
		if len(before) != len(after) || before["a"]["value"] != after["a"]["value"] || before["b"]["value"] != after["b"]["value"] {
			t.Errorf("a refused plan has changed something: %v to %v", before, after)
		}
	}
	start, next := planned{value: "x", fixed: "1"}, planned{value: "y", fixed: "1"}
	plan := func(t *testing.T, p planned) *enginetest.Engine {
		t.Helper()
		e := fresh(t)
		must(t, e, start, "up", "--yes", "--skip-preview")
		must(t, e, p, "preview", "--save-plan", file)
		return e
	}

	t.Run("the plan itself is applied", func(t *testing.T) {
		e := plan(t, next)
		must(t, e, next, "up", "--plan", file, "--yes")
		if w := e.World(); w["a"]["value"] != "y" || w["b"]["value"] != "out-y" {
			t.Errorf("%v", w)
		}
	})
	t.Run("it has no secret in plain", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join(plan(t, planned{value: "x", fixed: "2"}).Dir(), file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), "password") {
			t.Errorf("%s", text)
		}
	})
	t.Run("another value is refused before anything changes", func(t *testing.T) {
		refused(t, plan(t, next), planned{value: "z", fixed: "1"}, "violates plan")
	})
	t.Run("another resource is refused before anything changes", func(t *testing.T) {
		more := next
		more.extra = true
		refused(t, plan(t, next), more, "not allowed by the plan")
	})
	t.Run("a replacement that was not planned is refused", func(t *testing.T) {
		refused(t, plan(t, next), planned{value: "y", fixed: "2"}, "violates plan")
	})
	// The limits.
	t.Run("limit: what the plan did not know takes any value", func(t *testing.T) {
		e := plan(t, next)
		must(t, e, planned{value: "y", fixed: "1", suffix: "-and-more"}, "up", "--plan", file, "--yes")
		if got := e.World()["b"]["value"]; got != "out-y-and-more" {
			t.Errorf("%v", got)
		}
	})
	t.Run("limit: what depends on a replaced resource takes any value", func(t *testing.T) {
		replacing := planned{value: "x", fixed: "2"}
		e := plan(t, replacing)
		replacing.suffix = "-and-more"
		must(t, e, replacing, "up", "--plan", file, "--yes")
		if got := e.World()["b"]["value"]; got != "out-x-and-more" {
			t.Errorf("%v", got)
		}
	})
	t.Run("limit: another beginning with the same end is no violation", func(t *testing.T) {
		e := plan(t, next)
		must(t, e, planned{value: "w", fixed: "1"}, "up", "--yes", "--skip-preview") // somebody was faster
		must(t, e, next, "up", "--plan", file, "--yes")
		if got := e.World()["a"]["value"]; got != "y" {
			t.Errorf("%v", got)
		}
	})
	t.Run("limit: without its preview an update stops half-way", func(t *testing.T) {
		e := plan(t, next)
		more := next
		more.extra = true
		e.Program(func(ctx *pulumi.Context) error {
			a, err := enginetest.Register(ctx, "fake:index:Role", "a", pulumi.Map{"value": pulumi.String("y"), "fixed": pulumi.String("1"),
				"password": pulumi.ToSecret(pulumi.String("hunter2"))})
			if err != nil {
				return err
			}
			_, err = enginetest.Register(ctx, "fake:index:Policy", "c", pulumi.Map{"value": a.Out}, pulumi.DependsOn([]pulumi.Resource{a}))
			return err
		})
		out, err := e.Pulumi(t.Context(), "up", "--plan", file, "--yes", "--skip-preview")
		if err == nil || e.World()["a"]["value"] != "y" || e.World()["c"] != nil {
			t.Errorf("%v: %v\n%s", err, e.World(), out)
		}
	})
}
