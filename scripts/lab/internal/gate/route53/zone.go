package route53

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type zone struct {
	id, name, reference, comment string
	sets                         []*recordSet
	tags                         map[string]string
}

type recordSet struct {
	name, kind string
	ttl        int
	values     []string
	alias      *alias
}

type alias struct {
	zone, target string
	health       bool
}

// required tells a zone's own NS and SOA records.
func (z *zone) required(r *recordSet) bool {
	return r.name == z.name && (r.kind == "NS" || r.kind == "SOA")
}

// normal is a name as Route 53 keeps it: lower case, a dot at the end, an asterisk as \052.
func normal(name string) string {
	name = strings.ToLower(name)
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	return strings.ReplaceAll(name, "*", `\052`)
}

// within tells whether a normal name is a zone's apex or below it.
func within(name, zone string) bool {
	return name == zone || strings.HasSuffix(name, "."+zone)
}

// nameServers are the four of a zone, stable for its id.
func (z *zone) nameServers() []string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(z.id))
	n := int(h.Sum32() % 512)
	var out []string
	for i, tld := range []string{"com", "net", "org", "co.uk"} {
		out = append(out, fmt.Sprintf("ns-%d.awsdns-%02d.%s", n+512*i, (n+7*i)%64, tld))
	}
	return out
}

