package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/rules"
)

var testSetups = []Setup{
	{Name: "zeta"},
	{Name: "alpha", Check: func(c *Config, p *Problems) {
		if c.Issuer.Domain == "" {
			p.Add("issuer.domain", "nothing", "set for alpha")
		}
	}},
}

const uploader = `{"name":"uploader","namespace":"default","serviceAccount":"uploader","statements":[` +
	`{"actions":["s3:PutObject"],"resources":["${demo.bucketArn}/uploader/*"]}]}`

// valid is the smallest configuration without a problem.
func valid() map[string]string {
	return map[string]string{
		"aws:region":              "eu-central-1",
		"k3s-aws-auth:setup":      "zeta",
		"k3s-aws-auth:demo":       "true",
		"k3s-aws-auth:network":    `{"zones":["eu-central-1a"],"apiCidrs":["203.0.113.7/32"]}`,
		"k3s-aws-auth:identities": "[" + uploader + "]",
	}
}

func loadMap(values map[string]string, secrets ...string) (*Config, error) {
	return Parse(values, secrets, "lab", testSetups)
}

func TestLoadCompletesWithDefaults(t *testing.T) {
	got, err := loadMap(valid())
	require.NoError(t, err)
	want := Defaults("lab")
	want.Setup, want.Region, want.Demo = "zeta", "eu-central-1", true
	want.Network.Zones = []string{"eu-central-1a"}
	want.Network.APICIDRs = []string{"203.0.113.7/32"}
	want.Identities = []Identity{{
		Name: "uploader", Namespace: "default", ServiceAccount: "uploader", MaxSessionSeconds: 3600, CreateAccount: true,
		Statements: []Statement{{Effect: "Allow", Actions: []string{"s3:PutObject"}, Resources: []string{"${demo.bucketArn}/uploader/*"}}},
	}}
	require.Equal(t, &want, got)
}

func TestLoadReadsEveryValue(t *testing.T) {
	values := valid()
	maps.Copy(values, map[string]string{
		"k3s-aws-auth:clusterName":   "blue",
		"k3s-aws-auth:cluster":       `{"version":"v1.34.2-rc1+k3s2","agents":3.0,"serverInstanceType":"c7g.2xlarge","agentInstanceType":"t4g.large","amiId":"ami-0123456789abcdef0","cpuCredits":null}`,
		"k3s-aws-auth:issuer":        `{"bucket":"blue-issuer","domain":"oidc.example.com","hostedZoneId":"Z123","cacheTtlSeconds":60}`,
		"k3s-aws-auth:rolesAnywhere": `{"sessionSeconds":900,"helper":{"delivery":"sidecar"}}`,
		"k3s-aws-auth:tags":          `{"team":"identity"}`,
		"k3s-aws-auth:demo":          "false",
		"k3s-aws-auth:demoImage":     "registry.example.com:5000/cli@sha256:" + strings.Repeat("ab", 32),
		"k3s-aws-auth:identities": `[{"name":"a","namespace":"n","serviceAccount":"s.t","createNamespace":true,"maxSessionSeconds":7200,` +
			`"managedPolicyArns":["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"],"statements":[{"sid":"One","effect":"Deny",` +
			`"notActions":["iam:*"],"notResources":["arn:aws:s3:::b/${aws:PrincipalTag/team,'none'}/*"],` +
			`"conditions":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["x","y"]}}}]}]`,
	})
	got, err := loadMap(values)
	require.NoError(t, err)
	require.Equal(t, "blue", got.ClusterName)
	require.Equal(t, "v1.34.2-rc1+k3s2", got.Cluster.Version)
	require.Equal(t, 3, got.Cluster.Agents)
	require.Equal(t, "unlimited", got.Cluster.CPUCredits, "null keeps the default")
	require.Equal(t, 1, got.Cluster.Servers, "a key left out keeps its default")
	require.Equal(t, 60, got.Issuer.CacheTTLSeconds)
	require.Equal(t, "sidecar", got.RolesAnywhere.Helper.Delivery)
	require.Equal(t, 34, got.KubernetesMinor())
	require.True(t, got.ArmAgents())
	require.Equal(t, 2160, got.RolesAnywhere.LeafValidityHours)
	require.False(t, got.Demo)
	require.Equal(t, []string{"x", "y"}, got.Identities[0].Statements[0].Conditions["ForAnyValue:StringLikeIfExists"]["aws:TagKeys"])
	require.Equal(t, map[string]string{"team": "identity", "k3s-aws-auth/cluster": "blue"}, got.ResourceTags())
}

// identity returns the uploader with one key set to a JSON value.
func identity(key, value string) string {
	base := strings.Replace(uploader, `"`+key+`":"`, `"was`+key+`":"`, 1)
	if key == "statements" {
		base = uploader[:strings.Index(uploader, `,"statements"`)] + "}"
	}
	if strings.Contains(base, `"was`+key) {
		start := strings.Index(base, `"was`+key)
		end := start + strings.Index(base[start:], `",`) + 2
		base = base[:start] + base[end:]
	}
	return `[{"` + key + `":` + value + `,` + base[1:] + `]`
}

func statement(s string) string { return identity("statements", "["+s+"]") }

