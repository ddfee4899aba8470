package rehearsal

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/scripts/internal/deployer"
	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/services"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	golden  = "../../../internal/deployer/"
)

var update = flag.Bool("update", false, "rewrite the golden files that differ (and still fail)")

// lab is an account, and what was asked of it.
type lab struct {
	*gate.Gate
	t    *testing.T
	zone string

	mu    sync.Mutex
	of    string // the type or function that calls are made for
	asked map[string][]policy.Request
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, asked: map[string][]policy.Request{}}
	g, err := gate.New(gate.Options{AccountID: account, Region: region, Decided: func(r policy.Request, _ policy.Verdict) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if r.Principal != nil && r.Principal.Account == account {
			l.asked[l.of] = append(l.asked[l.of], r)
		}
	}})
	require.NoError(t, err)
	l.Gate = g
	s, err := services.Register(g, services.Options{})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.ServeTLS(listener, "host")
	}()
	t.Cleanup(func() {
		s.Close()
		_ = g.Close()
		<-done
	})
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(bundle, g.CA(), 0o600))
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": "https://" + listener.Addr().String(), "AWS_CA_BUNDLE": bundle,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(k, v)
	}
	zone, err := route53.NewFromConfig(l.config()).CreateHostedZone(context.Background(), &route53.CreateHostedZoneInput{
		Name: aws.String("lab.example.com"), CallerReference: aws.String("rehearsal")})
	require.NoError(t, err)
	l.zone = strings.TrimPrefix(*zone.HostedZone.Id, "/hostedzone/")
	_, err = iam.NewFromConfig(l.config()).CreatePolicy(context.Background(), &iam.CreatePolicyInput{PolicyName: aws.String("workload-boundary"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)})
	require.NoError(t, err)
	return l
}

// config is an SDK configuration with the admin's key.
func (l *lab) config() aws.Config {
	id, secret := l.Admin()
	return aws.Config{Region: region, Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), HTTPClient: l.Client(30 * time.Second)}
}

// user makes a principal with these policies and nothing else.
func (l *lab) user(name string, documents ...iampolicy.Document) Key {
	l.t.Helper()
	ctx, c := context.Background(), iam.NewFromConfig(l.config())
	_, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	require.NoError(l.t, err)
	for i, d := range documents {
		text, err := d.JSON()
		require.NoError(l.t, err)
		made, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(fmt.Sprintf("%s-%d", name, i)), PolicyDocument: &text})
		require.NoError(l.t, err)
		_, err = c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: made.Policy.Arn})
		require.NoError(l.t, err)
	}
	k, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	require.NoError(l.t, err)
	return Key{*k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey}
}

func (l *lab) admin() Key {
	id, secret := l.Admin()
	return Key{id, secret}
}

// before notes for what the next calls are.
func (l *lab) before(token string) {
	l.mu.Lock()
	l.of = token
	l.mu.Unlock()
}

// take returns what was asked since the last time, by type or function.
func (l *lab) take() map[string][]policy.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.asked
	l.asked = map[string][]policy.Request{}
	return was
}

func (l *lab) site(v map[string]string) deployer.Site {
	return deployer.Site{Partition: "aws", Account: account, Region: region, Cluster: v["k3s-aws-auth:clusterName"], HostedZoneID: l.zone,
		PermissionsBoundary: v["k3s-aws-auth:permissionsBoundary"]}
}

// sessionPod follows the name of a setup whose sessions are to be named by pods.
const sessionPod = ".session-pod"

