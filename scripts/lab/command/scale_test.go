package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/cli"
)

// pairs are steps of a program that takes ratio times what the trivial one does, and grows by its resources.
func pairs(ratio float64) []scaleStep {
	var steps []scaleStep
	before := 0
	for _, n := range []int{1, 10, 100} {
		made := (n - before) * 5
		own := scaleStep{Kind: "program", Identities: n, Resources: n * 5, Made: made, Real: (n - before) * 3,
			Preview: float64(n) * ratio, Up: float64(made) * ratio, Again: float64(n) * ratio, Memory: 100, EngineMemory: 100}
		other := own
		other.Kind, other.Preview, other.Up, other.Again = "trivial", float64(n), float64(made), float64(n)
		steps = append(steps, own, other)
		before = n
	}
	return steps
}

func TestCheckScale(t *testing.T) {
	require.NoError(t, checkScale(pairs(2)))

	four := pairs(1)
	four[2].Real = 36
	require.ErrorContains(t, checkScale(four), "10 identities: 4.0 resources for each, may be 3")

	grown := pairs(1)
	grown[4].Memory, grown[4].Up = 1200, grown[4].Up*1.2
	err := checkScale(grown)
	require.ErrorContains(t, err, "the program's memory grows 12.0 times")
	require.ErrorContains(t, err, "up takes 1.2 times as long for each resource from 10 to 100 identities")
}

func TestPrintScale(t *testing.T) {
	var out bytes.Buffer
	printScale(&out, pairs(1.2))
	require.Contains(t, out.String(), "1.20, 1.20, 1.20")
	require.Equal(t, 4, bytes.Count(out.Bytes(), []byte("\n")))
}

func TestManyIdentities(t *testing.T) {
	var list []struct{ Name, ServiceAccount string }
	require.NoError(t, json.Unmarshal([]byte(manyIdentities(3)), &list))
	require.Len(t, list, 3)
	require.Equal(t, "identity-2", list[2].ServiceAccount)
}

func TestScaleRefusesSizesThatDoNotRise(t *testing.T) {
	for _, sizes := range []string{"0", "10,10", "10,1"} {
		cmd := scaleCommand()
		cmd.SetArgs([]string{"--identities", sizes})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(context.Background())
		var usage cli.UsageError
		require.ErrorAs(t, err, &usage, sizes)
	}
}
