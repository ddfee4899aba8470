package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/setups"
)

func TestCases(t *testing.T) {
	list := projectSetups(t)
	names := map[string]bool{}
	for _, c := range cases {
		require.Regexp(t, regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`), c.Name)
		require.False(t, names[c.Name], "%s is there twice", c.Name)
		names[c.Name] = true
		require.NotEmpty(t, c.What, c.Name)
		require.NotEmpty(t, c.Code, c.Name)
		require.NotNil(t, c.Try, c.Name)
		require.NotEmpty(t, list.Where(func(s setups.Setup) bool { return c.For == nil || c.For(s) }), "%s is tried nowhere", c.Name)
	}
	require.GreaterOrEqual(t, len(cases), 40)
	for _, s := range list {
		require.GreaterOrEqual(t, len(casesOf(s, nil)), 40, s)
	}
	find := func(name string) setups.Setup {
		s, err := list.Get(name)
		require.NoError(t, err)
		return s
	}
	require.Len(t, casesOf(find("irsa-s3"), []string{"token-expired", "jwks-empty"}), 2)
	require.Empty(t, casesOf(find("roles-anywhere"), []string{"token-expired"}))

	// A fifth setup has the cases of its facts.
	toy := find("irsa-cloudfront")
	toy.Name = "toy"
	require.Equal(t, namesOf(casesOf(find("irsa-cloudfront"), nil)), namesOf(casesOf(toy, nil)))
	// What pods present that nobody has heard of gets no other setup's credential.
	_, err := (&Target{Setup: setups.Setup{Name: "toy", Presents: "passkey"}}).session(t.Context())
	require.ErrorContains(t, err, `setup toy: pods present "passkey"`)
}

func namesOf(cases []Case) (names []string) {
	for _, c := range cases {
		names = append(names, c.Name)
	}
	return names
}

// projectSetups are the project's own.
func projectSetups(t *testing.T) setups.List {
	t.Helper()
	list, err := setups.Around()
	require.NoError(t, err)
	return list
}

func TestJudge(t *testing.T) {
	c := Case{Code: "AccessDenied", Text: "not allowed"}
	for name, tt := range map[string]struct {
		err error
		ok  bool
		got string
	}{
		"let in":             {nil, false, "the caller got in"},
		"refused":            {&smithy.GenericAPIError{Code: "AccessDenied", Message: "you are not allowed"}, true, "AccessDenied: you are not allowed"},
		"refused over HTTP":  {&answer{"AccessDenied", "not allowed"}, true, "AccessDenied: not allowed"},
		"another text":       {&answer{"AccessDenied", "no"}, false, "AccessDenied: no"},
		"another code":       {&answer{"AccessDeniedException", "not allowed"}, false, "AccessDeniedException"},
		"no answer":          {errors.New("connection refused: AccessDenied: not allowed"), false, "no answer of AWS"},
		"preparation failed": {broken(&answer{"AccessDenied", "not allowed"}), false, "could not be tried"},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.judge(tt.err)
			require.Equal(t, tt.ok, ok)
			require.Contains(t, got, tt.got)
		})
	}
}

func TestReadAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		body, header  string
		code, message string
	}{
		"query":                 {`<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`, "", "AccessDenied", "no"},
		"S3":                    {`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, "", "AccessDenied", "Access Denied"},
		"JSON with a header":    {`{"message":"Invalid signature"}`, "AccessDeniedException:http://example.com/", "AccessDeniedException", "Invalid signature"},
		"JSON with a type":      {`{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"x"}`, "", "ParameterNotFound", "x"},
		"a page":                {`<html><body>403</body></html>`, "", "403", "<html><body>403</body></html>"},
		"nothing":               {``, "", "403", ""},
		"JSON that says little": {`{}`, "", "403", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{StatusCode: 403, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(tt.body))}
			if tt.header != "" {
				resp.Header.Set("X-Amzn-Errortype", tt.header)
			}
			a := readAnswer(resp, []byte(tt.body))
			require.Equal(t, tt.code, a.Code)
			require.Equal(t, tt.message, a.Message)
		})
	}
}

// TestMain lets the tests run this program as a process, to see its exit status.
func TestMain(m *testing.M) {
	if os.Getenv("REFUSALS_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runMain(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "REFUSALS_MAIN=1", "KUBECONFIG=", "PULUMI_BACKEND_URL=file:///nowhere/at/all", "AWS_CA_BUNDLE=", "HTTPS_PROXY=")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	for name, tt := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"help":             {[]string{"--help"}, 0, "refusals --only token-,jwks"},
		"list":             {[]string{"--list"}, 0, "anchor-of-another"},
		"list of one":      {[]string{"--list", "--setup", "irsa-s3", "--only", "jwks-empty"}, 0, "jwks-empty"},
		"unknown setup":    {[]string{"--setup", "eks"}, 2, `found "eks"`},
		"unknown case":     {[]string{"--only", "nothing-like-it"}, 2, "no case"},
		"unknown flag":     {[]string{"--frobnicate"}, 2, "unknown flag"},
		"arguments":        {[]string{"irsa-s3"}, 2, "takes no arguments"},
		"nothing to reach": {[]string{"--here", "--setup", "irsa-s3"}, 1, "irsa-s3: "},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, status := runMain(t, tt.args...)
			require.Equal(t, tt.status, status, stderr)
			require.Contains(t, stdout+stderr, tt.says)
		})
	}
}

func TestListAsJSON(t *testing.T) {
	stdout, _, status := runMain(t, "--list", "--json")
	require.Zero(t, status)
	var entries []map[string]string
	require.NoError(t, json.Unmarshal([]byte(stdout), &entries))
	total := 0
	for _, s := range projectSetups(t) {
		total += len(casesOf(s, nil))
	}
	require.Len(t, entries, total)
	require.NotEmpty(t, entries[0]["Code"])
}

func TestShow(t *testing.T) {
	var out strings.Builder
	require.NoError(t, show(&out, []Result{{Setup: "irsa-s3", Name: "a", Got: "AccessDenied:\n no", OK: true}, {Setup: "irsa-s3", Name: "b", Got: strings.Repeat("x", 300)}}))
	require.Contains(t, out.String(), "refused  irsa-s3  a  AccessDenied: no\n")
	require.Contains(t, out.String(), "WRONG    irsa-s3  b  "+strings.Repeat("x", 140)+"…\n")
	require.Contains(t, out.String(), "2 cases, 1 refused as they must, 1 not")
}

// A case that hangs is no refusal either.
func TestTryEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := try(ctx, &Target{Setup: setups.Setup{Name: "irsa-s3"}}, Case{Name: "x", Code: "AccessDenied", Try: func(ctx context.Context, _ *Target) error { return ctx.Err() }})
	require.False(t, r.OK)
	require.Contains(t, r.Got, "no answer of AWS")
}
