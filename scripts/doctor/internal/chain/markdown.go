package chain

import (
	"fmt"
	"strings"
)

// Markdown is the table of findings as docs/findings.md shows it.
func Markdown() string {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;")
	b.WriteString("| finding | | expected | likeliest cause | what mends it, or shows what to mend |\n|---|---|---|---|---|\n")
	for _, k := range kinds {
		because := cell.Replace(k.causes[0].Why)
		if id := k.causes[0].Error; id != "" {
			because += fmt.Sprintf(" ([%s](causes.md#%s))", id, id)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", k.id, k.severity, cell.Replace(k.expected), because, strings.ReplaceAll(k.do, "|", `\|`))
	}
	return b.String() + "\n"
}
