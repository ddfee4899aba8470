package latency

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/labs"
)

func TestCommittedProfiles(t *testing.T) {
	files, err := filepath.Glob("../../profiles/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		p, err := Read(f)
		require.NoError(t, err)
		require.Len(t, p.ForLab(), len(p.Rules))
	}
}

func TestParse(t *testing.T) {
	p, err := parse([]byte("name: a\nrules:\n- {host: 'sts.*', connectMs: 1.5, requestMs: 2, source: measured}\n"))
	require.NoError(t, err)
	require.Equal(t, []labs.LatencyRule{{Host: "sts.*", ConnectMs: 1.5, RequestMs: 2}}, p.ForLab())
	for text, want := range map[string]string{
		"rules:\n- {host: a, source: b}":                          "name is missing",
		"name: a":                                                 "rules are missing",
		"name: a\nrules:\n- {source: b}":                          "rules[0]: host",
		"name: a\nrules:\n- {host: h, requestMs: 1}":              "rules[0] (h): source is missing",
		"name: a\nrules:\n- {host: h, requestMs: -1, source: s}":  "negative",
		"name: a\nrules:\n- {host: h, request: 1, source: s}":     "unknown field",
		"name: a\nrules:\n- {host: h, requestMs: x, source: s}\n": "requestMs",
	} {
		_, err := parse([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	_, err = Read("absent.yaml")
	require.Error(t, err)
}
