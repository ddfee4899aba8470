package access

import (
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/internal/policy"
)

// The brute force: every request of a small world, put to the lab's evaluator. The world has, for each pattern and value
// that random policies are made of, something inside and something outside of it.
var (
	someActions   = []string{"s3:GetObject", "s3:GetObjectAcl", "s3:PutObject", "S3:getobject", "s3:ListBucket", "iam:PassRole", "iam:GetRole", "sts:AssumeRole"}
	actionForms   = []string{"*", "s3:*", "s3:Get*", "s3:*Object", "s3:GetObject", "s3:PutObject", "iam:*", "*:Get*", "s3:?etObject", "iam:PassRole", "s3:*Object*", "S3:GETOBJECT"}
	someResources = []string{"*", "arn:aws:s3:::b", "arn:aws:s3:::b/x", "arn:aws:s3:::b/x/y", "arn:aws:s3:::b/locked/y", "arn:aws:s3:::b/alice/k", "arn:aws:s3:::c/x", "arn:aws:iam::1:role/one", "arn:aws:iam::1:role/two", "arn:aws:iam::2:role/one"}
	resourceForms = []string{"*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/x*", "arn:aws:s3:::*/x", "arn:aws:s3:::b/?", "arn:aws:s3:::b/locked/*", "arn:aws:iam::1:role/*", "arn:aws:iam::*:role/one", "arn:aws:iam::1:role/one", "arn:aws:*", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b", "arn:*:s3:::b/x/y", "arn:aws:s3:*:b/*", "arn:aws:iam:*:role/?ne"}
	contextValues = map[string][][]string{
		"aws:username":    {nil, {"alice"}, {"x"}},
		"aws:sourceip":    {nil, {"10.0.0.1"}, {"10.1.0.1"}, {"203.0.113.7"}, {"2001:db8::1"}, {"no address"}},
		"aws:currenttime": {nil, {"2025-06-01T00:00:00Z"}, {"2026-06-01"}, {"1900000000"}},
		"s3:max-keys":     {nil, {"10"}, {"100"}, {"1000"}, {"1e3"}, {"many"}},
		"s3:prefix":       {nil, {"a"}, {"ab"}, {"b"}, {"A"}, {"a", "b"}, {"a", "ab"}},
		"aws:mfa":         {nil, {"true"}, {"False"}, {"maybe"}},
		"aws:sourcearn":   {nil, {"arn:aws:s3:::b"}, {"arn:aws:sns:eu:1:t"}, {"arn:aws:sns:eu:2:t"}, {"t"}},
	}
	conditionForms = []policy.Condition{
		{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/8"}},
		{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/16", "203.0.113.7"}},
		{Operator: "NotIpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/8"}},
		{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{"0.0.0.0/0"}},
		{Operator: "DateLessThan", Key: "aws:CurrentTime", Values: []string{"2026-01-01T00:00:00Z"}},
		{Operator: "DateGreaterThanEquals", Key: "aws:CurrentTime", Values: []string{"2026-06-01"}},
		{Operator: "NumericLessThan", Key: "s3:max-keys", Values: []string{"100"}},
		{Operator: "NumericLessThanEquals", Key: "s3:max-keys", Values: []string{"1000"}},
		{Operator: "NumericNotEquals", Key: "s3:max-keys", Values: []string{"10"}},
		{Operator: "NumericEqualsIfExists", Key: "s3:max-keys", Values: []string{"1000"}},
		{Operator: "StringEquals", Key: "s3:prefix", Values: []string{"a"}},
		{Operator: "StringEquals", Key: "s3:prefix", Values: []string{"a", "b"}},
		{Operator: "StringLike", Key: "s3:prefix", Values: []string{"a*"}},
		{Operator: "StringNotLike", Key: "s3:prefix", Values: []string{"ab*"}},
		{Operator: "StringNotEqualsIfExists", Key: "s3:prefix", Values: []string{"b"}},
		{Operator: "StringEqualsIgnoreCase", Key: "s3:prefix", Values: []string{"A"}},
		{Operator: "ForAllValues:StringLike", Key: "s3:prefix", Values: []string{"a*"}},
		{Operator: "ForAnyValue:StringEquals", Key: "s3:prefix", Values: []string{"b"}},
		{Operator: "ForAnyValue:StringNotEquals", Key: "s3:prefix", Values: []string{"a"}},
		{Operator: "Null", Key: "s3:prefix", Values: []string{"true"}},
		{Operator: "Null", Key: "s3:prefix", Values: []string{"false"}},
		{Operator: "Bool", Key: "aws:mfa", Values: []string{"true"}},
		{Operator: "BoolIfExists", Key: "aws:mfa", Values: []string{"false"}},
		{Operator: "ArnLike", Key: "aws:SourceArn", Values: []string{"arn:aws:sns:*:1:t"}},
		{Operator: "ArnNotEquals", Key: "aws:SourceArn", Values: []string{"arn:aws:sns:eu:2:t"}},
		{Operator: "StringLike", Key: "aws:SourceArn", Values: []string{"arn:aws:sns:*"}},
		{Operator: "StringEquals", Key: "s3:prefix", Values: []string{"${aws:username}"}},
	}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.Intn(len(list))] }

func some(r *rand.Rand, list []string) []string {
	out := []string{pick(r, list)}
	for r.Intn(3) == 0 {
		out = append(out, pick(r, list))
	}
	return out
}

func randomStatement(r *rand.Rand) policy.Statement {
	s := policy.Statement{Effect: "Allow"}
	if r.Intn(4) == 0 {
		s.Effect = "Deny"
	}
	if r.Intn(8) == 0 {
		s.NotActions = some(r, actionForms[1:])
	} else {
		s.Actions = some(r, actionForms)
	}
	if r.Intn(8) == 0 {
		s.NotResources = some(r, resourceForms[1:])
	} else {
		s.Resources = some(r, resourceForms)
	}
	seen := map[string]bool{}
	for r.Intn(2) == 0 && len(s.Conditions) < 3 {
		c := pick(r, conditionForms)
		if !seen[c.Operator+c.Key] {
			seen[c.Operator+c.Key] = true
			s.Conditions = append(s.Conditions, c)
		}
	}
	return s
}

func randomDocument(r *rand.Rand) *policy.Document {
	d := &policy.Document{Version: policy.Version2012}
	for range 1 + r.Intn(3) {
		d.Statements = append(d.Statements, randomStatement(r))
	}
	return d
}

// mutated is a policy and one that somebody made of it: a few edits, which is what pull requests are.
func mutated(r *rand.Rand, d *policy.Document) *policy.Document {
	out := &policy.Document{Version: d.Version, Statements: slices.Clone(d.Statements)}
	for range 1 + r.Intn(2) {
		i := r.Intn(len(out.Statements))
		s := &out.Statements[i]
		s.Conditions = slices.Clone(s.Conditions)
		switch r.Intn(7) {
		case 0:
			out.Statements = append(out.Statements, randomStatement(r))
		case 1:
			if len(out.Statements) > 1 {
				out.Statements = slices.Delete(slices.Clone(out.Statements), i, i+1)
			}
		case 2:
			if len(s.Conditions) > 0 {
				s.Conditions = s.Conditions[1:]
			}
		case 3:
			s.Conditions = append(s.Conditions, pick(r, conditionForms))
		case 4:
			if s.Actions != nil {
				s.Actions = append(slices.Clone(s.Actions), pick(r, actionForms))
			}
		case 5:
			if s.Resources != nil {
				s.Resources = append(slices.Clone(s.Resources), pick(r, resourceForms))
			}
		case 6:
			*s = randomStatement(r)
		}
	}
	return out
}

// requests are those that tell: contexts that differ in the keys that the policies ask about, a random choice of them.
func requests(r *rand.Rand, n int) []policy.Request {
	var out []policy.Request
	for range n {
		c := map[string][]string{}
		for _, key := range []string{"aws:username", "aws:sourceip", "aws:currenttime", "s3:max-keys", "s3:prefix", "aws:mfa", "aws:sourcearn"} {
			if v := pick(r, contextValues[key]); v != nil {
				c[key] = v
			}
		}
		out = append(out, policy.Request{Action: pick(r, someActions), Resource: pick(r, someResources), Context: c})
	}
	return out
}

func allows(p Policies, req policy.Request) bool {
	for _, l := range p.layers() {
		if policy.Evaluate(req, l...).Decision != policy.Allow {
			return false
		}
	}
	return true
}

func randomPair(r *rand.Rand) (before, after Policies) {
	before.Identity = []*policy.Document{randomDocument(r)}
	after.Identity = []*policy.Document{mutated(r, before.Identity[0])}
	if r.Intn(5) == 0 {
		b := []*policy.Document{randomDocument(r)}
		before.Boundary, after.Boundary = b, b
		if r.Intn(2) == 0 {
			after.Boundary = []*policy.Document{mutated(r, b[0])}
		}
		if r.Intn(6) == 0 {
			after.Boundary = nil
		}
	}
	return before, after
}

func covered(list []Grant, req policy.Request) bool {
	for _, g := range list {
		action := actionGlob(g.Action).matches(strings.ToLower(req.Action)) || strings.HasPrefix(g.Action, "everything but ")
		r, _ := resourceGlob(g.Resource, policy.Version2012)
		if action && (r.matches(req.Resource) || strings.HasPrefix(g.Resource, "everything but ")) {
			return true
		}
	}
	return false
}

// rounds is REVIEW_FUZZ_PAIRS, or few enough for every run of the tests.
func rounds(t *testing.T, few int) int {
	t.Helper()
	if text := os.Getenv("REVIEW_FUZZ_PAIRS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return few
}

// TestNoSilentGains compares random policies with what somebody made of them, and puts requests to both: whatever the new
// ones allow and the old ones do not must be among the gains, and nothing may be lost that no request can lose.
func TestNoSilentGains(t *testing.T) {
	n := rounds(t, 3000)
	silent, invented, differ := 0, 0, 0
	for i := range n {
		r := rand.New(rand.NewSource(int64(i)))
		before, after := randomPair(r)
		gained, lost := Compare(before, after)
		anyGain, anyLoss := false, false
		for _, req := range requests(r, 60) {
			was, is := allows(before, req), allows(after, req)
			if is && !was {
				anyGain = true
				if !covered(gained, req) {
					silent++
					t.Errorf("pair %d: %s on %s with %v is gained and not shown\nbefore %+v\nafter  %+v\ngained %v", i, req.Action, req.Resource, req.Context, doc(before), doc(after), gained)
				}
			}
			if was && !is {
				anyLoss = true
				if !covered(lost, req) {
					silent++
					t.Errorf("pair %d: %s on %s with %v is lost and not shown", i, req.Action, req.Resource, req.Context)
				}
			}
		}
		if anyGain || anyLoss {
			differ++
		}
		// What is claimed exists: each difference comes with a request, which the evaluator must decide in the same way.
		if !variables(before, after) {
			for _, complaint := range invent(before, after) {
				invented++
				t.Errorf("pair %d: %s\nbefore %s\nafter  %s", i, complaint, doc(before), doc(after))
			}
		}
		if silent+invented > 5 {
			break
		}
	}
	t.Logf("%d pairs, %d of them differ; %d silent, %d invented", n, differ, silent, invented)
}

// invent lists the differences whose request is none.
func invent(before, after Policies) []string {
	p, ok := newProblem(before.layers(), after.layers(), everybody, nil, nil)
	if !ok {
		return []string{"too intricate"}
	}
	var out []string
	for _, way := range []struct {
		word         string
		wide, narrow side
		more, less   Policies
	}{{"gain", p.after, p.before, after, before}, {"loss", p.before, p.after, before, after}} {
		p.witness = func(c cell, st *state) {
			req := policy.Request{Action: p.actions.classes[p.groups[0][c.action].first], Resource: p.resources.classes[p.groups[1][c.resource].first], Context: p.context(st)}
			if !allows(way.more, req) || allows(way.less, req) {
				out = append(out, fmt.Sprintf("an invented %s: %+v", way.word, req))
			}
		}
		for a := range p.groups[0] {
			for r := range p.groups[1] {
				p.beyond(way.wide, way.narrow, cell{a, r, 0})
			}
		}
	}
	return out
}

func variables(list ...Policies) bool {
	return strings.Contains(fmt.Sprintf("%+v", list), "${") || strings.Contains(doc(list[0])+doc(list[1]), "${")
}

func doc(p Policies) string {
	var b strings.Builder
	for _, l := range p.layers() {
		for _, d := range l {
			fmt.Fprintf(&b, "%+v ", d.Statements)
		}
		b.WriteString("| ")
	}
	return b.String()
}

// harmless makes of a policy one that allows no more: reordered, split, joined, tightened.
func harmless(r *rand.Rand, d *policy.Document) *policy.Document {
	out := &policy.Document{Version: d.Version, Statements: slices.Clone(d.Statements)}
	for range 1 + r.Intn(3) {
		i := r.Intn(len(out.Statements))
		s := out.Statements[i]
		s.Conditions = slices.Clone(s.Conditions)
		switch r.Intn(8) {
		case 0:
			r.Shuffle(len(out.Statements), func(a, b int) { out.Statements[a], out.Statements[b] = out.Statements[b], out.Statements[a] })
		case 1: // split by actions
			if len(s.Actions) > 1 {
				one := s
				one.Actions, s.Actions = s.Actions[:1], s.Actions[1:]
				out.Statements[i] = s
				out.Statements = append(out.Statements, one)
			}
		case 2: // split by resources
			if len(s.Resources) > 1 {
				one := s
				one.Resources, s.Resources = s.Resources[:1], s.Resources[1:]
				out.Statements[i] = s
				out.Statements = append(out.Statements, one)
			}
		case 3: // split by values
			for j, c := range s.Conditions {
				if o, _ := policy.ParseOperator(c.Operator); len(c.Values) > 1 && !o.Negated && o.Set == "" && s.Effect == "Allow" {
					one := s
					one.Conditions = slices.Clone(s.Conditions)
					one.Conditions[j].Values = c.Values[:1]
					s.Conditions[j].Values = c.Values[1:]
					out.Statements[i] = s
					out.Statements = append(out.Statements, one)
					break
				}
			}
		case 4: // another condition on an Allow
			if s.Effect == "Allow" {
				s.Conditions = append(s.Conditions, pick(r, conditionForms))
				out.Statements[i] = s
			}
		case 5: // another Deny
			deny := randomStatement(r)
			deny.Effect = "Deny"
			out.Statements = append(out.Statements, deny)
		case 6: // less
			if s.Effect == "Allow" && len(out.Statements) > 1 {
				out.Statements = slices.Delete(out.Statements, i, i+1)
			}
		case 7: // the same in other words
			if s.Actions != nil {
				s.Actions = append(slices.Clone(s.Actions), s.Actions[r.Intn(len(s.Actions))])
				s.SID = "again"
				out.Statements[i] = s
			}
		}
	}
	return out
}

// TestFewFalseAlarms: at most one in twenty harmless changes is called a gain.
func TestFewFalseAlarms(t *testing.T) {
	n := rounds(t, 3000)
	alarms := 0
	for i := range n {
		r := rand.New(rand.NewSource(int64(i) + 1<<40))
		before := Policies{Identity: []*policy.Document{randomDocument(r)}}
		after := Policies{Identity: []*policy.Document{harmless(r, before.Identity[0])}}
		if gained, _ := Compare(before, after); len(gained) > 0 {
			alarms++
			if alarms <= 3 {
				t.Logf("false alarm %v:\n%s\n%s", gained, doc(before), doc(after))
			}
		}
	}
	t.Logf("%d of %d harmless changes are called a gain", alarms, n)
	if alarms*20 > n {
		t.Errorf("%d of %d harmless changes are called a gain", alarms, n)
	}
}
