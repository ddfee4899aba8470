package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// recoveryTimeout bounds each step back. It is apart from the drill's own context: an interrupt ends the drill and never
// the recovery.
const recoveryTimeout = 3 * time.Minute

// Recovery holds the steps that undo an injection. A drill adds each before it does what the step undoes, so that nothing
// is ever left behind; a step must therefore do no harm where its injection never happened.
type Recovery struct {
	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	undo func(context.Context) error
}

// Add notes how to undo what comes next.
func (r *Recovery) Add(name string, undo func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, step{name, undo})
}

// Run undoes everything, the last step first, each exactly once, whatever ctx says. A step that fails is tried again
// twice, and does not keep the others from running. Errors name what is left to be done by hand.
func (r *Recovery) Run(ctx context.Context) error {
	r.mu.Lock()
	steps := r.steps
	r.steps = nil
	r.mu.Unlock()
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if err := steps[i].run(context.WithoutCancel(ctx)); err != nil {
			errs = append(errs, fmt.Errorf("recovery %q failed, do it by hand: %w", steps[i].name, err))
		}
	}
	return errors.Join(errs...)
}

// retryPause is the pause between tries of a step.
var retryPause = 2 * time.Second

func (s step) run(ctx context.Context) error {
	var err error
	for try := range 3 {
		if try > 0 {
			time.Sleep(retryPause)
		}
		once, cancel := context.WithTimeout(ctx, recoveryTimeout)
		err = s.undo(once)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}
