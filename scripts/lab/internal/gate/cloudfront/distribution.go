package cloudfront

import (
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/acm"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type distribution struct {
	id, etag, domain string
	config           *wire.Tree
	modified         time.Time
	tags             map[string]string
	settled          bool // the first answer after a change says InProgress
	invalidations    map[string]invalidation
}

type invalidation struct {
	at    time.Time
	batch *wire.Tree
}

func (d *distribution) enabled() bool { return d.config.Bool("Enabled") }

func (d *distribution) aliases() []string {
	var out []string
	for _, a := range d.config.Find("Aliases", "Items").All("CNAME") {
		out = append(out, strings.ToLower(strings.TrimSpace(a.Text)))
	}
	return out
}

// certificate is the ARN of the viewer certificate, empty for CloudFront's own.
func (d *distribution) certificate() string { return viewerCertificate(d.config) }

func viewerCertificate(config *wire.Tree) string {
	if arn := config.Get("ViewerCertificate", "ACMCertificateArn"); arn != "" {
		return arn
	}
	if config.Get("ViewerCertificate", "CertificateSource") == "acm" {
		return config.Get("ViewerCertificate", "Certificate")
	}
	return ""
}

// behaviors in the order of precedence, the default one last.
func behaviors(config *wire.Tree) []*wire.Tree {
	return append(config.Find("CacheBehaviors", "Items").All("CacheBehavior"), config.Find("DefaultCacheBehavior"))
}

// uses tells whether the distribution refers to an OAC or policy.
func (d *distribution) uses(id string) bool {
	for _, o := range d.config.Find("Origins", "Items").All("Origin") {
		if o.Get("OriginAccessControlId") == id {
			return true
		}
	}
	for _, b := range behaviors(d.config) {
		if b.Get("CachePolicyId") == id || b.Get("ResponseHeadersPolicyId") == id {
			return true
		}
	}
	return false
}

func bad(code, message string) error { return gate.Errorf(http.StatusBadRequest, code, "%s", message) }

// check refuses what CloudFront refuses and what the edge does not do. self is the distribution that is updated, cert
// the viewer certificate as ACM has it.
func (s *Service) check(config *wire.Tree, self *distribution, cert *acm.Certificate) error {
	if config.Find("DefaultCacheBehavior") == nil || config.Find("Origins") == nil || config.Get("CallerReference") == "" {
		return bad("MalformedXML", "The distribution configuration needs CallerReference, Origins and DefaultCacheBehavior.")
	}
	for _, x := range []struct {
		on   bool
		what string
	}{
		{config.Bool("Staging"), "a staging distribution"},
		{config.Int(0, "OriginGroups", "Quantity") > 0, "origin groups"},
		{config.Bool("Logging", "IncludeCookies"), "cookies in access logs"},
		{config.Get("WebACLId") != "", "a web ACL"},
		{config.Get("ContinuousDeploymentPolicyId") != "", "continuous deployment"},
		{!slices.Contains([]string{"", "none"}, config.Get("Restrictions", "GeoRestriction", "RestrictionType")), "geo restriction"},
		{config.Get("ViewerCertificate", "IAMCertificateId") != "", "a viewer certificate of IAM"},
		{config.Find("TenantConfig") != nil, "distribution tenants"},
	} {
		if x.on {
			return gate.NotImplemented(x.what)
		}
	}
	for _, e := range config.Find("CustomErrorResponses", "Items").All("CustomErrorResponse") {
		if e.Get("ResponsePagePath") != "" || e.Get("ResponseCode") != "" {
			return gate.NotImplemented("a custom error page")
		}
	}
	origins, err := s.checkOrigins(config)
	if err != nil {
		return err
	}
	for _, b := range behaviors(config) {
		if err := s.checkBehavior(b, origins); err != nil {
			return err
		}
	}
	return s.checkViewer(config, self, cert)
}

