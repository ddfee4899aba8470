package machines

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCloudConfig(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte("packed"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	c, err := parseCloudConfig([]byte("#cloud-config\nwrite_files:\n- path: /etc/a\n  content: plain\n  permissions: '0600'\n" +
		"- path: /usr/local/sbin/b\n  encoding: gz+b64\n  permissions: '0755'\n  content: " +
		base64.StdEncoding.EncodeToString(packed.Bytes()) + "\nruncmd:\n- [/usr/local/sbin/b, x]\n- echo hello\n"))
	require.NoError(t, err)
	root := t.TempDir()
	require.NoError(t, c.apply(root))
	for path, want := range map[string]struct {
		content string
		mode    os.FileMode
	}{"etc/a": {"plain", 0o600}, "usr/local/sbin/b": {"packed", 0o755}} {
		data, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		require.Equal(t, want.content, string(data))
		info, err := os.Stat(filepath.Join(root, path))
		require.NoError(t, err)
		require.Equal(t, want.mode, info.Mode().Perm())
	}
	args, err := commandLine(c.RunCmd[0])
	require.NoError(t, err)
	require.Equal(t, []string{"/usr/local/sbin/b", "x"}, args)
	args, err = commandLine(c.RunCmd[1])
	require.NoError(t, err)
	require.Equal(t, []string{"/bin/sh", "-c", "echo hello"}, args)
}

func TestCloudConfigRefuses(t *testing.T) {
	for name, userData := range map[string]string{
		"another kind of user data": "#!/bin/sh\necho hello\n",
		"an unknown key":            "#cloud-config\nbootcmd:\n- echo\n",
		"an unknown encoding":       "#cloud-config\nwrite_files:\n- path: /a\n  encoding: rot13\n  content: x\n",
		"a relative path":           "#cloud-config\nwrite_files:\n- path: a\n  content: x\n",
		"a mode that is not octal":  "#cloud-config\nwrite_files:\n- path: /a\n  permissions: rw\n  content: x\n",
		"a truncated document":      "#cloud-config\nwrite_files:\n- path: /a\n  content: \"x\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseCloudConfig([]byte(userData))
			if err == nil {
				err = c.apply(t.TempDir())
			}
			require.Error(t, err)
		})
	}
}

func TestWriteBelowStaysBelow(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	require.NoError(t, writeBelow(root, "/../../escape", []byte("x"), 0o600))
	require.FileExists(t, filepath.Join(root, "escape"))
}