func TestLoadReportsEachRule(t *testing.T) {
	const ok = `"actions":["s3:GetObject"],"resources":["*"]`
	tests := []struct {
		name, key, value string
		want             []string
	}{
		{"setup missing", "setup", "", []string{`setup: found nothing: must be alpha or zeta`}},
		{"setup unknown", "setup", "bravo", []string{`setup: found "bravo": must be alpha or zeta`}},
		{"setup misspelled", "setup", "zetta", []string{`setup: found "zetta": must be alpha or zeta (did you mean zeta?)`}},
		{"rule of one setup", "setup", "alpha", []string{`issuer.domain: found nothing: must be set for alpha`}},
		{"top-level typo", "identites", "[]", []string{`identites: found an unknown key: must be one of alarms, cluster, clusterName, demo, demoImage, identities, injection, issuer, issuers, network, permissionsBoundary, production, rolesAnywhere, setup, signingKeys, tags, webhook (did you mean identities?)`}},
		{"region missing", "aws:region", "", []string{`aws:region: found nothing: must be a region such as eu-central-1`}},
		{"region malformed", "aws:region", "Frankfurt", []string{`aws:region: found "Frankfurt": must be a region such as eu-central-1`}},
		{"cluster name with dot", "clusterName", "a.b", []string{`clusterName: found "a.b": must be a lower-case letter, then`}},
		{"cluster name too long", "clusterName", strings.Repeat("a", 29), []string{`clusterName: found "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa": must be a lower-case letter`}},
		{"cluster name starts with digit", "clusterName", "1a", []string{`clusterName: found "1a": must be a lower-case letter`}},

		{"injection", "injection", "sidecar", []string{`injection: found "sidecar": must be admission-policy, manifest or webhook`}},
		{"boundary", "permissionsBoundary", "Boundary", []string{`permissionsBoundary: found "Boundary": must be the ARN of a managed policy`}},
		{"boundary of another partition", "permissionsBoundary", "arn:aws-cn:iam::111122223333:policy/b", []string{`permissionsBoundary: found "arn:aws-cn:iam::111122223333:policy/b": must be in partition aws, that of eu-central-1`}},
		{"alarms off", "alarms", `{"emails":["ops@example.com"]}`, []string{`alarms.enabled: found false: must be true where alarms.emails names somebody`}},
		{"log days", "issuer", `{"accessLogDays":-1}`, []string{`issuer.accessLogDays: found -1: must be between 0 and 3650 days`}},
		{"issuers of an identity", "identities", identity("issuers", `["oidc.example.com"]`), []string{
			`identities[0].issuers[0]: found "oidc.example.com": must be the URL of an issuer`,
		}},
		{"object is text", "cluster", "big", []string{`cluster: found "big": must be an object with keys among agentInstanceType,`}},
		{"object is a list", "cluster", "[]", []string{`cluster: found a list: must be an object with keys among`}},
		{"nested typo", "cluster", `{"versio":"v1.35.4+k3s1"}`, []string{`cluster.versio: found an unknown key: must be one of agentInstanceType, agents,`, `(did you mean version?)`}},
		{"letter case", "cluster", `{"Version":"v1.35.4+k3s1"}`, []string{`cluster.Version: found an unknown key: must be one of`, `(did you mean version?)`}},
		{"mode", "cluster", `{"mode":"exist"}`, []string{`cluster.mode: found "exist": must be create or existing`}},
		{"existing without kubeconfig", "cluster", `{"mode":"existing"}`, []string{`cluster.kubeconfig: found nothing: must be the kubeconfig of the cluster`}},
		{"kubeconfig is plain", "cluster", `{"mode":"existing","kubeconfig":"hush"}`, []string{`cluster.kubeconfig: found plain text: must be a secret`}},
		{"keys of one's own", "cluster", `{"publicKeys":["x"]}`, []string{`cluster.publicKeys: found 1 keys: must be left out unless cluster.mode is existing`}},
		{"version without k3s", "cluster", `{"version":"v1.35.4"}`, []string{`cluster.version: found "v1.35.4": must be a K3s release such as v1.35.4+k3s1`}},
		{"version encoded", "cluster", `{"version":"v1.35.4%2Bk3s1"}`, []string{`cluster.version: found "v1.35.4%2Bk3s1": must be a K3s release`}},
		{"version number", "cluster", `{"version":1.35}`, []string{`cluster.version: found the number 1.35: must be text (put it in quotes)`}},
		{"sha256", "cluster", `{"binarySha256":"abc"}`, []string{`cluster.binarySha256: found "abc": must be the 64 lower-case hex digits`}},
		{"servers", "cluster", `{"servers":2}`, []string{`cluster.servers: found 2: must be 1, 3 or 5`}},
		{"agents", "cluster", `{"agents":0}`, []string{`cluster.agents: found 0: must be between 1 and 100`}},
		{"agents fraction", "cluster", `{"agents":1.5}`, []string{`cluster.agents: found the number 1.5: must be a whole number`}},
		{"agents text", "cluster", `{"agents":"2"}`, []string{`cluster.agents: found "2": must be a whole number`}},
		{"agents huge", "cluster", `{"agents":1e400}`, []string{`cluster.agents: found the number 1e400: must be a whole number`}},
		{"digest for two architectures", "cluster", `{"agentInstanceType":"t4g.medium","binarySha256":"` + strings.Repeat("ab", 32) + `"}`, []string{`cluster.binarySha256: found one digest: must be left out while t3.medium and t4g.medium differ in architecture`}},
		{"image for two architectures", "cluster", `{"serverInstanceType":"a1.medium","amiId":"ami-01234567"}`, []string{`cluster.amiId: found one image: must be left out while a1.medium and t3.medium differ in architecture`}},
		{"server type", "cluster", `{"serverInstanceType":"t3"}`, []string{`cluster.serverInstanceType: found "t3": must be an EC2 instance type such as t3.medium`}},
		{"a Mac", "cluster", `{"agentInstanceType":"mac2.metal"}`, []string{`cluster.agentInstanceType: found "mac2.metal": must be an EC2 instance type that Ubuntu's images boot on`}},
		{"agent type", "cluster", `{"agentInstanceType":"T3.medium"}`, []string{`cluster.agentInstanceType: found "T3.medium": must be an EC2 instance type`}},
		{"ami", "cluster", `{"amiId":"ubuntu"}`, []string{`cluster.amiId: found "ubuntu": must be an AMI id such as`}},
		{"volume", "cluster", `{"rootVolumeGiB":4}`, []string{`cluster.rootVolumeGiB: found 4: must be between 8 and 16384 GiB`}},
		{"credits", "cluster", `{"cpuCredits":"unlimted"}`, []string{`cluster.cpuCredits: found "unlimted": must be standard or unlimited (did you mean unlimited?)`}},
		{"api access", "cluster", `{"apiAccess":"internal"}`, []string{`cluster.apiAccess: found "internal": must be private or public`}},
		{"snapshot bucket", "cluster", `{"etcdSnapshots":{"bucket":"Backups"}}`, []string{`cluster.etcdSnapshots.bucket: found "Backups": must be 3 to 63`}},
		{"snapshot schedule", "cluster", `{"etcdSnapshots":{"schedule":"hourly"}}`, []string{`cluster.etcdSnapshots.schedule: found "hourly": must be a cron expression`}},
		{"snapshot retention", "cluster", `{"etcdSnapshots":{"retention":0}}`, []string{`cluster.etcdSnapshots.retention: found 0: must be between 1 and 1000`}},

		{"nat unknown", "network", `{"private":true,"nat":"two"}`, []string{`network.nat: found "two": must be none, per-zone or single`}},
		{"nat for nobody", "network", `{"nat":"single"}`, []string{`network.nat: found "single": must be none unless network.private is true`}},
		{"no way out", "network", `{"private":true,"vpcEndpoints":true}`, []string{`network.nat: found "none": must be single or per-zone: private nodes without a way out need`}},
		{"cidr malformed", "network", `{"cidr":"10.0.0.0"}`, []string{`network.cidr: found "10.0.0.0": must be an IPv4 block without host bits`}},
		{"cidr host bits", "network", `{"cidr":"10.0.0.1/16"}`, []string{`network.cidr: found "10.0.0.1/16": must be an IPv4 block without host bits`}},
		{"cidr six", "network", `{"cidr":"fd00::/16"}`, []string{`network.cidr: found "fd00::/16": must be an IPv4 block`}},
		{"cidr large", "network", `{"cidr":"10.0.0.0/8"}`, []string{`network.cidr: found "10.0.0.0/8": must be between /16 and /24`}},
		{"cidr small", "network", `{"cidr":"10.0.0.0/28"}`, []string{`network.cidr: found "10.0.0.0/28": must be between /16 and /24`}},
		{"cidr public", "network", `{"cidr":"8.8.0.0/16"}`, []string{`network.cidr: found "8.8.0.0/16": must be private`}},
		{"cidr of pods", "network", `{"cidr":"10.42.8.0/24"}`, []string{`network.cidr: found "10.42.8.0/24": must be apart from 10.42.0.0/16 and 10.43.0.0/16`}},
		{"zones missing", "network", `{"apiCidrs":["0.0.0.0/0"]}`, []string{`network.zones: found nothing: must be at least one availability zone, such as eu-central-1a`}},
		{"zone elsewhere", "network", `{"zones":["us-east-1a"]}`, []string{`network.zones[0]: found "us-east-1a": must be an availability zone of eu-central-1, such as eu-central-1a`}},
		{"zone is region", "network", `{"zones":["eu-central-1"]}`, []string{`network.zones[0]: found "eu-central-1": must be an availability zone`}},
		{"zone twice", "network", `{"zones":["eu-central-1a","eu-central-1a"]}`, []string{`network.zones[1]: found "eu-central-1a": must be another zone than network.zones[0]`}},
		{"zones many", "network", `{"zones":["eu-central-1a","eu-central-1b","eu-central-1c","eu-central-1d","eu-central-1e","eu-central-1f","eu-central-1g"]}`, []string{`network.zones: found 7 zones: must be at most 6`}},
		{"zone null", "network", `{"zones":[null]}`, []string{`network.zones[0]: found null: must be a value, or left out`}},
		{"api missing", "network", `{"zones":["eu-central-1a"]}`, []string{`network.apiCidrs: found nothing: must be at least one IPv4 block that may reach the Kubernetes API`}},
		{"api malformed", "network", `{"apiCidrs":["203.0.113.7"]}`, []string{`network.apiCidrs[0]: found "203.0.113.7": must be an IPv4 block without host bits such as 203.0.113.7/32`}},
		{"api twice", "network", `{"apiCidrs":["0.0.0.0/0","0.0.0.0/0"]}`, []string{`network.apiCidrs[1]: found "0.0.0.0/0": must be another block than network.apiCidrs[0]`}},

		{"bucket with dots", "issuer", `{"bucket":"oidc.example"}`, []string{`issuer.bucket: found "oidc.example": must be a name without dots: the certificate of`}},
		{"bucket upper case", "issuer", `{"bucket":"Issuer"}`, []string{`issuer.bucket: found "Issuer": must be 3 to 63 lower-case letters, digits and hyphens`}},
		{"bucket short", "issuer", `{"bucket":"ab"}`, []string{`issuer.bucket: found "ab": must be 3 to 63`}},
		{"bucket hyphen", "issuer", `{"bucket":"abc-"}`, []string{`issuer.bucket: found "abc-": must be 3 to 63`}},
		{"bucket prefix", "issuer", `{"bucket":"xn--issuer"}`, []string{`issuer.bucket: found "xn--issuer": must be a name that does not start with xn--, which S3 reserves`}},
		{"bucket suffix", "issuer", `{"bucket":"issuer-s3alias"}`, []string{`issuer.bucket: found "issuer-s3alias": must be a name that does not end with -s3alias, which S3 reserves`}},
		{"domain wildcard", "issuer", `{"domain":"*.example.com"}`, []string{`issuer.domain: found "*.example.com": must be one host's name`}},
		{"domain url", "issuer", `{"domain":"https://oidc.example.com"}`, []string{`issuer.domain: found "https://oidc.example.com": must be a bare host name`}},
		{"domain trailing dot", "issuer", `{"domain":"oidc.example.com."}`, []string{`issuer.domain: found "oidc.example.com.": must be a host name in lower case`}},
		{"domain one label", "issuer", `{"domain":"localhost"}`, []string{`issuer.domain: found "localhost": must be a host name`}},
		{"domain address", "issuer", `{"domain":"10.0.0.1"}`, []string{`issuer.domain: found "10.0.0.1": must be a host name`}},
		{"domain upper case", "issuer", `{"domain":"OIDC.example.com"}`, []string{`issuer.domain: found "OIDC.example.com": must be a host name in lower case`}},
		{"domain long", "issuer", `{"domain":"` + strings.Repeat("a", 60) + `.example.com"}`, []string{`issuer.domain: found 72 characters: must be at most 64`}},
		{"domain of the cluster's DNS", "issuer", `{"domain":"oidc.svc.cluster.local"}`, []string{`issuer.domain: found "oidc.svc.cluster.local": must be a name of public DNS, which those that end in .local are not`}},
		{"domain of a private network", "issuer", `{"domain":"oidc.corp.internal"}`, []string{`must be a name of public DNS, which those that end in .internal are not`}},
		{"domain of AWS", "issuer", `{"domain":"d111111abcdef8.cloudfront.net"}`, []string{`issuer.domain: found "d111111abcdef8.cloudfront.net": must be a domain of yours`}},
		{"dns", "issuer", `{"dns":"cloudflare"}`, []string{`issuer.dns: found "cloudflare": must be external or route53`}},
		{"zone with external", "issuer", `{"dns":"external","hostedZoneId":"Z123"}`, []string{`issuer.hostedZoneId: found "Z123": must be left out while issuer.dns is external`}},
		{"zone with path", "issuer", `{"hostedZoneId":"/hostedzone/Z123"}`, []string{`issuer.hostedZoneId: found "/hostedzone/Z123": must be a Route 53 zone id such as`}},
		{"thumbprint literal", "issuer", `{"thumbprint":"9e99a48a9960b14926bb7f3b02e22da2b0ab7280"}`, []string{`issuer.thumbprint: found "9e99a48a9960b14926bb7f3b02e22da2b0ab7280": must be dynamic or none`}},
		{"ttl", "issuer", `{"cacheTtlSeconds":0}`, []string{`issuer.cacheTtlSeconds: found 0: must be between 1 and 86400 seconds`}},
		{"price class", "issuer", `{"priceClass":"PriceClass_300"}`, []string{`issuer.priceClass: found "PriceClass_300": must be PriceClass_100, PriceClass_200 or PriceClass_All (did you mean PriceClass_100?)`}},

		{"renews after it expires", "rolesAnywhere", `{"leafValidityHours":24,"leafEarlyRenewalHours":24}`, []string{`rolesAnywhere.leafEarlyRenewalHours: found 24: must be less than rolesAnywhere.leafValidityHours (24)`}},
		{"renews never", "rolesAnywhere", `{"leafEarlyRenewalHours":0}`, []string{`rolesAnywhere.leafEarlyRenewalHours: found 0: must be between 1 and 878400 hours`}},
		{"leaf outlives CA", "rolesAnywhere", `{"caValidityHours":2160}`, []string{`rolesAnywhere.leafValidityHours: found 2160: must be less than rolesAnywhere.caValidityHours (2160)`}},
		{"CA forever", "rolesAnywhere", `{"caValidityHours":999999999}`, []string{`rolesAnywhere.caValidityHours: found 999999999: must be between 1 and 878400 hours`}},
		{"leaf nothing", "rolesAnywhere", `{"leafValidityHours":0}`, []string{`rolesAnywhere.leafValidityHours: found 0: must be between 1 and 878400 hours`}},
		{"session short", "rolesAnywhere", `{"sessionSeconds":899}`, []string{`rolesAnywhere.sessionSeconds: found 899: must be between 900 and 43200 seconds`}},
		{"session long", "rolesAnywhere", `{"sessionSeconds":43201}`, []string{`rolesAnywhere.sessionSeconds: found 43201: must be between 900 and 43200 seconds`}},
		{"session name", "rolesAnywhere", `{"sessionName":"pods"}`, []string{`rolesAnywhere.sessionName: found "pods": must be pod or serial (did you mean pod?)`}},
		{"session name of another setup", "rolesAnywhere", `{"sessionName":"pod"}`, []string{`rolesAnywhere.sessionName: found "pod": must be serial, or left out, for setup zeta: only roles-anywhere names sessions by it`}},
		{"helper delivery", "rolesAnywhere", `{"helper":{"delivery":"download"}}`, []string{`rolesAnywhere.helper.delivery: found "download": must be image-volume, node or sidecar`}},
		{"helper image", "rolesAnywhere", `{"helper":{"image":"public.ecr.aws/rolesanywhere/credential-helper:1.8.5"}}`, []string{`rolesAnywhere.helper.image: found "public.ecr.aws/rolesanywhere/credential-helper:1.8.5": must be an image with a digest`}},
		{"helper path", "rolesAnywhere", `{"helper":{"nodePath":"bin/../helper"}}`, []string{`rolesAnywhere.helper.nodePath: found "bin/../helper": must be an absolute path`}},
		{"helper digest", "rolesAnywhere", `{"helper":{"nodeSha256":"x"}}`, []string{`rolesAnywhere.helper.nodeSha256: found "x": must be the 64 lower-case hex digits`}},
		{"helper digest missing", "rolesAnywhere", `{"helper":{"delivery":"node"}}`, []string{`rolesAnywhere.helper.nodeSha256: found nothing: must be the SHA-256 of the helper on the nodes`}},
		{"helper unknown key", "rolesAnywhere", `{"helper":{"url":"x"}}`, []string{`rolesAnywhere.helper.url: found an unknown key: must be one of`}},

		{"identities text", "identities", "uploader", []string{`identities: found "uploader": must be a list`}},
		{"identities empty", "identities", "[]", []string{`identities: found nothing: must be a list with at least one pod identity`}},
		{"identity is text", "identities", `["uploader"]`, []string{`identities[0]: found "uploader": must be an object with keys among`}},
		{"identity null", "identities", `[null]`, []string{`identities[0]: found null: must be a value, or left out`}},
		{"identity typo", "identities", identity("serviceAcount", `"x"`), []string{`identities[0].serviceAcount: found an unknown key: must be one of`, `(did you mean serviceAccount?)`}},
		{"identity name", "identities", identity("name", `"Up_loader"`), []string{`identities[0].name: found "Up_loader": must be lower-case letters, digits and hyphens`}},
		{"identity name missing", "identities", identity("name", `""`), []string{`identities[0].name: found nothing: must be lower-case letters`}},
		{"identity name long", "identities", identity("name", `"`+strings.Repeat("u", 41)+`"`), []string{`identities[0].name: found "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu": must be lower-case letters`, `at most 40 characters`}},
		{"two with one name", "identities", "[" + uploader + "," + strings.Replace(uploader, `"serviceAccount":"uploader"`, `"serviceAccount":"other"`, 1) + "]",
			[]string{`identities[1].name: found "uploader": must be another name than that of identities[0]`}},
		{"two with one service account", "identities", "[" + uploader + "," + strings.Replace(uploader, `"name":"uploader"`, `"name":"other"`, 1) + "]",
			[]string{`identities[1].serviceAccount: found "uploader": must be another service account than that of identities[0]`}},
		{"namespace", "identities", identity("namespace", `"a.b"`), []string{`identities[0].namespace: found "a.b": must be a namespace`}},
		{"namespace long", "identities", identity("namespace", `"`+strings.Repeat("n", 64)+`"`), []string{`identities[0].namespace: found "nnnn`, `at most 63 characters`}},
		{"namespace wildcard", "identities", identity("namespace", `"team-*"`), []string{`identities[0].namespace: found "team-*": must be the name of one namespace: a wildcard`}},
		{"namespace of Kubernetes", "identities", identity("createNamespace", `true`), []string{`identities[0].createNamespace: found true: must be false, since Kubernetes makes default itself`}},
		{"service account wildcard", "identities", identity("serviceAccount", `"*"`), []string{`identities[0].serviceAccount: found "*": must be the name of one service account: a wildcard`}},
		{"service account question mark", "identities", identity("serviceAccount", `"upload?r"`), []string{`identities[0].serviceAccount: found "upload?r": must be the name of one service account`}},
		{"service account default", "identities", identity("serviceAccount", `"default"`), []string{`identities[0].serviceAccount: found "default": must be a name of its own`}},
		{"service account form", "identities", identity("serviceAccount", `"up..loader"`), []string{`identities[0].serviceAccount: found "up..loader": must be lower-case letters, digits, hyphens and dots`}},
		{"service account long", "identities", identity("serviceAccount", `"`+strings.Repeat("s", 254)+`"`), []string{`identities[0].serviceAccount: found "sss`, `at most 253 characters`}},
		{"more accounts without one", "identities", `[{"name":"a","namespace":"n","serviceAccounts":["b"],"managedPolicyArns":["arn:aws:iam::aws:policy/X"]}]`,
			[]string{`identities[0].serviceAccount: found nothing: must be the first service account, after which the role is named: serviceAccounts has the others`}},
		{"more accounts wildcard", "identities", identity("serviceAccounts", `["work*"]`), []string{`identities[0].serviceAccounts[0]: found "work*": must be the name of one service account: a wildcard`}},
		{"more accounts namespace wildcard", "identities", identity("serviceAccounts", `["team-*/worker"]`), []string{`identities[0].serviceAccounts[0]: found "team-*/worker": must be in one namespace: a wildcard`}},
		{"more accounts default", "identities", identity("serviceAccounts", `["default"]`), []string{`identities[0].serviceAccounts[0]: found "default": must be a name of its own`}},
		{"more accounts namespace form", "identities", identity("serviceAccounts", `["a.b/worker"]`), []string{`identities[0].serviceAccounts[0]: found "a.b/worker": must be namespace/name`}},
		{"more accounts nothing", "identities", identity("serviceAccounts", `[""]`), []string{`identities[0].serviceAccounts[0]: found nothing: must be lower-case letters`}},
		{"more accounts half", "identities", identity("serviceAccounts", `["team/"]`), []string{`identities[0].serviceAccounts[0]: found nothing: must be lower-case letters`}},
		{"more accounts of three parts", "identities", identity("serviceAccounts", `["a/b/c"]`), []string{`identities[0].serviceAccounts[0]: found "b/c": must be lower-case letters`}},
		{"more accounts the same", "identities", identity("serviceAccounts", `["default/uploader"]`), []string{`identities[0].serviceAccounts[0]: found "default/uploader": must be another service account than that of identities[0]`}},
		{"more accounts another's", "identities", "[" + uploader + "," + strings.NewReplacer(`"name":"uploader"`, `"name":"other"`, `"serviceAccount":"uploader"`, `"serviceAccount":"other","serviceAccounts":["uploader"]`).Replace(uploader) + "]",
			[]string{`identities[1].serviceAccounts[0]: found "uploader": must be another service account than that of identities[0]`}},
		{"two demo pods of one name", "identities", "[" + strings.Replace(uploader, `"statements"`, `"serviceAccounts":["b"],"statements"`, 1) + "," +
			strings.NewReplacer(`"name":"uploader"`, `"name":"uploader-b"`, `"serviceAccount":"uploader"`, `"serviceAccount":"other"`).Replace(uploader) + "]",
			[]string{`identities[1].serviceAccount: found "other": must be another service account, or demo false: the demo pod would be called uploader-b, as that of identities[0] is`}},
		{"role maximum", "identities", identity("maxSessionSeconds", `900`), []string{`identities[0].maxSessionSeconds: found 900: must be between 3600 and 43200 seconds`}},
		{"no permissions", "identities", identity("statements", `[]`), []string{`identities[0].statements: found nothing: must be at least one statement, unless managedPolicyArns, preset, prefixPerPod, assumeRoles or pull give permissions`}},
		{"managed policy name", "identities", identity("managedPolicyArns", `["AmazonS3ReadOnlyAccess"]`), []string{`identities[0].managedPolicyArns[0]: found "AmazonS3ReadOnlyAccess": must be the ARN of a managed policy`}},
		{"managed policy of a role", "identities", identity("managedPolicyArns", `["arn:aws:iam::111122223333:role/x"]`), []string{`identities[0].managedPolicyArns[0]: found "arn:aws:iam::111122223333:role/x": must be the ARN of a managed policy`}},
		{"managed policy elsewhere", "identities", identity("managedPolicyArns", `["arn:aws-cn:iam::aws:policy/X"]`), []string{`identities[0].managedPolicyArns[0]: found "arn:aws-cn:iam::aws:policy/X": must be in partition aws, that of eu-central-1`}},
		{"managed policies many", "identities", identity("managedPolicyArns", `["arn:aws:iam::aws:policy/P`+strings.Join(strings.Split("0123456789a", ""), `","arn:aws:iam::aws:policy/P`)+`"]`), []string{`identities[0].managedPolicyArns: found 11 policies: must be at most 10`}},
		{"policy long", "identities", statement(`{"actions":["s3:GetObject"],"resources":["arn:aws:s3:::` + strings.Repeat("b", 10240) + `"]}`), []string{`identities[0].statements: found a policy of 103`, `must be at most 10240 characters as JSON`}},
		{"managed policy twice", "identities", identity("managedPolicyArns", `["arn:aws:iam::aws:policy/X","arn:aws:iam::aws:policy/X"]`), []string{`identities[0].managedPolicyArns[1]: found "arn:aws:iam::aws:policy/X": must be listed once`}},

		{"effect", "identities", statement(`{"effect":"allow",` + ok + `}`), []string{`identities[0].statements[0].effect: found "allow": must be Allow or Deny (did you mean Allow?)`}},
		{"sid", "identities", statement(`{"sid":"a b",` + ok + `}`), []string{`identities[0].statements[0].sid: found "a b": must be letters and digits only`}},
		{"sid twice", "identities", statement(`{"sid":"A",` + ok + `},{"sid":"A",` + ok + `}`), []string{`identities[0].statements[1].sid: found "A": must be another sid than that of identities[0].statements[0]`}},
		{"principal", "identities", statement(`{"principal":"*",` + ok + `}`), []string{`identities[0].statements[0].principal: found an unknown key: must be one of`}},
		{"no actions", "identities", statement(`{"actions":[],"resources":["*"]}`), []string{`identities[0].statements[0].actions: found nothing: must be a list with at least one entry, unless notActions has some`}},
		{"both actions", "identities", statement(`{"notActions":["iam:*"],` + ok + `}`), []string{`identities[0].statements[0].notActions: found 1 beside actions: must be left out`}},
		{"no resources", "identities", statement(`{"actions":["s3:*"]}`), []string{`identities[0].statements[0].resources: found nothing: must be a list`}},
		{"both resources", "identities", statement(`{"notResources":["*"],` + ok + `}`), []string{`identities[0].statements[0].notResources: found 1 beside resources: must be left out`}},
		{"action form", "identities", statement(`{"actions":["PutObject"],"resources":["*"]}`), []string{`identities[0].statements[0].actions[0]: found "PutObject": must be service:Action`}},
		{"action service wildcard", "identities", statement(`{"notActions":["*:Put"],"resources":["*"]}`), []string{`identities[0].statements[0].notActions[0]: found "*:Put": must be service:Action`}},
		{"action is not a list", "identities", statement(`{"actions":"s3:*","resources":["*"]}`), []string{`identities[0].statements[0].actions: found "s3:*": must be a list`}},
		{"resource form", "identities", statement(`{"actions":["s3:*"],"resources":["bucket/*"]}`), []string{`identities[0].statements[0].resources[0]: found "bucket/*": must be *, an ARN`}},
		{"not-resource form", "identities", statement(`{"actions":["s3:*"],"notResources":["arn:aws:s3"]}`), []string{`identities[0].statements[0].notResources[0]: found "arn:aws:s3": must be *, an ARN`}},
		{"placeholder unknown", "identities", statement(`{"actions":["s3:*"],"resources":["${demo.bucketARN}/*"]}`), []string{`identities[0].statements[0].resources[0]: found "${demo.bucketARN}": must be ${demo.bucketArn} or a policy variable of IAM`, `(did you mean ${demo.bucketArn}?)`}},
		{"placeholder open", "identities", statement(`{"actions":["s3:*"],"resources":["${demo.bucketArn"]}`), []string{`identities[0].statements[0].resources[0]: found "${demo.bucketArn": must be closed`}},
		{"placeholder in a condition", "identities", statement(`{"conditions":{"StringEquals":{"aws:SourceArn":["${bucket}"]}},` + ok + `}`), []string{`identities[0].statements[0].conditions.StringEquals["aws:SourceArn"][0]: found "${bucket}": must be`}},
		{"condition operator", "identities", statement(`{"conditions":{"StringMatches":{"aws:SourceIp":["x"]}},` + ok + `}`), []string{`identities[0].statements[0].conditions.StringMatches: found "StringMatches": must be a condition operator of IAM`}},
		{"condition operator empty", "identities", statement(`{"conditions":{"Bool":{}},` + ok + `}`), []string{`identities[0].statements[0].conditions.Bool: found nothing: must be an object of condition keys`}},
		{"condition key", "identities", statement(`{"conditions":{"Bool":{"SecureTransport":["true"]}},` + ok + `}`), []string{`identities[0].statements[0].conditions.Bool.SecureTransport: found "SecureTransport": must be a condition key`}},
		{"condition values empty", "identities", statement(`{"conditions":{"Bool":{"aws:SecureTransport":[]}},` + ok + `}`), []string{`identities[0].statements[0].conditions.Bool["aws:SecureTransport"]: found nothing: must be a list with at least one value`}},
		{"condition value kind", "identities", statement(`{"conditions":{"Bool":{"aws:SecureTransport":[true]}},` + ok + `}`), []string{`identities[0].statements[0].conditions.Bool["aws:SecureTransport"][0]: found true: must be text`}},

		{"demo", "demo", "yes", []string{`demo: found "yes": must be true or false`}},
		{"demo off", "demo", "false", []string{`identities[0].statements[0].resources[0]: found "${demo.bucketArn}": must be used only where demo is true`}},
		{"image unpinned", "demoImage", "amazon/aws-cli", []string{`demoImage: found "amazon/aws-cli": must be an image with a tag other than latest, or a digest`}},
		{"image latest", "demoImage", "amazon/aws-cli:latest", []string{`demoImage: found "amazon/aws-cli:latest": must be`}},
		{"image port is no tag", "demoImage", "registry:5000/aws-cli", []string{`demoImage: found "registry:5000/aws-cli": must be`}},
		{"image digest", "demoImage", "amazon/aws-cli@sha256:12", []string{`demoImage: found "amazon/aws-cli@sha256:12": must be`}},

		{"tags list", "tags", "[]", []string{`tags: found a list: must be an object`}},
		{"tag value kind", "tags", `{"cost":1}`, []string{`tags.cost: found the number 1: must be text (put it in quotes)`}},
		{"tag value null", "tags", `{"cost":null}`, []string{`tags.cost: found null: must be a value`}},
		{"tag key reserved", "tags", `{"AWS:x":"y"}`, []string{`tags["AWS:x"]: found "AWS:x" as the tag's key: must be without the prefix aws:`}},
		{"tag key ours", "tags", `{"k3s-aws-auth/cluster":"y"}`, []string{`tags["k3s-aws-auth/cluster"]: found "k3s-aws-auth/cluster" as the tag's key: must be without the prefix k3s-aws-auth/`}},
		{"tag key characters", "tags", `{"a;b":"y"}`, []string{`tags["a;b"]: found "a;b" as the tag's key: must be 1 to 128 letters`}},
		{"tag key case", "tags", `{"Team":"a","team":"b"}`, []string{`tags.team: found "team" as the tag's key: must be different from Team by more than letter case`}},
		{"tag value long", "tags", `{"a":"` + strings.Repeat("v", 257) + `"}`, []string{`tags.a: found "vvvv`, `must be at most 256 letters`}},
		{"tags many", "tags", `{"a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":""}`, []string{`tags: found 9 tags: must be at most 8`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			values, key := valid(), test.key
			if !strings.Contains(key, ":") {
				key = Project + ":" + key
			}
			values[key] = test.value
			if test.key == "network" {
				// The rule under test is the only one that fails.
				values[key] = strings.TrimSuffix(test.value, "}")
				for name, rest := range map[string]string{"zones": `["eu-central-1a"]`, "apiCidrs": `["203.0.113.7/32"]`} {
					if !strings.Contains(test.value, name) && !strings.HasSuffix(test.name, "missing") {
						values[key] += `,"` + name + `":` + rest
					}
				}
				values[key] += "}"
			}
			cfg, err := loadMap(values)
			require.Nil(t, cfg)
			require.Error(t, err)
			for _, want := range test.want {
				require.Contains(t, err.Error(), want)
			}
			var problem *Problem
			require.ErrorAs(t, err, &problem)
			require.NotContains(t, err.Error(), "\n", "only one problem")
		})
	}
}

