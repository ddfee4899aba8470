package gate

import (
	"net"
	"strings"
)

// Resolution is the answer to a DNS question in the lab.
type Resolution struct {
	// Name is the question, Chain the names that its CNAMEs (or Route 53 aliases) lead through, in order.
	Name  string
	Chain []string
	// Addrs are the addresses at the end of the chain; empty where the chain ends nowhere.
	Addrs []string
}

const maxCNAMEs = 8

// EdgeAddr is where every AWS name leads: in a pod's namespace, and on the host through the proxy, port 443 of it is
// the gate. Services that answer for names of their own sites (a distribution) give this address.
const EdgeAddr = "127.0.0.1"

// Lookup returns the records of one name, without following anything: of the services' zones and the external records.
func (g *Gate) Lookup(name string) []DNSRecord {
	name = canonicalName(name)
	var out []DNSRecord
	for _, s := range g.each() {
		if r, ok := s.(Resolver); ok {
			out = append(out, r.LookupDNS(name)...)
		}
	}
	for _, r := range g.ExternalDNS() {
		if canonicalName(r.Name) == name {
			out = append(out, r)
		}
	}
	return out
}

// Resolve answers a DNS question in the gate's view: AWS names, services' zones (Route 53, CloudFront, load balancers),
// external records, IP literals. ok is false where the name does not exist; a name that exists without an address (the
// target of its CNAME is unknown) has an empty Addrs.
func (g *Gate) Resolve(name string) (Resolution, bool) {
	name = canonicalName(name)
	out := Resolution{Name: name}
	if ip := net.ParseIP(name); ip != nil {
		out.Addrs = []string{ip.String()}
		return out, true
	}
	found := false
	for range maxCNAMEs {
		next := ""
		for _, r := range g.Lookup(name) {
			found = true
			switch strings.ToUpper(r.Type) {
			case "A", "AAAA":
				out.Addrs = append(out.Addrs, r.Value)
			case "CNAME":
				next = canonicalName(r.Value)
			}
		}
		if len(out.Addrs) > 0 {
			return out, true
		}
		if next == "" {
			break
		}
		out.Chain = append(out.Chain, next)
		name = next
	}
	// Load balancers, machines and distributions answer above, by their services; one that is not there has no name.
	if isAWSName(name) && !strings.HasSuffix(name, ".cloudfront.net") && !strings.Contains(name, ".elb.") && !strings.Contains(name, ".compute.") {
		out.Addrs = []string{EdgeAddr}
		return out, true
	}
	if isLoopbackName(name) {
		out.Addrs = []string{"127.0.0.1"}
		return out, true
	}
	return out, found
}

// AddExternalDNS adds a record of a DNS server that is not Route 53's: what a person would add at their registrar. A
// record with the same name and type is replaced.
func (g *Gate) AddExternalDNS(r DNSRecord) {
	r.Name, r.Type = canonicalName(r.Name), strings.ToUpper(r.Type)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.dns {
		if g.dns[i].Name == r.Name && g.dns[i].Type == r.Type {
			g.dns[i] = r
			return
		}
	}
	g.dns = append(g.dns, r)
}

// RemoveExternalDNS removes the external records of a name and type (any type where empty) and returns their number.
func (g *Gate) RemoveExternalDNS(name, rrtype string) int {
	name, rrtype = canonicalName(name), strings.ToUpper(rrtype)
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := g.dns[:0:0]
	for _, r := range g.dns {
		if r.Name != name || rrtype != "" && r.Type != rrtype {
			kept = append(kept, r)
		}
	}
	removed := len(g.dns) - len(kept)
	g.dns = kept
	return removed
}

// ExternalDNS lists the external records.
func (g *Gate) ExternalDNS() []DNSRecord {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return append([]DNSRecord(nil), g.dns...)
}

func canonicalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
