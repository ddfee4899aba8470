package gate

import (
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/sigv4"
)

// SetSkew lets AWS see callers as if their clocks were off by d: those whose source (pod/<namespace>/<name>,
// node/<name>, host) begins with a prefix. 0 ends it. The lab's machines share one clock, so the gate takes the dates of
// their signatures, and gives the dates of its answers, in the shifted clock; signatures stay valid. What AWS itself
// measures (the life of a token, a certificate or a session) goes by the gate's clock.
func (g *Gate) SetSkew(prefix string, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.skews == nil {
		g.skews = map[string]time.Duration{}
	}
	if d == 0 {
		delete(g.skews, prefix)
		return
	}
	g.skews[prefix] = d
}

// SkewOf is the skew of a source: that of the longest prefix.
func (g *Gate) SkewOf(source string) time.Duration {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var skew time.Duration
	longest := -1
	for prefix, d := range g.skews {
		if strings.HasPrefix(source, prefix) && len(prefix) > longest {
			skew, longest = d, len(prefix)
		}
	}
	return skew
}

// dated is the signature as it is dated by the caller's clock, for checks of its time alone.
func (c *Call) dated(s *sigv4.Signature) *sigv4.Signature {
	shifted := *s
	shifted.Time = s.Time.Add(c.skew)
	return &shifted
}

// callerTime is a time of the gate's as the caller must be told it, so that it lies as far from the caller's clock as it
// would if that clock were shifted.
func (c *Call) callerTime(t time.Time) time.Time { return t.Add(-c.skew) }
