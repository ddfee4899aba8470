package account

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// JSON writes the report for machines.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes the report for people: who can be which role, and what is not as it should be. Principals with the same
// finding are listed together.
func (r *Report) Text(w io.Writer) {
	fmt.Fprintf(w, "Account %s: %d roles, %d users", r.Account, r.Roles, r.Users)
	if r.Stack != "" {
		fmt.Fprintf(w, "; stack %s", r.Stack)
	}
	fmt.Fprintf(w, "\n\nWhat the cluster can become (%d roles)\n", len(r.Reach))
	for _, x := range r.Reach {
		mark := "  "
		if !x.InStack && !x.Known {
			mark = "! "
		}
		origin := "of the stack"
		switch {
		case x.Known:
			origin = "accepted"
		case !x.InStack:
			origin = "NOT OF THE STACK"
		}
		fmt.Fprintf(w, "%s%s  (%s)\n", mark, short(x.Role), origin)
		for _, who := range x.Who {
			fmt.Fprintf(w, "      by     %s\n", who)
		}
		beyond := map[string]bool{}
		for _, p := range x.Beyond {
			beyond[p] = true
		}
		for i, p := range x.Permissions {
			if i == 8 {
				fmt.Fprintf(w, "      may    … and %d more\n", len(x.Permissions)-i)
				break
			}
			note := ""
			if beyond[p] {
				note = "  (NOT OF THE STACK)"
			}
			fmt.Fprintf(w, "      may    %s%s\n", p, note)
		}
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(w, "\nNothing is found.\n")
	} else {
		fmt.Fprintf(w, "\nFindings (%d)\n", len(r.Findings))
	}
	for i, f := range r.Findings {
		fmt.Fprintf(w, "%-7s %s: %s\n", f.Level, f.ID, f.Seen)
		if f.Condition != "" {
			fmt.Fprintf(w, "        if        %s\n", f.Condition)
		}
		if last := i == len(r.Findings)-1 || r.Findings[i+1].ID != f.ID; last { // once for all of a kind
			if f.Expected != "" {
				fmt.Fprintf(w, "        expected  %s\n", f.Expected)
			}
		}
		if f.Fix != "" && f.Fix != leave {
			fmt.Fprintf(w, "        mend      %s\n", f.Fix)
		}
	}
	list := func(title string, items []string) {
		if len(items) > 0 {
			fmt.Fprintf(w, "\n%s\n", title)
			for _, item := range items {
				fmt.Fprintf(w, "  %s\n", item)
			}
		}
	}
	list("Administrators: they may do everything in the account, so also all of the above", r.Administrators)
	list("Accepted", r.Known)
	var undecided []string
	for _, u := range r.Undecided {
		undecided = append(undecided, short(u.Subject)+": "+u.What)
	}
	list("Cannot be decided from the account alone", undecided)
	list("Not judged", append(r.Missing, "service control policies, and keys' own policies: they are not read"))
}

// short is an ARN without what all of an account have in common.
func short(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[5]
	}
	return arn
}
