package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k3s-aws-auth/scripts/review/internal/comment"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

var update = flag.Bool("update", false, "rewrite the golden comments; the run then fails, so that they are read")

// recorded names the signs that each recording must raise; none for the harmless ones.
var recorded = map[string][]string{
	"harmless-identity-added":       nil,
	"harmless-permissions-changed":  nil,
	"harmless-agent-added":          nil,
	"harmless-pulls-by-pods":        nil,
	"harmless-tags":                 nil,
	"harmless-shorter-certificates": nil,
	"danger-issuer-moved":           {"issuer-changed", "issuer-dropped", "data-deleted"},
	"danger-metadata-open":          {"hop-limit-raised", "imdsv1"},
	"danger-trust-wildcard":         {"trust-subject-wildcard", "trust-audience-missing"},
	"danger-bucket-public":          {"bucket-public"},
	"danger-ca-replaced":            {"ca-replaced"},
	"danger-zone-moved":             {"server-replaced"},
	"harmless-certificate-revoked":  nil,
	"harmless-account-added":        nil,
	"harmless-prefixes":             nil,
	"harmless-account-removed":      nil,

	"rotation-key-next":        nil,
	"rotation-key-active":      nil,
	"rotation-key-retired":     nil,
	"rotation-key-dropped":     nil,
	"rotation-key-back":        nil,
	"naive-key-swapped":        {"signing-key-in-use", "jwks-key-removed"},
	"naive-key-unpublished":    {"signing-key-unpublished"},
	"naive-key-removed":        {"signing-key-in-use", "jwks-key-removed"},
	"rotation-issuer-next":     nil,
	"rotation-issuer-active":   nil,
	"rotation-issuer-retired":  nil,
	"rotation-issuer-back":     nil,
	"naive-issuer-swapped":     {"issuer-changed", "issuer-dropped"},
	"naive-issuer-unpublished": {"issuer-unpublished"},
	"naive-issuer-removed":     {"issuer-changed", "issuer-dropped"},
	"rotation-ca-next":         nil,
	"rotation-ca-active":       nil,
	"rotation-ca-retired":      nil,
	"rotation-ca-back":         nil,
	"naive-ca-swapped":         {"ca-replaced"},
	"naive-ca-untrusted":       {"ca-untrusted"},
	"naive-ca-removed":         {"ca-replaced"},
}

