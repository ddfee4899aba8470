package alarms

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

const (
	anchor = "arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/a"
	topic  = "arn:aws:sns:eu-central-1:111122223333:alarms"
)

func answers(r pulumitest.Resource) resource.PropertyMap {
	switch r.Type {
	case "aws:sns/topic:Topic":
		if r.Provider != "" {
			return resource.PropertyMap{"arn": resource.NewProperty("arn:aws:sns:us-east-1:111122223333:alarms")}
		}
		return resource.PropertyMap{"arn": resource.NewProperty(topic)}
	case "aws:cloudwatch/eventRule:EventRule":
		return resource.PropertyMap{"name": resource.NewProperty(r.Name)}
	}
	return nil
}

func valid() *AlarmsArgs {
	return &AlarmsArgs{
		ClusterName: "prod", AccountID: "111122223333", Partition: "aws", RolePrefix: "prod-",
		Emails: []string{"oncall@example.com", "second@example.com"}, Tags: map[string]string{"team": "platform"},
	}
}

func run(t *testing.T, args *AlarmsArgs, more ...func(*pulumi.Context) error) (*pulumitest.Recorder, []string, error) {
	t.Helper()
	var topics []string
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		for _, f := range more {
			if err := f(ctx); err != nil {
				return err
			}
		}
		made, err := NewAlarms(ctx, "alarms", args)
		if err == nil {
			pulumitest.Result(ctx, made.TopicArns, &topics)
		}
		return err
	})
	return recorder, topics, err
}

// everything watches all that can be watched.
func everything(t *testing.T) (*pulumitest.Recorder, []string) {
	t.Helper()
	args := valid()
	args.RolesAnywhere = &RolesAnywhere{TrustAnchorArn: pulumi.String(anchor), LeafRenewalHours: 720}
	recorder, topics, err := run(t, args, func(ctx *pulumi.Context) error {
		usEast1, err := aws.NewProvider(ctx, "us-east-1", &aws.ProviderArgs{Region: pulumi.String("us-east-1")})
		args.Distribution = &Distribution{
			ID: pulumi.String("E1"), CertificateArn: pulumi.String("arn:aws:acm:us-east-1:111122223333:certificate/c"), UsEast1: usEast1,
		}
		return err
	})
	require.NoError(t, err)
	return recorder, topics
}

func TestAlarms(t *testing.T) {
	recorder, topics := everything(t)
	require.Equal(t, []string{topic, "arn:aws:sns:us-east-1:111122223333:alarms"}, topics)
	pulumitest.Golden(t, "graph.txt", recorder.Graph())
	pulumitest.Golden(t, "topic-policy.json", pulumitest.IndentJSON(t, recorder.Get(t, "alarms-policy").Input("policy").(string)))
	for _, rule := range recorder.OfType("aws:cloudwatch/eventRule:EventRule") {
		pulumitest.Golden(t, rule.Name+".json", pulumitest.IndentJSON(t, rule.Input("eventPattern").(string)))
	}
	for _, alarm := range recorder.OfType("aws:cloudwatch/metricAlarm:MetricAlarm") {
		pulumitest.Golden(t, alarm.Name+".json", alarm.JSON())
		require.Equal(t, "us-east-1", alarm.Provider)
	}
	for _, target := range recorder.OfType("aws:cloudwatch/eventTarget:EventTarget") {
		require.Equal(t, topic, target.Input("arn"), target.Name)
		require.Nil(t, target.Input("roleArn"), "topics admit EventBridge by their policy")
	}
}

// TestStates holds that rules for calls see those that read only, which all of
// STS's are, and that the others are just enabled.
func TestStates(t *testing.T) {
	recorder, _ := everything(t)
	for _, rule := range recorder.OfType("aws:cloudwatch/eventRule:EventRule") {
		var want any
		if regexp.MustCompile("API Call via CloudTrail").MatchString(rule.Input("eventPattern").(string)) {
			want = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
		}
		require.Equal(t, want, rule.Input("state"), rule.Name)
	}
}

