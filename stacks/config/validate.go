package config

import (
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"k3s-aws-auth/components/rules"
)

// validate adds everything that is wrong with a decoded configuration. Values
// are checked whether or not the chosen setup uses them, so that changing the
// setup alone never uncovers an old mistake; what only one setup demands is in
// its own Check.
func validate(c *Config, setups []Setup, p *Problems) {
	validateChoices(c, p)
	validateSetup(c, setups, p)
	validateRegion(c, p)
	validateClusterName(c, p)
	validateCluster(c, p)
	validateExisting(c, p)
	validateNetwork(c, p)
	validateAccess(c, p)
	validateImagePulls(c, p)
	validateIssuer(c.Issuer, p)
	validateSets(c, p)
	validateRolesAnywhere(c.RolesAnywhere, p)
	if c.RolesAnywhere.SessionName == SessionPod && c.Setup != "roles-anywhere" && !p.Has("setup") {
		p.Add("rolesAnywhere.sessionName", Quote(SessionPod), "serial, or left out, for setup %s: only roles-anywhere names sessions by it", c.Setup)
	}
	validateInjection(c, p)
	validateAlarms(c.Alarms, p)
	if c.PermissionsBoundary != "" {
		validatePolicyArn("permissionsBoundary", c.PermissionsBoundary, c, p)
	}
	validateIdentities(c, c.Demo || p.Has("demo"), p)
	if rules.PinnedImage(c.DemoImage) != "" {
		p.Add("demoImage", Quote(c.DemoImage), "an image with a tag other than latest, or a digest")
	}
	validateTags(c, p)
}

func validateSetup(c *Config, setups []Setup, p *Problems) {
	names := make([]string, 0, len(setups))
	for _, setup := range setups {
		names = append(names, setup.Name)
	}
	slices.Sort(names)
	chosen, ok := of(setups, c.Setup)
	if !ok {
		p.Add("setup", Quote(c.Setup), "%s%s", oneOf(names), didYouMean(c.Setup, names))
		return
	}
	if chosen.Check != nil {
		chosen.Check(c, p)
	}
}

func validateRegion(c *Config, p *Problems) {
	switch partition := c.Partition(); {
	case rules.Region(c.Region) != "":
		p.Add("aws:region", Quote(c.Region), "%s", rules.Region(c.Region))
	case !slices.Contains(partitions, partition):
		p.Add("aws:region", Quote(c.Region), "in one of the partitions %s: partition %s is not supported", oneOf(partitions), partition)
	}
}

func validateClusterName(c *Config, p *Problems) {
	if must := rules.ClusterName(c.ClusterName); must != "" {
		p.Add("clusterName", Quote(c.ClusterName), "%s (the stack's name is used where the key is not set)", must)
	}
	// All names in AWS begin with it, so it must suit each service, also those that
	// this stack does not use yet: another name replaces everything.
	for _, taken := range []struct{ prefix, by string }{
		{"internal-", "load balancers"}, // CreateLoadBalancer
		{"sg-", "security groups"},      // CreateSecurityGroup
	} {
		if strings.HasPrefix(c.ClusterName, taken.prefix) {
			p.Add("clusterName", Quote(c.ClusterName), "a name that does not start with %s, which names of %s may not", taken.prefix, taken.by)
		}
	}
	if must := rules.ReservedBucket(c.ClusterName + "-issuer"); must != "" {
		p.Add("clusterName", Quote(c.ClusterName), "%s, which S3 reserves", must)
	}
}

