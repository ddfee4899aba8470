package chain

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
)

func certificates(list []string) (out []*x509.Certificate) {
	for _, text := range list {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		if cert, err := x509.ParseCertificate(der); err == nil {
			out = append(out, cert)
		}
	}
	return out
}

// certificate walks an identity of Roles Anywhere: each pod's parts, then what they name, once.
func (c *checker) certificate(id Identity, pods []*Pod) {
	ids := []Identity{id}
	helper := c.given(id.Namespace, id.Account)
	secretName := certificateSecret(id.Account)
	made := false // that the names are the program's, not a pod's own
	if a := c.account(id.Namespace, id.Account); a != nil {
		made = a.PartOf
		if a.Helper != nil {
			helper = a.Helper
		}
		if a.Certificate != "" {
			secretName, made = a.Certificate, true
		}
	}
	for _, p := range pods {
		name := c.certificatePod(id, p)
		if h := c.helper(p); h != nil {
			helper = h
		}
		if name != "" {
			secretName, made = name, true
		}
	}
	if helper == nil || helper.Anchor == "" || helper.Profile == "" || helper.Role == "" {
		if helper != nil {
			c.add("helper-arguments", "identity "+id.String(), ids, fmt.Sprintf("trust anchor %q, profile %q, role %q", helper.Anchor, helper.Profile, helper.Role))
		}
		helper = nil
	}
	var leaf *x509.Certificate
	var chain []*x509.Certificate
	if s := c.secret(id.Namespace, secretName); s == nil {
		if made && c.sees(partSecrets) {
			c.add("certificate-secret-missing", "Secret "+id.Namespace+"/"+secretName, ids, "it does not exist")
		}
	} else {
		leaf, chain = c.leaf(id, s)
	}
	if helper == nil {
		return
	}
	region := func(arn string) string { return segment(arn, 3) }
	if a, p := region(helper.Anchor), region(helper.Profile); a != p || helper.Region != "" && helper.Region != a {
		c.add("regions-differ", "identity "+id.String(), ids, fmt.Sprintf("trust anchor in %s, profile in %s, helper for %s", a, p, helper.Region))
		return
	}
	anchor := c.anchor(ids, helper)
	if leaf != nil {
		c.chain(id, leaf, chain, anchor)
	}
	c.profile(ids, helper)
	c.certificateRole(id, helper, leaf)
}

