package gate

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"

	"k3s-aws-auth/scripts/internal/policy"
)

// Options configures a gate.
type Options struct {
	// Dir keeps the web CA (0600), so that a restart keeps the trust of clients. Empty: nothing is kept.
	Dir string
	// AccountID is the twelve-digit account, Region the home region.
	AccountID, Region string
	// Log gets one line for each denied or failed call; nil discards.
	Log io.Writer
	// Now is the clock; time.Now where nil. Gate.SetClockOffset shifts it.
	Now func() time.Time
	// Decided is told each permission that a call was found to need, with what policies say of it; nil for nobody. It may
	// be called concurrently.
	Decided func(policy.Request, policy.Verdict)
}

// Partition of the emulated account and its DNS suffix.
const (
	Partition = "aws"
	DNSSuffix = "amazonaws.com"
)

// Gate is the endpoint. Make it with New; it is safe for concurrent use.
type Gate struct {
	options Options
	web     *webCA
	record  record
	latency latency

	mu       sync.RWMutex
	services map[string]Service
	order    []Service
	offset   time.Duration
	skews    map[string]time.Duration
	troubles []Trouble
	longest  time.Duration
	dns      []DNSRecord
	servers  map[*http.Server]struct{}
	closed   bool

	loop     *pipeListener
	loopOnce sync.Once

	iam      *iamStore
	sessions *sessionStore
	nodes    nodeSessions
	sts      *stsService
	ra       *rolesAnywhere

	bus      Bus
	expiries expiries
}

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

// New makes a gate with IAM, STS, Roles Anywhere, an admin user, and a web CA (read from Options.Dir where it is there
// already). Errors: a malformed account or region, or an unreadable directory.
func New(o Options) (*Gate, error) {
	if !accountPattern.MatchString(o.AccountID) {
		return nil, fmt.Errorf("gate: account id %q is not twelve digits", o.AccountID)
	}
	if o.Region == "" {
		return nil, fmt.Errorf("gate: no region")
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	web, err := openWebCA(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("gate: web CA: %w", err)
	}
	g := &Gate{options: o, web: web, services: map[string]Service{}, servers: map[*http.Server]struct{}{}, loop: newPipeListener(),
		sessions: newSessionStore(), nodes: nodeSessions{byID: map[string]nodeSession{}}}
	g.iam = newIAMStore(g)
	g.iam.bootstrap()
	g.sts = newSTS(g)
	g.ra = newRolesAnywhere(g)
	g.Register(&iamService{g: g, store: g.iam})
	g.Register(g.sts)
	g.Register(g.ra)
	return g, nil
}

// Register adds a service; one with the same name is replaced.
func (g *Gate) Register(s Service) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.services[s.Name()]; ok {
		for i := range g.order {
			if g.order[i] == old {
				g.order = append(g.order[:i:i], g.order[i+1:]...)
				break
			}
		}
	}
	g.services[s.Name()] = s
	g.order = append(g.order, s)
}

// Service returns a registered service by its signing name.
func (g *Gate) Service(name string) (Service, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	s, ok := g.services[name]
	return s, ok
}

// each returns the registered services in the order of registration.
func (g *Gate) each() []Service {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return append([]Service(nil), g.order...)
}

// AccountID returns the account of the lab.
func (g *Gate) AccountID() string { return g.options.AccountID }

// Region returns the home region.
func (g *Gate) Region() string { return g.options.Region }

// Now is the gate's clock: Options.Now plus the offset that was set.
func (g *Gate) Now() time.Time {
	g.mu.RLock()
	offset := g.offset
	g.mu.RUnlock()
	return g.options.Now().Add(offset)
}

// SetClockOffset shifts the gate's clock against Options.Now, to see what a skewed or later clock does.
func (g *Gate) SetClockOffset(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offset = d
}

// ARN makes an ARN in the lab's account; region is empty for global services such as IAM.
func (g *Gate) ARN(service, region, resource string) string {
	return "arn:" + Partition + ":" + service + ":" + region + ":" + g.options.AccountID + ":" + resource
}

// Inventory lists what is left in the account, by kind, sorted. Kinds without entries are absent.
func (g *Gate) Inventory() map[string][]string {
	out := map[string][]string{}
	for _, s := range g.each() {
		in, ok := s.(Inventory)
		if !ok {
			continue
		}
		for kind, ids := range in.Inventory() {
			if len(ids) > 0 {
				out[kind] = append(out[kind], ids...)
			}
		}
	}
	for _, ids := range out {
		sort.Strings(ids)
	}
	return out
}

// Logf writes a line into the gate's log, for services.
func (g *Gate) Logf(format string, args ...any) { g.logf(format, args...) }

func (g *Gate) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(g.options.Log, "%s gate: "+format+"\n", append([]any{g.Now().UTC().Format(time.RFC3339)}, args...)...)
}

// newRequestID returns a random UUID.
func newRequestID() string { return uuid.NewString() }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
