package chain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Report is what doctor check found.
type Report struct {
	// Identities is how many were looked at, Pods how many pods these have.
	Identities int       `json:"identities"`
	Pods       int       `json:"pods"`
	Findings   []Finding `json:"findings"`
	// Unseen is what could not be looked at: about that, nothing is said.
	Unseen []Unseen `json:"unseen"`
}

// Examine judges facts.
func Examine(f *Facts) *Report {
	ids := Identities(f)
	r := &Report{Identities: len(ids), Findings: Check(f), Unseen: append([]Unseen{}, f.Unseen...)}
	for _, id := range ids {
		for _, p := range f.Cluster.Pods {
			if p.Namespace == id.Namespace && p.Account == id.Account {
				r.Pods++
			}
		}
	}
	return r
}

// Text writes a report for people.
func (r *Report) Text(w io.Writer) {
	for _, f := range r.Findings {
		f.Text(w)
	}
	if len(r.Unseen) > 0 {
		fmt.Fprintln(w, "Not looked at, and so not judged:")
		for _, u := range r.Unseen {
			fmt.Fprintf(w, "  %s: %s\n", u.What, u.Why)
		}
	}
	fmt.Fprintf(w, "%s with %s: %s\n", count(r.Identities, "identity", "identities"), count(r.Pods, "pod", "pods"), count(len(r.Findings), "finding", "findings"))
}

// Text writes a finding for people.
func (f *Finding) Text(w io.Writer) {
	fmt.Fprintf(w, "%s  %s\n", strings.ToUpper(f.Severity), f.ID)
	fmt.Fprintf(w, "  where     %s\n", f.Where)
	if len(f.Identities) > 0 {
		const most = 8
		names := f.Identities[:min(most, len(f.Identities))]
		more := ""
		if n := len(f.Identities) - len(names); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(w, "  concerns  %s%s\n", strings.Join(names, ", "), more)
	}
	fmt.Fprintf(w, "  seen      %s\n  expected  %s\n", f.Seen, f.Expected)
	for i, c := range f.Causes {
		label := "because"
		if i > 0 {
			label = "or"
		}
		said := ""
		if c.Error != "" {
			said = " (" + c.Error + ")"
		}
		fmt.Fprintf(w, "  %-9s %s%s\n", label, c.Why, said)
	}
	fmt.Fprintf(w, "  do        %s\n  more      %s\n\n", f.Do, f.Page)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// JSON writes a report for machines.
func (r *Report) JSON(w io.Writer) error { return encode(w, r) }

// SARIF writes a report in the Static Analysis Results Interchange Format 2.1.0
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html). What could not be looked at are notifications of the
// run, which then counts as not successful.
func (r *Report) SARIF(w io.Writer) error {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID      string `json:"id"`
		Short   text   `json:"shortDescription"`
		Help    text   `json:"help"`
		Setting struct {
			Level string `json:"level"`
		} `json:"defaultConfiguration"`
	}
	type logical struct {
		Name string `json:"fullyQualifiedName"`
	}
	type location struct {
		Logical []logical `json:"logicalLocations"`
	}
	type result struct {
		Rule        string            `json:"ruleId"`
		Level       string            `json:"level"`
		Message     text              `json:"message"`
		Locations   []location        `json:"locations"`
		Fingerprint map[string]string `json:"partialFingerprints"`
	}
	type notification struct {
		Level   string `json:"level"`
		Message text   `json:"message"`
	}
	level := map[string]string{Broken: "error", Risk: "warning"}
	rules, results, notes := []rule{}, []result{}, []notification{}
	for _, f := range r.Findings {
		if find(rules, func(o *rule) bool { return o.ID == f.ID }) == nil {
			one := rule{ID: f.ID, Short: text{"expected: " + f.Expected}, Help: text{f.Page}}
			one.Setting.Level = level[f.Severity]
			rules = append(rules, one)
		}
		message := f.Where + ": " + f.Seen + ". Expected: " + f.Expected + "."
		if len(f.Causes) > 0 {
			message += " Likeliest: " + f.Causes[0].Why + "."
		}
		results = append(results, result{f.ID, level[f.Severity], text{message + " Do: " + f.Do}, []location{{[]logical{{f.Where}}}},
			map[string]string{"finding/v1": digest(f.ID, f.Where)}})
	}
	for _, u := range r.Unseen {
		notes = append(notes, notification{"error", text{"not looked at: " + u.What + ": " + u.Why}})
	}
	return encode(w, map[string]any{
		"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":        map[string]any{"driver": map[string]any{"name": "doctor", "rules": rules}},
			"invocations": []any{map[string]any{"executionSuccessful": len(notes) == 0, "toolExecutionNotifications": notes}},
			"results":     results,
		}},
	})
}
