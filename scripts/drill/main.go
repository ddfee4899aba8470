// Command drill breaks one thing after another in a cluster with pod identities, watches what an existing and a new pod
// come to, repairs it, measures the repair, and compares with what should have come of it. It works by the plain APIs of
// AWS and Kubernetes, on the lab and on real clusters alike; what needs hands on machines it does itself in the lab alone.
package main

import (
	"k3s-aws-auth/scripts/internal/cli"
)

func main() { cli.Main(root()) }
