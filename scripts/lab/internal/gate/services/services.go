// Package services puts the AWS services that are not identity behind a gate.
package services

import (
	"fmt"
	"net/netip"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/acm"
	"k3s-aws-auth/scripts/lab/internal/gate/cloudcontrol"
	"k3s-aws-auth/scripts/lab/internal/gate/cloudfront"
	"k3s-aws-auth/scripts/lab/internal/gate/cloudwatch"
	"k3s-aws-auth/scripts/lab/internal/gate/ec2"
	"k3s-aws-auth/scripts/lab/internal/gate/ecr"
	"k3s-aws-auth/scripts/lab/internal/gate/elbv2"
	"k3s-aws-auth/scripts/lab/internal/gate/emulator"
	"k3s-aws-auth/scripts/lab/internal/gate/events"
	"k3s-aws-auth/scripts/lab/internal/gate/route53"
	"k3s-aws-auth/scripts/lab/internal/gate/s3"
	"k3s-aws-auth/scripts/lab/internal/gate/sns"
	"k3s-aws-auth/scripts/lab/internal/gate/ssm"
)

// Options configures the services.
type Options struct {
	// EmulatorURL is an AWS emulator to use instead of the one in the process, e.g. that of moto.
	EmulatorURL string
	// AddressBase is the first public address that EC2 hands out; 127.20.0.1 where zero. Labs side by side take
	// different bases, such as 127.21.0.1.
	AddressBase netip.Addr
	// Machines runs instances; nil leaves them states. EC2.SetMachines sets it later.
	Machines ec2.Machines
}

// Services are the handles of what was registered.
type Services struct {
	EC2         *ec2.Service
	S3          *s3.Service
	SSM         *ssm.Service
	ACM         *acm.Service
	Route53     *route53.Service
	CloudFront  *cloudfront.Service // also the edge: gate.HostHandler and gate.CertificateSource
	ELB         *elbv2.Service
	CloudWatch  *cloudwatch.Service
	SNS         *sns.Service
	EventBridge *events.Service
	ECR         *ecr.Service // also the registry: gate.HostHandler
	Emulator    *emulator.Emulator
}

// Register makes the services for a gate's account and registers them. An error means that the emulator could not be
// started or its URL is malformed.
func Register(g *gate.Gate, o Options) (*Services, error) {
	e, err := emulator.New(o.EmulatorURL)
	if err != nil {
		return nil, err
	}
	params, err := ssm.New(g)
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("ssm: %w", err)
	}
	certificates := acm.New(g)
	topics := sns.New(g)
	machines := ec2.New(g, ec2.Options{AddressBase: o.AddressBase, Machines: o.Machines})
	s := &Services{
		EC2: machines, ELB: elbv2.New(g, machines), CloudWatch: cloudwatch.New(g), S3: s3.New(g, e), SSM: params, ACM: certificates,
		Route53: route53.New(g), CloudFront: cloudfront.New(g, certificates), SNS: topics, EventBridge: events.New(g, topics), ECR: ecr.New(g), Emulator: e,
	}
	g.SetBus(s.EventBridge)
	s.CloudFront.SetLogs(s.S3.AdmitCloudFrontLogs)
	certificates.SetUsers(s.CloudFront.CertificateUsers)
	for _, service := range []gate.Service{s.EC2, s.S3, s.SSM, s.ACM, s.Route53, s.CloudFront, s.ELB, s.CloudWatch, s.SNS, s.EventBridge, s.ECR,
		cloudcontrol.New(g), cloudcontrol.Registry{}} {
		g.Register(service)
	}
	return s, nil
}

// Close stops the emulator.
func (s *Services) Close() { s.Emulator.Close() }

// Interfaces that the gate finds by assertion.
var (
	_ gate.InstanceProfiles  = (*ec2.Service)(nil)
	_ gate.Resolver          = (*ec2.Service)(nil)
	_ gate.ResourcePolicies  = (*s3.Service)(nil)
	_ gate.AnonymousCalls    = (*s3.Service)(nil)
	_ gate.Resolver          = (*route53.Service)(nil)
	_ gate.HostHandler       = (*cloudfront.Service)(nil)
	_ gate.CertificateSource = (*cloudfront.Service)(nil)
	_ gate.Resolver          = (*cloudfront.Service)(nil)
	_ gate.Inventory         = (*ssm.Service)(nil)
	_ gate.Inventory         = (*acm.Service)(nil)
	_ gate.HostHandler       = (*ecr.Service)(nil)
)
