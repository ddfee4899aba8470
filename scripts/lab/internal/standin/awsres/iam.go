package awsres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var iamResources = map[string]*resource{
	"aws:iam/role:Role":                                 {Create: createRole, Read: readRole, Update: updateRole, Delete: deleteRole},
	"aws:iam/rolePolicy:RolePolicy":                     {Create: createRolePolicy, Read: readRolePolicy, Update: updateRolePolicy, Delete: deleteRolePolicy},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment": {Create: createAttachment, Read: readAttachment, Delete: deleteAttachment},
	"aws:iam/policy:Policy":                             {Create: createPolicy, Read: readPolicy, Update: updatePolicy, Delete: deletePolicy},
	"aws:iam/instanceProfile:InstanceProfile":           {Create: createProfile, Read: readProfile, Update: updateInstanceProfile, Delete: deleteProfile},
	"aws:iam/openIdConnectProvider:OpenIdConnectProvider": {
		Create: createOIDC, Read: readOIDC, Update: updateOIDC, Delete: deleteOIDC, Check: checkOIDC,
		Echo: map[string]func(any) any{"url": withoutScheme},
		Diff: func(d *diff) {
			if len(engine.Strs(d.In, "thumbprintLists")) == 0 { // once set, thumbprints cannot be cleared
				d.Drop("thumbprintLists")
			}
		},
	},
}

// iamPropagation is how long IAM may take to make something new known everywhere.
const iamPropagation = 2 * time.Minute

const noSuchEntity = "NoSuchEntity"

func iamTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func readIAMTags(tags []types.Tag) m {
	out := m{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// document decodes a policy as the API returns it, URL-encoded.
func document(encoded *string) string {
	text := aws.ToString(encoded)
	if decoded, err := url.QueryUnescape(text); err == nil && strings.HasPrefix(text, "%7B") {
		return decoded
	}
	return text
}

// --- Role

// freshPrincipal recognises a trust policy that names a principal which IAM does not know yet.
func freshPrincipal(err error) bool {
	return says(err, "MalformedPolicyDocument", "Invalid principal") || says(err, "MalformedPolicyDocument", "invalid principal")
}

func createRole(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	var out *iam.CreateRoleOutput
	err := engine.Retry(ctx, iamPropagation, freshPrincipal, func(ctx context.Context) error {
		var err error
		out, err = c.Client.iam().CreateRole(ctx, &iam.CreateRoleInput{
			RoleName: &name, AssumeRolePolicyDocument: engine.StrPtr(c.In, "assumeRolePolicy"),
			Description: engine.StrPtr(c.In, "description"), Path: engine.StrPtr(c.In, "path"),
			MaxSessionDuration: engine.IntPtr(c.In, "maxSessionDuration"), PermissionsBoundary: engine.StrPtr(c.In, "permissionsBoundary"),
			Tags: iamTags(c.Tags()),
		})
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating IAM Role (%s): %w", name, err)
	}
	id := aws.ToString(out.Role.RoleName)
	for _, p := range engine.Objs(c.In, "inlinePolicies") {
		if engine.Str(p, "name") == "" {
			continue
		}
		if err := c.Client.putRolePolicy(ctx, id, engine.Str(p, "name"), engine.Str(p, "policy")); err != nil {
			return id, nil, err
		}
	}
	for _, arn := range engine.Strs(c.In, "managedPolicyArns") {
		if err := c.Client.attach(ctx, id, arn); err != nil {
			return id, nil, err
		}
	}
	// A role whose ARN still is its unique id is not known everywhere.
	return id, nil, engine.Wait(ctx, iamPropagation, "IAM Role "+id, func(ctx context.Context) (bool, error) {
		r, err := findRole(ctx, c.Client, id)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		return err == nil && strings.HasPrefix(aws.ToString(r.Arn), "arn:"), err
	})
}

func findRole(ctx context.Context, c *Client, name string) (*types.Role, error) {
	out, err := c.iam().GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if is(err, noSuchEntity) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading IAM Role (%s): %w", name, err)
	}
	return out.Role, nil
}

func readRole(ctx context.Context, c *call) (m, error) {
	r, err := findRole(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	state := m{
		"name": aws.ToString(r.RoleName), "arn": aws.ToString(r.Arn), "assumeRolePolicy": document(r.AssumeRolePolicyDocument),
		"description": aws.ToString(r.Description), "path": aws.ToString(r.Path), "uniqueId": aws.ToString(r.RoleId),
		"createDate": stamp(r.CreateDate), "permissionsBoundary": "", "tags": readIAMTags(r.Tags),
	}
	if r.MaxSessionDuration != nil {
		state["maxSessionDuration"] = float64(*r.MaxSessionDuration)
	}
	if b := r.PermissionsBoundary; b != nil {
		state["permissionsBoundary"] = aws.ToString(b.PermissionsBoundaryArn)
	}
	policies, err := c.Client.rolePolicies(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	inline := []any{}
	for _, name := range policies {
		out, err := c.Client.iam().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &c.ID, PolicyName: aws.String(name)})
		if is(err, noSuchEntity) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading IAM Role (%s) inline policy %s: %w", c.ID, name, err)
		}
		inline = append(inline, m{"name": name, "policy": document(out.PolicyDocument)})
	}
	state["inlinePolicies"] = inline
	attached, err := c.Client.attachedPolicies(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	state["managedPolicyArns"] = engine.SortedList(attached)
	return state, nil
}

func (c *Client) rolePolicies(ctx context.Context, role string) ([]string, error) {
	var out []string
	pages := iam.NewListRolePoliciesPaginator(c.iam(), &iam.ListRolePoliciesInput{RoleName: &role})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if is(err, noSuchEntity) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing IAM Role (%s) inline policies: %w", role, err)
		}
		out = append(out, page.PolicyNames...)
	}
	return out, nil
}

