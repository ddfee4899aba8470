package account

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every finding has a line in the document, and the document has no other.
func TestFindingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/doctor.md")
	require.NoError(t, err)
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		for _, id := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(row[1], -1) {
			documented = append(documented, id[1])
		}
	}
	made := []string{}
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, f := range files {
		if regexp.MustCompile(`_test\.go$|^testdata$`).MatchString(f.Name()) {
			continue
		}
		source, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		for _, id := range regexp.MustCompile(`Finding\{ID: "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
			made = append(made, id[1])
		}
	}
	for _, o := range openings {
		made = append(made, o.id)
	}
	for _, list := range ways {
		for _, w := range list {
			made = append(made, w.id)
		}
	}
	for _, list := range [][]string{documented, made} {
		slices.Sort(list)
	}
	require.Equal(t, slices.Compact(documented), slices.Compact(made))
}

// Every way and every opening is seeded somewhere.
func TestFindingsAreSeeded(t *testing.T) {
	seeded := map[string]bool{}
	for _, s := range seeds {
		for _, id := range s.want {
			seeded[id] = true
		}
	}
	for _, list := range ways {
		for _, w := range list {
			require.True(t, seeded[w.id], w.id)
		}
	}
	for _, o := range openings {
		require.True(t, seeded[o.id], o.id)
	}
}
