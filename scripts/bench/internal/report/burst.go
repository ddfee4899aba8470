package report

import (
	"io"
	"math"
	"strings"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/stats"
)

// Burst is what a burst of one case did.
type Burst struct {
	Case    string `json:"case"`
	Setup   string `json:"setup"`
	Client  string `json:"client"`
	Helper  string `json:"helper,omitempty"`
	Keys    string `json:"keys,omitempty"`
	Version string `json:"clientVersion"`
	// Pods at once; Minutes is how often a CronJob started them, 0 without one.
	Pods    int `json:"pods"`
	Minutes int `json:"minutes,omitempty"`
	Failed  int `json:"failed"`
	// LastError is that of the last pod that failed.
	LastError string `json:"lastError,omitempty"`
	// StartToAnswer and ApplyToAnswer have the pods' seconds; the second is empty with a CronJob.
	StartToAnswer []float64 `json:"startToAnswer"`
	ApplyToAnswer []float64 `json:"applyToAnswer,omitempty"`
	// Counts are known in the lab only.
	Counts []coldstart.Count `json:"counts"`
	Load   float64           `json:"-"`

	runs.Environment `json:"-"`
}

// createSessionQuota is how many calls of CreateSession AWS takes in a second (IAM Roles Anywhere User Guide, quotas).
const createSessionQuota = 10

// WriteBursts writes the bursts' report.
func WriteBursts(out io.Writer, bursts []*Burst) error {
	w := &writer{w: out}
	w.line("# Bursts: many new pods at once\n")
	first := bursts[0]
	where := "a cluster on AWS"
	if first.Where == "lab" {
		where = "**the lab** on one machine. Its pods share the machine's processors, so their times say how much work there is, not how long AWS takes; the counts of calls hold anywhere"
	}
	w.line("Measured on %s.\n", where)
	w.line("%s, %d CPUs, %s; Kubernetes %s; clients %s; commit %s.\n", first.CPU, first.CPUs, first.OS, first.Kubernetes, first.Version, first.Commit)
	w.line("| case | pods | failed | from the app container's start: median | p95 | max | from apply: median | p95 | max |\n|---|---|---|---|---|---|---|---|---|")
	for _, b := range bursts {
		pods := b.Pods
		if b.Minutes > 0 {
			pods *= b.Minutes
		}
		cells := []string{}
		for _, values := range [][]float64{b.StartToAnswer, b.ApplyToAnswer} {
			for _, p := range []float64{0.5, 0.95, 1} {
				cells = append(cells, number(stats.Quantile(values, p), 2))
			}
		}
		w.line("| %s | %d | %d | %s |", b.Case, pods, b.Failed, strings.Join(cells, " | "))
	}
	w.line("\n## Calls\n")
	w.line("| case | what | calls | a pod | refused | most within a second |\n|---|---|---|---|---|---|")
	for _, b := range bursts {
		pods := float64(b.Pods * max(b.Minutes, 1))
		for _, c := range b.Counts {
			w.line("| %s | %s | %d | %s | %d | %d |", b.Case, c.What, c.Calls, number(math.Round(100*float64(c.Calls)/pods)/100, 2), c.Refused, c.Peak)
		}
	}
	w.line("")
	for _, b := range bursts {
		for _, c := range b.Counts {
			if strings.HasSuffix(c.What, ":CreateSession") && c.Peak > createSessionQuota {
				w.line("**%s** asked for %d sessions within one second. AWS takes %d a second in an account and region by default and answers the "+
					"others with `ThrottlingException`, which the lab does not: on AWS pods of such a burst wait and try again.\n", b.Case, c.Peak, createSessionQuota)
			}
		}
	}
	w.line("Requests to the metadata service are counted by machine, not by pod. One pod ran before each burst, so that what AWS caches was " +
		"cached as far as its time allows, unless the case says cold keys.")
	return w.err
}
