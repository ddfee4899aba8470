// Package keyset describes keys, issuers and certificate authorities that are
// changed one after the other, without a moment in which something that is in
// use is not accepted: a set of named members, of which exactly one is active.
//
// A member's resources are named after it, so that another one is added,
// promoted or removed without touching it. A change goes by three steps: add the
// new member as next, and wait until everybody accepts it; make it active and the
// old one retiring, and wait until nothing of the old one is in use; remove the
// old one.
package keyset

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k3s-aws-auth/components/rules"
)

// State is what a member of a set is there for.
type State string

// States of a member.
const (
	// Active is used: it signs.
	Active State = "active"
	// Next is accepted already, and not used yet.
	Next State = "next"
	// Retiring is not used any more, and still accepted.
	Retiring State = "retiring"
)

// States returns the names of all states, the active one first.
func States() []string { return []string{string(Active), string(Next), string(Retiring)} }

// Member is one of a set.
type Member struct {
	// Name is 1 to 32 lower-case letters, digits and hyphens, with a letter or
	// digit at both ends; unique in the set. It is part of resources' names.
	Name string `pulumi:"name"`
	// State is one of [States].
	State State `pulumi:"state"`
}

// DefaultName names the only member of a set that nobody lists.
const DefaultName = "1"

// Default is the set that nobody lists: one active member.
func Default() []Member { return []Member{{Name: DefaultName, State: Active}} }

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Validate returns everything that is wrong with a set of at most so many
// members: names that are none or are there twice, unknown states, and any number
// of active members but one. Keys are below the set: "[1].name", or empty for the
// set itself.
func Validate(members []Member, most int) []*rules.Problem {
	var problems []*rules.Problem
	add := func(key, found, must string, args ...any) {
		problems = append(problems, &rules.Problem{Key: key, Found: found, Must: fmt.Sprintf(must, args...)})
	}
	if len(members) > most {
		add("", fmt.Sprintf("%d members", len(members)), "at most %d", most)
	}
	var active []string
	seen := map[string]int{}
	for i, m := range members {
		at := fmt.Sprintf("[%d]", i)
		first, taken := seen[m.Name]
		switch {
		case !namePattern.MatchString(m.Name):
			add(at+".name", quoted(m.Name), "1 to 32 lower-case letters, digits and hyphens, with a letter or digit at both ends")
		case taken:
			add(at+".name", quoted(m.Name), "another name than that of [%d]", first)
		default:
			seen[m.Name] = i
		}
		if !slices.Contains(States(), string(m.State)) {
			add(at+".state", quoted(string(m.State)), "active, next or retiring")
		}
		if m.State == Active {
			active = append(active, m.Name)
		}
	}
	switch len(active) {
	case 1:
	case 0:
		add("", "no active member", "a list with exactly one member whose state is active")
	default:
		add("", "the active members "+strings.Join(active, ", "), "a list with exactly one member whose state is active")
	}
	return problems
}

func quoted(s string) string {
	if s == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", s)
}

// Sorted returns the members by their names, so that neither the order of a list
// nor a change of state shows in what is made of it.
func Sorted(members []Member) []Member {
	return slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
}

// ActiveOf returns the active member of a valid set.
func ActiveOf(members []Member) Member {
	return members[slices.IndexFunc(members, func(m Member) bool { return m.State == Active })]
}
