package gate

import (
	"net/http"
	"strings"
	"time"
)

// Trouble is what clients have to live with: calls that AWS fails for a while.
type Trouble struct {
	// Source is the beginning of the callers' sources, such as "pod/default/"; Action the operation.
	Source string `json:"source"`
	Action string `json:"action"`
	// Code, Message and Status are what they get.
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"status"`
	// Until is when it ends, by the clock of this machine.
	Until time.Time `json:"until"`
}

// SetTrouble replaces the troubles; none ends them.
func (g *Gate) SetTrouble(list []Trouble) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.troubles = append([]Trouble(nil), list...)
}

// trouble is the error that a call has to get now, or nil.
func (g *Gate) trouble(c *Call) *Error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, t := range g.troubles {
		if strings.HasPrefix(c.Source, t.Source) && c.Action == t.Action && time.Now().Before(t.Until) {
			return &Error{Code: t.Code, Message: t.Message, Status: t.Status}
		}
	}
	return nil
}

// SetLongestSession lets sessions of roles end after at most d, which is less than AWS gives anybody: so that they end while
// somebody watches. 0 ends it.
func (g *Gate) SetLongestSession(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest = d
}

// cut is a session's length under SetLongestSession.
func (g *Gate) cut(d time.Duration) time.Duration {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.longest > 0 {
		return min(d, g.longest)
	}
	return d
}

// troubleControl replaces troubles and the longest session.
func (g *Gate) troubleControl(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Troubles       []Trouble `json:"troubles"`
		LongestSession string    `json:"longestSession"`
	}
	if !controlRead(w, r, &in) {
		return
	}
	longest, err := time.ParseDuration(in.LongestSession)
	if err != nil || longest < 0 {
		http.Error(w, "longestSession is not a duration such as 20s; 0s is for as long as AWS gives", http.StatusBadRequest)
		return
	}
	for _, t := range in.Troubles {
		if t.Source == "" || t.Action == "" || t.Code == "" || t.Status < 400 || t.Status > 599 {
			http.Error(w, "source, action, code and a status of 400 to 599 are required", http.StatusBadRequest)
			return
		}
	}
	g.SetTrouble(in.Troubles)
	g.SetLongestSession(longest)
	controlJSON(w, in)
}
