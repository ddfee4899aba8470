package awsres

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// accountFunctions tell a program where and who it is.
var accountFunctions = map[string]function{
	"aws:index/getCallerIdentity:getCallerIdentity": func(ctx context.Context, c *call) (m, error) {
		out, err := sts.NewFromConfig(c.Client.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return nil, fmt.Errorf("getting Caller Identity: %w", err)
		}
		id := aws.ToString(out.Account)
		return m{"id": id, "accountId": id, "arn": aws.ToString(out.Arn), "userId": aws.ToString(out.UserId)}, nil
	},
	"aws:index/getPartition:getPartition": func(_ context.Context, c *call) (m, error) {
		labels := strings.Split(c.Client.DNSSuffix, ".")
		for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
			labels[i], labels[j] = labels[j], labels[i]
		}
		return m{
			"id": c.Client.Partition, "partition": c.Client.Partition, "dnsSuffix": c.Client.DNSSuffix, "reverseDnsPrefix": strings.Join(labels, "."),
		}, nil
	},
	"aws:index/getRegion:getRegion": func(_ context.Context, c *call) (m, error) {
		name := engine.Str(c.In, "name")
		if endpoint := engine.Str(c.In, "endpoint"); endpoint != "" {
			parts := strings.SplitN(endpoint, ".", 3)
			if len(parts) < 3 || parts[0] != "ec2" {
				return nil, fmt.Errorf("region not found for endpoint: %s", endpoint)
			}
			if name != "" && name != parts[1] {
				return nil, fmt.Errorf("multiple regions matched: name %s and endpoint %s", name, endpoint)
			}
			name = parts[1]
		}
		if name == "" {
			name = c.Client.Region
		}
		description, ok := regionNames[name]
		if !ok {
			description = name
		}
		_, suffix := partitionOf(name)
		return m{"id": name, "name": name, "description": description, "endpoint": fmt.Sprintf("ec2.%s.%s", name, suffix)}, nil
	},
}

// regionNames are AWS's display names of its regions.
var regionNames = map[string]string{
	"af-south-1": "Africa (Cape Town)", "ap-east-1": "Asia Pacific (Hong Kong)", "ap-northeast-1": "Asia Pacific (Tokyo)",
	"ap-northeast-2": "Asia Pacific (Seoul)", "ap-northeast-3": "Asia Pacific (Osaka)", "ap-south-1": "Asia Pacific (Mumbai)",
	"ap-south-2": "Asia Pacific (Hyderabad)", "ap-southeast-1": "Asia Pacific (Singapore)", "ap-southeast-2": "Asia Pacific (Sydney)",
	"ap-southeast-3": "Asia Pacific (Jakarta)", "ca-central-1": "Canada (Central)", "eu-central-1": "Europe (Frankfurt)",
	"eu-central-2": "Europe (Zurich)", "eu-north-1": "Europe (Stockholm)", "eu-south-1": "Europe (Milan)", "eu-south-2": "Europe (Spain)",
	"eu-west-1": "Europe (Ireland)", "eu-west-2": "Europe (London)", "eu-west-3": "Europe (Paris)", "il-central-1": "Israel (Tel Aviv)",
	"me-central-1": "Middle East (UAE)", "me-south-1": "Middle East (Bahrain)", "sa-east-1": "South America (Sao Paulo)",
	"us-east-1": "US East (N. Virginia)", "us-east-2": "US East (Ohio)", "us-west-1": "US West (N. California)", "us-west-2": "US West (Oregon)",
	"us-gov-east-1": "AWS GovCloud (US-East)", "us-gov-west-1": "AWS GovCloud (US-West)", "cn-north-1": "China (Beijing)",
	"cn-northwest-1": "China (Ningxia)",
}
