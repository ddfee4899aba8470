// Package rehearsal runs the program against an AWS account without a Pulumi engine, a cluster or machines: each resource
// of AWS and each key goes through its stand-in provider, in the program's own order, and what is of Kubernetes is taken as
// made. It shows in seconds what an `up` and a `destroy` call, and as whom.
package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"k3s-aws-auth/scripts/lab/internal/standin/awsres"
	"k3s-aws-auth/scripts/lab/internal/standin/engine"
	"k3s-aws-auth/scripts/lab/internal/standin/tlsres"
	"k3s-aws-auth/stacks"
	"k3s-aws-auth/stacks/config"
)

// Key is whose calls the AWS provider makes.
type Key struct{ ID, Secret string }

// Made is a resource of AWS that a run has made.
type Made struct {
	Type, Name string
	provider   provider
	urn, id    string
	inputs     *structpb.Struct
	state      *structpb.Struct
}

// Run is one run of the program. Endpoint and CA bundle of AWS come from the environment.
type Run struct {
	// Made are the resources of AWS, in the order in which they were made.
	Made []Made

	key       Key
	region    string
	before    func(string)
	one       sync.Mutex // calls come one after the other, so that before says whose they are
	mu        sync.Mutex
	aws       map[string]provider // by the provider resource's name, "" for the default one
	tls       provider
	providers map[string]resource.PropertyMap // inputs of providers that the program makes, by name
}

type provider = pulumirpc.ResourceProviderServer

var keep = plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true}

// Up runs the program with a stack's configuration as a first update, up to what fails. The values have the form that the
// engine hands to a program: full keys, with objects as JSON. before is told the type of each resource, and the token of
// each function, before anything is called for it; nil for nobody.
func Up(ctx context.Context, key Key, stack string, values map[string]string, before func(string)) (*Run, error) {
	if before == nil {
		before = func(string) {}
	}
	r := &Run{key: key, region: values["aws:region"], before: before, aws: map[string]provider{}, providers: map[string]resource.PropertyMap{}}
	tls := engine.NewServer(tlsres.Package("0.0.1"), "")
	if _, err := tls.Configure(ctx, &pulumirpc.ConfigureRequest{Args: &structpb.Struct{}}); err != nil {
		return r, err
	}
	r.tls = tls
	err := pulumi.RunErr(stacks.Run, pulumi.WithMocks(config.Project, stack, r), func(info *pulumi.RunInfo) {
		info.DryRun = true // what waits for a cluster or an issuer has none to wait for
		info.Config = values
	})
	return r, err
}

// named returns the AWS provider by the name of its resource; "" is the default one.
func (r *Run) named(name string) (provider, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.aws[name]; ok {
		return p, nil
	}
	args := resource.PropertyMap{"region": resource.NewProperty(r.region)}
	for k, v := range r.providers[name] {
		args[k] = v
	}
	args["accessKey"], args["secretKey"] = resource.NewProperty(r.key.ID), resource.NewProperty(r.key.Secret)
	encoded, err := plugin.MarshalProperties(args, keep)
	if err != nil {
		return nil, err
	}
	server := engine.NewServer(awsres.Package("0.0.1"), "")
	if _, err := server.Configure(context.Background(), &pulumirpc.ConfigureRequest{Args: encoded}); err != nil {
		return nil, err
	}
	r.aws[name] = server
	return server, nil
}

// Call implements pulumi.MockResourceMonitor: it asks a provider's function.
func (r *Run) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	r.one.Lock()
	defer r.one.Unlock()
	r.before(args.Token)
	p, err := r.of(args.Token, args.Provider)
	if err != nil {
		return nil, err
	}
	encoded, err := plugin.MarshalProperties(args.Args, keep)
	if err != nil {
		return nil, err
	}
	answer, err := p.Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: args.Token, Args: encoded})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args.Token, err)
	}
	if failures := answer.GetFailures(); len(failures) > 0 {
		return nil, fmt.Errorf("%s: %s", args.Token, failures[0].GetReason())
	}
	return plugin.UnmarshalProperties(answer.GetReturn(), keep)
}

// of returns the stand-in for what a type token names, nil where nothing does.
func (r *Run) of(token, ref string) (provider, error) {
	switch {
	case strings.HasPrefix(token, "aws:"):
		parts := append(strings.Split(ref, "::"), "", "", "", "")
		return r.named(parts[3])
	case strings.HasPrefix(token, "tls:"):
		return r.tls, nil
	}
	return nil, nil
}

