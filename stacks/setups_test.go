package stacks

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSetupsFile holds setups.json to the registry: tools outside of this module
// read what setups there are from the file.
func TestSetupsFile(t *testing.T) {
	var lines []string
	for _, s := range registry {
		line, err := json.Marshal(map[string]any{"name": s.name, "presents": s.presents})
		require.NoError(t, err)
		lines = append(lines, "  "+string(line))
	}
	want := fmt.Sprintf("[\n%s\n]\n", strings.Join(lines, ",\n"))
	got, err := os.ReadFile("setups.json")
	require.NoError(t, err)
	if want == string(got) {
		return
	}
	if *update {
		require.NoError(t, os.WriteFile("setups.json", []byte(want), 0o644))
	}
	require.Equal(t, want, string(got), "if that is meant: go test ./stacks -update")
}