func (c *Client) attachedPolicies(ctx context.Context, role string) ([]string, error) {
	var out []string
	pages := iam.NewListAttachedRolePoliciesPaginator(c.iam(), &iam.ListAttachedRolePoliciesInput{RoleName: &role})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if is(err, noSuchEntity) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing IAM Role (%s) attached policies: %w", role, err)
		}
		for _, p := range page.AttachedPolicies {
			out = append(out, aws.ToString(p.PolicyArn))
		}
	}
	return out, nil
}

func updateRole(ctx context.Context, c *call) (m, error) {
	api := c.Client.iam()
	if c.Changed["assumeRolePolicy"] {
		err := engine.Retry(ctx, iamPropagation, freshPrincipal, func(ctx context.Context) error {
			_, err := api.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
				RoleName: &c.ID, PolicyDocument: engine.StrPtr(c.In, "assumeRolePolicy"),
			})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("updating IAM Role (%s) assume role policy: %w", c.ID, err)
		}
	}
	if c.HasChanged("description", "maxSessionDuration") {
		if _, err := api.UpdateRole(ctx, &iam.UpdateRoleInput{
			RoleName: &c.ID, Description: aws.String(engine.Str(c.In, "description")), MaxSessionDuration: engine.IntPtr(c.In, "maxSessionDuration"),
		}); err != nil {
			return nil, fmt.Errorf("updating IAM Role (%s): %w", c.ID, err)
		}
	}
	if c.Changed["permissionsBoundary"] {
		var err error
		if arn := engine.StrPtr(c.In, "permissionsBoundary"); arn != nil {
			_, err = api.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: &c.ID, PermissionsBoundary: arn})
		} else {
			_, err = api.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: &c.ID})
		}
		if err != nil {
			return nil, fmt.Errorf("updating IAM Role (%s) permissions boundary: %w", c.ID, err)
		}
	}
	if c.Changed["inlinePolicies"] {
		want := map[string]string{}
		for _, p := range engine.Objs(c.In, "inlinePolicies") {
			if n := engine.Str(p, "name"); n != "" {
				want[n] = engine.Str(p, "policy")
			}
		}
		have, err := c.Client.rolePolicies(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		for _, name := range have {
			if _, keep := want[name]; !keep {
				if err := c.Client.dropRolePolicy(ctx, c.ID, name); err != nil {
					return nil, err
				}
			}
		}
		for _, name := range sorted(want) {
			if err := c.Client.putRolePolicy(ctx, c.ID, name, want[name]); err != nil {
				return nil, err
			}
		}
	}
	if c.Changed["managedPolicyArns"] {
		have, err := c.Client.attachedPolicies(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		add, remove := engine.SetChanges(have, engine.Strs(c.In, "managedPolicyArns"))
		for _, arn := range remove {
			if err := c.Client.detach(ctx, c.ID, arn); err != nil {
				return nil, err
			}
		}
		for _, arn := range add {
			if err := c.Client.attach(ctx, c.ID, arn); err != nil {
				return nil, err
			}
		}
	}
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := api.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &c.ID, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of IAM Role (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := api.TagRole(ctx, &iam.TagRoleInput{RoleName: &c.ID, Tags: iamTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of IAM Role (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteRole(ctx context.Context, c *call) error {
	api := c.Client.iam()
	profiles, err := api.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &c.ID})
	if is(err, noSuchEntity) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing instance profiles of IAM Role (%s): %w", c.ID, err)
	}
	for _, p := range profiles.InstanceProfiles {
		if err := c.Client.profileRole(ctx, aws.ToString(p.InstanceProfileName), c.ID, false); err != nil {
			return err
		}
	}
	force := engine.Bool(c.Old, "forceDetachPolicies")
	if force || len(engine.Objs(c.In, "inlinePolicies")) > 0 {
		have, err := c.Client.rolePolicies(ctx, c.ID)
		if err != nil {
			return err
		}
		for _, name := range have {
			if err := c.Client.dropRolePolicy(ctx, c.ID, name); err != nil {
				return err
			}
		}
	}
	if force || len(engine.Strs(c.In, "managedPolicyArns")) > 0 {
		have, err := c.Client.attachedPolicies(ctx, c.ID)
		if err != nil {
			return err
		}
		for _, arn := range have {
			if err := c.Client.detach(ctx, c.ID, arn); err != nil {
				return err
			}
		}
	}
	err = engine.Retry(ctx, iamPropagation, func(err error) bool { return is(err, "DeleteConflict") }, func(ctx context.Context) error {
		_, err := api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &c.ID})
		return err
	})
	if err = absent(err, noSuchEntity); err != nil {
		return fmt.Errorf("deleting IAM Role (%s): %w", c.ID, err)
	}
	return nil
}

// --- Inline policy of a role

func (c *Client) putRolePolicy(ctx context.Context, role, name, policy string) error {
	_, err := c.iam().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &name, PolicyDocument: &policy})
	if err != nil {
		return fmt.Errorf("putting IAM Role (%s) Policy (%s): %w", role, name, err)
	}
	return nil
}

