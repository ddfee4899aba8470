package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"k3s-aws-auth/stacks/config"
)

const (
	hours = 730 // of an average month
	// endpointServices are the services with interface endpoints: those of the product's network.
	endpointServices = 3
	// documents are what STS reads to verify a token: discovery and keys.
	documents = 2
	// freeRequests are those to CloudFront that no account pays for.
	freeRequests = 10_000_000
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

func estimate(stack string, cfg *config.Config, setups []config.Setup, table *prices, use usage) (*report, error) {
	r := &report{Stack: stack, Setup: cfg.Setup, Region: cfg.Region, Regions: table.regions, Assumptions: assumptions(cfg, use)}
	var errs []error
	for _, setup := range setups {
		items := append(append(clusterItems(cfg, use), identityItems(setup, cfg, use)...), alarmItems(setup, cfg, use)...)
		c := comparison{Setup: setup.Name, Identity: map[string]float64{}, Total: map[string]float64{}}
		for i := range items {
			if err := items[i].priced(table); err != nil && setup.Name == cfg.Setup {
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
		if setup.Name == cfg.Setup {
			r.Items, r.Total = items, c.Total
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

// clusterItems are what the machines and their network cost, which no setup changes.
func clusterItems(cfg *config.Config, use usage) []item {
	if cfg.Existing() {
		return nil
	}
	var items []item
	add := func(what, key string, quantity float64) {
		if quantity > 0 {
			items = append(items, item{Part: partCluster, What: what, Key: key, Quantity: quantity})
		}
	}
	c, n := cfg.Cluster, cfg.Network
	machines, zones := c.Servers+c.Agents, len(n.Zones)
	if c.ServerInstanceType == c.AgentInstanceType {
		add(fmt.Sprintf("%d × %s", machines, c.ServerInstanceType), "ec2."+c.ServerInstanceType, float64(machines*hours))
	} else {
		add(fmt.Sprintf("%d × %s, servers", c.Servers, c.ServerInstanceType), "ec2."+c.ServerInstanceType, float64(c.Servers*hours))
		add(fmt.Sprintf("%d × %s, agents", c.Agents, c.AgentInstanceType), "ec2."+c.AgentInstanceType, float64(c.Agents*hours))
	}
	add(fmt.Sprintf("%d × %d GiB gp3", machines, c.RootVolumeGiB), "ebs.gp3", float64(machines*c.RootVolumeGiB))
	nat := map[string]int{config.NATSingle: 1, config.NATPerZone: zones}[n.NAT]
	addresses := nat
	if !n.Private {
		addresses += machines // the address of an only server is its own, not one more
	}
	balancers := 0
	if cfg.Balanced() {
		balancers = 1 // within the VPC
		if c.APIAccess != config.APIPrivate {
			balancers++ // before the API, with an address in each zone
			addresses += zones
		}
	}
	add(fmt.Sprintf("%d × public IPv4", addresses), "vpc.ipv4", float64(addresses*hours))
	add(fmt.Sprintf("%d × NAT gateway", nat), "vpc.nat", float64(nat*hours))
	if nat > 0 {
		add(fmt.Sprintf("%d GB through NAT", use.NATGB), "vpc.nat-gb", float64(use.NATGB))
	}
	add(fmt.Sprintf("%d × network load balancer", balancers), "elb.network", float64(balancers*hours))
	if n.VPCEndpoints {
		add(fmt.Sprintf("%d interface endpoints × %d zones", endpointServices, zones), "vpc.endpoint", float64(endpointServices*zones*hours))
	}
	add(fmt.Sprintf("%d × advanced parameter", use.AdvancedParameters), "ssm.advanced", float64(use.AdvancedParameters))
	if c.EtcdSnapshots.Bucket != "" {
		add(fmt.Sprintf("%d GB of etcd snapshots", use.SnapshotGB), "s3.storage", float64(use.SnapshotGB))
	}
	return items
}

// identityItems are what the way in which pods get credentials costs.
func identityItems(setup config.Setup, cfg *config.Config, use usage) []item {
	// STS does not say for how long it keeps keys: at most it reads both documents for each session.
	requests := float64(use.Pods * hours * documents)
	one := func(what, key string, quantity float64) item {
		return item{Part: partIdentity, What: what, Key: key, Quantity: quantity}
	}
	switch {
	case setup.Issuer == config.IssuerBucket:
		if requests == 0 {
			return nil
		}
		return []item{one(fmt.Sprintf("%.0f GET requests to the issuer's bucket", requests), "s3.get", requests)}
	case setup.Issuer == config.IssuerDistribution:
		items := []item{one("certificate of the issuer's domain", "acm.public", 1)}
		if requests > 0 {
			items = append(items, one(fmt.Sprintf("%.0f requests to CloudFront, less %d that are free", requests, freeRequests),
				"cloudfront.request", max(0, requests-freeRequests)))
		}
		// An edge location asks the bucket again for each document when it has expired.
		if misses := min(requests, documents*math.Ceil(hours*3600/float64(cfg.Issuer.CacheTTLSeconds))); misses > 0 {
			items = append(items, one(fmt.Sprintf("%.0f GET requests of one edge location to the bucket", misses), "s3.get", misses))
		}
		if cfg.Issuer.DNS == config.DNSRoute53 {
			items = append(items, one("hosted zone of the issuer's domain", "route53.zone", 1))
		}
		return items
	case setup.Presents == config.PresentsCertificate:
		return []item{one("trust anchor, profile and sessions", "rolesanywhere", 1)}
	}
	return nil // the instance profile is free
}

// distributionAlarms are how many alarms watch the distribution and its certificate. The rules for refused callers and
// certificates of Roles Anywhere are EventBridge's for events of AWS services, which are free.
const distributionAlarms = 3

// alarmItems are what the alarms cost that the stack asks for.
func alarmItems(setup config.Setup, cfg *config.Config, use usage) []item {
	if !cfg.Alarms.Enabled {
		return nil
	}
	var items []item
	if setup.Issuer == config.IssuerDistribution {
		items = append(items, item{Part: partAlarms, What: fmt.Sprintf("%d × alarm", distributionAlarms), Key: "cloudwatch.alarm", Quantity: distributionAlarms})
	}
	if use.Mails > 0 {
		items = append(items, item{Part: partAlarms, What: fmt.Sprintf("%d mails", use.Mails), Key: "sns.email", Quantity: float64(use.Mails)})
	}
	return items
}

// burstable tells whether a type's CPU is paid for by credits
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances.html).
func burstable(instanceType string) bool {
	family, _, _ := strings.Cut(instanceType, ".")
	return slices.Contains([]string{"t2", "t3", "t3a", "t4g"}, family)
}

func assumptions(cfg *config.Config, use usage) []string {
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
	if !cfg.Existing() && cfg.Cluster.CPUCredits == config.CreditsUnlimited && (burstable(cfg.Cluster.ServerInstanceType) || burstable(cfg.Cluster.AgentInstanceType)) {
		list = append(list, "burstable machines within their baseline: what cluster.cpuCredits unlimited lets them use above it, on the average of a day, "+
			"costs $0.05 a vCPU-hour ($0.04 for T4g)")
	}
	if cfg.Existing() {
		list = append(list, "the cluster is another's: its machines are not counted")
	}
	return list
}
