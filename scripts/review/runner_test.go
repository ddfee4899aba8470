package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

const head = "1111111111111111111111111111111111111111"

// runner runs steps as a runner of GitHub does: bash -eo pipefail (as `shell: bash` asks for), in the workspace, with the
// variables of workflow, job and step.
type runner struct {
	t                  *testing.T
	w                  workflow
	work, temp, github string
	env                []string
	// values are what expressions stand for.
	values map[string]string
}

// newRunner makes a runner with a stand-in for GitHub's API: gh answers from files.
func newRunner(t *testing.T, w workflow) *runner {
	t.Helper()
	for _, tool := range []string{"bash", "jq", "unzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("GitHub's runners have %s, this machine has not", tool)
		}
	}
	r := &runner{t: t, w: w, work: t.TempDir(), temp: t.TempDir(), github: t.TempDir(), values: map[string]string{
		"${{ vars.PULUMI_STACK }}":                             "lab",
		"${{ vars.PULUMI_BACKEND_URL }}":                       "",
		"${{ github.event.pull_request.number }}":              "7",
		"${{ github.event.issue.number }}":                     "7",
		"${{ github.event.pull_request.head.sha }}":            head,
		"${{ github.event.pull_request.head.repo.full_name }}": "example/k3s-aws-auth",
		"${{ github.event.pull_request.base.ref }}":            "main",
		"${{ github.event.repository.default_branch }}":        "main",
		"${{ github.event.pull_request.user.login }}":          "author",
		"${{ github.token }}":                                  "token",
		"${{ needs.preview.result }}":                          "success",
		"${{ needs.preview.outputs.artifact }}":                "5",
		"${{ needs.plan.outputs.artifact }}":                   "5",
		"${{ vars.REVIEW_ACCOUNT }}":                           "",
		"${{ needs.account.outputs.artifact }}":                "",
	}}
	bin := t.TempDir()
	r.write(filepath.Join(bin, "gh"), gh, 0o755)
	r.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	r.write(filepath.Join(r.github, "comments.json"), `[{"id": 1, "user": {"login": "author", "type": "User"}, "body": "please review", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}]`, 0o600)
	r.write(filepath.Join(r.github, "head"), head, 0o600)
	return r
}

// checkout makes a workspace of the repository.
func (r *runner) checkout(root string) {
	r.t.Helper()
	for _, name := range []string{"go.mod", "go.sum", "main.go", "components", "stacks", "scripts", "Pulumi.yaml"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(r.work, name)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// artifact puts a file into the artifact of the run.
func (r *runner) artifact(run string, files map[string][]byte) {
	r.t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(files[name])
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.write(filepath.Join(r.github, "artifact.zip"), b.String(), 0o600)
	r.write(filepath.Join(r.github, "artifact.json"), `{"workflow_run": {"id": `+run+`}}`, 0o600)
}

// run runs a step of a job. failure is empty where it must succeed, else what it must say when it fails.
func (r *runner) run(jobName, stepName, failure string) {
	r.t.Helper()
	out, err := r.try(jobName, stepName)
	switch {
	case failure == "" && err != nil:
		summary, _ := os.ReadFile(filepath.Join(r.temp, "summary"))
		r.t.Fatalf("step %q: %v\n%s\n%s", stepName, err, out, summary)
	case failure != "" && err == nil:
		r.t.Errorf("step %q succeeds:\n%s", stepName, out)
	case failure != "" && !bytes.Contains(out, []byte(failure)):
		r.t.Errorf("step %q does not say %q:\n%s", stepName, failure, out)
	}
}

func (r *runner) try(jobName, stepName string) ([]byte, error) {
	r.t.Helper()
	job := r.w.Jobs[jobName]
	i := slices.IndexFunc(job.Steps, func(s workflowStep) bool { return s.Name == stepName })
	if i < 0 || job.Steps[i].Run == "" {
		r.t.Fatalf("job %s has no step %q with a script", jobName, stepName)
	}
	env := slices.Concat(r.env, []string{
		"GITHUB_REPOSITORY=example/k3s-aws-auth", "GITHUB_STEP_SUMMARY=" + filepath.Join(r.temp, "summary"), "RUNNER_TEMP=" + r.temp, "GITHUB_RUN_ID=99",
		"GITHUB_OUTPUT=" + filepath.Join(r.temp, "output"), "GITHUB_SHA=" + head, "GH_STUB=" + r.github,
	})
	for _, m := range []map[string]string{r.w.Env, job.Env, job.Steps[i].Env} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			v, known := r.values[m[k]]
			if !known {
				r.t.Fatalf("the workflow has an expression that this test does not know: %q", m[k])
			}
			if v != "" || k != "PULUMI_BACKEND_URL" { // the lab's own counts
				env = append(env, k+"="+v)
			}
		}
	}
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", job.Steps[i].Run)
	cmd.Dir, cmd.Env = r.work, env
	return cmd.CombinedOutput()
}

