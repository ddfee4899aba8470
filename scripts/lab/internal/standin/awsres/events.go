package awsres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var eventResources = map[string]*resource{
	"aws:cloudwatch/eventRule:EventRule":     {Create: createEventRule, Read: readEventRule, Update: updateEventRule, Delete: deleteEventRule, Check: checkEventRule},
	"aws:cloudwatch/eventTarget:EventTarget": {Create: createEventTarget, Read: readEventTarget, Update: updateEventTarget, Delete: deleteEventTarget},
}

const eventGone = "ResourceNotFoundException"

// targetsGone is how long a rule may take to forget its targets.
const targetsGone = 5 * time.Minute

func checkEventRule(c *checker) {
	if !c.Given("eventPattern") {
		c.Fail("eventPattern", "one of `event_pattern,schedule_expression` must be specified")
	}
	if bus := engine.Str(c.In, "eventBusName"); bus != "" && bus != "default" {
		c.Fail("eventBusName", "The stand-in aws provider makes rules of the default event bus only.")
	}
}

func eventTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func (c *Client) putRule(ctx context.Context, call *call) error {
	in := &eventbridge.PutRuleInput{
		Name: engine.StrPtr(call.In, "name"), Description: engine.StrPtr(call.In, "description"), EventBusName: engine.StrPtr(call.In, "eventBusName"),
		EventPattern: engine.StrPtr(call.In, "eventPattern"), State: types.RuleState(engine.Str(call.In, "state")), Tags: eventTags(call.Tags()),
	}
	_, err := c.events().PutRule(ctx, in)
	return err
}

func createEventRule(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	if err := c.Client.putRule(ctx, c); err != nil {
		return "", nil, fmt.Errorf("creating EventBridge Rule (%s): %w", name, err)
	}
	return name, nil, nil
}

func readEventRule(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.events().DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &c.ID})
	if is(err, eventGone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EventBridge Rule (%s): %w", c.ID, err)
	}
	tags, err := c.Client.events().ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: out.Arn})
	if err != nil {
		return nil, fmt.Errorf("listing tags of EventBridge Rule (%s): %w", c.ID, err)
	}
	all := m{}
	for _, t := range tags.Tags {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m{
		"arn": aws.ToString(out.Arn), "name": aws.ToString(out.Name), "description": aws.ToString(out.Description), "eventBusName": "default",
		"eventPattern": aws.ToString(out.EventPattern), "state": string(out.State), "tags": all,
	}, nil
}

func updateEventRule(ctx context.Context, c *call) (m, error) {
	if !onlyTagsChanged(c.Changed) {
		if err := c.Client.putRule(ctx, c); err != nil {
			return nil, fmt.Errorf("updating EventBridge Rule (%s): %w", c.ID, err)
		}
	}
	arn := engine.StrPtr(c.Old, "arn")
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.events().UntagResource(ctx, &eventbridge.UntagResourceInput{ResourceARN: arn, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of EventBridge Rule (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.events().TagResource(ctx, &eventbridge.TagResourceInput{ResourceARN: arn, Tags: eventTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of EventBridge Rule (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteEventRule(ctx context.Context, c *call) error {
	hasTargets := func(err error) bool {
		return says(err, "ValidationException", "Rule can't be deleted since it has targets")
	}
	err := engine.Retry(ctx, targetsGone, hasTargets, func(ctx context.Context) error {
		_, err := c.Client.events().DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &c.ID, Force: engine.Bool(c.Old, "forceDestroy")})
		return err
	})
	if err = absent(err, eventGone); err != nil {
		return fmt.Errorf("deleting EventBridge Rule (%s): %w", c.ID, err)
	}
	return nil
}

// --- Target

// createEventTarget makes up a target's id where none is given.
func createEventTarget(ctx context.Context, c *call) (string, m, error) {
	id := engine.Str(c.In, "targetId")
	if id == "" {
		id = fmt.Sprintf("terraform-%d", time.Now().UnixNano())
	}
	if err := c.Client.putTarget(ctx, c.In, id); err != nil {
		return "", nil, err
	}
	return engine.Str(c.In, "rule") + "-" + id, m{"targetId": id, "rule": engine.Str(c.In, "rule")}, nil
}

func (c *Client) putTarget(ctx context.Context, in m, id string) error {
	target := types.Target{Id: &id, Arn: engine.StrPtr(in, "arn"), Input: engine.StrPtr(in, "input"), InputPath: engine.StrPtr(in, "inputPath")}
	if t := engine.Obj(in, "inputTransformer"); t != nil {
		target.InputTransformer = &types.InputTransformer{InputTemplate: engine.StrPtr(t, "inputTemplate"), InputPathsMap: engine.StrMap(t, "inputPaths")}
	}
	out, err := c.events().PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: engine.StrPtr(in, "rule"), Targets: []types.Target{target}})
	return targetError("putting", engine.Str(in, "rule"), id, err, func() []string {
		var failed []string
		for _, f := range out.FailedEntries {
			failed = append(failed, aws.ToString(f.ErrorCode)+": "+aws.ToString(f.ErrorMessage))
		}
		return failed
	})
}

// targetError is the error of a call that may also fail for single targets.
func targetError(doing, rule, id string, err error, failed func() []string) error {
	if err == nil {
		if all := failed(); len(all) > 0 {
			err = errors.New(strings.Join(all, ", "))
		}
	}
	if err != nil {
		return fmt.Errorf("%s EventBridge Target (%s of %s): %w", doing, id, rule, err)
	}
	return nil
}

func readEventTarget(ctx context.Context, c *call) (m, error) {
	rule, id := engine.Str(c.Old, "rule"), engine.Str(c.Old, "targetId")
	if id == "" {
		rule, id = engine.Str(c.In, "rule"), engine.Str(c.In, "targetId")
	}
	out, err := c.Client.events().ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &rule})
	if is(err, eventGone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EventBridge Target (%s of %s): %w", id, rule, err)
	}
	for _, t := range out.Targets {
		if aws.ToString(t.Id) != id {
			continue
		}
		state := m{"rule": rule, "targetId": id, "arn": aws.ToString(t.Arn), "eventBusName": "default", "input": aws.ToString(t.Input), "inputPath": aws.ToString(t.InputPath)}
		if x := t.InputTransformer; x != nil {
			paths := m{}
			for k, v := range x.InputPathsMap {
				paths[k] = v
			}
			state["inputTransformer"] = m{"inputTemplate": aws.ToString(x.InputTemplate), "inputPaths": paths}
		}
		return state, nil
	}
	return nil, engine.ErrGone
}

func updateEventTarget(ctx context.Context, c *call) (m, error) {
	return nil, c.Client.putTarget(ctx, c.In, engine.Str(c.Old, "targetId"))
}

func deleteEventTarget(ctx context.Context, c *call) error {
	rule, id := engine.Str(c.Old, "rule"), engine.Str(c.Old, "targetId")
	out, err := c.Client.events().RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &rule, Ids: []string{id}, Force: engine.Bool(c.Old, "forceDestroy")})
	if is(err, eventGone) {
		return nil
	}
	return targetError("removing", rule, id, err, func() []string {
		var failed []string
		for _, f := range out.FailedEntries {
			failed = append(failed, aws.ToString(f.ErrorCode)+": "+aws.ToString(f.ErrorMessage))
		}
		return failed
	})
}
