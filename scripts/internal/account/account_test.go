package account

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// world is a snapshot of a running lab with the export of its stack.
type world struct {
	*Snapshot
	stack   *Stack
	issuer  string
	anchor  string
	profile *Profile
	pod     *Role
	server  *Role
	key     string // a parameter with a private key
}

var setups = []string{"instance-profile", "irsa-s3", "irsa-cloudfront", "roles-anywhere"}

func load(t testing.TB, setup string) *world {
	t.Helper()
	w := &world{Snapshot: &Snapshot{}}
	data, err := os.ReadFile(filepath.Join("testdata", setup+".snapshot.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, w.Snapshot))
	data, err = os.ReadFile(filepath.Join("testdata", setup+".export.json"))
	require.NoError(t, err)
	w.stack, err = FromState(data)
	require.NoError(t, err)
	for _, p := range w.stack.Issuers {
		w.issuer = p.URL
	}
	for _, a := range w.stack.Anchors {
		w.anchor = a.ARN
	}
	for i := range w.Profiles {
		w.profile = &w.Profiles[i]
	}
	for i := range w.Roles {
		switch r := w.stack.role(w.Roles[i].ARN); {
		case r == nil:
		case r.Kind == Pod:
			w.pod = &w.Roles[i]
		case r.Kind == Server:
			w.server = &w.Roles[i]
		}
	}
	for _, target := range w.stack.Targets {
		if target.Kind == "signing-key" && strings.HasSuffix(target.ARN, ".key") {
			w.key = target.ARN
		}
	}
	require.NotEmpty(t, w.key)
	require.NotNil(t, w.server)
	return w
}

func (w *world) arn(kind, name string) string {
	return "arn:aws:iam::" + w.Account + ":" + kind + "/" + name
}

// role adds a role with a trust policy and one inline policy (none where empty).
func (w *world) role(name, trust, inline string) *Role {
	r := Role{Trust: trust, Entity: Entity{ARN: w.arn("role", name), Name: name}}
	if inline != "" {
		r.Inline = []Inline{{"own", inline}}
	}
	w.Roles = append(w.Roles, r)
	return &w.Roles[len(w.Roles)-1]
}

func (w *world) user(name, inline string) *User {
	u := User{Entity: Entity{ARN: w.arn("user", name), Name: name}}
	if inline != "" {
		u.Inline = []Inline{{"own", inline}}
	}
	w.Users = append(w.Users, u)
	return &w.Users[len(w.Users)-1]
}

func (w *world) managed(name, document string) string {
	arn := w.arn("policy", name)
	w.Policies = append(w.Policies, Managed{arn, document})
	return arn
}

func doc(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func allow(actions, resource string, more ...string) string {
	return statement("Allow", `"Action":"`+actions+`","Resource":"`+resource+`"`, more...)
}

func deny(actions, resource string, more ...string) string {
	return statement("Deny", `"Action":"`+actions+`","Resource":"`+resource+`"`, more...)
}

func statement(effect, body string, more ...string) string {
	return `{"Effect":"` + effect + `",` + strings.Join(append([]string{body}, more...), ",") + `}`
}

func condition(operator, key, value string) string {
	return fmt.Sprintf(`"Condition":{%q:{%q:%q}}`, operator, key, value)
}

// web is a trust in the cluster's issuer under conditions, given as JSON.
func (w *world) web(conditions string) string {
	s := `{"Effect":"Allow","Principal":{"Federated":"` + w.arn("oidc-provider", w.issuer) + `"},"Action":"sts:AssumeRoleWithWebIdentity"`
	if conditions != "" {
		s += `,"Condition":` + strings.ReplaceAll(conditions, "ISS", w.issuer)
	}
	return doc(s + "}")
}

const oneSubject = `{"StringEquals":{"ISS:aud":"sts.amazonaws.com","ISS:sub":"system:serviceaccount:default:other"}}`

// certs is a trust in Roles Anywhere.
func (w *world) certs(conditions string) string {
	s := `{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`
	if conditions != "" {
		s += `,"Condition":` + strings.ReplaceAll(conditions, "ANCHOR", w.anchor)
	}
	return doc(s + "}")
}

const oneName = `{"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"default.other"},"ArnEquals":{"aws:SourceArn":"ANCHOR"}}`

func trustOf(principal string) string {
	return doc(`{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}`)
}

const (
	lambda    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	web       = "irsa-s3"
	front     = "irsa-cloudfront"
	certified = "roles-anywhere"
	node      = "instance-profile"
)

// seed is one change of a healthy account, and all that has to be found then, of which the level is not a note.
type seed struct {
	name, setup string
	change      func(w *world)
	want        []string // ids
}

var seeds = []seed{
	// Who can be whom.
	{"a role beside the stack trusts a service account", web, func(w *world) { w.role("x", w.web(oneSubject), "") }, []string{"role-not-in-stack"}},
	{"a namespace", web, func(w *world) {
		w.role("x", w.web(`{"StringEquals":{"ISS:aud":"sts.amazonaws.com"},"StringLike":{"ISS:sub":"system:serviceaccount:default:*"}}`), "")
	}, []string{"role-not-in-stack", "trust-any-subject"}},
	{"a name in any namespace", front, func(w *world) {
		w.role("x", w.web(`{"StringEquals":{"ISS:aud":"sts.amazonaws.com"},"StringLike":{"ISS:sub":"system:serviceaccount:*:uploader"}}`), "")
	}, []string{"role-not-in-stack", "trust-any-subject"}},
	{"no subject", web, func(w *world) { w.role("x", w.web(`{"StringEquals":{"ISS:aud":"sts.amazonaws.com"}}`), "") }, []string{"role-not-in-stack", "trust-any-subject"}},
	{"a subject only if there is one", web, func(w *world) {
		w.role("x", w.web(`{"StringEquals":{"ISS:aud":"sts.amazonaws.com"},"StringNotEquals":{"ISS:sub":"system:serviceaccount:default:other"}}`), "")
	}, []string{"role-not-in-stack", "trust-any-subject"}},
	{"no audience", front, func(w *world) {
		w.role("x", w.web(`{"StringEquals":{"ISS:sub":"system:serviceaccount:default:other"}}`), "")
	}, []string{"role-not-in-stack", "trust-any-audience"}},
	{"no condition", web, func(w *world) { w.role("x", w.web(""), "") }, []string{"role-not-in-stack", "trust-any-subject", "trust-any-audience"}},
	{"the world", node, func(w *world) { w.role("x", trustOf("*"), "") }, []string{"role-not-in-stack", "trust-anybody"}},
	{"everybody but one", node, func(w *world) {
		w.role("x", doc(`{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"sts:AssumeRole"}`), "")
	}, []string{"role-not-in-stack", "trust-anybody"}},
	{"everybody with a token of the cluster", web, func(w *world) {
		w.role("x", doc(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity","Condition":`+strings.ReplaceAll(oneSubject, "ISS", w.issuer)+"}"), "")
	}, []string{"role-not-in-stack"}},
	{"a certificate opens a role beside the stack", certified, func(w *world) {
		r := w.role("x", w.certs(oneName), "")
		w.Profiles = append(w.Profiles, Profile{ARN: strings.Replace(w.profile.ARN, "profile/", "profile/x", 1), Name: "x", Enabled: true, Roles: []string{r.ARN}})
	}, []string{"role-not-in-stack"}},
	{"any name", certified, func(w *world) {
		r := w.role("x", w.certs(`{"ArnEquals":{"aws:SourceArn":"ANCHOR"}}`), "")
		w.Profiles = append(w.Profiles, Profile{ARN: strings.Replace(w.profile.ARN, "profile/", "profile/x", 1), Name: "x", Enabled: true, Roles: []string{r.ARN}})
	}, []string{"role-not-in-stack", "trust-any-certificate"}},
	{"any anchor", certified, func(w *world) {
		r := w.role("x", w.certs(`{"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"default.other"}}`), "")
		w.Profiles = append(w.Profiles, Profile{ARN: strings.Replace(w.profile.ARN, "profile/", "profile/x", 1), Name: "x", Enabled: true, Roles: []string{r.ARN}})
	}, []string{"role-not-in-stack", "trust-any-anchor"}},
	{"a pod's role is named by another", web, func(w *world) { w.role("x", trustOf(w.pod.ARN), "") }, []string{"role-not-in-stack"}},
	{"a session of a pod's role is", web, func(w *world) {
		w.role("x", trustOf("arn:aws:sts::"+w.Account+":assumed-role/"+w.pod.Name+"/s"), "")
	}, []string{"role-not-in-stack"}},
	{"the stack's trust is widened", web, func(w *world) {
		w.pod.Trust = strings.Replace(w.pod.Trust, "StringEquals", "StringLike", 1)
		w.pod.Trust = strings.Replace(w.pod.Trust, "default:uploader", "default:*", 1)
	}, []string{"trust-changed", "trust-any-subject"}},
	{"another account in the stack's trust", certified, func(w *world) {
		w.pod.Trust = strings.Replace(w.pod.Trust, `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole"},`, 1)
	}, []string{"trust-changed"}},

	// By hand.
	{"an inline policy", web, func(w *world) { w.pod.Inline = append(w.pod.Inline, Inline{"x", doc(allow("sqs:*", "*"))}) }, []string{"policy-by-hand"}},
	{"a managed policy", certified, func(w *world) {
		w.pod.Attached = append(w.pod.Attached, w.managed("x", doc(allow("dynamodb:GetItem", "*"))))
	}, []string{"policy-by-hand"}},
	{"everything but some", front, func(w *world) {
		w.pod.Inline = append(w.pod.Inline, Inline{"x", doc(statement("Allow", `"NotAction":["iam:*","ssm:*","s3:*","cloudfront:*","ec2:*","sts:*","route53:*","ec2-instance-connect:*"],"Resource":"*"`))})
	}, []string{"policy-by-hand"}},
	{"the stack's own policy says more", web, func(w *world) {
		w.pod.Inline[0].Document = strings.Replace(w.pod.Inline[0].Document, "s3:PutObject", "s3:*", 1)
	}, []string{"policy-changed"}},
	{"a denial of the stack's is gone", web, func(w *world) {
		for i := range w.Roles {
			if strings.Contains(w.Roles[i].Name, "agent") {
				w.Roles[i].Inline[0].Document = doc(allow("ssm:GetParameter", "arn:aws:ssm:*:*:parameter/k3s-aws-auth/lab/*"))
			}
		}
	}, []string{"policy-changed", "reads-signing-key"}},
	{"an instance profile beside the stack's", node, func(w *world) { w.server.Machines = append(w.server.Machines, "x") }, []string{"instance-profile"}},
	{"a role beside the stack on its machines", node, func(w *world) { w.role("x", lambda, "").Machines = []string{w.stack.Machines[0]} }, []string{"instance-profile"}},

	// What vouches.
	{"an audience more", web, func(w *world) { w.Providers[0].Clients = append(w.Providers[0].Clients, "x") }, []string{"provider-audience"}},
	{"a provider on the issuer's host", front, func(w *world) {
		w.Providers = append(w.Providers, Provider{ARN: w.arn("oidc-provider", w.issuer+"/x"), URL: w.issuer + "/x"})
	}, []string{"provider-beside"}},
	{"another CA", certified, func(w *world) { w.Anchors[0].Keys = append(w.Anchors[0].Keys, "00") }, []string{"anchor-changed"}},
	{"another anchor for the CA", certified, func(w *world) {
		a := w.Anchors[0]
		a.ARN += "x"
		w.Anchors = append(w.Anchors, a)
	}, []string{"anchor-beside"}},
	{"another profile for the stack's role", certified, func(w *world) {
		p := *w.profile
		p.ARN += "x"
		w.Profiles = append(w.Profiles, p)
	}, []string{"profile-beside"}},
	{"a role more in the profile", certified, func(w *world) {
		w.Profiles[0].Roles = append(slices.Clone(w.Profiles[0].Roles), w.role("x", lambda, "").ARN)
	}, []string{"profile-changed"}},
	{"the bucket's policy", web, func(w *world) {
		w.Buckets[0].Policy = strings.Replace(w.Buckets[0].Policy, `"s3:GetObject"`, `["s3:GetObject","s3:PutObject"]`, 1)
	}, []string{"bucket-policy"}},

	// Ways.
	{"a reader of parameters", node, func(w *world) { w.role("x", lambda, doc(allow("ssm:Get*", "*"))) }, []string{"reads-signing-key", "reads-join-token"}},
	{"by path", certified, func(w *world) {
		w.user("x", doc(allow("ssm:GetParametersByPath", "arn:aws:ssm:*:*:parameter/k3s-aws-auth")))
	}, []string{"reads-signing-key", "reads-join-token"}},
	{"by a wildcard within a name", web, func(w *world) { w.user("x", doc(allow("s?m:*Param*tory", w.key))) }, []string{"reads-signing-key"}},
	{"by a group", web, func(w *world) {
		w.Groups = append(w.Groups, Entity{Name: "people", ARN: w.arn("group", "people"), Inline: []Inline{{"own", doc(allow("ssm:GetParameter", w.key))}}})
		w.user("x", "").Groups = []string{"people"}
	}, []string{"reads-signing-key"}},
	{"everything but IAM", node, func(w *world) {
		w.user("x", doc(statement("Allow", `"NotAction":["iam:*","ec2:*","sts:*","ec2-instance-connect:*"],"Resource":"*"`)))
	}, []string{"reads-signing-key", "reads-join-token", "writes-signing-key", "reaches-servers"}},
	{"everywhere but somewhere", node, func(w *world) {
		w.user("x", doc(statement("Allow", `"Action":"ssm:GetParameter","NotResource":"arn:aws:ssm:*:*:parameter/other/*"`)))
	}, []string{"reads-signing-key", "reads-join-token"}},
	{"if the second factor is there", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", w.key, condition("Bool", "aws:MultiFactorAuthPresent", "true"))))
	}, []string{"reads-signing-key"}},
	{"by its own tag", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", w.key, condition("StringEquals", "aws:PrincipalTag/team", "red")))).Tags = map[string]string{"team": "red"}
	}, []string{"reads-signing-key"}},
	{"by the parameter's tag", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", "*", condition("StringEquals", "aws:ResourceTag/k3s-aws-auth/cluster", "lab"))))
	}, []string{"reads-signing-key", "reads-join-token"}},
	{"a writer of the issuer's documents", web, func(w *world) { w.role("x", lambda, doc(allow("s3:Put*", "arn:aws:s3:::lab-issuer-*"))) }, []string{"writes-key-set", "opens-key-set"}},
	{"who changes the distribution", front, func(w *world) { w.role("x", lambda, doc(allow("cloudfront:Update*", "*"))) }, []string{"changes-issuer"}},
	{"who changes trust", certified, func(w *world) { w.user("x", doc(allow("iam:UpdateAssumeRolePolicy", w.pod.ARN))) }, []string{"changes-trust"}},
	{"who changes permissions", web, func(w *world) { w.user("x", doc(allow("iam:PutRolePolicy", w.arn("role", "lab-*")))) }, []string{"changes-permissions"}},
	{"who changes the provider", web, func(w *world) { w.user("x", doc(allow("iam:*OpenIDConnectProvider*", "*"))) }, []string{"changes-provider"}},
	{"who changes the anchor", certified, func(w *world) { w.user("x", doc(allow("rolesanywhere:*", "*"))) }, []string{"changes-anchor", "changes-profile"}},
	{"who gets onto servers", certified, func(w *world) { w.user("x", doc(allow("ssm:StartSession", "*"))) }, []string{"reaches-servers"}},
	{"who passes the servers' role", web, func(w *world) {
		w.user("x", doc(allow("iam:PassRole", w.server.ARN), allow("ec2:RunInstances", "*")))
	}, []string{"passes-role"}},
	{"who can be an administrator", node, func(w *world) { w.user("x", doc(allow("iam:CreateAccessKey", w.arn("user", "admin")))) }, []string{"becomes"}},
	{"who can be one who can", node, func(w *world) {
		w.role("reader", trustOf("arn:aws:iam::"+w.Account+":root"), doc(allow("ssm:GetParameter", w.key)))
		w.user("x", doc(allow("sts:AssumeRole", w.arn("role", "reader"))))
	}, []string{"becomes", "reads-signing-key"}},
	{"who gives himself all", web, func(w *world) { w.user("x", doc(allow("iam:PutUserPolicy", w.arn("user", "${aws:username}")))) }, []string{"escalates"}},
	{"who rewrites his own policy", web, func(w *world) {
		w.user("x", "").Attached = []string{w.managed("own", doc(allow("iam:CreatePolicyVersion", w.arn("policy", "own"))))}
	}, []string{"escalates"}},
	{"who can, in another account", node, func(w *world) { w.role("x", trustOf("444455556666"), doc(allow("ssm:GetParameter", w.key))) }, []string{"reads-signing-key"}},
	{"whose boundary leaves it", node, func(w *world) {
		w.user("x", doc(allow("*", "*"))).Boundary = w.managed("limit", doc(allow("ssm:GetParameter", w.key)))
	}, []string{"reads-signing-key"}},

	{"a reader of the state", node, func(w *world) {
		w.stack.StateBucket("state", "aws")
		w.user("x", doc(allow("s3:GetObject*", "arn:aws:s3:::state/*")))
	}, []string{"reads-state"}},
	{"a writer of the state", node, func(w *world) {
		w.stack.StateBucket("state", "aws")
		w.user("x", doc(allow("s3:*", "arn:aws:s3:::state*")))
	}, []string{"opens-state", "reads-state", "writes-state"}},
	{"the state's bucket is open to another account", node, func(w *world) {
		w.stack.StateBucket("state", "aws")
		w.Buckets = append(w.Buckets, Bucket{"state", doc(`{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::state/*"}`)})
	}, []string{"bucket-policy"}},
	{"the boundary is gone", web, func(w *world) {
		w.stack.role(w.pod.ARN).Boundary = w.managed("limit", doc(allow("s3:*", "*")))
	}, []string{"boundary-changed"}},

	// What is none.
	{"another issuer", web, func(w *world) {
		w.role("x", doc(`{"Effect":"Allow","Principal":{"Federated":"`+w.arn("oidc-provider", "token.actions.githubusercontent.com")+`"},"Action":"sts:AssumeRoleWithWebIdentity"}`), "")
	}, nil},
	{"a provider of another account", web, func(w *world) {
		w.role("x", strings.ReplaceAll(w.web(""), w.Account, "444455556666"), "")
	}, nil},
	{"an audience that the provider refuses", web, func(w *world) {
		w.role("x", w.web(strings.Replace(oneSubject, "sts.amazonaws.com", "vault", 1)), "")
	}, nil},
	{"a subject that is no service account", web, func(w *world) {
		w.role("x", w.web(strings.Replace(oneSubject, "system:serviceaccount:default:other", "repo:me/it", 1)), "")
	}, nil},
	{"a denial of all tokens", web, func(w *world) {
		t := w.web(oneSubject)
		w.role("x", strings.Replace(t, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity"},`, 1), "")
	}, nil},
	{"no profile has the role", certified, func(w *world) { w.role("x", w.certs(oneName), "") }, nil},
	{"the profile is off", certified, func(w *world) {
		r := w.role("x", w.certs(oneName), "")
		w.Profiles = append(w.Profiles, Profile{ARN: w.profile.ARN + "x", Name: "x", Roles: []string{r.ARN}})
	}, nil},
	{"another anchor", certified, func(w *world) {
		r := w.role("x", w.certs(strings.Replace(oneName, "ANCHOR", "ANCHORx", 1)), "")
		w.Profiles = append(w.Profiles, Profile{ARN: w.profile.ARN + "x", Name: "x", Enabled: true, Roles: []string{r.ARN}})
	}, nil},
	{"the account in a trust, and nobody who may", web, func(w *world) { w.role("x", trustOf("arn:aws:iam::"+w.Account+":root"), "") }, nil},
	{"a denial", node, func(w *world) { w.user("x", doc(allow("ssm:*", "*"), deny("ssm:*", "*"))) }, nil},
	{"a denial by name", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", "*"), deny("ssm:Get*", "arn:aws:ssm:*:*:parameter/k3s-aws-auth/*")))
	}, nil},
	{"a boundary that cuts", node, func(w *world) {
		w.user("x", doc(allow("*", "*"))).Boundary = w.managed("limit", doc(allow("s3:GetObject", "arn:aws:s3:::photos/*")))
	}, nil},
	{"another's tag", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", w.key, condition("StringEquals", "aws:PrincipalTag/team", "red")))).Tags = map[string]string{"team": "blue"}
	}, nil},
	{"another cluster's tag", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", "*", condition("StringEquals", "aws:ResourceTag/k3s-aws-auth/cluster", "other"))))
	}, nil},
	{"another region", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", "*", condition("StringEquals", "aws:RequestedRegion", "us-east-1"))))
	}, nil},
	{"its own things", web, func(w *world) {
		w.user("x", doc(allow("ssm:GetParameter", "arn:aws:ssm:*:*:parameter/home/${aws:username}/*")))
	}, nil},
	{"a service-linked role", node, func(w *world) {
		r := w.role("aws-service-role/x.amazonaws.com/AWSServiceRoleForX", lambda, doc(allow("ssm:*", "*"), allow("iam:*", "*")))
		r.Name = "AWSServiceRoleForX"
	}, nil},
	{"a role of another account's that may nothing here", node, func(w *world) {
		w.role("x", trustOf("444455556666"), doc(allow("s3:GetObject", "arn:aws:s3:::photos/*")))
	}, nil},
	{"a role passed to another service", web, func(w *world) {
		w.user("x", doc(allow("iam:PassRole", "*", condition("StringEquals", "iam:PassedToService", "lambda.amazonaws.com")), allow("ec2:RunInstances", "*")))
	}, nil},
	{"a policy by hand that a boundary cuts off", web, func(w *world) {
		limit := w.managed("limit", doc(allow("s3:PutObject", "*")))
		w.pod.Boundary, w.stack.role(w.pod.ARN).Boundary = limit, limit
		w.pod.Inline = append(w.pod.Inline, Inline{"x", doc(allow("sqs:*", "*"))})
	}, nil},
	{"whoever lists", node, func(w *world) {
		w.role("x", lambda, doc(allow("ssm:Describe*", "*"), allow("iam:List*", "*"), allow("s3:List*", "*")))
	}, nil},
}

// What is not seeded above stays a healthy account: of the account's own in the state's bucket.
func TestTheStatesOwnAccountMayUseItsBucket(t *testing.T) {
	w := load(t, node)
	w.stack.StateBucket("state", "aws")
	w.Buckets = append(w.Buckets, Bucket{"state", doc(`{"Effect":"Allow","Principal":{"AWS":"` + w.Account + `"},"Action":"s3:*","Resource":"arn:aws:s3:::state/*"}`)})
	require.Empty(t, Analyze(w.Snapshot, w.stack).Findings)
}

func ids(r *Report) []string {
	out := []string{}
	for _, f := range r.Findings {
		if f.Level != Note {
			out = append(out, f.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestHealthyAccountsHaveNoFindings(t *testing.T) {
	for _, setup := range setups {
		w := load(t, setup)
		r := Analyze(w.Snapshot, w.stack)
		require.Empty(t, r.Findings, setup)
		require.Empty(t, r.Undecided, setup)
		require.Equal(t, []string{w.arn("user", "admin")}, r.Administrators)
		require.NotEmpty(t, r.Reach, setup)
		for _, x := range r.Reach {
			require.True(t, x.InStack)
			require.Empty(t, x.Beyond)
			require.Equal(t, []string{"default/uploader"}, x.Accounts)
		}
	}
}

func TestSeededRogues(t *testing.T) {
	rogues := 0
	for _, s := range seeds {
		if s.want != nil {
			rogues++
		}
		t.Run(s.name, func(t *testing.T) {
			w := load(t, s.setup)
			s.change(w)
			r := Analyze(w.Snapshot, w.stack)
			want := slices.Clone(s.want)
			slices.Sort(want)
			require.ElementsMatch(t, want, ids(r), "%+v", r.Findings)
			var text strings.Builder
			r.Text(&text)
			for _, f := range r.Findings {
				require.Contains(t, text.String(), f.Seen)
				require.NotEmpty(t, f.Expected)
			}
			again := Analyze(w.Snapshot, w.stack)
			require.Equal(t, r, again, "the same account, the same report")
		})
	}
	require.GreaterOrEqual(t, rogues, 30)
}

func TestAcceptedAreNoFindings(t *testing.T) {
	w := load(t, web)
	w.role("other-cluster", w.web(oneSubject), "")
	w.user("deployer", doc(allow("iam:*", "*"), allow("ssm:*", "*")))
	require.NotEmpty(t, Analyze(w.Snapshot, w.stack).Findings)
	r := Analyze(w.Snapshot, w.stack, "arn:aws:iam::*:role/other-*", w.arn("user", "deployer"))
	require.Empty(t, r.Findings)
	require.Len(t, r.Known, 2)
}

func TestWhatCannotBeDecidedIsSaid(t *testing.T) {
	w := load(t, web)
	w.role("x", doc(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole",`+condition("StringEquals", "aws:PrincipalOrgID", "o-ours")+"}"), "")
	w.Roles[0].Attached = append(w.Roles[0].Attached, w.arn("policy", "unseen"))
	r := Analyze(w.Snapshot, w.stack)
	require.Contains(t, fmt.Sprint(r.Undecided), "aws:PrincipalOrgID StringEquals o-ours")
	require.Contains(t, fmt.Sprint(r.Missing), "policy/unseen")
	w = load(t, web)
	w.user("x", doc(allow("ssm:GetParameter", w.key, condition("Bool", "aws:MultiFactorAuthPresent", "true"))))
	require.Equal(t, "aws:MultiFactorAuthPresent Bool true", Analyze(w.Snapshot, w.stack).Findings[0].Condition)
	w.Account = "444455556666"
	require.Contains(t, fmt.Sprint(Analyze(w.Snapshot, w.stack).Missing), "nothing is judged")
}

func TestWithoutAStack(t *testing.T) {
	w := load(t, web)
	w.role("x", w.web(`{"StringEquals":{"ISS:aud":"sts.amazonaws.com"}}`), "")
	stack := &Stack{Foreign: true}
	stack.LookFor(w.Snapshot, []string{"https://" + w.issuer}, nil)
	r := Analyze(w.Snapshot, stack)
	require.Len(t, r.Reach, 2)
	require.Equal(t, []string{"trust-any-subject"}, ids(r))
}
