package gate

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/internal/sigv4"
)

// raService is the principal that trust policies name.
const raService = "rolesanywhere.amazonaws.com"

// certified is a caller of CreateSession: the leaf certificate whose key signed the call, and what came with it.
type certified struct {
	leaf  *x509.Certificate
	chain []*x509.Certificate
}

// authenticateCall verifies the X.509 signature of CreateSession; all other calls have SigV4 ones. Whether the
// certificate is trusted is decided while the call is served, since that depends on the trust anchor it names.
func (s *rolesAnywhere) authenticateCall(c *Call, signature *sigv4.Signature, raw []byte) (bool, error) {
	if c.R.Method != http.MethodPost || strings.TrimSuffix(c.R.URL.Path, "/") != "/sessions" {
		return false, nil
	}
	c.Action = "CreateSession"
	if signature == nil || signature.Algorithm == sigv4.HMAC {
		return true, raDenied("Missing Authentication Token")
	}
	leaf, chain, err := sigv4.Certificates(c.R)
	if err != nil {
		return true, raValidation("%s", detail(err))
	}
	c.Detail("serial", leaf.SerialNumber.String())
	c.Detail("subject", leaf.Subject.String())
	if dated := c.dated(signature); dated.CheckTime(c.Time) != nil {
		return true, Errorf(http.StatusForbidden, "AccessDeniedException", "%s", skewText(dated, c.Time))
	}
	if !isLoopbackName(c.Host) && (signature.Service != c.Service || signature.Region != c.Region) {
		return true, raDenied("Credential should be scoped to a valid region and to correct service: '%s'.", c.Service)
	}
	if err := signature.VerifyX509(c.R, raw, leaf); err != nil {
		s.g.logf("rolesanywhere: %v", err)
		return true, raDenied("Invalid signature")
	}
	c.Data = certified{leaf, chain}
	return true, nil
}

type createSessionInput struct {
	ProfileARN      string            `json:"profileArn"`
	RoleARN         string            `json:"roleArn"`
	AnchorARN       string            `json:"trustAnchorArn"`
	Duration        *int              `json:"durationSeconds"`
	SessionName     string            `json:"sessionName"`
	RoleSessionName string            `json:"roleSessionName"`
	Properties      map[string]string `json:"instanceProperties"`
}

type raAssumedRole struct {
	ARN string `json:"arn"`
	ID  string `json:"assumedRoleId"`
}

type raCredentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      string `json:"expiration"`
}

type raCredentialSet struct {
	AssumedRole    raAssumedRole `json:"assumedRoleUser"`
	Credentials    raCredentials `json:"credentials"`
	PackedSize     int           `json:"packedPolicySize"`
	RoleARN        string        `json:"roleArn"`
	SourceIdentity string        `json:"sourceIdentity,omitempty"`
}

func (s *rolesAnywhere) serveCreateSession(w http.ResponseWriter, c *Call) {
	out, err := s.createSession(c)
	if err != nil {
		WriteError(w, c, err)
		return
	}
	WriteJSON(w, c, http.StatusCreated, out)
}

