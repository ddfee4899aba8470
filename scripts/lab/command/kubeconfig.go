package main

import (
	"errors"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
)

// writeKubeconfig keeps the program's kubeconfig where only the user can read it.
func writeKubeconfig(path string, outputs auto.OutputMap) error {
	config, ok := outputs["kubeconfig"].Value.(string)
	if !ok || config == "" {
		return errors.New("the program has no output kubeconfig")
	}
	if !outputs["kubeconfig"].Secret {
		return errors.New("the output kubeconfig is not secret")
	}
	return os.WriteFile(path, []byte(config), 0o600)
}
