package impact

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// newParent tells whether a resource belongs to a component that is made with it.
func (w *world) newParent(r *preview.Resource) bool {
	c := w.byURN[r.Parent]
	return c != nil && c.Before == nil && c.Now().Type != "pulumi:pulumi:Stack"
}

// resourcePolicies: whom the policies of buckets, keys, topics, queues and endpoints let in.
func (w *world) resourcePolicies() []Sign {
	var signs []Sign
	for _, c := range w.p.Changes {
		o, known := opinionOf(c.Now().Type)
		if !known || o.policy == "" || c.Op == preview.Import || c.Op == preview.Same && c.Before == c.After {
			continue
		}
		for _, part := range apart(c) {
			signs = append(signs, w.resourcePolicy(part, o.policy)...)
		}
	}
	return signs
}

// settingOf are the properties that name what a setting is of.
var settingOf = []string{"bucket", "keyId", "queueUrl", "arn", "secretArn", "repository", "vpcEndpointId", "accessPointArn", "eventBusName", "fileSystemId", "backupVaultName", "resourceArn", "accountId"}

// apart makes of a setting that moves from one thing to another what it is: it goes from the one, and is new for the other.
func apart(c *preview.Change) []*preview.Change {
	if c.Before == nil || c.After == nil || c.Now().Type == typeBucket || c.Now().Type == typeOldBucket {
		return []*preview.Change{c}
	}
	for _, p := range settingOf {
		was, wasKnown := c.Before.Text(p)
		is, known := c.After.Text(p)
		if wasKnown && known && was != is || wasKnown && c.After.Value(p) == preview.Unknown && !slices.Equal(c.Before.PropertyDependencies[p], c.After.PropertyDependencies[p]) {
			return []*preview.Change{{Op: preview.Delete, Before: c.Before}, {Op: preview.Create, After: c.After}}
		}
	}
	return []*preview.Change{c}
}

func (w *world) resourcePolicy(c *preview.Change, property string) []Sign {
	var signs []Sign
	now := c.Now()
	was, is := w.document(c.Before, property), w.document(c.After, property)
	issuer := now.ParentType() == typeBucketIssuer || now.ParentType() == "k3s-aws-auth:oidcissuer:CloudFrontIssuer"
	bucket := strings.HasPrefix(now.Type, "aws:s3")
	endpoint := strings.Contains(now.Type, "pcEndpoint")
	const safe = "name the principal; let CloudFront serve what is public"
	if c.After == nil {
		if issuer && c.Op == preview.Delete {
			if w.ofRetired(c) {
				return nil // judged with the servers
			}
			return []Sign{sign(Danger, "issuer-unreachable", "the policy "+now.Name()+" of the issuer's bucket is deleted", "AWS cannot read the key set any more", "remove identities and provider first", c)}
		}
		if was.parsed != nil && denies(was.parsed) && (!bucket || !w.bucketGoes(c.Before)) {
			return []Sign{sign(Warning, "resource-policy-changed", "the policy "+now.Name()+" goes, with what it denied", "identities of the account may do what it kept from them", safe, c)}
		}
		return nil
	}
	if is.unclear != "" {
		if (c.Before == nil || c.Op == preview.Replace && issuer) && strings.HasPrefix(is.unclear, "is known only") {
			return nil
		}
		if c.Before == nil || !sameValue(c.Before.Value(property), c.After.Value(property)) {
			level := Warning
			if strings.HasPrefix(is.unclear, "cannot be read") {
				level = Danger
			}
			signs = append(signs, sign(level, "unclear", fmt.Sprintf("the policy %s %s", now.Name(), is.unclear),
				"the preview cannot show whom it lets in", "make what it is computed from exist first", c))
		}
		return signs
	}
	if was.parsed == is.parsed || is.parsed == nil && was.parsed == nil {
		return nil
	}
	if endpoint && is.parsed == nil || c.Before != nil && is.parsed == nil && denies(was.parsed) {
		return []Sign{sign(Warning, "resource-policy-changed", "the policy of "+now.Name()+" goes, with what it denied", "more may be done through it", "keep it", c)}
	}
	old := was.parsed
	if endpoint && old == nil && c.Before != nil {
		return nil // an endpoint without a policy lets everything through
	}
	gained, lost := access.CompareResource(old, is.parsed)
	fresh := c.Before == nil && (w.initial || w.newParent(now) || w.targetIsNew(c))
	for _, g := range gained {
		who := g.Who
		text := fmt.Sprintf("%s may %s on %s", who, g.Action, g.Resource)
		if g.Condition != "" {
			text += ", if " + g.Condition
		}
		switch {
		case issuer && g.Public && isIssuerDocument(g.Grant):
		case g.Public && endpoint:
			if c.Before != nil {
				signs = append(signs, sign(Warning, "resource-policy-gained", "through "+now.Name()+" "+text, "identities of other accounts can carry data out", "name the account or organization", c))
			}
		case g.Public && bucket:
			signs = append(signs, sign(Danger, "bucket-public", text, "the world reads, or writes, what is in the bucket", safe, c))
		case g.Public:
			signs = append(signs, sign(Danger, "policy-public", text, "the world may use it", "name the principal", c))
		case bucket && w.writesKeys(c, g.Grant):
			signs = append(signs, sign(Danger, "writes-key-set", text, "whoever adds a key to the published key set can be every identity", "leave writes to the issuer's bucket to who deploys the stack", c))
		case fresh, w.ownAccount(who) && c.Before == nil:
		default:
			signs = append(signs, sign(Warning, "resource-policy-gained", text, "somebody else may use it", "name one principal, with a condition on the source where it is a service", c))
		}
	}
	if len(gained) == 0 && !endpoint && denies(old) {
		if more, _ := access.CompareResource(w.delegating(old), w.delegating(is.parsed)); len(more) > 0 {
			signs = append(signs, sign(Warning, "resource-policy-changed", fmt.Sprintf("the policy %s no longer keeps the account's identities from %s on %s", now.Name(), more[0].Action, more[0].Resource),
				"those whose own policies allow it may do it", "keep the denial", c))
		}
	}
	if issuer && c.Before != nil && old != nil && slices.ContainsFunc(lost, func(g access.ResourceGrant) bool { return access.ActionMatches(g.Action, "s3:GetObject") }) {
		signs = append(signs, w.unreachable(c, old, is.parsed)...)
	}
	return signs
}

