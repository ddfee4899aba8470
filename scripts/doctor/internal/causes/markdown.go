package causes

import (
	"fmt"
	"strings"
)

// Markdown is the catalogue as docs/causes.md shows it.
func Markdown() string {
	var b strings.Builder
	cell := func(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
	for _, c := range catalogue {
		fmt.Fprintf(&b, "### %s\n\n", c.ID)
		fmt.Fprintf(&b, "> %s\n\n", strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(c.Says))
		fmt.Fprintf(&b, "Said by %s (%s). More: [%s](%s).\n\n", c.From, c.Source, c.Page, c.Page)
		b.WriteString("| likeliest first | how to tell | what mends it |\n|---|---|---|\n")
		for _, r := range c.Reasons {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(r.Why), cell(r.Look), cell(r.Do))
		}
		b.WriteString("\n")
	}
	return b.String()
}
