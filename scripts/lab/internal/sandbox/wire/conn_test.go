//go:build unix

package wire_test

import (
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

func pair(t *testing.T) (a, b *wire.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	conns := make([]*wire.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		conns[i], err = wire.NewConn(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	return conns[0], conns[1]
}

// Messages with and without files, small and larger than the socket's buffer, sent by many at once, arrive whole and
// with their own files.
func TestMessagesKeepTheirFiles(t *testing.T) {
	a, b := pair(t)
	const senders, each = 8, 20
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				id := uint64(s*each + i + 1)
				r, w, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				text := strings.Repeat("x", int(id)*2000)
				var files []*os.File
				if id%2 == 0 {
					files = append(files, r)
					go func() {
						_, _ = io.WriteString(w, text[:id])
						_ = w.Close()
					}()
				}
				if err := a.Send(wire.Request{ID: id, Name: text}, files...); err != nil {
					t.Error(err)
				}
				_ = r.Close()
			}
		})
	}
	seen := map[uint64]bool{}
	for range senders * each {
		var m wire.Request
		files, err := b.Receive(&m)
		require.NoError(t, err)
		require.False(t, seen[m.ID])
		seen[m.ID] = true
		require.Len(t, m.Name, int(m.ID)*2000)
		if m.ID%2 == 1 {
			require.Empty(t, files)
			continue
		}
		require.Len(t, files, 1)
		data, err := io.ReadAll(files[0])
		require.NoError(t, err)
		require.Len(t, data, int(m.ID))
		require.NoError(t, files[0].Close())
	}
	wg.Wait()
	require.NoError(t, a.Close())
	_, err := b.Receive(&wire.Request{})
	require.ErrorIs(t, err, io.EOF)
}

func TestLimits(t *testing.T) {
	a, _ := pair(t)
	files := make([]*os.File, 17)
	for i := range files {
		files[i] = os.Stdin
	}
	require.ErrorContains(t, a.Send(wire.Request{}, files...), "17 files are more than")
}
