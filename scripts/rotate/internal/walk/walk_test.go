package walk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/keyset"
)

const (
	accepting = time.Hour
	living    = 24 * time.Hour
	refresh   = 8 * living / 10
)

// set reads "1 active, 2 next".
func set(text string) Set {
	var s Set
	for part := range strings.SplitSeq(text, ", ") {
		name, state, _ := strings.Cut(part, " ")
		s = append(s, keyset.Member{Name: name, State: keyset.State(state)})
	}
	return s
}

// at is a settled observation of a set, so long after it was deployed.
func at(text string, passed time.Duration, used ...string) Observed {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return Observed{File: set(text), Deployed: set(text), Settled: true, Since: start, Now: start.Add(passed), Used: used,
		Accepting: accepting, Living: living, Most: 3}
}

func TestNext(t *testing.T) {
	type row struct {
		name string
		goal Goal
		o    Observed
		kind Kind
		says string // the set of an edit, else a part of why
	}
	to, out := Goal{Name: "2"}, Goal{Name: "2", Abort: true}
	pending := func(o Observed, file string, settled bool) Observed {
		o.File, o.Settled = set(file), settled
		return o
	}
	missing, inUse := at("1 active, 2 next", 2*accepting, "1"), at("1 retiring, 2 active", 2*living, "1", "2")
	missing.Missing, inUse.InUse = []string{"the key set of https://a"}, []string{"Secret default/old"}
	lacking := func(o Observed, broken string) Observed {
		o.Missing, o.Broken = []string{"a server signs with another key"}, []Broken{{broken, "documents of " + broken}}
		if broken != "" {
			o.Missing = nil
		}
		return o
	}
	blind := func(o Observed, tried string) Observed {
		o.Blind, o.Living, o.Tried = "GET /pods: EOF", 0, set(tried)
		return o
	}
	for _, r := range []row{
		{"begins", to, at("1 active", 0, "1"), Edit, "1 active, 2 next"},
		{"everybody must accept it first", to, at("1 active, 2 next", accepting-1, "1"), Wait, "may still remember"},
		{"and the world must show it", to, missing, Wait, "the key set of https://a"},
		{"is used", to, at("1 active, 2 next", accepting, "1"), Edit, "1 retiring, 2 active"},
		{"the old one lives on", to, at("1 retiring, 2 active", living-1, "1", "2"), Wait, "what 1 has signed"},
		{"however long it is in use", to, inUse, Wait, "1 is still in use: Secret default/old"},
		{"ends", to, at("1 retiring, 2 active", living, "1", "2"), Edit, "2 active"},
		{"is at its end", to, at("2 active", 0, "2"), Done, "the only member"},
		{"an edit that was not applied", to, pending(at("1 active", 0, "1"), "1 active, 2 next", true), Apply, "deployed is 1 active"},
		{"an update that failed", to, pending(at("1 active, 2 next", accepting, "1"), "1 active, 2 next", false), Apply, ""},
		{"to swap at once", to, pending(at("1 active", living, "1"), "2 active", true), Refuse, "2 would be used before everybody accepts it"},
		{"to swap at once, with the old one kept", to, pending(at("1 active", living, "1"), "1 retiring, 2 active", true), Refuse, "before everybody accepts it"},
		{"to use too early", to, pending(at("1 active, 2 next", accepting-1, "1"), "1 retiring, 2 active", true), Refuse, "may still remember"},
		{"to drop what is active", to, pending(at("1 active, 2 next", living, "1"), "2 active", true), Refuse, "1 is in use"},
		{"to retire without waiting", to, pending(at("1 retiring, 2 active", living-1, "1", "2"), "2 active", true), Refuse, "what 1 has signed"},
		{"another one has begun", Goal{Name: "3"}, at("1 active, 2 next", living, "1"), Refuse, "a rotation to 2 has begun"},
		{"another one has not ended", Goal{Name: "3"}, at("1 retiring, 2 active", living, "1", "2"), Refuse, "1 still retires"},
		{"nothing was deployed", to, Observed{File: set("1 active")}, Refuse, "never been deployed"},
		{"back before it is used", out, at("1 active, 2 next", 0, "1"), Edit, "1 active"},
		{"back while it was about to be used", out, pending(at("1 active, 2 next", accepting, "1"), "1 retiring, 2 active", false), Edit, "1 active, 2 retiring"},
		{"back after it was used", out, at("1 retiring, 2 active", 0, "1", "2"), Edit, "1 active, 2 retiring"},
		{"back, and what it has signed lives on", out, at("1 active, 2 retiring", living-1, "1", "2"), Wait, "what 2 has signed"},
		{"back, at the end", out, at("1 active, 2 retiring", living, "1", "2"), Edit, "1 active"},
		{"back, ended", out, at("1 active", 0, "1"), Done, "2 is not there"},
		{"no way back", out, at("2 active", 0, "2"), Refuse, "nothing to go back to"},
		{"no way back while the old one goes", out, pending(at("1 retiring, 2 active", living, "1", "2"), "2 active", false), Refuse, "nothing to go back to"},
		{"next again after it was used", out, at("1 active, 2 next", living-1, "1", "2"), Wait, "what 2 has signed"},
		{"forward again", to, at("1 active, 2 retiring", 0, "1", "2"), Edit, "1 retiring, 2 active"},
		{"back before it is used, whatever the world shows", out, lacking(at("1 active, 2 next", 0, "1"), ""), Edit, "1 active"},
		{"back after it was used, whatever the world shows", out, lacking(at("1 retiring, 2 active", 0, "1", "2"), ""), Edit, "1 active, 2 retiring"},
		{"back at the end, and it cannot be read any more", out, lacking(at("1 active, 2 retiring", living, "1", "2"), "2"), Edit, "1 active"},
		{"back at the end, and another one cannot be read", out, lacking(at("1 active, 2 retiring", living, "1", "2"), "1"), Wait, "documents of 1"},
		{"at the end, and the old one cannot be read", to, lacking(at("1 retiring, 2 active", living, "1", "2"), "1"), Wait, "documents of 1"},
		{"another name than that of the rotation, back", Goal{Name: "3", Abort: true}, at("1 active, 2 next", 0, "1"), Refuse, "there is no 3 to go back from: the set is 1 active, 2 next"},
		{"the one in use, back", Goal{Name: "1", Abort: true}, at("1 active, 2 next", 0, "1"), Refuse, "name that one"},
		{"back from an edit that takes the old one away", out, pending(at("1 retiring, 2 active", living, "1", "2"), "2 active", true), Refuse, "set it back to 1 retiring, 2 active"},
		{"back while the cluster is away", out, blind(pending(at("1 active, 2 next", accepting, "1"), "1 retiring, 2 active", false), "1 retiring, 2 active"), Edit, "1 active, 2 retiring"},
		{"on while the cluster is away", to, blind(pending(at("1 active, 2 next", accepting, "1"), "1 retiring, 2 active", false), "1 retiring, 2 active"), Apply, ""},
		{"to its end while the cluster is away for it", to, blind(pending(at("1 retiring, 2 active", living, "1", "2"), "2 active", false), "2 active"), Apply, ""},
		{"to its end while the cluster is away for something else", to, blind(pending(at("1 retiring, 2 active", living, "1", "2"), "2 active", false), "1 retiring, 2 active"), Wait, "cannot be seen"},
		{"nothing is known of a cluster that is away", to, blind(at("1 retiring, 2 active", 2*living, "1", "2"), "1 retiring, 2 active"), Wait, "EOF"},
		{"no room", Goal{Name: "9"}, Observed{File: set("1 active"), Deployed: set("1 active"), Settled: true, Most: 1}, Refuse, "room for 1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			step := Next(r.goal, r.o)
			require.Equal(t, r.kind, step.Kind, "%+v", step)
			require.NotEmpty(t, step.Why)
			if r.kind == Edit {
				require.Equal(t, r.says, step.Set.String())
				return
			}
			require.Contains(t, step.Why, r.says)
		})
	}
}

