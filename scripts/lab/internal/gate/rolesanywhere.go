package gate

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"k3s-aws-auth/scripts/internal/policy"
)

// rolesAnywhere is IAM Roles Anywhere's REST API (version 2018-05-10): trust anchors, profiles, CRLs, subjects, tags,
// and CreateSession in createsession.go. Objects are changed under mu only.
type rolesAnywhere struct {
	g *Gate

	mu       sync.RWMutex
	anchors  map[string]*trustAnchor
	profiles map[string]*raProfile
	crls     map[string]*crl
	subjects map[string]*raSubject // by X.509 subject
	tags     map[string]tagSet     // by ARN
}

func newRolesAnywhere(g *Gate) *rolesAnywhere {
	return &rolesAnywhere{g: g, anchors: map[string]*trustAnchor{}, profiles: map[string]*raProfile{}, crls: map[string]*crl{},
		subjects: map[string]*raSubject{}, tags: map[string]tagSet{}}
}

type trustAnchor struct {
	ID            string           `json:"trustAnchorId"`
	ARN           string           `json:"trustAnchorArn"`
	Name          string           `json:"name"`
	Enabled       bool             `json:"enabled"`
	Source        anchorSource     `json:"source"`
	Notifications []notifySettings `json:"notificationSettings"`
	Created       time.Time        `json:"createdAt"`
	Updated       time.Time        `json:"updatedAt"`

	region string
	certs  []*x509.Certificate
}

type anchorSource struct {
	Type string `json:"sourceType"`
	Data struct {
		Certificates string `json:"x509CertificateData,omitempty"`
		PCA          string `json:"acmPcaArn,omitempty"`
	} `json:"sourceData"`
}

type notifySettings struct {
	Event        string `json:"event"`
	Channel      string `json:"channel,omitempty"`
	Enabled      bool   `json:"enabled"`
	Threshold    int    `json:"threshold,omitempty"`
	ConfiguredBy string `json:"configuredBy,omitempty"`
}

type raProfile struct {
	ID                string             `json:"profileId"`
	ARN               string             `json:"profileArn"`
	Name              string             `json:"name"`
	Enabled           bool               `json:"enabled"`
	RoleARNs          []string           `json:"roleArns"`
	ManagedPolicyARNs []string           `json:"managedPolicyArns,omitempty"`
	SessionPolicy     string             `json:"sessionPolicy,omitempty"`
	DurationSeconds   int                `json:"durationSeconds"`
	AcceptSessionName bool               `json:"acceptRoleSessionName"`
	InstanceProps     bool               `json:"requireInstanceProperties"`
	Mappings          []attributeMapping `json:"attributeMappings"`
	CreatedBy         string             `json:"createdBy"`
	Created           time.Time          `json:"createdAt"`
	Updated           time.Time          `json:"updatedAt"`

	region string
}

type attributeMapping struct {
	Field string `json:"certificateField"`
	Rules []rule `json:"mappingRules"`
}

type rule struct {
	Specifier string `json:"specifier"`
}

// defaultMappings map everything, as AWS does for a profile that says nothing else.
func defaultMappings() []attributeMapping {
	all := []rule{{"*"}}
	return []attributeMapping{{"x509Issuer", all}, {"x509SAN", all}, {"x509Subject", all}}
}

type crl struct {
	ID      string    `json:"crlId"`
	ARN     string    `json:"crlArn"`
	Name    string    `json:"name"`
	Enabled bool      `json:"enabled"`
	Data    []byte    `json:"crlData"`
	Anchor  string    `json:"trustAnchorArn"`
	Created time.Time `json:"createdAt"`
	Updated time.Time `json:"updatedAt"`

	list *x509.RevocationList
}

type raSubject struct {
	ID          string         `json:"subjectId"`
	ARN         string         `json:"subjectArn"`
	X509Subject string         `json:"x509Subject"`
	Enabled     bool           `json:"enabled"`
	Created     time.Time      `json:"createdAt"`
	Updated     time.Time      `json:"updatedAt"`
	LastSeen    time.Time      `json:"lastSeenAt"`
	Credentials []raCredential `json:"credentials,omitempty"`
}

type raCredential struct {
	Serial  string    `json:"serialNumber"`
	Issuer  string    `json:"issuer"`
	Enabled bool      `json:"enabled"`
	Data    string    `json:"x509CertificateData"`
	Seen    time.Time `json:"seenAt"`
	Failed  bool      `json:"failed"`
}

