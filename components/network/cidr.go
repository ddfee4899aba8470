package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// subnetBits is how much longer a subnet's prefix is than the VPC's. It is
// fixed, so that a further zone never moves the subnets that exist.
const subnetBits = 4

// Prefix lengths that leave room for 16 subnets within AWS's limits: a VPC is
// at most a /16, a subnet at least a /28.
const (
	widestPrefix   = 16
	narrowestVPC   = 24
	maximumSubnets = 1 << subnetBits
	// firstPrivate is the place of the first private subnet among the 16, so that
	// a further zone moves none of them either.
	firstPrivate = maximumSubnets / 2
)

// subnets validates the arguments and returns the ranges of the public and of
// the private subnets, one per zone each, in the order of the zones. Everything
// that is wrong is reported at once.
func (args *NetworkArgs) subnets() (public, private []string, err error) {
	if args == nil {
		return nil, nil, errors.New("args are nil")
	}
	var errs []error
	vpc, err := netip.ParsePrefix(args.CIDR)
	switch {
	case err != nil || !vpc.Addr().Is4():
		errs = append(errs, fmt.Errorf("args.CIDR: is %q, must be an IPv4 range such as 10.0.0.0/16", args.CIDR))
	case vpc.Masked() != vpc:
		errs = append(errs, fmt.Errorf("args.CIDR: is %q, must begin at its first address: %s", args.CIDR, vpc.Masked()))
	case vpc.Bits() < widestPrefix || vpc.Bits() > narrowestVPC:
		errs = append(errs, fmt.Errorf("args.CIDR: is a /%d, must be /%d to /%d", vpc.Bits(), widestPrefix, narrowestVPC))
	}
	if len(args.Zones) == 0 {
		errs = append(errs, errors.New("args.Zones: is empty, must name at least one availability zone"))
	}
	most := maximumSubnets
	if args.Private {
		most = firstPrivate
	}
	if len(args.Zones) > most {
		errs = append(errs, fmt.Errorf("args.Zones: has %d entries, must have %d at most", len(args.Zones), most))
	}
	for i, zone := range args.Zones {
		if zone == "" {
			errs = append(errs, fmt.Errorf("args.Zones[%d]: is empty, must be an availability zone such as eu-central-1a", i))
		} else if slices.Index(args.Zones, zone) < i {
			errs = append(errs, fmt.Errorf("args.Zones[%d]: %s is listed twice", i, zone))
		}
	}
	switch {
	case !slices.Contains([]string{NATNone, NATSingle, NATPerZone}, args.NAT):
		errs = append(errs, fmt.Errorf("args.NAT: is %q, must be %s, %s or %s", args.NAT, NATNone, NATSingle, NATPerZone))
	case args.NAT != NATNone && !args.Private:
		errs = append(errs, fmt.Errorf("args.NAT: is %s, must be %s without private subnets", args.NAT, NATNone))
	}
	if args.Endpoints && args.Region == "" {
		errs = append(errs, errors.New("args.Region: is empty, must be the region of the endpoints"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	for i := range args.Zones {
		public = append(public, nth(vpc, uint32(i)).String())
		if args.Private {
			private = append(private, nth(vpc, uint32(firstPrivate+i)).String())
		}
	}
	return public, private, nil
}

// nth returns the n-th of the 16 equal parts of an IPv4 range.
func nth(vpc netip.Prefix, n uint32) netip.Prefix {
	bits := vpc.Bits() + subnetBits
	first := vpc.Addr().As4()
	address := binary.BigEndian.Uint32(first[:]) + n<<(32-bits)
	var octets [4]byte
	binary.BigEndian.PutUint32(octets[:], address)
	return netip.PrefixFrom(netip.AddrFrom4(octets), bits)
}