func TestPlan(t *testing.T) {
	var said []string
	for _, step := range Plan(Goal{Name: "2"}, at("1 active", 0, "1")) {
		said = append(said, strings.TrimSpace(fmt.Sprint(step.Kind, " ", step.Set)))
	}
	require.Equal(t, []string{"edit 1 active, 2 next", "wait", "edit 1 retiring, 2 active", "wait", "edit 2 active", "done"}, said)
}

// world is a cluster and AWS, as simple as they can be and as hostile as they may be: an update changes the published keys
// and each server in any order and can end after each; AWS verifies by what was published at any moment of the time that it
// may remember; pods renew their tokens at 80 % of their life and use them all the time.
type world struct {
	t         *testing.T
	random    *rand.Rand
	now       time.Time
	published []publication
	servers   []Set
	pods      []token
	failed    []string

	file     Set
	history  []update
	settled  bool
	accepted time.Duration
}

type publication struct {
	from time.Time
	keys []string
}

type token struct {
	key  string
	made time.Time
}

type update struct {
	set Set
	ok  bool
	end time.Time
}

func newWorld(t *testing.T, random *rand.Rand) *world {
	w := &world{t: t, random: random, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), file: set("1 active"), settled: true, accepted: accepting}
	w.published = []publication{{w.now.Add(-living), []string{"1"}}}
	for range 1 + 2*random.IntN(2) {
		w.servers = append(w.servers, w.file)
	}
	for range 6 {
		w.pods = append(w.pods, token{"1", w.now.Add(-time.Duration(random.Int64N(int64(refresh))))})
	}
	w.history = []update{{w.file, true, w.now}}
	return w
}

