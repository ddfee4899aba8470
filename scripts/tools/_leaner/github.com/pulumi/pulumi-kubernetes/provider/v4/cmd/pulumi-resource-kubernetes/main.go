// Command pulumi-resource-kubernetes is the published Kubernetes provider, built from its Go module. Its own main
// does not build from the module's zip, so this one calls the same exported entry point; schema.json and
// terraform-mapping.json are the module's own, copied beside this file by the build.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

// Version is the release that this module is of, under the pseudo-version in scripts/tools/go.mod.
const Version = "v4.25.0"

func main() {
	provider.Serve("kubernetes", Version, schema, terraformMapping)
}