func (s *Service) checkOrigins(config *wire.Tree) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, o := range config.Find("Origins", "Items").All("Origin") {
		ids[o.Get("Id")] = true
		host := o.Get("DomainName")
		if _, ok := originHost(host); !ok || o.Find("CustomOriginConfig") != nil {
			return nil, gate.NotImplemented("an origin other than an S3 bucket (" + host + ")")
		}
		if o.Get("S3OriginConfig", "OriginAccessIdentity") != "" {
			if o.Get("OriginAccessControlId") != "" {
				return nil, bad("InvalidArgument", "Illegal configuration: You can not use both Origin Access Control and Origin Access Identity on the same origin.")
			}
			return nil, gate.NotImplemented("an origin access identity")
		}
		if o.Find("VpcOriginConfig") != nil || o.Bool("OriginShield", "Enabled") || o.Int(0, "CustomHeaders", "Quantity") > 0 {
			return nil, gate.NotImplemented("VPC origins, origin shield and custom origin headers")
		}
		if p := o.Get("OriginPath"); p != "" && (!strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/")) {
			return nil, bad("InvalidArgument", "The parameter Origin Path must begin with a '/' and must not end with one.")
		}
		if id := o.Get("OriginAccessControlId"); id != "" {
			if _, ok := s.policies["origin-access-control"][id]; !ok {
				return nil, bad("InvalidOriginAccessControl", "The origin access control is not valid.")
			}
		}
	}
	return ids, nil
}

func (s *Service) checkBehavior(b *wire.Tree, origins map[string]bool) error {
	if !origins[b.Get("TargetOriginId")] {
		return gate.Errorf(http.StatusNotFound, "NoSuchOrigin", "One or more of your origins or origin groups do not exist.")
	}
	for _, x := range []struct {
		on   bool
		what string
	}{
		{b.Int(0, "LambdaFunctionAssociations", "Quantity") > 0, "Lambda@Edge"},
		{b.Int(0, "FunctionAssociations", "Quantity") > 0, "CloudFront functions"},
		{b.Bool("TrustedSigners", "Enabled") || b.Bool("TrustedKeyGroups", "Enabled"), "signed URLs and cookies"},
		{b.Get("FieldLevelEncryptionId") != "", "field-level encryption"},
		{b.Get("RealtimeLogConfigArn") != "", "real-time logs"},
		{b.Get("OriginRequestPolicyId") != "", "an origin request policy"},
		{b.Bool("SmoothStreaming"), "smooth streaming"},
		{b.Bool("GrpcConfig", "Enabled"), "gRPC"},
		{b.Int(0, "ForwardedValues", "Headers", "Quantity") > 0, "forwarded headers (use a cache policy)"},
		{!slices.Contains([]string{"", "none"}, b.Get("ForwardedValues", "Cookies", "Forward")), "forwarded cookies (use a cache policy)"},
		{b.Int(0, "ForwardedValues", "QueryStringCacheKeys", "Quantity") > 0, "query string cache keys (use a cache policy)"},
	} {
		if x.on {
			return gate.NotImplemented(x.what)
		}
	}
	policy := b.Get("CachePolicyId")
	switch {
	case policy != "" && b.Find("ForwardedValues") != nil:
		return bad("InvalidArgument", "The parameter ForwardedValues cannot be used when a cache policy is associated to the cache behavior.")
	case policy == "" && b.Find("ForwardedValues") == nil:
		return bad("InvalidArgument", "The parameter ForwardedValues is required.")
	}
	if policy != "" {
		if _, ok := s.policies["cache-policy"][policy]; !ok {
			return kinds["cache-policy"].missing
		}
	}
	if id := b.Get("ResponseHeadersPolicyId"); id != "" {
		if _, ok := s.policies["response-headers-policy"][id]; !ok {
			return kinds["response-headers-policy"].missing
		}
	}
	if !slices.Contains([]string{"allow-all", "https-only", "redirect-to-https"}, b.Get("ViewerProtocolPolicy")) {
		return bad("InvalidViewerProtocolPolicy", "The viewer protocol policy is not valid.")
	}
	return nil
}

const certificateHelp = " For more details, see: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/CNAMEs.html#alternate-domain-names-requirements"

