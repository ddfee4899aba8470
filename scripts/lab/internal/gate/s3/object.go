package s3

import (
	"crypto/sha1" //nolint:gosec // S3 offers it as a checksum
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/emulator"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

func attr(name, value string) xml.Attr { return xml.Attr{Name: xml.Name{Local: name}, Value: value} }

func noSuchKey(key string) error {
	return &gate.Error{Code: "NoSuchKey", Message: "The specified key does not exist.", Status: http.StatusNotFound, Extra: map[string]string{"Key": key}}
}

// failure turns an error of the emulator into the gate's, so that the event record has it.
func failure(a *emulator.Answer) error {
	e := &gate.Error{Code: "InternalError", Message: "the emulator answered with status " + http.StatusText(a.Status), Status: a.Status, Extra: map[string]string{}}
	t, err := wire.ParseTree(a.Body)
	if err != nil {
		switch a.Status { // HEAD has no body
		case http.StatusNotFound:
			e.Code, e.Message = "NoSuchKey", "The specified key does not exist."
		case http.StatusPreconditionFailed:
			e.Code, e.Message = "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"
		case http.StatusRequestedRangeNotSatisfiable:
			e.Code, e.Message = "InvalidRange", "The requested range is not satisfiable"
		}
		return e
	}
	for _, child := range t.Children {
		switch name := child.XMLName.Local; name {
		case "Code":
			e.Code = strings.TrimSpace(child.Text)
		case "Message":
			e.Message = strings.TrimSpace(child.Text)
		case "Resource", "RequestId", "HostId":
		default:
			e.Extra[name] = strings.TrimSpace(child.Text)
		}
	}
	return e
}

// escape is a key as a URL path.
func escape(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(p), "+", "%2B")
	}
	return strings.Join(parts, "/")
}

// path of the call at the emulator, which takes path style.
func (c *call) path() string {
	if c.key == "" {
		return "/" + c.bucket
	}
	return "/" + c.bucket + "/" + escape(c.key)
}

// query of the call without what a presigned URL adds.
func (c *call) query() string {
	q := c.R.URL.Query()
	for name := range q {
		if strings.HasPrefix(name, "X-Amz-") || name == "x-id" {
			q.Del(name)
		}
	}
	return strings.ReplaceAll(q.Encode(), "=&", "&")
}

// ask forwards the call as it is.
func (s *Service) ask(c *call) (*emulator.Answer, error) {
	header := c.R.Header.Clone()
	for name := range header { // what the gate keeps itself, or checks itself
		if name == "X-Amz-Acl" || strings.HasPrefix(name, "X-Amz-Checksum-") || name == "X-Amz-Sdk-Checksum-Algorithm" || name == "X-Amz-Expected-Bucket-Owner" || name == "X-Amz-Content-Sha256" {
			header.Del(name)
		}
	}
	method := c.R.Method
	if method == http.MethodHead { // to which the emulator says no version
		method = http.MethodGet
	}
	return s.emulator.Do(c.R, emulator.Request{Method: method, Path: c.path(), Query: s.emulated(c), Header: header, Body: c.Body})
}

// emulated is the call's query as the emulator understands it.
func (s *Service) emulated(c *call) string {
	query := c.R.URL.Query()
	if query.Get("versionId") == nullVersion && !s.everVersioned(c.bucket) {
		query.Del("versionId")
		in := *c.R
		u := *c.R.URL
		u.RawQuery, in.URL = query.Encode(), &u
		return (&call{Call: &gate.Call{R: &in}}).query()
	}
	return c.query()
}

// nullVersion is the version of objects that were written while the bucket kept none.
const nullVersion = "null"

// everVersioned tells whether a bucket keeps versions or has kept some.
func (s *Service) everVersioned(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[name]
	return ok && b.versioning != ""
}

// markable refuses to delete an object's current version where that would leave a marker that the emulator cannot keep.
func (s *Service) markable(name, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.buckets[name]; ok && b.versioning == "Suspended" && version == "" {
		return gate.NotImplemented("deleting an object without naming its version, in a bucket with suspended versioning,")
	}
	return nil
}

// ownerID is the canonical user id in listings; no other element has that name there, and keys come escaped.
var ownerID = regexp.MustCompile(`<ID>[^<>]*</ID>`)

