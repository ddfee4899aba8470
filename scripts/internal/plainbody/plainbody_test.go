package plainbody

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

type seen func(*http.Request)

func (s seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s(r)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// TestClosedBody looks past the end of a closed body, as net/http does. Where the first half fails, smithy-go has mended it,
// and this package can go.
func TestClosedBody(t *testing.T) {
	made := func() *http.Request {
		r := smithyhttp.NewStackRequest().(*smithyhttp.Request)
		r.Method, r.URL.Scheme, r.URL.Host, r.ContentLength = http.MethodPost, "https", "iam.amazonaws.com", 4
		r, err := r.SetStream(strings.NewReader("body"))
		require.NoError(t, err)
		return r.Build(context.Background())
	}
	r := made()
	require.NoError(t, r.Body.Close())
	_, err := io.Copy(io.Discard, r.Body)
	require.ErrorIs(t, err, io.EOF)

	_, err = Transport(seen(func(r *http.Request) {
		content, err := io.ReadAll(io.LimitReader(r.Body, 4))
		require.NoError(t, err)
		require.Equal(t, "body", string(content))
		require.NoError(t, r.Body.Close())
		_, err = io.Copy(io.Discard, r.Body)
		require.NoError(t, err)
	})).RoundTrip(made())
	require.NoError(t, err)
}
