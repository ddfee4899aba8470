package stacks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// update rewrites the golden files:
//
//	go test ./stacks -update
//
// That run fails too, so that new files are looked at before they count.
var update = flag.Bool("update", false, "rewrite the golden files in testdata, and fail")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if *update {
		if err == nil && bytes.Equal(want, got) {
			return
		}
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
		t.Errorf("%s is rewritten: look at the difference, then run the tests again without -update", path)
		return
	}
	require.NoError(t, err, "make it with: go test ./stacks -update")
	require.Equal(t, string(want), string(got), "if that is meant: go test ./stacks -update")
}

// TestResources holds the type, name, parent and explicit provider of all that
// each setup registers. A difference moves or replaces resources of stacks that
// exist: it needs an alias, or a line in the changelog.
func TestResources(t *testing.T) {
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) { golden(t, setup+".golden", registeredBy(runLab(t, setup, true))) })
	}
}

// registeredBy lists what a program has registered, a line each, sorted.
func registeredBy(e *testEngine) []byte {
	var lines []string
	for _, r := range e.resources {
		if resource.URN(r.URN).Type() == resource.RootStackType {
			continue
		}
		line := r.Type + " " + r.Name
		if parent := resource.URN(r.Parent); parent.Type() != resource.RootStackType {
			line += " < " + string(parent.Type()) + " " + parent.Name()
		}
		if p := providerName(r.Provider); p != "" && r.Custom {
			line += " @ " + p
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n") + "\n")
}

// TestSessionName holds what rolesAnywhere.sessionName pod adds: one profile
// beside the other, with the same roles, which pods name together with their
// session. Nothing else differs, so that pods that run go on.
func TestSessionName(t *testing.T) {
	const long = "a-service-account-whose-name-is-much-too-long-for-the-name-of-a-session"
	with := func(name string) *testEngine {
		return runLab(t, "roles-anywhere", true, func(values map[string]string) {
			values["k3s-aws-auth:rolesAnywhere"] = `{"sessionName":"` + name + `","sessionSeconds":900}`
			values["k3s-aws-auth:tags"] = `{"team":"x"}`
			values["k3s-aws-auth:identities"] = `[{"name":"uploader","namespace":"default","serviceAccount":"uploader","statements":[{"actions":["s3:GetObject"],"resources":["*"]}]},` +
				`{"name":"long","namespace":"default","serviceAccount":"` + long + `","statements":[{"actions":["s3:GetObject"],"resources":["*"]}]}]`
		})
	}
	serial, pod := with("serial"), with("pod")
	golden(t, "roles-anywhere.session-pod.golden", registeredBy(pod))
	require.Equal(t, []string{"aws:cloudcontrol/resource:Resource lab-profile-named < k3s-aws-auth:rolesanywhere:Profile lab-profile"},
		slices.DeleteFunc(strings.Split(string(registeredBy(pod)), "\n"), func(line string) bool {
			return slices.Contains(strings.Split(string(registeredBy(serial)), "\n"), line)
		}))

	profile := pod.of("aws:cloudcontrol/resource:Resource")[0]
	plain := pod.of("aws:rolesanywhere/profile:Profile")[0]
	require.Equal(t, serial.of("aws:rolesanywhere/profile:Profile")[0].Inputs, plain.Inputs)
	var state struct {
		AcceptRoleSessionName, Enabled bool
		DurationSeconds                int
		RoleArns                       []string
		Tags                           []struct{ Key, Value string }
	}
	require.NoError(t, json.Unmarshal([]byte(profile.Inputs["desiredState"].StringValue()), &state))
	require.True(t, state.AcceptRoleSessionName && state.Enabled)
	require.Equal(t, 900, state.DurationSeconds)
	var roles []string
	for _, arn := range plain.Inputs["roleArns"].ArrayValue() {
		roles = append(roles, arn.StringValue())
	}
	require.ElementsMatch(t, roles, state.RoleArns)
	for _, tag := range state.Tags {
		require.Equal(t, plain.Inputs["tags"].ObjectValue()[resource.PropertyKey(tag.Key)].StringValue(), tag.Value)
	}
	require.Len(t, state.Tags, len(plain.Inputs["tags"].ObjectValue()))

	const arn = "arn:aws:rolesanywhere:eu-central-1:111122223333:profile/lab-profile-named-id"
	require.Equal(t, arn, pod.stackOutputs()["profileArn"].StringValue())
	identities := pod.stackOutputs()["identities"].ArrayValue()
	files := ""
	for _, r := range pod.of("kubernetes:core/v1:ConfigMap") {
		files += r.Inputs["data"].ObjectValue()["config"].StringValue()
	}
	require.Equal(t, len(identities), strings.Count(files, " --profile-arn "+arn+" "))
	for _, identity := range identities {
		name := identity.ObjectValue()["sessionName"].StringValue()
		require.Regexp(t, `^default\.[a-z0-9.-]{2,56}$`, name)
		require.Contains(t, files, " --role-session-name "+name+"\n")
	}
	require.Equal(t, "default.uploader", identities[0].ObjectValue()["sessionName"].StringValue())
	for _, e := range serial.resources {
		require.NotContains(t, fmt.Sprint(e.Inputs), "session-name", e.Name)
	}
	require.NotContains(t, serial.stackOutputs()["identities"].ArrayValue()[0].ObjectValue(), resource.PropertyKey("sessionName"))
	for _, role := range serial.of("aws:iam/role:Role") {
		require.NotContains(t, role.Inputs["assumeRolePolicy"].StringValue(), "sts:RoleSessionName", "what a caller chooses is no proof")
		for _, same := range pod.of("aws:iam/role:Role") {
			require.True(t, same.Name != role.Name || same.Inputs.DeepEquals(role.Inputs), role.Name)
		}
	}
}

// providerName is the name of an explicit provider, or "" for the default one.
func providerName(reference string) string {
	if reference == "" {
		return ""
	}
	return resource.URN(reference[:strings.LastIndex(reference, "::")]).Name()
}

// TestPolicies holds every policy document of each setup: who may assume a
// role, and what it may do.
func TestPolicies(t *testing.T) {
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			documents := map[string]json.RawMessage{}
			for _, r := range runLab(t, setup, true).resources {
				for _, key := range []resource.PropertyKey{"assumeRolePolicy", "policy"} {
					if value, ok := r.Inputs[key]; ok && strings.HasPrefix(r.Type, "aws:") {
						require.True(t, value.IsString(), "%s of %s is known", key, r.Name)
						documents[r.Name+" "+string(key)] = json.RawMessage(value.StringValue())
					}
				}
				if arn, ok := r.Inputs["policyArn"]; ok {
					documents[r.Name+" policyArn"] = json.RawMessage(fmt.Sprintf("%q", arn.StringValue()))
				}
			}
			content, err := json.MarshalIndent(documents, "", "  ")
			require.NoError(t, err)
			content = bytes.ReplaceAll(content, []byte(`\u003c`), []byte("<"))
			golden(t, setup+".policies.json", append(content, '\n'))
		})
	}
}

