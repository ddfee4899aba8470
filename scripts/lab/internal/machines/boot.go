package machines

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// bootTools are the programs of a plain Ubuntu server that a boot script may use and the lab takes from its host.
var bootTools = []string{"bash", "curl", "python3", "sha256sum", "awk"}

// missingTools names what the host lacks to run a boot script.
func missingTools() []string {
	var missing []string
	for _, tool := range bootTools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	return missing
}

// standIns are the programs of a machine that lead to the daemon, by where they are called.
var standIns = []string{"/usr/local/bin/systemctl", "/usr/local/bin/journalctl", "/usr/local/bin/cloud-init"}

// runCommands runs the user data's runcmd on the machine, as cloud-init does at the first boot, and keeps what it says
// as the machine's console log. A command that fails ends the boot.
func (m *Machines) runCommands(ctx context.Context, vm *machine, config *cloudConfig) error {
	console, err := os.OpenFile(filepath.Join(m.o.Dir, vm.instance.ID, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	for _, c := range config.RunCmd {
		args, err := commandLine(c)
		if err != nil {
			return err
		}
		p, err := m.start(vm, args, console)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
		select {
		case <-p.Done():
		case <-ctx.Done():
			p.Kill(0)
			return ctx.Err()
		}
		if status := p.Wait(); status.Code != 0 {
			return fmt.Errorf("%s ended with status %d: %s", strings.Join(args, " "), status.Code, lastLine(console.Name()))
		}
	}
	return nil
}

// commandLine reads an entry of runcmd: a list is run as it is, a string by a shell.
func commandLine(entry any) ([]string, error) {
	switch c := entry.(type) {
	case string:
		return []string{"/bin/sh", "-c", c}, nil
	case []any:
		var args []string
		for _, a := range c {
			args = append(args, fmt.Sprint(a))
		}
		if len(args) > 0 {
			return args, nil
		}
	}
	return nil, fmt.Errorf("runcmd: %v is neither a command nor a list of words", entry)
}

// start runs a program on the machine: in its network, with its own directories and the lab's stand-ins.
func (m *Machines) start(vm *machine, args []string, out *os.File) (*sandbox.Process, error) {
	mounts, err := sandbox.NodeMounts(vm.root)
	if err != nil {
		return nil, err
	}
	mounts = append(mounts, sandbox.Mount{Source: filepath.Dir(vm.socket), Target: "/run/lab"})
	for _, path := range standIns {
		// A mount needs something to stand on.
		if err := writeBelow(vm.root, path, nil, 0o755); err != nil {
			return nil, err
		}
		mounts = append(mounts, sandbox.Mount{Source: m.o.K3s, Target: path, ReadOnly: true})
	}
	return m.o.Sandbox.Run(sandbox.ContainerSpec{
		Node: vm.instance.ID, Hostname: vm.name, Args: args, Mounts: mounts, Stdout: out, Stderr: out,
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"},
	})
}

func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(lines[len(lines)-1])
}

// request and answer are what a machine's programs and the daemon say to each other; see command k3s.
type request struct {
	Program string   `json:"program"`
	Args    []string `json:"args"`
}

type answer struct {
	Output string `json:"output"`
	Status int    `json:"status"`
}

// init is a machine's first process as far as its boot needs one: it starts K3s's unit and answers for the programs
// that the lab stands in for.
type initSystem struct {
	m       *Machines
	vm      *machine
	ctx     context.Context
	running sync.WaitGroup
	// role is held while the machine's part of the cluster runs: one that is started again finds the ports and the data
	// of the one before free.
	role sync.Mutex

	mu      sync.Mutex
	service *sandbox.Process
	// ready gets K3s's own report, once for each start.
	ready chan error
}

func (s *initSystem) listen() (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(s.vm.socket), 0o700); err != nil {
		return nil, err
	}
	_ = os.Remove(s.vm.socket)
	l, err := net.Listen("unix", s.vm.socket)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Add(1)
			go func() {
				defer s.running.Done()
				defer c.Close()
				s.serve(c)
			}()
		}
	}()
	return l, nil
}

func (s *initSystem) serve(c net.Conn) {
	var r request
	if err := json.NewDecoder(bufio.NewReader(c)).Decode(&r); err != nil {
		return
	}
	reply := func(a answer) { _ = json.NewEncoder(c).Encode(a) }
	fail := func(err error) { reply(answer{Output: r.Program + ": " + err.Error() + "\n", Status: 1}) }
	switch {
	case r.Program == "systemctl" && len(r.Args) > 0:
		if err := s.systemctl(r.Args); err != nil {
			fail(err)
			return
		}
		reply(answer{})
	case r.Program == "journalctl":
		data, err := os.ReadFile(s.journal())
		if err != nil {
			fail(err)
			return
		}
		reply(answer{Output: string(data)})
	case r.Program == "k3s" && len(r.Args) == 1:
		s.k3s(c, r.Args[0], reply)
	default:
		fail(fmt.Errorf("the lab has no %s %s", r.Program, strings.Join(r.Args, " ")))
	}
}

func (s *initSystem) journal() string {
	return filepath.Join(s.m.o.Dir, s.vm.instance.ID, "k3s.log")
}

// systemctl plays the few verbs of a boot script.
func (s *initSystem) systemctl(args []string) error {
	var units []string
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "-") {
			units = append(units, a)
		}
	}
	switch args[0] {
	case "daemon-reload":
		return nil
	case "enable":
		for _, u := range units {
			if _, err := s.unit(u); err != nil {
				return err
			}
		}
		return nil
	case "start", "restart":
		for _, u := range units {
			if err := s.restart(u, args[0] == "restart"); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("the lab has no systemctl %s", strings.Join(args, " "))
}

// unit reads a unit file's [Service] settings.
func (s *initSystem) unit(name string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(s.vm.root, "etc/systemd/system", filepath.Base(name)))
	if err != nil {
		return nil, fmt.Errorf("unit %s could not be found", name)
	}
	settings := map[string]string{}
	section := ""
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		if k, v, ok := strings.Cut(line, "="); ok && section == "[Service]" && k == "ExecStart" {
			settings[k] = v
		}
	}
	if settings["ExecStart"] == "" {
		return nil, fmt.Errorf("unit %s has no ExecStart", name)
	}
	return settings, nil
}

// restart runs a unit's ExecStart on the machine and waits until K3s has said that it runs, as Type=notify does.
func (s *initSystem) restart(name string, again bool) error {
	settings, err := s.unit(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.service != nil {
		if !again {
			s.mu.Unlock()
			return nil
		}
		s.service.Kill(0)
		s.service = nil
	}
	ready := make(chan error, 1)
	s.ready = ready
	s.mu.Unlock()
	log, err := os.OpenFile(s.journal(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p, err := s.m.start(s.vm, strings.Fields(settings["ExecStart"]), log)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.service = p
	s.mu.Unlock()
	select {
	case err := <-ready:
		return err
	case <-p.Done():
		select {
		case err := <-ready:
			return err
		default:
			return fmt.Errorf("%s ended with status %d: %s", name, p.Wait().Code, lastLine(s.journal()))
		}
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// k3s runs the machine's part of the cluster for as long as the program that asked for it lives.
func (s *initSystem) k3s(c net.Conn, role string, reply func(answer)) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, c) // returns when the program has ended
		cancel()
	}()
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	started := func() {
		reply(answer{})
		ready <- nil
	}
	s.role.Lock()
	defer s.role.Unlock()
	err := s.m.runRole(ctx, s.vm, role, started)
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	reply(answer{Output: "k3s: " + err.Error() + "\n", Status: 1})
	select {
	case ready <- err:
	default:
	}
}
