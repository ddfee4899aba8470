package settings

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// right is a repository whose settings are as docs/review.md asks, by path of GitHub's API.
func right() map[string]string {
	return map[string]string{
		"repos/o/r": `{"full_name":"o/r","default_branch":"main","private":false}`,
		"repos/o/r/rulesets?includes_parents=true&per_page=100": `[{"id":1}]`,
		"repos/o/r/rulesets/1?includes_parents=true": `{"name":"main","target":"branch","enforcement":"active","bypass_actors":[],
			"conditions":{"ref_name":{"include":["~DEFAULT_BRANCH"],"exclude":[]}},"rules":[
			{"type":"deletion"},{"type":"non_fast_forward"},
			{"type":"pull_request","parameters":{"required_approving_review_count":1,"require_code_owner_review":true,"dismiss_stale_reviews_on_push":true}},
			{"type":"required_status_checks","parameters":{"strict_required_status_checks_policy":true,"required_status_checks":[{"context":"ci"},{"context":"review","integration_id":15368}]}}]}`,
		"repos/o/r/actions/permissions/workflow": `{"default_workflow_permissions":"read","can_approve_pull_request_reviews":false}`,
		"repos/o/r/environments?per_page=100": `{"environments":[{"name":"preview","protection_rules":[{"type":"required_reviewers","reviewers":[{}]}],"deployment_branch_policy":null},
			{"name":"drift","protection_rules":[],"deployment_branch_policy":{"protected_branches":false,"custom_branch_policies":true}},
			{"name":"production","protection_rules":[{"type":"required_reviewers","prevent_self_review":true,"reviewers":[{}]}],"deployment_branch_policy":{"protected_branches":true,"custom_branch_policies":false}},
			{"name":"production-danger","protection_rules":[{"type":"required_reviewers","prevent_self_review":true,"reviewers":[{"type":"Team"}]}],"deployment_branch_policy":{"protected_branches":true,"custom_branch_policies":false}}]}`,
		"repos/o/r/environments/preview/deployment-branch-policies?per_page=100": `{"branch_policies":[]}`,
		"repos/o/r/environments/drift/deployment-branch-policies?per_page=100":   `{"branch_policies":[{"name":"main","type":"branch"}]}`,
		"repos/o/r/actions/variables?per_page=30": `{"variables":[{"name":"PULUMI_STACK","value":"prod"},{"name":"PULUMI_BACKEND_URL","value":"s3://b"},{"name":"AWS_REGION","value":"eu-central-1"},
			{"name":"AWS_PREVIEW_ROLE_ARN","value":"arn:a"},{"name":"AWS_DRIFT_ROLE_ARN","value":"arn:b"},{"name":"AWS_APPLY_ROLE_ARN","value":"arn:c"}]}`,
		"repos/o/r/actions/oidc/customization/sub": `{"use_default":true}`,
		"repos/o/r/contents/.github/CODEOWNERS":    `{"content":"` + base64.StdEncoding.EncodeToString([]byte("* @everybody\n/docs/\n/.github/ @security\n/scripts/ @security\n")) + `"}`,
	}
}

