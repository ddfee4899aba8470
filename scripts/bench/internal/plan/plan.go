// Package plan puts the runs of a benchmark in order.
package plan

import "math/rand/v2"

// Run is one run of a case, given by its index.
type Run struct {
	// Round counts from 1; each round has every case once.
	Round  int
	Case   int
	Warmup bool
}

// Interleave returns warmups and then rounds rounds of all cases. Each round has its own random order, so that whatever
// changes on a machine over time, and whatever one run leaves to the next, is spread over all cases. The same seed gives
// the same order.
func Interleave(cases, warmups, rounds int, seed uint64) []Run {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a repeatable order, not a secret
	var runs []Run
	for i := range warmups + rounds {
		round := Run{Round: i - warmups + 1}
		if i < warmups {
			round = Run{Round: i + 1, Warmup: true}
		}
		for _, c := range r.Perm(cases) {
			round.Case = c
			runs = append(runs, round)
		}
	}
	return runs
}
