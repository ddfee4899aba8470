package k3s

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/kubeclient"
)

func parseUserData(t *testing.T, text string) map[string]string {
	t.Helper()
	require.True(t, strings.HasPrefix(text, "#cloud-config\n"), "cloud-init ignores user data that does not begin with #cloud-config")
	var document struct {
		WriteFiles []struct{ Path, Permissions, Encoding, Content string } `yaml:"write_files"`
		RunCmd     [][]string                                              `yaml:"runcmd"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&document))
	require.Equal(t, [][]string{{"/usr/local/sbin/k3s-boot"}}, document.RunCmd)
	files := map[string]string{}
	for _, file := range document.WriteFiles {
		require.Regexp(t, "^0[0-7]{3}$", file.Permissions, file.Path)
		files[file.Path] = file.Content
		if file.Encoding != "" {
			require.Equal(t, "gz+b64", file.Encoding)
			data, err := base64.StdEncoding.DecodeString(file.Content)
			require.NoError(t, err)
			files[file.Path] = unzip(t, data)
		}
	}
	return files
}

func TestClusterResources(t *testing.T) {
	pulumitest.Golden(t, "resources.golden", preview(t, labArgs()).Graph())
}

func TestUserData(t *testing.T) {
	c := preview(t, labArgs())
	for role, instance := range map[string]string{"server": "lab-server-0", "agent": "lab-agent-1"} {
		files := c.bootFiles(t, instance)
		require.Equal(t, unzip(t, bootScript), files["/usr/local/sbin/k3s-boot"], "the script must survive YAML to the byte")
		pulumitest.Golden(t, role+"-config.yaml", files["/etc/rancher/k3s/config.yaml"])
		pulumitest.Golden(t, role+"-boot.env", files["/etc/k3s-aws-auth/boot.env"])
		pulumitest.Golden(t, role+"-parameters", files["/etc/k3s-aws-auth/parameters"])
	}
}

// Without issuers and flags K3s keeps its own, which a plain key would replace.
func TestUserDataWithoutIssuers(t *testing.T) {
	args := labArgs()
	args.Issuers = nil
	config := preview(t, args).bootFiles(t, "lab-server-0")["/etc/rancher/k3s/config.yaml"]
	require.NotContains(t, config, "service-account-issuer")

	args.FeatureGates = []string{"MutatingAdmissionPolicy=true", "Other=false"}
	args.RuntimeConfig = []string{"admissionregistration.k8s.io/v1beta1=true"}
	config = preview(t, args).bootFiles(t, "lab-server-0")["/etc/rancher/k3s/config.yaml"]
	require.Contains(t, config, "feature-gates=MutatingAdmissionPolicy=true,Other=false\n")
	require.Contains(t, config, "runtime-config=admissionregistration.k8s.io/v1beta1=true\n")
}

func TestUserDataRefusesIssuers(t *testing.T) {
	for _, issuer := range []string{"", "http://issuer.example.com", "issuer.example.com", "https://", "https://a.example.com?x=1", "https://a.example.com/\nx"} {
		_, err := newServerConfig(labArgs(), place{}, member{}, keyset.Default(), []string{"203.0.113.10"}, []string{"https://good.example.com", issuer})
		require.ErrorContains(t, err, "Issuers[1]", issuer)
	}
}

func TestUserDataSize(t *testing.T) {
	args := labArgs()
	c := preview(t, args)
	size := len(plain(c.Find(t, "aws:ec2/instance:Instance", "lab-server-0").Inputs["userData"]).StringValue())
	t.Logf("a server's user data has %d bytes of %d", size, maxUserData)
	require.Less(t, size, maxUserData*3/4, "leave room for long names and issuers")

	args.RuntimeConfig = make([]string, 500)
	for i := range args.RuntimeConfig {
		args.RuntimeConfig[i] = "admissionregistration.k8s.io/v1beta1=true"
	}
	_, err := userData(serverRole, args, place{}, member{}, serverConfig{KubeAPIServerArg: args.RuntimeConfig}, nil)
	require.ErrorContains(t, err, "larger than EC2 takes")
}

// Every private key and token, and everything derived from one, is secret
// wherever it goes, and goes nowhere near a machine's description.
func TestSecretsStaySecret(t *testing.T) {
	c := preview(t, labArgs())
	secrets := append([]string{}, c.secrets...)
	for name, value := range c.parameters {
		if strings.HasSuffix(name, "token") || strings.HasSuffix(name, ".key") {
			secrets = append(secrets, value)
			if _, password, ok := strings.Cut(value, "::"); ok {
				_, password, _ = strings.Cut(password, ":")
				secrets = append(secrets, password)
			}
		}
	}
	require.Len(t, c.parameters, 13)
	require.GreaterOrEqual(t, len(secrets), 10+6+2*2, "ten keys made, six of them stored, two tokens and their passwords")
	for _, r := range c.Resources() {
		visible, err := json.Marshal(visible(resource.NewObjectProperty(r.Inputs)))
		require.NoError(t, err)
		for _, secret := range secrets {
			escaped, err := json.Marshal(secret)
			require.NoError(t, err)
			require.NotContains(t, string(visible), strings.Trim(string(escaped), `"`), "%s shows a secret", r)
		}
		if r.Type == "aws:ec2/instance:Instance" {
			data := plain(r.Inputs["userData"]).StringValue()
			require.NotContains(t, data, "PRIVATE KEY", r)
			require.NotContains(t, data, "K10", r)
			for _, secret := range secrets {
				require.NotContains(t, data, strings.TrimSpace(secret), r)
			}
		}
	}
	provider := c.Find(t, "pulumi:providers:kubernetes", "lab-kubernetes")
	require.True(t, provider.Inputs["kubeconfig"].IsSecret(), "the kubeconfig must be secret")
	ami := c.Find(t, "aws:ec2/instance:Instance", "lab-server-0").Inputs["ami"]
	require.False(t, ami.IsSecret(), "an image id must be readable in the preview")
	require.Equal(t, "ami-086", ami.StringValue())
}