// TestLoadReportsEveryRuleOfOneKey holds the rules of lists and objects, of which one
// value can break many.
func TestLoadReportsEveryRuleOfOneKey(t *testing.T) {
	for _, test := range []struct {
		name, key, value string
		want             []string
	}{
		{"webhook", "webhook", `{"namespace":"kube-system","image":"hook:latest","replicas":0,"nodeSelector":{"a b":"c"},` +
			`"tolerations":[{"effect":"Never"},{"operator":"Exists","value":"x"},{"key":"a b","operator":"In"}]}`, []string{
			`webhook.image: found "hook:latest": must be an image with a tag other than latest, or a digest`,
			`webhook.namespace: found "kube-system": must be a namespace of its own`,
			`webhook.nodeSelector["a b"]: found "a b=c": must be a node's label and its value`,
			`webhook.replicas: found 0: must be between 1 and 10`,
			`webhook.tolerations[0].effect: found "Never": must be NoExecute, NoSchedule or PreferNoSchedule`,
			`webhook.tolerations[0].key: found nothing: must be the key of a taint, unless operator is Exists`,
			`webhook.tolerations[1].value: found "x": must be the value of a taint, left out where operator is Exists`,
			`webhook.tolerations[2].key: found "a b": must be the key of a taint`,
			`webhook.tolerations[2].operator: found "In": must be Equal or Exists`,
		}},
		{"alarms for nobody", "alarms", `{"enabled":true,"emails":["Ops <ops@example.com>","a@b.c","a@b.c"]}`, []string{
			`alarms.emails[0]: found "Ops <ops@example.com>": must be a mail address such as ops@example.com`,
			`alarms.emails[2]: found "a@b.c": must be another address than alarms.emails[1]`,
		}},
		{"issuers to register", "issuer", `{"register":["http://a.example.com","https://a.example.com//","https://b.example.com","https://b.example.com","https://c:8080","https://*.example.com"]}`, []string{
			`issuer.register[0]: found "http://a.example.com": must be the URL of an issuer`,
			`issuer.register[1]: found "https://a.example.com//": must be the URL`,
			`issuer.register[3]: found "https://b.example.com": must be another issuer than issuer.register[2]`,
			`issuer.register[4]: found "https://c:8080": must be the URL`,
			`issuer.register[5]: found "https://*.example.com": must be the URL`,
		}},
		{"assumed roles", "identities", identity("assumeRoles", `[{"roleArn":"arn:aws:iam::111122223333:role/*"},{"roleArn":"arn:aws-cn:iam::111122223333:role/a"},`+
			`{"roleArn":"arn:aws:iam::111122223333:role/a","externalId":"a b"},{"roleArn":"arn:aws:iam::111122223333:role/a"}]`), []string{
			`identities[0].assumeRoles[0].roleArn: found "arn:aws:iam::111122223333:role/*": must be the ARN of one role`,
			`identities[0].assumeRoles[1].roleArn: found "arn:aws-cn:iam::111122223333:role/a": must be in partition aws`,
			`identities[0].assumeRoles[2].externalId: found "a b": must be 2 to 1224 letters`,
			`identities[0].assumeRoles[3].roleArn: found "arn:aws:iam::111122223333:role/a": must be listed once`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			values := valid()
			values[Project+":"+test.key] = test.value
			_, err := loadMap(values)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(test.want), err.Error())
			for i, want := range test.want {
				require.Contains(t, lines[i], want)
			}
		})
	}
}

