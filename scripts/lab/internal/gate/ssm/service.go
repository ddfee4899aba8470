// Package ssm is the Parameter Store of AWS Systems Manager: String, StringList and SecureString parameters with
// versions, tiers, paths and tags, and the public parameters that name Ubuntu's machine images. Everything else of
// Systems Manager answers NotImplemented.
package ssm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sort"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
)

// Service implements gate.Service and gate.Inventory. Make it with New.
type Service struct {
	g    *gate.Gate
	seal cipher.AEAD

	mu      sync.Mutex
	regions map[string]map[string]*parameter // region, then name
}

// New makes the service for a gate's account. SecureString values are sealed with a key of this process, so that what is
// read without decryption is ciphertext.
func New(g *gate.Gate) (*Service, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Service{g: g, seal: seal, regions: map[string]map[string]*parameter{}}, nil
}

// Name is the signing name.
func (s *Service) Name() string { return "ssm" }

// Protocol is JSON 1.1.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolJSON11 }

// operation is one action: its input (a pointer), the requirements made from it, and the handler.
type operation struct {
	input  func() any
	needs  func(s *Service, c *gate.Call, in any) []policy.Request
	handle func(s *Service, c *gate.Call, in any) (any, error)
}

// op builds an operation with a typed input.
func op[T any](needs func(*Service, *gate.Call, *T) []policy.Request, handle func(*Service, *gate.Call, *T) (any, error)) operation {
	return operation{
		input:  func() any { return new(T) },
		needs:  func(s *Service, c *gate.Call, in any) []policy.Request { return needs(s, c, in.(*T)) },
		handle: func(s *Service, c *gate.Call, in any) (any, error) { return handle(s, c, in.(*T)) },
	}
}

var operations = map[string]operation{
	"PutParameter":           op(needPut, (*Service).put),
	"GetParameter":           op(needGet, (*Service).get),
	"GetParameters":          op(needGetMany, (*Service).getMany),
	"GetParametersByPath":    op(needPath, (*Service).byPath),
	"GetParameterHistory":    op(needHistory, (*Service).history),
	"DescribeParameters":     op(needDescribe, (*Service).describe),
	"DeleteParameter":        op(needDelete, (*Service).remove),
	"DeleteParameters":       op(needDeleteMany, (*Service).removeMany),
	"AddTagsToResource":      op(needTag, (*Service).addTags),
	"RemoveTagsFromResource": op(needUntag, (*Service).removeTags),
	"ListTagsForResource":    op(needListTags, (*Service).listTags),
}

// Requirements parses the call: an unknown action or member is NotImplemented.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	o, ok := operations[c.Action]
	if !ok {
		return nil, gate.NotImplemented("Systems Manager action " + c.Action)
	}
	in := o.input()
	d := json.NewDecoder(bytes.NewReader(c.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, gate.NotImplemented("member " + field + " of Systems Manager action " + c.Action)
		}
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	c.Data = in
	return o.needs(s, c, in), nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	s.mu.Lock()
	out, err := operations[c.Action].handle(s, c, c.Data)
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	gate.WriteJSON(w, c, http.StatusOK, out)
}

func (s *Service) region(name string) map[string]*parameter {
	r, ok := s.regions[name]
	if !ok {
		r = map[string]*parameter{}
		s.regions[name] = r
	}
	return r
}

// arn of a parameter by name. Public parameters belong to no account.
func (s *Service) arn(region, name string) string {
	name = strings.TrimPrefix(name, "/")
	if strings.HasPrefix(name, "aws/service/") {
		return "arn:" + gate.Partition + ":ssm:" + region + "::parameter/" + name
	}
	return s.g.ARN("ssm", region, "parameter/"+name)
}

// bare strips an ARN and the version or label selector from how a call names a parameter.
func bare(name string) (plain, selector string) {
	if strings.HasPrefix(name, "arn:") {
		parts := strings.SplitN(name, ":", 6)
		if len(parts) == 6 {
			name = strings.TrimPrefix(parts[5], "parameter")
			if strings.Count(name, "/") == 1 {
				name = strings.TrimPrefix(name, "/") // a name without hierarchy has no leading slash
			}
		}
	}
	plain, selector, _ = strings.Cut(name, ":")
	return plain, selector
}

func (s *Service) need(c *gate.Call, action, name string) policy.Request {
	plain, _ := bare(name)
	context := map[string][]string{}
	s.mu.Lock()
	if p, ok := s.region(c.Region)[plain]; ok {
		for k, v := range p.tags {
			context["aws:ResourceTag/"+k] = []string{v}
			context["ssm:resourceTag/"+k] = []string{v}
		}
	}
	s.mu.Unlock()
	return policy.Request{Action: "ssm:" + action, Resource: s.arn(c.Region, plain), Context: context}
}

// Inventory lists the parameters.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, r := range s.regions {
		for name := range r {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return map[string][]string{"ssm parameter": names}
}
