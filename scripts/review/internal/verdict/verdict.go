// Package verdict binds what a review found to what it was found about: one commit, one stack and, where there is one,
// one plan. A verdict is never implied. What has not been judged does not pass, and what is accepted is accepted for
// this commit and this finding alone.
package verdict

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/review/internal/comment"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// None is the verdict where nothing could be judged.
const None impact.Level = "none"

// Version is that of the record's form.
const Version = 1

// incomplete are the signs of a preview that does not show the whole change: what it hides, nobody can accept.
var incomplete = []string{"preview-failed", "preview-incomplete", "preview-contradictory"}

// Record is a verdict.
type Record struct {
	Version int `json:"version"`
	// Stack is the stack's name without organization and project.
	Stack  string `json:"stack"`
	Commit string `json:"commit"`
	// Preview and Plan are the SHA-256 of the two files, in hexadecimal. Plan is empty where no plan was saved.
	Preview string `json:"preview,omitempty"`
	Plan    string `json:"plan,omitempty"`
	// Verdict is ok, warning, danger or none, and Reason says why it is none.
	Verdict impact.Level `json:"verdict"`
	Reason  string       `json:"reason,omitempty"`
	// Digest is the SHA-256 of the review: two commits that do the same to the same stack have the same.
	Digest string `json:"digest,omitempty"`
	// Code accepts this verdict for this commit.
	Code string `json:"code,omitempty"`
	// AcceptedBy is who has accepted a danger.
	AcceptedBy string `json:"acceptedBy,omitempty"`
	// Refused says of each acceptance with this code why it does not count.
	Refused []string `json:"refused,omitempty"`
	// Passes tells whether the change may go on.
	Passes bool `json:"passes"`
}

// Question is what is to be judged.
type Question struct {
	// Result is how the preview ended: success, or what GitHub or GitLab call anything else.
	Result string
	// Preview is what `pulumi preview --json` printed; empty where there is nothing.
	Preview []byte
	// State is what `pulumi stack export` printed; nil where the preview has --show-sames.
	State []byte
	// Times is the stack's state, or as much of it as says when each resource was last changed; nil where nothing does.
	Times []byte
	// Plan is the file of `pulumi preview --save-plan`, nil where none was saved.
	Plan []byte
	// Account is what `doctor account --json` printed, empty where the account could not be read; nil where nobody asked. It
	// is told, and no part of the verdict.
	Account []byte
	// Stack is the stack that was to be previewed, with or without organization and project.
	Stack string
	// Commit is the full SHA of the commit that is judged.
	Commit string
	// Author is who may not accept it.
	Author string
	// Now is when it is judged: a step of a rotation is harmless only after a while.
	Now time.Time
	// Notes are the comments in which somebody may have accepted it.
	Notes []Note
}

var fullSHA = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Check says what is wrong with a question, all of it at once.
func (q *Question) Check() error {
	var errs []error
	if !fullSHA.MatchString(q.Commit) {
		errs = append(errs, fmt.Errorf("--commit: found %q: must be a commit's full SHA", q.Commit))
	}
	if StackName(q.Stack) == "" {
		errs = append(errs, errors.New("--stack is missing: the stack that was to be previewed"))
	}
	if q.Result == "" {
		errs = append(errs, errors.New("--result is missing: how the preview ended, such as success or failure"))
	}
	return errors.Join(errs...)
}

// StackName is a stack's name without organization and project, as URNs have it.
func StackName(stack string) string { return stack[strings.LastIndexByte(stack, '/')+1:] }

