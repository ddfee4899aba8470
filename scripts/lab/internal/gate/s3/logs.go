package s3

import (
	"net/http"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// What a bucket says of access logs and of expiry. Both are kept and answered: the lab delivers no logs and expires no
// objects.

// transitionDefault is the header that goes with every lifecycle configuration.
const transitionDefault = "X-Amz-Transition-Default-Minimum-Object-Size"

func (s *Service) getLifecycle(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		if b.lifecycle == nil {
			return &gate.Error{Code: "NoSuchLifecycleConfiguration", Message: "The lifecycle configuration does not exist", Status: http.StatusNotFound,
				Extra: map[string]string{"BucketName": b.name}}
		}
		w.Header().Set(transitionDefault, "all_storage_classes_128K")
		return writeXML(w, b.lifecycle.Node(""))
	})
}

// putLifecycle takes rules that expire objects after days, and refuses as not modelled what else S3 would take.
func (s *Service) putLifecycle(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil {
		return malformed()
	}
	rules := t.All("Rule")
	if len(rules) == 0 || len(rules) > 1000 {
		return malformed()
	}
	if v := c.R.Header.Get(transitionDefault); v != "" && v != "all_storage_classes_128K" {
		return gate.NotImplemented("transition default " + v)
	}
	ids := map[string]bool{}
	for _, r := range rules {
		status := r.Get("Status")
		if status != "Enabled" && status != "Disabled" {
			return malformed()
		}
		for _, child := range r.Children {
			switch name := child.XMLName.Local; name {
			case "ID", "Status", "Filter", "Prefix", "Expiration":
			default:
				return gate.NotImplemented("lifecycle element " + name)
			}
		}
		if r.Get("Expiration", "Days") == "" {
			return gate.NotImplemented("a lifecycle rule that does not expire objects after days")
		}
		if r.Int(0, "Expiration", "Days") < 1 {
			return gate.Errorf(http.StatusBadRequest, "InvalidArgument", "'Days' for Expiration action must be a positive integer")
		}
		if r.Find("Filter") == nil && r.Find("Prefix") == nil {
			return malformed()
		}
		if id := r.Get("ID"); ids[id] {
			return gate.Errorf(http.StatusBadRequest, "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
		} else if id != "" {
			ids[id] = true
		}
	}
	return s.locked(c, func(b *bucket) error {
		b.lifecycle = t
		w.Header().Set(transitionDefault, "all_storage_classes_128K")
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

func (s *Service) deleteLifecycle(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		b.lifecycle = nil
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (s *Service) getLogging(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		out := wire.Elem("BucketLoggingStatus")
		if b.logging != nil {
			out.Children = append(out.Children, wire.Elem("LoggingEnabled", wire.Text("TargetBucket", b.logging.bucket), wire.Text("TargetPrefix", b.logging.prefix)))
		}
		return writeXML(w, out)
	})
}

// logging is where a bucket's server access logs go.
type logging struct{ bucket, prefix string }

// putLogging holds the target against what delivery needs: a bucket of the same account and region that lets
// logging.s3.amazonaws.com write below the prefix on behalf of this bucket.
func (s *Service) putLogging(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil {
		return malformed()
	}
	enabled := t.Find("LoggingEnabled")
	if enabled == nil {
		return s.locked(c, func(b *bucket) error {
			b.logging = nil
			w.WriteHeader(http.StatusOK)
			return nil
		})
	}
	for _, child := range enabled.Children {
		switch name := child.XMLName.Local; name {
		case "TargetBucket", "TargetPrefix":
		default:
			return gate.NotImplemented("element " + name + " of server access logs")
		}
	}
	to := &logging{bucket: enabled.Get("TargetBucket"), prefix: enabled.Get("TargetPrefix")}
	return s.locked(c, func(b *bucket) error {
		target, ok := s.buckets[to.bucket]
		switch {
		case !ok:
			return invalidTarget("The target bucket for logging does not exist")
		case target.region != b.region:
			return gate.Errorf(http.StatusForbidden, "CrossLocationLoggingProhibitted", "Cross S3 location logging not allowed.")
		case !s.delivers(b, target, to.prefix):
			return invalidTarget("You must either provide the necessary permissions to the logging service using a bucket policy or give the log-delivery group WRITE and READ_ACP permissions to the target bucket")
		}
		b.logging = to
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

func invalidTarget(why string) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidTargetBucketForLogging", "%s", why)
}

// delivers tells whether S3's log delivery may write logs of one bucket to another. The caller holds mu.
func (s *Service) delivers(from, to *bucket, prefix string) bool {
	if to.policy == nil {
		return false
	}
	return policy.Evaluate(policy.Request{
		Action: "s3:PutObject", Resource: objectARN(to.name, prefix+"2000-01-01-00-00-00-0123456789ABCDEF"),
		Principal: &policy.Principal{Service: "logging.s3." + gate.DNSSuffix},
		Context: map[string][]string{
			"aws:SourceArn": {bucketARN(from.name)}, "aws:SourceAccount": {s.g.AccountID()}, "aws:SecureTransport": {"true"},
			"aws:PrincipalIsAWSService": {"true"}, "aws:PrincipalServiceName": {"logging.s3." + gate.DNSSuffix},
		},
	}, to.policy).Decision == policy.Allow
}

// logDelivery is the account that delivers CloudFront's standard logs (awslogsdelivery), by its canonical user id.
const logDelivery = "c4c1ede66af53448b93c283ce9448c4ba468c9432aa01d700d3878632f77d2d0"

// AdmitCloudFrontLogs does what CloudFront does, as the caller, when a distribution names a bucket for its standard logs:
// it adds the log delivery account to the bucket's ACL. domain is the bucket's host name. The error is CloudFront's.
func (s *Service) AdmitCloudFrontLogs(c *gate.Call, domain string) error {
	invalid := func(format string, args ...any) error {
		return gate.Errorf(http.StatusBadRequest, "InvalidArgument", format, args...)
	}
	name, rest, ok := strings.Cut(domain, ".s3.")
	s.mu.Lock()
	b := s.buckets[name]
	s.mu.Unlock()
	if !ok || b == nil || (rest != gate.DNSSuffix && rest != b.region+"."+gate.DNSSuffix) {
		return invalid("The parameter Logging Bucket does not refer to a valid S3 bucket.")
	}
	for _, action := range []string{"s3:GetBucketAcl", "s3:PutBucketAcl"} {
		if err := s.g.AllowedBy(c, s, policy.Request{Action: action, Resource: bucketARN(name)}); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.ownership == enforced {
		return invalid("The S3 bucket that you specified for CloudFront logs does not enable ACL access: %s", domain)
	}
	b.delivery = true
	return nil
}
