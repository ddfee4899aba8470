package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/scripts/internal/deployer"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/stacks"
	"k3s-aws-auth/stacks/config"
)

// Statuses of a finding.
const (
	ok      = "ok"
	missing = "missing"
	unknown = "unknown"
)

// finding is the outcome of one check.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	// Do is what to do about it, where there is something to do.
	Do string `json:"do,omitempty"`
}

// account is what the checks ask AWS, all of it reading. An answer may be an error: the check is then unknown.
type account interface {
	Identity(ctx context.Context) (account, arn string, err error)
	// Zones are the region's zones that the account may use.
	Zones(ctx context.Context) ([]string, error)
	// Offers are the zones that offer an instance type, and VCPUs its number of these.
	Offers(ctx context.Context, instanceType string) ([]string, error)
	VCPUs(ctx context.Context, instanceType string) (int, error)
	// RunningVCPUs are those of the standard families in use, and Addresses the Elastic IPs.
	RunningVCPUs(ctx context.Context) (int, error)
	Addresses(ctx context.Context) (int, error)
	Quota(ctx context.Context, service, code string) (float64, error)
	// EndpointZones are the zones in which a service has interface endpoints.
	EndpointZones(ctx context.Context, service string) ([]string, error)
	// PublicPoliciesBlocked reports the account-level S3 Block Public Access.
	PublicPoliciesBlocked(ctx context.Context, account string) (bool, error)
	RoleExists(ctx context.Context, name string) (bool, error)
	PolicyExists(ctx context.Context, arn string) (bool, error)
	BucketExists(ctx context.Context, name string) (bool, error)
	// HostedZone is the name of a public zone, without a dot at its end.
	HostedZone(ctx context.Context, id string) (string, error)
	Distributions(ctx context.Context) (int, error)
	// ReadEventsLogged reports whether a trail of the region logs management events that read.
	ReadEventsLogged(ctx context.Context) (bool, error)
	// Denied are those of a statement's actions that the caller may not take.
	Denied(ctx context.Context, arn string, statement iampolicy.Statement) ([]string, error)
}

// AWS's codes of quotas (https://docs.aws.amazon.com/general/latest/gr/ec2-service.html).
const (
	quotaVCPUs     = "L-1216C47A" // Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances
	quotaAddresses = "L-0263D0A3" // EC2-VPC Elastic IPs
)

// checker collects findings about a stack.
type checker struct {
	aws      account
	stack    *stackfile.Stack
	cfg      *config.Config
	findings []finding
}

func (c *checker) add(check, status, do, format string, args ...any) {
	if status == ok {
		do = ""
	}
	c.findings = append(c.findings, finding{Check: check, Status: status, Found: fmt.Sprintf(format, args...), Do: do})
}

// unknown notes a check that AWS did not answer.
func (c *checker) unknown(check, do string, err error) {
	c.add(check, unknown, do, "%s", strings.TrimSpace(err.Error()))
}

// yes notes ok or missing.
func (c *checker) yes(check string, holds bool, do, format string, args ...any) {
	status := missing
	if holds {
		status = ok
	}
	c.add(check, status, do, format, args...)
}

// run makes all checks that concern the stack.
func (c *checker) run(ctx context.Context) error {
	id, arn, err := c.aws.Identity(ctx)
	if err != nil {
		return fmt.Errorf("no AWS credentials that work: %w", err)
	}
	c.add("caller", ok, "", "%s of account %s", arn, id)
	if err := c.cfg.CheckAccount(id); err != nil {
		c.add("configuration", missing, "correct the stack's file", "%v", err)
	}
	if !c.cfg.Existing() {
		c.machines(ctx)
		c.network(ctx)
	}
	c.identity(ctx, id)
	c.protections(ctx)
	return c.permissions(ctx, id, arn)
}

