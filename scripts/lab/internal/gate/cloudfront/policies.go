package cloudfront

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// kind is one of the small versioned configurations that work alike.
type kind struct {
	segment, name, plural string
	missing, inUse        *gate.Error
	exists                *gate.Error
	// list names the element of the list's entries and what they hold.
	check func(s *Service, config *wire.Tree) error
	uuid  bool
}

var kinds = map[string]*kind{
	"origin-access-control": {
		segment: "origin-access-control", name: "OriginAccessControl", plural: "OriginAccessControls",
		missing: gate.Errorf(http.StatusNotFound, "NoSuchOriginAccessControl", "The specified origin access control does not exist."),
		inUse:   gate.Errorf(http.StatusConflict, "OriginAccessControlInUse", "Cannot delete this origin access control because it's attached to one or more distributions."),
		exists:  gate.Errorf(http.StatusConflict, "OriginAccessControlAlreadyExists", "An origin access control with this name already exists."),
		check:   checkOAC,
	},
	"cache-policy": {
		segment: "cache-policy", name: "CachePolicy", plural: "CachePolicies",
		missing: gate.Errorf(http.StatusNotFound, "NoSuchCachePolicy", "The specified cache policy does not exist."),
		inUse:   gate.Errorf(http.StatusConflict, "CachePolicyInUse", "Cannot delete the cache policy because it is attached to one or more cache behaviors."),
		exists:  gate.Errorf(http.StatusConflict, "CachePolicyAlreadyExists", "A cache policy with this name already exists."),
		check:   checkCachePolicy, uuid: true,
	},
	"response-headers-policy": {
		segment: "response-headers-policy", name: "ResponseHeadersPolicy", plural: "ResponseHeadersPolicies",
		missing: gate.Errorf(http.StatusNotFound, "NoSuchResponseHeadersPolicy", "The specified response headers policy does not exist."),
		inUse:   gate.Errorf(http.StatusConflict, "ResponseHeadersPolicyInUse", "Cannot delete the response headers policy because it is attached to one or more cache behaviors."),
		exists:  gate.Errorf(http.StatusConflict, "ResponseHeadersPolicyAlreadyExists", "A response headers policy with this name already exists."),
		check:   checkHeadersPolicy, uuid: true,
	},
}

func invalidArgument(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidArgument", format, args...)
}

func checkOAC(_ *Service, c *wire.Tree) error {
	if n := c.Get("Name"); n == "" || len(n) > 64 {
		return invalidArgument("The parameter Name must have 1 to 64 characters.")
	}
	if t := c.Get("OriginAccessControlOriginType"); t != "s3" {
		return gate.NotImplemented("an origin access control for origin type " + strconv.Quote(t))
	}
	if c.Get("SigningProtocol") != "sigv4" || !slices.Contains([]string{"always", "never", "no-override"}, c.Get("SigningBehavior")) {
		return invalidArgument("The parameter SigningBehavior or SigningProtocol is not valid.")
	}
	return nil
}

func checkCachePolicy(_ *Service, c *wire.Tree) error {
	if n := c.Get("Name"); n == "" || len(n) > 128 {
		return invalidArgument("The parameter Name must have 1 to 128 characters.")
	}
	low, def, high := ttls(c)
	if low < 0 || low > high || def < low || def > high {
		return invalidArgument("The parameter MinTTL, DefaultTTL or MaxTTL is not valid: MinTTL <= DefaultTTL <= MaxTTL must hold.")
	}
	p := c.Find("ParametersInCacheKeyAndForwardedToOrigin")
	if p == nil {
		return nil
	}
	if high == 0 && (p.Bool("EnableAcceptEncodingGzip") || p.Bool("EnableAcceptEncodingBrotli") || p.Get("HeadersConfig", "HeaderBehavior") != "none" ||
		p.Get("CookiesConfig", "CookieBehavior") != "none" || p.Get("QueryStringsConfig", "QueryStringBehavior") != "none") {
		return invalidArgument("The parameter HeaderBehavior, CookieBehavior, QueryStringBehavior or EnableAcceptEncoding is invalid for policy with caching disabled.")
	}
	return nil
}

// ttls of a cache policy in seconds; the defaults are those of the API.
func ttls(c *wire.Tree) (low, def, high int64) {
	low = c.Int(0, "MinTTL")
	def = c.Int(max(86400, low), "DefaultTTL")
	return low, def, c.Int(max(31536000, def), "MaxTTL")
}

func checkHeadersPolicy(_ *Service, c *wire.Tree) error {
	if n := c.Get("Name"); n == "" || len(n) > 128 {
		return invalidArgument("The parameter Name must have 1 to 128 characters.")
	}
	if c.Bool("ServerTimingHeadersConfig", "Enabled") {
		return gate.NotImplemented("Server-Timing headers")
	}
	for _, h := range c.Find("CustomHeadersConfig", "Items").All("ResponseHeadersPolicyCustomHeader") {
		switch strings.ToLower(h.Get("Header")) {
		case "strict-transport-security", "content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "x-xss-protection":
			return invalidArgument("The parameter CustomHeaders contains %s that is a security header and cannot be set as custom header.", h.Get("Header"))
		}
	}
	return nil
}

// managedPolicy is one of AWS's own cache policies (CloudFront Developer Guide, "Use managed cache policies").
type managedPolicy struct {
	id, name       string
	low, def, high int
	gzip           bool
}

