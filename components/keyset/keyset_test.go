package keyset

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	require.Empty(t, Validate(Default(), 1))
	require.Empty(t, Validate([]Member{{"old", Retiring}, {"2026-11", Active}, {"3", Next}}, 3))
	for want, set := range map[string][]Member{
		`: found no active member: must be a list with exactly one member whose state is active`:                               nil,
		`: found the active members a, b: must be a list with exactly one member whose state is active`:                        {{"a", Active}, {"b", Active}},
		`: found 3 members: must be at most 2`:                                                                                 {{"a", Active}, {"b", Next}, {"c", Next}},
		`[1].name: found "a": must be another name than that of [0]`:                                                           {{"a", Active}, {"a", Next}},
		`[0].name: found "A_": must be 1 to 32 lower-case letters, digits and hyphens, with a letter or digit at both ends`:    {{"A_", Active}},
		`[0].name: found nothing: must be 1 to 32 lower-case letters, digits and hyphens, with a letter or digit at both ends`: {{"", Active}},
		`[1].state: found "old": must be active, next or retiring`:                                                             {{"a", Active}, {"b", "old"}},
	} {
		problems := Validate(set, 2)
		require.Len(t, problems, 1, want)
		require.Equal(t, want, problems[0].Error())
	}
}

// TestOrder holds that neither a list's order nor who is active changes the order in which a set is worked through.
func TestOrder(t *testing.T) {
	for _, set := range [][]Member{
		{{"b", Active}, {"a", Retiring}},
		{{"a", Active}, {"b", Next}},
		{{"a", Retiring}, {"b", Active}},
	} {
		sorted := Sorted(set)
		require.Equal(t, "a", sorted[0].Name)
		require.Equal(t, "b", sorted[1].Name)
		require.Equal(t, Active, ActiveOf(set).State)
	}
}