func (c *Client) dropRolePolicy(ctx context.Context, role, name string) error {
	_, err := c.iam().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &name})
	if err = absent(err, noSuchEntity); err != nil {
		return fmt.Errorf("deleting IAM Role (%s) Policy (%s): %w", role, name, err)
	}
	return nil
}

func createRolePolicy(ctx context.Context, c *call) (string, m, error) {
	role, name := engine.Str(c.In, "role"), engine.Str(c.In, "name")
	if err := c.Client.putRolePolicy(ctx, role, name, engine.Str(c.In, "policy")); err != nil {
		return "", nil, err
	}
	return role + ":" + name, nil, nil
}

func readRolePolicy(ctx context.Context, c *call) (m, error) {
	role, name, ok := strings.Cut(c.ID, ":")
	if !ok {
		return nil, fmt.Errorf("role policy id must be of the form <role name>:<role policy name>, got %q", c.ID)
	}
	out, err := c.Client.iam().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &name})
	if is(err, noSuchEntity) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading IAM Role Policy (%s): %w", c.ID, err)
	}
	return m{"role": role, "name": name, "policy": document(out.PolicyDocument)}, nil
}

func updateRolePolicy(ctx context.Context, c *call) (m, error) {
	role, name, _ := strings.Cut(c.ID, ":")
	return nil, c.Client.putRolePolicy(ctx, role, name, engine.Str(c.In, "policy"))
}

func deleteRolePolicy(ctx context.Context, c *call) error {
	role, name, _ := strings.Cut(c.ID, ":")
	return c.Client.dropRolePolicy(ctx, role, name)
}

// --- Attachment of a managed policy

