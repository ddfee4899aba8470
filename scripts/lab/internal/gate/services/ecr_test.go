package services_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"
)

// pushed pushes an image of one layer and returns the layer's digest.
func (l *lab) pushed(repository, tag string) string {
	l.t.Helper()
	ctx := context.Background()
	c := ecr.NewFromConfig(l.config(region))
	_, err := c.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &repository})
	require.NoError(l.t, err)
	layer := []byte("{}")
	sum := sha256.Sum256(layer)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":%q},"layers":[{"digest":%[1]q}]}`, digest)
	_, err = c.PutImage(ctx, &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: &text, ImageTag: &tag})
	require.ErrorContains(l.t, err, "LayersNotFoundException")
	up, err := c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: &repository})
	require.NoError(l.t, err)
	_, err = c.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{RepositoryName: &repository, UploadId: up.UploadId, LayerPartBlob: layer,
		PartFirstByte: aws.Int64(0), PartLastByte: aws.Int64(int64(len(layer)) - 1)})
	require.NoError(l.t, err)
	_, err = c.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: &repository, UploadId: up.UploadId, LayerDigests: []string{digest}})
	require.NoError(l.t, err)
	_, err = c.PutImage(ctx, &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: &text, ImageTag: &tag})
	require.NoError(l.t, err)
	return digest
}

// The registry's answer to every pull is that of the token's principal, at that moment.
func TestRegistryAsksForTheTokensPrincipal(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	layer := l.pushed("team-a/app", "1")
	l.pushed("team-b/app", "1")
	host := account + ".dkr.ecr." + region + ".amazonaws.com"
	token := func(c aws.Config) string {
		out, err := ecr.NewFromConfig(c).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
		require.NoError(t, err)
		data := out.AuthorizationData[0]
		require.Equal(t, "https://"+host, *data.ProxyEndpoint)
		require.WithinDuration(t, l.Now().Add(12*time.Hour), *data.ExpiresAt, time.Minute)
		return *data.AuthorizationToken
	}
	pull := func(token, path string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, http.NoBody)
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Basic "+token)
		}
		answer, err := l.Client(10 * time.Second).Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(body)
	}
	const mayPull = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
		{"Effect":"Allow","Action":["ecr:BatchGetImage"%s],"Resource":"arn:aws:ecr:eu-central-1:111122223333:repository/team-a/app"}]}`
	puller := l.user("puller", fmt.Sprintf(mayPull, `,"ecr:GetDownloadUrlForLayer"`))
	own := token(puller)
	for path, want := range map[string]int{
		"/v2/": 200, "/v2/team-a/app/manifests/1": 200, "/v2/team-a/app/blobs/" + layer: 200, "/v2/team-a/app/manifests/2": 404,
		"/v2/team-b/app/manifests/1": 403, "/v2/team-b/app/blobs/" + layer: 403, "/v2/nobody/app/manifests/1": 403,
	} {
		status, body := pull(own, path)
		require.Equal(t, want, status, "%s: %s", path, body)
		if want == 403 {
			require.Contains(t, body, "user/puller is not authorized to perform: ecr:", "the answer names the token's principal")
		}
	}
	for name, bad := range map[string]string{"none": "", "forged": base64.StdEncoding.EncodeToString([]byte("AWS:x"))} {
		status, _ := pull(bad, "/v2/team-a/app/manifests/1")
		require.Equal(t, 401, status, name)
	}
	// A layer needs a permission of its own.
	status, body := pull(token(l.user("half", fmt.Sprintf(mayPull, ""))), "/v2/team-a/app/blobs/"+layer)
	require.Equal(t, 403, status)
	require.Contains(t, body, "ecr:GetDownloadUrlForLayer")
	// Who may not ask for a token gets none.
	_, err := ecr.NewFromConfig(l.user("stranger", "")).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	require.ErrorContains(t, err, "is not authorized to perform: ecr:GetAuthorizationToken")
	// What is decided at each pull: a token outlives the permission, and pulls nothing.
	_, err = iam.NewFromConfig(l.config(region)).DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("puller"), PolicyName: aws.String("p")})
	require.NoError(t, err)
	status, _ = pull(own, "/v2/team-a/app/manifests/1")
	require.Equal(t, 403, status)

	// By the API it is the same.
	batch, err := ecr.NewFromConfig(l.config(region)).BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: aws.String("team-a/app"), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("1")}, {ImageTag: aws.String("2")}}})
	require.NoError(t, err)
	require.Len(t, batch.Images, 1)
	require.Len(t, batch.Failures, 1)
	require.True(t, json.Valid([]byte(*batch.Images[0].ImageManifest)))
	require.True(t, strings.HasPrefix(*batch.Images[0].ImageId.ImageDigest, "sha256:"))

	l.later(13 * time.Hour)
	status, _ = pull(own, "/v2/")
	require.Equal(t, 401, status, "after twelve hours a token is none")
}
