package main

import (
	"fmt"
	"os"
	"time"
	_ "unsafe" // for go:linkname
)

// clockVariable shifts the API server's clock as far as ServiceAccount tokens are concerned: a duration such as 5h. A
// process has no clock of its own to set, and tokens are where a server's wrong clock meets AWS.
const clockVariable = "LAB_TOKEN_CLOCK_OFFSET"

// tokenNow is the clock by which the API server writes and reads the times in its tokens.
//
//go:linkname tokenNow k8s.io/kubernetes/pkg/serviceaccount.now
var tokenNow func() time.Time

// shiftClock sets tokenNow as clockVariable says.
func shiftClock() error {
	text := os.Getenv(clockVariable)
	if text == "" {
		return nil
	}
	offset, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%s: %w", clockVariable, err)
	}
	tokenNow = func() time.Time { return time.Now().Add(offset) }
	return nil
}