// checkViewer holds aliases against the certificate and the other distributions.
func (s *Service) checkViewer(config *wire.Tree, self *distribution, cert *acm.Certificate) error {
	arn := viewerCertificate(config)
	var aliases []string
	for _, a := range config.Find("Aliases", "Items").All("CNAME") {
		aliases = append(aliases, strings.ToLower(strings.TrimSpace(a.Text)))
	}
	if arn == "" {
		if len(aliases) > 0 {
			return bad("InvalidViewerCertificate", "To add an alternate domain name (CNAME) to a CloudFront distribution, you must attach a trusted certificate that validates your authorization to use the domain name."+certificateHelp)
		}
		return nil
	}
	if m := config.Get("ViewerCertificate", "SSLSupportMethod"); m != "sni-only" {
		if m == "" {
			return bad("InvalidViewerCertificate", "SSLSupportMethod is required with a certificate.")
		}
		return gate.NotImplemented("SSL support method " + m)
	}
	if v := config.Get("ViewerCertificate", "MinimumProtocolVersion"); !validProtocol(v) {
		return bad("InvalidMinimumProtocolVersion", "The minimum protocol version "+v+" is not valid.")
	}
	if cert == nil || cert.Region != "us-east-1" || cert.Status != acm.Issued {
		return bad("InvalidViewerCertificate", "The specified SSL certificate doesn't exist, isn't in us-east-1 region, isn't valid, or doesn't include a valid certificate chain.")
	}
	for _, a := range aliases {
		if !acm.Covers(cert.Names, a) {
			return bad("InvalidViewerCertificate", "The certificate that is attached to your distribution doesn't cover the alternate domain name (CNAME) that you're trying to add."+certificateHelp)
		}
		for _, d := range s.distributions {
			if d != self && slices.Contains(d.aliases(), a) {
				return gate.Errorf(http.StatusConflict, "CNAMEAlreadyExists", "One or more of the CNAMEs you provided are already associated with a different resource.")
			}
		}
	}
	return nil
}

// set puts a child at the end of a tree where it has none of that name.
func set(t *wire.Tree, child wire.Node) {
	if t == nil || t.Find(child.Name) != nil {
		return
	}
	parsed, err := wire.ParseTree(child.Bytes())
	if err != nil {
		return // unreachable: nodes render well-formed
	}
	t.Children = append(t.Children, *parsed)
}

// fill adds what CloudFront adds to a configuration that leaves it out.
func fill(config *wire.Tree) {
	none := func(name string) wire.Node { return wire.Elem(name, wire.Text("Quantity", 0)) }
	for _, n := range []wire.Node{none("Aliases"), wire.Text("DefaultRootObject", ""), none("CacheBehaviors"), none("CustomErrorResponses"), none("OriginGroups"),
		wire.Text("Comment", ""), wire.Elem("Logging", wire.Text("Enabled", false), wire.Text("IncludeCookies", false), wire.Text("Bucket", ""), wire.Text("Prefix", "")),
		wire.Text("PriceClass", "PriceClass_All"), wire.Text("HttpVersion", "http2"), wire.Text("IsIPV6Enabled", false), wire.Text("WebACLId", ""), wire.Text("Staging", false),
		wire.Text("ContinuousDeploymentPolicyId", ""),
		wire.Elem("Restrictions", wire.Elem("GeoRestriction", wire.Text("RestrictionType", "none"), wire.Text("Quantity", 0))),
		wire.Elem("ViewerCertificate", wire.Text("CloudFrontDefaultCertificate", true), wire.Text("SSLSupportMethod", "vip"),
			wire.Text("MinimumProtocolVersion", "TLSv1"), wire.Text("CertificateSource", "cloudfront"))} {
		set(config, n)
	}
	if v := config.Find("ViewerCertificate"); v.Get("ACMCertificateArn") != "" {
		set(v, wire.Text("MinimumProtocolVersion", "TLSv1"))
		set(v, wire.Text("Certificate", v.Get("ACMCertificateArn")))
		set(v, wire.Text("CertificateSource", "acm"))
		set(v, wire.Text("CloudFrontDefaultCertificate", false))
	} else if v.Bool("CloudFrontDefaultCertificate") {
		set(v, wire.Text("MinimumProtocolVersion", "TLSv1"))
		set(v, wire.Text("CertificateSource", "cloudfront"))
	}
	for _, o := range config.Find("Origins", "Items").All("Origin") {
		for _, n := range []wire.Node{wire.Text("OriginPath", ""), none("CustomHeaders"), wire.Elem("S3OriginConfig", wire.Text("OriginAccessIdentity", "")),
			wire.Text("ConnectionAttempts", 3), wire.Text("ConnectionTimeout", 10), wire.Elem("OriginShield", wire.Text("Enabled", false)), wire.Text("OriginAccessControlId", "")} {
			set(o, n)
		}
	}
	off := func(name string) wire.Node {
		return wire.Elem(name, wire.Text("Enabled", false), wire.Text("Quantity", 0))
	}
	methods := wire.Elem("Items", wire.Text("Method", "HEAD"), wire.Text("Method", "GET"))
	for _, b := range behaviors(config) {
		for _, n := range []wire.Node{off("TrustedSigners"), off("TrustedKeyGroups"), wire.Text("SmoothStreaming", false), wire.Text("Compress", false),
			none("LambdaFunctionAssociations"), none("FunctionAssociations"), wire.Text("FieldLevelEncryptionId", ""),
			wire.Elem("AllowedMethods", wire.Text("Quantity", 2), methods)} {
			set(b, n)
		}
		set(b.Find("AllowedMethods"), wire.Elem("CachedMethods", wire.Text("Quantity", 2), methods))
		if b.Find("ForwardedValues") != nil {
			set(b, wire.Text("MinTTL", 0))
			set(b, wire.Text("DefaultTTL", 86400))
			set(b, wire.Text("MaxTTL", 31536000))
		}
	}
}

