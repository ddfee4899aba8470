package iampolicy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"k3s-aws-auth/components/rules"
)

// Permissions returns the identity policy of the statements as JSON, or an error
// for each statement that is unfit for one, or where it is longer than IAM allows.
func Permissions(statements []Statement) (string, error) {
	var errs []error
	for i, statement := range statements {
		if err := statement.ValidateIdentity(); err != nil {
			errs = append(errs, fmt.Errorf("statement %d: %w", i, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	text, err := New(statements...).JSON()
	if err != nil {
		return "", err
	}
	if size := Size(text); size > rules.MaxInlinePolicy {
		return "", fmt.Errorf("inline policy has %d characters, IAM allows %d: use managed policies", size, rules.MaxInlinePolicy)
	}
	return text, nil
}

// PerCommonName returns the statements by which a session that was got with a
// certificate may list, read, write and delete the objects that begin with the
// certificate's subject common name and a slash, below a location: the ARN of an S3
// bucket, or of a path in it without a slash at its end. A session without such a
// tag may nothing: what contains a variable that has no value matches nothing.
//
// Sources: IAM user guide, "IAM policy elements: Variables and tags"; IAM Roles
// Anywhere user guide, trust model; Amazon S3 user guide, actions and condition
// keys.
func PerCommonName(location string) []Statement {
	const name = "${" + CommonNameKey + "}"
	bucket, below, _ := strings.Cut(location, "/")
	if below != "" {
		below += "/"
	}
	return []Statement{{
		Actions:   []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"},
		Resources: []string{bucket + "/" + below + name + "/*"},
	}, {
		Actions:    []string{"s3:ListBucket"},
		Resources:  []string{bucket},
		Conditions: map[string]map[string][]string{"StringLike": {"s3:prefix": {below + name + "/*"}}},
	}}
}

// Size is how many characters a policy has by IAM's count, which leaves out white
// space.
//
// Source: IAM user guide, "IAM and AWS STS quotas".
func Size(policy string) int {
	size := 0
	for _, r := range policy {
		if !unicode.IsSpace(r) {
			size++
		}
	}
	return size
}
