package build

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress says what is being built: in place on a terminal, and elsewhere a line at the start and then every ten
// seconds. The first line stands there before anything has happened.
type progress struct {
	out      io.Writer
	label    string
	terminal bool
	started  time.Time

	mu       sync.Mutex
	total    int
	packages int
	modules  int
	now      string
	shown    time.Time
	stop     chan struct{}
	stopped  chan struct{}
}

// every is how often a progress is shown that nobody sees change.
const every = 10 * time.Second

func newProgress(out io.Writer, label string) *progress {
	p := &progress{out: out, label: label, started: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	p.show()
	go func() {
		defer close(p.stopped)
		interval := every
		if p.terminal {
			interval = time.Second
		}
		for tick := time.NewTicker(interval); ; {
			select {
			case <-p.stop:
				tick.Stop()
				return
			case <-tick.C:
				p.mu.Lock()
				p.show()
				p.mu.Unlock()
			}
		}
	}()
	return p
}

// say tells what is going on that is neither a download nor a compilation.
func (p *progress) say(what string) { p.change(func() { p.now = what }) }

// of sets how many packages there are, compiled or not.
func (p *progress) of(total int) { p.change(func() { p.total, p.now = total, "compiling" }) }

// downloaded counts a module.
func (p *progress) downloaded(module string) {
	p.change(func() { p.modules++; p.now = "downloading " + module })
}

// compiled counts a package.
func (p *progress) compiled(pkg string) { p.change(func() { p.packages++; p.now = pkg }) }

func (p *progress) change(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
	if p.terminal && time.Since(p.shown) > 100*time.Millisecond {
		p.show()
	}
}

// end writes the last line.
func (p *progress) end() {
	close(p.stop)
	<-p.stopped
	p.now = "done"
	p.show()
	if p.terminal {
		fmt.Fprintln(p.out)
	}
}

func (p *progress) show() {
	p.shown = time.Now()
	line := fmt.Sprintf("%s: %ds", p.label, int(time.Since(p.started).Seconds()))
	if p.modules > 0 {
		line += fmt.Sprintf(", %d modules downloaded", p.modules)
	}
	if p.total > 0 {
		line += fmt.Sprintf(", %d of at most %d packages compiled", p.packages, p.total)
	}
	if p.now != "" {
		line += ", " + p.now
	}
	if p.terminal {
		// As wide as any terminal, and the rest of a longer line before it wiped away.
		if len(line) > 119 {
			line = line[:119]
		}
		fmt.Fprintf(p.out, "\r%s\x1b[K", line)
		return
	}
	fmt.Fprintln(p.out, line)
}
