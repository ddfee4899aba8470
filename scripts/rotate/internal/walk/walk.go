// Package walk decides the next step of a rotation: of a set of named members (signing keys, issuers, certificate
// authorities), from what is configured, what is deployed and what the world shows. It does nothing itself and keeps
// nothing: the same observation gives the same step, on any machine, however often the one before it was killed.
package walk

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/components/keyset"
)

// Set is a valid set of members.
type Set []keyset.Member

// State is a member's state; empty where the set does not have it.
func (s Set) State(name string) keyset.State {
	for _, m := range s {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}

// Active is the name of the active member.
func (s Set) Active() string { return keyset.ActiveOf(s).Name }

// in lists the names of the members in a state.
func (s Set) in(state keyset.State) []string {
	var names []string
	for _, m := range s {
		if m.State == state {
			names = append(names, m.Name)
		}
	}
	return names
}

// Same reports whether two sets have the same members in the same states. Their order does not count.
func (s Set) Same(other Set) bool {
	return slices.Equal(keyset.Sorted(s), keyset.Sorted(other))
}

// String is the set as one reads it: "1 active, 2 next".
func (s Set) String() string {
	var parts []string
	for _, m := range keyset.Sorted(s) {
		parts = append(parts, m.Name+" "+string(m.State))
	}
	return strings.Join(parts, ", ")
}

// with returns the set with a member in a state, at its place or at the end.
func (s Set) with(name string, state keyset.State) Set {
	next := slices.Clone(s)
	for i := range next {
		if next[i].Name == name {
			next[i].State = state
			return next
		}
	}
	return append(next, keyset.Member{Name: name, State: state})
}

// without returns the set without members.
func (s Set) without(names ...string) Set {
	return slices.DeleteFunc(slices.Clone(s), func(m keyset.Member) bool { return slices.Contains(names, m.Name) })
}

// promote returns the set with another active member; the one before retires.
func (s Set) promote(name string) Set {
	return s.with(s.Active(), keyset.Retiring).with(name, keyset.Active)
}

// Goal is where a rotation ends.
type Goal struct {
	// Name is the member that shall be the only one; with Abort, the one that shall not be there.
	Name  string
	Abort bool
}

// Observed is everything that a step is decided by.
type Observed struct {
	// File is what the stack's file says.
	File Set
	// Deployed is what the last update that succeeded was given; nil where there was none.
	Deployed Set
	// Settled says that no update was tried since, and Tried what the last one was given.
	Settled bool
	Tried   Set
	// Since is when the first update of the unbroken run with Deployed ended.
	Since time.Time
	// Used are the members that were active in an update since they are there, whether that succeeded or not.
	Used []string
	// Now is the time.
	Now time.Time
	// Missing is what the world does not show yet of Deployed, and Broken what it does not show of one member that is not active.
	Missing []string
	Broken  []Broken
	// Blind says why the world cannot be seen; empty where it can. Missing, InUse and Living are not all of it then.
	Blind string
	// InUse is what still needs members that are not active.
	InUse []string
	// Accepting is how long it takes at most until everybody accepts what is deployed.
	Accepting time.Duration
	// Living is how long what a member has signed can be in use after the member was.
	Living time.Duration
	// Most is how many members the set may have.
	Most int
}

// Broken is what the world does not show of a member.
type Broken struct{ Name, What string }

// missing is what keeps a step towards a goal: a member that goes away need not be shown any more.
func (o *Observed) missing(goal Goal) []string {
	list := slices.Clone(o.Missing)
	for _, b := range o.Broken {
		if !goal.Abort || b.Name != goal.Name {
			list = append(list, b.What)
		}
	}
	return list
}

// Kind says what a step is.
type Kind string

// Kinds of steps.
const (
	Edit   Kind = "edit"   // the file shall be Set; then the file is applied
	Apply  Kind = "apply"  // the file is applied as it is
	Wait   Kind = "wait"   // until Until, or until the world shows something
	Done   Kind = "done"   // the goal is reached
	Refuse Kind = "refuse" // somebody must decide
)

// Step is what comes next, and why.
type Step struct {
	Kind Kind
	// Set is what the file shall be, of Edit.
	Set Set
	// Until is when a Wait ends; zero where it ends with something that the world shows.
	Until time.Time
	Why   string
}

func refuse(format string, args ...any) Step {
	return Step{Kind: Refuse, Why: fmt.Sprintf(format, args...)}
}

func edit(set Set, format string, args ...any) Step {
	return Step{Kind: Edit, Set: set, Why: fmt.Sprintf(format, args...)}
}

// Next is the next step to a goal.
func Next(goal Goal, o Observed) Step {
	if o.Deployed == nil {
		return refuse("the stack has never been deployed: there is nothing to rotate, so list %s alone", goal.Name)
	}
	pending := !o.Settled || !o.File.Same(o.Deployed)
	if goal.Abort && pending {
		if step, turned := turn(goal.Name, o); turned {
			return step
		}
	}
	if pending {
		seen := o
		seen.Blind = ""
		if why := unsafe(o.Deployed, o.File, seen); why != "" {
			return refuse("the file says %s, deployed is %s, and to apply it makes calls fail: %s. Set the file back first",
				o.File, o.Deployed, why)
		}
		if why := unsafe(o.Deployed, o.File, o); why != "" {
			return Step{Kind: Wait, Why: why}
		}
		return Step{Kind: Apply, Why: fmt.Sprintf("deployed is %s, and the file says %s", o.Deployed, o.File)}
	}
	step := wanted(goal, o)
	if step.Kind == Refuse || goal.Abort && step.Kind == Edit && o.wayBack(goal.Name) {
		return step
	}
	if o.Blind != "" {
		return Step{Kind: Wait, Why: o.Blind}
	}
	if missing := o.missing(goal); len(missing) > 0 {
		return Step{Kind: Wait, Why: "the world does not show yet what is deployed: " + strings.Join(missing, "; ")}
	}
	if step.Kind != Edit {
		return step
	}
	return wait(step, o)
}

// wayBack tells whether an abort's step is good whatever the world shows: what was active before is accepted as long as it is listed,
// and what was never active is not in use. An abort may be wanted for the very reason that the world does not show the new member.
func (o *Observed) wayBack(name string) bool {
	state := o.File.State(name)
	return state == keyset.Active || state == keyset.Next && !slices.Contains(o.Used, name)
}

// wanted is the next edit to a goal, whenever it may be.
func wanted(goal Goal, o Observed) Step {
	set := o.File
	state := set.State(goal.Name)
	retiring := set.in(keyset.Retiring)
	if goal.Abort {
		switch state {
		case "":
			if len(set) > 1 {
				return refuse("there is no %s to go back from: the set is %s", goal.Name, set)
			}
			return Step{Kind: Done, Why: goal.Name + " is not there"}
		case keyset.Active:
			return turnBack(goal.Name, set)
		case keyset.Next:
			if o.wayBack(goal.Name) {
				return edit(set.without(goal.Name), "nothing of %s was ever in use", goal.Name)
			}
		}
		return edit(set.without(goal.Name), "nothing of %s is in use any more", goal.Name)
	}
	if others := slices.DeleteFunc(set.in(keyset.Next), func(name string) bool { return name == goal.Name }); len(others) > 0 {
		return refuse("a rotation to %s has begun: go on with it, or abort it", strings.Join(others, ", "))
	}
	switch state {
	case "":
		if len(retiring) > 0 {
			return refuse("the rotation to %s has not ended: %s still retires. Go on with it first", set.Active(), strings.Join(retiring, ", "))
		}
		if len(set) >= o.Most {
			return refuse("the set has %d members, and room for %d", len(set), o.Most)
		}
		return edit(set.with(goal.Name, keyset.Next), "%s is accepted everywhere before it is used", goal.Name)
	case keyset.Active:
		if len(retiring) == 0 {
			return Step{Kind: Done, Why: goal.Name + " is the only member"}
		}
		return edit(set.without(retiring...), "nothing of %s is in use any more", strings.Join(retiring, ", "))
	}
	return edit(set.promote(goal.Name), "everybody accepts %s", goal.Name)
}

// turn is what an abort does while a change is on its way: some of it may be in the world, and some not.
func turn(name string, o Observed) (Step, bool) {
	switch o.File.State(name) {
	case keyset.Active:
		if o.Settled && len(o.File.in(keyset.Retiring)) == 0 && len(o.Deployed) > 1 {
			return refuse("the file says %s, and no update of that was tried: set it back to %s, and abort again", o.File, o.Deployed), true
		}
		back := turnBack(name, o.File)
		if back.Kind == Edit {
			if why := unsafe(o.Deployed, back.Set, o); why != "" {
				return refuse("%s: there is no way back, only forward", why), true
			}
		}
		return back, true
	case keyset.Next:
		if !slices.Contains(o.Used, name) {
			return edit(o.File.without(name), "nothing of %s was ever in use", name), true
		}
	}
	return Step{}, false
}

// turnBack makes the member before a member active again. The member retires, since it may have been used.
func turnBack(name string, set Set) Step {
	switch retiring := set.in(keyset.Retiring); len(retiring) {
	case 1:
		return edit(set.promote(retiring[0]), "%s is accepted everywhere, as long as it is listed", retiring[0])
	case 0:
		if len(set) > 1 {
			return refuse("%s is what is in use, and nothing that was in use before is left: the set is %s. To go back from a member that is next, name that one", name, set)
		}
		return refuse("%s is the only member that is left: there is nothing to go back to. The way back is a rotation to a new name", name)
	default:
		return refuse("%s all retire: rotate to the one of them that shall be active", strings.Join(retiring, ", "))
	}
}

// unsafe says what a change of what is deployed breaks whenever it is made; empty where it breaks nothing.
func unsafe(from, to Set, o Observed) string {
	if from.State(to.Active()) == "" {
		return fmt.Sprintf("%s would be used before everybody accepts it", to.Active())
	}
	if to.State(from.Active()) == "" {
		return fmt.Sprintf("%s is in use, and would not be accepted any more", from.Active())
	}
	o.File = from
	if step := wait(Step{Set: to}, o); step.Kind == Wait {
		return step.Why
	}
	return ""
}

// wait puts a wait in front of an edit of what is deployed, where one is due.
func wait(step Step, o Observed) Step {
	passed := o.Now.Sub(o.Since)
	until := func(d time.Duration, format string, args ...any) Step {
		return Step{Kind: Wait, Until: o.Since.Add(d), Why: fmt.Sprintf(format, args...)}
	}
	used := func(name string) bool { return slices.Contains(o.Used, name) }
	// A member that retires was accepted before it was active.
	first := step.Set.Active()
	known := o.File.State(first) == keyset.Active || o.File.State(first) == keyset.Retiring && used(first)
	if !known && passed < o.Accepting {
		return until(o.Accepting, "who has read the set before %s was in it may still remember that", first)
	}
	for _, m := range o.File {
		name := m.Name
		if step.Set.State(name) != "" || m.State == keyset.Next && !used(name) {
			continue
		}
		if o.Blind != "" {
			// An update that took it away was tried already, so that its time had come, and may be what keeps the cluster away.
			if !o.Settled && step.Set.Same(o.Tried) {
				continue
			}
			return Step{Kind: Wait, Why: fmt.Sprintf("whether what %s has signed is still in use cannot be seen: %s", name, o.Blind)}
		}
		if passed < o.Living {
			return until(o.Living, "what %s has signed is still in use", name)
		}
		if len(o.InUse) > 0 {
			return Step{Kind: Wait, Why: fmt.Sprintf("%s is still in use: %s", name, strings.Join(o.InUse, "; "))}
		}
	}
	return step
}

// Plan is what Next leads to from an observation, if all goes well and nobody interferes: waits as long as they are, and each
// edit applied at once.
func Plan(goal Goal, o Observed) []Step {
	var steps []Step
	o.Missing, o.Broken, o.InUse = nil, nil, nil
	for range 3 * (len(o.File) + 4) {
		step := Next(goal, o)
		steps = append(steps, step)
		switch step.Kind {
		case Wait:
			o.Now = step.Until
		case Edit:
			o.deploy(step.Set)
		case Apply:
			o.deploy(o.File)
		default:
			return steps
		}
	}
	return append(steps, refuse("no end of this rotation is in sight"))
}

// deploy is what an update does to an observation.
func (o *Observed) deploy(set Set) {
	o.File, o.Deployed, o.Tried, o.Settled, o.Since = set, set, set, true, o.Now
	o.Used = slices.DeleteFunc(slices.Clone(o.Used), func(name string) bool { return set.State(name) == "" })
	if !slices.Contains(o.Used, set.Active()) {
		o.Used = append(o.Used, set.Active())
	}
}
