package coldstart

import (
	"slices"
	"strings"

	"k3s-aws-auth/scripts/bench/internal/stats"
	"k3s-aws-auth/scripts/internal/labs"
)

// Count is how often a burst asked for something.
type Count struct {
	// What is "sts:AssumeRoleWithWebIdentity", "metadata", "issuer documents", ...
	What  string `json:"what"`
	Calls int    `json:"calls"`
	// Refused are those of them that had an error.
	Refused int `json:"refused"`
	// Peak is the largest number of calls within one second.
	Peak int `json:"peakPerSecond"`
}

// Tally counts the calls of a burst's pods, and what AWS fetched meanwhile, by kind. namespace and prefix are those of
// the pods; requests to the metadata service count whoever made them, since they do not tell.
func Tally(events []labs.Event, namespace, prefix string) []Count {
	counts := map[string]*Count{}
	times := map[string][]float64{}
	for _, e := range events {
		var what string
		switch {
		case e.Service == metadataService:
			what = "metadata service"
		case isDocument(e):
			what = "issuer documents, fetched by AWS"
			if e.Details["cache"] != "" {
				what += " from the edge: " + strings.ToLower(e.Details["cache"])
			}
		case strings.HasPrefix(e.Source, "pod/"+namespace+"/"+prefix):
			what = e.Service + ":" + e.Action
		default:
			continue
		}
		c := counts[what]
		if c == nil {
			c = &Count{What: what}
			counts[what] = c
		}
		c.Calls++
		if e.Status >= 400 {
			c.Refused++
		}
		times[what] = append(times[what], float64(e.Time.UnixNano())/1e9)
	}
	out := []Count{}
	for what, c := range counts {
		c.Peak = stats.PeakRate(times[what], 1)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Count) int { return strings.Compare(a.What, b.What) })
	return out
}
