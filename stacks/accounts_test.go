package stacks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	ra "k3s-aws-auth/components/rolesanywhere"
)

const policyX = `"managedPolicyArns":["arn:aws:iam::aws:policy/X"]`

// TestServiceAccounts holds that an identity's further service accounts have its
// role, each with what pods of the setup present, and that nobody else has.
func TestServiceAccounts(t *testing.T) {
	change := func(order ...string) func(map[string]string) {
		return func(values map[string]string) {
			values["k3s-aws-auth:identities"] = fmt.Sprintf(`[{"name":"reports","namespace":"billing","serviceAccount":"reports","serviceAccounts":["%s"],`+
				`"createNamespace":true,%s}]`, strings.Join(order, `","`), policyX)
		}
	}
	accounts := []string{"billing.reports", "billing.worker", "default.cron", "shop.export"}
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, change("worker", "shop/export", "default/cron"))
			require.Equal(t, string(registeredBy(e)), string(registeredBy(runLab(t, setup, true, change("default/cron", "shop/export", "worker")))),
				"the list's order shows nowhere")

			var made, pods, namespaces, leaves []string
			for _, r := range e.of("kubernetes:core/v1:ServiceAccount") {
				made = append(made, strings.TrimSuffix(strings.TrimPrefix(r.Name, "lab-"), "-account"))
			}
			require.ElementsMatch(t, accounts, made)
			for _, r := range e.of("kubernetes:core/v1:Pod") {
				m := r.Inputs["metadata"].ObjectValue()
				pods = append(pods, m["namespace"].StringValue()+"/"+m["name"].StringValue())
			}
			require.ElementsMatch(t, []string{"billing/reports", "billing/reports-worker", "default/reports-cron", "shop/reports-export"}, pods)
			for _, r := range e.of("kubernetes:core/v1:Namespace") {
				namespaces = append(namespaces, r.Inputs["metadata"].ObjectValue()["name"].StringValue())
			}
			require.ElementsMatch(t, []string{"billing", "shop"}, namespaces, "Kubernetes makes default itself")

			listed := e.stackOutputs()["identities"].ArrayValue()
			require.Len(t, listed, len(accounts), "one for each service account")
			var roles []string
			for i, o := range listed {
				require.Equal(t, "reports", o.ObjectValue()["name"].StringValue())
				require.Equal(t, accounts[i], o.ObjectValue()["namespace"].StringValue()+"."+o.ObjectValue()["serviceAccount"].StringValue())
				roles = append(roles, o.ObjectValue()["roleArn"].StringValue())
			}
			require.Len(t, slices.Compact(roles), 1)

			for _, r := range e.of("tls:index/certRequest:CertRequest") {
				if strings.HasSuffix(r.Name, "-leaf-request") {
					leaves = append(leaves, r.Inputs["subject"].ObjectValue()["commonName"].StringValue())
				}
			}
			if setup == "instance-profile" {
				return
			}
			trust := e.one(t, "aws:iam/role:Role", "lab-billing.reports-role").Inputs["assumeRolePolicy"].StringValue()
			if setup == "roles-anywhere" {
				require.ElementsMatch(t, accounts, leaves, "each has a certificate of its own")
				require.Contains(t, trust, `"aws:PrincipalTag/x509Subject/CN":["billing.reports","billing.worker","default.cron","shop.export"]`)
				return
			}
			require.Contains(t, trust, `:sub":["system:serviceaccount:billing:reports","system:serviceaccount:billing:worker",`+
				`"system:serviceaccount:default:cron","system:serviceaccount:shop:export"]`)
			require.Equal(t, 1, strings.Count(trust, "AssumeRoleWithWebIdentity"))
		})
	}
}

// TestDescriptionOfRoles holds what a role says of who has it.
func TestDescriptionOfRoles(t *testing.T) {
	for n, end := range []string{"", " or one other", " or one of 2 others"} {
		e := runLab(t, "irsa-s3", true, withIdentities(`{"name":"a","namespace":"n","serviceAccount":"s","serviceAccounts":[`+[]string{``, `"b"`, `"b","c"`}[n]+`],`+policyX+`}`))
		require.Equal(t, "Pods of cluster lab with service account n/s"+end, e.one(t, "aws:iam/role:Role", "lab-n.s-role").Inputs["description"].StringValue())
	}
}

