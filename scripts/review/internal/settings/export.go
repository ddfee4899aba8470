package settings

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
)

// Get answers a path of GitHub's REST API. The error is [ErrNotFound] where GitHub says 404.
type Get func(ctx context.Context, path string) ([]byte, error)

// ErrNotFound says that GitHub has nothing by a path, or does not show it.
var ErrNotFound = errors.New("not found")

// GitHub asks by `gh api`, with the login that gh has.
func GitHub(ctx context.Context, path string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "gh", "api", path)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(said.String(), "HTTP 404") {
			return nil, fmt.Errorf("%s: %w", path, ErrNotFound)
		}
		return nil, fmt.Errorf("gh api %s: %w: %s", path, err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// Collect makes an export of a repository (owner/name). What GitHub does not show to this login is left out, and so not
// known; any other failure is an error.
func Collect(ctx context.Context, get Get, repository string) (map[string]json.RawMessage, error) {
	base := "repos/" + repository
	out := map[string]json.RawMessage{}
	var errs []error
	// fetch stores what a path answers under a key, after a change of its shape.
	fetch := func(key, path string, change func([]byte) (any, error)) {
		data, err := get(ctx, path)
		if errors.Is(err, ErrNotFound) {
			return
		}
		if err == nil && change != nil {
			var v any
			if v, err = change(data); err == nil {
				data, err = json.Marshal(v)
			}
		}
		if err != nil {
			errs = append(errs, err)
			return
		}
		out[key] = data
	}
	fetch("repository", base, func(data []byte) (any, error) {
		var r map[string]any
		err := json.Unmarshal(data, &r)
		return map[string]any{"full_name": r["full_name"], "default_branch": r["default_branch"]}, err
	})
	if out["repository"] == nil {
		return nil, errors.Join(append(errs, fmt.Errorf("%s: gh does not see this repository", repository))...)
	}
	fetch("rulesets", base+"/rulesets?includes_parents=true&per_page=100", func(data []byte) (any, error) {
		var list []struct {
			ID int64 `json:"id"`
		}
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, err
		}
		sets := []json.RawMessage{}
		for _, r := range list {
			one, err := get(ctx, fmt.Sprintf("%s/rulesets/%d?includes_parents=true", base, r.ID))
			if err != nil {
				return nil, err
			}
			sets = append(sets, one)
		}
		return sets, nil
	})
	fetch("workflowPermissions", base+"/actions/permissions/workflow", nil)
	fetch("environments", base+"/environments?per_page=100", func(data []byte) (any, error) {
		var list struct {
			Environments []map[string]any `json:"environments"`
		}
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, err
		}
		for _, e := range list.Environments {
			name, _ := e["name"].(string)
			policies, err := get(ctx, base+"/environments/"+url.PathEscape(name)+"/deployment-branch-policies?per_page=100")
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			var p struct {
				Policies []any `json:"branch_policies"`
			}
			if err := json.Unmarshal(policies, &p); err != nil {
				return nil, err
			}
			e["branchPolicies"] = p.Policies
		}
		return list.Environments, nil
	})
	fetch("variables", base+"/actions/variables?per_page=30", func(data []byte) (any, error) {
		var list struct {
			Variables []Variable `json:"variables"`
		}
		err := json.Unmarshal(data, &list)
		return list.Variables, err
	})
	fetch("subject", base+"/actions/oidc/customization/sub", nil)
	// GitHub takes the first that there is (docs.github.com, "About code owners").
	text := ""
	for _, path := range []string{".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"} {
		data, err := get(ctx, base+"/contents/"+path)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		var file struct {
			Content string `json:"content"`
		}
		if err == nil {
			err = json.Unmarshal(data, &file)
		}
		var content []byte
		if err == nil {
			content, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(file.Content, "\n", ""))
		}
		if err != nil {
			errs = append(errs, err)
			break
		}
		text = string(content)
		break
	}
	owners, err := json.Marshal(text)
	out["codeowners"] = owners
	return out, errors.Join(append(errs, err)...)
}
