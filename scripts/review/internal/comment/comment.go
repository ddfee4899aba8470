// Package comment writes a review as a comment on a pull request: Markdown that fits a screen, with the rest folded away.
package comment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// What is shown without unfolding anything.
const (
	maxDangers    = 6
	maxWarnings   = 4
	maxIdentities = 8
	maxInCell     = 3
	maxCode       = 160 // characters of a name or ARN
)

// MaxBytes is a limit below GitHub's own of 65,536 characters and GitLab's.
const MaxBytes = 60000

// Marker is the comment's first line. Whoever posts the comment looks for it and replaces the comment that begins with
// it, so that a pull request has one review of each stack.
func Marker(stack string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/", r) || r == '-' {
			return r
		}
		return '_'
	}, stack)
	return "<!-- k3s-aws-auth review of " + strings.ReplaceAll(safe, "--", "__") + " -->"
}

// Markdown writes the comment.
func Markdown(r *impact.Report) string {
	var b strings.Builder
	fmt.Fprintln(&b, Marker(r.Stack))
	headline(&b, r)
	signs(&b, r, impact.Danger, "Danger", maxDangers)
	signs(&b, r, impact.Warning, "To look at", maxWarnings)
	who(&b, r)
	radius(&b, r)
	ordinary(&b, r)
	if !r.Complete {
		fmt.Fprintf(&b, "\nUnchanged resources are not part of this preview, so policies beside the changed ones are missing: run it with `--show-sames`, or give `--state`.\n")
	}
	text := b.String()
	if len(text) > MaxBytes {
		cut := strings.LastIndexByte(text[:MaxBytes-200], '\n')
		text = text[:cut]
		if strings.Count(text, "<details>") > strings.Count(text, "</details>") {
			text += "\n\n</details>"
		}
		text += "\n\nCut here: the JSON has the whole review.\n"
	}
	return text
}