// visible is the value with every secret taken out.
func visible(value resource.PropertyValue) any {
	switch {
	case value.IsSecret():
		return nil
	case value.IsObject():
		object := map[string]any{}
		for key, element := range value.ObjectValue() {
			object[string(key)] = visible(element)
		}
		return object
	case value.IsArray():
		list := []any{}
		for _, element := range value.ArrayValue() {
			list = append(list, visible(element))
		}
		return list
	case value.IsOutput():
		return visible(value.OutputValue().Element)
	}
	return value.V
}

func TestParameters(t *testing.T) {
	c := preview(t, labArgs())
	for _, r := range c.OfType("aws:ssm/parameter:Parameter") {
		require.Equal(t, "SecureString", r.Inputs["type"].StringValue(), r)
		require.True(t, r.Inputs["value"].IsSecret() || strings.HasSuffix(r.Inputs["name"].StringValue(), ".crt"), r)
		require.Less(t, len(plain(r.Inputs["value"]).StringValue()), 4096, r)
		require.Equal(t, "platform", r.Inputs["tags"].ObjectValue()["team"].StringValue(), r)
	}
}

// hashCA is K3s's pkg/clientaccess.hashCA in words of our own: what a joining
// node computes of the bundle that /cacerts serves.
func hashCA(t *testing.T, bundle []byte) string {
	certificates, err := parseCertificates(string(bundle))
	require.NoError(t, err)
	hashed := bundle
	if len(certificates) > 1 {
		roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
		for _, certificate := range certificates[1:] {
			if len(certificate.AuthorityKeyId) == 0 || bytes.Equal(certificate.AuthorityKeyId, certificate.SubjectKeyId) {
				roots.AddCert(certificate)
			} else {
				intermediates.AddCert(certificate)
			}
		}
		chains, err := certificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
		require.NoError(t, err, "the server CA must verify against its root")
		hashed = chains[0][len(chains[0])-1].Raw
	}
	sum := sha256.Sum256(hashed)
	return hex.EncodeToString(sum[:])
}

func TestTokens(t *testing.T) {
	c := preview(t, labArgs())
	hash := hashCA(t, []byte(c.parameters["/k3s-aws-auth/lab/server/server-ca.crt"]))
	server, agent := c.parameters["/k3s-aws-auth/lab/server/token"], c.parameters["/k3s-aws-auth/lab/agent/token"]
	require.Regexp(t, "^K10"+hash+"::server:[0-9a-f]{64}$", server)
	require.Regexp(t, "^K10"+hash+"::node:[0-9a-f]{64}$", agent)
	require.NotEqual(t, server[len(server)-64:], agent[len(agent)-64:], "an agent's token must not admit servers")
}

