// Package cloudcontrol is AWS Cloud Control API (2021-09-30) for the resource types AWS::RolesAnywhere::Profile and CRL, and of
// CloudFormation the call that tells a type's schema. Creating, changing and deleting is asked for, and then waited for:
// the answer is a progress event, and GetResourceRequestStatus tells how it ends. What a type's handler does is done by
// calls of the service concerned in the caller's name, so that the caller needs their permissions beside Cloud Control's own
// (https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/resource-operations.html#resource-operations-permissions).
package cloudcontrol

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/google/uuid"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/typeschema"
)

// Service implements gate.Service. Make it with New.
type Service struct {
	g *gate.Gate

	mu       sync.Mutex
	requests map[string]*request // by request token
	clients  map[string]*request // by client token
}

// New makes the service for a gate's account.
func New(g *gate.Gate) *Service {
	return &Service{g: g, requests: map[string]*request{}, clients: map[string]*request{}}
}

// Name is the signing name.
func (s *Service) Name() string { return "cloudcontrolapi" }

// Protocol is JSON 1.0.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolJSON10 }

// request is what somebody asked for, and how it ended.
type request struct {
	region string
	input  input
	end    event
	asked  bool // how it ended was asked for once
}

// event is a ProgressEvent.
type event struct {
	TypeName, Identifier       string `json:",omitempty"`
	RequestToken               string
	Operation, OperationStatus string
	EventTime                  float64
	ResourceModel              string `json:",omitempty"`
	StatusMessage              string `json:",omitempty"`
	ErrorCode                  string `json:",omitempty"`
}

type input struct {
	TypeName, Identifier, DesiredState, PatchDocument, ClientToken, RequestToken string
}

// operations have the members that each takes.
var operations = map[string]string{
	"CreateResource":           "TypeName DesiredState ClientToken",
	"UpdateResource":           "TypeName Identifier PatchDocument ClientToken",
	"DeleteResource":           "TypeName Identifier ClientToken",
	"GetResource":              "TypeName Identifier",
	"GetResourceRequestStatus": "RequestToken",
}

func validation(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

// Requirements asks for the action on everything: Cloud Control has no resources of its own
// (https://docs.aws.amazon.com/service-authorization/latest/reference/list_cloudcontrol.html).
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	takes, ok := operations[c.Action]
	if !ok {
		return nil, gate.NotImplemented("Cloud Control action " + c.Action)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(c.Body, &members); err != nil {
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	for name := range members {
		if !strings.Contains(" "+takes+" ", " "+name+" ") {
			return nil, gate.NotImplemented("member " + name + " of Cloud Control action " + c.Action)
		}
	}
	in := &input{}
	if err := json.Unmarshal(c.Body, in); err != nil {
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	c.Data = in
	return []policy.Request{{Action: "cloudformation:" + c.Action, Resource: "*"}}, nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	out, err := s.serve(c, *c.Data.(*input))
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	gate.WriteJSON(w, c, http.StatusOK, out)
}

func (s *Service) serve(c *gate.Call, in input) (any, error) {
	if c.Action == "GetResourceRequestStatus" {
		return s.status(c, in.RequestToken)
	}
	if err := checkType(in.TypeName); err != nil {
		return nil, err
	}
	if in.Identifier == "" && c.Action != "CreateResource" {
		return nil, validation("1 validation error detected: Value '' at 'identifier' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	if c.Action == "GetResource" {
		h := &handler{s.g, c, types[in.TypeName]}
		m, _, err := h.t.read(h, in.Identifier)
		if err != nil {
			return nil, err
		}
		return map[string]any{"TypeName": in.TypeName, "ResourceDescription": map[string]string{"Identifier": in.Identifier, "Properties": marshal(m)}}, nil
	}
	return s.start(c, in)
}

// start does what is asked for, and answers as if it had only begun. The same client token asks for the same again.
func (s *Service) start(c *gate.Call, in input) (any, error) {
	desired, patch, err := in.documents(c.Action)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.clients[in.ClientToken]; ok && in.ClientToken != "" {
		if was.input != in {
			return nil, gate.Errorf(http.StatusBadRequest, "ClientTokenConflictException", "The specified client token has already been used in another resource request.")
		}
		return progress(was.begun()), nil
	}
	r := &request{region: c.Region, input: in, end: event{TypeName: in.TypeName, Identifier: in.Identifier, RequestToken: uuid.NewString(),
		Operation: strings.ToUpper(strings.TrimSuffix(c.Action, "Resource")), OperationStatus: "SUCCESS", EventTime: float64(c.Time.Unix())}}
	id, err := (&handler{s.g, c, types[in.TypeName]}).handle(in, desired, patch)
	if err != nil && gate.AsError(err).Code == "NotImplemented" {
		return nil, err
	}
	if err != nil {
		e := gate.AsError(err)
		r.end.OperationStatus, r.end.StatusMessage, r.end.ErrorCode = "FAILED", e.Message, handlerCode(e.Code)
	}
	if id != "" {
		r.end.Identifier = id
	}
	s.requests[r.end.RequestToken] = r
	if in.ClientToken != "" {
		s.clients[in.ClientToken] = r
	}
	return progress(r.begun()), nil
}

// documents decodes what is malformed before any handler sees it.
func (in *input) documents(action string) (desired typeschema.Model, patch []typeschema.Operation, err error) {
	switch action {
	case "CreateResource":
		if desired, err = typeschema.Decode(in.DesiredState); err != nil {
			err = validation("DesiredState: %v", err)
		}
	case "UpdateResource":
		if err = json.Unmarshal([]byte(in.PatchDocument), &patch); err != nil {
			err = validation("PatchDocument: %v", err)
		}
	}
	return desired, patch, err
}

func (h *handler) handle(in input, desired typeschema.Model, patch []typeschema.Operation) (id string, err error) {
	switch h.c.Action {
	case "CreateResource":
		if err := h.valid(desired); err != nil {
			return "", err
		}
		return h.t.create(h, desired)
	case "UpdateResource":
		return "", h.change(in.Identifier, patch)
	}
	return "", h.t.delete(h, in.Identifier)
}

// begun is what is known at the start: of a new resource not even who it is.
func (r *request) begun() event {
	e := r.end
	e.OperationStatus, e.StatusMessage, e.ErrorCode = "IN_PROGRESS", "", ""
	if e.Operation == "CREATE" {
		e.Identifier = ""
	}
	return e
}

func progress(e event) map[string]event { return map[string]event{"ProgressEvent": e} }

// status tells how a request ended, to those who ask at least twice.
func (s *Service) status(c *gate.Call, token string) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[token]
	if !ok || r.region != c.Region {
		return nil, gate.Errorf(http.StatusBadRequest, "RequestTokenNotFoundException", "Request with token %s was not found", token)
	}
	if !r.asked {
		r.asked = true
		return progress(r.begun()), nil
	}
	return progress(r.end), nil
}

// handlerCode is the HandlerErrorCode for an error of the service that a handler called.
func handlerCode(code string) string {
	switch code {
	case "AccessDeniedException", "AccessDenied":
		return "AccessDenied"
	case "ResourceNotFoundException", "NoSuchEntity":
		return "NotFound"
	case "ValidationException", "ValidationError", "InvalidRequest":
		return "InvalidRequest"
	case "NotUpdatable":
		return code
	}
	return "GeneralServiceException"
}

func marshal(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("cloudcontrol: " + err.Error()) // it came from JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}