// forward lets the emulator answer. Its owner is the gate's account.
func (s *Service) forward(w http.ResponseWriter, c *call) error {
	if err := s.checkWrite(c); err != nil {
		return err
	}
	a, err := s.ask(c)
	if err != nil {
		return err
	}
	if a.Status >= 300 && a.Status != http.StatusNotModified {
		return failure(a)
	}
	if strings.Contains(a.Header.Get("Content-Type"), "xml") {
		a.Body = ownerID.ReplaceAll(a.Body, []byte("<ID>"+s.canonicalID()+"</ID>"))
	}
	a.Header.Del("X-Amz-Request-Id")
	a.Header.Del("X-Amz-Id-2")
	switch c.Action {
	case "CreateMultipartUpload":
		if t, err := wire.ParseTree(a.Body); err == nil {
			s.mu.Lock()
			if b, ok := s.buckets[c.bucket]; ok {
				b.uploads[t.Get("UploadId")] = c.facts(nil)
			}
			s.mu.Unlock()
		}
		a.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	case "CompleteMultipartUpload":
		id := c.R.URL.Query().Get("uploadId")
		s.mu.Lock()
		facts := &objectFacts{acl: "private"}
		if b, ok := s.buckets[c.bucket]; ok && b.uploads[id] != nil {
			facts = b.uploads[id]
			delete(b.uploads, id)
		}
		s.mu.Unlock()
		s.remember(c, facts, a.Header.Get("X-Amz-Version-Id"))
		a.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	}
	a.Write(w)
	return nil
}

// encryption refuses server-side encryption that the lab does not model.
func encryption(h http.Header) error {
	if v := h.Get("X-Amz-Server-Side-Encryption"); v != "" && v != "AES256" {
		return gate.NotImplemented("server-side encryption by " + v)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Server-Side-Encryption-Customer-") || strings.HasPrefix(name, "X-Amz-Object-Lock-") {
			return gate.NotImplemented("header " + name)
		}
	}
	return nil
}

// checkWrite holds ACL and encryption headers of a writing call against the bucket.
func (s *Service) checkWrite(c *call) error {
	switch c.Action {
	case "PutObject", "CopyObject", "CreateMultipartUpload":
	default:
		return nil
	}
	if err := encryption(c.R.Header); err != nil {
		return err
	}
	if err := checkGrants(c.R.Header); err != nil {
		return err
	}
	if class := c.R.Header.Get("X-Amz-Storage-Class"); class != "" && class != "STANDARD" {
		return gate.NotImplemented("storage class " + class)
	}
	return s.locked(c, func(b *bucket) error {
		return acceptACL(c, b, c.R.Header.Get("X-Amz-Acl"), "s3:PutObject", objectARN(c.bucket, c.key))
	})
}

// systemHeaders are an object's metadata beside its own (x-amz-meta-) and its content type.
var systemHeaders = []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires", "X-Amz-Website-Redirect-Location"}

// facts reads what a writing call says of its object.
func (c *call) facts(sums map[string]string) *objectFacts {
	out := &objectFacts{acl: c.R.Header.Get("X-Amz-Acl"), checksums: sums, headers: map[string]string{}}
	if out.acl == "" {
		out.acl = "private"
	}
	for _, name := range systemHeaders {
		if v := c.R.Header.Get(name); v != "" {
			out.headers[name] = v
		}
	}
	return out
}

// remember keeps what the emulator does not.
func (s *Service) remember(c *call, facts *objectFacts, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.buckets[c.bucket]; ok {
		b.objects[c.key] = facts
		if version != "" {
			b.objects[c.key+"\x00"+version] = facts
		}
	}
}

// checksumNames are the headers of S3's additional checksums.
var checksumNames = map[string]func([]byte) []byte{
	"X-Amz-Checksum-Crc32": func(b []byte) []byte { return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) },
	"X-Amz-Checksum-Crc32c": func(b []byte) []byte {
		return binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	},
	// CRC-64/NVME; the constant is its polynomial in the reversed form that hash/crc64 takes.
	"X-Amz-Checksum-Crc64nvme": func(b []byte) []byte {
		return binary.BigEndian.AppendUint64(nil, crc64.Checksum(b, crc64.MakeTable(0x9a6c9329ac4bc9b5)))
	},
	"X-Amz-Checksum-Sha1":   func(b []byte) []byte { sum := sha1.Sum(b); return sum[:] }, //nolint:gosec // not for security
	"X-Amz-Checksum-Sha256": func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] },
}

