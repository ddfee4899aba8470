// Package graph previews a stack without an engine, a provider or AWS: it runs the program and takes down what it registers.
package graph

import (
	"context"
	"errors"
	"fmt"
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

// Resource is what a program registers. Custom ones are made by a provider, others are components.
type Resource struct {
	Type, Name string
	// ID is what others refer to it by; nobody else gave it.
	ID string
	// Within are the types of the components that it is part of, the nearest first.
	Within []string
	Custom bool
	Inputs resource.PropertyMap
}

// Graph is what a first preview shows.
type Graph struct {
	Resources []Resource
	// Calls are the functions that the program asks, by their tokens.
	Calls []string
	// Outputs are the stack's, as far as a preview knows them.
	Outputs resource.PropertyMap
}

// Of returns the graph of a stack. The values are the stack's configuration as the engine hands it to the program: full keys,
// with objects as JSON; secrets are the keys of those that are. Nothing is called; in the place of
// an existing cluster is one that has nothing. Beside ids, by which resources refer to each other, nothing is known that a
// provider computes.
func Of(ctx context.Context, stack, account string, values map[string]string, secrets ...string) (*Graph, error) {
	values, leave, err := elsewhere(values)
	if err != nil {
		return nil, err
	}
	defer leave()
	m := &monitor{account: account, within: map[string][]string{}}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	pulumirpc.RegisterResourceMonitorServer(server, m)
	pulumirpc.RegisterEngineServer(server, m)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var refused error // as the program says it; the SDK adds lines of its own
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		refused = stacks.Run(ctx)
		return refused
	}, func(info *pulumi.RunInfo) {
		info.Project, info.Stack, info.DryRun, info.Parallel = config.Project, stack, true, 16
		info.MonitorAddr, info.EngineAddr = listener.Addr().String(), listener.Addr().String()
		info.Config, info.ConfigSecretKeys = values, secrets
	})
	server.Stop()
	if err = errors.Join(err, <-served); refused != nil {
		return nil, refused
	} else if err != nil {
		return nil, fmt.Errorf("the stack's resources: %w", err)
	}
	slices.SortFunc(m.graph.Resources, func(a, b Resource) int { return strings.Compare(a.Type+" "+a.Name, b.Type+" "+b.Name) })
	slices.Sort(m.graph.Calls)
	return &m.graph, nil
}

// monitor is the engine of such a preview.
type monitor struct {
	pulumirpc.UnimplementedResourceMonitorServer
	pulumirpc.UnimplementedEngineServer

	account string
	mu      sync.Mutex
	graph   Graph
	within  map[string][]string // by URN: its own type, and those around it
	root    string
}

// SupportsFeature answers the engine's features that the program needs.
func (m *monitor) SupportsFeature(_ context.Context, req *pulumirpc.SupportsFeatureRequest) (*pulumirpc.SupportsFeatureResponse, error) {
	return &pulumirpc.SupportsFeatureResponse{HasSupport: slices.Contains([]string{"secrets", "resourceReferences", "aliasSpecs", "resourceHooks"}, req.GetId())}, nil
}

// RegisterResourceHook takes a hook; a preview calls none.
func (m *monitor) RegisterResourceHook(context.Context, *pulumirpc.RegisterResourceHookRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// RegisterResource takes a resource down.
func (m *monitor) RegisterResource(_ context.Context, req *pulumirpc.RegisterResourceRequest) (*pulumirpc.RegisterResourceResponse, error) {
	inputs, err := plugin.UnmarshalProperties(req.GetObject(), plugin.MarshalOptions{KeepUnknowns: true})
	if err != nil {
		return nil, err
	}
	urn := fmt.Sprintf("urn:pulumi:preview::%s::%s::%s", config.Project, req.GetType(), req.GetName())
	m.mu.Lock()
	around := m.within[req.GetParent()]
	m.within[urn] = append([]string{req.GetType()}, around...)
	id := ""
	if req.GetCustom() {
		id = req.GetType() + "/" + req.GetName()
	}
	m.graph.Resources = append(m.graph.Resources,
		Resource{Type: req.GetType(), Name: req.GetName(), ID: id, Within: around, Custom: req.GetCustom(), Inputs: inputs})
	m.mu.Unlock()
	return &pulumirpc.RegisterResourceResponse{Urn: urn, Id: id, Object: req.GetObject()}, nil
}

// RegisterResourceOutputs takes what a component says of itself, and keeps what the stack says.
func (m *monitor) RegisterResourceOutputs(_ context.Context, req *pulumirpc.RegisterResourceOutputsRequest) (*emptypb.Empty, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !strings.Contains(req.GetUrn(), "::pulumi:pulumi:Stack::") {
		return &emptypb.Empty{}, nil
	}
	outputs, err := plugin.UnmarshalProperties(req.GetOutputs(), plugin.MarshalOptions{KeepUnknowns: true})
	m.graph.Outputs = outputs
	return &emptypb.Empty{}, err
}

// Invoke answers what shapes names and policies.
func (m *monitor) Invoke(_ context.Context, req *pulumirpc.ResourceInvokeRequest) (*pulumirpc.ResourceInvokeResponse, error) {
	m.mu.Lock()
	m.graph.Calls = append(m.graph.Calls, req.GetTok())
	m.mu.Unlock()
	partition := map[string]string{"partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
	answers := map[string]map[string]string{
		"aws:index/getCallerIdentity:getCallerIdentity": {"accountId": m.account, "arn": "arn:aws:iam::" + m.account + ":root", "userId": m.account},
		"aws:index/getPartition:getPartition":           partition,
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
func (m *monitor) Log(context.Context, *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// GetRootResource is the stack.
func (m *monitor) GetRootResource(context.Context, *pulumirpc.GetRootResourceRequest) (*pulumirpc.GetRootResourceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &pulumirpc.GetRootResourceResponse{Urn: m.root}, nil
}

// SetRootResource is told the stack.
func (m *monitor) SetRootResource(_ context.Context, req *pulumirpc.SetRootResourceRequest) (*pulumirpc.SetRootResourceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root = req.GetUrn()
	return &pulumirpc.SetRootResourceResponse{}, nil
}