func validateCluster(config *Config, p *Problems) {
	c := config.Cluster
	follows("cluster.version", c.Version, rules.K3sVersion, p)
	if c.BinarySHA256 != "" && rules.SHA256(c.BinarySHA256) != "" {
		p.Add("cluster.binarySha256", Quote(c.BinarySHA256), "the 64 lower-case hex digits of the binary's SHA-256, or not set")
	}
	if must := rules.Servers(c.Servers); must != "" {
		p.Add("cluster.servers", strconv.Itoa(c.Servers), "%s", must)
	}
	between("cluster.agents", c.Agents, 1, 100, "", p)
	follows("cluster.serverInstanceType", c.ServerInstanceType, rules.InstanceType, p)
	follows("cluster.agentInstanceType", c.AgentInstanceType, rules.InstanceType, p)
	if must := rules.Image(c.AmiID); c.AmiID != "" && must != "" {
		p.Add("cluster.amiId", Quote(c.AmiID), "%s, or not set", must)
	}
	if rules.Arm(c.ServerInstanceType) != rules.Arm(c.AgentInstanceType) {
		for _, single := range []struct{ key, value, what string }{
			{"cluster.binarySha256", c.BinarySHA256, "one digest"},
			{"cluster.amiId", c.AmiID, "one image"},
		} {
			if single.value != "" {
				p.Add(single.key, single.what, "left out while %s and %s differ in architecture", c.ServerInstanceType, c.AgentInstanceType)
			}
		}
	}
	between("cluster.rootVolumeGiB", c.RootVolumeGiB, rules.MinRootVolume, rules.MaxRootVolume, " GiB", p)
	if c.EtcdSnapshots.Bucket != "" {
		// Only its name matters to K3s, which asks by path where a name has dots.
		follows("cluster.etcdSnapshots.bucket", strings.ReplaceAll(c.EtcdSnapshots.Bucket, ".", "-"), rules.Bucket, p)
	}
	follows("cluster.etcdSnapshots.schedule", c.EtcdSnapshots.Schedule, rules.Cron, p)
	between("cluster.etcdSnapshots.retention", c.EtcdSnapshots.Retention, 1, 1000, " snapshots", p)
}

// validateExisting checks what describes a cluster that the program does not
// make. The kubeconfig's content is not shown, since it is a secret; whoever uses
// it says what is wrong with it.
func validateExisting(c *Config, p *Problems) {
	existing := c.Existing()
	if existing && c.Cluster.Kubeconfig == "" {
		p.Add("cluster.kubeconfig", "nothing", "the kubeconfig of the cluster for cluster.mode existing, as a secret: "+
			"pulumi config set --path cluster.kubeconfig --secret")
	}
	if !existing && c.Cluster.Kubeconfig != "" {
		p.Add("cluster.kubeconfig", "a kubeconfig", "left out unless cluster.mode is existing")
	}
	if !existing && len(c.Cluster.PublicKeys) > 0 {
		p.Add("cluster.publicKeys", fmt.Sprintf("%d keys", len(c.Cluster.PublicKeys)), "left out unless cluster.mode is existing: "+
			"the program makes the keys of its own cluster")
	}
	for i, key := range c.Cluster.PublicKeys {
		if block, rest := pem.Decode([]byte(key)); block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
			p.Add(fmt.Sprintf("cluster.publicKeys[%d]", i), "something else", "one public key in PEM form (BEGIN PUBLIC KEY)")
		}
	}
}

// widest is how wide a block of addresses a production stack may let in: a /8 is
// the largest that anybody owns.
const widest = 8

// validateAccess checks what belongs together of network and cluster: how nodes
// get out, and who gets in.
func validateAccess(c *Config, p *Problems) {
	n := c.Network
	if n.NAT != NATNone && !n.Private {
		p.Add("network.nat", Quote(n.NAT), "none unless network.private is true: nodes in public subnets need no NAT")
	}
	if n.Private && n.NAT == NATNone && (!n.VPCEndpoints || c.Cluster.AmiID == "") {
		p.Add("network.nat", Quote(n.NAT), "single or per-zone: private nodes without a way out need network.vpcEndpoints, "+
			"and a cluster.amiId with K3s and its images in it")
	}
	if partition := c.Partition(); n.VPCEndpoints && partition != "aws" && partition != "aws-us-gov" {
		p.Add("network.vpcEndpoints", "true", "false in partition %s, where services have other names", partition)
	}
	if !c.Production {
		return
	}
	for i, cidr := range n.APICIDRs {
		if block, ok := ipv4Block(cidr); ok && block.Bits() < widest {
			p.Add(fmt.Sprintf("network.apiCidrs[%d]", i), Quote(cidr), "a /%d or narrower while production is true: "+
				"the addresses of those who work with the cluster", widest)
		}
	}
}