func TestAuthorities(t *testing.T) {
	c := preview(t, labArgs())
	var cas []*x509.Certificate
	for _, name := range []string{"server-ca", "client-ca", "request-header-ca", "etcd/peer-ca", "etcd/server-ca"} {
		bundle, key := c.parameters["/k3s-aws-auth/lab/server/"+name+".crt"], c.parameters["/k3s-aws-auth/lab/server/"+name+".key"]
		_, err := tls.X509KeyPair([]byte(bundle), []byte(key))
		require.NoError(t, err, name)
		certificates, err := parseCertificates(bundle)
		require.NoError(t, err)
		ca := certificates[0]
		require.True(t, ca.IsCA, name)
		require.NotZero(t, ca.KeyUsage&x509.KeyUsageCertSign, name)
		require.NotEmpty(t, ca.SubjectKeyId, "%s: K3s compares key ids", name)
		require.WithinDuration(t, time.Now().AddDate(10, 0, 0), ca.NotAfter, 5*24*time.Hour, name)
		for _, other := range cas {
			require.Error(t, ca.CheckSignatureFrom(other), "%s must not verify against another CA", name)
		}
		cas = append(cas, ca)
	}
	for _, token := range []string{"tls:index/selfSignedCert:SelfSignedCert", "tls:index/locallySignedCert:LocallySignedCert"} {
		for _, r := range c.OfType(token) {
			if r.Name != "lab-admin" {
				require.False(t, r.Inputs.HasValue("earlyRenewalHours"), "%s would be replaced by the calendar", r)
			}
		}
	}
	for _, r := range c.OfType("tls:index/privateKey:PrivateKey") {
		if r.Inputs["algorithm"].StringValue() == "ECDSA" {
			require.Equal(t, "P256", r.Inputs["ecdsaCurve"].StringValue(), r)
		}
	}
	require.NotContains(t, strings.Join(c.parameterNames(), " "), "root", "the root's key stays in the state")
}

func (c *cloud) parameterNames() (names []string) {
	for name := range c.parameters {
		names = append(names, name)
	}
	return names
}

func TestSigningKeys(t *testing.T) {
	active, err := newTestKey("RSA")
	require.NoError(t, err)
	previous, err := newTestKey("RSA")
	require.NoError(t, err)
	ec, err := newTestKey("ECDSA")
	require.NoError(t, err)

	args := labArgs()
	args.SigningKeys = []SigningKey{
		{keyset.Member{Name: "old", State: keyset.Retiring}, pulumi.String(previous)},
		{keyset.Member{Name: "new", State: keyset.Active}, pulumi.String(strings.TrimSpace(active))},
	}
	c := preview(t, args)
	require.Equal(t, active, c.parameters["/k3s-aws-auth/lab/server/service-account/new.key"])
	require.Equal(t, previous, c.parameters["/k3s-aws-auth/lab/server/service-account/old.key"])
	require.True(t, c.Find(t, "aws:ssm/parameter:Parameter", "lab-server-service-account-new.key").Inputs["value"].IsSecret())
	for _, r := range c.OfType("tls:index/privateKey:PrivateKey") {
		require.NotEqual(t, "lab-service-key", r.Name, "no key is made beside the given ones")
	}
	files := parseUserData(t, plain(c.Find(t, "aws:ec2/instance:Instance", "lab-server-0").Inputs["userData"]).StringValue())
	require.Contains(t, files["/etc/k3s-aws-auth/parameters"], "/k3s-aws-auth/lab/server/service-account/old.key /etc/rancher/k3s/service-account/old.key 0600\n")
	var config serverConfig
	require.NoError(t, yaml.Unmarshal([]byte(files["/etc/rancher/k3s/config.yaml"]), &config))
	require.Subset(t, config.KubeAPIServerArg, []string{
		"service-account-key-file=/etc/rancher/k3s/service-account/new.key",
		"service-account-key-file=/etc/rancher/k3s/service-account/old.key",
		"service-account-signing-key-file=/etc/rancher/k3s/service-account/new.key",
	})
	require.Equal(t, []string{"service-account-private-key-file=/etc/rancher/k3s/service-account/new.key"}, config.ControllerManagerArg)

	for name, key := range map[string]string{
		"nothing": "", "text": "key", "EC": ec, "two in one": active + previous, "broken": toPEM("RSA PRIVATE KEY", []byte("no key")),
	} {
		_, err := signingKeyFile(1, key)
		require.ErrorContains(t, err, "args.SigningKeys[1].PrivateKeyPem", name)
		require.NotContains(t, err.Error(), "MII", name)
	}
	args.SigningKeys = []SigningKey{{Member: keyset.Member{Name: "a", State: keyset.Next}}}
	require.EqualError(t, args.validate(), "args.SigningKeys: found no active member, must be a list with exactly one member whose state is active\n"+
		"args.SigningKeys[0].PrivateKeyPem: is nil")
}

