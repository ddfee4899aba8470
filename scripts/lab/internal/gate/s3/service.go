// Package s3 is Amazon S3 behind the gate. Buckets and everything that decides who may do what (bucket policy, public
// access block, object ownership, canned ACLs, region) and their tags, versioning and encryption settings are this
// package's own; the bytes of objects are the emulator's, which a call reaches only once it is authorized.
package s3

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/emulator"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// Service implements gate.Service, gate.ResourcePolicies, gate.AnonymousCalls and gate.Inventory. Make it with New.
type Service struct {
	g        *gate.Gate
	emulator *emulator.Emulator

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	name, region string
	created      time.Time
	policy       *policy.Document
	policyText   string
	block        *publicAccessBlock
	opened       time.Time // when the block came to allow public policies
	ownership    string    // empty where the ownership controls were deleted
	acl          string    // canned
	versioning   string    // empty, Enabled or Suspended
	bucketKey    bool
	lifecycle    *wire.Tree
	logging      *logging // of server access, nil for none
	delivery     bool     // whether the ACL has CloudFront's log delivery
	tags         map[string]string
	objects      map[string]*objectFacts // by key, and by key and version where there are versions
	uploads      map[string]*objectFacts // by upload id
}

// objectFacts are what the gate keeps of an object beside the emulator.
type objectFacts struct {
	acl       string
	checksums map[string]string // header name to value
	headers   map[string]string // system metadata, which the emulator drops
}

// facts of an object, or of one version of it.
func (b *bucket) facts(key, version string) *objectFacts {
	if o, ok := b.objects[key+"\x00"+version]; ok && version != "" {
		return o
	}
	return b.objects[key]
}

// publicAccessBlock has the four settings, false each where the configuration was deleted.
type publicAccessBlock struct {
	blockPublicAcls, ignorePublicAcls, blockPublicPolicy, restrictPublicBuckets bool
}

// policyLag is how long S3 still refuses a public policy after the block came to allow it. On AWS this happens now and then,
// for some seconds that nobody has bounded (https://github.com/env0/templates/pull/258); here always, so that whoever does not
// wait is found out.
const policyLag = 4 * time.Second

const (
	enforced  = "BucketOwnerEnforced"
	preferred = "BucketOwnerPreferred"
	writer    = "ObjectWriter"
)

// New makes the service for a gate's account.
func New(g *gate.Gate, e *emulator.Emulator) *Service {
	return &Service{g: g, emulator: e, buckets: map[string]*bucket{}}
}

// Name is the signing name.
func (s *Service) Name() string { return "s3" }

// Protocol is S3's rest-xml.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolS3 }

// AllowsAnonymous lets unsigned calls on to authorization, where only a public bucket policy or ACL helps them.
func (s *Service) AllowsAnonymous(*gate.Call) bool { return true }

// Inventory lists the buckets.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for name := range s.buckets {
		out = append(out, name)
	}
	sort.Strings(out)
	return map[string][]string{"s3 bucket": out}
}

// address finds bucket and key of a request: virtual-hosted or path style. key is unescaped.
func address(c *gate.Call) (bucketName, key string) {
	path := strings.TrimPrefix(c.R.URL.Path, "/")
	host := c.Host
	for _, suffix := range []string{"." + gate.DNSSuffix, ".localhost"} {
		rest, ok := strings.CutSuffix(host, suffix)
		if !ok {
			continue
		}
		if suffix == ".localhost" {
			return rest, path
		}
		labels := strings.Split(rest, ".")
		for i := len(labels) - 1; i > 0 && i >= len(labels)-3; i-- {
			if labels[i] == "s3" || labels[i] == "s3-fips" {
				return strings.Join(labels[:i], "."), path
			}
		}
	}
	bucketName, key, _ = strings.Cut(path, "/")
	return bucketName, key
}

// globalHost tells S3's host names without a region, which reach buckets of every region.
func globalHost(host string) bool { return strings.HasSuffix(host, "s3."+gate.DNSSuffix) }

func bucketARN(name string) string { return "arn:" + gate.Partition + ":s3:::" + name }

func objectARN(name, key string) string { return bucketARN(name) + "/" + key }