// Ranges that VPCs may use here, and those that K3s gives to pods and services.
var (
	privateRanges = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"),
	}
	k3sRanges = []netip.Prefix{
		netip.MustParsePrefix("10.42.0.0/16"),
		netip.MustParsePrefix("10.43.0.0/16"),
	}
)

func validateNetwork(c *Config, p *Problems) {
	n := c.Network
	block, ok := ipv4Block(n.CIDR)
	inside := slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool { return ok && r.Contains(block.Addr()) && r.Bits() <= block.Bits() })
	switch {
	case !ok:
		p.Add("network.cidr", Quote(n.CIDR), "an IPv4 block without host bits such as 10.0.0.0/16")
	case block.Bits() < 16 || block.Bits() > 24:
		p.Add("network.cidr", Quote(n.CIDR), "between /16 and /24")
	case !inside:
		p.Add("network.cidr", Quote(n.CIDR), "private: within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10")
	case slices.ContainsFunc(k3sRanges, block.Overlaps):
		p.Add("network.cidr", Quote(n.CIDR), "apart from 10.42.0.0/16 and 10.43.0.0/16, which K3s gives to pods and services")
	}
	if len(n.Zones) == 0 && !c.Existing() {
		p.Add("network.zones", "nothing", "at least one availability zone, such as %s", zoneExample(c.Region))
	}
	if len(n.Zones) > 6 {
		p.Add("network.zones", fmt.Sprintf("%d zones", len(n.Zones)), "at most 6, each once")
	}
	for i, zone := range n.Zones {
		key := fmt.Sprintf("network.zones[%d]", i)
		letter, ok := strings.CutPrefix(zone, c.Region)
		if rules.Region(c.Region) == "" && (!ok || len(letter) != 1 || letter[0] < 'a' || letter[0] > 'z') {
			p.Add(key, Quote(zone), "an availability zone of %s, such as %s", c.Region, zoneExample(c.Region))
		}
		if first := slices.Index(n.Zones, zone); first < i {
			p.Add(key, Quote(zone), "another zone than network.zones[%d]", first)
		}
	}
	if len(n.APICIDRs) == 0 && !c.Existing() {
		p.Add("network.apiCidrs", "nothing", "at least one IPv4 block that may reach the Kubernetes API, "+
			"among them the address that you deploy from")
	}
	for i, cidr := range n.APICIDRs {
		key := fmt.Sprintf("network.apiCidrs[%d]", i)
		if _, ok := ipv4Block(cidr); !ok {
			p.Add(key, Quote(cidr), "an IPv4 block without host bits such as 203.0.113.7/32")
		}
		if first := slices.Index(n.APICIDRs, cidr); first < i {
			p.Add(key, Quote(cidr), "another block than network.apiCidrs[%d]", first)
		}
	}
}

func zoneExample(region string) string {
	if rules.Region(region) != "" {
		region = "eu-central-1"
	}
	return region + "a"
}

func validateIssuer(i Issuer, p *Problems) {
	validatePlace("issuer.", i, p)
	between("issuer.cacheTtlSeconds", i.CacheTTLSeconds, 1, 86400, " seconds", p)
	between("issuer.accessLogDays", i.AccessLogDays, 0, rules.MaxLogDays, " days", p)
	validateIssuerURLs("issuer.register", i.Register, p)
}

