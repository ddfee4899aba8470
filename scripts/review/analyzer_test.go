package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"k3s-aws-auth/scripts/review/internal/analyzer"
	"k3s-aws-auth/scripts/review/internal/enginetest"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// role is a program with one role, whose trust policy is given.
func role(trust string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		_, err := enginetest.Register(ctx, "aws:iam/role:Role", "pod", pulumi.Map{"name": pulumi.String("pod"), "assumeRolePolicy": pulumi.String(trust)})
		return err
	}
}

// TestPolicyPack runs the review within the engine: `pulumi up` of a danger is stopped before anything changes, goes
// through where the stack's configuration accepts this danger, and is stopped again by another one.
func TestPolicyPack(t *testing.T) {
	e, err := enginetest.New(t.Context(), t.TempDir())
	if errors.Is(err, enginetest.ErrNoCLI) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	execute(t, "..", "go", "build", "-o", bin+"/", "./review/pulumi-analyzer-policy-review")
	e.Setenv("PATH=" + strings.Join([]string{bin, filepath.Dir(e.CLI()), os.Getenv("PATH")}, string(os.PathListSeparator)))
	pack, err := filepath.Abs("pulumi-analyzer-policy-review")
	if err != nil {
		t.Fatal(err)
	}
	up := func(program pulumi.RunFunc, args ...string) (string, error) {
		t.Helper()
		e.Program(program)
		return e.Pulumi(t.Context(), append([]string{"up", "--yes", "--policy-pack", pack}, args...)...)
	}
	statement := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal + `}]}`
	}
	exact, open := statement(`{"Service":"ec2.amazonaws.com"}`), statement(`{"AWS":"*"}`)

	out, err := up(role(exact))
	if err != nil || len(e.World()) != 1 {
		t.Fatalf("a first update: %v\n%s", err, out)
	}
	if out, err = up(role(exact)); err != nil || strings.Contains(out, "[mandatory]") {
		t.Fatalf("nothing changes: %v\n%s", err, out)
	}
	if out, err = up(role(open)); err == nil || !strings.Contains(out, "trust-anybody") || e.World()["pod"]["assumeRolePolicy"] != exact {
		t.Fatalf("a danger: %v, %v\n%s", err, e.World(), out)
	}
	code := regexp.MustCompile(`review:accepted ([0-9a-f]{16})`).FindStringSubmatch(out)
	if code == nil {
		t.Fatalf("it does not say how it is accepted:\n%s", out)
	}
	if out, err := e.Pulumi(t.Context(), "config", "set", "review:accepted", "0123456789abcdef", "--stack", "test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = up(role(open)); err == nil || e.World()["pod"]["assumeRolePolicy"] != exact {
		t.Fatalf("accepted by another code: %v\n%s", err, out)
	}
	if out, err := e.Pulumi(t.Context(), "config", "set", "review:accepted", code[1], "--stack", "test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = up(role(open)); err != nil || e.World()["pod"]["assumeRolePolicy"] != open || !strings.Contains(out, "accepted by review:accepted") {
		t.Fatalf("accepted: %v\n%s", err, out)
	}
}

