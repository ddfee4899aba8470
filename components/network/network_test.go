package network

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

func TestNewNetwork(t *testing.T) {
	var ids []string
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		network, err := NewNetwork(ctx, "lab", &NetworkArgs{
			CIDR:  "10.0.0.0/16",
			Zones: []string{"eu-central-1a", "eu-central-1b"},
			NAT:   NATNone,
			Tags:  map[string]string{"team": "platform"},
		})
		if err != nil {
			return err
		}
		network.SubnetIDs.ApplyT(func(got []string) error { ids = got; return nil })
		ctx.Export("subnets", network.SubnetIDs)
		return nil
	})
	require.NoError(t, err)
	pulumitest.Golden(t, "resources.golden", recorder.Graph())
	require.Equal(t, []string{"lab-public-eu-central-1a-id", "lab-public-eu-central-1b-id"}, ids)

	for _, r := range recorder.Resources() {
		if !r.Inputs.HasValue("tags") {
			require.NotContains(t, []string{"aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet"}, r.Type, "%s has no tags", r)
			continue
		}
		tags := r.Inputs["tags"].ObjectValue()
		require.Equal(t, "platform", tags["team"].StringValue(), r)
		require.Equal(t, r.Name, tags["Name"].StringValue(), r)
	}
	table := recorder.Find(t, "aws:ec2/routeTable:RouteTable", "lab-public")
	require.False(t, table.Inputs.HasValue("routes"), "inline and separate routes remove each other")
	subnet := recorder.Find(t, "aws:ec2/subnet:Subnet", "lab-public-eu-central-1b")
	require.Equal(t, "10.0.16.0/20", subnet.Inputs["cidrBlock"].StringValue())
	require.True(t, subnet.Inputs["mapPublicIpOnLaunch"].BoolValue(), "machines need the internet before they have an elastic address")
	route := recorder.Find(t, "aws:ec2/route:Route", "lab-internet")
	require.Equal(t, "0.0.0.0/0", route.Inputs["destinationCidrBlock"].StringValue())
	require.Equal(t, "lab-gateway-id", route.Inputs["gatewayId"].StringValue())
}

// Whoever uses a subnet must wait for its way out and keep it until the end.
func TestSubnetIDsDependOnRoutes(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		network, err := NewNetwork(ctx, "lab", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: []string{"eu-central-1a"}, NAT: NATNone})
		if err != nil {
			return err
		}
		var user struct{ pulumi.CustomResourceState }
		return ctx.RegisterResource("test:index:User", "user", pulumi.Map{"subnet": network.SubnetIDs.Index(pulumi.Int(0))}, &user)
	})
	require.NoError(t, err)
	user := recorder.Find(t, "test:index:User", "user")
	require.Contains(t, user.DependsOn, "lab-internet")
	require.Contains(t, user.DependsOn, "lab-public-eu-central-1a")
}

func TestNewNetworkRefuses(t *testing.T) {
	zones := []string{"eu-central-1a"}
	tests := []struct {
		name string
		args *NetworkArgs
		want []string
	}{
		{"nil", nil, []string{"args are nil"}},
		{"nothing", &NetworkArgs{}, []string{`CIDR: is ""`, "Zones: is empty"}},
		{"no range", &NetworkArgs{CIDR: "10.0.0.0", Zones: zones}, []string{"CIDR: is"}},
		{"IPv6", &NetworkArgs{CIDR: "fd00::/16", Zones: zones}, []string{"must be an IPv4 range"}},
		{"host bits", &NetworkArgs{CIDR: "10.0.1.0/16", Zones: zones}, []string{"must begin at its first address: 10.0.0.0/16"}},
		{"too wide", &NetworkArgs{CIDR: "10.0.0.0/8", Zones: zones}, []string{"is a /8"}},
		{"too narrow", &NetworkArgs{CIDR: "10.0.0.0/25", Zones: zones}, []string{"is a /25"}},
		{"zones", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: []string{"a", "", "a"}}, []string{"Zones[1]: is empty", "Zones[2]: a is listed twice"}},
		{"NAT", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: zones, NAT: "two"}, []string{`NAT: is "two", must be none, single or per-zone`}},
		{"NAT for nobody", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: zones, NAT: NATSingle}, []string{"NAT: is single, must be none without private subnets"}},
		{"endpoints nowhere", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: zones, NAT: NATNone, Endpoints: true}, []string{"Region: is empty"}},
		{"too many private zones", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: make([]string, 9), Private: true}, []string{"has 9 entries, must have 8"}},
		{"too many zones", &NetworkArgs{CIDR: "10.0.0.0/16", Zones: make([]string, 17)}, []string{"has 17 entries"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				_, err := NewNetwork(ctx, "lab", tt.args)
				return err
			})
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.Empty(t, recorder.Resources(), "something was registered before the error")
		})
	}
}

