package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// MetadataHost is the host of the instance metadata service, for latency rules.
const MetadataHost = "169.254.169.254"

// maxDelay bounds one delay: clients give up after a minute at most.
const maxDelay = 30 * time.Second

// LatencyRule delays what the gate answers under some host names: the lab itself has no network distance.
type LatencyRule struct {
	// Host is a name or a pattern of path.Match, in lower case, in which * also stands for dots: "sts.*.amazonaws.com".
	// The metadata service is 169.254.169.254.
	Host string `json:"host"`
	// ConnectMs is added to each new TLS connection, in milliseconds: the round trips of TCP and TLS.
	ConnectMs float64 `json:"connectMs"`
	// RequestMs is added to each request, in milliseconds: a round trip and the service's own time.
	RequestMs float64 `json:"requestMs"`
}

// latency holds the rules in force; the first that matches a host counts.
type latency struct {
	mu    sync.RWMutex
	rules []LatencyRule
}

// SetLatency replaces the rules; none means no delay. An error names the rule that is malformed, and leaves what was.
func (g *Gate) SetLatency(rules []LatencyRule) error {
	for i, r := range rules {
		if _, err := path.Match(r.Host, ""); err != nil || r.Host == "" || r.Host != strings.ToLower(r.Host) {
			return fmt.Errorf("rule %d: host %q is not a name or pattern in lower case", i, r.Host)
		}
		for _, ms := range []float64{r.ConnectMs, r.RequestMs} {
			if !(ms >= 0 && ms <= float64(maxDelay/time.Millisecond)) {
				return fmt.Errorf("rule %d: %v ms is not a delay of 0 to %d ms", i, ms, maxDelay/time.Millisecond)
			}
		}
	}
	g.latency.mu.Lock()
	defer g.latency.mu.Unlock()
	g.latency.rules = append([]LatencyRule(nil), rules...)
	return nil
}

// Latency returns the rules in force.
func (g *Gate) Latency() []LatencyRule {
	g.latency.mu.RLock()
	defer g.latency.mu.RUnlock()
	return append([]LatencyRule{}, g.latency.rules...)
}

func (g *Gate) latencyOf(host string) LatencyRule {
	g.latency.mu.RLock()
	defer g.latency.mu.RUnlock()
	for _, r := range g.latency.rules {
		if ok, _ := path.Match(r.Host, host); ok {
			return r
		}
	}
	return LatencyRule{}
}

// DelayConnect waits as long as a new connection to a host takes by the rules, or until ctx ends.
func (g *Gate) DelayConnect(ctx context.Context, host string) { wait(ctx, g.latencyOf(host).ConnectMs) }

// DelayRequest waits as long as a request to a host takes by the rules, or until ctx ends.
func (g *Gate) DelayRequest(ctx context.Context, host string) { wait(ctx, g.latencyOf(host).RequestMs) }

func wait(ctx context.Context, ms float64) {
	if ms <= 0 {
		return
	}
	timer := time.NewTimer(time.Duration(ms * float64(time.Millisecond)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// latencyControl shows the rules and replaces them.
func (g *Gate) latencyControl(w http.ResponseWriter, r *http.Request) {
	type rules struct {
		Rules *[]LatencyRule `json:"rules"`
	}
	if r.Method == http.MethodPost {
		var in rules
		if !controlRead(w, r, &in) {
			return
		}
		err := errors.New(`"rules" is missing: an empty list removes all`)
		if in.Rules != nil {
			err = g.SetLatency(*in.Rules)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	inForce := g.Latency()
	controlJSON(w, rules{&inForce})
}