func (c *Client) attach(ctx context.Context, role, arn string) error {
	err := engine.Retry(ctx, iamPropagation, func(err error) bool { return is(err, "ConcurrentModification") }, func(ctx context.Context) error {
		_, err := c.iam().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
		return err
	})
	if err != nil {
		return fmt.Errorf("attaching IAM Policy (%s) to IAM Role (%s): %w", arn, role, err)
	}
	return nil
}

func (c *Client) detach(ctx context.Context, role, arn string) error {
	_, err := c.iam().DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
	if err = absent(err, noSuchEntity); err != nil {
		return fmt.Errorf("detaching IAM Policy (%s) from IAM Role (%s): %w", arn, role, err)
	}
	return nil
}

func createAttachment(ctx context.Context, c *call) (string, m, error) {
	role := engine.Str(c.In, "role")
	if err := c.Client.attach(ctx, role, engine.Str(c.In, "policyArn")); err != nil {
		return "", nil, err
	}
	return role + "-" + engine.UniqueSuffix(), nil, nil
}

func readAttachment(ctx context.Context, c *call) (m, error) {
	role, arn := engine.Str(c.Old, "role"), engine.Str(c.Old, "policyArn")
	if role == "" { // an import
		var ok bool
		if role, arn, ok = strings.Cut(c.ID, "/"); !ok {
			return nil, fmt.Errorf("unexpected format of ID (%q), expected <role-name>/<policy_arn>", c.ID)
		}
	}
	have, err := c.Client.attachedPolicies(ctx, role)
	if err != nil {
		return nil, err
	}
	if !listed(have, arn) {
		return nil, engine.ErrGone
	}
	return m{"role": role, "policyArn": arn}, nil
}

func deleteAttachment(ctx context.Context, c *call) error {
	return c.Client.detach(ctx, engine.Str(c.Old, "role"), engine.Str(c.Old, "policyArn"))
}

// --- Managed policy

func createPolicy(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.iam().CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: engine.StrPtr(c.In, "name"), PolicyDocument: engine.StrPtr(c.In, "policy"), Path: engine.StrPtr(c.In, "path"),
		Description: engine.StrPtr(c.In, "description"), Tags: iamTags(c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating IAM Policy (%s): %w", engine.Str(c.In, "name"), err)
	}
	return aws.ToString(out.Policy.Arn), nil, nil
}

func readPolicy(ctx context.Context, c *call) (m, error) {
	var out *iam.GetPolicyOutput
	err := visible(ctx, c, func(ctx context.Context) error {
		var err error
		out, err = c.Client.iam().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &c.ID})
		if is(err, noSuchEntity) {
			return engine.ErrGone
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading IAM Policy (%s): %w", c.ID, err)
	}
	p := out.Policy
	version, err := c.Client.iam().GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &c.ID, VersionId: p.DefaultVersionId})
	if err != nil {
		return nil, fmt.Errorf("reading IAM Policy (%s) version %s: %w", c.ID, aws.ToString(p.DefaultVersionId), err)
	}
	return m{
		"arn": aws.ToString(p.Arn), "name": aws.ToString(p.PolicyName), "path": aws.ToString(p.Path), "policyId": aws.ToString(p.PolicyId),
		"description": aws.ToString(p.Description), "attachmentCount": float64(aws.ToInt32(p.AttachmentCount)),
		"policy": document(version.PolicyVersion.Document), "tags": readIAMTags(p.Tags),
	}, nil
}

func (c *Client) policyVersions(ctx context.Context, arn string) ([]types.PolicyVersion, error) {
	out, err := c.iam().ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: &arn})
	if err != nil {
		return nil, fmt.Errorf("listing IAM Policy (%s) versions: %w", arn, err)
	}
	return out.Versions, nil
}

