// Package cloud stands in for the secrets providers of clouds, whose SDKs are a third of what the Pulumi CLI is compiled
// from. The lab's stacks are encrypted by a passphrase; a stack that asks for a cloud's key is refused.
package cloud

import (
	"encoding/json"
	"errors"

	"github.com/pulumi/pulumi/pkg/v3/secrets"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
)

// Type names these secrets providers in a stack's state.
const Type = "cloud"

var errLeftOut = errors.New("the lab's Pulumi CLI is built without the secrets providers of clouds (awskms, azurekeyvault, gcpkms, hashivault): " +
	"use a passphrase")

// EditProjectStack refuses.
func EditProjectStack(*workspace.ProjectStack, json.RawMessage) error { return errLeftOut }

// NewCloudSecretsManagerFromState refuses.
func NewCloudSecretsManagerFromState(json.RawMessage) (secrets.Manager, error) {
	return nil, errLeftOut
}

// NewCloudSecretsManager refuses.
func NewCloudSecretsManager(*workspace.ProjectStack, string, bool) (secrets.Manager, error) {
	return nil, errLeftOut
}
