package stacks

import "k3s-aws-auth/stacks/config"

// irsaS3 gives pods web identity: their tokens are verified with keys that a
// public bucket serves.
var irsaS3 = setup{
	name: "irsa-s3",
	facts: config.Facts{
		Presents: config.PresentsToken, Issuer: config.IssuerBucket, OwnRoles: true, SourceIdentity: false, SessionName: config.SessionOfAccount,
	},
	check:  checkDistributed,
	deploy: deployIRSA,
}
