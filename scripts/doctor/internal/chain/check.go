package chain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/doctor/internal/causes"
)

// Severities of findings.
const (
	// Broken is what keeps pods from their identity, now or with the next token, session or pod.
	Broken = "broken"
	// Risk is what works and should not, or will not for long.
	Risk = "risk"
)

// Finding is a link of the chain that is not as it should be.
type Finding struct {
	// ID is stable: scripts may rely on it.
	ID       string `json:"id"`
	Severity string `json:"severity"`
	// Where is the link: a pod, a role, an issuer.
	Where string `json:"where"`
	// Identities are the service accounts that it concerns; none where it concerns the whole cluster.
	Identities []string `json:"identities,omitempty"`
	Seen       string   `json:"seen"`
	Expected   string   `json:"expected"`
	// Causes are the likeliest first.
	Causes []Cause `json:"causes"`
	// Do is the command that mends it, or shows what to mend.
	Do   string `json:"do"`
	Page string `json:"page"`
	rank int
}

// Cause is what may have led to a finding.
type Cause struct {
	Why string `json:"why"`
	// Error is the id in the catalogue (doctor explain, docs/causes.md) of what pods get to see by it.
	Error string `json:"error,omitempty"`
}

// Links of the chain, in the order in which they are told: what many identities hang on before what one pod has.
const (
	linkClock = iota
	linkAPI
	linkIssuer
	linkProvider
	linkInjector
	linkAuthority
	linkNode
	linkRole
	linkCertificate
	linkPod
	linkKeys
)

// checker gathers findings about facts.
type checker struct {
	*Facts
	ids   []Identity
	found []Finding
	// foreign is set where the API server signs as an issuer that nobody meant: what roles make of it says nothing.
	foreign bool
}

// Check judges facts: what is broken first, and of that what most hangs on. Facts that were not looked at are not judged.
func Check(f *Facts) []Finding {
	c := &checker{Facts: f, ids: Identities(f)}
	c.clocks()
	c.issuer()
	c.injection()
	c.nodes()
	for _, id := range c.ids {
		c.identity(id)
	}
	c.refused()
	c.staticKeys()
	c.connection()
	return merged(c.found)
}

// merged puts findings about one thing together, and in order.
func merged(list []Finding) []Finding {
	out := []Finding{}
	for _, f := range list {
		if same := find(out, func(o *Finding) bool { return o.ID == f.ID && o.Where == f.Where && o.Seen == f.Seen }); same != nil {
			for _, id := range f.Identities {
				if !slices.Contains(same.Identities, id) {
					same.Identities = append(same.Identities, id)
				}
			}
			continue
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Severity, b.Severity), cmp.Compare(a.rank, b.rank), cmp.Compare(rankOf(a.ID), rankOf(b.ID)))
	})
	return out
}

// rankOf is a place within a link: the kinds in the order of the table.
func rankOf(id string) int { return slices.IndexFunc(kinds, func(k kind) bool { return k.id == id }) }

// kind is what all findings of an id have in common.
type kind struct {
	id       string
	link     int
	severity string
	expected string
	// errors are catalogue ids, each with the cause in words.
	causes []Cause
	do     string
	page   string
}

// add notes a finding of a kind. Pairs of replace fill <names> in its command.
func (c *checker) add(id, where string, ids []Identity, seen string, replace ...string) {
	i := rankOf(id)
	if i < 0 {
		panic("no kind of finding " + id)
	}
	k := &kinds[i]
	var names []string
	for _, i := range ids {
		names = append(names, i.String())
	}
	for i := 0; i < len(replace); i += 2 {
		replace[i] = "<" + replace[i] + ">"
	}
	fill := strings.NewReplacer(replace...)
	f := Finding{ID: id, Severity: k.severity, Where: where, Identities: names, Seen: seen, Expected: fill.Replace(k.expected), Do: fill.Replace(k.do), Page: "docs/" + k.page, rank: k.link}
	for _, cause := range fitting(k.causes, ids) {
		f.Causes = append(f.Causes, Cause{fill.Replace(cause.Why), cause.Error})
	}
	if f.Page == "docs/" {
		f.Page = "docs/causes.md#" + f.Causes[0].Error
	}
	c.found = append(c.found, f)
}

// fitting leaves the causes that what the identities present can have: a certificate gets no error of STS's web identities,
// nor a token one of Roles Anywhere. Where none fits, all do.
func fitting(list []Cause, ids []Identity) []Cause {
	presented := func(what string) bool {
		return len(ids) == 0 || slices.ContainsFunc(ids, func(i Identity) bool { return i.Presents == what })
	}
	out := slices.DeleteFunc(slices.Clone(list), func(c Cause) bool {
		return strings.HasPrefix(c.Error, "sts-") && !presented(presentsToken) || strings.HasPrefix(c.Error, "ra-") && !presented(presentsCertificate)
	})
	if len(out) == 0 {
		return list
	}
	return out
}

// presenting are the identities whose pods present something.
func (c *checker) presenting(what string) []Identity {
	return slices.DeleteFunc(slices.Clone(c.ids), func(i Identity) bool { return i.Presents != what })
}

// pods of an identity.
func (c *checker) podsOf(id Identity) (out []*Pod) {
	for i := range c.Cluster.Pods {
		if p := &c.Cluster.Pods[i]; p.Namespace == id.Namespace && p.Account == id.Account {
			out = append(out, p)
		}
	}
	return out
}

