package stacks

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/stacks/config"
)

// TestSetupsFile holds setups.json to the registry: tools outside of this module
// read what setups there are from the file.
func TestSetupsFile(t *testing.T) {
	var lines []string
	for _, s := range Facts() {
		line, err := json.Marshal(s)
		require.NoError(t, err)
		lines = append(lines, "  "+string(line))
	}
	want := fmt.Sprintf("[\n%s\n]\n", strings.Join(lines, ",\n"))
	got, err := os.ReadFile("setups.json")
	require.NoError(t, err)
	if want == string(got) {
		return
	}
	if *update {
		require.NoError(t, os.WriteFile("setups.json", []byte(want), 0o644))
	}
	require.Equal(t, want, string(got), "if that is meant: go test ./stacks -update")
}

// TestFactsAreTrue holds what the registry says of each setup against what the
// setup makes, with two identities of which one assumes another role.
func TestFactsAreTrue(t *testing.T) {
	change := withIdentities(`{"name":"a","namespace":"n","serviceAccount":"a","assumeRoles":[{"roleArn":"arn:aws:iam::444455556666:role/reader","externalId":"e-42"}]}`,
		`{"name":"b","namespace":"n","serviceAccount":"b","managedPolicyArns":["arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"]}`)
	for _, s := range Facts() {
		t.Run(s.Name, func(t *testing.T) {
			e := runLab(t, s.Name, true, change, func(values map[string]string) { values["k3s-aws-auth:demo"] = "true" })
			demos := ""
			for _, r := range e.of("kubernetes:core/v1:Pod") {
				demos += resource.NewProperty(r.Inputs).String()
			}
			require.NotEmpty(t, demos)
			require.Equal(t, s.Presents == config.PresentsToken, strings.Contains(demos, "serviceAccountToken"))
			require.Equal(t, s.Presents == config.PresentsCertificate, len(e.of("aws:rolesanywhere/trustAnchor:TrustAnchor")) == 1)
			for _, r := range e.of("aws:ec2/instance:Instance") {
				if strings.Contains(r.Name, "agent") {
					hops := r.Inputs["metadataOptions"].ObjectValue()["httpPutResponseHopLimit"].NumberValue()
					require.Equal(t, s.Presents == config.PresentsMetadata, hops > 1, "pods reach the machine's metadata")
				}
			}

			url, issues := e.stackOutputs()["issuerUrl"]
			require.Equal(t, s.Issuer != config.IssuerNone, issues)
			require.Len(t, e.of("aws:iam/openIdConnectProvider:OpenIdConnectProvider"), map[bool]int{true: 1}[issues])
			require.Equal(t, s.Issuer == config.IssuerDistribution, len(e.of("aws:cloudfront/distribution:Distribution")) == 1)
			if issues {
				require.Equal(t, s.Issuer == config.IssuerBucket, strings.HasSuffix(url.StringValue(), ".amazonaws.com"))
			}
			require.Equal(t, s.Presents == config.PresentsToken, issues, "AWS verifies tokens by the issuer's documents")

			identities := e.stackOutputs()["identities"].ArrayValue()
			require.Len(t, identities, 2)
			role := func(i int) string { return identities[i].ObjectValue()["roleArn"].StringValue() }
			require.Equal(t, s.OwnRoles, role(0) != role(1))
			require.Equal(t, s.SourceIdentity, strings.Contains(identities[0].String(), "sts:SetSourceIdentity"))
			// Only who asks STS itself may name the session.
			require.Equal(t, s.SessionName == config.SessionOfAccount, strings.Contains(demos, "AWS_ROLE_SESSION_NAME"))
			require.Equal(t, s.SessionName == config.SessionOfInstance, s.Presents == config.PresentsMetadata)
			require.Equal(t, s.SessionName == config.SessionOfCertificate, s.Presents == config.PresentsCertificate)
		})
	}
}

// TestFifthSetup adds a setup that nobody has heard of: the registry alone makes
// it a value that the configuration takes, decides by, and runs.
func TestFifthSetup(t *testing.T) {
	before := registry
	t.Cleanup(func() { registry = before })
	injects := false
	registry = append(slices.Clone(registry), setup{
		name: "toy",
		facts: config.Facts{
			Presents: config.PresentsToken, Issuer: config.IssuerDistribution, OwnRoles: true, SessionName: config.SessionOfAccount,
		},
		check: func(cfg *config.Config, p *config.Problems) {
			if cfg.Production {
				p.Add("production", "true", "false for setup toy")
			}
		},
		deploy: func(ctx *pulumi.Context, cfg *config.Config) error {
			injects = cfg.Injects() && cfg.Facts().Issuer == config.IssuerDistribution
			ctx.Export("toy", pulumi.String(cfg.ClusterName))
			return nil
		},
	})
	list := Facts()
	line, err := json.Marshal(list[len(list)-1])
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"toy","presents":"service-account-token","issuer":"distribution","ownRoles":true,"sourceIdentity":false,"sessionName":"service-account"}`, string(line))
	require.Contains(t, Setups(), "toy")

	e := runLab(t, "toy", true)
	require.Equal(t, "toy", e.stackOutputs()["setup"].StringValue())
	require.Equal(t, "lab", e.stackOutputs()["toy"].StringValue())
	require.True(t, injects)

	values := labConfig(t)
	values["k3s-aws-auth:setup"], values["k3s-aws-auth:production"] = "toy", "true"
	require.ErrorContains(t, (&testEngine{known: true}).run(t, values), "must be false for setup toy")
	values["k3s-aws-auth:setup"] = "tory"
	require.ErrorContains(t, (&testEngine{known: true}).run(t, values), `setup: found "tory": must be instance-profile, irsa-cloudfront, irsa-s3, roles-anywhere or toy (did you mean toy?)`)
}
