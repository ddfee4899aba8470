package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/accesslogs"
	"k3s-aws-auth/components/alarms"
	"k3s-aws-auth/stacks/config"
)

// newAccessLogs makes the bucket for access logs of the issuers' buckets and, if
// asked for, of distributions, and returns its name. Without
// issuer.accessLogDays it makes none and returns nil.
func newAccessLogs(ctx *pulumi.Context, cfg *config.Config, acct *account, cloudFront bool) (pulumi.StringInput, error) {
	if cfg.Issuer.AccessLogDays == 0 {
		return nil, nil
	}
	var sources []string
	for _, i := range cfg.IssuerSet() {
		sources = append(sources, fmt.Sprintf("arn:%s:s3:::%s", acct.partition, acct.issuerBucket(cfg, i)))
	}
	logs, err := accesslogs.NewBucket(ctx, named(cfg, "logs"), &accesslogs.BucketArgs{
		Name:       acct.bucket(cfg, "logs"),
		Days:       cfg.Issuer.AccessLogDays,
		SourceArns: sources,
		AccountID:  acct.id,
		CloudFront: cloudFront,
		Protect:    cfg.Production,
		// Of a trial they are worth nothing afterwards; of a production stack
		// somebody has to decide that.
		ForceDestroy: !cfg.Production,
		Tags:         cfg.ResourceTags(),
	})
	if err != nil {
		return nil, err
	}
	ctx.Export("logBucket", logs.Name)
	return logs.Name, nil
}

// watched is what a setup has to be alarmed about, beside its roles.
type watched struct {
	distribution  *alarms.Distribution
	rolesAnywhere *alarms.RolesAnywhere
}

// newAlarms makes the alarms of a stack that has alarms.enabled set.
func newAlarms(ctx *pulumi.Context, cfg *config.Config, acct *account, what watched) error {
	if !cfg.Alarms.Enabled {
		return nil
	}
	made, err := alarms.NewAlarms(ctx, named(cfg, "alarms"), &alarms.AlarmsArgs{
		ClusterName:   cfg.ClusterName,
		AccountID:     acct.id,
		Partition:     acct.partition,
		RolePrefix:    named(cfg, ""),
		Emails:        cfg.Alarms.Emails,
		Distribution:  what.distribution,
		RolesAnywhere: what.rolesAnywhere,
		Tags:          cfg.ResourceTags(),
	})
	if err != nil {
		return err
	}
	ctx.Export("alarmTopics", made.TopicArns)
	return nil
}
