package gate

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/sigv4"
)

// maxBody bounds a payload in bytes; larger ones answer EntityTooLarge.
const maxBody = 256 << 20

// ServeHTTP answers any AWS request, by Host or, on loopback hosts, by credential scope, target or action.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := hostname(r.Host)
	started := time.Now()
	now := g.Now()
	g.DelayRequest(r.Context(), host)
	for _, s := range g.each() {
		if site, ok := s.(HostHandler); ok && site.HandlesHost(host) {
			site.ServeHost(w, r)
			return
		}
	}
	recorder := &statusWriter{ResponseWriter: w}
	c := &Call{R: r, Host: host, RequestID: newRequestID(), Time: now, gate: g}
	c.Source, _ = r.Context().Value(sourceKey{}).(string)
	c.skew = g.SkewOf(c.Source)
	w.Header().Set("Date", c.callerTime(now).UTC().Format(http.TimeFormat)) // SDKs correct their clocks by it
	g.answer(recorder, c)
	g.recordCall(c, recorder.status, time.Since(started))
}

// answer takes a call through all its steps.
func (g *Gate) answer(w http.ResponseWriter, c *Call) {
	raw, err := io.ReadAll(io.LimitReader(c.R.Body, maxBody+1))
	if err != nil {
		WriteError(w, c, Errorf(http.StatusBadRequest, "IncompleteBody", "reading the request body: %v", err))
		return
	}
	if len(raw) > maxBody {
		WriteError(w, c, Errorf(http.StatusRequestEntityTooLarge, "EntityTooLarge", "the payload is larger than %d bytes", maxBody))
		return
	}
	c.Body = raw
	signature, signatureErr := sigv4.Parse(c.R)
	service, e := g.route(c, signature)
	if e != nil {
		WriteError(w, c, e)
		return
	}
	c.protocol = protocolOf(service, c.R)
	if e := g.authenticate(c, service, signature, signatureErr, raw); e != nil {
		WriteError(w, c, e)
		return
	}
	g.finish(w, c, service)
}

// finish authorizes and serves an authenticated call.
func (g *Gate) finish(w http.ResponseWriter, c *Call, service Service) {
	c.Header = w.Header()
	requests, err := service.Requirements(c)
	if err != nil {
		WriteError(w, c, err)
		return
	}
	if c.Resource == "" && len(requests) > 0 && requests[0].Resource != "*" {
		c.Resource = requests[0].Resource
	}
	if e := g.trouble(c); e != nil {
		WriteError(w, c, e)
		return
	}
	if e := g.authorize(c, service, requests); e != nil {
		WriteError(w, c, e)
		return
	}
	service.Serve(w, c)
}

// Dispatch lets a service of the lab make a call of its own at another service, as c.Principal (often a
// ServicePrincipal, nil for anonymous): it is authorized, served and recorded like any call, but carries no signature.
// The caller sets Service, Region, Principal, R (with the Host and path a client would use) and Body; Source is free.
func (g *Gate) Dispatch(w http.ResponseWriter, c *Call) {
	c.gate, c.internal = g, true
	c.Host = hostname(c.R.Host)
	if c.RequestID == "" {
		c.RequestID = newRequestID()
	}
	if c.Time.IsZero() {
		c.Time = g.Now()
	}
	started := time.Now()
	g.DelayRequest(c.R.Context(), c.Host)
	recorder := &statusWriter{ResponseWriter: w}
	if service, ok := g.Service(c.Service); ok {
		c.protocol = protocolOf(service, c.R)
		if err := g.readAction(c); err != nil {
			WriteError(recorder, c, err)
		} else {
			g.finish(recorder, c, service)
		}
	} else {
		WriteError(recorder, c, NotImplemented("service "+c.Service))
	}
	g.recordCall(c, recorder.status, time.Since(started))
}

// route finds the service and region of a call and reads the action where the protocol names it.
func (g *Gate) route(c *Call, signature *sigv4.Signature) (Service, *Error) {
	c.Service, c.Region = routeHost(c.Host)
	if c.Service == "" && isLoopbackName(c.Host) {
		c.Service, c.Region = g.routeLoopback(c.R, c.Body, signature)
	}
	if c.Service == "" {
		return nil, NotImplemented("host " + strconv.Quote(c.Host))
	}
	if c.Region == "" {
		c.Region = "us-east-1"
		if signature != nil {
			c.Region = signature.Region
		}
	}
	service, ok := g.Service(c.Service)
	if !ok {
		if strings.HasPrefix(c.R.Header.Get("Content-Type"), "application/x-amz-json") {
			c.protocol = ProtocolJSON11
		}
		return nil, NotImplemented("service " + c.Service)
	}
	c.protocol = protocolOf(service, c.R)
	return service, g.readAction(c)
}

