package gate

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Control returns the handler of the lab's own endpoints, for a listener that only the lab's tools reach:
//
//	GET    /_lab/events?since=N        the record, after sequence number N
//	GET    /_lab/inventory             what is left in the account
//	GET    /_lab/credentials           the admin user's access key
//	GET    /_lab/ca                    the web CA's certificate (PEM)
//	GET    /_lab/resolve?name=X        a DNS answer in the gate's view
//	GET    /_lab/dns                   the external DNS records
//	POST   /_lab/dns                   add one: {"name","type","value","ttl"}
//	DELETE /_lab/dns?name=X[&type=T]   remove those of a name
//	GET    /_lab/clock                 the gate's time and offset
//	POST   /_lab/clock                 shift it: {"offset":"-20m"}
//	POST   /_lab/skew                  shift the clocks of callers: {"source":"pod/","offset":"5h"}, "0s" ends it
//	POST   /_lab/jwks                  {"flush":true} and {"ttlSeconds":N} for the cache of issuers' keys
//	GET    /_lab/latency               the delays by host
//	POST   /_lab/latency               replace them: {"rules":[{"host":"sts.*.amazonaws.com","connectMs":4,"requestMs":40}]}
//	POST   /_lab/trouble               fail calls for a while, and end sessions early: {"troubles":[{"source":"pod/","action":
//	                                   "AssumeRoleWithWebIdentity","code":"Throttling","message":"Rate exceeded","status":400,
//	                                   "until":TIME}],"longestSession":"20s"}
//	GET    /_lab/revocations           the CRLs of Roles Anywhere with their serial numbers
func (g *Gate) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_lab/events", func(w http.ResponseWriter, r *http.Request) {
		since := 0
		if text := r.URL.Query().Get("since"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				http.Error(w, "since is not a number", http.StatusBadRequest)
				return
			}
			since = n
		}
		controlJSON(w, g.EventsSince(since))
	})
	mux.HandleFunc("GET /_lab/inventory", func(w http.ResponseWriter, _ *http.Request) { controlJSON(w, g.Inventory()) })
	mux.HandleFunc("GET /_lab/credentials", func(w http.ResponseWriter, _ *http.Request) {
		id, secret := g.Admin()
		controlJSON(w, map[string]string{"accessKeyId": id, "secretAccessKey": secret, "region": g.Region(), "account": g.AccountID()})
	})
	mux.HandleFunc("GET /_lab/ca", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(g.CA())
	})
	mux.HandleFunc("GET /_lab/resolve", func(w http.ResponseWriter, r *http.Request) {
		res, ok := g.Resolve(r.URL.Query().Get("name"))
		controlJSON(w, struct {
			Resolution
			Exists bool
		}{res, ok})
	})
	mux.HandleFunc("GET /_lab/dns", func(w http.ResponseWriter, _ *http.Request) { controlJSON(w, g.ExternalDNS()) })
	mux.HandleFunc("POST /_lab/dns", func(w http.ResponseWriter, r *http.Request) {
		var record DNSRecord
		if !controlRead(w, r, &record) {
			return
		}
		if record.Name == "" || record.Type == "" || record.Value == "" {
			http.Error(w, "name, type and value are required", http.StatusBadRequest)
			return
		}
		g.AddExternalDNS(record)
		controlJSON(w, g.ExternalDNS())
	})
	mux.HandleFunc("DELETE /_lab/dns", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		controlJSON(w, map[string]int{"removed": g.RemoveExternalDNS(q.Get("name"), q.Get("type"))})
	})
	clock := func(w http.ResponseWriter) {
		g.mu.RLock()
		offset := g.offset
		g.mu.RUnlock()
		controlJSON(w, map[string]string{"now": g.Now().UTC().Format(time.RFC3339Nano), "offset": offset.String()})
	}
	mux.HandleFunc("GET /_lab/clock", func(w http.ResponseWriter, _ *http.Request) { clock(w) })
	mux.HandleFunc("POST /_lab/clock", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Offset string `json:"offset"`
		}
		if !controlRead(w, r, &in) {
			return
		}
		d, err := time.ParseDuration(in.Offset)
		if err != nil {
			http.Error(w, "offset is not a duration such as -20m", http.StatusBadRequest)
			return
		}
		g.SetClockOffset(d)
		clock(w)
	})
	mux.HandleFunc("POST /_lab/skew", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Source string `json:"source"`
			Offset string `json:"offset"`
		}
		if !controlRead(w, r, &in) {
			return
		}
		d, err := time.ParseDuration(in.Offset)
		if err != nil || in.Source == "" {
			http.Error(w, "source is a beginning such as pod/, offset a duration such as 5h", http.StatusBadRequest)
			return
		}
		g.SetSkew(in.Source, d)
		controlJSON(w, in)
	})
	mux.HandleFunc("POST /_lab/jwks", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Flush bool `json:"flush"`
			TTL   *int `json:"ttlSeconds"`
		}
		if !controlRead(w, r, &in) {
			return
		}
		if in.TTL != nil {
			g.SetKeyTTL(time.Duration(*in.TTL) * time.Second)
		}
		if in.Flush {
			g.FlushKeys()
		}
		controlJSON(w, map[string]bool{"flushed": in.Flush})
	})
	mux.HandleFunc("GET /_lab/latency", g.latencyControl)
	mux.HandleFunc("POST /_lab/latency", g.latencyControl)
	mux.HandleFunc("POST /_lab/trouble", g.troubleControl)
	mux.HandleFunc("GET /_lab/revocations", func(w http.ResponseWriter, _ *http.Request) { controlJSON(w, g.Revocations()) })
	return mux
}

// Revocation is one CRL of Roles Anywhere.
type Revocation struct {
	ARN         string   `json:"arn"`
	TrustAnchor string   `json:"trustAnchor"`
	Enabled     bool     `json:"enabled"`
	Serials     []string `json:"serials"` // decimal
}

// Revocations lists the CRLs that were imported.
func (g *Gate) Revocations() []Revocation {
	g.ra.mu.RLock()
	defer g.ra.mu.RUnlock()
	out := []Revocation{}
	for _, id := range sortedKeys(g.ra.crls) {
		v := g.ra.crls[id]
		r := Revocation{ARN: v.ARN, TrustAnchor: v.Anchor, Enabled: v.Enabled, Serials: []string{}}
		for _, entry := range v.list.RevokedCertificateEntries {
			r.Serials = append(r.Serials, entry.SerialNumber.String())
		}
		out = append(out, r)
	}
	return out
}

func controlJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v)
}

func controlRead(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
