package typeschema

import (
	"encoding/json"
	"math/rand"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

const thing = `{"typeName":"AWS::Lab::Thing","definitions":{"Tag":{"type":"object","properties":{"Key":{"type":"string","minLength":1},"Value":{"type":"string","maxLength":3}},"required":["Key","Value"]}},
	"properties":{"Name":{"type":"string","pattern":"^[a-z]+$"},"Seconds":{"type":"number","minimum":900,"maximum":43200},"On":{"type":"boolean"},"Kind":{"type":"string","enum":["a","b"]},
	"Tags":{"type":"array","maxItems":2,"items":{"$ref":"#/definitions/Tag"}},"Id":{"type":"string"}},"required":["Name"],"createOnlyProperties":["/properties/Kind"],"readOnlyProperties":["/properties/Id"]}`

func TestValidate(t *testing.T) {
	s, err := Parse(thing)
	require.NoError(t, err)
	for state, want := range map[string][]string{
		`{"Name":"a","Seconds":900,"On":true,"Kind":"b","Tags":[{"Key":"k","Value":""}]}`: nil,
		`{}`:                                     {"#: required key [Name] not found"},
		`{"Name":"A"}`:                           {"#/Name: failed validation constraint for keyword [pattern]"},
		`{"Name":"a","name":"b"}`:                {"#: extraneous key [name] is not permitted"},
		`{"Name":1,"Seconds":"900","On":"true"}`: {"#/Name: expected type: string, found: number", "#/Seconds: expected type: number, found: string", "#/On: expected type: boolean"},
		`{"Name":"a","Seconds":899}`:             {"899 is not greater or equal to 900"},
		`{"Name":"a","Seconds":43201}`:           {"43201 is not less or equal to 43200"},
		`{"Name":"a","Kind":"c"}`:                {"c is not a valid enum value"},
		`{"Name":"a","Tags":[{"Key":"","Value":"long"},{}]}`: {"#/Tags/0/Key: expected minLength: 1", "#/Tags/0/Value: expected maxLength: 3", "#/Tags/1: required key [Value] not found"},
		`{"Name":"a","Tags":[{},{},{}]}`:                     {"expected maximum item count: 2, found: 3"},
		`{"Name":null}`:                                      {"found: null"},
	} {
		m, err := Decode(state)
		require.NoError(t, err, state)
		err = s.Validate(m)
		if want == nil {
			require.NoError(t, err, state)
			continue
		}
		require.Error(t, err, state)
		for _, w := range want {
			require.Contains(t, err.Error(), w, state)
		}
	}
	require.True(t, Listed(s.CreateOnly, "/Kind"))
	require.False(t, Listed(s.CreateOnly, "/Kinds"))
	for _, text := range []string{"", "null", "[]", `{} {}`, `{"a":`} {
		_, err := Decode(text)
		require.Error(t, err, text)
	}
}

// TestPatch: what Diff makes of two states leads, applied to the first, to the second; and a state that is not the first one
// may be led elsewhere, which is Cloud Control's own way.
func TestPatch(t *testing.T) {
	r := rand.New(rand.NewSource(1)) // the same states each time
	state := func() Model {
		m := Model{}
		for i := range r.Intn(4) {
			m["p/"+strconv.Itoa(i)] = []any{"x", float64(r.Intn(2)), r.Intn(2) == 0}[r.Intn(3)]
		}
		var list []any
		for _, e := range []string{"a", "b", "c", "d"} { // in one order, as the program sends them
			if r.Intn(2) == 0 {
				list = append(list, e)
			}
		}
		if r.Intn(4) > 0 {
			m["l"] = append([]any{}, list...)
			m["o"] = map[string]any{"~": list != nil, "deep": []any{map[string]any{"k": float64(r.Intn(3))}}}
		}
		return m
	}
	for range 2000 {
		a, b := state(), state()
		before, _ := json.Marshal(a)
		patch := Diff(a, b)
		got, err := Patch(a, patch)
		require.NoError(t, err)
		want, _ := json.Marshal(b)
		have, _ := json.Marshal(got)
		require.JSONEq(t, string(want), string(have), "%s by %v", before, patch)
		after, _ := json.Marshal(a)
		require.Equal(t, string(before), string(after), "the state stays")
	}
	list := func(e ...any) Model { return Model{"l": e} }
	got, err := Patch(list("b", "a"), Diff(list("a", "b"), list("a", "c")))
	require.NoError(t, err)
	require.Equal(t, list("b", "c"), got, "by places, whatever is there")
	for _, o := range []Operation{{Op: "remove", Path: "/x"}, {Op: "replace", Path: "/l/9"}, {"add", "/l/9", 1}, {"add", "/x/y", 1}, {"add", "/l/0/x", 1}} {
		_, err := Patch(list("a"), []Operation{o})
		require.ErrorIs(t, err, errNoPath, "%v", o)
	}
}