func TestSubnets(t *testing.T) {
	tests := []struct {
		cidr          string
		want, private []string
	}{
		{"10.0.0.0/16", []string{"10.0.0.0/20", "10.0.16.0/20", "10.0.32.0/20"}, []string{"10.0.128.0/20"}},
		{"172.31.128.0/20", []string{"172.31.128.0/24", "172.31.129.0/24", "172.31.130.0/24"}, []string{"172.31.136.0/24"}},
		{"192.168.255.0/24", []string{"192.168.255.0/28", "192.168.255.16/28", "192.168.255.32/28"}, []string{"192.168.255.128/28"}},
	}
	for _, tt := range tests {
		t.Run(tt.cidr, func(t *testing.T) {
			got, private, err := (&NetworkArgs{CIDR: tt.cidr, Zones: []string{"a", "b", "c"}, NAT: NATNone}).subnets()
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.Empty(t, private)
			fewer, private, err := (&NetworkArgs{CIDR: tt.cidr, Zones: []string{"a"}, NAT: NATNone, Private: true}).subnets()
			require.NoError(t, err)
			require.Equal(t, tt.private, private)
			require.Equal(t, got[:1], fewer, "a further zone must not move the first")
		})
	}
}

func TestPrivateSubnets(t *testing.T) {
	for _, nat := range []string{NATNone, NATSingle, NATPerZone} {
		t.Run(nat, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				network, err := NewNetwork(ctx, "lab", &NetworkArgs{
					CIDR: "10.0.0.0/16", Zones: []string{"eu-central-1a", "eu-central-1b"},
					Private: true, NAT: nat, Endpoints: nat != NATSingle, Region: "eu-central-1",
				})
				if err != nil {
					return err
				}
				var user struct{ pulumi.CustomResourceState }
				return ctx.RegisterResource("test:index:User", "user", pulumi.Map{"subnets": network.PrivateSubnetIDs}, &user)
			})
			require.NoError(t, err)
			pulumitest.Golden(t, "private-"+nat+".golden", recorder.Graph())
			user := recorder.Find(t, "test:index:User", "user")
			require.Equal(t, []any{"lab-private-eu-central-1a-id", "lab-private-eu-central-1b-id"}, user.Input("subnets"))
			for i, zone := range []string{"eu-central-1a", "eu-central-1b"} {
				require.Equal(t, false, recorder.Find(t, "aws:ec2/subnet:Subnet", "lab-private-"+zone).Input("mapPublicIpOnLaunch"))
				if nat == NATNone {
					continue
				}
				gateway := map[string][]string{NATSingle: {"lab-nat-eu-central-1a-id", "lab-nat-eu-central-1a-id"}, NATPerZone: {"lab-nat-eu-central-1a-id", "lab-nat-eu-central-1b-id"}}
				route := recorder.Find(t, "aws:ec2/route:Route", "lab-nat-"+zone)
				require.Equal(t, gateway[nat][i], route.Input("natGatewayId"))
				require.Equal(t, "lab-private-"+zone+"-id", route.Input("routeTableId"))
				require.Contains(t, user.DependsOn, "lab-nat-"+zone, "a machine boots once it gets out")
			}
			for _, r := range recorder.OfType("aws:ec2/natGateway:NatGateway") {
				require.Contains(t, r.DependsOn, "lab-internet", "AWS refuses one without an internet gateway")
				require.Regexp(t, "^lab-public-", r.Input("subnetId"))
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		_, err := NewNetwork(ctx, "lab", &NetworkArgs{
			CIDR: "10.0.0.0/16", Zones: []string{"eu-central-1a"}, Private: true, NAT: NATNone,
			Endpoints: true, Region: "eu-central-1",
		})
		return err
	})
	require.NoError(t, err)
	for _, r := range recorder.OfType("aws:ec2/vpcEndpoint:VpcEndpoint") {
		if r.Name == "lab-s3" {
			require.Equal(t, "Gateway", r.Input("vpcEndpointType"))
			require.Equal(t, "com.amazonaws.eu-central-1.s3", r.Input("serviceName"))
			require.Equal(t, []any{"lab-public-id", "lab-private-eu-central-1a-id"}, r.Input("routeTableIds"))
			continue
		}
		require.Equal(t, "Interface", r.Input("vpcEndpointType"), r.Name)
		require.Equal(t, true, r.Input("privateDnsEnabled"), "clients use AWS's own host names")
		require.Equal(t, []any{"lab-private-eu-central-1a-id"}, r.Input("subnetIds"))
		require.Equal(t, []any{"lab-endpoints-id"}, r.Input("securityGroupIds"))
	}
	require.Len(t, recorder.OfType("aws:ec2/vpcEndpoint:VpcEndpoint"), 4)
	rule := recorder.Find(t, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "lab-endpoints-https")
	require.Equal(t, "10.0.0.0/16", rule.Input("cidrIpv4"))
	require.EqualValues(t, 443, rule.Input("fromPort"))
}