// Name is rolesanywhere.
func (s *rolesAnywhere) Name() string { return "rolesanywhere" }

// Protocol is rest-json.
func (s *rolesAnywhere) Protocol() Protocol { return ProtocolRESTJSON }

// Inventory lists trust anchors, profiles and CRLs. Subjects are AWS's own record and cannot be deleted.
func (s *rolesAnywhere) Inventory() map[string][]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return map[string][]string{
		"rolesanywhere trust anchor": sortedKeys(s.anchors),
		"rolesanywhere profile":      sortedKeys(s.profiles),
		"rolesanywhere crl":          sortedKeys(s.crls),
	}
}

func raValidation(format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

func raNotFound(format string, args ...any) *Error {
	return Errorf(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func raDenied(format string, args ...any) *Error {
	return Errorf(http.StatusForbidden, "AccessDeniedException", format, args...)
}

// raRoute is an operation: method, path with {} for an id, name, the kind of resource of its permission, and what it
// does. status is that of a success, 200 where 0.
type raRoute struct {
	method, path, name, kind string
	status                   int
	do                       func(s *rolesAnywhere, c *Call, id string) (any, error)
}

var raRoutes = []raRoute{
	{"POST", "/trustanchors", "CreateTrustAnchor", "", 201, createAnchor},
	{"GET", "/trustanchors", "ListTrustAnchors", "", 0, listAnchors},
	{"GET", "/trustanchor/{}", "GetTrustAnchor", "trust-anchor", 0, getAnchor},
	{"PATCH", "/trustanchor/{}", "UpdateTrustAnchor", "trust-anchor", 0, updateAnchor},
	{"DELETE", "/trustanchor/{}", "DeleteTrustAnchor", "trust-anchor", 0, deleteAnchor},
	{"POST", "/trustanchor/{}/enable", "EnableTrustAnchor", "trust-anchor", 0, enableAnchor(true)},
	{"POST", "/trustanchor/{}/disable", "DisableTrustAnchor", "trust-anchor", 0, enableAnchor(false)},
	{"PATCH", "/put-notifications-settings", "PutNotificationSettings", "", 0, putNotifications},
	{"PATCH", "/reset-notifications-settings", "ResetNotificationSettings", "", 0, resetNotifications},
	{"POST", "/profiles", "CreateProfile", "", 201, createProfile},
	{"GET", "/profiles", "ListProfiles", "", 0, listProfiles},
	{"GET", "/profile/{}", "GetProfile", "profile", 0, getProfile},
	{"PATCH", "/profile/{}", "UpdateProfile", "profile", 0, updateProfile},
	{"DELETE", "/profile/{}", "DeleteProfile", "profile", 0, deleteProfile},
	{"POST", "/profile/{}/enable", "EnableProfile", "profile", 0, enableProfile(true)},
	{"POST", "/profile/{}/disable", "DisableProfile", "profile", 0, enableProfile(false)},
	{"PUT", "/profiles/{}/mappings", "PutAttributeMapping", "profile", 0, nil},
	{"DELETE", "/profiles/{}/mappings", "DeleteAttributeMapping", "profile", 0, nil},
	{"POST", "/crls", "ImportCrl", "", 201, importCRL},
	{"GET", "/crls", "ListCrls", "", 0, listCRLs},
	{"GET", "/crl/{}", "GetCrl", "crl", 0, getCRL},
	{"PATCH", "/crl/{}", "UpdateCrl", "crl", 0, updateCRL},
	{"DELETE", "/crl/{}", "DeleteCrl", "crl", 0, deleteCRL},
	{"POST", "/crl/{}/enable", "EnableCrl", "crl", 0, enableCRL(true)},
	{"POST", "/crl/{}/disable", "DisableCrl", "crl", 0, enableCRL(false)},
	{"GET", "/subjects", "ListSubjects", "", 0, listSubjects},
	{"GET", "/subject/{}", "GetSubject", "subject", 0, getSubject},
	{"POST", "/TagResource", "TagResource", "", 201, raTag},
	{"POST", "/UntagResource", "UntagResource", "", 0, raUntag},
	{"GET", "/ListTagsForResource", "ListTagsForResource", "", 0, raListTags},
}

// match finds the route of a request and the id in its path.
func matchRA(method, path string) (raRoute, string, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
next:
	for _, r := range raRoutes {
		want := strings.Split(strings.Trim(r.path, "/"), "/")
		if r.method != method || len(want) != len(parts) {
			continue
		}
		id := ""
		for i := range want {
			switch {
			case want[i] == "{}":
				unescaped, err := url.PathUnescape(parts[i])
				if err != nil {
					continue next
				}
				id = unescaped
			case want[i] != parts[i]:
				continue next
			}
		}
		return r, id, true
	}
	return raRoute{}, "", false
}

type raCall struct {
	route raRoute
	id    string
}

// Requirements asks for rolesanywhere:<Action> on the resource, and for iam:PassRole on the roles of a profile.
func (s *rolesAnywhere) Requirements(c *Call) ([]policy.Request, error) {
	if c.Action == "CreateSession" {
		return nil, nil
	}
	route, id, ok := matchRA(c.R.Method, c.R.URL.EscapedPath())
	if !ok {
		return nil, NotImplemented("rolesanywhere " + c.R.Method + " " + c.R.URL.Path)
	}
	c.Action = route.name
	if route.do == nil {
		return nil, NotImplemented("rolesanywhere:" + route.name)
	}
	c.Data = raCall{route, id}
	resource := "*"
	if route.kind != "" {
		resource = s.arn(c, route.kind, id)
	} else if arn := c.R.URL.Query().Get("resourceArn"); arn != "" {
		resource = arn
	}
	out := []policy.Request{{Action: "rolesanywhere:" + route.name, Resource: resource}}
	if route.name == "CreateProfile" || route.name == "UpdateProfile" {
		var in profileInput
		if err := decode(c, &in); err != nil {
			return nil, err
		}
		for _, arn := range in.RoleARNs {
			out = append(out, policy.Request{Action: "iam:PassRole", Resource: arn,
				Context: map[string][]string{"iam:PassedToService": {"rolesanywhere.amazonaws.com"}}})
		}
	}
	// Tags at creation need the permission to tag, as they do of other services (of lists CloudFormation's create handler asks
	// for it too: cloudcontrol/crl.json).
	if route.name == "CreateTrustAnchor" || route.name == "CreateProfile" || route.name == "ImportCrl" {
		var in struct {
			Tags []tag `json:"tags"`
		}
		if err := decode(c, &in); err != nil {
			return nil, err
		}
		if len(in.Tags) > 0 {
			out = append(out, policy.Request{Action: "rolesanywhere:TagResource", Resource: resource})
		}
	}
	if route.name == "CreateTrustAnchor" {
		out = append(out, s.g.NeedsLinkedRole("rolesanywhere.amazonaws.com")...)
	}
	return out, nil
}

// Serve runs the operation.
func (s *rolesAnywhere) Serve(w http.ResponseWriter, c *Call) {
	if c.Action == "CreateSession" {
		s.serveCreateSession(w, c)
		return
	}
	call := c.Data.(raCall)
	out, err := call.route.do(s, c, call.id)
	if err != nil {
		WriteError(w, c, err)
		return
	}
	status := call.route.status
	if status == 0 {
		status = http.StatusOK
	}
	if out == nil {
		out = struct{}{}
	}
	WriteJSON(w, c, status, out)
}

func (s *rolesAnywhere) arn(c *Call, kind, id string) string {
	return s.g.ARN("rolesanywhere", c.Region, kind+"/"+id)
}

func decode(c *Call, into any) error {
	if len(c.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.Body, into); err != nil {
		return raValidation("malformed request body: %v", err)
	}
	return nil
}

// Trust anchors.

var raNamePattern = regexp.MustCompile(`^[ a-zA-Z0-9\-_]*$`)

func checkRAName(name string) error {
	if name == "" || len(name) > 255 || !raNamePattern.MatchString(name) {
		return raValidation("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [ a-zA-Z0-9\\-_]*", name)
	}
	return nil
}

// parseAnchor reads the CA certificates of a trust anchor and checks what AWS demands of them: X.509 version 3, basic
// constraints CA true, key usage certificate sign, SHA-256 or stronger; two at most.
func parseAnchor(source anchorSource) ([]*x509.Certificate, error) {
	switch source.Type {
	case "CERTIFICATE_BUNDLE":
	case "AWS_ACM_PCA":
		return nil, NotImplemented("a trust anchor of AWS Private CA")
	default:
		return nil, raValidation("1 validation error detected: Value '%s' at 'source.sourceType' failed to satisfy constraint: Member must satisfy enum value set: [AWS_ACM_PCA, CERTIFICATE_BUNDLE, SELF_SIGNED_REPOSITORY]", source.Type)
	}
	var out []*x509.Certificate
	rest := []byte(source.Data.Certificates)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, raValidation("Invalid certificate: PEM block %q", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, raValidation("Invalid certificate: %v", err)
		}
		switch {
		case cert.Version != 3 || !cert.BasicConstraintsValid || !cert.IsCA:
			return nil, raValidation("Incorrect basic constraints for CA certificate")
		case cert.KeyUsage&x509.KeyUsageCertSign == 0:
			return nil, raValidation("Incorrect key usage for CA certificate")
		case !strongSignature(cert):
			return nil, raValidation("Unsupported signature algorithm %s for CA certificate", cert.SignatureAlgorithm)
		}
		out = append(out, cert)
	}
	if strings.TrimSpace(string(rest)) != "" || len(out) == 0 {
		return nil, raValidation("Invalid certificate: not a PEM bundle of certificates")
	}
	if len(out) > 2 {
		return nil, raValidation("A trust anchor has at most 2 certificates")
	}
	return out, nil
}

func strongSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS:
		return true
	}
	return false
}

