package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"
)

var (
	long    = aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret/with+signs"}
	session = aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "another", SessionToken: "token+/=="}
	at      = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

// through sends a client's request over HTTP and returns it as a server sees it, with its payload.
func through(t *testing.T, r *http.Request) (*http.Request, []byte) {
	t.Helper()
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		got = r
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	r.URL.Scheme, r.URL.Host = u.Scheme, u.Host
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return got, body
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestHeaderSignatures(t *testing.T) {
	for _, c := range []struct {
		name, method, url, service, body string
		headers                          map[string]string
		credentials                      aws.Credentials
	}{
		{"query", "POST", "https://sts.eu-central-1.amazonaws.com/", "sts", "Action=GetCallerIdentity&Version=2011-06-15", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, long},
		{"session token", "POST", "https://iam.amazonaws.com/", "iam", "Action=ListRoles", nil, session},
		{"plain get", "GET", "https://s3.eu-central-1.amazonaws.com/bucket?list-type=2&prefix=in%2Fa%20b%2Bc&delimiter", "s3", "", nil, long},
		{"s3 key with odd characters", "PUT", "https://bucket.s3.eu-central-1.amazonaws.com/in/a%20b%2Bc~%28e%29%3D%21.json", "s3", "{}", map[string]string{"X-Amz-Content-Sha256": hash([]byte("{}"))}, session},
		{"path encoded twice", "GET", "https://rolesanywhere.eu-central-1.amazonaws.com/trustanchor/a%20b:c", "rolesanywhere", "", nil, long},
		{"repeated query names", "GET", "https://ec2.eu-central-1.amazonaws.com/?b=2&a=2&a=1&a=%2F&aa=0", "ec2", "", nil, long},
		{"spaces in headers", "GET", "https://ec2.eu-central-1.amazonaws.com/", "ec2", "", map[string]string{"X-Amz-Meta-Text": "  a   b  c "}, long},
		{"unsigned payload", "PUT", "https://bucket.s3.eu-central-1.amazonaws.com/k", "s3", "data", map[string]string{"X-Amz-Content-Sha256": UnsignedPayload}, long},
	} {
		t.Run(c.name, func(t *testing.T) {
			sign := func() *http.Request {
				r, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
				require.NoError(t, err)
				for k, v := range c.headers {
					r.Header.Set(k, v)
				}
				payload := c.headers["X-Amz-Content-Sha256"]
				if payload == "" {
					payload = hash([]byte(c.body))
				}
				signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" })
				require.NoError(t, signer.SignHTTP(context.Background(), c.credentials, r, payload, c.service, "eu-central-1", at))
				return r
			}
			got, body := through(t, sign())
			s, err := Parse(got)
			require.NoError(t, err)
			require.Equal(t, c.credentials.AccessKeyID, s.KeyID)
			require.Equal(t, c.credentials.SessionToken, s.SessionToken)
			require.Equal(t, "20260501/eu-central-1/"+c.service+"/aws4_request", s.Scope())
			require.NoError(t, s.CheckTime(at.Add(14*time.Minute)))
			require.NoError(t, s.Verify(got, body, c.credentials.SecretAccessKey))
			require.NoError(t, s.Verify(got, body, c.credentials.SecretAccessKey), "a replay within the skew is accepted")
			require.ErrorIs(t, s.Verify(got, body, "wrong"), ErrMismatch)

			for name, change := range map[string]func(*http.Request){
				"method": func(r *http.Request) { r.Method = "DELETE" },
				"host":   func(r *http.Request) { r.Host = "other.amazonaws.com" },
				"path":   func(r *http.Request) { r.URL.Path += "x"; r.URL.RawPath = ""; r.RequestURI = "" },
				"query":  func(r *http.Request) { r.URL.RawQuery += "&more=1" },
				"date":   func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260501T120001Z") },
			} {
				changed, body := through(t, sign())
				change(changed)
				s, err := Parse(changed)
				require.NoError(t, err)
				require.ErrorIs(t, s.Verify(changed, body, c.credentials.SecretAccessKey), ErrMismatch, name)
			}
			if c.headers["X-Amz-Content-Sha256"] != UnsignedPayload {
				err := s.Verify(got, append(body, 'x'), c.credentials.SecretAccessKey)
				if c.headers["X-Amz-Content-Sha256"] != "" {
					require.ErrorIs(t, err, ErrPayload)
				} else {
					require.ErrorIs(t, err, ErrMismatch)
				}
			}
		})
	}
}

func TestPresigned(t *testing.T) {
	for _, c := range []struct {
		service, url string
		credentials  aws.Credentials
	}{
		{"s3", "https://bucket.s3.eu-central-1.amazonaws.com/a%20b?X-Amz-Expires=60", long},
		{"s3", "https://bucket.s3.eu-central-1.amazonaws.com/a?X-Amz-Expires=60&versionId=1", session},
		{"sts", "https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", session},
	} {
		r, err := http.NewRequest("GET", c.url, nil)
		require.NoError(t, err)
		payload := hash(nil)
		if c.service == "s3" {
			payload = UnsignedPayload
		}
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" })
		signed, _, err := signer.PresignHTTP(context.Background(), c.credentials, r, payload, c.service, "eu-central-1", at)
		require.NoError(t, err)
		r, err = http.NewRequest("GET", signed, nil)
		require.NoError(t, err)
		got, body := through(t, r)
		s, err := Parse(got)
		require.NoError(t, err)
		require.True(t, s.Presigned)
		require.Equal(t, c.credentials.SessionToken, s.SessionToken)
		require.NoError(t, s.Verify(got, body, c.credentials.SecretAccessKey))
		require.ErrorIs(t, s.Verify(got, body, "wrong"), ErrMismatch)
		require.NoError(t, s.CheckTime(at.Add(time.Minute)))
		require.ErrorIs(t, s.CheckTime(at.Add(61*time.Second)), ErrExpired)
		require.ErrorIs(t, s.CheckTime(at.Add(-16*time.Minute)), ErrSkewed)
		got.URL.RawQuery = strings.Replace(got.URL.RawQuery, "X-Amz-Expires=60", "X-Amz-Expires=600", 1)
		s, err = Parse(got)
		require.NoError(t, err)
		require.ErrorIs(t, s.Verify(got, body, c.credentials.SecretAccessKey), ErrMismatch)
	}
}

func TestParseErrors(t *testing.T) {
	const good = "AWS4-HMAC-SHA256 Credential=AKIA/20260501/eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc"
	for name, c := range map[string]struct {
		auth, date, query string
		want              error
		text              string
	}{
		"unsigned":        {want: ErrUnsigned},
		"good":            {auth: good, date: "20260501T120000Z"},
		"compact":         {auth: strings.ReplaceAll(good, ", ", ","), date: "20260501T120000Z"},
		"bearer":          {auth: "Bearer x", date: "20260501T120000Z", want: ErrMalformed, text: "authorization type"},
		"version 2":       {auth: "AWS AKIA:sig", date: "20260501T120000Z", want: ErrMalformed},
		"no date":         {auth: good, want: ErrMalformed, text: "X-Amz-Date"},
		"bad date":        {auth: good, date: "2026-05-01", want: ErrMalformed, text: "ISO-8601"},
		"date not scope":  {auth: good, date: "20260502T120000Z", want: ErrMalformed, text: "Credential scope"},
		"short scope":     {auth: strings.Replace(good, "/s3", "", 1), date: "20260501T120000Z", want: ErrMalformed, text: "5 slash"},
		"host not signed": {auth: strings.Replace(good, "host;", "", 1), date: "20260501T120000Z", want: ErrMalformed, text: "Host"},
		"no signature":    {auth: strings.Replace(good, ", Signature=abc", "", 1), date: "20260501T120000Z", want: ErrMalformed},
		"no key":          {auth: strings.Replace(good, "AKIA", "", 1), date: "20260501T120000Z", want: ErrMalformed},
		"query algorithm": {query: "X-Amz-Algorithm=AWS4-X509-RSA-SHA256", want: ErrMalformed, text: "algorithm"},
		"query expires": {query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA/20260501/eu-central-1/s3/aws4_request&X-Amz-Date=20260501T120000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=a&X-Amz-Expires=604801",
			want: ErrMalformed, text: "week"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "https://s3.eu-central-1.amazonaws.com/?"+c.query, nil)
			if c.auth != "" {
				r.Header.Set("Authorization", c.auth)
			}
			if c.date != "" {
				r.Header.Set("X-Amz-Date", c.date)
			}
			_, err := Parse(r)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
		})
	}
}

