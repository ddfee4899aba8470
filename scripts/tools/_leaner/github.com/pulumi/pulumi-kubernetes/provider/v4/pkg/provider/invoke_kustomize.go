package provider

import (
	"context"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/clients"
)

// kustomizeDirectory refuses.
func kustomizeDirectory(context.Context, string, *clients.DynamicClientSet) ([]any, error) {
	return nil, errHelm
}
