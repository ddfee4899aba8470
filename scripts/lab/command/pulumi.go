package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/lab/internal/program"
)

func pulumiCommand() *cobra.Command {
	var setup string
	cmd := &cobra.Command{
		Use:   "pulumi -- COMMAND...",
		Short: "Run a Pulumi command for any Go program on a running lab's account and cluster",
		Long: `Run a Pulumi command for any Go program on a running lab's account and cluster, in the directory of its project or with
pulumi's own --cwd. Engine, plugins, states and environment are the lab's, and the program is compiled at each run: its
modules must be in the module cache, since the lab's proxy leads nowhere else.`,
		Example: `  lab pulumi -- stack init dev --cwd ../examples/role
  lab pulumi --setup irsa-s3 -- up --stack dev --cwd ../examples/role`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usage(errors.New("found no command of pulumi: name one after --, such as lab pulumi -- preview"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, dir, err := theLab(setup)
			if err != nil {
				return err
			}
			tools, err := tools(cmd.Context(), lab.Project, lab.Plugins, lab.Setup)
			if err != nil {
				return err
			}
			pulumi, err := program.Pulumi(cmd.Context(), lab, dir, tools, args...)
			if err != nil {
				return err
			}
			pulumi.Stdin, pulumi.Stdout, pulumi.Stderr = os.Stdin, os.Stdout, os.Stderr
			return pulumi.Run()
		},
	}
	setupFlag(cmd, &setup, "", false)
	return cmd
}
