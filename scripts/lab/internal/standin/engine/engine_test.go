package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

const table = `{
 "lab:index/thing:Thing": {
  "autoName": {"property": "name", "maxLen": 20},
  "secretOutputs": ["password"],
  "outputs": ["arn", "password", "tagsAll"],
  "inputs": {
   "name": {"type": "string", "forceNew": true, "computed": true, "max": 18, "conflicts": ["namePrefix"]},
   "namePrefix": {"type": "string", "forceNew": true, "computed": true},
   "policy": {"type": "string", "format": "json"},
   "role": {"type": "string", "format": "arn"},
   "size": {"type": "int", "default": 3, "min": 1, "max": 9},
   "mode": {"type": "string", "enum": ["fast", "slow"], "required": true},
   "zone": {"type": "string", "computed": true, "forceNew": true},
   "note": {"type": "string"},
   "on": {"type": "bool"},
   "hashed": {"type": "string"},
   "list": {"type": "list", "elem": "string"},
   "set": {"type": "list", "elem": "string", "set": true},
   "left": {"type": "string", "oneOf": ["left", "right"]},
   "right": {"type": "string", "oneOf": ["left", "right"]},
   "needs": {"type": "string", "requires": ["note"]},
   "few": {"type": "list", "elem": "string", "maxItems": 1},
   "block": {"type": "object"},
   "block.kind": {"type": "string", "required": true},
   "block.size": {"type": "int", "computed": true},
   "block.seal": {"type": "bool", "forceNew": true},
   "block.on": {"type": "bool", "default": true},
   "rules": {"type": "list", "elem": "object", "set": true},
   "rules.port": {"type": "int", "required": true},
   "rules.cidrs": {"type": "list", "elem": "string", "set": true},
   "source": {"type": "asset"},
   "tags": {"type": "map", "elem": "string"}
  }
 },
 "lab:index/plain:Plain": {"deleteBeforeReplace": true, "inputs": {"key": {"type": "string", "required": true, "forceNew": true}}},
 "lab:index/get:get": {"function": true, "secretOutputs": ["value"], "outputs": ["value"], "inputs": {"id": {"type": "string", "required": true}}}
}`

const (
	thing = "lab:index/thing:Thing"
	plain = "lab:index/plain:Plain"
)

// cloud is what the test's handlers work on.
type cloud struct {
	things map[string]Map
	fail   error
	ops    []string
}

func server(t *testing.T) (*Server[*cloud], *cloud) {
	t.Helper()
	parsed, err := facts.Parse([]byte(table))
	require.NoError(t, err)
	c := &cloud{things: map[string]Map{}}
	upper := func(v any) any { return strings.ToUpper(fmt.Sprint(v)) }
	s := NewServer(Package[*cloud]{
		Name: "lab", Version: "1.2.3", Facts: parsed, ReplaceOn: []string{"region"},
		CheckConfig: func(in Map) (Map, []Failure) { return in, nil },
		Configure:   func(context.Context, Map) (*cloud, error) { return c, nil },
		TagsAll: func(_ *cloud, tags Map) Map {
			out := Map{"default": "yes"}
			for k, v := range tags {
				out[k] = v
			}
			return out
		},
		OwnTags: func(_ *cloud, all, _ Map) Map {
			out := Map{}
			for k, v := range all {
				if k != "default" {
					out[k] = v
				}
			}
			return out
		},
		Resources: map[string]*Resource[*cloud]{
			thing: {
				Echo: map[string]func(any) any{"hashed": upper}, PreviewEcho: true,
				Volatile: func(changed map[string]bool) []string {
					if changed["note"] {
						return []string{"arn"}
					}
					return nil
				},
				Create: func(_ context.Context, c *Call[*cloud]) (string, Map, error) {
					c.Client.ops = append(c.Client.ops, "create")
					state := cloneMap(c.In)
					state["tags"] = state["tagsAll"]
					c.Client.things["id-1"] = state
					return "id-1", Map{"password": "geheim"}, c.Client.fail
				},
				Read: func(_ context.Context, c *Call[*cloud]) (Map, error) {
					state, ok := c.Client.things[c.ID]
					if !ok {
						return nil, ErrGone
					}
					out, _ := withoutDefaults(state).(Map)
					delete(out, "tagsAll")
					delete(out, "hashed")
					out["arn"], out["zone"] = "arn:lab", "z1"
					if b := Obj(out, "block"); b != nil && b["size"] == nil {
						b["size"] = 7.0
					}
					return out, nil
				},
				Recorded: true,
				Update: func(_ context.Context, c *Call[*cloud]) (Map, error) {
					c.Client.ops = append(c.Client.ops, "update "+strings.Join(sortedKeys(c.Changed), ","))
					if c.Client.fail != nil {
						return nil, c.Client.fail
					}
					state := cloneMap(c.In)
					state["tags"] = state["tagsAll"]
					c.Client.things[c.ID] = state
					return nil, nil
				},
				Delete: func(_ context.Context, c *Call[*cloud]) error {
					delete(c.Client.things, c.ID)
					return nil
				},
			},
			plain: {Create: func(context.Context, *Call[*cloud]) (string, Map, error) { return "p", nil, nil }},
		},
		Functions: map[string]Function[*cloud]{
			"lab:index/get:get": func(_ context.Context, c *Call[*cloud]) (Map, error) {
				return Map{"value": "of " + Str(c.In, "id")}, nil
			},
		},
	}, "")
	_, err = s.Configure(context.Background(), &pulumirpc.ConfigureRequest{})
	require.NoError(t, err)
	return s, c
}

