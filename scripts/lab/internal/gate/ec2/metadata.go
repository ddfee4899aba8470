package ec2

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
)

// imdsTokens are the session tokens that instances' metadata services gave out.
type imdsTokens struct {
	mu sync.Mutex
	m  map[string]imdsToken
}

type imdsToken struct {
	instance string
	expires  time.Time
}

const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token" //nolint:gosec // the name of a header
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTokenTTL = 21600
)

// newToken gives out a token for an instance and drops expired ones.
func (t *imdsTokens) newToken(instance string, now time.Time, ttl time.Duration) string {
	var b [40]byte
	_, _ = rand.Read(b[:])
	token := base64.URLEncoding.EncodeToString(b[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[string]imdsToken{}
	}
	for k, v := range t.m {
		if now.After(v.expires) {
			delete(t.m, k)
		}
	}
	t.m[token] = imdsToken{instance, now.Add(ttl)}
	return token
}

// valid tells whether a token is the instance's and unexpired, and for how long it lives on.
func (t *imdsTokens) valid(token, instance string, now time.Time) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.m[token]
	if !ok || v.instance != instance || !now.Before(v.expires) {
		return 0, false
	}
	return v.expires.Sub(now), true
}

// Metadata is the instance metadata service of one instance (EC2 User Guide, "Instance metadata"): a token by PUT, then
// GET with the token, without one only where HttpTokens is optional. Requests that came through a proxy
// (X-Forwarded-For) get no token. The hop limit is not this handler's business: see ServeMetadata.
func (s *Service) Metadata(instanceID string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started, now := time.Now(), s.g.Now()
		s.g.DelayRequest(r.Context(), gate.MetadataHost)
		recorder := &imdsRecorder{ResponseWriter: w}
		defer func() { s.recordMetadata(instanceID, r, recorder.status, now, time.Since(started)) }()
		w = recorder
		w.Header().Set("Server", "EC2ws")
		w.Header().Set("Connection", "close")
		i, ok := s.Instance(instanceID)
		if !ok || i.State == stateTerminated.name || i.MetadataOptions.HTTPEndpoint == "disabled" {
			imdsError(w, http.StatusForbidden, "Forbidden")
			return
		}
		version, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if r.URL.Path == "/" {
			version = ""
		}
		if r.Method == http.MethodPut {
			s.imdsToken(w, r, instanceID)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			imdsError(w, http.StatusMethodNotAllowed, "Method Not Allowed")
			return
		}
		token := r.Header.Get(tokenHeader)
		left, valid := s.imds.valid(token, instanceID, s.g.Now())
		switch {
		case token == "" && i.MetadataOptions.HTTPTokens == "required", token != "" && !valid:
			imdsError(w, http.StatusUnauthorized, "Unauthorized")
			return
		case valid:
			w.Header().Set(ttlHeader, strconv.Itoa(int(left.Seconds())))
		}
		body, contentType, found := s.imdsContent(i, version, path)
		if !found {
			imdsError(w, http.StatusNotFound, "Not Found")
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
		}
	})
}

// imdsRecorder remembers the status for the event record.
type imdsRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (w *imdsRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// recordMetadata notes a request to an instance's metadata service. AWS keeps no record of them; tools count them here.
// A client that speaks for itself only is told by its address.
func (s *Service) recordMetadata(instanceID string, r *http.Request, status int, at time.Time, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	s.g.Record(gate.Event{Time: at, Service: "imds", Region: s.g.Region(), Action: r.Method, Caller: "anonymous", Resource: r.URL.Path, Status: status,
		Source: "node/" + instanceID, SourceIP: host, UserAgent: r.UserAgent(), Seconds: took.Seconds()})
}

// imdsToken answers PUT /latest/api/token.
func (s *Service) imdsToken(w http.ResponseWriter, r *http.Request, instanceID string) {
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	switch {
	case r.URL.Path != "/latest/api/token":
		imdsError(w, http.StatusMethodNotAllowed, "Method Not Allowed")
	case r.Header.Get("X-Forwarded-For") != "":
		imdsError(w, http.StatusForbidden, "Forbidden")
	case err != nil || ttl < 1 || ttl > maxTokenTTL:
		imdsError(w, http.StatusBadRequest, "Bad Request")
	default:
		token := s.imds.newToken(instanceID, s.g.Now(), time.Duration(ttl)*time.Second)
		w.Header().Set(ttlHeader, strconv.Itoa(ttl))
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(len(token)))
		_, _ = w.Write([]byte(token))
	}
}

