package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"k3s-aws-auth/scripts/internal/graph"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/stacks/config"
)

const (
	hours = 730 // of an average month
	// documents are what STS reads to verify a token: discovery and keys.
	documents = 2
	// freeRequests are those to CloudFront that no account pays for.
	freeRequests = 10_000_000
	// anAccount stands for the account, which no price depends on.
	anAccount = "111122223333"
)

// usage is what the configuration does not tell.
type usage struct {
	Pods               int `json:"pods"`
	NATGB              int `json:"natGb"`
	AdvancedParameters int `json:"advancedParameters"`
	SnapshotGB         int `json:"snapshotGb"`
	Mails              int `json:"mails"`
}

// item is something that is paid for.
type item struct {
	Part     string  `json:"part"` // cluster, identity or alarms
	What     string  `json:"what"`
	Key      string  `json:"price"`
	Quantity float64 `json:"quantity"` // in the price's unit
	// Monthly is in dollars, by region.
	Monthly map[string]float64 `json:"monthly"`
	// Unconfirmed are the regions whose price no page confirmed.
	Unconfirmed []string `json:"unconfirmed,omitempty"`
}

// comparison is the estimate of one setup, by region.
type comparison struct {
	Setup string `json:"setup"`
	// Identity is what is for identities: issuer and alarms.
	Identity map[string]float64 `json:"identity"`
	Total    map[string]float64 `json:"total"`
	// Refused says why the setup does not fit this configuration; it then has no estimate.
	Refused string `json:"refused,omitempty"`
}

// report is what the command says.
type report struct {
	Stack       string             `json:"stack"`
	Setup       string             `json:"setup"`
	Region      string             `json:"region"`
	Regions     []string           `json:"regions"`
	Items       []item             `json:"items"`
	Total       map[string]float64 `json:"total"`
	Setups      []comparison       `json:"setups"`
	Assumptions []string           `json:"assumptions"`
}

// part names.
const (
	partCluster  = "cluster"
	partIdentity = "identity"
	partAlarms   = "alarms"
)

// estimate previews the stack once with each setup, and prices the resources that it then has.
func estimate(ctx context.Context, stack *stackfile.Stack, setups []string, table *prices, use usage) (*report, error) {
	cfg := stack.Config
	r := &report{Stack: stack.Name, Setup: cfg.Setup, Region: cfg.Region, Regions: table.regions}
	var errs []error
	for _, setup := range setups {
		own := setup == cfg.Setup
		c := comparison{Setup: setup, Identity: map[string]float64{}, Total: map[string]float64{}}
		values := maps.Clone(stack.Values)
		values[config.Project+":setup"] = setup
		made, err := graph.Of(ctx, stack.Name, anAccount, values, stack.Secrets...)
		if err != nil && !own {
			c.Refused = strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " ")
			r.Setups = append(r.Setups, c)
			continue
		}
		if err != nil {
			return nil, err
		}
		items, err := itemise(made, cfg, use)
		if err != nil {
			return nil, err
		}
		for i := range items {
			if err := items[i].priced(table); err != nil && own {
				errs = append(errs, err)
			}
			for region, usd := range items[i].Monthly {
				c.Total[region] = cents(c.Total[region] + usd)
				if items[i].Part != partCluster {
					c.Identity[region] = cents(c.Identity[region] + usd)
				}
			}
		}
		r.Setups = append(r.Setups, c)
		if own {
			r.Items, r.Total, r.Assumptions = items, c.Total, assumptions(made, cfg, use)
		}
	}
	return r, errors.Join(errs...)
}

// priced sets what the item costs in each region, rounded to cents so that the total is the sum of what is shown.
func (i *item) priced(table *prices) error {
	i.Monthly = map[string]float64{}
	var errs []error
	for _, region := range table.regions {
		q, err := table.of(i.Key, region)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		i.Monthly[region] = cents(i.Quantity * q.USD)
		if !q.Confirmed {
			i.Unconfirmed = append(i.Unconfirmed, region)
		}
	}
	return errors.Join(errs...)
}

func cents(usd float64) float64 { return math.Round(usd*100) / 100 }

