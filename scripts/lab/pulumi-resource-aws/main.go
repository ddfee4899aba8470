// Command pulumi-resource-aws is the lab's stand-in for the pulumi-aws provider plugin. The Pulumi engine starts it with
// its own address as the argument and reads the port from its standard output.
package main

import (
	"fmt"
	"os"

	"k3s-aws-auth/scripts/lab/internal/standin/awsres"
)

// version is the plugin's version; a build may set it by -ldflags "-X main.version=...".
var version = awsres.Version

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(version)
		return
	}
	if err := awsres.Serve(version); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-aws:", err)
		os.Exit(1)
	}
}
