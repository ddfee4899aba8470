package awsres

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var cloudwatchResources = map[string]*resource{
	"aws:cloudwatch/metricAlarm:MetricAlarm": {Create: createAlarm, Read: readAlarm, Update: updateAlarm, Delete: deleteAlarm, Check: checkAlarm},
}

// alarmNames maps the properties that the API calls otherwise.
var alarmNames = names{
	"name": "AlarmName", "metricQueries": "Metrics", "okActions": "OKActions", "thresholdMetricId": "ThresholdMetricId",
	"evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile", "metricQueries.metric": "MetricStat", "tags": "-", "tagsAll": "-",
	"dimensions": "-", "metricQueries.metric.metricName": "-", "metricQueries.metric.namespace": "-", "metricQueries.metric.dimensions": "-",
}

func checkAlarm(c *checker) {
	if c.Given("threshold") == c.Given("thresholdMetricId") {
		c.Fail("threshold", "One of `threshold` or `thresholdMetricId` must be set for a cloudwatch metric alarm.")
	}
	if c.Given("metricName") && c.Given("statistic") == c.Given("extendedStatistic") {
		c.Fail("statistic", "One of `statistic` or `extendedStatistic` must be set for a cloudwatch metric alarm.")
	}
	if p, ok := c.In["period"].(float64); ok && p != 10 && p != 20 && p != 30 && (p < 60 || int(p)%60 != 0) {
		c.Fail("period", "\"period\" must be 10, 20, 30 or a multiple of 60, got %v.", p)
	}
}

func dimensions(v any) []types.Dimension {
	texts := map[string]string{}
	if o, ok := v.(m); ok {
		texts = engine.StrMap(m{"x": o}, "x")
	}
	var out []types.Dimension
	for _, k := range sorted(texts) {
		out = append(out, types.Dimension{Name: aws.String(k), Value: aws.String(texts[k])})
	}
	return out
}

func readDimensions(list []types.Dimension) m {
	out := m{}
	for _, d := range list {
		out[aws.ToString(d.Name)] = aws.ToString(d.Value)
	}
	return out
}

func alarmInput(c *call) (*cloudwatch.PutMetricAlarmInput, error) {
	in := &cloudwatch.PutMetricAlarmInput{}
	if err := fill(in, c.In, alarmNames); err != nil {
		return nil, fmt.Errorf("alarm: %w", err)
	}
	in.Dimensions = dimensions(c.In["dimensions"])
	for i, q := range engine.Objs(c.In, "metricQueries") {
		if o := engine.Obj(q, "metric"); o != nil {
			in.Metrics[i].MetricStat.Metric = &types.Metric{
				MetricName: engine.StrPtr(o, "metricName"), Namespace: engine.StrPtr(o, "namespace"), Dimensions: dimensions(o["dimensions"]),
			}
		}
	}
	return in, nil
}

func alarmTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func createAlarm(ctx context.Context, c *call) (string, m, error) {
	in, err := alarmInput(c)
	if err != nil {
		return "", nil, err
	}
	in.Tags = alarmTags(c.Tags())
	if _, err := c.Client.cloudwatch().PutMetricAlarm(ctx, in); err != nil {
		return "", nil, fmt.Errorf("creating CloudWatch Metric Alarm (%s): %w", aws.ToString(in.AlarmName), err)
	}
	return aws.ToString(in.AlarmName), nil, nil
}

func readAlarm(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.cloudwatch().DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{c.ID}, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm}})
	if err != nil {
		return nil, fmt.Errorf("reading CloudWatch Metric Alarm (%s): %w", c.ID, err)
	}
	if len(out.MetricAlarms) == 0 {
		return nil, engine.ErrGone
	}
	a := out.MetricAlarms[0]
	state := dump(a, c.Type.Inputs, alarmNames)
	state["dimensions"] = readDimensions(a.Dimensions)
	for i, q := range engine.Objs(state, "metricQueries") {
		if s := a.Metrics[i].MetricStat; s != nil && s.Metric != nil {
			o := engine.Obj(q, "metric")
			o["metricName"], o["namespace"] = aws.ToString(s.Metric.MetricName), aws.ToString(s.Metric.Namespace)
			o["dimensions"] = readDimensions(s.Metric.Dimensions)
		}
	}
	if engine.Str(state, "treatMissingData") == "" {
		state["treatMissingData"] = "missing"
	}
	arn := aws.ToString(a.AlarmArn)
	state["arn"] = arn
	tags, err := c.Client.cloudwatch().ListTagsForResource(ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: &arn})
	if optional(err) != nil {
		return nil, fmt.Errorf("listing tags of CloudWatch Metric Alarm (%s): %w", c.ID, err)
	}
	state["tags"] = m{}
	if err == nil {
		all := m{}
		for _, t := range tags.Tags {
			all[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		state["tags"] = all
	}
	return state, nil
}

func updateAlarm(ctx context.Context, c *call) (m, error) {
	if !onlyTagsChanged(c.Changed) {
		in, err := alarmInput(c)
		if err != nil {
			return nil, err
		}
		if _, err := c.Client.cloudwatch().PutMetricAlarm(ctx, in); err != nil {
			return nil, fmt.Errorf("updating CloudWatch Metric Alarm (%s): %w", c.ID, err)
		}
	}
	arn := engine.StrPtr(c.Old, "arn")
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.cloudwatch().UntagResource(ctx, &cloudwatch.UntagResourceInput{ResourceARN: arn, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of CloudWatch Metric Alarm (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.cloudwatch().TagResource(ctx, &cloudwatch.TagResourceInput{ResourceARN: arn, Tags: alarmTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of CloudWatch Metric Alarm (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteAlarm(ctx context.Context, c *call) error {
	_, err := c.Client.cloudwatch().DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{c.ID}})
	if err = absent(err, "ResourceNotFound", "ResourceNotFoundException"); err != nil {
		return fmt.Errorf("deleting CloudWatch Metric Alarm (%s): %w", c.ID, err)
	}
	return nil
}
