package access

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"

	"k3s-aws-auth/scripts/internal/policy"
)

// token is one position of a glob: a wildcard, or the characters that may stand there.
type token struct {
	wild  byte   // '*', '?', or 0 for one of chars
	colon bool   // the wildcard matches ':' too
	chars []rune // one character, or its cases
}

// glob is a compiled pattern. All that patterns of policies can say is a regular language, so inclusion and overlap of any
// number of them are decidable: see partition.
type glob []token

var anything = glob{{wild: '*', colon: true}}

// exact tells whether a glob names one text, in whatever case: it has no wildcards.
func (g glob) exact() bool {
	return !slices.ContainsFunc(g, func(t token) bool { return t.wild != 0 })
}

// key tells globs of the same language and shape apart from others.
func (g glob) key() string {
	var b strings.Builder
	for _, t := range g {
		switch {
		case t.wild != 0 && t.colon:
			b.WriteByte(t.wild)
			b.WriteByte(0)
		case t.wild != 0:
			b.WriteByte(t.wild)
			b.WriteByte(1)
		default:
			b.WriteByte(2)
			for _, r := range t.chars {
				b.WriteRune(r)
			}
			b.WriteByte(3)
		}
	}
	return b.String()
}

// matches tells whether a text is in the language.
func (g glob) matches(text string) bool {
	at := newBits(len(g) + 1) // how far in the pattern one can be
	at.set(0)
	skip := func() {
		for i, t := range g {
			if t.wild == '*' && at.has(i) {
				at.set(i + 1)
			}
		}
	}
	skip()
	for _, r := range text {
		next := newBits(len(g) + 1)
		for i, t := range g {
			switch {
			case !at.has(i) || !t.takes(r):
			case t.wild == '*':
				next.set(i)
			default:
				next.set(i + 1)
			}
		}
		at = next
		skip()
	}
	return at.has(len(g))
}

func (t token) takes(r rune) bool {
	if t.wild != 0 {
		return t.colon || r != ':'
	}
	return slices.Contains(t.chars, r)
}

// tokens compiles a pattern whose wildcards match every character. variables tells whether the text has policy variables
// (version 2012-10-17), each of which then stands as '*': more than it can be.
func tokens(text, version string) (g glob, variables bool) {
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		if r == '*' || r == '?' {
			g = append(g, token{wild: byte(r), colon: true})
			continue
		}
		if r == '$' && version == policy.Version2012 && i+1 < len(runes) && runes[i+1] == '{' {
			if end := slices.Index(runes[i:], '}'); end > 0 {
				name := string(runes[i+2 : i+end])
				if name == "*" || name == "?" || name == "$" {
					g = append(g, token{chars: []rune(name)})
				} else {
					variables = true
					g = append(g, token{wild: '*', colon: true})
				}
				i += end
				continue
			}
		}
		g = append(g, token{chars: []rune{r}})
	}
	return g, variables
}

func literalGlob(text string) glob {
	var g glob
	for _, r := range text {
		g = append(g, token{chars: []rune{r}})
	}
	return g
}

func actionGlob(text string) glob {
	g, _ := tokens(strings.ToLower(text), policy.Version2008)
	return g
}

// arnGlob keeps wildcards inside their segment of the ARN, all but those of the last segment. Where a policy variable could
// bring a colon, wildcards match everything: that is more than the pattern can be.
func arnGlob(text, version string) (g glob, segments int, variables bool) {
	g, variables = tokens(text, version)
	segments = 1
	last := 0
	for i, t := range g {
		if t.wild == 0 && t.chars[0] == ':' && segments < 6 {
			segments++
			last = i
		}
	}
	if !variables && segments > 1 {
		for i := range g[:last] {
			g[i].colon = false
		}
	}
	return g, segments, variables
}

// resourceGlob is arnGlob for resources, where a star that ends the segment of the region or the account goes beyond it (IAM
// User Guide, "IAM JSON policy elements: Resource").
func resourceGlob(text, version string) (g glob, variables bool) {
	g, segments, variables := arnGlob(text, version)
	segment := 1
	for i, t := range g {
		if t.wild != 0 || t.chars[0] != ':' || segment == segments {
			continue
		}
		if segment > 3 && g[i-1].wild == '*' {
			g[i-1].colon = true
		}
		segment++
	}
	return g, variables
}

// folded makes a glob blind to case as strings.EqualFold is.
func folded(g glob) glob {
	out := slices.Clone(g)
	for i, t := range out {
		if t.wild != 0 {
			continue
		}
		chars := []rune{t.chars[0]}
		for r := unicode.SimpleFold(t.chars[0]); r != t.chars[0]; r = unicode.SimpleFold(r) {
			chars = append(chars, r)
		}
		slices.Sort(chars)
		out[i].chars = chars
	}
	return out
}

// partition divides all texts of a universe into classes such that every pattern has all of a class or nothing of it. It is
// the product of the patterns' automata. classes[i] is a text of the class; in[p] tells the classes that pattern p has.
type partition struct {
	classes []string
	in      []bits
}

// Limits of what a partition may cost. Patterns beyond them are compared by their text: what differs is then a change.
const (
	maxSteps   = 4_000_000
	maxClasses = 4096
)

