package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The waits start short, so that a local endpoint is not slowed down, and grow to a pace that AWS does not throttle.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// ErrTimeout is what Wait returns when its time is over; it is wrapped with what was waited for.
var ErrTimeout = errors.New("timed out")

// Wait calls ready, with growing pauses, until it says true, fails, or limit is over.
func Wait(ctx context.Context, limit time.Duration, what string, ready func(context.Context) (bool, error)) error {
	deadline := time.Now().Add(limit)
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		ok, err := ready(ctx)
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		if time.Now().Add(pause).After(deadline) {
			return fmt.Errorf("waiting for %s: %w after %s", what, ErrTimeout, limit)
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

// Retry calls do until it succeeds, fails with an error that transient does not recognise, or limit is over; then it
// returns the last error.
func Retry(ctx context.Context, limit time.Duration, transient func(error) bool, do func(context.Context) error) error {
	deadline := time.Now().Add(limit)
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		err := do(ctx)
		if err == nil || !transient(err) || time.Now().Add(pause).After(deadline) {
			return err
		}
		if sleep(ctx, pause) != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
