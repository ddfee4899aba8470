// Package sigv4 is the server's side of AWS Signature Version 4: it reads what a request claims about its signature,
// computes the signature again and compares. It knows header and presigned requests, streamed payloads in aws-chunked
// framing, and the X.509 algorithms of IAM Roles Anywhere. The rules are those of the IAM User Guide ("Create a signed
// AWS API request"), of the S3 API reference ("Signature Calculations for the Authorization Header") and of the Roles
// Anywhere User Guide ("Signing process").
//
// A signature does not protect against replay: AWS accepts the same signed request again while its time is within the
// allowed skew, and so does this package.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Algorithms.
const (
	HMAC        = "AWS4-HMAC-SHA256"
	X509RSA     = "AWS4-X509-RSA-SHA256"
	X509ECDSA   = "AWS4-X509-ECDSA-SHA256"
	TimeFormat  = "20060102T150405Z"
	dateFormat  = "20060102"
	terminator  = "aws4_request"
	MaxSkew     = 15 * time.Minute
	maxLifetime = 7 * 24 * time.Hour
)

// Payload hash values that are not hashes.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Errors that callers turn into the codes of their protocol.
var (
	// ErrUnsigned: the request has no signature at all.
	ErrUnsigned = errors.New("request is not signed")
	// ErrMalformed: the signature's parts cannot be read.
	ErrMalformed = errors.New("malformed signature")
	// ErrScopeDate: the date of the credential scope is not that of the signing time. It is an ErrMalformed too.
	ErrScopeDate = fmt.Errorf("%w: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP", ErrMalformed)
	// ErrMismatch: the signature is not the one for this request and secret.
	ErrMismatch = errors.New("signature does not match")
	// ErrSkewed: the signing time is too far from the clock.
	ErrSkewed = errors.New("request time too skewed")
	// ErrExpired: a presigned request's lifetime is over.
	ErrExpired = errors.New("presigned request has expired")
	// ErrPayload: the payload does not have the hash that was signed.
	ErrPayload = errors.New("payload hash does not match")
)

// Signature is what a request says about its signature.
type Signature struct {
	Algorithm string
	// KeyID is the access key id, or a certificate's decimal serial number for the X.509 algorithms.
	KeyID string
	// Date, Region and Service are the credential scope.
	Date, Region, Service string
	// SignedHeaders are lower-case and in the order of the request.
	SignedHeaders []string
	// Value is the signature in hex.
	Value string
	// Time is when it was signed.
	Time time.Time
	// Presigned requests carry the signature in the query and are valid for Lifetime.
	Presigned bool
	Lifetime  time.Duration
	// SessionToken is X-Amz-Security-Token, empty for long-term credentials.
	SessionToken string
}

// Scope is the credential scope.
func (s *Signature) Scope() string {
	return s.Date + "/" + s.Region + "/" + s.Service + "/" + terminator
}

// Parse reads the signature of a request, from the Authorization header or from a presigned query. Errors: ErrUnsigned,
// ErrMalformed.
func Parse(r *http.Request) (*Signature, error) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		return parseHeader(r, auth)
	}
	query := r.URL.Query()
	if query.Get("X-Amz-Algorithm") != "" {
		return parseQuery(query)
	}
	return nil, ErrUnsigned
}

func parseHeader(r *http.Request, auth string) (*Signature, error) {
	algorithm, rest, ok := strings.Cut(strings.TrimSpace(auth), " ")
	if !ok || algorithm != HMAC && algorithm != X509RSA && algorithm != X509ECDSA {
		return nil, fmt.Errorf("%w: unsupported authorization type %q", ErrMalformed, algorithm)
	}
	s := &Signature{Algorithm: algorithm, SessionToken: r.Header.Get("X-Amz-Security-Token")}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			if err := s.setCredential(value); err != nil {
				return nil, err
			}
		case "SignedHeaders":
			s.SignedHeaders = strings.Split(value, ";")
		case "Signature":
			s.Value = value
		}
	}
	if s.KeyID == "" || len(s.SignedHeaders) == 0 || s.Value == "" {
		return nil, fmt.Errorf("%w: Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters", ErrMalformed)
	}
	var err error
	if date := r.Header.Get("X-Amz-Date"); date != "" {
		s.Time, err = time.Parse(TimeFormat, date)
	} else if date := r.Header.Get("Date"); date != "" {
		s.Time, err = http.ParseTime(date)
	} else {
		return nil, fmt.Errorf("%w: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header", ErrMalformed)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: Date must be in ISO-8601 'basic format'", ErrMalformed)
	}
	return s, s.check()
}

