package s3

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"sort"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/emulator"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// validName holds a name against S3's rules for general purpose buckets.
func validName(name string) bool {
	if !bucketName.MatchString(name) || strings.Contains(name, "..") || strings.Contains(name, ".-") || strings.Contains(name, "-.") {
		return false
	}
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	for _, p := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, p) {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

func (s *Service) listBuckets(w http.ResponseWriter, c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*bucket
	for _, b := range s.buckets {
		if strings.HasPrefix(b.name, c.R.URL.Query().Get("prefix")) {
			all = append(all, b)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return writeXML(w, wire.Elem("ListAllMyBucketsResult", s.owner(), wire.List("Buckets", "Bucket", all, func(b *bucket) []wire.Node {
		return []wire.Node{wire.Text("Name", b.name), wire.Text("CreationDate", b.created), wire.Text("BucketRegion", b.region)}
	})))
}

// canonicalID is the account's canonical user id, as stable as the account.
func (s *Service) canonicalID() string {
	return strings.Repeat(s.g.AccountID(), 6)[:64]
}

func (s *Service) owner() wire.Node { return wire.Elem("Owner", wire.Text("ID", s.canonicalID())) }

func (s *Service) createBucket(w http.ResponseWriter, c *call) error {
	var config *wire.Tree
	if len(c.Body) > 0 {
		var err error
		if config, err = wire.ParseTree(c.Body); err != nil {
			return malformed()
		}
	}
	constraint := config.Get("LocationConstraint")
	h := c.R.Header
	switch {
	case !validName(c.bucket):
		return &gate.Error{Code: "InvalidBucketName", Message: "The specified bucket is not valid.", Status: http.StatusBadRequest, Extra: map[string]string{"BucketName": c.bucket}}
	case constraint == "" && c.Region != "us-east-1":
		return gate.Errorf(http.StatusBadRequest, "IllegalLocationConstraintException", "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.")
	case constraint != "" && constraint != c.Region:
		return gate.Errorf(http.StatusBadRequest, "IllegalLocationConstraintException", "The %s location constraint is incompatible for the region specific endpoint this request was sent to.", constraint)
	case h.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true":
		return gate.NotImplemented("object lock")
	case config.Find("Location") != nil || config.Find("Bucket") != nil:
		return gate.NotImplemented("a directory bucket")
	}
	ownership, acl := h.Get("X-Amz-Object-Ownership"), h.Get("X-Amz-Acl")
	if ownership == "" {
		ownership = enforced
	}
	if acl == "" {
		acl = "private"
	}
	if err := checkGrants(h); err != nil {
		return err
	}
	if acl != "private" && ownership == enforced {
		return gate.Errorf(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	}
	if public(acl) { // a new bucket blocks public ACLs
		return gate.Errorf(http.StatusBadRequest, "InvalidBucketAclWithBlockPublicAccessError", "Bucket cannot have public ACLs set with BlockPublicAccess enabled")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.buckets[c.bucket]; ok {
		if old.region == "us-east-1" && c.Region == "us-east-1" {
			w.Header().Set("Location", "/"+c.bucket)
			w.WriteHeader(http.StatusOK)
			return nil
		}
		return &gate.Error{Code: "BucketAlreadyOwnedByYou", Status: http.StatusConflict, Extra: map[string]string{"BucketName": c.bucket},
			Message: "Your previous request to create the named bucket succeeded and you already own it."}
	}
	a, err := s.emulator.Do(c.R, emulator.Request{Method: http.MethodPut, Path: "/" + c.bucket})
	if err != nil {
		return err
	}
	if a.Status >= 300 {
		return failure(a)
	}
	b := &bucket{name: c.bucket, region: c.Region, created: c.Time, ownership: ownership, acl: acl, tags: map[string]string{}, objects: map[string]*objectFacts{}, uploads: map[string]*objectFacts{},
		block: &publicAccessBlock{true, true, true, true}}
	for _, t := range config.Find("Tags").All("Tag") {
		b.tags[t.Get("Key")] = t.Get("Value")
	}
	s.buckets[c.bucket] = b
	w.Header().Set("Location", "http://"+c.bucket+".s3."+gate.DNSSuffix+"/")
	w.WriteHeader(http.StatusOK)
	return nil
}

func malformed() error {
	return gate.Errorf(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

func (s *Service) headBucket(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		w.Header().Set("x-amz-access-point-alias", "false")
		w.Header().Set("x-amz-bucket-arn", bucketARN(b.name))
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

func (s *Service) deleteBucket(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		a, err := s.emulator.Do(c.R, emulator.Request{Method: http.MethodDelete, Path: "/" + url.PathEscape(b.name)})
		if err != nil {
			return err
		}
		if a.Status >= 300 {
			return failure(a)
		}
		delete(s.buckets, b.name)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (s *Service) location(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		region := b.region
		if region == "us-east-1" {
			region = ""
		}
		return writeXML(w, wire.Text("LocationConstraint", region))
	})
}

func (s *Service) getVersioning(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		return writeXML(w, wire.Elem("VersioningConfiguration", wire.Opt("Status", b.versioning)))
	})
}

func (s *Service) putVersioning(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil {
		return malformed()
	}
	status := t.Get("Status")
	if status != "Enabled" && status != "Suspended" {
		return malformed()
	}
	if t.Get("MfaDelete") == "Enabled" {
		return gate.NotImplemented("MFA delete")
	}
	return s.locked(c, func(b *bucket) error {
		if b.versioning == "" {
			if err := s.adopt(c, b); err != nil {
				return err
			}
		}
		a, err := s.emulator.Do(c.R, emulator.Request{Method: http.MethodPut, Path: "/" + b.name, Query: "versioning", Body: c.Body})
		if err != nil {
			return err
		}
		if a.Status >= 300 {
			return failure(a)
		}
		b.versioning = status
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

// adopt makes the objects of a bucket that begins to keep versions their own null versions, which the emulator would
// forget with the first one that is overwritten. The caller holds mu.
func (s *Service) adopt(c *call, b *bucket) error {
	suspend := []byte(`<VersioningConfiguration xmlns="` + namespace + `"><Status>Suspended</Status></VersioningConfiguration>`)
	if a, err := s.emulator.Do(c.R, emulator.Request{Method: http.MethodPut, Path: "/" + b.name, Query: "versioning", Body: suspend}); err != nil {
		return err
	} else if a.Status >= 300 {
		return failure(a)
	}
	for key := range b.objects {
		if strings.Contains(key, "\x00") {
			continue
		}
		path := "/" + b.name + "/" + escape(key)
		a, err := s.emulator.Do(c.R, emulator.Request{Method: http.MethodPut, Path: path, Header: http.Header{"X-Amz-Copy-Source": {path}}})
		if err != nil {
			return err
		}
		if a.Status >= 300 {
			return failure(a)
		}
	}
	return nil
}

func (s *Service) getEncryption(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		return writeXML(w, wire.Elem("ServerSideEncryptionConfiguration", wire.Elem("Rule",
			wire.Elem("ApplyServerSideEncryptionByDefault", wire.Text("SSEAlgorithm", "AES256")), wire.Text("BucketKeyEnabled", b.bucketKey))))
	})
}

func (s *Service) putEncryption(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil || t.Find("Rule") == nil {
		return malformed()
	}
	if a := t.Get("Rule", "ApplyServerSideEncryptionByDefault", "SSEAlgorithm"); a != "AES256" {
		return gate.NotImplemented("default encryption by " + a)
	}
	return s.locked(c, func(b *bucket) error {
		b.bucketKey = t.Bool("Rule", "BucketKeyEnabled")
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

// deleteEncryption goes back to S3's default, which is AES256 too.
func (s *Service) deleteEncryption(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		b.bucketKey = false
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (s *Service) getTags(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		if len(b.tags) == 0 {
			return &gate.Error{Code: "NoSuchTagSet", Message: "The TagSet does not exist", Status: http.StatusNotFound, Extra: map[string]string{"BucketName": b.name}}
		}
		keys := make([]string, 0, len(b.tags))
		for k := range b.tags {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		return writeXML(w, wire.Elem("Tagging", wire.List("TagSet", "Tag", keys, func(k string) []wire.Node {
			return []wire.Node{wire.Text("Key", k), wire.Text("Value", b.tags[k])}
		})))
	})
}

func (s *Service) putTags(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil || t.Find("TagSet") == nil {
		return malformed()
	}
	tags := map[string]string{}
	for _, x := range t.Find("TagSet").All("Tag") {
		k := x.Get("Key")
		if _, twice := tags[k]; twice {
			return gate.Errorf(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key")
		}
		if k == "" || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return gate.Errorf(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid")
		}
		tags[k] = x.Get("Value")
	}
	if len(tags) > 50 {
		return gate.Errorf(http.StatusBadRequest, "BadRequest", "Bucket tag count cannot be greater than 50")
	}
	return s.locked(c, func(b *bucket) error {
		b.tags = tags
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (s *Service) deleteTags(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		b.tags = map[string]string{}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}
