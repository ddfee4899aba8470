// Command preflight says, before the first `pulumi up`, what an account lacks for a stack, and what its deployer must be
// allowed to do. It reads only.
package main

import "k3s-aws-auth/scripts/internal/cli"

func main() { cli.Main(root()) }
