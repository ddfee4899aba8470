package walk

import (
	"slices"
	"time"
)

// Update is one update of the stack, as its history has it.
type Update struct {
	// Set is what the update was given; nil where it deployed nothing, as a destruction.
	Set       Set
	Succeeded bool
	End       time.Time
}

// Read completes an observation by the stack's updates, the newest first.
func (o *Observed) Read(updates []Update) {
	o.Deployed, o.Tried, o.Settled, o.Since, o.Used = nil, nil, true, time.Time{}, nil
	if len(updates) > 0 {
		o.Tried = updates[0].Set
	}
	last := slices.IndexFunc(updates, func(u Update) bool { return u.Succeeded })
	if last < 0 {
		o.Settled = len(updates) == 0
		return
	}
	o.Deployed, o.Settled = updates[last].Set, last == 0
	for _, u := range updates[last:] {
		if !u.Succeeded || !u.Set.Same(o.Deployed) {
			break
		}
		o.Since = u.End
	}
	for _, m := range o.Deployed {
		for _, u := range updates {
			// What is listed anew under a name is another key. An update that failed may have left the old one.
			if u.Set.State(m.Name) == "" && u.Succeeded {
				break
			}
			if u.Set.State(m.Name) != "" && u.Set.Active() == m.Name {
				o.Used = append(o.Used, m.Name)
				break
			}
		}
	}
}
