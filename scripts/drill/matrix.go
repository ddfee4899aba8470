package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Cells of the matrix, as the published comparison has them.
const (
	cellWorks    = "✓"
	cellFails    = "✗"
	cellDegraded = "⚠→✗"
	cellNone     = "n/a"
	cellUnknown  = "?"
	// Of drills that try to get in.
	cellShut = "shut"
	cellOpen = "open"
)

const legend = "✓ unaffected · ✗ fails at once, kept sessions too · ⚠→✗ kept sessions go on until they end, what is new fails · " +
	"shut, open: whether an intruder gets in · n/a does not apply · ? not measured · ! not as expected"

// cell sums up a result: what existing sessions, new sessions and new pods come to.
func cell(r *Result) string {
	var text string
	switch r.Status {
	case NotThere:
		return cellNone
	case Skipped, Broken, "":
		return cellUnknown
	}
	failed := 0
	for _, v := range views {
		if r.Views[v].Outcome != Works {
			failed++
		}
	}
	switch {
	case r.Attack && r.Views[New].Outcome == Fails:
		text = cellShut
	case r.Attack:
		text = cellOpen
	case failed == 0:
		text = cellWorks
	case r.Views[Kept].Outcome != Works:
		text = cellFails
	default:
		text = cellDegraded
	}
	if r.Status == Different {
		text += " !"
	}
	return text
}

// row is one drill of the matrix.
type row struct {
	id, article, title string
	cells              map[string]*Result
}

// rows gathers results by drill, in the order in which they came first.
func rows(results []*Result) []*row {
	var out []*row
	at := map[string]*row{}
	for _, r := range results {
		line, ok := at[r.Drill]
		if !ok {
			line = &row{id: r.Drill, article: r.Article, title: r.Title, cells: map[string]*Result{}}
			at[r.Drill] = line
			out = append(out, line)
		}
		line.cells[r.Setup] = r
	}
	return out
}

func (l *row) cell(setup string) string {
	if r := l.cells[setup]; r != nil {
		return cell(r)
	}
	return cellUnknown
}

// saves tells whether a kept session outlives the failure, in the published comparison's words.
func (l *row) saves() string {
	some, all, any := false, true, false
	for _, r := range l.cells {
		if r.Status != AsExpected && r.Status != Different || r.Attack {
			continue
		}
		if r.Views[Fresh].Outcome == Works && r.Views[New].Outcome == Works {
			continue
		}
		any = true
		if r.Views[Kept].Outcome == Works {
			some = true
		} else {
			all = false
		}
	}
	switch {
	case !any:
		return "–"
	case some && all:
		return "yes"
	case some:
		return "partly"
	}
	return "no"
}

