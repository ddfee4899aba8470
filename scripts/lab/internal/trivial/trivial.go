// Package trivial is what the Pulumi engine costs by itself: a program of components and resources that do nothing, and
// the provider that makes them, within this process. A program of one's own is measured against it.
package trivial

import (
	"context"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Provider names the provider, as the engine finds it.
const Provider = "trivial"

// Serve runs the provider until ctx ends and returns what PULUMI_DEBUG_PROVIDERS has to say of it.
func Serve(ctx context.Context) (attach string, err error) {
	cancel := make(chan bool)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Cancel: cancel, Init: func(server *grpc.Server) error {
		pulumirpc.RegisterResourceProviderServer(server, &provider{})
		return nil
	}})
	if err != nil {
		return "", fmt.Errorf("the trivial provider: %w", err)
	}
	context.AfterFunc(ctx, func() { close(cancel) })
	return fmt.Sprintf("%s:%d", Provider, handle.Port), nil
}

// SizeVariable has the program's Size, as JSON.
const SizeVariable = "LAB_TRIVIAL_SIZE"

// Size says how much the program makes: groups, each of so many components and resources, and resources beside them.
type Size struct {
	Groups, Components, Resources, Beside int
}

// Program returns a program of a size.
func Program(size Size) pulumi.RunFunc {
	groups, components, resources, beside := size.Groups, size.Components, size.Resources, size.Beside
	return func(ctx *pulumi.Context) error {
		for i := range beside {
			if err := register(ctx, fmt.Sprintf("beside-%d", i)); err != nil {
				return err
			}
		}
		for i := range groups {
			var parents []*component
			for k := range components {
				parents = append(parents, &component{})
				if err := ctx.RegisterComponentResource(Provider+":index:Component", fmt.Sprintf("group-%d-%d", i, k), parents[k]); err != nil {
					return err
				}
			}
			for k := range resources {
				if err := register(ctx, fmt.Sprintf("resource-%d-%d", i, k), pulumi.Parent(parents[k%components])); err != nil {
					return err
				}
			}
			for _, parent := range parents {
				if err := ctx.RegisterResourceOutputs(parent, pulumi.Map{}); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

type component struct{ pulumi.ResourceState }

type resource struct{ pulumi.CustomResourceState }

func register(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) error {
	return ctx.RegisterResource(Provider+":index:Resource", name, pulumi.Map{"name": pulumi.String(name)}, &resource{}, opts...)
}

// provider makes a resource by taking its inputs for its outputs.
type provider struct {
	pulumirpc.UnimplementedResourceProviderServer
}

func (*provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "1.0.0"}, nil
}

func (*provider) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.GetNews()}, nil
}

func (*provider) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (*provider) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, AcceptResources: true, SupportsPreview: true}, nil
}

func (*provider) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.GetNews()}, nil
}

func (*provider) Diff(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (*provider) Create(_ context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	return &pulumirpc.CreateResponse{Id: r.GetProperties().GetFields()["name"].GetStringValue(), Properties: r.GetProperties()}, nil
}

func (*provider) Delete(context.Context, *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Attach is how the engine takes over a provider that runs already.
func (*provider) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}
