package coldstart

import (
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/labs"
)

// Actions that credentials come from.
const (
	metadataService = "imds"
	webIdentity     = "AssumeRoleWithWebIdentity"
	createSession   = "CreateSession"
	callerIdentity  = "GetCallerIdentity"
)

// isOf tells whether a pod made a call: calls through TLS know the pod, those to the metadata service its address. Where
// the address is not the pod's own (a machine that translates it), podIP is empty and every request to the metadata
// service counts.
func isOf(e labs.Event, pod, podIP string) bool {
	if e.Service == metadataService {
		return podIP == "" || e.SourceIP == podIP
	}
	return e.Source == "pod/"+pod
}

// isDocument tells whether AWS fetched an issuer's document: from the bucket by itself or through the edge.
func isDocument(e labs.Event) bool {
	if e.Action == "ViewerRequest" {
		return true
	}
	return e.Source == "aws" && e.Service == "s3"
}

// isCredentials tells the calls whose answers are credentials.
func isCredentials(e labs.Event) bool {
	switch e.Action {
	case webIdentity, createSession:
		return true
	}
	dir, role := path.Split(e.Resource)
	return e.Service == metadataService && e.Action == http.MethodGet && strings.HasSuffix(dir, "/iam/security-credentials/") && role != ""
}

// Read finds a run's instants and counts in the lab's record of the time of the run. pod is namespace/name.
func Read(events []labs.Event, pod, podIP string, began time.Time) (credentials, sts float64, calls Calls) {
	credentials, sts = math.NaN(), math.NaN()
	since := func(t time.Time) float64 { return t.Sub(began).Seconds() }
	answered := slices.IndexFunc(events, func(e labs.Event) bool {
		return isOf(e, pod, podIP) && e.Action == callerIdentity && e.Status == http.StatusOK
	})
	if answered >= 0 {
		// What was answered later is not on the way to the answer. The record is in the order of the answers.
		sts = since(events[answered].End())
		events = events[:answered+1]
	}
	for _, e := range events {
		switch {
		case isDocument(e):
			calls.Documents++
			if cache := e.Details["cache"]; cache != "" && cache != "Hit" {
				calls.EdgeMisses++
			}
			continue
		case !isOf(e, pod, podIP):
			continue
		case e.Service == metadataService:
			calls.Metadata++
			calls.Connections++ // the service closes each connection
			calls.RoundTrips += 2
		default:
			calls.RoundTrips++
			if e.NewConnection {
				calls.Connections++
				calls.RoundTrips += 2
			}
			switch {
			case e.Service == "sts":
				calls.STS++
			case e.Action == createSession:
				calls.CreateSession++
			}
		}
		if isCredentials(e) && e.Status/100 == 2 {
			credentials = since(e.End())
		}
	}
	return credentials, sts, calls
}
