package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/review/internal/preview"
	"k3s-aws-auth/scripts/review/internal/recorder/lab"
)

type workflow struct {
	// On is what starts it: sigs.k8s.io/yaml follows YAML 1.1, where "on" is true.
	On          map[string]any    `json:"true"`
	Permissions any               `json:"permissions"`
	Env         map[string]string `json:"env"`
	Defaults    struct {
		Run struct {
			Shell string `json:"shell"`
		} `json:"run"`
	} `json:"defaults"`
	Jobs map[string]workflowJob `json:"jobs"`
}

type workflowJob struct {
	If          string            `json:"if"`
	Needs       any               `json:"needs"`
	Environment any               `json:"environment"`
	Permissions map[string]string `json:"permissions"`
	Outputs     map[string]string `json:"outputs"`
	Env         map[string]string `json:"env"`
	Steps       []workflowStep    `json:"steps"`
}

type workflowStep struct {
	Name            string            `json:"name"`
	ID              string            `json:"id"`
	If              string            `json:"if"`
	Uses            string            `json:"uses"`
	Run             string            `json:"run"`
	Shell           string            `json:"shell"`
	ContinueOnError any               `json:"continue-on-error"`
	Env             map[string]string `json:"env"`
	With            map[string]any    `json:"with"`
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	all := map[string]workflow{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(data, &w); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[filepath.Base(f)] = w
		pinned := regexp.MustCompile(`(?m)uses: (\S+)(.*)$`)
		for _, m := range pinned.FindAllStringSubmatch(string(data), -1) {
			if !regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40}$`).MatchString(m[1]) || !regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`).MatchString(m[2]) {
				t.Errorf("%s: %s%s is not pinned by commit, with its version beside it", f, m[1], m[2])
			}
		}
	}
	return all
}

// TestWorkflowsKeepTheirPromises: actions pinned, permissions minimal, no expression in a script (where a branch's name
// would become shell), no stored AWS keys, and no job that both has AWS credentials and may write to GitHub.
func TestWorkflowsKeepTheirPromises(t *testing.T) {
	for name, w := range workflows(t) {
		if w.Permissions == nil {
			t.Errorf("%s: no permissions at the top: the default is everything", name)
		}
		for id, job := range w.Jobs {
			var writes []string
			for scope, access := range job.Permissions {
				if access == "write" {
					writes = append(writes, scope)
				}
			}
			if slices.Contains(writes, "id-token") && len(writes) > 1 {
				t.Errorf("%s: job %s has credentials for AWS and may write %q", name, id, writes)
			}
			for _, s := range job.Steps {
				if strings.Contains(s.Run, "${{") {
					t.Errorf("%s: step %q has an expression in its script", name, s.Name)
				}
				if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
					t.Errorf("%s: job %s leaves the token in the checkout", name, id)
				}
				for k := range s.With {
					if strings.Contains(k, "secret-access-key") {
						t.Errorf("%s: job %s has a static key", name, id)
					}
				}
			}
		}
	}
}

