package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Change is what an API server does otherwise than its node's configuration says. The zero value changes nothing.
type Change struct {
	// Issuers replace those of ServiceAccount tokens; the first signs.
	Issuers []string
	// SigningKey (PEM, RSA PRIVATE KEY) replaces the key of ServiceAccount tokens.
	SigningKey string
	// TokenClock shifts the clock by which tokens are written and read.
	TokenClock time.Duration
}

// tokenClockVariable is the control plane's variable for Change.TokenClock.
const tokenClockVariable = "LAB_TOKEN_CLOCK_OFFSET" //nolint:gosec // a name, no credential

// controlPlane is what one K3s process is on a real server, but for etcd: what it takes to start it again, and what runs.
type controlPlane struct {
	options ServerOptions
	// apiServer, manager and scheduler are the arguments of its three parts.
	apiServer, manager, scheduler []string

	stop  context.CancelFunc
	ended []<-chan struct{}
}

// StopControlPlane ends API server, controller manager and scheduler, as the end of K3s does, and waits for their end.
// etcd and the pods go on.
func (s *Server) StopControlPlane() {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	s.stopControlPlane()
}

func (s *Server) stopControlPlane() {
	if s.plane.stop != nil {
		s.plane.stop()
	}
	for _, ended := range s.plane.ended {
		<-ended
	}
	s.plane.ended = nil
}

// RestartControlPlane restarts what StopControlPlane ends, with a change of the API server's arguments, and returns once
// the API server is ready. Its address stays the same. The controllers start with it, as they do with K3s: they have
// tokens of its making, and would go on with those that it does not take any more.
func (s *Server) RestartControlPlane(ctx context.Context, change Change) error {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	args, env, err := change.apply(s.plane.apiServer, s.dir)
	if err != nil {
		return err
	}
	s.stopControlPlane()
	return s.startControlPlane(ctx, args, env)
}

// startControlPlane runs the three parts until they or the whole server are stopped.
func (s *Server) startControlPlane(ctx context.Context, apiServer, env []string) error {
	life, stop := context.WithCancel(s.life)
	s.plane.stop = stop
	start := func(name string, args, env []string) error {
		ended, err := s.start(life, s.plane.options, name, args, env)
		if err == nil {
			s.plane.ended = append(s.plane.ended, ended)
		}
		return err
	}
	if err := start("apiserver", apiServer, env); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	return errors.Join(start("controller-manager", s.plane.manager, nil), start("scheduler", s.plane.scheduler, nil))
}

// apply returns an API server's arguments and environment with the change in them. A new key is written below dir.
func (c Change) apply(args []string, dir string) (changed, env []string, err error) {
	replace := map[string][]string{}
	if len(c.Issuers) > 0 {
		replace["--service-account-issuer="] = c.Issuers
	}
	if c.SigningKey != "" {
		path := filepath.Join(dir, "service.changed.key")
		if err := os.WriteFile(path, []byte(c.SigningKey), 0o600); err != nil {
			return nil, nil, err
		}
		if _, err := currentKey(path); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("the new signing key: %w", err), os.Remove(path))
		}
		replace["--service-account-key-file="] = []string{path}
		replace["--service-account-signing-key-file="] = []string{path}
	}
	for _, arg := range args {
		name := arg[:strings.Index(arg, "=")+1]
		if _, ok := replace[name]; !ok {
			changed = append(changed, arg)
		}
	}
	for name, values := range replace {
		for _, v := range values {
			changed = append(changed, name+v)
		}
	}
	if c.TokenClock != 0 {
		env = append(env, tokenClockVariable+"="+c.TokenClock.String())
	}
	return changed, env, nil
}
