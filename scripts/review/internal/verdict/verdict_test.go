package verdict

import (
	"strings"
	"testing"
	"time"
)

const minimal = `{"steps":[{"op":"same","urn":"urn:pulumi:lab::p::pulumi:pulumi:Stack::p-lab","oldState":{"urn":"urn:pulumi:lab::p::pulumi:pulumi:Stack::p-lab","type":"pulumi:pulumi:Stack"},"newState":{"urn":"urn:pulumi:lab::p::pulumi:pulumi:Stack::p-lab","type":"pulumi:pulumi:Stack"}}],"changeSummary":{"same":1}}`

func question() *Question {
	return &Question{Result: "success", Preview: []byte(minimal), Stack: "org/p/lab", Commit: strings.Repeat("a", 40), Author: "author"}
}

// TestVerdictIsBound: another commit, another stack, another plan and another preview are another record.
func TestVerdictIsBound(t *testing.T) {
	base, _, _ := Judge(question())
	if !base.Passes || base.Verdict != "ok" || base.Stack != "lab" {
		t.Fatalf("%+v", base)
	}
	again, _, _ := Judge(question())
	if again.Code != base.Code || again.Digest != base.Digest {
		t.Error("the same question has another answer")
	}
	q := question()
	q.Commit = strings.Repeat("b", 40)
	if other, _, _ := Judge(q); other.Code == base.Code || other.Digest != base.Digest {
		t.Error("the code does not depend on the commit alone")
	}
	q = question()
	q.Plan = []byte("{}")
	if other, text, _ := Judge(q); other.Plan != "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" || !strings.Contains(text, other.Plan) {
		t.Errorf("plan %q", other.Plan)
	}
}

// TestNoVerdict: each of these is none, whose comment replaces the one before, and which nothing accepts.
func TestNoVerdict(t *testing.T) {
	for name, change := range map[string]func(*Question){
		"failed":      func(q *Question) { q.Result = "failure" },
		"skipped":     func(q *Question) { q.Result, q.Preview = "skipped", nil },
		"no preview":  func(q *Question) { q.Preview = nil },
		"not JSON":    func(q *Question) { q.Preview = []byte("error: boom") },
		"other stack": func(q *Question) { q.Stack = "prod" },
		"errors": func(q *Question) {
			q.Preview = []byte(strings.Replace(minimal, `"changeSummary"`, `"diagnostics":[{"message":"boom","severity":"error"}],"changeSummary"`, 1))
		},
	} {
		q := question()
		change(q)
		r, text, report := Judge(q)
		if r.Passes || r.Verdict != None || r.Reason == "" || r.Code != "" || report != nil {
			t.Errorf("%s: %+v", name, r)
		}
		marker := "<!-- k3s-aws-auth review of " + StackName(q.Stack) + " -->\n"
		if !strings.HasPrefix(text, marker) || strings.Count(text, "<!--") != 1 || !strings.Contains(text, "no verdict") {
			t.Errorf("%s: comment:\n%s", name, text)
		}
	}
}

func TestQuestionsAreChecked(t *testing.T) {
	err := (&Question{Commit: "abc"}).Check()
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"--commit", "--stack", "--result"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named: %v", key, err)
		}
	}
}

func TestAccepted(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := Note{Login: "m", Kind: "User", Role: "maintain", Body: "danger-accepted 0123456789abcdef", Created: now, Updated: now}
	for name, change := range map[string]func(*Note){
		"":               func(*Note) {},
		"is no maint":    func(n *Note) { n.Role = "write" },
		"is the author":  func(n *Note) { n.Login = "Author" },
		"is not a pers":  func(n *Note) { n.Kind = "Bot" },
		"edited":         func(n *Note) { n.Updated = now.Add(time.Second) },
		"edited ":        func(n *Note) { n.Created, n.Updated = time.Time{}, time.Time{} },
		"is no maintai ": func(n *Note) { n.Role = "" },
	} {
		n := good
		change(&n)
		by, refused := accepted([]Note{n}, "author", "0123456789abcdef")
		if (by == "m") != (name == "") || name != "" && (len(refused) != 1 || !strings.Contains(refused[0], strings.TrimSpace(name))) {
			t.Errorf("%q: %q %q", name, by, refused)
		}
	}
	if by, _ := accepted([]Note{good}, "", "0123456789abcdef"); by != "" {
		t.Error("accepted where the author is not known")
	}
}
