package injection

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/kubeclient"
)

const role = "arn:aws:iam::111122223333:role/lab-uploader"

// apiServer answers with what answer returns, and counts the connections.
func apiServer(t *testing.T, answer func(n int, r *http.Request) (int, string)) (*kubeclient.Client, *int) {
	t.Helper()
	var mu sync.Mutex
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		status, body := answer(asked, r)
		mu.Unlock()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	access, err := kubeclient.Parse(fmt.Sprintf(`{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority-data": %q}}], "users": [{"name": "u", "user": {"token": "t"}}]}`,
		server.URL, base64.StdEncoding.EncodeToString(ca)))
	require.NoError(t, err)
	return access, &asked
}

func admitted(role string) string {
	return `{"kind": "Pod", "spec": {"containers": [{"name": "probe", "env": [{"name": "AWS_ROLE_ARN", "value": "` + role + `"}]}]}}`
}

func TestAwaitInjection(t *testing.T) {
	var said []string
	access, asked := apiServer(t, func(n int, r *http.Request) (int, string) {
		require.Equal(t, "/api/v1/namespaces/default/pods?dryRun=All", r.URL.String(), "nothing is made")
		require.True(t, r.Close, "each question may reach another API server")
		var pod struct {
			Spec struct{ ServiceAccountName string }
		}
		require.NoError(t, json.NewDecoder(r.Body).Decode(&pod))
		require.Equal(t, "uploader", pod.Spec.ServiceAccountName)
		switch n {
		case 1:
			return http.StatusServiceUnavailable, `{"kind": "Status", "message": "starting"}`
		case 3: // one of several API servers is behind
			return http.StatusCreated, `{"kind": "Pod", "spec": {"containers": [{"name": "probe"}]}}`
		case 5:
			return http.StatusCreated, admitted("arn:aws:iam::111122223333:role/earlier")
		}
		return http.StatusCreated, admitted(role)
	})
	err := awaitInjection(t.Context(), access, "default", "uploader", role, time.Minute, func(s string) { said = append(said, s) })
	require.NoError(t, err)
	require.Equal(t, 5+probes, *asked, "as many in a row as it takes to reach all")
	require.Equal(t, []string{"503 starting", "a pod was let through without its identity, " + role}, said)
}

func TestAwaitInjectionInVain(t *testing.T) {
	access, _ := apiServer(t, func(int, *http.Request) (int, string) {
		return http.StatusForbidden, `{"kind": "Status", "message": "exceeded quota"}`
	})
	err := awaitInjection(t.Context(), access, "default", "uploader", role, 300*time.Millisecond, func(string) {})
	require.ErrorIs(t, err, ErrNotInjected)
	require.ErrorContains(t, err, "default/uploader")
	require.ErrorContains(t, err, "403 exceeded quota")
}

func TestAwaitPolicyAPI(t *testing.T) {
	access, _ := apiServer(t, func(n int, r *http.Request) (int, string) {
		require.Equal(t, "/apis/admissionregistration.k8s.io/v1beta1", r.URL.Path)
		if n == 1 {
			return http.StatusNotFound, "404 page not found\n"
		}
		return http.StatusOK, `{"resources": [{"name": "mutatingadmissionpolicies"}, {"name": "mutatingadmissionpolicybindings"}]}`
	})
	require.NoError(t, awaitPolicyAPI(t.Context(), access, time.Minute))

	access, _ = apiServer(t, func(int, *http.Request) (int, string) { return http.StatusOK, `{"resources": []}` })
	err := awaitPolicyAPI(t.Context(), access, 300*time.Millisecond)
	require.ErrorIs(t, err, ErrNoPolicyAPI)
	require.ErrorContains(t, err, "--feature-gates=MutatingAdmissionPolicy=true")
	require.ErrorContains(t, err, "--runtime-config=admissionregistration.k8s.io/v1beta1=true")
}
