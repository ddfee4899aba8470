package coldstart

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/labs"
)

var began = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

func event(at float64, service, action, source string, more ...func(*labs.Event)) labs.Event {
	e := labs.Event{Time: began.Add(time.Duration(at * float64(time.Second))), Service: service, Action: action, Source: source, Status: 200, Seconds: 0.5}
	for _, f := range more {
		f(&e)
	}
	return e
}

func fresh(e *labs.Event) { e.NewConnection = true }
func of(resource, ip string) func(*labs.Event) {
	return func(e *labs.Event) { e.Resource, e.SourceIP = resource, ip }
}
func status(code int) func(*labs.Event) { return func(e *labs.Event) { e.Status = code } }
func cache(verdict string) func(*labs.Event) {
	return func(e *labs.Event) { e.Details = map[string]string{"cache": verdict} }
}

const (
	me       = "pod/default/bench-1"
	other    = "pod/default/uploader"
	role     = "/latest/meta-data/iam/security-credentials/node"
	security = "/latest/meta-data/iam/security-credentials/"
)

func TestRead(t *testing.T) {
	identity := event(3, "sts", callerIdentity, me, fresh)
	for _, c := range []struct {
		name        string
		ip          string
		events      []labs.Event
		credentials float64
		sts         float64
		calls       Calls
	}{
		{"metadata service", "10.42.1.7", []labs.Event{
			event(1, "imds", "PUT", "node/i-1", of("/latest/api/token", "10.42.1.7")),
			event(1, "imds", "GET", "node/i-1", of(role, "10.42.1.9")),
			event(1.5, "imds", "GET", "node/i-1", of(security, "10.42.1.7")),
			event(2, "imds", "GET", "node/i-1", of(role, "10.42.1.7")),
			event(2, "sts", callerIdentity, other),
			identity,
			event(4, "s3", "PutObject", me, fresh),
		}, 2.5, 3.5, Calls{Metadata: 3, STS: 1, Connections: 4, RoundTrips: 9}},
		{"metadata service behind a machine that translates addresses", "", []labs.Event{
			event(1, "imds", "PUT", "node/i-1", of("/latest/api/token", "10.0.0.1")), identity,
		}, math.NaN(), 3.5, Calls{Metadata: 1, STS: 1, Connections: 2, RoundTrips: 5}},
		{"web identity with keys to fetch through the edge", "10.42.1.7", []labs.Event{
			event(1, "cloudfront", "ViewerRequest", "", cache("Hit")),
			event(1.2, "cloudfront", "ViewerRequest", "", cache("Miss")),
			event(1, "sts", webIdentity, me, fresh),
			identity,
		}, 1.5, 3.5, Calls{STS: 2, Documents: 2, EdgeMisses: 1, Connections: 2, RoundTrips: 6}},
		{"web identity with keys from the bucket", "10.42.1.7", []labs.Event{
			event(1, "s3", "GetObject", "aws"), event(1, "s3", "GetObject", "aws"), event(1, "s3", "GetObject", "host"),
			event(1, "sts", webIdentity, me, fresh), identity,
		}, 1.5, 3.5, Calls{STS: 2, Documents: 2, Connections: 2, RoundTrips: 6}},
		{"a refused try before", "10.42.1.7", []labs.Event{
			event(1, "sts", webIdentity, me, fresh, status(403)), event(2, "sts", webIdentity, me), identity,
		}, 2.5, 3.5, Calls{STS: 3, Connections: 2, RoundTrips: 7}},
		{"certificate", "10.42.1.7", []labs.Event{
			event(1, "rolesanywhere", createSession, me, fresh, status(201)), identity,
		}, 1.5, 3.5, Calls{STS: 1, CreateSession: 1, Connections: 2, RoundTrips: 6}},
		{"no answer", "10.42.1.7", []labs.Event{event(1, "sts", callerIdentity, me, fresh, status(403))},
			math.NaN(), math.NaN(), Calls{STS: 1, Connections: 1, RoundTrips: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			credentials, sts, calls := Read(c.events, "default/bench-1", c.ip, began)
			same(t, c.credentials, credentials)
			same(t, c.sts, sts)
			require.Equal(t, c.calls, calls)
		})
	}
}

func same(t *testing.T, want, got float64) {
	t.Helper()
	if math.IsNaN(want) {
		require.True(t, math.IsNaN(got), got)
		return
	}
	require.InDelta(t, want, got, 1e-9)
}
