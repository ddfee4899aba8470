package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/components/rules"
)

// Problem is one thing wrong with a configuration.
type Problem = rules.Problem

// Problems collects what is wrong, so that all of it is reported at once.
type Problems struct {
	list   []*Problem
	at     map[string]bool // keys that have a problem
	inside map[string]bool // keys that contain one of those
}

// Add records a problem. It does nothing where the key, or a key that contains
// it, already has one: the first problem of a value is the cause, and what
// follows from it would only hide it.
func (p *Problems) Add(key, found, format string, args ...any) {
	if p.Has(key) {
		return
	}
	if p.at == nil {
		p.at, p.inside = map[string]bool{}, map[string]bool{}
	}
	p.list = append(p.list, &Problem{Key: key, Found: found, Must: fmt.Sprintf(format, args...)})
	p.at[key] = true
	for _, outer := range containers(key) {
		p.inside[outer] = true
	}
}

// Has reports whether the key, or a key that contains it, has a problem.
func (p *Problems) Has(key string) bool {
	return p.at[key] || slices.ContainsFunc(containers(key), func(outer string) bool { return p.at[outer] })
}

// within reports whether a value inside the one at key has a problem.
func (p *Problems) within(key string) bool { return p.inside[key] }

// Err returns every problem in one error, sorted by key, or nil. errors.As
// finds a [*Problem] in it.
func (p *Problems) Err() error {
	sorted := slices.Clone(p.list)
	slices.SortStableFunc(sorted, func(a, b *Problem) int { return comparePaths(a.Key, b.Key) })
	errs := make([]error, 0, len(sorted))
	for _, problem := range sorted {
		errs = append(errs, problem)
	}
	return errors.Join(errs...)
}

// containers lists the paths of the values that hold the one at path.
func containers(path string) []string {
	var outer []string
	for i := range len(path) {
		if i > 0 && (path[i] == '.' || path[i] == '[') {
			outer = append(outer, path[:i])
		}
	}
	return outer
}

// comparePaths orders paths as a reader expects, so that [2] comes before [10].
func comparePaths(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, errA := strconv.ParseUint(a[:da], 10, 64)
			nb, errB := strconv.ParseUint(b[:db], 10, 64)
			if errA == nil && errB == nil && na != nb {
				if na < nb {
					return -1
				}
				return 1
			}
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// Quote shows a text value in a problem; nothing there is "nothing". Long text
// is cut, since a problem is one line.
func Quote(s string) string {
	const most = 80
	if s == "" {
		return "nothing"
	}
	if runes := []rune(s); len(runes) > most {
		return strconv.Quote(string(runes[:most])) + "..."
	}
	return strconv.Quote(s)
}

// oneOf lists choices for a problem: "a, b or c".
func oneOf(choices []string) string {
	switch len(choices) {
	case 0:
		return "nothing"
	case 1:
		return choices[0]
	}
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}
