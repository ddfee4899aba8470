// Command doctor says why a pod does not get its AWS identity.
package main

import "k3s-aws-auth/scripts/internal/cli"

func main() { cli.Main(root()) }