func names(s Set) []string {
	var list []string
	for _, m := range s {
		list = append(list, m.Name)
	}
	return list
}

// pass lets time pass in small pieces. In each, every pod uses its token.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); ; {
		for i := range w.pods {
			if w.now.Sub(w.pods[i].made) >= refresh || w.random.IntN(20) == 0 {
				w.pods[i] = token{w.servers[w.random.IntN(len(w.servers))].Active(), w.now}
			}
			// The oldest publication that AWS may remember, or any later one.
			known := len(w.published) - 1
			for known > 0 && w.published[known].from.Add(w.accepted).After(w.now) {
				known--
			}
			at := known + w.random.IntN(len(w.published)-known)
			if !slices.Contains(w.published[at].keys, w.pods[i].key) {
				w.failed = append(w.failed, fmt.Sprintf("%s: pod %d, key %s", w.now.Format(time.DateTime), i, w.pods[i].key))
			}
		}
		if !w.now.Before(end) {
			return
		}
		w.now = w.now.Add(min(end.Sub(w.now), 20*time.Minute))
	}
}

// up applies the file, and is killed after each of its changes with some chance. Whether that is in the history is chance too.
func (w *world) up(kill bool) {
	changes := w.random.Perm(len(w.servers) + 1)
	done := len(changes)
	if kill {
		done = w.random.IntN(len(changes))
	}
	// The program publishes what is added before a server uses it, as its graph says; a server's change needs the documents.
	if len(w.file) >= len(w.published[len(w.published)-1].keys) {
		slices.SortStableFunc(changes, func(a, b int) int { return min(a, 1) - min(b, 1) })
	}
	for _, c := range changes[:done] {
		if c == 0 {
			w.published = append(w.published, publication{w.now, names(w.file)})
		} else {
			w.servers[c-1] = w.file
		}
		w.pass(time.Duration(w.random.IntN(3)) * time.Minute)
	}
	if !kill {
		w.history = append(w.history, update{w.file, true, w.now})
	} else if w.random.IntN(2) == 0 {
		w.history = append(w.history, update{w.file, false, w.now})
	}
}

func (w *world) observe() Observed {
	var seen []Update
	for _, u := range slices.Backward(w.history) {
		seen = append(seen, Update{Set: u.set, Succeeded: u.ok, End: u.end})
	}
	o := Observed{File: w.file, Now: w.now, Accepting: accepting, Living: living, Most: 5}
	o.Read(seen)
	if w.random.IntN(4) == 0 { // some server is away, and with it all that it would say
		o.Blind, o.Living = "GET /pods: EOF", 0
	}
	return o
}

