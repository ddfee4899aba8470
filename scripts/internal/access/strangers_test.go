package access

import (
	"slices"
	"strings"
	"testing"
)

// TestStrangers: a condition lets strangers in where somebody with an account of his own can satisfy it.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		condition string
		open      bool
	}{
		{`"StringEquals":{"aws:PrincipalOrgID":"o-1"}`, false},
		{`"StringLike":{"aws:PrincipalOrgID":"o-*"}`, true},
		{`"ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-a/r-b/*"}`, true},
		{`"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-a/r-b/*"}`, false},
		{`"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-*/r-*/ou-*"}`, true},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}`, false},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/Deploy"}`, true},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::????????????:role/Deploy"}`, true},
		{`"StringLike":{"aws:PrincipalArn":"*role/Deploy"}`, true},
		{`"StringLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:*"}`, false},
		{`"StringNotLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:*"}`, true},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:topic"}`, true},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}`, false},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:s3:::bucket"}`, false},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}`, true},
		{`"StringLike":{"aws:userid":"*:deploy"}`, true},
		{`"StringLike":{"aws:userid":"AROAEXAMPLE:*"}`, false},
		{`"NumericGreaterThan":{"aws:PrincipalAccount":"1"}`, true},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, false},
		{`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, false},
		{`"IpAddress":{"aws:SourceIp":["203.0.113.0/24","128.0.0.0/1"]}`, true},
		{`"IpAddress":{"aws:SourceIp":"2000::/3"}`, true},
		{`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, true},
		{`"IpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"}`, true},
		{`"IpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"},"StringEquals":{"aws:SourceVpc":"vpc-1"}`, false},
		{`"StringEquals":{"sts:ExternalId":"secret"}`, false},
		{`"StringEquals":{"aws:PrincipalTag/team":"a"}`, true},
		{`"Null":{"aws:PrincipalOrgID":"false"}`, true},
	} {
		d := parse(t, `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{`+c.condition+`}}`)
		_, _, now := CompareTrust(nil, d)
		if open := slices.ContainsFunc(now, func(x Trustee) bool { return x.Open == Anybody }); open != c.open {
			t.Errorf("%s: open %v, want %v (%s)", c.condition, open, c.open, who(now))
		}
		resource, _ := CompareResource(nil, d)
		if public := slices.ContainsFunc(resource, func(g ResourceGrant) bool { return g.Public }); public != c.open {
			t.Errorf("%s: public %v, want %v", c.condition, public, c.open)
		}
	}
}

// TestFreeChoice: what goes is minor only where a caller could have chosen to have it all the same.
func TestFreeChoice(t *testing.T) {
	const one = `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:RoleSessionName":"deploy"}}}`
	deny := func(condition string) string {
		return `{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"},` + condition + `}}`
	}
	any := strings.Replace(one, `,"Condition":{"StringEquals":{"sts:RoleSessionName":"deploy"}}`, "", 1)
	for _, c := range []struct {
		name          string
		before, after []string
		minor         bool
	}{
		{"a name", []string{one}, []string{any}, true},
		{"a denial of a name", []string{any, deny(`"StringEquals":{"sts:RoleSessionName":"deploy"}`)}, []string{any}, true},
		{"a denial of every name", []string{any, deny(`"StringLike":{"sts:RoleSessionName":"*"}`)}, []string{any}, false},
		{"a denial of every name there is", []string{any, deny(`"StringLike":{"sts:RoleSessionName":"?*"}`)}, []string{any}, false},
		{"a denial of the only name", []string{one, deny(`"StringEquals":{"sts:RoleSessionName":"deploy"}`)}, []string{one}, false},
		{"a denial of other names", []string{one, deny(`"StringNotEquals":{"sts:RoleSessionName":"deploy"}`)}, []string{one}, true},
		{"one name for another", []string{any, deny(`"StringEquals":{"sts:RoleSessionName":"a1"}`)}, []string{any, deny(`"StringEquals":{"sts:RoleSessionName":"b1"}`)}, true},
	} {
		gained, _, _ := CompareTrust(parse(t, c.before...), parse(t, c.after...))
		if major := slices.ContainsFunc(gained, func(x Trustee) bool { return !x.Minor }); major == c.minor && len(gained) > 0 || len(gained) == 0 && !c.minor {
			t.Errorf("%s: %+v, minor should be %v", c.name, gained, c.minor)
		}
	}
}