func (c *checker) machines(ctx context.Context) {
	cluster := c.cfg.Cluster
	used := c.cfg.Network.Zones
	needed := 0
	for _, m := range []struct {
		instanceType string
		n            int
	}{{cluster.ServerInstanceType, cluster.Servers}, {cluster.AgentInstanceType, cluster.Agents}} {
		check := "zones with " + m.instanceType
		zones, err := c.aws.Offers(ctx, m.instanceType)
		if err != nil {
			c.unknown(check, "aws ec2 describe-instance-type-offerings --location-type availability-zone --filters Name=instance-type,Values="+m.instanceType, err)
		} else if lacking := without(used, zones); len(lacking) > 0 {
			c.add(check, missing, "other network.zones, or another type", "not offered in %s", strings.Join(lacking, ", "))
		} else {
			c.add(check, ok, "", "offered in %s", strings.Join(used, ", "))
		}
		each, err := c.aws.VCPUs(ctx, m.instanceType)
		if err != nil {
			c.unknown("vCPUs of "+m.instanceType, "", err)
			return
		}
		needed += each * m.n
	}
	const more = "ask for more in Service Quotas (EC2, Running On-Demand Standard instances): a new account often has 5, and an increase may take a day"
	running, err := c.aws.RunningVCPUs(ctx)
	quota, quotaErr := c.aws.Quota(ctx, "ec2", quotaVCPUs)
	if err = errors.Join(err, quotaErr); err != nil {
		c.unknown("vCPU quota", more, err)
		return
	}
	c.yes("vCPU quota", float64(running+needed) <= quota, more, "%d needed, %d in use, quota %.0f", needed, running, quota)
}

func (c *checker) network(ctx context.Context) {
	n := c.cfg.Network
	zones, err := c.aws.Zones(ctx)
	if err != nil {
		c.unknown("availability zones", "", err)
	} else if lacking := without(n.Zones, zones); len(lacking) > 0 {
		c.add("availability zones", missing, "network.zones of "+strings.Join(zones, ", ")+"; a region of your own choice may have to be opted in first",
			"the account has no %s", strings.Join(lacking, ", "))
	} else {
		c.add("availability zones", ok, "", "%s", strings.Join(n.Zones, ", "))
	}
	if n.VPCEndpoints {
		for _, service := range []string{"ssm", "ssmmessages", "sts"} {
			check := "interface endpoint of " + service
			has, err := c.aws.EndpointZones(ctx, "com.amazonaws."+c.cfg.Region+"."+service)
			if err != nil {
				c.unknown(check, "", err)
			} else if lacking := without(n.Zones, has); len(lacking) > 0 {
				c.add(check, missing, "other network.zones, or network.vpcEndpoints false", "not in %s", strings.Join(lacking, ", "))
			} else {
				c.add(check, ok, "", "in all zones")
			}
		}
	}
	needed := map[string]int{config.NATSingle: 1, config.NATPerZone: len(n.Zones)}[n.NAT]
	if !c.cfg.Balanced() {
		needed++
	}
	if needed == 0 {
		return
	}
	used, err := c.aws.Addresses(ctx)
	quota, quotaErr := c.aws.Quota(ctx, "ec2", quotaAddresses)
	const more = "release some, or ask for more in Service Quotas (EC2, EC2-VPC Elastic IPs)"
	if err = errors.Join(err, quotaErr); err != nil {
		c.unknown("Elastic IP quota", more, err)
		return
	}
	c.yes("Elastic IP quota", float64(used+needed) <= quota, more, "%d needed, %d in use, quota %.0f", needed, used, quota)
}

// identity checks what the setup needs of the account.
func (c *checker) identity(ctx context.Context, id string) {
	switch c.cfg.Facts().Issuer {
	case config.IssuerBucket:
		do := "whoever owns the account decides: switch BlockPublicPolicy and RestrictPublicBuckets off there (and in the organization)"
		for _, s := range stacks.Facts() {
			if s.Issuer == config.IssuerDistribution {
				do += ", or take " + s.Name
			}
		}
		blocked, err := c.aws.PublicPoliciesBlocked(ctx, id)
		if err != nil {
			c.unknown("S3 Block Public Access of the account", "aws s3control get-public-access-block --account-id "+id, err)
			return
		}
		says := "allows a bucket's policy; the organization's is not visible"
		if blocked {
			says = "forbids the issuer's bucket policy"
		}
		c.yes("S3 Block Public Access of the account", !blocked, do, "%s", says)
	case config.IssuerDistribution:
		n, err := c.aws.Distributions(ctx)
		const verify = "a new account may have to be verified for CloudFront: make any distribution in the console; AccessDenied \"must be verified\" is lifted by AWS Support"
		switch {
		case err != nil:
			c.unknown("CloudFront", verify, err)
		case n == 0:
			c.add("CloudFront", unknown, verify, "the account has no distribution yet")
		default:
			c.add("CloudFront", ok, "", "the account has %d distributions", n)
		}
		if c.cfg.Issuer.DNS == config.DNSRoute53 {
			name, err := c.aws.HostedZone(ctx, c.cfg.Issuer.HostedZoneID)
			if err != nil {
				c.add("hosted zone", missing, "issuer.hostedZoneId: aws route53 list-hosted-zones", "%v", err)
				return
			}
			holds := c.cfg.Issuer.Domain == name || strings.HasSuffix(c.cfg.Issuer.Domain, "."+name)
			c.yes("hosted zone", holds, "the public zone that issuer.domain is in", "%s is of %s", c.cfg.Issuer.HostedZoneID, name)
		}
	}
}