func imdsError(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>%d - %s</title>
 </head>
 <body>
  <h1>%d - %s</h1>
 </body>
</html>
`, status, title, status, title)
}

var imdsVersion = regexp.MustCompile(`^(latest|1\.0|20[0-9]{2}-[0-9]{2}-[0-9]{2})$`)

// imdsContent finds what is at a path. Directories list their entries, subdirectories with a slash.
func (s *Service) imdsContent(i Instance, version, path string) (body []byte, contentType string, ok bool) {
	if version == "" {
		return []byte("1.0\n2021-07-15\nlatest"), "text/plain", true
	}
	if !imdsVersion.MatchString(version) {
		return nil, "", false
	}
	if strings.Trim(path, "/") == "user-data" {
		return i.UserData, "application/octet-stream", len(i.UserData) > 0
	}
	const credentials = "meta-data/iam/security-credentials/" //nolint:gosec // a path
	if role, ok := strings.CutPrefix(path, credentials); ok && role != "" {
		body, ok := s.imdsCredentials(i, strings.TrimSuffix(role, "/"))
		return body, "text/plain", ok
	}
	tree := s.imdsTree(i)
	clean := strings.Trim(path, "/")
	if v, ok := tree[clean]; ok {
		return []byte(v), "text/plain", true
	}
	entries := map[string]bool{}
	for key := range tree {
		rest, ok := strings.CutPrefix(key, clean+"/")
		if clean == "" {
			rest, ok = key, true
		}
		if !ok {
			continue
		}
		first, _, deeper := strings.Cut(rest, "/")
		if deeper {
			first += "/"
		}
		entries[first] = true
	}
	if len(entries) == 0 {
		return nil, "", false
	}
	if clean == "" && len(i.UserData) > 0 {
		entries["user-data"] = true
	}
	list := make([]string, 0, len(entries))
	for e := range entries {
		list = append(list, e)
	}
	sort.Strings(list)
	return []byte(strings.Join(list, "\n")), "text/plain", true
}

// imdsTree has the leaves of the metadata by path. The credentials' own leaf is made on demand.
func (s *Service) imdsTree(i Instance) map[string]string {
	s.mu.Lock()
	in, _ := s.find(i.ID)
	mac, eni, reservation, since, profileID := in.mac, in.eni, in.reservation, in.profileSince, in.profileID
	var groupNames []string
	cidrs := map[string]string{}
	r := s.region(i.Region)
	for _, id := range i.SecurityGroupIDs {
		if g, ok := r.groups.get(id); ok {
			groupNames = append(groupNames, g.name)
		}
	}
	if sn, ok := r.subnets.get(i.SubnetID); ok {
		cidrs["subnet-ipv4-cidr-block"] = sn.cidr.String()
	}
	if v, ok := r.vpcs.get(i.VPCID); ok {
		cidrs["vpc-ipv4-cidr-block"] = v.cidr.String()
	}
	s.mu.Unlock()
	zone, _ := catalog.FindZone(i.Region, i.Zone)
	t := map[string]string{
		"ami-id": i.ImageID, "ami-launch-index": "0", "ami-manifest-path": "(unknown)", "hostname": i.PrivateDNS,
		"instance-action": "none", "instance-id": i.ID, "instance-life-cycle": "on-demand", "instance-type": i.Type,
		"local-hostname": i.PrivateDNS, "local-ipv4": i.PrivateIP, "mac": mac, "profile": "default-hvm", "reservation-id": reservation,
		"security-groups": strings.Join(groupNames, "\n"), "block-device-mapping/ami": "/dev/sda1", "block-device-mapping/root": "/dev/sda1",
		"placement/availability-zone": i.Zone, "placement/availability-zone-id": zone.ID, "placement/region": i.Region,
		"services/domain": gate.DNSSuffix, "services/partition": gate.Partition, "system": "nitro",
	}
	n := "network/interfaces/macs/" + mac + "/"
	for k, v := range map[string]string{"device-number": "0", "interface-id": eni, "local-hostname": i.PrivateDNS, "local-ipv4s": i.PrivateIP, "mac": mac,
		"owner-id": s.g.AccountID(), "security-group-ids": strings.Join(i.SecurityGroupIDs, "\n"), "security-groups": strings.Join(groupNames, "\n"),
		"subnet-id": i.SubnetID, "vpc-id": i.VPCID} {
		t[n+k] = v
	}
	for k, v := range cidrs {
		t[n+k] = v
	}
	if i.PublicIP != "" {
		t["public-ipv4"], t["public-hostname"] = i.PublicIP, publicDNS(i.PublicIP, i.Region)
		t[n+"public-ipv4s"], t[n+"public-hostname"] = i.PublicIP, t["public-hostname"]
	}
	if i.ProfileARN != "" {
		info, _ := json.MarshalIndent(struct {
			Code, LastUpdated  string
			InstanceProfileArn string
			InstanceProfileID  string `json:"InstanceProfileId"`
		}{"Success", since.UTC().Format(time.RFC3339), i.ProfileARN, profileID}, "", "  ")
		t["iam/info"] = string(info)
		if _, _, role, ok := s.g.InstanceProfileRole(i.ProfileARN); ok && role != "" {
			t["iam/security-credentials/"+roleName(role)] = ""
		}
	}
	if i.MetadataOptions.InstanceTags == "enabled" {
		for k, v := range i.Tags {
			t["tags/instance/"+k] = v
		}
	}
	out := map[string]string{}
	for k, v := range t {
		out["meta-data/"+k] = v
	}
	document, _ := json.MarshalIndent(map[string]any{"accountId": s.g.AccountID(), "architecture": i.Architecture, "availabilityZone": i.Zone,
		"billingProducts": nil, "devpayProductCodes": nil, "marketplaceProductCodes": nil, "imageId": i.ImageID, "instanceId": i.ID, "instanceType": i.Type,
		"kernelId": nil, "pendingTime": i.LaunchTime.UTC().Format(time.RFC3339), "privateIp": i.PrivateIP, "ramdiskId": nil, "region": i.Region,
		"version": "2017-09-30"}, "", "  ")
	out["dynamic/instance-identity/document"] = string(document)
	return out
}

func roleName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// imdsCredentials are the instance's role credentials. Only the role of its profile has any.
func (s *Service) imdsCredentials(i Instance, name string) ([]byte, bool) {
	if i.ProfileARN == "" {
		return nil, false
	}
	_, _, role, ok := s.g.InstanceProfileRole(i.ProfileARN)
	if !ok || role == "" || roleName(role) != name {
		return nil, false
	}
	c, err := s.g.NodeRoleCredentials(i.ID)
	if err != nil {
		body, _ := json.MarshalIndent(map[string]string{"Code": "AssumeRoleUnauthorizedAccess", "LastUpdated": s.g.Now().UTC().Format(time.RFC3339),
			"Message": "EC2 cannot assume the role " + name + ". Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc."}, "", "  ")
		return body, true
	}
	body, _ := json.MarshalIndent(struct {
		Code, LastUpdated, Type string
		AccessKeyID             string `json:"AccessKeyId"`
		SecretAccessKey, Token  string
		Expiration              string
	}{"Success", s.g.Now().UTC().Format(time.RFC3339), "AWS-HMAC", c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expiration.UTC().Format(time.RFC3339)}, "", "  ")
	return body, true
}