// createSession decides whether the certificate may have a session of the role: trust anchor and profile are enabled,
// the certificate chains to the anchor and is not revoked, the profile lists the role, and the role's trust policy
// allows all three actions for these tags and this source identity.
func (s *rolesAnywhere) createSession(c *Call) (any, error) {
	caller := c.Data.(certified)
	var in createSessionInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	query := c.R.URL.Query()
	in.ProfileARN = orText(query.Get("profileArn"), in.ProfileARN)
	in.RoleARN = orText(query.Get("roleArn"), in.RoleARN)
	in.AnchorARN = orText(query.Get("trustAnchorArn"), in.AnchorARN)
	c.Resource = in.RoleARN
	c.Detail("trustAnchor", in.AnchorARN)
	for _, required := range [][2]string{{"profileArn", in.ProfileARN}, {"roleArn", in.RoleARN}, {"trustAnchorArn", in.AnchorARN}} {
		if required[1] == "" {
			return nil, raValidation("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", required[0])
		}
	}
	anchor, profile, lists, err := s.lookup(c, in)
	if err != nil {
		return nil, err
	}
	if err := checkLeaf(caller, anchor.certs, c.Time); err != nil {
		s.g.logf("rolesanywhere: certificate %s: %v", caller.leaf.Subject, err)
		return nil, err
	}
	if revoked(caller, lists) {
		// AWS's own text for a revoked certificate is not known.
		return nil, raDenied("Untrusted certificate. Certificate is revoked")
	}
	name := hexSerial(caller.leaf)
	if in.RoleSessionName != "" {
		if !profile.AcceptSessionName {
			return nil, raDenied("Not authorized to set roleSessionName.")
		}
		if err := checkSessionName("roleSessionName", in.RoleSessionName); err != nil {
			return nil, raValidation("%s", AsError(err).Message)
		}
		name = in.RoleSessionName
	}
	if profile.InstanceProps && len(in.Properties) == 0 {
		return nil, raValidation("Instance properties are required by the profile")
	}
	unable := raDenied("Unable to assume role for %s", in.RoleARN)
	role, exists := s.g.iam.roleByARN(in.RoleARN)
	if !exists || !slices.Contains(profile.RoleARNs, in.RoleARN) {
		s.g.logf("rolesanywhere: role %s: exists %v, in profile %v", in.RoleARN, exists, slices.Contains(profile.RoleARNs, in.RoleARN))
		return nil, unable
	}
	tags, source := certificateTags(caller.leaf), sourceIdentity(caller.leaf)
	if source != "" && checkSessionName("sourceIdentity", source) != nil {
		s.g.logf("rolesanywhere: %q cannot be a source identity", source)
		return nil, unable
	}
	if err := s.trusted(c, role, anchor.ARN, name, source, tags); err != nil {
		return nil, unable
	}
	duration, err := raDuration(in.Duration, profile, role)
	if err != nil {
		return nil, err
	}
	policies, packed, err := s.sessionPolicies(profile)
	if err != nil {
		return nil, err
	}
	credentials, p := s.g.newSession(sessionSpec{role: role, name: name, duration: duration, sourceIdentity: source, tags: tags,
		policies: policies, region: c.Region})
	c.issued(p)
	s.tellExpiry(c, anchor, caller.leaf)
	return struct {
		Set     []raCredentialSet `json:"credentialSet"`
		Subject string            `json:"subjectArn"`
	}{[]raCredentialSet{{
		AssumedRole: raAssumedRole{ARN: p.ARN, ID: p.UserID},
		Credentials: raCredentials{credentials.AccessKeyID, credentials.SecretAccessKey, credentials.SessionToken, stamp(c.callerTime(credentials.Expiration))},
		PackedSize:  packed, RoleARN: role.arn, SourceIdentity: source,
	}}, s.seen(c, caller.leaf)}, nil
}

// tellExpiry sends the events of certificates that end soon, by the anchor's notification settings. Of a CA, AWS sends
// them without anybody's using it.
func (s *rolesAnywhere) tellExpiry(c *Call, anchor trustAnchor, leaf *x509.Certificate) {
	for _, n := range anchor.Notifications {
		switch {
		case !n.Enabled:
		case n.Event == "CA_CERTIFICATE_EXPIRY":
			for _, ca := range anchor.certs {
				s.g.expiry(c, n.Threshold, anchor.ARN, hexSerial(ca), ca.Issuer.String(), ca.NotAfter)
			}
		case n.Event == "END_ENTITY_CERTIFICATE_EXPIRY":
			s.g.expiry(c, n.Threshold, "", hexSerial(leaf), leaf.Issuer.String(), leaf.NotAfter)
		}
	}
}

// lookup returns copies of the trust anchor and the profile, and the enabled CRLs of the anchor. AWS's texts for
// disabled ones are not known.
func (s *rolesAnywhere) lookup(c *Call, in createSessionInput) (trustAnchor, raProfile, []*x509.RevocationList, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fail := func(err error) (trustAnchor, raProfile, []*x509.RevocationList, error) {
		return trustAnchor{}, raProfile{}, nil, err
	}
	anchor, err := s.anchor(c.Region, idOf(in.AnchorARN))
	if err != nil || anchor.ARN != in.AnchorARN {
		return fail(raNotFound("Trust anchor %s could not be found", in.AnchorARN))
	}
	profile, err := s.profile(c.Region, idOf(in.ProfileARN))
	if err != nil || profile.ARN != in.ProfileARN {
		return fail(raNotFound("Profile %s could not be found", in.ProfileARN))
	}
	if !anchor.Enabled {
		return fail(raDenied("Trust anchor is disabled"))
	}
	if !profile.Enabled {
		return fail(raDenied("Profile is disabled"))
	}
	var lists []*x509.RevocationList
	for _, v := range s.crls {
		if v.Anchor == anchor.ARN && v.Enabled {
			lists = append(lists, v.list)
		}
	}
	return *anchor, *profile, lists, nil
}

