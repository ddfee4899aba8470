package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/stacks/config"
)

// irsaS3 gives pods web identity: their tokens are verified with keys that a
// public bucket serves.
var irsaS3 = setup{
	name: "irsa-s3",
	facts: config.Facts{
		Presents: config.PresentsToken, Issuer: config.IssuerBucket, OwnRoles: true, SourceIdentity: false, SessionName: config.SessionOfAccount,
	},
	deploy: func(ctx *pulumi.Context, cfg *config.Config) error {
		acct, err := lookUpAccount(ctx, cfg)
		if err != nil {
			return err
		}
		url := oidcissuer.IssuerURLFromBucket(acct.issuerBucket(cfg), cfg.Region, acct.dnsSuffix)
		keys, err := newSigningKeys(ctx, cfg, url)
		if err != nil {
			return err
		}
		logs, err := newAccessLogs(ctx, cfg, acct, false)
		if err != nil {
			return err
		}
		published, err := oidcissuer.NewBucketIssuer(ctx, named(cfg, "issuer"), &oidcissuer.BucketIssuerArgs{
			Bucket:             acct.issuerBucket(cfg),
			Region:             cfg.Region,
			DNSSuffix:          acct.dnsSuffix,
			PublicKeys:         keys.public,
			CacheMaxAgeSeconds: cfg.Issuer.CacheTTLSeconds,
			Protect:            cfg.Production,
			Versioned:          cfg.Production,
			LogBucket:          logs,
			ForceDestroy:       true, // the two documents follow from the keys
			Tags:               cfg.ResourceTags(),
		})
		if err != nil {
			return err
		}
		return deployIRSA(ctx, cfg, acct, keys, []issuer{{url: url, ready: published.Ready}}, watched{})
	},
}
