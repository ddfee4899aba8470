package stacks

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/alarms"
	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/stacks/config"
)

// issuer is a published OIDC issuer: its URL, plain, and an output of the same
// URL that resolves once its documents can be read.
type issuer struct {
	keyset.Member
	url   string
	ready pulumi.StringOutput
}

// issuerPart names what belongs to an issuer. The one of stacks that list none
// has the name that it always had.
func issuerPart(i config.Published) string {
	if i.Name == keyset.DefaultName {
		return "issuer"
	}
	return "issuer-" + i.Name
}

// issuerBucket is the physical name of the bucket with an issuer's documents.
func (a *account) issuerBucket(cfg *config.Config, i config.Published) string {
	if i.Bucket != "" {
		return i.Bucket
	}
	return a.bucket(cfg, issuerPart(i))
}

// issuerURL is an issuer's URL, known before anything is made.
func (a *account) issuerURL(cfg *config.Config, i config.Published) string {
	if i.Domain != "" {
		return oidcissuer.IssuerURLFromDomain(i.Domain)
	}
	return oidcissuer.IssuerURLFromBucket(a.issuerBucket(cfg, i), cfg.Region, a.dnsSuffix)
}

// activeIssuerURL is the issuer that is in new tokens.
func (a *account) activeIssuerURL(cfg *config.Config) string {
	set := cfg.IssuerSet()
	return a.issuerURL(cfg, set[slices.IndexFunc(set, func(i config.Published) bool { return i.State == keyset.Active })])
}

// noStandardLogs are the regions whose buckets CloudFront delivers no standard
// logs to (CloudFront Developer Guide, "Standard logging (legacy)").
var noStandardLogs = []string{
	"af-south-1", "ap-east-1", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ca-west-1", "eu-central-2", "eu-south-1",
	"eu-south-2", "il-central-1", "me-central-1", "me-south-1",
}

// checkDistributed adds what CloudFront demands of where an issuer is behind it.
func checkDistributed(cfg *config.Config, p *config.Problems) {
	if !cfg.Distributed() {
		return
	}
	if cfg.Issuer.AccessLogDays > 0 && slices.Contains(noStandardLogs, cfg.Region) {
		p.Add("issuer.accessLogDays", strconv.Itoa(cfg.Issuer.AccessLogDays), "0 for an issuer behind CloudFront in %s, "+
			"to whose buckets CloudFront delivers no standard logs", cfg.Region)
	}
	if cfg.Partition() != "aws" {
		p.Add("aws:region", config.Quote(cfg.Region), "in the partition aws for an issuer behind CloudFront, "+
			"whose certificate is in us-east-1")
	}
}

// publishIssuers publishes the documents of all issuers, each with all keys.
func publishIssuers(ctx *pulumi.Context, cfg *config.Config, acct *account, keys *signingKeys) ([]issuer, watched, error) {
	var usEast1 *aws.Provider
	if cfg.Distributed() {
		var err error
		if usEast1, err = newUsEast1(ctx, cfg, acct); err != nil {
			return nil, watched{}, err
		}
	}
	logs, err := newAccessLogs(ctx, cfg, acct, cfg.Distributed())
	if err != nil {
		return nil, watched{}, err
	}
	var issuers []issuer
	var what watched
	var records []any
	for _, i := range cfg.IssuerSet() {
		made := issuer{Member: i.Member, url: acct.issuerURL(cfg, i)}
		if i.Domain == "" {
			published, err := newBucketIssuer(ctx, cfg, acct, i, keys, logs)
			if err != nil {
				return nil, watched{}, err
			}
			made.ready = published.Ready
		} else {
			published, err := newCloudFrontIssuer(ctx, cfg, acct, i, keys, logs, usEast1)
			if err != nil {
				return nil, watched{}, err
			}
			made.ready = published.Ready
			records = append(records, published.Records)
			if what.distribution == nil || i.State == keyset.Active {
				what.distribution = &alarms.Distribution{
					ID: published.DistributionID, CertificateArn: published.CertificateArn, UsEast1: usEast1,
				}
			}
		}
		issuers = append(issuers, made)
	}
	if len(records) > 0 {
		ctx.Export("dnsRecords", pulumi.All(records...).ApplyT(func(lists []any) []map[string]string {
			all := []map[string]string{}
			for _, list := range lists {
				all = append(all, list.([]map[string]string)...)
			}
			return all
		}))
	}
	return issuers, what, nil
}

// activeFirst are the URLs of issuers as API servers take them: the first is in
// new tokens.
func activeFirst(issuers []issuer) []string {
	var urls []string
	for _, i := range issuers {
		if i.State == keyset.Active {
			urls = append([]string{i.url}, urls...)
		} else {
			urls = append(urls, i.url)
		}
	}
	return urls
}

func newBucketIssuer(ctx *pulumi.Context, cfg *config.Config, acct *account, i config.Published, keys *signingKeys,
	logs pulumi.StringInput) (*oidcissuer.BucketIssuer, error) {
	published, err := oidcissuer.NewBucketIssuer(ctx, named(cfg, issuerPart(i)), &oidcissuer.BucketIssuerArgs{
		Bucket:             acct.issuerBucket(cfg, i),
		Region:             cfg.Region,
		DNSSuffix:          acct.dnsSuffix,
		PublicKeys:         keys.public,
		CacheMaxAgeSeconds: cfg.Issuer.CacheTTLSeconds,
		Protect:            cfg.Production && i.State != keyset.Retiring,
		Versioned:          cfg.Production,
		LogBucket:          logs,
		ForceDestroy:       true, // the two documents follow from the keys
		Tags:               cfg.ResourceTags(),
	})
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
	}
	return published, nil
}

func newCloudFrontIssuer(ctx *pulumi.Context, cfg *config.Config, acct *account, i config.Published, keys *signingKeys,
	logs pulumi.StringInput, usEast1 *aws.Provider) (*oidcissuer.CloudFrontIssuer, error) {
	published, err := oidcissuer.NewCloudFrontIssuer(ctx, named(cfg, issuerPart(i)), &oidcissuer.CloudFrontIssuerArgs{
		Domain:          i.Domain,
		DNS:             i.DNS,
		HostedZoneID:    i.HostedZoneID,
		Bucket:          acct.issuerBucket(cfg, i),
		PublicKeys:      keys.public,
		CacheTTLSeconds: cfg.Issuer.CacheTTLSeconds,
		PriceClass:      cfg.Issuer.PriceClass,
		UsEast1:         usEast1,
		Protect:         cfg.Production && i.State != keyset.Retiring,
		Versioned:       cfg.Production,
		LogBucket:       logs,
		ForceDestroy:    true, // the two documents follow from the keys
		Tags:            cfg.ResourceTags(),
	})
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
	}
	return published, nil
}
