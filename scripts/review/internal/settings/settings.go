// Package settings says whether a repository's settings on GitHub keep the promises of the review's workflows: without
// them whoever may push a branch may also change the workflow that judges it.
package settings

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// CheckName is the name of the check that must be required: the job of preview.yml that judges.
const CheckName = "review"

// actionsApp is the id of the app "GitHub Actions", by which a required check takes no status from anybody else's token
// (docs.github.com, REST API, rules: required_status_checks has integration_id).
const actionsApp = 15368

// Export is what a repository's settings are, as GitHub's REST API has them. A field that is missing is not known, which
// is never as good as right.
type Export struct {
	Repository *struct {
		FullName      string `json:"full_name"`
		DefaultBranch string `json:"default_branch"`
	} `json:"repository"`
	// Rulesets are those that count for the repository, each as GET rulesets/{id} and the export of GitHub's settings
	// page have it.
	Rulesets            *[]Ruleset `json:"rulesets"`
	WorkflowPermissions *struct {
		Default    string `json:"default_workflow_permissions"`
		MayApprove bool   `json:"can_approve_pull_request_reviews"`
	} `json:"workflowPermissions"`
	Environments *[]Environment `json:"environments"`
	Variables    *[]Variable    `json:"variables"`
	// Codeowners is the text of the file CODEOWNERS of the default branch, empty where there is none.
	Codeowners *string `json:"codeowners"`
	// Subject is how subjects of OIDC tokens are made.
	Subject *struct {
		UseDefault bool     `json:"use_default"`
		Claims     []string `json:"include_claim_keys"`
	} `json:"subject"`
}

// Variable is a variable of the repository.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Ruleset is a set of rules for branches.
type Ruleset struct {
	Name        string `json:"name"`
	Target      string `json:"target"`
	Enforcement string `json:"enforcement"`
	Conditions  struct {
		RefName struct {
			Include []string `json:"include"`
			Exclude []string `json:"exclude"`
		} `json:"ref_name"`
	} `json:"conditions"`
	Rules []struct {
		Type       string          `json:"type"`
		Parameters json.RawMessage `json:"parameters"`
	} `json:"rules"`
	// Bypass is only shown to who may administer the repository.
	Bypass *[]struct {
		Type string `json:"actor_type"`
		Mode string `json:"bypass_mode"`
	} `json:"bypass_actors"`
}