// checksums verifies the checksums that a PutObject carries. Where it carries none, S3 computes CRC-64/NVME.
func checksums(c *call) (map[string]string, error) {
	out := map[string]string{}
	for name, sum := range checksumNames {
		if sent := c.R.Header.Get(name); sent != "" {
			if sent != base64.StdEncoding.EncodeToString(sum(c.Body)) {
				return nil, gate.Errorf(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", strings.ToUpper(strings.TrimPrefix(name, "X-Amz-Checksum-")))
			}
			out[name] = sent
		}
	}
	if len(out) == 0 {
		const fallback = "X-Amz-Checksum-Crc64nvme"
		out[fallback] = base64.StdEncoding.EncodeToString(checksumNames[fallback](c.Body))
	}
	return out, nil
}

func (s *Service) putObject(w http.ResponseWriter, c *call) error {
	if err := s.checkWrite(c); err != nil {
		return err
	}
	if len(c.key) > 1024 {
		return gate.Errorf(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	}
	sums, err := checksums(c)
	if err != nil {
		return err
	}
	a, err := s.ask(c)
	if err != nil {
		return err
	}
	if a.Status >= 300 {
		return failure(a)
	}
	s.remember(c, c.facts(sums), a.Header.Get("X-Amz-Version-Id"))
	h := w.Header()
	for _, name := range []string{"ETag", "X-Amz-Version-Id"} {
		if v := a.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	for name, v := range sums {
		h.Set(name, v)
	}
	h.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	h.Set("X-Amz-Server-Side-Encryption", "AES256")
	w.WriteHeader(http.StatusOK)
	return nil
}

// copySource reads an X-Amz-Copy-Source header.
func copySource(v string) (bucketName, key string, err error) {
	v, version, _ := strings.Cut(strings.TrimPrefix(v, "/"), "?versionId=")
	if version != "" {
		return "", "", gate.NotImplemented("a copy of an older version")
	}
	if plain, err := url.PathUnescape(v); err == nil {
		v = plain
	}
	bucketName, key, ok := strings.Cut(v, "/")
	if !ok || key == "" {
		return "", "", gate.Errorf(http.StatusBadRequest, "InvalidArgument", "Invalid copy source object key")
	}
	return bucketName, key, nil
}

func (s *Service) copyObject(w http.ResponseWriter, c *call) error {
	if err := s.checkWrite(c); err != nil {
		return err
	}
	from, key, err := copySource(c.R.Header.Get("X-Amz-Copy-Source"))
	if err != nil {
		return err
	}
	facts := c.facts(nil)
	s.mu.Lock()
	b, ok := s.buckets[from]
	if ok {
		if o := b.facts(key, ""); o != nil {
			facts.checksums = o.checksums
			if c.R.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
				facts.headers = o.headers
			}
		}
	}
	s.mu.Unlock()
	if !ok {
		return noSuchBucket(from)
	}
	a, err := s.ask(c)
	if err != nil {
		return err
	}
	if a.Status >= 300 {
		return failure(a)
	}
	s.remember(c, facts, a.Header.Get("X-Amz-Version-Id"))
	a.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	a.Write(w)
	return nil
}

// getObject serves GET and HEAD. To callers who may not list the bucket a missing key looks like a denial.
func (s *Service) getObject(w http.ResponseWriter, c *call) error {
	a, err := s.ask(c)
	if err != nil {
		return err
	}
	if a.Status == http.StatusNotFound {
		list := policy.Request{Action: "s3:ListBucket", Resource: bucketARN(c.bucket), Context: map[string][]string{"s3:prefix": {c.key}}}
		if err := s.g.Allowed(c.Call, list); err != nil {
			return gate.Errorf(http.StatusForbidden, "AccessDenied", "%s", gate.AsError(err).Message)
		}
	}
	if a.Status >= 300 && a.Status != http.StatusNotModified {
		return failure(a)
	}
	for _, name := range []string{"X-Amz-Request-Id", "X-Amz-Id-2"} {
		a.Header.Del(name)
	}
	var facts *objectFacts // not changed once stored
	s.mu.Lock()
	if b, ok := s.buckets[c.bucket]; ok {
		facts = b.facts(c.key, a.Header.Get("X-Amz-Version-Id"))
	}
	s.mu.Unlock()
	if facts != nil {
		for name, v := range facts.headers {
			a.Header.Set(name, v)
		}
	}
	q := c.R.URL.Query()
	for _, name := range []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Expires"} {
		if v := q.Get("response-" + strings.ToLower(name)); v != "" {
			a.Header.Set(name, v)
		}
	}
	if a.Status != http.StatusNotModified {
		a.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
		a.Header.Set("Accept-Ranges", "bytes")
		// A checksum is of the whole object, so a range goes without.
		if facts != nil && strings.EqualFold(c.R.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && c.R.Header.Get("Range") == "" {
			for name, v := range facts.checksums {
				a.Header.Set(name, v)
			}
			if len(facts.checksums) > 0 {
				a.Header.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
			}
		}
	}
	a.Write(w)
	return nil
}

func (s *Service) deleteObject(w http.ResponseWriter, c *call) error {
	if err := s.markable(c.bucket, c.R.URL.Query().Get("versionId")); err != nil {
		return err
	}
	a, err := s.ask(c)
	if err != nil {
		return err
	}
	if a.Status >= 300 && a.Status != http.StatusNotFound { // deleting what is not there succeeds
		return failure(a)
	}
	s.forget(c.bucket, c.key, c.R.URL.Query().Get("versionId"))
	for _, name := range []string{"X-Amz-Version-Id", "X-Amz-Delete-Marker"} {
		if v := a.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// forget drops the facts of an object, or of one version of it.
func (s *Service) forget(bucketName, key, version string) {
	if version != "" {
		key += "\x00" + version
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.buckets[bucketName]; ok {
		delete(b.objects, key)
	}
}

// deleteObjects deletes up to 1000 keys. Each is authorized by itself, and those that are not are errors in the answer.
func (s *Service) deleteObjects(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil {
		return malformed()
	}
	entries := t.All("Object")
	if len(entries) == 0 || len(entries) > 1000 {
		return malformed()
	}
	quiet := t.Bool("Quiet")
	out := wire.Elem("DeleteResult")
	for _, e := range entries {
		key, version := e.Get("Key"), e.Get("VersionId")
		if f := e.Find("Key"); f != nil {
			key = f.Text // white space counts in keys
		}
		action := "s3:DeleteObject"
		query := ""
		if version != "" {
			action = "s3:DeleteObjectVersion"
			if version != nullVersion || s.everVersioned(c.bucket) {
				query = "versionId=" + url.QueryEscape(version)
			}
		}
		err := s.g.Allowed(c.Call, policy.Request{Action: action, Resource: objectARN(c.bucket, key), Context: s.context(c)})
		if err == nil {
			err = s.markable(c.bucket, version)
		}
		var a *emulator.Answer
		if err == nil {
			if a, err = s.emulator.Do(c.R, emulator.Request{Method: http.MethodDelete, Path: "/" + c.bucket + "/" + escape(key), Query: query}); err == nil && a.Status >= 300 && a.Status != http.StatusNotFound {
				err = failure(a)
			}
		}
		if err != nil {
			f := gate.AsError(err)
			out.Children = append(out.Children, wire.Elem("Error", wire.Text("Key", key), wire.Opt("VersionId", version), wire.Text("Code", f.Code), wire.Text("Message", f.Message)))
			continue
		}
		s.forget(c.bucket, key, version)
		if quiet {
			continue
		}
		deleted := wire.Elem("Deleted", wire.Text("Key", key), wire.Opt("VersionId", version))
		if a.Header.Get("X-Amz-Delete-Marker") == "true" {
			deleted.Children = append(deleted.Children, wire.Text("DeleteMarker", true), wire.Opt("DeleteMarkerVersionId", a.Header.Get("X-Amz-Version-Id")))
		}
		out.Children = append(out.Children, deleted)
	}
	return writeXML(w, out)
}

// headerTags reads an X-Amz-Tagging header, which is encoded like a query.
func headerTags(v string) map[string]string {
	out := map[string]string{}
	q, err := url.ParseQuery(v)
	if err != nil {
		return out
	}
	for k := range q {
		out[k] = q.Get(k)
	}
	return out
}
