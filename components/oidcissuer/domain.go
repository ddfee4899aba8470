package oidcissuer

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/acm"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudfront"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// issuerCertificate is the domain's certificate; validatedArn resolves when ACM
// has issued it.
type issuerCertificate struct {
	certificate  *acm.Certificate
	validatedArn pulumi.StringOutput
}

// newCertificate requests the certificate in us-east-1, proves the domain by a
// DNS record (its own, or one that somebody adds elsewhere) and waits up to 75
// minutes for it to be issued.
func newCertificate(ctx *pulumi.Context, name string, parent pulumi.Resource, args *CloudFrontIssuerArgs, tags pulumi.StringMap) (*issuerCertificate, error) {
	child := pulumi.Parent(parent)
	usEast1 := pulumi.Provider(args.UsEast1)
	certificate, err := acm.NewCertificate(ctx, name+"-certificate", &acm.CertificateArgs{
		DomainName:       pulumi.String(args.Domain),
		ValidationMethod: pulumi.String("DNS"),
		Tags:             tags,
	}, child, usEast1)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", args.Domain, err)
	}
	validationArgs := &acm.CertificateValidationArgs{CertificateArn: certificate.Arn}
	if args.DNS == DNSRoute53 {
		// The certificate has one name, so there is exactly one record, and it
		// is in the graph of a preview though its name is not known yet.
		option := certificate.DomainValidationOptions.Index(pulumi.Int(0))
		record, err := route53.NewRecord(ctx, name+"-validation", &route53.RecordArgs{
			ZoneId:  pulumi.String(args.HostedZoneID),
			Name:    option.ResourceRecordName().Elem(),
			Type:    option.ResourceRecordType().Elem(),
			Records: pulumi.StringArray{option.ResourceRecordValue().Elem()},
			Ttl:     pulumi.Int(60),
			// ACM gives all certificates of a domain in an account the same
			// record: one that another certificate left, or the one that is
			// being replaced here, is the right one.
			AllowOverwrite: pulumi.Bool(true),
		}, child)
		if err != nil {
			return nil, fmt.Errorf("validation record of %s: %w", args.Domain, err)
		}
		validationArgs.ValidationRecordFqdns = pulumi.StringArray{record.Fqdn}
	}
	validation, err := acm.NewCertificateValidation(ctx, name+"-issued", validationArgs, child, usEast1)
	if err != nil {
		return nil, fmt.Errorf("validation of the certificate of %s: %w", args.Domain, err)
	}
	return &issuerCertificate{certificate: certificate, validatedArn: validation.CertificateArn}, nil
}

// newRecords makes the domain's alias records, A and AAAA, in Route 53. They
// are not made with AllowOverwrite: a record that is already there belongs to
// somebody.
func newRecords(ctx *pulumi.Context, name string, parent pulumi.Resource, args *CloudFrontIssuerArgs, distribution *cloudfront.Distribution) ([]*route53.Record, error) {
	if args.DNS != DNSRoute53 {
		return nil, nil
	}
	var records []*route53.Record
	for _, kind := range []struct{ suffix, recordType string }{{"-ipv4", "A"}, {"-ipv6", "AAAA"}} {
		record, err := route53.NewRecord(ctx, name+kind.suffix, &route53.RecordArgs{
			ZoneId: pulumi.String(args.HostedZoneID),
			Name:   pulumi.String(args.Domain),
			Type:   pulumi.String(kind.recordType),
			Aliases: route53.RecordAliasArray{route53.RecordAliasArgs{
				Name:                 distribution.DomainName,
				ZoneId:               distribution.HostedZoneId,
				EvaluateTargetHealth: pulumi.Bool(false),
			}},
		}, pulumi.Parent(parent))
		if err != nil {
			return nil, fmt.Errorf("%s record of %s: %w", kind.recordType, args.Domain, err)
		}
		records = append(records, record)
	}
	return records, nil
}

// externalRecords returns the records that somebody has to add, and logs each
// as soon as it is known, because the deployment then waits for it.
func externalRecords(ctx *pulumi.Context, parent pulumi.Resource, domain string, certificate *acm.Certificate, distribution *cloudfront.Distribution) pulumi.StringMapArrayOutput {
	show := func(record map[string]string) (map[string]string, error) {
		if ctx.DryRun() {
			return record, nil
		}
		return record, ctx.Log.Info(fmt.Sprintf("DNS record needed: %s %s %s (%s)",
			record["name"], record["type"], record["value"], record["purpose"]), &pulumi.LogArgs{Resource: parent})
	}
	validation := certificate.DomainValidationOptions.ApplyT(func(options []acm.CertificateDomainValidationOption) (map[string]string, error) {
		if len(options) == 0 || options[0].ResourceRecordName == nil || options[0].ResourceRecordType == nil || options[0].ResourceRecordValue == nil {
			return nil, errors.New("ACM named no validation record for the certificate of " + domain)
		}
		return show(map[string]string{
			"name":    *options[0].ResourceRecordName,
			"type":    *options[0].ResourceRecordType,
			"value":   *options[0].ResourceRecordValue,
			"purpose": "proves the domain to ACM; keep it, renewals need it",
		})
	}).(pulumi.StringMapOutput)
	alias := distribution.DomainName.ApplyT(func(target string) (map[string]string, error) {
		return show(map[string]string{
			"name":    domain,
			"type":    "CNAME",
			"value":   target,
			"purpose": "points the issuer at CloudFront; at the apex of a zone use its ALIAS or ANAME instead",
		})
	}).(pulumi.StringMapOutput)
	return pulumi.StringMapArray{validation, alias}.ToStringMapArrayOutput()
}
