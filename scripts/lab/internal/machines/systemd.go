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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// initSystem is a machine's first process as far as its boot needs one: it runs K3s's unit, and answers for the programs
// that the lab stands in for.
type initSystem struct {
	m       *Machines
	vm      *machine
	ctx     context.Context
	running sync.WaitGroup
	// role is held while the machine's part of the cluster runs: one that is started again finds the ports and the data
	// of the one before free.
	role sync.Mutex

	mu       sync.Mutex
	services map[string]*service
}

// service is a unit that was started.
type service struct {
	name string
	stop context.CancelFunc
	over chan struct{}

	mu sync.Mutex
	// state is systemd's ActiveState.
	state    string
	restarts int
	// first gets the outcome of the first try: nil once the unit is active.
	first chan error
}

func (v *service) set(state string, err error) {
	v.mu.Lock()
	v.state = state
	v.mu.Unlock()
	if state == "activating" {
		return
	}
	select {
	case v.first <- err:
	default:
	}
}

func (v *service) active() (string, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.restarts
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
		a, err := s.systemctl(r.Args)
		if err != nil {
			fail(err)
			return
		}
		reply(a)
	case r.Program == "journalctl":
		out, err := s.journalctl(r.Args)
		if err != nil {
			fail(err)
			return
		}
		reply(answer{Output: out})
	case r.Program == "k3s" && len(r.Args) == 1:
		s.k3s(c, r.Args[0], reply)
	case r.Program == "k3s" && len(r.Args) > 1:
		out, err := s.k3sCommand(r.Args)
		if err != nil {
			reply(answer{Output: out + "level=fatal msg=" + strconv.Quote(err.Error()) + "\n", Status: 1})
			return
		}
		reply(answer{Output: out})
	default:
		fail(fmt.Errorf("the lab has no %s %s", r.Program, strings.Join(r.Args, " ")))
	}
}

func (s *initSystem) journal() string {
	return filepath.Join(s.m.o.Dir, s.vm.instance.ID, "k3s.log")
}

// journalctl prints what K3s has said, or its last lines.
func (s *initSystem) journalctl(args []string) (string, error) {
	data, err := os.ReadFile(s.journal())
	if err != nil {
		return "", err
	}
	data = append(data, s.waiting()...)
	lines := strings.SplitAfter(strings.TrimRight(string(data), "\n")+"\n", "\n")
	for i, a := range args {
		if (a == "--lines" || a == "-n") && i+1 < len(args) {
			n, err := strconv.Atoi(args[i+1])
			if err != nil {
				return "", fmt.Errorf("--lines: %w", err)
			}
			lines = lines[max(0, len(lines)-1-n):]
		}
	}
	return strings.Join(lines, ""), nil
}

// waiting is what K3s says while etcd does not admit its member: etcd is a part of its process, and in the lab one of its
// own with a log of its own. Once K3s runs, that is over.
func (s *initSystem) waiting() []byte {
	if s.state([]string{"k3s.service"}) == "active" {
		return nil
	}
	log, err := os.ReadFile(filepath.Join(s.m.o.Dir, s.vm.instance.ID, "control-plane", "etcd.log"))
	if err != nil {
		return nil
	}
	var said []byte
	for line := range bytes.Lines(log) {
		if bytes.HasPrefix(line, []byte("Waiting ")) {
			said = append(said, line...)
		}
	}
	return said
}

// systemctl plays the few verbs of a boot script and of its docs.
func (s *initSystem) systemctl(args []string) (answer, error) {
	var units []string
	has := func(flag string) bool { return slices.Contains(args, flag) }
	for i, a := range args[1:] {
		if !strings.HasPrefix(a, "-") && args[i] != "--property" && args[i] != "-p" {
			if !strings.Contains(a, ".") {
				a += ".service"
			}
			units = append(units, a)
		}
	}
	each := func(f func(string) error) (answer, error) {
		for _, u := range units {
			if err := f(u); err != nil {
				return answer{}, err
			}
		}
		return answer{}, nil
	}
	switch args[0] {
	case "daemon-reload":
		return answer{}, nil
	case "enable":
		return each(func(u string) error {
			if _, err := s.unit(u); err != nil {
				return err
			}
			path := filepath.Join("etc/systemd/system/multi-user.target.wants", u)
			if err := writeBelow(s.vm.root, path, nil, 0o644); err != nil || !has("--now") {
				return err
			}
			return s.start(u, false, has("--no-block"))
		})
	case "start", "restart":
		return each(func(u string) error { return s.start(u, args[0] == "restart", has("--no-block")) })
	case "stop":
		return each(s.stop)
	case "show":
		if !has("NRestarts") {
			break
		}
		restarts := 0
		s.mu.Lock()
		for _, u := range units {
			if v := s.services[u]; v != nil {
				_, restarts = v.active()
			}
		}
		s.mu.Unlock()
		return answer{Output: strconv.Itoa(restarts) + "\n"}, nil
	case "is-active":
		state := s.state(units)
		a := answer{Output: state + "\n"}
		if has("--quiet") {
			a.Output = ""
		}
		if state != "active" {
			a.Status = 3
		}
		return a, nil
	}
	return answer{}, fmt.Errorf("the lab has no systemctl %s", strings.Join(args, " "))
}

