package stacks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/stacks/config"
)

// The tests run the program against a small engine of their own that speaks
// Pulumi's protocol, since the SDK's mocks show neither what a stack exports nor
// what it logs. It previews: nothing that waits for a cluster or an issuer runs.

const (
	testAccount = "111122223333"
	testRegion  = "eu-central-1"
)

// registered is one resource that the program has registered.
type registered struct {
	Type, Name, URN, Parent, Provider string
	Custom                            bool
	Inputs                            resource.PropertyMap
	DependsOn, IgnoreChanges, Aliases []string
	DeleteBeforeReplace, Protect      bool
}

// testEngine records what a program does.
type testEngine struct {
	pulumirpc.UnimplementedResourceMonitorServer
	pulumirpc.UnimplementedEngineServer

	// known makes every output known, as in an update. Without it, what a
	// provider would compute is unknown, as in the first preview.
	known bool
	// image is Canonical's current one; empty means some.
	image string

	mu        sync.Mutex
	resources []registered
	outputs   map[string]resource.PropertyMap // by URN
	logs      []*pulumirpc.LogRequest
	invokes   []string
	root      string
}

var keepAll = plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true}

func (e *testEngine) SupportsFeature(_ context.Context, req *pulumirpc.SupportsFeatureRequest) (*pulumirpc.SupportsFeatureResponse, error) {
	return &pulumirpc.SupportsFeatureResponse{HasSupport: slices.Contains([]string{"secrets", "resourceReferences", "aliasSpecs", "resourceHooks"}, req.GetId())}, nil
}

// RegisterResourceHook takes a hook and never calls it: a preview calls none.
func (e *testEngine) RegisterResourceHook(context.Context, *pulumirpc.RegisterResourceHookRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (e *testEngine) RegisterResource(_ context.Context, req *pulumirpc.RegisterResourceRequest) (*pulumirpc.RegisterResourceResponse, error) {
	inputs, err := plugin.UnmarshalProperties(req.GetObject(), keepAll)
	if err != nil {
		return nil, err
	}
	parentType := ""
	if parent := req.GetParent(); parent != "" {
		if t := resource.URN(parent).QualifiedType(); t != resource.RootStackType {
			parentType = string(t) + "$"
		}
	}
	urn := fmt.Sprintf("urn:pulumi:lab::%s::%s%s::%s", config.Project, parentType, req.GetType(), req.GetName())
	outputs, id := inputs.Copy(), ""
	if req.GetCustom() && e.known {
		id = req.GetName() + "-id"
		if bucket, ok := inputs["bucket"]; ok && bucket.IsString() && strings.HasPrefix(req.GetType(), "aws:s3/") {
			id = bucket.StringValue()
		}
		for key, value := range computed(req.GetType(), req.GetName(), inputs) {
			outputs[key] = value
		}
	}
	if req.GetCustom() && strings.HasPrefix(req.GetType(), "pulumi:providers:") && id == "" {
		id = plugin.UnknownStringValue
	}
	for _, secret := range req.GetAdditionalSecretOutputs() {
		if value, ok := outputs[resource.PropertyKey(secret)]; ok && !value.IsSecret() {
			outputs[resource.PropertyKey(secret)] = resource.MakeSecret(value)
		}
	}
	e.mu.Lock()
	if slices.ContainsFunc(e.resources, func(r registered) bool { return r.URN == urn }) {
		e.mu.Unlock()
		return nil, fmt.Errorf("duplicate resource URN %q; try giving it a unique name", urn)
	}
	var aliases []string
	for _, alias := range req.GetAliases() {
		if urn := alias.GetUrn(); urn != "" {
			aliases = append(aliases, urn)
		} else {
			aliases = append(aliases, alias.GetSpec().GetName())
		}
	}
	e.resources = append(e.resources, registered{
		Aliases: aliases,
		Type:    req.GetType(), Name: req.GetName(), URN: urn, Parent: req.GetParent(), Provider: req.GetProvider(),
		Custom: req.GetCustom(), Inputs: inputs, DependsOn: req.GetDependencies(),
		IgnoreChanges: req.GetIgnoreChanges(), DeleteBeforeReplace: req.GetDeleteBeforeReplace(), Protect: req.GetProtect(),
	})
	e.mu.Unlock()
	object, err := plugin.MarshalProperties(outputs, keepAll)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.RegisterResourceResponse{Urn: urn, Id: id, Object: object}, nil
}

func (e *testEngine) RegisterResourceOutputs(_ context.Context, req *pulumirpc.RegisterResourceOutputsRequest) (*emptypb.Empty, error) {
	outputs, err := plugin.UnmarshalProperties(req.GetOutputs(), keepAll)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, twice := e.outputs[req.GetUrn()]; twice {
		return nil, fmt.Errorf("outputs of %s are registered twice", req.GetUrn())
	}
	e.outputs[req.GetUrn()] = outputs
	return &emptypb.Empty{}, nil
}

func (e *testEngine) Invoke(_ context.Context, req *pulumirpc.ResourceInvokeRequest) (*pulumirpc.ResourceInvokeResponse, error) {
	e.mu.Lock()
	e.invokes = append(e.invokes, req.GetTok())
	e.mu.Unlock()
	image := "ami-0123456789abcdef0"
	if e.image != "" {
		image = e.image
	}
	result, ok := map[string]resource.PropertyMap{
		"aws:index/getCallerIdentity:getCallerIdentity": text("id", testAccount, "accountId", testAccount,
			"arn", "arn:aws:iam::"+testAccount+":user/deployer", "userId", "AIDAEXAMPLE"),
		"aws:index/getPartition:getPartition": text("id", "aws", "partition", "aws", "dnsSuffix", "amazonaws.com", "reverseDnsPrefix", "com.amazonaws"),
		"aws:ssm/getParameter:getParameter":   text("id", "ami", "name", "ami", "value", image, "insecureValue", image, "arn", "a", "type", "String"),
		"tls:index/getCertificate:getCertificate": {"certificates": resource.NewArrayProperty([]resource.PropertyValue{
			resource.NewObjectProperty(resource.PropertyMap{
				"isCa": resource.NewProperty(true), "issuer": resource.NewProperty("CN=root"), "subject": resource.NewProperty("CN=intermediate"),
				"sha1Fingerprint": resource.NewProperty("0123456789abcdef0123456789abcdef01234567"),
			}),
		})},
	}[req.GetTok()]
	if !ok {
		return nil, fmt.Errorf("the test engine has no function %s", req.GetTok())
	}
	object, err := plugin.MarshalProperties(result, keepAll)
	return &pulumirpc.ResourceInvokeResponse{Return: object}, err
}

func (e *testEngine) Log(_ context.Context, req *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.logs = append(e.logs, req)
	return &emptypb.Empty{}, nil
}

func (e *testEngine) GetRootResource(context.Context, *pulumirpc.GetRootResourceRequest) (*pulumirpc.GetRootResourceResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &pulumirpc.GetRootResourceResponse{Urn: e.root}, nil
}

func (e *testEngine) SetRootResource(_ context.Context, req *pulumirpc.SetRootResourceRequest) (*pulumirpc.SetRootResourceResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.root = req.GetUrn()
	return &pulumirpc.SetRootResourceResponse{}, nil
}

// run runs the program with a configuration and returns its error.
func (e *testEngine) run(t testing.TB, values map[string]string, secrets ...string) error {
	t.Helper()
	e.outputs = map[string]resource.PropertyMap{}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	pulumirpc.RegisterResourceMonitorServer(server, e)
	pulumirpc.RegisterEngineServer(server, e)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		require.NoError(t, <-served)
	}()
	return pulumi.RunErr(Run, func(info *pulumi.RunInfo) {
		info.Project, info.Stack, info.DryRun, info.Parallel = config.Project, "lab", true, 16
		info.MonitorAddr, info.EngineAddr = listener.Addr().String(), listener.Addr().String()
		info.Config, info.ConfigSecretKeys = values, secrets
	})
}

