// Package standin runs the lab's two provider plugins, which stand for pulumi-aws v6.83.4 and pulumi-tls v5.0.0: these
// cannot be built offline. A stand-in speaks Pulumi's provider protocol and AWS's wire protocols like the plugin that it
// stands for, knows only the types and functions that this project uses, and refuses everything else by name.
package standin

import (
	"io"
	"os"

	"k3s-aws-auth/scripts/lab/internal/standin/awsres"
	"k3s-aws-auth/scripts/lab/internal/standin/engine"
	"k3s-aws-auth/scripts/lab/internal/standin/tlsres"
)

// The versions of the plugins that the stand-ins stand for; a plugin's directory is named after its version.
const (
	AWSVersion = "6.83.4"
	TLSVersion = "5.0.0"
)

// ServeAWS runs the aws provider under a version until the Pulumi engine ends it.
func ServeAWS(version string) error { return serveAWS(version, os.Args[1:], os.Stdout) }

// ServeTLS runs the tls provider under a version until the Pulumi engine ends it.
func ServeTLS(version string) error { return serveTLS(version, os.Args[1:], os.Stdout) }

func serveAWS(version string, args []string, out io.Writer) error {
	return engine.Serve(awsres.Package(version), args, out)
}

func serveTLS(version string, args []string, out io.Writer) error {
	return engine.Serve(tlsres.Package(version), args, out)
}