type anchorInput struct {
	Name          string           `json:"name"`
	Source        *anchorSource    `json:"source"`
	Enabled       *bool            `json:"enabled"`
	Tags          []tag            `json:"tags"`
	Notifications []notifySettings `json:"notificationSettings"`
	CRLDP         bool             `json:"crlDpRevocationEnabled"`
}

type anchorOutput struct {
	Anchor trustAnchor `json:"trustAnchor"`
}

func defaultNotifications() []notifySettings {
	out := make([]notifySettings, 0, 2)
	for _, event := range []string{"CA_CERTIFICATE_EXPIRY", "END_ENTITY_CERTIFICATE_EXPIRY"} {
		out = append(out, notifySettings{Event: event, Channel: "ALL", Enabled: true, Threshold: 45, ConfiguredBy: "rolesanywhere.amazonaws.com"})
	}
	return out
}

// notify sets the settings of events over those that are there.
func (s *rolesAnywhere) notify(have []notifySettings, set []notifySettings) ([]notifySettings, error) {
	out := append([]notifySettings(nil), have...)
	for _, n := range set {
		if n.Event != "CA_CERTIFICATE_EXPIRY" && n.Event != "END_ENTITY_CERTIFICATE_EXPIRY" {
			return nil, raValidation("1 validation error detected: Value '%s' at 'notificationSettings.event' failed to satisfy constraint: Member must satisfy enum value set: [CA_CERTIFICATE_EXPIRY, END_ENTITY_CERTIFICATE_EXPIRY]", n.Event)
		}
		if n.Channel == "" {
			n.Channel = "ALL"
		}
		if n.Threshold == 0 {
			n.Threshold = 45
		}
		if n.Channel != "ALL" || n.Threshold < 1 || n.Threshold > 360 {
			return nil, raValidation("notification settings: channel %q, threshold %d (ALL, 1 to 360 days)", n.Channel, n.Threshold)
		}
		n.ConfiguredBy = s.g.AccountID()
		replaced := false
		for i := range out {
			if out[i].Event == n.Event {
				out[i], replaced = n, true
			}
		}
		if !replaced {
			out = append(out, n)
		}
	}
	return out, nil
}

