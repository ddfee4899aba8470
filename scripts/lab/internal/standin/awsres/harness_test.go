package awsres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// world is a configured provider whose calls go to an endpoint of the test's.
type world struct {
	t      *testing.T
	server *engine.Server[*Client]
	// moto says that the endpoint is moto, which does not have everything.
	moto bool
}

// newWorld configures a provider in a region. Endpoint and credentials come from the environment, as in a plugin.
func newWorld(t *testing.T, region string, config m) *world {
	t.Helper()
	w := &world{t: t, server: engine.NewServer(Package("0.0.1"), "")}
	args := m{"region": region}
	for k, v := range config {
		args[k] = v
	}
	_, err := w.server.Configure(context.Background(), &pulumirpc.ConfigureRequest{Args: object(t, args)})
	require.NoError(t, err)
	return w
}

// object encodes a map; nested maps and lists may hold plain Go values.
func object(t *testing.T, in m) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(in)
	require.NoError(t, err)
	return s
}

// fixture is one resource on its way through the protocol.
type fixture struct {
	w           *world
	token, name string
	id          string
	inputs      *structpb.Struct
	state       *structpb.Struct
}

func urn(token, name string) string { return "urn:pulumi:test::test::" + token + "::" + name }

// check runs Check and returns the checked inputs and the failures.
func (w *world) check(token, name string, in m, olds *structpb.Struct) (*structpb.Struct, []*pulumirpc.CheckFailure) {
	w.t.Helper()
	resp, err := w.server.Check(context.Background(), &pulumirpc.CheckRequest{
		Urn: urn(token, name), News: object(w.t, in), Olds: olds, RandomSeed: []byte("the seed of a test, 32 bytes....."),
	})
	require.NoError(w.t, err, "%s: check", token)
	return resp.GetInputs(), resp.GetFailures()
}

// create makes a resource and holds it against the rules that every type must keep: the preview knows what the inputs
// say, the state holds every output, a second run and a refresh differ in nothing.
func (w *world) create(token, name string, in m) *fixture {
	w.t.Helper()
	ctx := context.Background()
	inputs, failures := w.check(token, name, in, nil)
	require.Empty(w.t, failures, "%s: check", token)

	preview, err := w.server.Create(ctx, &pulumirpc.CreateRequest{Urn: urn(token, name), Properties: inputs, Preview: true})
	require.NoError(w.t, err, "%s: preview", token)
	require.Empty(w.t, preview.GetId())

	made, err := w.server.Create(ctx, &pulumirpc.CreateRequest{Urn: urn(token, name), Properties: inputs})
	require.NoError(w.t, err, "%s: create", token)
	require.NotEmpty(w.t, made.GetId(), "%s: id", token)
	f := &fixture{w: w, token: token, name: name, id: made.GetId(), inputs: inputs, state: made.GetProperties()}
	f.holds(preview.GetProperties())
	f.unchanged("after create")
	f.refresh()
	f.unchanged("after refresh")
	return f
}

// holds checks the state against the preview: what the preview knew must have come true, and every output that it called
// unknown must be there now.
func (f *fixture) holds(preview *structpb.Struct) {
	t := f.w.t
	t.Helper()
	facts := Package("").Facts[f.token]
	for k, v := range preview.GetFields() {
		_, ok := f.state.GetFields()[k]
		if v.GetStringValue() == sig.UnknownStringValue {
			if facts.Outputs[k] && !ok && !optionalOutputs[f.token+"."+k] {
				t.Errorf("%s: the state has no output %q", f.token, k)
			}
			continue
		}
		require.True(t, ok, "%s: the preview promised %q", f.token, k)
	}
	for k := range f.state.GetFields() {
		if facts.Inputs.Properties[k] == nil && !facts.Outputs[k] && k != "id" {
			t.Errorf("%s: the state has %q, which the type does not have", f.token, k)
		}
	}
}

// optionalOutputs are outputs that only exist in some configurations.
var optionalOutputs = map[string]bool{
	"aws:s3/bucketV2:BucketV2.websiteDomain": true, "aws:s3/bucketV2:BucketV2.websiteEndpoint": true,
	"aws:ec2/instance:Instance.userData": true,
}

// diff compares inputs with the state.
func (f *fixture) diff(inputs *structpb.Struct) *pulumirpc.DiffResponse {
	f.w.t.Helper()
	resp, err := f.w.server.Diff(context.Background(), &pulumirpc.DiffRequest{
		Id: f.id, Urn: urn(f.token, f.name), Olds: f.state, OldInputs: f.inputs, News: inputs,
	})
	require.NoError(f.w.t, err, "%s: diff", f.token)
	return resp
}

func (f *fixture) unchanged(when string) {
	f.w.t.Helper()
	resp := f.diff(f.inputs)
	require.Equal(f.w.t, pulumirpc.DiffResponse_DIFF_NONE, resp.GetChanges(), "%s: %s: %v", f.token, when, resp.GetDetailedDiff())
}

