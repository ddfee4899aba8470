package engine

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// Package is a provider: its facts, its handlers and its configuration. C is the client that Configure makes.
type Package[C any] struct {
	Name, Version string
	Facts         facts.Table
	Resources     map[string]*Resource[C]
	Functions     map[string]Function[C]
	// CheckConfig checks the provider's own inputs: it returns them with defaults, and what is wrong.
	CheckConfig func(in Map) (Map, []Failure)
	// ReplaceOn names the provider inputs whose change replaces the provider and all of its resources.
	ReplaceOn []string
	// Configure makes the client from the provider's inputs.
	Configure func(ctx context.Context, in Map) (C, error)
	// TagsAll merges the provider's default tags with a resource's own, given a client; nil for a provider without tags.
	TagsAll func(client C, tags Map) Map
	// OwnTags returns of all the tags that a resource carries those that are its own, given the tags in its old inputs.
	OwnTags func(client C, all, old Map) Map
}

// Server serves a Package by Pulumi's protocol.
type Server[C any] struct {
	pulumirpc.UnimplementedResourceProviderServer
	pkg Package[C]

	client     C
	configured atomic.Bool
	host       host

	stop     context.Context
	stopFunc context.CancelFunc
}

// NewServer returns a server of pkg that reports warnings to the Pulumi engine at engineAddress ("" for none).
func NewServer[C any](pkg Package[C], engineAddress string) *Server[C] {
	stop, stopFunc := context.WithCancel(context.Background()) // #nosec G118 -- Cancel calls it
	return &Server[C]{pkg: pkg, host: host{address: engineAddress}, stop: stop, stopFunc: stopFunc}
}

// GetPluginInfo answers the provider's version.
func (s *Server[C]) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: s.pkg.Version}, nil
}

// Attach lets an engine that found the provider already running say where it listens.
func (s *Server[C]) Attach(_ context.Context, req *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	s.host.attach(req.GetAddress())
	return &emptypb.Empty{}, nil
}

// GetSchema answers the least that a schema must have: programs bring their SDK, and nothing here generates one.
func (s *Server[C]) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{
		Schema: fmt.Sprintf(`{"name":%q,"version":%q}`, s.pkg.Name, s.pkg.Version),
	}, nil
}

// Cancel ends the operations under way.
func (s *Server[C]) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	s.stopFunc()
	return &emptypb.Empty{}, nil
}

// CheckConfig checks the provider's inputs.
func (s *Server[C]) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	in, failures := s.pkg.CheckConfig(revealMap(news))
	return checkResponse(in, news, failures)
}

// DiffConfig says what a change of the provider's inputs means.
func (s *Server[C]) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	old := req.GetOldInputs()
	if old == nil {
		old = req.GetOlds()
	}
	was, err := decode(old)
	if err != nil {
		return nil, err
	}
	now, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	was, now = revealMap(was), revealMap(now)
	var changes []Change
	keys := map[string]bool{}
	for k := range was {
		keys[k] = true
	}
	for k := range now {
		keys[k] = true
	}
	for _, k := range sortedKeys(keys) {
		d := &differ{}
		switch {
		case k == "version" || k == defaultsKey:
			continue
		case isZero(was[k]) && isZero(now[k]):
			continue
		case isZero(now[k]):
			d.add(k, Deleted, false)
		case containsUnknown(now[k]):
			d.add(k, Updated, false)
		default:
			p := &facts.Property{Name: k, Path: k}
			p.Type = "map"
			d.property(p, was[k], now[k], k, false)
		}
		for _, c := range d.changes {
			// Unknown is no reason to replace: the value may well be the same.
			c.Replace = contains(s.pkg.ReplaceOn, k) && !containsUnknown(now[k])
			changes = append(changes, c)
		}
	}
	return diffResponse(changes, nil, false), nil
}

// Configure makes the client.
func (s *Server[C]) Configure(ctx context.Context, req *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	in, err := decode(req.GetArgs())
	if err != nil {
		return nil, err
	}
	ctx, done := s.operation(ctx, 0)
	defer done()
	client, err := s.pkg.Configure(ctx, revealMap(in))
	if err != nil {
		return nil, err
	}
	s.client = client
	s.configured.Store(true)
	return &pulumirpc.ConfigureResponse{SupportsPreview: true, SupportsAutonamingConfiguration: true}, nil
}