var managedPolicies = []managedPolicy{
	{"658327ea-f89d-4fab-a63d-7e88639e58f6", "Managed-CachingOptimized", 1, 86400, 31536000, true},
	{"b2884449-e4de-46a7-ac36-70bc7f1ddd6d", "Managed-CachingOptimizedForUncompressedObjects", 1, 86400, 31536000, false},
	{"4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "Managed-CachingDisabled", 0, 0, 0, false},
}

func (m managedPolicy) object() *object {
	doc := wire.Elem("CachePolicyConfig", wire.Text("Comment", ""), wire.Text("Name", m.name), wire.Text("DefaultTTL", m.def), wire.Text("MaxTTL", m.high),
		wire.Text("MinTTL", m.low), wire.Elem("ParametersInCacheKeyAndForwardedToOrigin", wire.Text("EnableAcceptEncodingGzip", m.gzip),
			wire.Text("EnableAcceptEncodingBrotli", m.gzip), wire.Elem("HeadersConfig", wire.Text("HeaderBehavior", "none")),
			wire.Elem("CookiesConfig", wire.Text("CookieBehavior", "none")), wire.Elem("QueryStringsConfig", wire.Text("QueryStringBehavior", "none"))))
	t, err := wire.ParseTree(doc.Bytes())
	if err != nil {
		panic(err) // the document is this program's own
	}
	return &object{id: m.id, etag: "E23ZP02F085DFQ", managed: true, config: t, modified: time.Date(2020, 7, 22, 0, 0, 0, 0, time.UTC)}
}

// node renders an object under its kind's element.
func (o *object) node(k *kind) wire.Node {
	modified := wire.Node{}
	if k.uuid {
		modified = wire.Text("LastModifiedTime", o.modified)
	}
	return wire.Elem(k.name, wire.Text("Id", o.id), modified, o.config.Node(k.name+"Config"))
}

func (s *Service) createObject(c *call) (answer, error) {
	k := c.kind
	if err := k.check(s, c.body); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.policies[k.segment] {
		if o.config.Get("Name") == c.body.Get("Name") {
			return answer{}, k.exists
		}
	}
	o := &object{id: wire.UpperID("E", 13), etag: newETag(), config: c.body, modified: c.Time}
	if k.uuid {
		o.id = wire.UUID()
	}
	s.policies[k.segment][o.id] = o
	return answer{status: http.StatusCreated, etag: o.etag, location: k.segment + "/" + o.id, root: o.node(k)}, nil
}

func (s *Service) object(c *call) (*object, error) {
	if o, ok := s.policies[c.kind.segment][c.id]; ok {
		return o, nil
	}
	return nil, c.kind.missing
}

func (s *Service) getObject(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	return answer{etag: o.etag, root: o.node(c.kind)}, nil
}

func (s *Service) getObjectConfig(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	return answer{etag: o.etag, root: o.config.Node(c.kind.name + "Config")}, nil
}

func (s *Service) updateObject(c *call) (answer, error) {
	if err := c.kind.check(s, c.body); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	if o.managed {
		return answer{}, gate.Errorf(http.StatusForbidden, "AccessDenied", "You cannot update a managed policy.")
	}
	if err := match(c, o.etag); err != nil {
		return answer{}, err
	}
	for _, other := range s.policies[c.kind.segment] {
		if other != o && other.config.Get("Name") == c.body.Get("Name") {
			return answer{}, c.kind.exists
		}
	}
	o.config, o.etag, o.modified = c.body, newETag(), c.Time
	return answer{etag: o.etag, root: o.node(c.kind)}, nil
}

func (s *Service) deleteObject(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.object(c)
	if err != nil {
		return answer{}, err
	}
	if o.managed {
		return answer{}, gate.Errorf(http.StatusForbidden, "AccessDenied", "You cannot delete a managed policy.")
	}
	if err := match(c, o.etag); err != nil {
		return answer{}, err
	}
	for _, d := range s.distributions {
		if d.uses(o.id) {
			return answer{}, c.kind.inUse
		}
	}
	delete(s.policies[c.kind.segment], o.id)
	return answer{status: http.StatusNoContent}, nil
}

func (s *Service) listObjects(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := c.R.URL.Query().Get("Type")
	var all []*object
	for _, o := range s.policies[c.kind.segment] {
		if want == "" || (want == "managed") == o.managed {
			all = append(all, o)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].config.Get("Name") < all[j].config.Get("Name") })
	k := c.kind
	items := wire.List("Items", k.name+"Summary", all, func(o *object) []wire.Node {
		if !k.uuid {
			out := []wire.Node{wire.Text("Id", o.id)}
			return append(out, o.config.Node("").Children...)
		}
		kindOf := "custom"
		if o.managed {
			kindOf = "managed"
		}
		return []wire.Node{wire.Text("Type", kindOf), o.node(k)}
	})
	root := wire.Elem(k.name+"List", wire.Text("MaxItems", 100), wire.Text("Quantity", len(all)))
	if !k.uuid {
		root.Children = append(root.Children, wire.Text("IsTruncated", false), wire.Text("Marker", ""))
	}
	if len(all) > 0 {
		root.Children = append(root.Children, items)
	}
	return answer{root: root}, nil
}