// TestMessages holds that each mail is JSON text whose placeholders have paths,
// and that no path is made for nothing.
func TestMessages(t *testing.T) {
	recorder, _ := everything(t)
	targets := recorder.OfType("aws:cloudwatch/eventTarget:EventTarget")
	require.Len(t, targets, 4)
	for _, target := range targets {
		transformer := target.Input("inputTransformer").(map[string]any)
		var text string
		require.NoError(t, json.Unmarshal([]byte(transformer["inputTemplate"].(string)), &text), target.Name)
		require.Contains(t, text, "luster prod", "%s: whose it is", target.Name)
		var used []string
		for _, match := range regexp.MustCompile("<([a-z]+)>").FindAllStringSubmatch(transformer["inputTemplate"].(string), -1) {
			used = append(used, match[1])
		}
		var known []string
		for name := range transformer["inputPaths"].(map[string]any) {
			known = append(known, name)
		}
		slices.Sort(used)
		slices.Sort(known)
		require.Equal(t, known, used, target.Name)
	}
}

func TestLeafExpiryDays(t *testing.T) {
	for hours, want := range map[int]int{
		720:  15, // 30 days to renew: told after half of them
		240:  5,
		48:   1,
		24:   1, // not before the last day, though renewal begins with it
		0:    1,
		2400: 45, // Roles Anywhere says nothing before
	} {
		require.Equal(t, want, LeafExpiryDays(hours), fmt.Sprint(hours))
		if hours >= 48 {
			require.Less(t, LeafExpiryDays(hours)*24, hours, "nobody is told before a deployment would renew")
		}
	}
}

func TestWithoutAnythingElse(t *testing.T) {
	args := valid()
	args.Emails = nil
	recorder, topics, err := run(t, args)
	require.NoError(t, err)
	require.Equal(t, []string{topic}, topics)
	require.Len(t, recorder.OfType("aws:cloudwatch/eventRule:EventRule"), 1)
	require.Empty(t, recorder.OfType("aws:sns/topicSubscription:TopicSubscription"))
	require.Empty(t, recorder.OfType("aws:cloudwatch/metricAlarm:MetricAlarm"))
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(*AlarmsArgs){
		"ClusterName is missing":                func(a *AlarmsArgs) { a.ClusterName = "" },
		`AccountID is "x"`:                      func(a *AlarmsArgs) { a.AccountID = "x" },
		"Partition is missing":                  func(a *AlarmsArgs) { a.Partition = "" },
		`RolePrefix is ""`:                      func(a *AlarmsArgs) { a.RolePrefix = "" },
		`Emails[1] is "nobody"`:                 func(a *AlarmsArgs) { a.Emails[1] = "nobody" },
		"Emails[1]: oncall@example.com is list": func(a *AlarmsArgs) { a.Emails[1] = a.Emails[0] },
		"Distribution.UsEast1 is missing":       func(a *AlarmsArgs) { a.Distribution = &Distribution{ID: pulumi.String("E1")} },
		"Distribution.ID is missing":            func(a *AlarmsArgs) { a.Distribution = &Distribution{} },
		"Distribution.CertificateArn is missin": func(a *AlarmsArgs) { a.Distribution = &Distribution{} },
		"RolesAnywhere.TrustAnchorArn is missi": func(a *AlarmsArgs) { a.RolesAnywhere = &RolesAnywhere{} },
		"LeafRenewalHours is -1": func(a *AlarmsArgs) {
			a.RolesAnywhere = &RolesAnywhere{TrustAnchorArn: pulumi.String(anchor), LeafRenewalHours: -1}
		},
	} {
		args := valid()
		change(args)
		recorder, _, err := run(t, args)
		require.ErrorContains(t, err, want)
		require.Empty(t, recorder.Resources(), want)
	}
	_, _, err := run(t, nil)
	require.ErrorContains(t, err, "args are missing")
}