// TestWorkflowsCannotBeWalkedAround holds the text of the workflows to what keeps a pull request from choosing its judge,
// or from being green without one.
func TestWorkflowsCannotBeWalkedAround(t *testing.T) {
	all := workflows(t)
	for name, w := range all {
		if w.Defaults.Run.Shell != "bash" {
			t.Errorf("%s: without `shell: bash` GitHub runs `bash -e`, and a failure in front of a pipe passes", name)
		}
		for id, job := range w.Jobs {
			for _, s := range job.Steps {
				if s.Shell != "" || s.ContinueOnError != nil {
					t.Errorf("%s: job %s: step %q has a shell of its own or goes on after an error", name, id, s.Name)
				}
				if name != "ci.yml" && strings.HasPrefix(s.Uses, "actions/setup-go@") && s.With["cache"] != false {
					t.Errorf("%s: job %s has a cache, which a pull request's own run can fill", name, id)
				}
				if strings.HasPrefix(s.Uses, "actions/cache") || strings.HasPrefix(s.Uses, "actions/download-artifact") {
					t.Errorf("%s: job %s uses %s: what another job has made may not touch the checkout", name, id, s.Uses)
				}
			}
		}
	}
	w := all["preview.yml"]
	on := w.On["pull_request"].(map[string]any)
	if got := fmt.Sprint(on["types"]); got != "[opened synchronize reopened edited]" {
		t.Errorf("preview.yml runs for %s: edited must be among them (another base), labels not", got)
	}
	if len(w.On) != 1 {
		t.Errorf("preview.yml runs for %v", w.On)
	}
	judge := w.Jobs["review"]
	if judge.If != "always()" {
		t.Errorf("the job that judges runs %q: GitHub counts a skipped job as a success", judge.If)
	}
	if judge.Permissions["id-token"] != "" || judge.Environment != nil {
		t.Error("the job that judges has AWS credentials, or an environment's secrets")
	}
	for _, s := range slices.Concat(judge.Steps, w.Jobs["account"].Steps) {
		if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["ref"] != "${{ github.event.repository.default_branch }}" {
			t.Errorf("a tool is built from %v, which a pull request can choose", s.With["ref"])
		}
	}
	for _, s := range judge.Steps {
		if s.If != "" && s.Name != "Comment" {
			t.Errorf("step %q may be left out: %s", s.Name, s.If)
		}
	}
	if last := judge.Steps[len(judge.Steps)-1]; last.Name != "Comment" || last.If != "always()" {
		t.Error("the comment is not replaced where the review fails")
	}
	program := w.Jobs["preview"]
	for scope, access := range program.Permissions {
		if access == "write" && scope != "id-token" {
			t.Errorf("the job that runs the pull request's program may write %s", scope)
		}
	}
	if !strings.Contains(program.If, "base.ref == github.event.repository.default_branch") || !strings.Contains(program.If, "head.repo.full_name == github.repository") {
		t.Errorf("the program runs for %q", program.If)
	}
	accept := all["accept.yml"]
	if len(accept.On) != 1 || accept.On["issue_comment"] == nil {
		t.Errorf("accept.yml runs for %v: of these, GitHub takes only issue_comment's file from the default branch", accept.On)
	}
	for _, s := range accept.Jobs["again"].Steps {
		if s.Uses != "" {
			t.Errorf("accept.yml may run jobs again, and uses %s", s.Uses)
		}
	}
	environments := map[string]string{}
	for name, w := range all {
		for id, job := range w.Jobs {
			if job.Permissions["id-token"] == "" {
				continue
			}
			e := fmt.Sprint(job.Environment)
			if name == "apply.yml" && id == "plan" {
				if e != "drift" {
					t.Errorf("apply.yml plans in %s, and drift is what reads from the default branch", e)
				}
				continue
			}
			if other, taken := environments[e]; taken && other != name || job.Environment == nil {
				t.Errorf("%s: job %s has AWS credentials in the environment %s, which %s has too: one role for each purpose", name, id, e, other)
			}
			environments[e] = name
		}
	}
}

// TestScriptsOfWorkflowsPassShellcheck reads the scripts as they are in the files.
func TestScriptsOfWorkflowsPassShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("no shellcheck")
	}
	for name, w := range workflows(t) {
		for id, job := range w.Jobs {
			for _, s := range job.Steps {
				if s.Run == "" {
					continue
				}
				cmd := exec.Command("shellcheck", "--shell=bash", "-")
				cmd.Stdin = strings.NewReader("set -eo pipefail\n" + s.Run)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: job %s: step %q: %v\n%s", name, id, s.Name, err, out)
				}
			}
		}
	}
}

