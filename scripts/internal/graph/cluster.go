package graph

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"

	"k3s-aws-auth/stacks/config"
)

// aKey is the public key of a pair whose other half nobody kept. Which keys a stack publishes changes no resource.
const aKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFiz4MtxjynD6o3ljShr+1I0tE7ap
HMcCKF61eCpZOZUPRUyaBZMVJ9bwHRz5ez8eSXkKV8ulBd8BqFgem/VLtg==
-----END PUBLIC KEY-----
`

// elsewhere puts a cluster that has nothing in the place of an existing one: the program asks it, in previews too, whether
// anybody has made there what the stack would make. The function returned ends that cluster.
func elsewhere(values map[string]string) (map[string]string, func(), error) {
	const key = config.Project + ":cluster"
	cluster := map[string]any{}
	if text, given := values[key]; given {
		if err := json.Unmarshal([]byte(text), &cluster); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if cluster["mode"] != config.ModeExisting {
		return values, func() {}, nil
	}
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/serviceaccounts") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"items": []}`)
	}))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	cluster["publicKeys"] = []string{aKey}
	cluster["kubeconfig"] = fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %q}}], users: [{name: u, user: {token: none}}]}`,
		api.URL, base64.StdEncoding.EncodeToString(ca))
	text, err := json.Marshal(cluster)
	if err != nil {
		api.Close()
		return nil, nil, err
	}
	values = maps.Clone(values)
	values[key] = string(text)
	return values, api.Close, nil
}