// delegating is a policy as it counts for the account's own identities, whose policies may allow everything.
func (w *world) delegating(d *policy.Document) *policy.Document {
	all := policy.Statement{Effect: "Allow", Principal: &policy.PrincipalElement{AWS: []string{w.account}}, Actions: []string{"*"}, Resources: []string{"*"}}
	return &policy.Document{Version: d.Version, Statements: append(slices.Clone(d.Statements), all)}
}

func denies(d *policy.Document) bool {
	return d != nil && slices.ContainsFunc(d.Statements, func(s policy.Statement) bool { return s.Effect == "Deny" })
}

// ownAccount tells whether a principal is the stack's account as a whole, which a policy that says nothing trusts too.
func (w *world) ownAccount(who string) bool {
	return who == "everybody whom AWS account "+w.account+" permits"
}

// targetIsNew tells whether the resource that a policy is attached to is made in the same change.
func (w *world) targetIsNew(c *preview.Change) bool {
	for _, p := range []string{"bucket", "keyId", "queueUrl", "arn", "secretArn", "repository"} {
		for _, urn := range c.After.PropertyDependencies[p] {
			if t := w.byURN[urn]; t != nil && t.Before == nil {
				return true
			}
		}
	}
	return false
}

// writesKeys tells whether a grant on a bucket changes the issuer's documents, or who may.
func (w *world) writesKeys(c *preview.Change, g access.Grant) bool {
	bucket, _ := c.After.Text("bucket")
	for _, t := range w.targets() {
		if t.id != "writes-key-set" || !strings.Contains(t.arn, ":s3:::"+bucket) || bucket == "" {
			continue
		}
		for _, action := range t.actions {
			if access.ActionMatches(g.Action, action) && access.ResourceMatches(g.Resource, t.arn) {
				return true
			}
		}
		if strings.HasPrefix(g.Action, "everything but ") || strings.HasPrefix(g.Resource, "everything but ") {
			return true
		}
	}
	return false
}

