package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func previewCommand() *cobra.Command {
	var setup, project string
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Print what `pulumi preview --json` says about a running lab and this directory's program, with the lab's stack file",
		Example: `  lab preview --setup irsa-s3 > preview.json
  review --preview preview.json
  lab preview --setup irsa-s3 --project ../another-checkout`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := onlyOne(setup)
			if err != nil {
				return err
			}
			lab, dir, err := state.Load(name)
			if err != nil {
				return err
			}
			if err := settleProject(&project, nil); err != nil {
				return err
			}
			product, _, err := directories()
			if err != nil {
				return err
			}
			lab.Project = cmp.Or(project, product)
			tools, err := tools(cmd.Context(), lab.Project, lab.Plugins, name)
			if err != nil {
				return err
			}
			p, err := program.Open(cmd.Context(), lab, dir, tools, program.Changes{})
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
	projectFlag(cmd, &project)
	return cmd
}
