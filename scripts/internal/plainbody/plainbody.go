// Package plainbody keeps an AWS SDK client that does not retry from losing an answer that has arrived.
//
// smithy-go closes a request's body as soon as the answer's header is there (transport/http/client.go, ClientHandler.Handle).
// net/http may still be about to look for bytes past the body's end then, and smithy-go's closed body answers that look, made
// by io.Copy through WriteTo, with io.EOF as an error (transport/http/internal/io/safe.go), which io.Copy hands on where the
// same io.EOF from Read would be an ordinary end. net/http takes it for a failed write and closes the connection, and whoever
// reads the answer gets "use of closed network connection". The SDK's retryers try such a call again, so that nobody sees it;
// tools that count or compare single calls turn retries off.
package plainbody

import (
	"io"
	"net/http"
)

// Transport is base for requests whose bodies can be read but not write themselves.
func Transport(base http.RoundTripper) http.RoundTripper { return transport{base} }

type transport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := r.Body.(io.WriterTo); ok {
		plain := *r
		plain.Body = struct{ io.ReadCloser }{r.Body}
		r = &plain
	}
	return t.base.RoundTrip(r)
}