// unreachable tells whether AWS can no longer read one of the issuer's documents: over TLS, without credentials or by CloudFront.
func (w *world) unreachable(c *preview.Change, old, now *policy.Document) []Sign {
	bucket, _ := c.After.Text("bucket")
	reads := func(d *policy.Document, arn string) bool {
		if d == nil {
			return false
		}
		context := map[string][]string{"aws:SecureTransport": {"true"}}
		for _, s := range d.Statements {
			for _, k := range s.Conditions {
				if strings.EqualFold(k.Key, "aws:SourceArn") && len(k.Values) > 0 {
					context["aws:SourceArn"] = k.Values[:1]
				}
			}
		}
		return slices.ContainsFunc([]*policy.Principal{nil, {Service: "cloudfront.amazonaws.com"}}, func(who *policy.Principal) bool {
			return policy.Evaluate(policy.Request{Action: "s3:GetObject", Resource: arn, Principal: who, Context: context}, d).Decision == policy.Allow
		})
	}
	for _, t := range w.targets() {
		if t.id == "writes-key-set" && strings.Contains(t.arn, ":s3:::"+bucket+"/") && reads(old, t.arn) && !reads(now, t.arn) {
			return []Sign{sign(Danger, "issuer-unreachable", "the policy "+c.Now().Name()+" no longer lets AWS read the issuer's documents", "no token can be verified", "keep reading of the two documents allowed", c)}
		}
	}
	return nil
}

// parameters: what servers and agents read at boot.
func (w *world) parameters() []Sign {
	var signs []Sign
	for _, c := range w.byType[typeParameter] {
		if c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import {
			continue
		}
		name, _ := c.Now().Text("name")
		old, _ := c.Before.Text("name")
		private := strings.Contains(old, "/server/") || strings.Contains(old, "/agent/") || strings.Contains(name, "/server/") || strings.Contains(name, "/agent/") || strings.Contains(strings.ToLower(name), "token") || strings.HasSuffix(name, ".key")
		kind, _ := c.After.Text("type")
		value, _ := c.After.Value("value").(string)
		plain, _ := c.After.Value("insecureValue").(string)
		switch {
		case c.After == nil:
			if private && c.Op == preview.Delete && !w.endedParameter(c) {
				signs = append(signs, sign(Warning, "parameter-removed", "the parameter "+name+" goes", "machines that boot from now on do not find it", "see that no machine reads it", c))
			}
		case c.Before == nil && private && kind != "SecureString" && kind != "":
			signs = append(signs, sign(Warning, "parameter-plain", fmt.Sprintf("the new parameter %s is a %s", name, kind), "whoever may list parameters reads it, and it is not encrypted", "make what the cluster's machines read a SecureString", c))
		case c.Before == nil && kind == "SecureString" && value != "" && value != preview.Secret && value != preview.Unknown:
			signs = append(signs, sign(Danger, "secret-plain", c.After.Name()+": its value is in plain", "state, previews and logs show it to everybody who reads them", "mark it as secret (pulumi.ToSecret)", c))
		case len(differs(c, "name")) > 0 && private:
			signs = append(signs, sign(Warning, "parameter-changed", "the parameter moves to "+name, "roles may read, or no longer read, what is under that name", "keep the name", c))
		case c.Before != nil && c.Op != preview.Replace && slices.Contains(changedProperties(c), "value") && private:
			signs = append(signs, sign(Warning, "parameter-changed", "the value of the parameter "+name+" changes", "machines that boot from now on have another key or token", "see what it is computed from", c))
		}
		if plain != "" && private && c.After != nil && !sameValue(c.Before.Value("insecureValue"), plain) {
			signs = append(signs, sign(Warning, "parameter-plain", "the parameter "+name+" has its value in plain", "state and previews show it", "use value, which is always secret", c))
		}
	}
	return signs
}