// call is a routed API call.
type call struct {
	*gate.Call
	bucket, key string
	op          operation
}

// operation is what a request asks for.
type operation struct {
	action string // the API operation, for the event record
	// permission is what the caller needs on the bucket or object; empty where the handler asks itself.
	permission string
	handle     func(*Service, http.ResponseWriter, *call) error
	// forward lets the emulator answer; the operation needs no handler then.
	forward bool
}

var bucketOperations = map[string]operation{
	"PUT":                      {action: "CreateBucket", permission: "s3:CreateBucket", handle: (*Service).createBucket},
	"HEAD":                     {action: "HeadBucket", permission: "s3:ListBucket", handle: (*Service).headBucket},
	"DELETE":                   {action: "DeleteBucket", permission: "s3:DeleteBucket", handle: (*Service).deleteBucket},
	"GET":                      {action: "ListObjects", permission: "s3:ListBucket", forward: true},
	"GET list-type":            {action: "ListObjectsV2", permission: "s3:ListBucket", forward: true},
	"GET versions":             {action: "ListObjectVersions", permission: "s3:ListBucketVersions", forward: true},
	"GET uploads":              {action: "ListMultipartUploads", permission: "s3:ListBucketMultipartUploads", forward: true},
	"POST delete":              {action: "DeleteObjects", handle: (*Service).deleteObjects},
	"GET location":             {action: "GetBucketLocation", permission: "s3:GetBucketLocation", handle: (*Service).location},
	"GET policy":               {action: "GetBucketPolicy", permission: "s3:GetBucketPolicy", handle: (*Service).getPolicy},
	"PUT policy":               {action: "PutBucketPolicy", permission: "s3:PutBucketPolicy", handle: (*Service).putPolicy},
	"DELETE policy":            {action: "DeleteBucketPolicy", permission: "s3:DeleteBucketPolicy", handle: (*Service).deletePolicy},
	"GET policyStatus":         {action: "GetBucketPolicyStatus", permission: "s3:GetBucketPolicyStatus", handle: (*Service).policyStatus},
	"GET publicAccessBlock":    {action: "GetPublicAccessBlock", permission: "s3:GetBucketPublicAccessBlock", handle: (*Service).getBlock},
	"PUT publicAccessBlock":    {action: "PutPublicAccessBlock", permission: "s3:PutBucketPublicAccessBlock", handle: (*Service).putBlock},
	"DELETE publicAccessBlock": {action: "DeletePublicAccessBlock", permission: "s3:PutBucketPublicAccessBlock", handle: (*Service).deleteBlock},
	"GET ownershipControls":    {action: "GetBucketOwnershipControls", permission: "s3:GetBucketOwnershipControls", handle: (*Service).getOwnership},
	"PUT ownershipControls":    {action: "PutBucketOwnershipControls", permission: "s3:PutBucketOwnershipControls", handle: (*Service).putOwnership},
	"DELETE ownershipControls": {action: "DeleteBucketOwnershipControls", permission: "s3:PutBucketOwnershipControls", handle: (*Service).deleteOwnership},
	"GET acl":                  {action: "GetBucketAcl", permission: "s3:GetBucketAcl", handle: (*Service).getACL},
	"PUT acl":                  {action: "PutBucketAcl", permission: "s3:PutBucketAcl", handle: (*Service).putACL},
	"GET versioning":           {action: "GetBucketVersioning", permission: "s3:GetBucketVersioning", handle: (*Service).getVersioning},
	"PUT versioning":           {action: "PutBucketVersioning", permission: "s3:PutBucketVersioning", handle: (*Service).putVersioning},
	"GET encryption":           {action: "GetBucketEncryption", permission: "s3:GetEncryptionConfiguration", handle: (*Service).getEncryption},
	"PUT encryption":           {action: "PutBucketEncryption", permission: "s3:PutEncryptionConfiguration", handle: (*Service).putEncryption},
	"DELETE encryption":        {action: "DeleteBucketEncryption", permission: "s3:PutEncryptionConfiguration", handle: (*Service).deleteEncryption},
	"GET tagging":              {action: "GetBucketTagging", permission: "s3:GetBucketTagging", handle: (*Service).getTags},
	"PUT tagging":              {action: "PutBucketTagging", permission: "s3:PutBucketTagging", handle: (*Service).putTags},
	"DELETE tagging":           {action: "DeleteBucketTagging", permission: "s3:PutBucketTagging", handle: (*Service).deleteTags},
	"GET cors":                 {action: "GetBucketCors", permission: "s3:GetBucketCORS", handle: absent("NoSuchCORSConfiguration", "The CORS configuration does not exist")},
	"GET website":              {action: "GetBucketWebsite", permission: "s3:GetBucketWebsite", handle: absent("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration")},
	"GET lifecycle":            {action: "GetBucketLifecycleConfiguration", permission: "s3:GetLifecycleConfiguration", handle: (*Service).getLifecycle},
	"PUT lifecycle":            {action: "PutBucketLifecycleConfiguration", permission: "s3:PutLifecycleConfiguration", handle: (*Service).putLifecycle},
	"DELETE lifecycle":         {action: "DeleteBucketLifecycle", permission: "s3:PutLifecycleConfiguration", handle: (*Service).deleteLifecycle},
	"GET replication":          {action: "GetBucketReplication", permission: "s3:GetReplicationConfiguration", handle: absent("ReplicationConfigurationNotFoundError", "The replication configuration was not found")},
	"GET object-lock":          {action: "GetObjectLockConfiguration", permission: "s3:GetBucketObjectLockConfiguration", handle: absent("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")},
	"GET logging":              {action: "GetBucketLogging", permission: "s3:GetBucketLogging", handle: (*Service).getLogging},
	"PUT logging":              {action: "PutBucketLogging", permission: "s3:PutBucketLogging", handle: (*Service).putLogging},
	"GET notification":         {action: "GetBucketNotificationConfiguration", permission: "s3:GetBucketNotification", handle: empty("NotificationConfiguration")},
	"GET accelerate":           {action: "GetBucketAccelerateConfiguration", permission: "s3:GetAccelerateConfiguration", handle: empty("AccelerateConfiguration")},
	"GET requestPayment":       {action: "GetBucketRequestPayment", permission: "s3:GetBucketRequestPayment", handle: empty("RequestPaymentConfiguration", wire.Text("Payer", "BucketOwner"))},
}

