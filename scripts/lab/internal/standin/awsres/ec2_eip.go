package awsres

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// --- Elastic IP address

func createEip(ctx context.Context, c *call) (string, m, error) {
	domain := types.DomainType(engine.Str(c.In, "domain"))
	if domain == "" {
		domain = types.DomainTypeVpc
	}
	out, err := c.Client.ec2().AllocateAddress(ctx, &ec2.AllocateAddressInput{
		Domain: domain, Address: engine.StrPtr(c.In, "address"), PublicIpv4Pool: engine.StrPtr(c.In, "publicIpv4Pool"),
		NetworkBorderGroup: engine.StrPtr(c.In, "networkBorderGroup"), IpamPoolId: engine.StrPtr(c.In, "ipamPoolId"),
		CustomerOwnedIpv4Pool: engine.StrPtr(c.In, "customerOwnedIpv4Pool"),
		TagSpecifications:     tagSpec(types.ResourceTypeElasticIp, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 EIP: %w", err)
	}
	id := aws.ToString(out.AllocationId)
	return id, nil, c.Client.associateEip(ctx, id, c.In)
}

// associateEip attaches an address to the instance or interface that the inputs name, if any.
func (c *Client) associateEip(ctx context.Context, id string, in m) error {
	if engine.Str(in, "instance") == "" && engine.Str(in, "networkInterface") == "" {
		return nil
	}
	err := engine.Retry(ctx, ec2Propagation, func(err error) bool { return is(err, "InvalidAllocationID.NotFound", "IncorrectInstanceState") },
		func(ctx context.Context) error {
			_, err := c.ec2().AssociateAddress(ctx, &ec2.AssociateAddressInput{
				AllocationId: &id, InstanceId: engine.StrPtr(in, "instance"), NetworkInterfaceId: engine.StrPtr(in, "networkInterface"),
				PrivateIpAddress: engine.StrPtr(in, "associateWithPrivateIp"), AllowReassociation: aws.Bool(true),
			})
			return err
		})
	if err != nil {
		return fmt.Errorf("associating EC2 EIP (%s): %w", id, err)
	}
	return nil
}

func (c *Client) findAddress(ctx context.Context, in *ec2.DescribeAddressesInput) (*types.Address, error) {
	out, err := c.ec2().DescribeAddresses(ctx, in)
	if is(err, "InvalidAllocationID.NotFound", "InvalidAddress.NotFound", "InvalidAssociationID.NotFound") || err == nil && len(out.Addresses) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 EIP: %w", err)
	}
	return &out.Addresses[0], nil
}

func readEip(ctx context.Context, c *call) (m, error) {
	var a *types.Address
	err := visible(ctx, c, func(ctx context.Context) error {
		var err error
		a, err = c.Client.findAddress(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{c.ID}})
		return err
	})
	if err != nil {
		return nil, err
	}
	state := m{
		"allocationId": c.ID, "arn": c.Client.arn("ec2", "elastic-ip/"+c.ID),
		"associationId": aws.ToString(a.AssociationId), "carrierIp": aws.ToString(a.CarrierIp), "customerOwnedIp": aws.ToString(a.CustomerOwnedIp),
		"domain": string(a.Domain), "instance": aws.ToString(a.InstanceId), "networkInterface": aws.ToString(a.NetworkInterfaceId),
		"networkBorderGroup": aws.ToString(a.NetworkBorderGroup), "publicIpv4Pool": aws.ToString(a.PublicIpv4Pool),
		"privateIp": aws.ToString(a.PrivateIpAddress), "publicIp": aws.ToString(a.PublicIp),
		"privateDns": "", "publicDns": "", "ptrRecord": "", "tags": readTags(a.Tags),
	}
	if ip := engine.Str(state, "privateIp"); ip != "" {
		state["privateDns"] = fmt.Sprintf("ip-%s.%s", strings.ReplaceAll(ip, ".", "-"), c.Client.hostSuffix("ec2.internal", "compute.internal"))
	}
	if ip := engine.Str(state, "publicIp"); ip != "" {
		state["publicDns"] = fmt.Sprintf("ec2-%s.%s.%s", strings.ReplaceAll(ip, ".", "-"),
			c.Client.hostSuffix("compute-1", "compute"), c.Client.DNSSuffix)
	}
	out, err := c.Client.ec2().DescribeAddressesAttribute(ctx, &ec2.DescribeAddressesAttributeInput{
		AllocationIds: []string{c.ID}, Attribute: types.AddressAttributeNameDomainName,
	})
	if optional(err) != nil && !is(err, "InvalidAllocationID.NotFound") {
		return nil, fmt.Errorf("reading EC2 EIP (%s) domain name attribute: %w", c.ID, err)
	}
	if err == nil && len(out.Addresses) > 0 {
		state["ptrRecord"] = aws.ToString(out.Addresses[0].PtrRecord)
	}
	return state, nil
}