func object(t *testing.T, in Map) *structpb.Struct {
	t.Helper()
	out, err := structpb.NewStruct(in)
	require.NoError(t, err)
	return out
}

func urn(token string) string { return "urn:pulumi:s::p::a:b:C$" + token + "::my-thing" }

func checked(t *testing.T, s *Server[*cloud], token string, in, olds Map) (Map, []*pulumirpc.CheckFailure) {
	t.Helper()
	resp, err := s.Check(context.Background(), &pulumirpc.CheckRequest{Urn: urn(token), News: object(t, in), Olds: object(t, olds), RandomSeed: []byte("a seed")})
	require.NoError(t, err)
	return resp.GetInputs().AsMap(), resp.GetFailures()
}

func with(in Map, more Map) Map {
	out := cloneMap(in)
	for k, v := range more {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

var base = Map{"mode": "fast", "left": "l"}

const unknown = sig.UnknownStringValue

func TestCheckFailures(t *testing.T) {
	s, _ := server(t)
	for name, c := range map[string]struct {
		in     Map
		at     string
		reason string
	}{
		"missing":                {Map{"left": "l"}, "mode", "Missing required argument"},
		"enum":                   {with(base, Map{"mode": "medium"}), "mode", `["fast" "slow"]`},
		"unknown property":       {with(base, Map{"nome": "x"}), "nome", "Invalid or unknown key"},
		"unknown nested":         {with(base, Map{"block": Map{"kind": "x", "sise": 1}}), "block.sise", "Invalid or unknown key"},
		"missing nested":         {with(base, Map{"block": Map{"size": 1}}), "block.kind", "Missing required argument"},
		"missing in a list":      {with(base, Map{"rules": []any{Map{"port": 1}, Map{}}}), "rules[1].port", "Missing required argument"},
		"type":                   {with(base, Map{"on": "perhaps"}), "on", "a boolean is required"},
		"not a list":             {with(base, Map{"list": "a"}), "list", "a list is required"},
		"not a whole number":     {with(base, Map{"size": 1.5}), "size", "a whole number"},
		"too big":                {with(base, Map{"size": 10}), "size", "(1 - 9)"},
		"too long":               {with(base, Map{"name": strings.Repeat("n", 19)}), "name", "at most 18"},
		"automatic and too long": {base, "name", ""},
		"JSON":                   {with(base, Map{"policy": "{"}), "policy", "invalid JSON"},
		"ARN":                    {with(base, Map{"role": "arn:aws"}), "role", "invalid ARN"},
		"conflict":               {with(base, Map{"name": "n", "namePrefix": "p"}), "name", "conflicts with namePrefix"},
		"none of two":            {Map{"mode": "fast"}, "left", "(given: none)"},
		"both of two":            {with(base, Map{"right": "r"}), "left", "(given: left, right)"},
		"needs":                  {with(base, Map{"needs": "x"}), "needs", "`needs,note`"},
		"too many":               {with(base, Map{"few": []any{"a", "b"}}), "few", "No more than 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, failures := checked(t, s, thing, c.in, Map{})
			if c.reason == "" {
				require.Empty(t, failures, "my-thing-0123456 has 16 characters")
				return
			}
			require.Len(t, failures, 1, "%v", failures)
			require.Equal(t, c.at, failures[0].GetProperty())
			require.Contains(t, failures[0].GetReason(), c.reason)
			require.Contains(t, failures[0].GetReason(), "Examine values at 'my-thing."+c.at+"'")
		})
	}
}

func TestCheckCoercesAndDefaults(t *testing.T) {
	s, _ := server(t)
	in, failures := checked(t, s, thing, with(base, Map{
		"size": "4", "on": "true", "note": 5, "block": Map{"kind": "x"}, "tags": Map{"a": true}, "tagsAll": Map{"stale": "x"}, "list": []any{"a", nil},
	}), Map{})
	require.Empty(t, failures)
	require.Equal(t, 4.0, in["size"])
	require.Equal(t, true, in["on"])
	require.Equal(t, "5", in["note"])
	require.Equal(t, Map{"kind": "x", "on": true, defaultsKey: []any{"on"}}, in["block"])
	require.Equal(t, Map{"a": "true", "default": "yes"}, in["tagsAll"])
	require.Equal(t, []any{"a"}, in["list"])
	require.Equal(t, []any{"name"}, in[defaultsKey])

	in, _ = checked(t, s, thing, base, Map{})
	require.Equal(t, 3.0, in["size"])
	require.Equal(t, []any{"size", "name"}, in[defaultsKey])
	require.Equal(t, Map{"default": "yes"}, in["tagsAll"], "empty tags still have the default ones")
	in, _ = checked(t, s, thing, with(base, Map{"tags": Map{"a": unknown}}), Map{})
	require.Equal(t, unknown, in["tagsAll"])
}

func TestAutomaticNames(t *testing.T) {
	s, _ := server(t)
	first, _ := checked(t, s, thing, base, Map{})
	require.Regexp(t, `^my-thing-[0-9a-f]{7}$`, first["name"])
	again, _ := checked(t, s, thing, base, Map{})
	require.Equal(t, first["name"], again["name"], "the seed decides")
	kept, _ := checked(t, s, thing, with(base, Map{"note": "x"}), with(first, Map{"name": "my-thing-fedcba9"}))
	require.Equal(t, "my-thing-fedcba9", kept["name"], "kept from the old inputs")
	require.Contains(t, kept[defaultsKey], "name")
	given, _ := checked(t, s, thing, with(base, Map{"name": "mine"}), first)
	require.Equal(t, "mine", given["name"])
	dropped, _ := checked(t, s, thing, base, given)
	require.Equal(t, first["name"], dropped["name"], "a name that was given is not kept as an automatic one")
	prefixed, _ := checked(t, s, thing, with(base, Map{"namePrefix": "p-"}), Map{})
	require.NotContains(t, prefixed, "name")

	resp, err := s.Check(context.Background(), &pulumirpc.CheckRequest{Urn: urn(thing), News: object(t, base), Autonaming: &pulumirpc.CheckRequest_AutonamingOptions{
		ProposedName: "proposed", Mode: pulumirpc.CheckRequest_AutonamingOptions_ENFORCE,
	}})
	require.NoError(t, err)
	require.Equal(t, "proposed", resp.GetInputs().AsMap()["name"])
	_, err = s.Check(context.Background(), &pulumirpc.CheckRequest{Urn: urn(thing) + "-with-a-long-name", News: object(t, base)})
	require.ErrorContains(t, err, "longer than maximum length 20")
}

func TestUnknownValuesPassEveryCheck(t *testing.T) {
	s, _ := server(t)
	in, failures := checked(t, s, thing, Map{
		"mode": unknown, "left": unknown, "policy": unknown, "size": unknown, "list": []any{unknown}, "block": unknown, "rules": []any{Map{"port": unknown}},
	}, Map{})
	require.Empty(t, failures)
	require.Equal(t, unknown, in["size"])
}

func diff(t *testing.T, s *Server[*cloud], token string, state, oldIn, news Map, ignore ...string) *pulumirpc.DiffResponse {
	t.Helper()
	resp, err := s.Diff(context.Background(), &pulumirpc.DiffRequest{
		Id: "id-1", Urn: urn(token), Olds: object(t, state), OldInputs: object(t, oldIn), News: object(t, news), IgnoreChanges: ignore,
	})
	require.NoError(t, err)
	return resp
}

func TestDiff(t *testing.T) {
	s, _ := server(t)
	state := Map{
		"id": "id-1", "mode": "fast", "left": "l", "size": 3.0, "name": "n", "zone": "z1", "arn": "arn:lab", "hashed": "ABC", "note": "",
		"policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["a","b"],"Principal":"*"}]}`,
		"list":   []any{"a", "b"}, "set": []any{"a", "b"}, "block": Map{"kind": "k", "size": 7.0, "on": true}, "tags": Map{"a": "1"},
		"tagsAll": Map{"a": "1", "default": "yes"},
		"rules":   []any{Map{"port": 80.0, "cidrs": []any{"x", "y"}}, Map{"port": 443.0}},
	}
	in := Map{
		"mode": "fast", "left": "l", "size": 3.0, "name": "n", "hashed": "abc", "policy": state["policy"], "list": []any{"a", "b"}, "set": []any{"a", "b"},
		"block": Map{"kind": "k", "on": true}, "tags": Map{"a": "1"}, "tagsAll": Map{"a": "1", "default": "yes"},
		"rules": []any{Map{"port": 80.0, "cidrs": []any{"x", "y"}}, Map{"port": 443.0}},
	}
	const (
		add    = pulumirpc.PropertyDiff_ADD
		del    = pulumirpc.PropertyDiff_DELETE
		update = pulumirpc.PropertyDiff_UPDATE
		swap   = pulumirpc.PropertyDiff_UPDATE_REPLACE
		newly  = pulumirpc.PropertyDiff_ADD_REPLACE
	)
	type kinds map[string]pulumirpc.PropertyDiff_Kind
	for name, c := range map[string]struct {
		news   Map
		want   kinds
		ignore []string
	}{
		"nothing":                        {in, kinds{}, nil},
		"computed, left out":             {with(in, Map{"name": nil}), kinds{}, nil},
		"computed, given":                {with(in, Map{"zone": "z2"}), kinds{"zone": swap}, nil},
		"forceNew":                       {with(in, Map{"name": "m"}), kinds{"name": swap}, nil},
		"in place":                       {with(in, Map{"mode": "slow"}), kinds{"mode": update}, nil},
		"added":                          {with(in, Map{"on": true}), kinds{"on": add}, nil},
		"added, but zero":                {with(in, Map{"on": false, "note": ""}), kinds{}, nil},
		"removed":                        {with(in, Map{"tags": nil, "tagsAll": Map{"default": "yes"}}), kinds{"tags": del, "tagsAll.a": del}, nil},
		"tag":                            {with(in, Map{"tags": Map{"a": "2", "b.c": "3"}}), kinds{"tags.a": update, `tags["b.c"]`: add}, nil},
		"policy of the same meaning":     {with(in, Map{"policy": `{"Statement":{"Action":["b","a"],"Effect":"Allow","Principal":{"AWS":"*"}},"Version":"2012-10-17"}`}), kinds{}, nil},
		"policy of another meaning":      {with(in, Map{"policy": `{"Statement":{"Action":["b"],"Effect":"Allow","Principal":"*"},"Version":"2012-10-17"}`}), kinds{"policy": update}, nil},
		"order of a list":                {with(in, Map{"list": []any{"b", "a"}}), kinds{"list[0]": update, "list[1]": update}, nil},
		"order of a set":                 {with(in, Map{"set": []any{"b", "a"}}), kinds{}, nil},
		"set, smaller":                   {with(in, Map{"set": []any{"b"}}), kinds{"set[0]": del}, nil},
		"set, greater":                   {with(in, Map{"set": []any{"c", "b", "a"}}), kinds{"set[0]": add}, nil},
		"set, other":                     {with(in, Map{"set": []any{"c", "b"}}), kinds{"set[0]": update}, nil},
		"nested computed, left out":      {with(in, Map{"block": Map{"kind": "k", "on": true}}), kinds{}, nil},
		"nested":                         {with(in, Map{"block": Map{"kind": "l", "on": true, "size": 8.0}}), kinds{"block.kind": update, "block.size": update}, nil},
		"nested forceNew":                {with(in, Map{"block": Map{"kind": "k", "on": true, "seal": true}}), kinds{"block.seal": newly}, nil},
		"block removed":                  {with(in, Map{"block": nil}), kinds{"block": del}, nil},
		"set of objects, in other order": {with(in, Map{"rules": []any{Map{"port": 443.0}, Map{"port": 80.0, "cidrs": []any{"y", "x"}}}}), kinds{}, nil},
		"set of objects":                 {with(in, Map{"rules": []any{Map{"port": 80.0}, Map{"port": 443.0}}}), kinds{"rules[0]": update}, nil},
		"echo":                           {with(in, Map{"hashed": "abd"}), kinds{"hashed": update}, nil},
		"unknown":                        {with(in, Map{"mode": unknown, "note": unknown}), kinds{"mode": update, "note": add}, nil},
		"unknown forceNew":               {with(in, Map{"name": unknown}), kinds{"name": swap}, nil},
		"unknown in a list":              {with(in, Map{"list": []any{"a", unknown}}), kinds{"list[1]": update}, nil},
		"ignored":                        {with(in, Map{"name": "m", "tags": Map{"a": "2"}}), kinds{}, []string{"name", "tags"}},
		"ignored below":                  {with(in, Map{"list": []any{"x", "y"}}), kinds{"list[1]": update}, []string{"list[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := diff(t, s, thing, state, in, c.news, c.ignore...)
			got := kinds{}
			replaces := map[string]bool{}
			for path, d := range resp.GetDetailedDiff() {
				got[path] = d.GetKind()
				if k := d.GetKind(); k == swap || k == newly || k == pulumirpc.PropertyDiff_DELETE_REPLACE {
					replaces[Change{Path: path}.Top()] = true
				}
			}
			require.Equal(t, c.want, got)
			require.True(t, resp.GetHasDetailedDiff())
			require.ElementsMatch(t, sortedKeys(replaces), resp.GetReplaces())
			require.Equal(t, len(c.want) > 0, resp.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME)
			require.False(t, resp.GetDeleteBeforeReplace())
		})
	}
	require.True(t, diff(t, s, plain, Map{"key": "a"}, Map{}, Map{"key": "b"}).GetDeleteBeforeReplace())
	require.False(t, diff(t, s, plain, Map{"key": "a"}, Map{}, Map{"key": "a"}).GetDeleteBeforeReplace())
	require.Contains(t, diff(t, s, thing, state, in, in).GetStables(), "zone")
}

func TestAssetsAreComparedByHash(t *testing.T) {
	s, _ := server(t)
	asset := func(hash string) Map { return Map{sig.Key: sig.AssetSig, "hash": hash} }
	state := Map{"mode": "fast", "left": "l", "source": asset("1")}
	require.Empty(t, diff(t, s, thing, state, Map{}, with(base, Map{"source": asset("1")})).GetDetailedDiff())
	require.Contains(t, diff(t, s, thing, state, Map{}, with(base, Map{"source": asset("2")})).GetDetailedDiff(), "source")
}

func TestLifeOfAThing(t *testing.T) {
	s, c := server(t)
	ctx := context.Background()
	in, failures := checked(t, s, thing, with(base, Map{"hashed": "abc", "block": Map{"kind": "k"}, "tags": Map{"a": "1"}, "set": []any{"b", "a"}}), Map{})
	require.Empty(t, failures)

	preview, err := s.Create(ctx, &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, in), Preview: true})
	require.NoError(t, err)
	planned := preview.GetProperties().AsMap()
	require.Empty(t, c.ops, "a preview touches nothing")
	require.Equal(t, "ABC", planned["hashed"])
	require.Equal(t, unknown, planned["arn"])
	require.Equal(t, unknown, planned["zone"])
	require.Equal(t, unknown, planned["block"].(Map)["size"])
	require.Equal(t, sig.Secret, planned["password"].(Map)[sig.Key])
	require.NotContains(t, planned, "note")
	require.NotContains(t, planned, defaultsKey)

	made, err := s.Create(ctx, &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, in)})
	require.NoError(t, err)
	state := made.GetProperties().AsMap()
	require.Equal(t, "id-1", made.GetId())
	require.Equal(t, "ABC", state["hashed"])
	require.Equal(t, "arn:lab", state["arn"])
	require.Equal(t, Map{"kind": "k", "on": true, "size": 7.0}, state["block"])
	require.Equal(t, Map{"a": "1"}, state["tags"])
	require.Equal(t, Map{"a": "1", "default": "yes"}, state["tagsAll"])
	require.Equal(t, "geheim", state["password"].(Map)["value"])
	require.Empty(t, diff(t, s, thing, state, in, in).GetDetailedDiff())

	// An update: only what changed reaches the handler; unchanged inputs keep the state's form in the preview.
	news, _ := checked(t, s, thing, with(base, Map{"hashed": "abc", "block": Map{"kind": "k"}, "tags": Map{"a": "1"}, "set": []any{"a", "b"}, "note": "n"}), in)
	updatePreview, err := s.Update(ctx, &pulumirpc.UpdateRequest{Id: "id-1", Urn: urn(thing), Olds: made.GetProperties(), OldInputs: object(t, in), News: object(t, news), Preview: true})
	require.NoError(t, err)
	planned = updatePreview.GetProperties().AsMap()
	require.Equal(t, "n", planned["note"])
	require.Equal(t, unknown, planned["arn"], "volatile")
	require.Equal(t, "z1", planned["zone"])
	require.Equal(t, []any{"b", "a"}, planned["set"])
	updated, err := s.Update(ctx, &pulumirpc.UpdateRequest{Id: "id-1", Urn: urn(thing), Olds: made.GetProperties(), OldInputs: object(t, in), News: object(t, news)})
	require.NoError(t, err)
	require.Equal(t, []string{"create", "update note"}, c.ops)
	state = updated.GetProperties().AsMap()
	require.Equal(t, "geheim", state["password"].(Map)["value"], "what only the create knew stays")

	// Drift shows in the state and in the inputs of a refresh, and the next diff repairs it.
	c.things["id-1"]["mode"] = "slow"
	c.things["id-1"]["tags"] = Map{"a": "2", "default": "yes"}
	read, err := s.Read(ctx, &pulumirpc.ReadRequest{Id: "id-1", Urn: urn(thing), Properties: updated.GetProperties(), Inputs: object(t, news)})
	require.NoError(t, err)
	require.Equal(t, "slow", read.GetProperties().AsMap()["mode"])
	require.Equal(t, "slow", read.GetInputs().AsMap()["mode"])
	require.Equal(t, Map{"a": "2"}, read.GetInputs().AsMap()["tags"])
	require.Equal(t, "abc", read.GetInputs().AsMap()["hashed"], "an input that the state only hashes stays")
	drift := diff(t, s, thing, read.GetProperties().AsMap(), news, news)
	require.ElementsMatch(t, []string{"mode", "tags", "tagsAll"}, drift.GetDiffs())

	// An import has no inputs to start from.
	imported, err := s.Read(ctx, &pulumirpc.ReadRequest{Id: "id-1", Urn: urn(thing)})
	require.NoError(t, err)
	require.Equal(t, "slow", imported.GetInputs().AsMap()["mode"])
	require.NotContains(t, imported.GetInputs().AsMap(), "arn")
	require.NotContains(t, imported.GetInputs().AsMap(), "size", "at its default")

	_, err = s.Delete(ctx, &pulumirpc.DeleteRequest{Id: "id-1", Urn: urn(thing), Properties: updated.GetProperties()})
	require.NoError(t, err)
	gone, err := s.Read(ctx, &pulumirpc.ReadRequest{Id: "id-1", Urn: urn(thing), Properties: updated.GetProperties(), Inputs: object(t, news)})
	require.NoError(t, err)
	require.Empty(t, gone.GetId())
}

