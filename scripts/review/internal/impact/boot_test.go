package impact

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlainParts: boot data in MIME says the same as without, and what is not MIME is left alone.
func TestPlainParts(t *testing.T) {
	const config = "#cloud-config\nkubelet-arg:\n  - v=2\n"
	head := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"B\"\n\n"
	plain := "--B\nContent-Type: text/cloud-config\n\n" + config + "\n--B--\n"
	coded := "--B\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(config)) + "\n--B--\n"
	for name, text := range map[string]string{
		"plain": config, "a part": head + plain, "a part in base64": head + coded,
		"one body in base64": "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(config)),
	} {
		require.Equal(t, map[string][]string{"v": {"2"}}, bootFlags(decoded(text)), name)
	}
	for _, text := range []string{"", "Content-Type: multipart/mixed", head, head + "--B\n", "Content-Type: \x00\n\nx", "echo Content-Type: a\n"} {
		require.Equal(t, text, decoded(text))
	}
}