var objectOperations = map[string]operation{
	"GET":                     {action: "GetObject", permission: "s3:GetObject", handle: (*Service).getObject},
	"HEAD":                    {action: "HeadObject", permission: "s3:GetObject", handle: (*Service).getObject},
	"PUT":                     {action: "PutObject", permission: "s3:PutObject", handle: (*Service).putObject},
	"PUT copy":                {action: "CopyObject", permission: "s3:PutObject", handle: (*Service).copyObject},
	"DELETE":                  {action: "DeleteObject", permission: "s3:DeleteObject", handle: (*Service).deleteObject},
	"GET tagging":             {action: "GetObjectTagging", permission: "s3:GetObjectTagging", forward: true},
	"PUT tagging":             {action: "PutObjectTagging", permission: "s3:PutObjectTagging", forward: true},
	"DELETE tagging":          {action: "DeleteObjectTagging", permission: "s3:DeleteObjectTagging", forward: true},
	"GET acl":                 {action: "GetObjectAcl", permission: "s3:GetObjectAcl", handle: (*Service).getACL},
	"PUT acl":                 {action: "PutObjectAcl", permission: "s3:PutObjectAcl", handle: (*Service).putACL},
	"POST uploads":            {action: "CreateMultipartUpload", permission: "s3:PutObject", forward: true},
	"PUT partNumber uploadId": {action: "UploadPart", permission: "s3:PutObject", forward: true},
	"POST uploadId":           {action: "CompleteMultipartUpload", permission: "s3:PutObject", forward: true},
	"DELETE uploadId":         {action: "AbortMultipartUpload", permission: "s3:AbortMultipartUpload", forward: true},
	"GET uploadId":            {action: "ListParts", permission: "s3:ListMultipartUploadParts", forward: true},
}