func TestFailedCreateKeepsWhatExists(t *testing.T) {
	s, c := server(t)
	in, _ := checked(t, s, thing, base, Map{})
	c.fail = errors.New("never became ready")
	_, err := s.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, in)})
	require.ErrorContains(t, err, "never became ready")
	details := status.Convert(err).Details()
	require.Len(t, details, 1)
	failed, ok := details[0].(*pulumirpc.ErrorResourceInitFailed)
	require.True(t, ok, "%T", details[0])
	require.Equal(t, "id-1", failed.GetId())
	require.Equal(t, "fast", failed.GetProperties().AsMap()["mode"])
}

// TestFailedUpdateIsRecorded: the state has what the update was to change, so that the next one has nothing to change.
func TestFailedUpdateIsRecorded(t *testing.T) {
	s, c := server(t)
	ctx := context.Background()
	in, _ := checked(t, s, thing, with(base, Map{"hashed": "abc"}), Map{})
	made, err := s.Create(ctx, &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, in)})
	require.NoError(t, err)
	news, _ := checked(t, s, thing, with(base, Map{"hashed": "def"}), in)
	c.fail = errors.New("did not start")
	_, err = s.Update(ctx, &pulumirpc.UpdateRequest{Id: "id-1", Urn: urn(thing), Olds: made.GetProperties(), OldInputs: object(t, in), News: object(t, news)})
	require.ErrorContains(t, err, "did not start")
	details := status.Convert(err).Details()
	require.Len(t, details, 1)
	failed, ok := details[0].(*pulumirpc.ErrorResourceInitFailed)
	require.True(t, ok, "%T", details[0])
	state := failed.GetProperties().AsMap()
	require.Equal(t, "DEF", state["hashed"])
	require.Equal(t, "arn:lab", state["arn"])
	require.Empty(t, diff(t, s, thing, state, news, news).GetDetailedDiff())
}