// TestFirstPreview runs each setup with nothing known that a provider computes:
// the same graph, no failure, and nothing that is waited for.
func TestFirstPreview(t *testing.T) {
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			names := func(e *testEngine) []string {
				var all []string
				for _, r := range e.resources {
					all = append(all, r.URN)
				}
				slices.Sort(all)
				return all
			}
			preview := runLab(t, setup, false)
			require.Equal(t, names(runLab(t, setup, true)), names(preview))
			for _, role := range preview.of("aws:iam/role:Role") {
				require.NotContains(t, role.Inputs["assumeRolePolicy"].String(), "<nil>", role.Name)
			}
		})
	}
}

func TestOutputs(t *testing.T) {
	common := []string{"demoBucket", "endpoint", "identities", "kubeconfig", "setup"}
	further := map[string][]string{
		"instance-profile": {"warning"},
		"irsa-s3":          {"issuerUrl"},
		"irsa-cloudfront":  {"dnsRecords", "issuerUrl"},
		"roles-anywhere":   {"profileArn", "trustAnchorArn"},
	}
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true)
			outputs := e.stackOutputs()
			var keys []string
			for key := range outputs {
				keys = append(keys, string(key))
			}
			require.ElementsMatch(t, append(slices.Clone(common), further[setup]...), keys)
			require.True(t, outputs["kubeconfig"].IsSecret(), "the kubeconfig is a secret")
			require.Equal(t, setup, outputs["setup"].StringValue())
			require.Equal(t, "https://203.0.113.10:6443", outputs["endpoint"].StringValue())
			require.Equal(t, "lab-demo-111122223333-eu-central-1", outputs["demoBucket"].StringValue())
			identities := outputs["identities"].ArrayValue()
			require.Len(t, identities, 1)
			identity := identities[0].ObjectValue()
			require.Equal(t, "uploader", identity["name"].StringValue())
			require.Equal(t, "default", identity["namespace"].StringValue())
			require.Equal(t, "uploader", identity["serviceAccount"].StringValue())
			require.Equal(t, "kubectl --namespace default exec uploader --container app -- aws sts get-caller-identity", identity["prove"].StringValue())
			role := "lab-default.uploader-role-0000000"
			if setup == "instance-profile" {
				role = "lab-cluster-agent-role-0000000"
			}
			require.Equal(t, "arn:aws:iam::111122223333:role/"+role, identity["roleArn"].StringValue())
		})
	}
	t.Run("issuers", func(t *testing.T) {
		require.Equal(t, "https://lab-issuer-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com",
			runLab(t, "irsa-s3", false).stackOutputs()["issuerUrl"].StringValue(), "known before anything exists")
		require.Equal(t, "lab-demo-111122223333-eu-central-1", runLab(t, "irsa-s3", false).stackOutputs()["demoBucket"].StringValue(), "and so is the demo bucket")
		require.Equal(t, "https://oidc.lab.example.com", runLab(t, "irsa-cloudfront", false).stackOutputs()["issuerUrl"].StringValue())
	})
	t.Run("records", func(t *testing.T) {
		records := runLab(t, "irsa-cloudfront", true).stackOutputs()["dnsRecords"].ArrayValue()
		require.Len(t, records, 2)
		require.Equal(t, "_a.oidc.lab.example.com.", records[0].ObjectValue()["name"].StringValue())
		require.Equal(t, "d111111abcdef8.cloudfront.net", records[1].ObjectValue()["value"].StringValue())
	})
}