// subresources select an operation; other query parameters only qualify it.
var subresources = []string{"accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory", "legal-hold",
	"lifecycle", "list-type", "location", "logging", "metadataConfiguration", "metadataTable", "metrics", "notification", "object-lock", "ownershipControls",
	"partNumber", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment", "restore", "retention", "select", "session", "tagging",
	"torrent", "uploadId", "uploads", "versioning", "versions", "website", "abac"}

// route finds the operation of a request.
func route(c *gate.Call) (*call, error) {
	out := &call{Call: c}
	out.bucket, out.key = address(c)
	selector := c.R.Method
	q := c.R.URL.Query()
	for _, sub := range subresources {
		// GetObject takes a part number of its own, which selects nothing.
		if q.Has(sub) && (sub != "partNumber" || q.Has("uploadId")) {
			selector += " " + sub
		}
	}
	table := bucketOperations
	switch {
	case out.bucket == "" && selector == http.MethodGet:
		out.op = operation{action: "ListBuckets", permission: "s3:ListAllMyBuckets", handle: (*Service).listBuckets}
		return out, nil
	case out.bucket == "":
		return nil, gate.Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	case out.key != "":
		table = objectOperations
		if selector == http.MethodPut && c.R.Header.Get("X-Amz-Copy-Source") != "" {
			selector = "PUT copy"
		}
	}
	op, ok := table[selector]
	if !ok {
		return nil, gate.NotImplemented("S3 call " + selector)
	}
	if c.R.Header.Get("X-Amz-Copy-Source") != "" && op.action == "UploadPart" {
		return nil, gate.NotImplemented("S3 UploadPartCopy")
	}
	out.op = op
	return out, nil
}

func noSuchBucket(name string) error {
	return &gate.Error{Code: "NoSuchBucket", Status: http.StatusNotFound, Message: "The specified bucket does not exist", Extra: map[string]string{"BucketName": name}}
}

// Requirements routes the call, finds its bucket and says what it takes.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	in, err := route(c)
	if err != nil {
		return nil, err
	}
	c.Action, c.Data = in.op.action, in
	if in.bucket == "" {
		return []policy.Request{{Action: in.op.permission, Resource: "*"}}, nil
	}
	if c.Action != "CreateBucket" {
		if err := s.reachable(in); err != nil {
			return nil, err
		}
	}
	if in.op.permission == "" {
		return nil, nil
	}
	main := policy.Request{Action: in.op.permission, Resource: bucketARN(in.bucket), Context: s.context(in)}
	if in.key != "" {
		main.Resource = objectARN(in.bucket, in.key)
	}
	out := []policy.Request{main}
	more := func(action, resource string) {
		out = append(out, policy.Request{Action: action, Resource: resource, Context: main.Context})
	}
	versioned := c.R.URL.Query().Get("versionId") != ""
	switch c.Action {
	case "GetObject", "HeadObject":
		if versioned {
			out[0].Action = "s3:GetObjectVersion"
		}
	case "DeleteObject":
		if versioned {
			out[0].Action = "s3:DeleteObjectVersion"
		}
	case "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging":
		if versioned {
			out[0].Action = strings.Replace(out[0].Action, "Tagging", "VersionTagging", 1)
		}
	case "PutObject", "CopyObject", "CreateMultipartUpload":
		if c.R.Header.Get("X-Amz-Tagging") != "" {
			more("s3:PutObjectTagging", main.Resource)
		}
		if c.R.Header.Get("X-Amz-Acl") != "" {
			more("s3:PutObjectAcl", main.Resource)
		}
		if c.Action == "CopyObject" {
			from, key, err := copySource(c.R.Header.Get("X-Amz-Copy-Source"))
			if err != nil {
				return nil, err
			}
			more("s3:GetObject", objectARN(from, key))
		}
	}
	return out, nil
}

