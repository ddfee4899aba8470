package stacks

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/alarms"
)

const testBoundary = "arn:aws:iam::" + testAccount + ":policy/workload-boundary"

// production switches on everything that Pulumi.prod.yaml does beyond the lab's
// stack, where it concerns protection.
func production(values map[string]string) {
	values["k3s-aws-auth:production"] = "true"
	values["k3s-aws-auth:permissionsBoundary"] = testBoundary
	values["k3s-aws-auth:alarms"] = `{"enabled":true,"emails":["oncall@example.com"]}`
	values["k3s-aws-auth:network"] = `{"zones":["eu-central-1a"],"apiCidrs":["203.0.113.0/24"]}`
	issuer := strings.TrimSuffix(values["k3s-aws-auth:issuer"], "}")
	if issuer == "" {
		issuer = "{"
	} else {
		issuer += ","
	}
	values["k3s-aws-auth:issuer"] = issuer + `"accessLogDays":90}`
}

// graph is one line for each resource: type, name, parent, provider and
// protection.
func (e *testEngine) graph() []byte {
	var lines []string
	for _, r := range e.resources {
		if resource.URN(r.URN).Type() == resource.RootStackType {
			continue
		}
		line := r.Type + " " + r.Name
		if p := providerName(r.Provider); p != "" && r.Custom {
			line += " @ " + p
		}
		if r.Protect {
			line += " protected"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n") + "\n")
}

// TestProduction holds what a production stack registers and protects.
func TestProduction(t *testing.T) {
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, production)
			golden(t, setup+".production.golden", e.graph())
			require.Equal(t, string(e.graph()), string(runLab(t, setup, false, production).graph()), "a first preview shows the same")
			for _, role := range e.of("aws:iam/role:Role") {
				require.Equal(t, testBoundary, role.Inputs["permissionsBoundary"].StringValue(), role.Name)
			}
			for _, r := range runLab(t, setup, true).resources {
				require.False(t, r.Protect, "%s is protected in a trial", r.Name)
				require.NotContains(t, r.Inputs, resource.PropertyKey("permissionsBoundary"), r.Name)
			}
		})
	}
}

// TestProductionIssuer holds the order and the contents of what guards the
// issuer's bucket.
func TestProductionIssuer(t *testing.T) {
	for setup, acls := range map[string]string{"irsa-s3": "BucketOwnerEnforced", "irsa-cloudfront": "BucketOwnerPreferred"} {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, production)
			const bucket, logs = "lab-issuer-" + testAccount + "-" + testRegion, "lab-logs-" + testAccount + "-" + testRegion
			versioning := e.one(t, "aws:s3/bucketVersioningV2:BucketVersioningV2", "lab-issuer-versioning")
			require.Equal(t, "Enabled", versioning.Inputs["versioningConfiguration"].ObjectValue()["status"].StringValue())
			logging := e.one(t, "aws:s3/bucketLoggingV2:BucketLoggingV2", "lab-issuer-logging")
			require.Equal(t, text("bucket", bucket, "targetBucket", logs, "targetPrefix", "s3/"), logging.Inputs)
			// Versions of documents that were written before would not be kept.
			for _, object := range []string{"lab-issuer-discovery", "lab-issuer-jwks"} {
				require.True(t, slices.ContainsFunc(e.one(t, "aws:s3/bucketObjectv2:BucketObjectv2", object).DependsOn, func(urn string) bool {
					return resource.URN(urn).Name() == "lab-issuer-versioning"
				}), object)
			}
			ownership := e.one(t, "aws:s3/bucketOwnershipControls:BucketOwnershipControls", "lab-logs-ownership")
			require.Equal(t, acls, ownership.Inputs["rule"].ObjectValue()["objectOwnership"].StringValue())
			logBucket := e.one(t, "aws:s3/bucketV2:BucketV2", "lab-logs-bucket")
			require.Equal(t, logs, logBucket.Inputs["bucket"].StringValue())
			require.False(t, logBucket.Inputs["forceDestroy"].BoolValue(), "logs of a production stack go only by hand")
			require.Equal(t, logs, e.stackOutputs()["logBucket"].StringValue())
			policy := e.one(t, "aws:s3/bucketPolicy:BucketPolicy", "lab-logs-policy").Inputs["policy"].StringValue()
			require.JSONEq(t, `{"Version":"2012-10-17","Statement":{"Sid":"WriteServerAccessLogs","Effect":"Allow",
				"Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::`+logs+`/s3/*",
				"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::`+bucket+`"},"StringEquals":{"aws:SourceAccount":"`+testAccount+`"}}}}`, unlist(policy))
			if setup == "irsa-cloudfront" {
				logging := e.one(t, "aws:cloudfront/distribution:Distribution", "lab-issuer-cdn").Inputs["loggingConfig"].ObjectValue()
				require.Equal(t, logs+".s3.amazonaws.com", logging["bucket"].StringValue())
				require.Equal(t, "cloudfront/", logging["prefix"].StringValue())
			}
		})
	}
}

