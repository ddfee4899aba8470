package cloudfront

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// pop names the edge location in answers.
const pop = "FRA56-LAB"

// HandlesHost tells the edge's sites: distributions' own names and their aliases.
func (s *Service) HandlesHost(host string) bool {
	if strings.HasSuffix(host, domain) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byHost(host)
	return ok
}

// byHost finds the distribution of a host name: an exact alias before a wildcard.
func (s *Service) byHost(host string) (*distribution, bool) {
	_, parent, _ := strings.Cut(host, ".")
	var wild *distribution
	for _, d := range s.distributions {
		if d.domain == host {
			return d, true
		}
		aliases := d.aliases()
		if slices.Contains(aliases, host) {
			return d, true
		}
		if slices.Contains(aliases, "*."+parent) {
			wild = d
		}
	}
	return wild, wild != nil
}

// security policies of viewer connections (CloudFront Developer Guide, "Supported protocols and ciphers").
var protocols = map[string]uint16{"SSLv3": tls.VersionTLS10, "TLSv1": tls.VersionTLS10, "TLSv1_2016": tls.VersionTLS10, "TLSv1.1_2016": tls.VersionTLS11,
	"TLSv1.2_2018": tls.VersionTLS12, "TLSv1.2_2019": tls.VersionTLS12, "TLSv1.2_2021": tls.VersionTLS12, "TLSv1.2_2025": tls.VersionTLS12, "TLSv1.3_2025": tls.VersionTLS13}

func validProtocol(name string) bool {
	_, ok := protocols[name]
	return ok || name == ""
}

// TLSConfig presents the ACM certificate of an alias, from the distribution's minimum TLS version on. The distributions'
// own names get the gate's certificate for *.cloudfront.net.
func (s *Service) TLSConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" || strings.HasSuffix(name, domain) {
		return nil, nil
	}
	s.mu.Lock()
	d, ok := s.byHost(name)
	var arn, minimum, version string
	if ok {
		arn, minimum, version = d.certificate(), d.config.Get("ViewerCertificate", "MinimumProtocolVersion"), d.config.Get("HttpVersion")
	}
	s.mu.Unlock()
	if !ok {
		return nil, nil
	}
	cert, found := s.certs.Certificate(arn)
	if !found || cert.Pair == nil {
		return nil, errors.New("cloudfront: no certificate for " + name)
	}
	config := &tls.Config{Certificates: []tls.Certificate{*cert.Pair}, MinVersion: protocols[minimum], NextProtos: []string{"http/1.1"}}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS10
	}
	if strings.HasPrefix(version, "http2") {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	if minimum == "TLSv1.2_2021" { // forward secrecy and authenticated encryption only
		config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256}
	}
	return config, nil
}

// site is what a viewer request needs of a distribution, copied so that it is served without the lock.
type site struct {
	id, arn, domain, root string
	behavior              *wire.Tree
	origin                *wire.Tree
	policy, headers, oac  *wire.Tree
	errorTTL              map[int]int64
}

// site picks the behavior, origin and policies for a path.
func (s *Service) site(host, requestPath string) (*site, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.byHost(host)
	if !ok || !d.enabled() {
		return nil, false
	}
	out := &site{id: d.id, arn: s.arn("distribution/" + d.id), domain: d.domain, root: d.config.Get("DefaultRootObject"), errorTTL: map[int]int64{}}
	for _, b := range behaviors(d.config) {
		out.behavior = b
		if pattern := b.Get("PathPattern"); pattern == "" || matchPath(pattern, requestPath) {
			break
		}
	}
	for _, o := range d.config.Find("Origins", "Items").All("Origin") {
		if o.Get("Id") == out.behavior.Get("TargetOriginId") {
			out.origin = o
		}
	}
	if o, ok := s.policies["cache-policy"][out.behavior.Get("CachePolicyId")]; ok {
		out.policy = o.config
	}
	if o, ok := s.policies["response-headers-policy"][out.behavior.Get("ResponseHeadersPolicyId")]; ok {
		out.headers = o.config
	}
	if o, ok := s.policies["origin-access-control"][out.origin.Get("OriginAccessControlId")]; ok {
		out.oac = o.config
	}
	for _, e := range d.config.Find("CustomErrorResponses", "Items").All("CustomErrorResponse") {
		out.errorTTL[int(e.Int(0, "ErrorCode"))] = e.Int(10, "ErrorCachingMinTTL")
	}
	return out, true
}

// matchPath matches CloudFront's path patterns: * for any run, ? for one character, case-sensitive, the slash optional.
func matchPath(pattern, requestPath string) bool {
	return glob(strings.TrimPrefix(pattern, "/"), strings.TrimPrefix(requestPath, "/"))
}