func TestInstances(t *testing.T) {
	args := labArgs()
	args.AgentHopLimit = 2
	args.AgentInstanceType = "m7g.large"
	c := preview(t, args)
	servers, agents := []string{"lab-server-0"}, []string{"lab-agent-0", "lab-agent-1"}
	require.Len(t, c.OfType("aws:ec2/instance:Instance"), 3)
	for _, name := range append(servers, agents...) {
		r := c.Find(t, "aws:ec2/instance:Instance", name)
		require.Equal(t, "lab", r.Parent)
		require.Equal(t, []string{"ami"}, r.IgnoreChanges, name)
		require.False(t, r.Inputs.HasValue("userDataReplaceOnChange"), "%s: a change of flags must not take the machine with it", name)
		require.False(t, r.Inputs.HasValue("associatePublicIpAddress"), "%s: a stopped machine would be replaced", name)
		metadata := r.Inputs["metadataOptions"].ObjectValue()
		require.Equal(t, "required", metadata["httpTokens"].StringValue(), name)
		require.Equal(t, "enabled", metadata["httpEndpoint"].StringValue(), name)
		require.Equal(t, "disabled", metadata["instanceMetadataTags"].StringValue(), name)
		hops := map[bool]float64{true: 1, false: 2}[name == "lab-server-0"]
		require.Equal(t, hops, metadata["httpPutResponseHopLimit"].NumberValue(), name)
		root := r.Inputs["rootBlockDevice"].ObjectValue()
		require.True(t, root["encrypted"].BoolValue(), name)
		require.Equal(t, "gp3", root["volumeType"].StringValue(), name)
		require.Equal(t, 20.0, root["volumeSize"].NumberValue(), name)
		for _, tags := range []resource.PropertyMap{r.Inputs["tags"].ObjectValue(), root["tags"].ObjectValue()} {
			require.Equal(t, name, tags["Name"].StringValue())
			require.Equal(t, "platform", tags["team"].StringValue())
		}
		// What a machine reads and crosses at boot exists before it, and after it.
		role := strings.TrimSuffix(strings.TrimSuffix(name, "-0"), "-1")
		for _, needed := range []string{
			"lab-server-service.key",
			"lab-agent-token",
			role + "-boot",
			role,
			role + "s-egress",
			"lab-servers-api-from-agents",
		} {
			require.Contains(t, r.DependsOn, needed, name)
		}
		require.Equal(t, role+"-0a1b2c3", r.Inputs["iamInstanceProfile"].StringValue(), "the profile's name, not its ARN")
	}
	server := c.Find(t, "aws:ec2/instance:Instance", "lab-server-0")
	require.Equal(t, "standard", server.Inputs["creditSpecification"].ObjectValue()["cpuCredits"].StringValue())
	require.Equal(t, "ami-086", server.Inputs["ami"].StringValue())
	require.Equal(t, "lab-servers-id", server.Inputs["vpcSecurityGroupIds"].ArrayValue()[0].StringValue())
	for i, name := range agents {
		agent := c.Find(t, "aws:ec2/instance:Instance", name)
		require.False(t, agent.Inputs.HasValue("creditSpecification"), "EC2 refuses credits for m7g")
		require.Equal(t, "ami-0a64", agent.Inputs["ami"].StringValue())
		require.Equal(t, []string{"subnet-a", "subnet-b"}[i], agent.Inputs["subnetId"].StringValue())
		require.Equal(t, "lab-agents-id", agent.Inputs["vpcSecurityGroupIds"].ArrayValue()[0].StringValue())
	}
	association := c.Find(t, "aws:ec2/eipAssociation:EipAssociation", "lab-api")
	require.Equal(t, "eipalloc-1", association.Inputs["allocationId"].StringValue())
	require.Equal(t, "lab-server-0-id", association.Inputs["instanceId"].StringValue())
}

