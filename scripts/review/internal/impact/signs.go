package impact

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// signs looks for the dangers that do not follow from a role's policies.
func (w *world) signs() []Sign {
	var all []Sign
	for _, look := range []func() []Sign{
		w.issuers, w.trustAnchors, w.revocations, w.profilesOff, w.keysAndCertificates, w.servers, w.keySets, w.documents, w.distributions, w.dns, w.buckets,
		w.resourcePolicies, w.metadata, w.machines, w.bootData, w.protection, w.data, w.plainSecrets, w.parameters, w.firewall, w.kubernetes,
		w.addresses, w.routes, w.tagsThatDecide, w.userThings, w.sameThing, w.keysHandedOn, w.notUnderstood,
	} {
		all = append(all, look()...)
	}
	return all
}

func sign(level Level, id, what, why, safe string, resources ...*preview.Change) Sign {
	s := Sign{ID: id, Level: level, What: what, Why: why, Safe: safe}
	for _, c := range resources {
		s.Resources = append(s.Resources, c.Now().Name())
	}
	return s
}

func host(url string) string { return strings.TrimPrefix(url, "https://") }

// issuers: OIDC providers that go away or accept less, and what clusters sign for.
func (w *world) issuers() []Sign {
	var signs []Sign
	kept := map[string]bool{}
	for _, c := range w.byType[typeOIDCProvider] {
		if url, ok := c.After.Text("url"); c.After != nil && ok {
			kept[host(url)] = true
		}
	}
	for _, c := range w.byType[typeOIDCProvider] {
		if c.Before == nil {
			if url, _ := c.After.Text("url"); c.Op == preview.Create && !w.initial && !w.publishesFor(c.After) {
				signs = append(signs, sign(Warning, "issuer-added", "IAM trusts another issuer, "+orUnknown(host(url)), "whoever has its keys can be every role that names it", "see whose it is, and which roles name it", c))
			}
			continue
		}
		url, known := c.Before.Text("url")
		was := host(url)
		switch {
		case known && !kept[was] && c.Op == preview.Delete && w.retired()[was]: // judged with the servers
		case known && !kept[was]:
			signs = append(signs, sign(Danger, "issuer-changed", "the issuer "+was+" is no longer trusted",
				"the tokens that pods hold are refused at once, and until their kubelet has renewed them",
				"keep the old issuer beside the new one until the longest token has run out (a day), then remove it in a second change", c))
		case removed(c):
			signs = append(signs, sign(Danger, "oidc-provider-replaced", "the IAM OIDC provider of "+was+" is "+verb(c),
				"no token of the cluster is accepted while it is away, and IAM knows one provider for a URL: the new one cannot be made first",
				"keep the resource's name and URL, or give an alias", c))
		}
		if c.After == nil || c.Op != preview.Update {
			continue
		}
		before, after := list(c.Before.Value("clientIdLists")), list(c.After.Value("clientIdLists"))
		if v := c.After.Value("clientIdLists"); unknown(v) || slices.ContainsFunc(after, func(s string) bool { return unknown(s) }) {
			signs = append(signs, sign(Warning, "unclear", "the audiences of the IAM OIDC provider of "+was+" are known only after the update",
				"the preview cannot show which tokens it will accept", "make what they are computed from exist first", c))
			continue
		}
		for _, client := range difference(before, after) {
			signs = append(signs, sign(Danger, "audience-removed", "the IAM OIDC provider of "+was+" no longer accepts the audience "+client,
				"tokens that pods hold are refused", "add the new audience, change the tokens, then remove the old one", c))
		}
		for _, client := range difference(after, before) {
			signs = append(signs, sign(Warning, "audience-added", "the IAM OIDC provider of "+was+" also accepts the audience "+client,
				"tokens that were made for that audience can be given to AWS, by whoever receives them", "let pods ask for sts.amazonaws.com", c))
		}
		if changed(c, "thumbprintLists") {
			signs = append(signs, sign(Warning, "thumbprint-changed", "the thumbprints of the IAM OIDC provider of "+was+" change",
				"where IAM does not know the issuer's CA, they say which server it takes keys from", "leave them out for S3 and CloudFront", c))
		}
	}
	for _, c := range w.byType[typeInstance] {
		was, is := signingIssuers(c.Before), signingIssuers(c.After)
		if len(was) == 0 || len(is) == 0 || c.Op == preview.Same {
			continue
		}
		if gone := difference(was, is); len(gone) > 0 && w.allRetired(gone) {
			what := "the servers no longer accept tokens of " + strings.Join(gone, ", ")
			signs = append(signs, w.tokensEnded(what, w.providerOf(gone), c)...)
			w.step(what, "")
		} else if len(gone) > 0 {
			signs = append(signs, sign(Danger, "issuer-dropped", "the API server no longer accepts tokens of "+strings.Join(gone, ", "),
				"running pods that use such a token inside the cluster are refused (Unauthorized)",
				"list the new issuer first and the old one after it until the longest token has run out", c))
		}
		for _, added := range difference(is, was) {
			w.step("the servers accept tokens of "+added, "wait until its documents answer and every role trusts it")
		}
		if was[0] != is[0] && !w.accepted(is[0]) {
			signs = append(signs, sign(Danger, "issuer-unpublished", "the cluster signs for "+is[0]+" from now on, which IAM or a server does not know yet",
				"new pods get tokens that AWS or another server refuses until all of the change is made", "make the issuer `next` first, and `active` in a later change", c))
		} else if was[0] != is[0] {
			w.step("the cluster signs for "+is[0]+" from now on", "tokens of "+was[0]+" live on, for 24 h at most where no pod asks for longer ones; wait for their end")
		}
	}
	return signs
}

