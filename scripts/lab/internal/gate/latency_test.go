package gate

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
)

func TestLatencyRules(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		name string
		rule LatencyRule
		text string
	}{
		{"no host", LatencyRule{RequestMs: 1}, "host"},
		{"malformed pattern", LatencyRule{Host: "[a"}, "host"},
		{"upper case", LatencyRule{Host: "STS.amazonaws.com"}, "lower case"},
		{"negative", LatencyRule{Host: "*", RequestMs: -1}, "-1 ms"},
		{"too long", LatencyRule{Host: "*", ConnectMs: 30001}, "30001 ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.ErrorContains(t, l.SetLatency([]LatencyRule{c.rule}), c.text)
			require.Empty(t, l.Latency())
		})
	}
	require.NoError(t, l.SetLatency([]LatencyRule{{Host: "sts.*.amazonaws.com", RequestMs: 1}, {Host: "*.amazonaws.com", RequestMs: 2}}))
	require.Equal(t, 1.0, l.latencyOf("sts.eu-central-1.amazonaws.com").RequestMs, "the first match counts")
	require.Equal(t, 2.0, l.latencyOf("a.s3.eu-central-1.amazonaws.com").RequestMs)
	require.Zero(t, l.latencyOf("oidc.example.com"))
}

func TestLatencyDelaysCalls(t *testing.T) {
	l := newLab(t)
	client := sts.NewFromConfig(l.admin())
	call := func() time.Duration {
		started := time.Now()
		_, err := client.GetCallerIdentity(context.Background(), nil)
		require.NoError(t, err)
		return time.Since(started)
	}
	require.NoError(t, l.SetLatency([]LatencyRule{{Host: "sts.*.amazonaws.com", ConnectMs: 60, RequestMs: 40}}))
	require.GreaterOrEqual(t, call(), 100*time.Millisecond, "connection and request")
	second := call()
	require.GreaterOrEqual(t, second, 40*time.Millisecond, "request")
	events := l.Events()
	require.True(t, events[len(events)-2].NewConnection)
	require.False(t, events[len(events)-1].NewConnection)
	require.GreaterOrEqual(t, events[len(events)-1].Seconds, 0.04, "the delay is part of what the call took")
	require.NoError(t, l.SetLatency(nil))
	require.Less(t, call(), 40*time.Millisecond)
}

func TestDelayEndsWithItsContext(t *testing.T) {
	l := newLab(t)
	require.NoError(t, l.SetLatency([]LatencyRule{{Host: "*", RequestMs: 20000}}))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	started := time.Now()
	l.DelayRequest(ctx, "sts.amazonaws.com")
	require.Less(t, time.Since(started), 10*time.Second)
}

func TestLatencyControl(t *testing.T) {
	l := newLab(t)
	control := httptest.NewServer(l.Control())
	defer control.Close()
	post := func(body string) int {
		resp, err := http.Post(control.URL+"/_lab/latency", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 200, post(`{"rules":[{"host":"sts.*.amazonaws.com","connectMs":4,"requestMs":40}]}`))
	require.Equal(t, 400, post(`{"rules":[{"host":""}]}`))
	require.Equal(t, 400, post(`{"rule":[]}`))
	require.Equal(t, 400, post(`{}`))
	resp, err := http.Get(control.URL + "/_lab/latency")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var got struct{ Rules []LatencyRule }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
	require.Equal(t, []LatencyRule{{Host: "sts.*.amazonaws.com", ConnectMs: 4, RequestMs: 40}}, got.Rules)
	require.Equal(t, 200, post(`{"rules":[]}`))
	require.Empty(t, l.Latency())
}
