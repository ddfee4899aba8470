package impact

import (
	"cmp"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	pemfile "encoding/pem"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// jwk is a key of a JSON Web Key Set, to the last field.
type jwk map[string]any

func keysOf(r *preview.Resource) (map[string]jwk, bool) {
	text, known := content(r)
	if !known {
		return nil, false
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil || set.Keys == nil {
		return nil, false
	}
	out := map[string]jwk{}
	for i, k := range set.Keys {
		id, _ := k["kid"].(string)
		if _, twice := out[id]; twice {
			id = fmt.Sprintf("%s (again, %d)", id, i)
		}
		out[id] = k
	}
	return out, true
}

// content is an object's text, plain or as base64.
func content(r *preview.Resource) (string, bool) {
	if r == nil {
		return "", false
	}
	if v, ok := r.Value("content").(string); ok && v != "" {
		return v, v != preview.Secret && !strings.Contains(v, preview.Unknown)
	}
	if v, ok := r.Value("contentBase64").(string); ok {
		data, err := base64.StdEncoding.DecodeString(v)
		return string(data), err == nil
	}
	return "", false
}

// ownKeys are the ids of the stack's private keys, as Kubernetes makes them: SHA-256 of the public key's PKIX form
// (pkg/serviceaccount/jwt.go, keyIDFromPublicKey).
func (w *world) ownKeys() map[string]bool {
	out := map[string]bool{}
	for _, c := range w.byType[typePrivateKey] {
		for _, r := range []*preview.Resource{c.Before, c.After} {
			if id := keyID(r); id != "" {
				out[id] = true
			}
		}
	}
	return out
}

// keyID is the id that Kubernetes gives to a private key of the stack, empty where the key is not made yet.
func keyID(r *preview.Resource) string {
	text, _ := r.Output("publicKeyPem").(string)
	block, _ := pemfile.Decode([]byte(text))
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// idOf computes the id that Kubernetes would give to an RSA key.
func (k jwk) idOf() string {
	text := func(f string) []byte {
		s, _ := k[f].(string)
		data, _ := base64.RawURLEncoding.DecodeString(s)
		return data
	}
	n, e := new(big.Int).SetBytes(text("n")), new(big.Int).SetBytes(text("e"))
	if n.Sign() == 0 || !e.IsInt64() || e.Int64() > 1<<31-1 || e.Sign() == 0 {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: int(e.Int64())})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// documents: what the issuer publishes, to the last field, and under which name.
func (w *world) documents() []Sign {
	var signs []Sign
	own := w.ownKeys()
	for _, c := range w.p.Changes {
		if c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import || !isObject(c.Now().Type) {
			continue
		}
		keys, discovery := c.Before != nil && isKeySet(c.Before) || c.After != nil && isKeySet(c.After), c.Before != nil && isDiscovery(c.Before) || c.After != nil && isDiscovery(c.After)
		if !keys && !discovery || c.After == nil {
			continue
		}
		document := "the key set"
		if discovery {
			document = "the discovery document"
		}
		if c.Before != nil {
			was, _ := c.Before.Text("key")
			is, known := c.After.Text("key")
			if was != is && was != "" {
				signs = append(signs, sign(Danger, "issuer-document-moved", fmt.Sprintf("%s moves from %s to %s", document, was, orUnknown(is)),
					"where AWS looks there is nothing: no token can be verified", "keep the key", c))
			}
			if old, now := c.Before.Value("bucket"), c.After.Value("bucket"); known && !sameValue(old, now) {
				signs = append(signs, sign(Danger, "issuer-document-moved", fmt.Sprintf("%s moves to the bucket %v", document, orUnknown(fmt.Sprint(now))),
					"where AWS looks there is nothing: no token can be verified", "add the new issuer beside the old one", c))
			}
			if d := differs(c, "cacheControl", "contentType", "contentEncoding", "websiteRedirect", "storageClass", "serverSideEncryption", "kmsKeyId"); len(d) > 0 {
				signs = append(signs, sign(Warning, "issuer-document-changed", fmt.Sprintf("%s changes its %s", document, strings.Join(d, ", ")),
					"AWS keeps an old document longer, or cannot read it", "keep Cache-Control short and the type application/json", c))
			}
		}
		if keys {
			signs = append(signs, w.keySigns(c, own)...)
		} else {
			signs = append(signs, discoverySigns(c)...)
		}
	}
	return signs
}

// fromFile tells whether an object's content comes from a file, which a preview does not show.
func fromFile(r *preview.Resource) bool {
	return r != nil && r.Value("source") != nil
}

func (w *world) keySigns(c *preview.Change, own map[string]bool) []Sign {
	var signs []Sign
	is, known := keysOf(c.After)
	was, wasKnown := keysOf(c.Before)
	const why = "whoever has the private key to it can be every identity"
	const safe = "publish keys of this stack alone"
	if !known {
		v, _ := c.After.Value("content").(string)
		switch {
		case fromFile(c.After) && (c.Before == nil || changed(c, "source") || changed(c, "content") || changed(c, "sourceHash")):
			signs = append(signs, sign(Danger, "key-set-unknown", "the key set comes from a file that the preview does not show", why, safe, c))
		case strings.Contains(v, preview.Unknown):
			if c.Before == nil {
				break
			}
			for _, urn := range difference(c.After.Dependencies, c.Before.Dependencies) {
				if preview.TypeOf(urn) != typePrivateKey {
					signs = append(signs, sign(Warning, "unclear", "the key set depends on "+lastName(urn)+", and is known only after the update", why, safe, c))
				}
			}
			if slices.Equal(c.After.Dependencies, c.Before.Dependencies) && !slices.ContainsFunc(c.After.Dependencies, func(urn string) bool { return w.byURN[urn] != nil && w.byURN[urn].Op != preview.Same }) {
				signs = append(signs, sign(Warning, "unclear", "the key set is known only after the update, and nothing says why", why, safe, c))
			}
		case c.Before == nil || len(differs(c, "content", "contentBase64")) > 0:
			signs = append(signs, sign(Danger, "key-set-unknown", "the key set cannot be read", "AWS may refuse every token, or accept a stranger's", safe, c))
		}
		return signs
	}
	for _, id := range sortedKeys(is) {
		key, old := is[id], was[id]
		switch {
		case own[id] && key.idOf() == id:
		case old == nil && (wasKnown || c.Before == nil && len(own) > 0):
			signs = append(signs, sign(Danger, "jwks-key-foreign", fmt.Sprintf("the key set gets the key %s, which is none of this stack's", id), why, safe, c))
		case old != nil && !reflect.DeepEqual(key["n"], old["n"]), old != nil && !reflect.DeepEqual(key["x"], old["x"]), old != nil && !reflect.DeepEqual(key["y"], old["y"]):
			signs = append(signs, sign(Danger, "jwks-key-foreign", fmt.Sprintf("the published key %s becomes another key under the same id", id), "tokens in use cannot be verified, and "+why, safe, c))
		case old != nil && !reflect.DeepEqual(key, old):
			signs = append(signs, sign(Danger, "jwks-key-changed", fmt.Sprintf("the published key %s changes (alg, use or another field)", id), "AWS may refuse the tokens that it has signed", "leave keys as they are", c))
		}
		if own[id] && old != nil && !reflect.DeepEqual(key, old) && key.idOf() == id {
			signs = append(signs, sign(Warning, "jwks-key-changed", fmt.Sprintf("the published key %s changes (alg, use or another field)", id), "AWS may refuse the tokens that it has signed", "leave keys as they are", c))
		}
	}
	if len(is) == 0 {
		signs = append(signs, sign(Danger, "jwks-key-removed", "the key set is empty", "no token can be verified", "publish the keys that sign", c))
	}
	return signs
}

func discoverySigns(c *preview.Change) []Sign {
	parse := func(r *preview.Resource) (map[string]any, bool) {
		text, known := content(r)
		var m map[string]any
		if !known || json.Unmarshal([]byte(text), &m) != nil {
			return nil, false
		}
		return m, true
	}
	is, known := parse(c.After)
	was, wasKnown := parse(c.Before)
	const safe = "leave issuer and jwks_uri as they are; another issuer is another provider beside this one"
	if !known {
		v, _ := c.After.Value("content").(string)
		if strings.Contains(v, preview.Unknown) {
			if c.Before != nil {
				return []Sign{sign(Warning, "unclear", "the discovery document is known only after the update", "the preview cannot show where keys are taken from", "make what it is computed from exist first", c)}
			}
			return nil
		}
		if c.Before == nil && !fromFile(c.After) || c.Before != nil && len(differs(c, "content", "contentBase64", "source", "sourceHash")) == 0 {
			return nil
		}
		return []Sign{sign(Danger, "issuer-document-changed", "the discovery document cannot be read from the preview", "AWS may take keys from somewhere else, or from nowhere", safe, c)}
	}
	var signs []Sign
	issuer, _ := is["issuer"].(string)
	uri, _ := is["jwks_uri"].(string)
	if !strings.HasPrefix(uri, strings.TrimSuffix(issuer, "/")+"/") && (!wasKnown || was["jwks_uri"] != uri) {
		signs = append(signs, sign(Danger, "issuer-document-changed", "the discovery document sends AWS to "+uri+" for keys, which is not the issuer's own",
			"whoever answers there can be every identity", safe, c))
	}
	if !wasKnown {
		return signs
	}
	for _, f := range []string{"issuer", "jwks_uri"} {
		if !reflect.DeepEqual(was[f], is[f]) && len(signs) == 0 {
			signs = append(signs, sign(Danger, "issuer-document-changed", fmt.Sprintf("%s of the discovery document becomes %v", f, is[f]),
				"AWS refuses all tokens, or takes keys from somewhere else", safe, c))
		}
	}
	var other []string
	for _, m := range []map[string]any{was, is} {
		for f := range m {
			if f != "issuer" && f != "jwks_uri" && !reflect.DeepEqual(was[f], is[f]) && !slices.Contains(other, f) {
				other = append(other, f)
			}
		}
	}
	slices.Sort(other)
	if len(other) > 0 {
		signs = append(signs, sign(Warning, "issuer-document-changed", "the discovery document changes "+strings.Join(other, ", "), "AWS may refuse tokens", safe, c))
	}
	return signs
}

// distributions: what CloudFront answers in the issuer's name.
func (w *world) distributions() []Sign {
	var signs []Sign
	const be = "whoever answers in the issuer's name can be every identity"
	const safe = "add a second issuer beside this one, and remove this one later"
	for _, c := range w.byType[typeDistribution] {
		if c.Before == nil || c.Op == preview.Import {
			continue
		}
		add := func(level Level, id, what, why string) { signs = append(signs, sign(level, id, what, why, safe, c)) }
		name := "the distribution " + c.Now().Name()
		if w.ofRetired(c) {
			continue // judged with the servers
		}
		if removed(c) {
			add(Danger, "issuer-unreachable", name+" is "+verb(c), "while nothing answers, no token can be verified")
			continue
		}
		if on, ok := c.After.Value("enabled").(bool); ok && !on && c.Before.Value("enabled") != false {
			add(Danger, "issuer-unreachable", name+" is switched off", "no token can be verified")
		}
		if gone := difference(list(c.Before.Value("aliases")), list(c.After.Value("aliases"))); len(gone) > 0 {
			add(Danger, "issuer-unreachable", name+" no longer answers for "+strings.Join(gone, ", "), "no token of that issuer can be verified")
		} else if changed(c, "aliases") {
			add(Warning, "distribution-changed", name+" answers for other names", "it publishes keys for those issuers too")
		}
		was, is := answers(c.Before), answers(c.After)
		if unknown(c.After.Value("origins")) {
			add(Warning, "unclear", name+": its origins are known only after the update", be)
		} else if added := difference(is.origins, was.origins); len(added) > 0 {
			add(Danger, "issuer-origin-changed", name+" takes its documents from "+orUnknown(strings.Join(added, ", ")), be)
		} else if changed(c, "origins") {
			add(Warning, "distribution-changed", name+" changes how it reads its origin", "the bucket may refuse it, or answer to others too")
		}
		for _, path := range sortedKeys(is.from) {
			before, known := was.from[path]
			if !known {
				before = was.from["*"]
			}
			if before != is.from[path] && slices.Contains(was.origins, is.from[path]) {
				add(Danger, "issuer-origin-changed", fmt.Sprintf("%s takes %s from %s", name, path, is.from[path]), be)
			}
		}
		if code := difference(is.code, was.code); len(code) > 0 {
			add(Danger, "distribution-changed", name+" runs "+orUnknown(strings.Join(code, ", ")), "code answers in place of the bucket: "+be)
		}
		for _, p := range differs(c, "defaultCacheBehavior", "orderedCacheBehaviors") {
			add(Warning, "distribution-changed", name+" changes "+p, "documents may be old, or readable and changeable on the way")
		}
		for _, p := range differs(c, "viewerCertificate", "restrictions", "webAclId", "customErrorResponses", "originGroups") {
			add(Warning, "distribution-changed", name+" changes "+p, "AWS may no longer reach the documents, or trust who answers")
		}
	}
	for _, c := range w.byType["aws:cloudfront/originAccessControl:OriginAccessControl"] {
		if w.ofRetired(c) {
			continue
		}
		if c.Before != nil && (removed(c) || len(differs(c, "originAccessControlOriginType", "signingBehavior", "signingProtocol")) > 0) {
			signs = append(signs, sign(Warning, "distribution-changed", "the origin access control "+c.Now().Name()+" changes or goes", "the bucket may refuse the distribution: then no token can be verified", "leave it as it is", c))
		}
	}
	for _, c := range w.byType["aws:acm/certificate:Certificate"] {
		if w.ofRetired(c) {
			continue
		}
		if c.Before != nil && (removed(c) || len(differs(c, "domainName", "subjectAlternativeNames", "certificateBody", "certificateChain", "privateKey")) > 0) {
			signs = append(signs, sign(Warning, "certificate-changed", "the certificate "+c.Now().Name()+" of the issuer's name changes", "AWS may not trust who answers", "make the new one beside the old one", c))
		}
	}
	return signs
}

// answering is what a distribution answers with.
type answering struct {
	origins []string          // domain and path of each
	from    map[string]string // the origin of what a pattern of paths has; of all else under "*"
	code    []string          // ARNs of functions
}

func answers(r *preview.Resource) answering {
	out := answering{from: map[string]string{}}
	byID := map[any]string{}
	for _, v := range asList(r.Value("origins")) {
		m, _ := v.(map[string]any)
		d, _ := m["domainName"].(string)
		path, _ := m["originPath"].(string)
		out.origins = append(out.origins, d+path)
		byID[m["originId"]] = d + path
	}
	for _, v := range append(slices.Clone(asList(r.Value("orderedCacheBehaviors"))), r.Value("defaultCacheBehavior")) {
		m, _ := v.(map[string]any)
		if origin, known := byID[m["targetOriginId"]]; known {
			pattern, _ := m["pathPattern"].(string)
			out.from[cmp.Or(pattern, "*")] = origin
		}
		for _, p := range [][2]string{{"functionAssociations", "functionArn"}, {"lambdaFunctionAssociations", "lambdaArn"}} {
			for _, f := range asList(m[p[0]]) {
				f, _ := f.(map[string]any)
				arn, _ := f[p[1]].(string)
				out.code = append(out.code, arn)
			}
		}
	}
	return out
}

// domain is a name of the DNS as names compare: without regard to case, and with or without the dot at its end.
func domain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// recordTarget is where a record leads: its values in any order, names among them as names compare.
func recordTarget(r *preview.Resource) []string {
	var out []string
	for _, v := range list(r.Value("records")) {
		if t, _ := r.Text("type"); slices.Contains([]string{"A", "AAAA", "CNAME", "NS"}, t) {
			v = domain(v)
		}
		out = append(out, v)
	}
	for _, v := range asList(r.Value("aliases")) {
		m, _ := v.(map[string]any)
		name, _ := m["name"].(string)
		out = append(out, domain(name))
	}
	slices.Sort(out)
	return out
}

// issuerNames are the names of the DNS that issuers are known by before, and where each leads.
func (w *world) issuerNames() map[string][]string {
	names := map[string][]string{}
	for _, c := range w.byType[typeOIDCProvider] {
		if url, ok := c.Before.Text("url"); ok {
			name, _, _ := strings.Cut(host(url), "/")
			names[domain(name)] = nil
		}
	}
	for _, c := range w.byType[typeDistribution] {
		own, _ := c.Before.Output("domainName").(string)
		for _, a := range list(c.Before.Value("aliases")) {
			names[domain(a)] = append(names[domain(a)], domain(own))
		}
	}
	for _, c := range w.byType[typeRecord] {
		if name, ok := c.Before.Text("name"); ok {
			if known, ours := names[domain(name)]; ours {
				names[domain(name)] = append(known, recordTarget(c.Before)...)
			}
		}
	}
	return names
}

// takes tells whether a new record leads a name of an issuer somewhere that it did not lead: under the name itself, or by a
// delegation of it.
func takes(r *preview.Resource, issuers map[string][]string) bool {
	name, _ := r.Text("name")
	kind, _ := r.Text("type")
	for issuer, known := range issuers {
		if domain(name) == issuer && slices.Contains([]string{"A", "AAAA", "CNAME", "NS"}, kind) && len(difference(recordTarget(r), known)) > 0 ||
			kind == "NS" && strings.HasSuffix("."+issuer, "."+domain(name)) {
			return true
		}
	}
	return false
}

// dns: where the issuer's name leads.
func (w *world) dns() []Sign {
	var signs []Sign
	issuers := w.issuerNames()
	for _, c := range w.byType[typeRecord] {
		if c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import {
			continue
		}
		var ours bool
		for _, r := range []*preview.Resource{c.Before, c.After} {
			if r == nil {
				continue
			}
			name, _ := r.Text("name")
			_, issuer := issuers[domain(name)]
			ours = ours || issuer || r.ParentType() == "k3s-aws-auth:oidcissuer:CloudFrontIssuer"
		}
		validation := strings.HasPrefix(fmt.Sprint(c.Now().Value("name")), "_")
		level := Warning
		if ours && !validation {
			level = Danger
		}
		const why = "whoever answers in the issuer's name can be every identity; where nobody answers, no token can be verified"
		const safe = "add a second issuer beside this one, and remove this one later"
		d := differs(c, "type", "zoneId", "setIdentifier", "weightedRoutingPolicies", "failoverRoutingPolicies", "geolocationRoutingPolicies",
			"latencyRoutingPolicies", "multivalueAnswerRoutingPolicy", "cidrRoutingPolicy", "geoproximityRoutingPolicy")
		if c.Before != nil && c.After != nil {
			was, _ := c.Before.Text("name")
			is, _ := c.After.Text("name")
			if domain(was) != domain(is) {
				d = append(d, "name")
			}
			if !slices.Equal(recordTarget(c.Before), recordTarget(c.After)) {
				d = append(d, differs(c, "records", "aliases")...)
			}
		}
		switch {
		case c.Op == preview.Create && takes(c.After, issuers) && !w.initial:
			signs = append(signs, sign(Danger, "dns-changed", "a new record, "+c.Now().Name()+", leads an issuer's name somewhere else", why, safe, c))
		case c.Op == preview.Create:
			if !w.initial && !w.newParent(c.Now()) {
				signs = append(signs, sign(Warning, "dns-changed", "a new record, "+c.Now().Name(), "a name leads somewhere that it did not", "see where it leads", c))
			}
		case w.ofRetired(c): // judged with the servers
		case c.Op == preview.Delete:
			signs = append(signs, sign(level, "dns-changed", "the record "+c.Now().Name()+" is deleted", why, safe, c))
		case len(d) > 0:
			signs = append(signs, sign(level, "dns-changed", fmt.Sprintf("the record %s leads somewhere else (%s)", c.Now().Name(), strings.Join(d, ", ")), why, safe, c))
		case c.Op == preview.Replace:
			signs = append(signs, sign(Warning, "dns-changed", "the record "+c.Now().Name()+" is replaced", "the name leads nowhere meanwhile", safe, c))
		}
	}
	return signs
}
