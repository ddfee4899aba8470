package main

import "time"

// Pace is how long a drill waits for what.
type Pace struct {
	// Observe is how long calls must go on well for "works".
	Observe time.Duration
	// Patience is how long an expected failure may take to show.
	Patience time.Duration
	// Heal is how long pods get at least to heal by themselves.
	Heal time.Duration
	// Start is how long a pod may take from its creation to its first call.
	Start time.Duration
	// Poll is the pause between looks, Pause the one between calls of a pod.
	Poll, Pause time.Duration
}

// labPace suits a lab: changes there take effect at once. A failure that is expected shows later where a process has to
// lose a lease first (15 s) and to start again on a machine that is busy: Patience is the most that it may take.
var labPace = Pace{Observe: 2 * time.Second, Patience: 2 * time.Minute, Heal: 3 * time.Second, Start: 90 * time.Second,
	Poll: 300 * time.Millisecond, Pause: 500 * time.Millisecond}

// realPace suits AWS, where IAM takes seconds to spread, kubelets a minute to see a changed Secret, and CloudFront minutes.
var realPace = Pace{Observe: 30 * time.Second, Patience: 10 * time.Minute, Heal: 2 * time.Minute, Start: 3 * time.Minute,
	Poll: 2 * time.Second, Pause: 3 * time.Second}
