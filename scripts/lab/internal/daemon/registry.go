package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"k3s-aws-auth/scripts/lab/internal/state"
)

// pulledBase is the image that the account's own images are made of; see kubelet.
const pulledBase = "public.ecr.aws/aws-cli/aws-cli"

// pushImages gives the account its repositories, with an image in each.
func pushImages(ctx context.Context, client aws.Config, lab *state.Lab) error {
	client.Credentials = credentials.NewStaticCredentialsProvider(lab.AccessKeyID, lab.SecretKey, "")
	registry := ecr.NewFromConfig(client)
	for _, name := range []string{state.OwnRepository, state.OtherRepository} {
		if err := pushImage(ctx, registry, name); err != nil {
			return fmt.Errorf("the lab's image %s: %w", name, err)
		}
	}
	return nil
}

// pushImage pushes an image whose layer is empty: what runs in its place is this machine's.
func pushImage(ctx context.Context, registry *ecr.Client, name string) error {
	if _, err := registry.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name}); err != nil {
		return err
	}
	push := func(content []byte) (string, error) {
		upload, err := registry.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: &name})
		if err != nil {
			return "", err
		}
		if _, err := registry.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{RepositoryName: &name, UploadId: upload.UploadId,
			LayerPartBlob: content, PartFirstByte: aws.Int64(0), PartLastByte: aws.Int64(int64(len(content)) - 1)}); err != nil {
			return "", err
		}
		sum := sha256.Sum256(content)
		digest := "sha256:" + hex.EncodeToString(sum[:])
		_, err = registry.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: &name, UploadId: upload.UploadId, LayerDigests: []string{digest}})
		return digest, err
	}
	config, err := push([]byte(`{"architecture":"amd64","os":"linux"}`))
	if err != nil {
		return err
	}
	layer, err := push([]byte("a layer of " + name))
	if err != nil {
		return err
	}
	const oci = "application/vnd.oci.image."
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
		"config":      map[string]any{"mediaType": oci + "config.v1+json", "digest": config},
		"layers":      []any{map[string]any{"mediaType": oci + "layer.v1.tar", "digest": layer}},
		"annotations": map[string]string{"org.opencontainers.image.base.name": pulledBase},
	})
	if err != nil {
		return err
	}
	_, err = registry.PutImage(ctx, &ecr.PutImageInput{RepositoryName: &name, ImageManifest: aws.String(string(manifest)), ImageTag: aws.String(state.ImageTag)})
	return err
}
