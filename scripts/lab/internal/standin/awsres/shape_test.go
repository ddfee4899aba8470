package awsres

import (
	"sort"
	"testing"

	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// TestEveryTypeHasAHandler holds the handlers against the table: a type that the table has must work.
func TestEveryTypeHasAHandler(t *testing.T) {
	p := Package("")
	var want []string
	for token := range p.Facts {
		want = append(want, token)
	}
	sort.Strings(want)
	require.Equal(t, want, p.Tokens())
}

// everything returns an object in which every property of a shape is set.
func everything(shape *facts.Object) m {
	out := m{}
	for _, name := range shape.Order {
		out[name] = sample(shape.Properties[name])
	}
	return out
}

func sample(p *facts.Property) any {
	switch p.Type {
	case "object":
		if p.Object == nil {
			return m{}
		}
		return everything(p.Object)
	case "map":
		return m{"k": "v"}
	case "list":
		if p.Object != nil {
			return []any{everything(p.Object)}
		}
		if p.Elem == "int" {
			return []any{7.0}
		}
		return []any{"x"}
	case "bool":
		return true
	case "int":
		return 5.0
	case "number":
		return 1.5
	}
	if len(p.Enum) > 0 {
		return p.Enum[0]
	}
	return "x"
}

// TestEveryPropertyReachesTheAPI fills the SDK's structures with every property that the table has, and reads them back.
func TestEveryPropertyReachesTheAPI(t *testing.T) {
	table := facts.AWS()
	t.Run("distribution", func(t *testing.T) {
		shape := table["aws:cloudfront/distribution:Distribution"].Inputs
		in := everything(shape)
		config, err := distributionConfig(in, "reference")
		require.NoError(t, err)
		require.EqualValues(t, 1, *config.Restrictions.GeoRestriction.Quantity)
		require.Len(t, config.Origins.Items, 1)
		require.Equal(t, "x", *config.Origins.Items[0].OriginAccessControlId)
		require.Equal(t, []cftypes.Method{"x"}, config.DefaultCacheBehavior.AllowedMethods.CachedMethods.Items)
		require.NotNil(t, config.Logging.Enabled)

		back := dump(config, shape, distributionSkips)
		for _, skipped := range []string{"retainOnDelete", "waitForDeployment", "tags"} {
			delete(in, skipped)
		}
		for _, o := range []m{in, back} {
			for _, b := range []m{engine.Obj(o, "defaultCacheBehavior"), engine.Objs(o, "orderedCacheBehaviors")[0]} {
				for _, apart := range []string{"trustedSigners", "trustedKeyGroups", "cachedMethods", "minTtl", "maxTtl", "defaultTtl", "forwardedValues"} {
					delete(b, apart)
				}
			}
		}
		require.Equal(t, in, back)
	})
	t.Run("cache policy", func(t *testing.T) {
		shape := table["aws:cloudfront/cachePolicy:CachePolicy"].Inputs
		in := everything(shape)
		config, err := cachePolicyConfig(in)
		require.NoError(t, err)
		require.EqualValues(t, 1, *config.ParametersInCacheKeyAndForwardedToOrigin.HeadersConfig.Headers.Quantity)
		require.Equal(t, in, dump(config, shape, cachePolicyNames))
	})
	t.Run("response headers policy", func(t *testing.T) {
		shape := table["aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy"].Inputs
		in := everything(shape)
		config, err := headersPolicyConfig(in)
		require.NoError(t, err)
		delete(in, "etag")
		require.Equal(t, in, dump(config, shape, headersPolicyNames))
	})
	t.Run("launch template", func(t *testing.T) {
		shape := table["aws:ec2/launchTemplate:LaunchTemplate"].Inputs
		in := everything(shape)
		data, err := templateData(in)
		require.NoError(t, err)
		require.Equal(t, ec2types.ResourceType("x"), data.TagSpecifications[0].ResourceType)
		back := dump(data, shape, templateNames)
		for _, name := range append([]string{"tagSpecifications"}, templateFields...) {
			delete(in, name)
			delete(back, name)
		}
		require.Equal(t, in, back)
	})
	t.Run("instance", func(t *testing.T) {
		shape := table["aws:ec2/instance:Instance"].Inputs
		for name, dst := range map[string]any{
			"metadataOptions": &ec2types.InstanceMetadataOptionsRequest{}, "maintenanceOptions": &ec2types.InstanceMaintenanceOptionsRequest{},
			"privateDnsNameOptions": &ec2types.PrivateDnsNameOptionsRequest{},
		} {
			p := shape.Properties[name]
			in := everything(p.Object)
			require.NoError(t, fill(dst, in, nil), name)
			require.Equal(t, in, dump(dst, p.Object, nil), name)
		}
		for _, name := range []string{"rootBlockDevice", "ebsBlockDevices"} {
			require.NoError(t, fill(&ec2types.EbsBlockDevice{}, everything(shape.Properties[name].Object), names{"tags": "-", "deviceName": "-"}), name)
		}
		require.NoError(t, fill(&ec2types.InstanceNetworkInterfaceSpecification{}, everything(shape.Properties["networkInterfaces"].Object), nil))
	})
	t.Run("listener", func(t *testing.T) {
		shape := table["aws:lb/listener:Listener"].Inputs
		in := m{"defaultActions": everything(shape)["defaultActions"]}
		list, err := actions(in)
		require.NoError(t, err)
		holder := struct{ DefaultActions []elbtypes.Action }{list}
		require.Equal(t, in, m{"defaultActions": dump(&holder, shape, actionNames)["defaultActions"]})
	})
	t.Run("alarm", func(t *testing.T) {
		typ := table["aws:cloudwatch/metricAlarm:MetricAlarm"]
		in := everything(typ.Inputs)
		req, err := alarmInput(&call{In: in, Type: typ})
		require.NoError(t, err)
		require.Equal(t, []cwtypes.Dimension{{Name: ptr("k"), Value: ptr("v")}}, req.Dimensions)
		require.Equal(t, "x", *req.Metrics[0].MetricStat.Metric.MetricName)
		back := dump(req, typ.Inputs, alarmNames)
		for _, o := range []m{in, back} {
			for _, apart := range []string{"tags", "dimensions"} {
				delete(o, apart)
			}
			metric := engine.Obj(engine.Objs(o, "metricQueries")[0], "metric")
			for _, apart := range []string{"metricName", "namespace", "dimensions"} {
				delete(metric, apart)
			}
		}
		require.Equal(t, in, back)
	})
}

func ptr[T any](v T) *T { return &v }
