package s3

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// ResourcePolicies returns the policy of the bucket that a requirement is about, and what a public ACL amounts to. Where
// RestrictPublicBuckets holds and the policy is public, it does not count for callers outside of the account; where
// IgnorePublicAcls holds, public ACLs do not count.
func (s *Service) ResourcePolicies(c *gate.Call, req policy.Request) ([]*policy.Document, error) {
	rest, ok := strings.CutPrefix(req.Resource, bucketARN(""))
	if !ok {
		return nil, nil
	}
	name, key, _ := strings.Cut(rest, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[name]
	if !ok {
		return nil, nil
	}
	block := b.blocks()
	var out []*policy.Document
	if b.policy != nil {
		outside := c.Principal == nil || (c.Principal.Service == "" && c.Principal.Account != s.g.AccountID())
		if !outside || !block.restrictPublicBuckets || !publicPolicy(b.policy) {
			out = append(out, b.policy)
		}
	}
	if block.ignorePublicAcls || b.ownership == enforced {
		return out, nil
	}
	if b.acl == "public-read" || b.acl == "public-read-write" {
		out = append(out, grant(bucketARN(name), "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"))
	}
	if b.acl == "public-read-write" {
		out = append(out, grant(objectARN(name, "*"), "s3:PutObject", "s3:DeleteObject"))
	}
	if o, ok := b.objects[key]; ok && (o.acl == "public-read" || o.acl == "public-read-write") {
		out = append(out, grant(objectARN(name, key), "s3:GetObject", "s3:GetObjectVersion"))
	}
	return out, nil
}

// grant is what a public ACL allows, as a policy.
func grant(resource string, actions ...string) *policy.Document {
	return &policy.Document{Version: "2012-10-17", Source: "acl", Statements: []policy.Statement{{SID: "PublicACL", Effect: "Allow",
		Principal: &policy.PrincipalElement{Any: true}, Actions: actions, Resources: []string{resource}}}}
}

func (b *bucket) blocks() publicAccessBlock {
	if b.block == nil {
		return publicAccessBlock{}
	}
	return *b.block
}

// fixedKeys are the condition keys that keep a policy from being public where they are held to fixed values (S3 User
// Guide, "The meaning of public").
var fixedKeys = map[string]bool{"aws:principalorgid": true, "aws:principalorgpaths": true, "aws:sourcearn": true, "aws:sourcevpc": true, "aws:sourcevpce": true,
	"aws:sourceowner": true, "aws:sourceaccount": true, "aws:sourceorgid": true, "aws:userid": true, "aws:principalarn": true, "aws:principalaccount": true,
	"s3:x-amz-server-side-encryption-aws-kms-key-id": true, "s3:dataaccesspointarn": true, "s3:dataaccesspointaccount": true}

// publicPolicy tells whether a policy grants access to everybody: some Allow names a wildcard principal, and no
// condition holds a known key to a fixed value.
func publicPolicy(d *policy.Document) bool {
	for _, st := range d.Statements {
		if st.Effect != "Allow" || !wildcardPrincipal(st) {
			continue
		}
		fixed := false
		for _, c := range st.Conditions {
			fixed = fixed || fixes(c)
		}
		if !fixed {
			return true
		}
	}
	return false
}

func wildcardPrincipal(st policy.Statement) bool {
	if st.NotPrincipal != nil {
		return true
	}
	if st.Principal == nil {
		return false
	}
	if st.Principal.Any {
		return true
	}
	for _, a := range st.Principal.AWS {
		if a == "*" {
			return true
		}
	}
	return false
}

// fixes tells whether a condition narrows the callers down to fixed values.
func fixes(c policy.Condition) bool {
	key, operator := strings.ToLower(c.Key), c.Operator
	if len(c.Values) == 0 {
		return false
	}
	if key == "aws:sourceip" {
		if operator != "IpAddress" {
			return false
		}
		for _, v := range c.Values {
			if !strings.Contains(v, "/") {
				v += "/128"
				if !strings.Contains(v, ":") {
					v = strings.TrimSuffix(v, "/128") + "/32"
				}
			}
			p, err := netip.ParsePrefix(v)
			// Very broad ranges count as public: anything wider than /8, and /32 of IPv6.
			if err != nil || (p.Addr().Is4() && p.Bits() < 8) || (p.Addr().Is6() && p.Bits() < 32) {
				return false
			}
		}
		return true
	}
	if !fixedKeys[key] {
		return false
	}
	switch operator {
	case "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "ForAnyValue:StringEquals", "ForAnyValue:StringLike":
	default:
		return false
	}
	for _, v := range c.Values {
		if strings.ContainsAny(v, "*?") || strings.Contains(v, "${") {
			return false
		}
	}
	return true
}

func (s *Service) getPolicy(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		if b.policy == nil {
			return &gate.Error{Code: "NoSuchBucketPolicy", Message: "The bucket policy does not exist", Status: http.StatusNotFound, Extra: map[string]string{"BucketName": b.name}}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(b.policyText))
		return nil
	})
}

