package build

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar counts compiled packages: as they come on a terminal, every ten seconds elsewhere.
func bar(out io.Writer, label string, total int) *progressbar.ProgressBar {
	throttle := 10 * time.Second
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		throttle = 100 * time.Millisecond
	}
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(label),
		progressbar.OptionSetItsString("packages"),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(throttle),
		progressbar.OptionOnCompletion(func() { _, _ = io.WriteString(out, "\n") }),
	)
}