func TestSkew(t *testing.T) {
	s := &Signature{Time: at}
	for minutes, ok := range map[int]bool{-16: false, -15: true, 0: true, 15: true, 16: false} {
		err := s.CheckTime(at.Add(time.Duration(minutes) * time.Minute))
		if ok {
			require.NoError(t, err, "%d minutes", minutes)
		} else {
			require.ErrorIs(t, err, ErrSkewed, "%d minutes", minutes)
		}
	}
}

// chunked makes the framed payload of the S3 API reference, signed where secret is not empty.
func chunked(s *Signature, secret string, payload []byte, chunk int, trailer map[string]string) []byte {
	var out bytes.Buffer
	previous := s.Value
	write := func(b []byte) {
		fmt.Fprintf(&out, "%x", len(b))
		if secret != "" {
			previous = hex.EncodeToString(mac(s.key(secret), HMAC+"-PAYLOAD\n"+s.Time.Format(TimeFormat)+"\n"+s.Scope()+"\n"+previous+"\n"+hash(nil)+"\n"+hash(b)))
			out.WriteString(";chunk-signature=" + previous)
		}
		out.WriteString("\r\n")
		out.Write(b)
		if len(b) > 0 {
			out.WriteString("\r\n")
		}
	}
	for len(payload) > 0 {
		n := min(chunk, len(payload))
		write(payload[:n])
		payload = payload[n:]
	}
	write(nil)
	signed := ""
	for k, v := range trailer {
		out.WriteString(k + ":" + v + "\r\n")
		signed += k + ":" + v + "\n"
	}
	if secret != "" && trailer != nil {
		out.WriteString("x-amz-trailer-signature:" + hex.EncodeToString(mac(s.key(secret), HMAC+"-TRAILER\n"+s.Time.Format(TimeFormat)+"\n"+s.Scope()+"\n"+previous+"\n"+hash([]byte(signed)))) + "\r\n")
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

func TestChunks(t *testing.T) {
	s := &Signature{Algorithm: HMAC, Date: "20260501", Region: "eu-central-1", Service: "s3", Time: at, Value: hash([]byte("seed"))}
	payload := []byte(strings.Repeat("0123456789", 20))
	sum := func(name string) map[string]string {
		v, ok := Checksum(name, payload)
		require.True(t, ok)
		return map[string]string{name: v}
	}
	for name, c := range map[string]struct {
		kind    string
		secret  string
		trailer map[string]string
		damage  func([]byte) []byte
		want    error
	}{
		"signed":             {kind: StreamingSigned, secret: "s"},
		"signed trailer":     {kind: StreamingSignedTrailer, secret: "s", trailer: sum("x-amz-checksum-crc32c")},
		"unsigned crc32":     {kind: StreamingUnsignedTrailer, trailer: sum("x-amz-checksum-crc32")},
		"unsigned crc64":     {kind: StreamingUnsignedTrailer, trailer: sum("x-amz-checksum-crc64nvme")},
		"unsigned sha1":      {kind: StreamingUnsignedTrailer, trailer: sum("x-amz-checksum-sha1")},
		"unsigned sha256":    {kind: StreamingUnsignedTrailer, trailer: sum("x-amz-checksum-sha256")},
		"wrong checksum":     {kind: StreamingUnsignedTrailer, trailer: map[string]string{"x-amz-checksum-crc32": "AAAAAA=="}, want: ErrChunks},
		"changed chunk":      {kind: StreamingSigned, secret: "s", damage: func(b []byte) []byte { return bytes.Replace(b, []byte("0123"), []byte("0124"), 1) }, want: ErrMismatch},
		"changed trailer":    {kind: StreamingSignedTrailer, secret: "s", trailer: map[string]string{"x-amz-meta": "a"}, damage: func(b []byte) []byte { return bytes.Replace(b, []byte("x-amz-meta:a"), []byte("x-amz-meta:b"), 1) }, want: ErrMismatch},
		"other secret":       {kind: StreamingSigned, secret: "other", want: ErrMismatch},
		"cut off":            {kind: StreamingUnsignedTrailer, damage: func(b []byte) []byte { return b[:50] }, want: ErrChunks},
		"size too large":     {kind: StreamingUnsignedTrailer, damage: func([]byte) []byte { return []byte("ffffffff\r\nx") }, want: ErrChunks},
		"size negative":      {kind: StreamingUnsignedTrailer, damage: func([]byte) []byte { return []byte("-1\r\nx") }, want: ErrChunks},
		"shorter than said":  {kind: StreamingUnsignedTrailer, damage: func([]byte) []byte { return []byte("1\r\n0\r\n0\r\n\r\n") }, want: ErrChunks},
		"trailer not a line": {kind: StreamingUnsignedTrailer, damage: func(b []byte) []byte { return append(b, []byte("nonsense\r\n")...) }, want: ErrChunks},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("PUT", "/", nil)
			r.Header.Set("X-Amz-Content-Sha256", c.kind)
			r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(payload)))
			require.True(t, IsChunked(r))
			framed := chunked(s, c.secret, payload, 64, c.trailer)
			if c.damage != nil {
				framed = c.damage(framed)
			}
			got, trailer, err := s.DecodeChunks(r, framed, "s")
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, payload, got)
			for k, v := range c.trailer {
				require.Equal(t, v, trailer.Get(k))
			}
		})
	}
}

