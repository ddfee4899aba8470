package awsres

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var rolesAnywhereResources = map[string]*resource{
	"aws:rolesanywhere/trustAnchor:TrustAnchor": {
		Create: createAnchor, Read: readAnchor, Update: updateAnchor, Delete: deleteAnchor,
		Diff: func(d *diff) {
			if onlyDefaults(engine.Objs(d.In, "notificationSettings")) && onlyDefaults(engine.Objs(d.Old, "notificationSettings")) {
				d.Drop("notificationSettings")
			}
		},
	},
	"aws:rolesanywhere/profile:Profile": {Create: createAnywhereProfile, Read: readAnywhereProfile, Update: updateAnywhereProfile, Delete: deleteAnywhereProfile},
}

const anywhereGone = "ResourceNotFoundException"

// onlyDefaults says whether notification settings are nothing but the two that AWS adds.
func onlyDefaults(settings []m) bool {
	for _, s := range settings {
		if engine.Str(s, "configuredBy") != "rolesanywhere.amazonaws.com" {
			return false
		}
	}
	return true
}

func anywhereTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

// readAnywhereTags reads the tags of a trust anchor or profile.
func (c *Client) readAnywhereTags(ctx context.Context, arn string) (m, error) {
	out, err := c.anywhere().ListTagsForResource(ctx, &rolesanywhere.ListTagsForResourceInput{ResourceArn: &arn})
	if err != nil {
		return m{}, optional(err)
	}
	tags := m{}
	for _, t := range out.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags, nil
}