// checkLeaf applies the rules for end-entity certificates: X.509 version 3, not a CA, key usage digital signature,
// SHA-256 or stronger, a subject, a chain to the trust anchor, and the clock. AWS's text for an expired certificate is
// not known, nor does it document how short a key it takes: 2048 bits of RSA are what its own CAs begin with.
func checkLeaf(caller certified, anchors []*x509.Certificate, now time.Time) error {
	leaf := caller.leaf
	switch {
	case leaf.Version != 3, leaf.IsCA, leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0, !strongSignature(leaf), !strongKey(leaf), len(leaf.Subject.Names) == 0:
		return raDenied("Untrusted certificate. Insufficient certificate")
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, a := range anchors {
		roots.AddCert(a)
	}
	for _, i := range caller.chain {
		if strongSignature(i) {
			intermediates.AddCert(i)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil {
		return nil
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return raDenied("Untrusted certificate. Certificate is expired or not yet valid")
	}
	return raDenied("Untrusted signing certificate")
}

// strongKey tells RSA keys of at least 2048 bits, and all others.
func strongKey(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return !ok || key.N.BitLen() >= 2048
}

// revoked looks the leaf and its intermediates up in the CRLs.
func revoked(caller certified, lists []*x509.RevocationList) bool {
	for _, list := range lists {
		for _, cert := range append([]*x509.Certificate{caller.leaf}, caller.chain...) {
			if !bytes.Equal(cert.RawIssuer, list.RawIssuer) {
				continue
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return true
				}
			}
		}
	}
	return false
}

// hexSerial is the session name: the serial number's bytes in lower-case hex.
func hexSerial(c *x509.Certificate) string {
	b := c.SerialNumber.Bytes()
	if len(b) == 0 {
		b = []byte{0}
	}
	return hex.EncodeToString(b)
}

// sourceIdentity is CN=<common name>, empty without one.
func sourceIdentity(c *x509.Certificate) string {
	if c.Subject.CommonName == "" {
		return ""
	}
	return "CN=" + c.Subject.CommonName
}

// attributeNames are the short names of RFC 4514 and X.520 attributes, by object identifier.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "T", "2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.44": "GENERATION",
	"2.5.4.46": "DNQ", "2.5.4.65": "pseudonym", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1": "E",
}

// certificateTags are the session tags that the default attribute mappings make of a certificate: x509Subject/<attribute>,
// x509Issuer/<attribute>, x509SAN/DNS, x509SAN/URI and x509SAN/Name/<attribute>. Where an attribute repeats, its values are
// joined by slashes for names; of the alternative names the first of a kind counts.
func certificateTags(c *x509.Certificate) map[string]string {
	tags := map[string]string{}
	addName := func(prefix string, name pkix.Name) {
		for _, a := range name.Names {
			value, ok := a.Value.(string)
			short := attributeNames[a.Type.String()]
			if !ok || short == "" || value == "" {
				continue
			}
			key := prefix + "/" + short
			if have := tags[key]; have != "" {
				value = have + "/" + value
			}
			tags[key] = truncate(value, 256)
		}
	}
	addName("x509Subject", c.Subject)
	addName("x509Issuer", c.Issuer)
	if len(c.DNSNames) > 0 {
		tags["x509SAN/DNS"] = truncate(c.DNSNames[0], 256)
	}
	if len(c.URIs) > 0 {
		tags["x509SAN/URI"] = truncate(c.URIs[0].String(), 256)
	}
	for _, name := range directoryNames(c) {
		addName("x509SAN/Name", name)
		break
	}
	return tags
}

// directoryNames are the directory names among the alternative names, which crypto/x509 leaves out.
func directoryNames(c *x509.Certificate) []pkix.Name {
	var out []pkix.Name
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(e.Value, &names); err != nil {
			continue
		}
		for _, n := range names {
			var sequence pkix.RDNSequence
			if n.Class != asn1.ClassContextSpecific || n.Tag != 4 {
				continue
			}
			if _, err := asn1.Unmarshal(n.Bytes, &sequence); err != nil {
				continue
			}
			var name pkix.Name
			name.FillFromRDNSequence(&sequence)
			out = append(out, name)
		}
	}
	return out
}

