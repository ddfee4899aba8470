// Command pulumi-analyzer-policy-review is the review as a policy pack of the Pulumi engine:
//
//	go -C scripts build -o ~/.pulumi/bin/ ./review/pulumi-analyzer-policy-review    (or any other directory on the PATH)
//	pulumi up --policy-pack scripts/review/pulumi-analyzer-policy-review
//
// The engine starts it because of the runtime in PulumiPolicy.yaml beside this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"k3s-aws-auth/scripts/review/internal/analyzer"
)

func main() {
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(s *grpc.Server) error {
		pulumirpc.RegisterAnalyzerServer(s, &analyzer.Server{Export: export})
		return nil
	}})
	if err == nil {
		fmt.Println(handle.Port) // which is how the engine finds it
		err = <-handle.Done
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-analyzer-policy-review:", err)
		os.Exit(1)
	}
}

// export asks the Pulumi CLI on the PATH, with the login and the backend of whoever runs the update.
func export(ctx context.Context, stack string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "pulumi", "stack", "export", "--stack", stack, "--non-interactive").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("pulumi stack export --stack %s: %w: %s", stack, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}