// certificatePod checks what a pod needs to present a certificate, and returns the name of its Secret.
func (c *checker) certificatePod(id Identity, p *Pod) (secretName string) {
	ids := []Identity{id}
	add := func(kind, seen string, more ...string) {
		c.add(kind, p.String(), ids, seen, append([]string{"namespace", p.Namespace, "pod", p.Name}, more...)...)
	}
	given, bare := false, []string{}
	for i := range p.Containers {
		container := &p.Containers[i]
		helper := container.Helper
		if env := container.Env; !container.Init && !slices.Contains(p.Skip, container.Name) &&
			env["AWS_CONFIG_FILE"]+env["AWS_PROFILE"]+env["AWS_DEFAULT_PROFILE"]+env["AWS_WEB_IDENTITY_TOKEN_FILE"]+env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] == "" {
			bare = append(bare, container.Name)
		}
		if file := container.Env["AWS_CONFIG_FILE"]; file != "" && file != elsewhere {
			given = true
			m, within := container.mounted(path.Clean(file))
			if m == nil {
				add("aws-config-not-mounted", "container "+container.Name+" has no mount that holds "+file, "file", file)
				continue
			}
			v := find(p.ConfigMaps, func(v *Volume) bool { return v.Volume == m.Volume })
			if v == nil {
				continue
			}
			config := c.configMap(p.Namespace, v.Name)
			if config == nil {
				if c.sees(partConfigMaps) {
					c.add("aws-config-missing", "ConfigMap "+p.Namespace+"/"+v.Name, ids, "it does not exist")
				}
				continue
			}
			entry, ok := config.Files[within]
			if !ok || entry.Process == nil {
				c.add("helper-arguments", "ConfigMap "+p.Namespace+"/"+v.Name, ids, "its entry "+within+" has no credential_process in profile default")
				continue
			}
			helper = entry.Process
		}
		if helper == nil {
			continue
		}
		given = true
		for _, file := range []string{helper.Certificate, helper.Key} {
			if file == "" {
				continue
			}
			m, _ := container.mounted(path.Clean(file))
			var v *Volume
			if m != nil {
				v = find(p.Secrets, func(v *Volume) bool { return v.Volume == m.Volume })
			}
			if v == nil {
				add("certificate-not-mounted", "container "+container.Name+" has no Secret that holds "+file, "file", file)
				continue
			}
			secretName = v.Name
			// Files of a Secret are root's; fsGroup gives its group to them, and the mode the rest (Kubernetes, "Secrets").
			if v.Mode != 0 && v.Mode&0o004 == 0 && p.FSGroup == nil && container.User != nil && *container.User != 0 {
				add("secret-unreadable", fmt.Sprintf("the files of volume %s have mode %#o, user %d is not root, and the pod has no fsGroup", v.Volume, v.Mode, *container.User))
			}
		}
	}
	a := c.account(p.Namespace, p.Account)
	for _, container := range p.Containers {
		if container.Helper == nil {
			continue
		}
		c.sidecar(p, add)
		if a != nil && a.Helper != nil && container.Helper.Role != a.Helper.Role {
			add("role-other", "container "+container.Name+" has --role-arn "+container.Helper.Role, "role", a.Helper.Role)
		}
	}
	switch {
	case !given:
		add("no-certificate-parts", "it has nothing of its identity")
	case len(bare) > 0 && a != nil && a.Labelled: // as in tokenPod
		add("container-left-out", "container "+strings.Join(bare, ", ")+" has nothing of the identity")
	}
	return secretName
}

// sidecar checks that somebody asks a pod's sidecar, which answers as the metadata service does.
func (c *checker) sidecar(p *Pod, add func(kind, seen string, more ...string)) {
	asked := false
	for _, container := range p.Containers {
		asked = asked || container.Env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] != ""
		if container.Env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] != "" && strings.EqualFold(container.Env["AWS_EC2_METADATA_DISABLED"], "true") {
			add("metadata-disabled", "container "+container.Name+" has AWS_EC2_METADATA_DISABLED=true")
		}
	}
	if !asked {
		add("sidecar-not-asked", "no container has it")
	}
}

// leaf checks a certificate by itself.
func (c *checker) leaf(id Identity, s *Secret) (leaf *x509.Certificate, chain []*x509.Certificate) {
	ids, where := []Identity{id}, "Secret "+s.Namespace+"/"+s.Name
	all := certificates(s.Certificates)
	if s.Problem != "" || len(all) == 0 {
		problem := s.Problem
		if problem == "" {
			problem = "it has no certificate"
		}
		c.add("certificate-unreadable", where, ids, problem)
		return nil, nil
	}
	leaf, chain = all[0], all[1:]
	if s.Foreign {
		c.add("certificate-key", where, ids, "tls.key is not the key of tls.crt")
	}
	switch state, words := c.ended(Validity{leaf.NotBefore, leaf.NotAfter}); state {
	case "over":
		c.add("certificate-ended", where, ids, words)
	case "early":
		c.add("certificate-early", where, ids, words)
	case "near":
		c.add("certificate-ends", where, ids, words)
	}
	var lacks []string
	for _, rule := range []struct {
		broken bool
		words  string
	}{
		{leaf.Version != 3, fmt.Sprintf("it is X.509 v%d", leaf.Version)},
		{leaf.IsCA, "it is a CA"},
		{leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0, "its key usage lacks digitalSignature"},
		{weak(leaf.SignatureAlgorithm), "it is signed with " + leaf.SignatureAlgorithm.String()},
		{shortKey(leaf), "its RSA key is shorter than 2048 bits"},
	} {
		if rule.broken {
			lacks = append(lacks, rule.words)
		}
	}
	// IAM Roles Anywhere user guide, "Certificates", "End-entity certificates".
	if len(lacks) > 0 {
		c.add("certificate-insufficient", where, ids, strings.Join(lacks, ", "))
	}
	if leaf.Subject.CommonName == "" {
		c.add("certificate-subject", where, ids, "its subject is "+fmt.Sprintf("%q", leaf.Subject.String()))
	}
	return leaf, chain
}

