package engine

import (
	"context"
	"errors"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// ErrGone is what a handler's Read returns for a resource that does not exist any more.
var ErrGone = errors.New("the resource does not exist")

// Resource is the behaviour of one resource type. C is the provider's client, made by Configure.
type Resource[C any] struct {
	// Check adds validation to what the facts say; it sees inputs that already passed, with defaults and names filled in.
	Check func(*Checker[C])
	// Diff adjusts the difference that the facts give: conditional replacement, suppressed differences.
	Diff func(*Difference[C])
	// Same adds equalities to the comparison by facts: it says whether the old state of the property at a dotted path
	// equals the new input although their values differ.
	Same map[string]func(old, new any) bool
	// Echo gives the form that an input has in the state, where that is not the input itself.
	Echo map[string]func(any) any
	// PreviewEcho says that Echo holds in previews too (a state function), not only once the cloud has answered.
	PreviewEcho bool
	// Volatile names the outputs that an update which changes the given properties makes unknown in a preview.
	Volatile func(changed map[string]bool) []string
	// Create makes the resource and returns its id. An id together with an error means that it exists but did not
	// become ready. The returned state adds what Read cannot find out.
	Create func(ctx context.Context, c *Call[C]) (id string, state Map, err error)
	// Read returns what the cloud says of the resource, or ErrGone. Properties that it leaves out keep their value in
	// the state; one that the cloud says is empty must be there with its zero value.
	Read func(ctx context.Context, c *Call[C]) (Map, error)
	// Update changes the resource in place; nil means that nothing outside the state has to change.
	Update func(ctx context.Context, c *Call[C]) (Map, error)
	// Recorded says that the state has what an update was to change also where that fails, as Terraform's SDK leaves it
	// (helper/schema of terraform-plugin-sdk v2: Resource.Apply returns the data's state with the error) and the bridge passes it
	// on (initializationError in pkg/tfbridge of pulumi-terraform-bridge). The next update changes nothing of it then.
	Recorded bool
	// Delete removes the resource, and succeeds when it is gone already; nil means that there is nothing to remove.
	Delete func(ctx context.Context, c *Call[C]) error
}

// Function is the behaviour of one function (data source).
type Function[C any] func(ctx context.Context, c *Call[C]) (Map, error)

// Call is one operation on one resource.
type Call[C any] struct {
	Client C
	Type   *facts.Type
	// Name is the resource's logical name.
	Name string
	// ID is the resource's id; empty at create.
	ID string
	// In holds the checked inputs: for a delete the old ones, for a read those of the state.
	In Map
	// Old holds the old state; empty at create.
	Old Map
	// Changed names the top-level properties that differ, in an update.
	Changed map[string]bool
}

// HasChanged says whether any of the properties differ.
func (c *Call[C]) HasChanged(names ...string) bool {
	for _, n := range names {
		if c.Changed[n] {
			return true
		}
	}
	return false
}

// Tags returns the tags that the resource must carry: its own merged with the provider's default tags.
func (c *Call[C]) Tags() map[string]string { return stringMap(c.In["tagsAll"]) }

// OldTags returns the tags of the old state.
func (c *Call[C]) OldTags() map[string]string { return stringMap(c.Old["tagsAll"]) }

// TagChanges returns the tags to set and the keys to remove to go from the old state to the inputs.
func (c *Call[C]) TagChanges() (set map[string]string, remove []string) {
	now, was := c.Tags(), c.OldTags()
	set = map[string]string{}
	for k, v := range now {
		if old, ok := was[k]; !ok || old != v {
			set[k] = v
		}
	}
	for _, k := range sortedKeys(was) {
		if _, ok := now[k]; !ok {
			remove = append(remove, k)
		}
	}
	return set, remove
}

func stringMap(v any) map[string]string {
	out := map[string]string{}
	m, _ := v.(Map)
	for k, e := range m {
		if s, ok := e.(string); ok {
			out[k] = s
		}
	}
	return out
}