// Check fills in and judges a resource's inputs.
func (s *Server[C]) Check(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	t, r, name, err := s.find(req.GetUrn())
	if err != nil {
		return nil, err
	}
	marked, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	oldsMarked, err := decode(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, olds := revealMap(marked), revealMap(oldsMarked)
	in, failures, warnings := checkInputs(t, name, news, olds)
	if err := autoName(t, name, in, olds, req.GetRandomSeed(), naming(req.GetAutonaming())); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	final := &check{name: name}
	final.rules(t.Inputs, in, news, "")
	if a := t.AutoName; a != nil {
		if defaultedIn(in, a.Property) {
			final.limits(t.Inputs.Properties[a.Property], in[a.Property], a.Property)
		}
	}
	failures = append(failures, final.failures...)
	if r.Check != nil && len(failures) == 0 {
		r.Check(&Checker[C]{Client: s.client, Name: name, In: in, Old: olds, failures: &failures, warnings: &warnings})
	}
	if t.HasTags() && s.pkg.TagsAll != nil {
		switch tags := in["tags"].(type) {
		case Unknown:
			in["tagsAll"] = Unknown{}
		case Map:
			if containsUnknown(tags) {
				in["tagsAll"] = Unknown{}
			} else {
				in["tagsAll"] = s.pkg.TagsAll(s.client, tags)
			}
		default:
			in["tagsAll"] = s.pkg.TagsAll(s.client, Map{})
		}
	}
	for _, w := range warnings {
		s.host.warn(req.GetUrn(), w)
	}
	return checkResponse(in, marked, failures)
}

// Diff compares new inputs with the old state.
func (s *Server[C]) Diff(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	t, r, _, err := s.find(req.GetUrn())
	if err != nil {
		return nil, err
	}
	old, oldIn, news, err := decodeThree(req.GetOlds(), req.GetOldInputs(), req.GetNews())
	if err != nil {
		return nil, err
	}
	d := s.difference(t, r, old, oldIn, news, req.GetIgnoreChanges())
	var stables []string
	for _, name := range t.Inputs.Order {
		if t.Inputs.Properties[name].ForceNew && !d.Has(name) {
			stables = append(stables, name)
		}
	}
	return diffResponse(d.Changes, stables, d.DeleteBeforeReplace), nil
}

func (s *Server[C]) difference(t *facts.Type, r *Resource[C], old, oldIn, news Map, ignore []string) *Difference[C] {
	d := &Difference[C]{
		Client: s.client, In: news, Old: old, OldIn: oldIn,
		Changes: compare(t, old, news, r.Same, r.Echo), DeleteBeforeReplace: t.DeleteBeforeReplace,
	}
	if r.Diff != nil {
		r.Diff(d)
	}
	if len(ignore) > 0 {
		d.DropPaths(ignore...)
	}
	return d
}

// Create makes a resource, or says what a preview knows of it.
func (s *Server[C]) Create(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	t, r, name, err := s.find(req.GetUrn())
	if err != nil {
		return nil, err
	}
	marked, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	in := revealMap(marked)
	if req.GetPreview() {
		var echo map[string]func(any) any
		if r.PreviewEcho {
			echo = r.Echo
		}
		state, err := s.properties(t, plannedCreate(t, in, echo), marked)
		if err != nil {
			return nil, err
		}
		return &pulumirpc.CreateResponse{Properties: state}, nil
	}
	if err := s.mustKnow(in); err != nil {
		return nil, err
	}
	ctx, done := s.operation(ctx, req.GetTimeout())
	defer done()
	nameFromPrefix(t, in)
	call := &Call[C]{Client: s.client, Type: t, Name: name, In: in}
	id, extra, err := r.Create(ctx, call)
	if err != nil && id == "" {
		return nil, opError(err)
	}
	state, readErr := s.readBack(ctx, r, call, id, extra)
	if err == nil {
		err = readErr
	}
	props, encErr := s.properties(t, state, marked)
	if encErr != nil {
		return nil, encErr
	}
	if err != nil {
		return nil, notReady(id, props, req.GetProperties(), err)
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: props}, nil
}

// readBack returns the state after a create or update: the inputs, what the handler added, and what the cloud says.
func (s *Server[C]) readBack(ctx context.Context, r *Resource[C], call *Call[C], id string, extra Map) (Map, error) {
	state := settle(call.Type, call.In, extra, nil, r.Echo)
	state["id"] = id
	if r.Read == nil {
		return state, nil
	}
	old := cloneMap(state)
	for k, v := range call.Old { // an update: what the old state knew may help to find the resource
		if _, has := old[k]; !has {
			old[k] = v
		}
	}
	read, err := r.Read(ctx, &Call[C]{
		Client: call.Client, Type: call.Type, Name: call.Name, ID: id, In: call.In, Old: old, Changed: call.Changed,
	})
	if err != nil {
		if errors.Is(err, ErrGone) {
			err = fmt.Errorf("reading back %s: %w", id, err)
		}
		return state, err
	}
	s.splitTags(call.Type, read, mapOf(call.In["tags"]))
	state = settle(call.Type, call.In, extra, read, r.Echo)
	state["id"] = id
	return state, nil
}

// splitTags turns the tags that a handler read (all of them, as "tags") into the resource's own and tagsAll.
func (s *Server[C]) splitTags(t *facts.Type, read, own Map) {
	all, ok := read["tags"].(Map)
	if !ok || !t.HasTags() {
		return
	}
	read["tagsAll"] = all
	if s.pkg.OwnTags != nil {
		all = s.pkg.OwnTags(s.client, all, own)
		read["tagsAll"] = s.pkg.TagsAll(s.client, cloneMap(all))
	}
	read["tags"] = all
}

// Read refreshes a resource, or imports one by its id.
func (s *Server[C]) Read(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	t, r, name, err := s.find(req.GetUrn())
	if err != nil {
		return nil, err
	}
	markedState, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	markedIn, err := decode(req.GetInputs())
	if err != nil {
		return nil, err
	}
	old, oldIn := revealMap(markedState), revealMap(markedIn)
	ctx, done := s.operation(ctx, req.GetTimeout())
	defer done()
	id := req.GetId()
	state := old
	if r.Read != nil {
		read, err := r.Read(ctx, &Call[C]{Client: s.client, Type: t, Name: name, ID: id, In: old, Old: old})
		if errors.Is(err, ErrGone) {
			return &pulumirpc.ReadResponse{}, nil
		}
		if err != nil {
			return nil, opError(err)
		}
		own := mapOf(oldIn["tags"])
		if own == nil {
			own = mapOf(old["tags"])
		}
		s.splitTags(t, read, own)
		state = refreshed(t, old, read, r.Same)
	}
	state["id"] = id
	in := inputsOf(t, oldIn, state, r.Same, r.Echo)
	inputs, err := encode(withMarks(in, markedIn))
	if err != nil {
		return nil, err
	}
	props, err := s.properties(t, state, markedState)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.ReadResponse{Id: id, Properties: props, Inputs: inputs}, nil
}

// Update changes a resource in place, or says what a preview knows of it.
func (s *Server[C]) Update(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	t, r, name, err := s.find(req.GetUrn())
	if err != nil {
		return nil, err
	}
	marked, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	old, oldIn, in, err := decodeThree(req.GetOlds(), req.GetOldInputs(), req.GetNews())
	if err != nil {
		return nil, err
	}
	d := s.difference(t, r, old, oldIn, in, req.GetIgnoreChanges())
	changed := map[string]bool{}
	for _, c := range d.Changes {
		changed[c.Top()] = true
	}
	if req.GetPreview() {
		var echo map[string]func(any) any
		if r.PreviewEcho {
			echo = r.Echo
		}
		var volatile []string
		if r.Volatile != nil {
			volatile = r.Volatile(changed)
		}
		props, err := s.properties(t, plannedUpdate(t, old, in, changed, echo, volatile), marked)
		if err != nil {
			return nil, err
		}
		return &pulumirpc.UpdateResponse{Properties: props}, nil
	}
	if err := s.mustKnow(in); err != nil {
		return nil, err
	}
	ctx, done := s.operation(ctx, req.GetTimeout())
	defer done()
	call := &Call[C]{Client: s.client, Type: t, Name: name, ID: req.GetId(), In: in, Old: old, Changed: changed}
	for _, n := range t.Inputs.Order { // a name that an earlier create made from a prefix stays
		p := t.Inputs.Properties[n]
		if v, has := old[n]; has && p.Computed && p.ForceNew && !Has(in, n) {
			call.In[n] = v
		}
	}
	var extra Map
	if r.Update != nil {
		if extra, err = r.Update(ctx, call); err != nil && !r.Recorded {
			return nil, opError(err)
		}
	}
	var state Map
	if err != nil {
		state = settle(t, call.In, extra, nil, r.Echo)
		state["id"] = req.GetId()
	} else {
		state, err = s.readBack(ctx, r, call, req.GetId(), extra)
	}
	for k, v := range old { // outputs that only the create could know
		if _, has := state[k]; !has && t.Outputs[k] {
			state[k] = v
		}
		if p := t.Inputs.Properties[k]; p != nil && p.Computed {
			if _, has := state[k]; !has {
				state[k] = v
			}
		}
	}
	props, encErr := s.properties(t, state, marked)
	if encErr != nil {
		return nil, encErr
	}
	if err != nil {
		return nil, notReady(req.GetId(), props, req.GetNews(), err)
	}
	return &pulumirpc.UpdateResponse{Properties: props}, nil
}

// Delete removes a resource.
func (s *Server[C]) Delete(ctx context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	t, r, name, err := s.find(req.GetUrn())
	if err != nil {
		return nil, err
	}
	old, oldIn, _, err := decodeThree(req.GetProperties(), req.GetOldInputs(), nil)
	if err != nil {
		return nil, err
	}
	ctx, done := s.operation(ctx, req.GetTimeout())
	defer done()
	if r.Delete != nil {
		call := &Call[C]{Client: s.client, Type: t, Name: name, ID: req.GetId(), In: oldIn, Old: old}
		if err := r.Delete(ctx, call); err != nil {
			return nil, opError(err)
		}
	}
	return &emptypb.Empty{}, nil
}

// Invoke calls a function.
func (s *Server[C]) Invoke(ctx context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	t, f := s.pkg.Facts[req.GetTok()], s.pkg.Functions[req.GetTok()]
	if t == nil || !t.Function || f == nil {
		return nil, status.Errorf(codes.Unimplemented, "unrecognized function %q (the stand-in %s provider knows only the functions that this project uses)",
			req.GetTok(), s.pkg.Name)
	}
	marked, err := decode(req.GetArgs())
	if err != nil {
		return nil, err
	}
	news := revealMap(marked)
	in, failures, _ := checkInputs(t, req.GetTok(), news, Map{})
	final := &check{name: req.GetTok()}
	final.rules(t.Inputs, in, news, "")
	failures = append(failures, final.failures...)
	if len(failures) > 0 {
		return &pulumirpc.InvokeResponse{Failures: wire(failures)}, nil
	}
	if err := s.mustKnow(in); err != nil {
		return nil, err
	}
	delete(in, defaultsKey)
	ctx, done := s.operation(ctx, 0)
	defer done()
	out, err := f(ctx, &Call[C]{Client: s.client, Type: t, In: in})
	if err != nil {
		return nil, fmt.Errorf("invoking %s: %w", req.GetTok(), err)
	}
	for k, v := range in {
		if _, has := out[k]; !has {
			out[k] = v
		}
	}
	result, err := encode(secrets(t, out))
	if err != nil {
		return nil, err
	}
	return &pulumirpc.InvokeResponse{Return: result}, nil
}

// find returns the facts and handlers of the resource that a URN names, and its logical name.
func (s *Server[C]) find(urn string) (*facts.Type, *Resource[C], string, error) {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) != 4 {
		return nil, nil, "", status.Errorf(codes.InvalidArgument, "%q is not a URN", urn)
	}
	qualified := parts[2]
	token := qualified[strings.LastIndex(qualified, "$")+1:]
	t, r := s.pkg.Facts[token], s.pkg.Resources[token]
	if t == nil || t.Function || r == nil {
		return nil, nil, "", status.Errorf(codes.InvalidArgument,
			"unrecognized resource type %q (the stand-in %s provider knows only the types that this project uses)", token, s.pkg.Name)
	}
	return t, r, parts[3], nil
}

