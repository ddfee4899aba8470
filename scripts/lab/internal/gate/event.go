package gate

import (
	"sync"
	"time"
)

// Event is one entry of the CloudTrail-like record.
type Event struct {
	Sequence  int       `json:"sequence"`
	Time      time.Time `json:"time"`
	RequestID string    `json:"requestId,omitempty"`
	// Service is the signing name, Action the operation.
	Service string `json:"service"`
	Region  string `json:"region,omitempty"`
	Action  string `json:"action"`
	// Caller is the ARN of the caller, a service's name, or "anonymous".
	Caller      string `json:"caller"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	Resource    string `json:"resource,omitempty"`
	Status      int    `json:"status,omitempty"`
	ErrorCode   string `json:"errorCode,omitempty"`
	Message     string `json:"errorMessage,omitempty"`
	// Source is "host", "node/<name>" or "pod/<namespace>/<name>"; SourceIP the address the gate saw.
	Source    string `json:"source,omitempty"`
	SourceIP  string `json:"sourceIp,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	// Seconds the call took, by the monotonic clock.
	Seconds float64 `json:"seconds,omitempty"`
	// NewConnection marks the first request of a TLS connection: its client had to shake hands first.
	NewConnection bool `json:"newConnection,omitempty"`
	// Details are service-specific: the sub and iss of a web identity, the serial of a certificate, a cache's verdict.
	Details map[string]string `json:"details,omitempty"`
}

// maxEvents bounds the record; the oldest go first.
const maxEvents = 20000

type record struct {
	mu       sync.Mutex
	events   []Event
	sequence int
}

// Record adds an event. The gate does so for API calls; services with sites of their own (an edge) call it themselves.
func (g *Gate) Record(e Event) {
	if e.Time.IsZero() {
		e.Time = g.Now()
	}
	g.record.mu.Lock()
	defer g.record.mu.Unlock()
	g.record.sequence++
	e.Sequence = g.record.sequence
	if len(g.record.events) >= maxEvents {
		g.record.events = append([]Event(nil), g.record.events[maxEvents/10:]...)
	}
	g.record.events = append(g.record.events, e)
}

// Events returns a copy of the record, oldest first.
func (g *Gate) Events() []Event { return g.EventsSince(0) }

// EventsSince returns the events with a sequence number greater than the given one, oldest first.
func (g *Gate) EventsSince(sequence int) []Event {
	g.record.mu.Lock()
	defer g.record.mu.Unlock()
	out := make([]Event, 0, len(g.record.events))
	for _, e := range g.record.events {
		if e.Sequence > sequence {
			out = append(out, e)
		}
	}
	return out
}