// unlist writes a policy's list of one statement as the statement.
func unlist(policy string) string {
	return strings.TrimSuffix(strings.Replace(policy, `"Statement":[`, `"Statement":`, 1), "]}") + "}"
}

// TestAlarmsOfSetups holds what each setup is alarmed about, and where.
func TestAlarmsOfSetups(t *testing.T) {
	for setup, want := range map[string]struct {
		rules, alarms []string
		topics        int
	}{
		"instance-profile": {rules: []string{"lab-alarms-refused"}, topics: 1},
		"irsa-s3":          {rules: []string{"lab-alarms-refused"}, topics: 1},
		"irsa-cloudfront":  {rules: []string{"lab-alarms-refused"}, alarms: []string{"lab-alarms-4xx", "lab-alarms-5xx", "lab-alarms-certificate"}, topics: 2},
		"roles-anywhere":   {rules: []string{"lab-alarms-ca-expiry", "lab-alarms-leaf-expiry", "lab-alarms-refused", "lab-alarms-refused-sessions"}, topics: 1},
	} {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, production)
			names := func(token string) []string {
				var all []string
				for _, r := range e.of(token) {
					all = append(all, r.Name)
				}
				slices.Sort(all)
				return all
			}
			require.Equal(t, want.rules, names("aws:cloudwatch/eventRule:EventRule"))
			require.Equal(t, want.alarms, names("aws:cloudwatch/metricAlarm:MetricAlarm"))
			require.Len(t, e.of("aws:sns/topicSubscription:TopicSubscription"), want.topics)
			require.Len(t, e.stackOutputs()["alarmTopics"].ArrayValue(), want.topics)
			for _, alarm := range e.of("aws:cloudwatch/metricAlarm:MetricAlarm") {
				require.Equal(t, "lab-us-east-1", providerName(alarm.Provider), "CloudFront's metrics are there")
			}
		})
	}
	// The renewal of 30 days leaves 15 to deploy before anybody is told.
	e := runLab(t, "roles-anywhere", true, production)
	pattern := e.one(t, "aws:cloudwatch/eventRule:EventRule", "lab-alarms-leaf-expiry").Inputs["eventPattern"].StringValue()
	require.Contains(t, pattern, `"numeric":["<=",15]`)
	require.Equal(t, 15, alarms.LeafExpiryDays(720))
}

func TestNoLogsOfDistributionsInSomeRegions(t *testing.T) {
	values := labConfig(t)
	values["k3s-aws-auth:setup"] = "irsa-cloudfront"
	production(values)
	values["aws:region"] = "eu-south-1"
	values["k3s-aws-auth:network"] = `{"zones":["eu-south-1a"],"apiCidrs":["203.0.113.0/24"]}`
	e := &testEngine{known: true}
	err := e.run(t, values)
	require.ErrorContains(t, err, "issuer.accessLogDays: found 90")
	require.Empty(t, e.of("aws:s3/bucketV2:BucketV2"))
}
