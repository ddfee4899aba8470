package awsres

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/services"
)

// testLog sends the gate's log to the test's.
type testLog struct{ t *testing.T }

// Write logs one line.
func (w testLog) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// labGate starts the lab's gate with all of its services and points the SDK at it, by endpoint and CA bundle.
func labGate(t *testing.T) {
	t.Helper()
	g, err := gate.New(gate.Options{AccountID: "111122223333", Region: "eu-central-1", Log: testLog{t}})
	require.NoError(t, err)
	s, err := services.Register(g, services.Options{})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.ServeTLS(l, "host")
	}()
	t.Cleanup(func() {
		s.Close()
		_ = g.Close()
		<-done
	})
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(bundle, g.CA(), 0o600))
	key, secret := g.Admin()
	t.Setenv("AWS_ENDPOINT_URL", "https://"+l.Addr().String())
	t.Setenv("AWS_CA_BUNDLE", bundle)
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}

func TestLifecyclesAgainstTheGate(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			if s.notGate != "" {
				t.Skip(s.notGate)
			}
			labGate(t)
			s.run(newWorld(t, "eu-central-1", m{"defaultTags": m{"tags": m{"Project": "lab"}}}))
		})
	}
}
