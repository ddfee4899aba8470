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

// apiServer is what it takes to start the API server again.
type apiServer struct {
	options ServerOptions
	args    []string
	stop    context.CancelFunc
	ended   <-chan struct{}
}

// StopAPIServer ends the API server and waits for its end. All else on the server goes on.
func (s *Server) StopAPIServer() {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	s.stopAPIServer()
}

func (s *Server) stopAPIServer() {
	s.api.stop()
	<-s.api.ended
}

// RestartAPIServer starts the API server with a change of its arguments, ending the one that runs, and returns once it
// is ready. Its address stays the same.
func (s *Server) RestartAPIServer(ctx context.Context, change Change) error {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	args, env, err := change.apply(s.api.args, s.dir)
	if err != nil {
		return err
	}
	s.stopAPIServer()
	if err := s.startAPIServer(args, env); err != nil {
		return err
	}
	return s.waitReady(ctx)
}

// startAPIServer runs the API server until it or the whole server is stopped.
func (s *Server) startAPIServer(args, env []string) error {
	life, stop := context.WithCancel(s.life)
	ended, err := s.start(life, s.api.options, "apiserver", args, env)
	if err != nil {
		stop()
		return err
	}
	s.api.stop, s.api.ended = stop, ended
	return nil
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
