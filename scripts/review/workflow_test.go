package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/review/internal/recorder/lab"
)

type workflow struct {
	Permissions any               `json:"permissions"`
	Env         map[string]string `json:"env"`
	Jobs        map[string]struct {
		Permissions map[string]string `json:"permissions"`
		Env         map[string]string `json:"env"`
		Steps       []workflowStep    `json:"steps"`
	} `json:"jobs"`
}

type workflowStep struct {
	Name string            `json:"name"`
	Uses string            `json:"uses"`
	Run  string            `json:"run"`
	Env  map[string]string `json:"env"`
	With map[string]any    `json:"with"`
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

// TestPreviewWorkflow runs the scripts of the preview workflow, as they are in the file, against a lab: the preview of a
// harmless and of a dangerous change, the comment, its update in place, and the verdict. What GitHub would give them is
// given by this test: variables, and `gh`, which keeps the comments in files.
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
	w := workflows(t)["preview.yml"]
	r := &runner{t: t, w: w, work: t.TempDir(), temp: t.TempDir(), github: t.TempDir()}
	r.write(filepath.Join(host, "gh"), gh, 0o755)
	if r.env, err = lab.Environment(scripts, "irsa-s3", host); err != nil {
		t.Fatal(err)
	}
	r.checkout(filepath.Dir(scripts), filepath.Join(labs, "irsa-s3", "work", "Pulumi.lab.yaml"))

	// Nothing changes: a comment is made, and nothing stops the pull request.
	r.run("preview", "Preview", "")
	r.run("review", "Review", "")
	r.run("review", "Comment", "")
	r.run("review", "Verdict", "")
	if got := r.read(filepath.Join(r.github, "calls")); got != "POST\n" {
		t.Errorf("GitHub was called with %q, want a new comment", got)
	}
	if got := r.read(filepath.Join(r.github, "body")); !strings.Contains(got, "nothing dangerous") {
		t.Errorf("the comment:\n%s", got)
	}
	// AWS is as the stack says.
	drift := *r
	drift.w = workflows(t)["drift.yml"]
	drift.run("drift", "Compare the stack with AWS", "")
	// A dangerous change: the same comment is replaced, and the verdict stops it, unless it is accepted.
	r.env = append(r.env, "REVIEW_EDITS=trust-wildcard,metadata-open")
	r.run("preview", "Preview", "")
	r.run("review", "Review", "")
	r.run("review", "Comment", "")
	if got := r.read(filepath.Join(r.github, "calls")); got != "POST\nPATCH 42\n" {
		t.Errorf("GitHub was called with %q, want the comment replaced", got)
	}
	body := r.read(filepath.Join(r.github, "body"))
	for _, sign := range []string{"trust-subject-wildcard", "hop-limit-raised", "imdsv1"} {
		if !strings.Contains(body, sign) {
			t.Errorf("the comment does not name %s:\n%s", sign, body)
		}
	}
	if !strings.Contains(r.read(filepath.Join(r.temp, "summary")), "trust-subject-wildcard") {
		t.Error("the run's summary does not have the review")
	}
	r.run("review", "Verdict", "the verdict is danger")
	// The stack says something else than AWS, which is what drift looks like from the other side.
	drift.env = r.env
	drift.run("drift", "Compare the stack with AWS", "no changes were expected")
	r.accepted = true
	r.run("review", "Verdict", "")
	// A program that fails stops the preview, and says why.
	r.write(filepath.Join(r.work, "Pulumi.lab.yaml"), strings.ReplaceAll(r.read(filepath.Join(r.work, "Pulumi.lab.yaml")), "irsa-s3", "nonsense"), 0o600)
	r.run("preview", "Preview", "nonsense")
}

// runner runs steps as a runner of GitHub does: bash -e, in the workspace, with the variables of workflow, job and step.
type runner struct {
	t                  *testing.T
	w                  workflow
	work, temp, github string
	env                []string
	accepted           bool
}