// A given image is a decision: its change replaces, where Canonical's does not.
func TestGivenImage(t *testing.T) {
	args := labArgs()
	args.AmiID = "ami-0123456789abcdef0"
	r := preview(t, args).Find(t, "aws:ec2/instance:Instance", "lab-server-0")
	require.Equal(t, args.AmiID, r.Inputs["ami"].StringValue())
	require.Empty(t, r.IgnoreChanges)
}

// firewallRules lists the rules of all security groups, one a line.
func firewallRules(c *cloud) string {
	var got strings.Builder
	for _, kind := range []string{"Ingress", "Egress"} {
		for _, r := range c.OfType("aws:vpc/securityGroup" + kind + "Rule:SecurityGroup" + kind + "Rule") {
			ports := "all"
			if r.Inputs.HasValue("fromPort") {
				ports = fmt.Sprintf("%.0f-%.0f", r.Inputs["fromPort"].NumberValue(), r.Inputs["toPort"].NumberValue())
			}
			peer := ""
			for _, key := range []resource.PropertyKey{"referencedSecurityGroupId", "cidrIpv4"} {
				if r.Inputs.HasValue(key) {
					peer += r.Inputs[key].StringValue()
				}
			}
			got.WriteString(strings.Join([]string{kind, r.Inputs["securityGroupId"].StringValue(), r.Inputs["ipProtocol"].StringValue(), ports, peer}, " ") + "\n")
		}
	}
	return got.String()
}

func TestFirewall(t *testing.T) {
	c := preview(t, labArgs())
	pulumitest.Golden(t, "firewall.golden", firewallRules(c))
	for _, r := range c.OfType("aws:ec2/securityGroup:SecurityGroup") {
		require.False(t, r.Inputs.HasValue("ingress") || r.Inputs.HasValue("egress"), "%s: inline and separate rules remove each other", r)
		require.NotEqual(t, "Managed by Pulumi", r.Inputs["description"].StringValue(), r)
	}
}

func TestPolicies(t *testing.T) {
	args := labArgs()
	args.AgentPolicies = map[string]pulumi.StringInput{"identities": pulumi.String(`{"Version":"2012-10-17"}`)}
	args.AgentManagedPolicyArns = []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}
	c := preview(t, args)
	for _, name := range []string{"lab-server-boot", "lab-server-session-manager", "lab-agent-boot", "lab-agent-session-manager"} {
		r := c.Find(t, "aws:iam/rolePolicy:RolePolicy", name)
		pulumitest.Golden(t, name+".json", pulumitest.IndentJSON(t, r.Inputs["policy"].StringValue()))
	}
	require.Equal(t, "lab-agent-role-0a1b2c3", c.Find(t, "aws:iam/rolePolicy:RolePolicy", "lab-agent-identities").Inputs["role"].StringValue())
	attachments := c.OfType("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
	require.Len(t, attachments, 1, "servers get nothing more")
	require.Equal(t, "lab-agent", attachments[0].Parent)
}

func TestEverythingIsTagged(t *testing.T) {
	taggable := map[string]bool{
		"aws:ec2/instance:Instance": true, "aws:ec2/eip:Eip": true, "aws:ec2/securityGroup:SecurityGroup": true,
		"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": true, "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": true,
		"aws:iam/role:Role": true, "aws:iam/instanceProfile:InstanceProfile": true, "aws:ssm/parameter:Parameter": true,
	}
	for _, r := range preview(t, labArgs()).Resources() {
		if taggable[r.Type] {
			require.True(t, r.Inputs.HasValue("tags"), r)
			require.Equal(t, "platform", r.Inputs["tags"].ObjectValue()["team"].StringValue(), r)
		}
	}
}