func collect(t *testing.T, api map[string]string) *Export {
	t.Helper()
	all, err := Collect(context.Background(), func(_ context.Context, path string) ([]byte, error) {
		if text, ok := api[path]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("%s: %w", path, ErrNotFound)
	}, "o/r")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEverySettingCounts takes one right setting after the other away: each must be missed, by name.
func TestEverySettingCounts(t *testing.T) {
	if got := Check(collect(t, right())); len(got) != 0 {
		t.Fatalf("a right repository misses %+v", got)
	}
	set := "repos/o/r/rulesets/1?includes_parents=true"
	env := "repos/o/r/environments?per_page=100"
	for _, c := range []struct{ path, from, to, want string }{
		{set, `"active"`, `"evaluate"`, "no active ruleset"},
		{set, `"~DEFAULT_BRANCH"`, `"refs/heads/release/*"`, "no active ruleset"},
		{set, `"exclude":[]`, `"exclude":["refs/heads/ma*"]`, "no active ruleset"},
		{set, `"target":"branch"`, `"target":"tag"`, "no active ruleset"},
		{set, `"bypass_actors":[]`, `"bypass_actors":[{"actor_type":"RepositoryRole","bypass_mode":"always"}]`, "may bypass"},
		{set, `"bypass_actors":[],`, ``, "administrator"},
		{set, `"deletion"`, `"creation"`, "restrict deletions"},
		{set, `"non_fast_forward"`, `"creation"`, "block force pushes"},
		{set, `"pull_request"`, `"creation"`, "require a pull request"},
		{set, `"required_approving_review_count":1`, `"required_approving_review_count":0`, "1 required approval"},
		{set, `"require_code_owner_review":true`, `"require_code_owner_review":false`, "code owners"},
		{set, `"dismiss_stale_reviews_on_push":true`, `"dismiss_stale_reviews_on_push":false`, "outlives a push"},
		{set, `"context":"review"`, `"context":"preview"`, "require the status check review"},
		{set, `,"integration_id":15368`, ``, "any app"},
		{set, `"integration_id":15368`, `"integration_id":1`, "any app"},
		{set, `"strict_required_status_checks_policy":true`, `"strict_required_status_checks_policy":false`, "up to date"},
		{set, `{"type":"deletion"}`, `{"type":"deletion"},{"type":"merge_queue"}`, "merge queue"},
		{"repos/o/r/actions/permissions/workflow", `"read"`, `"write"`, "read repository contents"},
		{"repos/o/r/actions/permissions/workflow", `false`, `true`, "create and approve"},
		{env, `"drift"`, `"drifts"`, "environment drift"},
		{env, `"prevent_self_review":true,"reviewers":[{"type":"Team"}]`, `"reviewers":[{"type":"Team"}]`, "self-review"},
		{env, `"reviewers":[{"type":"Team"}]`, `"reviewers":[]`, "required reviewers"},
		{env, `"protected_branches":true`, `"protected_branches":false`, "only main"},
		{env, `"production-danger"`, `"danger"`, "production-danger"},
		{env, `"preview"`, `"previews"`, "environment preview"},
		{env, `{"protected_branches":false,"custom_branch_policies":true}`, `null`, "every branch"},
		{"repos/o/r/environments/drift/deployment-branch-policies?per_page=100", `"main"`, `"*"`, "only main"},
		{"repos/o/r/environments/drift/deployment-branch-policies?per_page=100", `"branch"}`, `"tag"}`, "only main"},
		{"repos/o/r/actions/variables?per_page=30", `arn:b`, `arn:a`, "a role of its own"},
		{"repos/o/r/actions/variables?per_page=30", `AWS_REGION`, `REGION`, "variable AWS_REGION"},
		{"repos/o/r/actions/oidc/customization/sub", `{"use_default":true}`, `{"use_default":false,"include_claim_keys":["repo","ref"]}`, "environment"},
		{"repos/o/r/contents/.github/CODEOWNERS", base64.StdEncoding.EncodeToString([]byte("* @everybody\n/docs/\n/.github/ @security\n/scripts/ @security\n")),
			base64.StdEncoding.EncodeToString([]byte("/.github/ @security\n/scripts/ @security\n/scripts/internal/\n")), "scripts/internal/policy"},
	} {
		api := right()
		if !strings.Contains(api[c.path], c.from) {
			t.Fatalf("%s has no %s", c.path, c.from)
		}
		api[c.path] = strings.Replace(api[c.path], c.from, c.to, 1)
		got := Check(collect(t, api))
		if !slices.ContainsFunc(got, func(f Finding) bool {
			return !f.Advice && strings.Contains(f.Setting+": "+f.Found+": "+f.Set, c.want)
		}) {
			t.Errorf("%s in place of %s: %q is not among %+v", c.to, c.from, c.want, got)
		}
	}
	// What GitHub does not show is not known, and so missing.
	for path := range right() {
		if path == "repos/o/r" {
			continue
		}
		api := right()
		delete(api, path)
		_, err := Collect(context.Background(), func(_ context.Context, path string) ([]byte, error) {
			if text, ok := api[path]; ok {
				return []byte(text), nil
			}
			return nil, ErrNotFound
		}, "o/r")
		if err != nil {
			continue
		}
		if path != "repos/o/r/environments/preview/deployment-branch-policies?per_page=100" && len(Check(collect(t, api))) == 0 {
			t.Errorf("without %s nothing is missing", path)
		}
	}
	if got := Check(&Export{}); len(got) < 6 {
		t.Errorf("an empty export misses %+v", got)
	}
}

// TestWhatTheWorkflowsNameIsChecked: environments and variables of the workflows are those that are checked.
func TestWhatTheWorkflowsNameIsChecked(t *testing.T) {
	files, err := filepath.Glob("../../../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(data), "vars.")[1:] {
			name := part[:strings.IndexFunc(part, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') })]
			if !slices.Contains(Variables, name) && !slices.Contains(Optional, name) {
				t.Errorf("%s reads the variable %s, which is not checked", f, name)
			}
		}
		if name := filepath.Base(f); name != "ci.yml" && !slices.Contains(Judged, ".github/workflows/"+name) {
			t.Errorf("%s is not among the files whose owners are checked", f)
		}
	}
}

func TestOwned(t *testing.T) {
	for _, c := range []struct {
		file, path string
		want       bool
	}{
		{"* @a", ".github/workflows/x.yml", true},
		{"*.js @a", "scripts/go.mod", false},
		{"/.github/ @a", ".github/CODEOWNERS", true},
		{".github/ @a", "docs/.github/x", true},
		{"/scripts/* @a", "scripts/go.mod", true},
		{"/scripts/* @a", "scripts/review/main.go", false},
		{"/scripts/** @a", "scripts/review/main.go", true},
		{"**/review @a", "scripts/review/main.go", true},
		{"scripts @a", "scripts/review/main.go", true},
		{"/review/ @a", "scripts/review/main.go", false},
		{"/scripts/ @a\n/scripts/review/ # nobody", "scripts/review/main.go", false},
		{"# /scripts/ @a", "scripts/review/main.go", false},
		{"/ @a", "scripts/review/main.go", false},
	} {
		if got := Owned(c.file, c.path); got != c.want {
			t.Errorf("%q: %s owned: %v", c.file, c.path, got)
		}
	}
}