// NewResource implements pulumi.MockResourceMonitor: it makes a resource.
func (r *Run) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	if args.TypeToken == "pulumi:providers:aws" {
		r.mu.Lock()
		r.providers[args.Name] = args.Inputs
		r.mu.Unlock()
		return args.Name, args.Inputs, nil
	}
	p, err := r.of(args.TypeToken, args.Provider)
	if p == nil || err != nil {
		id := ""
		if args.Custom {
			id = args.Name
		}
		return id, args.Inputs, err
	}
	r.one.Lock()
	defer r.one.Unlock()
	r.before(args.TypeToken)
	m := Made{Type: args.TypeToken, Name: args.Name, provider: p, urn: "urn:pulumi:rehearsal::" + config.Project + "::" + args.TypeToken + "::" + args.Name}
	inputs, err := plugin.MarshalProperties(args.Inputs, keep)
	if err != nil {
		return "", nil, err
	}
	ctx := context.Background()
	checked, err := p.Check(ctx, &pulumirpc.CheckRequest{Urn: m.urn, News: inputs, RandomSeed: []byte("the seed of a rehearsal, 32 bytes")})
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", m.urn, err)
	}
	if failures := checked.GetFailures(); len(failures) > 0 {
		return "", nil, fmt.Errorf("%s: %s: %s", m.urn, failures[0].GetProperty(), failures[0].GetReason())
	}
	m.inputs = checked.GetInputs()
	made, err := p.Create(ctx, &pulumirpc.CreateRequest{Urn: m.urn, Properties: m.inputs})
	// Hooks do not run here. What waits by one, because AWS needs a moment, is tried again for as long.
	for deadline := time.Now().Add(20 * time.Second); err != nil && len(args.RegisterRPC.GetHooks().GetBeforeCreate()) > 0 &&
		strings.Contains(err.Error(), "block public access setting") && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		made, err = p.Create(ctx, &pulumirpc.CreateRequest{Urn: m.urn, Properties: m.inputs})
	}
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", m.urn, err)
	}
	m.id, m.state = made.GetId(), made.GetProperties()
	if strings.HasPrefix(m.Type, "aws:") {
		r.mu.Lock()
		r.Made = append(r.Made, m)
		r.mu.Unlock()
	}
	state, err := plugin.UnmarshalProperties(m.state, keep)
	return m.id, state, err
}

// Refresh reads every resource, as `pulumi refresh` does.
func (r *Run) Refresh(ctx context.Context) error {
	var errs []error
	for _, m := range r.Made {
		r.before(m.Type)
		read, err := m.provider.Read(ctx, &pulumirpc.ReadRequest{Id: m.id, Urn: m.urn, Properties: m.state, Inputs: m.inputs})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.urn, err))
		} else if read.GetId() == "" {
			errs = append(errs, fmt.Errorf("%s: is gone", m.urn))
		}
	}
	return errors.Join(errs...)
}

// Destroy deletes every resource, the last first, and goes on after a failure.
func (r *Run) Destroy(ctx context.Context) error {
	var errs []error
	for _, m := range slices.Backward(r.Made) {
		r.before(m.Type)
		if _, err := m.provider.Delete(ctx, &pulumirpc.DeleteRequest{Id: m.id, Urn: m.urn, Properties: m.state, OldInputs: m.inputs}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.urn, err))
		}
	}
	return errors.Join(errs...)
}

// Types lists the types of the resources that were made, each once, sorted.
func (r *Run) Types() []string {
	types := map[string]bool{}
	for _, m := range r.Made {
		types[m.Type] = true
	}
	return slices.Sorted(maps.Keys(types))
}

// As makes the calls that follow somebody else's.
func (r *Run) As(key Key) error {
	r.mu.Lock()
	r.key = key
	names := slices.Collect(maps.Keys(r.aws))
	was := maps.Clone(r.aws)
	clear(r.aws)
	r.mu.Unlock()
	for _, name := range names {
		server, err := r.named(name)
		if err != nil {
			return err
		}
		for i := range r.Made {
			if r.Made[i].provider == was[name] {
				r.Made[i].provider = server
			}
		}
	}
	return nil
}