func malformedPolicy(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "MalformedPolicy", format, args...)
}

func (s *Service) putPolicy(w http.ResponseWriter, c *call) error {
	d, err := policy.Parse(c.Body)
	if err != nil {
		return malformedPolicy("%v", err)
	}
	if len(c.Body) > 20480 {
		return malformedPolicy("Policy exceeds the maximum allowed document size.")
	}
	d.Source = "bucket/" + c.bucket
	for _, st := range d.Statements {
		if st.Principal == nil && st.NotPrincipal == nil {
			return malformedPolicy("Missing required field Principal")
		}
		for _, a := range append(append([]string{}, st.Actions...), st.NotActions...) {
			if a != "*" && !strings.HasPrefix(strings.ToLower(a), "s3:") {
				return malformedPolicy("Policy has invalid action")
			}
		}
		resources := append(append([]string{}, st.Resources...), st.NotResources...)
		if len(resources) == 0 {
			return malformedPolicy("Missing required field Resource")
		}
		for _, r := range resources {
			own := bucketARN(c.bucket)
			if r != own && !strings.HasPrefix(r, own+"/") && !strings.HasPrefix(r, own+"*") {
				return malformedPolicy("Policy has invalid resource")
			}
		}
	}
	return s.locked(c, func(b *bucket) error {
		if (b.blocks().blockPublicPolicy || time.Since(b.opened) < policyLag) && publicPolicy(d) {
			return blocked(c, "s3:PutBucketPolicy", bucketARN(b.name), "public policies are blocked by the BlockPublicPolicy block public access setting.")
		}
		b.policy, b.policyText = d, string(c.Body)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// blocked is S3's answer where a public access block forbids what the caller may otherwise do.
func blocked(c *call, action, resource, why string) error {
	caller := "anonymous"
	if c.Principal != nil {
		caller = c.Principal.ARN
	}
	return gate.Errorf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: %s on resource: \"%s\" because %s", caller, action, resource, why)
}

func (s *Service) deletePolicy(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		b.policy, b.policyText = nil, ""
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (s *Service) policyStatus(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		if b.policy == nil {
			return &gate.Error{Code: "NoSuchBucketPolicy", Message: "The bucket policy does not exist", Status: http.StatusNotFound, Extra: map[string]string{"BucketName": b.name}}
		}
		return writeXML(w, wire.Elem("PolicyStatus", wire.Text("IsPublic", publicPolicy(b.policy))))
	})
}

func (s *Service) getBlock(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		if b.block == nil {
			return &gate.Error{Code: "NoSuchPublicAccessBlockConfiguration", Message: "The public access block configuration was not found", Status: http.StatusNotFound,
				Extra: map[string]string{"BucketName": b.name}}
		}
		return writeXML(w, wire.Elem("PublicAccessBlockConfiguration", wire.Text("BlockPublicAcls", b.block.blockPublicAcls), wire.Text("IgnorePublicAcls", b.block.ignorePublicAcls),
			wire.Text("BlockPublicPolicy", b.block.blockPublicPolicy), wire.Text("RestrictPublicBuckets", b.block.restrictPublicBuckets)))
	})
}

