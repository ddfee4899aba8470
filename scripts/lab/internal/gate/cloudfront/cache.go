package cloudfront

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// entry is one answer in the edge's cache. It is not changed once it is stored.
type entry struct {
	status          int
	header          http.Header
	body            []byte
	path            string // the viewer's, for invalidations
	stored, expires time.Time
}

// maxEntries bounds a distribution's cache; a full one starts again.
const maxEntries = 4096

// cache of all distributions: id to key to entry.
type cache struct {
	mu sync.Mutex
	m  map[string]map[string]*entry
}

func (c *cache) get(id, key string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[id][key]
}

func (c *cache) put(id, key string, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]map[string]*entry{}
	}
	if c.m[id] == nil || len(c.m[id]) >= maxEntries {
		c.m[id] = map[string]*entry{}
	}
	c.m[id][key] = e
}

// drop removes the entries whose path matches one of the patterns (a * only at the end); nil removes all.
func (c *cache) drop(id string, patterns []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if patterns == nil {
		delete(c.m, id)
		return
	}
	for key, e := range c.m[id] {
		for _, p := range patterns {
			if prefix, wild := strings.CutSuffix(p, "*"); (wild && strings.HasPrefix(e.path, prefix)) || e.path == p {
				delete(c.m[id], key)
			}
		}
	}
}

// names lists what a policy's list of names holds.
func names(t *wire.Tree) []string {
	var out []string
	for _, n := range t.Find("Items").All("Name") {
		out = append(out, strings.TrimSpace(n.Text))
	}
	return out
}

// forwardedQuery is the part of the query that is in the cache key and goes to the origin.
func (st *site) forwardedQuery(r *http.Request) string {
	q := r.URL.Query()
	if st.policy == nil {
		if st.behavior.Bool("ForwardedValues", "QueryString") {
			return q.Encode()
		}
		return ""
	}
	config := st.policy.Find("ParametersInCacheKeyAndForwardedToOrigin", "QueryStringsConfig")
	behavior, listed := config.Get("QueryStringBehavior"), names(config.Find("QueryStrings"))
	out := url.Values{}
	for k, v := range q {
		if chosen(behavior, listed, k) {
			out[k] = v
		}
	}
	return out.Encode()
}

func chosen(behavior string, listed []string, name string) bool {
	switch behavior {
	case "all":
		return true
	case "whitelist":
		return slices.Contains(listed, name)
	case "allExcept":
		return !slices.Contains(listed, name)
	}
	return false
}

// key tells viewer requests apart for the cache: path, and what the policy adds.
func (st *site) key(r *http.Request) string {
	parts := []string{r.URL.EscapedPath(), st.forwardedQuery(r), st.origin.Get("Id"), st.behavior.Get("PathPattern")}
	if st.policy != nil {
		p := st.policy.Find("ParametersInCacheKeyAndForwardedToOrigin")
		headers := names(p.Find("HeadersConfig", "Headers"))
		sort.Strings(headers)
		if p.Get("HeadersConfig", "HeaderBehavior") == "whitelist" {
			for _, h := range headers {
				parts = append(parts, strings.ToLower(h)+"="+strings.Join(r.Header.Values(h), ","))
			}
		}
		behavior, listed := p.Get("CookiesConfig", "CookieBehavior"), names(p.Find("CookiesConfig", "Cookies"))
		var cookies []string
		for _, c := range r.Cookies() {
			if chosen(behavior, listed, c.Name) {
				cookies = append(cookies, c.Name+"="+c.Value)
			}
		}
		sort.Strings(cookies)
		parts = append(parts, cookies...)
	}
	return strings.Join(parts, "\n")
}