// judged runs the job that judges, all its steps as GitHub would, and tells whether it is green.
func judged(r *runner) bool {
	r.t.Helper()
	for _, f := range []string{"comment.md", "verdict.json", "notes", "comments", "preview.json", "state.json", "account.json", "artifact.zip", "ours"} {
		_ = os.Remove(filepath.Join(r.temp, f)) // each job has a runner of its own
	}
	green := true
	for _, s := range r.w.Jobs["review"].Steps {
		if s.Run == "" || s.Name == "Build" || !green && s.If != "always()" {
			continue
		}
		if out, err := r.try("review", s.Name); err != nil {
			r.t.Logf("step %q: %v\n%s", s.Name, err, out)
			green = false
		}
	}
	return green
}

// lastChanged is what preview.yml keeps of the state before a preview, with one time for all resources.
func lastChanged(t *testing.T, recording []byte, when time.Time) []byte {
	t.Helper()
	p, err := preview.Parse(recording, nil)
	if err != nil {
		t.Fatal(err)
	}
	var resources []map[string]any
	for _, c := range p.Changes {
		if c.Before != nil {
			resources = append(resources, map[string]any{"urn": c.Before.URN, "type": c.Before.Type, "custom": c.Before.Custom, "modified": when})
		}
	}
	data, err := json.Marshal(map[string]any{"version": 3, "deployment": map[string]any{"resources": resources}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestReviewJob runs the judging job of preview.yml with recorded previews, against what a pull request can try.
func TestReviewJob(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, workflows(t)["preview.yml"])
	r.checkout(root)
	r.run("review", "Build", "")
	harmless, danger := unpack(t, "harmless-permissions-changed"), unpack(t, "danger-metadata-open")
	one := func() string {
		t.Helper()
		bodies := r.ours()
		if len(bodies) != 1 {
			t.Fatalf("%d comments of the workflow, want one that is replaced", len(bodies))
		}
		return bodies[0]
	}
	says := func(want ...string) {
		t.Helper()
		for _, text := range want {
			if !strings.Contains(one(), text) {
				t.Errorf("the comment does not say %q:\n%s", text, one())
			}
		}
	}
	set := func(expression, value string) {
		if _, known := r.values[expression]; !known {
			t.Fatalf("no expression %q", expression)
		}
		r.values[expression] = value
	}

	r.artifact("99", map[string][]byte{"preview.json": harmless})
	if !judged(r) {
		t.Fatal("a harmless change is not green")
	}
	says("nothing dangerous", "111111111111")

	// The artifact brings files of its own: only one is read, and the checkout stays as it is.
	r.artifact("99", map[string][]byte{"preview.json": danger, "scripts/review/main.go": []byte("package main\nfunc main() {}\n"), "../review": []byte("#!/bin/sh\n"), "comment.md": []byte("green")})
	if judged(r) {
		t.Fatal("a dangerous change is green")
	}
	says("hop-limit-raised", "danger-accepted ")
	if info, err := os.Stat(filepath.Join(root, "scripts", "review", "main.go")); err != nil || info.Size() < 1000 {
		t.Error("an artifact has written into the checkout")
	}

	// Whatever becomes of the preview, the check fails and the comment says so.
	for _, result := range []string{"failure", "cancelled", "skipped"} {
		set("${{ needs.preview.result }}", result)
		for artifact, also := range map[string]string{"": "printed nothing", "5": "incomplete"} {
			set("${{ needs.preview.outputs.artifact }}", artifact)
			r.artifact("99", map[string][]byte{"preview.json": harmless})
			if judged(r) {
				t.Errorf("a preview that ended with %s is green", result)
			}
			says("no verdict", result, also)
		}
	}
	set("${{ needs.preview.result }}", "success")
	set("${{ needs.preview.outputs.artifact }}", "5")
	for name, data := range map[string][]byte{
		"empty": {}, "no preview": []byte(`{"version":1}`), "cut": harmless[:len(harmless)/2],
		"another stack": bytes.ReplaceAll(harmless, []byte("urn:pulumi:lab::"), []byte("urn:pulumi:dev::")),
	} {
		r.artifact("99", map[string][]byte{"preview.json": data})
		if judged(r) {
			t.Errorf("%s: green", name)
		}
		says("no verdict")
	}
	// A step of a rotation is judged by what the state says of the step before: too early, late enough, and nothing.
	retired := unpack(t, "rotation-key-retired")
	for since, green := range map[time.Duration]bool{time.Hour: false, 48 * time.Hour: true} {
		r.artifact("99", map[string][]byte{"preview.json": retired, "state.json": lastChanged(t, retired, time.Now().Add(-since))})
		if judged(r) != green {
			t.Errorf("%s after the step before: green is %v", since, !green)
		}
	}
	r.artifact("99", map[string][]byte{"preview.json": retired})
	if !judged(r) {
		t.Error("a step of a rotation is red where nothing says since when the one before holds")
	}
	says("rotation-wait")

	// What the account has is told where it is asked for, also that it could not be read, and changes no verdict.
	const found = `{"account": "111122223333", "reach": [{"role": "r"}], "findings": [{"id": "role-not-in-stack", "level": "error", "seen": "role r trusts the cluster"}]}`
	set("${{ vars.REVIEW_ACCOUNT }}", "true")
	for _, c := range []struct {
		artifact, report, want string
	}{{"6", found, "role-not-in-stack"}, {"6", "{", "could not be read"}, {"6", "", "could not be read"}, {"", found, "could not be read"}} {
		set("${{ needs.account.outputs.artifact }}", c.artifact)
		r.artifact("99", map[string][]byte{"preview.json": harmless, "account.json": []byte(c.report)})
		if !judged(r) {
			t.Errorf("what the account has makes a harmless change red: %+v", c)
		}
		says("nothing dangerous", c.want)
	}
	set("${{ vars.REVIEW_ACCOUNT }}", "")
	r.artifact("99", map[string][]byte{"preview.json": harmless, "account.json": []byte(found)})
	if !judged(r) || strings.Contains(one(), "account") {
		t.Errorf("the account is told of, and nobody has asked:\n%s", one())
	}

	// An artifact of another run, of which the first job's output may speak, and none.
	r.artifact("98", map[string][]byte{"preview.json": harmless})
	if judged(r) {
		t.Error("an artifact of another run is judged")
	}
	says("did not end")
	r.artifact("99", map[string][]byte{"preview.json": harmless})
	for _, artifact := range []string{"", "../../../user", "5/zip"} {
		set("${{ needs.preview.outputs.artifact }}", artifact)
		if judged(r) {
			t.Errorf("artifact %q: green", artifact)
		}
	}
	set("${{ needs.preview.outputs.artifact }}", "5")
	// Another base, another repository, no stack: what the first job was not run for is not green.
	for expression, value := range map[string]string{
		"${{ github.event.pull_request.base.ref }}":            "somebody/else",
		"${{ github.event.pull_request.head.repo.full_name }}": "fork/k3s-aws-auth",
	} {
		before := r.values[expression]
		set(expression, value)
		if judged(r) {
			t.Errorf("%s = %q is green", expression, value)
		}
		set(expression, before)
	}
	// Without a stack there is no verdict either.
	r.values["${{ vars.PULUMI_STACK }}"] = ""
	if judged(r) {
		t.Error("green without a stack")
	}
	r.write(filepath.Join(r.github, "comments.json"), "[]", 0o600)
	r.values["${{ vars.PULUMI_STACK }}"] = "lab"
	r.artifact("99", map[string][]byte{"preview.json": danger})
	if judged(r) || !strings.Contains(r.ours()[0], "hop-limit-raised") {
		t.Error("a danger is green")
	}
	// A newer commit has a comment of its own.
	before := one()
	r.write(filepath.Join(r.github, "head"), strings.Repeat("2", 40), 0o600)
	r.artifact("99", map[string][]byte{"preview.json": harmless})
	if !judged(r) || one() != before {
		t.Error("the run of an older commit has replaced the comment of a newer one")
	}
}

// TestAcceptance: an acceptance is for one commit and one verdict, by a maintainer who is not the author, unedited.
func TestAcceptance(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, workflows(t)["preview.yml"])
	r.checkout(root)
	r.run("review", "Build", "")
	r.artifact("99", map[string][]byte{"preview.json": unpack(t, "danger-metadata-open")})
	if judged(r) {
		t.Fatal("a danger is green")
	}
	code := regexp.MustCompile("danger-accepted [0-9a-f]{16}").FindString(r.ours()[0])
	for _, c := range []struct{ why, login, kind, role, body, updated string }{
		{"the author", "author", "User", "admin", code, ""},
		{"may only write", "writer", "User", "write", code, ""},
		{"a stranger, whom GitHub does not know here", "stranger", "User", "", code, ""},
		{"a bot", "some[bot]", "Bot", "admin", code, ""},
		{"edited by whoever", "maintainer", "User", "maintain", code, "2026-01-05T00:00:00Z"},
		{"another code", "maintainer", "User", "maintain", "danger-accepted 0123456789abcdef", ""},
		{"in a quotation", "maintainer", "User", "maintain", "Do not comment " + code, ""},
		{"without code", "maintainer", "User", "maintain", "danger-accepted ", ""},
	} {
		r.comment(c.login, c.kind, c.role, c.body, c.updated)
		if judged(r) {
			t.Fatalf("accepted by %s", c.why)
		}
	}
	r.comment("maintainer", "User", "maintain", "`"+code+"`\n\nfor the migration", "")
	if !judged(r) {
		t.Fatal("a maintainer's acceptance does not count")
	}
	if !strings.Contains(r.ours()[0], "**Accepted** by `maintainer`") {
		t.Errorf("the comment does not say who has accepted:\n%s", r.ours()[0])
	}
	// Another verdict on the same commit, and the same verdict on another commit.
	r.artifact("99", map[string][]byte{"preview.json": unpack(t, "danger-trust-wildcard")})
	if judged(r) {
		t.Error("an acceptance holds for another verdict")
	}
	r.artifact("99", map[string][]byte{"preview.json": unpack(t, "danger-metadata-open")})
	next := strings.Repeat("2", 40)
	r.write(filepath.Join(r.github, "head"), next, 0o600)
	r.values["${{ github.event.pull_request.head.sha }}"] = next
	if judged(r) {
		t.Error("an acceptance outlives a push")
	}
	// The comment makes the failed job run again, and not the preview.
	again := *r
	again.w = workflows(t)["accept.yml"]
	again.run("again", "Judge again", "")
	if calls := r.read(filepath.Join(r.github, "calls")); !strings.HasSuffix(calls, "POST actions/runs/99/rerun-failed-jobs\n") {
		t.Errorf("calls:\n%s", calls)
	}
}

// TestApplyWorkflow: a plan is applied where it was judged, and no other, and nothing where the world has moved.
func TestApplyWorkflow(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, workflows(t)["apply.yml"])
	r.checkout(root)
	bin := t.TempDir()
	r.write(filepath.Join(bin, "pulumi"), pulumiStub, 0o755)
	r.env = append(r.env, "PATH="+bin+string(os.PathListSeparator)+strings.TrimPrefix(r.env[len(r.env)-1], "PATH="))
	r.run("judge", "Build", "")
	harmless, danger := unpack(t, "harmless-permissions-changed"), unpack(t, "danger-metadata-open")
	outputs := func() map[string]string {
		t.Helper()
		values := map[string]string{}
		for _, line := range strings.Split(strings.TrimSpace(r.read(filepath.Join(r.temp, "output"))), "\n") {
			k, v, _ := strings.Cut(line, "=")
			values[k] = v
		}
		return values
	}
	judge := func(plan string, preview []byte) {
		t.Helper()
		_ = os.Remove(filepath.Join(r.temp, "output"))
		r.artifact("99", map[string][]byte{"plan.json": []byte(plan), "preview.json": preview})
		r.write(filepath.Join(r.github, "now.json"), string(preview), 0o600)
		r.run("judge", "Judge", "")
		for k, v := range outputs() {
			r.values["${{ needs.judge.outputs."+k+" }}"] = v
		}
	}
	ups := func() int {
		data, _ := os.ReadFile(filepath.Join(r.github, "ups"))
		return strings.Count(string(data), "\n")
	}

	judge("the plan", danger)
	if got := outputs(); got["environment"] != "production-danger" || len(got["plan"]) != 64 || len(got["digest"]) != 64 {
		t.Errorf("a danger: %v", got)
	}
	judge("the plan", harmless)
	if got := outputs()["environment"]; got != "production" {
		t.Errorf("a harmless change is applied in %s", got)
	}
	if !strings.Contains(r.read(filepath.Join(r.temp, "summary")), outputs()["plan"]) {
		t.Error("the summary, which the reviewers read, does not name the plan")
	}
	r.run("apply", "Fetch the plan", "")
	r.run("apply", "Apply", "")
	if ups() != 1 || r.read(filepath.Join(r.github, "ups")) != "the plan\n" {
		t.Errorf("applied: %q", r.read(filepath.Join(r.github, "ups")))
	}
	// Another plan than the judged one.
	r.artifact("99", map[string][]byte{"plan.json": []byte("another plan"), "preview.json": harmless})
	r.run("apply", "Fetch the plan", "not the one that was judged")
	// The branch has moved.
	judge("the plan", harmless)
	r.write(filepath.Join(r.github, "head"), strings.Repeat("2", 40), 0o600)
	r.run("apply", "Fetch the plan", "the world has moved")
	r.write(filepath.Join(r.github, "head"), head, 0o600)
	r.run("apply", "Fetch the plan", "")
	// The same commit does something else now.
	r.write(filepath.Join(r.github, "now.json"), string(danger), 0o600)
	r.run("apply", "Apply", "the world has moved")
	if ups() != 1 {
		t.Error("applied although the world has moved")
	}
	// The engine stops it.
	r.write(filepath.Join(r.github, "now.json"), string(harmless), 0o600)
	r.write(filepath.Join(r.github, "violated"), "", 0o600)
	r.run("apply", "Apply", "stopped")
	// No verdict, no environment.
	_ = os.Remove(filepath.Join(r.temp, "output"))
	r.artifact("99", map[string][]byte{"plan.json": []byte("plan"), "preview.json": []byte("{}")})
	r.run("judge", "Judge", "nothing is applied")
	if _, err := os.Stat(filepath.Join(r.temp, "output")); err == nil {
		t.Error("without a verdict there are outputs")
	}
	r.artifact("98", map[string][]byte{"plan.json": []byte("plan"), "preview.json": harmless})
	r.run("judge", "Judge", "not of this run")
	w := workflows(t)["apply.yml"]
	if w.Jobs["apply"].Environment != "${{ needs.judge.outputs.environment }}" || len(w.On) != 1 || w.On["push"] == nil {
		t.Error("apply does not wait for the environment that the verdict names, or runs for more than pushes")
	}
	if e := w.Jobs["judge"]; e.Permissions["id-token"] != "" || e.If != "" {
		t.Error("the judge has credentials, or runs without a plan")
	}
}