func TestWebhookHasANamespaceOfItsOwn(t *testing.T) {
	values := valid()
	values["k3s-aws-auth:webhook"] = `{"namespace":"apps"}`
	values["k3s-aws-auth:identities"] = strings.Replace("["+uploader+"]", `"namespace":"default"`, `"namespace":"apps"`, 1)
	_, err := loadMap(values)
	require.NoError(t, err)
	values["k3s-aws-auth:injection"] = "webhook"
	_, err = loadMap(values)
	require.ErrorContains(t, err, `identities[0].namespace: found "apps": must be another namespace than webhook.namespace`)
}

func TestPoliciesAreOfTheAccount(t *testing.T) {
	values := valid()
	values["k3s-aws-auth:permissionsBoundary"] = "arn:aws:iam::111122223333:policy/boundary"
	values["k3s-aws-auth:identities"] = identity("managedPolicyArns", `["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess","arn:aws:iam::111122223333:policy/p"]`)
	cfg, err := loadMap(values)
	require.NoError(t, err)
	require.NoError(t, cfg.CheckAccount("111122223333"))
	err = cfg.CheckAccount("444455556666")
	require.EqualError(t, err, `identities[0].managedPolicyArns[1]: found "arn:aws:iam::111122223333:policy/p": must be a policy of AWS or of account 444455556666, to which the stack is deployed
permissionsBoundary: found "arn:aws:iam::111122223333:policy/boundary": must be a policy of AWS or of account 444455556666, to which the stack is deployed`)
}

