// Command k3s-aws-auth is the Pulumi program: it deploys a K3s cluster on EC2
// whose pods get their AWS credentials in the way that the stack's
// configuration selects.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/stacks"
)

func main() { pulumi.Run(stacks.Run) }
