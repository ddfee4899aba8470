package machines

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

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

// laterBoot does what systemd does at every boot after the first, at which cloud-init runs no commands any more: it starts
// what is enabled. The preparation comes before K3s; a machine whose first boot ended before it had units does nothing.
func (m *Machines) laterBoot(ctx context.Context, vm *machine, config *cloudConfig, init *initSystem) error {
	console, err := os.OpenFile(filepath.Join(m.o.Dir, vm.instance.ID, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	const prepare = "k3s-boot.service"
	enabled := init.enabled()
	if slices.Contains(enabled, prepare) {
		unit, err := init.unit(prepare)
		if err != nil {
			return err
		}
		for _, command := range append(unit["ExecStartPre"], unit["ExecStart"]...) {
			args := strings.Fields(command)
			if filepath.Base(args[0]) == "cloud-init" {
				if err := config.apply(vm.root); err != nil {
					return err
				}
				continue
			}
			if err := m.run(ctx, vm, args, console); err != nil {
				m.log.Printf("%s: %v", vm.name, err) // systemd starts K3s all the same: it comes after, it does not require
			}
		}
	}
	for _, u := range enabled {
		if u != prepare && strings.HasSuffix(u, ".service") {
			if err := init.start(u, true, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// run runs one command on the machine to its end.
func (m *Machines) run(ctx context.Context, vm *machine, args []string, console *os.File) error {
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
	return nil
}

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
		if err := m.run(ctx, vm, args, console); err != nil {
			return err
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
