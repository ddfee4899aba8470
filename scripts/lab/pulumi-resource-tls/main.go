// Command pulumi-resource-tls is the lab's stand-in for the pulumi-tls provider plugin. The Pulumi engine starts it with
// its own address as the argument and reads the port from its standard output.
package main

import (
	"fmt"
	"os"

	"k3s-aws-auth/scripts/lab/internal/standin/tlsres"
)

// version is the plugin's version; a build may set it by -ldflags "-X main.version=...".
var version = tlsres.Version

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(version)
		return
	}
	if err := tlsres.Serve(version); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-tls:", err)
		os.Exit(1)
	}
}
