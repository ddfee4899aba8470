// Command cost estimates what a stack costs a month, from its configuration alone: it never calls AWS. Prices are in a
// table of their own, each with its source and its date.
package main

import "k3s-aws-auth/scripts/internal/cli"

func main() { cli.Main(root()) }
