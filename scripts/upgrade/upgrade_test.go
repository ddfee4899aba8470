package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/exchange"
)

// recorded is a recorded preview of a whole stack, in which almost everything stays the same.
func recorded(t *testing.T) (urns []string) {
	t.Helper()
	f, err := os.Open("../review/testdata/harmless-agent-added.json.gz")
	require.NoError(t, err)
	defer f.Close()
	r, err := gzip.NewReader(f)
	require.NoError(t, err)
	var d struct {
		Steps []struct{ URN, Op string }
	}
	require.NoError(t, json.NewDecoder(r).Decode(&d))
	for _, s := range d.Steps {
		if s.Op == "same" {
			urns = append(urns, s.URN)
		}
	}
	require.Greater(t, len(urns), 50)
	return urns
}

func preview(t *testing.T, steps ...[2]string) []byte {
	t.Helper()
	var list []map[string]any
	for _, s := range steps {
		list = append(list, map[string]any{"op": s[0], "urn": s[1]})
	}
	data, err := json.Marshal(map[string]any{"steps": list, "changeSummary": map[string]int{}})
	require.NoError(t, err)
	return data
}

// TestRenamedTypeTokens renames each type token of the program without an alias, as the engine would show it: the old
// resources go and new ones come. Each must fail the check, whatever the changelog says.
func TestRenamedTypeTokens(t *testing.T) {
	urns := recorded(t)
	tokens := map[string]bool{}
	for _, urn := range urns {
		for _, token := range strings.Split(strings.Split(urn, "::")[2], "$") {
			if strings.HasPrefix(token, "k3s-aws-auth:") {
				tokens[token] = true
			}
		}
	}
	require.Greater(t, len(tokens), 5)
	for token := range tokens {
		var steps [][2]string
		for _, urn := range urns {
			if renamed := strings.ReplaceAll(urn, token, token+"V2"); renamed != urn {
				steps = append(steps, [2]string{"create", renamed}, [2]string{"delete", urn})
			}
		}
		changes, err := Changes(preview(t, steps...))
		require.NoError(t, err)
		everything := "## [Unreleased]\n### Upgrading\n"
		for _, c := range changes {
			everything += "`" + c.Type + "`\n"
		}
		require.ErrorContains(t, Judge(changes, everything), "would delete "+token, token)
	}
}

func TestJudge(t *testing.T) {
	urn := func(typ string) string { return "urn:pulumi:lab::p::c:c:C$" + typ + "::name" }
	role, pod := urn("aws:iam/role:Role"), urn("kubernetes:core/v1:Pod")
	silent, said := "## [Unreleased]\n", "## [Unreleased]\n\n### Added\n- x\n\n### Upgrading\n- replaces `kubernetes:core/v1:Pod`\n"
	for name, c := range map[string]struct {
		steps     [][2]string
		changelog string
		want      string
	}{
		"nothing":              {nil, silent, ""},
		"created and updated":  {[][2]string{{"create", role}, {"update", urn("aws:s3/bucketV2:BucketV2")}, {"same", pod}}, silent, ""},
		"replaced":             {[][2]string{{"create-replacement", role}, {"replace", role}, {"delete-replaced", role}}, said, "would replace aws:iam/role:Role name"},
		"deleted":              {[][2]string{{"delete", role}}, said, "would delete aws:iam/role:Role name"},
		"deleted and made":     {[][2]string{{"delete", role}, {"create", role}}, said, "would replace"},
		"a type nobody knows":  {[][2]string{{"delete", urn("aws:new/thing:Thing")}}, said, "may hold"},
		"a pod, said":          {[][2]string{{"delete-replaced", pod}, {"create-replacement", pod}}, said, ""},
		"a pod, not said":      {[][2]string{{"replace", pod}}, silent, "must name `kubernetes:core/v1:Pod`"},
		"said in another part": {[][2]string{{"replace", pod}}, "## [Unreleased]\n### Added\n- `kubernetes:core/v1:Pod`\n", "must name"},
		"said by an old one":   {[][2]string{{"replace", pod}}, "## [Unreleased]\n### Added\n- x\n" + strings.Replace(said, "Unreleased", "0.1.0", 1), "must name"},
		"an old provider":      {[][2]string{{"delete", "urn:pulumi:lab::p::pulumi:providers:aws::default_6_83_4"}}, silent, ""},
	} {
		changes, err := Changes(preview(t, c.steps...))
		require.NoError(t, err, name)
		if err := Judge(changes, c.changelog); c.want == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.want, name)
		}
	}
	const cert = "tls:index/locallySignedCert:LocallySignedCert"
	for _, c := range []struct{ name, reasons, inputs, want string }{
		{"renewed", `"readyForRenewal","validityPeriodHours"`, `{}`, ""},
		{"for another key", `"certRequestPem","readyForRenewal"`, `{}`, "may hold"},
		{"for no reason", ``, `{}`, "may hold"},
		{"a CA", `"validityPeriodHours"`, `{"isCaCertificate":true}`, "may hold"},
	} {
		step := func(op string) string {
			return `{"op":"` + op + `","urn":"` + urn(cert) + `","replaceReasons":[` + c.reasons + `],"newState":{"inputs":` + c.inputs + `}}`
		}
		changes, err := Changes([]byte(`{"steps":[` + step("create-replacement") + `,` + step("replace") + `],"changeSummary":{}}`))
		require.NoError(t, err, c.name)
		err = Judge(changes, strings.ReplaceAll(said, "kubernetes:core/v1:Pod", cert))
		if c.want == "" {
			require.NoError(t, err, c.name)
			require.ErrorContains(t, Judge(changes, said), "must name `"+cert+"`")
			continue
		}
		require.ErrorContains(t, err, c.want, c.name)
	}
	// With its key, an identity's certificate alone, and for no other reason.
	for _, c := range []struct{ typ, parent, reasons, want string }{
		{"tls:index/privateKey:PrivateKey", "k3s-aws-auth:rolesanywhere:Leaf", ``, ""},
		{"tls:index/certRequest:CertRequest", "k3s-aws-auth:rolesanywhere:Leaf", `"privateKeyPem"`, ""},
		{cert, "k3s-aws-auth:rolesanywhere:Leaf", `"certRequestPem","readyForRenewal"`, ""},
		{cert, "k3s-aws-auth:rolesanywhere:Leaf", `"caCertPem"`, "may hold"},
		{"tls:index/certRequest:CertRequest", "k3s-aws-auth:rolesanywhere:Leaf", `"subject"`, "may hold"},
		{"tls:index/privateKey:PrivateKey", "k3s-aws-auth:rolesanywhere:Leaf", `"algorithm"`, "may hold"},
		{"tls:index/privateKey:PrivateKey", "k3s-aws-auth:rolesanywhere:Anchor", ``, "may hold"},
	} {
		step := `{"op":"replace","urn":"urn:pulumi:lab::p::` + c.parent + "$" + c.typ + `::name","replaceReasons":[` + c.reasons + `]}`
		changes, err := Changes([]byte(`{"steps":[` + step + `],"changeSummary":{}}`))
		require.NoError(t, err)
		if err = Judge(changes, strings.ReplaceAll(said, "kubernetes:core/v1:Pod", c.typ)); c.want == "" {
			require.NoError(t, err, step)
		} else {
			require.ErrorContains(t, err, c.want, step)
		}
	}
	for name, data := range map[string]string{
		"empty":         "",
		"no summary":    `{"steps":[]}`,
		"failed":        `{"steps":[],"changeSummary":{},"diagnostics":[{"message":"boom","severity":"error"}]}`,
		"unknown step":  `{"steps":[{"op":"dance","urn":"` + role + `"}],"changeSummary":{}}`,
		"step, no URN":  `{"steps":[{"op":"delete"}],"changeSummary":{}}`,
		"not a preview": `[]`,
	} {
		_, err := Changes([]byte(data))
		require.Error(t, err, name)
	}
}