// comment adds somebody's comment.
func (r *runner) comment(login, kind, role, body, updated string) {
	r.t.Helper()
	var all []map[string]any
	path := filepath.Join(r.github, "comments.json")
	if err := json.Unmarshal([]byte(r.read(path)), &all); err != nil {
		r.t.Fatal(err)
	}
	const created = "2026-01-02T00:00:00Z"
	if updated == "" {
		updated = created
	}
	all = append(all, map[string]any{"id": 100 + len(all), "user": map[string]string{"login": login, "type": kind}, "body": body, "created_at": created, "updated_at": updated})
	text, err := json.Marshal(all)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(path, string(text), 0o600)
	if role != "" {
		r.write(filepath.Join(r.github, "role-"+login), `{"role_name": "`+role+`"}`, 0o600)
	}
}

// ours returns the workflow's own comments.
func (r *runner) ours() []string {
	r.t.Helper()
	var all []struct {
		User struct {
			Login string `json:"login"`
		} `json:"user"`
		Body string `json:"body"`
	}
	if err := json.Unmarshal([]byte(r.read(filepath.Join(r.github, "comments.json"))), &all); err != nil {
		r.t.Fatal(err)
	}
	var bodies []string
	for _, c := range all {
		if c.User.Login == "github-actions[bot]" {
			bodies = append(bodies, c.Body)
		}
	}
	return bodies
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

// gh is GitHub's command with the calls that the workflows make, on files: comments.json, role-LOGIN, artifact.json,
// artifact.zip, head. What it does not know fails, as an unknown path of the API does.
const gh = `#!/usr/bin/env bash
set -euo pipefail
[ -n "$GH_TOKEN" ] && [ "$1" = api ]
shift
method=GET; filter=.; body=; path=
while [ $# -gt 0 ]; do
	case "$1" in
	--paginate|--silent) ;;
	--method) method=$2; shift ;;
	--jq) filter=$2; shift ;;
	--field) body=${2#body=@}; shift ;;
	*) path=$1 ;;
	esac
	shift
done
path=${path#repos/example/k3s-aws-auth/}
cd "$GH_STUB"
[ "$method" = GET ] || echo "$method $path" >> calls
case "$method $path" in
"GET issues/7/comments?per_page=100") jq -r "$filter" comments.json ;;
"GET collaborators/"*"/permission") login=${path#collaborators/}; jq -r "$filter" "role-${login%/permission}" ;;
"GET actions/artifacts/"[56]) jq -r "$filter" artifact.json ;;
"GET actions/artifacts/"[56]"/zip") cat artifact.zip ;;
"GET commits/main") jq -nr --rawfile sha head '{sha: $sha} | '"$filter" ;;
"GET pulls/7") jq -nr --rawfile sha head '{head: {sha: $sha}} | '"$filter" ;;
"GET actions/workflows/preview.yml/runs?event=pull_request&head_sha=$(cat head)&per_page=1") jq -nr '{workflow_runs: [{id: 99}]} | '"$filter" ;;
"POST actions/runs/99/rerun-failed-jobs") ;;
"POST issues/7/comments")
	jq --rawfile body "$body" '. + [{id: 42, user: {login: "github-actions[bot]", type: "Bot"}, body: $body, created_at: "2026-01-03T00:00:00Z", updated_at: "2026-01-03T00:00:00Z"}]' comments.json > new
	mv new comments.json ;;
"PATCH issues/comments/42")
	jq --rawfile body "$body" 'map(if .id == 42 then .body = $body else . end)' comments.json > new
	mv new comments.json ;;
*) echo "gh $method $path: not known here" >&2; exit 1 ;;
esac
`
