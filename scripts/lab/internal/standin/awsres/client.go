package awsres

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// Client is a configured provider: one region of one account.
type Client struct {
	Region, Account, Partition, DNSSuffix string

	cfg         aws.Config
	defaultTags map[string]string
	ignoreKeys  []string
	ignoreStart []string

	ec2        func() *ec2.Client
	iam        func() *iam.Client
	s3         func() *s3.Client
	cloudfront func() *cloudfront.Client
	acm        func() *acm.Client
	route53    func() *route53.Client
	anywhere   func() *rolesanywhere.Client
	ssm        func() *ssm.Client
	elb        func() *elasticloadbalancingv2.Client
	cloudwatch func() *cloudwatch.Client
	sns        func() *sns.Client
	events     func() *eventbridge.Client
}

// configProperties are the provider inputs that the stand-in follows; the rest of pulumi-aws's are refused by name.
var configProperties = map[string]bool{
	"region": true, "accessKey": true, "secretKey": true, "token": true, "profile": true, "defaultTags": true,
	"ignoreTags": true, "skipCredentialsValidation": true, "skipRegionValidation": true, "skipMetadataApiCheck": true,
	"skipRequestingAccountId": true, "s3UsePathStyle": true, "allowedAccountIds": true, "forbiddenAccountIds": true,
	"maxRetries": true, "version": true, "pluginDownloadURL": true, "__defaults": true, "__internal": true,
}

// checkConfig fills in the provider's defaults and refuses what it does not know.
func checkConfig(in m) (m, []engine.Failure) {
	out := m{}
	var failures []engine.Failure
	for name, v := range in {
		if !configProperties[name] {
			failures = append(failures, engine.Failure{
				Property: name, Reason: fmt.Sprintf("the stand-in aws provider has no setting %q", name),
			})
			continue
		}
		out[name] = v
	}
	if !engine.Has(out, "region") {
		for _, variable := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
			if region := os.Getenv(variable); region != "" {
				out["region"] = region
				break
			}
		}
	}
	if v, ok := out["region"].(string); !ok && !engine.Has(out, "region") || ok && v == "" {
		failures = append(failures, engine.Failure{
			Property: "region",
			Reason: "missing region configuration: set the provider's region, `pulumi config set aws:region REGION`," +
				" or AWS_REGION",
		})
	}
	for name, value := range map[string]bool{
		"skipCredentialsValidation": false, "skipRegionValidation": true, "skipMetadataApiCheck": true,
	} {
		if !engine.Has(out, name) {
			out[name] = value
		}
	}
	return out, failures
}

// configure makes the client of a region and, unless told not to, asks STS who it is.
func configure(ctx context.Context, in m) (*Client, error) {
	in, err := decodeConfig(in)
	if err != nil {
		return nil, err
	}
	c := &Client{Region: engine.Str(in, "region")}
	if c.Region == "" {
		return nil, errors.New("missing region configuration: the provider has no region")
	}
	c.Partition, c.DNSSuffix = partitionOf(c.Region)
	c.defaultTags = engine.StrMap(engine.Obj(in, "defaultTags"), "tags")
	c.ignoreKeys = engine.Strs(engine.Obj(in, "ignoreTags"), "keys")
	c.ignoreStart = engine.Strs(engine.Obj(in, "ignoreTags"), "keyPrefixes")

	options := []func(*config.LoadOptions) error{config.WithRegion(c.Region)}
	if key := engine.Str(in, "accessKey"); key != "" {
		options = append(options, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(key, engine.Str(in, "secretKey"), engine.Str(in, "token"))))
	}
	if profile := engine.Str(in, "profile"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	if n := engine.IntPtr(in, "maxRetries"); n != nil {
		options = append(options, config.WithRetryMaxAttempts(int(*n)+1))
	}
	if c.cfg, err = config.LoadDefaultConfig(ctx, options...); err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	c.clients(engine.Bool(in, "s3UsePathStyle") || os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != "")

	if engine.Bool(in, "skipCredentialsValidation") && engine.Bool(in, "skipRequestingAccountId") {
		return c, nil
	}
	who, err := sts.NewFromConfig(c.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("unable to validate AWS credentials."+
			" Details: validating provider credentials: retrieving caller identity from STS: %w", err)
	}
	c.Account = aws.ToString(who.Account)
	if parts := strings.Split(aws.ToString(who.Arn), ":"); len(parts) > 1 && parts[1] != "" {
		c.Partition = parts[1]
	}
	if allowed := engine.Strs(in, "allowedAccountIds"); len(allowed) > 0 && !listed(allowed, c.Account) {
		return nil, fmt.Errorf("AWS account ID not allowed: %s", c.Account)
	}
	if listed(engine.Strs(in, "forbiddenAccountIds"), c.Account) {
		return nil, fmt.Errorf("AWS account ID not allowed: %s", c.Account)
	}
	return c, nil
}