func createAnchor(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in anchorInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	if err := checkRAName(in.Name); err != nil {
		return nil, err
	}
	if in.Source == nil {
		return nil, raValidation("1 validation error detected: Value null at 'source' failed to satisfy constraint: Member must not be null")
	}
	if in.CRLDP {
		return nil, NotImplemented("crlDpRevocationEnabled")
	}
	certs, err := parseAnchor(*in.Source)
	if err != nil {
		return nil, err
	}
	notifications, err := s.notify(defaultNotifications(), in.Notifications)
	if err != nil {
		return nil, err
	}
	if err := checkTags(nil, in.Tags); err != nil {
		return nil, raValidation("%s", AsError(err).Message)
	}
	now := s.g.Now().UTC()
	a := &trustAnchor{ID: uuid.NewString(), Name: in.Name, Enabled: in.Enabled != nil && *in.Enabled, Source: *in.Source, Notifications: notifications,
		Created: now, Updated: now, region: c.Region, certs: certs}
	a.ARN = s.arn(c, "trust-anchor", a.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, other := range s.anchors {
		if other.region == c.Region {
			n++
		}
	}
	if n >= 50 {
		return nil, raValidation("Limit exceeded: 50 trust anchors")
	}
	if err := s.g.MakeLinkedRole("rolesanywhere.amazonaws.com"); err != nil {
		return nil, err
	}
	s.anchors[a.ID] = a
	s.addTags(a.ARN, in.Tags)
	return anchorOutput{*a}, nil
}

// anchor finds a trust anchor of the call's region; the caller holds mu.
func (s *rolesAnywhere) anchor(region, id string) (*trustAnchor, error) {
	if a, ok := s.anchors[id]; ok && a.region == region {
		return a, nil
	}
	return nil, raNotFound("Trust anchor with ID %s could not be found", id)
}

func getAnchor(s *rolesAnywhere, c *Call, id string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.anchor(c.Region, id)
	if err != nil {
		return nil, err
	}
	return anchorOutput{*a}, nil
}

func listAnchors(s *rolesAnywhere, c *Call, _ string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := []trustAnchor{}
	for _, id := range sortedKeys(s.anchors) {
		if a := s.anchors[id]; a.region == c.Region {
			all = append(all, *a)
		}
	}
	items, next, err := raPage(c, all)
	return struct {
		Items []trustAnchor `json:"trustAnchors"`
		Next  string        `json:"nextToken,omitempty"`
	}{items, next}, err
}

func updateAnchor(s *rolesAnywhere, c *Call, id string) (any, error) {
	var in anchorInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.anchor(c.Region, id)
	if err != nil {
		return nil, err
	}
	if in.CRLDP {
		return nil, NotImplemented("crlDpRevocationEnabled")
	}
	certs := a.certs
	if in.Source != nil {
		if certs, err = parseAnchor(*in.Source); err != nil {
			return nil, err
		}
	}
	if in.Name != "" {
		if err := checkRAName(in.Name); err != nil {
			return nil, err
		}
		a.Name = in.Name
	}
	if in.Source != nil {
		a.Source, a.certs = *in.Source, certs
	}
	a.Updated = s.g.Now().UTC()
	return anchorOutput{*a}, nil
}

func deleteAnchor(s *rolesAnywhere, c *Call, id string) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.anchor(c.Region, id)
	if err != nil {
		return nil, err
	}
	delete(s.anchors, id)
	delete(s.tags, a.ARN)
	return anchorOutput{*a}, nil
}

