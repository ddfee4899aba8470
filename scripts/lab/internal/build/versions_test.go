package build

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// different are the modules, by the beginning of their paths, that may have several versions, with the reason.
var different = map[string]string{
	"github.com/pulumi/pulumi/sdk/v3":            "the engine's own, and a newer engine does not compile with the Kubernetes provider",
	"github.com/pulumi/pulumi-kubernetes/sdk/v4": "left out of the provider that is built (tools/_leaner)",
	"github.com/aws/aws-sdk-go-v2":               "left out of the engine that is built (tools/_leaner)",
	"github.com/aws/smithy-go":                   "left out of the engine that is built (tools/_leaner)",
	"github.com/google/go-tpm":                   "the credential helper does not compile with a newer one",
}

// TestVersionsAreShared holds that a module which two of the project's modules need has one version in all of them.
// Otherwise all that stands on it is compiled twice: golang.org/x/sys alone costs half of a first run.
func TestVersionsAreShared(t *testing.T) {
	versions := map[string]map[string]string{} // by module, by the project's module
	for _, dir := range []string{"..", ".", "tools", "tools/aws_signing_helper", "tools/ecr_credential_provider"} {
		out, err := goOutput(t.Context(), filepath.Join("../../..", dir), "mod", "edit", "-json")
		require.NoError(t, err, dir)
		var file struct {
			Require []struct{ Path, Version string }
			Replace []struct {
				Old, New struct{ Path, Version string }
			}
		}
		require.NoError(t, json.Unmarshal(out, &file))
		require.NotEmpty(t, file.Require, dir)
		replaced := map[string]string{}
		for _, r := range file.Replace {
			replaced[r.Old.Path] = r.New.Version
		}
		for _, r := range file.Require {
			version, ok := replaced[r.Path]
			if !ok {
				version = r.Version
			}
			if version == "" {
				continue // a directory of this project
			}
			if versions[r.Path] == nil {
				versions[r.Path] = map[string]string{}
			}
			versions[r.Path][dir] = version
		}
	}
	shared := 0
	for path, of := range versions {
		if len(of) < 2 || reason(path) != "" {
			continue
		}
		shared++
		all := map[string]bool{}
		for _, version := range of {
			all[version] = true
		}
		require.Len(t, all, 1, "%s has several versions: raise it everywhere: %v", path, of)
	}
	require.NotZero(t, shared)
}

// reason is why a module may have several versions.
func reason(path string) string {
	for prefix, why := range different {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return why
		}
	}
	return ""
}