// TestChangelogSaysWhatAnUpgradeDoes: each release, and what is to be released, has a section "Upgrading".
func TestChangelogSaysWhatAnUpgradeDoes(t *testing.T) {
	data, err := os.ReadFile("../../CHANGELOG.md")
	require.NoError(t, err)
	releases := Releases(string(data))
	require.NotEmpty(t, releases)
	for _, r := range releases {
		if strings.TrimSpace(r.Text) != "" && strings.TrimSpace(r.Upgrading) == "" {
			t.Errorf("CHANGELOG.md: [%s] has no text under \"### Upgrading\": what does an upgrade do to a stack of the release before?", r.Name)
		}
	}
	// What is tagged is in the changelog.
	out, err := exec.Command("git", "-C", "../..", "tag", "--list", "v*").Output()
	if err != nil {
		t.Skip("no git repository")
	}
	for _, tag := range strings.Fields(string(out)) {
		if !slices.ContainsFunc(releases, func(r Release) bool { return "v"+r.Name == tag }) {
			t.Errorf("CHANGELOG.md has no section [%s], which is tagged", strings.TrimPrefix(tag, "v"))
		}
	}
}

func TestExchanges(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	line := func(second int, state, text string) string {
		return fmt.Sprintf("2026-01-01T00:00:%02d.000Z\t%s\t%s\n", second, state, text)
	}
	const arn = "arn:aws:sts::1:assumed-role/r/"
	good := line(50, "ok", arn+"a") + line(55, "ok", arn+"b")
	for name, c := range map[string]struct{ log, want string }{
		"good":           {good, ""},
		"a failure":      {good + line(56, "error", "AccessDenied") + line(57, "ok", arn+"c"), "AccessDenied"},
		"another role":   {good + line(56, "ok", "arn:aws:sts::1:assumed-role/node/i"), "assumed-role/node"},
		"silent":         {line(10, "ok", arn+"a"), "no exchange for"},
		"none":           {"", "no exchange for"},
		"half a line":    {good + "2026-01-01T00:00:56.000Z\terror", ""},
		"something else": {"hello\n" + good, ""},
	} {
		if err := failure(exchange.Parse(c.log), now); c.want == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.want, name)
		}
	}
}

// TestPrepare: the old program is that of the ref, and is tried by this checkout's lab.
func TestPrepare(t *testing.T) {
	t.Setenv("GOCACHE", goEnv(t, "GOCACHE"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, ref := range []string{"no-such-ref", "--output=x"} {
		_, err := prepare(t.Context(), ref, "", t.TempDir())
		require.ErrorContains(t, err, "--from")
	}
	b, err := prepare(t.Context(), "HEAD", "", t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"main.go", "Pulumi.lab.yaml", "stacks/setups.json"} {
		require.FileExists(t, filepath.Join(b.old, name))
		require.FileExists(t, filepath.Join(b.now, name))
	}
	require.NoDirExists(t, filepath.Join(b.old, "scripts"))
	require.FileExists(t, b.command)
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
