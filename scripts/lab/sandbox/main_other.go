//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "sandbox: not supported here: %s has no Linux namespaces\n", runtime.GOOS)
	os.Exit(1)
}