func (s *Service) createDistribution(c *call) (answer, error) {
	config, tags := c.body, map[string]string{}
	if config.XMLName.Local == "DistributionConfigWithTags" {
		for _, t := range config.Find("Tags", "Items").All("Tag") {
			tags[t.Get("Key")] = t.Get("Value")
		}
		config = config.Find("DistributionConfig")
	}
	if config == nil {
		return answer{}, bad("MalformedXML", "The request has no DistributionConfig.")
	}
	cert := s.lookup(config)
	if err := s.admitLogs(c, config); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(config, nil, cert); err != nil {
		return answer{}, err
	}
	for _, d := range s.distributions {
		if d.config.Get("CallerReference") == config.Get("CallerReference") {
			return answer{}, gate.Errorf(http.StatusConflict, "DistributionAlreadyExists", "The caller reference that you are using to create a distribution is associated with another distribution. Already exists: %s", d.id)
		}
	}
	fill(config)
	id := wire.UpperID("E", 13)
	d := &distribution{id: id, etag: newETag(), domain: "d" + strings.ToLower(wire.UpperID("", 13)) + domain, config: config, modified: c.Time, tags: tags, invalidations: map[string]invalidation{}}
	s.distributions[id] = d
	return answer{status: http.StatusCreated, etag: d.etag, location: "distribution/" + id, root: s.node(d)}, nil
}

// node renders a distribution. Right after a change it is in progress; the next look finds it deployed.
func (s *Service) node(d *distribution) wire.Node {
	status := "Deployed"
	if !d.settled {
		d.settled, status = true, "InProgress"
	}
	return wire.Elem("Distribution", wire.Text("Id", d.id), wire.Text("ARN", s.arn("distribution/"+d.id)), wire.Text("Status", status),
		wire.Text("LastModifiedTime", d.modified), wire.Text("InProgressInvalidationBatches", 0), wire.Text("DomainName", d.domain),
		wire.Elem("ActiveTrustedSigners", wire.Text("Enabled", false), wire.Text("Quantity", 0)),
		wire.Elem("ActiveTrustedKeyGroups", wire.Text("Enabled", false), wire.Text("Quantity", 0)), d.config.Node("DistributionConfig"))
}

func (s *Service) distribution(id string) (*distribution, error) {
	if d, ok := s.distributions[id]; ok {
		return d, nil
	}
	return nil, gate.Errorf(http.StatusNotFound, "NoSuchDistribution", "The specified distribution does not exist.")
}

func (s *Service) getDistribution(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.distribution(c.id)
	if err != nil {
		return answer{}, err
	}
	return answer{etag: d.etag, root: s.node(d)}, nil
}

func (s *Service) getDistributionConfig(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.distribution(c.id)
	if err != nil {
		return answer{}, err
	}
	return answer{etag: d.etag, root: d.config.Node("DistributionConfig")}, nil
}

// lookup asks ACM for the viewer certificate of a configuration, nil for none. It is called without the lock: ACM asks
// DNS, and DNS may ask for a distribution's name.
func (s *Service) lookup(config *wire.Tree) *acm.Certificate {
	cert, ok := s.certs.Certificate(viewerCertificate(config))
	if !ok {
		return nil
	}
	return &cert
}