// properties encodes a state with the secretness of the facts and of the inputs that the peer marked.
func (s *Server[C]) properties(t *facts.Type, state, marked Map) (*structpb.Struct, error) {
	out := secrets(t, state)
	remark(out, marked)
	return encode(out)
}

func withMarks(m, marked Map) Map {
	remark(m, marked)
	return m
}

// mustKnow refuses unknown values outside previews: the Pulumi engine never sends them.
func (s *Server[C]) mustKnow(in Map) error {
	if containsUnknown(in) {
		return status.Error(codes.InvalidArgument, "an input is unknown outside a preview")
	}
	return nil
}

// operation returns the context of one operation: it ends with the request, with Cancel and after seconds (0: never).
func (s *Server[C]) operation(ctx context.Context, seconds float64) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.stop, cancel)
	if seconds > 0 {
		var cancelTimer context.CancelFunc
		ctx, cancelTimer = context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
		return ctx, func() { stop(); cancelTimer(); cancel() }
	}
	return ctx, func() { stop(); cancel() }
}

func naming(o *pulumirpc.CheckRequest_AutonamingOptions) *Naming {
	if o == nil {
		return nil
	}
	return &Naming{
		Proposed: o.GetProposedName(),
		Enforced: o.GetMode() == pulumirpc.CheckRequest_AutonamingOptions_ENFORCE,
		Disabled: o.GetMode() == pulumirpc.CheckRequest_AutonamingOptions_DISABLE,
	}
}

