package config

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	app      = "arn:aws:ecr:eu-central-1:111122223333:repository/team/app"
	provider = `"credentialProvider":{"url":"https://example.com/v1.35.3/ecr-credential-provider","sha256":"` + "%s" + `"}`
)

var givenProvider = fmt.Sprintf(provider, strings.Repeat("0a", 32))

// pullSetups have what pods present, by which pulls are checked.
var pullSetups = []Setup{
	{Name: "zeta", Facts: Facts{Presents: PresentsToken}},
	{Name: "alpha", Facts: Facts{Presents: PresentsCertificate}},
}

func pulling(cluster, pull string) map[string]string {
	values := valid()
	values["k3s-aws-auth:cluster"] = "{" + cluster + "}"
	if pull != "" {
		values["k3s-aws-auth:identities"] = identity("pull", pull)
	}
	return values
}

func TestImagePulls(t *testing.T) {
	c, err := Parse(pulling(`"imagePulls":"node","pullRepositories":["`+app+`"],`+givenProvider, ""), nil, "lab", pullSetups)
	require.NoError(t, err)
	require.Empty(t, c.PodRepositories())
	require.Greater(t, c.NodePullCharacters(), 200)

	other := "arn:aws:ecr:us-east-1:444455556666:repository/bb"
	c, err = Parse(pulling(`"imagePulls":"pod",`+givenProvider, `["`+other+`","`+app+`"]`), nil, "lab", pullSetups)
	require.NoError(t, err)
	require.Equal(t, []string{app, other}, c.PodRepositories())
	require.Zero(t, c.NodePullCharacters())
	statements, err := c.Permissions(c.Identities[0], c.sampleSite())
	require.NoError(t, err)
	require.Len(t, statements, 3)
	require.Equal(t, []string{"ecr:GetAuthorizationToken"}, statements[1].Actions)
	require.Equal(t, []string{other, app}, statements[2].Resources)

	// What an identity pulls can be all that it may do.
	values := pulling(`"imagePulls":"pod",`+givenProvider, "")
	values["k3s-aws-auth:demo"] = "false"
	values["k3s-aws-auth:identities"] = `[{"name":"a","namespace":"n","serviceAccount":"a","pull":["` + app + `"]}]`
	_, err = Parse(values, nil, "lab", pullSetups)
	require.NoError(t, err)
}

func TestImagePullsAreRefused(t *testing.T) {
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf(`"%s-%03d"`, app, i)
	}
	tests := []struct {
		name, cluster, pull string
		change              map[string]string
		want                []string
	}{
		{"unknown", `"imagePulls":"pods"`, "", nil, []string{`cluster.imagePulls: found "pods": must be node or pod (did you mean pod?)`}},
		{"node without repositories", `"imagePulls":"node",` + givenProvider, "", nil, []string{`cluster.pullRepositories: found nothing: must be the repositories that agents may pull from`}},
		{"repositories without node", `"pullRepositories":["` + app + `"]`, "", nil, []string{`cluster.pullRepositories: found 1 repositories: must be left out unless cluster.imagePulls is node`}},
		{"a wildcard", `"imagePulls":"node","pullRepositories":["arn:aws:ecr:eu-central-1:111122223333:repository/*"],` + givenProvider, "", nil,
			[]string{`cluster.pullRepositories[0]: found "arn:aws:ecr:eu-central-1:111122223333:repository/*": must be the ARN of one private ECR repository`}},
		{"twice", `"imagePulls":"node","pullRepositories":["` + app + `","` + app + `"],` + givenProvider, "", nil, []string{`cluster.pullRepositories[1]: found "` + app + `": must be listed once`}},
		{"too many", `"imagePulls":"node","pullRepositories":[` + strings.Join(many, ",") + `],` + givenProvider, "", nil, []string{`cluster.pullRepositories: found a policy of `, `must be at most 8000 characters`}},
		{"another partition", `"imagePulls":"pod",` + givenProvider, `["arn:aws-cn:ecr:cn-north-1:111122223333:repository/aa"]`, nil, []string{`identities[0].pull[0]: found "arn:aws-cn:ecr:cn-north-1:111122223333:repository/aa": must be in partition aws, that of eu-central-1`}},
		{"nobody pulls", `"imagePulls":"pod",` + givenProvider, "", nil, []string{`identities: found none with pull: must be a list in which at least one identity has pull`}},
		{"pull with node", `"imagePulls":"node","pullRepositories":["` + app + `"],` + givenProvider, `["` + app + `"]`, nil, []string{`identities[0].pull: found 1 repositories: must be left out unless cluster.imagePulls is pod`}},
		{"pull alone", ``, `["` + app + `"]`, nil, []string{`identities[0].pull: found 1 repositories: must be left out unless cluster.imagePulls is pod`}},
		{"no provider", `"imagePulls":"pod"`, `["` + app + `"]`, nil, []string{
			`cluster.credentialProvider.url: found nothing: must be where agents download ecr-credential-provider, while cluster.imagePulls is pod`,
			`cluster.credentialProvider.sha256: found nothing: must be the SHA-256 of ecr-credential-provider, while cluster.imagePulls is pod`}},
		{"a provider alone", givenProvider, "", nil, []string{`cluster.credentialProvider.url: found "https://example.com/v1.35.3/ecr-credential-provider": must be left out unless cluster.imagePulls is node or pod`}},
		{"a provider over HTTP", `"imagePulls":"pod","credentialProvider":{"url":"http://example.com/x","sha256":"0A"}`, `["` + app + `"]`, nil, []string{
			`cluster.credentialProvider.url: found "http://example.com/x": must be a URL that begins with https://`, `cluster.credentialProvider.sha256: found "0A": must be 64 lower-case hex digits`}},
		{"pods without tokens", `"imagePulls":"pod",` + givenProvider, `["` + app + `"]`, map[string]string{"k3s-aws-auth:setup": "alpha"}, []string{
			`cluster.imagePulls: found "pod": must be node, or left out, for setup alpha: a kubelet pulls with a pod's role by exchanging a token`}},
		{"an older Kubernetes", `"version":"v1.34.2+k3s1","imagePulls":"pod",` + givenProvider, `["` + app + `"]`, nil, []string{`cluster.version: found "v1.34.2+k3s1": must be Kubernetes 1.35 or newer for cluster.imagePulls pod`}},
		{"an existing cluster", `"mode":"existing","kubeconfig":"hush","imagePulls":"pod",` + givenProvider, `["` + app + `"]`, nil, []string{`cluster.imagePulls: found "pod": must be left out while cluster.mode is existing`}},
		{"a sid twice", `"imagePulls":"pod",` + givenProvider, `["` + app + `"],"statements":[{"sid":"PullImages","actions":["s3:GetObject"],"resources":["*"]}],"preset":{}`,
			map[string]string{"k3s-aws-auth:identities": `[{"name":"a","namespace":"n","serviceAccount":"a","pull":["` + app + `"],"statements":[{"sid":"PullImages","actions":["s3:GetObject"],"resources":["*"]}]}]`},
			[]string{`identities[0].statements[0].sid: found "PullImages": must be another sid than those by which the identity pulls images`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			values := pulling(tt.cluster, tt.pull)
			maps.Copy(values, tt.change)
			var secrets []string
			if strings.Contains(tt.cluster, "kubeconfig") {
				secrets = []string{"k3s-aws-auth:cluster"}
			}
			_, err := Parse(values, secrets, "lab", pullSetups)
			require.Error(t, err)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
