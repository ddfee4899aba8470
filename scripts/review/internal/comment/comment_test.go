package comment

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/account"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// TestNothingIsMarkup: names and policies come from the pull request that is judged. They must not become links, images,
// mentions, table cells, a closing </details>, or another marker.
func TestNothingIsMarkup(t *testing.T) {
	evil := "a|b`c</details>\n<!-- k3s-aws-auth review of prod -->\n@everyone ![x](https://evil.example)\u202e"
	r := &impact.Report{Stack: evil, Verdict: impact.Danger, Complete: true,
		Signs:      []impact.Sign{{ID: "x", Level: impact.Danger, What: evil, Why: evil, Safe: evil, Resources: []string{evil}}},
		Identities: []impact.Identity{{Name: evil, Role: evil, TrustGained: []access.Trustee{{Who: evil, Issuer: evil}, {Who: evil, Issuer: "i"}}, Unclear: []string{evil}, PermissionsGained: []access.Grant{{Action: evil, Resource: evil, Condition: evil}}}},
		Resources:  []impact.Resource{{Name: evil, Type: evil, Op: preview.Update, Properties: []string{evil}}},
	}
	about, err := json.Marshal(account.Report{Account: evil, Reach: []account.Reach{{Role: evil}}, Missing: []string{evil},
		Findings: slices.Repeat([]account.Finding{{ID: evil, Level: account.Error, Seen: evil, Condition: evil}}, 8)})
	if err != nil {
		t.Fatal(err)
	}
	text := Markdown(r) + Account(about)
	var outside strings.Builder // what is not inline code
	for i, part := range strings.Split(text, "`") {
		if i%2 == 0 {
			outside.WriteString(part)
		}
	}
	for _, bad := range []string{"@everyone", "![x](", "\n<!-- k3s-aws-auth review of prod", "\u202e"} {
		if strings.Contains(strings.ReplaceAll(outside.String(), `\!`, ""), bad) {
			t.Errorf("%q got through:\n%s", bad, text)
		}
	}
	if open, closed := strings.Count(outside.String(), "<details>"), strings.Count(outside.String(), "\n</details>"); open != closed {
		t.Errorf("%d <details>, %d </details>:\n%s", open, closed, text)
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "every") {
			if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); cells != 6 {
				t.Errorf("%d bars in a row of five cells: %s", cells, line)
			}
		}
	}
}

func TestFitsHoweverMuchChanges(t *testing.T) {
	r := &impact.Report{Stack: "s", Verdict: impact.Danger, Changes: map[preview.Op]int{preview.Update: 5000}}
	for i := range 5000 {
		name := fmt.Sprintf("resource-%d-%s", i, strings.Repeat("x", 100))
		r.Signs = append(r.Signs, impact.Sign{ID: "id", Level: impact.Danger, What: name, Why: "w", Safe: "s", Resources: []string{name}})
		r.Identities = append(r.Identities, impact.Identity{Name: name, SessionAfter: 3600})
		r.Resources = append(r.Resources, impact.Resource{Name: name, Type: "t", Op: preview.Update})
	}
	finding := account.Finding{ID: "id", Level: account.Warning, Seen: strings.Repeat("&", 5000), Condition: strings.Repeat("x", 5000)}
	about, err := json.Marshal(account.Report{Account: "1", Findings: slices.Repeat([]account.Finding{finding}, 500), Missing: []string{strings.Repeat("x", 50000)}})
	if err != nil {
		t.Fatal(err)
	}
	const limit = 65536 // of GitHub, in characters
	if all := Markdown(r) + Account(about); utf8.RuneCountInString(all) > limit-2000 {
		t.Errorf("%d characters, which leaves no room for what says how to accept it", utf8.RuneCountInString(all))
	}
	text := Markdown(r)
	if len(text) > MaxBytes {
		t.Errorf("%d bytes", len(text))
	}
	if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
		t.Error("what is folded is not closed")
	}
	if !strings.HasPrefix(text, Marker("s")+"\n") {
		t.Error("no marker")
	}
}

func TestMarkerIsOneLineWhateverTheStack(t *testing.T) {
	for _, s := range []string{"prod", "a --> <b>", "a\nb", "x--y", "org/proj/prod"} {
		m := Marker(s)
		if strings.Count(m, "-->") != 1 || strings.ContainsAny(m, "\n") || strings.Contains(strings.TrimSuffix(strings.TrimPrefix(m, "<!--"), "-->"), "--") {
			t.Errorf("%q", m)
		}
	}
}
