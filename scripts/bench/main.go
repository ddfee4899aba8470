// Command bench measures what the four setups cost a pod: the time until AWS STS answers it, and the calls that many
// pods make at once. It works on the lab, which it can start by itself, and on clusters on AWS.
package main

import (
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
)

func main() { cli.Main(root()) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what the setups cost a pod",
		Long: `bench measures, in the lab or on AWS, how long a new pod takes until AWS STS answers it, and what many pods at once ask for.

Exit codes: 0 measured, 1 a case never succeeded or a target was missed with --check, 2 wrong command line.`,
		Example: `  bench cold-start --up                       all four setups in the lab, 30 runs each
  bench cold-start --setup irsa-s3,irsa-cloudfront --client cli,sdk --runs 50
  bench burst --setup roles-anywhere --pods 20
  bench report --dir out                      make the report again from the raw data`,
	}
	cli.Strict(cmd)
	cmd.AddCommand(coldStartCommand(), burstCommand(), reportCommand())
	for _, c := range cmd.Commands() {
		c.Args = cli.NoArgs
	}
	return cmd
}
