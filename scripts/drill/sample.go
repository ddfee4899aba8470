package main

import (
	"bufio"
	"regexp"
	"strings"
	"time"
)

// Sample is one call of a pod, or one thing that kept a pod from calling.
type Sample struct {
	View  View      `json:"view"`
	Began time.Time `json:"began"`
	OK    bool      `json:"ok"`
	// Other is true where the call succeeded as another role than the identity's.
	Other bool `json:"other,omitempty"`
	// Text is the caller's ARN, or the error verbatim (line breaks are spaces).
	Text string `json:"text"`
}

// clockLimit is how far a pod's clock may be off before the time of arrival counts in its place.
const clockLimit = 2 * time.Minute

// parseSamples reads what watch.sh prints. role is the name of the role that callers should have, arrival when the lines
// were read. Lines of another form are left out.
func parseSamples(log, role string, arrival time.Time) []Sample {
	var out []Sample
	for lines := bufio.NewScanner(strings.NewReader(log)); lines.Scan(); {
		f := strings.SplitN(lines.Text(), "\t", 4)
		if len(f) != 4 {
			continue
		}
		began, err := time.Parse(time.RFC3339Nano, f[1])
		if err != nil {
			continue
		}
		if d := arrival.Sub(began); d > clockLimit*10 || d < -clockLimit {
			began = arrival
		}
		s := Sample{View: View(f[0]), Began: began, OK: f[2] == "ok", Text: strings.TrimSpace(f[3])}
		s.Other = s.OK && !strings.Contains(s.Text, ":assumed-role/"+role+"/")
		out = append(out, s)
	}
	return out
}

// between returns a view's samples that began in [from, to); a zero to is open.
func between(samples []Sample, v View, from, to time.Time) []Sample {
	var out []Sample
	for _, s := range samples {
		if s.View == v && !s.Began.Before(from) && (to.IsZero() || s.Began.Before(to)) {
			out = append(out, s)
		}
	}
	return out
}

// firstOK is the first success among samples.
func firstOK(samples []Sample) (Sample, bool) {
	for _, s := range samples {
		if s.OK && !s.Other {
			return s, true
		}
	}
	return Sample{}, false
}

// ErrorLine is one error text of a view: when it first came, and how often.
type ErrorLine struct {
	View  View      `json:"view"`
	First time.Time `json:"first"`
	Count int       `json:"count"`
	Text  string    `json:"text"`
}

// changing are the parts of an error that differ from call to call: times and request ids.
var changing = regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|\d{8}T\d{6}Z|\b1\d{9}\b|RequestID: [0-9a-fA-F-]*`)

// errorLines gathers the errors of samples in the order in which they first came. Of errors that differ in times and
// request ids alone the first is kept, verbatim.
func errorLines(samples []Sample) []ErrorLine {
	var out []ErrorLine
next:
	for _, s := range samples {
		if s.OK {
			continue
		}
		for i := range out {
			if out[i].View == s.View && changing.ReplaceAllString(out[i].Text, "") == changing.ReplaceAllString(s.Text, "") {
				out[i].Count++
				continue next
			}
		}
		out = append(out, ErrorLine{View: s.View, First: s.Began, Count: 1, Text: s.Text})
	}
	return out
}