// keysHandedOn: private keys that sign tokens or certificates and get somewhere new: not into certificates, nor below server/.
func (w *world) keysHandedOn() []Sign {
	var signs []Sign
	for _, c := range w.p.Changes {
		if c.After == nil || c.Op == preview.Import || c.Op == preview.Same && c.Before == c.After || strings.HasPrefix(c.Now().Type, "tls:") {
			continue
		}
		if name, _ := c.After.Text("name"); c.Now().Type == typeParameter && strings.Contains(name, "/server/") {
			continue
		}
		for _, p := range sortedKeys(c.After.PropertyDependencies) {
			if !holdsSecret(c.After.Inputs[p]) {
				continue // a public key
			}
			for _, urn := range difference(c.After.PropertyDependencies[p], dependenciesOf(c.Before, p)) {
				if key := w.byURN[urn]; key != nil && key.Now().Type == typePrivateKey && slices.Contains([]string{"signing", "ca"}, w.useOf(key)) {
					signs = append(signs, sign(Danger, "reads-signing-key", fmt.Sprintf("%s gets the private key %s", c.Now().Name(), lastName(urn)), "whoever may read it there can be every identity", "keep private keys in parameters below server/", c))
				}
			}
		}
	}
	return signs
}

func dependenciesOf(r *preview.Resource, property string) []string {
	if r == nil {
		return nil
	}
	return r.PropertyDependencies[property]
}

// profilesOff: Roles Anywhere profiles that let in more, or nobody.
func (w *world) profilesOff() []Sign {
	var signs []Sign
	for _, c := range w.byType[typeRAProfile] {
		name := "the profile " + c.Now().Name()
		if c.Op == preview.Import {
			continue
		}
		if c.After != nil && enabled(c.After) && !enabled(c.Before) && !w.initial {
			if more := w.newlyGiven(c); len(more) > 0 {
				what := name + " is switched on: it gives "
				if c.Before == nil {
					what = "the new profile " + c.Now().Name() + " gives "
				}
				signs = append(signs, sign(Warning, "profile-roles", what+strings.Join(more, ", ")+", with nothing else to limit its sessions", "certificates can be those roles, where their trust lets them, for longer or with more permissions than before", "give each kind of identity one profile", c))
			}
		}
		if c.Before == nil {
			continue
		}
		if c.Op == preview.Delete || c.Op == preview.Replace {
			signs = append(signs, sign(Danger, "profile-removed", name+" is "+verb(c), "no pod gets a session with it any more", "make a second profile, move the pods, then remove this one", c))
			continue
		}
		if on, ok := c.After.Value("enabled").(bool); ok && !on && c.Before.Value("enabled") != false {
			signs = append(signs, sign(Danger, "profile-disabled", name+" is switched off", "no pod gets a session from now on", "remove the identities first, if that is what is meant", c))
		}
		was, is := w.document(c.Before, "sessionPolicy"), w.document(c.After, "sessionPolicy")
		switch {
		case was.parsed == is.parsed && was.unclear == is.unclear:
		case is.unclear != "":
			signs = append(signs, sign(Warning, "unclear", "the session policy of "+name+" "+is.unclear, "it limits every session", "make what it is computed from exist first", c))
		case is.parsed == nil:
			signs = append(signs, sign(Warning, "session-policy-removed", name+" loses its session policy", "sessions have all that their role may do", "keep it, or see that the roles' policies are as narrow", c))
		case was.parsed != nil:
			if gained, _ := access.Compare(access.Policies{Identity: []*policy.Document{was.parsed}}, access.Policies{Identity: []*policy.Document{is.parsed}}); len(gained) > 0 {
				signs = append(signs, sign(Warning, "session-policy-wider", fmt.Sprintf("the session policy of %s lets %s on %s through", name, gained[0].Action, gained[0].Resource), "sessions have more of what their role may do", "keep it as narrow as the pods need", c))
			}
		}
		if changed(c, "managedPolicyArns") {
			gone := difference(list(c.Before.Value("managedPolicyArns")), list(c.After.Value("managedPolicyArns")))
			signs = append(signs, sign(Warning, "session-policy-changed", fmt.Sprintf("%s changes its managed session policies%s", name, suffixList(" (without ", gone)), "they limit every session", "keep them", c))
		}
		if added := difference(list(c.After.Value("roleArns")), list(c.Before.Value("roleArns"))); len(added) > 0 && !w.rolesAreNew(c, added) {
			signs = append(signs, sign(Warning, "profile-roles", name+" also gives "+orUnknown(strings.Join(names(added), ", ")), "certificates can be those roles, where their trust lets them", "give each kind of identity a profile of its own", c))
		}
		if gone := difference(list(c.Before.Value("roleArns")), list(c.After.Value("roleArns"))); len(gone) > 0 && !slices.ContainsFunc(list(c.After.Value("roleArns")), func(s string) bool { return unknown(s) }) {
			signs = append(signs, sign(Warning, "profile-roles", name+" no longer gives "+strings.Join(names(gone), ", "), "pods of that identity get no session", "take the pods away first", c))
		}
		if c.After.Value("acceptRoleSessionName") == true && c.Before.Value("acceptRoleSessionName") != true {
			signs = append(signs, sign(Warning, "profile-roles", name+" lets callers name their sessions", "policies that ask for a session's name, and the record of who it was, count on what callers say", "leave the name to the certificate", c))
		}
		if c.Before.Value("requireInstanceProperties") == true && c.After.Value("requireInstanceProperties") != true {
			signs = append(signs, sign(Warning, "profile-roles", name+" no longer asks for instance properties", "requests need to say less about where they come from", "keep it", c))
		}
	}
	return signs
}