// divide returns the partition, or false where the patterns are too many and too intertwined.
func divide(patterns []glob, universe glob) (*partition, bool) {
	index := map[string]int{} // distinct patterns
	var distinct []glob
	which := make([]int, len(patterns))
	for i, g := range patterns {
		k := g.key()
		n, known := index[k]
		if !known {
			n = len(distinct)
			index[k] = n
			distinct = append(distinct, g)
		}
		which[i] = n
	}
	if p := literals(distinct, which, universe); p != nil {
		return p, true
	}
	all := append(distinct, universe)
	base := make([]int32, len(all))
	var positions []token // of all patterns one after the other; an end is a zero token
	owner := []int{}
	ends := map[int32]int{}
	other := 'z'
	used := map[rune]bool{':': true}
	for i, g := range all {
		base[i] = int32(len(positions))
		for _, t := range g {
			positions = append(positions, t)
			owner = append(owner, i)
			for _, r := range t.chars {
				used[r] = true
			}
		}
		ends[int32(len(positions))] = i
		positions = append(positions, token{})
		owner = append(owner, i)
	}
	for used[other] {
		other++
	}
	type node struct {
		active []int32
		parent int
		r      rune
	}
	seen := map[string]int{}
	var nodes []node
	mark := make([]int, len(positions))
	round := 0
	var scratch []int32
	add := func(p int32) {
		for mark[p] != round {
			mark[p] = round
			scratch = append(scratch, p)
			if positions[p].wild != '*' {
				return
			}
			p++
		}
	}
	var buffer []byte
	visit := func(parent int, r rune) {
		slices.Sort(scratch)
		buffer = buffer[:0]
		for _, p := range scratch {
			buffer = binary.LittleEndian.AppendUint32(buffer, uint32(p))
		}
		if _, known := seen[string(buffer)]; !known {
			seen[string(buffer)] = len(nodes)
			nodes = append(nodes, node{slices.Clone(scratch), parent, r})
		}
	}
	round++
	for i := range all {
		add(base[i])
	}
	visit(-1, 0)
	out := &partition{in: make([]bits, len(patterns))}
	signatures := map[string]bool{}
	var accepted [][]int // by class: distinct patterns
	last := len(all) - 1
	steps := 0
	for n := 0; n < len(nodes); n++ {
		active := nodes[n].active
		var accepts []int
		inside := false
		symbols := map[rune]bool{}
		wild := false
		for _, p := range active {
			if i, end := ends[p]; end {
				if i == last {
					inside = true
				} else {
					accepts = append(accepts, i)
				}
				continue
			}
			if positions[p].wild != 0 {
				wild = true
			}
			for _, r := range positions[p].chars {
				symbols[r] = true
			}
		}
		if inside {
			buffer = buffer[:0]
			for _, i := range accepts {
				buffer = binary.LittleEndian.AppendUint32(buffer, uint32(i))
			}
			if !signatures[string(buffer)] {
				signatures[string(buffer)] = true
				var text []rune
				for m := n; nodes[m].parent >= 0; m = nodes[m].parent {
					text = append(text, nodes[m].r)
				}
				slices.Reverse(text)
				out.classes = append(out.classes, string(text))
				accepted = append(accepted, accepts)
				if len(out.classes) > maxClasses {
					return nil, false
				}
			}
		}
		if wild {
			symbols[':'], symbols[other] = true, true
		}
		ordered := make([]rune, 0, len(symbols))
		for r := range symbols {
			ordered = append(ordered, r)
		}
		slices.Sort(ordered)
		for _, r := range ordered {
			round++
			scratch = scratch[:0]
			alive := false
			steps += len(active)
			for _, p := range active {
				t := positions[p]
				if _, end := ends[p]; end || !t.takes(r) {
					continue
				}
				if t.wild == '*' {
					add(p)
				} else {
					add(p + 1)
				}
				alive = alive || owner[p] == last
			}
			if alive {
				visit(n, r)
			}
		}
		if steps > maxSteps {
			return nil, false
		}
	}
	members := make([]bits, len(distinct))
	for i := range members {
		members[i] = newBits(len(out.classes))
	}
	for class, list := range accepted {
		for _, i := range list {
			members[i].set(class)
		}
	}
	for i, d := range which {
		out.in[i] = members[d]
	}
	return out, true
}

// literals is divide where every pattern is one text and the universe is everything: a class for each text, and one for all
// others. It returns nil where that is not so.
func literals(distinct []glob, which []int, universe glob) *partition {
	if len(universe) != 1 || universe[0].wild != '*' || !universe[0].colon {
		return nil
	}
	out := &partition{in: make([]bits, len(which))}
	longest := 0
	for _, g := range distinct {
		var text []rune
		for _, t := range g {
			if t.wild != 0 || len(t.chars) != 1 {
				return nil
			}
			text = append(text, t.chars[0])
		}
		longest = max(longest, len(g))
		out.classes = append(out.classes, string(text))
	}
	out.classes = append(out.classes, strings.Repeat("z", longest+1))
	for i, d := range which {
		out.in[i] = newBits(len(out.classes))
		out.in[i].set(d)
	}
	return out
}

// overlaps tells whether two patterns have a text in common.
func overlaps(a, b glob) bool {
	p, ok := divide([]glob{a, b}, anything)
	return !ok || p.in[0].meets(p.in[1])
}

// bits is a set of small numbers.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func fullBits(n int) bits {
	b := newBits(n)
	for i := range n {
		b.set(i)
	}
	return b
}

func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bits) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

func (b bits) meets(c bits) bool {
	for i := range b {
		if b[i]&c[i] != 0 {
			return true
		}
	}
	return false
}

func (b bits) within(c bits) bool {
	for i := range b {
		if b[i]&^c[i] != 0 {
			return false
		}
	}
	return true
}

func (b bits) and(c bits) bits {
	out := slices.Clone(b)
	for i := range out {
		out[i] &= c[i]
	}
	return out
}

func (b bits) or(c bits) bits {
	out := slices.Clone(b)
	for i := range out {
		out[i] |= c[i]
	}
	return out
}

// not is the complement among n numbers.
func (b bits) not(n int) bits {
	out := fullBits(n)
	for i := range out {
		out[i] &^= b[i]
	}
	return out
}