func (s *Service) zone(id string) (*zone, error) {
	for _, z := range s.zones {
		if z.id == id {
			return z, nil
		}
	}
	return nil, gate.Errorf(http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: %s", id)
}

// order compares owner names as DNS sorts them, by labels from the right, and then types.
func order(a, b *recordSet) int {
	if c := compareNames(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.kind, b.kind)
}

func compareNames(a, b string) int {
	reversed := func(n string) []string {
		l := strings.Split(strings.TrimSuffix(n, "."), ".")
		slices.Reverse(l)
		return l
	}
	return slices.Compare(reversed(a), reversed(b))
}

func (s *Service) create(c *call) (int, wire.Node, error) {
	fail := func(err error) (int, wire.Node, error) { return 0, wire.Node{}, err }
	name, reference := normal(c.body.Get("Name")), c.body.Get("CallerReference")
	switch {
	case c.body.Find("VPC") != nil || c.body.Bool("HostedZoneConfig", "PrivateZone"):
		return fail(gate.NotImplemented("a private hosted zone"))
	case c.body.Get("DelegationSetId") != "":
		return fail(gate.NotImplemented("a reusable delegation set"))
	case reference == "" || len(reference) > 128:
		return fail(gate.Errorf(http.StatusBadRequest, "InvalidInput", "CallerReference must have 1 to 128 characters."))
	case strings.Trim(name, ".") == "" || len(name) > 255 || strings.Contains(name, ".."):
		return fail(gate.Errorf(http.StatusBadRequest, "InvalidDomainName", "%s is not a valid domain name.", name))
	}
	for _, z := range s.zones {
		if z.reference == reference {
			return fail(gate.Errorf(http.StatusConflict, "HostedZoneAlreadyExists", "A hosted zone has already been created with the specified caller reference."))
		}
	}
	z := &zone{id: wire.UpperID("Z", 20), name: name, reference: reference, comment: c.body.Get("HostedZoneConfig", "Comment"), tags: map[string]string{}}
	servers := z.nameServers()
	var ns []string
	for _, n := range servers {
		ns = append(ns, n+".")
	}
	z.sets = []*recordSet{{name: name, kind: "NS", ttl: 172800, values: ns},
		{name: name, kind: "SOA", ttl: 900, values: []string{servers[0] + ". awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}}}
	s.zones = append(s.zones, z)
	c.id = z.id
	return http.StatusCreated, wire.Elem("CreateHostedZoneResponse", z.node(), s.newChange(c, ""), z.delegation()), nil
}

// newChange records a change; the answer says PENDING, GetChange then says INSYNC.
func (s *Service) newChange(c *call, comment string) wire.Node {
	id := wire.UpperID("C", 20)
	at := c.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	s.changes[id] = at
	return wire.Elem("ChangeInfo", wire.Text("Id", "/change/"+id), wire.Text("Status", "PENDING"), wire.Text("SubmittedAt", at), wire.Opt("Comment", comment))
}

func (z *zone) node() wire.Node {
	return wire.Elem("HostedZone", wire.Text("Id", "/hostedzone/"+z.id), wire.Text("Name", z.name), wire.Text("CallerReference", z.reference),
		wire.Elem("Config", wire.Opt("Comment", z.comment), wire.Text("PrivateZone", false)), wire.Text("ResourceRecordSetCount", len(z.sets)))
}

func (z *zone) delegation() wire.Node {
	return wire.Elem("DelegationSet", wire.Texts("NameServers", "NameServer", z.nameServers()))
}

func (s *Service) get(c *call) (int, wire.Node, error) {
	z, err := s.zone(c.id)
	if err != nil {
		return 0, wire.Node{}, err
	}
	return http.StatusOK, wire.Elem("GetHostedZoneResponse", z.node(), z.delegation()), nil
}

// dnssec says that a zone is not signed. Signing is not modelled.
func (s *Service) dnssec(c *call) (int, wire.Node, error) {
	if _, err := s.zone(c.id); err != nil {
		return 0, wire.Node{}, err
	}
	return http.StatusOK, wire.Elem("GetDNSSECResponse", wire.Elem("KeySigningKeys"), wire.Elem("Status", wire.Text("ServeSignature", "NOT_SIGNING"))), nil
}

func (s *Service) list(_ *call) (int, wire.Node, error) {
	zones := wire.Elem("HostedZones")
	for _, z := range s.zones {
		zones.Children = append(zones.Children, z.node())
	}
	return http.StatusOK, wire.Elem("ListHostedZonesResponse", zones, wire.Text("IsTruncated", false), wire.Text("MaxItems", 100)), nil
}

func (s *Service) listByName(c *call) (int, wire.Node, error) {
	from := c.R.URL.Query().Get("dnsname")
	sorted := slices.Clone(s.zones)
	sort.SliceStable(sorted, func(i, j int) bool { return compareNames(sorted[i].name, sorted[j].name) < 0 })
	zones := wire.Elem("HostedZones")
	for _, z := range sorted {
		if from == "" || compareNames(z.name, normal(from)) >= 0 {
			zones.Children = append(zones.Children, z.node())
		}
	}
	return http.StatusOK, wire.Elem("ListHostedZonesByNameResponse", zones, wire.Opt("DNSName", from), wire.Text("IsTruncated", false), wire.Text("MaxItems", 100)), nil
}

func (s *Service) count(_ *call) (int, wire.Node, error) {
	return http.StatusOK, wire.Elem("GetHostedZoneCountResponse", wire.Text("HostedZoneCount", len(s.zones))), nil
}

func (s *Service) comment(c *call) (int, wire.Node, error) {
	z, err := s.zone(c.id)
	if err != nil {
		return 0, wire.Node{}, err
	}
	z.comment = c.body.Get("Comment")
	return http.StatusOK, wire.Elem("UpdateHostedZoneCommentResponse", z.node()), nil
}

func (s *Service) remove(c *call) (int, wire.Node, error) {
	z, err := s.zone(c.id)
	if err != nil {
		return 0, wire.Node{}, err
	}
	for _, r := range z.sets {
		if !z.required(r) {
			return 0, wire.Node{}, gate.Errorf(http.StatusBadRequest, "HostedZoneNotEmpty", "The specified hosted zone contains non-required resource record sets and so cannot be deleted.")
		}
	}
	s.zones = slices.DeleteFunc(s.zones, func(o *zone) bool { return o == z })
	return http.StatusOK, wire.Elem("DeleteHostedZoneResponse", s.newChange(c, "")), nil
}

func (s *Service) getChange(c *call) (int, wire.Node, error) {
	at, ok := s.changes[c.id]
	if !ok {
		return 0, wire.Node{}, gate.Errorf(http.StatusNotFound, "NoSuchChange", "Could not find resource with ID: %s", c.id)
	}
	return http.StatusOK, wire.Elem("GetChangeResponse", wire.Elem("ChangeInfo", wire.Text("Id", "/change/"+c.id), wire.Text("Status", "INSYNC"), wire.Text("SubmittedAt", at))), nil
}

func (s *Service) records(c *call) (int, wire.Node, error) {
	z, err := s.zone(c.id)
	if err != nil {
		return 0, wire.Node{}, err
	}
	q := c.R.URL.Query()
	limit, err := strconv.Atoi(q.Get("maxitems"))
	if err != nil || limit < 1 || limit > 300 {
		limit = 300
	}
	sorted := slices.Clone(z.sets)
	slices.SortFunc(sorted, order)
	if from := q.Get("name"); from != "" {
		start := &recordSet{name: normal(from), kind: q.Get("type")}
		sorted = sorted[sort.Search(len(sorted), func(i int) bool { return order(sorted[i], start) >= 0 }):]
	} else if q.Get("type") != "" {
		return 0, wire.Node{}, gate.Errorf(http.StatusBadRequest, "InvalidInput", "StartRecordType needs StartRecordName.")
	}
	next := []wire.Node{wire.Text("IsTruncated", false)}
	if len(sorted) > limit {
		next = []wire.Node{wire.Text("IsTruncated", true), wire.Text("NextRecordName", sorted[limit].name), wire.Text("NextRecordType", sorted[limit].kind)}
		sorted = sorted[:limit]
	}
	sets := wire.List("ResourceRecordSets", "ResourceRecordSet", sorted, func(r *recordSet) []wire.Node {
		out := []wire.Node{wire.Text("Name", r.name), wire.Text("Type", r.kind)}
		if r.alias != nil {
			return append(out, wire.Elem("AliasTarget", wire.Text("HostedZoneId", r.alias.zone), wire.Text("DNSName", r.alias.target),
				wire.Text("EvaluateTargetHealth", r.alias.health)))
		}
		return append(out, wire.Text("TTL", r.ttl), wire.List("ResourceRecords", "ResourceRecord", r.values, func(v string) []wire.Node {
			return []wire.Node{wire.Text("Value", v)}
		}))
	})
	return http.StatusOK, wire.Elem("ListResourceRecordSetsResponse", append([]wire.Node{sets, wire.Text("MaxItems", limit)}, next...)...), nil
}

// change applies a batch whole or not at all.
func (s *Service) change(c *call) (int, wire.Node, error) {
	z, err := s.zone(c.id)
	if err != nil {
		return 0, wire.Node{}, err
	}
	next, problems := slices.Clone(z.sets), []string{}
	changes := c.body.Find("ChangeBatch", "Changes").All("Change")
	if len(changes) == 0 {
		return 0, wire.Node{}, gate.Errorf(http.StatusBadRequest, "MalformedInput", "A change batch needs at least one change.")
	}
	for _, ch := range changes {
		r, problem, err := z.parse(ch.Find("ResourceRecordSet"))
		if err != nil {
			return 0, wire.Node{}, err
		}
		if problem == "" {
			next, problem = z.apply(next, ch.Get("Action"), r)
		}
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	if len(problems) == 0 {
		problems = z.conflicts(next)
	}
	if len(problems) > 0 {
		return 0, wire.Node{}, gate.Errorf(http.StatusBadRequest, "InvalidChangeBatch", "[%s]", strings.Join(problems, ", "))
	}
	z.sets = next
	return http.StatusOK, wire.Elem("ChangeResourceRecordSetsResponse", s.newChange(c, c.body.Get("ChangeBatch", "Comment"))), nil
}

// recordTypes that Route 53 has.
var recordTypes = map[string]bool{"A": true, "AAAA": true, "CAA": true, "CNAME": true, "DS": true, "HTTPS": true, "MX": true, "NAPTR": true, "NS": true,
	"PTR": true, "SOA": true, "SPF": true, "SRV": true, "SSHFP": true, "SVCB": true, "TLSA": true, "TXT": true}

// parse reads one record set; problem is a message of InvalidChangeBatch.
func (z *zone) parse(t *wire.Tree) (r *recordSet, problem string, err error) {
	for _, name := range []string{"SetIdentifier", "Weight", "Region", "GeoLocation", "Failover", "MultiValueAnswer", "HealthCheckId", "CidrRoutingConfig", "GeoProximityLocation", "TrafficPolicyInstanceId"} {
		if t.Find(name) != nil {
			return nil, "", gate.NotImplemented("routing policies and health checks of records (" + name + ")")
		}
	}
	r = &recordSet{name: normal(t.Get("Name")), kind: t.Get("Type"), ttl: int(t.Int(-1, "TTL"))}
	if !recordTypes[r.kind] {
		return nil, "", gate.Errorf(http.StatusBadRequest, "InvalidInput", "1 validation error detected: Value '%s' at 'type' failed to satisfy constraint", r.kind)
	}
	if a := t.Find("AliasTarget"); a != nil {
		r.alias = &alias{zone: a.Get("HostedZoneId"), target: normal(a.Get("DNSName")), health: a.Bool("EvaluateTargetHealth")}
		r.ttl = 0
	}
	for _, v := range t.Find("ResourceRecords").All("ResourceRecord") {
		r.values = append(r.values, v.Get("Value"))
	}
	switch {
	case !within(r.name, z.name):
		return r, fmt.Sprintf("RRSet with DNS name %s is not permitted in zone %s", r.name, z.name), nil
	case r.alias != nil && len(r.values) > 0:
		return nil, "", gate.Errorf(http.StatusBadRequest, "InvalidInput", "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found more than one in Change with [Action, Name=%s, Type=%s]", r.name, r.kind)
	case r.alias == nil && (len(r.values) == 0 || r.ttl < 0):
		return nil, "", gate.Errorf(http.StatusBadRequest, "InvalidInput", "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none in Change with [Name=%s, Type=%s]", r.name, r.kind)
	case r.alias != nil && r.alias.zone == CloudFrontZone && !strings.HasSuffix(r.alias.target, ".cloudfront.net."):
		return r, fmt.Sprintf("Tried to create an alias that targets %s, type %s in zone %s, but the alias target name does not lie within the target zone", r.alias.target, r.kind, r.alias.zone), nil
	case r.kind == "CNAME" && r.name == z.name:
		return r, fmt.Sprintf("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", r.name, z.name), nil
	case r.kind == "CNAME" && len(r.values) > 1:
		return r, fmt.Sprintf("Invalid Resource Record: 'FATAL problem: CNAMERecordMultipleValues' encountered with '%s'", r.name), nil
	}
	for _, v := range r.values {
		ip, err := netip.ParseAddr(v)
		if (r.kind == "A" && (err != nil || !ip.Is4())) || (r.kind == "AAAA" && (err != nil || !ip.Is6())) {
			return r, fmt.Sprintf("Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)' encountered with '%s'", v), nil
		}
	}
	return r, "", nil
}

// apply makes one change to the sets.
func (z *zone) apply(sets []*recordSet, action string, r *recordSet) ([]*recordSet, string) {
	i := slices.IndexFunc(sets, func(o *recordSet) bool { return o.name == r.name && o.kind == r.kind })
	what := fmt.Sprintf("resource record set [name='%s', type='%s']", r.name, r.kind)
	switch action {
	case "CREATE":
		if i >= 0 {
			return sets, "Tried to create " + what + " but it already exists"
		}
		return append(sets, r), ""
	case "UPSERT":
		if i < 0 {
			return append(sets, r), ""
		}
		sets[i] = r
		return sets, ""
	case "DELETE":
		switch {
		case i < 0:
			return sets, "Tried to delete " + what + " but it was not found"
		case z.required(r):
			return sets, "A HostedZone must contain at least one " + r.kind + " record for the zone itself."
		case !sets[i].equal(r):
			return sets, "Tried to delete " + what + " but the values provided do not match the current values"
		}
		return slices.Delete(sets, i, i+1), ""
	}
	return sets, "Unknown action " + action
}

// equal tells whether a deletion names the record as it is; the order of values does not count.
func (r *recordSet) equal(o *recordSet) bool {
	if (r.alias == nil) != (o.alias == nil) {
		return false
	}
	if r.alias != nil {
		return *r.alias == *o.alias
	}
	a, b := slices.Clone(r.values), slices.Clone(o.values)
	sort.Strings(a)
	sort.Strings(b)
	return r.ttl == o.ttl && slices.Equal(a, b)
}

// conflicts finds CNAMEs beside other records of their name.
func (z *zone) conflicts(sets []*recordSet) []string {
	var out []string
	for _, r := range sets {
		for _, o := range sets {
			if r.kind == "CNAME" && o != r && o.name == r.name {
				out = append(out, fmt.Sprintf("RRSet of type CNAME with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone %s", r.name, z.name))
				break
			}
		}
	}
	return out
}

// tagged finds the resource of a tag call: hosted zones only.
func (s *Service) tagged(c *call) (*zone, error) {
	if c.kind != "hostedzone" {
		return nil, gate.NotImplemented("tags of Route 53 resource type " + c.kind)
	}
	return s.zone(c.id)
}

func (s *Service) listTags(c *call) (int, wire.Node, error) {
	z, err := s.tagged(c)
	if err != nil {
		return 0, wire.Node{}, err
	}
	keys := make([]string, 0, len(z.tags))
	for k := range z.tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return http.StatusOK, wire.Elem("ListTagsForResourceResponse", wire.Elem("ResourceTagSet", wire.Text("ResourceType", c.kind), wire.Text("ResourceId", z.id),
		wire.List("Tags", "Tag", keys, func(k string) []wire.Node {
			return []wire.Node{wire.Text("Key", k), wire.Text("Value", z.tags[k])}
		}))), nil
}

func (s *Service) changeTags(c *call) (int, wire.Node, error) {
	z, err := s.tagged(c)
	if err != nil {
		return 0, wire.Node{}, err
	}
	for _, k := range c.body.Find("RemoveTagKeys").All("Key") {
		delete(z.tags, strings.TrimSpace(k.Text))
	}
	for _, t := range c.body.Find("AddTags").All("Tag") {
		z.tags[t.Get("Key")] = t.Get("Value")
	}
	return http.StatusOK, wire.Elem("ChangeTagsForResourceResponse"), nil
}