// admitLogs prepares the bucket that a configuration names for its standard logs. None are delivered.
func (s *Service) admitLogs(c *call, config *wire.Tree) error {
	if !config.Bool("Logging", "Enabled") {
		return nil
	}
	if s.logs == nil {
		return gate.NotImplemented("access logs of a distribution")
	}
	return s.logs(c.Call, config.Get("Logging", "Bucket"))
}

func (s *Service) updateDistribution(c *call) (answer, error) {
	cert := s.lookup(c.body)
	if err := s.admitLogs(c, c.body); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.distribution(c.id)
	if err != nil {
		return answer{}, err
	}
	if err := match(c, d.etag); err != nil {
		return answer{}, err
	}
	if err := s.check(c.body, d, cert); err != nil {
		return answer{}, err
	}
	if c.body.Get("CallerReference") != d.config.Get("CallerReference") {
		return answer{}, bad("IllegalUpdate", "The update contains modifications that are not allowed.")
	}
	fill(c.body)
	d.config, d.etag, d.modified, d.settled = c.body, newETag(), c.Time, false
	return answer{etag: d.etag, root: s.node(d)}, nil
}

func (s *Service) deleteDistribution(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.distribution(c.id)
	if err != nil {
		return answer{}, err
	}
	if err := match(c, d.etag); err != nil {
		return answer{}, err
	}
	if d.enabled() {
		return answer{}, gate.Errorf(http.StatusConflict, "DistributionNotDisabled", "The distribution you are trying to delete has not been disabled.")
	}
	delete(s.distributions, d.id)
	s.cache.drop(d.id, nil)
	return answer{status: http.StatusNoContent}, nil
}

func (s *Service) listDistributions(_ *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*distribution
	for _, d := range s.distributions {
		all = append(all, d)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	root := wire.Elem("DistributionList", wire.Text("Marker", ""), wire.Text("MaxItems", 100), wire.Text("IsTruncated", false), wire.Text("Quantity", len(all)))
	if len(all) > 0 {
		root.Children = append(root.Children, wire.List("Items", "DistributionSummary", all, func(d *distribution) []wire.Node {
			out := []wire.Node{wire.Text("Id", d.id), wire.Text("ARN", s.arn("distribution/"+d.id)), wire.Text("ETag", d.etag), wire.Text("Status", "Deployed"),
				wire.Text("LastModifiedTime", d.modified), wire.Text("DomainName", d.domain)}
			for _, name := range []string{"Aliases", "Origins", "OriginGroups", "DefaultCacheBehavior", "CacheBehaviors", "CustomErrorResponses", "Comment", "PriceClass", "Enabled",
				"ViewerCertificate", "Restrictions", "WebACLId", "HttpVersion", "IsIPV6Enabled", "Staging"} {
				if t := d.config.Find(name); t != nil {
					out = append(out, t.Node(""))
				}
			}
			return out
		}))
	}
	return answer{root: root}, nil
}

// createInvalidation drops what the edge has of the paths; it is complete at the next look.
func (s *Service) createInvalidation(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.distribution(c.id)
	if err != nil {
		return answer{}, err
	}
	var paths []string
	for _, p := range c.body.Find("Paths", "Items").All("Path") {
		paths = append(paths, strings.TrimSpace(p.Text))
	}
	if len(paths) == 0 {
		return answer{}, bad("InvalidArgument", "An invalidation needs at least one path.")
	}
	s.cache.drop(d.id, paths)
	id := wire.UpperID("I", 13)
	d.invalidations[id] = invalidation{c.Time, c.body}
	return answer{status: http.StatusCreated, location: "distribution/" + d.id + "/invalidation/" + id, root: invalidationNode(id, "InProgress", d.invalidations[id])}, nil
}

func invalidationNode(id, status string, i invalidation) wire.Node {
	return wire.Elem("Invalidation", wire.Text("Id", id), wire.Text("Status", status), wire.Text("CreateTime", i.at), i.batch.Node("InvalidationBatch"))
}

func (s *Service) getInvalidation(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.distribution(c.id)
	if err != nil {
		return answer{}, err
	}
	id := c.R.PathValue("invalidation")
	i, ok := d.invalidations[id]
	if !ok {
		return answer{}, gate.Errorf(http.StatusNotFound, "NoSuchInvalidation", "The specified invalidation does not exist.")
	}
	return answer{root: invalidationNode(id, "Completed", i)}, nil
}
