package main

import (
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/doctor/internal/chain"
	"k3s-aws-auth/scripts/internal/cli"
)

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say why pods do not get their AWS identity, what an error means, and who can be whom in the account",
	}
	cmd.AddCommand(chain.Commands()...)
	cmd.AddCommand(explainCommand(), accountCommand())
	cli.Strict(cmd)
	return cmd
}