func TestChecksumVectors(t *testing.T) {
	// Check values of the CRC catalogue for "123456789", big-endian in base64.
	for name, want := range map[string]string{
		"x-amz-checksum-crc32":     "y/Q5Jg==",
		"X-Amz-Checksum-Crc32c":    "4waSgw==",
		"x-amz-checksum-crc64nvme": "rosUhgp5mIg=",
	} {
		got, ok := Checksum(name, []byte("123456789"))
		require.True(t, ok)
		require.Equal(t, want, got, name)
	}
	_, ok := Checksum("x-amz-checksum-md5", nil)
	require.False(t, ok)
}

func FuzzDecodeChunks(f *testing.F) {
	s := &Signature{Algorithm: HMAC, Date: "20260501", Region: "r", Service: "s3", Time: at, Value: "seed"}
	f.Add(chunked(s, "", []byte("hello"), 2, map[string]string{"x-amz-checksum-crc32": "NhCmhg=="}), StreamingUnsignedTrailer)
	f.Add(chunked(s, "s", []byte("hello"), 2, nil), StreamingSigned)
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		r := httptest.NewRequest("PUT", "/", nil)
		r.Header.Set("X-Amz-Content-Sha256", kind)
		payload, _, err := s.DecodeChunks(r, body, "s")
		if err == nil && len(payload) > len(body) {
			t.Fatal("the payload is longer than its framing")
		}
	})
}

