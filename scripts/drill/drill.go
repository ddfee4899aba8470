package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Drill breaks one thing and says what should come of it.
type Drill struct {
	// ID is what --only takes; Article its number in the published comparison (docs/experiments.md), empty where it has none.
	ID, Article string
	Title       string
	// Does says what will be done, for the question before it.
	Does string
	// Expect says what should come of it in a setup, or why it does not run there.
	Expect Rule
	// Told says what doctor's first finding should be during the failure.
	Told Told
	// ExpectSDK replaces Expect where the drills' pods run a client on an SDK (sdkImage) that does otherwise than the CLI.
	ExpectSDK Rule
	// Note is what a reader of the result should know.
	Note string
	// Pulled gives the new pod an image that has to be pulled with the identity's role.
	Pulled bool
	// Stranger makes the new pod one without the identity, Ordinary one whose identity is to be injected.
	Stranger, Ordinary bool
	// Outage means that the API server does not answer during the failure: pods are looked at afterwards.
	Outage bool
	// Inject breaks it, and tells the recovery how to undo each step before the step. A nil Inject breaks nothing: what is
	// tried is whether the new pod gets in.
	Inject func(ctx context.Context, t *Target, r *Recovery) error
	// Absent finds out from the target that a drill has nothing to break there; empty where it has.
	Absent func(ctx context.Context, t *Target) (string, error)
}

// likeness is that of the pod that is made during the failure.
func (d *Drill) likeness() likeness {
	switch {
	case d.Stranger:
		return stranger
	case d.Ordinary:
		return ordinary
	}
	return same
}

// Status is how a drill went in a setup.
type Status string

// The states of a result.
const (
	AsExpected Status = "as expected"
	Different  Status = "different"
	NotThere   Status = "n/a"
	Skipped    Status = "skipped"
	Broken     Status = "error"
)

// ViewResult is what came of a view.
type ViewResult struct {
	Outcome Outcome `json:"outcome"`
	Calls   int     `json:"calls"`
	Failed  int     `json:"failed"`
	// Error is the last error, verbatim.
	Error string `json:"error,omitempty"`
	// Recovery is the time from the start of the recovery to the first success, in seconds; 0 where nothing had failed.
	Recovery float64 `json:"recoverySeconds,omitempty"`
	// Restart is true where the view did not heal and its pod was made anew; Recovery then counts to the new pod's success.
	Restart bool `json:"restart,omitempty"`
}

// Result is one drill in one setup.
type Result struct {
	Drill   string `json:"drill"`
	Article string `json:"article,omitempty"`
	Title   string `json:"title"`
	Setup   string `json:"setup"`
	// Attack marks drills that break nothing: their new pod is an intruder.
	Attack bool   `json:"attack,omitempty"`
	Status Status `json:"status"`
	// Reason says why there is no outcome.
	Reason      string              `json:"reason,omitempty"`
	Injected    time.Time           `json:"injected,omitzero"`
	Recovering  time.Time           `json:"recovering,omitzero"`
	Recovered   time.Time           `json:"recovered,omitzero"`
	Views       map[View]ViewResult `json:"views,omitempty"`
	Expected    Expectation         `json:"expected"`
	Differences []string            `json:"differences,omitempty"`
	Errors      []ErrorLine         `json:"errors,omitempty"`
	Note        string              `json:"note,omitempty"`
	// Doctor is what doctor said during the failure, where it was asked.
	Doctor  *Diagnosis `json:"doctor,omitempty"`
	Seconds float64    `json:"seconds"`
}

// Session watches the existing pod of a target through all its drills.
type Session struct {
	t        *Target
	existing *Pod
}

