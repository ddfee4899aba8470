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

// Pass lets so much time pass for what ages on the machines: K3s's leaf certificates. In each four weeks every timer of
// every machine elapses on each day of the week, one machine after the other. The machines' clocks stay, since AWS would
// refuse what they sign; a script that asks bash for the day is told the one that it would be.
func (m *Machines) Pass(ctx context.Context, d time.Duration) error {
	if m.readsInputs != "" {
		return errors.New("machines have no timers here: " + m.readsInputs)
	}
	const step = 28 * 24 * time.Hour
	for passed := time.Duration(0); passed < d; passed += step {
		if err := m.Age(min(step, d-passed)); err != nil {
			return err
		}
		for day := range 7 {
			for _, vm := range m.all() {
				if err := m.elapse(ctx, vm, time.Now().Add(passed+step+time.Duration(day)*24*time.Hour)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// all are the machines, in the order of their names.
func (m *Machines) all() []*machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*machine
	for _, vm := range m.machines {
		if vm.init != nil {
			all = append(all, vm)
		}
	}
	slices.SortFunc(all, func(a, b *machine) int { return strings.Compare(a.name, b.name) })
	return all
}

// elapse runs what the machine's timers run, at a time.
func (m *Machines) elapse(ctx context.Context, vm *machine, at time.Time) error {
	const clock = "/etc/lab-clock"
	// A variable that is unset and set again is an ordinary one to bash.
	if err := writeBelow(vm.root, clock, fmt.Appendf(nil, "unset EPOCHSECONDS\nEPOCHSECONDS=%d\n", at.Unix()), 0o644); err != nil {
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
			if err := m.run(ctx, vm, append([]string{"/usr/bin/env", "BASH_ENV=" + clock}, strings.Fields(command)...), console); err != nil {
				return fmt.Errorf("%s: %w", vm.name, err)
			}
		}
	}
	return nil
}
