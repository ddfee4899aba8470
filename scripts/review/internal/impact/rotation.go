package impact

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// A signing key, an issuer or a CA is changed in three steps (docs/rotation.md): the new member is accepted, then used, and
// then the old one is no longer accepted. Each step is harmless where the step before it is behind it, for long enough, and a
// danger where it is not. Both are read from the stack as it is, and never from what the configuration calls a step.

// How long after a step the next one is harmless.
const (
	// published is what AWS may remember of a key set, for which it gives no bound; at least the documents' max-age.
	published = time.Hour
	// tokens is the longest life of a token of this program's pods.
	tokens = 24 * time.Hour
	// delivered is the time in which kubelets have written a Secret into running pods: twice syncFrequency and the time for
	// which they trust what they have read (kubernetes.io, "Mounted Secrets are updated automatically").
	delivered = 10 * time.Minute
)

// early is the sign of a step that comes too soon.
const early = "rotation-early"

// Step is a step of a rotation that a change is.
type Step struct {
	What string `json:"what"`
	// Next says what has to be waited for before the next step.
	Next string `json:"next"`
}

const (
	keyFile     = "service-account-key-file"
	signingFile = "service-account-signing-key-file"
	managerFile = "service-account-private-key-file"
)

var (
	signingLine = regexp.MustCompile(`(?m)^\s*-\s*["']?(?:` + keyFile + `|` + signingFile + `|` + managerFile + `)=.*\n?`)
	// fetchedLine is a parameter that the boot script fetches, and the file that it becomes.
	fetchedLine = regexp.MustCompile(`(?m)^\s*(/\S+) (/\S+) 0[0-7]{3}[ \t]*\n?`)
)

// signer is what a server does with signing keys, each known by the URN of the private key.
type signer struct {
	accepts []string
	signs   string
}

// signerOf reads a server's boot data. known is false where a key cannot be traced to a private key of this stack alone.
func (w *world) signerOf(r *preview.Resource, s side) (out signer, known bool) {
	text, known := bootText(r)
	if !known {
		return out, false
	}
	flags := bootFlags(text)
	if len(flags[keyFile]) == 0 || len(flags[signingFile]) != 1 || !slices.Equal(flags[signingFile], flags[managerFile]) {
		return out, false
	}
	from := map[string]string{}
	for _, m := range fetchedLine.FindAllStringSubmatch(text, -1) {
		if _, twice := from[m[2]]; twice {
			return out, false
		}
		from[m[2]] = m[1]
	}
	for _, file := range flags[keyFile] {
		key := w.keyOf(from[file], s)
		if key == "" {
			return out, false
		}
		out.accepts = append(out.accepts, key)
		if file == flags[signingFile][0] {
			out.signs = key
		}
	}
	return out, out.signs != ""
}

// keyOf is the private key of the stack that a parameter has, and nothing else; empty where that is not certain.
func (w *world) keyOf(parameter string, s side) string {
	found := ""
	for _, c := range w.byType[typeParameter] {
		r := s.of(c)
		if r == nil {
			continue
		}
		if name, _ := r.Text("name"); name != parameter {
			continue
		}
		from := r.PropertyDependencies["value"]
		if found != "" || len(from) != 1 || preview.TypeOf(from[0]) != typePrivateKey || s.of(w.byURN[from[0]]) == nil {
			return ""
		}
		found = from[0]
	}
	return found
}

// signers are the cluster's servers on one side, each with what it does with signing keys. known is false where there is none,
// or one of them cannot be read.
func (w *world) signers(s side) (list map[*preview.Change]signer, known bool) {
	if w.signing[s] == nil {
		w.signing[s] = w.findSigners(s)
	}
	return w.signing[s], len(w.signing[s]) > 0
}

// findSigners is empty where signers does not know.
func (w *world) findSigners(s side) map[*preview.Change]signer {
	list := map[*preview.Change]signer{}
	for _, c := range w.byType[typeInstance] {
		r := s.of(c)
		if r == nil || !isServer(r) {
			continue
		}
		one, ok := w.signerOf(r, s)
		if !ok {
			return map[*preview.Change]signer{}
		}
		list[c] = one
	}
	return list
}