// pulumiStub previews what is in a file and applies a plan by writing it down.
const pulumiStub = `#!/usr/bin/env bash
set -euo pipefail
case "$1" in
preview) cat "$GH_STUB/now.json" ;;
up)
	if [ -e "$GH_STUB/violated" ]; then echo "error: resource urn violates plan: properties changed"; exit 255; fi
	[ "$2 $3 $4 $6 $7" = "--stack lab --plan --yes --non-interactive" ]
	cat "$5" >> "$GH_STUB/ups"; echo >> "$GH_STUB/ups" ;;
*) exit 1 ;;
esac
`

// TestPreviewWorkflow runs the scripts of the preview and drift workflows, as they are in the files, against a lab: the
// preview of a harmless and of a dangerous change, its judgement, and what somebody changes by hand.
func TestPreviewWorkflow(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this starts a lab")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the workflow's scripts are run on Linux alone, as on GitHub's runners")
	}
	if err := lab.Built(); err != nil {
		t.Skip("needs the lab's tools: ", err)
	}
	scripts, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	labs, err := os.MkdirTemp("", "review-labs-") // short: sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(labs) })
	t.Setenv("K3S_AWS_AUTH_LABS", labs)
	t.Cleanup(func() { execute(t, scripts, "go", "run", "./lab", "down", "--setup", "irsa-s3") })
	execute(t, scripts, "go", "run", "./lab", "up", "--setup", "irsa-s3")
	host, err := lab.Host(scripts, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, workflows(t)["preview.yml"])
	r.write(filepath.Join(host, "gh"), gh, 0o755)
	if r.env, err = lab.Environment(scripts, "irsa-s3", host); err != nil {
		t.Fatal(err)
	}
	r.checkout(filepath.Dir(scripts))
	stack := filepath.Join(r.work, "Pulumi.lab.yaml")
	r.write(stack, r.read(filepath.Join(labs, "irsa-s3", "work", "Pulumi.lab.yaml")), 0o600)
	drift := *r
	drift.w = workflows(t)["drift.yml"]
	previewed := func() {
		t.Helper()
		r.artifact("99", map[string][]byte{"preview.json": []byte(r.read(filepath.Join(r.temp, "preview.json"))), "state.json": []byte(r.read(filepath.Join(r.temp, "state.json")))})
	}

	// Nothing changes: a comment is made, and nothing stops the pull request.
	r.run("review", "Build", "")
	r.run("preview", "Preview", "")
	previewed()
	if !judged(r) || !strings.Contains(r.ours()[0], "nothing dangerous") {
		t.Errorf("an unchanged program is not green: %s", r.ours())
	}
	// AWS is as the stack says, until somebody gives a role more by hand, in the three ways that there are.
	drift.run("drift", "Compare the stack with AWS", "")
	undo := byHand(t, r.env)
	drift.run("drift", "Compare the stack with AWS", "AWS differs from the program in 3 resources; the verdict is danger")
	for _, text := range []string{"permissions-escalate", "by hand: emergency", "by hand: CloudWatchAgentServerPolicy"} {
		if !strings.Contains(r.read(filepath.Join(r.temp, "drift.md")), text) {
			t.Errorf("drift does not say %q:\n%s", text, r.read(filepath.Join(r.temp, "drift.md")))
		}
	}
	undo()
	drift.run("drift", "Compare the stack with AWS", "")
	// A dangerous change: the verdict stops it.
	r.env = append(r.env, "REVIEW_EDITS=trust-wildcard,metadata-open")
	r.run("preview", "Preview", "")
	previewed()
	if judged(r) {
		t.Error("a dangerous change is green")
	}
	for _, sign := range []string{"trust-subject-wildcard", "hop-limit-raised", "imdsv1"} {
		if !strings.Contains(r.ours()[0], sign) {
			t.Errorf("the comment does not name %s:\n%s", sign, r.ours()[0])
		}
	}
	// The stack says something else than AWS, which is what drift looks like from the other side.
	drift.env = r.env
	drift.run("drift", "Compare the stack with AWS", "AWS differs from the program")
	// A program that fails stops the preview, and says why.
	r.write(stack, strings.ReplaceAll(r.read(stack), "irsa-s3", "nonsense"), 0o600)
	r.run("preview", "Preview", "nonsense")
}

func execute(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