// publishesFor tells whether the stack publishes the documents of a provider's issuer, as far as the preview knows its URL.
func (w *world) publishesFor(provider *preview.Resource) bool {
	if provider.ParentType() != "k3s-aws-auth:oidcissuer:Provider" {
		return false
	}
	url, known := provider.Text("url")
	name, _, _ := strings.Cut(host(url), "/")
	return !known || slices.ContainsFunc(w.p.Changes, func(c *preview.Change) bool {
		switch r := c.After; {
		case r == nil:
		case r.Type == typeBucket:
			bucket, _ := r.Text("bucket")
			return bucket != "" && strings.HasPrefix(name, bucket+".s3.")
		case r.Type == typeDistribution:
			own, _ := r.Output("domainName").(string)
			return slices.ContainsFunc(append(list(r.Value("aliases")), own), func(a string) bool { return domain(a) == domain(name) })
		}
		return false
	})
}

// signingIssuers reads the issuers from a server's boot data, in their order.
func signingIssuers(r *preview.Resource) []string {
	text, known := bootText(r)
	if !known {
		return nil
	}
	return bootFlags(text)["service-account-issuer"]
}

func (w *world) trustAnchors() []Sign {
	var signs []Sign
	for _, c := range w.byType[typeTrustAnchor] {
		if c.Op == preview.Create && !w.initial {
			signs = append(signs, sign(Warning, "trust-anchor-added", "a new trust anchor, "+c.Now().Name(), "certificates of its CA are accepted by every role that does not name its anchor",
				"see that every role names its trust anchor", c))
		}
		if c.Before == nil {
			continue
		}
		if removed(c) {
			signs = append(signs, sign(Danger, "trust-anchor-replaced", "the trust anchor is "+verb(c),
				"certificates in use are refused, and trust policies name the old ARN",
				"make a second trust anchor, trust both, issue new certificates, then remove the old one", c))
			continue
		}
		if on, ok := c.After.Value("enabled").(bool); ok && !on && c.Before.Value("enabled") != false {
			signs = append(signs, sign(Danger, "trust-anchor-disabled", "the trust anchor is switched off",
				"no pod gets a session from now on", "remove the identities first, if that is what is meant", c))
		}
		if enabled(c.After) && !enabled(c.Before) {
			signs = append(signs, sign(Warning, "trust-anchor-added", "the trust anchor "+c.Now().Name()+" is switched on", "certificates of its CA are accepted by every role that does not name its anchor",
				"see whose CA it is, and that every role names its trust anchor", c))
		}
		steps, ended := w.authoritySteps(c)
		const data = "x509CertificateData"
		was, is := certificates(c.Before.Value("source", "sourceData", data)), certificates(c.After.Value("source", "sourceData", data))
		switch {
		case !changed(c, "source"):
		case ended:
			signs = append(signs, steps...)
		case w.authorityJoins(c):
			w.step("the trust anchor accepts certificates of another CA of this stack", "")
			signs = append(signs, sign(Warning, "ca-added", fmt.Sprintf("the trust anchor %s accepts certificates of another CA, which is known only after the update", c.Now().Name()),
				"whoever has that CA's key can be every identity", "see that the CA is made by this stack", c))
		case len(was) > 0 && len(difference(was, is)) > 0:
			signs = append(signs, sign(Danger, "ca-replaced", "the trust anchor exchanges its CA certificate",
				"certificates of the old CA are refused at once", "put the new CA beside the old one (an anchor holds two), and remove the old one once all leaves are new", c))
		case len(difference(is, was)) > 0:
			signs = append(signs, sign(Warning, "ca-added", fmt.Sprintf("the trust anchor %s accepts certificates of another CA", c.Now().Name()),
				"whoever has that CA's key can be every identity", "see that the CA is made by this stack", c))
		default:
			signs = append(signs, sign(Warning, "ca-changed", fmt.Sprintf("the source of the trust anchor %s changes", c.Now().Name()),
				"another CA's certificates may be identities", "see which CA it is", c))
		}
	}
	return signs
}

