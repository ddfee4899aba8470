package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestUnknownCommandsAreUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
		said string
	}{
		"none":      {code: 0},
		"known":     {args: []string{"status"}, code: 1, said: "tool: boom\n"},
		"unknown":   {args: []string{"nonsense"}, code: 2, said: "tool: unknown command \"nonsense\" for \"tool\"\n"},
		"similar":   {args: []string{"statsu"}, code: 2, said: "tool: unknown command \"statsu\" for \"tool\" (did you mean status?)\n"},
		"its flags": {args: []string{"status", "--nonsense"}, code: 2, said: "tool: unknown flag: --nonsense\n"},
	} {
		t.Run(name, func(t *testing.T) {
			root := &cobra.Command{Use: "tool"}
			Strict(root)
			root.AddCommand(&cobra.Command{Use: "status", Args: NoArgs, RunE: func(*cobra.Command, []string) error { return errors.New("boom") }})
			root.SetArgs(append([]string{}, test.args...))
			var stdout, stderr bytes.Buffer
			root.SetOut(&stdout)
			require.Equal(t, test.code, Run(context.Background(), root, &stderr))
			require.Equal(t, test.said, stderr.String())
			require.Equal(t, len(test.args) == 0, stdout.Len() > 0, "help is for who asks for nothing")
		})
	}
}

func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		err  error
		code int
		said string
	}{
		"well":         {code: 0},
		"failed":       {err: errors.New("boom"), code: 1, said: "tool: boom\n"},
		"its own code": {err: fmt.Errorf("check: %w", Exit(errors.New("blind"), 3)), code: 3, said: "tool: check: blind\n"},
		"usage":        {err: fmt.Errorf("--x: %w", Usage(errors.New("wrong"))), code: 2, said: "tool: --x: wrong\n"},
		"unknown flag": {args: []string{"--nonsense"}, code: 2, said: "tool: unknown flag: --nonsense\n"},
		"an argument":  {args: []string{"this"}, code: 2, said: "tool: tool takes no arguments, found [\"this\"]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{Use: "tool", Args: NoArgs, RunE: func(*cobra.Command, []string) error { return test.err }}
			Strict(cmd)
			cmd.SetArgs(append([]string{}, test.args...))
			var stderr bytes.Buffer
			require.Equal(t, test.code, Run(context.Background(), cmd, &stderr))
			require.Equal(t, test.said, stderr.String())
		})
	}
}