func updatePolicy(ctx context.Context, c *call) (m, error) {
	if c.Changed["policy"] {
		versions, err := c.Client.policyVersions(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		if len(versions) >= 5 { // AWS keeps five: the oldest that is not the default makes place
			var oldest *types.PolicyVersion
			for i, v := range versions {
				if !v.IsDefaultVersion && (oldest == nil || aws.ToTime(v.CreateDate).Before(aws.ToTime(oldest.CreateDate))) {
					oldest = &versions[i]
				}
			}
			if _, err := c.Client.iam().DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &c.ID, VersionId: oldest.VersionId}); err != nil {
				return nil, fmt.Errorf("deleting IAM Policy (%s) version %s: %w", c.ID, aws.ToString(oldest.VersionId), err)
			}
		}
		if _, err := c.Client.iam().CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
			PolicyArn: &c.ID, PolicyDocument: engine.StrPtr(c.In, "policy"), SetAsDefault: true,
		}); err != nil {
			return nil, fmt.Errorf("updating IAM Policy (%s): %w", c.ID, err)
		}
	}
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.iam().UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: &c.ID, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of IAM Policy (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.iam().TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: &c.ID, Tags: iamTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of IAM Policy (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deletePolicy(ctx context.Context, c *call) error {
	versions, err := c.Client.policyVersions(ctx, c.ID)
	if is(err, noSuchEntity) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.IsDefaultVersion {
			continue
		}
		_, err := c.Client.iam().DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &c.ID, VersionId: v.VersionId})
		if err = absent(err, noSuchEntity); err != nil {
			return fmt.Errorf("deleting IAM Policy (%s) version %s: %w", c.ID, aws.ToString(v.VersionId), err)
		}
	}
	_, err = c.Client.iam().DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &c.ID})
	if err = absent(err, noSuchEntity); err != nil {
		return fmt.Errorf("deleting IAM Policy (%s): %w", c.ID, err)
	}
	return nil
}

// --- Instance profile

func createProfile(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	out, err := c.Client.iam().CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{
		InstanceProfileName: &name, Path: engine.StrPtr(c.In, "path"), Tags: iamTags(c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating IAM Instance Profile (%s): %w", name, err)
	}
	id := aws.ToString(out.InstanceProfile.InstanceProfileName)
	if role := engine.Str(c.In, "role"); role != "" {
		if err := c.Client.profileRole(ctx, id, role, true); err != nil {
			return id, nil, err
		}
	}
	return id, nil, engine.Wait(ctx, iamPropagation, "IAM Instance Profile "+id, func(ctx context.Context) (bool, error) {
		_, err := c.Client.iam().GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: &id})
		if is(err, noSuchEntity) {
			return false, nil
		}
		return err == nil, err
	})
}

// profileRole puts a role into an instance profile or takes it out.
func (c *Client) profileRole(ctx context.Context, profile, role string, in bool) error {
	if !in {
		_, err := c.iam().RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: &profile, RoleName: &role})
		if err = absent(err, noSuchEntity); err != nil {
			return fmt.Errorf("removing IAM Role (%s) from Instance Profile (%s): %w", role, profile, err)
		}
		return nil
	}
	err := engine.Retry(ctx, iamPropagation, func(err error) bool {
		return is(err, noSuchEntity) || says(err, "InvalidParameterValue", "Invalid IAM role")
	}, func(ctx context.Context) error {
		_, err := c.iam().AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &profile, RoleName: &role})
		return err
	})
	if err != nil {
		return fmt.Errorf("adding IAM Role (%s) to Instance Profile (%s): %w", role, profile, err)
	}
	return nil
}

func readProfile(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.iam().GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: &c.ID})
	if is(err, noSuchEntity) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading IAM Instance Profile (%s): %w", c.ID, err)
	}
	p := out.InstanceProfile
	state := m{
		"arn": aws.ToString(p.Arn), "name": aws.ToString(p.InstanceProfileName), "path": aws.ToString(p.Path), "uniqueId": aws.ToString(p.InstanceProfileId),
		"createDate": stamp(p.CreateDate), "role": "", "tags": readIAMTags(p.Tags),
	}
	if len(p.Roles) > 0 {
		role := aws.ToString(p.Roles[0].RoleName)
		if _, err := findRole(ctx, c.Client, role); err != nil {
			return nil, fmt.Errorf("reading IAM Instance Profile (%s) Role: %w", c.ID, err)
		}
		state["role"] = role
	}
	return state, nil
}

