// Package cloudfront is Amazon CloudFront: distributions in front of S3 origins, origin access controls, cache policies
// and response headers policies by its API, and an edge that serves them by Host over TLS with the ACM certificate of
// the alias. What the edge cannot do (custom origins, functions, signed URLs, geo restriction, logs) is refused when it
// is configured, with NotImplemented.
package cloudfront

import (
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/acm"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

const (
	namespace = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
	apiPath   = "/2020-05-31/"
	domain    = ".cloudfront.net"
)

// Certificates is the part of ACM that CloudFront uses.
type Certificates interface {
	Certificate(arn string) (acm.Certificate, bool)
}

// Service implements gate.Service, gate.HostHandler, gate.CertificateSource, gate.Resolver and gate.Inventory. Make it
// with New.
type Service struct {
	g     *gate.Gate
	certs Certificates
	logs  func(c *gate.Call, bucketDomain string) error

	mu            sync.Mutex
	distributions map[string]*distribution
	policies      map[string]map[string]*object // by path segment ("cache-policy"), then id
	cache         cache
}

// SetLogs sets who prepares a bucket for standard logs. It is called before the service is used.
func (s *Service) SetLogs(admit func(c *gate.Call, bucketDomain string) error) { s.logs = admit }

// object is a versioned configuration: an OAC or a policy.
type object struct {
	id, etag string
	managed  bool
	config   *wire.Tree
	modified time.Time
}

// New makes the service for a gate's account.
func New(g *gate.Gate, certs Certificates) *Service {
	s := &Service{g: g, certs: certs, distributions: map[string]*distribution{}, policies: map[string]map[string]*object{}}
	for segment := range kinds {
		s.policies[segment] = map[string]*object{}
	}
	for _, p := range managedPolicies {
		s.policies["cache-policy"][p.id] = p.object()
	}
	return s
}

// Name is the signing name.
func (s *Service) Name() string { return "cloudfront" }

// Protocol is rest-xml.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolRESTXML }

// call is a routed API call.
type call struct {
	*gate.Call
	kind *kind // of a policy or OAC call
	id   string
	body *wire.Tree
}

// answer of a handler; a zero root sends no body.
type answer struct {
	status         int
	etag, location string
	root           wire.Node
}

type handler func(*Service, *call) (answer, error)

type prepared struct {
	in *call
	h  handler
}

func (s *Service) arn(resource string) string { return s.g.ARN("cloudfront", "", resource) }

// route finds the action of a REST call.
func (s *Service) route(c *gate.Call) (action, resource string, in *call, h handler) {
	rest, ok := strings.CutPrefix(c.R.URL.Path, apiPath)
	if !ok {
		return "", "", nil, nil
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	in = &call{Call: c}
	if len(parts) > 1 {
		in.id = parts[1]
	}
	shape := c.R.Method
	if len(parts) > 1 {
		shape += " one"
	}
	if len(parts) > 2 {
		shape += "/" + parts[2]
	}
	if len(parts) > 3 {
		shape += "/one"
	}
	if k, ok := kinds[parts[0]]; ok {
		in.kind = k
		one := s.arn(parts[0] + "/" + in.id)
		switch shape {
		case "POST":
			return "Create" + k.name, s.arn(parts[0] + "/*"), in, (*Service).createObject
		case "GET":
			return "List" + k.plural, "*", in, (*Service).listObjects
		case "GET one":
			return "Get" + k.name, one, in, (*Service).getObject
		case "GET one/config":
			return "Get" + k.name + "Config", one, in, (*Service).getObjectConfig
		case "PUT one", "PUT one/config":
			return "Update" + k.name, one, in, (*Service).updateObject
		case "DELETE one":
			return "Delete" + k.name, one, in, (*Service).deleteObject
		}
		return "", "", nil, nil
	}
	switch parts[0] {
	case "distribution":
		one := s.arn("distribution/" + in.id)
		switch shape {
		case "POST":
			return "CreateDistribution", s.arn("distribution/*"), in, (*Service).createDistribution
		case "GET":
			return "ListDistributions", "*", in, (*Service).listDistributions
		case "GET one":
			return "GetDistribution", one, in, (*Service).getDistribution
		case "GET one/config":
			return "GetDistributionConfig", one, in, (*Service).getDistributionConfig
		case "PUT one/config":
			return "UpdateDistribution", one, in, (*Service).updateDistribution
		case "DELETE one":
			return "DeleteDistribution", one, in, (*Service).deleteDistribution
		case "POST one/invalidation":
			return "CreateInvalidation", one, in, (*Service).createInvalidation
		case "GET one/invalidation/one":
			in.R.SetPathValue("invalidation", parts[3])
			return "GetInvalidation", one, in, (*Service).getInvalidation
		}
	case "tagging":
		q := c.R.URL.Query()
		switch {
		case c.R.Method == http.MethodGet:
			return "ListTagsForResource", q.Get("Resource"), in, (*Service).listTags
		case q.Get("Operation") == "Tag":
			return "TagResource", q.Get("Resource"), in, (*Service).tag
		case q.Get("Operation") == "Untag":
			return "UntagResource", q.Get("Resource"), in, (*Service).untag
		}
	}
	return "", "", nil, nil
}

// Requirements routes and parses the call.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	action, resource, in, h := s.route(c)
	if h == nil {
		return nil, gate.NotImplemented("CloudFront call " + c.R.Method + " " + c.R.URL.Path)
	}
	c.Action = action
	context := map[string][]string{}
	if c.R.Method == http.MethodPost || c.R.Method == http.MethodPut {
		body, err := wire.ParseTree(c.Body)
		if err != nil {
			return nil, gate.Errorf(http.StatusBadRequest, "MalformedXML", "1 validation error detected: %v", err)
		}
		in.body = body
	}
	c.Data = prepared{in, h}
	out := []policy.Request{{Action: "cloudfront:" + action, Resource: resource, Context: context}}
	if id, ok := strings.CutPrefix(resource, s.arn("distribution/")); ok {
		s.mu.Lock()
		if d, ok := s.distributions[id]; ok {
			for k, v := range d.tags {
				context["aws:ResourceTag/"+k] = []string{v}
			}
		}
		s.mu.Unlock()
	}
	if action == "CreateDistribution" && in.body.XMLName.Local == "DistributionConfigWithTags" {
		for _, t := range in.body.Find("Tags", "Items").All("Tag") {
			context["aws:RequestTag/"+t.Get("Key")] = []string{t.Get("Value")}
			context["aws:TagKeys"] = append(context["aws:TagKeys"], t.Get("Key"))
		}
		if len(context["aws:TagKeys"]) > 0 {
			out = append(out, policy.Request{Action: "cloudfront:TagResource", Resource: resource, Context: context})
		}
	}
	return out, nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	p := c.Data.(prepared)
	a, err := p.h(s, p.in)
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	h := w.Header()
	h.Set("x-amzn-RequestId", c.RequestID)
	if a.etag != "" {
		h.Set("ETag", a.etag)
	}
	if a.location != "" {
		h.Set("Location", "https://cloudfront."+gate.DNSSuffix+apiPath+a.location)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.root.Name == "" {
		w.WriteHeader(a.status)
		return
	}
	h.Set("Content-Type", "text/xml")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.root.NS(namespace).Bytes())
}

// match checks If-Match against an entity tag.
func match(c *call, etag string) error {
	switch c.R.Header.Get("If-Match") {
	case "":
		return gate.Errorf(http.StatusBadRequest, "InvalidIfMatchVersion", "The If-Match version is missing or not valid for the resource.")
	case etag:
		return nil
	}
	return gate.Errorf(http.StatusPreconditionFailed, "PreconditionFailed", "The request failed because it didn't meet the preconditions in one or more request-header fields.")
}

func newETag() string { return wire.UpperID("E", 13) }

// Inventory lists distributions, and the policies and OACs that are not AWS's own.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for id := range s.distributions {
		out["cloudfront distribution"] = append(out["cloudfront distribution"], id)
	}
	for segment, objects := range s.policies {
		for id, o := range objects {
			if !o.managed {
				name := "cloudfront " + strings.ReplaceAll(segment, "-", " ")
				out[name] = append(out[name], id)
			}
		}
	}
	for _, ids := range out {
		sort.Strings(ids)
	}
	return out
}