func TestProductionIsTagged(t *testing.T) {
	values := valid()
	values["k3s-aws-auth:production"] = "true"
	got, err := loadMap(values)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"k3s-aws-auth/cluster": "lab", "k3s-aws-auth/production": "true"}, got.ResourceTags())
}

func TestInjectionByPolicyNeedsItsKubernetes(t *testing.T) {
	values := valid()
	values["k3s-aws-auth:injection"] = "admission-policy"
	_, err := loadMap(values)
	require.NoError(t, err)
	values["k3s-aws-auth:cluster"] = `{"version":"v1.33.1+k3s1"}`
	_, err = loadMap(values)
	require.ErrorContains(t, err, `cluster.version: found "v1.33.1+k3s1": must be Kubernetes 1.34 or newer for injection admission-policy`)
}

func TestLoadReportsEverythingAtOnceSorted(t *testing.T) {
	_, err := loadMap(map[string]string{
		"k3s-aws-auth:setup":         "irsa",
		"k3s-aws-auth:clustername":   "x",
		"k3s-aws-auth:cluster":       `{"version":"1.35","agents":0,"agent":3}`,
		"k3s-aws-auth:network":       `{"cidr":"10.0.0.0/33","zones":["eu-central-1a"],"apiCidrs":[]}`,
		"k3s-aws-auth:rolesAnywhere": `{"leafValidityHours":1,"leafEarlyRenewalHours":2}`,
		"k3s-aws-auth:identities":    "[" + strings.Repeat(uploader+",", 10) + strings.Replace(uploader, "s3:PutObject", "PutObject", 1) + "]",
		"other:setup":                "not ours",
	})
	require.Error(t, err)
	var keys []string
	for _, line := range strings.Split(err.Error(), "\n") {
		key, _, ok := strings.Cut(line, ": found ")
		require.True(t, ok, line)
		require.Contains(t, line, ": must be ")
		keys = append(keys, key)
	}
	require.True(t, slices.IsSortedFunc(keys, comparePaths), "%q", keys)
	for _, key := range []string{
		"aws:region", "cluster.agent", "cluster.agents", "cluster.version", "clustername", "identities[2].name",
		"identities[10].statements[0].actions[0]", "network.apiCidrs", "network.cidr", "rolesAnywhere.leafEarlyRenewalHours", "setup",
	} {
		require.Contains(t, keys, key)
	}
	require.Less(t, slices.Index(keys, "identities[2].name"), slices.Index(keys, "identities[10].name"))
	var joined interface{ Unwrap() []error }
	require.True(t, errors.As(err, &joined), "the problems stay apart")
	require.Len(t, joined.Unwrap(), len(keys))
}