var pemBlock = regexp.MustCompile(`(?s)-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----`)

func certificates(v any) []string {
	text, _ := v.(string)
	var list []string
	for _, m := range pemBlock.FindAllStringSubmatch(text, -1) {
		list = append(list, strings.Join(strings.Fields(m[1]), ""))
	}
	return list
}

// keysAndCertificates: private keys and CAs that are made anew.
func (w *world) keysAndCertificates() []Sign {
	var signs []Sign
	for _, c := range w.byType[typePrivateKey] {
		if !removed(c) {
			continue
		}
		switch w.useOf(c) {
		case "signing":
			if c.Op == preview.Delete && (w.publishedWithout(c) || w.forgotten(c)) {
				continue // a key that signs no more, and whose removal from the key set is judged there, or was
			}
			signs = append(signs, sign(Danger, "signing-key-replaced", "a signing key is "+verb(c),
				"every token in use becomes invalid, for AWS and inside the cluster, and the old key is gone for good",
				"add the new key beside the old one, let it sign, and remove the old one a day later", c))
		case "ca":
			if c.Op == preview.Delete && w.retiredKey(c.Before.URN) {
				continue // judged with the trust anchor
			}
			signs = append(signs, sign(Danger, "ca-replaced", "a CA's private key is "+verb(c),
				"nothing that the CA has signed is trusted any longer: certificates of nodes, of pods, or the kubeconfig",
				"trust the new CA beside the old one, renew what it signs, then remove the old one", c))
		case "token":
			signs = append(signs, sign(Warning, "cluster-token-replaced", "the key of a join token is "+verb(c),
				"nodes that hold the old token cannot join again", "rotate the token with k3s token rotate", c))
		}
	}
	named := map[string]*preview.Change{}
	for _, c := range w.byType[typeCertRequest] {
		if name, known := c.Before.Text("subject", "commonName"); known {
			named[name] = c
		}
	}
	for _, c := range w.byType[typeCertRequest] {
		name, known := c.After.Text("subject", "commonName")
		if other := named[name]; known && other != nil && other != c && c.Op != preview.Import && c.Before == nil {
			signs = append(signs, sign(Warning, "certificate-subject", fmt.Sprintf("%s asks for a second certificate that names %s", c.Now().Name(), name), "a certificate is whom it names: whoever gets this one is that identity", "give each identity a name of its own", c))
		}
	}
	for _, t := range []string{typeSelfSigned, typeLocallySigned} {
		for _, c := range w.byType[t] {
			signs = append(signs, certificateSigns(c)...)
			signs = append(signs, w.issuedByAnother(c)...)
			if c.Op == preview.Delete && w.retiredAuthority(c.Before.URN) {
				continue // judged with the trust anchor
			}
			if removed(c) && c.Before.Value("isCaCertificate") == true {
				signs = append(signs, sign(Danger, "ca-replaced", "a CA's certificate is "+verb(c),
					"nothing that the CA has signed is trusted any longer: certificates of nodes, of pods, or the kubeconfig",
					"trust the new CA beside the old one, renew what it signs, then remove the old one", c))
			}
		}
	}
	return signs
}

var signingName = regexp.MustCompile(`(^|-)(signing-key-[a-z0-9-]+|service-key)$`)

// signingParameter matches the name of a parameter with a signing key; releases up to 0.1 had one with all of them.
var signingParameter = regexp.MustCompile(`-service\.key$|-service-account-[a-z0-9-]+\.key$`)

// certificateSigns: what a certificate becomes.
func certificateSigns(c *preview.Change) []Sign {
	if c.After == nil || c.Before == nil {
		return nil
	}
	var signs []Sign
	if c.After.Value("isCaCertificate") == true && c.Before.Value("isCaCertificate") != true {
		signs = append(signs, sign(Danger, "ca-made", c.Now().Name()+" becomes a CA", "whoever has its key can sign certificates of every identity", "leave leaves without isCaCertificate", c))
	}
	if added := difference(list(c.After.Value("allowedUses")), list(c.Before.Value("allowedUses"))); slices.Contains(added, "cert_signing") {
		signs = append(signs, sign(Danger, "ca-made", c.Now().Name()+" may sign certificates", "whoever has its key can sign certificates of every identity", "leave cert_signing to CAs", c))
	}
	if was, is := number(c.Before.Value("validityPeriodHours")), number(c.After.Value("validityPeriodHours")); is > was && c.After.Value("isCaCertificate") != true {
		signs = append(signs, sign(Warning, "certificate-long", fmt.Sprintf("%s is valid for %d h rather than %d h", c.Now().Name(), is, was), "a stolen certificate stays good that long", "keep leaves short-lived", c))
	}
	if changed(c, "subject") || len(differs(c, "dnsNames", "ipAddresses", "uris")) > 0 {
		signs = append(signs, sign(Warning, "certificate-subject", c.Now().Name()+" names somebody else", "a certificate is whom it names", "see that no role trusts that name for something else", c))
	}
	return signs
}

