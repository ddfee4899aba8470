//go:build !linux

package main

// maxrssPerMiB is how many of getrusage's units of memory make a MiB: macOS counts bytes.
const maxrssPerMiB = 1 << 20
