package engine

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// enginePoll is how often a plugin looks whether the Pulumi engine still lives.
const enginePoll = 15 * time.Second

// Serve runs pkg as a provider plugin: it listens on a free loopback port, writes the port to out, as the Pulumi engine
// expects of a plugin's standard output, and serves until the engine is gone. args are the plugin's arguments, of which
// the last that is no flag is the engine's address.
func Serve[C any](pkg Package[C], args []string, out io.Writer) error {
	address := ""
	for _, a := range args {
		if a != "" && a[0] != '-' {
			address = a
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan bool)
	go func() {
		<-ctx.Done()
		close(stop)
	}()
	if address != "" {
		if err := rpcutil.Healthcheck(ctx, address, enginePoll, cancel); err != nil {
			return fmt.Errorf("watching the Pulumi engine at %s: %w", address, err)
		}
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: stop,
		Init: func(srv *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(srv, NewServer(pkg, address))
			return nil
		},
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%d\n", handle.Port); err != nil {
		return err
	}
	return <-handle.Done
}