// TestInstanceProfileSaysSo holds that the setup without identities of pods
// does not hide it.
func TestInstanceProfileSaysSo(t *testing.T) {
	e := runLab(t, "instance-profile", true)
	warning := e.stackOutputs()["warning"].StringValue()
	require.Contains(t, warning, "every pod on the agents of cluster lab has all permissions of all identities (uploader)")
	var logged []string
	for _, l := range e.logs {
		if l.GetSeverity().String() == "WARNING" {
			logged = append(logged, l.GetMessage())
		}
	}
	require.Equal(t, []string{warning}, logged)
	for _, r := range e.of("aws:ec2/instance:Instance") {
		want := 1.0
		if strings.Contains(r.Name, "agent") {
			want = 2
		}
		require.Equal(t, want, r.Inputs["metadataOptions"].ObjectValue()["httpPutResponseHopLimit"].NumberValue(), r.Name)
	}
}

// TestPodsStayAwayFromTheNode holds that everywhere else pods cannot reach the
// node's role.
func TestPodsStayAwayFromTheNode(t *testing.T) {
	for _, setup := range Setups() {
		if setup == "instance-profile" {
			continue
		}
		e := runLab(t, setup, true)
		machines := e.of("aws:ec2/instance:Instance")
		require.Len(t, machines, 3)
		for _, r := range machines {
			require.Equal(t, 1.0, r.Inputs["metadataOptions"].ObjectValue()["httpPutResponseHopLimit"].NumberValue(), "%s %s", setup, r.Name)
		}
		for _, r := range e.of("aws:iam/rolePolicy:RolePolicy") {
			if strings.Contains(r.Name, "cluster-agent") {
				require.NotContains(t, r.Inputs["policy"].StringValue(), "s3:", "%s %s", setup, r.Name)
			}
		}
	}
}

// TestProviders holds that only the certificate and its validation are in
// us-east-1, and that every Kubernetes resource is in the cluster.
func TestProviders(t *testing.T) {
	e := runLab(t, "irsa-cloudfront", true)
	var there []string
	for _, r := range e.resources {
		name := providerName(r.Provider)
		if name == "lab-us-east-1" {
			there = append(there, r.Type)
		}
		if strings.HasPrefix(r.Type, "kubernetes:") {
			require.Equal(t, "lab-cluster-kubernetes", name, r.Name)
		}
	}
	require.ElementsMatch(t, []string{"aws:acm/certificate:Certificate", "aws:acm/certificateValidation:CertificateValidation"}, there)
	provider := e.one(t, "pulumi:providers:aws", "lab-us-east-1")
	require.Equal(t, "us-east-1", provider.Inputs["region"].StringValue())
	require.Contains(t, provider.Inputs["allowedAccountIds"].String(), testAccount)
}