// ensure makes an existing pod where there is none that does well.
func (s *Session) ensure(ctx context.Context) error {
	if s.existing != nil {
		if healed, err := s.existing.heals(ctx, time.Now(), Kept, Fresh); healed || err != nil {
			return err
		}
		if err := s.renew(ctx); err != nil {
			return err
		}
		return s.existing.healthy(ctx, s.existing.made, s.t.Pace.Start, Kept, Fresh)
	}
	var err error
	if s.existing, err = s.t.start(ctx, same, Kept, Fresh); err != nil {
		return fmt.Errorf("the existing pod: %w", err)
	}
	return s.existing.healthy(ctx, s.existing.made, s.t.Pace.Start, Kept, Fresh)
}

func (s *Session) renew(ctx context.Context) error {
	if err := s.existing.remove(ctx); err != nil {
		return err
	}
	var err error
	s.existing, err = s.t.start(ctx, same, Kept, Fresh)
	return err
}

// Close removes the existing pod.
func (s *Session) Close(ctx context.Context) error { return s.existing.remove(ctx) }

// Run carries out a drill. It always recovers, also when ctx ends on the way. An error means that the drill itself did
// not work, or that the recovery left something behind.
func (s *Session) Run(ctx context.Context, d *Drill) (result *Result, err error) {
	begin := time.Now()
	r := &Result{Drill: d.ID, Article: d.Article, Title: d.Title, Setup: s.t.Setup.Name, Note: d.Note, Attack: d.Stranger, Views: map[View]ViewResult{}}
	defer func() { r.Seconds = time.Since(begin).Round(100 * time.Millisecond).Seconds() }()
	expected, why := d.Expect(s.t.Setup)
	if why != "" {
		r.Status, r.Reason = NotThere, why
		return r, nil
	}
	if d.ExpectSDK != nil && s.t.Image == sdkImage {
		expected, _ = d.ExpectSDK(s.t.Setup)
	}
	r.Expected = expected
	if d.Absent != nil {
		reason, err := d.Absent(ctx, s.t)
		if err != nil || reason != "" {
			r.Status, r.Reason = NotThere, reason
			return r, err
		}
	}
	if err := s.ensure(ctx); err != nil {
		return r.broken(fmt.Errorf("before the drill: %w", err))
	}
	recovery := &Recovery{}
	defer func() { err = errors.Join(err, recovery.Run(ctx)) }() // for the ways out before the recovery below
	if d.Inject != nil {
		if err := d.Inject(ctx, s.t, recovery); err != nil {
			if errors.Is(err, errByHand) {
				r.Status, r.Reason = Skipped, err.Error()
				return r, nil
			}
			return r.broken(fmt.Errorf("injection: %w", err))
		}
	}
	r.Injected = time.Now()
	fresh, startErr := s.t.startOf(ctx, d, d.likeness())
	defer func() { err = errors.Join(err, fresh.remove(ctx)) }()
	failed := startSample(startErr)
	if err := s.observe(ctx, d, r, fresh, failed); err != nil {
		return r.broken(err)
	}

	if s.t.Doctor != nil {
		if r.Doctor, err = s.t.diagnose(ctx, d.Told(s.t.Setup)); err != nil {
			return r.broken(err)
		}
	}

	r.Recovering = time.Now()
	if err := recovery.Run(ctx); err != nil {
		return r.broken(err)
	}
	r.Recovered = time.Now()
	if err := s.look(ctx, fresh); err != nil {
		return r.broken(err)
	}
	s.conclude(r, fresh, failed)
	if err := s.heal(ctx, d, r, fresh); err != nil {
		return r.broken(err)
	}
	r.Differences = compare(r)
	r.Status = AsExpected
	if len(r.Differences) > 0 {
		r.Status = Different
	}
	return r, nil
}

func (r *Result) broken(err error) (*Result, error) {
	r.Status, r.Reason = Broken, err.Error()
	return r, err
}

// startSample is the failed call of a pod that could not even be made.
func startSample(err error) []Sample {
	if err == nil {
		return nil
	}
	return []Sample{{View: New, Began: time.Now(), Text: err.Error()}}
}