func updateInstanceProfile(ctx context.Context, c *call) (m, error) {
	if c.Changed["role"] {
		if old := engine.Str(c.Old, "role"); old != "" {
			if err := c.Client.profileRole(ctx, c.ID, old, false); err != nil {
				return nil, err
			}
		}
		if role := engine.Str(c.In, "role"); role != "" {
			if err := c.Client.profileRole(ctx, c.ID, role, true); err != nil {
				return nil, err
			}
		}
	}
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.iam().UntagInstanceProfile(ctx, &iam.UntagInstanceProfileInput{InstanceProfileName: &c.ID, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of IAM Instance Profile (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.iam().TagInstanceProfile(ctx, &iam.TagInstanceProfileInput{InstanceProfileName: &c.ID, Tags: iamTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of IAM Instance Profile (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteProfile(ctx context.Context, c *call) error {
	if role := engine.Str(c.Old, "role"); role != "" {
		if err := c.Client.profileRole(ctx, c.ID, role, false); err != nil {
			return err
		}
	}
	_, err := c.Client.iam().DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: &c.ID})
	if err = absent(err, noSuchEntity); err != nil {
		return fmt.Errorf("deleting IAM Instance Profile (%s): %w", c.ID, err)
	}
	return nil
}

// --- OIDC provider

func withoutScheme(v any) any {
	if s, ok := v.(string); ok {
		return strings.TrimPrefix(s, "https://")
	}
	return v
}

func checkOIDC(c *checker) {
	s, ok := c.In["url"].(string)
	if !ok {
		return
	}
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
		c.Fail("url", "expected %q to have a host and the https scheme, got %q.", "url", s)
	} else if u.RawQuery != "" {
		c.Fail("url", "%q must not have a query string, got %q.", "url", s)
	}
}

func createOIDC(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.iam().CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: engine.StrPtr(c.In, "url"), ClientIDList: engine.Strs(c.In, "clientIdLists"),
		ThumbprintList: engine.Strs(c.In, "thumbprintLists"), Tags: iamTags(c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating IAM OIDC Provider: %w", err)
	}
	return aws.ToString(out.OpenIDConnectProviderArn), nil, nil
}

func readOIDC(ctx context.Context, c *call) (m, error) {
	var out *iam.GetOpenIDConnectProviderOutput
	err := visible(ctx, c, func(ctx context.Context) error {
		var err error
		out, err = c.Client.iam().GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &c.ID})
		if is(err, noSuchEntity) {
			return engine.ErrGone
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading IAM OIDC Provider (%s): %w", c.ID, err)
	}
	return m{
		"arn": c.ID, "url": withoutScheme(aws.ToString(out.Url)), "clientIdLists": engine.List(out.ClientIDList),
		"thumbprintLists": engine.List(out.ThumbprintList), "tags": readIAMTags(out.Tags),
	}, nil
}

func updateOIDC(ctx context.Context, c *call) (m, error) {
	api := c.Client.iam()
	if list := engine.Strs(c.In, "thumbprintLists"); c.Changed["thumbprintLists"] && len(list) > 0 {
		if _, err := api.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{
			OpenIDConnectProviderArn: &c.ID, ThumbprintList: list,
		}); err != nil {
			return nil, fmt.Errorf("updating IAM OIDC Provider (%s) thumbprint: %w", c.ID, err)
		}
	}
	if c.Changed["clientIdLists"] {
		add, remove := engine.SetChanges(engine.Strs(c.Old, "clientIdLists"), engine.Strs(c.In, "clientIdLists"))
		for _, id := range add {
			if _, err := api.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{
				OpenIDConnectProviderArn: &c.ID, ClientID: aws.String(id),
			}); err != nil {
				return nil, fmt.Errorf("adding client id %s to IAM OIDC Provider (%s): %w", id, c.ID, err)
			}
		}
		for _, id := range remove {
			if _, err := api.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{
				OpenIDConnectProviderArn: &c.ID, ClientID: aws.String(id),
			}); err != nil {
				return nil, fmt.Errorf("removing client id %s of IAM OIDC Provider (%s): %w", id, c.ID, err)
			}
		}
	}
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := api.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &c.ID, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of IAM OIDC Provider (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := api.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &c.ID, Tags: iamTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of IAM OIDC Provider (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteOIDC(ctx context.Context, c *call) error {
	_, err := c.Client.iam().DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &c.ID})
	if err = absent(err, noSuchEntity); err != nil {
		return fmt.Errorf("deleting IAM OIDC Provider (%s): %w", c.ID, err)
	}
	return nil
}
