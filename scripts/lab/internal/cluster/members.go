package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// membersFile is where a server's etcd says how it sees the members.
const membersFile = "members.json"

// Members is how the member that leads sees all members of etcd.
type Members struct {
	// Leader tells whether it was this server's member that looked; else the list is empty.
	Leader  bool     `json:"leader"`
	Members []Member `json:"members"`
}

// Member is a member of etcd.
type Member struct {
	// Name is the member's, which begins with its node's name.
	Name    string `json:"name"`
	Learner bool   `json:"learner"`
	// Error is why it does not answer.
	Error string `json:"error"`
}

// Members reads the last report of this server's etcd.
func (s *Server) Members() (Members, error) {
	var m Members
	data, err := os.ReadFile(filepath.Join(s.dir, membersFile))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(data, &m)
}

// MemberName is the server's name in etcd.
func (s *Server) MemberName() string { return s.member }

// HangEtcd stops this server's etcd in its tracks, as a disk that does not answer does, or lets it go on.
func (s *Server) HangEtcd(hang bool) error {
	s.mu.Lock()
	process := s.etcdProcess
	s.mu.Unlock()
	if process == nil {
		return errors.New("etcd does not run here")
	}
	if hang {
		return process.Signal(syscall.SIGSTOP)
	}
	return process.Signal(syscall.SIGCONT)
}

// Save writes a snapshot of etcd to a file.
func (s *Server) Save(ctx context.Context, path string) error {
	_, err := s.etcdCommand(ctx, nil, "etcd-save", "--file", path)
	return err
}

// ResetDone is what K3s says when a cluster has been reset (ETCD.Reset in pkg/etcd/etcd.go).
const ResetDone = "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes"

// Reset is `k3s server --cluster-reset`: it makes the machine's etcd a cluster of one, with the data that it has or, where
// snapshot names a file, with that; what all servers have in common then is what the datastore says. config is
// what the command sees: config.yaml with the command's own flags over it.
func Reset(ctx context.Context, o ServerOptions, config *Config, snapshot string) error {
	data := dataDir{root: o.Root, dir: filepath.Join(o.Root, config.DataDir, "server")}
	// run in pkg/cli/server/server.go.
	if config.Server != "" {
		return errors.New("cannot perform cluster-reset while server URL is set - remove server from configuration before resetting")
	}
	// Cluster.start in pkg/cluster/managed.go: a second reset in a row is refused.
	if _, err := os.Stat(data.path("db/reset-flag")); err == nil {
		return errors.New("managed etcd cluster membership was previously reset. Backup and delete " + config.DataDir +
			"/server/db/reset-flag to attempt the reset again")
	}
	s := &Server{Config: config, dir: o.Dir, name: o.Name, kubernetes: o.Kubernetes, data: data, failed: make(chan struct{})}
	var err error
	if s.password, err = s.passwordOf(o.Root, config.Token, config.TokenFile, "token"); err != nil {
		return err
	}
	if snapshot != "" {
		info, err := os.Stat(snapshot)
		if err != nil {
			return fmt.Errorf("etcd: snapshot path does not exist: %s", snapshot)
		}
		if info.IsDir() {
			return fmt.Errorf("etcd: snapshot path must be a file, not a directory: %s", snapshot)
		}
		if err := os.MkdirAll(data.path("db"), 0o700); err != nil {
			return err
		}
		if err := os.Rename(data.etcd(), data.etcd()+"-old-"+fmt.Sprint(time.Now().Unix())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	} else if !data.initialized() {
		return errors.New("cannot perform cluster-reset: this server has no etcd data")
	}
	if s.member, err = data.memberName(o.Name, true); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	ports, err := keepPorts(filepath.Join(o.Dir, "ports"), 3)
	if err != nil {
		return err
	}
	s.etcd = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	args := []string{"--name", s.member, "--data-dir", data.etcd(), "--client-url", s.etcd, "--peer-url", fmt.Sprintf("http://127.0.0.1:%d", ports[2])}
	if snapshot == "" {
		// The members that there were are forgotten.
		out, err := exec.CommandContext(ctx, o.Kubernetes, append([]string{"etcd", "--reset"}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("etcd: %w: %s", err, out)
		}
	}
	life, stop := context.WithCancel(ctx)
	s.life, s.stop = life, stop
	defer s.Stop()
	if _, err := s.start(life, o, "etcd", args, nil); err != nil {
		return err
	}
	if err := s.waitEtcd(ctx, args); err != nil {
		return err
	}
	if snapshot != "" {
		if _, err := s.etcdCommand(ctx, nil, "etcd-load", "--file", snapshot); err != nil {
			return err
		}
	}
	files, err := s.bootstrapData()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("bootstrap data already found and encrypted with different token")
	}
	if err := data.reconcile(files, true); err != nil {
		return err
	}
	return os.WriteFile(data.path("db/reset-flag"), nil, 0o600)
}
