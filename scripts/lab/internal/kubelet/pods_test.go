package kubelet

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPersistWaitsForAnAPIServerAndForNothingElse(t *testing.T) {
	calls := 0
	got, err := persist(t.Context(), func() (int, error) {
		if calls++; calls == 1 {
			return 0, syscall.ECONNREFUSED
		}
		return calls, nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, got)

	other := errors.New("another error")
	calls = 0
	_, err = persist(t.Context(), func() (int, error) { calls++; return 0, other })
	require.ErrorIs(t, err, other)
	require.Equal(t, 1, calls)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = persist(ctx, func() (int, error) { return 0, syscall.ECONNREFUSED })
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