func (c *checker) protections(ctx context.Context) {
	if arn := c.cfg.PermissionsBoundary; arn != "" {
		exists, err := c.aws.PolicyExists(ctx, arn)
		if err != nil {
			c.unknown("permissions boundary", "", err)
		} else {
			c.yes("permissions boundary", exists, "make the policy first, or leave permissionsBoundary out", "%s", arn)
		}
	}
	if bucket := c.cfg.Cluster.EtcdSnapshots.Bucket; bucket != "" && !c.cfg.Existing() {
		exists, err := c.aws.BucketExists(ctx, bucket)
		if err != nil {
			c.unknown("bucket for snapshots", "", err)
		} else {
			c.yes("bucket for snapshots", exists, "make a private bucket in the region", "%s", bucket)
		}
	}
	if c.cfg.Alarms.Enabled {
		logged, err := c.aws.ReadEventsLogged(ctx)
		const do = "a trail that logs management events, Read ones too: without it nobody is told of refused callers"
		if err != nil {
			c.unknown("CloudTrail", do, err)
		} else {
			c.yes("CloudTrail", logged, do, "%s", map[bool]string{true: "a trail logs Read events", false: "no trail of the region logs Read events"}[logged])
		}
	}
}

// permissions checks what the deployer's policies allow against what the caller has, and the service-linked roles.
func (c *checker) permissions(ctx context.Context, id, arn string) error {
	types, err := deployer.Types(ctx, c.stack.Name, id, c.stack.Values, c.stack.Secrets...)
	if err != nil {
		return err
	}
	at := site(c.cfg, id)
	linked := map[string]string{"aws:lb/loadBalancer:LoadBalancer": "AWSServiceRoleForElasticLoadBalancing", "aws:rolesanywhere/trustAnchor:TrustAnchor": "AWSServiceRoleForRolesAnywhere"}
	first := false
	for _, t := range types {
		if role := linked[t]; role != "" {
			exists, err := c.aws.RoleExists(ctx, role)
			if err != nil {
				c.unknown("service-linked role", "", err)
			} else {
				first = first || !exists
				c.add("service-linked role", ok, "", "%s %s", role, map[bool]string{true: "is there", false: "is made at the first use"}[exists])
			}
		}
	}
	for _, phase := range deployer.Phases {
		documents, err := deployer.Policies(types, at, phase)
		if err != nil {
			return err
		}
		check := map[deployer.Phase]string{deployer.Up: "permissions for `pulumi up`", deployer.Later: "permissions for changes and `pulumi destroy`"}[phase]
		do := "preflight policy --phase " + string(phase) + " prints what to attach to the deployer"
		var denied []string
		err = nil
		for _, d := range documents {
			for _, s := range d.Statements {
				if s.Sid == "FirstUse" && !first {
					continue
				}
				var found []string
				if found, err = c.aws.Denied(ctx, arn, s); err != nil {
					break
				}
				denied = append(denied, found...)
			}
		}
		if err != nil {
			c.unknown(check, do, err)
			continue
		}
		slices.Sort(denied)
		c.yes(check, len(denied) == 0, do, "%s", map[bool]string{true: "all there", false: "denied: " + strings.Join(denied, " ")}[len(denied) == 0])
	}
	return nil
}

// site is where a stack is deployed, as its policies name it.
func site(cfg *config.Config, id string) deployer.Site {
	at := deployer.Site{Partition: cfg.Partition(), Account: id, Region: cfg.Region, Cluster: cfg.ClusterName, PermissionsBoundary: cfg.PermissionsBoundary}
	if cfg.Issuer.Bucket != "" {
		at.Buckets = append(at.Buckets, cfg.Issuer.Bucket)
	}
	if cfg.Issuer.DNS == config.DNSRoute53 {
		at.HostedZoneID = cfg.Issuer.HostedZoneID
	}
	return at
}

// without are the words of the first list that the second does not have.
func without(wanted, have []string) []string {
	var lacking []string
	for _, w := range wanted {
		if !slices.Contains(have, w) {
			lacking = append(lacking, w)
		}
	}
	return lacking
}
