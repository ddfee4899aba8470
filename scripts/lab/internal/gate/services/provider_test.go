package services_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/deployer"
)

// The tests TestProvider… make the calls that the published AWS provider makes, in its order and with its parameters, and
// hold the answers against what it reads of them and waits for. They are written from the source of
// hashicorp/terraform-provider-aws at v5.100, on which pulumi-aws 6.83 is built: each names the files, below
// internal/service/ of that repository. Nothing but a region, keys, a proxy and a CA bundle leads the calls here.

// published is a lab with the SDK configuration of a published provider.
type published struct {
	*lab
	proxy *url.URL
}

// newPublished is a lab whose calls must all be modelled. Where the program has the scenario's types, see deploying.
func newPublished(t *testing.T) *published {
	p := newProxied(t)
	t.Cleanup(p.requireModelled)
	return p
}

func newProxied(t *testing.T) *published {
	l := newLab(t)
	server := httptest.NewServer(l.Proxy(func(_ context.Context, address string) (net.Conn, error) {
		return nil, errors.New("not AWS's: " + address)
	}))
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(bundle, l.CA(), 0o600))
	id, secret := l.Admin()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_CA_BUNDLE": bundle, "AWS_ENDPOINT_URL": "", "AWS_PROFILE": "",
		"AWS_REGION": region, "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return &published{l, u}
}

// at is the configuration for a region, as hashicorp/aws-sdk-go-base (aws_config.go) makes it from the environment. Go
// reads HTTPS_PROXY once in a process, so the test names the proxy.
func (p *published) at(in string) aws.Config {
	p.t.Helper()
	client := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) { tr.Proxy = http.ProxyURL(p.proxy) })
	c, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(in), config.WithHTTPClient(client), config.WithRetryMaxAttempts(1))
	require.NoError(p.t, err)
	return c
}

// deploying lets the scenario need no more than what a deployer of the types is given.
func (p *published) deploying(types ...string) *published {
	p.t.Cleanup(func() {
		allowed := map[string]bool{}
		for _, phase := range deployer.Phases {
			actions, err := deployer.Actions(types, phase)
			require.NoError(p.t, err)
			for _, a := range actions {
				allowed[a] = true
			}
		}
		p.permissions.Range(func(key, _ any) bool {
			action := key.(string)
			assert.True(p.t, allowed[action] || beyond.MatchString(action), "the provider needs %s, which no deployer of %v is given", action, types)
			return true
		})
	})
	return p
}

// beyond are actions of the scenarios that deployers do without: those of types that the program has none of (managed
// policies, zones); disabling in Roles Anywhere and attributes of listeners, which it does not set; and taking off a role's
// boundary, which nobody is given.
var beyond = regexp.MustCompile(`^(iam:(Create|Delete|Get|Tag|List)Policy(Version|Versions)?|route53:(CreateHostedZone|DeleteHostedZone|GetDNSSEC|ListHostedZones|ListTagsForResource)` +
	`|rolesanywhere:Disable(Profile|TrustAnchor)|elasticloadbalancing:ModifyListenerAttributes|iam:DeleteRolePermissionsBoundary)$`)

// underlay are the types that stand below every machine; the machine is there for what its tags take.
var underlay = []string{"aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/internetGateway:InternetGateway", "aws:ec2/routeTable:RouteTable", "aws:ec2/route:Route",
	"aws:ec2/routeTableAssociation:RouteTableAssociation", "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/instance:Instance"}

// requireModelled fails where a call of the scenario is not modelled.
func (p *published) requireModelled() {
	for _, e := range p.Events() {
		assert.NotEqual(p.t, "NotImplemented", e.ErrorCode, "%s:%s: %s", e.Service, e.Action, e.Message)
	}
}

// do makes a call that has to work.
func do[In, Out, Option any](t *testing.T, call func(context.Context, *In, ...Option) (*Out, error), in *In) *Out {
	t.Helper()
	out, err := call(t.Context(), in)
	require.NoError(t, err)
	return out
}

