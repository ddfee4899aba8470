package awsres

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// moto starts the moto emulator, an implementation of AWS that has nothing to do with this project, and points the SDK
// at it. Tests that need it are skipped where it is not installed.
func moto(t *testing.T) {
	t.Helper()
	binary, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	cmd := exec.Command(binary, "-p", fmt.Sprint(port))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		resp, err := http.Get(url + "/moto-api/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	}, time.Minute, 50*time.Millisecond, "moto_server does not answer")
	t.Setenv("AWS_ENDPOINT_URL", url)
	t.Setenv("AWS_ACCESS_KEY_ID", "testing")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "testing")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}

func TestLifecyclesAgainstMoto(t *testing.T) {
	moto(t)
	for _, s := range scenarios {
		if s.notMoto != "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, "eu-central-1", m{"defaultTags": m{"tags": m{"Project": "lab"}}})
			w.moto = true
			s.run(w)
		})
	}
}