// validatePlace checks where an issuer publishes its documents: keys below at.
func validatePlace(at string, i Issuer, p *Problems) {
	if i.Bucket != "" {
		follows(at+"bucket", i.Bucket, rules.Bucket, p)
	}
	if i.Domain != "" {
		validateDomain(at+"domain", i.Domain, p)
	}
	switch {
	case i.HostedZoneID == "":
	case i.DNS == DNSExternal:
		p.Add(at+"hostedZoneId", Quote(i.HostedZoneID), "left out while %sdns is external, since then no record is written to it", at)
	default:
		follows(at+"hostedZoneId", i.HostedZoneID, rules.ZoneID, p)
	}
}

// privateName returns the end of a host's name by which it is none of public DNS:
// names of special use (RFC 6761, 6762, 8375), ICANN's reserved internal, and those
// of Services.
func privateName(host string) (end string, private bool) {
	for _, end := range []string{".svc", ".local", ".localhost", ".internal", ".home.arpa", ".test", ".invalid"} {
		if strings.HasSuffix(host, end) {
			return end, true
		}
	}
	return "", false
}

// validateIssuerURLs checks issuers of other clusters. IAM has one provider for a
// URL, which it compares without its scheme.
func validateIssuerURLs(key string, urls []string, p *Problems) {
	for i, url := range urls {
		at := fmt.Sprintf("%s[%d]", key, i)
		host, found := strings.CutPrefix(url, "https://")
		host, _, _ = strings.Cut(host, "/")
		if !found || rules.Hostname(host) != "" || !issuerPattern.MatchString(url) || len(url) > maxIssuer {
			p.Add(at, Quote(url), "the URL of an issuer as it stands in tokens: https://, a host name in lower case, "+
				"no port or query, one slash at its end at most, which stands in the tokens too, at most %d characters", maxIssuer)
		}
		if name, private := privateName(host); private {
			p.Add(at, Quote(url), "an issuer that AWS reaches: names that end in %s lead nowhere in public DNS, and STS fetches the keys from there", name)
		}
		if first := slices.Index(urls, url); first < i {
			p.Add(at, Quote(url), "another issuer than %s[%d]", key, first)
		}
	}
}

func validateDomain(key, domain string, p *Problems) {
	switch {
	case strings.Contains(domain, "*"):
		p.Add(key, Quote(domain), "one host's name: an issuer is one URL, so a wildcard names none")
	case strings.ContainsAny(domain, ":/"):
		p.Add(key, Quote(domain), "a bare host name such as oidc.example.com, without https://, port or path")
	case rules.Hostname(domain) != "":
		p.Add(key, Quote(domain), "%s", rules.Hostname(domain))
	case rules.Domain(domain) != "":
		p.Add(key, fmt.Sprintf("%d characters", len(domain)), "%s", rules.Domain(domain))
	default:
		if end, private := privateName(domain); private {
			p.Add(key, Quote(domain), "a name of public DNS, which those that end in %s are not: ACM and STS would not find it", end)
		}
		for _, owned := range []string{"amazonaws.com", "amazonaws.com.cn", "cloudfront.net"} {
			if domain == owned || strings.HasSuffix(domain, "."+owned) {
				p.Add(key, Quote(domain), "a domain of yours: nobody else gets a certificate for %s", owned)
			}
		}
	}
}

func validateRolesAnywhere(r RolesAnywhere, p *Problems) {
	// 100 years: a certificate's notAfter has four digits for the year, and a
	// longer life is a mistake in the unit.
	const century = 100 * 366 * 24
	between("rolesAnywhere.caValidityHours", r.CAValidityHours, 1, century, " hours", p)
	between("rolesAnywhere.leafValidityHours", r.LeafValidityHours, 1, century, " hours", p)
	between("rolesAnywhere.leafEarlyRenewalHours", r.LeafEarlyRenewalHours, 1, century, " hours", p)
	if r.LeafEarlyRenewalHours >= r.LeafValidityHours && !p.Has("rolesAnywhere.leafValidityHours") {
		p.Add("rolesAnywhere.leafEarlyRenewalHours", strconv.Itoa(r.LeafEarlyRenewalHours),
			"less than rolesAnywhere.leafValidityHours (%d): every run would renew a certificate that it has just made", r.LeafValidityHours)
	}
	if r.LeafValidityHours >= r.CAValidityHours {
		p.Add("rolesAnywhere.leafValidityHours", strconv.Itoa(r.LeafValidityHours),
			"less than rolesAnywhere.caValidityHours (%d): a certificate is worth nothing once its CA has expired", r.CAValidityHours)
	}
	between("rolesAnywhere.sessionSeconds", r.SessionSeconds, rules.MinSessionSeconds, rules.MaxSessionSeconds, " seconds", p)
	validateHelper(r.Helper, p)
}

