package services_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53 "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/require"
)

func TestRoute53(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := route53.NewFromConfig(l.config("us-east-1"))
	zone := l.zone("example.org")
	a := func(name, ip string) *r53.ResourceRecordSet {
		return &r53.ResourceRecordSet{Name: &name, Type: "A", TTL: aws.Int64(300), ResourceRecords: []r53.ResourceRecord{{Value: &ip}}}
	}
	require.NoError(t, l.record(zone, "CREATE", a("WWW.example.org", "192.0.2.1")))
	require.NoError(t, l.record(zone, "CREATE", a("*.example.org", "192.0.2.9")))
	for _, x := range []struct {
		action r53.ChangeAction
		set    *r53.ResourceRecordSet
		text   string
	}{
		{"CREATE", a("www.example.org", "192.0.2.2"), "Tried to create resource record set [name='www.example.org.', type='A'] but it already exists"},
		{"CREATE", a("www.example.com", "192.0.2.2"), "is not permitted in zone example.org."},
		{"CREATE", cname("example.org", "x.example.net"), "is not permitted at apex"},
		{"CREATE", cname("www.example.org", "x.example.net"), "conflicts with other records"},
		{"DELETE", a("www.example.org", "192.0.2.7"), "values provided do not match"},
		{"DELETE", a("gone.example.org", "192.0.2.7"), "but it was not found"},
		{"CREATE", a("bad.example.org", "nonsense"), "not a valid IPv4"},
	} {
		requireCode(t, l.record(zone, x.action, x.set), "InvalidChangeBatch", x.text)
	}
	weighted := a("w.example.org", "192.0.2.3")
	weighted.SetIdentifier, weighted.Weight = aws.String("one"), aws.Int64(1)
	requireCode(t, l.record(zone, "CREATE", weighted), "NotImplemented")
	require.NoError(t, l.record(zone, "UPSERT", a("www.example.org", "192.0.2.5")))
	res, ok := l.Resolve("www.example.org")
	require.True(t, ok)
	require.Equal(t, []string{"192.0.2.5"}, res.Addrs)
	res, ok = l.Resolve("any.example.org")
	require.True(t, ok)
	require.Equal(t, []string{"192.0.2.9"}, res.Addrs)
	list, err := c.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &zone, StartRecordName: aws.String("www.example.org"), StartRecordType: "A"})
	require.NoError(t, err)
	require.Equal(t, "www.example.org.", *list.ResourceRecordSets[0].Name)
	all, err := c.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &zone})
	require.NoError(t, err)
	require.Len(t, all.ResourceRecordSets, 4)
	require.Equal(t, `\052.example.org.`, *all.ResourceRecordSets[2].Name)
	out, err := c.ChangeTagsForResource(ctx, &route53.ChangeTagsForResourceInput{ResourceId: &zone, ResourceType: "hostedzone", AddTags: []r53.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	require.NoError(t, err, out)
	tags, err := c.ListTagsForResource(ctx, &route53.ListTagsForResourceInput{ResourceId: &zone, ResourceType: "hostedzone"})
	require.NoError(t, err)
	require.Len(t, tags.ResourceTagSet.Tags, 1)
	_, err = c.DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &zone})
	requireCode(t, err, "HostedZoneNotEmpty")
	require.NoError(t, l.record(zone, "DELETE", a("www.example.org", "192.0.2.5")))
	require.NoError(t, l.record(zone, "DELETE", a("*.example.org", "192.0.2.9")))
	gone, err := c.DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &zone})
	require.NoError(t, err)
	change, err := c.GetChange(ctx, &route53.GetChangeInput{Id: gone.ChangeInfo.Id})
	require.NoError(t, err)
	require.Equal(t, r53.ChangeStatusInsync, change.ChangeInfo.Status)
	_, err = c.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &zone})
	requireCode(t, err, "NoSuchHostedZone")
}

