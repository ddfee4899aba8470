package main

import (
	"fmt"
	"slices"
	"strings"
)

// View is one way of looking at a failure: which pod calls, and with what session.
type View string

// The views. An existing pod is watched twice, since a session that AWS has issued outlives what it was made from.
const (
	// Kept is an existing pod with a session obtained before the failure, as a long-running SDK client has it.
	Kept View = "kept"
	// Fresh is the same pod with a new session for each call: what any client meets at its next refresh.
	Fresh View = "fresh"
	// New is a pod that was made during the failure.
	New View = "new"
)

var views = []View{Kept, Fresh, New}

// Outcome is what calls of a view came to.
type Outcome string

// The outcomes of a view.
const (
	Works Outcome = "works"
	Fails Outcome = "fails"
	// Another means that AWS let the caller in as somebody else.
	Another Outcome = "another identity"
	// Silent means that no call was seen: nothing is known.
	Silent Outcome = "no call"
)

// Expectation is what a drill should come to in a setup.
type Expectation struct {
	Kept  Outcome `json:"kept"`
	Fresh Outcome `json:"fresh"`
	New   Outcome `json:"new"`
	// Error is a text that every failing view's error must have; alternatives are parted by |.
	Error string `json:"error,omitempty"`
	// Restart lists the views that do not heal when the cause is gone: their pod must be made anew.
	Restart []View `json:"restart,omitempty"`
}

// Of is the outcome that is expected of a view.
func (e Expectation) Of(v View) Outcome {
	switch v {
	case Kept:
		return e.Kept
	case Fresh:
		return e.Fresh
	}
	return e.New
}

// unaffected is the expectation of a drill that does not reach a setup.
var unaffected = Expectation{Kept: Works, Fresh: Works, New: Works}

// sessionsGoOn is the commonest failure: what was issued goes on, nothing new is.
func sessionsGoOn(text string) Expectation {
	return Expectation{Kept: Works, Fresh: Fails, New: Fails, Error: text}
}

// onlyNewPods fail; the tokens, keys or files that existing pods have are good for now.
func onlyNewPods(text string, restart ...View) Expectation {
	return Expectation{Kept: Works, Fresh: Works, New: Fails, Error: text, Restart: restart}
}

// allFail says that not even sessions go on.
func allFail(text string) Expectation {
	return Expectation{Kept: Fails, Fresh: Fails, New: Fails, Error: text}
}

// judge returns the outcome of a view's calls: one failure is a failure.
func judge(samples []Sample) Outcome {
	outcome := Silent
	for _, s := range samples {
		switch {
		case !s.OK:
			return Fails
		case s.Other:
			outcome = Another
		case outcome == Silent:
			outcome = Works
		}
	}
	return outcome
}

// hasError tells whether a text has one of the alternatives of an expectation.
func hasError(text, want string) bool {
	return want == "" || slices.ContainsFunc(strings.Split(want, "|"), func(w string) bool { return strings.Contains(text, w) })
}

// compare lists how a result differs from what is expected of it; empty where it does not.
func compare(r *Result) []string {
	var out []string
	for _, v := range views {
		o, want := r.Views[v], r.Expected.Of(v)
		if o.Outcome != want {
			out = append(out, fmt.Sprintf("%s: %s, expected %s", v, o.Outcome, want))
			continue
		}
		if o.Outcome == Fails && !hasError(o.Error, r.Expected.Error) {
			out = append(out, fmt.Sprintf("%s: error %q, expected %q", v, o.Error, r.Expected.Error))
		}
		if restart := slices.Contains(r.Expected.Restart, v); o.Restart != restart {
			out = append(out, fmt.Sprintf("%s: needs a restart after the recovery: %v, expected %v", v, o.Restart, restart))
		}
	}
	if d := r.Doctor; d != nil && d.First != d.Expected {
		out = append(out, fmt.Sprintf("doctor: first finding %q, expected %q", d.First, d.Expected))
	}
	return out
}