func updateAnywhereTags(ctx context.Context, c *call) error {
	arn := engine.StrPtr(c.Old, "arn")
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.anywhere().UntagResource(ctx, &rolesanywhere.UntagResourceInput{ResourceArn: arn, TagKeys: remove}); err != nil {
			return fmt.Errorf("removing tags of %s: %w", aws.ToString(arn), err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.anywhere().TagResource(ctx, &rolesanywhere.TagResourceInput{ResourceArn: arn, Tags: anywhereTags(set)}); err != nil {
			return fmt.Errorf("setting tags of %s: %w", aws.ToString(arn), err)
		}
	}
	return nil
}

// --- Trust anchor

func anchorSource(in m) (*types.Source, error) {
	source := engine.Obj(in, "source")
	data := engine.Obj(source, "sourceData")
	s := &types.Source{SourceType: types.TrustAnchorType(engine.Str(source, "sourceType"))}
	switch {
	case engine.Str(data, "x509CertificateData") != "":
		s.SourceData = &types.SourceDataMemberX509CertificateData{Value: engine.Str(data, "x509CertificateData")}
	case engine.Str(data, "acmPcaArn") != "":
		s.SourceData = &types.SourceDataMemberAcmPcaArn{Value: engine.Str(data, "acmPcaArn")}
	default:
		return nil, errors.New("source.sourceData: one of x509CertificateData and acmPcaArn is needed")
	}
	return s, nil
}

func createAnchor(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	source, err := anchorSource(c.In)
	if err != nil {
		return "", nil, err
	}
	in := &rolesanywhere.CreateTrustAnchorInput{
		Name: &name, Source: source, Enabled: aws.Bool(engine.Bool(c.In, "enabled")), Tags: anywhereTags(c.Tags()),
	}
	for _, s := range engine.Objs(c.In, "notificationSettings") {
		in.NotificationSettings = append(in.NotificationSettings, types.NotificationSetting{
			Channel: types.NotificationChannel(engine.Str(s, "channel")), Enabled: aws.Bool(engine.Bool(s, "enabled")),
			Event: types.NotificationEvent(engine.Str(s, "event")), Threshold: engine.IntPtr(s, "threshold"),
		})
	}
	out, err := c.Client.anywhere().CreateTrustAnchor(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("creating RolesAnywhere Trust Anchor (%s): %w", name, err)
	}
	return aws.ToString(out.TrustAnchor.TrustAnchorId), nil, nil
}

func readAnchor(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.anywhere().GetTrustAnchor(ctx, &rolesanywhere.GetTrustAnchorInput{TrustAnchorId: &c.ID})
	if is(err, anywhereGone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading RolesAnywhere Trust Anchor (%s): %w", c.ID, err)
	}
	a := out.TrustAnchor
	state := m{"arn": aws.ToString(a.TrustAnchorArn), "name": aws.ToString(a.Name), "enabled": aws.ToBool(a.Enabled)}
	if s := a.Source; s != nil {
		data := m{}
		switch v := s.SourceData.(type) {
		case *types.SourceDataMemberX509CertificateData:
			data["x509CertificateData"] = v.Value
		case *types.SourceDataMemberAcmPcaArn:
			data["acmPcaArn"] = v.Value
		}
		state["source"] = m{"sourceType": string(s.SourceType), "sourceData": data}
	}
	settings := []any{}
	for _, s := range a.NotificationSettings {
		settings = append(settings, m{
			"channel": string(s.Channel), "enabled": aws.ToBool(s.Enabled), "event": string(s.Event),
			"threshold": float64(aws.ToInt32(s.Threshold)), "configuredBy": aws.ToString(s.ConfiguredBy),
		})
	}
	state["notificationSettings"] = settings
	state["tags"], err = c.Client.readAnywhereTags(ctx, aws.ToString(a.TrustAnchorArn))
	return state, err
}

func updateAnchor(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("name", "source") {
		source, err := anchorSource(c.In)
		if err != nil {
			return nil, err
		}
		if _, err := c.Client.anywhere().UpdateTrustAnchor(ctx, &rolesanywhere.UpdateTrustAnchorInput{
			TrustAnchorId: &c.ID, Name: engine.StrPtr(c.In, "name"), Source: source,
		}); err != nil {
			return nil, fmt.Errorf("updating RolesAnywhere Trust Anchor (%s): %w", c.ID, err)
		}
	}
	if c.Changed["enabled"] {
		var err error
		if engine.Bool(c.In, "enabled") {
			_, err = c.Client.anywhere().EnableTrustAnchor(ctx, &rolesanywhere.EnableTrustAnchorInput{TrustAnchorId: &c.ID})
		} else {
			_, err = c.Client.anywhere().DisableTrustAnchor(ctx, &rolesanywhere.DisableTrustAnchorInput{TrustAnchorId: &c.ID})
		}
		if err != nil {
			return nil, fmt.Errorf("enabling or disabling RolesAnywhere Trust Anchor (%s): %w", c.ID, err)
		}
	}
	return nil, updateAnywhereTags(ctx, c)
}

func deleteAnchor(ctx context.Context, c *call) error {
	_, err := c.Client.anywhere().DeleteTrustAnchor(ctx, &rolesanywhere.DeleteTrustAnchorInput{TrustAnchorId: &c.ID})
	if err = absent(err, anywhereGone); err != nil {
		return fmt.Errorf("deleting RolesAnywhere Trust Anchor (%s): %w", c.ID, err)
	}
	return nil
}

// --- Profile

func createAnywhereProfile(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	roles := engine.Strs(c.In, "roleArns")
	if roles == nil {
		roles = []string{}
	}
	var out *rolesanywhere.CreateProfileOutput
	err := engine.Retry(ctx, iamPropagation, func(err error) bool { return says(err, "ValidationException", "does not exist") }, func(ctx context.Context) error {
		var err error
		out, err = c.Client.anywhere().CreateProfile(ctx, &rolesanywhere.CreateProfileInput{
			Name: &name, RoleArns: roles, DurationSeconds: engine.IntPtr(c.In, "durationSeconds"), Enabled: engine.BoolPtr(c.In, "enabled"),
			ManagedPolicyArns: engine.Strs(c.In, "managedPolicyArns"), RequireInstanceProperties: engine.BoolPtr(c.In, "requireInstanceProperties"),
			SessionPolicy: engine.StrPtr(c.In, "sessionPolicy"), Tags: anywhereTags(c.Tags()),
		})
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating RolesAnywhere Profile (%s): %w", name, err)
	}
	return aws.ToString(out.Profile.ProfileId), nil, nil
}

func readAnywhereProfile(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.anywhere().GetProfile(ctx, &rolesanywhere.GetProfileInput{ProfileId: &c.ID})
	if is(err, anywhereGone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading RolesAnywhere Profile (%s): %w", c.ID, err)
	}
	p := out.Profile
	state := m{
		"arn": aws.ToString(p.ProfileArn), "name": aws.ToString(p.Name), "enabled": aws.ToBool(p.Enabled), "roleArns": engine.SortedList(p.RoleArns),
		"managedPolicyArns": engine.SortedList(p.ManagedPolicyArns), "sessionPolicy": aws.ToString(p.SessionPolicy),
	}
	if p.DurationSeconds != nil {
		state["durationSeconds"] = float64(*p.DurationSeconds)
	}
	state["tags"], err = c.Client.readAnywhereTags(ctx, aws.ToString(p.ProfileArn))
	return state, err
}

// updateAnywhereProfile changes a profile. A change of requireInstanceProperties is recorded and, as in the provider that
// this one stands for, never applied.
func updateAnywhereProfile(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("name", "roleArns", "durationSeconds", "managedPolicyArns", "sessionPolicy") {
		if _, err := c.Client.anywhere().UpdateProfile(ctx, &rolesanywhere.UpdateProfileInput{
			ProfileId: &c.ID, Name: engine.StrPtr(c.In, "name"), RoleArns: engine.Strs(c.In, "roleArns"),
			DurationSeconds: engine.IntPtr(c.In, "durationSeconds"), ManagedPolicyArns: engine.Strs(c.In, "managedPolicyArns"),
			SessionPolicy: engine.StrPtr(c.In, "sessionPolicy"),
		}); err != nil {
			return nil, fmt.Errorf("updating RolesAnywhere Profile (%s): %w", c.ID, err)
		}
	}
	if c.Changed["enabled"] {
		var err error
		if engine.Bool(c.In, "enabled") {
			_, err = c.Client.anywhere().EnableProfile(ctx, &rolesanywhere.EnableProfileInput{ProfileId: &c.ID})
		} else {
			_, err = c.Client.anywhere().DisableProfile(ctx, &rolesanywhere.DisableProfileInput{ProfileId: &c.ID})
		}
		if err != nil {
			return nil, fmt.Errorf("enabling or disabling RolesAnywhere Profile (%s): %w", c.ID, err)
		}
	}
	return nil, updateAnywhereTags(ctx, c)
}

func deleteAnywhereProfile(ctx context.Context, c *call) error {
	_, err := c.Client.anywhere().DeleteProfile(ctx, &rolesanywhere.DeleteProfileInput{ProfileId: &c.ID})
	if err = absent(err, anywhereGone); err != nil {
		return fmt.Errorf("deleting RolesAnywhere Profile (%s): %w", c.ID, err)
	}
	return nil
}
