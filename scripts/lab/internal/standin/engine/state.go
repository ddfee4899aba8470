package engine

import (
	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// withoutDefaults returns a copy of a value without the bridge's records of defaulted properties, which belong to inputs
// only.
func withoutDefaults(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = withoutDefaults(e)
		}
		return out
	case Map:
		out := make(Map, len(v))
		for k, e := range v {
			if k != defaultsKey {
				out[k] = withoutDefaults(e)
			}
		}
		return out
	}
	return v
}

// settle joins what the program gave with what the cloud said into a state: an input keeps the form that the program
// gave it, its nested computed properties and everything that it does not set come from the cloud.
func settle(t *facts.Type, in, extra, read Map, echo map[string]func(any) any) Map {
	state, _ := withoutDefaults(in).(Map)
	for name, f := range echo {
		if v, ok := state[name]; ok {
			state[name] = f(v)
		}
	}
	for _, source := range []Map{read, extra} {
		for k, v := range source {
			given, isGiven := state[k]
			if _, isInput := t.Inputs.Properties[k]; isInput && isGiven {
				state[k] = overlay(given, v)
				continue
			}
			if v != nil {
				state[k] = v
			}
		}
	}
	return state
}

// overlay returns given with the properties of nested objects that it lacks taken from read.
func overlay(given, read any) any {
	switch g := given.(type) {
	case Map:
		r, ok := read.(Map)
		if !ok {
			return given
		}
		out := cloneMap(r)
		for k, v := range g {
			out[k] = overlay(v, r[k])
		}
		return out
	case []any:
		r, ok := read.([]any)
		if !ok || len(r) != len(g) {
			return given
		}
		if len(g) != 1 {
			return given // the cloud may list them in another order
		}
		return []any{overlay(g[0], r[0])}
	}
	return given
}

// refreshed joins an old state with what the cloud says now: a property that means the same keeps its form.
func refreshed(t *facts.Type, old, read Map, same map[string]func(old, new any) bool) Map {
	state := cloneMap(old)
	for k, v := range read {
		if was, had := state[k]; had {
			p := t.Inputs.Properties[k]
			if p != nil {
				if f := same[k]; f != nil && f(v, was) {
					continue
				}
				if equivalent(p, was, v) {
					continue
				}
			}
		}
		if v == nil {
			delete(state, k)
		} else {
			state[k] = v
		}
	}
	return state
}

// equivalent compares two forms of a property that are both complete: here an absent part equals a zero one, and a
// computed part counts.
func equivalent(p *facts.Property, a, b any) bool {
	strict := *p
	strict.Computed = false
	strict.Object = strictShape(p.Object)
	d := &differ{}
	d.property(&strict, a, b, "x", false)
	if len(d.changes) > 0 {
		return false
	}
	if b == nil {
		return isZero(a)
	}
	return true
}

func strictShape(o *facts.Object) *facts.Object {
	if o == nil {
		return nil
	}
	out := &facts.Object{Properties: map[string]*facts.Property{}, Order: o.Order}
	for k, p := range o.Properties {
		q := *p
		q.Computed = false
		q.Object = strictShape(p.Object)
		out.Properties[k] = &q
	}
	return out
}

// inputsOf returns the inputs that a program would have to give for a state: the old inputs where they still describe
// it, else what the state says. With no old inputs (an import) every property that is neither zero nor at its default
// counts.
func inputsOf(t *facts.Type, olds, state Map, same map[string]func(old, new any) bool, echo map[string]func(any) any) Map {
	in := Map{}
	importing := len(olds) == 0
	for _, name := range t.Inputs.Order {
		p := t.Inputs.Properties[name]
		now, has := state[name]
		was, had := olds[name]
		switch {
		case had && has:
			d := &differ{same: same, echo: echo}
			d.property(p, now, was, name, false)
			if len(d.changes) == 0 {
				in[name] = was
			} else {
				in[name] = now
			}
		case had && isZero(was):
			in[name] = was
		case had:
			// the cloud no longer has it
		case has && isZero(now), has && p.Deprecated:
		case has && importing:
			if !sameScalar(p.DefaultValue, now) && (!p.Computed || p.Object == nil) {
				in[name] = now
			}
		case has && !p.Computed && !sameScalar(p.DefaultValue, now):
			in[name] = now
		}
	}
	if t.HasTags() {
		if all, ok := state["tagsAll"]; ok {
			in["tagsAll"] = all
		}
	}
	if d, ok := olds[defaultsKey]; ok {
		in[defaultsKey] = d
	} else {
		in[defaultsKey] = []any{}
	}
	return in
}

func sameScalar(a, b any) bool {
	switch b.(type) {
	case string, bool, float64:
		return a == b
	}
	return false
}

// plannedCreate is the state that a preview of a create can know.
func plannedCreate(t *facts.Type, in Map, echo map[string]func(any) any) Map {
	state, _ := withoutDefaults(in).(Map)
	for name, f := range echo {
		if v, ok := state[name]; ok && !containsUnknown(v) {
			state[name] = f(v)
		}
	}
	fillUnknown(t.Inputs, state)
	for name := range t.Outputs {
		if _, given := state[name]; !given {
			state[name] = Unknown{}
		}
	}
	return state
}

// fillUnknown makes the computed properties that the program leaves out unknown, in nested objects too.
func fillUnknown(shape *facts.Object, state Map) {
	for _, name := range shape.Order {
		p := shape.Properties[name]
		v, given := state[name]
		switch {
		case !given && p.Computed && !p.Deprecated:
			state[name] = Unknown{}
		case given && p.Type == "object" && p.Object != nil:
			if m, ok := v.(Map); ok {
				fillUnknown(p.Object, m)
			}
		}
	}
}

// plannedUpdate is the state that a preview of an update can know: the old one with the new inputs. An input that means
// what the state says (it is not among the changed) keeps the state's form.
func plannedUpdate(t *facts.Type, old, in Map, changed map[string]bool, echo map[string]func(any) any, volatile []string) Map {
	state := cloneMap(old)
	given, _ := withoutDefaults(in).(Map)
	for name, f := range echo {
		if v, ok := given[name]; ok && !containsUnknown(v) {
			given[name] = f(v)
		}
	}
	for _, name := range t.Inputs.Order {
		v, has := given[name]
		_, had := old[name]
		switch {
		case has && had && !changed[name]:
		case has:
			state[name] = overlay(v, old[name])
		case !t.Inputs.Properties[name].Computed && !t.Outputs[name]:
			delete(state, name)
		}
	}
	if all, ok := given["tagsAll"]; ok {
		state["tagsAll"] = all
	}
	for _, name := range volatile {
		if _, has := given[name]; !has {
			state[name] = Unknown{}
		}
	}
	return state
}

// secrets marks the outputs that the facts call secret.
func secrets(t *facts.Type, state Map) Map {
	for _, name := range t.SecretOutputs {
		if v, ok := state[name]; ok {
			if _, already := v.(Secret); !already {
				state[name] = Secret{Value: v}
			}
		}
	}
	return state
}
