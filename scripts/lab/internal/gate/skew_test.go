package gate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/sigv4"
)

func TestSkewIsThatOfTheLongestPrefix(t *testing.T) {
	g := &Gate{}
	require.Zero(t, g.SkewOf("pod/default/a"))
	g.SetSkew("pod/", 5*time.Hour)
	g.SetSkew("pod/default/", time.Minute)
	require.Equal(t, time.Minute, g.SkewOf("pod/default/a"))
	require.Equal(t, 5*time.Hour, g.SkewOf("pod/other/a"))
	require.Zero(t, g.SkewOf("host"))
	g.SetSkew("pod/default/", 0)
	require.Equal(t, 5*time.Hour, g.SkewOf("pod/default/a"))
}

func TestSkewMovesDatesAndNotSignatures(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := &Call{Time: now, skew: 5 * time.Hour}
	s := &sigv4.Signature{Time: now}
	require.NoError(t, s.CheckTime(now))
	require.ErrorIs(t, c.dated(s).CheckTime(now), sigv4.ErrSkewed)
	require.Equal(t, now, s.Time, "the signature is verified with the date that was signed")
	require.Equal(t, now.Add(-5*time.Hour), c.callerTime(now))
}