// useOf tells what a private key is for, by who depends on it: "signing", "ca", "leaf" or "token".
func (w *world) useOf(key *preview.Change) string {
	urn := key.Now().URN
	use := ""
	for _, c := range w.users[urn] {
		r := c.Before
		if r == nil {
			r = c.After
		}
		switch {
		case isObject(r.Type) && isKeySet(r):
			return "signing"
		case r.Type == typeParameter && signingParameter.MatchString(r.Name()):
			return "signing"
		case r.Type == typeSelfSigned && slices.Contains(r.PropertyDependencies["privateKeyPem"], urn) && r.Value("isCaCertificate") == true,
			r.Type == typeLocallySigned && slices.Contains(r.PropertyDependencies["caPrivateKeyPem"], urn):
			return "ca"
		case r.Type == typeCertRequest:
			if use == "" {
				use = "leaf"
			}
			for _, l := range w.users[r.URN] { // an intermediate CA's key makes a request
				lr := l.Now()
				if lr.Type == typeLocallySigned && lr.Value("isCaCertificate") == true {
					return "ca"
				}
			}
		}
	}
	if use == "" && signingName.MatchString(key.Now().Name()) {
		return "signing"
	}
	if use == "" && strings.Contains(key.Now().Name(), "token") {
		return "token"
	}
	return use
}

// publishedWithout tells whether the key sets that a key was part of go on without it.
func (w *world) publishedWithout(key *preview.Change) bool {
	found := false
	for _, c := range w.users[key.Now().URN] {
		r := c.After
		if r == nil || !isObject(r.Type) || !isKeySet(r) {
			continue
		}
		if slices.Contains(r.Dependencies, key.Now().URN) {
			return false
		}
		found = true
	}
	return found
}

// servers: machines that hold the cluster's database.
func (w *world) servers() []Sign {
	var all, gone, restarted []*preview.Change
	for _, c := range w.byType[typeInstance] {
		if !isServer(c.Now()) {
			continue
		}
		if c.Before != nil {
			all = append(all, c)
		}
		switch {
		case removed(c):
			gone = append(gone, c)
		case c.Op == preview.Update && slices.ContainsFunc(c.Properties, func(p string) bool { return p == "userData" || p == "userDataBase64" || p == "instanceType" }):
			restarted = append(restarted, c)
		}
	}
	var signs []Sign
	switch {
	case len(gone) == 0:
	case 2*len(gone) >= len(all):
		signs = append(signs, sign(Danger, "server-replaced", fmt.Sprintf("%d of %d servers replaced or deleted", len(gone), len(all)),
			"the cluster's database is on their disks: with a majority gone, everything in the cluster is lost",
			"take a snapshot (k3s etcd-snapshot) and replace one server of three or more at a time", gone...))
	default:
		signs = append(signs, sign(Warning, "server-replaced", fmt.Sprintf("%d of %d servers replaced or deleted", len(gone), len(all)),
			"the database runs without spare members until the new one has joined", "take a snapshot first, and wait for the new member before the next", gone...))
	}
	if len(restarted) > 0 {
		level := Warning
		signs = append(signs, sign(level, "server-restarted", fmt.Sprintf("%d of %d servers restart", len(restarted), len(all)),
			"the API server is away meanwhile; pods go on", "choose a quiet hour", restarted...))
	}
	return signs
}

var bootRole = regexp.MustCompile(`(?m)^\s*ROLE=["']?(server|agent)["']?\s*$`)

var machineName = regexp.MustCompile(`(?:^|-)(server|agent)(?:-[0-9]+)?$`)

// isServer tells whether a machine is one of the cluster's servers: by what it boots as, else by its name.
func isServer(r *preview.Resource) bool {
	if text, known := bootText(r); known {
		if m := bootRole.FindStringSubmatch(text); m != nil {
			return m[1] == "server"
		}
	}
	if m := machineName.FindStringSubmatch(r.Name()); m != nil {
		return m[1] == "server"
	}
	return slices.ContainsFunc(r.PropertyDependencies["iamInstanceProfile"], func(urn string) bool {
		return strings.HasSuffix(urn, "-server")
	})
}

