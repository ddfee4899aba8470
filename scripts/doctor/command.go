package main

import (
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/doctor/internal/account"
	"k3s-aws-auth/scripts/internal/cli"
)

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say why a pod does not get its AWS identity",
	}
	cmd.AddCommand(explainCommand(), account.Command())
	cli.Strict(cmd)
	return cmd
}