func TestLoadRefusesSecretsWithoutShowingThem(t *testing.T) {
	values := valid()
	values["k3s-aws-auth:issuer"] = `{"domain":"hush hush"}`
	values["k3s-aws-auth:clusterName"] = "HUSH"
	_, err := loadMap(values, "k3s-aws-auth:issuer", "k3s-aws-auth:clusterName", "k3s-aws-auth:identities", "other:thing")
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	for i, key := range []string{"clusterName", "identities", "issuer"} {
		require.True(t, strings.HasPrefix(lines[i], key+": found a secret: must be plain"), lines[i])
	}
	require.NotContains(t, strings.ToLower(err.Error()), "hush")
}

func TestPolicyPutsTheBucketInItsPlace(t *testing.T) {
	i := Identity{Statements: []Statement{{
		Effect: "Allow", Actions: []string{"s3:PutObject"}, Resources: []string{"${demo.bucketArn}/a/*", "arn:aws:s3:::b/${aws:username}"},
		Conditions: map[string]map[string][]string{"ArnEquals": {"aws:SourceArn": {"${demo.bucketArn}"}}},
	}}}
	got, err := (&Config{}).Permissions(i, Site{DemoBucketArn: "arn:aws:s3:::lab-demo"})
	require.NoError(t, err)
	require.Equal(t, []string{"arn:aws:s3:::lab-demo/a/*", "arn:aws:s3:::b/${aws:username}"}, got[0].Resources)
	require.Equal(t, []string{"arn:aws:s3:::lab-demo"}, got[0].Conditions["ArnEquals"]["aws:SourceArn"])
	require.Equal(t, "${demo.bucketArn}/a/*", i.Statements[0].Resources[0], "the configuration itself is left alone")
}

