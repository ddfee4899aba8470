package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"k3s-aws-auth/components/iampolicy"
)

// real asks AWS.
type real struct{ cfg aws.Config }

// is tells an error of AWS by its code.
func is(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode() == code {
			return true
		}
	}
	return false
}

func (r real) Identity(ctx context.Context) (string, string, error) {
	who, err := sts.NewFromConfig(r.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", "", err
	}
	return aws.ToString(who.Account), aws.ToString(who.Arn), nil
}

func (r real) Zones(ctx context.Context) ([]string, error) {
	out, err := ec2.NewFromConfig(r.cfg).DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	if err != nil {
		return nil, err
	}
	var zones []string
	for _, z := range out.AvailabilityZones {
		zones = append(zones, aws.ToString(z.ZoneName))
	}
	return zones, nil
}

func (r real) Offers(ctx context.Context, instanceType string) ([]string, error) {
	out, err := ec2.NewFromConfig(r.cfg).DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{{Name: aws.String("instance-type"), Values: []string{instanceType}}},
	})
	if err != nil {
		return nil, err
	}
	var zones []string
	for _, o := range out.InstanceTypeOfferings {
		zones = append(zones, aws.ToString(o.Location))
	}
	return zones, nil
}

func (r real) VCPUs(ctx context.Context, instanceType string) (int, error) {
	out, err := ec2.NewFromConfig(r.cfg).DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(instanceType)}})
	if err != nil {
		return 0, err
	}
	if len(out.InstanceTypes) != 1 || out.InstanceTypes[0].VCpuInfo == nil {
		return 0, fmt.Errorf("EC2 does not describe %s", instanceType)
	}
	return int(aws.ToInt32(out.InstanceTypes[0].VCpuInfo.DefaultVCpus)), nil
}

// standard are the first letters of the families that the quota counts.
const standard = "acdhimrtz"

func (r real) RunningVCPUs(ctx context.Context) (int, error) {
	pages := ec2.NewDescribeInstancesPaginator(ec2.NewFromConfig(r.cfg), &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}},
	})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, err
		}
		for _, reservation := range page.Reservations {
			for _, i := range reservation.Instances {
				if i.CpuOptions == nil || i.InstanceLifecycle != "" || !strings.Contains(standard, string(i.InstanceType)[:1]) {
					continue
				}
				n += int(aws.ToInt32(i.CpuOptions.CoreCount) * aws.ToInt32(i.CpuOptions.ThreadsPerCore))
			}
		}
	}
	return n, nil
}

func (r real) Addresses(ctx context.Context) (int, error) {
	out, err := ec2.NewFromConfig(r.cfg).DescribeAddresses(ctx, &ec2.DescribeAddressesInput{})
	if err != nil {
		return 0, err
	}
	return len(out.Addresses), nil
}

func (r real) EndpointZones(ctx context.Context, service string) ([]string, error) {
	out, err := ec2.NewFromConfig(r.cfg).DescribeVpcEndpointServices(ctx, &ec2.DescribeVpcEndpointServicesInput{ServiceNames: []string{service}})
	if is(err, "InvalidServiceName") {
		return nil, nil // nowhere in the region
	}
	if err != nil {
		return nil, err
	}
	var zones []string
	for _, d := range out.ServiceDetails {
		zones = append(zones, d.AvailabilityZones...)
	}
	return zones, nil
}

func (r real) RoleExists(ctx context.Context, name string) (bool, error) {
	_, err := iam.NewFromConfig(r.cfg).GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if is(err, "NoSuchEntity") {
		return false, nil
	}
	return err == nil, err
}

func (r real) PolicyExists(ctx context.Context, arn string) (bool, error) {
	_, err := iam.NewFromConfig(r.cfg).GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if is(err, "NoSuchEntity") {
		return false, nil
	}
	return err == nil, err
}

func (r real) BucketExists(ctx context.Context, name string) (bool, error) {
	_, err := s3.NewFromConfig(r.cfg).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
	if is(err, "NotFound", "NoSuchBucket") {
		return false, nil
	}
	return err == nil, err
}

func (r real) HostedZone(ctx context.Context, id string) (string, error) {
	out, err := route53.NewFromConfig(r.cfg).GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &id})
	if err != nil {
		return "", err
	}
	if out.HostedZone.Config != nil && out.HostedZone.Config.PrivateZone {
		return "", fmt.Errorf("%s is a private zone, which STS cannot see", id)
	}
	return strings.TrimSuffix(aws.ToString(out.HostedZone.Name), "."), nil
}

func (r real) Distributions(ctx context.Context) (int, error) {
	out, err := cloudfront.NewFromConfig(r.cfg).ListDistributions(ctx, &cloudfront.ListDistributionsInput{})
	if err != nil {
		return 0, err
	}
	return int(aws.ToInt32(out.DistributionList.Quantity)), nil
}

