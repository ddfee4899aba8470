package policy

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is known of a request changes no decision about it: documents from which it was taken out decide as before.
func TestAssumeDecidesAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	keys := []string{"aws:PrincipalTag/team", "aws:PrincipalTag/other", "aws:username", "aws:RequestedRegion", "aws:MultiFactorAuthPresent"}
	values := []string{"red", "blue", "a*b", "$", "true", "eu-central-1"}
	patterns := append([]string{"*", "r?d", "${aws:username}", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/other, 'red'}", "${*}", "${aws:MultiFactorAuthPresent}"}, values...)
	decisions := map[Decision]int{}
	for range 20000 {
		d := &Document{Version: pick(Version2012, Version2012, Version2008)}
		for range 1 + random.IntN(3) {
			s := Statement{Effect: pick("Allow", "Allow", "Deny"), Actions: []string{"s3:*"}}
			resources := []string{"arn:aws:s3:::b/" + pick(patterns...), "arn:aws:s3:::b/" + pick(patterns...)}
			if random.IntN(3) == 0 {
				s.NotResources = resources
			} else {
				s.Resources = resources
			}
			for range random.IntN(3) {
				s.Conditions = append(s.Conditions, Condition{Key: pick(keys...), Values: []string{pick(patterns...)},
					Operator: pick("StringEquals", "StringLike", "StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringLike", "ForAnyValue:StringEquals", "StringNotLikeIfExists")})
			}
			d.Statements = append(d.Statements, s)
		}
		context, known := map[string][]string{}, Known{Values: map[string][]string{}, Closed: []string{"aws:principaltag/"}}
		for i, k := range keys {
			if random.IntN(3) > 0 {
				context[k] = []string{pick(values...)}
			}
			switch {
			case i < 2 && context[k] == nil: // closed: known not to be there
			case i < 3:
				known.Values[attribute(k)] = context[k]
			}
		}
		req := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/" + pick(values...), Context: context}
		want := Evaluate(req, d).Decision
		decisions[want]++
		require.Equal(t, want, Evaluate(req, known.Assume(d)).Decision, "%+v\n%+v\n%+v", d, req, known.Assume(d))
	}
	for _, d := range []Decision{ImplicitDeny, Allow, ExplicitDeny} {
		require.Greater(t, decisions[d], 500, d.String())
	}
}

func attribute(key string) string {
	for k := range newAttributes(map[string][]string{key: nil}) {
		return k
	}
	return ""
}