// walk goes towards a goal until it is reached or refused, killed with a chance of kill in a hundred at each moment. It
// reports the last step.
func (w *world) walk(goal Goal, steps, kill int) Step {
	var step Step
	for range steps {
		killed := func() bool { return w.random.IntN(100) < kill }
		step = Next(goal, w.observe())
		switch step.Kind {
		case Done, Refuse:
			return step
		case Wait:
			if step.Until.IsZero() { // for something that the world shows
				w.pass(time.Minute)
				continue
			}
			require.True(w.t, step.Until.After(w.now), "waits for what has passed: %+v", step)
			left := step.Until.Sub(w.now)
			if killed() {
				left = time.Duration(w.random.Int64N(int64(left)) + 1)
			}
			w.pass(left)
		case Edit:
			require.Empty(w.t, keyset.Validate(step.Set, 5), "%s", step.Set)
			w.file = step.Set
			if !killed() {
				w.up(killed())
			}
		case Apply:
			w.up(killed())
		}
	}
	return step
}

// TestConverges holds that from anywhere, killed anywhere, turned back and forth, a rotation comes to its end and no call
// fails on its way.
func TestConverges(t *testing.T) {
	for seed := range uint64(3000) {
		w := newWorld(t, rand.New(rand.NewPCG(seed, 13)))
		for range w.random.IntN(5) { // somebody changes their mind
			w.walk(Goal{Name: "2", Abort: w.random.IntN(2) == 0}, 1+w.random.IntN(5), 30)
			w.pass(time.Duration(w.random.Int64N(int64(living))))
		}
		goal := Goal{Name: "2", Abort: w.random.IntN(2) == 0}
		last := w.walk(goal, 300, 30)
		w.pass(2 * living)
		require.Empty(t, w.failed, "seed %d: %v", seed, w.history)
		switch {
		case !goal.Abort:
			require.Equal(t, Done, last.Kind, "seed %d: %+v", seed, last)
			require.Equal(t, "2 active", w.observe().Deployed.String())
		case last.Kind == Refuse: // there was nothing left to go back to
			require.Equal(t, "2 active", w.file.String(), "seed %d: %+v", seed, last)
		default:
			require.Equal(t, Done, last.Kind, "seed %d: %+v", seed, last)
			require.Equal(t, "1 active", w.observe().Deployed.String())
		}
	}
}

// TestNaive holds that the ways that Next refuses do make calls fail in this world: else it would prove nothing.
func TestNaive(t *testing.T) {
	for name, steps := range map[string][]string{
		"swap at once":           {"2 active"},
		"use without waiting":    {"1 active, 2 next", "1 retiring, 2 active"},
		"retire without waiting": {"1 active, 2 next", "wait", "1 retiring, 2 active", "2 active"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rand.New(rand.NewPCG(1, 1)))
			for _, step := range steps {
				if step == "wait" {
					w.pass(accepting)
					continue
				}
				w.file = set(step)
				w.up(false)
			}
			w.pass(living)
			require.NotEmpty(t, w.failed)
		})
	}
}

func TestRead(t *testing.T) {
	when := func(hour int) time.Time { return time.Date(2026, 11, 30, hour, 0, 0, 0, time.UTC) }
	var o Observed
	o.Read([]Update{ // the newest first
		{set("2 active"), false, when(10)},
		{set("1 active, 2 next"), false, when(9)},
		{set("1 active, 2 next"), true, when(8)},
		{set("1 active, 2 next"), true, when(7)},
		{set("1 retiring, 2 active"), false, when(6)},
		{set("1 active, 2 next"), true, when(5)},
		{set("1 active, 3 retiring"), true, when(4)},
		{set("1 retiring, 3 active"), true, when(3)},
	})
	require.Equal(t, "1 active, 2 next", o.Deployed.String())
	require.False(t, o.Settled)
	require.Equal(t, "2 active", o.Tried.String())
	require.Equal(t, when(7), o.Since, "the update that failed may have changed something")
	require.ElementsMatch(t, []string{"1", "2"}, o.Used)

	o = Observed{}
	o.Read([]Update{{set("3 active"), false, when(1)}})
	require.Nil(t, o.Deployed)
	require.False(t, o.Settled)
	o = Observed{}
	o.Read([]Update{ // 2 was another key when it was used
		{set("1 active, 2 next"), true, when(3)},
		{set("1 active"), true, when(2)},
		{set("1 retiring, 2 active"), true, when(1)},
	})
	require.Equal(t, []string{"1"}, o.Used)
	require.True(t, o.Settled)
}
