//go:build unix

package ec2

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWildcard(t *testing.T) {
	for _, x := range []struct {
		pattern, s string
		match      bool
	}{
		{"ubuntu/*-24.04-*", "ubuntu/noble-24.04-amd64", true}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"*", "", true}, {"", "", true}, {"", "a", false},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {"a", "A", false},
	} {
		require.Equal(t, x.match, wildcard(x.pattern, x.s), "%q on %q", x.pattern, x.s)
	}
}

func FuzzWildcard(f *testing.F) {
	f.Add("a*b?", "axxbc")
	f.Add(`\`, `\`)
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if strings.Count(pattern, "*") > 4 || len(s) > 200 {
			t.Skip()
		}
		got := wildcard(pattern, s) // and does not panic
		if !strings.ContainsAny(pattern, `*?\`) {
			require.Equal(t, pattern == s, got)
		}
		require.True(t, wildcard("*", s))
	})
}

// watched hands out connections whose IP TTL can be read.
type watched struct {
	net.Listener
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (l *watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		l.mu.Lock()
		l.conns = append(l.conns, tcp)
		l.mu.Unlock()
	}
	return c, err
}

func (l *watched) ttl(t *testing.T) (ttl int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, err := l.conns[len(l.conns)-1].SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { ttl, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL) }))
	require.NoError(t, err)
	return ttl
}

func TestServeMetadataSetsTTL(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &watched{Listener: inner}
	hops := 1
	done := make(chan error, 1)
	go func() {
		done <- ServeMetadata(l, func() int { return hops }, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, l.ttl(t))
		}))
	}()
	ask := func(method string) string {
		req, err := http.NewRequest(method, "http://"+inner.Addr().String()+"/latest/api/token", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, "1", ask(http.MethodPut))
	require.Equal(t, "64", ask(http.MethodGet), "on the same connection")
	hops = 2
	require.Equal(t, "2", ask(http.MethodPut))
	require.NoError(t, inner.Close())
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("ServeMetadata did not end with its listener")
	}
}

func TestQueueKeepsOrderAndWaitsForMachines(t *testing.T) {
	q := newQueue()
	for i := range 100 {
		q.add(func(m Machines) { m.Terminate(fmt.Sprint(i)) })
	}
	m := &counting{done: make(chan struct{})}
	q.set(m)
	select {
	case <-m.done:
	case <-time.After(5 * time.Second):
		t.Fatal("not all calls arrived")
	}
	for i, id := range m.ids {
		require.Equal(t, fmt.Sprint(i), id)
	}
}

// slow takes its time to end a machine.
type slow struct {
	counting
	ended atomic.Bool
}

func (s *slow) Terminate(string) {
	time.Sleep(100 * time.Millisecond)
	s.ended.Store(true)
}

func TestSettleWaitsForMachines(t *testing.T) {
	m := &slow{}
	s := &Service{queue: newQueue()}
	s.SetMachines(m)
	s.queue.add(func(m Machines) { m.Terminate("i-1") })
	s.Settle(t.Context())
	require.True(t, m.ended.Load())

	// Without machines nothing is ever told, and the caller's time is what ends the wait.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	(&Service{queue: newQueue()}).Settle(ctx)
}

type counting struct {
	ids  []string
	done chan struct{}
}

func (c *counting) Run(Instance) {}
func (c *counting) Terminate(id string) {
	if c.ids = append(c.ids, id); len(c.ids) == 100 {
		close(c.done)
	}
}
func (c *counting) Associate(string, string)                {}
func (c *counting) Disassociate(string)                     {}
func (c *counting) MetadataOptions(string, MetadataOptions) {}
