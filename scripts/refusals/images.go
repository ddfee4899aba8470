package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/kube"
)

// The variables that name two images of private ECR repositories: one that the identity's pods may be pulled from, and
// one that they may not. A lab sets them.
const (
	ownImageVariable   = "K3S_AWS_AUTH_OWN_IMAGE"
	otherImageVariable = "K3S_AWS_AUTH_OTHER_IMAGE"
)

// pullAnnotation is on service accounts whose pods are pulled with their own role.
const pullAnnotation = "eks.amazonaws.com/ecr-role-arn"

const noBasicAuth = "no basic auth credentials" // a container runtime's words for a registry's 401

// Pulls that must be refused where each pod is pulled with its own role (docs/images.md).
var imageCases = []Case{
	{Name: "pull-unlisted", For: tokens, Here: (*Target).pulls, What: "the identity's pod with an image of a repository that it does not list", Code: "403", Text: "403 Forbidden",
		Try: func(ctx context.Context, t *Target) error {
			return t.pull(ctx, t.Identity.ServiceAccount, t.Images.Other)
		}},
	{Name: "pull-other-account", For: tokens, Here: (*Target).pulls, What: "the identity's image under another service account, on a node that has it", Code: "401", Text: noBasicAuth,
		Try: func(ctx context.Context, t *Target) error {
			if err := t.pull(ctx, t.Identity.ServiceAccount, t.Images.Own); err != nil {
				return broken(fmt.Errorf("the identity's own image is not pulled: %w", err))
			}
			return t.pull(ctx, "default", t.Images.Own)
		}},
	{Name: "pull-borrowed-role", For: tokens, Here: (*Target).pulls, What: "the identity's image under another service account that names the identity's role", Code: "401", Text: noBasicAuth,
		Try: func(ctx context.Context, t *Target) error {
			const thief = "refusals-thief"
			remove, err := t.Cluster.Account(ctx, t.Identity.Namespace, thief)
			if err != nil {
				return broken(err)
			}
			defer remove()
			accounts := t.Cluster.Client.CoreV1().ServiceAccounts(t.Identity.Namespace)
			account, err := accounts.Get(ctx, thief, metav1.GetOptions{})
			if err != nil {
				return broken(err)
			}
			account.Annotations = map[string]string{pullAnnotation: t.Identity.RoleARN}
			if _, err := accounts.Update(ctx, account, metav1.UpdateOptions{}); err != nil {
				return broken(err)
			}
			return t.pull(ctx, thief, t.Images.Own)
		}},
	{Name: "pull-by-the-machine", For: tokens, Here: (*Target).pulls, What: "a registry's token for the machine's own role, which somebody has stolen", Code: "AccessDeniedException", Text: "ecr:GetAuthorizationToken",
		Try: func(ctx context.Context, t *Target) error {
			machine, err := t.stolenMachine(ctx)
			if err != nil {
				return broken(err)
			}
			_, err = ecr.NewFromConfig(t.config(machine)).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
			return err
		}},
	ofImages(may("pull-other-repository", "an image's manifest of another repository, for the identity's session", "AccessDeniedException", "ecr:BatchGetImage",
		func(ctx context.Context, t *Target, c aws.Config) error {
			name, tag := imageParts(t.Images.Other)
			_, err := ecr.NewFromConfig(c).BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: &name, ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}})
			return err
		})),
	ofImages(may("push-own-repository", "an image pushed by whoever may only pull it", "AccessDeniedException", "ecr:PutImage",
		func(ctx context.Context, t *Target, c aws.Config) error {
			name, _ := imageParts(t.Images.Own)
			_, err := ecr.NewFromConfig(c).PutImage(ctx, &ecr.PutImageInput{RepositoryName: &name, ImageManifest: aws.String("{}"), ImageTag: aws.String("refusals")})
			return err
		})),
}

// ofImages is a case of stacks whose pods are pulled with their own roles.
func ofImages(c Case) Case {
	c.For, c.Here = tokens, (*Target).pulls
	return c
}

// Images are references that tell what may be pulled.
type Images struct{ Own, Other string }

// pulls tells whether the identity's pods are pulled with its role, and the images are known.
func (t *Target) pulls() bool { return t.Identity.Pulls && t.Images.Own != "" && t.Images.Other != "" }

// imageParts are the repository's name and the tag of an image of ECR.
func imageParts(reference string) (name, tag string) {
	_, rest, _ := strings.Cut(reference, "/")
	name, tag, _ = strings.Cut(rest, ":")
	return name, tag
}

// pull runs a pod with an image under a service account. What a registry answers is an *answer.
func (t *Target) pull(ctx context.Context, account, image string) error {
	_, remove, err := t.Cluster.Start(ctx, kube.Stranger{Namespace: t.Identity.Namespace, Model: t.Identity.Pod.Name, Container: container, Account: account, Image: image})
	switch {
	case err == nil:
		remove()
		return nil
	case strings.Contains(err.Error(), noBasicAuth):
		return &answer{"401", err.Error()}
	case strings.Contains(err.Error(), "403 Forbidden"):
		return &answer{"403", err.Error()}
	}
	return err
}

// stolenMachine is the session of a machine's role, as somebody has it who got into the machine's own network.
func (t *Target) stolenMachine(ctx context.Context) (aws.Credentials, error) {
	name, remove, err := t.Cluster.Start(ctx, kube.Stranger{Namespace: t.Identity.Namespace, Model: t.Identity.Pod.Name, Container: container, HostNetwork: true})
	if err != nil {
		return aws.Credentials{}, err
	}
	defer remove()
	return t.machineSession(ctx, name)
}
