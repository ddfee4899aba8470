package plan

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInterleave(t *testing.T) {
	runs := Interleave(4, 2, 30, 1)
	require.Len(t, runs, 4*32)
	require.Equal(t, runs, Interleave(4, 2, 30, 1), "the seed decides")
	require.NotEqual(t, runs, Interleave(4, 2, 30, 2))
	orders := map[[4]int]bool{}
	for i := 0; i < len(runs); i += 4 {
		seen := [4]bool{}
		var order [4]int
		for k, r := range runs[i : i+4] {
			require.Equal(t, i < 8, r.Warmup, "warm-up runs come first")
			require.Equal(t, runs[i].Round, r.Round)
			require.False(t, seen[r.Case], "every case once a round")
			seen[r.Case], order[k] = true, r.Case
		}
		orders[order] = true
	}
	require.Greater(t, len(orders), 10, "rounds have orders of their own")
	require.Equal(t, 1, runs[8].Round, "measured rounds count from 1")
	require.Empty(t, Interleave(3, 0, 0, 1))
}
