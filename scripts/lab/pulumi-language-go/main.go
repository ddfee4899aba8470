// Command pulumi-language-go runs Go programs for the lab's Pulumi CLI as Pulumi's own Go language host does, whose module
// cannot be built from a module proxy: it compiles the program, or takes the one that the project's runtime option
// `binary` names, and starts it as a process of its own that learns of the engine by its environment. What a program is
// told, and what its exit status means, is that of pulumi/pulumi, sdk/go/pulumi-language-go/main.go (constructEnv,
// runProgram, compileProgram). It knows nothing of this project.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pulumi/pulumi/sdk/v3/go/common/constant"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-go:", err)
		os.Exit(1)
	}
}

// serve prints the port that it listens on, which is how the engine finds a language host, and serves until it is killed.
// The engine's address is the last argument.
func serve() error {
	if len(os.Args) < 2 {
		return errors.New("usage: pulumi-language-go ENGINE")
	}
	h := &host{engine: os.Args[len(os.Args)-1]}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(srv *grpc.Server) error {
		pulumirpc.RegisterLanguageRuntimeServer(srv, h)
		return nil
	}})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string
}

// GetRequiredPackages answers with none: the plugins are found when the program asks for them.
func (*host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

// GetPluginInfo names no version, so that none is compared.
func (*host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{}, nil
}

// InstallDependencies has nothing to install: the go command fetches what it compiles.
func (*host) InstallDependencies(*pulumirpc.InstallDependenciesRequest, pulumirpc.LanguageRuntime_InstallDependenciesServer) error {
	return nil
}

// Run runs the program to its end. What went wrong with it is part of the answer, as the protocol asks.
func (h *host) Run(_ context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	binary, remove, err := program(req.GetInfo())
	if err != nil {
		return nil, err
	}
	defer remove()
	env, err := h.environment(req)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = req.GetPwd(), env, os.Stdout, os.Stderr
	err = cmd.Run()
	if path := os.Getenv("PULUMI_LAB_PROGRAM_RSS"); path != "" && cmd.ProcessState != nil {
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			_ = os.WriteFile(path, []byte(strconv.FormatInt(usage.Maxrss, 10)), 0o600)
		}
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case !errors.As(err, &exit):
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("command errored unexpectedly: %v", err)}, nil
	case exit.ExitCode() == constant.ExitStatusLoggedError:
		return &pulumirpc.RunResponse{Bail: true}, nil // the program has told the engine itself
	default:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("program exited with non-zero exit code: %d", exit.ExitCode())}, nil
	}
}

// program is the path of the compiled program. remove takes away what was compiled for this run alone.
func program(info *pulumirpc.ProgramInfo) (path string, remove func(), err error) {
	if binary, ok := info.GetOptions().AsMap()["binary"].(string); ok && binary != "" {
		path, err := exec.LookPath(binary)
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp("", "pulumi-go-")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-o", path)
	build.Dir = info.GetProgramDirectory()
	if out, err := build.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, fmt.Errorf("error in compiling Go: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return path, func() { _ = os.RemoveAll(dir) }, nil
}

// environment is what a program is told of its run.
func (h *host) environment(req *pulumirpc.RunRequest) ([]string, error) {
	config, err := json.Marshal(req.GetConfig())
	if err != nil {
		return nil, err
	}
	secret, err := json.Marshal(append([]string{}, req.GetConfigSecretKeys()...))
	if err != nil {
		return nil, err
	}
	env := os.Environ()
	for _, v := range [][2]string{
		{pulumi.EnvOrganization, req.GetOrganization()},
		{pulumi.EnvProject, req.GetProject()},
		{pulumi.EnvPulumiRootDirectory, req.GetInfo().GetRootDirectory()},
		{pulumi.EnvStack, req.GetStack()},
		{pulumi.EnvConfig, string(config)},
		{pulumi.EnvConfigSecretKeys, string(secret)},
		{pulumi.EnvDryRun, strconv.FormatBool(req.GetDryRun())},
		{pulumi.EnvParallel, strconv.Itoa(int(req.GetParallel()))},
		{pulumi.EnvMonitor, req.GetMonitorAddress()},
		{pulumi.EnvEngine, h.engine},
	} {
		if v[1] != "" {
			env = append(env, v[0]+"="+v[1])
		}
	}
	return env, nil
}
