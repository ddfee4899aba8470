package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Change is what API servers do otherwise than their configuration says.
type Change struct {
	// Issuers replace the service-account-issuer arguments.
	Issuers []string
	// SigningKey (PEM) replaces the key of ServiceAccount tokens.
	SigningKey string
	// Clock shifts the clock of the servers.
	Clock time.Duration
}

// Hands do what neither AWS's nor Kubernetes's API can: what somebody does on the machines.
type Hands interface {
	// ChangeAPIServers restarts every API server with a change; the zero Change is back to normal.
	ChangeAPIServers(ctx context.Context, c Change) error
	// StopAPIServers ends every API server until ChangeAPIServers starts them.
	StopAPIServers(ctx context.Context) error
	// AgentClock shifts the clock of every agent; 0 sets it right.
	AgentClock(ctx context.Context, d time.Duration) error
	// PassTime lets days pass for K3s's own certificates on all machines, and their timers elapse.
	PassTime(ctx context.Context, days int) error
	// ForgetKeys waits until AWS asks the issuer for its keys again.
	ForgetKeys(ctx context.Context) error
}

// errByHand says that a drill needs somebody who is not there.
var errByHand = errors.New("needs somebody on the machines: run it without --yes, at a terminal")

// Person is the Hands of a real cluster: it says what to do and waits until somebody has done it.
type Person struct {
	// In is where the confirmation comes from; nil where nobody is there.
	In  io.Reader
	Out io.Writer
}

func (p *Person) ask(ctx context.Context, what string) error {
	if p.In == nil {
		return errByHand
	}
	fmt.Fprintf(p.Out, "\nDo this by hand, then press Enter:\n%s\n", what)
	done := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(p.In).ReadString('\n')
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ChangeAPIServers says what to write into config.yaml.
func (p *Person) ChangeAPIServers(ctx context.Context, c Change) error {
	var lines []string
	for _, i := range c.Issuers {
		lines = append(lines, "service-account-issuer="+i)
	}
	switch {
	case len(lines) > 0:
		return p.ask(ctx, "  on every server: keep a copy of /etc/rancher/k3s/config.yaml, set kube-apiserver-arg to "+
			strings.Join(lines, ", ")+" and restart: sudo systemctl restart k3s")
	case c.SigningKey != "":
		return p.ask(ctx, "  on every server: write another key, which is not in the issuer's JWKS, over the file that service-account-signing-key-file in\n"+
			"  /etc/rancher/k3s/config.yaml names (keep the old one), and restart: sudo systemctl restart k3s")
	case c.Clock != 0:
		return p.ask(ctx, fmt.Sprintf("  on every server: sudo systemctl stop systemd-timesyncd chrony; sudo date --set=\"%+d minutes\"; sudo systemctl restart k3s",
			int(c.Clock.Minutes())))
	}
	return p.ask(ctx, "  on every server: restore configuration, key and clock (sudo systemctl start systemd-timesyncd or chrony) and\n"+
		"  restart: sudo systemctl restart k3s")
}

// StopAPIServers says which unit to stop.
func (p *Person) StopAPIServers(ctx context.Context) error {
	return p.ask(ctx, "  on every server: sudo systemctl stop k3s")
}

// AgentClock says how to set the clock.
func (p *Person) AgentClock(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return p.ask(ctx, "  on every agent: sudo systemctl start systemd-timesyncd (or chrony) and wait until `timedatectl` is synchronized")
	}
	return p.ask(ctx, fmt.Sprintf("  on every agent: sudo systemctl stop systemd-timesyncd chrony; sudo date --set=\"%+d minutes\"", int(d.Minutes())))
}

// PassTime cannot be done by hand: with the clock of a machine a year ahead AWS refuses all that it signs.
func (p *Person) PassTime(context.Context, int) error { return errOnlyInALab }

// errOnlyInALab says that a drill takes a lab.
var errOnlyInALab = errors.New("only a lab can let a year pass")

// ForgetKeys does nothing: how long AWS keeps an issuer's keys is its own affair, and the drill is patient.
func (p *Person) ForgetKeys(context.Context) error { return nil }
