package stacks

import (
	"slices"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/alarms"
	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/stacks/config"
)

// noStandardLogs are the regions whose buckets CloudFront delivers no standard
// logs to (CloudFront Developer Guide, "Standard logging (legacy)").
var noStandardLogs = []string{
	"af-south-1", "ap-east-1", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ca-west-1", "eu-central-2", "eu-south-1",
	"eu-south-2", "il-central-1", "me-central-1", "me-south-1",
}

// irsaCloudFront gives pods web identity: their tokens are verified with keys
// that CloudFront serves, on a domain of one's own, from a private bucket.
var irsaCloudFront = setup{
	name: "irsa-cloudfront",
	facts: config.Facts{
		Presents: config.PresentsToken, Issuer: config.IssuerDistribution, OwnRoles: true, SourceIdentity: false, SessionName: config.SessionOfAccount,
	},
	check: func(cfg *config.Config, p *config.Problems) {
		if cfg.Issuer.Domain == "" {
			p.Add("issuer.domain", "nothing", "the host name of the issuer, such as oidc.example.com, for setup irsa-cloudfront")
		}
		if cfg.Issuer.DNS == config.DNSRoute53 && cfg.Issuer.HostedZoneID == "" {
			p.Add("issuer.hostedZoneId", "nothing", "the Route 53 zone of issuer.domain for setup irsa-cloudfront, "+
				"unless issuer.dns is external")
		}
		if cfg.Issuer.AccessLogDays > 0 && slices.Contains(noStandardLogs, cfg.Region) {
			p.Add("issuer.accessLogDays", strconv.Itoa(cfg.Issuer.AccessLogDays), "0 for setup irsa-cloudfront in %s, "+
				"to whose buckets CloudFront delivers no standard logs", cfg.Region)
		}
		if cfg.Partition() != "aws" {
			p.Add("aws:region", config.Quote(cfg.Region), "in the partition aws for setup irsa-cloudfront, "+
				"whose certificate is in us-east-1")
		}
	},
	deploy: func(ctx *pulumi.Context, cfg *config.Config) error {
		acct, err := lookUpAccount(ctx, cfg)
		if err != nil {
			return err
		}
		url := oidcissuer.IssuerURLFromDomain(cfg.Issuer.Domain)
		keys, err := newSigningKeys(ctx, cfg, url)
		if err != nil {
			return err
		}
		usEast1, err := newUsEast1(ctx, cfg, acct)
		if err != nil {
			return err
		}
		logs, err := newAccessLogs(ctx, cfg, acct, true)
		if err != nil {
			return err
		}
		published, err := oidcissuer.NewCloudFrontIssuer(ctx, named(cfg, "issuer"), &oidcissuer.CloudFrontIssuerArgs{
			Domain:          cfg.Issuer.Domain,
			DNS:             cfg.Issuer.DNS,
			HostedZoneID:    cfg.Issuer.HostedZoneID,
			Bucket:          acct.issuerBucket(cfg),
			PublicKeys:      keys.public,
			CacheTTLSeconds: cfg.Issuer.CacheTTLSeconds,
			PriceClass:      cfg.Issuer.PriceClass,
			UsEast1:         usEast1,
			Protect:         cfg.Production,
			Versioned:       cfg.Production,
			LogBucket:       logs,
			ForceDestroy:    true, // the two documents follow from the keys
			Tags:            cfg.ResourceTags(),
		})
		if err != nil {
			return err
		}
		ctx.Export("dnsRecords", published.Records)
		return deployIRSA(ctx, cfg, acct, keys, []issuer{{url: url, ready: published.Ready}}, watched{distribution: &alarms.Distribution{
			ID: published.DistributionID, CertificateArn: published.CertificateArn, UsEast1: usEast1,
		}})
	},
}
