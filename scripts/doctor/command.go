package main

import (
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/doctor/internal/account"
	"k3s-aws-auth/scripts/internal/cli"
)

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what an error of the identity chain means, and who can be whom in the account",
	}
	cmd.AddCommand(explainCommand(), account.Command())
	cli.Strict(cmd)
	return cmd
}
