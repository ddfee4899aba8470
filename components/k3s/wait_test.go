package k3s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/kubeclient"
)

// testAccess is an API server with the given handler, and an admin's way in.
func testAccess(t *testing.T, handler http.HandlerFunc) kubeclient.Admin {
	t.Helper()
	ca := func(name string, uses ...any) (string, string) {
		key, err := newTestKey("ECDSA")
		require.NoError(t, err)
		cert, err := certify(resource.NewPropertyMapFromMap(map[string]any{
			"validityPeriodHours": 1, "isCaCertificate": true, "allowedUses": uses,
			"subject": map[string]any{"commonName": name},
		}), key, "", "")
		require.NoError(t, err)
		return cert, key
	}
	serverCA, serverKey := ca("servers", "cert_signing")
	clientCert, clientKey := ca("clients", "cert_signing", "client_auth")
	clients := x509.NewCertPool()
	require.True(t, clients.AppendCertsFromPEM([]byte(clientCert)))
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{servingCertificate(t, []string{"127.0.0.1"}, serverCA, serverKey)},
		ClientCAs:    clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return kubeclient.Admin{ClusterName: "lab", Endpoint: server.URL, CAPem: serverCA, CertPem: clientCert, KeyPem: clientKey}
}

func TestWaitForAPI(t *testing.T) {
	var asked atomic.Int32
	access := testAccess(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "[-]etcd failed", http.StatusInternalServerError)
		}
	})
	var told []string
	err := waitForAPI(t.Context(), access, time.Minute, "hint", func(text string) { told = append(told, text) })
	require.NoError(t, err)
	require.EqualValues(t, 3, asked.Load())
	require.Equal(t, []string{"500 Internal Server Error [-]etcd failed"}, told, "progress is told only when it changes")
}

func TestWaitForAPIGivesUp(t *testing.T) {
	silent := func(string) {}
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := refusing.Addr().String()
	require.NoError(t, refusing.Close())

	unready := testAccess(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "starting", http.StatusServiceUnavailable) })
	gone, stranger := unready, unready
	gone.Endpoint = "https://" + nobody
	stranger.CAPem = testAccess(t, nil).CAPem
	for name, tt := range map[string]struct {
		access kubeclient.Admin
		want   string
	}{
		"not ready":        {unready, "503 Service Unavailable starting"},
		"nobody there":     {gone, "connection refused"},
		"another's server": {stranger, "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := waitForAPI(t.Context(), tt.access, 2*time.Second, bootHint("i-0abc", "eu-central-1"), silent)
			require.ErrorIs(t, err, errAPINotReady)
			require.ErrorContains(t, err, tt.access.Endpoint+" after 2s")
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "get-console-output --latest --output text --region eu-central-1 --instance-id i-0abc")
			require.ErrorContains(t, err, "start-session --region eu-central-1 --target i-0abc")
		})
	}
}

func TestWaitForAPIStops(t *testing.T) {
	silent := func(string) {}
	access := testAccess(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "starting", http.StatusServiceUnavailable) })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	require.ErrorIs(t, waitForAPI(ctx, access, time.Minute, "", silent), context.Canceled)
	access.KeyPem = ""
	require.ErrorContains(t, waitForAPI(t.Context(), access, time.Minute, "", silent), "client-certificate-data")
}
