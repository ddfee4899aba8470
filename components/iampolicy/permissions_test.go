package iampolicy_test

import (
	"strings"
	"testing"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/rules"
)

func TestSizeOfThePolicy(t *testing.T) {
	of := func(resource string) error {
		_, err := iampolicy.Permissions([]iampolicy.Statement{{Effect: iampolicy.Allow, Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::b/" + resource}}})
		return err
	}
	if err := of(strings.Repeat("x", rules.MaxInlinePolicy)); err == nil || !strings.Contains(err.Error(), "use managed policies") {
		t.Errorf("too long: error %v", err)
	}
	if err := of(strings.Repeat(" ", 2*rules.MaxInlinePolicy)); err != nil {
		t.Errorf("white space counts: %v", err)
	}
}
