package iampolicy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	sidPattern    = regexp.MustCompile(`^[0-9A-Za-z]*$`)
	actionPattern = regexp.MustCompile(`^(\*(:\*)?|[0-9A-Za-z-]+:[0-9A-Za-z*?]+)$`)
	// One condition operator: an optional set prefix, a base and an optional
	// IfExists. Null has no IfExists form.
	operatorPattern = regexp.MustCompile(`^((ForAllValues|ForAnyValue):)?(` +
		`(String(NotEquals|Equals)(IgnoreCase)?|String(Not)?Like|` +
		`Numeric(NotEquals|Equals|LessThan|LessThanEquals|GreaterThan|GreaterThanEquals)|` +
		`Date(NotEquals|Equals|LessThan|LessThanEquals|GreaterThan|GreaterThanEquals)|` +
		`Bool|BinaryEquals|(Not)?IpAddress|Arn(Not)?(Equals|Like))(IfExists)?|Null)$`)
	// A tag's key, which follows a slash, and one of an encryption context, which
	// follows a colon, may have spaces in them, and nothing beyond what IAM takes in a
	// policy. The service of an OIDC provider's keys is its URL without the scheme.
	conditionKeyPattern = regexp.MustCompile(`^[0-9A-Za-z._-]+(/[0-9A-Za-z._~/-]+)?:[^\s/:]+([/:][^\x00-\x1f]*\S)?$`)
	variablePattern     = regexp.MustCompile(`\$\{[^}]*\}`)
	// arnPattern is what IAM takes as a resource: six parts, of which the last, as
	// names of objects do, may have anything in it that a policy may. Fewer do
	// where none is empty, since a * at the end of a part goes beyond it.
	arnPattern       = regexp.MustCompile(`^arn:([^:\s]+):([^:\s]+):(?:([^:\s]*):[^:\s]*:([^\x00-\x1f]+)|[^:\s]+(?::[^:\s]+)?)$`)
	partitionPattern = regexp.MustCompile(`^(\*|aws[a-z-]*)$`)
	servicePattern   = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
	iamPath          = regexp.MustCompile(`^(\*$|root$|\$|(user|federated-user|role|group|instance-profile|mfa|server-certificate|policy|sms-mfa|saml-provider|oidc-provider|report|access-report)/)`)
)

// ValidateIdentity reports everything that makes the statement unfit for an
// identity policy, the kind that configuration describes: a bad effect or sid,
// not exactly one of actions and notActions, not exactly one of resources and
// notResources, malformed actions, resources or conditions. Each error names
// the configuration key, so that a caller needs only to prefix the path.
func (s Statement) ValidateIdentity() error {
	errs := s.faults()
	if s.Principal != nil {
		errs = append(errs, errors.New("principal: an identity policy has none"))
	}
	if len(s.Resources) == 0 && len(s.NotResources) == 0 {
		errs = append(errs, errors.New("resources: is empty, must list at least one ARN or *"))
	}
	return errors.Join(errs...)
}

// faults lists what is wrong with the statement whatever kind of policy it is
// in.
func (s Statement) faults() []error {
	var errs []error
	if s.Effect != "" && s.Effect != Allow && s.Effect != Deny {
		errs = append(errs, fmt.Errorf("effect: is %q, must be Allow or Deny", s.Effect))
	}
	if !IsSid(s.Sid) {
		errs = append(errs, fmt.Errorf("sid: is %q, must be letters and digits only", s.Sid))
	}
	switch {
	case len(s.Actions) == 0 && len(s.NotActions) == 0:
		errs = append(errs, errors.New("actions: is empty, must list at least one action"))
	case len(s.Actions) > 0 && len(s.NotActions) > 0:
		errs = append(errs, errors.New("actions: is set together with notActions, must be one of the two"))
	}
	if len(s.Resources) > 0 && len(s.NotResources) > 0 {
		errs = append(errs, errors.New("resources: is set together with notResources, must be one of the two"))
	}
	errs = append(errs, s.Principal.faults()...)
	for _, list := range []struct {
		key     string
		actions []string
	}{{"actions", s.Actions}, {"notActions", s.NotActions}} {
		for i, action := range list.actions {
			if !IsAction(action) {
				errs = append(errs, fmt.Errorf("%s[%d]: is %q, must be service:Action (wildcards allowed after the colon) or *", list.key, i, action))
			}
		}
	}
	for _, list := range []struct {
		key  string
		arns []string
	}{{"resources", s.Resources}, {"notResources", s.NotResources}} {
		for i, arn := range list.arns {
			if must := ResourceFault(arn); must != "" {
				errs = append(errs, fmt.Errorf("%s[%d]: is %q, must be %s", list.key, i, arn, must))
			}
		}
	}
	return append(errs, s.conditionFaults()...)
}