// isKeySet tells whether an object is a published JSON Web Key Set: by its content, or by its name in an issuer's bucket.
func isKeySet(r *preview.Resource) bool {
	key, _ := r.Text("key")
	if key == "openid/v1/jwks" || strings.HasPrefix(r.ParentType(), "k3s-aws-auth:oidcissuer:") && !isDiscovery(r) {
		return true
	}
	if base := key[strings.LastIndex(key, "/")+1:]; slices.Contains([]string{"jwks", "jwks.json", "keys.json"}, base) {
		text, known := content(r)
		return !known || strings.Contains(text, `"keys"`) || text == ""
	}
	for _, k := range keyTypes(r) {
		if k != "" {
			return true
		}
	}
	return false
}

// keyTypes are the kty of each key in an object's content.
func keyTypes(r *preview.Resource) []string {
	text, known := content(r)
	if !known || !strings.Contains(text, `"kty"`) {
		return nil
	}
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
		} `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil {
		return nil
	}
	var out []string
	for _, k := range set.Keys {
		out = append(out, k.Type)
	}
	return out
}

func isDiscovery(r *preview.Resource) bool {
	key, _ := r.Text("key")
	return strings.HasSuffix(key, ".well-known/openid-configuration")
}

// keyIDs are the ids of the keys of a key set, nil where the content is not known.
func keyIDs(r *preview.Resource) []string {
	text, known := r.Text("content")
	if !known || !strings.Contains(text, `"keys"`) {
		return nil
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil {
		return nil
	}
	ids := []string{}
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// keySets: published keys that go away.
func (w *world) keySets() []Sign {
	const why = "tokens that a removed key has signed are refused as soon as caches have run out"
	const safe = "publish a key until the last token that it signed has run out (a day after it stopped signing)"
	var signs []Sign
	for _, c := range w.p.Changes {
		if c.Before == nil || c.Op == preview.Same || !isObject(c.Before.Type) {
			continue
		}
		switch {
		case !isKeySet(c.Before) && !isDiscovery(c.Before):
		case w.ofRetired(c): // judged with the servers
		case c.Op == preview.Delete:
			signs = append(signs, sign(Danger, "issuer-document-deleted", "a document of the issuer is deleted",
				"no token can be verified without it", "remove identities and provider first", c))
		case !isKeySet(c.Before):
		default:
			was, is := keyIDs(c.Before), keyIDs(c.After)
			if is != nil {
				if gone := slices.DeleteFunc(difference(was, is), w.endedKey()); len(gone) > 0 {
					signs = append(signs, sign(Danger, "jwks-key-removed", fmt.Sprintf("%d of %d published keys removed", len(gone), len(was)), why, safe, c))
				}
				continue
			}
			// The new content is computed from keys that do not exist yet. The old ones are kept where the content still
			// depends on them and they stay.
			for _, urn := range c.Before.Dependencies {
				if preview.TypeOf(urn) != typePrivateKey {
					continue
				}
				key := w.byURN[urn]
				if !slices.Contains(c.After.Dependencies, urn) || key != nil && removed(key) {
					signs = append(signs, sign(Danger, "jwks-key-removed", "the key set no longer has the key "+urn[strings.LastIndex(urn, "::")+2:], why, safe, c))
				}
			}
		}
	}
	return signs
}

// parts are the changes of a type, those of settings that move taken apart.
func (w *world) parts(typ string) []*preview.Change {
	var out []*preview.Change
	for _, c := range w.byType[typ] {
		out = append(out, apart(c)...)
	}
	return out
}

// buckets: what becomes public.
func (w *world) buckets() []Sign {
	var signs []Sign
	for _, c := range w.parts(typeAccessBlock) {
		if c.Op == preview.Same {
			continue
		}
		r := c.Now()
		if r.ParentType() == typeBucketIssuer && c.Op != preview.Delete {
			// A public issuer needs two of the four off; the bucket policy, judged below, says what is public.
			if c.After.Value("blockPublicAcls") == true && c.After.Value("ignorePublicAcls") == true {
				continue
			}
		}
		off := flagsOff(c)
		if len(off) == 0 || c.Op == preview.Delete && w.bucketGoes(c.Before) {
			continue
		}
		signs = append(signs, sign(Danger, "bucket-public", "Block Public Access of "+r.Name()+" is switched off ("+strings.Join(off, ", ")+")",
			"a bucket policy or an ACL can now open the bucket to everybody", "leave all four flags on; let CloudFront serve what is public", c))
	}
	for _, t := range []string{typeBucketACL, typeBucket, typeOldBucket, "aws:s3/bucketObjectv2:BucketObjectv2", "aws:s3/bucketObject:BucketObject"} {
		for _, c := range w.byType[t] {
			if c.After == nil || c.Op == preview.Same || c.Op == preview.Import {
				continue
			}
			was, _ := c.Before.Text("acl")
			acl, known := c.After.Text("acl")
			if c.After.Value("acl") == nil {
				acl, known = "", true
			}
			switch {
			case strings.HasPrefix(acl, "public-"), acl == "authenticated-read":
				if acl != was {
					signs = append(signs, sign(Danger, "bucket-public", "the ACL of "+c.Now().Name()+" becomes "+acl,
						"the world reads, or writes, what is in the bucket", "use BucketOwnerEnforced, which has no ACLs", c))
				}
			case !known, acl != was && acl != "private" && acl != "":
				signs = append(signs, sign(Warning, "acl-changed", "the ACL of "+c.Now().Name()+" becomes "+orUnknown(acl), "somebody outside of the policies may read or write", "use BucketOwnerEnforced, which has no ACLs", c))
			}
			for _, p := range []string{"grants", "accessControlPolicy"} {
				v := c.After.Value(p)
				if v == nil || sameValue(c.Before.Value(p), v) {
					continue
				}
				level := Warning
				if text := fmt.Sprint(v); strings.Contains(text, "AllUsers") || strings.Contains(text, "AuthenticatedUsers") {
					level = Danger
				}
				signs = append(signs, sign(level, "bucket-public", "the ACL of "+c.Now().Name()+" grants access", "an ACL is beside all policies", "use BucketOwnerEnforced, which has no ACLs", c))
			}
		}
	}
	for _, c := range w.parts("aws:s3/bucketOwnershipControls:BucketOwnershipControls") {
		was, _ := c.Before.Text("rule", "objectOwnership")
		is, _ := c.After.Text("rule", "objectOwnership")
		if was == "BucketOwnerEnforced" && is != was && (c.Op != preview.Delete || !w.bucketGoes(c.Before)) {
			signs = append(signs, sign(Warning, "acl-changed", "ACLs of "+c.Now().Name()+" are switched on", "an ACL can then open objects to everybody", "keep BucketOwnerEnforced", c))
		}
	}
	for _, c := range w.parts("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock") {
		off := flagsOff(c)
		if c.Op != preview.Same && len(off) > 0 {
			signs = append(signs, sign(Danger, "bucket-public", "Block Public Access of the whole account is switched off ("+strings.Join(off, ", ")+")",
				"every bucket of the account can now be opened to everybody", "leave it on; let CloudFront serve what is public", c))
		}
	}
	return signs
}

func orUnknown(s string) string {
	if s == "" || s == preview.Unknown {
		return "something that is known only after the update"
	}
	return s
}

// flagsOff lists the flags of Block Public Access that go off.
func flagsOff(c *preview.Change) []string {
	var off []string
	for _, flag := range []string{"blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"} {
		if c.After == nil && c.Before.Value(flag) == true || c.After != nil && c.After.Value(flag) != true && (c.Before == nil || c.Before.Value(flag) == true) {
			off = append(off, flag)
		}
	}
	return off
}

// bucketGoes tells whether the bucket that a setting belongs to is deleted with it.
func (w *world) bucketGoes(setting *preview.Resource) bool {
	for _, urn := range setting.PropertyDependencies["bucket"] {
		if c := w.byURN[urn]; c != nil && c.Op == preview.Delete {
			return true
		}
	}
	for _, c := range w.byType[typeBucket] {
		if c.Op == preview.Delete && refersTo(setting, "bucket", c.Before) {
			return true
		}
	}
	return false
}

// metadata: the instance metadata service in reach of pods, or without session tokens.
func (w *world) metadata() []Sign {
	var signs []Sign
	for _, t := range []string{typeInstance, typeLaunchTemplate} {
		for _, c := range w.byType[t] {
			if c.After == nil || c.Op == preview.Same {
				continue
			}
			const why = "pods reach the machine's role through the metadata service, whatever identity they have"
			const safe = "keep the hop limit at 1 and give pods identities of their own"
			said := func(r *preview.Resource) bool {
				return metadataOff(r) || r.Value("metadataOptions", "httpPutResponseHopLimit") != nil
			}
			switch was, is := hopLimit(c.Before), hopLimit(c.After); {
			case !said(c.After) && (c.Before == nil || said(c.Before)):
				signs = append(signs, sign(Warning, "hop-limit-high", "nothing says the hop limit of "+c.Now().Name(), "an image or the account may make it 2: "+why, safe, c))
			case is < 2:
			case isServer(c.After):
				if was < 2 {
					signs = append(signs, sign(Danger, "hop-limit-raised", "a server's hop limit is "+fmt.Sprint(is), why+"; a server's role reads the signing key", safe, c))
				}
			case c.Before != nil && was < 2:
				signs = append(signs, sign(Danger, "hop-limit-raised", fmt.Sprintf("the hop limit goes from %d to %d", was, is), why, safe, c))
			case c.Before == nil:
				signs = append(signs, sign(Warning, "hop-limit-high", fmt.Sprintf("a new machine has hop limit %d", is), why, safe, c))
			}
			was, _ := c.Before.Text("metadataOptions", "httpTokens")
			is, _ := c.After.Text("metadataOptions", "httpTokens")
			if is != "required" && !metadataOff(c.After) && (c.Before == nil || metadataOff(c.Before) || was != is && was != "optional") {
				signs = append(signs, sign(Danger, "imdsv1", "the metadata service answers without a session token (IMDSv1)",
					"one forged request from a pod or a web application is enough to take the machine's credentials", "keep httpTokens at required", c))
			}
		}
	}
	return signs
}

func metadataOff(r *preview.Resource) bool {
	return r.Value("metadataOptions", "httpEndpoint") == "disabled"
}

func (w *world) protection() []Sign {
	var signs []Sign
	for _, c := range w.p.Changes {
		if c.Before != nil && c.After != nil && c.Before.Protect && !c.After.Protect {
			signs = append(signs, sign(Danger, "protect-removed", "protection is removed from "+c.Now().Name(),
				"the next change may delete it without another question", "remove protection only in the change that is meant to delete it, and say so there", c))
		}
		if c.Before != nil && c.After != nil && c.Before.RetainOnDelete && !c.After.RetainOnDelete {
			signs = append(signs, sign(Warning, "retain-removed", c.Now().Name()+" is no longer kept when the stack lets go of it",
				"deleting it from the program deletes it from the cloud", "keep retainOnDelete on what holds identity or data", c))
		}
	}
	for _, t := range []string{typeBucket, typeOldBucket} {
		for _, c := range w.byType[t] {
			if c.Before != nil && c.After != nil && c.Before.Value("forceDestroy") != true && c.After.Value("forceDestroy") == true {
				signs = append(signs, sign(Warning, "retain-removed", c.Now().Name()+" may be deleted with all that is in it", "the next change may delete it without another question", "set forceDestroy only in the change that is meant to delete it", c))
			}
		}
	}
	return signs
}

// holdsData are the types whose deletion loses what others have put there.
var holdsData = regexp.MustCompile(`^aws:(s3/bucketV2:|s3/bucket:Bucket$|ebs/volume:|dynamodb/table:|rds/|efs/fileSystem:|kms/key:|secretsmanager/secret:|cloudwatch/logGroup:|cloudtrail/trail:|backup/vault:)` +
	`|^kubernetes:core/v1:(PersistentVolumeClaim|PersistentVolume|Namespace)$`)

func (w *world) data() []Sign {
	var signs []Sign
	for _, c := range w.p.Changes {
		if !removed(c) || c.Before == nil || !holdsData.MatchString(c.Before.Type) {
			continue
		}
		if w.ofRetired(c) {
			continue // an issuer's documents, judged with the servers
		}
		if c.Before.RetainOnDelete {
			signs = append(signs, sign(Warning, "data-left", c.Before.Name()+" is "+verb(c)+" in the stack and stays in AWS",
				"nobody manages it from then on", "write down who does", c))
			continue
		}
		signs = append(signs, sign(Danger, "data-deleted", c.Before.Name()+" is "+verb(c), "what it holds is lost",
			"copy what is worth keeping; to rename a resource give it an alias, to let go of it use retainOnDelete", c))
	}
	for _, c := range w.byType["aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2"] {
		if c.Op == preview.Create && !w.initial && !w.targetIsNew(c) {
			signs = append(signs, sign(Warning, "data-deleted", "objects run out by the new lifecycle rules "+c.Now().Name(), "what is in the bucket before is deleted too, an issuer's documents like any other", "limit the rules to a prefix", c))
		}
	}
	return signs
}

// secretForms are what secrets look like: private keys as PEM and as JSON Web Keys, those of AWS, and tokens.
var secretForms = []*regexp.Regexp{
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----`),
	regexp.MustCompile(`"kty"[^{}]*"d"\s*:\s*"[\w-]{20,}"|"d"\s*:\s*"[\w-]{20,}"[^{}]*"kty"`),
	regexp.MustCompile(`(?i:aws_?secret_?access_?key|aws_?session_?token)["']?\s*[=:]\s*["']?[A-Za-z0-9/+=]{30,}`),
	regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bK10[0-9a-f]{32,}::[^\s"']+`),
	regexp.MustCompile(`\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{16,}`),
}