// readAction sets the action for query and JSON protocols.
func (g *Gate) readAction(c *Call) *Error {
	switch c.protocol {
	case ProtocolQuery, ProtocolEC2:
		form, err := readForm(c.R, c.Body)
		if err != nil {
			return Errorf(http.StatusBadRequest, "MalformedInput", "%v", err)
		}
		c.Form, c.Action = form, form.Get("Action")
		if c.Action == "" {
			return Errorf(http.StatusBadRequest, "MissingAction", "Missing Action")
		}
	case ProtocolJSON11, ProtocolJSON10:
		target := c.R.Header.Get("X-Amz-Target")
		c.Action = target[strings.LastIndexByte(target, '.')+1:]
		if c.Action == "" {
			return Errorf(http.StatusBadRequest, "UnknownOperationException", "no X-Amz-Target")
		}
	}
	return nil
}

// routeHost reads service and region from an AWS host name; both are empty for other names, region is empty for S3's
// global host.
func routeHost(host string) (service, region string) {
	rest, ok := strings.CutSuffix(host, "."+DNSSuffix)
	if !ok {
		if rest, ok = strings.CutSuffix(host, ".api.aws"); !ok {
			return "", ""
		}
	}
	labels := strings.Split(rest, ".")
	for i := len(labels) - 1; i >= 0 && i >= len(labels)-3; i-- { // [bucket.]s3[.dualstack][.region]
		if labels[i] != "s3" && labels[i] != "s3-fips" {
			continue
		}
		if i+1 < len(labels) {
			region = labels[len(labels)-1]
		}
		return "s3", region
	}
	name := strings.TrimSuffix(labels[0], "-fips")
	switch {
	case len(labels) == 1:
		return name, "us-east-1" // iam, sts, route53, cloudfront
	case len(labels) == 2 && labels[1] == "global": // iam.global.api.aws
		return name, "us-east-1"
	case len(labels) == 2:
		return name, labels[1]
	case len(labels) == 3 && labels[0] == "api" && labels[1] == "ecr": // api.ecr.eu-central-1
		return "ecr", labels[2]
	}
	return "", ""
}

// routeLoopback finds the service of a request to a loopback host, where Host says nothing.
func (g *Gate) routeLoopback(r *http.Request, body []byte, signature *sigv4.Signature) (service, region string) {
	if signature != nil {
		return signature.Service, signature.Region
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		switch prefix, _, _ := strings.Cut(target, "."); prefix {
		case "AmazonSSM":
			return "ssm", g.Region()
		case "CertificateManager":
			return "acm", g.Region()
		case "AmazonEC2ContainerRegistry_V20150921":
			return "ecr", g.Region()
		}
	}
	if form, err := readForm(r, body); err == nil && form.Get("Action") != "" {
		if strings.HasPrefix(form.Get("Version"), "2010-05-08") {
			return "iam", "us-east-1"
		}
		return "sts", g.Region()
	}
	if r.Method == http.MethodPost && r.URL.Path == "/sessions" {
		return "rolesanywhere", g.Region()
	}
	return "s3", g.Region()
}

// readForm merges the query with a form-encoded body.
func readForm(r *http.Request, body []byte) (url.Values, error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == "application/x-www-form-urlencoded" {
		more, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		for k, v := range more {
			form[k] = append(v, form[k]...)
		}
	}
	return form, nil
}

// SourceOf says where a request came from, for services that serve whole sites; see Call.Source.
func SourceOf(r *http.Request) string {
	source, _ := r.Context().Value(sourceKey{}).(string)
	return source
}

// hostname is the lower-case name of a Host header without port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return canonicalName(strings.Trim(host, "[]"))
}

// statusWriter remembers the status for the event record.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the first final status.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implies status 200.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// caller names a principal for the record.
func (p *Principal) caller() string {
	switch {
	case p == nil:
		return "anonymous"
	case p.Service != "":
		return p.Service
	}
	return p.ARN
}

func (g *Gate) recordCall(c *Call, status int, took time.Duration) {
	e := Event{Time: c.Time, RequestID: c.RequestID, Service: c.Service, Region: c.Region, Action: c.Action,
		Caller: c.Principal.caller(), Resource: c.Resource, Status: status, Source: c.Source, SourceIP: remoteIP(c.R),
		UserAgent: c.R.UserAgent(), Seconds: took.Seconds(), NewConnection: firstOnConnection(c.R.Context()), Details: c.Details}
	if c.Principal != nil {
		e.AccessKeyID = c.Principal.AccessKeyID
	}
	if c.failure != nil {
		e.ErrorCode, e.Message = c.failure.Code, c.failure.Message
		g.logf("%s:%s by %s: %s", c.Service, c.Action, e.Caller, c.failure.Error())
	}
	g.Record(e)
	g.trail(c)
}

// remoteIP is the caller's address, empty for in-memory connections.
func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || net.ParseIP(host) == nil {
		return ""
	}
	return host
}

// authenticator is implemented by services that have another way of authentication for some calls.
type authenticator interface {
	// authenticateCall returns handled = false where the common way applies.
	authenticateCall(c *Call, signature *sigv4.Signature, raw []byte) (handled bool, err error)
}

