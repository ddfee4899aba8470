package labs

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Event is an entry of a lab's record of calls, as CloudTrail would have it, with what CloudTrail does not have: requests
// to the metadata service (service imds) and to CloudFront's edge (action ViewerRequest).
type Event struct {
	Sequence  int       `json:"sequence"`
	Time      time.Time `json:"time"` // when the call began
	Service   string    `json:"service"`
	Action    string    `json:"action"`
	Caller    string    `json:"caller"`
	Resource  string    `json:"resource"`
	Status    int       `json:"status"`
	ErrorCode string    `json:"errorCode"`
	Message   string    `json:"errorMessage"`
	// Source is "host", "node/<name>", "pod/<namespace>/<name>" or, for what AWS itself fetches, "aws".
	Source        string            `json:"source"`
	SourceIP      string            `json:"sourceIp"`
	UserAgent     string            `json:"userAgent"`
	Seconds       float64           `json:"seconds"`
	NewConnection bool              `json:"newConnection"`
	Details       map[string]string `json:"details"`
}

// End is when the call was answered.
func (e Event) End() time.Time { return e.Time.Add(time.Duration(e.Seconds * float64(time.Second))) }

// Events returns the record after a sequence number, oldest first.
func (l *Lab) Events(ctx context.Context, after int) ([]Event, error) {
	var out []Event
	return out, l.Call(ctx, http.MethodGet, "/_lab/events?since="+strconv.Itoa(after), nil, &out)
}

// LatencyRule delays what the lab's AWS answers: each new TLS connection and each request to hosts of a pattern, in
// milliseconds. The first rule that matches counts.
type LatencyRule struct {
	Host      string  `json:"host"`
	ConnectMs float64 `json:"connectMs"`
	RequestMs float64 `json:"requestMs"`
}

// SetLatency replaces the lab's rules; none ends all delays.
func (l *Lab) SetLatency(ctx context.Context, rules []LatencyRule) error {
	if rules == nil {
		rules = []LatencyRule{}
	}
	return l.Call(ctx, http.MethodPost, "/_lab/latency", map[string]any{"rules": rules}, nil)
}

// FlushKeys makes STS forget the issuers' keys, so that the next token makes it fetch them.
func (l *Lab) FlushKeys(ctx context.Context) error {
	return l.Call(ctx, http.MethodPost, "/_lab/jwks", map[string]any{"flush": true}, nil)
}
