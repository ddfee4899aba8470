package deployer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"k3s-aws-auth/stacks"
	"k3s-aws-auth/stacks/config"
)

// Types lists the types of AWS's resources that a stack makes and the functions that it asks and that need permissions,
// each once, sorted: what a first preview shows. The values are the stack's configuration as the engine hands it to the
// program: full keys, with objects as JSON. Nothing is called.
func Types(ctx context.Context, stack, account string, values map[string]string) ([]string, error) {
	g := &graph{account: account, types: map[string]bool{}}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	pulumirpc.RegisterResourceMonitorServer(server, g)
	pulumirpc.RegisterEngineServer(server, g)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = pulumi.RunErr(stacks.Run, func(info *pulumi.RunInfo) {
		info.Project, info.Stack, info.DryRun, info.Parallel = config.Project, stack, true, 16
		info.MonitorAddr, info.EngineAddr = listener.Addr().String(), listener.Addr().String()
		info.Config = values
	})
	server.Stop()
	if err := errors.Join(err, <-served); err != nil {
		return nil, fmt.Errorf("the stack's resources: %w", err)
	}
	return slices.Sorted(maps.Keys(g.types)), nil
}

// graph is an engine that takes down what is registered, in a preview in which nothing is known that a provider computes.
type graph struct {
	pulumirpc.UnimplementedResourceMonitorServer
	pulumirpc.UnimplementedEngineServer

	account string
	mu      sync.Mutex
	types   map[string]bool
	root    string
}

// free are functions that need no permission.
var free = []string{"aws:index/getCallerIdentity:getCallerIdentity", "aws:index/getPartition:getPartition"}

func (g *graph) seen(token string) {
	if strings.HasPrefix(token, "aws:") && !slices.Contains(free, token) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.types[token] = true
	}
}

// SupportsFeature answers the engine's features that the program needs.
func (g *graph) SupportsFeature(_ context.Context, req *pulumirpc.SupportsFeatureRequest) (*pulumirpc.SupportsFeatureResponse, error) {
	return &pulumirpc.SupportsFeatureResponse{HasSupport: slices.Contains([]string{"secrets", "resourceReferences", "aliasSpecs", "resourceHooks"}, req.GetId())}, nil
}

// RegisterResourceHook takes a hook; a preview calls none.
func (g *graph) RegisterResourceHook(context.Context, *pulumirpc.RegisterResourceHookRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// RegisterResource takes a resource down.
func (g *graph) RegisterResource(_ context.Context, req *pulumirpc.RegisterResourceRequest) (*pulumirpc.RegisterResourceResponse, error) {
	g.seen(req.GetType())
	id := ""
	if strings.HasPrefix(req.GetType(), "pulumi:providers:") {
		id = plugin.UnknownStringValue
	}
	return &pulumirpc.RegisterResourceResponse{Urn: fmt.Sprintf("urn:pulumi:preview::%s::%s::%s", config.Project, req.GetType(), req.GetName()),
		Id: id, Object: req.GetObject()}, nil
}

// RegisterResourceOutputs takes what a component says of itself.
func (g *graph) RegisterResourceOutputs(context.Context, *pulumirpc.RegisterResourceOutputsRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Invoke answers what shapes names and policies.
func (g *graph) Invoke(_ context.Context, req *pulumirpc.ResourceInvokeRequest) (*pulumirpc.ResourceInvokeResponse, error) {
	g.seen(req.GetTok())
	partition := map[string]string{"partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
	answers := map[string]map[string]string{
		free[0]: {"accountId": g.account, "arn": "arn:aws:iam::" + g.account + ":root", "userId": g.account},
		free[1]: partition,
	}
	answer := resource.PropertyMap{}
	for k, v := range answers[req.GetTok()] {
		answer[resource.PropertyKey(k)] = resource.NewProperty(v)
	}
	if req.GetTok() == "aws:ssm/getParameter:getParameter" { // an image
		answer["value"] = resource.NewProperty("ami-0123456789abcdef0")
	}
	object, err := plugin.MarshalProperties(answer, plugin.MarshalOptions{})
	return &pulumirpc.ResourceInvokeResponse{Return: object}, err
}

// Log hears nothing.
func (g *graph) Log(context.Context, *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// GetRootResource is the stack.
func (g *graph) GetRootResource(context.Context, *pulumirpc.GetRootResourceRequest) (*pulumirpc.GetRootResourceResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &pulumirpc.GetRootResourceResponse{Urn: g.root}, nil
}

// SetRootResource is told the stack.
func (g *graph) SetRootResource(_ context.Context, req *pulumirpc.SetRootResourceRequest) (*pulumirpc.SetRootResourceResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.root = req.GetUrn()
	return &pulumirpc.SetRootResourceResponse{}, nil
}