// look reads the calls of both pods. Right after an outage the API server may not answer for logs at once.
func (s *Session) look(ctx context.Context, fresh *Pod) error {
	deadline := time.Now().Add(s.t.Pace.Start)
	for {
		err := s.existing.look(ctx)
		if err == nil && fresh != nil {
			err = fresh.look(ctx)
		}
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, s.t.Pace.Poll); err != nil {
			return err
		}
	}
}

// observe waits until every view has shown what is expected of it, or has had its time.
func (s *Session) observe(ctx context.Context, d *Drill, r *Result, fresh *Pod, failed []Sample) error {
	observed := r.Injected.Add(s.t.Pace.Observe)
	if d.Outage {
		return sleep(ctx, 2*s.t.Pace.Observe+time.Second)
	}
	deadline := r.Injected.Add(s.t.Pace.Patience)
	for {
		if err := s.look(ctx, fresh); err != nil {
			return err
		}
		done := true
		for _, v := range views {
			done = done && settled(s.samples(r, fresh, failed, v, time.Time{}), r.Expected.Of(v))
		}
		if done && time.Now().After(observed) || time.Now().After(deadline) {
			return nil
		}
		if err := sleep(ctx, s.t.Pace.Poll); err != nil {
			return err
		}
	}
}

// settled tells whether calls have shown what is expected: one failure, or two good calls.
func settled(samples []Sample, want Outcome) bool {
	if want == Works {
		return len(samples) >= 2
	}
	return judge(samples) == want
}

// samples are a view's calls during the failure.
func (s *Session) samples(r *Result, fresh *Pod, failed []Sample, v View, to time.Time) []Sample {
	if v != New {
		return between(s.existing.samples, v, r.Injected, to)
	}
	if fresh == nil {
		return failed
	}
	return between(fresh.samples, v, fresh.made.Add(-time.Second), to) // events have whole seconds
}

// conclude writes down what came of the failure.
func (s *Session) conclude(r *Result, fresh *Pod, failed []Sample) {
	var all []Sample
	for _, v := range views {
		samples := s.samples(r, fresh, failed, v, r.Recovering)
		o := ViewResult{Outcome: judge(samples), Calls: len(samples)}
		for _, sample := range samples {
			if !sample.OK {
				o.Failed++
				o.Error = sample.Text
			}
		}
		r.Views[v] = o
		all = append(all, samples...)
	}
	slices.SortStableFunc(all, func(a, b Sample) int { return a.Began.Compare(b.Began) })
	r.Errors = errorLines(all)
}

// heal measures how long each failed view takes to do well again, and makes the pods anew that do not by themselves.
func (s *Session) heal(ctx context.Context, d *Drill, r *Result, fresh *Pod) error {
	for _, v := range views {
		o := r.Views[v]
		if o.Outcome != Fails || d.Inject == nil {
			continue
		}
		pod := s.existing
		if v == New {
			pod = fresh
		}
		healed := false
		if pod != nil {
			var err error
			if healed, err = pod.heals(ctx, r.Recovered, v); err != nil {
				return err
			}
		}
		if !healed {
			o.Restart = pod != nil
			var err error
			if pod, err = s.again(ctx, d, v, fresh); err != nil {
				return err
			}
			if v == New {
				defer func() { _ = pod.remove(ctx) }()
			}
			if err := pod.healthy(ctx, pod.made, s.t.Pace.Start, v); err != nil {
				return fmt.Errorf("after the recovery: %w", err)
			}
		}
		if first, ok := firstOK(between(pod.samples, v, r.Recovering, time.Time{})); ok {
			o.Recovery = first.Began.Sub(r.Recovering).Round(10 * time.Millisecond).Seconds()
		}
		r.Views[v] = o
	}
	return nil
}

// again makes a view's pod anew.
func (s *Session) again(ctx context.Context, d *Drill, v View, fresh *Pod) (*Pod, error) {
	if v != New {
		err := s.renew(ctx)
		return s.existing, err
	}
	if err := fresh.remove(ctx); err != nil {
		return nil, err
	}
	like := same
	if d.Ordinary {
		like = ordinary
	}
	return s.t.startOf(ctx, d, like)
}
