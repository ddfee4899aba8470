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

// passTime is POST /_lab/pass: so many days pass for the certificates of K3s on all machines, and the machines' timers
// elapse.
func passTime(w http.ResponseWriter, r *http.Request, m *machines.Machines) {
	var in struct {
		Days int `json:"days"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil || in.Days < 1 {
		http.Error(w, fmt.Sprintf("days must be a number, at least 1: %v", err), http.StatusBadRequest)
		return
	}
	if err := m.Pass(r.Context(), time.Duration(in.Days)*24*time.Hour); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(in)
}

// ageTokens is POST /_lab/tokens: the kubelet refreshes the tokens of a pod, as it does after 80 % of their life.
func ageTokens(w http.ResponseWriter, r *http.Request, m *machines.Machines) {
	var in struct {
		Namespace string `json:"namespace"`
		Pod       string `json:"pod"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&in)
	if err == nil {
		err = m.AgeTokens(in.Namespace, in.Pod)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(in)
}