func TestSecretAndOutputValues(t *testing.T) {
	s, _ := server(t)
	secret := func(v any) Map { return Map{sig.Key: sig.Secret, "value": v} }
	output := func(v any, isSecret bool) Map {
		out := Map{sig.Key: sig.OutputValue, "secret": isSecret, "dependencies": []any{}}
		if v != nil {
			out["value"] = v
		}
		return out
	}
	in, failures := checked(t, s, thing, Map{"mode": output("fast", false), "left": secret("l"), "note": output("n", true), "list": []any{output(nil, false)}}, Map{})
	require.Empty(t, failures)
	require.Equal(t, "fast", in["mode"])
	require.Equal(t, secret("l"), in["left"])
	require.Equal(t, secret("n"), in["note"])
	require.Equal(t, []any{unknown}, in["list"])
	in["list"] = []any{"x"}
	made, err := s.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, in)})
	require.NoError(t, err)
	require.Equal(t, secret("n"), made.GetProperties().AsMap()["note"], "what came secret goes back secret")
	require.Empty(t, diff(t, s, thing, made.GetProperties().AsMap(), in, in).GetDetailedDiff(), "secrecy is no difference")
}

func TestPrefixMakesAName(t *testing.T) {
	s, c := server(t)
	in, _ := checked(t, s, thing, with(base, Map{"namePrefix": "pre-"}), Map{})
	made, err := s.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, in)})
	require.NoError(t, err)
	name := made.GetProperties().AsMap()["name"].(string)
	require.Regexp(t, `^pre-[0-9a-f]{26}$`, name)
	require.Equal(t, name, c.things["id-1"]["name"])
	require.Empty(t, diff(t, s, thing, made.GetProperties().AsMap(), in, in).GetDetailedDiff())
}