// TestRoute53 holds the other way of CloudFront's DNS, with thumbprints.
func TestRoute53(t *testing.T) {
	e := runLab(t, "irsa-cloudfront", true, func(values map[string]string) {
		values["k3s-aws-auth:issuer"] = `{"domain":"oidc.lab.example.com","hostedZoneId":"Z123","thumbprint":"dynamic","bucket":"mine","priceClass":"PriceClass_All","cacheTtlSeconds":60}`
	})
	require.Empty(t, e.stackOutputs()["dnsRecords"].ArrayValue())
	for _, r := range e.of("aws:route53/record:Record") {
		require.Equal(t, "Z123", r.Inputs["zoneId"].StringValue())
	}
	require.Len(t, e.of("aws:route53/record:Record"), 3)
	require.Equal(t, "mine", e.one(t, "aws:s3/bucketV2:BucketV2", "lab-issuer-bucket").Inputs["bucket"].StringValue())
	require.Equal(t, "PriceClass_All", e.one(t, "aws:cloudfront/distribution:Distribution", "lab-issuer-cdn").Inputs["priceClass"].StringValue())
	for _, r := range e.of("aws:s3/bucketObjectv2:BucketObjectv2") {
		require.Contains(t, r.Inputs["cacheControl"].StringValue(), "max-age=60", r.Name)
	}
	provider := e.of("aws:iam/openIdConnectProvider:OpenIdConnectProvider")[0]
	require.Equal(t, "0123456789abcdef0123456789abcdef01234567", provider.Inputs["thumbprintLists"].ArrayValue()[0].StringValue())
}

// TestConfigurationArrives holds that what is configured reaches the resource
// that it is about.
func TestConfigurationArrives(t *testing.T) {
	e := runLab(t, "roles-anywhere", true, func(values map[string]string) {
		values["k3s-aws-auth:tags"] = `{"team":"identity"}`
		values["k3s-aws-auth:cluster"] = `{"agents":3,"serverInstanceType":"m7i.large","agentInstanceType":"m7i.large","amiId":"ami-00000001","rootVolumeGiB":40}`
		values["k3s-aws-auth:network"] = `{"cidr":"10.9.0.0/20","zones":["eu-central-1b","eu-central-1c"],"apiCidrs":["203.0.113.7/32"]}`
		values["k3s-aws-auth:rolesAnywhere"] = `{"caValidityHours":1000,"leafValidityHours":100,"leafEarlyRenewalHours":10,"sessionSeconds":900,"helper":{"delivery":"sidecar"}}`
		values["k3s-aws-auth:demoImage"] = "registry.example.com/cli:1"
	})
	machines := e.of("aws:ec2/instance:Instance")
	require.Len(t, machines, 4)
	for _, r := range machines {
		require.Equal(t, "m7i.large", r.Inputs["instanceType"].StringValue())
		require.Equal(t, "ami-00000001", r.Inputs["ami"].StringValue())
	}
	require.Len(t, e.of("aws:ec2/subnet:Subnet"), 2)
	require.Equal(t, "10.9.0.0/20", e.of("aws:ec2/vpc:Vpc")[0].Inputs["cidrBlock"].StringValue())
	require.Equal(t, 900.0, e.of("aws:rolesanywhere/profile:Profile")[0].Inputs["durationSeconds"].NumberValue())
	leaf := e.one(t, "tls:index/locallySignedCert:LocallySignedCert", "lab-default.uploader-leaf-cert")
	require.Equal(t, 100.0, leaf.Inputs["validityPeriodHours"].NumberValue())
	require.Equal(t, 10.0, leaf.Inputs["earlyRenewalHours"].NumberValue())
	for _, r := range e.of("tls:index/selfSignedCert:SelfSignedCert") {
		if strings.HasPrefix(r.Name, "lab-ca-") {
			require.Equal(t, 1000.0, r.Inputs["validityPeriodHours"].NumberValue())
		}
	}
	pod := fmt.Sprint(e.of("kubernetes:core/v1:Pod")[0].Inputs)
	require.Contains(t, pod, "registry.example.com/cli:1")
	require.Contains(t, pod, "serve", "the sidecar serves")
	tagged := 0
	for _, r := range e.resources {
		if tags, ok := r.Inputs["tags"]; ok && strings.HasPrefix(r.Type, "aws:") {
			tagged++
			require.Equal(t, "identity", tags.ObjectValue()["team"].StringValue(), r.Name)
			require.Equal(t, "lab", tags.ObjectValue()["k3s-aws-auth/cluster"].StringValue(), r.Name)
		}
	}
	require.Greater(t, tagged, 20)
}