// writeTable prints the matrix for a terminal.
func writeTable(out io.Writer, results []*Result, setups []string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ID\tDRILL\t%s\tSESSION SAVES\tRECOVERY (S)\n", strings.ToUpper(strings.Join(setups, "\t")))
	for _, l := range rows(results) {
		fmt.Fprintf(w, "%s\t%s", orDash(l.article), l.id)
		for _, s := range setups {
			fmt.Fprintf(w, "\t%s", l.cell(s))
		}
		fmt.Fprintf(w, "\t%s\t%s\n", l.saves(), l.recovery())
	}
	_ = w.Flush()
	fmt.Fprintln(out, legend)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// recovery is the range of recovery times over setups and views, with an asterisk where a pod had to be made anew.
func (l *row) recovery() string {
	low, high, again := 0.0, 0.0, ""
	for _, r := range l.cells {
		for _, v := range r.Views {
			if v.Restart {
				again = "*"
			}
			if v.Recovery == 0 {
				continue
			}
			if low == 0 || v.Recovery < low {
				low = v.Recovery
			}
			high = max(high, v.Recovery)
		}
	}
	if high == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f–%.1f%s", low, high, again)
}

// writeMarkdown writes the matrix, then for each drill what was seen, and the errors verbatim.
func writeMarkdown(out io.Writer, results []*Result, setups []string, where string) {
	fmt.Fprintf(out, "# Failure drills\n\nMeasured %s, %s.\n\n", time.Now().UTC().Format("2006-01-02"), where)
	fmt.Fprintf(out, "| ID | drill | %s | a kept session saves? | recovery (s) |\n|---|---|%s---|---|\n", strings.Join(setups, " | "), strings.Repeat("---|", len(setups)))
	for _, l := range rows(results) {
		fmt.Fprintf(out, "| %s | %s |", orDash(l.article), l.title)
		for _, s := range setups {
			fmt.Fprintf(out, " %s |", l.cell(s))
		}
		fmt.Fprintf(out, " %s | %s |\n", l.saves(), l.recovery())
	}
	fmt.Fprintf(out, "\n%s. Recovery is the time from the start of the repair to the first good call; * marks drills after which a pod had to be made anew.\n", legend)
	for _, l := range rows(results) {
		fmt.Fprintf(out, "\n## %s%s (`%s`)\n\n", prefix(l.article), l.title, l.id)
		fmt.Fprintf(out, "| setup | kept session | new session | new pod | recovery (s): kept, new session, new pod | verdict |\n|---|---|---|---|---|---|\n")
		note := ""
		for _, s := range setups {
			r := l.cells[s]
			if r == nil {
				continue
			}
			note = r.Note
			if len(r.Views) == 0 {
				fmt.Fprintf(out, "| %s | – | – | – | – | %s: %s |\n", s, r.Status, escape(r.Reason))
				continue
			}
			verdict := string(r.Status)
			if len(r.Differences) > 0 {
				verdict += ": " + strings.Join(r.Differences, "; ")
			}
			if r.Status == Broken {
				verdict += ": " + r.Reason
			}
			fmt.Fprintf(out, "| %s | %s | %s | %s | %s, %s, %s | %s |\n", s, r.Views[Kept].Outcome, r.Views[Fresh].Outcome, r.Views[New].Outcome,
				seconds(r.Views[Kept]), seconds(r.Views[Fresh]), seconds(r.Views[New]), escape(verdict))
		}
		if note != "" {
			fmt.Fprintf(out, "\n%s\n", note)
		}
		for _, s := range setups {
			r := l.cells[s]
			if r == nil || len(r.Errors) == 0 {
				continue
			}
			fmt.Fprintf(out, "\n`%s`:\n\n", s)
			for _, e := range r.Errors {
				fmt.Fprintf(out, "- %s, %s, +%.1f s, %d ×: `%s`\n", e.First.UTC().Format("15:04:05.000"), e.View,
					max(0, e.First.Sub(r.Injected).Seconds()), e.Count, strings.ReplaceAll(e.Text, "`", "'"))
			}
		}
	}
}

func prefix(article string) string {
	if article == "" {
		return ""
	}
	return article + " "
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func seconds(v ViewResult) string {
	if v.Recovery == 0 {
		return "–"
	}
	text := strconv.FormatFloat(v.Recovery, 'f', 1, 64)
	if v.Restart {
		text += "*"
	}
	return text
}

// writeCSV writes one line for each drill, setup and view.
func writeCSV(out io.Writer, results []*Result) error {
	w := csv.NewWriter(out)
	lines := [][]string{{"drill", "article", "setup", "status", "reason", "view", "outcome", "expected", "calls", "failed", "recovery_seconds",
		"restart", "injected", "recovering", "error"}}
	for _, r := range results {
		if len(r.Views) == 0 {
			lines = append(lines, []string{r.Drill, r.Article, r.Setup, string(r.Status), r.Reason, "", "", "", "", "", "", "", "", "", ""})
			continue
		}
		for _, v := range views {
			o := r.Views[v]
			lines = append(lines, []string{r.Drill, r.Article, r.Setup, string(r.Status), r.Reason, string(v), string(o.Outcome),
				string(r.Expected.Of(v)), strconv.Itoa(o.Calls), strconv.Itoa(o.Failed), strconv.FormatFloat(o.Recovery, 'f', 2, 64),
				strconv.FormatBool(o.Restart), r.Injected.UTC().Format(time.RFC3339Nano), r.Recovering.UTC().Format(time.RFC3339Nano), o.Error})
		}
	}
	return w.WriteAll(lines)
}
