// Command pulumi-language-go lets the Pulumi CLI run this project's program where the real Go language host is not
// installed: in the tests of the preview workflow and when previews are recorded. It serves the engine's language
// protocol and runs stacks.Run in its own process, as the Automation API does with an inline program. REVIEW_EDITS
// (comma-separated names of edits, see the package edits) stands for what a fork may have changed in its code.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"k3s-aws-auth/scripts/review/internal/recorder/edits"
	"k3s-aws-auth/stacks"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-go:", err)
		os.Exit(1)
	}
}

// serve prints the port that it listens on, which is how the engine finds a language host, and serves until it is killed.
func serve() error {
	program, err := edits.Apply(stacks.Run, os.Getenv("REVIEW_EDITS"))
	if err != nil {
		return err
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Init: func(srv *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(srv, &host{program: program})
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	program pulumi.RunFunc
}

// GetRequiredPackages answers with none: the plugins are those of PULUMI_HOME, found when the program asks for them.
func (*host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

// GetRequiredPlugins answers with none, as above.
func (*host) GetRequiredPlugins(context.Context, *pulumirpc.GetRequiredPluginsRequest) (*pulumirpc.GetRequiredPluginsResponse, error) {
	return &pulumirpc.GetRequiredPluginsResponse{}, nil
}

// GetPluginInfo names no version, so that none is compared.
func (*host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{}, nil
}

// InstallDependencies has nothing to install: the program is compiled in.
func (*host) InstallDependencies(*pulumirpc.InstallDependenciesRequest, pulumirpc.LanguageRuntime_InstallDependenciesServer) error {
	return nil
}

// Run runs the program. An error of the program is part of the answer, as the protocol asks.
func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	info := pulumi.RunInfo{
		MonitorAddr:      req.GetMonitorAddress(),
		Config:           req.GetConfig(),
		ConfigSecretKeys: req.GetConfigSecretKeys(),
		Project:          req.GetProject(),
		Stack:            req.GetStack(),
		Parallel:         req.GetParallel(),
		DryRun:           req.GetDryRun(),
		Organization:     req.GetOrganization(),
	}
	if len(os.Args) > 1 {
		info.EngineAddr = os.Args[len(os.Args)-1]
	}
	program, err := pulumi.NewContext(ctx, info)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	if err := pulumi.RunWithContext(program, h.program); err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	return &pulumirpc.RunResponse{}, nil
}