// withIdentity is a valid configuration with one identity, given as JSON.
func withIdentity(json string) map[string]string {
	values := valid()
	values["k3s-aws-auth:identities"] = "[" + json + "]"
	return values
}

func TestPresetsUseTheUsualAccount(t *testing.T) {
	for json, want := range map[string]string{
		`{"name":"dns","preset":{"name":"external-dns","hostedZoneIds":["Z1"]}}`:                                                                                              "external-dns/external-dns",
		`{"name":"disks","preset":{"name":"ebs-csi"}}`:                                                                                                                        "kube-system/ebs-csi-controller-sa",
		`{"name":"disks","namespace":"storage","preset":{"name":"ebs-csi"}}`:                                                                                                  "storage/ebs-csi-controller-sa",
		`{"name":"disks","serviceAccount":"mine","preset":{"name":"ebs-csi"}}`:                                                                                                "kube-system/mine",
		`{"name":"a","namespace":"n","serviceAccount":"s","managedPolicyArns":["arn:aws:iam::aws:policy/X"]}`:                                                                 "n/s",
		`{"name":"m","namespace":"n","serviceAccount":"s","preset":{"name":"secrets-store-csi","secretArns":["arn:aws:secretsmanager:eu-central-1:111122223333:secret:a*"]}}`: "n/s",
	} {
		cfg, err := loadMap(withIdentity(json))
		require.NoError(t, err, json)
		require.Equal(t, want, cfg.Identities[0].Namespace+"/"+cfg.Identities[0].ServiceAccount, json)
	}
	_, err := loadMap(withIdentity(`{"name":"m","preset":{"name":"secrets-store-csi","secretArns":["arn:aws:secretsmanager:eu-central-1:111122223333:secret:a*"]}}`))
	require.ErrorContains(t, err, "identities[0].namespace: found nothing")
	require.ErrorContains(t, err, "identities[0].serviceAccount: found nothing")
}

func TestPresetsAreChecked(t *testing.T) {
	for json, want := range map[string][]string{
		`"preset":{"name":"cert-manger"}`:                             {`identities[0].preset.name: found "cert-manger": must be one of cert-manager, cluster-autoscaler`},
		`"preset":{"name":"cert-manager"}`:                            {`identities[0].preset.hostedZoneIds: found nothing: must be a list of Route 53 zone ids for preset cert-manager`},
		`"preset":{"name":"cert-manager","hostedZoneIds":["Z1","*"]}`: {`identities[0].preset.hostedZoneIds[1]: found "*": must be the id of one Route 53 zone`},
		`"preset":{"name":"external-secrets","secretArns":["*"]}`:     {`identities[0].preset.secretArns[0]: found "*": must be the ARN of a secret`},
		`"preset":{"name":"external-secrets","parameterArns":["arn:aws:ssm:eu-central-1:111122223333:parameter/k3s-aws-auth/lab/server/token"]}`: {`identities[0].preset.parameterArns[0]`, `apart from /k3s-aws-auth/`},
		`"preset":{"name":"ebs-csi","kmsKeyArns":["arn:aws-cn:kms:cn-north-1:111122223333:key/1"]}`:                                              {`identities[0].preset.kmsKeyArns[0]`, `in partition aws`},
		`"preset":{"hostedZoneIds":["Z1"]},"managedPolicyArns":["arn:aws:iam::aws:policy/X"]`:                                                    {`identities[0].preset.hostedZoneIds: found 1 entry: must be left out without preset.name`},
		`"preset":{"name":"ebs-csi"},"statements":[{"sid":"EBSRead","actions":["s3:GetObject"],"resources":["*"]}]`:                              {`identities[0].statements[0].sid: found "EBSRead": must be another sid than those of preset ebs-csi`},
	} {
		_, err := loadMap(withIdentity(`{"name":"a","namespace":"n","serviceAccount":"s",` + json + `}`))
		require.Error(t, err, json)
		require.NotContains(t, err.Error(), "\n", "one line")
		for _, part := range want {
			require.ErrorContains(t, err, part)
		}
	}
}

// A preset and roles that are assumed count like statements of one's own.
func TestPermissionsAreAddedUp(t *testing.T) {
	cfg, err := loadMap(withIdentity(`{"name":"a","namespace":"n","serviceAccount":"s","preset":{"name":"ebs-csi"},` +
		`"statements":[{"sid":"Own","actions":["s3:GetObject"],"resources":["*"]}],` +
		`"assumeRoles":[{"roleArn":"arn:aws:iam::444455556666:role/reader","externalId":"42"},{"roleArn":"arn:aws:iam::444455556666:role/other"}]}`))
	require.NoError(t, err)
	sids := func(site Site) (all []string) {
		statements, err := cfg.Permissions(cfg.Identities[0], site)
		require.NoError(t, err)
		for _, s := range statements {
			if name := s.Sid; name != "" {
				all = append(all, name)
				continue
			}
			all = append(all, s.Actions[0]+" "+s.Resources[0])
		}
		return all
	}
	site := Site{Partition: "aws", Account: "111122223333", Region: "eu-central-1"}
	chained := []string{"sts:AssumeRole arn:aws:iam::444455556666:role/reader", "sts:AssumeRole arn:aws:iam::444455556666:role/other"}
	got := sids(site)
	require.Equal(t, "Own", got[0])
	require.Equal(t, "EBSRead", got[1])
	require.Equal(t, chained, got[len(got)-2:])
	site.SourceIdentity = true
	require.Contains(t, sids(site), "sts:SetSourceIdentity arn:aws:iam::444455556666:role/reader")

	attach := func(c *Config) string {
		statements, err := c.Permissions(c.Identities[0], site)
		require.NoError(t, err)
		for _, s := range statements {
			if s.Sid == "EBSAttachToNodes" {
				return fmt.Sprint(s.Conditions)
			}
		}
		return ""
	}
	require.Equal(t, "map[StringEquals:map[aws:ResourceTag/k3s-aws-auth/cluster:[lab]]]", attach(cfg))
	cfg.Cluster.Mode = ModeExisting
	require.Equal(t, "map[]", attach(cfg), "machines that the program did not make have no tag of its own")

	// Together they have to fit into one policy.
	var roles []string
	for i := range 150 {
		roles = append(roles, fmt.Sprintf(`{"roleArn":"arn:aws:iam::444455556666:role/reader-%03d"}`, i))
	}
	_, err = loadMap(withIdentity(`{"name":"a","namespace":"n","serviceAccount":"s","assumeRoles":[` + strings.Join(roles, ",") + `]}`))
	require.ErrorContains(t, err, "identities[0].statements: found a policy of")
}