// putBlock replaces the whole configuration: what is left out is false.
func (s *Service) putBlock(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil {
		return malformed()
	}
	next := &publicAccessBlock{t.Bool("BlockPublicAcls"), t.Bool("IgnorePublicAcls"), t.Bool("BlockPublicPolicy"), t.Bool("RestrictPublicBuckets")}
	return s.locked(c, func(b *bucket) error {
		b.setBlock(next)
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

// setBlock replaces the configuration, nil for none.
func (b *bucket) setBlock(next *publicAccessBlock) {
	closed := b.blocks().blockPublicPolicy
	b.block = next
	if closed && !b.blocks().blockPublicPolicy {
		b.opened = time.Now()
	}
}

func (s *Service) deleteBlock(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		b.setBlock(nil)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (s *Service) getOwnership(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		if b.ownership == "" {
			return &gate.Error{Code: "OwnershipControlsNotFoundError", Message: "The bucket ownership controls were not found", Status: http.StatusNotFound,
				Extra: map[string]string{"BucketName": b.name}}
		}
		return writeXML(w, wire.Elem("OwnershipControls", wire.Elem("Rule", wire.Text("ObjectOwnership", b.ownership))))
	})
}

func (s *Service) putOwnership(w http.ResponseWriter, c *call) error {
	t, err := wire.ParseTree(c.Body)
	if err != nil {
		return malformed()
	}
	next := t.Get("Rule", "ObjectOwnership")
	if next != enforced && next != preferred && next != writer {
		return malformed()
	}
	return s.locked(c, func(b *bucket) error {
		if next == enforced && (b.acl != "private" || b.delivery) {
			return gate.Errorf(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
		}
		b.ownership = next
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

func (s *Service) deleteOwnership(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		b.ownership = ""
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// public tells the canned ACLs that grant to everybody, or to every AWS account, which counts the same.
func public(acl string) bool {
	return acl == "public-read" || acl == "public-read-write" || acl == "authenticated-read"
}

// checkGrants refuses ACLs other than canned ones.
func checkGrants(h http.Header) error {
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return gate.NotImplemented("ACL grants (" + name + ")")
		}
	}
	switch h.Get("X-Amz-Acl") {
	case "", "private", "public-read", "public-read-write", "bucket-owner-full-control", "bucket-owner-read":
		return nil
	}
	return gate.NotImplemented("canned ACL " + h.Get("X-Amz-Acl"))
}

// acceptACL decides whether a canned ACL may be put on the bucket or an object.
func acceptACL(c *call, b *bucket, acl, action, resource string) error {
	switch {
	case acl == "":
		return nil
	case b.ownership == enforced && acl != "bucket-owner-full-control":
		return gate.Errorf(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	case public(acl) && b.blocks().blockPublicAcls:
		return blocked(c, action, resource, "public access control lists (ACLs) are blocked by the BlockPublicAcls block public access setting.")
	}
	return nil
}

func (s *Service) putACL(w http.ResponseWriter, c *call) error {
	if err := checkGrants(c.R.Header); err != nil {
		return err
	}
	acl := c.R.Header.Get("X-Amz-Acl")
	return s.locked(c, func(b *bucket) error {
		if b.ownership == enforced {
			return gate.Errorf(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
		}
		if acl == "" {
			return gate.NotImplemented("an access control policy in XML")
		}
		if c.key == "" {
			if err := acceptACL(c, b, acl, "s3:PutBucketAcl", bucketARN(b.name)); err != nil {
				return err
			}
			b.acl, b.delivery = acl, false // a canned ACL replaces the whole list
		} else {
			if err := acceptACL(c, b, acl, "s3:PutObjectAcl", objectARN(b.name, c.key)); err != nil {
				return err
			}
			o, ok := b.objects[c.key]
			if !ok {
				return noSuchKey(c.key)
			}
			changed := *o
			changed.acl = acl
			b.objects[c.key] = &changed
		}
		w.WriteHeader(http.StatusOK)
		return nil
	})
}

func (s *Service) getACL(w http.ResponseWriter, c *call) error {
	return s.locked(c, func(b *bucket) error {
		acl := b.acl
		if c.key != "" {
			o, ok := b.objects[c.key]
			if !ok {
				return noSuchKey(c.key)
			}
			acl = o.acl
		}
		grantee := func(kind string, child wire.Node, permission string) wire.Node {
			n := wire.Elem("Grantee", child)
			n.Attrs = append(n.Attrs, attr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"), attr("xsi:type", kind))
			return wire.Elem("Grant", n, wire.Text("Permission", permission))
		}
		all := wire.Text("URI", "http://acs.amazonaws.com/groups/global/AllUsers")
		list := wire.Elem("AccessControlList", grantee("CanonicalUser", wire.Text("ID", s.canonicalID()), "FULL_CONTROL"))
		if c.key == "" && b.delivery {
			list.Children = append(list.Children, grantee("CanonicalUser", wire.Text("ID", logDelivery), "FULL_CONTROL"))
		}
		if acl == "public-read" || acl == "public-read-write" {
			list.Children = append(list.Children, grantee("Group", all, "READ"))
		}
		if acl == "public-read-write" {
			list.Children = append(list.Children, grantee("Group", all, "WRITE"))
		}
		return writeXML(w, wire.Elem("AccessControlPolicy", s.owner(), list))
	})
}