// enabled tells whether a trust anchor or profile is on; where nothing is said, its provider switches it on.
func enabled(r *preview.Resource) bool {
	return r != nil && r.Value("enabled") != false
}

// newlyGiven lists the roles that were there before and that no profile gave as freely as this one does now: for as long, and
// without a session policy of its own.
func (w *world) newlyGiven(c *preview.Change) []string {
	limits := func(p *preview.Resource) bool {
		return p.Value("sessionPolicy") != nil || p.Value("managedPolicyArns") != nil && len(list(p.Value("managedPolicyArns"))) > 0
	}
	seconds := func(p *preview.Resource) int { return cmp.Or(number(p.Value("durationSeconds")), 3600) }
	others := list(c.After.Value("roleArns"))
	var more []string
	for _, r := range w.byType[typeRole] {
		if r.After == nil || !profileHas(c.After, r.After, w.arn(r.After)) {
			continue
		}
		others = slices.DeleteFunc(others, func(arn string) bool { return arn == w.arn(r.After) })
		if r.Before == nil {
			continue
		}
		longest := cmp.Or(number(r.After.Value("maxSessionDuration")), 3600)
		if !slices.ContainsFunc(w.byType[typeRAProfile], func(o *preview.Change) bool {
			return o.Before != nil && enabled(o.Before) && profileHas(o.Before, r.Before, w.arn(r.Before)) && !limits(o.Before) && min(seconds(o.Before), longest) >= min(seconds(c.After), longest)
		}) {
			more = append(more, r.Now().Name())
		}
	}
	for _, arn := range others {
		if !unknown(arn) {
			more = append(more, lastName(arn))
		}
	}
	return more
}

func suffixList(word string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return word + strings.Join(names(list), ", ") + ")"
}

func names(arns []string) []string {
	var out []string
	for _, a := range arns {
		out = append(out, lastName(a))
	}
	return out
}

// rolesAreNew tells whether what a profile adds are roles that are made with it.
func (w *world) rolesAreNew(c *preview.Change, added []string) bool {
	if !slices.ContainsFunc(added, func(s string) bool { return unknown(s) }) {
		return false
	}
	for _, urn := range difference(c.After.PropertyDependencies["roleArns"], c.Before.PropertyDependencies["roleArns"]) {
		if r := w.byURN[urn]; r == nil || r.Before != nil {
			return false
		}
	}
	return true
}

// tagsThatDecide: tags that a policy of the stack asks about.
func (w *world) tagsThatDecide() []Sign {
	var texts strings.Builder
	for text := range w.parsed {
		texts.WriteString(strings.ToLower(text))
	}
	all := texts.String()
	if !strings.Contains(all, "tag/") {
		return nil
	}
	var signs []Sign
	for _, c := range w.p.Changes {
		path := []string{"tags"}
		if c.Now().Type == "pulumi:providers:aws" {
			path = []string{"defaultTags", "tags"}
		}
		if c.Before == nil || c.After == nil {
			continue
		}
		was, _ := c.Before.Value(path...).(map[string]any)
		is, _ := c.After.Value(path...).(map[string]any)
		keys := map[string]bool{}
		for _, m := range []map[string]any{was, is} {
			for k := range m {
				if !sameValue(was[k], is[k]) && strings.Contains(all, "tag/"+strings.ToLower(k)) {
					keys[k] = true
				}
			}
		}
		for _, k := range sortedKeys(keys) {
			signs = append(signs, sign(Warning, "tag-decides", fmt.Sprintf("the tag %s of %s becomes %v", k, c.Now().Name(), is[k]), "a policy of this stack asks for that tag", "see whom it lets in with that value", c))
		}
	}
	return signs
}

