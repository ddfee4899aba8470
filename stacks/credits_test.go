package stacks

import (
	"strings"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"
)

// TestCPUCredits holds that machines boot at full speed unless somebody decides
// otherwise, who is then told what it means: T3 and T4g get no launch credits.
func TestCPUCredits(t *testing.T) {
	for _, tc := range []struct {
		cluster, credits string
		warns            bool
	}{
		{`{}`, "unlimited", false},
		{`{"cpuCredits":"standard"}`, "standard", true},
		{`{"cpuCredits":"standard","serverInstanceType":"t4g.medium"}`, "standard", true},
		{`{"cpuCredits":"standard","serverInstanceType":"t2.medium"}`, "standard", false}, // it gets launch credits
		{`{"cpuCredits":"standard","serverInstanceType":"m7i.large"}`, "", false},
	} {
		e := runLab(t, "irsa-s3", true, func(values map[string]string) { values["k3s-aws-auth:cluster"] = tc.cluster })
		credits := ""
		if spec := e.one(t, "aws:ec2/instance:Instance", "lab-cluster-server-0").Inputs["creditSpecification"]; spec.IsObject() {
			credits = spec.ObjectValue()["cpuCredits"].StringValue()
		}
		require.Equal(t, tc.credits, credits, tc.cluster)
		warned := false
		for _, l := range e.logs {
			warned = warned || l.GetSeverity() == pulumirpc.LogSeverity_WARNING && strings.Contains(l.GetMessage(), "cluster.cpuCredits is standard")
		}
		require.Equal(t, tc.warns, warned, tc.cluster)
	}
}
