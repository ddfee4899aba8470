package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Tries with the identity's own session, a valid one, to do more than the identity may; and with no credential at all.
var permissionCases = []Case{
	may("put-outside-prefix", "a put outside the identity's prefix", "AccessDenied", "because no identity-based policy allows the s3:PutObject action",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Identity.Bucket, Key: aws.String("elsewhere/" + t.Identity.Prefix + "x"), Body: strings.NewReader("x")})
			return err
		}),
	may("put-prefix-in-case", "a put below the identity's prefix in capital letters", "AccessDenied", "s3:PutObject",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Identity.Bucket, Key: aws.String(strings.ToUpper(t.Identity.Prefix) + "x"), Body: strings.NewReader("x")})
			return err
		}),
	may("get-own-object", "a get of what the identity may only put", "AccessDenied", "because no identity-based policy allows the s3:GetObject action",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Identity.Bucket, Key: aws.String(t.Identity.Prefix + "refusals.txt")})
			return err
		}).where(func(t *Target) bool { return len(t.Identity.Prefixes) == 0 }),
	may("put-prefix-of-peer", "a put below the prefix of another service account of the same role", "AccessDenied", "because no identity-based policy allows the s3:PutObject action",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Peer.Bucket, Key: aws.String(t.Peer.Prefix + "x"), Body: strings.NewReader("x")})
			return err
		}).where(hasPeer),
	may("get-prefix-of-peer", "a get of what another service account of the same role has put", "AccessDenied", "because no identity-based policy allows the s3:GetObject action",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Peer.Bucket, Key: aws.String(t.Peer.Prefix + t.Peer.Pod.Name + ".json")})
			return err
		}).where(hasPeer),
	may("list-prefix-of-peer", "a listing of the prefix of another service account of the same role", "AccessDenied", "because no identity-based policy allows the s3:ListBucket action",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.Peer.Bucket, Prefix: &t.Peer.Prefix})
			return err
		}).where(hasPeer),
	may("list-prefixes-of-all", "a listing of what the prefixes of all service accounts of the role begin with", "AccessDenied", "because no identity-based policy allows the s3:ListBucket action",
		func(ctx context.Context, t *Target, c aws.Config) error {
			all := strings.TrimSuffix(t.Peer.Prefix, path.Base(t.Peer.Prefix)+"/")
			_, err := s3.NewFromConfig(c).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.Peer.Bucket, Prefix: &all})
			return err
		}).where(hasPeer),
	may("list-bucket", "a listing of the bucket by the identity", "AccessDenied", "s3:ListBucket",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := s3.NewFromConfig(c).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.Identity.Bucket})
			return err
		}),
	may("read-server-secrets", "the key of the cluster's tokens, as the servers read it at boot", "AccessDeniedException", "ssm:GetParameter",
		func(ctx context.Context, t *Target, c aws.Config) error {
			name, err := t.signingKeyParameter(ctx)
			if err != nil {
				return err
			}
			_, err = ssm.NewFromConfig(c).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
			return err
		}),
	may("assume-another-role", "AssumeRole of a role that trusts somebody else", "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: ",
		func(ctx context.Context, t *Target, c aws.Config) error {
			role, err := t.roleOfAnother(ctx)
			if err != nil {
				return err
			}
			_, err = sts.NewFromConfig(c).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("refusals")})
			return err
		}),
	may("assume-own-role", "AssumeRole of the identity's own role, to live longer", "AccessDenied", "sts:AssumeRole",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := sts.NewFromConfig(c).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &t.Identity.RoleARN, RoleSessionName: aws.String("refusals")})
			return err
		}),
	may("widen-own-policy", "PutRolePolicy on the identity's own role", "AccessDenied", "iam:PutRolePolicy",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := iam.NewFromConfig(c).PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(roleName(t.Identity.RoleARN)), PolicyName: aws.String("more"),
				PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)})
			return err
		}),
	may("widen-own-trust", "UpdateAssumeRolePolicy on the identity's own role", "AccessDenied", "iam:UpdateAssumeRolePolicy",
		func(ctx context.Context, t *Target, c aws.Config) error {
			_, err := iam.NewFromConfig(c).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String(roleName(t.Identity.RoleARN)),
				PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}`)})
			return err
		}),
	{Name: "admin-assumes-identity", What: "AssumeRole of the identity's role by the account's administrator, whom it does not trust", Code: "AccessDenied", Text: "is not authorized to perform: sts:AssumeRole on resource: ",
		Try: func(ctx context.Context, t *Target) error {
			_, err := sts.NewFromConfig(t.config(t.admin)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &t.Identity.RoleARN, RoleSessionName: aws.String("refusals")})
			return err
		}},
	{Name: "anonymous-put", What: "a put without credentials below the identity's prefix", Code: "AccessDenied", Text: "Access Denied",
		Try: func(ctx context.Context, t *Target) error {
			return t.get(ctx, http.MethodPut, t.objectURL(t.Identity.Bucket, t.Identity.Prefix+"x"), []byte("x"))
		}},
	{Name: "anonymous-get", What: "a get without credentials of what the identity has put", Code: "AccessDenied", Text: "Access Denied",
		Try: func(ctx context.Context, t *Target) error {
			return t.get(ctx, http.MethodGet, t.objectURL(t.Identity.Bucket, t.Identity.Prefix+"refusals.txt"), nil)
		}},
	{Name: "anonymous-list", What: "a listing of the demo bucket without credentials", Code: "AccessDenied", Text: "Access Denied",
		Try: func(ctx context.Context, t *Target) error {
			return t.get(ctx, http.MethodGet, t.objectURL(t.Identity.Bucket, "?list-type=2"), nil)
		}},
}

// may tries a call with the identity's own session.
func may(name, what, code, text string, call func(context.Context, *Target, aws.Config) error) Case {
	return Case{Name: name, What: what, Code: code, Text: text, Try: func(ctx context.Context, t *Target) error {
		c, err := t.session(ctx)
		if err != nil {
			return err
		}
		return call(ctx, t, t.config(c))
	}}
}

// hasPeer says whether another service account has the identity's role and a prefix of its own.
func hasPeer(t *Target) bool { return t.Peer != nil }

// signingKeyParameter is the parameter from which servers get the cluster's signing key.
func (t *Target) signingKeyParameter(ctx context.Context) (string, error) {
	pages := ssm.NewDescribeParametersPaginator(ssm.NewFromConfig(t.config(t.admin)), &ssm.DescribeParametersInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", broken(err)
		}
		for _, p := range page.Parameters {
			if name := aws.ToString(p.Name); strings.HasSuffix(name, "/server/service.key") || strings.Contains(name, "/server/service-account/") {
				return *p.Name, nil
			}
		}
	}
	return "", broken(errors.New("no parameter has the cluster's signing key"))
}

// roleOfAnother is a role of this account that the administrator may assume and nobody else.
func (t *Target) roleOfAnother(ctx context.Context) (string, error) {
	who, err := sts.NewFromConfig(t.config(t.admin)).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", broken(err)
	}
	arn, remove, err := t.role(ctx, fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":%q}}]}`, *who.Arn))
	if err != nil {
		return "", err
	}
	t.made = append(t.made, remove)
	return arn, nil
}

// otherRole is a session of a role that is not the identity's.
func (t *Target) otherRole(ctx context.Context) (aws.Credentials, error) {
	arn, err := t.roleOfAnother(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	out, err := sts.NewFromConfig(t.config(t.admin)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("refusals")})
	if err != nil {
		return aws.Credentials{}, broken(err)
	}
	return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey,
		SessionToken: *out.Credentials.SessionToken}, nil
}

// role makes a role with a trust policy and no permissions.
func (t *Target) role(ctx context.Context, trust string) (arn string, remove func(), err error) {
	client := iam.NewFromConfig(t.config(t.admin))
	name := unique("role")
	out, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		return "", nil, broken(err)
	}
	return *out.Role.Arn, func() {
		_, _ = client.DeleteRole(context.WithoutCancel(ctx), &iam.DeleteRoleInput{RoleName: &name})
	}, nil
}

var started = time.Now()

var counter int

// unique makes a name that nothing else has, lower-case so that a bucket may have it.
func unique(kind string) string {
	counter++
	return fmt.Sprintf("refusals-%s-%x-%d", kind, started.UnixNano()&0xffffffffff, counter)
}
