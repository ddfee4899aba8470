package events

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatching(t *testing.T) {
	const event = `{"source":"aws.x","resources":["a","b"],"none":[],"detail":{"days":15,"name":"Some-Name","flag":true,"null":null,"object":{"x":1}}}`
	for pattern, want := range map[string]bool{
		`{"source":["aws.x"]}`:                                     true,
		`{"source":["aws.y","aws.x"]}`:                             true,
		`{"source":["aws.y"]}`:                                     false,
		`{"source":["aws.x"],"detail":{"days":[15]}}`:              true,
		`{"source":["aws.x"],"detail":{"days":[16]}}`:              false,
		`{"resources":["b"]}`:                                      true,
		`{"resources":["c"]}`:                                      false,
		`{"resources":[{"exists":true}]}`:                          true,
		`{"none":[{"exists":false}]}`:                              true,
		`{"detail":{"other":[{"exists":false}]}}`:                  true,
		`{"other":{"deep":[{"exists":false}]}}`:                    true,
		`{"detail":{"name":[{"exists":false}]}}`:                   false,
		`{"detail":{"name":[{"prefix":"Some"}]}}`:                  true,
		`{"detail":{"name":[{"prefix":"some"}]}}`:                  false,
		`{"detail":{"name":[{"suffix":"Name"}]}}`:                  true,
		`{"detail":{"name":[{"equals-ignore-case":"some-name"}]}}`: true,
		`{"detail":{"name":[{"anything-but":["x"]}]}}`:             true,
		`{"detail":{"name":[{"anything-but":"Some-Name"}]}}`:       false,
		`{"detail":{"gone":[{"anything-but":"x"}]}}`:               false,
		`{"detail":{"days":[{"numeric":["<=",15]}]}}`:              true,
		`{"detail":{"days":[{"numeric":["<",15]}]}}`:               false,
		`{"detail":{"days":[{"numeric":[">",0,"<=",15]}]}}`:        true,
		`{"detail":{"days":[{"numeric":[">",15,"<=",20]}]}}`:       false,
		`{"detail":{"name":[{"numeric":["=",1]}]}}`:                false,
		`{"detail":{"flag":[true]}}`:                               true,
		`{"detail":{"null":[null]}}`:                               true,
		`{"detail":{"null":[{"exists":true}]}}`:                    true,
		`{"detail":{"gone":[null]}}`:                               false,
		`{"detail":{"null":{"deep":["x",{"exists":false}]}}}`:      true,
		`{"detail":{"object":[{"exists":true}]}}`:                  false,
		`{"detail":{"object":[{"exists":false}]}}`:                 true,
	} {
		var p, e map[string]any
		require.NoError(t, json.Unmarshal([]byte(pattern), &p))
		require.NoError(t, json.Unmarshal([]byte(event), &e))
		require.NoError(t, checkPattern(pattern), pattern)
		require.Equal(t, want, matchObject(p, e), pattern)
	}
}

func TestMessages(t *testing.T) {
	var event map[string]any
	const whole = `{"detail":{"name":"a \"quoted\" name","days":3}}`
	require.NoError(t, json.Unmarshal([]byte(whole), &event))
	require.Equal(t, whole, target{}.message(event, whole))
	require.Equal(t, "fixed", target{Input: "fixed"}.message(event, whole))
	require.Equal(t, "3", target{InputPath: "$.detail.days"}.message(event, whole))
	got := target{InputTransformer: &inputTransformer{InputTemplate: `"<name> in <days>, <gone>."`, InputPathsMap: map[string]string{
		"name": "$.detail.name", "days": "$.detail.days", "gone": "$.detail.gone.deeper"}}}.message(event, whole)
	require.Equal(t, `"a \"quoted\" name in 3, ."`, got)
}
