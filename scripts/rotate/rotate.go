package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/scripts/rotate/internal/stackedit"
	"k3s-aws-auth/scripts/rotate/internal/walk"
)

// mode is how far a command goes.
type mode struct {
	plan, step, edit bool
	yes, danger      bool
	review           string
}

// poll is how often the world is looked at while something is waited for.
const poll = 5 * time.Second

// patience is how long a server may be out of reach: machines of one's own restart within it.
const patience = 10 * time.Minute

// rotation is one walk of a set.
type rotation struct {
	*place
	mode
	kind  *kind
	goal  walk.Goal
	fresh map[string]member
	in    io.Reader
}

// observe reads everything that a step is decided by.
func (r *rotation) observe(ctx context.Context) (walk.Observed, error) {
	var o walk.Observed
	file, err := stackfile.Read(r.file())
	if err != nil {
		return o, err
	}
	o.File = r.kind.has(file.Config)
	updates, err := r.history(ctx, r.kind.deployed)
	if err != nil {
		return o, err
	}
	o.Read(updates)
	w, err := r.look(ctx)
	if err != nil {
		return o, err
	}
	if err := r.kind.check(file.Config); err != nil {
		return o, err
	}
	return o, r.kind.observe(ctx, w, &o)
}

// walk goes on until the goal is reached, or as far as the mode says.
func (r *rotation) walk(ctx context.Context) error {
	said, stepped := "", false
	say := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != said {
			said = text
			fmt.Fprintln(r.out, text)
		}
	}
	var blind time.Time
	for {
		o, err := r.observe(ctx)
		if err == nil && o.Blind == "" {
			blind = time.Time{}
		} else if blind.IsZero() {
			blind = time.Now()
		}
		lost := r.plan || time.Since(blind) > patience
		if err != nil {
			if lost || !unreachable(err) {
				return err
			}
			say("waiting: %v", err)
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		if r.plan && o.Blind == "" {
			r.show(o)
			return nil
		}
		step := walk.Next(r.goal, o)
		if o.Blind != "" && lost && (r.plan || step.Kind == walk.Wait) {
			return errors.New(o.Blind)
		}
		switch step.Kind {
		case walk.Done:
			say("done: %s", step.Why)
			return nil
		case walk.Refuse:
			return errors.New(step.Why)
		case walk.Wait:
			if !step.Until.IsZero() {
				if what := step.Until.String() + step.Why; what != said {
					say("waiting until %s (%s): %s", step.Until.UTC().Format(time.RFC3339), step.Until.Sub(o.Now).Round(time.Second), step.Why)
					said = what // how long it is still shows nothing new
				}
			} else {
				say("waiting: %s", step.Why)
			}
			if r.step || r.edit {
				return nil
			}
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		if stepped {
			say("next, by the same command: %s: %s", step.Set, step.Why)
			return nil
		}
		if step.Kind == walk.Edit {
			say("%s: %s", step.Set, step.Why)
			if err := r.write(step.Set); err != nil {
				return err
			}
			if r.edit {
				say("%s is edited. Commit it, have it applied, and run the same command again", r.file())
				return nil
			}
		} else if r.edit {
			say("%s. It has to be applied first", step.Why)
			return nil
		} else {
			say("%s", step.Why)
		}
		if err := r.apply(ctx); errors.Is(err, errLocked) && !r.step {
			say("waiting: %v", err)
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		stepped = r.step
	}
}

// unreachable tells whether an error is that of the way to a server, or of one that has just started, and not an answer.
func unreachable(err error) bool {
	var way *url.Error
	return errors.As(err, &way) && !errors.Is(err, context.Canceled) || apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err)
}

// write edits the stack's file.
func (r *rotation) write(to walk.Set) error {
	f, err := stackedit.Open(r.file())
	if err != nil {
		return err
	}
	if err := r.kind.write(f, to, r.fresh); err != nil {
		return err
	}
	_, err = f.Save()
	return err
}

// show prints the plan.
func (r *rotation) show(o walk.Observed) {
	fmt.Fprintf(r.out, "%s: deployed is %s; the file says %s\n", r.kind.name, o.Deployed, o.File)
	lines := append(slices.Clone(o.Missing), o.InUse...)
	for _, b := range o.Broken {
		lines = append(lines, b.What)
	}
	for _, line := range lines {
		fmt.Fprintf(r.out, "  now: %s\n", line)
	}
	now, n := o.Now, 0
	for _, step := range walk.Plan(r.goal, o) {
		switch step.Kind {
		case walk.Edit:
			n++
			fmt.Fprintf(r.out, "%d. deploy %s: %s\n   then look until %s\n", n, step.Set, step.Why, r.kind.proof)
		case walk.Apply:
			n++
			fmt.Fprintf(r.out, "%d. deploy the file as it is: %s\n   then look until %s\n", n, step.Why, r.kind.proof)
		case walk.Wait:
			n++
			fmt.Fprintf(r.out, "%d. wait %s: %s\n", n, step.Until.Sub(now).Round(time.Second), step.Why)
			now = step.Until
		default:
			fmt.Fprintf(r.out, "%s: %s\n", step.Kind, step.Why)
		}
	}
}

// preview shows what the review says of an update, and stops one that it calls a danger.
func (p *place) preview(ctx context.Context, m mode, flags ...string) error {
	text, err := p.ask(ctx, append([]string{"preview", "--json", "--show-sames", "--stack", p.stack}, flags...)...)
	if err != nil && len(text) == 0 {
		return err
	}
	dir, temporary := os.MkdirTemp("", "rotate-")
	if temporary != nil {
		return temporary
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "preview.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	// The review is not told since when things are so: the waits are this tool's, which knows of more than the last change.
	args := []string{"--preview", file}
	if !m.danger {
		args = append(args, "--fail-on", "danger")
	}
	review := exec.CommandContext(ctx, m.review, args...)
	if m.review == "" {
		_, scripts, err := labs.Directories()
		if err != nil {
			return err
		}
		review = exec.CommandContext(ctx, "go", append([]string{"run", "./review"}, args...)...)
		review.Dir = scripts
	}
	review.Stdout, review.Stderr = p.out, p.out
	if judged := review.Run(); judged != nil {
		return fmt.Errorf("the review stops this: %w (--accept-danger goes on; the file is edited already)", judged)
	}
	return err
}

func (p *place) up(ctx context.Context, m mode, in io.Reader, flags ...string) error {
	if err := p.preview(ctx, m, flags...); err != nil {
		return err
	}
	if !m.yes {
		if err := confirm(ctx, in, p.out); err != nil {
			return err
		}
	}
	return p.run(ctx, append([]string{"up", "--yes", "--skip-preview", "--non-interactive", "--stack", p.stack}, flags...)...)
}

func (r *rotation) apply(ctx context.Context) error { return r.up(ctx, r.mode, r.in) }

// confirm asks whether to go on.
func confirm(ctx context.Context, in io.Reader, out io.Writer) error {
	fmt.Fprint(out, "Apply this? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-answer:
		if strings.EqualFold(line, "y") || strings.EqualFold(line, "yes") {
			return nil
		}
		return errors.New("not wanted: nothing was applied. The same command goes on from here, and --abort goes back")
	}
}

// pause waits until the world is looked at again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(poll):
		return nil
	}
}
