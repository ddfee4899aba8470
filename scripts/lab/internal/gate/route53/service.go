// Package route53 is Amazon Route 53's public hosted zones with simple and alias records, answering both its API and,
// as gate.Resolver, the DNS questions of the lab. Private zones, routing policies, health checks and DNSSEC answer
// NotImplemented.
package route53

import (
	"net/http"
	"sort"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

const (
	namespace = "https://route53.amazonaws.com/doc/2013-04-01/"
	apiPath   = "/2013-04-01/"
	// CloudFrontZone is the hosted zone of alias targets below cloudfront.net (AWS General Reference).
	CloudFrontZone = "Z2FDTNDATAQYW2"
)

// Service implements gate.Service, gate.Resolver and gate.Inventory. Make it with New.
type Service struct {
	g *gate.Gate

	mu      sync.Mutex
	zones   []*zone // in the order of creation
	changes map[string]string
}

// New makes the service for a gate's account.
func New(g *gate.Gate) *Service { return &Service{g: g, changes: map[string]string{}} }

// Name is the signing name.
func (s *Service) Name() string { return "route53" }

// Protocol is rest-xml.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolRESTXML }

// call is a routed API call.
type call struct {
	*gate.Call
	id, kind string // the zone's, change's or tagged resource's id; the tagged type
	body     *wire.Tree
}

type handler func(*Service, *call) (status int, answer wire.Node, err error)

// route finds the action of a REST call; ok is false for a path that the lab does not know.
func (s *Service) route(c *gate.Call) (action string, in *call, h handler, resource string, ok bool) {
	rest, ok := strings.CutPrefix(c.R.URL.Path, apiPath)
	if !ok {
		return "", nil, nil, "", false
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	in = &call{Call: c}
	if len(parts) > 1 {
		in.id = parts[1]
	}
	zoneARN, key := "arn:"+gate.Partition+":route53:::hostedzone/"+in.id, c.R.Method+" "+parts[0]
	if len(parts) > 2 {
		key += "/" + parts[2]
	}
	if parts[0] == "tags" && len(parts) > 1 {
		in.kind, in.id, key = parts[1], "", c.R.Method+" tags"
		if len(parts) > 2 {
			in.id, key = parts[2], key+"/one"
		}
		zoneARN = "arn:" + gate.Partition + ":route53:::" + in.kind + "/" + in.id
	} else if len(parts) == 2 {
		key += "/one"
	}
	switch key {
	case "POST hostedzone":
		return "CreateHostedZone", in, (*Service).create, "*", true
	case "GET hostedzone":
		return "ListHostedZones", in, (*Service).list, "*", true
	case "GET hostedzonesbyname":
		return "ListHostedZonesByName", in, (*Service).listByName, "*", true
	case "GET hostedzonecount":
		return "GetHostedZoneCount", in, (*Service).count, "*", true
	case "GET hostedzone/one":
		return "GetHostedZone", in, (*Service).get, zoneARN, true
	case "DELETE hostedzone/one":
		return "DeleteHostedZone", in, (*Service).remove, zoneARN, true
	case "POST hostedzone/one":
		return "UpdateHostedZoneComment", in, (*Service).comment, zoneARN, true
	case "GET hostedzone/dnssec":
		return "GetDNSSEC", in, (*Service).dnssec, zoneARN, true
	case "GET hostedzone/rrset":
		return "ListResourceRecordSets", in, (*Service).records, zoneARN, true
	case "POST hostedzone/rrset":
		return "ChangeResourceRecordSets", in, (*Service).change, zoneARN, true
	case "GET change/one":
		return "GetChange", in, (*Service).getChange, "arn:" + gate.Partition + ":route53:::change/" + in.id, true
	case "GET tags/one":
		return "ListTagsForResource", in, (*Service).listTags, zoneARN, true
	case "POST tags/one":
		return "ChangeTagsForResource", in, (*Service).changeTags, zoneARN, true
	}
	return "", nil, nil, "", false
}

type prepared struct {
	in *call
	h  handler
}

// Requirements routes and parses the call.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	action, in, h, resource, ok := s.route(c)
	if !ok {
		return nil, gate.NotImplemented("Route 53 call " + c.R.Method + " " + c.R.URL.Path)
	}
	c.Action = action
	context := map[string][]string{}
	if len(c.Body) > 0 && c.R.Method == http.MethodPost {
		body, err := wire.ParseTree(c.Body)
		if err != nil {
			return nil, gate.Errorf(http.StatusBadRequest, "MalformedInput", "%v", err)
		}
		in.body = body
	} else if c.R.Method == http.MethodPost {
		return nil, gate.Errorf(http.StatusBadRequest, "MalformedInput", "The request has no body.")
	}
	if action == "ChangeResourceRecordSets" {
		for _, ch := range in.body.Find("ChangeBatch", "Changes").All("Change") {
			for key, v := range map[string]string{"RecordNames": strings.TrimSuffix(normal(ch.Get("ResourceRecordSet", "Name")), "."),
				"RecordTypes": ch.Get("ResourceRecordSet", "Type"), "Actions": ch.Get("Action")} {
				full := "route53:ChangeResourceRecordSets" + map[string]string{"RecordNames": "Normalized"}[key] + key
				context[full] = append(context[full], v)
			}
		}
	}
	c.Data = prepared{in, h}
	return []policy.Request{{Action: "route53:" + action, Resource: resource, Context: context}}, nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	p := c.Data.(prepared)
	s.mu.Lock()
	status, answer, err := p.h(s, p.in)
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	if status == http.StatusCreated {
		w.Header().Set("Location", "https://route53."+gate.DNSSuffix+apiPath+"hostedzone/"+p.in.id)
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer.NS(namespace).Bytes())
}

// Inventory lists the zones, and the records beside each zone's own NS and SOA.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for _, z := range s.zones {
		out["route53 zone"] = append(out["route53 zone"], z.id)
		for _, r := range z.sets {
			if !z.required(r) {
				out["route53 record"] = append(out["route53 record"], r.name+" "+r.kind)
			}
		}
	}
	for _, ids := range out {
		sort.Strings(ids)
	}
	return out
}

// LookupDNS answers from the most specific zone that holds the name; of zones with one name the oldest answers, since
// only one can be delegated to. An alias is given as a CNAME to its target. A wildcard record answers for names that
// have no record of their own.
func (s *Service) LookupDNS(name string) []gate.DNSRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := normal(name)
	var best *zone
	for _, z := range s.zones {
		if within(full, z.name) && (best == nil || len(z.name) > len(best.name)) {
			best = z
		}
	}
	if best == nil {
		return nil
	}
	lookup := func(owner string) (out []gate.DNSRecord) {
		for _, r := range best.sets {
			if r.name != owner {
				continue
			}
			if r.alias != nil {
				out = append(out, gate.DNSRecord{Name: name, Type: "CNAME", Value: strings.TrimSuffix(r.alias.target, "."), TTL: 60})
			}
			for _, v := range r.values {
				if r.kind == "CNAME" {
					v = strings.TrimSuffix(v, ".")
				}
				out = append(out, gate.DNSRecord{Name: name, Type: r.kind, Value: v, TTL: r.ttl})
			}
		}
		return out
	}
	if out := lookup(full); len(out) > 0 {
		return out
	}
	for owner := full; owner != best.name; {
		_, parent, ok := strings.Cut(owner, ".")
		if !ok || !within(parent, best.name) {
			break
		}
		if out := lookup(`\052.` + parent); len(out) > 0 {
			return out
		}
		owner = parent
	}
	return nil
}