func weak(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}, a)
}

func shortKey(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() < 2048
}

// anchor checks a trust anchor; nil where it was not looked at or is not there.
func (c *checker) anchor(ids []Identity, h *Helper) *Anchor {
	if !c.sees(partAnchors) || !c.sees(partCaller) || segment(h.Anchor, 3) != c.Account.Region || segment(h.Anchor, 4) != c.Account.ID {
		return nil
	}
	where := "trust anchor " + h.Anchor
	a := find(c.Account.Anchors, func(a *Anchor) bool { return a.ARN == h.Anchor })
	if a == nil {
		c.add("anchor-missing", where, ids, "it does not exist")
		return nil
	}
	if !a.Enabled {
		c.add("anchor-disabled", where, ids, "it is disabled", "id", nameOf(a.ARN))
	}
	over := 0
	all := certificates(a.Certificates)
	for _, ca := range all {
		name := "CA " + ca.Subject.String()
		if !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
			c.add("anchor-certificate", where, ids, name+" is none")
		}
		switch state, words := c.ended(Validity{ca.NotBefore, ca.NotAfter}); state {
		case "over":
			if over++; over == len(all) {
				c.add("anchor-ended", where, ids, name+": "+words)
			}
		case "near":
			c.add("anchor-ends", where, ids, name+": "+words)
		}
	}
	return a
}

// chain checks that the trust anchor takes a certificate, and that no list has revoked it.
func (c *checker) chain(id Identity, leaf *x509.Certificate, chain []*x509.Certificate, anchor *Anchor) {
	ids := []Identity{id}
	where := fmt.Sprintf("certificate %s (serial %x) of %s", leaf.Subject, leaf.SerialNumber, id)
	if anchor == nil {
		return
	}
	if anchor.PCA == "" {
		roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
		var names []string
		for _, ca := range certificates(anchor.Certificates) {
			roots.AddCert(ca)
			names = append(names, ca.Subject.String())
		}
		for _, i := range chain {
			intermediates.AddCert(i)
		}
		// Its own times were looked at: here it counts who has signed it, at a time at which it was valid.
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: leaf.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			c.add("certificate-untrusted", where, ids, "it is signed by "+leaf.Issuer.String()+"; the trust anchor has "+list(names))
		}
	}
	if !c.sees(partCRLs) {
		return
	}
	for _, l := range c.Account.CRLs {
		issuer, err := base64.StdEncoding.DecodeString(l.Issuer)
		if err == nil && l.Enabled && l.Anchor == anchor.ARN && bytes.Equal(issuer, leaf.RawIssuer) && slices.Contains(l.Serials, hex.EncodeToString(leaf.SerialNumber.Bytes())) {
			c.add("certificate-revoked", where, ids, "the revocation list "+l.ARN+" has it")
		}
	}
}

