package oidcissuer

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLag holds that what has to wait waits for as long as is left, and not at
// all where nothing was changed.
func TestLag(t *testing.T) {
	ctx := context.Background()
	l := &lag{length: time.Hour}
	require.NoError(t, l.wait(ctx), "nothing was changed")

	require.NoError(t, l.changed(nil))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, l.wait(canceled), context.Canceled, "an hour is left")

	l.since = l.since.Add(-2 * time.Hour)
	require.NoError(t, l.wait(ctx), "it has passed")
}
