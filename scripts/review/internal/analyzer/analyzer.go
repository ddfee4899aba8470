// Package analyzer judges a change within the Pulumi engine, as a policy pack does, so that `pulumi up` from a laptop is
// judged by the same signs as a pull request. What a policy pack is not told, it reads or leaves out: the engine gives it
// the resources as they will be, so the stack's state is asked for by the Pulumi CLI; whether a change replaces a resource
// is the provider's decision, which no policy pack sees, so a replacement counts as an update here.
package analyzer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

const (
	packName    = "k3s-aws-auth-review"
	packVersion = "1.0.0"
	// DangerPolicy stops an update.
	DangerPolicy = "danger"
	// WarningPolicy does not.
	WarningPolicy = "warning"
	// AcceptedKey is the key of the stack's configuration that accepts the dangers of one change.
	AcceptedKey = "review:accepted"
)

// Export returns what `pulumi stack export` prints about a stack (organization/project/stack).
type Export func(ctx context.Context, stack string) ([]byte, error)

// Server is the policy pack. Its zero value with Export set is ready to use.
type Server struct {
	pulumirpc.UnimplementedAnalyzerServer
	Export Export

	mu       sync.Mutex
	stack    string // as URNs have it
	accepted string
	dryRun   bool
	state    []byte
	problem  error
	inputs   map[string]map[string]any // of what the program registers, by URN
}

// Handshake answers the engine.
func (*Server) Handshake(context.Context, *pulumirpc.AnalyzerHandshakeRequest) (*pulumirpc.AnalyzerHandshakeResponse, error) {
	return &pulumirpc.AnalyzerHandshakeResponse{}, nil
}

// GetPluginInfo names the version.
func (*Server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: packVersion}, nil
}

// GetAnalyzerInfo lists the policies.
func (*Server) GetAnalyzerInfo(context.Context, *emptypb.Empty) (*pulumirpc.AnalyzerInfo, error) {
	policy := func(name, what string, level pulumirpc.EnforcementLevel) *pulumirpc.PolicyInfo {
		return &pulumirpc.PolicyInfo{Name: name, DisplayName: name, Description: what, EnforcementLevel: level, PolicyType: pulumirpc.PolicyType_POLICY_TYPE_STACK}
	}
	return &pulumirpc.AnalyzerInfo{Name: packName, DisplayName: "Review of identities", Version: packVersion, Policies: []*pulumirpc.PolicyInfo{
		policy(DangerPolicy, "what lets others be an identity, or loses one", pulumirpc.EnforcementLevel_MANDATORY),
		policy(WarningPolicy, "what to look at", pulumirpc.EnforcementLevel_ADVISORY),
	}}, nil
}

// Configure takes no configuration.
func (*Server) Configure(context.Context, *pulumirpc.ConfigureAnalyzerRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Cancel has nothing to cancel.
func (*Server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Remediate changes nothing.
func (*Server) Remediate(context.Context, *pulumirpc.AnalyzeRequest) (*pulumirpc.RemediateResponse, error) {
	return &pulumirpc.RemediateResponse{}, nil
}

// ConfigureStack reads the stack's state, before anything of it changes.
func (s *Server) ConfigureStack(ctx context.Context, r *pulumirpc.AnalyzerStackConfigureRequest) (*pulumirpc.AnalyzerStackConfigureResponse, error) {
	organization := r.GetOrganization()
	if organization == "" {
		organization = "organization" // a backend of one's own has only this one
	}
	state, err := s.Export(ctx, strings.Join([]string{organization, r.GetProject(), r.GetStack()}, "/"))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stack, s.dryRun, s.accepted, s.state, s.problem = r.GetStack(), r.GetDryRun(), r.GetConfig()[AcceptedKey], state, err
	s.inputs = map[string]map[string]any{}
	return &pulumirpc.AnalyzerStackConfigureResponse{}, nil
}

// Analyze keeps a resource's inputs: what the whole change does can only be told in the end.
func (s *Server) Analyze(_ context.Context, r *pulumirpc.AnalyzeRequest) (*pulumirpc.AnalyzeResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inputs == nil {
		return nil, status.Error(codes.FailedPrecondition, "the engine has not said which stack this is")
	}
	s.inputs[r.GetUrn()] = r.GetProperties().AsMap()
	return &pulumirpc.AnalyzeResponse{}, nil
}

// AnalyzeStack judges the whole change.
func (s *Server) AnalyzeStack(_ context.Context, r *pulumirpc.AnalyzeStackRequest) (*pulumirpc.AnalyzeResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	report, err := s.review(r.GetResources())
	if err != nil {
		return &pulumirpc.AnalyzeResponse{Diagnostics: []*pulumirpc.AnalyzeDiagnostic{
			diagnostic(DangerPolicy, pulumirpc.EnforcementLevel_MANDATORY, fmt.Sprintf("no verdict: %v", err)),
		}}, nil
	}
	code := Code(s.stack, report.Signs)
	var list []*pulumirpc.AnalyzeDiagnostic
	for _, sign := range report.Signs {
		text := fmt.Sprintf("%s (%s): %s. Safe way: %s. [%s]", sign.What, sign.ID, sign.Why, sign.Safe, strings.Join(sign.Resources, ", "))
		switch {
		case sign.Level != impact.Danger:
			list = append(list, diagnostic(WarningPolicy, pulumirpc.EnforcementLevel_ADVISORY, text))
		case s.accepted == code:
			list = append(list, diagnostic(WarningPolicy, pulumirpc.EnforcementLevel_ADVISORY, "accepted by "+AcceptedKey+": "+text))
		default:
			list = append(list, diagnostic(DangerPolicy, pulumirpc.EnforcementLevel_MANDATORY, text+s.way(code)))
		}
	}
	return &pulumirpc.AnalyzeResponse{Diagnostics: list}, nil
}

// way says how a danger is accepted.
func (s *Server) way(code string) string {
	late := ""
	if !s.dryRun {
		late = " This was seen only now: it has been changed already."
	}
	return fmt.Sprintf("%s Where it is meant: `pulumi config set %s %s`, committed with the change.", late, AcceptedKey, code)
}

func diagnostic(policy string, level pulumirpc.EnforcementLevel, message string) *pulumirpc.AnalyzeDiagnostic {
	return &pulumirpc.AnalyzeDiagnostic{PolicyName: policy, PolicyPackName: packName, PolicyPackVersion: packVersion, Message: message, EnforcementLevel: level}
}

// Code accepts the dangers of one change to one stack: another danger, or the same on another resource, has another code.
func Code(stack string, signs []impact.Sign) string {
	lines := []string{stack}
	for _, s := range signs {
		if s.Level == impact.Danger {
			lines = append(lines, s.ID+" "+strings.Join(s.Resources, " "))
		}
	}
	slices.Sort(lines[1:])
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])[:16]
}