func parseQuery(q url.Values) (*Signature, error) {
	s := &Signature{Algorithm: q.Get("X-Amz-Algorithm"), Presigned: true, Value: q.Get("X-Amz-Signature"),
		SessionToken: q.Get("X-Amz-Security-Token")}
	if s.Algorithm != HMAC {
		return nil, fmt.Errorf("%w: unsupported algorithm %q", ErrMalformed, s.Algorithm)
	}
	if err := s.setCredential(q.Get("X-Amz-Credential")); err != nil {
		return nil, err
	}
	if headers := q.Get("X-Amz-SignedHeaders"); headers != "" {
		s.SignedHeaders = strings.Split(headers, ";")
	}
	if len(s.SignedHeaders) == 0 || s.Value == "" {
		return nil, fmt.Errorf("%w: query-string authentication requires X-Amz-SignedHeaders and X-Amz-Signature", ErrMalformed)
	}
	var err error
	if s.Time, err = time.Parse(TimeFormat, q.Get("X-Amz-Date")); err != nil {
		return nil, fmt.Errorf("%w: X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"", ErrMalformed)
	}
	s.Lifetime = MaxSkew // services other than S3 may leave the lifetime out
	if text := q.Get("X-Amz-Expires"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 || time.Duration(seconds)*time.Second > maxLifetime {
			return nil, fmt.Errorf("%w: X-Amz-Expires must be a number of seconds less than a week", ErrMalformed)
		}
		s.Lifetime = time.Duration(seconds) * time.Second
	}
	return s, s.check()
}

func (s *Signature) setCredential(value string) error {
	parts := strings.Split(value, "/")
	if n := len(parts); n != 5 || parts[n-1] != terminator || parts[0] == "" {
		return fmt.Errorf("%w: Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request", ErrMalformed)
	}
	s.KeyID, s.Date, s.Region, s.Service = parts[0], parts[1], parts[2], parts[3]
	return nil
}

func (s *Signature) check() error {
	if day := s.Time.UTC().Format(dateFormat); s.Date != day {
		return fmt.Errorf("%w: '%s' != '%s', from '%s'.", ErrScopeDate, s.Date, day, s.Time.UTC().Format(TimeFormat)) //nolint:revive,staticcheck // AWS's own text
	}
	for _, h := range s.SignedHeaders {
		if h == "host" {
			return nil
		}
	}
	return fmt.Errorf("%w: 'Host' must be a 'SignedHeader' in the AWS Authorization", ErrMalformed)
}

// Unsigned lists the x-amz-* headers of a request that its signature does not cover, lower-case and sorted. S3 refuses
// them ("all x-amz-* headers that you plan to include in your request" are to be signed); x-amz-content-sha256 is not
// among them, since the canonical request has its value in any case.
func (s *Signature) Unsigned(r *http.Request) []string {
	var out []string
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && name != "x-amz-content-sha256" && !slices.Contains(s.SignedHeaders, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// CheckTime compares the signing time with a clock. Errors: ErrSkewed, ErrExpired (presigned).
func (s *Signature) CheckTime(now time.Time) error {
	if s.Presigned {
		switch {
		case now.Sub(s.Time) > s.Lifetime:
			return ErrExpired
		case s.Time.Sub(now) > MaxSkew:
			return ErrSkewed
		}
		return nil
	}
	if d := now.Sub(s.Time); d > MaxSkew || d < -MaxSkew {
		return ErrSkewed
	}
	return nil
}

// PayloadHash is the last line of the canonical request: the X-Amz-Content-Sha256 header, else the payload's SHA-256
// (UNSIGNED-PAYLOAD for presigned S3 requests). A header that holds a hash must be the payload's, else ErrPayload.
func (s *Signature) PayloadHash(r *http.Request, body []byte) (string, error) {
	declared := r.Header.Get("X-Amz-Content-Sha256")
	if declared == "" && s.Presigned {
		declared = r.URL.Query().Get("X-Amz-Content-Sha256")
	}
	switch declared {
	case "":
		if s.Presigned && s.Service == "s3" {
			return UnsignedPayload, nil
		}
		return hexHash(body), nil
	case UnsignedPayload, StreamingSigned, StreamingSignedTrailer, StreamingUnsignedTrailer:
		return declared, nil
	}
	if actual := hexHash(body); !strings.EqualFold(declared, actual) {
		return "", fmt.Errorf("%w: declared %s, computed %s", ErrPayload, declared, actual)
	}
	return declared, nil
}

// CanonicalRequest rebuilds the text that was signed, from the request as it arrived.
func (s *Signature) CanonicalRequest(r *http.Request, payloadHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	b.WriteString(canonicalPath(r, s.Service) + "\n")
	b.WriteString(canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range s.SignedHeaders {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.SignedHeaders, ";") + "\n" + payloadHash)
	return b.String()
}

// StringToSign is the text whose HMAC or X.509 signature the request carries.
func (s *Signature) StringToSign(r *http.Request, payloadHash string) string {
	return s.Algorithm + "\n" + s.Time.UTC().Format(TimeFormat) + "\n" + s.Scope() + "\n" +
		hexHash([]byte(s.CanonicalRequest(r, payloadHash)))
}

// Verify checks the HMAC signature of a request. body is the payload as it came over the wire (framed, where it is
// streamed). Errors: ErrMismatch, ErrPayload.
func (s *Signature) Verify(r *http.Request, body []byte, secret string) error {
	if s.Algorithm != HMAC {
		return fmt.Errorf("%w: algorithm %s needs a certificate", ErrMalformed, s.Algorithm)
	}
	hash, err := s.PayloadHash(r, body)
	if err != nil {
		return err
	}
	want := hex.EncodeToString(mac(s.key(secret), s.StringToSign(r, hash)))
	if !hmac.Equal([]byte(want), []byte(s.Value)) {
		return ErrMismatch
	}
	return nil
}

// key derives the signing key.
func (s *Signature) key(secret string) []byte {
	k := mac([]byte("AWS4"+secret), s.Date)
	k = mac(k, s.Region)
	k = mac(k, s.Service)
	return mac(k, terminator)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// canonicalPath encodes the path once for S3 and twice for every other service.
func canonicalPath(r *http.Request, service string) string {
	raw := r.URL.EscapedPath()
	if uri := r.RequestURI; strings.HasPrefix(uri, "/") {
		raw, _, _ = strings.Cut(uri, "?")
	}
	if raw == "" {
		return "/"
	}
	if service == "s3" || service == "s3-outposts" {
		decoded, err := url.PathUnescape(raw)
		if err != nil {
			return raw
		}
		return escape(decoded, false)
	}
	return escape(raw, false)
}

// canonicalQuery sorts the parameters by encoded name, then value, and leaves the signature itself out.
func canonicalQuery(raw string) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = unescapeQuery(name), unescapeQuery(value)
		if name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{escape(name, true), escape(value, true)})
	}
	sort.SliceStable(pairs, func(i, j int) bool {
		if pairs[i][0] != pairs[j][0] {
			return pairs[i][0] < pairs[j][0]
		}
		return pairs[i][1] < pairs[j][1]
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = p[0] + "=" + p[1]
	}
	return strings.Join(out, "&")
}

func unescapeQuery(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	return s
}

const upperHex = "0123456789ABCDEF"

// escape is AWS's URI encoding: everything but unreserved characters (RFC 3986), and slashes where encodeSlash is false.
func escape(s string, encodeSlash bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~',
			c == '/' && !encodeSlash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// canonicalHeader joins a header's values; Go's server keeps some headers outside of Request.Header.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return strings.TrimSpace(r.Host)
	case "content-length":
		if v := r.Header.Get("Content-Length"); v != "" {
			return v
		}
		return strconv.FormatInt(r.ContentLength, 10)
	case "transfer-encoding":
		return strings.Join(r.TransferEncoding, ",")
	}
	values := r.Header.Values(name)
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = collapse(v)
	}
	return strings.Join(out, ",")
}

// collapse trims a value and makes runs of spaces one space.
func collapse(s string) string {
	s = strings.TrimSpace(s)
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}