// Judge returns the verdict, and the comment that says it. The comment begins with the stack's marker in every case, so
// that an older one is replaced. report is nil where there is no verdict.
func Judge(q *Question) (record *Record, markdown string, report *impact.Report) {
	r := &Record{Version: Version, Stack: StackName(q.Stack), Commit: q.Commit, Verdict: None}
	if len(q.Preview) > 0 {
		r.Preview = sum(q.Preview)
	}
	if q.Plan != nil {
		r.Plan = sum(q.Plan)
	}
	report, err := q.review(r.Stack)
	if err != nil {
		r.Reason = err.Error()
		return r, unjudged(r, report), nil
	}
	r.Verdict = report.Verdict
	whole, err := json.Marshal(report)
	if err != nil {
		r.Verdict, r.Reason = None, err.Error()
		return r, unjudged(r, nil), nil
	}
	r.Digest = sum(whole)
	r.Code = sum([]byte(strings.Join([]string{r.Stack, r.Commit, r.Digest}, "\n")))[:16]
	switch r.Verdict {
	case impact.Quiet, impact.Warning:
		r.Passes = true
	case impact.Danger:
		r.AcceptedBy, r.Refused = accepted(q.Notes, q.Author, r.Code)
		r.Passes = r.AcceptedBy != ""
	default: // a level that this package does not know is no verdict
		r.Verdict, r.Reason, r.Code = None, fmt.Sprintf("the review says %q, which is no verdict", report.Verdict), ""
		return r, unjudged(r, nil), nil
	}
	text := comment.Markdown(report)
	if q.Account != nil {
		text += comment.Account(q.Account)
	}
	return r, text + footer(r), report
}

// review judges the preview, or says why it cannot be judged. The report beside an error is what there was to see.
func (q *Question) review(stack string) (*impact.Report, error) {
	if len(q.Preview) == 0 {
		if q.Result != "success" {
			return nil, fmt.Errorf("the preview ended with %q and printed nothing that can be judged", q.Result)
		}
		return nil, errors.New("the preview printed nothing")
	}
	p, err := preview.Parse(q.Preview, q.State)
	if err != nil {
		if q.Result != "success" {
			return nil, fmt.Errorf("the preview ended with %q, and what it printed cannot be judged: %w", q.Result, err)
		}
		return nil, err
	}
	p.Now = q.Now
	if q.Times != nil {
		if err := p.Date(q.Times); err != nil {
			return nil, err
		}
	}
	report := impact.Review(p)
	if report.Stack != stack {
		return nil, fmt.Errorf("the preview is of stack %q, and %q was to be judged", report.Stack, stack)
	}
	if q.Result != "success" {
		return report, fmt.Errorf("the preview ended with %q, so what it shows is incomplete", q.Result)
	}
	for _, s := range report.Signs {
		if slices.Contains(incomplete, s.ID) {
			return report, fmt.Errorf("what the preview shows is incomplete: %s", s.What)
		}
	}
	return report, nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// unjudged is the comment where there is no verdict.
func unjudged(r *Record, report *impact.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n### ⛔ Identities of %s: no verdict\n\n", comment.Marker(r.Stack), mono(r.Stack))
	fmt.Fprintf(&b, "Commit %s was not judged: %s. The check fails until a preview is judged; what an earlier comment said about another commit does not hold for this one.\n",
		mono(short(r.Commit)), strings.TrimRight(oneLine(r.Reason), "."))
	if report != nil {
		text := comment.Markdown(report)
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			fmt.Fprintf(&b, "\n<details><summary>What there is of the preview</summary>\n\n%s\n</details>\n", rest)
		}
	}
	return b.String()
}

// footer says what the verdict is about, and how it is accepted.
func footer(r *Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<sub>Verdict %s on commit %s, stack %s", r.Verdict, mono(short(r.Commit)), mono(r.Stack))
	if r.Plan != "" {
		fmt.Fprintf(&b, ", plan %s", mono(r.Plan))
	}
	b.WriteString(".</sub>\n")
	if r.Verdict != impact.Danger {
		return b.String()
	}
	if r.AcceptedBy != "" {
		fmt.Fprintf(&b, "\n**Accepted** by %s for this commit and this verdict alone (%s).\n", mono(r.AcceptedBy), mono(r.Code))
		return b.String()
	}
	fmt.Fprintf(&b, "\nWhere this is meant, a maintainer other than the author comments %s. It holds for this commit and this verdict alone, and ends with the next push.\n",
		mono(Word+" "+r.Code))
	for _, why := range r.Refused {
		fmt.Fprintf(&b, "- %s\n", why)
	}
	return b.String()
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}

// mono puts a text between backticks; it has none, and no line breaks, afterwards.
func mono(s string) string { return "`" + strings.ReplaceAll(oneLine(s), "`", "'") + "`" }

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 400 {
		s = strings.ToValidUTF8(s[:400], "") + "…"
	}
	return strings.NewReplacer("<", "&lt;", "@", "@\u200b").Replace(s)
}