// refresh reads the resource and takes its state over.
func (f *fixture) refresh() {
	f.w.t.Helper()
	resp, err := f.w.server.Read(context.Background(), &pulumirpc.ReadRequest{Id: f.id, Urn: urn(f.token, f.name), Properties: f.state, Inputs: f.inputs})
	require.NoError(f.w.t, err, "%s: read", f.token)
	require.Equal(f.w.t, f.id, resp.GetId(), "%s: read", f.token)
	f.state = resp.GetProperties()
	require.Empty(f.w.t, difference(f.inputs, resp.GetInputs()), "%s: a refresh changed the inputs", f.token)
}

func difference(a, b *structpb.Struct) string {
	var out []string
	for k, v := range a.GetFields() {
		if w, ok := b.GetFields()[k]; !ok || w.String() != v.String() {
			out = append(out, fmt.Sprintf("%s: %v became %v", k, v, w))
		}
	}
	for k, w := range b.GetFields() {
		if _, ok := a.GetFields()[k]; !ok {
			out = append(out, fmt.Sprintf("%s: %v is new", k, w))
		}
	}
	return strings.Join(out, "; ")
}

// update changes the inputs in place and checks that exactly the given properties were seen to differ.
func (f *fixture) update(in m, changed ...string) {
	f.w.t.Helper()
	ctx := context.Background()
	inputs, failures := f.w.check(f.token, f.name, in, f.inputs)
	require.Empty(f.w.t, failures, "%s: check", f.token)
	resp := f.diff(inputs)
	require.ElementsMatch(f.w.t, changed, resp.GetDiffs(), "%s: %v", f.token, resp.GetDetailedDiff())
	require.Empty(f.w.t, resp.GetReplaces(), "%s: the update replaces", f.token)
	_, err := f.w.server.Update(ctx, &pulumirpc.UpdateRequest{
		Id: f.id, Urn: urn(f.token, f.name), Olds: f.state, OldInputs: f.inputs, News: inputs, Preview: true,
	})
	require.NoError(f.w.t, err, "%s: preview of the update", f.token)
	done, err := f.w.server.Update(ctx, &pulumirpc.UpdateRequest{Id: f.id, Urn: urn(f.token, f.name), Olds: f.state, OldInputs: f.inputs, News: inputs})
	require.NoError(f.w.t, err, "%s: update", f.token)
	f.inputs, f.state = inputs, done.GetProperties()
	f.unchanged("after update")
	f.refresh()
	f.unchanged("after update and refresh")
}

// replaces checks that a change of inputs would replace the resource, and by which properties.
func (f *fixture) replaces(in m, by ...string) {
	f.w.t.Helper()
	inputs, failures := f.w.check(f.token, f.name, in, f.inputs)
	require.Empty(f.w.t, failures, "%s: check", f.token)
	require.ElementsMatch(f.w.t, by, f.diff(inputs).GetReplaces(), "%s", f.token)
}

// delete removes the resource, twice: the second time it is gone already.
func (f *fixture) delete() {
	f.w.t.Helper()
	for range 2 {
		_, err := f.w.server.Delete(context.Background(), &pulumirpc.DeleteRequest{Id: f.id, Urn: urn(f.token, f.name), Properties: f.state, OldInputs: f.inputs})
		require.NoError(f.w.t, err, "%s: delete", f.token)
	}
}

// gone checks that a refresh finds nothing.
func (f *fixture) gone() {
	f.w.t.Helper()
	resp, err := f.w.server.Read(context.Background(), &pulumirpc.ReadRequest{Id: f.id, Urn: urn(f.token, f.name), Properties: f.state, Inputs: f.inputs})
	require.NoError(f.w.t, err, "%s: read", f.token)
	require.Empty(f.w.t, resp.GetId(), "%s: still there", f.token)
}

// text returns a text of the state, "" where it is not there. Secrets are unwrapped.
func (f *fixture) text(name string) string {
	v := f.state.GetFields()[name]
	if s := v.GetStructValue(); s != nil && s.GetFields()[sig.Key].GetStringValue() == sig.Secret {
		v = s.GetFields()["value"]
	}
	return v.GetStringValue()
}

// secret says whether a property of the state is secret.
func (f *fixture) secret(name string) bool {
	return f.state.GetFields()[name].GetStructValue().GetFields()[sig.Key].GetStringValue() == sig.Secret
}

// invoke calls a function.
func (w *world) invoke(token string, in m) m {
	w.t.Helper()
	resp, err := w.server.Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: token, Args: object(w.t, in)})
	require.NoError(w.t, err, token)
	require.Empty(w.t, resp.GetFailures(), token)
	return resp.GetReturn().AsMap()
}