func unpack(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRecordedPreviews(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(files) != len(recorded) {
		t.Fatalf("%d recordings, %d expected (%v)", len(files), len(recorded), err)
	}
	for name, want := range recorded {
		t.Run(name, func(t *testing.T) {
			p, err := preview.Parse(unpack(t, name), nil)
			if err != nil {
				t.Fatal(err)
			}
			report := impact.Review(p)
			var ids []string
			for _, s := range report.Signs {
				if s.Level == impact.Danger {
					ids = append(ids, s.ID)
				}
				if s.What == "" || s.Why == "" || s.Safe == "" || len(s.Resources) == 0 {
					t.Errorf("sign %s has no reason, no safe way or no resource: %+v", s.ID, s)
				}
			}
			kind, _, _ := strings.Cut(name, "-")
			switch kind {
			case "harmless", "rotation":
				if report.Verdict == impact.Danger {
					t.Errorf("a harmless change raises danger: %q", ids)
				}
			case "danger", "naive":
				if report.Verdict != impact.Danger {
					t.Error("a dangerous change passes")
				}
			default:
				t.Errorf("what should come of it?")
			}
			if kind == "rotation" && len(report.Rotation) == 0 {
				t.Error("it is not seen as a step of a rotation")
			}
			for _, id := range want {
				if !slices.Contains(ids, id) {
					t.Errorf("no danger sign %s, only %q", id, ids)
				}
			}
			text := comment.Markdown(report)
			if n := visibleLines(text); n > 40 {
				t.Errorf("%d lines are visible without unfolding: that is more than a screen", n)
			}
			golden := filepath.Join("testdata", name+".md")
			old, err := os.ReadFile(golden)
			switch {
			case err == nil && string(old) == text:
			case *update:
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				t.Error("golden comment rewritten: read it")
			case err != nil:
				t.Fatal(err)
			default:
				t.Errorf("the comment differs from %s (see -update):\n%s", golden, text)
			}
		})
	}
}

// TestStepsWait judges each step of a rotation right after the step before it, and a day later.
func TestStepsWait(t *testing.T) {
	soon := map[string]bool{ // whether the step is harmless at once
		"rotation-key-next": true, "rotation-key-active": false, "rotation-key-retired": false, "rotation-key-dropped": false, "rotation-key-back": false,
		"rotation-issuer-next": true, "rotation-issuer-active": true, "rotation-issuer-retired": false, "rotation-issuer-back": true,
		"rotation-ca-next": true, "rotation-ca-active": true, "rotation-ca-retired": false, "rotation-ca-back": true,
	}
	for name := range recorded {
		if !strings.HasPrefix(name, "rotation-") {
			continue
		}
		atOnce, listed := soon[name]
		if !listed {
			t.Errorf("%s: when is it harmless?", name)
		}
		p, err := preview.Parse(unpack(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		for _, c := range p.Changes {
			if c.Before != nil {
				c.Before.Modified = last
			}
		}
		waits := func(after time.Duration) (ids []string) {
			p.Now = last.Add(after)
			for _, s := range impact.Review(p).Signs {
				if strings.HasPrefix(s.ID, "rotation-") {
					ids = append(ids, s.ID)
				}
			}
			return ids
		}
		if got := waits(time.Minute); (len(got) == 0) != atOnce || len(got) > 0 && got[0] != "rotation-early" {
			t.Errorf("%s after a minute: %q", name, got)
		}
		if got := waits(24 * time.Hour); len(got) > 0 {
			t.Errorf("%s after a day: %q", name, got)
		}
	}
}

// TestNeverUsed judges the way back from a first step: no danger where the servers have not changed since before the key could have
// signed anything, and one where they have, or where it is not known when the key was made.
func TestNeverUsed(t *testing.T) {
	p, err := preview.Parse(unpack(t, "rotation-key-dropped"), nil)
	if err != nil {
		t.Fatal(err)
	}
	made := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	p.Now = made.Add(3 * time.Hour)
	for changed, want := range map[time.Duration]string{
		5 * time.Minute: "rotation-unused", 59 * time.Minute: "rotation-unused", 61 * time.Minute: "rotation-early",
	} {
		for _, c := range p.Changes {
			if c.Before != nil {
				c.Before.Created, c.Before.Modified = made, made.Add(changed)
			}
		}
		report := impact.Review(p)
		if !slices.ContainsFunc(report.Signs, func(s impact.Sign) bool { return s.ID == want }) {
			t.Errorf("servers that changed %s after the key: no %s", changed, want)
		}
		if dangerous := slices.ContainsFunc(report.Signs, func(s impact.Sign) bool { return s.Level == impact.Danger }); dangerous != (want == "rotation-early") {
			t.Errorf("servers that changed %s after the key: danger is %v", changed, dangerous)
		}
	}
}

// visibleLines counts the lines outside of what is folded.
func visibleLines(text string) int {
	n, depth := 0, 0
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "<details>") {
			depth++
			n++
		}
		if depth == 0 {
			n++
		}
		if strings.HasPrefix(line, "</details>") {
			depth--
		}
	}
	return n
}

// TestStateStandsInForSames: without unchanged resources in the preview, the state gives the same review.
func TestStateStandsInForSames(t *testing.T) {
	for _, name := range []string{"harmless-permissions-changed", "danger-trust-wildcard", "danger-metadata-open"} {
		full, err := preview.Parse(unpack(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		thin, state := split(t, unpack(t, name))
		both, err := preview.Parse(thin, state)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := comment.Markdown(impact.Review(full)), comment.Markdown(impact.Review(both)); a != b {
			t.Errorf("%s: with the state:\n%s\nwith --show-sames:\n%s", name, b, a)
		}
		alone, err := preview.Parse(thin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if alone.Complete || !strings.Contains(comment.Markdown(impact.Review(alone)), "--show-sames") {
			t.Errorf("%s: a preview without unchanged resources is not called incomplete", name)
		}
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	danger, harmless := write("danger.json", unpack(t, "danger-metadata-open")), write("harmless.json", unpack(t, "harmless-identity-added"))
	state := write("state.json", []byte(`{"version":3}`))
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--preview", danger}, 0},
		{[]string{"--preview", danger, "--fail-on", "danger"}, 1},
		{[]string{"--preview", danger, "--fail-on", "warning", "--json"}, 1},
		{[]string{"--preview", harmless, "--fail-on", "danger"}, 0},
		{[]string{"--preview", harmless, "--state", state}, 1},
		{[]string{"--preview", filepath.Join(dir, "absent.json")}, 1},
		{[]string{"--preview", write("empty.json", nil)}, 1},
		{[]string{"--preview", write("other.json", []byte(`{"version":1}`))}, 1},
		{[]string{"--preview", harmless, "--fail-on", "everything"}, 2},
		{[]string{"--no-such-flag"}, 2},
		{[]string{"extra"}, 2},
		{nil, 2},
		{[]string{"--help"}, 0},
	} {
		var out, errOut bytes.Buffer
		if got := run(c.args, strings.NewReader(""), &out, &errOut); got != c.want {
			t.Errorf("%q: exit code %d, want %d\n%s", c.args, got, c.want, errOut.String())
		}
	}
	var out, errOut bytes.Buffer
	comment := filepath.Join(dir, "comment.md")
	if code := run([]string{"--preview", "-", "--out", comment, "--json"}, bytes.NewReader(unpack(t, "harmless-tags")), &out, &errOut); code != 0 {
		t.Fatal(errOut.String())
	}
	text, err := os.ReadFile(comment)
	if err != nil || !strings.HasPrefix(string(text), "<!-- k3s-aws-auth review of lab -->\n") {
		t.Errorf("the comment does not begin with its marker: %v", err)
	}
	if !strings.HasPrefix(out.String(), `{"stack":"lab"`) {
		t.Errorf("no JSON: %.80s", out.String())
	}
}
