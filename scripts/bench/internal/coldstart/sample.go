// Package coldstart measures how long a new pod takes until AWS STS answers it, in phases.
package coldstart

import (
	"math"
	"time"
)

// Phases are the instants of one run, in seconds since the pod was given to the API server (by this machine's clock);
// NaN where an instant was not observed.
type Phases struct {
	// Created: the API server has taken the pod.
	Created float64
	// Scheduled: a watch showed the pod bound to a node.
	Scheduled float64
	// Network: a watch showed the pod's network and volumes ready (PodReadyToStartContainers). A kubelet may say so only
	// together with the start of the first containers, so it is kept in the raw data and in no summary.
	Network float64
	// Started: the app container ran its first command, by the container's clock. Init containers are over then.
	Started float64
	// Credentials: the gate had answered the last call that the credentials came from. Only the lab knows.
	Credentials float64
	// STS: the gate had answered GetCallerIdentity. Only the lab knows.
	STS float64
	// Answered: the client had printed the answer and ended, by the container's clock.
	Answered float64
}

// Nowhere has no instant.
func Nowhere() Phases {
	n := math.NaN()
	return Phases{n, n, n, n, n, n, n}
}

// StartToAnswer is from the app container's first command to STS's answer, in seconds by one clock: the measure of the
// targets.
func (p Phases) StartToAnswer() float64 { return p.Answered - p.Started }

// Calls counts what one run asked for, until STS had answered.
type Calls struct {
	// Metadata: requests to the instance metadata service of the machine.
	Metadata int
	// STS and CreateSession: calls of the pod.
	STS, CreateSession int
	// Documents: what AWS fetched of the issuer (discovery document and key set) for the pod's token.
	Documents int
	// EdgeMisses: those of them that CloudFront had to get from its origin.
	EdgeMisses int
	// Connections: new connections of the pod, each with handshakes of its own.
	Connections int
	// RoundTrips: the pod's sequential round trips on a network: one for each request, one for each TCP connection and
	// one for each TLS 1.3 handshake. Names are resolved besides.
	RoundTrips int
}

// Sample is one run.
type Sample struct {
	// Case is the index of the case in the plan, Round its round.
	Case   int
	Round  int
	Warmup bool

	Pod, Node string
	Began     time.Time
	Phases
	Attempts int
	Caller   string
	Version  string
	// Load is the machine's load average when the run began, NaN where unknown.
	Load float64
	// Observed tells whether there was an event record; without one Calls is empty.
	Observed bool
	Calls    Calls
	// Err is why the run failed.
	Err error
}
