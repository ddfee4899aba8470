// Package existing is a Kubernetes cluster that somebody else made: the way into
// it by a kubeconfig, and what its API server says of its tokens.
package existing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"k3s-aws-auth/components/kubeclient"
)

// Paths of an API server's own OpenID Connect documents.
const (
	discoveryPath = "/.well-known/openid-configuration"
	jwksPath      = "/openid/v1/jwks"
)

// ErrNoDocument is what a cluster answers that does not show the document.
var ErrNoDocument = errors.New("the cluster does not show it")

// Access is a way into a cluster.
type Access struct{ *kubeclient.Client }

// Parse reads a kubeconfig; see [kubeclient.Parse].
func Parse(kubeconfig string) (*Access, error) {
	client, err := kubeclient.Parse(kubeconfig)
	if err != nil {
		return nil, err
	}
	return &Access{client}, nil
}

// Issuer returns the issuer that the API server writes into tokens: the first of
// its --service-account-issuer. Its error is [ErrNoDocument] where the cluster
// shows no discovery document.
func (a *Access) Issuer(ctx context.Context) (string, error) {
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := a.get(ctx, discoveryPath, &document); err != nil {
		return "", fmt.Errorf("discovery document of the cluster: %w", err)
	}
	if document.Issuer == "" {
		return "", fmt.Errorf("discovery document of the cluster: %w: it names no issuer", ErrNoDocument)
	}
	return document.Issuer, nil
}

// PublicKeys returns the keys that verify the cluster's tokens, as PEM, in the
// order of its JWKS, with the ids that stand there. It fails if there is none, or
// one that IAM does not read.
func (a *Access) PublicKeys(ctx context.Context) ([]string, error) {
	var set keySet
	if err := a.get(ctx, jwksPath, &set); err != nil {
		return nil, fmt.Errorf("JWKS of the cluster: %w", err)
	}
	keys, err := set.publicKeys()
	if err != nil {
		return nil, fmt.Errorf("JWKS of the cluster: %w", err)
	}
	return keys, nil
}

// get reads a JSON document of the API server.
func (a *Access) get(ctx context.Context, path string, into any) error {
	answer, err := a.Do(ctx, kubeclient.Request{Path: path})
	if err != nil {
		return err
	}
	status := fmt.Sprintf("%d %s", answer.Status, http.StatusText(answer.Status))
	switch answer.Status {
	case http.StatusOK:
	case http.StatusNotFound:
		return fmt.Errorf("%s%s: %w (%s)", a.Endpoint, path, ErrNoDocument, status)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s%s: %s: the kubeconfig's user may not read it; ClusterRole system:service-account-issuer-discovery allows it",
			a.Endpoint, path, status)
	default:
		return fmt.Errorf("%s%s: %s", a.Endpoint, path, status)
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("%s%s: is not the expected JSON: %w", a.Endpoint, path, err)
	}
	return nil
}