func TestWhatTheProviderDoesNotKnow(t *testing.T) {
	s, _ := server(t)
	ctx := context.Background()
	_, err := s.Check(ctx, &pulumirpc.CheckRequest{Urn: urn("lab:index/other:Other")})
	require.ErrorContains(t, err, "unrecognized resource type")
	_, err = s.Check(ctx, &pulumirpc.CheckRequest{Urn: urn("lab:index/get:get")})
	require.ErrorContains(t, err, "unrecognized resource type", "a function is no resource")
	_, err = s.Invoke(ctx, &pulumirpc.InvokeRequest{Tok: "lab:index/other:other"})
	require.ErrorContains(t, err, "unrecognized function")
	resp, err := s.Invoke(ctx, &pulumirpc.InvokeRequest{Tok: "lab:index/get:get", Args: object(t, Map{"idd": "x"})})
	require.NoError(t, err)
	require.Len(t, resp.GetFailures(), 2, "an argument too many and one missing")
	resp, err = s.Invoke(ctx, &pulumirpc.InvokeRequest{Tok: "lab:index/get:get", Args: object(t, Map{"id": "x"})})
	require.NoError(t, err)
	require.Equal(t, Map{"id": "x", "value": Map{sig.Key: sig.Secret, "value": "of x"}}, resp.GetReturn().AsMap())
	_, err = s.Create(ctx, &pulumirpc.CreateRequest{Urn: urn(thing), Properties: object(t, Map{"mode": unknown})})
	require.ErrorContains(t, err, "unknown outside a preview")
}