func (s Statement) conditionFaults() []error {
	var errs []error
	for _, operator := range sortedKeys(s.Conditions) {
		if !IsOperator(operator) {
			errs = append(errs, fmt.Errorf("conditions.%s: is not a condition operator of IAM", operator))
		}
		keys := s.Conditions[operator]
		if len(keys) == 0 {
			errs = append(errs, fmt.Errorf("conditions.%s: is empty, must have at least one condition key", operator))
		}
		for _, key := range sortedKeys(keys) {
			if !IsConditionKey(key) {
				errs = append(errs, fmt.Errorf("conditions.%s: key %q must be prefix:name, such as aws:SourceArn", operator, key))
			}
			if len(keys[key]) == 0 {
				errs = append(errs, fmt.Errorf("conditions.%s.%s: is empty, must list at least one value", operator, key))
			}
			// IAM takes one, and it matches the empty value, as of a request's
			// s3:prefix. In a policy of this program's own making it is a part that
			// is missing.
			if s.Principal != nil && slices.Contains(keys[key], "") {
				errs = append(errs, fmt.Errorf("conditions.%s.%s: has an empty value; a key that may be absent is tested by Null", operator, key))
			}
		}
	}
	return errs
}

// IsSid reports whether IAM takes the text as a statement's sid.
func IsSid(text string) bool { return sidPattern.MatchString(text) }

// IsAction reports whether the text is an action: service:Action, with wildcards
// behind the colon, or * or *:*, which is the same.
func IsAction(text string) bool { return actionPattern.MatchString(text) }

// IsOperator reports whether the text is a condition operator of IAM.
func IsOperator(text string) bool { return operatorPattern.MatchString(text) }

// IsConditionKey reports whether the text has the form of a condition key:
// service:name, and behind a slash a tag's key, in which tags have spaces.
func IsConditionKey(text string) bool {
	return conditionKeyPattern.MatchString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r > 0xff })
}

// NoARN is what ResourceFault says of a text that is none at all.
const NoARN = "an ARN (arn:partition:service:region:account:resource) or *"

// ResourceFault returns what a resource must be, and "" where IAM takes it: * or an
// ARN, with wildcards and policy variables. The words of IAM's refusals, each a
// MalformedPolicyDocument: "Partition … is not valid for resource", "Resource
// vendor must be fully qualified and cannot contain regexes", "IAM resource …
// cannot contain region information", "IAM resource path must either be "*", root,
// or start with user/, …".
func ResourceFault(text string) string {
	if text == "*" {
		return ""
	}
	// A variable may have colons, and spaces in its default value.
	parts := arnPattern.FindStringSubmatch(variablePattern.ReplaceAllString(text, "$$"))
	switch {
	case parts == nil:
		return NoARN
	case !partitionPattern.MatchString(parts[1]):
		return "an ARN with a partition in full, or * for it: IAM takes nothing else there"
	case !servicePattern.MatchString(parts[2]):
		return "an ARN that names its service in full: IAM takes no wildcards there"
	case parts[2] == "iam" && (parts[4] == "" || parts[3] != ""):
		return "an ARN of IAM without a region, such as arn:aws:iam::111122223333:role/x"
	case parts[2] == "iam" && !iamPath.MatchString(parts[4]):
		return "an ARN of IAM that ends in *, or begins its last part with the kind, such as role/"
	}
	return ""
}

func (p *Principal) faults() []error {
	if p == nil {
		return nil
	}
	ids := slices.Concat(p.AWS, p.Service, p.Federated)
	var errs []error
	if p.Anyone && len(ids) > 0 {
		errs = append(errs, errors.New("principal: is anyone together with named principals, must be one of the two"))
	}
	if !p.Anyone && len(ids) == 0 {
		errs = append(errs, errors.New("principal: names nobody"))
	}
	if slices.Contains(ids, "") {
		errs = append(errs, errors.New("principal: has an empty identifier"))
	}
	return errs
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