// identifying are the properties by which AWS knows a thing: who makes it again writes over the one that is there.
var identifying = map[string]string{
	typeRolePolicy: "role name", "aws:iam/userPolicy:UserPolicy": "user name", "aws:iam/groupPolicy:GroupPolicy": "group name",
	typeBucketPolicy: "bucket", typeAccessBlock: "bucket", typeBucketACL: "bucket", "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "bucket",
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2": "bucket", "aws:s3/bucketVersioningV2:BucketVersioningV2": "bucket",
	"aws:s3/bucketObjectv2:BucketObjectv2": "bucket key", "aws:s3/bucketObject:BucketObject": "bucket key", typeParameter: "name",
	"aws:kms/keyPolicy:KeyPolicy": "keyId", "aws:sqs/queuePolicy:QueuePolicy": "queueUrl", "aws:sns/topicPolicy:TopicPolicy": "arn",
	"aws:secretsmanager/secretPolicy:SecretPolicy": "secretArn", "aws:ecr/repositoryPolicy:RepositoryPolicy": "repository",
}

// identityOf is what a thing is known by, whatever its logical name; empty where that is not known.
func identityOf(r *preview.Resource) string {
	if r == nil {
		return ""
	}
	if kind, ok := kubernetesKind(r.Type); ok {
		name, _ := r.Value("metadata", "name").(string)
		namespace, _ := r.Value("metadata", "namespace").(string)
		if name == "" || name == preview.Unknown {
			return ""
		}
		return kind + "\n" + namespace + "\n" + name
	}
	id := r.Type[strings.LastIndex(r.Type, "/")+1:]
	for _, p := range strings.Fields(identifying[r.Type]) {
		text, known := r.Text(p)
		if !known {
			return ""
		}
		id += "\n" + text
	}
	if identifying[r.Type] == "" {
		return ""
	}
	return id
}

// sameThing: two resources of the stack that are one thing. Which of the two is in force is a matter of order: what is new is
// written over what is there, and what goes is deleted after that.
func (w *world) sameThing() []Sign {
	var signs []Sign
	there := map[string]*preview.Change{}
	for _, c := range w.p.Changes {
		if id := identityOf(c.Before); id != "" {
			there[id] = c
		}
	}
	for _, c := range w.p.Changes {
		id := identityOf(c.After)
		other := there[id]
		if _, ok := kubernetesKind(c.Now().Type); c.Op == preview.Replace && !ok && id != "" && id == identityOf(c.Before) {
			signs = append(signs, sign(Warning, "same-thing", c.Now().Name()+" is replaced by itself", "what is new is made first, and what goes is deleted after it: then there is nothing", "change it in place, or delete it first (deleteBeforeReplace)", c))
			continue
		}
		if id == "" || other == nil || other == c || c.Op == preview.Import || identityOf(c.Before) == id {
			continue
		}
		what := c.Now().Name() + " is written over " + other.Now().Name()
		if identityOf(other.After) != id {
			what = c.Now().Name() + " is the same thing as " + other.Now().Name() + ", which is deleted after it is made"
		}
		signs = append(signs, sign(Warning, "same-thing", what, "what the other one denied or held is gone", "keep one resource; to rename it give it an alias", c, other))
	}
	return signs
}

// userThings: what gives IAM users more than policies do.
func (w *world) userThings() []Sign {
	var signs []Sign
	for _, c := range w.p.Changes {
		if c.After == nil || c.Op == preview.Same || c.Op == preview.Import {
			continue
		}
		switch c.Now().Type {
		case "aws:iam/accessKey:AccessKey":
			signs = append(signs, sign(Warning, "long-lived-key", "an access key, "+c.Now().Name(), "it is good until somebody deletes it", "use a role", c))
		case "aws:iam/groupMembership:GroupMembership", "aws:iam/userGroupMembership:UserGroupMembership":
			signs = append(signs, sign(Warning, "group-membership", c.Now().Name()+" changes who is in a group", "its users have all permissions of the group", "give permissions to roles", c))
		}
	}
	return signs
}
