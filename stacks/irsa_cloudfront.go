package stacks

import "k3s-aws-auth/stacks/config"

// irsaCloudFront gives pods web identity: their tokens are verified with keys
// that CloudFront serves, on a domain of one's own, from a private bucket.
var irsaCloudFront = setup{
	name: "irsa-cloudfront",
	facts: config.Facts{
		Presents: config.PresentsToken, Issuer: config.IssuerDistribution, OwnRoles: true, SourceIdentity: false, SessionName: config.SessionOfAccount,
	},
	check: func(cfg *config.Config, p *config.Problems) {
		if len(cfg.Issuers) == 0 {
			if cfg.Issuer.Domain == "" {
				p.Add("issuer.domain", "nothing", "the host name of the issuer, such as oidc.example.com, for setup irsa-cloudfront")
			}
			if cfg.Issuer.DNS == config.DNSRoute53 && cfg.Issuer.HostedZoneID == "" {
				p.Add("issuer.hostedZoneId", "nothing", "the Route 53 zone of issuer.domain for setup irsa-cloudfront, "+
					"unless issuer.dns is external")
			}
		}
		checkDistributed(cfg, p)
	},
	deploy: deployIRSA,
}
