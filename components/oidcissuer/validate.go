package oidcissuer

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"k3s-aws-auth/components/rules"
)

// ValidateIssuerURL reports whether IAM would take the URL as an issuer and STS
// would find it equal to a token's iss: https, a host name in lower case, no
// port, query, fragment or user, 255 characters at most. One slash at its end is
// part of it, as in the issuers of AKS.
func ValidateIssuerURL(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("issuer URL: %w", err)
	}
	var errs []error
	check := func(bad bool, rule string) {
		if bad {
			errs = append(errs, fmt.Errorf("issuer URL %q %s", issuer, rule))
		}
	}
	check(u.Scheme != "https", "must begin with https://")
	check(u.Hostname() == "", "must have a host name")
	check(u.Host != strings.ToLower(u.Host), "must have its host in lower case")
	check(u.Port() != "" || strings.HasSuffix(u.Host, ":"), "must have no port")
	check(u.User != nil, "must have no user")
	check(strings.ContainsAny(issuer, "?#"), "must have no query and no fragment")
	check(strings.HasSuffix(issuer, "//"), "must end with one slash at most: STS compares it with the token's iss byte by byte")
	check(len(issuer) > 255, "must have at most 255 characters")
	return errors.Join(errs...)
}

// ValidateBucketName reports whether a public bucket of this name can be an
// issuer: S3's naming rules, and no dots, because TLS could not serve it.
func ValidateBucketName(bucket string) error {
	if must := rules.Bucket(bucket); must != "" {
		return fmt.Errorf("bucket %q must be %s", bucket, must)
	}
	return nil
}

// ValidateDomain reports whether the name can be the domain of an issuer: a
// fully qualified host name in lower case without a trailing dot, at most 64
// characters, which is what ACM takes as a certificate's first name.
func ValidateDomain(domain string) error {
	if must := rules.Domain(domain); must != "" {
		return fmt.Errorf("domain %q must be %s", domain, must)
	}
	return nil
}

func validateRegion(region string) error {
	if must := rules.Region(region); must != "" {
		return fmt.Errorf("region %q must be %s", region, must)
	}
	return nil
}
