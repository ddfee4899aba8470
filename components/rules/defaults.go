package rules

// Defaults that a component has for whoever uses it alone, and that the stack's
// configuration has too.
const (
	// DefaultSessionSeconds is IAM's own longest session of a role.
	DefaultSessionSeconds = 3600
	// DefaultCAValidityHours is ten years. A CA that ends takes every leaf with it,
	// and is rotated by listing a second one, not by its end.
	DefaultCAValidityHours = 10 * 365 * 24
	// DefaultLeafValidityHours is 90 days and DefaultLeafEarlyRenewalHours 30: any
	// `pulumi up` in the last 30 days renews, so one a fortnight suffices.
	DefaultLeafValidityHours     = 90 * 24
	DefaultLeafEarlyRenewalHours = 30 * 24
	// DefaultCacheSeconds is how long the issuer's documents may be kept.
	DefaultCacheSeconds = 300
	// DefaultPriceClass is CloudFront's for North America and Europe, the cheapest.
	DefaultPriceClass = "PriceClass_100"
	// DefaultHelperPath is where nodes have the credential helper.
	DefaultHelperPath = "/usr/local/bin/aws_signing_helper"
)