// LookupDNS answers for the distributions' own names.
func (s *Service) LookupDNS(name string) []gate.DNSRecord {
	if !strings.HasSuffix(name, domain) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.distributions {
		if d.domain == name {
			return []gate.DNSRecord{{Name: name, Type: "A", Value: gate.EdgeAddr, TTL: 60}}
		}
	}
	return nil
}

// CertificateUsers lists the ARNs of the distributions that use a certificate.
func (s *Service) CertificateUsers(arn string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, d := range s.distributions {
		if d.certificate() == arn && arn != "" {
			out = append(out, s.arn("distribution/"+d.id))
		}
	}
	sort.Strings(out)
	return out
}

// tagged finds the distribution of a tag call.
func (s *Service) tagged(c *call) (*distribution, error) {
	arn := c.R.URL.Query().Get("Resource")
	id, ok := strings.CutPrefix(arn, s.arn("distribution/"))
	if d, found := s.distributions[id]; ok && found {
		return d, nil
	}
	if !ok && strings.Contains(arn, ":cloudfront:") {
		return nil, gate.NotImplemented("tags of " + arn)
	}
	return nil, gate.Errorf(http.StatusNotFound, "NoSuchResource", "The specified resource does not exist.")
}

func (s *Service) listTags(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.tagged(c)
	if err != nil {
		return answer{}, err
	}
	keys := make([]string, 0, len(d.tags))
	for k := range d.tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return answer{root: wire.Elem("Tags", wire.List("Items", "Tag", keys, func(k string) []wire.Node {
		return []wire.Node{wire.Text("Key", k), wire.Text("Value", d.tags[k])}
	}))}, nil
}

func (s *Service) tag(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.tagged(c)
	if err != nil {
		return answer{}, err
	}
	for _, t := range c.body.Find("Items").All("Tag") {
		d.tags[t.Get("Key")] = t.Get("Value")
	}
	return answer{status: http.StatusNoContent}, nil
}

func (s *Service) untag(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.tagged(c)
	if err != nil {
		return answer{}, err
	}
	for _, k := range c.body.Find("Items").All("Key") {
		delete(d.tags, strings.TrimSpace(k.Text))
	}
	return answer{status: http.StatusNoContent}, nil
}

// originHost reads the region from the regional or global host name of a bucket; ok is false for other hosts.
func originHost(host string) (region string, ok bool) {
	rest, ok := strings.CutSuffix(strings.ToLower(host), "."+gate.DNSSuffix)
	if !ok {
		return "", false
	}
	bucket, after, ok := strings.Cut(rest, ".s3")
	if !ok || bucket == "" || strings.HasPrefix(after, "-website") || (after != "" && after[0] != '.') {
		return "", false
	}
	region = strings.TrimPrefix(after, ".")
	if region == "" {
		region = "us-east-1"
	}
	return region, true
}