// Environment is an environment with its branch policies.
type Environment struct {
	Name       string `json:"name"`
	Protection []struct {
		Type              string            `json:"type"`
		PreventSelfReview bool              `json:"prevent_self_review"`
		Reviewers         []json.RawMessage `json:"reviewers"`
	} `json:"protection_rules"`
	Policy *struct {
		Protected bool `json:"protected_branches"`
		Custom    bool `json:"custom_branch_policies"`
	} `json:"deployment_branch_policy"`
	// Branches are the custom policies.
	Branches []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"branchPolicies"`
}

// Finding is a setting that is missing or, where Advice is true, one that would be better.
type Finding struct {
	Setting string `json:"setting"`
	Found   string `json:"found"`
	Set     string `json:"set"`
	Advice  bool   `json:"advice,omitempty"`
}

// Judged are files by which a pull request could choose its judge.
var Judged = []string{
	".github/workflows/preview.yml", ".github/workflows/accept.yml", ".github/workflows/drift.yml", ".github/workflows/apply.yml", ".github/workflows/another.yml",
	".github/CODEOWNERS", "scripts/go.mod", "scripts/go.sum", "scripts/review/main.go", "scripts/internal/policy/evaluate.go",
}

// Parse reads an export.
func Parse(data []byte) (*Export, error) {
	var e Export
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("the settings: %w", err)
	}
	return &e, nil
}

// check collects findings.
type check struct {
	*Export
	branch   string
	findings []Finding
}

func (c *check) miss(setting, found, set string) {
	c.findings = append(c.findings, Finding{Setting: setting, Found: found, Set: set})
}

func (c *check) advise(setting, found, set string) {
	c.findings = append(c.findings, Finding{Setting: setting, Found: found, Set: set, Advice: true})
}

// Check returns what is missing, in the order of docs/review.md. None means that nothing is.
func Check(e *Export) []Finding {
	c := &check{Export: e, branch: "main"}
	if e.Repository != nil && e.Repository.DefaultBranch != "" {
		c.branch = e.Repository.DefaultBranch
	} else {
		c.unknown("repository")
	}
	c.rules()
	c.owners()
	c.permissions()
	c.environments()
	c.variables()
	c.subject()
	return c.findings
}

func (c *check) unknown(key string) {
	c.miss(key, "not in the export", "export it with an administrator's token: review setup --export OWNER/REPOSITORY")
}

// covers tells whether a ruleset counts for the default branch.
func (c *check) covers(r *Ruleset) bool {
	names := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			return p == "~DEFAULT_BRANCH" || p == "~ALL" || glob(p, "refs/heads/"+c.branch)
		})
	}
	return r.Target == "branch" && r.Enforcement == "active" && names(r.Conditions.RefName.Include) && !names(r.Conditions.RefName.Exclude)
}

func (c *check) rules() {
	if c.Rulesets == nil {
		c.unknown("rulesets")
		return
	}
	var pull struct {
		Approvals  int  `json:"required_approving_review_count"`
		Owners     bool `json:"require_code_owner_review"`
		Dismiss    bool `json:"dismiss_stale_reviews_on_push"`
		LastPusher bool `json:"require_last_push_approval"`
	}
	var pulls, checked, pinned, strict, forced, deleted, queued, any bool
	for i := range *c.Rulesets {
		r := &(*c.Rulesets)[i]
		if !c.covers(r) {
			continue
		}
		any = true
		if r.Bypass == nil {
			c.miss("ruleset "+r.Name+": bypass", "not in the export", "export it with an administrator's token: others are not shown who may bypass")
		} else {
			for _, b := range *r.Bypass {
				c.miss("ruleset "+r.Name+": bypass", fmt.Sprintf("%s may bypass it (%s)", b.Type, b.Mode), "nobody in the bypass list")
			}
		}
		for _, rule := range r.Rules {
			switch rule.Type {
			case "pull_request":
				one := pull
				if json.Unmarshal(rule.Parameters, &one) != nil {
					continue
				}
				pulls = true
				pull.Approvals = max(pull.Approvals, one.Approvals)
				pull.Owners = pull.Owners || one.Owners
				pull.Dismiss = pull.Dismiss || one.Dismiss
				pull.LastPusher = pull.LastPusher || one.LastPusher
			case "required_status_checks":
				var p struct {
					Strict bool `json:"strict_required_status_checks_policy"`
					Checks []struct {
						Context string `json:"context"`
						App     int    `json:"integration_id"`
					} `json:"required_status_checks"`
				}
				if json.Unmarshal(rule.Parameters, &p) != nil {
					continue
				}
				for _, required := range p.Checks {
					if required.Context == CheckName {
						checked, strict = true, strict || p.Strict
						pinned = pinned || required.App == actionsApp
					}
				}
			case "non_fast_forward":
				forced = true
			case "deletion":
				deleted = true
			case "merge_queue":
				queued = true
			}
		}
	}
	if !any {
		c.miss("rulesets", "no active ruleset for the branch "+c.branch, "a ruleset that is active for "+c.branch)
		return
	}
	require := func(ok bool, setting, found, set string) {
		if !ok {
			c.miss("ruleset: "+setting, found, set)
		}
	}
	require(pulls, "pull requests", "changes may be pushed to "+c.branch, "require a pull request before merging")
	if pulls {
		require(pull.Approvals > 0, "approvals", "none is required", "at least 1 required approval")
		require(pull.Owners, "code owners", "their review is not required", "require review from code owners: they guard the workflows that judge")
		require(pull.Dismiss || pull.LastPusher, "approval of the last push", "an approval outlives a push",
			"dismiss stale approvals when new commits are pushed, or require approval of the most recent push")
	}
	require(checked, "check "+CheckName, "not required", "require the status check "+CheckName)
	if checked {
		require(pinned, "source of the check "+CheckName, "any app may report it", fmt.Sprintf("GitHub Actions as its source (integration_id %d)", actionsApp))
		require(strict, "up to date", "a branch may be merged that was judged against an older "+c.branch, "require branches to be up to date before merging")
	}
	require(forced, "force pushes", "allowed", "block force pushes")
	require(deleted, "deletion", "allowed", "restrict deletions")
	require(!queued, "merge queue", "required", "no merge queue: preview.yml judges pull requests, and the check would never come")
}

func (c *check) owners() {
	if c.Codeowners == nil {
		c.unknown("codeowners")
		return
	}
	var open []string
	for _, f := range Judged {
		if !Owned(*c.Codeowners, f) {
			open = append(open, strings.Replace(f, "another.yml", "*.yml", 1))
		}
	}
	if len(open) > 0 {
		c.miss("CODEOWNERS", "no owner of "+strings.Join(open, ", "), "lines such as `/.github/ @OWNER` and `/scripts/ @OWNER`, at the end: the last that matches counts")
	}
}

func (c *check) permissions() {
	if c.WorkflowPermissions == nil {
		c.unknown("workflowPermissions")
		return
	}
	if p := c.WorkflowPermissions.Default; p != "read" {
		c.miss("workflow permissions", fmt.Sprintf("%q by default", p), "read repository contents")
	}
	if c.WorkflowPermissions.MayApprove {
		c.miss("workflow permissions", "workflows may approve pull requests", "do not allow GitHub Actions to create and approve pull requests")
	}
}

// environment are those that the workflows name.
var environments = []struct {
	name string
	// default tells that only the default branch may deploy to it: what runs there is what was reviewed.
	protected bool
	// reviewed tells that somebody must approve each run.
	reviewed bool
	why      string
}{
	{"preview", false, false, "a pull request's program runs in it and may read the stack's state"},
	{"drift", true, false, "its role reads the account"},
	{"production", true, true, "its role changes the account"},
	{"production-danger", true, true, "its reviewers accept a danger"},
}

func (c *check) environments() {
	if c.Environments == nil {
		c.unknown("environments")
		return
	}
	for _, want := range environments {
		i := slices.IndexFunc(*c.Environments, func(e Environment) bool { return e.Name == want.name })
		if i < 0 {
			c.miss("environment "+want.name, "not there, so GitHub makes one without protection", "make it: "+want.why)
			continue
		}
		e := (*c.Environments)[i]
		if found := c.openTo(&e); want.protected && found != "" {
			c.miss("environment "+want.name+": branches", found, "only "+c.branch+" may deploy to it: "+want.why)
		}
		reviewers, selfish := 0, false
		for _, p := range e.Protection {
			if p.Type == "required_reviewers" {
				reviewers += len(p.Reviewers)
				selfish = selfish || !p.PreventSelfReview
			}
		}
		switch {
		case reviewers == 0 && want.reviewed:
			c.miss("environment "+want.name+": reviewers", "none", "required reviewers: "+want.why)
		case reviewers == 0 && !want.protected:
			c.advise("environment "+want.name+": reviewers", "none", "required reviewers, unless everybody who may push a branch may also read the stack's state: "+want.why)
		case selfish && want.reviewed:
			c.miss("environment "+want.name+": reviewers", "who starts a run may approve it", "prevent self-review")
		}
	}
}

// openTo says which branches beside the default one may deploy to an environment; "" where none may.
func (c *check) openTo(e *Environment) string {
	switch {
	case e.Policy == nil:
		return "every branch"
	case e.Policy.Protected:
		return ""
	case !e.Policy.Custom || len(e.Branches) == 0:
		return "not in the export"
	}
	var others []string
	for _, b := range e.Branches {
		if b.Name != c.branch || b.Type == "tag" {
			others = append(others, strings.TrimSpace(b.Type+" "+b.Name))
		}
	}
	return strings.Join(others, ", ")
}

// Variables are those that the workflows read.
var Variables = []string{"PULUMI_STACK", "PULUMI_BACKEND_URL", "AWS_REGION", "AWS_PREVIEW_ROLE_ARN", "AWS_DRIFT_ROLE_ARN", "AWS_APPLY_ROLE_ARN"}

// Optional are variables that switch something on.
var Optional = []string{"REVIEW_ACCOUNT"}

func (c *check) variables() {
	if c.Variables == nil {
		c.unknown("variables")
		return
	}
	values := map[string]string{}
	for _, v := range *c.Variables {
		values[v.Name] = v.Value
	}
	roles := map[string]string{}
	for _, name := range Variables {
		if values[name] == "" {
			c.miss("variable "+name, "not set", "set it in the repository's variables")
			continue
		}
		if strings.HasSuffix(name, "_ROLE_ARN") {
			if other, taken := roles[values[name]]; taken {
				c.miss("variable "+name, "the same role as "+other, "a role of its own, which trusts its environment alone")
			}
			roles[values[name]] = name
		}
	}
}

func (c *check) subject() {
	if c.Subject == nil {
		c.unknown("subject")
		return
	}
	if !c.Subject.UseDefault && !slices.Contains(c.Subject.Claims, "context") && !slices.Contains(c.Subject.Claims, "environment") {
		c.miss("OIDC subject", "without the environment: "+strings.Join(c.Subject.Claims, ", "),
			"the default, or one with repo and context: the roles' trust policies name the environment")
	}
}

// Owned tells whether the last pattern of a CODEOWNERS file that matches a path has an owner, which is the rule of
// docs.github.com, "About code owners".
func Owned(codeowners, path string) bool {
	owned := false
	for _, line := range strings.Split(codeowners, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) > 0 && matches(fields[0], path) {
			owned = len(fields) > 1
		}
	}
	return owned
}

// matches is a pattern of CODEOWNERS, which are those of gitignore without negation and character ranges.
func matches(pattern, path string) bool {
	directory := strings.HasSuffix(pattern, "/")
	anchored := strings.Contains(strings.TrimSuffix(pattern, "/"), "/")
	body := strings.Trim(pattern, "/")
	if body == "" {
		return false // "/" alone matches nothing
	}
	expression := "^"
	if !anchored {
		expression += "(?:.*/)?"
	}
	expression += translate(body)
	switch {
	case directory:
		expression += "/.+"
	case anchored && strings.HasSuffix(body, "/*"): // the files of a directory, not those below
	default:
		expression += "(?:/.+)?"
	}
	re, err := regexp.Compile(expression + "$")
	return err == nil && re.MatchString(path)
}

// glob is a pattern of a ruleset (fnmatch with FNM_PATHNAME, where ** crosses slashes).
func glob(pattern, name string) bool {
	re, err := regexp.Compile("^" + translate(pattern) + "$")
	return err == nil && re.MatchString(name)
}

func translate(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case strings.HasPrefix(pattern[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(".*")
			i++
		case pattern[i] == '*':
			b.WriteString("[^/]*")
		case pattern[i] == '?':
			b.WriteString("[^/]")
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	return b.String()
}
