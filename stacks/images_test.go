package stacks

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	appRepository = "arn:aws:ecr:eu-central-1:111122223333:repository/team/app"
	imageProvider = `"credentialProvider":{"url":"https://example.com/ecr-credential-provider","sha256":"` +
		"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a" + `"}`
)

// withCluster adds keys to the lab's cluster.
func withCluster(keys string) func(map[string]string) {
	return func(values map[string]string) {
		cluster := strings.TrimSuffix(values["k3s-aws-auth:cluster"], "}")
		if cluster == "" {
			cluster = "{"
		} else if cluster != "{" {
			cluster += ","
		}
		values["k3s-aws-auth:cluster"] = cluster + keys + "}"
	}
}

// In every setup agents can pull with their own role; only they may, and only from
// what is listed.
func TestNodesPullImages(t *testing.T) {
	for _, s := range Facts() {
		e := runLab(t, s.Name, true, withCluster(`"imagePulls":"node","pullRepositories":["`+appRepository+`"],`+imageProvider))
		pulls := e.one(t, "aws:iam/rolePolicy:RolePolicy", "lab-cluster-agent-image-pulls")
		require.Contains(t, pulls.Inputs["policy"].StringValue(), appRepository, s.Name)
		for _, r := range e.of("aws:iam/rolePolicy:RolePolicy") {
			require.Equal(t, r.Name == pulls.Name, strings.Contains(r.Inputs["policy"].StringValue(), "ecr:"), "%s: %s", s.Name, r.Name)
		}
		require.Empty(t, e.of("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"), "a node's role asks for no token of a pod")
	}
}

// Each pod is pulled with the role of its identity. The node's role pulls nothing,
// nor does that of an identity that pulls nothing.
func TestPodsPullImages(t *testing.T) {
	e := runLab(t, "irsa-s3", true, withCluster(`"imagePulls":"pod",`+imageProvider), withIdentities(
		`{"name":"a","namespace":"n","serviceAccount":"a","serviceAccounts":["m/d"],"pull":["`+appRepository+`"]}`,
		`{"name":"b","namespace":"n","serviceAccount":"b","managedPolicyArns":["arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"]}`,
		`{"name":"c","namespace":"n","serviceAccount":"c","createServiceAccount":false,"pull":["`+appRepository+`"]}`))
	var pulls []string
	for _, r := range e.of("aws:iam/rolePolicy:RolePolicy") {
		if strings.Contains(r.Inputs["policy"].StringValue(), "ecr:") {
			pulls = append(pulls, r.Name)
		}
	}
	require.ElementsMatch(t, []string{"lab-n.a-policy", "lab-n.c-policy"}, pulls)
	for name, annotated := range map[string]bool{"n.a": true, "m.d": true, "n.b": false} {
		account := e.one(t, "kubernetes:core/v1:ServiceAccount", "lab-"+name+"-account")
		annotations := account.Inputs["metadata"].ObjectValue()["annotations"].ObjectValue()
		_, has := annotations["eks.amazonaws.com/ecr-role-arn"]
		require.Equal(t, annotated, has, name)
		if annotated {
			require.Equal(t, annotations["eks.amazonaws.com/role-arn"], annotations["eks.amazonaws.com/ecr-role-arn"])
		}
	}
	rules, err := json.Marshal(e.one(t, "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "lab-pull-tokens-role").Inputs["rules"].Mappable())
	require.NoError(t, err)
	require.Contains(t, string(rules), `"resourceNames":["a","c","d"]`)
	outputs, err := json.Marshal(e.stackOutputs()["identities"].Mappable())
	require.NoError(t, err)
	require.Contains(t, string(outputs), "eks.amazonaws.com/ecr-role-arn=arn:aws:iam::111122223333:role/", "who makes the service account is told")
}

// Where pods have no tokens for AWS, they cannot pull by themselves.
func TestPodsWithoutTokensPullNothing(t *testing.T) {
	for _, setup := range []string{"instance-profile", "roles-anywhere"} {
		e := &testEngine{known: true}
		values := labConfig(t)
		values["k3s-aws-auth:setup"] = setup
		withCluster(`"imagePulls":"pod",` + imageProvider)(values)
		require.ErrorContains(t, e.run(t, values), `cluster.imagePulls: found "pod": must be node, or left out, for setup `+setup)
	}
}
