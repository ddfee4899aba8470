package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// gitlab reads the only script of a job of an example.
func gitlab(t *testing.T, file, job string) (script, text string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	lines := all[job].(map[string]any)["script"].([]any)
	if len(lines) != 1 || !strings.HasPrefix(lines[0].(string), "set -eo pipefail\n") {
		t.Fatalf("%s: the script must be one, with -eo pipefail: GitLab's own shell has not", file)
	}
	return lines[0].(string), string(data)
}

// TestGitLabKeepsItsToken: the token that may write is not where the merge request's code and CI file are, and the judge
// leaves nothing to a kept build directory and takes nothing from one.
func TestGitLabKeepsItsToken(t *testing.T) {
	_, program := gitlab(t, "gitlab-ci.example.yml", "preview")
	if strings.Contains(program, "REVIEW_TOKEN") || strings.Contains(program, "PRIVATE-TOKEN") {
		t.Error("the merge request's own CI file has the token")
	}
	if strings.Contains(program, "project_path:<group>/<project>:*") || !strings.Contains(program, ":ref_type:branch:ref:*") {
		t.Error("the subject is wider than branches")
	}
	script, judge := gitlab(t, "gitlab-review.example.yml", "review")
	for _, want := range []string{"GIT_STRATEGY: none", "mktemp -d", "unapprove"} {
		if !strings.Contains(judge, want) {
			t.Errorf("the judge lacks %q", want)
		}
	}
	if strings.Contains(script, "worktree") || strings.Contains(script, "/tmp/") {
		t.Error("the judge uses a directory that outlives it")
	}
	if _, err := exec.LookPath("shellcheck"); err != nil {
		return
	}
	for _, example := range [][2]string{{"gitlab-ci.example.yml", "preview"}, {"gitlab-review.example.yml", "review"}} {
		script, _ := gitlab(t, example[0], example[1])
		cmd := exec.Command("shellcheck", "--shell=bash", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", example[0], err, out)
		}
	}
}

// TestGitLabJudge runs the judge's script with recorded previews, against a stand-in for GitLab's API.
func TestGitLabJudge(t *testing.T) {
	for _, tool := range []string{"bash", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	script, _ := gitlab(t, "gitlab-review.example.yml", "review")
	dir, bin := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool := filepath.Join(bin, "review-tool")
	execute(t, "..", "go", "build", "-o", tool, "./review")
	write(filepath.Join(bin, "curl"), curl)
	write(filepath.Join(bin, "git"), "#!/usr/bin/env bash\nset -eu\n[ \"$1 $2 $3 $4 $5 $6\" = 'clone --quiet --depth 1 --branch main' ]\nmkdir -p \"$8\"\n")
	write(filepath.Join(bin, "go"), "#!/usr/bin/env bash\nset -eu\n[ -z \"${REVIEW_TOKEN:-}\" ]\n[ \"$1 $2 $3 $4 $6\" = '-C tool/scripts build -o ./review' ]\ncp \"$REVIEW_TOOL\" \"$5\"\n")
	put := func(name, text string) { t.Helper(); write(filepath.Join(dir, name), text) }
	put("payload", `{"object_kind":"pipeline","merge_request":{"iid":7}}`)
	put("project.json", `{"default_branch":"main","path_with_namespace":"g/p"}`)
	request := func(target string) {
		put("request.json", `{"sha":"`+head+`","author":{"username":"author"},"target_branch":"`+target+`","source_project_id":11}`)
	}
	request("main")
	put("pipelines.json", `[{"id":3,"sha":"`+head+`"}]`)
	job := func(status string) { put("jobs.json", `[{"id":4,"name":"preview","status":"`+status+`"}]`) }
	job("success")
	put("notes.json", `[]`)
	judge := func() bool {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, "calls"))
		cmd := exec.Command("bash", "-c", script)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GITLAB_STUB="+dir, "REVIEW_TOOL="+tool, "TRIGGER_PAYLOAD="+filepath.Join(dir, "payload"),
			"CI_API_V4_URL=https://gitlab.example/api/v4", "CI_SERVER_HOST=gitlab.example", "PROJECT_ID=11", "PULUMI_STACK=lab", "REVIEW_TOKEN=secret", "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		t.Logf("%v\n%s", err, out)
		if strings.Contains(string(out), "secret") {
			t.Error("the token is in the log")
		}
		calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
		approved := strings.Contains(string(calls), "POST merge_requests/7/approve sha="+head)
		if approved == strings.Contains(string(calls), "unapprove") || approved != (err == nil) {
			t.Errorf("approved and refused, or neither:\n%s", calls)
		}
		return approved
	}
	body := func() string {
		data, _ := os.ReadFile(filepath.Join(dir, "body"))
		return string(data)
	}
	put("preview.json", string(unpack(t, "harmless-permissions-changed")))
	if !judge() {
		t.Error("a harmless change is not approved")
	}
	put("preview.json", string(unpack(t, "danger-metadata-open")))
	if judge() || !strings.Contains(body(), "danger-accepted ") {
		t.Errorf("a danger is approved, or does not say how it is accepted:\n%s", body())
	}
	_, code, _ := strings.Cut(body(), "`danger-accepted ")
	note := func(user, id string) string {
		return `{"id":` + id + `,"body":"danger-accepted ` + code[:16] + `","author":{"username":"` + user + `","id":` + id + `},"system":false,"created_at":"2026-01-02T00:00:00Z","updated_at":"2026-01-02T00:00:00Z"}`
	}
	put("member-30", `{"access_level":30}`)
	put("member-40", `{"access_level":40}`)
	put("member-41", `{"access_level":40}`)
	put("notes.json", `[`+note("developer", "30")+`,`+note("author", "41")+`,`+note("stranger", "9")+`]`)
	if judge() {
		t.Error("accepted by a developer, the author or a stranger")
	}
	put("notes.json", `[`+note("developer", "30")+`,`+note("maintainer", "40")+`]`)
	if !judge() {
		t.Error("a maintainer's acceptance does not count")
	}
	// A step of a rotation is judged by what the state says of the step before.
	retired := unpack(t, "rotation-key-retired")
	put("preview.json", string(retired))
	for since, approved := range map[time.Duration]bool{time.Hour: false, 48 * time.Hour: true} {
		put("state.json", string(lastChanged(t, retired, time.Now().Add(-since))))
		if judge() != approved {
			t.Errorf("%s after the step before: approved is %v", since, !approved)
		}
	}
	put("preview.json", string(unpack(t, "harmless-permissions-changed")))
	for _, status := range []string{"failed", "skipped", "running"} {
		job(status)
		if judge() || !strings.Contains(body(), "no verdict") {
			t.Errorf("a preview that is %s is approved", status)
		}
	}
	job("success")
	request("other")
	if judge() {
		t.Error("another target is approved")
	}
	request("main")
	put("pipelines.json", `[{"id":3,"sha":"2222"}]`)
	if judge() {
		t.Error("the pipeline of another commit is judged")
	}
}