func validateHelper(h Helper, p *Problems) {
	const at = "rolesAnywhere.helper."
	if h.Image != "" && rules.DigestImage(h.Image) != "" {
		p.Add(at+"image", Quote(h.Image), "an image with a digest (name@sha256:...), since it hands out credentials")
	}
	if !nodePathPattern.MatchString(h.NodePath) || strings.Contains(h.NodePath, "..") {
		p.Add(at+"nodePath", Quote(h.NodePath), "an absolute path without ..")
	}
	switch {
	case h.NodeSHA256 != "" && rules.SHA256(h.NodeSHA256) != "":
		p.Add(at+"nodeSha256", Quote(h.NodeSHA256), "the 64 lower-case hex digits of the helper's SHA-256")
	case h.NodeSHA256 == "" && h.Delivery == DeliveryNode:
		p.Add(at+"nodeSha256", "nothing", "the SHA-256 of the helper on the nodes, which is checked before it is used")
	}
}

// validateTags applies the strictest of the services that are tagged: IAM's
// characters and folding of case, and S3's count for objects. A resource has the
// provider's default tags too, of which its own replace those with the same key.
func validateTags(c *Config, p *Problems) {
	all, with := map[string]bool{}, ""
	folded := map[string]string{}
	check := func(path, key, value string) {
		all[key] = true
		at, lower := join(path, key), strings.ToLower(key)
		switch other, taken := folded[lower]; {
		case key == "" || utf8.RuneCountInString(key) > 128 || !tagPattern.MatchString(key):
			p.Add(at, Quote(key)+" as the tag's key", "1 to 128 letters, digits, spaces and _.:/=+-@")
		case strings.HasPrefix(lower, "aws:"):
			p.Add(at, Quote(key)+" as the tag's key", "without the prefix aws:, which AWS reserves")
		case strings.HasPrefix(lower, TagPrefix):
			p.Add(at, Quote(key)+" as the tag's key", "without the prefix %s, which the program writes itself", TagPrefix)
		case taken && other != key:
			p.Add(at, Quote(key)+" as the tag's key", "different from %s by more than letter case, since IAM ignores it", other)
		case utf8.RuneCountInString(value) > 256 || !tagPattern.MatchString(value):
			p.Add(at, Quote(value), "at most 256 letters, digits, spaces and _.:/=+-@")
		}
		folded[lower] = key
	}
	for _, key := range sortedKeys(c.defaultTags) {
		check("aws:defaultTags.tags", key, fmt.Sprint(c.defaultTags[key]))
		with = " with those of aws:defaultTags"
	}
	for _, key := range sortedKeys(c.Tags) {
		check("tags", key, c.Tags[key])
	}
	if len(all) > maxUserTags {
		p.Add("tags", fmt.Sprintf("%d tags%s", len(all), with), "at most %d: S3 allows an object 10, and the program adds up to two", maxUserTags)
	}
}

// follows holds a value to a rule.
func follows(key, value string, rule func(string) string, p *Problems) {
	if must := rule(value); must != "" {
		p.Add(key, Quote(value), "%s", must)
	}
}

func between(key string, value, low, high int, unit string, p *Problems) {
	if value < low || value > high {
		p.Add(key, strconv.Itoa(value), "between %d and %d%s", low, high, unit)
	}
}