// authenticate sets the principal of a call from its signature, and takes the framing off its payload.
func (g *Gate) authenticate(c *Call, service Service, signature *sigv4.Signature, parseErr error, raw []byte) *Error {
	if own, ok := service.(authenticator); ok {
		handled, err := own.authenticateCall(c, signature, raw)
		if err != nil {
			return AsError(err)
		}
		if handled {
			return nil
		}
	}
	if errors.Is(parseErr, sigv4.ErrUnsigned) {
		if anonymous, ok := service.(AnonymousCalls); ok && anonymous.AllowsAnonymous(c) {
			return unframeAnonymous(c, raw)
		}
		return authError(c.protocol, failUnsigned, "")
	}
	if errors.Is(parseErr, sigv4.ErrScopeDate) {
		return authError(c.protocol, failScopeDate, detail(parseErr))
	}
	if parseErr != nil {
		return authError(c.protocol, failMalformed, detail(parseErr))
	}
	if !isLoopbackName(c.Host) {
		if signature.Service != c.Service {
			return authError(c.protocol, failMismatch, "Credential should be scoped to correct service: '"+c.Service+"'. ")
		}
		if signature.Region != c.Region {
			return authError(c.protocol, failRegion, c.Region)
		}
	}
	if signature.Algorithm != sigv4.HMAC {
		return authError(c.protocol, failMalformed, "algorithm "+signature.Algorithm+" is not supported by "+c.Service)
	}
	secret, principal, failure := g.credentials(signature.KeyID, signature.SessionToken)
	if failure != "" {
		return authError(c.protocol, failure, "")
	}
	dated := c.dated(signature)
	if err := dated.CheckTime(c.Time); err != nil {
		switch {
		case errors.Is(err, sigv4.ErrExpired):
			return authError(c.protocol, failPresignedExpired, skewText(dated, c.Time))
		default:
			return authError(c.protocol, failSkewed, skewText(dated, c.Time))
		}
	}
	if err := signature.Verify(c.R, raw, secret); err != nil {
		if errors.Is(err, sigv4.ErrPayload) && c.protocol == ProtocolS3 {
			return Errorf(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
		return authError(c.protocol, failMismatch, "")
	}
	if unsigned := signature.Unsigned(c.R); len(unsigned) > 0 && c.protocol == ProtocolS3 {
		return authError(c.protocol, failUnsignedHeaders, strings.Join(unsigned, ", "))
	}
	if sigv4.IsChunked(c.R) {
		payload, trailer, err := signature.DecodeChunks(c.R, raw, secret)
		if err != nil {
			if errors.Is(err, sigv4.ErrMismatch) {
				return authError(c.protocol, failMismatch, "")
			}
			return Errorf(http.StatusBadRequest, "InvalidRequest", "%v", err)
		}
		unframe(c, payload, trailer)
	}
	c.Principal = principal
	return nil
}

// unframeAnonymous takes the framing off an unsigned call's payload, which cannot have signed chunks.
func unframeAnonymous(c *Call, raw []byte) *Error {
	if !sigv4.IsChunked(c.R) {
		return nil
	}
	if c.R.Header.Get("X-Amz-Content-Sha256") != sigv4.StreamingUnsignedTrailer {
		return authError(c.protocol, failUnsigned, "")
	}
	payload, trailer, err := (&sigv4.Signature{}).DecodeChunks(c.R, raw, "")
	if err != nil {
		return Errorf(http.StatusBadRequest, "InvalidRequest", "%v", err)
	}
	unframe(c, payload, trailer)
	return nil
}

// unframe makes the request look as if its payload had been sent plainly.
func unframe(c *Call, payload []byte, trailer http.Header) {
	c.Body = payload
	h := c.R.Header
	var encodings []string
	for encoding := range strings.SplitSeq(h.Get("Content-Encoding"), ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && encoding != "aws-chunked" {
			encodings = append(encodings, encoding)
		}
	}
	h.Del("Content-Encoding")
	if len(encodings) > 0 {
		h.Set("Content-Encoding", strings.Join(encodings, ","))
	}
	for name, values := range trailer {
		h[http.CanonicalHeaderKey(name)] = values
	}
	h.Del("X-Amz-Trailer")
	h.Del("X-Amz-Decoded-Content-Length")
	h.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	c.R.ContentLength = int64(len(payload))
	c.R.TransferEncoding = nil
	c.R.Body = io.NopCloser(bytes.NewReader(payload))
}

// detail is the text after the sentinel's own.
func detail(err error) string {
	_, text, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return err.Error()
	}
	return text
}

func skewText(s *sigv4.Signature, now time.Time) string {
	signed, at := s.Time.UTC(), now.UTC()
	f := sigv4.TimeFormat
	if signed.After(at) {
		return "Signature not yet current: " + signed.Format(f) + " is still later than " + at.Add(sigv4.MaxSkew).Format(f) +
			" (" + at.Format(f) + " + 15 min.)"
	}
	return "Signature expired: " + signed.Format(f) + " is now earlier than " + at.Add(-sigv4.MaxSkew).Format(f) +
		" (" + at.Format(f) + " - 15 min.)"
}
