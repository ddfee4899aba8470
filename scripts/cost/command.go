package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/stacks"
)

func root() *cobra.Command {
	var (
		asJSON    bool
		regions   []string
		overrides []string
		use       usage
	)
	cmd := &cobra.Command{
		Use:   "cost <stack file>",
		Short: "Estimate what a stack costs a month",
		Long: `cost previews a stack from its configuration file and estimates what its resources cost a month: item by item for its
own setup, and in total for every setup. It never calls AWS. ` + "`cost prices`" + ` lists the prices, each with its source and date.

Without flags there is no traffic: what is left is what costs money by existing. A month has 730 hours.

Exit codes: 0 estimated, 1 the stack's file is not valid or a price is missing, 2 wrong command line.`,
		Example: `  cost Pulumi.lab.yaml
  cost Pulumi.prod.yaml --pods 100 --nat-gb 200
  cost Pulumi.prod.yaml --region eu-central-1 --json
  cost Pulumi.prod.yaml --price ec2.c7g.large=0.0829
  cost prices`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usage(fmt.Errorf("needs one stack file such as Pulumi.lab.yaml, found %d arguments", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			table, err := pricesFor(regions, overrides)
			if err != nil {
				return cli.Usage(err)
			}
			if min(use.Pods, use.NATGB, use.SnapshotGB, use.AdvancedParameters, use.Mails) < 0 {
				return cli.Usage(fmt.Errorf("counts are 0 or more"))
			}
			stack, err := stackfile.Read(args[0])
			if err != nil {
				return err
			}
			report, err := estimate(cmd.Context(), stack, stacks.Setups(), table, use)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), report)
			}
			report.write(cmd.OutOrStdout())
			return nil
		},
	}
	cli.Strict(cmd)
	f := cmd.PersistentFlags()
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.StringSliceVar(&regions, "region", nil, "price only for these regions (default all that have prices)")
	f.StringArrayVar(&overrides, "price", nil, "use another price for all regions, as key=dollars; repeatable")
	cmd.Flags().IntVar(&use.Pods, "pods", 0, "pods that renew their session every hour")
	cmd.Flags().IntVar(&use.NATGB, "nat-gb", 0, "gigabytes a month through NAT gateways")
	cmd.Flags().IntVar(&use.SnapshotGB, "snapshot-gb", 0, "gigabytes that etcd snapshots take up in S3")
	cmd.Flags().IntVar(&use.AdvancedParameters, "advanced-parameters", 0, "SSM parameters beyond 4 KB (a rotation of signing keys needs one)")
	cmd.Flags().IntVar(&use.Mails, "mails", 0, "mails that alarms send a month")

	list := &cobra.Command{
		Use:     "prices",
		Short:   "List the prices with their sources and dates",
		Example: "  cost prices\n  cost prices --region eu-central-1 --json",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table, err := pricesFor(regions, overrides)
			if err != nil {
				return cli.Usage(err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), table.rows())
			}
			return table.write(cmd.OutOrStdout())
		},
	}
	cmd.AddCommand(list)
	return cmd
}

// pricesFor is the table with what the command line changes.
func pricesFor(regions, overrides []string) (*prices, error) {
	table, err := loadPrices()
	if err != nil {
		return nil, err
	}
	for _, region := range regions {
		if !slices.Contains(table.regions, region) {
			return nil, fmt.Errorf("--region %s has no prices, must be one of %s", region, strings.Join(table.regions, ", "))
		}
	}
	if len(regions) > 0 {
		table.regions = regions
	}
	for _, text := range overrides {
		key, dollars, ok := strings.Cut(text, "=")
		usd, err := strconv.ParseFloat(dollars, 64)
		if !ok || err != nil || usd < 0 {
			return nil, fmt.Errorf("--price %s must be key=dollars, such as ec2.c7g.large=0.0829", text)
		}
		if !table.has(key) && !strings.HasPrefix(key, "ec2.") {
			return nil, fmt.Errorf("--price %s: no such price; `cost prices` lists them, and ec2.<instance type> may be any", key)
		}
		table.override(key, usd)
	}
	return table, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