// refused makes a call that has to fail with a code.
func refused[In, Out, Option any](t *testing.T, code string, call func(context.Context, *In, ...Option) (*Out, error), in *In) {
	t.Helper()
	_, err := call(t.Context(), in)
	requireCode(t, err, code)
}

// TestProviderStart makes the calls of the provider's configuration: aws-sdk-go-base's GetAwsConfig and
// GetAwsAccountIDAndPartition (aws_config.go) ask STS who calls; where the check of credentials is skipped,
// awsauth.go asks IAM for the user, then STS, then IAM for roles. The metadata service of a machine is not asked: pulumi-aws
// sets skip_metadata_api_check (provider/resources.go).
func TestProviderStart(t *testing.T) {
	p := newPublished(t)
	ctx := t.Context()
	who, err := sts.NewFromConfig(p.at(region)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	require.Equal(t, account, *who.Account)
	require.Equal(t, "arn:aws:iam::"+account+":user/admin", *who.Arn)
	require.NotEmpty(t, *who.UserId)

	identity := iam.NewFromConfig(p.at(region))
	user, err := identity.GetUser(ctx, &iam.GetUserInput{})
	require.NoError(t, err)
	require.Equal(t, *who.Arn, *user.User.Arn)
	_, err = identity.ListRoles(ctx, &iam.ListRolesInput{MaxItems: aws.Int32(1)})
	require.NoError(t, err)

	// A second provider of the program, for us-east-1.
	_, err = sts.NewFromConfig(p.at("us-east-1")).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	var regions []string
	for _, e := range p.Events() {
		regions = append(regions, e.Service+" "+e.Region)
	}
	require.Equal(t, []string{"sts eu-central-1", "iam us-east-1", "iam us-east-1", "sts us-east-1"}, slices.Clone(regions))
}

// TestProviderHosts asks every host that the provider's clients call, as AWS's endpoint rules name them, through the
// proxy: each is served with a certificate of the bundle, and leads to its service. Global services sign for us-east-1,
// which the scenarios above and below do.
func TestProviderHosts(t *testing.T) {
	p := newProxied(t)
	pool := x509.NewCertPool()
	bundle, err := os.ReadFile(os.Getenv("AWS_CA_BUNDLE"))
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(bundle))
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: http.ProxyURL(p.proxy), ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	hosts := map[string][]string{"iam": {"iam.amazonaws.com", "iam.global.api.aws"}, "route53": {"route53.amazonaws.com"}, "cloudfront": {"cloudfront.amazonaws.com"},
		"s3": {"s3.amazonaws.com", "bucket.s3.amazonaws.com", "bucket.with.dots.s3." + region + ".amazonaws.com"}, "sts": {"sts.amazonaws.com"}}
	for _, in := range []string{region, "us-east-1"} {
		for _, name := range []string{"sts", "ec2", "ssm", "acm", "events", "sns", "monitoring", "elasticloadbalancing", "rolesanywhere", "cloudcontrolapi", "cloudformation"} {
			hosts[name] = append(hosts[name], name+"."+in+".amazonaws.com")
		}
		hosts["s3"] = append(hosts["s3"], "s3."+in+".amazonaws.com", "bucket.s3."+in+".amazonaws.com", "s3.dualstack."+in+".amazonaws.com")
	}
	for service, names := range hosts {
		for _, name := range names {
			before := len(p.Events())
			res, err := client.Get("https://" + name + "/?Action=Probe")
			require.NoError(t, err, name)
			_ = res.Body.Close()
			require.Equal(t, 2, res.ProtoMajor, name)
			e := p.Events()[before]
			require.Equal(t, service, e.Service, name)
			require.NotContains(t, e.Message, "host", name)
		}
	}
	_, err = client.Get("https://example.org/")
	require.Error(t, err, "nothing else leads to the gate")
}