// trusted evaluates the trust policy for the three actions that Roles Anywhere needs.
func (s *rolesAnywhere) trusted(c *Call, role roleView, anchorARN, name, source string, tags map[string]string) error {
	context := map[string][]string{
		"aws:SourceArn":             {anchorARN},
		"aws:SourceAccount":         {s.g.AccountID()},
		"aws:PrincipalIsAWSService": {"true"},
		"aws:PrincipalServiceName":  {raService},
		"sts:RoleSessionName":       {name},
	}
	if source != "" {
		context["sts:SourceIdentity"] = []string{source}
	}
	for _, k := range sortedKeys(tags) {
		context["aws:PrincipalTag/"+k] = []string{tags[k]}
		context["aws:RequestTag/"+k] = []string{tags[k]}
		context["aws:TagKeys"] = append(context["aws:TagKeys"], k)
	}
	actions := []string{"sts:AssumeRole", "sts:TagSession"}
	if source != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, action := range actions {
		req := s.g.request(c, policy.Request{Action: action, Resource: role.arn, Principal: &policy.Principal{Service: raService}, Context: context})
		verdict := policy.Authorize(policy.Input{Request: req, Resource: []*policy.Document{role.trust}, ResourceMustAllow: true})
		if !verdict.Allowed() {
			s.g.logf("rolesanywhere: role %s does not let %s do %s", role.arn, raService, action)
			s.g.explain(c, req, verdict)
			return errors.New("not trusted")
		}
	}
	return nil
}

// raDuration is the shorter of what the profile and the request say, within the role's maximum.
func raDuration(requested *int, profile raProfile, role roleView) (time.Duration, error) {
	seconds := profile.DurationSeconds
	if requested != nil {
		if *requested < 900 || *requested > 43200 {
			return 0, raValidation("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200", *requested)
		}
		seconds = min(seconds, *requested)
	}
	if seconds > role.maxSession {
		return 0, raValidation(tooLong)
	}
	return time.Duration(seconds) * time.Second, nil
}

// sessionPolicies are the profile's, which every session is limited by.
func (s *rolesAnywhere) sessionPolicies(p raProfile) (docs []*policy.Document, packed int, err error) {
	total := len(p.SessionPolicy)
	if p.SessionPolicy != "" {
		text, err := parsePolicy(p.SessionPolicy, policy.Identity)
		if err != nil {
			return nil, 0, raValidation("Invalid session policy: %s", AsError(err).Message)
		}
		docs = append(docs, labelled(text.doc, "session policy of profile "+p.Name))
	}
	for _, arn := range p.ManagedPolicyARNs {
		doc, err := s.g.managedDocument(arn)
		if err != nil {
			return nil, 0, raValidation("%s", AsError(err).Message)
		}
		docs = append(docs, doc)
		total += len(arn)
	}
	return docs, total * 100 / maxPacked, nil
}

// seen records a subject and returns its ARN.
func (s *rolesAnywhere) seen(c *Call, leaf *x509.Certificate) string {
	name := leaf.Subject.String()
	now := s.g.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.subjects[name]
	if !ok {
		v = &raSubject{ID: uuid.NewString(), X509Subject: name, Enabled: true, Created: now}
		v.ARN = s.arn(c, "subject", v.ID)
		s.subjects[name] = v
	}
	v.Updated, v.LastSeen = now, now
	serial := leaf.SerialNumber.String()
	for i := range v.Credentials {
		if v.Credentials[i].Serial == serial {
			v.Credentials[i].Seen = now
			return v.ARN
		}
	}
	v.Credentials = append(v.Credentials, raCredential{Serial: serial, Issuer: leaf.Issuer.String(), Enabled: true, Seen: now,
		Data: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))})
	return v.ARN
}