func enableAnchor(on bool) func(*rolesAnywhere, *Call, string) (any, error) {
	return func(s *rolesAnywhere, c *Call, id string) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		a, err := s.anchor(c.Region, id)
		if err != nil {
			return nil, err
		}
		a.Enabled, a.Updated = on, s.g.Now().UTC()
		return anchorOutput{*a}, nil
	}
}

func putNotifications(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in struct {
		ID       string           `json:"trustAnchorId"`
		Settings []notifySettings `json:"notificationSettings"`
	}
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.anchor(c.Region, in.ID)
	if err != nil {
		return nil, err
	}
	settings, err := s.notify(a.Notifications, in.Settings)
	if err != nil {
		return nil, err
	}
	a.Notifications, a.Updated = settings, s.g.Now().UTC()
	return anchorOutput{*a}, nil
}

func resetNotifications(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in struct {
		ID   string           `json:"trustAnchorId"`
		Keys []notifySettings `json:"notificationSettingKeys"`
	}
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.anchor(c.Region, in.ID)
	if err != nil {
		return nil, err
	}
	settings := append([]notifySettings(nil), a.Notifications...)
	for _, key := range in.Keys {
		for i := range settings {
			for _, original := range defaultNotifications() {
				if settings[i].Event == key.Event && original.Event == key.Event {
					settings[i] = original
				}
			}
		}
	}
	a.Notifications, a.Updated = settings, s.g.Now().UTC()
	return anchorOutput{*a}, nil
}

// Profiles.