// runLab runs a setup with the lab's own stack file and returns what it did.
func runLab(t *testing.T, setup string, known bool, change ...func(map[string]string)) *testEngine {
	t.Helper()
	e := &testEngine{known: known}
	values := labConfig(t)
	values["k3s-aws-auth:setup"] = setup
	for _, f := range change {
		f(values)
	}
	require.NoError(t, e.run(t, values))
	return e
}

// labConfig is Pulumi.lab.yaml as Pulumi hands it to a program.
func labConfig(t testing.TB) map[string]string {
	t.Helper()
	content, err := os.ReadFile("../Pulumi.lab.yaml")
	require.NoError(t, err)
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	require.NoError(t, yaml.Unmarshal(content, &file))
	return flatten(t, file.Config)
}

// flatten turns parsed YAML into configuration: text, and JSON for the rest.
func flatten(t testing.TB, values map[string]any) map[string]string {
	t.Helper()
	flat := map[string]string{}
	for key, value := range values {
		if s, ok := value.(string); ok {
			flat[key] = s
			continue
		}
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		flat[key] = string(encoded)
	}
	return flat
}

// stackOutputs are the outputs that the program exports.
func (e *testEngine) stackOutputs() resource.PropertyMap {
	for urn, outputs := range e.outputs {
		if resource.URN(urn).Type() == resource.RootStackType {
			return outputs
		}
	}
	return nil
}