// TestUsEast1DeploysAsTheDefaultProvider holds that who deploys is handed on,
// with the keys as secrets.
func TestUsEast1DeploysAsTheDefaultProvider(t *testing.T) {
	e := runLab(t, "irsa-cloudfront", true, func(values map[string]string) {
		values["aws:profile"] = "ops"
		values["aws:accessKey"] = "AKIAEXAMPLE"
		values["aws:secretKey"] = "hush"
		values["aws:assumeRole"] = `{"roleArn":"arn:aws:iam::111122223333:role/deploy","sessionName":"s","tags":{"team":"ops"},"transitiveTagKeys":["team"],` +
			`"sourceIdentity":"me","policyArns":["arn:aws:iam::aws:policy/ReadOnlyAccess"]}`
		values["aws:defaultTags"] = `{"tags":{"team":"ops"}}`
		values["aws:useFipsEndpoint"], values["aws:sharedConfigFiles"] = "true", `["~/.aws/ops"]`
	})
	inputs := e.one(t, "pulumi:providers:aws", "lab-us-east-1").Inputs
	require.Equal(t, "ops", inputs["profile"].StringValue())
	require.True(t, inputs["secretKey"].IsSecret())
	require.True(t, inputs["accessKey"].IsSecret())
	for _, part := range []string{"role/deploy", "tags", "transitiveTagKeys", "sourceIdentity", "ReadOnlyAccess"} {
		require.Contains(t, fmt.Sprint(inputs["assumeRole"]), part)
	}
	require.Contains(t, fmt.Sprint(inputs["defaultTags"]), "team")
	require.Contains(t, fmt.Sprint(inputs["useFipsEndpoint"]), "true")
	require.Contains(t, fmt.Sprint(inputs["sharedConfigFiles"]), "~/.aws/ops")

	values := labConfig(t)
	values["k3s-aws-auth:setup"], values["aws:assumeRole"] = "irsa-cloudfront", "{"
	require.ErrorContains(t, (&testEngine{}).run(t, values), "aws:assumeRole")
	values["aws:assumeRole"], values["aws:endpoints"] = `{"rolearn":"x","mfa":"y"}`, `[{"sts":"https://sts.example.com"}]`
	err := (&testEngine{}).run(t, values)
	require.ErrorContains(t, err, "aws:endpoints: found a value: must be left out for setup irsa-cloudfront")
	require.ErrorContains(t, err, `aws:assumeRole: found a value: must be readable, to be handed on to the provider for us-east-1: json: unknown field "mfa"`)
}

// TestNoSecretIsPlain looks for every private key, in any of the forms in which
// the program hands it on, in all that is registered, exported and logged.
func TestNoSecretIsPlain(t *testing.T) {
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true)
			var secrets []string
			for _, r := range e.of("tls:index/privateKey:PrivateKey") {
				pem := testKey(r.Name, r.Inputs["algorithm"].StringValue())["privateKeyPem"].StringValue()
				// A whole line, whatever is around it, of the part that is private:
				// an RSA key begins with its modulus, which the JWKS publishes.
				line := map[string]int{"RSA": 8, "ECDSA": 1}[r.Inputs["algorithm"].StringValue()]
				body := strings.Split(pem, "\n")[line]
				secrets = append(secrets, body, base64.StdEncoding.EncodeToString([]byte(pem))[40:80])
			}
			require.NotEmpty(t, secrets)
			check := func(where string, value resource.PropertyValue) {
				for _, plain := range plainText(value) {
					for _, secret := range secrets {
						require.NotContains(t, plain, secret, where)
					}
					require.NotContains(t, plain, "PRIVATE KEY-----", where)
				}
			}
			for _, r := range e.resources {
				check("inputs of "+r.URN, resource.NewObjectProperty(r.Inputs))
			}
			for urn, outputs := range e.outputs {
				check("outputs of "+urn, resource.NewObjectProperty(outputs))
			}
			for _, l := range e.logs {
				check("log", resource.NewProperty(l.GetMessage()))
			}
		})
	}
}

// plainText lists all text in a value that is not in a secret.
func plainText(value resource.PropertyValue) []string {
	var all []string
	switch {
	case value.IsString():
		all = append(all, value.StringValue())
	case value.IsArray():
		for _, v := range value.ArrayValue() {
			all = append(all, plainText(v)...)
		}
	case value.IsObject():
		for key, v := range value.ObjectValue() {
			all = append(append(all, string(key)), plainText(v)...)
		}
	case value.IsOutput() && !value.OutputValue().Secret:
		all = append(all, plainText(value.OutputValue().Element)...)
	}
	return all
}

