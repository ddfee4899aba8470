package oidcissuer

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

var (
	// Without dots: the certificate of S3 covers one label below
	// s3.<region>.amazonaws.com. The rest is S3's own rule.
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)
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
	if strings.Contains(bucket, ".") {
		return fmt.Errorf("bucket %q has a dot: S3's TLS certificate covers a single label, so the issuer's URL could not be verified", bucket)
	}
	if !bucketPattern.MatchString(bucket) {
		return fmt.Errorf("bucket %q must be 3 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit", bucket)
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(bucket, prefix) {
			return fmt.Errorf("bucket %q begins with %q, which S3 reserves", bucket, prefix)
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(bucket, suffix) {
			return fmt.Errorf("bucket %q ends with %q, which S3 reserves", bucket, suffix)
		}
	}
	return nil
}

// ValidateDomain reports whether the name can be the domain of an issuer: a
// fully qualified host name in lower case without a trailing dot, at most 64
// characters, which is what ACM takes as a certificate's first name.
func ValidateDomain(domain string) error {
	if len(domain) > 64 || !domainPattern.MatchString(domain) {
		return fmt.Errorf("domain %q must be a host name such as oidc.example.com, in lower case, at most 64 characters, without scheme, path or trailing dot", domain)
	}
	return nil
}

func validateRegion(region string) error {
	if !regionPattern.MatchString(region) {
		return fmt.Errorf("region %q must be an AWS region such as eu-central-1", region)
	}
	return nil
}