type object = map[string]any

// review makes a preview of the state before and the resources after.
func (s *Server) review(resources []*pulumirpc.AnalyzerResource) (*impact.Report, error) {
	if s.problem != nil {
		return nil, fmt.Errorf("the state before the change cannot be read: %w", s.problem)
	}
	if s.inputs == nil {
		return nil, errors.New("the engine has not said which stack this is")
	}
	var exported struct {
		Deployment *struct {
			Resources []object `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(s.state, &exported); err != nil || exported.Deployment == nil {
		return nil, errors.Join(errors.New("the state before the change is none"), err)
	}
	before := map[string]object{}
	for _, r := range exported.Deployment.Resources {
		if gone, _ := r["delete"].(bool); !gone {
			urn, _ := r["urn"].(string)
			before[urn] = r
		}
	}
	// A resource with an alias had another URN.
	former := func(r *pulumirpc.AnalyzerResource) object {
		for _, urn := range append([]string{r.GetUrn()}, r.GetOptions().GetAliases()...) {
			if old, ok := before[urn]; ok {
				return old
			}
		}
		return nil
	}
	steps, kept := []object{}, map[string]bool{}
	for _, r := range resources {
		old := former(r)
		inputs, registered := s.inputs[r.GetUrn()]
		if !registered && old != nil {
			inputs, _ = old["inputs"].(object) // not registered, as with --target: it stays as it is
		}
		after := object{"urn": r.GetUrn(), "type": r.GetType(), "custom": custom(old, r.GetType()), "inputs": nonNil(inputs), "outputs": nonNil(r.GetProperties().AsMap()),
			"parent": r.GetParent(), "protect": r.GetOptions().GetProtect(), "dependencies": r.GetDependencies(),
			"additionalSecretOutputs": r.GetOptions().GetAdditionalSecretOutputs()}
		dependencies := object{}
		for k, d := range r.GetPropertyDependencies() {
			dependencies[k] = d.GetUrns()
		}
		after["propertyDependencies"] = dependencies
		step := object{"urn": r.GetUrn(), "op": "create", "newState": after}
		if old != nil {
			kept[old["urn"].(string)] = true
			after["id"], after["retainOnDelete"] = old["id"], old["retainOnDelete"] == true
			step["oldState"], step["op"] = old, "same"
			if keys := differing(masked(old["inputs"]), masked(inputs)); len(keys) > 0 {
				step["op"], step["diffReasons"] = "update", keys
			}
		}
		steps = append(steps, step)
	}
	for _, urn := range slices.Sorted(maps.Keys(before)) {
		if !kept[urn] {
			steps = append(steps, object{"urn": urn, "op": "delete", "oldState": before[urn]})
		}
	}
	text, err := json.Marshal(object{"steps": steps, "changeSummary": object{}})
	if err != nil {
		return nil, err
	}
	p, err := preview.Parse(text, nil)
	if err != nil {
		return nil, err
	}
	return impact.Review(p), nil
}

// custom tells whether a resource is one of a provider's. The engine does not say: the state does, and of a new resource
// its type, since the program's own components are of its package.
func custom(old object, typ string) bool {
	if old != nil {
		return old["custom"] == true
	}
	return !strings.HasPrefix(typ, "k3s-aws-auth:") && typ != "pulumi:pulumi:Stack"
}

func nonNil(m object) object {
	if m == nil {
		return object{}
	}
	return m
}

// Keys of the engine's wrapped values: of any, and of secrets.
const (
	signature       = "4dabf18193072939515e22adb298388d"
	secretSignature = "1b47061264138c4ac30d75fd1eb44270"
)

// masked replaces secrets, which are encrypted on one side and plain on the other: that they differ cannot be told. Keys of
// the engine's own are left out, as the engine leaves them out on the other side.
func masked(v any) any {
	switch v := v.(type) {
	case object:
		if v[signature] == secretSignature {
			return preview.Secret
		}
		out := object{}
		for k, e := range v {
			if !strings.HasPrefix(k, "__") {
				out[k] = masked(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = masked(v[i])
		}
		return out
	case nil:
		return object{}
	}
	return v
}

// differing are the keys whose values differ, sorted.
func differing(before, after any) []string {
	b, _ := before.(object)
	a, _ := after.(object)
	keys := map[string]bool{}
	for k := range b {
		keys[k] = true
	}
	for k := range a {
		keys[k] = true
	}
	maps.DeleteFunc(keys, func(k string, _ bool) bool { return reflect.DeepEqual(b[k], a[k]) })
	return slices.Sorted(maps.Keys(keys))
}