// stack is a stack's file with some values changed.
func (l *lab) stack(file, setup string) map[string]string {
	l.t.Helper()
	content, err := os.ReadFile("../../../../" + file)
	require.NoError(l.t, err)
	var stack struct {
		Config map[string]any `yaml:"config"`
	}
	require.NoError(l.t, yaml.Unmarshal(content, &stack))
	out := map[string]string{}
	for k, v := range stack.Config {
		text, ok := v.(string)
		if !ok {
			encoded, err := json.Marshal(v)
			require.NoError(l.t, err)
			text = string(encoded)
		}
		out[k] = text
	}
	out["k3s-aws-auth:setup"], out["k3s-aws-auth:demo"] = strings.TrimSuffix(setup, sessionPod), "true"
	if strings.HasSuffix(setup, sessionPod) {
		out["k3s-aws-auth:rolesAnywhere"] = `{"sessionName":"pod"}`
	}
	out["k3s-aws-auth:issuer"] = fmt.Sprintf(`{"domain":"oidc.lab.example.com","dns":"route53","hostedZoneId":%q,"accessLogDays":%d}`, l.zone, map[string]int{"Pulumi.prod.yaml": 90}[file])
	if file == "Pulumi.prod.yaml" {
		out["k3s-aws-auth:identities"] = `[{"name":"reports","namespace":"billing","serviceAccount":"reports","createNamespace":true,` +
			`"managedPolicyArns":["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"],"statements":[{"actions":["s3:PutObject"],"resources":["${demo.bucketArn}/reports/*"]}]}]`
	}
	return out
}

var setups = []string{"instance-profile", "irsa-cloudfront", "irsa-s3", "roles-anywhere", "roles-anywhere" + sessionPod}

var files = []string{"Pulumi.lab.yaml", "Pulumi.prod.yaml"}

// TestNeeds holds the deployer's table against what the providers call: of each type the actions of a first `up`, and those
// of refresh and destroy, over all setups of the lab's stack and of the production one, one of them in two ways.
func TestNeeds(t *testing.T) {
	found := map[string]map[string]map[string]bool{}
	add := func(phase string, asked map[string][]policy.Request) {
		for token, requests := range asked {
			for _, r := range requests {
				if found[token] == nil {
					found[token] = map[string]map[string]bool{"up": {}, "later": {}}
				}
				found[token][phase][r.Action] = true
			}
		}
	}
	for _, file := range files {
		for _, setup := range setups {
			l := newLab(t)
			l.take()
			r, err := Up(context.Background(), l.admin(), "lab", l.stack(file, setup), l.before)
			require.NoError(t, err, "%s %s", file, setup)
			add("up", l.take())
			require.NoError(t, r.Refresh(context.Background()))
			require.NoError(t, r.Destroy(context.Background()))
			add("later", l.take())
		}
	}
	needs := map[string]deployer.Need{}
	for token, phases := range found {
		needs[token] = deployer.Need{Up: sorted(phases["up"]), Later: sorted(phases["later"])}
	}
	holdGolden(t, "needs.json", needs)
}

func sorted(actions map[string]bool) []string {
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(actions)))) // a list, not null
}

func holdGolden(t *testing.T, name string, value any) {
	t.Helper()
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	require.NoError(t, encoder.Encode(value))
	have, _ := os.ReadFile(golden + name)
	if *update && !bytes.Equal(have, want.Bytes()) {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden+name), 0o755))
		require.NoError(t, os.WriteFile(golden+name, want.Bytes(), 0o600))
	}
	assert.Equal(t, want.String(), string(have), "%s: rewrite it with: go test . -update", name)
}

// tokens are the types and functions that anything was asked for.
func tokens(asked map[string][]policy.Request) []string {
	return slices.Sorted(maps.Keys(asked))
}