func decodeThree(a, b, c *structpb.Struct) (Map, Map, Map, error) {
	out := [3]Map{}
	for i, s := range []*structpb.Struct{a, b, c} {
		m, err := decode(s)
		if err != nil {
			return nil, nil, nil, err
		}
		out[i] = revealMap(m)
	}
	return out[0], out[1], out[2], nil
}

func checkResponse(in, marked Map, failures []Failure) (*pulumirpc.CheckResponse, error) {
	remark(in, marked)
	inputs, err := encode(in)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: wire(failures)}, nil
}

func wire(failures []Failure) []*pulumirpc.CheckFailure {
	var out []*pulumirpc.CheckFailure
	for _, f := range failures {
		out = append(out, &pulumirpc.CheckFailure{Property: f.Property, Reason: f.Reason})
	}
	return out
}

func diffResponse(changes []Change, stables []string, deleteBeforeReplace bool) *pulumirpc.DiffResponse {
	resp := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, Stables: stables, HasDetailedDiff: true,
		DetailedDiff: map[string]*pulumirpc.PropertyDiff{},
	}
	diffs, replaces := map[string]bool{}, map[string]bool{}
	for _, c := range changes {
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
		diffs[c.Top()] = true
		kind := map[Kind][2]pulumirpc.PropertyDiff_Kind{
			Added:   {pulumirpc.PropertyDiff_ADD, pulumirpc.PropertyDiff_ADD_REPLACE},
			Deleted: {pulumirpc.PropertyDiff_DELETE, pulumirpc.PropertyDiff_DELETE_REPLACE},
			Updated: {pulumirpc.PropertyDiff_UPDATE, pulumirpc.PropertyDiff_UPDATE_REPLACE},
		}[c.Kind]
		k := kind[0]
		if c.Replace {
			replaces[c.Top()] = true
			k = kind[1]
		}
		resp.DetailedDiff[c.Path] = &pulumirpc.PropertyDiff{Kind: k}
	}
	resp.Diffs, resp.Replaces = sortedKeys(diffs), sortedKeys(replaces)
	resp.DeleteBeforeReplace = deleteBeforeReplace && len(replaces) > 0
	return resp
}

// opError words a failed operation as the bridge does.
func opError(err error) error {
	return status.Error(codes.Unknown, fmt.Sprintf("1 error occurred:\n\t* %s\n\n", err))
}

// notReady reports a resource that exists but did not become what was asked for, with its state, so that the Pulumi
// engine keeps it.
func notReady(id string, state, inputs *structpb.Struct, err error) error {
	reason := opError(err)
	return rpcerror.WithDetails(rpcerror.New(codes.Unknown, status.Convert(reason).Message()), &pulumirpc.ErrorResourceInitFailed{
		Id: id, Properties: state, Inputs: inputs, Reasons: []string{status.Convert(reason).Message()},
	})
}

// Tokens returns the types and functions that the package handles, sorted.
func (p Package[C]) Tokens() []string {
	var out []string
	for token := range p.Resources {
		out = append(out, token)
	}
	for token := range p.Functions {
		out = append(out, token)
	}
	sort.Strings(out)
	return out
}