// TestPolicyPackWithoutState: what cannot be compared is no silence.
func TestPolicyPackWithoutState(t *testing.T) {
	e, err := enginetest.New(t.Context(), t.TempDir())
	if errors.Is(err, enginetest.ErrNoCLI) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	execute(t, "..", "go", "build", "-o", bin+"/", "./review/pulumi-analyzer-policy-review")
	if err := os.WriteFile(filepath.Join(bin, "pulumi"), []byte("#!/bin/sh\necho no login >&2\nexit 255\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	e.Setenv("PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"))
	pack, err := filepath.Abs("pulumi-analyzer-policy-review")
	if err != nil {
		t.Fatal(err)
	}
	e.Program(role("{}"))
	out, err := e.Pulumi(t.Context(), "up", "--yes", "--policy-pack", pack)
	if err == nil || !strings.Contains(out, "no verdict") || len(e.World()) != 0 {
		t.Errorf("%v: %v\n%s", err, e.World(), out)
	}
}

// asEngine gives the policy pack what the engine would: the state before a recorded preview, and the resources after it.
func asEngine(t *testing.T, recording []byte) (dangers []string) {
	t.Helper()
	var d struct {
		Steps []struct {
			Op  string         `json:"op"`
			Old map[string]any `json:"oldState"`
			New map[string]any `json:"newState"`
		} `json:"steps"`
	}
	if err := json.Unmarshal(recording, &d); err != nil {
		t.Fatal(err)
	}
	var before []any
	var after []*pulumirpc.AnalyzerResource
	properties := func(v any) *structpb.Struct {
		m, _ := v.(map[string]any)
		s, err := structpb.NewStruct(m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := &analyzer.Server{Export: func(context.Context, string) ([]byte, error) {
		return json.Marshal(map[string]any{"version": 3, "deployment": map[string]any{"resources": before}})
	}}
	inputs := map[string]*structpb.Struct{}
	known := map[string]bool{}
	for _, step := range d.Steps {
		if urn, _ := step.Old["urn"].(string); urn != "" && !known[urn] {
			known[urn] = true
			old, _ := encrypted(clone(t, step.Old)).(map[string]any)
			delete(old, "delete") // what a replacement has marked by then
			before = append(before, old)
		}
		urn, _ := step.New["urn"].(string)
		if step.New == nil || inputs[urn] != nil {
			continue
		}
		inputs[urn] = properties(step.New["inputs"])
		typ, _ := step.New["type"].(string)
		protect, _ := step.New["protect"].(bool)
		parent, _ := step.New["parent"].(string)
		texts := func(v any) (list []string) {
			all, _ := v.([]any)
			for _, x := range all {
				list = append(list, x.(string))
			}
			return list
		}
		dependencies := map[string]*pulumirpc.AnalyzerPropertyDependencies{}
		of, _ := step.New["propertyDependencies"].(map[string]any)
		for property, urns := range of {
			dependencies[property] = &pulumirpc.AnalyzerPropertyDependencies{Urns: texts(urns)}
		}
		after = append(after, &pulumirpc.AnalyzerResource{Urn: urn, Type: typ, Parent: parent, Properties: properties(step.New["outputs"]),
			Dependencies: texts(step.New["dependencies"]), PropertyDependencies: dependencies,
			Options: &pulumirpc.AnalyzerResourceOptions{Protect: protect, AdditionalSecretOutputs: texts(step.New["additionalSecretOutputs"])}})
	}
	if _, err := s.ConfigureStack(t.Context(), &pulumirpc.AnalyzerStackConfigureRequest{Stack: "lab", Project: "k3s-aws-auth", DryRun: true}); err != nil {
		t.Fatal(err)
	}
	for urn, in := range inputs {
		if _, err := s.Analyze(t.Context(), &pulumirpc.AnalyzeRequest{Urn: urn, Properties: in}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.AnalyzeStack(t.Context(), &pulumirpc.AnalyzeStackRequest{Resources: after})
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range r.GetDiagnostics() {
		if found.GetEnforcementLevel() == pulumirpc.EnforcementLevel_MANDATORY {
			id := regexp.MustCompile(`\(([a-z0-9-]+)\): `).FindStringSubmatch(found.GetMessage())
			if id == nil {
				t.Fatal(found.GetMessage())
			}
			dangers = append(dangers, id[1])
		}
	}
	slices.Sort(dangers)
	return slices.Compact(dangers)
}

// TestPolicyPackSeesTheSameSigns: what the review finds in a recorded preview, the policy pack finds in what the engine
// tells it, but for replacements, which the engine does not tell.
func TestPolicyPackSeesTheSameSigns(t *testing.T) {
	replacements := []string{"server-replaced", "ca-replaced", "data-deleted", "trust-anchor-replaced", "signing-key-replaced", "oidc-provider-replaced"}
	for name := range recorded {
		p, err := preview.Parse(unpack(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, s := range impact.Review(p).Signs {
			if s.Level == impact.Danger && !slices.Contains(replacements, s.ID) {
				want = append(want, s.ID)
			}
		}
		slices.Sort(want)
		got := slices.DeleteFunc(asEngine(t, unpack(t, name)), func(id string) bool { return slices.Contains(replacements, id) })
		if !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("%s: %q within the engine, %q in the preview", name, got, want)
		}
	}
}