type profileInput struct {
	Name              string    `json:"name"`
	RoleARNs          []string  `json:"roleArns"`
	ManagedPolicyARNs *[]string `json:"managedPolicyArns"`
	SessionPolicy     *string   `json:"sessionPolicy"`
	DurationSeconds   *int      `json:"durationSeconds"`
	Enabled           *bool     `json:"enabled"`
	AcceptSessionName *bool     `json:"acceptRoleSessionName"`
	InstanceProps     *bool     `json:"requireInstanceProperties"`
	Tags              []tag     `json:"tags"`
}

type profileOutput struct {
	Profile raProfile `json:"profile"`
}

// apply sets what the input has; everything is checked before anything is set.
func (in profileInput) apply(p *raProfile) error {
	if in.DurationSeconds != nil && (*in.DurationSeconds < 900 || *in.DurationSeconds > 43200) {
		return raValidation("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200", *in.DurationSeconds)
	}
	if len(in.RoleARNs) > 250 {
		return raValidation("1 validation error detected: Value at 'roleArns' failed to satisfy constraint: Member must have length less than or equal to 250")
	}
	for _, arn := range in.RoleARNs {
		if !roleARNPattern.MatchString(arn) {
			return raValidation("Invalid Role ARN: %s", arn)
		}
	}
	if in.ManagedPolicyARNs != nil && len(*in.ManagedPolicyARNs) > 10 {
		return raValidation("1 validation error detected: Value at 'managedPolicyArns' failed to satisfy constraint: Member must have length less than or equal to 10")
	}
	if in.SessionPolicy != nil && *in.SessionPolicy != "" {
		if _, err := parsePolicy(*in.SessionPolicy, policy.Identity); err != nil {
			return raValidation("Invalid session policy: %s", AsError(err).Message)
		}
	}
	if in.RoleARNs != nil {
		p.RoleARNs = in.RoleARNs
	}
	if in.ManagedPolicyARNs != nil {
		p.ManagedPolicyARNs = *in.ManagedPolicyARNs
	}
	if in.SessionPolicy != nil {
		p.SessionPolicy = *in.SessionPolicy
	}
	if in.DurationSeconds != nil {
		p.DurationSeconds = *in.DurationSeconds
	}
	if in.AcceptSessionName != nil {
		p.AcceptSessionName = *in.AcceptSessionName
	}
	return nil
}

func createProfile(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in profileInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	if err := checkRAName(in.Name); err != nil {
		return nil, err
	}
	if in.RoleARNs == nil {
		return nil, raValidation("1 validation error detected: Value null at 'roleArns' failed to satisfy constraint: Member must not be null")
	}
	if err := checkTags(nil, in.Tags); err != nil {
		return nil, raValidation("%s", AsError(err).Message)
	}
	now := s.g.Now().UTC()
	p := &raProfile{ID: uuid.NewString(), Name: in.Name, Enabled: in.Enabled != nil && *in.Enabled, DurationSeconds: 3600,
		InstanceProps: in.InstanceProps != nil && *in.InstanceProps, Mappings: defaultMappings(), CreatedBy: c.Principal.ARN,
		Created: now, Updated: now, region: c.Region}
	p.ARN = s.arn(c, "profile", p.ID)
	if err := in.apply(p); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.profiles[p.ID] = p
	s.addTags(p.ARN, in.Tags)
	return profileOutput{*p}, nil
}

// profile finds a profile of the call's region; the caller holds mu.
func (s *rolesAnywhere) profile(region, id string) (*raProfile, error) {
	if p, ok := s.profiles[id]; ok && p.region == region {
		return p, nil
	}
	return nil, raNotFound("Profile with ID %s could not be found", id)
}

func getProfile(s *rolesAnywhere, c *Call, id string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.profile(c.Region, id)
	if err != nil {
		return nil, err
	}
	return profileOutput{*p}, nil
}

func listProfiles(s *rolesAnywhere, c *Call, _ string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := []raProfile{}
	for _, id := range sortedKeys(s.profiles) {
		if p := s.profiles[id]; p.region == c.Region {
			all = append(all, *p)
		}
	}
	items, next, err := raPage(c, all)
	return struct {
		Items []raProfile `json:"profiles"`
		Next  string      `json:"nextToken,omitempty"`
	}{items, next}, err
}

