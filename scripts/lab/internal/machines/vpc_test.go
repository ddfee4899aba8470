package machines

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/gate/ec2"
)

// TestAddressesAreOfAVPC holds that machines of two VPCs with the same addresses are not taken for one another.
func TestAddressesAreOfAVPC(t *testing.T) {
	machineOf := func(id, vpc string) *machine {
		return &machine{instance: ec2.Instance{ID: id, VPCID: vpc, PrivateIP: "10.0.0.4"}}
	}
	first, second, asking := machineOf("i-1", "vpc-1"), machineOf("i-2", "vpc-2"), machineOf("i-3", "vpc-1")
	m := &Machines{machines: map[string]*machine{"i-1": first, "i-2": second}}
	second.err = errors.New("no disk")
	require.NoError(t, m.bootErrorAt(asking, "10.0.0.4"), "the other VPC's")
	asking.instance.VPCID = "vpc-2"
	require.ErrorContains(t, m.bootErrorAt(asking, "10.0.0.4"), "no disk")
	require.True(t, second.at(asking, "10.0.0.4"))
	require.False(t, first.at(asking, "10.0.0.4"))
}