func glob(pattern, s string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(s); i++ {
				if glob(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		case '?':
			if s == "" {
				return false
			}
		default:
			if s == "" || s[0] != pattern[0] {
				return false
			}
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}

// ServeHost serves a viewer request.
func (s *Service) ServeHost(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(r.Host)
	if i := strings.LastIndexByte(host, ':'); i > 0 {
		host = host[:i]
	}
	id := wire.UpperID("", 40)
	h := w.Header()
	h.Set("X-Amz-Cf-Pop", pop)
	h.Set("X-Amz-Cf-Id", id)
	st, ok := s.site(host, r.URL.Path)
	if !ok {
		h.Set("X-Cache", "Error from cloudfront")
		s.refuse(w, r, nil, http.StatusForbidden, id, "Bad request. We can't connect to the server for this app or website at this time.")
		return
	}
	h.Set("Via", viaOf(r)+st.domain+" (CloudFront)")
	switch protocol := st.behavior.Get("ViewerProtocolPolicy"); {
	case r.TLS == nil && protocol == "redirect-to-https":
		h.Set("Location", "https://"+host+r.URL.RequestURI())
		h.Set("X-Cache", "Redirect from cloudfront")
		w.WriteHeader(http.StatusMovedPermanently)
		s.record(r, st, http.StatusMovedPermanently, "Redirect", "")
		return
	case r.TLS == nil && protocol == "https-only":
		h.Set("X-Cache", "Error from cloudfront")
		s.refuse(w, r, st, http.StatusForbidden, id, "Bad request. This distribution is not configured to allow the protocol that was used for this request. The distribution supports only encrypted requests.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("X-Cache", "Error from cloudfront")
		s.refuse(w, r, st, http.StatusForbidden, id, "This distribution is not configured to allow the HTTP request method that was used for this request. The distribution supports only cachable requests.")
		return
	}
	s.serve(w, r, st)
}

func viaOf(r *http.Request) string {
	if r.ProtoMajor == 2 {
		return "2.0 "
	}
	return "1.1 "
}

// serve answers from the cache or the origin.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, st *site) {
	now := s.g.Now()
	key := st.key(r)
	hit := s.cache.get(st.id, key)
	verdict := "Miss from cloudfront"
	switch {
	case hit != nil && now.Before(hit.expires):
		verdict = "Hit from cloudfront"
	default:
		fresh := s.fetch(r, st, hit)
		if hit != nil && (fresh.status == http.StatusNotModified || fresh.status >= 500) {
			// The origin confirms what the edge has, or fails: then the stale object is better than nothing.
			stale := *hit
			if fresh.status == http.StatusNotModified {
				verdict = "RefreshHit from cloudfront"
				stale.stored = now
				stale.expires = now.Add(st.ttl(merge(hit.header, fresh.header), hit.status, now))
				s.cache.put(st.id, key, &stale)
			}
			hit = &stale
			break
		}
		hit = fresh
		hit.stored = now
		if ttl := st.ttl(hit.header, hit.status, now); ttl > 0 {
			hit.expires = now.Add(ttl)
			s.cache.put(st.id, key, hit)
		}
	}
	if hit.status >= 400 {
		verdict = "Error from cloudfront"
	}
	h := w.Header()
	for name, values := range hit.header {
		h[name] = slices.Clone(values)
	}
	h.Set("X-Cache", verdict)
	if age := int(now.Sub(hit.stored).Seconds()); age > 0 || strings.HasPrefix(verdict, "Hit") {
		h.Set("Age", strconv.Itoa(age))
	}
	st.decorate(h, r)
	status := hit.status
	if tag := hit.header.Get("ETag"); status == http.StatusOK && tag != "" && r.Header.Get("If-None-Match") == tag {
		h.Del("Content-Length")
		status = http.StatusNotModified
	} else {
		h.Set("Content-Length", strconv.Itoa(len(hit.body)))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodGet && status != http.StatusNotModified {
		_, _ = w.Write(hit.body)
	}
	s.record(r, st, status, strings.TrimSuffix(verdict, " from cloudfront"), h.Get("Age"))
}

// record notes a viewer request. It is not an API call, so the caller is anonymous whoever it is.
func (s *Service) record(r *http.Request, st *site, status int, verdict, age string) {
	e := gate.Event{Service: "cloudfront", Region: "us-east-1", Action: "ViewerRequest", Caller: "anonymous", Status: status, UserAgent: r.UserAgent(),
		Details: map[string]string{"host": r.Host, "path": r.URL.Path, "cache": verdict}}
	if st != nil {
		e.Resource = st.arn
	}
	if age != "" {
		e.Details["age"] = age
	}
	s.g.Record(e)
}

// refuse answers with CloudFront's error page.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, st *site, status int, id, message string) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Server", "CloudFront")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">
<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY>
<H1>%d ERROR</H1><H2>The request could not be satisfied.</H2><HR noshade size="1px">%s<BR clear="all">
<PRE>Generated by cloudfront (CloudFront) Request ID: %s</PRE></BODY></HTML>
`, status, html.EscapeString(message), id)
	}
	s.record(r, st, status, "Error", "")
}

// fetch asks the origin. An S3 origin is asked as CloudFront's service principal for the distribution where the OAC says
// so, else anonymously. old, what the edge has, makes the request conditional.
func (s *Service) fetch(r *http.Request, st *site, old *entry) *entry {
	region, _ := originHost(st.origin.Get("DomainName"))
	objectPath := r.URL.Path
	if objectPath == "/" && st.root != "" {
		objectPath = "/" + strings.TrimPrefix(st.root, "/")
	}
	target := &url.URL{Path: st.origin.Get("OriginPath") + objectPath, RawQuery: st.forwardedQuery(r)}
	// The request never leaves the process: the gate dispatches it to its own S3.
	req, err := http.NewRequest(http.MethodGet, "https://"+st.origin.Get("DomainName")+target.RequestURI(), http.NoBody) //nolint:gosec // no network
	if err != nil {
		return &entry{status: http.StatusBadGateway, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte(err.Error())}
	}
	req.Host = st.origin.Get("DomainName")
	req.Header.Set("User-Agent", "Amazon CloudFront")
	if old != nil {
		if tag := old.header.Get("ETag"); tag != "" && old.status == http.StatusOK {
			req.Header.Set("If-None-Match", tag)
		}
	}
	call := &gate.Call{Service: "s3", Region: region, R: req, Source: "cloudfront/" + st.id}
	if st.oac != nil && st.oac.Get("SigningBehavior") != "never" {
		if st.oac.Get("SigningBehavior") == "always" || r.Header.Get("Authorization") == "" {
			call.Principal = gate.ServicePrincipal("cloudfront."+gate.DNSSuffix, st.arn, s.g.AccountID())
		}
	}
	buffer := &bufferWriter{header: http.Header{}}
	s.g.Dispatch(buffer, call)
	if buffer.status == 0 {
		buffer.status = http.StatusOK
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Content-Length"} {
		buffer.header.Del(name)
	}
	return &entry{status: buffer.status, header: buffer.header, body: buffer.body.Bytes(), path: path.Clean("/" + strings.TrimPrefix(r.URL.Path, "/"))}
}

// bufferWriter keeps an answer of the gate.
type bufferWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the answer's headers.
func (b *bufferWriter) Header() http.Header { return b.header }

// WriteHeader keeps the first status.
func (b *bufferWriter) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

// Write keeps the body.
func (b *bufferWriter) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

func merge(a, b http.Header) http.Header {
	out := a.Clone()
	for _, name := range []string{"Cache-Control", "Expires", "Etag", "Last-Modified", "Date"} {
		if v, ok := b[name]; ok {
			out[name] = v
		}
	}
	return out
}

// defaultErrorTTL is how long the edge keeps an error of the origin (CloudFront Developer Guide, "Control how long
// CloudFront caches errors").
const defaultErrorTTL = 10

// ttl is how long an answer is kept: the origin's Cache-Control or Expires within the policy's bounds, else its default.
func (st *site) ttl(h http.Header, status int, now time.Time) time.Duration {
	var low, def, high int64
	if st.policy != nil {
		low, def, high = ttls(st.policy)
	} else {
		b := st.behavior
		low, def, high = b.Int(0, "MinTTL"), b.Int(86400, "DefaultTTL"), b.Int(31536000, "MaxTTL")
	}
	asked, directive := originAge(h, now)
	seconds := max(low, def)
	if status >= 400 {
		if !slices.Contains([]int{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}, status) {
			return 0
		}
		errorTTL, ok := st.errorTTL[status]
		if !ok {
			errorTTL = defaultErrorTTL
		}
		if directive && asked > errorTTL {
			errorTTL = min(asked, max(high, errorTTL))
		}
		return time.Duration(errorTTL) * time.Second
	}
	if status != http.StatusOK && status != http.StatusNotModified {
		return 0
	}
	if directive {
		seconds = min(max(asked, low), max(high, low))
	}
	return time.Duration(min(seconds, max(high, low))) * time.Second
}

// originAge is the lifetime in seconds that the origin asks for; 0 for no-cache, no-store and private.
func originAge(h http.Header, now time.Time) (seconds int64, ok bool) {
	found := false
	for _, d := range strings.Split(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(d)), "=")
		n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
		switch {
		case name == "no-cache" || name == "no-store" || name == "private":
			return 0, true
		case name == "s-maxage" && err == nil:
			return n, true
		case name == "max-age" && err == nil:
			seconds, found = n, true
		}
	}
	if found {
		for _, d := range strings.Split(h.Get("Cache-Control"), ",") { // s-maxage counts more wherever it stands
			if v, ok := strings.CutPrefix(strings.TrimSpace(strings.ToLower(d)), "s-maxage="); ok {
				if n, err := strconv.ParseInt(v, 10, 64); err == nil {
					return n, true
				}
			}
		}
		return seconds, true
	}
	if e := h.Get("Expires"); e != "" {
		if t, err := http.ParseTime(e); err == nil {
			return max(0, int64(t.Sub(now).Seconds())), true
		}
		return 0, true
	}
	return 0, false
}