// TestDeployer holds each setup's policies for its deployer, which are golden files: whoever has exactly these makes the
// stack, reads it again and takes it away, and with any one action less something that they call is denied. For some of
// them the whole `up` is tried, and fails.
func TestDeployer(t *testing.T) {
	for _, file := range files {
		for n, setup := range setups {
			stack := strings.TrimSuffix(strings.TrimPrefix(file, "Pulumi."), ".yaml")
			t.Run(stack+"/"+setup, func(t *testing.T) {
				ctx := context.Background()
				l := newLab(t)
				v := l.stack(file, setup)
				l.take()
				r, err := Up(ctx, l.admin(), "lab", v, l.before)
				require.NoError(t, err)
				types := tokens(l.take())
				listed, err := deployer.Types(ctx, stack, account, v)
				require.NoError(t, err)
				require.Equal(t, types, listed, "what a first preview shows")
				require.NoError(t, r.Destroy(ctx))
				l.take()

				documents := map[deployer.Phase][]iampolicy.Document{}
				for _, phase := range deployer.Phases {
					documents[phase], err = deployer.Policies(types, l.site(v), phase)
					require.NoError(t, err)
					for i, d := range documents[phase] {
						text, err := d.JSON()
						require.NoError(t, err)
						require.LessOrEqual(t, len(text), deployer.MaxPolicyCharacters)
						holdGolden(t, fmt.Sprintf("testdata/%s.%s.%s%s.json", stack, setup, phase, map[bool]string{true: fmt.Sprint("-", i+1)}[i > 0]),
							json.RawMessage(strings.ReplaceAll(text, l.zone, "Z0123456789ABCDEFGHIJ")))
					}
				}

				// The service-linked roles stay; a deployer meets an account without them.
				l = newLab(t)
				v = l.stack(file, setup)
				documents[deployer.Up], err = deployer.Policies(types, l.site(v), deployer.Up)
				require.NoError(t, err)
				up := l.user("deployer", documents[deployer.Up]...)
				l.take()
				r, err = Up(ctx, up, "lab", v, l.before)
				require.NoError(t, err, "exactly the deployer's policy")
				asked := slices.Concat(slices.Collect(maps.Values(l.take()))...)
				requireMinimal(t, documents[deployer.Up], asked)

				documents[deployer.Later], err = deployer.Policies(types, l.site(v), deployer.Later)
				require.NoError(t, err)
				require.NoError(t, r.As(l.user("remover", documents[deployer.Later]...)))
				require.NoError(t, r.Refresh(ctx), "with the policy for later")
				require.NoError(t, r.Destroy(ctx), "with the policy for later")

				actions, err := deployer.Actions(types, deployer.Up)
				require.NoError(t, err)
				for i := n; i < len(actions); i += len(actions)/3 + 1 {
					l := newLab(t)
					v := l.stack(file, setup)
					// What a failed run leaves stays in the emulator behind S3, which is one for all accounts of a process.
					v["k3s-aws-auth:clusterName"] = fmt.Sprintf("%s%d-%d", stack, n, i)
					all, err := deployer.Policies(types, l.site(v), deployer.Up)
					require.NoError(t, err)
					_, err = Up(ctx, l.user("deployer", without(all, actions[i])...), "lab", v, nil)
					require.ErrorContains(t, err, actions[i], "without %s", actions[i])
				}
			})
		}
	}
}

// without takes an action out of documents.
func without(documents []iampolicy.Document, action string) []iampolicy.Document {
	var out []iampolicy.Document
	for _, d := range documents {
		var kept iampolicy.Document
		for _, s := range d.Statements {
			s.Actions = slices.DeleteFunc(slices.Clone(s.Actions), func(a string) bool { return a == action })
			if len(s.Actions) > 0 {
				kept.Statements = append(kept.Statements, s)
			}
		}
		if len(kept.Statements) > 0 {
			out = append(out, kept)
		}
	}
	return out
}

// requireMinimal holds that every action of the documents is the only way to something that was asked.
func requireMinimal(t *testing.T, documents []iampolicy.Document, asked []policy.Request) {
	t.Helper()
	parse := func(documents []iampolicy.Document) []*policy.Document {
		var out []*policy.Document
		for _, d := range documents {
			text, err := d.JSON()
			require.NoError(t, err)
			parsed, err := policy.Parse([]byte(text))
			require.NoError(t, err)
			out = append(out, parsed)
		}
		return out
	}
	for _, d := range documents {
		for _, s := range d.Statements {
			for _, action := range s.Actions {
				less := parse(without(documents, action))
				denied := slices.ContainsFunc(asked, func(r policy.Request) bool {
					return !policy.Authorize(policy.Input{Request: r, Identity: less}).Allowed()
				})
				require.True(t, denied, "%s is not needed", action)
			}
		}
	}
}
