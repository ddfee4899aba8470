package iampolicy

import (
	"errors"
	"fmt"
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
