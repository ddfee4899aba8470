package main

import (
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func previewCommand() *cobra.Command {
	var setup string
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Print what `pulumi preview --json` says about a running lab and this directory's program, with the lab's stack file",
		Example: `  lab preview --setup irsa-s3 > preview.json
  review --preview preview.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := onlyOne(setup)
			if err != nil {
				return err
			}
			lab, dir, err := state.Load(name)
			if err != nil {
				return err
			}
			product, scripts, err := directories()
			if err != nil {
				return err
			}
			tools, err := build.All(cmd.Context(), scripts, os.Stderr)
			if err != nil {
				return err
			}
			p, err := program.Open(cmd.Context(), lab, dir, tools, product, program.Changes{})
			if err != nil {
				return err
			}
			text, err := p.Preview(cmd.Context())
			if err != nil {
				return err
			}
			_, err = os.Stdout.Write(text)
			return err
		},
	}
	setupFlag(cmd, &setup, "", false)
	return cmd
}