// reachable tells whether the bucket is there, in the region that the call went to.
func (s *Service) reachable(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[c.bucket]
	if !ok {
		return noSuchBucket(c.bucket)
	}
	if c.op.action == "HeadBucket" {
		// "regardless of the permissions on the bucket, you will receive a response header with the correct bucket location"
		// (HeadBucket in S3's API reference); the SDK's GetBucketRegion asks without a signature and counts on it.
		c.Header.Set("x-amz-bucket-region", b.region)
	}
	if owner := c.R.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != s.g.AccountID() {
		return gate.Errorf(http.StatusForbidden, "AccessDenied", "Access Denied")
	}
	if b.region == c.Region || globalHost(c.Host) {
		return nil
	}
	endpoint := b.name + ".s3." + b.region + "." + gate.DNSSuffix
	if strings.HasSuffix(c.Host, "."+gate.DNSSuffix) {
		return &gate.Error{Code: "PermanentRedirect", Status: http.StatusMovedPermanently, Message: "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
			Extra: map[string]string{"Endpoint": endpoint, "Bucket": b.name}}
	}
	return &gate.Error{Code: "AuthorizationHeaderMalformed", Status: http.StatusBadRequest, Extra: map[string]string{"Region": b.region},
		Message: fmt.Sprintf("The authorization header is malformed; the region '%s' is wrong; expecting '%s'", c.Region, b.region)}
}

// context has S3's condition keys.
func (s *Service) context(c *call) map[string][]string {
	out := map[string][]string{}
	q := c.R.URL.Query()
	for parameter, key := range map[string]string{"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys", "versionId": "s3:VersionId"} {
		if q.Has(parameter) {
			out[key] = []string{q.Get(parameter)}
		}
	}
	for header, key := range map[string]string{"X-Amz-Acl": "s3:x-amz-acl", "X-Amz-Server-Side-Encryption": "s3:x-amz-server-side-encryption",
		"X-Amz-Copy-Source": "s3:x-amz-copy-source", "X-Amz-Content-Sha256": "s3:x-amz-content-sha256", "X-Amz-Storage-Class": "s3:x-amz-storage-class",
		"X-Amz-Object-Ownership": "s3:x-amz-object-ownership"} {
		if v := c.R.Header.Get(header); v != "" {
			out[key] = []string{v}
		}
	}
	if c.Action == "CreateBucket" {
		out["s3:LocationConstraint"] = []string{c.Region}
	}
	out["s3:ResourceAccount"] = []string{s.g.AccountID()}
	switch {
	case c.Principal == nil:
	case q.Has("X-Amz-Signature"):
		out["s3:authType"], out["s3:signatureversion"] = []string{"REST-QUERY-STRING"}, []string{"AWS4-HMAC-SHA256"}
	default:
		out["s3:authType"], out["s3:signatureversion"] = []string{"REST-HEADER"}, []string{"AWS4-HMAC-SHA256"}
	}
	for k, v := range headerTags(c.R.Header.Get("X-Amz-Tagging")) {
		out["s3:RequestObjectTag/"+k] = []string{v}
		out["s3:RequestObjectTagKeys"] = append(out["s3:RequestObjectTagKeys"], k)
	}
	return out
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	in := c.Data.(*call)
	w.Header().Set("x-amz-request-id", c.RequestID)
	w.Header().Set("x-amz-id-2", c.RequestID)
	var err error
	if in.op.forward {
		err = s.forward(w, in)
	} else {
		err = in.op.handle(s, w, in)
	}
	if err != nil {
		gate.WriteError(w, c, err)
	}
}

// writeXML answers with a document in S3's namespace.
func writeXML(w http.ResponseWriter, root wire.Node) error {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(root.NS(namespace).Bytes())
	return nil
}

// locked runs f on the call's bucket with the lock held.
func (s *Service) locked(c *call, f func(*bucket) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[c.bucket]
	if !ok {
		return noSuchBucket(c.bucket)
	}
	return f(b)
}

// absent answers for a configuration that the lab does not model and that is therefore never there.
func absent(code, message string) func(*Service, http.ResponseWriter, *call) error {
	return func(_ *Service, _ http.ResponseWriter, c *call) error {
		return &gate.Error{Code: code, Message: message, Status: http.StatusNotFound, Extra: map[string]string{"BucketName": c.bucket}}
	}
}

// empty answers with a configuration that is at its default.
func empty(name string, children ...wire.Node) func(*Service, http.ResponseWriter, *call) error {
	return func(_ *Service, w http.ResponseWriter, _ *call) error {
		return writeXML(w, wire.Elem(name, children...))
	}
}