// unused tells whether no server signs with a key as the stack is.
func (w *world) unused(key string) bool {
	list, known := w.signers(before)
	for _, s := range list {
		if s.signs == key {
			return false
		}
	}
	return known
}

// publishes tells whether a key is in each of the key sets that there are as the stack is.
func (w *world) publishes(key string) bool {
	own, sets := keyID(w.byURN[key].Before), w.keySetsBefore()
	return own != "" && len(sets) > 0 && !slices.ContainsFunc(sets, func(r *preview.Resource) bool { return !slices.Contains(keyIDs(r), own) })
}

// sinceChange is when the last of some resources of the stack was made or changed; a step that changes nothing keeps the time of
// the one before (pulumi/pulumi, pkg/resource/deploy/step.go). It is the zero time where that is not known.
func sinceChange(resources []*preview.Resource) time.Time {
	var last time.Time
	for _, r := range resources {
		if r.Modified.IsZero() {
			return time.Time{}
		}
		if r.Modified.After(last) {
			last = r.Modified
		}
	}
	return last
}

// since is the sign that a step comes too soon after what it stands on, or nothing.
func (w *world) since(what string, on []*preview.Resource, wait time.Duration, why string, c *preview.Change) []Sign {
	last := sinceChange(on)
	switch ready := last.Add(wait); {
	case last.IsZero() || w.p.Now.IsZero():
		return []Sign{sign(Warning, "rotation-wait", what+", and the preview does not tell since when that is harmless", why, fmt.Sprintf("see that the step before is %s old", hours(wait)), c)}
	case w.p.Now.Before(ready):
		at := ready.UTC().Format("2006-01-02 15:04 MST")
		return []Sign{sign(Danger, early, what+" before "+at, why, "apply it after "+at+", and review it then", c)}
	}
	return nil
}

