package main

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"k3s-aws-auth/scripts/lab/internal/program"
)

// progress shows how many resources the engine has done, and passes on what the program logs for its user.
type progress struct {
	bar *progressbar.ProgressBar
	out io.Writer
}

func newProgress(out *os.File, label string) *progress {
	throttle := 5 * time.Second
	if term.IsTerminal(int(out.Fd())) {
		throttle = 100 * time.Millisecond
	}
	return &progress{out: out, bar: progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(label),
		progressbar.OptionSetItsString("resources"),
		progressbar.OptionShowCount(),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionThrottle(throttle),
	)}
}

// and returns a watcher that shows progress and then calls another one.
func (p *progress) and(next program.Watcher) program.Watcher {
	return func(e apitype.EngineEvent) {
		switch {
		case e.ResOutputsEvent != nil:
			_ = p.bar.Add(1)
		case e.DiagnosticEvent != nil && (e.DiagnosticEvent.Severity == "warning" || e.DiagnosticEvent.Severity == "info"):
			if message := strings.TrimSpace(e.DiagnosticEvent.Message); message != "" && !e.DiagnosticEvent.Ephemeral {
				_ = p.bar.Clear()
				_, _ = io.WriteString(p.out, message+"\n")
			}
		}
		if next != nil {
			next(e)
		}
	}
}

func (p *progress) end() {
	_ = p.bar.Finish()
	_, _ = io.WriteString(p.out, "\n")
}