// checkout makes a workspace of the repository, with the stack that runs in the lab.
func (r *runner) checkout(root, stack string) {
	r.t.Helper()
	for _, name := range []string{"go.mod", "go.sum", "main.go", "components", "stacks", "scripts", "Pulumi.yaml"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(r.work, name)); err != nil {
			r.t.Fatal(err)
		}
	}
	r.write(filepath.Join(r.work, "Pulumi.lab.yaml"), r.read(stack), 0o600)
}

// run runs a step of a job. failure is empty where it must succeed, else what it must say when it fails.
func (r *runner) run(jobName, stepName, failure string) {
	r.t.Helper()
	job := r.w.Jobs[jobName]
	i := slices.IndexFunc(job.Steps, func(s workflowStep) bool { return s.Name == stepName })
	if i < 0 || job.Steps[i].Run == "" {
		r.t.Fatalf("job %s has no step %q with a script", jobName, stepName)
	}
	env := slices.Concat(r.env, []string{
		"GITHUB_REPOSITORY=example/k3s-aws-auth", "GITHUB_STEP_SUMMARY=" + filepath.Join(r.temp, "summary"), "RUNNER_TEMP=" + r.temp, "GH_STUB=" + r.github,
	})
	for _, m := range []map[string]string{r.w.Env, job.Env, job.Steps[i].Env} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if v := r.value(m[k]); v != "" {
				env = append(env, k+"="+v)
			}
		}
	}
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", job.Steps[i].Run)
	cmd.Dir, cmd.Env = r.work, env
	out, err := cmd.CombinedOutput()
	switch {
	case failure == "" && err != nil:
		r.t.Fatalf("step %q: %v\n%s", stepName, err, out)
	case failure != "" && err == nil:
		r.t.Errorf("step %q succeeds:\n%s", stepName, out)
	case failure != "" && !bytes.Contains(out, []byte(failure)):
		r.t.Errorf("step %q does not say %q:\n%s", stepName, failure, out)
	}
}

// value is what an expression of the workflow stands for in this test. Nothing where the lab's own value counts.
func (r *runner) value(expression string) string {
	r.t.Helper()
	values := map[string]string{
		"${{ vars.PULUMI_STACK }}":                "lab",
		"${{ vars.PULUMI_BACKEND_URL }}":          "",
		"${{ github.event.pull_request.number }}": "7",
		"${{ github.token }}":                     "token",
		"${{ contains(github.event.pull_request.labels.*.name, 'danger-accepted') }}": fmt.Sprint(r.accepted),
	}
	v, known := values[expression]
	if !known {
		r.t.Fatalf("the workflow has an expression that this test does not know: %q", expression)
	}
	return v
}

func (r *runner) read(path string) string {
	r.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func (r *runner) write(path, text string, mode os.FileMode) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// gh is GitHub's command with the three calls that the workflow makes, and one comment.
const gh = `#!/usr/bin/env bash
set -euo pipefail
[ -n "$GH_TOKEN" ] && [ "$1" = api ]
case "$*" in
*--paginate*repos/example/k3s-aws-auth/issues/7/comments*)
	case "$marker" in '<!-- k3s-aws-auth review of lab -->') ;; *) echo "marker $marker" >&2; exit 1 ;; esac
	if [ -e "$GH_STUB/body" ] && [ "$(head -n 1 "$GH_STUB/body")" = "$marker" ]; then echo 42; fi ;;
*"--method POST repos/example/k3s-aws-auth/issues/7/comments --field body=@comment.md")
	cp comment.md "$GH_STUB/body"; echo POST >> "$GH_STUB/calls" ;;
*"--method PATCH repos/example/k3s-aws-auth/issues/comments/42 --field body=@comment.md")
	cp comment.md "$GH_STUB/body"; echo PATCH 42 >> "$GH_STUB/calls" ;;
*) echo "gh $*: not known here" >&2; exit 1 ;;
esac
`

func execute(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
