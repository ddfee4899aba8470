//go:build !linux

package sandbox

import (
	"context"
	"fmt"
	"runtime"
)

// Start fails with ErrUnsupported: only Linux has the namespaces that a sandbox is made of.
func Start(context.Context, Options) (*Sandbox, error) {
	return nil, fmt.Errorf("%w: %s has no Linux namespaces", ErrUnsupported, runtime.GOOS)
}