// The provider of Kubernetes resources waits for everything that they need on
// the way up and down.
func TestProviderDependsOnTheWholeCluster(t *testing.T) {
	provider := preview(t, labArgs()).Find(t, "pulumi:providers:kubernetes", "lab-kubernetes")
	require.Equal(t, "lab", provider.Parent)
	require.Equal(t, "lab", provider.Input("clusterIdentifier"), "the provider would be replaced with every server, and all of Kubernetes with it")
	for _, needed := range []string{
		"lab-server-0", "lab-agent-1", "lab-api",
		"lab-servers-api-from-198-51-100-7-32",
	} {
		require.Contains(t, provider.DependsOn, needed)
	}
}

// An update boots a server that has what its user data says and no more, and
// the kubeconfig that comes out opens it.
func TestUpdateWaitsForTheServerThatItBooted(t *testing.T) {
	c := newCloud(t)
	// An address of this test's own on the loopback network, with K3s's port.
	c.address = "127.83.19.47"
	listener, err := net.Listen("tcp", c.address+":6443")
	if err != nil {
		t.Skip("this machine has no loopback address but 127.0.0.1: ", err)
	}
	var serving *http.Server
	c.onBoot = func(userData string) {
		serving = startAPI(t, listener, c, parseUserData(t, userData))
	}
	defer func() { _ = serving.Close() }()

	var config string
	require.NoError(t, c.run(false, func(ctx *pulumi.Context) error {
		cluster, err := NewCluster(ctx, "lab", labArgs())
		if err != nil {
			return err
		}
		ctx.Export("kubeconfig", cluster.Kubeconfig.ApplyT(func(text string) string { config = text; return text }))
		return nil
	}))
	parsed, err := kubeclient.Parse(config)
	require.NoError(t, err)
	require.Equal(t, "https://127.83.19.47:6443", parsed.Endpoint)
	require.Contains(t, config, "current-context: lab\n")
}

// startAPI does what K3s does with its files: it makes a serving certificate for
// the tls-san from the server CA and lets in admins by the client CA.
func startAPI(t *testing.T, listener net.Listener, c *cloud, files map[string]string) *http.Server {
	var config serverConfig
	require.NoError(t, yaml.Unmarshal([]byte(files["/etc/rancher/k3s/config.yaml"]), &config))
	disk := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(files["/etc/k3s-aws-auth/parameters"]), "\n") {
		fields := strings.Fields(line)
		require.Len(t, fields, 3, line)
		value, found := c.parameters[fields[0]]
		require.True(t, found, "%s does not exist when the server boots", fields[0])
		disk[fields[1]] = value
	}
	require.NotEmpty(t, disk[config.TokenFile])
	require.NotEmpty(t, disk[config.AgentTokenFile])
	certificate := servingCertificate(t, config.TLSSAN, disk[tlsDirectory+"server-ca.crt"], disk[tlsDirectory+"server-ca.key"])
	clients := x509.NewCertPool()
	require.True(t, clients.AppendCertsFromPEM([]byte(disk[tlsDirectory+"client-ca.crt"])))
	server := &http.Server{
		ReadHeaderTimeout: time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client := r.TLS.PeerCertificates[0].Subject
			if r.URL.Path != "/readyz" || client.CommonName != "system:admin" || client.Organization[0] != "system:masters" {
				http.Error(w, "no", http.StatusForbidden)
			}
		}),
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return server
}

func servingCertificate(t *testing.T, names []string, caPEM, caKeyPEM string) tls.Certificate {
	t.Helper()
	cas, err := parseCertificates(caPEM)
	require.NoError(t, err)
	caKey, err := parseKey(caKeyPEM)
	require.NoError(t, err)
	keyPEM, err := newTestKey("ECDSA")
	require.NoError(t, err)
	key, err := parseKey(keyPEM)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: cas[0].SerialNumber, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(name))
	}
	der, err := x509.CreateCertificate(nil, template, cas[0], key.Public(), caKey)
	require.NoError(t, err)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certificate, err := tls.X509KeyPair(append(chain, caPEM...), []byte(keyPEM))
	require.NoError(t, err)
	return certificate
}

// The kubeconfig's certificate outlives those that K3s makes for itself (365 days)
// even where it is renewed at the last moment.
func TestAdminOutlivesLeaves(t *testing.T) {
	require.GreaterOrEqual(t, adminRenewalHours, 365*24, "an `up` a year keeps it alive")
	require.GreaterOrEqual(t, adminHours-adminRenewalHours, 365*24, "and a new one is not made at each")
}