// itemise lists what the resources of a stack cost, and what using them does.
func itemise(made *graph.Graph, cfg *config.Config, use usage) ([]item, error) {
	b := &bill{made: made, count: map[string]int{}}
	if err := b.resources(); err != nil {
		return nil, err
	}
	anything := func(graph.Resource) bool { return true }
	if use.NATGB > 0 && b.has("aws:ec2/natGateway:NatGateway", anything) {
		b.use(partCluster, fmt.Sprintf("%d GB through NAT", use.NATGB), "vpc.nat-gb", float64(use.NATGB))
	}
	if use.AdvancedParameters > 0 && b.has("aws:ssm/parameter:Parameter", anything) {
		b.add(partCluster, "advanced parameter", "ssm.advanced", use.AdvancedParameters, float64(use.AdvancedParameters))
	}
	if use.SnapshotGB > 0 && !cfg.Existing() && cfg.Cluster.EtcdSnapshots.Bucket != "" { // a bucket that the stack does not make
		b.use(partCluster, fmt.Sprintf("%d GB of etcd snapshots", use.SnapshotGB), "s3.storage", float64(use.SnapshotGB))
	}
	b.reads(use.Pods)
	if use.Mails > 0 && b.has("aws:sns/topicSubscription:TopicSubscription", anything) {
		b.use(partAlarms, fmt.Sprintf("%d mails", use.Mails), "sns.email", float64(use.Mails))
	}
	place := func(i item) string {
		part := slices.Index([]string{partCluster, partIdentity, partAlarms}, i.Part)
		return fmt.Sprintf("%d %02d %s", part, slices.IndexFunc(shown, func(prefix string) bool { return strings.HasPrefix(i.Key, prefix) }), i.Key)
	}
	slices.SortStableFunc(b.items, func(a, c item) int { return strings.Compare(place(a), place(c)) })
	return b.items, nil
}

// reads adds what it costs that STS reads the documents of the stack's own issuer, if it has one. STS does not say for how
// long it keeps keys: at most it reads both documents for each session.
func (b *bill) reads(pods int) {
	host := strings.TrimPrefix(text(b.made.Outputs, "issuerUrl"), "https://")
	requests := float64(pods * hours * documents)
	if host == "" || requests == 0 {
		return
	}
	ours := func(r graph.Resource) bool {
		aliases := r.Inputs["aliases"]
		return aliases.IsArray() && slices.ContainsFunc(aliases.ArrayValue(), func(v resource.PropertyValue) bool { return v.IsString() && v.StringValue() == host })
	}
	if !b.has("aws:cloudfront/distribution:Distribution", ours) {
		b.use(partIdentity, fmt.Sprintf("%.0f GET requests to the issuer's bucket", requests), "s3.get", requests)
		return
	}
	b.use(partIdentity, fmt.Sprintf("%.0f requests to CloudFront, less %d that are free", requests, freeRequests),
		"cloudfront.request", max(0, requests-freeRequests))
	// An edge location asks the bucket again for each document when it has expired.
	for _, r := range b.made.Resources {
		if ttl := number(r.Inputs, "maxTtl"); r.Type == "aws:cloudfront/cachePolicy:CachePolicy" && ttl > 0 {
			misses := min(requests, documents*math.Ceil(hours*3600/ttl))
			b.use(partIdentity, fmt.Sprintf("%.0f GET requests of one edge location to the bucket", misses), "s3.get", misses)
		}
	}
}

// missing is the error of types that nobody has priced.
func missing(types map[string]bool) error {
	if len(types) == 0 {
		return nil
	}
	return fmt.Errorf("resources without a price: %s; say in scripts/cost/charges.go what they cost", strings.Join(slices.Sorted(maps.Keys(types)), ", "))
}

// unlimited reports whether a machine may use more CPU than its type includes, for money. EC2 takes the setting for types
// with CPU credits alone (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances.html).
func unlimited(r graph.Resource) bool {
	credits := r.Inputs["creditSpecification"]
	return credits.IsObject() && text(credits.ObjectValue(), "cpuCredits") == "unlimited"
}

func assumptions(made *graph.Graph, cfg *config.Config, use usage) []string {
	list := []string{
		"list prices on demand, without taxes, discounts and an account's free tier; a month of 730 hours",
		"not counted: traffic out of AWS and between zones, load balancers' capacity units, DNS queries, what pods and access logs store",
	}
	if use.Pods == 0 {
		list = append(list, "no sessions of pods: --pods counts them")
	} else {
		list = append(list, fmt.Sprintf("%d pods that renew their session every hour, for each of which STS reads both documents: "+
			"at most, since it keeps keys for a time that AWS does not tell", use.Pods))
	}
	if cfg.Cluster.EtcdSnapshots.Bucket != "" && use.SnapshotGB == 0 {
		list = append(list, "etcd snapshots in "+cfg.Cluster.EtcdSnapshots.Bucket+" cost what they take up in S3: --snapshot-gb counts it")
	}
	if slices.ContainsFunc(made.Resources, unlimited) {
		list = append(list, "burstable machines within their baseline: what cluster.cpuCredits unlimited lets them use above it, on the average of a day, "+
			"costs $0.05 a vCPU-hour ($0.04 for T4g)")
	}
	if cfg.Existing() {
		list = append(list, "the cluster is another's: its machines are not counted")
	}
	return list
}