func TestSuggest(t *testing.T) {
	choices := []string{"identities", "issuer", "setup", "cluster"}
	for word, want := range map[string]string{
		"identites": "identities", "Setup": "setup", "steup": "setup", "clutser": "cluster", "region": "", "": "", "x": "",
		strings.Repeat("x", 10000): "",
	} {
		require.Equal(t, want, suggest(word, choices), "%.20s", word)
	}
}

func TestPartition(t *testing.T) {
	for region, want := range map[string]string{
		"eu-central-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso",
		"us-isob-east-1": "aws-iso-b", "eu-isoe-west-1": "aws-iso-e", "us-isof-south-1": "aws-iso-f",
	} {
		require.Empty(t, rules.Region(region), region)
		require.Equal(t, want, (&Config{Region: region}).Partition(), region)
	}
}

// FuzzLoad holds that no text makes loading panic, that what is refused is
// refused in whole lines, and that what is accepted keeps the promises that the
// stacks rely on.
func FuzzLoad(f *testing.F) {
	for _, v := range []string{"[" + uploader + "]", `[{}]`, `{"a":1}`, "null", "", `[[["x"]]]`, identity("namespace", `"kube-system"`), "\xff"} {
		f.Add("identities", v)
	}
	f.Add("cluster", `{"version":"v1.35.4+k3s1","agents":1e3}`)
	f.Add("network", `{"cidr":"10.0.0.0/16","zones":["eu-central-1a"],"apiCidrs":["0.0.0.0/0"]}`)
	f.Add("issuer", `{"bucket":"a-b","domain":"a.b","dns":"external"}`)
	f.Add("rolesAnywhere", `{"helper":{"delivery":"sidecar"}}`)
	f.Add("tags", `{"a":"b"}`)
	f.Add("setup", "alpha")
	f.Fuzz(func(t *testing.T, key, value string) {
		values := valid()
		values[Project+":"+key] = value
		cfg, err := loadMap(values)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", cfg, err)
		}
		if err != nil {
			var joined interface{ Unwrap() []error }
			if !errors.As(err, &joined) {
				t.Fatalf("not joined: %v", err)
			}
			for _, each := range joined.Unwrap() {
				if strings.Contains(each.Error(), "\n") && !strings.Contains(key, "\n") {
					t.Fatalf("more than one line: %q", each)
				}
			}
			return
		}
		for _, i := range cfg.Identities {
			if strings.ContainsAny(i.Namespace+i.ServiceAccount, "*?:") || i.Namespace == "" || i.ServiceAccount == "" {
				t.Fatalf("subject %s:%s", i.Namespace, i.ServiceAccount)
			}
			statements, err := cfg.Permissions(i, Site{Partition: cfg.Partition(), Account: "111122223333", Region: cfg.Region, DemoBucketArn: "arn:aws:s3:::lab-demo"})
			if err != nil {
				t.Fatalf("accepted permissions that cannot be made: %v", err)
			}
			for _, s := range statements {
				if err := s.ValidateIdentity(); err != nil {
					t.Fatalf("accepted a statement that the policy package refuses: %v", err)
				}
			}
		}
		if strings.Contains(cfg.Issuer.Bucket, ".") || len(cfg.ClusterName) > rules.MaxClusterName {
			t.Fatalf("names: %+v", cfg)
		}
	})
}

func TestProductionIsNotOpenToEverybody(t *testing.T) {
	for cidr, refused := range map[string]bool{"0.0.0.0/0": true, "128.0.0.0/1": true, "203.0.113.0/24": false, "10.0.0.0/8": false} {
		values := valid()
		values["k3s-aws-auth:network"] = `{"zones":["eu-central-1a"],"apiCidrs":["` + cidr + `"]}`
		_, err := loadMap(values)
		require.NoError(t, err, "a trial may be open")
		values["k3s-aws-auth:production"] = "true"
		_, err = loadMap(values)
		if refused {
			require.ErrorContains(t, err, "network.apiCidrs[0]: found \""+cidr+"\": must be a /8 or narrower while production is true")
		} else {
			require.NoError(t, err)
		}
	}
}

// TestNamesThatServicesRefuse holds that a cluster's name suits every service,
// whatever the stack uses of them today.
func TestNamesThatServicesRefuse(t *testing.T) {
	for name, must := range map[string]string{
		"internal-lab": "a name that does not start with internal-, which names of load balancers may not",
		"sg-lab":       "a name that does not start with sg-, which names of security groups may not",
		"sthree-lab":   "which S3 reserves",
		"xn--lab":      "which S3 reserves",
	} {
		for _, cluster := range []string{`{}`, `{"servers":3}`} {
			values := valid()
			values["k3s-aws-auth:clusterName"], values["k3s-aws-auth:cluster"] = name, cluster
			_, err := loadMap(values)
			require.ErrorContains(t, err, `clusterName: found "`+name+`": must be `)
			require.ErrorContains(t, err, must)
		}
	}
	values := valid()
	values["k3s-aws-auth:clusterName"] = "internals"
	_, err := loadMap(values)
	require.NoError(t, err)
}

func TestExisting(t *testing.T) {
	const key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
	values := valid()
	delete(values, "k3s-aws-auth:network")
	values["k3s-aws-auth:cluster"] = `{"mode":"existing","kubeconfig":"hush","publicKeys":["` + strings.ReplaceAll(key, "\n", `\n`) + `"]}`
	cfg, err := loadMap(values, "k3s-aws-auth:cluster")
	require.NoError(t, err, "there is no network to describe")
	require.True(t, cfg.Existing())
	require.Equal(t, "hush", cfg.Cluster.Kubeconfig)

	values["k3s-aws-auth:cluster"] = `{"mode":"existing","kubeconfig":"hush","publicKeys":["-----BEGIN PRIVATE KEY-----"],"agents":"many"}`
	_, err = loadMap(values, "k3s-aws-auth:cluster")
	require.ErrorContains(t, err, "cluster.publicKeys[0]: found something else: must be one public key in PEM form")
	require.ErrorContains(t, err, "cluster.agents: found \"many\"", "what is beside the secret is checked as ever")
	require.NotContains(t, err.Error(), "hush")

	// A secret elsewhere in the cluster's description is refused, as everywhere.
	values["k3s-aws-auth:cluster"] = `{"version":"v1.35.4+k3s1"}`
	_, err = loadMap(values, "k3s-aws-auth:cluster")
	require.ErrorContains(t, err, "cluster: found a secret: must be plain")
}