// curl answers GitLab's calls from files.
const curl = `#!/usr/bin/env bash
set -euo pipefail
method=GET; data=; url=; out=/dev/stdout; headers=
while [ $# -gt 0 ]; do
	case "$1" in
	--fail|--silent|--show-error) ;;
	--header) [ "$2" = "PRIVATE-TOKEN: secret" ]; shift ;;
	--request) method=$2; shift ;;
	--data-urlencode) data=$2; shift ;;
	--output) out=$2; shift ;;
	--dump-header) headers=$2; shift ;;
	*) url=$1 ;;
	esac
	shift
done
path=${url#https://gitlab.example/api/v4/}
path=${path#projects/11}; path=${path#/}
if [ "$method" != GET ]; then echo "$method $path $data" >> "$GITLAB_STUB/calls"; fi
case "$data" in body@*) cp "${data#body@}" "$GITLAB_STUB/body" ;; esac
if [ -n "$headers" ]; then printf 'HTTP/2 200\r\nx-next-page: \r\n' > "$headers"; fi
case "$method $path" in
"GET ") cat "$GITLAB_STUB/project.json" ;;
"GET user") echo '{"username":"review-bot"}' ;;
"GET merge_requests/7") cat "$GITLAB_STUB/request.json" ;;
"GET merge_requests/7/pipelines?per_page=100") cat "$GITLAB_STUB/pipelines.json" ;;
"GET pipelines/3/jobs?per_page=100") cat "$GITLAB_STUB/jobs.json" ;;
"GET jobs/4/artifacts/preview.json") cat "$GITLAB_STUB/preview.json" ;;
"GET jobs/4/artifacts/state.json") cat "$GITLAB_STUB/state.json" ;;
"GET merge_requests/7/notes?per_page=100&sort=asc&page=1") cat "$GITLAB_STUB/notes.json" ;;
"GET members/all/"*) cat "$GITLAB_STUB/member-${path#members/all/}" ;;
"POST merge_requests/7/notes"|"POST merge_requests/7/approve"|"POST merge_requests/7/unapprove") ;;
*) echo "curl $method $path: not known here" >&2; exit 22 ;;
esac > "$out"
`
