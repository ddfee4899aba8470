package kubelet

import (
	"context"
	"net"
	"time"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// Runner runs pods' processes: in a sandbox of namespaces, or directly on a host that has none. Pods are named by their
// UID.
type Runner interface {
	// AddPod gives a pod a network; the sockets in it are nil where the runner cannot.
	AddPod(pod string) (sandbox.PodNet, error)
	RemovePod(pod string) error
	// Memory makes an existing directory a memory file system for the containers that mount it.
	Memory(dir string, bytes int64) error
	ReleaseMemory(dir string) error
	// Run starts a container; spec.Pod is "" for the node's network. An error that wraps sandbox.ErrNotFound means that
	// the program does not exist in it.
	Run(spec sandbox.ContainerSpec) (Process, error)
	// Dial connects by TCP from inside a pod's network ("" = the node's).
	Dial(ctx context.Context, pod, address string) (net.Conn, error)
	// Rewrite translates text that names mount targets, such as a configuration file's, to what the process will find.
	Rewrite(text string, mounts []sandbox.Mount) string
	// Weaker lists in plain words which of the sandbox's checks this runner does not make.
	Weaker() []string
}

// Process is a process that a Runner started.
type Process interface {
	Done() <-chan struct{}
	Wait() sandbox.ExitStatus
	// Kill sends SIGTERM, after the grace period SIGKILL, and waits for the end.
	Kill(grace time.Duration) sandbox.ExitStatus
	Exec(spec sandbox.ExecSpec) (Process, error)
}

// NewSandboxRunner runs the pods of a node that was added to the sandbox.
func NewSandboxRunner(s *sandbox.Sandbox, node string) Runner { return &sandboxRunner{s, node} }

type sandboxRunner struct {
	sandbox *sandbox.Sandbox
	node    string
}

func (r *sandboxRunner) AddPod(pod string) (sandbox.PodNet, error) {
	return r.sandbox.AddPod(r.node, pod)
}
func (r *sandboxRunner) RemovePod(pod string) error { return r.sandbox.RemovePod(pod) }
func (r *sandboxRunner) Memory(dir string, bytes int64) error {
	return r.sandbox.Tmpfs(dir, bytes)
}
func (r *sandboxRunner) ReleaseMemory(dir string) error { return r.sandbox.Unmount(dir) }

func (r *sandboxRunner) Run(spec sandbox.ContainerSpec) (Process, error) {
	spec.Node = r.node
	p, err := r.sandbox.Run(spec)
	if err != nil {
		return nil, err
	}
	return sandboxProcess{p}, nil
}

func (r *sandboxRunner) Dial(ctx context.Context, pod, address string) (net.Conn, error) {
	if pod == "" {
		return r.sandbox.DialNode(ctx, r.node, address)
	}
	return r.sandbox.DialPod(ctx, pod, address)
}

func (r *sandboxRunner) Rewrite(text string, _ []sandbox.Mount) string { return text }
func (r *sandboxRunner) Weaker() []string                              { return nil }

type sandboxProcess struct{ *sandbox.Process }

func (p sandboxProcess) Exec(spec sandbox.ExecSpec) (Process, error) {
	e, err := p.Process.Exec(spec)
	if err != nil {
		return nil, err
	}
	return sandboxProcess{e}, nil
}