// TestNobodyForgetsAccounts finds code that asks an identity for its own service
// account alone, where it may have more.
func TestNobodyForgetsAccounts(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.HasSuffix(file, "_test.go") {
			require.NotRegexp(t, `identity\.(ServiceAccount\b|ServiceAccounts\[)`, string(text), "%s: identity.Accounts() are all of them", file)
		}
	}
}

// TestRevokedAccounts holds that an identity's name among the revoked means the
// certificates of all its service accounts.
func TestRevokedAccounts(t *testing.T) {
	leaf := func() *ra.Leaf { return &ra.Leaf{Serial: pulumi.String("").ToStringOutput()} }
	leaves := map[string][]*ra.Leaf{"one": {leaf()}, "two": {leaf(), leaf()}, "other": {leaf()}}
	require.Equal(t, pulumi.StringArray{leaves["two"][0].Serial, leaves["two"][1].Serial, pulumi.String("4f2a"), leaves["one"][0].Serial},
		serials([]string{"two", "4f2a", "one"}, leaves))
}

// TestPrefixPerPod holds what prefixPerPod lets each service account do, where the
// demo pods write then, and what the outputs say of it.
func TestPrefixPerPod(t *testing.T) {
	e := runLab(t, "roles-anywhere", true, func(values map[string]string) {
		values["k3s-aws-auth:identities"] = `[{"name":"tenants","namespace":"billing","serviceAccount":"reports","serviceAccounts":["worker"],"createNamespace":true,` +
			`"prefixPerPod":["arn:aws:s3:::acme","${demo.bucketArn}/a/b"]}]`
	})
	const demo = "lab-demo-111122223333-eu-central-1"
	const cn = "${aws:PrincipalTag/x509Subject/CN}"
	policy := e.policies("lab-billing.reports-")
	objects := func(resource string) string {
		return `{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject","s3:AbortMultipartUpload"],"Resource":"` + resource + `"}`
	}
	list := func(bucket, prefix string) string {
		return `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"` + bucket + `","Condition":{"StringLike":{"s3:prefix":"` + prefix + `"}}}`
	}
	require.Equal(t, `{"Version":"2012-10-17","Statement":[`+strings.Join([]string{
		objects("arn:aws:s3:::acme/" + cn + "/*"), list("arn:aws:s3:::acme", cn+"/*"),
		objects("arn:aws:s3:::" + demo + "/a/b/" + cn + "/*"), list("arn:aws:s3:::"+demo, "a/b/"+cn+"/*"),
	}, ",")+`]}`, policy)
	for i, account := range []string{"billing.reports", "billing.worker"} {
		o := e.stackOutputs()["identities"].ArrayValue()[i].ObjectValue()["prefixes"].ArrayValue()
		require.Equal(t, "s3://acme/"+account+"/", o[0].StringValue())
		require.Equal(t, "s3://"+demo+"/a/b/"+account+"/", o[1].StringValue())
	}
	var keys []string
	for _, r := range e.of("kubernetes:core/v1:Pod") {
		for _, v := range r.Inputs["spec"].ObjectValue()["containers"].ArrayValue()[0].ObjectValue()["env"].ArrayValue() {
			if v.ObjectValue()["name"].StringValue() == "DEMO_KEY" {
				keys = append(keys, v.ObjectValue()["value"].StringValue())
			}
		}
	}
	require.ElementsMatch(t, []string{"a/b/billing.reports/tenants.json", "a/b/billing.worker/tenants-worker.json"}, keys)
}

