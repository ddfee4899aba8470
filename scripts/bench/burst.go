package main

import "github.com/spf13/cobra"

func burstCommand() *cobra.Command { return &cobra.Command{Use: "burst"} }