// skew is from when on a clock is wrong: far more than a request takes and an hour's drift, far less than the 5 minutes
// that AWS allows.
const skew = 60

func (c *checker) clocks() {
	apart := func(s float64) string {
		return (time.Duration(s) * time.Second).Abs().String() + map[bool]string{true: " ahead", false: " behind"}[s > 0]
	}
	wrong := func(s *float64) bool { return s != nil && (*s > skew || *s < -skew) }
	var aws float64
	if c.Account.Ahead != nil {
		aws = *c.Account.Ahead
	}
	server := c.Cluster.Ahead
	if server != nil {
		server = new(*server - aws)
	}
	if wrong(c.Account.Ahead) {
		c.add("clock-here", "this machine", nil, "its clock is "+apart(-aws)+" of AWS's")
	}
	issued := false
	if t := c.Cluster.Token; t != nil {
		if off := t.Issued.Sub(t.Asked).Seconds() - aws; wrong(&off) {
			issued = true
			c.add("clock-server", "the API server", c.ids, "tokens are dated "+apart(off)+" of AWS's clock")
		}
	}
	if wrong(server) && !issued {
		c.add("clock-server", "the API server", c.ids, "its clock is "+apart(*server)+" of AWS's")
	}
	for _, n := range c.Cluster.Nodes {
		// A lease is up to 10 s old. Behind by more, on a node that is not ready, it is old and not wrongly dated.
		if n.Ahead != nil && (*n.Ahead > skew || *n.Ahead < -skew && n.Ready) {
			c.add("clock-node", "node "+n.Name, nil, "its kubelet dates what it posts "+apart(*n.Ahead)+" of the API server's clock", "node", n.Name)
		}
	}
}

// nearEnd is how long before its end a certificate is told: a tenth of its life, at most a week.
func nearEnd(v Validity) time.Duration {
	return min(v.To.Sub(v.From)/10, 7*24*time.Hour)
}

// ended tells of a validity: over, not begun, near its end, or nothing.
func (c *checker) ended(v Validity) (state, words string) {
	now := c.Taken
	if c.Account.Ahead != nil {
		now = now.Add(time.Duration(*c.Account.Ahead) * time.Second)
	}
	day := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case now.After(v.To):
		return "over", "it ended at " + day(v.To)
	case now.Before(v.From):
		return "early", "it begins at " + day(v.From)
	case v.To.Sub(now) < nearEnd(v):
		return "near", "it ends at " + day(v.To)
	}
	return "", ""
}

func (c *checker) connection() {
	for where, v := range map[string]*Validity{"the API server's certificate": c.Cluster.Serving, "the kubeconfig's certificate": c.Cluster.Client} {
		if v == nil {
			continue
		}
		if state, words := c.ended(*v); state != "" {
			c.add("cluster-certificate-ends", where, nil, words)
		}
	}
}

func (c *checker) staticKeys() {
	for _, s := range c.Cluster.Secrets {
		for _, name := range s.Static {
			c.add("static-keys", "Secret "+s.Namespace+"/"+s.Name, nil, "its entry "+name+" has an AWS access key")
		}
	}
	for _, m := range c.Cluster.ConfigMaps {
		for _, name := range m.Static {
			c.add("static-keys", "ConfigMap "+m.Namespace+"/"+m.Name, nil, "its entry "+name+" has an AWS access key")
		}
	}
	for _, p := range c.Cluster.Pods {
		if slices.ContainsFunc(c.ids, func(i Identity) bool { return i.Namespace == p.Namespace && i.Account == p.Account }) {
			continue // told with the identity
		}
		for _, container := range p.Containers {
			if len(container.Static) > 0 {
				c.add("static-keys", "pod "+p.Namespace+"/"+p.Name, nil, "container "+container.Name+" gets "+strings.Join(container.Static, ", "))
			}
		}
	}
}

// identity walks what belongs to one identity.
func (c *checker) identity(id Identity) {
	pods := c.podsOf(id)
	if c.sees(partAccounts) && c.account(id.Namespace, id.Account) == nil {
		c.add("service-account-missing", "service account "+id.String(), []Identity{id}, "it does not exist", "namespace", id.Namespace, "account", id.Account)
	}
	switch id.Presents {
	case presentsToken:
		for _, p := range pods {
			c.tokenPod(id, p)
		}
		c.tokenRole(id)
		c.pulls(id)
	case presentsCertificate:
		c.certificate(id, pods)
	case presentsMetadata:
		for _, p := range pods {
			c.metadataPod(id, p)
		}
		c.machineRole(id)
	}
	var workloads []string
	for _, p := range pods {
		c.anyPod(id, p)
		if p.Workload != "" && !slices.Contains(workloads, p.Workload) {
			workloads = append(workloads, p.Workload)
		}
	}
	if len(workloads) > 1 {
		slices.Sort(workloads)
		c.add("account-shared", "service account "+id.String(), []Identity{id}, "pods of "+strings.Join(workloads, ", ")+" have it", "namespace", id.Namespace, "account", id.Account)
	}
}

// catalogue gives a kind its causes by the ids of the catalogue and numbers of reasons there, from 0.
func catalogue(id string, reasons ...int) (out []Cause) {
	c := causes.Get(id)
	if c == nil {
		panic("the catalogue of causes has no " + id)
	}
	for _, r := range reasons {
		if r >= len(c.Reasons) {
			panic(fmt.Sprintf("%s has no reason %d", id, r))
		}
		out = append(out, Cause{c.Reasons[r].Why, id})
	}
	return out
}