func headline(b *strings.Builder, r *impact.Report) {
	count := map[impact.Level]int{}
	for _, s := range r.Signs {
		count[s.Level]++
	}
	mark, verdict := "✅", "nothing dangerous"
	switch r.Verdict {
	case impact.Danger:
		mark, verdict = "⛔", plural(count[impact.Danger], "danger", "dangers")
	case impact.Warning:
		mark, verdict = "⚠️", "no danger, "+plural(count[impact.Warning], "thing", "things")+" to look at"
	}
	if len(r.Identities) == 0 && r.Verdict == impact.Quiet {
		verdict += ", no identity changes"
	}
	fmt.Fprintf(b, "### %s Identities of %s: %s\n\n", mark, code(r.Stack), verdict)
	var parts []string
	for _, op := range []preview.Op{preview.Create, preview.Update, preview.Replace, preview.Delete, preview.Import} {
		if n := r.Changes[op]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, op))
		}
	}
	if len(parts) == 0 {
		parts = []string{"No resource changes"}
	}
	if n := r.Changes[preview.Same]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d unchanged", n))
	}
	fmt.Fprintf(b, "%s.\n", strings.Join(parts, ", "))
	if len(r.Rotation) > 0 {
		b.WriteString("\n**A step of a rotation:**\n\n")
	}
	for _, s := range r.Rotation {
		fmt.Fprintf(b, "- %s.", escape(s.What))
		if s.Next != "" {
			fmt.Fprintf(b, " Before the next step: %s.", escape(s.Next))
		}
		b.WriteString("\n")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func signs(b *strings.Builder, r *impact.Report, level impact.Level, title string, most int) {
	var lines []string
	for _, s := range r.Signs {
		if s.Level == level {
			lines = append(lines, fmt.Sprintf("- **%s** (%s): %s. *Safe way:* %s. %s", escape(s.What), code(s.ID), escape(s.Why), escape(s.Safe), names(s.Resources)))
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n**%s**\n\n%s\n", title, strings.Join(lines[:min(most, len(lines))], "\n"))
	if rest := lines[min(most, len(lines)):]; len(rest) > 0 {
		fold(b, fmt.Sprintf("%d more", len(rest)), strings.Join(rest, "\n"))
	}
}

func names(list []string) string {
	var parts []string
	for _, n := range list[:min(maxInCell, len(list))] {
		parts = append(parts, code(n))
	}
	if more := len(list) - maxInCell; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// who is the table of what each identity gains and loses.
func who(b *strings.Builder, r *impact.Report) {
	if len(r.Identities) == 0 {
		return
	}
	const header = "| identity | may now also | may no longer | who can be it | session |\n|---|---|---|---|---|\n"
	issuers := map[string]bool{}
	for _, i := range r.Identities {
		for _, t := range slices.Concat(i.TrustGained, i.TrustLost) {
			if t.Issuer != "" {
				issuers[t.Issuer] = true
			}
		}
	}
	var rows []string
	folded := false
	for _, i := range r.Identities {
		gained, lost := grants(i.PermissionsGained, i.ManagedGained), grants(i.PermissionsLost, i.ManagedLost)
		folded = folded || len(gained) > maxInCell || len(lost) > maxInCell
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s |", label(&i), cell(gained), cell(lost), trust(&i, issuers), session(&i)))
	}
	fmt.Fprintf(b, "\n%s%s\n", header, strings.Join(rows[:min(maxIdentities, len(rows))], "\n"))
	if rest := rows[min(maxIdentities, len(rows)):]; len(rest) > 0 {
		fold(b, plural(len(rest), "more identity", "more identities"), header+strings.Join(rest, "\n"))
	}
	if !folded {
		return
	}
	var lines []string
	for _, i := range r.Identities {
		for _, side := range []struct {
			word string
			list []string
		}{{"may now also", grants(i.PermissionsGained, i.ManagedGained)}, {"may no longer", grants(i.PermissionsLost, i.ManagedLost)}} {
			if len(side.list) > maxInCell {
				lines = append(lines, fmt.Sprintf("- %s %s:\n  - %s", label(&i), side.word, strings.Join(side.list, "\n  - ")))
			}
		}
	}
	fold(b, "All permissions", strings.Join(lines, "\n"))
}

func label(i *impact.Identity) string {
	text := code(i.Name)
	if i.Kind == impact.Node {
		text += " (machines)"
	}
	switch i.Op {
	case preview.Create:
		text += " **new**"
	case preview.Delete:
		text += " **removed**"
	case preview.Replace:
		text += " **replaced**"
	case preview.Import:
		text += " **imported**"
	}
	return text
}

func grants(list []access.Grant, managed []string) []string {
	var out []string
	// One line for each resource and condition, with all its actions.
	type place struct{ resource, condition string }
	actions := map[place][]string{}
	var places []place
	for _, g := range list {
		p := place{g.Resource, g.Condition}
		if actions[p] == nil {
			places = append(places, p)
		}
		actions[p] = append(actions[p], code(g.Action))
	}
	for _, p := range places {
		text := strings.Join(actions[p], ", ") + " on " + code(p.resource)
		if p.condition != "" {
			text += " if " + code(p.condition)
		}
		out = append(out, text)
	}
	for _, arn := range managed {
		out = append(out, "managed policy "+code(arn[strings.LastIndex(arn, "/")+1:]))
	}
	return out
}

func cell(list []string) string {
	if len(list) == 0 {
		return "–"
	}
	text := strings.Join(list[:min(maxInCell, len(list))], "<br>")
	if more := len(list) - maxInCell; more > 0 {
		text += fmt.Sprintf("<br>and %d more", more)
	}
	return text
}

// trust says who can newly be an identity, and who no longer; the issuer where there are several.
func trust(i *impact.Identity, issuers map[string]bool) string {
	var list []string
	name := func(t access.Trustee) string {
		if t.Issuer != "" && (len(issuers) > 1 || named(i, t)) {
			if who := escape(t.Who); t.Named() == t.Who+" of "+t.Issuer {
				return who + " of " + code(t.Issuer)
			}
			return escape(t.Named())
		}
		return escape(t.Who)
	}
	for _, t := range i.TrustGained {
		list = append(list, "+ "+name(t))
	}
	for _, t := range i.TrustLost {
		list = append(list, "− "+name(t))
	}
	for _, u := range i.Unclear {
		list = append(list, "*"+escape(u)+"*")
	}
	if len(list) == 0 && i.ReachBefore.Pods != i.ReachAfter.Pods {
		if i.ReachAfter.Pods {
			return "+ every pod on these machines"
		}
		return "− every pod on these machines"
	}
	switch {
	case len(list) == 0 && i.Elsewhere:
		return "not part of this preview"
	case len(list) == 0:
		return "as before"
	}
	return cell(list)
}

// named tells whether an issuer is new among those that an existing identity trusts.
func named(i *impact.Identity, t access.Trustee) bool {
	return t.Open == access.None && i.Op != preview.Create && len(i.TrustLost) == 0 && len(i.TrustGained) > 0
}

func session(i *impact.Identity) string {
	if i.SessionBefore == i.SessionAfter {
		return seconds(i.SessionAfter)
	}
	return seconds(i.SessionBefore) + " → " + seconds(i.SessionAfter)
}

func seconds(n int) string {
	switch {
	case n == 0:
		return "–"
	case n%3600 == 0:
		return fmt.Sprintf("%d h", n/3600)
	}
	return fmt.Sprintf("%d min", n/60)
}

// radius is the table of what a thief has, before and after.
func radius(b *strings.Builder, r *impact.Report) {
	var rows []string
	for _, i := range r.Identities {
		was, is := reach(i.ReachBefore, i.Op == preview.Create), reach(i.ReachAfter, i.Op == preview.Delete)
		if was != is {
			rows = append(rows, fmt.Sprintf("| %s | %s | %s |", code(i.Name), was, is))
		}
	}
	if r.PodsBefore != r.PodsAfter {
		rows = append(rows, fmt.Sprintf("| the signing key, or the CA | %s | %s |",
			plural(r.PodsBefore, "identity", "identities"), plural(r.PodsAfter, "identity", "identities")))
	}
	if len(rows) == 0 {
		return
	}
	const header = "| whoever steals | has before | has after |\n|---|---|---|\n"
	fmt.Fprintf(b, "\n%s%s\n", header, strings.Join(rows[:min(maxIdentities, len(rows))], "\n"))
	if rest := rows[min(maxIdentities, len(rows)):]; len(rest) > 0 {
		fold(b, plural(len(rest), "more row", "more rows"), header+strings.Join(rest, "\n"))
	}
}

// reach says what can be reached, in words that tell two actions from a whole service, and a bucket from everything.
func reach(r impact.Reach, none bool) string {
	if none {
		return "nothing"
	}
	var parts []string
	switch {
	case r.EveryAction:
		parts = append(parts, "**every action**")
	default:
		if r.Actions > 0 || len(r.Wide) == 0 {
			parts = append(parts, plural(r.Actions, "action", "actions"))
		}
		if n := len(r.Wide); n > maxInCell {
			parts = append(parts, fmt.Sprintf("all of %d patterns", n))
		} else if n > 0 {
			var list []string
			for _, a := range r.Wide {
				list = append(list, code(a))
			}
			parts = append(parts, "all of "+strings.Join(list, ", "))
		}
	}
	text := strings.Join(parts, " and ") + " on "
	if r.EveryResource {
		text += "**everything**"
	} else {
		text += plural(r.Resources, "resource", "resources")
	}
	switch {
	case r.Unclear && r.Actions+r.Resources+len(r.Wide) == 0 && !r.EveryAction:
		text = "what the preview does not tell"
	case r.Unclear:
		text += ", and what the preview does not tell"
	}
	if r.Managed > 0 {
		text += ", " + plural(r.Managed, "managed policy", "managed policies") + " of unknown content"
	}
	switch {
	case r.Open:
		text += "; **open to strangers**"
	case r.Trusted > 0:
		text += "; trusts " + fmt.Sprint(r.Trusted)
	}
	if r.Pods {
		text += "; **in reach of every pod**"
	}
	return text
}

// ordinary lists all that changes, folded.
func ordinary(b *strings.Builder, r *impact.Report) {
	if len(r.Resources) == 0 {
		return
	}
	list := slices.Clone(r.Resources)
	order := map[preview.Op]int{preview.Delete: 0, preview.Replace: 1, preview.Create: 2, preview.Update: 3}
	slices.SortStableFunc(list, func(x, y impact.Resource) int {
		return cmp.Or(order[x.Op]-order[y.Op], strings.Compare(x.Type, y.Type), strings.Compare(x.Name, y.Name))
	})
	const most = 150
	var lines []string
	for _, c := range list[:min(most, len(list))] {
		line := fmt.Sprintf("- %s %s %s", c.Op, code(c.Type), code(c.Name))
		if len(c.Properties) > 0 && c.Op != preview.Create {
			line += ": " + names(roots(c.Properties))
		}
		lines = append(lines, line)
	}
	if more := len(list) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more", more))
	}
	fold(b, plural(len(list), "changed resource", "changed resources"), strings.Join(lines, "\n"))
}

// roots are the names of the properties that paths begin with, each once, without what follows from others.
func roots(paths []string) []string {
	var list []string
	for _, p := range paths {
		root := p
		if i := strings.IndexAny(p, ".["); i > 0 {
			root = p[:i]
		}
		if root != "tagsAll" && !slices.Contains(list, root) {
			list = append(list, root)
		}
	}
	return list
}

func fold(b *strings.Builder, title, body string) {
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%s\n\n</details>\n", title, body)
}

// code is a value of the preview as inline code: nothing in it is markup, not even in a table.
func code(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '`':
			return '\''
		case r < ' ' || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // control, bidirectional text
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxCode {
		s = string(runes[:maxCode-1]) + "…"
	}
	if strings.TrimSpace(s) == "" {
		s = "-"
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

// escape makes plain text of a sentence with values of the preview in it.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '`':
			b.WriteByte('\'')
		case strings.ContainsRune("\\*_[]<>|#~", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '@':
			b.WriteString("@\u200b") // no mention
		case r == '&':
			b.WriteString("&amp;")
		case r < ' ' || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
