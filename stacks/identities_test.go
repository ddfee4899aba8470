package stacks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"
)

// withIdentities is a change of the lab's configuration.
func withIdentities(list ...string) func(map[string]string) {
	return func(values map[string]string) {
		values["k3s-aws-auth:demo"] = "false"
		values["k3s-aws-auth:identities"] = "[" + strings.Join(list, ",") + "]"
	}
}

// policies joins all policies of permissions that are attached to a role whose
// name begins with a prefix.
func (e *testEngine) policies(prefix string) string {
	var all []string
	for _, r := range e.of("aws:iam/rolePolicy:RolePolicy") {
		if strings.HasPrefix(r.Name, prefix) {
			all = append(all, r.Inputs["policy"].StringValue())
		}
	}
	return strings.Join(all, "\n")
}

// TestPresetsArrive holds that a preset's permissions reach the role of its
// identity, in this account and region, and its service account the cluster.
func TestPresetsArrive(t *testing.T) {
	change := withIdentities(
		`{"name":"dns","preset":{"name":"external-dns","hostedZoneIds":["Z123"]},"statements":[{"sid":"Own","actions":["s3:GetObject"],"resources":["*"]}]}`,
		`{"name":"disks","preset":{"name":"ebs-csi"}}`)
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, change)
			dns, disks := e.policies("lab-external-dns."), e.policies("lab-kube-system.")
			if setup == "instance-profile" {
				dns, disks = e.policies("lab-cluster-agent"), e.policies("lab-cluster-agent")
			}
			require.Contains(t, dns, "arn:aws:route53:::hostedzone/Z123")
			require.Contains(t, dns, `"Sid":"Own"`)
			require.Contains(t, disks, "arn:aws:ec2:eu-central-1:111122223333:volume/*")
			require.Contains(t, disks, `"aws:ResourceTag/k3s-aws-auth/cluster":"lab"`)
			require.Contains(t, disks, `"aws:RequestTag/kubernetes.io/cluster/lab":"owned"`)
			var accounts []string
			for _, r := range e.of("kubernetes:core/v1:ServiceAccount") {
				metadata := r.Inputs["metadata"].ObjectValue()
				accounts = append(accounts, metadata["namespace"].StringValue()+"/"+metadata["name"].StringValue())
			}
			require.ElementsMatch(t, []string{"external-dns/external-dns", "kube-system/ebs-csi-controller-sa"}, accounts)
		})
	}
}

// TestSecretsStoreNeedsTokens holds that a preset that works with tokens of
// service accounts alone is refused where pods have none.
func TestSecretsStoreNeedsTokens(t *testing.T) {
	for _, setup := range Setups() {
		values := labConfig(t)
		values["k3s-aws-auth:setup"] = setup
		withIdentities(`{"name":"a","namespace":"n","serviceAccount":"s","preset":{"name":"secrets-store-csi",` +
			`"secretArns":["arn:aws:secretsmanager:eu-central-1:111122223333:secret:a-??????"]}}`)(values)
		if setup == "irsa-cloudfront" {
			values["k3s-aws-auth:issuer"] = `{"dns":"external","domain":"oidc.lab.example.com"}`
		}
		err := (&testEngine{known: true}).run(t, values)
		if strings.HasPrefix(setup, "irsa-") {
			require.NoError(t, err, setup)
		} else {
			require.ErrorContains(t, err, "identities[0].preset.name: found secrets-store-csi: must be another preset for setup "+setup)
		}
	}
}

// TestAssumedRoles holds that an identity may assume exactly the roles that it
// lists, and that the stack says what these roles have to trust.
func TestAssumedRoles(t *testing.T) {
	const target = "arn:aws:iam::444455556666:role/reader"
	change := withIdentities(fmt.Sprintf(`{"name":"reports","namespace":"n","serviceAccount":"s","assumeRoles":[{"roleArn":%q,"externalId":"e-42"},{"roleArn":%q}]}`, target, target+"-2"))
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, change)
			permissions, principal := e.policies("lab-n.s-"), "arn:aws:iam::111122223333:role/lab-n.s-role-0000000"
			if setup == "instance-profile" {
				permissions, principal = e.policies("lab-cluster-agent"), "arn:aws:iam::111122223333:role/lab-cluster-agent-role-0000000"
			}
			require.Contains(t, permissions, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+target+`","Condition":{"StringEquals":{"sts:ExternalId":"e-42"}}}`)
			require.Contains(t, permissions, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+target+`-2"}`)

			roles := e.stackOutputs()["identities"].ArrayValue()[0].ObjectValue()["assumeRoles"].ArrayValue()
			require.Len(t, roles, 2)
			require.Equal(t, target, roles[0].ObjectValue()["roleArn"].StringValue())
			want := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole",` +
				`"Condition":{"StringEquals":{"sts:ExternalId":"e-42"}}}`
			// Sessions of Roles Anywhere carry the certificate's name, and hand it on.
			if setup == "roles-anywhere" {
				want += `,{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:SetSourceIdentity"}`
				require.Contains(t, permissions, `{"Effect":"Allow","Action":"sts:SetSourceIdentity","Resource":"`+target+`"}`)
			} else {
				require.NotContains(t, permissions, "sts:SetSourceIdentity")
			}
			require.Equal(t, want+"]}", roles[0].ObjectValue()["trustPolicy"].StringValue())
			require.NotContains(t, roles[1].ObjectValue()["trustPolicy"].StringValue(), "ExternalId")
		})
	}
	// Without any, the output is what it always was.
	require.NotContains(t, runLab(t, "irsa-s3", true).stackOutputs()["identities"].ArrayValue()[0].ObjectValue(), resource.PropertyKey("assumeRoles"))
}