// profile checks a profile of Roles Anywhere and what it makes of the helper's request.
func (c *checker) profile(ids []Identity, h *Helper) {
	if !c.sees(partProfiles) || !c.sees(partCaller) || segment(h.Profile, 3) != c.Account.Region || segment(h.Profile, 4) != c.Account.ID {
		return
	}
	where := "profile " + h.Profile
	p := find(c.Account.Profiles, func(p *Profile) bool { return p.ARN == h.Profile })
	if p == nil {
		c.add("profile-missing", where, ids, "it does not exist")
		return
	}
	if !p.Enabled {
		c.add("profile-disabled", where, ids, "it is disabled", "id", nameOf(p.ARN))
	}
	if !slices.Contains(p.Roles, h.Role) {
		c.add("profile-role", where, ids, "its roles are "+list(p.Roles), "role", h.Role)
	}
	if h.SessionName != "" && !p.SessionName {
		c.add("profile-session-name", where, ids, "the helper asks for the session name "+h.SessionName+", and the profile accepts none")
	}
	// A session is as long as the shorter of the two says (IAM Roles Anywhere API reference, CreateSession).
	length := p.Seconds
	if h.Seconds > 0 && (length == 0 || h.Seconds < length) {
		length = h.Seconds
	}
	if r := c.role(h.Role); r != nil && r.MaxSeconds > 0 && length > r.MaxSeconds {
		c.add("session-too-long", where, ids, fmt.Sprintf("sessions of %d s are asked for", length), "maximum", fmt.Sprint(r.MaxSeconds))
	}
}

// certificateRole checks that a role lets a certificate in.
func (c *checker) certificateRole(id Identity, h *Helper, leaf *x509.Certificate) {
	id.Role = h.Role
	r, d := c.roleOf(id)
	if r == nil || leaf == nil || leaf.Subject.CommonName == "" { // without a name there is nobody to trust
		return
	}
	ids, where := []Identity{id}, "role "+r.ARN
	const cnKey, anchorKey = "aws:PrincipalTag/x509Subject/CN", "aws:SourceArn"
	known := []string{cnKey, anchorKey, "aws:SourceAccount", "aws:PrincipalTag/x509Issuer/CN", "sts:SourceIdentity"}
	full := d
	d = plainly(full, known...)
	ask := func(action, cn, anchor string) policy.Decision {
		return policy.Evaluate(policy.Request{Action: action, Resource: r.ARN, Principal: &policy.Principal{Service: "rolesanywhere.amazonaws.com"},
			Context: map[string][]string{cnKey: {cn}, anchorKey: {anchor}, "aws:SourceAccount": {segment(r.ARN, 4)},
				"aws:PrincipalTag/x509Issuer/CN": {leaf.Issuer.CommonName}, "sts:SourceIdentity": {"CN=" + cn}}}, d).Decision
	}
	allowed := func(cn, anchor string) bool { return ask("sts:AssumeRole", cn, anchor) == policy.Allow }
	cn := leaf.Subject.CommonName
	anyOf := func(list []string, is func(string) bool) bool { return slices.ContainsFunc(list, is) }
	switch {
	case allowed(cn, h.Anchor):
		for _, action := range []string{"sts:SetSourceIdentity", "sts:TagSession"} {
			if ask(action, cn, h.Anchor) != policy.Allow {
				c.add("trust-actions", where, ids, "its trust policy does not allow "+action)
			}
		}
		if d = full; !allowed(cn, h.Anchor) {
			c.add("trust-conditions", where, ids, "it also looks at "+list(others(full, known...)), "name", nameOf(r.ARN))
		}
	case ask("sts:AssumeRole", cn, h.Anchor) == policy.ExplicitDeny:
		c.add("trust-suspended", where, ids, "a Deny statement of its trust policy shuts the identity out")
	case anyOf(values(d, anchorKey), func(a string) bool { return allowed(cn, a) }):
		c.add("trust-anchor", where, ids, "it trusts "+list(values(d, anchorKey)), "anchor", h.Anchor)
	case anyOf(values(d, cnKey), func(n string) bool { return allowed(n, h.Anchor) }):
		c.add("trust-name", where, ids, "it trusts the common name "+list(values(d, cnKey)), "cn", cn)
	default:
		c.add("trust-actions", where, ids, "its trust policy does not let certificates of "+h.Anchor+" in")
	}
}