func TestUnsigned(t *testing.T) {
	r, err := http.NewRequest(http.MethodPut, "https://demo.s3.eu-central-1.amazonaws.com/k", nil)
	require.NoError(t, err)
	for _, h := range []string{"X-Amz-Date", "X-Amz-Content-Sha256", "x-amz-meta-Owner", "X-Amz-Acl", "X-Amzn-Trace-Id", "Content-Type"} {
		r.Header.Set(h, "x")
	}
	s := &Signature{SignedHeaders: []string{"host", "x-amz-date", "x-amz-meta-owner"}}
	require.Equal(t, []string{"x-amz-acl"}, s.Unsigned(r))
	s.SignedHeaders = append(s.SignedHeaders, "x-amz-acl")
	require.Empty(t, s.Unsigned(r))
}

func TestScopeDateIsMalformed(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "https://sts.eu-central-1.amazonaws.com/", nil)
	require.NoError(t, err)
	r.Header.Set("X-Amz-Date", "20110909T233600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20110908/eu-central-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=0")
	_, err = Parse(r)
	require.ErrorIs(t, err, ErrScopeDate)
	require.ErrorIs(t, err, ErrMalformed)
	require.ErrorContains(t, err, "from HTTP: '20110908' != '20110909', from '20110909T233600Z'.")
}