func updateProfile(s *rolesAnywhere, c *Call, id string) (any, error) {
	var in profileInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(c.Region, id)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		if err := checkRAName(in.Name); err != nil {
			return nil, err
		}
	}
	if err := in.apply(p); err != nil {
		return nil, err
	}
	if in.Name != "" {
		p.Name = in.Name
	}
	p.Updated = s.g.Now().UTC()
	return profileOutput{*p}, nil
}

func deleteProfile(s *rolesAnywhere, c *Call, id string) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(c.Region, id)
	if err != nil {
		return nil, err
	}
	delete(s.profiles, id)
	delete(s.tags, p.ARN)
	return profileOutput{*p}, nil
}

func enableProfile(on bool) func(*rolesAnywhere, *Call, string) (any, error) {
	return func(s *rolesAnywhere, c *Call, id string) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p, err := s.profile(c.Region, id)
		if err != nil {
			return nil, err
		}
		p.Enabled, p.Updated = on, s.g.Now().UTC()
		return profileOutput{*p}, nil
	}
}

// CRLs.

type crlInput struct {
	Name    string `json:"name"`
	Data    []byte `json:"crlData"`
	Enabled *bool  `json:"enabled"`
	Anchor  string `json:"trustAnchorArn"`
	Tags    []tag  `json:"tags"`
}

type crlOutput struct {
	CRL crl `json:"crl"`
}

// parseCRL reads one CRL (PEM, as the API asks for, or DER) and checks that the trust anchor signed it.
func parseCRL(data []byte, anchor *trustAnchor) (*x509.RevocationList, error) {
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "X509 CRL" {
			return nil, raValidation("Invalid CRL: PEM block %q", block.Type)
		}
		data = block.Bytes
	}
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		return nil, raValidation("Invalid CRL: %v", err)
	}
	reason := fmt.Errorf("no certificate")
	for _, cert := range anchor.certs {
		if reason = list.CheckSignatureFrom(cert); reason == nil {
			return list, nil
		}
	}
	return nil, raValidation("Invalid CRL: not signed by the trust anchor: %v", reason)
}

func idOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func importCRL(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in crlInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	if err := checkRAName(in.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	anchor, err := s.anchor(c.Region, idOf(in.Anchor))
	if err != nil || anchor.ARN != in.Anchor {
		return nil, raNotFound("Trust anchor %s could not be found", in.Anchor)
	}
	list, err := parseCRL(in.Data, anchor)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, other := range s.crls {
		if other.Anchor == in.Anchor {
			n++
		}
	}
	if n >= 2 {
		return nil, raValidation("Limit exceeded: 2 CRLs per trust anchor")
	}
	now := s.g.Now().UTC()
	out := &crl{ID: uuid.NewString(), Name: in.Name, Enabled: in.Enabled != nil && *in.Enabled, Data: in.Data, Anchor: in.Anchor,
		Created: now, Updated: now, list: list}
	out.ARN = s.arn(c, "crl", out.ID)
	s.crls[out.ID] = out
	s.addTags(out.ARN, in.Tags)
	return crlOutput{*out}, nil
}

// revocations finds a CRL of the call's region; the caller holds mu.
func (s *rolesAnywhere) revocations(c *Call, id string) (*crl, error) {
	if v, ok := s.crls[id]; ok && v.ARN == s.arn(c, "crl", id) {
		return v, nil
	}
	return nil, raNotFound("CRL with ID %s could not be found", id)
}

func getCRL(s *rolesAnywhere, c *Call, id string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.revocations(c, id)
	if err != nil {
		return nil, err
	}
	return crlOutput{*v}, nil
}

func listCRLs(s *rolesAnywhere, c *Call, _ string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := []crl{}
	for _, id := range sortedKeys(s.crls) {
		if v, err := s.revocations(c, id); err == nil {
			all = append(all, *v)
		}
	}
	items, next, err := raPage(c, all)
	return struct {
		Items []crl  `json:"crls"`
		Next  string `json:"nextToken,omitempty"`
	}{items, next}, err
}

func updateCRL(s *rolesAnywhere, c *Call, id string) (any, error) {
	var in crlInput
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.revocations(c, id)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		if err := checkRAName(in.Name); err != nil {
			return nil, err
		}
	}
	if in.Data != nil {
		anchor, err := s.anchor(c.Region, idOf(v.Anchor))
		if err != nil {
			return nil, err
		}
		list, err := parseCRL(in.Data, anchor)
		if err != nil {
			return nil, err
		}
		v.Data, v.list = in.Data, list
	}
	if in.Name != "" {
		v.Name = in.Name
	}
	v.Updated = s.g.Now().UTC()
	return crlOutput{*v}, nil
}

