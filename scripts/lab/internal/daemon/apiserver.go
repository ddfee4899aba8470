package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"k3s-aws-auth/scripts/lab/internal/cluster"
	"k3s-aws-auth/scripts/lab/internal/machines"
)

// apiServerChange is the body of POST /_lab/apiserver. Action stop ends every server's control plane, as stopping K3s does;
// start runs it (again) with the given changes of the API server, and without any as the node's configuration says.
type apiServerChange struct {
	Action     string   `json:"action"`
	Issuers    []string `json:"issuers"`
	SigningKey string   `json:"signingKey"`
	// TokenClock is a duration such as 5h.
	TokenClock string `json:"tokenClock"`
}

func changeAPIServers(w http.ResponseWriter, r *http.Request, m *machines.Machines) {
	var in apiServerChange
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	change := cluster.Change{Issuers: in.Issuers, SigningKey: in.SigningKey}
	if in.TokenClock != "" {
		d, err := time.ParseDuration(in.TokenClock)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		change.TokenClock = d
	}
	servers := m.Servers()
	for _, s := range servers {
		switch in.Action {
		case "stop":
			s.StopControlPlane()
		case "start":
			if err := s.RestartControlPlane(r.Context(), change); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		default:
			http.Error(w, fmt.Sprintf("action is stop or start, not %q", in.Action), http.StatusBadRequest)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"servers": len(servers)})
}