// TestRulesOfAccounts holds what is refused of service accounts and prefixes in some
// setup, before anything is registered.
func TestRulesOfAccounts(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf(`"worker-of-a-long-name-%02d"`, i))
	}
	long := `{"name":"a","namespace":"n","serviceAccount":"s","serviceAccounts":[` + strings.Join(many, ",") + `],` + policyX + `}`
	prefixes := func(list string) string {
		return `{"name":"a","namespace":"n","serviceAccount":"s","prefixPerPod":[` + list + `]}`
	}
	for name, test := range map[string]struct{ setup, identity, want string }{
		"long trust, tokens":       {"irsa-s3", long, "identities[0].serviceAccounts: found a trust policy of"},
		"long trust, certificates": {"roles-anywhere", long, "identities[0].serviceAccounts: found a trust policy of"},
		"prefixes, tokens": {"irsa-s3", prefixes(`"arn:aws:s3:::acme"`), "identities[0].prefixPerPod: found a list: must be left out for setup irsa-s3, " +
			"in which a session is called what its pod asks for"},
		"prefixes, one role": {"instance-profile", prefixes(`"arn:aws:s3:::acme"`), "identities[0].prefixPerPod: found a list: must be left out for setup instance-profile, " +
			"whose identities share one role"},
		"wildcard":     {"roles-anywhere", prefixes(`"arn:aws:s3:::acme/*"`), `identities[0].prefixPerPod[0]: found "arn:aws:s3:::acme/*": must be the ARN of a bucket`},
		"slash":        {"roles-anywhere", prefixes(`"arn:aws:s3:::acme/a/"`), `identities[0].prefixPerPod[0]: found "arn:aws:s3:::acme/a/": must be the ARN of a bucket`},
		"variable":     {"roles-anywhere", prefixes(`"arn:aws:s3:::acme/${aws:userid}"`), `identities[0].prefixPerPod[0]: found "arn:aws:s3:::acme/${aws:userid}"`},
		"no ARN":       {"roles-anywhere", prefixes(`"acme"`), `identities[0].prefixPerPod[0]: found "acme": must be the ARN of a bucket`},
		"other kind":   {"roles-anywhere", prefixes(`"arn:aws:sqs:eu-central-1:111122223333:q"`), `identities[0].prefixPerPod[0]: found "arn:aws:sqs`},
		"partition":    {"roles-anywhere", prefixes(`"arn:aws-cn:s3:::acme"`), `identities[0].prefixPerPod[0]: found "arn:aws-cn:s3:::acme": must be in partition aws`},
		"twice":        {"roles-anywhere", prefixes(`"arn:aws:s3:::acme","arn:aws:s3:::acme"`), `identities[0].prefixPerPod[1]: found "arn:aws:s3:::acme": must be listed once`},
		"no demo":      {"roles-anywhere", prefixes(`"${demo.bucketArn}/a"`), `identities[0].prefixPerPod[0]: found "${demo.bucketArn}/a": must be another bucket where demo is not true`},
		"never a bare": {"roles-anywhere", prefixes(``), `identities[0].statements: found nothing`},
		"within another's": {"roles-anywhere", `{"name":"a","namespace":"n","serviceAccount":"s","prefixPerPod":["arn:aws:s3:::acme/x"]},` +
			`{"name":"b","namespace":"n","serviceAccount":"t","prefixPerPod":["arn:aws:s3:::acme/x/n.s/y"]}`,
			`identities[1].prefixPerPod[0]: found "arn:aws:s3:::acme/x/n.s/y": must be another path: this one is within what n/s has to itself by identities[0].prefixPerPod[0]`},
		"within one's own": {"roles-anywhere", `{"name":"a","namespace":"n","serviceAccount":"s","serviceAccounts":["t"],"prefixPerPod":["arn:aws:s3:::acme","arn:aws:s3:::acme/n.s"]}`,
			`identities[0].prefixPerPod[1]: found "arn:aws:s3:::acme/n.s": must be another path: this one is within what n/s has to itself`},
	} {
		t.Run(name, func(t *testing.T) {
			values := labConfig(t)
			values["k3s-aws-auth:setup"] = test.setup
			withIdentities(test.identity)(values)
			e := &testEngine{}
			require.ErrorContains(t, e.run(t, values), test.want)
			require.Empty(t, e.of("aws:iam/role:Role"))
		})
	}
}