// physicalNames lists the names that the program itself gives in AWS.
func (e *testEngine) physicalNames() []string {
	var names []string
	for _, r := range e.resources {
		if !strings.HasPrefix(r.Type, "aws:") {
			continue
		}
		// Children of a bucket repeat its name.
		for _, key := range []resource.PropertyKey{"name", "bucket", "url", "domainName"} {
			if value, ok := r.Inputs[key]; ok && value.IsString() && !strings.HasPrefix(r.Type, "aws:route53/") {
				names = append(names, value.StringValue())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestClustersDoNotCollide deploys clusters of any two setups into one account
// and region: no name that the program gives is given twice (buckets, parameters,
// issuers), and no logical name, so that physical names made from them differ by
// more than chance.
func TestClustersDoNotCollide(t *testing.T) {
	type deployed struct {
		cluster, setup string
		names          map[string]bool // given, and type and logical name
	}
	var all []deployed
	for _, setup := range Setups() {
		for _, cluster := range []string{"lab", "lab-uploader", "lab-cluster"} {
			e := runLab(t, setup, true, func(values map[string]string) {
				values["k3s-aws-auth:clusterName"] = cluster
				values["k3s-aws-auth:issuer"] = `{"dns":"external","domain":"oidc-` + cluster + `.example.com"}`
			})
			d := deployed{cluster, setup, map[string]bool{}}
			for _, name := range e.physicalNames() {
				d.names[name] = true
			}
			parameters := 0
			for _, r := range e.resources {
				if r.Custom && strings.HasPrefix(r.Type, "aws:") {
					d.names[r.Type+" "+r.Name] = true
				}
				if r.Type == "aws:ssm/parameter:Parameter" {
					parameters++
					require.Contains(t, d.names, r.Inputs["name"].StringValue())
				}
			}
			require.Positive(t, parameters)
			if strings.HasPrefix(setup, "irsa-") {
				require.Contains(t, d.names, e.stackOutputs()["issuerUrl"].StringValue())
			}
			all = append(all, d)
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.cluster == b.cluster {
				continue
			}
			for name := range a.names {
				require.False(t, b.names[name], "%s: %s of %s, and %s of %s", name, a.cluster, a.setup, b.cluster, b.setup)
			}
		}
	}
}

// TestLongestNames deploys the longest names that configuration lets through:
// every name that Pulumi or the program makes of them stays within its limit.
func TestLongestNames(t *testing.T) {
	label, account := strings.Repeat("n", 63), strings.Repeat("s", 253)
	limits := map[string]int{ // of the physical name, 8 characters of which Pulumi adds
		"aws:iam/role:Role":                                      64,
		"aws:lb/loadBalancer:LoadBalancer":                       32,
		"aws:lb/targetGroup:TargetGroup":                         32,
		"aws:iam/rolePolicy:RolePolicy":                          128,
		"aws:iam/instanceProfile:InstanceProfile":                128,
		"aws:cloudfront/originAccessControl:OriginAccessControl": 64,
		"aws:cloudfront/cachePolicy:CachePolicy":                 128,
		"aws:ec2/securityGroup:SecurityGroup":                    255,
		"aws:rolesanywhere/trustAnchor:TrustAnchor":              255,
		"aws:rolesanywhere/profile:Profile":                      255,
	}
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, func(values map[string]string) {
				values["aws:region"] = "ap-southeast-1"
				values["k3s-aws-auth:network"] = `{"zones":["ap-southeast-1a"],"apiCidrs":["0.0.0.0/0"]}`
				values["k3s-aws-auth:clusterName"] = strings.Repeat("c", 28)
				values["k3s-aws-auth:cluster"] = `{"servers":3}`
				values["k3s-aws-auth:issuer"] = `{"dns":"external","domain":"` + strings.Repeat("o", 52) + `.example.com"}`
				values["k3s-aws-auth:identities"] = fmt.Sprintf(`[{"name":%q,"namespace":%q,"serviceAccount":%q,"serviceAccounts":[%q,%q],"createNamespace":true,`+
					`"statements":[{"actions":["s3:PutObject"],"resources":["${demo.bucketArn}/*"]}]}]`,
					strings.Repeat("i", 40), label, account, account[:252]+"2", strings.Repeat("m", 63)+"/"+account)
			})
			for _, r := range e.resources {
				if limit, ok := limits[r.Type]; ok && !r.Inputs.HasValue("name") {
					require.LessOrEqual(t, len(r.Name)+8, limit, "%s %s", r.Type, r.Name)
				}
				if bucket, ok := r.Inputs["bucket"]; ok && r.Type == "aws:s3/bucketV2:BucketV2" {
					require.LessOrEqual(t, len(bucket.StringValue()), 63)
				}
				if metadata, ok := r.Inputs["metadata"]; ok && metadata.IsObject() {
					require.LessOrEqual(t, len(metadata.ObjectValue()["name"].StringValue()), 253)
					for _, value := range plainText(metadata.ObjectValue()["labels"]) {
						require.LessOrEqual(t, len(value), 63)
					}
				}
				if subject, ok := r.Inputs["subject"]; ok && r.Type == "tls:index/certRequest:CertRequest" {
					require.LessOrEqual(t, len(subject.ObjectValue()["commonName"].StringValue()), 61)
				}
			}
		})
	}
}