// enabled are the units that start at a boot.
func (s *initSystem) enabled() []string {
	entries, err := os.ReadDir(filepath.Join(s.vm.root, "etc/systemd/system/multi-user.target.wants"))
	if err != nil {
		return nil
	}
	var units []string
	for _, e := range entries {
		units = append(units, e.Name())
	}
	return units
}

func (s *initSystem) state(units []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range units {
		if v := s.services[u]; v != nil {
			state, _ := v.active()
			return state
		}
	}
	return "inactive"
}

// unit reads a unit file's settings. A timer has no command.
func (s *initSystem) unit(name string) (map[string][]string, error) {
	data, err := os.ReadFile(filepath.Join(s.vm.root, "etc/systemd/system", filepath.Base(name)))
	if err != nil {
		return nil, fmt.Errorf("unit %s could not be found", name)
	}
	settings := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			settings[k] = append(settings[k], v)
		}
	}
	if len(settings["ExecStart"]) == 0 && !strings.HasSuffix(name, ".timer") {
		return nil, fmt.Errorf("unit %s has no ExecStart", name)
	}
	return settings, nil
}

func (s *initSystem) stop(name string) error {
	s.mu.Lock()
	v := s.services[name]
	delete(s.services, name)
	s.mu.Unlock()
	if v != nil {
		v.stop()
		<-v.over
	}
	return nil
}

// start runs a unit. Unless it is told not to block it waits as systemd does: for a oneshot unit until it has ended, for
// a notify unit until it has said that it is ready, or has failed once. A unit with Restart=always goes on trying.
func (s *initSystem) start(name string, again, noBlock bool) error {
	settings, err := s.unit(name)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, ".timer") {
		return nil // the lab's clock is its tests'
	}
	if again {
		if err := s.stop(name); err != nil {
			return err
		}
	}
	last := func(key string) string {
		if len(settings[key]) == 0 {
			return ""
		}
		return settings[key][len(settings[key])-1]
	}
	s.mu.Lock()
	v := s.services[name]
	if v == nil {
		ctx, cancel := context.WithCancel(s.ctx)
		v = &service{name: name, stop: cancel, over: make(chan struct{}), state: "activating", first: make(chan error, 1)}
		if s.services == nil {
			s.services = map[string]*service{}
		}
		s.services[name] = v
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			defer close(v.over)
			s.keep(ctx, v, strings.Fields(last("ExecStart")), last("Type"), last("Restart") == "always")
		}()
	} else if state, _ := v.active(); state == "active" {
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	if noBlock {
		return nil
	}
	select {
	case err := <-v.first:
		if err != nil {
			return fmt.Errorf("job for %s failed: %w", name, err)
		}
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// keep runs a unit's command until ctx ends, again and again where it is to be restarted always.
func (s *initSystem) keep(ctx context.Context, v *service, command []string, kind string, always bool) {
	for {
		err := s.once(ctx, v, command, kind)
		if ctx.Err() != nil {
			v.set("inactive", ctx.Err())
			return
		}
		if kind == "oneshot" && err == nil {
			v.set("inactive", nil)
			return
		}
		if err == nil {
			err = errors.New("it has ended")
		}
		v.set("failed", err)
		if !always || !wait(ctx, 5*time.Second) {
			return
		}
		v.mu.Lock()
		v.state = "activating"
		v.restarts++
		v.mu.Unlock()
	}
}

func (s *initSystem) once(ctx context.Context, v *service, command []string, kind string) error {
	log, err := os.OpenFile(s.journal(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p, err := s.m.start(s.vm, command, log)
	if err != nil {
		return err
	}
	if kind == "exec" {
		v.set("active", nil)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill(0)
		<-p.Done()
		return ctx.Err()
	}
	if status := p.Wait(); status.Code != 0 {
		return fmt.Errorf("%s ended with status %d: %s", v.name, status.Code, lastLine(s.journal()))
	}
	return nil
}

// k3s runs the machine's part of the cluster for as long as the program that asked for it lives.
func (s *initSystem) k3s(c net.Conn, role string, reply func(answer)) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, c) // returns when the program has ended
		cancel()
	}()
	started := func() {
		s.mu.Lock()
		for _, name := range []string{"k3s.service", "k3s-agent.service"} {
			if v := s.services[name]; v != nil {
				v.set("active", nil)
			}
		}
		s.mu.Unlock()
		reply(answer{})
	}
	s.role.Lock()
	defer s.role.Unlock()
	err := s.m.runRole(ctx, s.vm, role, started)
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	reply(answer{Output: "k3s: " + err.Error() + "\n", Status: 1})
}