func TestDiffConfig(t *testing.T) {
	s, _ := server(t)
	resp, err := s.DiffConfig(context.Background(), &pulumirpc.DiffRequest{
		OldInputs: object(t, Map{"region": "a", "version": "1", "tags": Map{"x": "1"}}), News: object(t, Map{"region": "b", "version": "2", "tags": Map{"x": "1"}}),
	})
	require.NoError(t, err)
	require.Equal(t, []string{"region"}, resp.GetReplaces())
	require.Equal(t, []string{"region"}, resp.GetDiffs())
	resp, err = s.DiffConfig(context.Background(), &pulumirpc.DiffRequest{OldInputs: object(t, Map{"region": "a"}), News: object(t, Map{"region": "a", "profile": "p"})})
	require.NoError(t, err)
	require.Equal(t, pulumirpc.DiffResponse_DIFF_SOME, resp.GetChanges())
	require.Empty(t, resp.GetReplaces())
}

func TestCancelEndsWaits(t *testing.T) {
	s, _ := server(t)
	ctx, done := s.operation(context.Background(), 0)
	defer done()
	_, err := s.Cancel(context.Background(), nil)
	require.NoError(t, err)
	err = Wait(ctx, 1<<40, "nothing", func(context.Context) (bool, error) { return false, nil })
	require.ErrorIs(t, err, context.Canceled)
}

func TestPaths(t *testing.T) {
	require.Equal(t, []string{"a", "b", "0", "c.d"}, segments(`a.b[0]["c.d"]`))
	require.True(t, under("rules[3].port", []string{"rules[*].port"}))
	require.True(t, under("tags.a", []string{"tags"}))
	require.False(t, under("tagsAll.a", []string{"tags"}))
}
