// Package enginetest runs programs of Go functions with the real Pulumi CLI, for tests of what the engine does: a
// language host and a provider within this process, and a state in a directory of its own.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"k3s-aws-auth/scripts/internal/labs"
)

// ErrNoCLI says that there is no Pulumi CLI on this machine.
var ErrNoCLI = errors.New("no Pulumi CLI: neither on the PATH nor among the lab's tools (run `make lab` once)")

// Find returns the path of a Pulumi CLI: the lab's, else the one on the PATH.
func Find() (string, error) {
	if built := labs.Built("pulumi-cli-*/bin/pulumi"); built != "" {
		return built, nil
	}
	path, err := exec.LookPath("pulumi")
	if err != nil {
		return "", ErrNoCLI
	}
	return path, nil
}

// Engine is a project with a stack "test", a program and a provider that stands for "fake" and "aws".
type Engine struct {
	cli, dir string
	env      []string
	client   string
	attach   string

	mu      sync.Mutex
	program pulumi.RunFunc
	world   map[string]map[string]any
}

// Project is the project's name.
const Project = "enginetest"

// New makes the stack in dir. It lives until ctx ends.
func New(ctx context.Context, dir string) (*Engine, error) {
	cli, err := Find()
	if err != nil {
		return nil, err
	}
	e := &Engine{cli: cli, dir: dir, world: map[string]map[string]any{}}
	for _, d := range []string{"home", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	project := "name: " + Project + "\nruntime: go\n"
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte(project), 0o600); err != nil {
		return nil, err
	}
	serve := func(register func(*grpc.Server)) (int, error) {
		cancel := make(chan bool)
		handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Cancel: cancel, Init: func(s *grpc.Server) error { register(s); return nil }})
		if err != nil {
			return 0, err
		}
		context.AfterFunc(ctx, func() { close(cancel) })
		return handle.Port, nil
	}
	language, err := serve(func(s *grpc.Server) { pulumirpc.RegisterLanguageRuntimeServer(s, &host{engine: e}) })
	if err != nil {
		return nil, err
	}
	provider, err := serve(func(s *grpc.Server) { pulumirpc.RegisterResourceProviderServer(s, &fake{engine: e}) })
	if err != nil {
		return nil, err
	}
	e.client, e.attach = fmt.Sprintf("127.0.0.1:%d", language), fmt.Sprintf("fake:%d,aws:%d", provider, provider)
	_, err = e.Pulumi(ctx, "stack", "init", "test")
	return e, err
}

// Dir is the project's directory.
func (e *Engine) Dir() string { return e.dir }

// CLI is the path of the Pulumi CLI.
func (e *Engine) CLI() string { return e.cli }

// Program sets what the next commands run.
func (e *Engine) Program(program pulumi.RunFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.program = program
}

// World returns the inputs of what the provider has, by name.
func (e *Engine) World() map[string]map[string]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.world)
}

// Setenv adds a variable to the environment of the next commands.
func (e *Engine) Setenv(kv string) { e.env = append(e.env, kv) }

// Pulumi runs the CLI and returns all that it prints. Commands that run the program get it.
func (e *Engine) Pulumi(ctx context.Context, args ...string) (string, error) {
	if slices.Contains([]string{"preview", "up"}, args[0]) {
		args = append(slices.Clone(args), "--stack", "test", "--non-interactive", "--client="+e.client)
	}
	cmd := exec.CommandContext(ctx, e.cli, args...)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "PULUMI_HOME="+filepath.Join(e.dir, "home"), "PULUMI_BACKEND_URL=file://"+filepath.ToSlash(filepath.Join(e.dir, "state")),
		"PULUMI_CONFIG_PASSPHRASE=test", "PULUMI_SKIP_UPDATE_CHECK=true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true", "PULUMI_DEBUG_PROVIDERS="+e.attach)
	cmd.Env = append(cmd.Env, e.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine *Engine
}

func (*host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (*host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{}, nil
}

func (h *host) Run(ctx context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	program, err := pulumi.NewContext(ctx, pulumi.RunInfo{MonitorAddr: r.GetMonitorAddress(), Config: r.GetConfig(), ConfigSecretKeys: r.GetConfigSecretKeys(),
		Project: r.GetProject(), Stack: r.GetStack(), Parallel: r.GetParallel(), DryRun: r.GetDryRun(), Organization: r.GetOrganization()})
	if err != nil {
		return nil, err
	}
	defer program.Close()
	h.engine.mu.Lock()
	run := h.engine.program
	h.engine.mu.Unlock()
	if err := pulumi.RunWithContext(program, run); err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	return &pulumirpc.RunResponse{}, nil
}

// Resource is a resource of the provider "fake".
type Resource struct {
	pulumi.CustomResourceState
	// Out is known once the resource is made or updated: "out-" and the input "value".
	Out pulumi.StringOutput `pulumi:"out"`
}

// Register makes a resource of a type of the provider "fake" (fake:<module>:<Name>), or of any other type by the same
// provider. A change of the input "fixed" replaces it.
func Register(ctx *pulumi.Context, typ, name string, inputs pulumi.Map, opts ...pulumi.ResourceOption) (*Resource, error) {
	r := &Resource{}
	return r, ctx.RegisterResource(typ, name, inputs, r, opts...)
}

type fake struct {
	pulumirpc.UnimplementedResourceProviderServer
	engine *Engine
}

func (*fake) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "1.0.0"}, nil
}

func (*fake) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (*fake) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.GetNews()}, nil
}

func (*fake) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (*fake) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{SupportsPreview: true}, nil
}

func (*fake) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.GetNews()}, nil
}

func (*fake) Diff(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	before, after := r.GetOldInputs().AsMap(), r.GetNews().AsMap()
	d := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	keys := slices.Sorted(maps.Keys(after))
	for k := range before {
		if _, ok := after[k]; !ok {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		if fmt.Sprint(before[k]) == fmt.Sprint(after[k]) {
			continue
		}
		d.Changes, d.Diffs = pulumirpc.DiffResponse_DIFF_SOME, append(d.Diffs, k)
		if k == "fixed" {
			d.Replaces = append(d.Replaces, k)
		}
	}
	return d, nil
}

// outputs are the inputs and "out", which a preview does not know.
func outputs(in *structpb.Struct, preview bool) *structpb.Struct {
	out := &structpb.Struct{Fields: maps.Clone(in.GetFields())}
	if out.Fields == nil {
		out.Fields = map[string]*structpb.Value{}
	}
	value := "04da6b54-80e4-46f7-96ec-b56ff0331ba9" // plugin.UnknownStringValue
	if !preview {
		value = "out-" + in.GetFields()["value"].GetStringValue()
	}
	out.Fields["out"] = structpb.NewStringValue(value)
	return out
}

func (f *fake) made(name string, in *structpb.Struct) {
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	f.engine.world[name] = in.AsMap()
}

func (f *fake) Create(_ context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	if !r.GetPreview() {
		f.made(r.GetName(), r.GetProperties())
	}
	return &pulumirpc.CreateResponse{Id: r.GetName(), Properties: outputs(r.GetProperties(), r.GetPreview())}, nil
}

func (f *fake) Update(_ context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	if !r.GetPreview() {
		f.made(r.GetName(), r.GetNews())
	}
	return &pulumirpc.UpdateResponse{Properties: outputs(r.GetNews(), r.GetPreview())}, nil
}

func (f *fake) Delete(_ context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	delete(f.engine.world, r.GetName())
	return &emptypb.Empty{}, nil
}
