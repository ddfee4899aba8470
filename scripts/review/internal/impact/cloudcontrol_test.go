package impact

import (
	"strings"
	"testing"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// TestCloudControl: a profile is judged alike whoever makes it, and what else Cloud Control makes is a warning.
func TestCloudControl(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/a"
	by := func(typeName, state string) props { return props{"typeName": typeName, "desiredState": state} }
	profile := func(state string) props { return by("AWS::RolesAnywhere::Profile", state) }
	const good = `{"AcceptRoleSessionName":true,"Enabled":true,"Name":"p","DurationSeconds":900,"RoleArns":["` + role + `"],"SessionPolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[]}","Tags":[{"Key":"a","Value":"b"}]}`
	existing := same(podRole(goodTrust)) // the stack is there already
	own := strings.ReplaceAll(good, `"`+role+`"`, "")
	its := func(property string) func(*preview.Resource) { return needs(property, urn(typeRole, "uploader-role")) }
	change := func(from, to string) []*preview.Change {
		return append(pair(typeCloudControl, "p", profile(from), profile(to)), existing)
	}
	with := func(old, new string) []*preview.Change {
		return change(good, strings.Replace(good, old, new, 1))
	}
	for _, c := range []struct {
		name, id string
		want     Level
		changes  []*preview.Change
	}{
		{"a new one", "profile-roles", Warning, []*preview.Change{existing, created(res(typeCloudControl, "p", profile(good)))}},
		{"a new one beside another", "", Quiet, []*preview.Change{existing, created(res(typeCloudControl, "p", profile(own), its("desiredState"))),
			same(res(typeRAProfile, "q", props{"enabled": true, "durationSeconds": 900.0}, its("roleArns")))}},
		{"a new one whose roles are new", "not-understood", Warning, []*preview.Change{existing, created(res(typeCloudControl, "p", profile(preview.Unknown)))}},
		{"one of a new stack", "", Quiet, []*preview.Change{created(res(typeCloudControl, "p", profile(preview.Unknown)))}},
		{"the same", "", Quiet, []*preview.Change{existing, same(res(typeCloudControl, "p", profile(good)))}},
		{"another name and tag", "", Quiet, with(`"p"`, `"q"`)},
		{"names of sessions no more", "", Quiet, with(`"AcceptRoleSessionName":true`, `"AcceptRoleSessionName":false`)},
		{"it goes off", "profile-disabled", Danger, with(`"Enabled":true`, `"Enabled":false`)},
		{"it goes", "profile-removed", Danger, []*preview.Change{existing, deleted(res(typeCloudControl, "p", profile(good)))}},
		{"a role more", "profile-roles", Warning, with(role+`"`, role+`","arn:aws:iam::111122223333:role/b"`)},
		{"a role less", "profile-roles", Warning, with(`"`+role+`"`, ``)},
		{"no session policy", "session-policy-removed", Warning, with(`,"SessionPolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"`, "")},
		{"what a profile does not have", "not-understood", Warning, with(`"Name"`, `"AttributeMappings":[],"X":1,"Name"`)},
		{"a state that is not known yet", "not-understood", Warning, change(good, preview.Unknown)},
		{"no JSON", "not-understood", Warning, change(good, "{")},
		{"another type", "not-understood", Warning, []*preview.Change{existing, created(res(typeCloudControl, "p", by("AWS::IAM::User", "{}")))}},
		{"another type in a new stack", "not-understood", Warning, []*preview.Change{created(res(typeCloudControl, "p", by("AWS::IAM::User", "{}")))}},
		{"another type changes", "not-understood", Warning, append(pair(typeCloudControl, "p", by("AWS::IAM::User", "{}"), by("AWS::IAM::User", `{"a":1}`)), existing)},
		{"a profile becomes something else", "not-understood", Warning, append(pair(typeCloudControl, "p", profile(good), by("AWS::IAM::User", good)), existing)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judge(c.changes...)
			ids := []string{}
			for _, s := range r.Signs {
				ids = append(ids, s.ID)
			}
			if r.Verdict != c.want || c.id != "" && !strings.Contains(strings.Join(ids, " "), c.id) {
				t.Errorf("verdict %s with %v, want %s with %s: %+v", r.Verdict, ids, c.want, c.id, r.Signs)
			}
		})
	}
}
