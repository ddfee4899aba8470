package labs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	root := t.TempDir()
	_, err := Open(root, "irsa-s3")
	require.ErrorIs(t, err, ErrNotRunning)
	dir := filepath.Join(root, "irsa-s3")
	require.NoError(t, os.Mkdir(dir, 0o700))
	save := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.json"), []byte(text), 0o600))
	}
	save(fmt.Sprintf(`{"setup":"irsa-s3","pid":%d,"control":"http://127.0.0.1:1","controlToken":"t"}`, os.Getpid()))
	lab, err := Open(root, "irsa-s3")
	require.NoError(t, err)
	require.Equal(t, &Lab{Setup: "irsa-s3", Kubeconfig: filepath.Join(dir, "kubeconfig"), Control: "http://127.0.0.1:1", ControlToken: "t"}, lab)
	save(`{"pid":0}`)
	_, err = Open(root, "irsa-s3")
	require.ErrorIs(t, err, ErrNotRunning)
	save(`{`)
	_, err = Open(root, "irsa-s3")
	require.ErrorContains(t, err, "lab of irsa-s3")

	t.Setenv(RootVariable, root)
	_, err = Open("", "roles-anywhere")
	require.ErrorContains(t, err, root)
}

func TestControl(t *testing.T) {
	var posted []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPost {
			var body json.RawMessage
			require.NoError(t, json.NewDecoder(r.Body).Decode(&body))
			posted = append(posted, r.URL.Path+" "+string(body))
			return
		}
		require.Equal(t, "/_lab/events?since=7", r.URL.String())
		_, _ = w.Write([]byte(`[{"sequence":8,"time":"2026-05-06T12:00:00Z","service":"sts","action":"GetCallerIdentity","seconds":0.5,"newConnection":true}]`))
	}))
	defer server.Close()
	ctx, lab := context.Background(), &Lab{Setup: "a", Control: server.URL, ControlToken: "secret"}
	events, err := lab.Events(ctx, 7)
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 5, 6, 12, 0, 0, 5e8, time.UTC), events[0].End())
	require.True(t, events[0].NewConnection)
	require.NoError(t, lab.FlushKeys(ctx))
	require.NoError(t, lab.SetLatency(ctx, nil))
	require.NoError(t, lab.SetLatency(ctx, []LatencyRule{{Host: "*", RequestMs: 1}}))
	require.Equal(t, []string{`/_lab/jwks {"flush":true}`, `/_lab/latency {"rules":[]}`,
		`/_lab/latency {"rules":[{"host":"*","connectMs":0,"requestMs":1}]}`}, posted)
	lab.ControlToken = "wrong"
	require.ErrorContains(t, lab.FlushKeys(ctx), "401 Unauthorized: no")
}