// TestAgentRoleHasRoom holds that the room which setup instance-profile keeps
// for the policies that agents have anyway is enough.
func TestAgentRoleHasRoom(t *testing.T) {
	e := runLab(t, "irsa-s3", true, func(values map[string]string) {
		values["k3s-aws-auth:clusterName"] = strings.Repeat("c", 28)
	})
	total := 0
	for _, r := range e.of("aws:iam/rolePolicy:RolePolicy") {
		if strings.Contains(r.Name, "cluster-agent") {
			total += len(r.Inputs["policy"].StringValue())
		}
	}
	require.Positive(t, total)
	require.Less(t, total, 2240)
}

func TestIdentitiesShareANamespace(t *testing.T) {
	const one = `{"name":%q,"namespace":"team","serviceAccount":%q,"createNamespace":%t,"managedPolicyArns":["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]}`
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, func(values map[string]string) {
				values["k3s-aws-auth:identities"] = "[" + fmt.Sprintf(one, "a", "a", false) + "," + fmt.Sprintf(one, "b", "b", true) + "]"
			})
			namespaces := e.of("kubernetes:core/v1:Namespace")
			require.Len(t, namespaces, 1, "made once, whichever of them asks")
			second := e.one(t, "kubernetes:core/v1:ServiceAccount", "lab-team.b-account")
			require.Contains(t, second.DependsOn, namespaces[0].URN, "the other one waits for it")
			require.Len(t, e.of("kubernetes:core/v1:Pod"), 2)
			attachments := len(e.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment"))
			if setup == "instance-profile" {
				require.Equal(t, 1, attachments, "one role has the policy once")
			} else {
				require.Equal(t, 2, attachments)
			}
		})
	}
}

// TestNamesOfIdentitiesAndPolicies runs identities and policies whose names run into each other: the engine refuses a
// resource that has the type and the name of another one.
func TestNamesOfIdentitiesAndPolicies(t *testing.T) {
	const one = `{"name":%q,"namespace":"team","serviceAccount":%q,"managedPolicyArns":["arn:aws:iam::aws:policy/%s","arn:aws:iam::111122223333:policy/%s"]}`
	var identities []string
	for name, policy := range map[string]string{
		"a": "x-y", "a-x": "y", "a-leaf": "y", "a-role": "y", "a-policy": "y", "a-account": "y", "a-config": "y", "a-certificate": "y", "a-leaf-cert": "y",
	} {
		identities = append(identities, fmt.Sprintf(one, name, name, policy, policy))
	}
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			runLab(t, setup, true, func(values map[string]string) {
				values["k3s-aws-auth:identities"] = "[" + strings.Join(identities, ",") + "]"
			})
		})
	}
}

func TestWithoutDemo(t *testing.T) {
	for _, setup := range Setups() {
		e := runLab(t, setup, true, func(values map[string]string) {
			delete(values, "k3s-aws-auth:demo")
			values["k3s-aws-auth:identities"] = `[{"name":"a","namespace":"n","serviceAccount":"s","managedPolicyArns":["arn:aws:iam::aws:policy/X"]}]`
		})
		require.Empty(t, e.of("kubernetes:core/v1:Pod"))
		require.Empty(t, e.of(demoBucketType))
		outputs := e.stackOutputs()
		require.NotContains(t, outputs, resource.PropertyKey("demoBucket"))
		require.Equal(t, "kubectl --namespace n exec <pod of service account s> -- aws sts get-caller-identity",
			outputs["identities"].ArrayValue()[0].ObjectValue()["prove"].StringValue())
	}
}

// TestBadConfigurationRegistersNothing holds that a run with a wrong
// configuration says all of it and touches nothing.
func TestBadConfigurationRegistersNothing(t *testing.T) {
	values := labConfig(t)
	values["k3s-aws-auth:setup"] = "irsa"
	values["k3s-aws-auth:cluster"] = `{"version":"1.35"}`
	e := &testEngine{}
	err := e.run(t, values)
	require.ErrorContains(t, err, `setup: found "irsa": must be instance-profile, irsa-cloudfront, irsa-s3 or roles-anywhere`)
	require.ErrorContains(t, err, `cluster.version: found "1.35": must be a K3s release such as v1.35.4+k3s1`)
	require.Len(t, e.resources, 1, "the stack itself")
	require.Empty(t, e.invokes)
}

