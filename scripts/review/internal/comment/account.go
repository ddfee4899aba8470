package comment

import (
	"encoding/json"
	"fmt"
	"strings"

	"k3s-aws-auth/scripts/internal/account"
)

// How many findings of the account are shown without unfolding anything, and how many bytes all of them may have: beside
// MaxBytes there is room for as much.
const (
	maxFindings     = 3
	maxFindingBytes = 3000
)

// Account writes what an account has beside the stack, from what `doctor account --json` printed. It is no part of the
// verdict: the change is not why it is there. data is empty where the account could not be read, which is said.
func Account(data []byte) string {
	const unread = "\n**The account** could not be read, so nothing is said about what it has beside the stack%s.\n"
	if len(data) == 0 {
		return fmt.Sprintf(unread, "")
	}
	var r account.Report
	if err := json.Unmarshal(data, &r); err != nil || r.Account == "" {
		return fmt.Sprintf(unread, ": what there is of it is no report of `doctor account --json`")
	}
	var b strings.Builder
	outside := 0
	for _, x := range r.Reach {
		if !x.InStack && !x.Known {
			outside++
		}
	}
	var lines []string
	failed, bytes := 0, 0
	for _, level := range []string{account.Error, account.Warning} {
		for _, f := range r.Findings {
			if f.Level != level {
				continue
			}
			failed++
			if line := finding(f); bytes+len(line) <= maxFindingBytes {
				lines, bytes = append(lines, line), bytes+len(line)
			}
		}
	}
	fmt.Fprintf(&b, "\n**The account** %s, whatever this change does: the cluster can become %s, %s that the stack did not make; %s.\n",
		code(r.Account), plural(len(r.Reach), "role", "roles"), plural(outside, "one", "of them"), plural(failed, "finding", "findings"))
	if more := failed - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("- %d more, which `doctor account` lists", more))
	}
	if len(lines) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(lines[:min(maxFindings, len(lines))], "\n"))
	}
	if rest := lines[min(maxFindings, len(lines)):]; len(rest) > 0 {
		fold(&b, fmt.Sprintf("%d more", failed-maxFindings), strings.Join(rest, "\n"))
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "\nNot all of it could be read: `doctor account` says what is missing (%d).\n", len(r.Missing))
	}
	return b.String()
}

func finding(f account.Finding) string {
	text := fmt.Sprintf("- **%s** (%s): %s", escape(f.ID), escape(f.Level), limited(f.Seen))
	if f.Condition != "" {
		text += ", if " + limited(f.Condition)
	}
	return text + "."
}

// limited is text of a length that leaves room for the others.
func limited(s string) string {
	const most = 300
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most-1]) + "…"
	}
	return strings.TrimRight(escape(s), ".")
}