// of lists the resources of a type, in the order of their names.
func (e *testEngine) of(typeToken string) []registered {
	var found []registered
	for _, r := range e.resources {
		if r.Type == typeToken {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b registered) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// one is the resource with a name.
func (e *testEngine) one(t *testing.T, typeToken, name string) registered {
	t.Helper()
	for _, r := range e.of(typeToken) {
		if r.Name == name {
			return r
		}
	}
	require.FailNow(t, "no such resource", "%s %s", typeToken, name)
	return registered{}
}

func text(pairs ...string) resource.PropertyMap {
	m := resource.PropertyMap{}
	for i := 0; i < len(pairs); i += 2 {
		m[resource.PropertyKey(pairs[i])] = resource.NewProperty(pairs[i+1])
	}
	return m
}

// computed is what a provider adds to a resource's inputs.
func computed(typeToken, name string, inputs resource.PropertyMap) resource.PropertyMap {
	physical := name + "-0000000"
	if given, ok := inputs["name"]; ok && given.IsString() {
		physical = given.StringValue()
	}
	iam := "arn:aws:iam::" + testAccount + ":"
	switch typeToken {
	case "aws:iam/role:Role":
		return text("name", physical, "arn", iam+"role/"+physical, "uniqueId", "AROAEXAMPLE")
	case "aws:iam/instanceProfile:InstanceProfile":
		return text("name", physical, "arn", iam+"instance-profile/"+physical)
	case "aws:iam/openIdConnectProvider:OpenIdConnectProvider":
		host := strings.TrimPrefix(inputs["url"].StringValue(), "https://")
		return text("arn", iam+"oidc-provider/"+host, "url", host)
	case "aws:s3/bucketV2:BucketV2":
		bucket := inputs["bucket"].StringValue()
		return text("arn", "arn:aws:s3:::"+bucket, "bucketRegionalDomainName", bucket+".s3."+testRegion+".amazonaws.com", "region", testRegion)
	case "aws:s3/bucketObjectv2:BucketObjectv2":
		return text("etag", "0123456789abcdef0123456789abcdef")
	case "aws:cloudfront/distribution:Distribution":
		return text("arn", "arn:aws:cloudfront::"+testAccount+":distribution/EDFDVBD6EXAMPLE", "domainName", "d111111abcdef8.cloudfront.net", "hostedZoneId", "Z2FDTNDATAQYW2")
	case "aws:acm/certificate:Certificate":
		domain := inputs["domainName"].StringValue()
		m := text("arn", "arn:aws:acm:us-east-1:"+testAccount+":certificate/1")
		m["domainValidationOptions"] = resource.NewArrayProperty([]resource.PropertyValue{resource.NewObjectProperty(
			text("domainName", domain, "resourceRecordName", "_a."+domain+".", "resourceRecordType", "CNAME", "resourceRecordValue", "_b.acm-validations.aws."))})
		return m
	case "aws:route53/record:Record":
		return text("fqdn", inputs["name"].StringValue())
	case "aws:rolesanywhere/trustAnchor:TrustAnchor":
		return text("arn", "arn:aws:rolesanywhere:"+testRegion+":"+testAccount+":trust-anchor/a")
	case "aws:rolesanywhere/profile:Profile":
		return text("arn", "arn:aws:rolesanywhere:"+testRegion+":"+testAccount+":profile/p")
	case "aws:sns/topic:Topic":
		return text("name", physical, "arn", "arn:aws:sns:"+testRegion+":"+testAccount+":"+physical)
	case "aws:cloudwatch/eventRule:EventRule":
		return text("name", physical)
	case "aws:ec2/eip:Eip":
		return text("publicIp", "203.0.113.10", "allocationId", "eipalloc-1")
	case "aws:lb/loadBalancer:LoadBalancer":
		m := text("arn", "arn:aws:elasticloadbalancing:"+testRegion+":"+testAccount+":loadbalancer/net/"+physical+"/0")
		m["dnsName"] = resource.NewProperty(physical + "-0123456789abcdef.elb." + testRegion + ".amazonaws.com")
		return m
	case "aws:ec2/instance:Instance":
		return text("privateIp", "10.0.0.10", "publicIp", "203.0.113.11")
	case "tls:index/privateKey:PrivateKey":
		return testKey(name, inputs["algorithm"].StringValue())
	case "tls:index/certRequest:CertRequest":
		return text("certRequestPem", "-----BEGIN CERTIFICATE REQUEST-----\n")
	case "tls:index/selfSignedCert:SelfSignedCert", "tls:index/locallySignedCert:LocallySignedCert":
		return text("certPem", testCertificate(), "validityEndTime", "2036-01-01T00:00:00Z", "validityStartTime", "2026-01-01T00:00:00Z")
	}
	if strings.HasPrefix(typeToken, "aws:") {
		return text("arn", "arn:aws:test:"+testRegion+":"+testAccount+":"+physical)
	}
	return nil
}

var testKeys sync.Map

// testKey is a private key as pulumi-tls gives it, one for each name.
func testKey(name, algorithm string) resource.PropertyMap {
	if key, ok := testKeys.Load(name); ok {
		return key.(resource.PropertyMap).Copy()
	}
	var private []byte
	var public any
	kind := "EC PRIVATE KEY"
	if algorithm == "RSA" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		private, public, kind = x509.MarshalPKCS1PrivateKey(key), key.Public(), "RSA PRIVATE KEY"
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		if private, err = x509.MarshalECPrivateKey(key); err != nil {
			panic(err)
		}
		public = key.Public()
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	key := text("privateKeyPem", encode(kind, private), "privateKeyPemPkcs8", encode("PRIVATE KEY", private), "publicKeyPem", encode("PUBLIC KEY", der))
	testKeys.Store(name, key)
	return key.Copy()
}

// testCertificate is some certificate: what is in it matters to nodes only.
var testCertificate = sync.OnceValue(func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
})