// TestUnknownKeys holds that typos at the top are errors where Pulumi lets a
// program see them.
func TestUnknownKeys(t *testing.T) {
	values := labConfig(t)
	values["k3s-aws-auth:identites"] = "[]"
	encoded, err := json.Marshal(values)
	require.NoError(t, err)
	t.Setenv("PULUMI_CONFIG", string(encoded))
	require.ErrorContains(t, (&testEngine{}).run(t, values), "identites: found an unknown key: must be one of")
	t.Setenv("PULUMI_CONFIG", "not JSON")
	require.NoError(t, (&testEngine{}).run(t, labConfig(t)))
}

func TestSecretConfigurationIsRefused(t *testing.T) {
	values := labConfig(t)
	err := (&testEngine{}).run(t, values, "k3s-aws-auth:identities")
	require.ErrorContains(t, err, "identities: found a secret: must be plain")
	require.NotContains(t, err.Error(), "uploader")
}

func TestRulesOfOneSetup(t *testing.T) {
	tests := []struct {
		name, setup, key, value, want string
	}{
		{"domain", "irsa-cloudfront", "k3s-aws-auth:issuer", `{"dns":"external"}`, "issuer.domain: found nothing: must be the host name of the issuer"},
		{"zone", "irsa-cloudfront", "k3s-aws-auth:issuer", `{"domain":"oidc.example.com"}`, "issuer.hostedZoneId: found nothing: must be the Route 53 zone of issuer.domain"},
		{"partition", "irsa-cloudfront", "aws:region", "cn-north-1", `aws:region: found "cn-north-1": must be in the partition aws for an issuer behind CloudFront`},
		{"session", "roles-anywhere", "k3s-aws-auth:rolesAnywhere", `{"sessionSeconds":7200}`, "identities[0].maxSessionSeconds: found 3600: must be at least rolesAnywhere.sessionSeconds (7200)"},
		{"image volume", "roles-anywhere", "k3s-aws-auth:cluster", `{"version":"v1.34.2+k3s1"}`, "rolesAnywhere.helper.delivery: found image-volume: must be another delivery for v1.34.2+k3s1"},
		{"arm", "roles-anywhere", "k3s-aws-auth:cluster", `{"agentInstanceType":"t4g.medium"}`, "rolesAnywhere.helper.image: found nothing: must be an image for arm64"},
		{"profile", "roles-anywhere", "k3s-aws-auth:identities", many(251, 1), "identities: found 251 identities: must be at most 250"},
		{"managed", "instance-profile", "k3s-aws-auth:identities", many(2, 6), "identities: found 12 managed policies together: must be at most 10"},
		{"inline", "instance-profile", "k3s-aws-auth:identities", large(3), "must be at most 8000 characters for setup instance-profile"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, setup := range Setups() {
				values := labConfig(t)
				values["k3s-aws-auth:setup"] = setup
				values[test.key] = test.value
				err := (&testEngine{}).run(t, values)
				if setup == test.setup {
					require.ErrorContains(t, err, test.want)
				} else if err != nil {
					require.NotContains(t, err.Error(), test.want, setup)
				}
			}
		})
	}
}

// many is a list of identities with managed policies of their own.
func many(identities, policies int) string {
	var list []string
	for i := range identities {
		var arns []string
		for j := range policies {
			arns = append(arns, fmt.Sprintf(`"arn:aws:iam::aws:policy/P%d-%d"`, i, j))
		}
		list = append(list, fmt.Sprintf(`{"name":"i%d","namespace":"n","serviceAccount":"s%d","managedPolicyArns":[%s]}`, i, i, strings.Join(arns, ",")))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// large is a list of identities whose policies are each within the limit.
func large(identities int) string {
	var list []string
	for i := range identities {
		list = append(list, fmt.Sprintf(`{"name":"i%d","namespace":"n","serviceAccount":"s%d","statements":[{"actions":["s3:GetObject"],"resources":["arn:aws:s3:::%s"]}]}`,
			i, i, strings.Repeat("b", 3000)))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestSetupsAreSorted(t *testing.T) {
	require.Equal(t, []string{"instance-profile", "irsa-cloudfront", "irsa-s3", "roles-anywhere"}, Setups())
}

// TestDefaultsAreTheComponents holds what the configuration repeats of the
// components, so that it needs not to know them.
func TestDefaultsAreTheComponents(t *testing.T) {
	require.ElementsMatch(t, workload.Deliveries(), []string{config.DeliveryImageVolume, config.DeliverySidecar, config.DeliveryNode})
	helper := config.Defaults("lab").RolesAnywhere.Helper
	require.Equal(t, workload.Deliveries()[0], helper.Delivery)
}