func TestSSM(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ssm.NewFromConfig(l.config(region))
	put := func(name, value string, change ...func(*ssm.PutParameterInput)) error {
		in := &ssm.PutParameterInput{Name: &name, Value: &value, Type: "SecureString"}
		for _, f := range change {
			f(in)
		}
		_, err := c.PutParameter(ctx, in)
		return err
	}
	require.NoError(t, put("/k3s-aws-auth/lab/server/token", "hunter2", func(in *ssm.PutParameterInput) {
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
	}))
	requireCode(t, put("/k3s-aws-auth/lab/server/token", "x"), "ParameterAlreadyExists", "overwrite")
	requireCode(t, put("/big", strings.Repeat("x", 4097)), "ValidationException", "4096")
	advanced := func(in *ssm.PutParameterInput) { in.Tier = "Advanced" }
	require.NoError(t, put("/big", strings.Repeat("x", 8192), advanced))
	requireCode(t, put("/bigger", strings.Repeat("x", 8193), advanced), "ValidationException")
	requireCode(t, put("/big", "small", func(in *ssm.PutParameterInput) { in.Tier, in.Overwrite = "Standard", aws.Bool(true) }), "ValidationException", "downgrade")
	requireCode(t, put("/aws/x", "x"), "AccessDeniedException", "reserved")
	requireCode(t, put("/x", "x", func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/mine") }), "NotImplemented")

	get := func(name string, decrypt bool) (*types.Parameter, error) {
		out, err := c.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: &decrypt})
		if err != nil {
			return nil, err
		}
		return out.Parameter, nil
	}
	p, err := get("/k3s-aws-auth/lab/server/token", true)
	require.NoError(t, err)
	require.Equal(t, "hunter2", *p.Value)
	require.Equal(t, "arn:aws:ssm:eu-central-1:111122223333:parameter/k3s-aws-auth/lab/server/token", *p.ARN)
	sealed, err := get("/k3s-aws-auth/lab/server/token", false)
	require.NoError(t, err)
	require.NotContains(t, *sealed.Value, "hunter2")
	_, err = get("/missing", true)
	requireCode(t, err, "ParameterNotFound")
	_, err = c.PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String("/k3s-aws-auth/lab/server/token"), Value: aws.String("two"), Overwrite: aws.Bool(true)})
	require.NoError(t, err)
	old, err := get("/k3s-aws-auth/lab/server/token:1", true)
	require.NoError(t, err)
	require.Equal(t, "hunter2", *old.Value)
	for i := range 25 {
		require.NoError(t, put(fmt.Sprintf("/many/%02d", i), "x"))
	}
	require.NoError(t, put("/many/deep/er", "x"))
	count := 0
	pages := ssm.NewGetParametersByPathPaginator(c, &ssm.GetParametersByPathInput{Path: aws.String("/many"), Recursive: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Parameters), 10)
		count += len(page.Parameters)
	}
	require.Equal(t, 26, count)
	d, err := c.DescribeParameters(ctx, &ssm.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Name"), Option: aws.String("Equals"), Values: []string{"/big"}}}})
	require.NoError(t, err)
	require.Equal(t, types.ParameterTierAdvanced, d.Parameters[0].Tier)
	tags, err := c.ListTagsForResource(ctx, &ssm.ListTagsForResourceInput{ResourceType: "Parameter", ResourceId: aws.String("/k3s-aws-auth/lab/server/token")})
	require.NoError(t, err)
	require.Len(t, tags.TagList, 1)
	require.NotEqual(t, l.image("amd64"), l.image("arm64"))

	agent := ssm.NewFromConfig(l.user("agent", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:eu-central-1:111122223333:parameter/k3s-aws-auth/lab/agent/*"}]}`))
	_, err = agent.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/k3s-aws-auth/lab/server/token")})
	requireCode(t, err, "AccessDeniedException", "arn:aws:ssm:eu-central-1:111122223333:parameter/k3s-aws-auth/lab/server/token")
	_, err = agent.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/k3s-aws-auth/lab/agent/token")})
	requireCode(t, err, "ParameterNotFound")
	_, err = c.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String("/big")})
	require.NoError(t, err)
	_, err = c.SendCommand(ctx, &ssm.SendCommandInput{DocumentName: aws.String("x")})
	requireCode(t, err, "NotImplemented")
}