// hostSuffix returns the region's part of EC2's host names, which us-east-1 spells in its own way.
func (c *Client) hostSuffix(usEast1, other string) string {
	if c.Region == "us-east-1" {
		return usEast1
	}
	return c.Region + "." + other
}

func updateEip(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("instance", "networkInterface", "associateWithPrivateIp") {
		a, err := c.Client.findAddress(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{c.ID}})
		if err != nil {
			return nil, err
		}
		if id := aws.ToString(a.AssociationId); id != "" {
			if err := c.Client.disassociateEip(ctx, id); err != nil {
				return nil, err
			}
		}
		if err := c.Client.associateEip(ctx, c.ID, c.In); err != nil {
			return nil, err
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func (c *Client) disassociateEip(ctx context.Context, association string) error {
	_, err := c.ec2().DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: &association})
	if err = absent(err, "InvalidAssociationID.NotFound"); err != nil {
		return fmt.Errorf("disassociating EC2 EIP (%s): %w", association, err)
	}
	return nil
}

func deleteEip(ctx context.Context, c *call) error {
	// What the state knows to be attached is detached, whoever attached it; it may have gone since (ec2/ec2_eip.go).
	if id := engine.Str(c.Old, "associationId"); id != "" {
		if err := c.Client.disassociateEip(ctx, id); err != nil {
			return err
		}
	}
	err := engine.Retry(ctx, ec2Propagation, func(err error) bool {
		return is(err, "InvalidIPAddress.InUse") || says(err, "AuthFailure", "permission")
	},
		func(ctx context.Context) error {
			_, err := c.Client.ec2().ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: &c.ID})
			return err
		})
	if err = absent(err, "InvalidAllocationID.NotFound"); err != nil {
		return fmt.Errorf("deleting EC2 EIP (%s): %w", c.ID, err)
	}
	return nil
}

// --- Association of an address

func createEipAssociation(ctx context.Context, c *call) (string, m, error) {
	var id string
	err := engine.Retry(ctx, ec2Propagation, func(err error) bool {
		return is(err, "InvalidInstanceID", "IncorrectInstanceState") || says(err, "InvalidInstanceID", "pending instance")
	}, func(ctx context.Context) error {
		out, err := c.Client.ec2().AssociateAddress(ctx, &ec2.AssociateAddressInput{
			AllocationId: engine.StrPtr(c.In, "allocationId"), InstanceId: engine.StrPtr(c.In, "instanceId"),
			NetworkInterfaceId: engine.StrPtr(c.In, "networkInterfaceId"), PrivateIpAddress: engine.StrPtr(c.In, "privateIpAddress"),
			PublicIp: engine.StrPtr(c.In, "publicIp"), AllowReassociation: engine.BoolPtr(c.In, "allowReassociation"),
		})
		if err == nil {
			id = aws.ToString(out.AssociationId)
		}
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 EIP Association: %w", err)
	}
	return id, nil, nil
}

func readEipAssociation(ctx context.Context, c *call) (m, error) {
	var a *types.Address
	err := visible(ctx, c, func(ctx context.Context) error {
		var err error
		a, err = c.Client.findAddress(ctx, &ec2.DescribeAddressesInput{Filters: []types.Filter{filter("association-id", c.ID)}})
		return err
	})
	if err != nil {
		return nil, err
	}
	return m{
		"allocationId": aws.ToString(a.AllocationId), "instanceId": aws.ToString(a.InstanceId),
		"networkInterfaceId": aws.ToString(a.NetworkInterfaceId), "privateIpAddress": aws.ToString(a.PrivateIpAddress),
		"publicIp": aws.ToString(a.PublicIp),
	}, nil
}

func deleteEipAssociation(ctx context.Context, c *call) error {
	return c.Client.disassociateEip(ctx, c.ID)
}
