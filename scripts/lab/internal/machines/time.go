package machines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// passStep is how much time passes at once. It is in whole weeks, so that days of the week stay, and shorter than the
// window in which a machine renews certificates (90 days, components/k3s/boot.sh) by as much as one try that failed
// takes.
const passStep = 56 * 24 * time.Hour

// clockFile is what a machine's scripts read the day from. It is below one of sandbox.NodePaths: what is elsewhere no
// process of the machine sees.
const clockFile = "/run/lab-clock"

// patience is how long K3s may take to run again where it happens to restart: one whose controller manager lost its lease
// ends, and systemd starts it again.
const patience = 2 * time.Minute

// Pass lets so much time pass for what ages on the machines: K3s's leaf certificates. In each eight weeks every timer of
// every machine elapses on each day of a week, one machine after the other. The machines' clocks stay, since AWS would
// refuse what they sign; a script that asks bash for the day is told the one that it would be.
func (m *Machines) Pass(ctx context.Context, d time.Duration) error {
	if m.readsInputs != "" {
		return errors.New("machines have no timers here: " + m.readsInputs)
	}
	for passed := time.Duration(0); passed < d; passed += passStep {
		if err := m.running(ctx); err != nil {
			return err
		}
		if err := m.Age(min(passStep, d-passed)); err != nil {
			return err
		}
		for day := range 7 {
			for _, vm := range m.all() {
				if err := m.running(ctx); err != nil {
					return err
				}
				if err := m.elapse(ctx, vm, time.Now().Add(passed+passStep+time.Duration(day)*24*time.Hour)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// AgeTokens lets the kubelet of a pod refresh the pod's tokens, as if 80 % of their life had passed.
func (m *Machines) AgeTokens(namespace, pod string) error {
	for _, vm := range m.all() {
		m.mu.Lock()
		k := vm.kubelet
		m.mu.Unlock()
		if k != nil && k.AgeTokens(namespace, pod) {
			return nil
		}
	}
	return fmt.Errorf("no machine has pod %s/%s", namespace, pod)
}

// running waits until the units that systemd keeps running on the machines do run, K3s's.
func (m *Machines) running(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; {
		var not []string
		for _, vm := range m.all() {
			for _, unit := range vm.init.enabled() {
				settings, err := vm.init.unit(unit)
				if err != nil {
					return err
				}
				if !slices.Contains(settings["Restart"], "always") {
					continue
				}
				if state := vm.init.state([]string{unit}); state != "active" {
					not = append(not, fmt.Sprintf("%s of %s is %s", unit, vm.name, state))
				}
			}
		}
		if len(not) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %s", patience, strings.Join(not, ", "))
		}
		if !wait(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// all are the machines that run, in the order of their names.
func (m *Machines) all() []*machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*machine
	for _, vm := range m.machines {
		select {
		case <-vm.done:
		default:
			if vm.init != nil {
				all = append(all, vm)
			}
		}
	}
	slices.SortFunc(all, func(a, b *machine) int { return strings.Compare(a.name, b.name) })
	return all
}

// elapse runs what the machine's timers run, at a time.
func (m *Machines) elapse(ctx context.Context, vm *machine, at time.Time) error {
	// A variable that is unset and set again is an ordinary one to bash.
	if err := writeBelow(vm.root, clockFile, fmt.Appendf(nil, "unset EPOCHSECONDS\nEPOCHSECONDS=%d\n", at.Unix()), 0o644); err != nil {
		return err
	}
	console, err := os.OpenFile(filepath.Join(m.o.Dir, vm.instance.ID, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	for _, unit := range vm.init.enabled() {
		service, timer := strings.CutSuffix(unit, ".timer")
		if !timer {
			continue
		}
		settings, err := vm.init.unit(service + ".service")
		if err != nil {
			return err
		}
		for _, command := range settings["ExecStart"] {
			if err := m.run(ctx, vm, append([]string{"/usr/bin/env", "BASH_ENV=" + clockFile}, strings.Fields(command)...), console); err != nil {
				return fmt.Errorf("%s: %w", vm.name, err)
			}
		}
	}
	return nil
}