// TestOtherIssuers holds that an identity is trusted from the clusters that it
// names, and from no other, whoever registers their issuers.
func TestOtherIssuers(t *testing.T) {
	const here, there, foreign = "https://lab-issuer-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com", "https://oidc.b.example.com", "https://oidc.c.example.com/x"
	for _, known := range []bool{true, false} {
		e := runLab(t, "irsa-s3", known, withIdentities(
			fmt.Sprintf(`{"name":"both","namespace":"n","serviceAccount":"s","managedPolicyArns":["arn:aws:iam::aws:policy/X"],"issuers":[%q,%q]}`, there, foreign),
			`{"name":"own","namespace":"n","serviceAccount":"t","managedPolicyArns":["arn:aws:iam::aws:policy/X"]}`,
		), func(values map[string]string) {
			values["k3s-aws-auth:issuer"] = fmt.Sprintf(`{"register":[%q]}`, foreign)
		})
		var urls []string
		for _, r := range e.of("aws:iam/openIdConnectProvider:OpenIdConnectProvider") {
			urls = append(urls, r.Inputs["url"].StringValue())
		}
		require.ElementsMatch(t, []string{here, foreign}, urls, "there is registered by its own stack")
		if !known {
			continue
		}
		providers := func(role string) (arns []string) {
			var trust struct {
				Statement []struct {
					Principal struct{ Federated string }
					Condition struct{ StringEquals map[string]string }
				}
			}
			require.NoError(t, json.Unmarshal([]byte(e.one(t, "aws:iam/role:Role", role).Inputs["assumeRolePolicy"].StringValue()), &trust))
			for _, s := range trust.Statement {
				arns = append(arns, s.Principal.Federated)
				_, host, _ := strings.Cut(s.Principal.Federated, "oidc-provider/")
				require.Equal(t, "sts.amazonaws.com", s.Condition.StringEquals[host+":aud"])
				require.True(t, strings.HasPrefix(s.Condition.StringEquals[host+":sub"], "system:serviceaccount:n:"), s)
				require.Len(t, s.Condition.StringEquals, 2)
			}
			return arns
		}
		const arn = "arn:aws:iam::111122223333:oidc-provider/"
		require.Equal(t, []string{arn + here[8:], arn + there[8:], arn + foreign[8:]}, providers("lab-n.s-role"))
		require.Equal(t, []string{arn + here[8:]}, providers("lab-n.t-role"))
		// A role waits for a provider that the same stack makes.
		require.True(t, slices.ContainsFunc(e.one(t, "aws:iam/role:Role", "lab-n.s-role").DependsOn, func(urn string) bool { return strings.Contains(urn, foreign[8:]) }))
	}
}

func TestOtherIssuersAreOthers(t *testing.T) {
	const own = "https://lab-issuer-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com"
	identity := func(issuers ...string) string {
		list, err := json.Marshal(issuers)
		require.NoError(t, err)
		return fmt.Sprintf(`{"name":"a","namespace":"n","serviceAccount":"s","managedPolicyArns":["arn:aws:iam::aws:policy/X"],"issuers":%s}`, list)
	}
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("https://oidc-%d.example.com", i))
	}
	for name, test := range map[string]struct{ identity, issuer, want string }{
		"own issuer named":      {identity(own), `{}`, `identities[0].issuers[0]: found "` + own + `": must be the issuer of another cluster`},
		"own issuer registered": {identity(), `{"register":["` + own + `"]}`, `issuer.register[0]: found "` + own + `": must be the issuer of another cluster`},
		"too many":              {identity(many...), `{}`, "identities[0].issuers: found a trust policy of"},
	} {
		t.Run(name, func(t *testing.T) {
			values := labConfig(t)
			values["k3s-aws-auth:setup"], values["k3s-aws-auth:issuer"] = "irsa-s3", test.issuer
			withIdentities(test.identity)(values)
			require.ErrorContains(t, (&testEngine{}).run(t, values), test.want)
		})
	}
}

// TestPoliciesOfAnotherAccountStopTheRun holds that what only AWS can tell is told
// before anything is registered.
func TestPoliciesOfAnotherAccountStopTheRun(t *testing.T) {
	for _, setup := range Setups() {
		values := labConfig(t)
		values["k3s-aws-auth:setup"] = setup
		values["k3s-aws-auth:permissionsBoundary"] = "arn:aws:iam::444455556666:policy/boundary"
		e := &testEngine{known: true}
		err := e.run(t, values)
		require.ErrorContains(t, err, "permissionsBoundary: found \"arn:aws:iam::444455556666:policy/boundary\"", setup)
		for _, r := range e.resources {
			require.Equal(t, string(resource.RootStackType), r.Type, setup)
		}
	}
}