// clients sets the service clients up; each is made at its first use.
func (c *Client) clients(pathStyle bool) {
	c.ec2 = sync.OnceValue(func() *ec2.Client { return ec2.NewFromConfig(c.cfg) })
	c.iam = sync.OnceValue(func() *iam.Client { return iam.NewFromConfig(c.cfg) })
	c.s3 = sync.OnceValue(func() *s3.Client {
		return s3.NewFromConfig(c.cfg, func(o *s3.Options) { o.UsePathStyle = pathStyle })
	})
	c.cloudfront = sync.OnceValue(func() *cloudfront.Client { return cloudfront.NewFromConfig(c.cfg) })
	c.acm = sync.OnceValue(func() *acm.Client { return acm.NewFromConfig(c.cfg) })
	c.route53 = sync.OnceValue(func() *route53.Client { return route53.NewFromConfig(c.cfg) })
	c.anywhere = sync.OnceValue(func() *rolesanywhere.Client { return rolesanywhere.NewFromConfig(c.cfg) })
	c.ssm = sync.OnceValue(func() *ssm.Client { return ssm.NewFromConfig(c.cfg) })
	c.elb = sync.OnceValue(func() *elasticloadbalancingv2.Client { return elasticloadbalancingv2.NewFromConfig(c.cfg) })
	c.sns = sync.OnceValue(func() *sns.Client { return sns.NewFromConfig(c.cfg) })
	c.events = sync.OnceValue(func() *eventbridge.Client { return eventbridge.NewFromConfig(c.cfg) })
	c.cloudwatch = sync.OnceValue(func() *cloudwatch.Client { return cloudwatch.NewFromConfig(c.cfg) })
}

func listed(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// partitionOf returns the partition and DNS suffix of a region, by its name alone.
func partitionOf(region string) (partition, suffix string) {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn", "amazonaws.com.cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov", "amazonaws.com"
	}
	return "aws", "amazonaws.com"
}

// arn builds the ARN of a regional resource.
func (c *Client) arn(service, resource string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", c.Partition, service, c.Region, c.Account, resource)
}

// cloudfrontARN builds the ARN of a CloudFront resource, which has no region.
func (c *Client) cloudfrontARN(resource string) string {
	return fmt.Sprintf("arn:%s:cloudfront::%s:%s", c.Partition, c.Account, resource)
}

// code returns the AWS error code of err, or the HTTP status as text where the answer had no code.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError" {
		return api.ErrorCode()
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		return fmt.Sprint(resp.HTTPStatusCode())
	}
	return ""
}

// is says whether err has one of the AWS error codes; a code that ends in * is a prefix.
func is(err error, codes ...string) bool {
	have := code(err)
	if have == "" {
		return false
	}
	for _, c := range codes {
		if prefix, star := strings.CutSuffix(c, "*"); star && strings.HasPrefix(have, prefix) || have == c {
			return true
		}
	}
	return false
}

// says reports whether err has the code and its message holds the text.
func says(err error, errorCode, text string) bool {
	return is(err, errorCode) && strings.Contains(err.Error(), text)
}

// optional drops the errors by which an endpoint says that it does not have an operation: a look-up that only completes
// a state may go without.
func optional(err error) error {
	if is(err, "NotImplemented", "NotImplementedException", "InvalidAction", "UnknownOperationException",
		"UnsupportedOperation", "MethodNotAllowed", "501", "405") {
		return nil
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) && resp.HTTPStatusCode() == http.StatusNotImplemented {
		return nil
	}
	return err
}

// absent drops the errors with one of the codes.
func absent(err error, codes ...string) error {
	if is(err, codes...) {
		return nil
	}
	return err
}
