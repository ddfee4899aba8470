package operations

import (
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
)

var errLeftOut = errors.New("the lab's Pulumi CLI is built without `pulumi logs`")

// AWSOperationsProvider refuses: the SDK that reads these logs is left out.
func AWSOperationsProvider(map[config.Key]string, *Resource) (Provider, error) {
	return nil, errLeftOut
}

// CloudOperationsProvider refuses, for the same reason.
func CloudOperationsProvider(map[config.Key]string, *Resource) (Provider, error) {
	return nil, errLeftOut
}

// GCPOperationsProvider refuses, for the same reason.
func GCPOperationsProvider(map[config.Key]string, *Resource) (Provider, error) {
	return nil, errLeftOut
}