func deleteCRL(s *rolesAnywhere, c *Call, id string) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.revocations(c, id)
	if err != nil {
		return nil, err
	}
	delete(s.crls, id)
	delete(s.tags, v.ARN)
	return crlOutput{*v}, nil
}

func enableCRL(on bool) func(*rolesAnywhere, *Call, string) (any, error) {
	return func(s *rolesAnywhere, c *Call, id string) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		v, err := s.revocations(c, id)
		if err != nil {
			return nil, err
		}
		v.Enabled, v.Updated = on, s.g.Now().UTC()
		return crlOutput{*v}, nil
	}
}

// Subjects.

func listSubjects(s *rolesAnywhere, c *Call, _ string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := []raSubject{}
	for _, name := range sortedKeys(s.subjects) {
		summary := *s.subjects[name]
		summary.Credentials = nil
		all = append(all, summary)
	}
	items, next, err := raPage(c, all)
	return struct {
		Items []raSubject `json:"subjects"`
		Next  string      `json:"nextToken,omitempty"`
	}{items, next}, err
}

func getSubject(s *rolesAnywhere, _ *Call, id string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, v := range s.subjects {
		if v.ID == id {
			out := *v
			out.Credentials = append([]raCredential(nil), v.Credentials...)
			return struct {
				Subject raSubject `json:"subject"`
			}{out}, nil
		}
	}
	return nil, raNotFound("Subject with ID %s could not be found", id)
}

// Tags.

// addTags sets tags of a resource; the caller holds mu.
func (s *rolesAnywhere) addTags(arn string, tags []tag) {
	t := s.tags[arn].clone()
	t.set(tags)
	s.tags[arn] = t
}

// taggable checks that an ARN is a resource; the caller holds mu.
func (s *rolesAnywhere) taggable(arn string) error {
	id := idOf(arn)
	if a, ok := s.anchors[id]; ok && a.ARN == arn {
		return nil
	}
	if p, ok := s.profiles[id]; ok && p.ARN == arn {
		return nil
	}
	if v, ok := s.crls[id]; ok && v.ARN == arn {
		return nil
	}
	return raNotFound("Resource %s could not be found", arn)
}

func raTag(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in struct {
		ARN  string `json:"resourceArn"`
		Tags []tag  `json:"tags"`
	}
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.taggable(in.ARN); err != nil {
		return nil, err
	}
	if err := checkTags(s.tags[in.ARN], in.Tags); err != nil {
		return nil, raValidation("%s", AsError(err).Message)
	}
	s.addTags(in.ARN, in.Tags)
	return nil, nil
}

func raUntag(s *rolesAnywhere, c *Call, _ string) (any, error) {
	var in struct {
		ARN  string   `json:"resourceArn"`
		Keys []string `json:"tagKeys"`
	}
	if err := decode(c, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.taggable(in.ARN); err != nil {
		return nil, err
	}
	t := s.tags[in.ARN].clone()
	t.remove(in.Keys)
	s.tags[in.ARN] = t
	return nil, nil
}

func raListTags(s *rolesAnywhere, c *Call, _ string) (any, error) {
	arn := c.R.URL.Query().Get("resourceArn")
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.taggable(arn); err != nil {
		return nil, err
	}
	tags := s.tags[arn].clone()
	sort.Slice(tags, func(i, j int) bool { return tags[i].Key < tags[j].Key })
	return struct {
		Tags []tag `json:"tags"`
	}{append([]tag{}, tags...)}, nil
}

// raPage cuts a page by pageSize and nextToken (an index).
func raPage[T any](c *Call, all []T) (items []T, next string, err error) {
	q := c.R.URL.Query()
	from, limit := 0, 100
	if text := q.Get("pageSize"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return nil, "", raValidation("pageSize %q is not a positive number", text)
		}
	}
	if text := q.Get("nextToken"); text != "" {
		if from, err = strconv.Atoi(text); err != nil || from < 0 || from > len(all) {
			return nil, "", raValidation("invalid nextToken")
		}
	}
	to := min(from+limit, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
}