func hours(d time.Duration) string {
	if d < time.Hour {
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}

// keySteps judges what a server's boot data changes about signing keys. explained is false where it is not a change of a set of
// keys of this stack: then the flags are judged as any other.
func (w *world) keySteps(c *preview.Change) (signs []Sign, explained bool) {
	was, wasKnown := w.signerOf(c.Before, before)
	is, isKnown := w.signerOf(c.After, after)
	all, known := w.signers(before)
	if !wasKnown || !isKnown || !known {
		return nil, false
	}
	if is.signs != was.signs {
		what := "the servers sign with " + lastName(is.signs) + " from now on"
		accepted := true
		for _, other := range all {
			accepted = accepted && slices.Contains(other.accepts, is.signs)
		}
		if !accepted || !w.publishes(is.signs) {
			signs = append(signs, sign(Danger, "signing-key-unpublished", what+", which is not yet accepted everywhere",
				"AWS and other servers refuse its tokens until they have read the key", "make the key `next` first, and `active` in a later change", c))
		} else {
			signs = append(signs, w.since(what, w.keySetsBefore(), max(published, w.longestCache()), "who has read the key set before it had the key refuses its tokens", c)...)
			w.step(what, "tokens of "+lastName(was.signs)+" live on, for 24 h at most where no pod asks for longer ones; wait for their end")
		}
	}
	for _, key := range difference(is.accepts, was.accepts) {
		w.step("the servers accept tokens of "+lastName(key), "wait until everybody has read the key sets anew, for an hour or the documents' max-age")
	}
	for _, key := range difference(was.accepts, is.accepts) {
		what := "the servers no longer accept tokens of " + lastName(key)
		if !w.unused(key) {
			signs = append(signs, sign(Danger, "signing-key-in-use", what+", which they sign with today", "every token in use becomes invalid, for AWS and inside the cluster",
				"let another key sign first, and remove this one a day later", c))
			continue
		}
		signs = append(signs, w.tokensEnded(what, w.byURN[key], c)...)
		w.step(what, "")
	}
	return signs, true
}

// tokensEnded is the sign that tokens of a member that is taken away may live, or nothing. What a server signs with, and for which
// issuer, is in its boot data, so that it has not changed since the server has. Where the servers have changed for the last time
// before the member could have been used, no token is of it: that is the way back from a first step.
func (w *world) tokensEnded(what string, member, c *preview.Change) []Sign {
	var servers []*preview.Resource
	for _, s := range w.byType[typeInstance] {
		if s.Before != nil && isServer(s.Before) {
			servers = append(servers, s.Before)
		}
	}
	const why = "pods hold tokens from before for up to a day, and longer where they ask for it"
	if last := sinceChange(servers); !last.IsZero() && !w.p.Now.IsZero() && member != nil && member.Before != nil &&
		!member.Before.Created.IsZero() && last.Before(member.Before.Created.Add(published)) {
		return []Sign{sign(Warning, "rotation-unused", what+", and no server has changed since it could have been used", why,
			"see that nobody has used it within "+hours(published)+" of its making", c)}
	}
	return w.since(what, servers, tokens, why, c)
}

func (w *world) keySetsBefore() (list []*preview.Resource) {
	for _, c := range w.p.Changes {
		if c.Before != nil && isObject(c.Before.Type) && isKeySet(c.Before) {
			list = append(list, c.Before)
		}
	}
	return list
}

var maxAge = regexp.MustCompile(`(?i)\bmax-age\s*=\s*([0-9]{1,9})`)

// longestCache is the longest max-age of the key sets as they are.
func (w *world) longestCache() time.Duration {
	longest := 0
	for _, r := range w.keySetsBefore() {
		text, _ := r.Text("cacheControl")
		if m := maxAge.FindStringSubmatch(text); m != nil {
			seconds, _ := strconv.Atoi(m[1])
			longest = max(longest, seconds)
		}
	}
	return time.Duration(longest) * time.Second
}

// step notes that a change is a step of a rotation.
func (w *world) step(what, next string) {
	if s := (Step{what, next}); !slices.Contains(w.steps, s) {
		w.steps = append(w.steps, s)
	}
}

// withoutSigning leaves out of boot data what says which signing keys there are.
func withoutSigning(text string) string {
	text = signingLine.ReplaceAllString(text, "")
	return fetchedLine.ReplaceAllStringFunc(text, func(line string) string {
		if strings.Contains(fetchedLine.FindStringSubmatch(line)[2], "/service-account/") {
			return ""
		}
		return line
	})
}

// retired is the issuers of the cluster that no server signs for as the stack is, and that no server accepts after the change: those
// that the servers have, and those whose documents the stack publishes, which servers may have had until an update ended early.
func (w *world) retired() map[string]bool {
	if w.retiredIssuers == nil {
		w.retiredIssuers = w.findRetired()
	}
	return w.retiredIssuers
}

func (w *world) findRetired() map[string]bool {
	gone := map[string]bool{}
	for _, c := range w.byType[typeInstance] {
		for _, issuer := range signingIssuers(c.Before) {
			gone[host(issuer)] = true
		}
	}
	for _, c := range w.p.Changes {
		if issuer := discovered(c.Before); issuer != "" {
			gone[host(issuer)] = true
		}
	}
	servers := 0
	for _, c := range w.byType[typeInstance] {
		if c.Before == nil || !isServer(c.Before) {
			continue
		}
		servers++
		was, is := signingIssuers(c.Before), signingIssuers(c.After)
		if len(was) == 0 || len(is) == 0 {
			return map[string]bool{}
		}
		delete(gone, host(was[0]))
		for _, issuer := range is {
			delete(gone, host(issuer))
		}
	}
	if servers == 0 {
		return map[string]bool{}
	}
	return gone
}

// providerOf is the IAM OIDC provider of one issuer, as the stack is; nil for several.
func (w *world) providerOf(issuers []string) *preview.Change {
	for _, c := range w.byType[typeOIDCProvider] {
		if url, _ := c.Before.Text("url"); c.Before != nil && len(issuers) == 1 && host(url) == host(issuers[0]) {
			return c
		}
	}
	return nil
}

func (w *world) allRetired(issuers []string) bool {
	retired := w.retired()
	return !slices.ContainsFunc(issuers, func(issuer string) bool { return !retired[host(issuer)] })
}

// accepted tells whether an issuer is one that IAM has a provider for and every server accepts, as the stack is.
func (w *world) accepted(issuer string) bool {
	for _, c := range w.byType[typeInstance] {
		if c.Before != nil && isServer(c.Before) && !slices.Contains(signingIssuers(c.Before), issuer) {
			return false
		}
	}
	return slices.ContainsFunc(w.byType[typeOIDCProvider], func(c *preview.Change) bool {
		url, _ := c.Before.Text("url")
		return c.Before != nil && host(url) == host(issuer)
	})
}

// ofRetired tells whether what is deleted is part of a retired issuer: of the component whose discovery document names it, or of one
// whose discovery document is gone already, beside an issuer that has its own.
func (w *world) ofRetired(gone *preview.Change) bool {
	if gone.Op != preview.Delete || gone.Before.Parent == "" {
		return false
	}
	others := false
	for _, c := range w.p.Changes {
		if c.Before == nil || !isObject(c.Before.Type) || !isDiscovery(c.Before) {
			continue
		}
		if c.Before.Parent == gone.Before.Parent {
			return w.retired()[host(discovered(c.Before))]
		}
		others = others || c.After != nil
	}
	return others && w.p.Complete && strings.HasPrefix(gone.Before.ParentType(), "k3s-aws-auth:oidcissuer:")
}

// discovered is the issuer that a discovery document names; empty for anything else.
func discovered(r *preview.Resource) string {
	if r == nil || !isObject(r.Type) || !isDiscovery(r) {
		return ""
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if text, known := content(r); !known || json.Unmarshal([]byte(text), &document) != nil {
		return ""
	}
	return document.Issuer
}

// endedParameter tells whether a parameter has a signing key that no server fetches any more.
func (w *world) endedParameter(c *preview.Change) bool {
	name, _ := c.Before.Text("name")
	key := w.keyOf(name, before)
	return key != "" && w.ended(key)
}

// ended tells whether no server signs with a key as the stack is, and none accepts it after the change.
func (w *world) ended(key string) bool {
	servers, known := w.signers(after)
	for _, s := range servers {
		known = known && !slices.Contains(s.accepts, key)
	}
	return known && w.unused(key)
}

// authorities are the CAs of a trust anchor on one side, by the URNs of their certificates.
func authorities(r *preview.Resource) []string {
	if r == nil {
		return nil
	}
	return r.PropertyDependencies["source"]
}

// signedBy are the certificates, as the stack is, that a CA has signed.
func (w *world) signedBy(ca string) (list []*preview.Resource) {
	for _, c := range w.byType[typeLocallySigned] {
		if c.Before != nil && slices.Contains(c.Before.PropertyDependencies["caCertPem"], ca) {
			list = append(list, c.Before)
		}
	}
	return list
}

// retiredAuthority tells whether a CA is one that a trust anchor has as the stack is, that signs nothing any more, that nobody
// else takes, and that the change takes from all anchors.
func (w *world) retiredAuthority(ca string) bool {
	if len(w.signedBy(ca)) > 0 {
		return false
	}
	anchored := false
	for _, c := range w.users[ca] {
		switch c.Now().Type {
		case typeTrustAnchor:
			anchored = anchored || slices.Contains(authorities(c.Before), ca)
			if slices.Contains(authorities(c.After), ca) {
				return false
			}
		case typeLocallySigned, typeCRL: // judged above, and lists of what it has revoked
		default:
			return false
		}
	}
	return anchored || w.untrusted(w.byURN[ca])
}

// untrusted tells whether a CA's certificate is in none of the trust anchors that there are, as the stack is: it was there, and an
// update that took it away has ended before its end.
func (w *world) untrusted(ca *preview.Change) bool {
	if ca == nil || ca.Before == nil {
		return false
	}
	text, _ := ca.Before.Output("certPem").(string)
	own := certificates(text)
	anchors := 0
	for _, c := range w.byType[typeTrustAnchor] {
		if c.Before == nil {
			continue
		}
		bundle := certificates(c.Before.Value("source", "sourceData", "x509CertificateData"))
		if len(bundle) == 0 || len(difference(own, bundle)) != len(own) {
			return false
		}
		anchors++
	}
	return len(own) == 1 && anchors > 0
}

// forgotten tells whether a key has ended, and no key set has it any more, as the stack is: an update that took it away has ended
// before its end.
func (w *world) forgotten(c *preview.Change) bool {
	own, sets := keyID(c.Before), w.keySetsBefore()
	return w.ended(c.Before.URN) && own != "" && len(sets) > 0 && !slices.ContainsFunc(sets, func(r *preview.Resource) bool {
		ids := keyIDs(r)
		return len(ids) == 0 || slices.Contains(ids, own)
	})
}

// retiredKey tells whether a private key is that of retired CAs alone.
func (w *world) retiredKey(key string) bool {
	found := false
	for _, c := range w.users[key] {
		switch {
		case c.Before == nil:
			return false
		case c.Before.Type == typeSelfSigned && w.retiredAuthority(c.Before.URN):
			found = true
		case c.Before.Type != typeCRL:
			return false
		}
	}
	return found
}

// authoritySteps judges what a trust anchor no longer accepts. explained is false where it is not the end of a rotation.
func (w *world) authoritySteps(c *preview.Change) (signs []Sign, explained bool) {
	was, is := authorities(c.Before), authorities(c.After)
	gone := difference(was, is)
	if len(gone) == 0 || len(difference(is, was)) > 0 {
		return nil, false
	}
	var leaves []*preview.Resource
	for _, ca := range gone {
		if !w.retiredAuthority(ca) {
			return nil, false
		}
		w.step("the trust anchor no longer accepts certificates of "+lastName(ca), "")
	}
	// What it accepts from now on is part of what it accepted: one certificate less for each CA that goes.
	const data = "x509CertificateData"
	old, now := certificates(c.Before.Value("source", "sourceData", data)), certificates(c.After.Value("source", "sourceData", data))
	if len(now) == 0 || len(difference(now, old)) > 0 || len(old)-len(now) != len(gone) {
		return nil, false
	}
	for _, ca := range is {
		leaves = append(leaves, w.signedBy(ca)...)
	}
	return w.since("the trust anchor no longer accepts certificates of "+lastName(gone[0]), leaves, delivered,
		"kubelets write new certificates into running pods within minutes, and not at once", c), true
}

// authorityJoins tells whether a trust anchor's bundle is computed of the CAs that it was, which stay as they are, and of a new one
// of this stack. What else is in it, the preview cannot show.
func (w *world) authorityJoins(c *preview.Change) bool {
	if !unknown(c.After.Value("source", "sourceData", "x509CertificateData")) {
		return false
	}
	was, is := authorities(c.Before), authorities(c.After)
	for _, ca := range was {
		if a := w.byURN[ca]; a == nil || a.Op != preview.Same {
			return false
		}
	}
	added := difference(is, was)
	for _, ca := range added {
		if a := w.byURN[ca]; a == nil || a.Op != preview.Create || a.After.Type != typeSelfSigned {
			return false
		}
	}
	return len(was) > 0 && len(added) > 0 && len(difference(was, is)) == 0
}

// issuedByAnother judges a leaf that another CA signs from now on.
func (w *world) issuedByAnother(c *preview.Change) []Sign {
	if c.Before == nil || c.After == nil {
		return nil
	}
	was, is := c.Before.PropertyDependencies["caCertPem"], c.After.PropertyDependencies["caCertPem"]
	var signs []Sign
	for _, ca := range difference(is, was) {
		var anchors int
		var accepted = true
		for _, a := range w.byType[typeTrustAnchor] {
			if slices.Contains(authorities(a.Before), ca) || slices.Contains(authorities(a.After), ca) {
				anchors++
				accepted = accepted && slices.Contains(authorities(a.Before), ca)
			}
		}
		switch what := "certificates are signed by " + lastName(ca) + " from now on"; {
		case anchors == 0: // no CA of an anchor
		case !accepted:
			signs = append(signs, sign(Danger, "ca-untrusted", what+", which no trust anchor accepts yet", "pods that have the new certificate before the anchor has the CA are refused",
				"make the CA `next` first, and `active` in a later change", c))
		default:
			w.step(what, "kubelets write them into running pods within minutes; wait until each Secret and each pod has its own")
		}
	}
	return signs
}

// endedKey tells of a published key's id whether it is that of a key of this stack that no server signs with as the stack is,
// and that the change takes from all servers. Since when it is unused is judged with them.
func (w *world) endedKey() func(string) bool {
	return func(id string) bool {
		return slices.ContainsFunc(w.byType[typePrivateKey], func(c *preview.Change) bool {
			return c.Before != nil && keyID(c.Before) == id && w.ended(c.Before.URN)
		})
	}
}