// Denied asks IAM's simulator, by statement: it takes the caller's policies and boundary into account, and an
// organization's where it may see them.
func (r real) Denied(ctx context.Context, arn string, statement iampolicy.Statement) ([]string, error) {
	var context []iamtypes.ContextEntry
	for _, keys := range statement.Conditions {
		for key, values := range keys {
			context = append(context, iamtypes.ContextEntry{ContextKeyName: aws.String(key), ContextKeyType: iamtypes.ContextKeyTypeEnumString, ContextKeyValues: values[:1]})
		}
	}
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(source(arn)), ActionNames: statement.Actions, ContextEntries: context}
	for _, resource := range statement.Resources {
		in.ResourceArns = append(in.ResourceArns, strings.ReplaceAll(resource, "*", "preflight"))
	}
	if len(statement.Resources) == 1 && statement.Resources[0] == "*" {
		in.ResourceArns = nil // any
	}
	denied := map[string]bool{}
	var order []string
	pages := iam.NewSimulatePrincipalPolicyPaginator(iam.NewFromConfig(r.cfg), in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, result := range page.EvaluationResults {
			name := aws.ToString(result.EvalActionName)
			if result.EvalDecision != iamtypes.PolicyEvaluationDecisionTypeAllowed && !denied[name] {
				denied[name], order = true, append(order, name)
			}
		}
	}
	return order, nil
}

// source is whose policies the simulator takes: of a session, its role's. The path of a role is not in a session's ARN.
func source(arn string) string {
	before, session, assumed := strings.Cut(arn, ":assumed-role/")
	if !assumed {
		return arn
	}
	role, _, _ := strings.Cut(session, "/")
	return strings.Replace(before, ":sts:", ":iam:", 1) + ":role/" + role
}

func (r real) Quota(ctx context.Context, service, code string) (float64, error) {
	var out struct {
		Quota struct{ Value float64 }
	}
	err := r.json(ctx, "servicequotas", "ServiceQuotasV20190624.GetServiceQuota", map[string]string{"ServiceCode": service, "QuotaCode": code}, &out)
	return out.Quota.Value, err
}

func (r real) ReadEventsLogged(ctx context.Context) (bool, error) {
	const target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."
	var trails struct {
		TrailList []struct{ TrailARN string }
	}
	if err := r.json(ctx, "cloudtrail", target+"DescribeTrails", map[string]bool{"includeShadowTrails": true}, &trails); err != nil {
		return false, err
	}
	for _, trail := range trails.TrailList {
		var status struct{ IsLogging bool }
		if err := r.json(ctx, "cloudtrail", target+"GetTrailStatus", map[string]string{"Name": trail.TrailARN}, &status); err != nil {
			return false, err
		}
		var selectors struct {
			EventSelectors []struct {
				ReadWriteType           string
				IncludeManagementEvents bool
			}
			AdvancedEventSelectors []struct {
				FieldSelectors []struct {
					Field  string
					Equals []string
				}
			}
		}
		if err := r.json(ctx, "cloudtrail", target+"GetEventSelectors", map[string]string{"TrailName": trail.TrailARN}, &selectors); err != nil {
			return false, err
		}
		for _, s := range selectors.EventSelectors {
			if status.IsLogging && s.IncludeManagementEvents && s.ReadWriteType != "WriteOnly" {
				return true, nil
			}
		}
		for _, s := range selectors.AdvancedEventSelectors {
			management, reads := false, true
			for _, f := range s.FieldSelectors {
				management = management || f.Field == "eventCategory" && len(f.Equals) == 1 && f.Equals[0] == "Management"
				reads = reads && (f.Field != "readOnly" || len(f.Equals) == 1 && f.Equals[0] == "true")
			}
			if status.IsLogging && management && reads {
				return true, nil
			}
		}
	}
	return false, nil
}

func (r real) PublicPoliciesBlocked(ctx context.Context, account string) (bool, error) {
	host := account + ".s3-control." + r.cfg.Region + ".amazonaws.com"
	body, err := r.call(ctx, http.MethodGet, "s3", host, "/v20180820/configuration/publicAccessBlock", http.Header{"X-Amz-Account-Id": {account}}, nil)
	if err != nil && strings.Contains(err.Error(), "NoSuchPublicAccessBlockConfiguration") {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var block struct{ BlockPublicPolicy, RestrictPublicBuckets bool }
	if err := xml.Unmarshal(body, &block); err != nil {
		return false, err
	}
	return block.BlockPublicPolicy || block.RestrictPublicBuckets, nil
}

// json makes a call of AWS's JSON 1.1 protocol.
func (r real) json(ctx context.Context, service, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := r.call(ctx, http.MethodPost, service, service+"."+r.cfg.Region+".amazonaws.com", "/",
		http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {target}}, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// call makes a signed call of a service of which one call is not worth a client of its own. AWS_ENDPOINT_URL counts, as
// in the SDK.
func (r real) call(ctx context.Context, method, service, host, path string, header http.Header, body []byte) ([]byte, error) {
	base := "https://" + host
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		base = strings.TrimSuffix(endpoint, "/")
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body)) //nolint:gosec // the endpoint is the caller's own
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	keys, err := r.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	if service == "s3" {
		req.Header.Set("X-Amz-Content-Sha256", digest)
	}
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, digest, service, r.cfg.Region, time.Now()); err != nil {
		return nil, err
	}
	client := r.cfg.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s answers %s: %s", service, res.Status, strings.Join(strings.Fields(string(answer)), " "))
	}
	return answer, nil
}