// pemInBase64 is PEM that was encoded once more, as Kubernetes and kubeconfigs have it.
var pemInBase64 = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]+`)

// showsSecret tells whether a text has a form of secret that an earlier one had not.
func showsSecret(before, after string) bool {
	plain := func(text string) string {
		return text + pemInBase64.ReplaceAllStringFunc(text, func(s string) string {
			data, _ := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), "")) // what there is of it
			return string(data)
		})
	}
	before, after = plain(before), plain(after)
	return slices.ContainsFunc(secretForms, func(f *regexp.Regexp) bool { return f.MatchString(after) && !f.MatchString(before) })
}

// plainSecrets: values that were secret and no longer are, and key material in plain.
func (w *world) plainSecrets() []Sign {
	const why = "state, previews and logs show it to everybody who reads them"
	const safe = "mark it as secret (pulumi.ToSecret, additionalSecretOutputs) and make a new one if it has been shown"
	var signs []Sign
	for _, c := range w.p.Changes {
		if c.After == nil || c.Op == preview.Same && c.Before == c.After {
			continue
		}
		found := map[string]bool{}
		for _, side := range []struct{ before, after map[string]any }{{inputsOf(c.Before), c.After.Inputs}, {outputsOf(c.Before), c.After.Outputs}} {
			exposed("", side.before, side.after, func(path string) { found[path] = true })
		}
		for _, path := range sortedKeys(found) {
			signs = append(signs, sign(Danger, "secret-plain", c.After.Name()+": "+path+" would be in plain", why, safe, c))
		}
		if c.Before != nil {
			if gone := difference(c.Before.SecretOutputs, c.After.SecretOutputs); len(gone) > 0 && c.Op != preview.Import {
				signs = append(signs, sign(Warning, "secret-plain", fmt.Sprintf("%s no longer marks %s as secret", c.After.Name(), strings.Join(gone, ", ")), why, safe, c))
			}
		}
		was, _ := c.Before.Text("type")
		is, _ := c.After.Text("type")
		if c.After.Type == typeParameter && was == "SecureString" && is != "SecureString" {
			signs = append(signs, sign(Danger, "secret-plain", c.After.Name()+" is no longer a SecureString",
				"whoever may list parameters reads it", "keep the type SecureString", c))
		}
	}
	return signs
}

func inputsOf(r *preview.Resource) map[string]any {
	if r == nil {
		return nil
	}
	return r.Inputs
}

func outputsOf(r *preview.Resource) map[string]any {
	if r == nil {
		return nil
	}
	return r.Outputs
}

func sortedKeys[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// exposed reports the paths of values in after that are plain and were secret, or look like key material.
func exposed(path string, before, after any, report func(string)) {
	switch v := after.(type) {
	case string:
		switch {
		case v == preview.Secret || v == preview.Unknown || before == v:
		case before == preview.Secret, unmasked(before, v), showsSecret(textOf(before), v):
			report(path)
		}
	case map[string]any:
		if before == preview.Secret {
			report(path)
			return
		}
		b, _ := before.(map[string]any)
		for k, x := range v {
			at := strings.TrimPrefix(path+"."+k, ".")
			exposed(at, b[k], x, report)
			name := k // the name makes the secret: of the property, or of the variable
			if n, ok := v["name"].(string); ok && k == "value" {
				name = n
			}
			if showsSecret(name+"="+textOf(b[k]), name+"="+textOf(x)) {
				report(at)
			}
		}
	case []any:
		if before == preview.Secret {
			report(path)
			return
		}
		b, _ := before.([]any)
		for i, x := range v {
			var old any
			if i < len(b) {
				old = b[i]
			}
			exposed(fmt.Sprintf("%s[%d]", path, i), old, x, report)
		}
	}
}

func textOf(v any) string { s, _ := v.(string); return s }

// unmasked tells whether a text that was partly secret is no longer.
func unmasked(before any, after string) bool {
	s, _ := before.(string)
	return strings.Contains(s, preview.Secret) && !strings.Contains(after, preview.Secret) && !strings.Contains(after, preview.Unknown)
}

func isIssuerDocument(g access.Grant) bool {
	return strings.EqualFold(g.Action, "s3:GetObject") &&
		(strings.HasSuffix(g.Resource, "/.well-known/openid-configuration") || strings.HasSuffix(g.Resource, "/openid/v1/jwks"))
}
