package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/scripts/rotate/internal/stackedit"
	"k3s-aws-auth/scripts/rotate/internal/walk"
)

// TestCommandLine holds which mistakes are the caller's (exit code 2).
func TestCommandLine(t *testing.T) {
	for _, args := range []string{"kee", "key", "key a b", "key A_", "key 2 --plan --step", "key 2 --step --edit", "issuer x --hosted-zone Z1",
		"issuer x --dns external", "ca 2 --lab irsa-s3 --stack lab", "key 2 --domain x"} {
		t.Run(args, func(t *testing.T) {
			cmd := root(strings.NewReader(""), &bytes.Buffer{})
			cmd.SetArgs(strings.Fields(args))
			cmd.SetOut(&bytes.Buffer{})
			cmd.SetErr(&bytes.Buffer{})
			require.ErrorAs(t, cmd.ExecuteContext(t.Context()), new(cli.UsageError))
		})
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		require.NotEmpty(t, c.Short, c.Name())
		require.Contains(t, c.Example, c.CommandPath(), c.Name())
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk(root(nil, nil))
}

// TestReadHistory reads what the CLI printed for a stack: an update of a part of the stack is none that succeeded.
func TestReadHistory(t *testing.T) {
	const text = `[
{"kind":"refresh","startTime":"2026-11-30T12:00:00.000Z","message":"","environment":{},"config":{},"result":"succeeded","endTime":"2026-11-30T12:01:00.000Z","resourceChanges":{}},
{"kind":"update","startTime":"2026-11-30T11:00:00.000Z","message":"","environment":{"pulumi.flag.target":"set"},"config":{},"result":"succeeded","endTime":"2026-11-30T11:01:00.000Z"},
{"kind":"update","startTime":"2026-11-30T10:00:00.000Z","message":"","environment":{},"config":{
 "k3s-aws-auth:signingKeys":{"value":"[{\"name\":\"1\",\"state\":\"active\"},{\"name\":\"2\",\"state\":\"next\"}]","objectValue":[],"secret":false},
 "k3s-aws-auth:rolesAnywhere":{"value":"{\"cas\":[{\"name\":\"x\",\"state\":\"active\"}]}","secret":false},
 "k3s-aws-auth:cluster":{"secret":true}},"result":"succeeded","endTime":"2026-11-30T10:01:00.000Z"},
{"kind":"update","startTime":"2026-11-30T09:00:00.000Z","message":"","environment":{},"config":{"k3s-aws-auth:signingKeys":{"value":"[{\"name\":\"1\",\"state\":\"next\"}]","secret":false}},"result":"failed","endTime":"2026-11-30T09:01:00.000Z"},
{"kind":"destroy","startTime":"2026-11-30T08:00:00.000Z","message":"","environment":{},"config":{},"result":"succeeded","endTime":"2026-11-30T08:01:00.000Z"}]`
	updates, n, err := readHistory([]byte(text), kinds["key"].deployed)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.Len(t, updates, 4)
	require.False(t, updates[0].Succeeded)
	require.Equal(t, "1 active", updates[0].Set.String())
	require.Equal(t, "1 active, 2 next", updates[1].Set.String())
	require.Equal(t, time.Date(2026, 11, 30, 10, 1, 0, 0, time.UTC), updates[1].End)
	require.Nil(t, updates[2].Set, "the program has refused it")
	require.Nil(t, updates[3].Set)

	updates, _, err = readHistory([]byte(text), kinds["ca"].deployed)
	require.NoError(t, err)
	require.Equal(t, "x active", updates[1].Set.String())
	_, _, err = readHistory([]byte(`{}`), kinds["ca"].deployed)
	require.Error(t, err)
}

// edited is the lab's stack file after an edit, as the program reads it.
func edited(t *testing.T, change func(*stackedit.File) error) (*stackfile.Stack, string) {
	t.Helper()
	data, err := os.ReadFile("../../Pulumi.lab.yaml")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "Pulumi.lab.yaml")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	f, err := stackedit.Open(path)
	require.NoError(t, err)
	require.NoError(t, change(f))
	_, err = f.Save()
	require.NoError(t, err)
	read, err := stackfile.Read(path)
	require.NoError(t, err)
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	return read, string(data)
}

// TestIssuers leads the lab's stack from its bucket to CloudFront: what `issuer` says goes to the members, and the setup is
// that of the active one.
func TestIssuers(t *testing.T) {
	k := kinds["issuer"]
	fresh := map[string]member{"cdn": {domain: "oidc.lab.example.com", dns: "external"}}
	next := walk.Set{{Name: "1", State: keyset.Active}, {Name: "cdn", State: keyset.Next}}
	read, text := edited(t, func(f *stackedit.File) error { return k.write(f, next, fresh) })
	require.Equal(t, next, k.has(read.Config))
	require.Equal(t, "irsa-s3", read.Config.Setup)
	require.NotContains(t, text, "k3s-aws-auth:issuer:\n", "what is empty goes")
	require.Contains(t, text, "    - name: cdn\n      state: next\n      domain: oidc.lab.example.com\n      dns: external\n")

	promoted := walk.Set{{Name: "1", State: keyset.Retiring}, {Name: "cdn", State: keyset.Active}}
	read, _ = edited(t, func(f *stackedit.File) error {
		if err := k.write(f, next, fresh); err != nil {
			return err
		}
		return k.write(f, promoted, nil)
	})
	require.Equal(t, "irsa-cloudfront", read.Config.Setup)

	for name, other := range map[string]map[string]member{
		"domain": {"cdn": {domain: "other.lab.example.com", dns: "external"}}, "bucket": {"cdn": {bucket: "a-bucket"}},
	} {
		edited(t, func(f *stackedit.File) error {
			require.NoError(t, k.write(f, next, fresh))
			require.ErrorContains(t, k.write(f, next, other), "member cdn has not "+name)
			return nil
		})
	}

	// From CloudFront to a bucket: the one issuer takes its domain along.
	read, text = edited(t, func(f *stackedit.File) error {
		if err := f.Set("irsa-cloudfront", "setup"); err != nil {
			return err
		}
		return k.write(f, walk.Set{{Name: "1", State: keyset.Active}, {Name: "b", State: keyset.Next}}, map[string]member{"b": {}})
	})
	require.Equal(t, "irsa-cloudfront", read.Config.Setup)
	require.Contains(t, text, "    - name: \"1\"\n      state: active\n      domain: oidc.lab.example.com\n      dns: external\n    - name: b\n      state: next\n")
}

func TestLongest(t *testing.T) {
	since := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	seconds := func(n int64) *int64 { return &n }
	pod := func(made time.Time, phase corev1.PodPhase, lengths ...*int64) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(made)}, Status: corev1.PodStatus{Phase: phase}}
		for _, s := range lengths {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: s}}}}}})
		}
		return p
	}
	pods := []corev1.Pod{
		pod(since.Add(-time.Hour), corev1.PodRunning, nil, seconds(7200)),
		pod(since.Add(-time.Hour), corev1.PodSucceeded, seconds(90000)),
		pod(since.Add(time.Hour), corev1.PodRunning, seconds(86400)),
		pod(since.Add(time.Hour), corev1.PodRunning),
	}
	o := &walk.Observed{Since: since, Deployed: walk.Set{{Name: "1", State: keyset.Retiring}, {Name: "2", State: keyset.Active}}}
	require.Equal(t, 2*time.Hour, longest(pods, o), "a pod that came after the new key has none of the old one")
	o.Deployed = walk.Set{{Name: "1", State: keyset.Active}}
	require.Equal(t, 24*time.Hour, longest(pods, o))
	require.Equal(t, shortestToken, longest(nil, o))
}

func TestTokenOf(t *testing.T) {
	kid, issuer, err := tokenOf("eyJraWQiOiJhIn0.eyJpc3MiOiJodHRwczovL2IifQ.sig")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "https://b"}, []string{kid, issuer})
	for _, bad := range []string{"", "a.b", "!.eyJ9.c", "e30.bm8.c"} {
		_, _, err := tokenOf(bad)
		require.Error(t, err, bad)
	}
}

func TestStatement(t *testing.T) {
	const document = `%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Sid%22%3A%22A%22%7D%2C%7B%22Sid%22%3A%22Suspended%22%2C%22Effect%22%3A%22Deny%22%7D%5D%7D`
	found, err := statement(document, "Suspended")
	require.NoError(t, err)
	require.Equal(t, `{"Sid":"Suspended","Effect":"Deny"}`, found)
	found, err = statement(document, "RevokeSessionsBefore")
	require.NoError(t, err)
	require.Empty(t, found)
	_, err = statement("%7B", "A")
	require.Error(t, err)
}

// TestSuspended suspends and resumes in the file alone: what was suspended stays shut.
func TestSuspended(t *testing.T) {
	read, _ := edited(t, func(f *stackedit.File) error { return f.Set("irsa-s3", "setup") })
	w := &world{config: read.Config, now: time.Date(2026, 11, 30, 12, 0, 0, 999, time.UTC)}
	require.ErrorContains(t, suspend("nobody").edit(w, nil), "uploader")
	read, _ = edited(t, func(f *stackedit.File) error { return suspend("uploader").edit(w, f) })
	require.True(t, read.Config.Identities[0].Suspended)

	w.config = read.Config
	for keep, want := range map[bool]string{false: "2026-11-30T12:00:00Z", true: ""} {
		read, _ = edited(t, func(f *stackedit.File) error {
			if err := suspend("uploader").edit(w, f); err != nil {
				return err
			}
			return resume("uploader", keep).edit(w, f)
		})
		require.False(t, read.Config.Identities[0].Suspended)
		require.Equal(t, want, read.Config.Identities[0].RevokeSessionsBefore)
	}
}

// TestApplicable holds that a stack is told what it does not have.
func TestApplicable(t *testing.T) {
	read, _ := edited(t, func(f *stackedit.File) error { return f.Set("roles-anywhere", "setup") })
	require.NoError(t, kinds["ca"].check(read.Config))
	require.ErrorContains(t, kinds["key"].check(read.Config), "present no tokens")
	read, _ = edited(t, func(f *stackedit.File) error { return f.Set("irsa-cloudfront", "setup") })
	require.ErrorContains(t, kinds["ca"].check(read.Config), "present no certificates")
	require.NoError(t, kinds["issuer"].check(read.Config))
}

func TestConfirm(t *testing.T) {
	require.NoError(t, confirm(t.Context(), strings.NewReader("yes\n"), &bytes.Buffer{}))
	require.ErrorContains(t, confirm(t.Context(), strings.NewReader("\n"), &bytes.Buffer{}), "nothing was applied")
}

// TestUnreachable: a server that is away is waited for, and an answer is not.
func TestUnreachable(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for what, c := range map[string]struct {
		err  error
		want bool
	}{
		"a connection that is reset": {fmt.Errorf("pods: %w", &url.Error{Op: "Get", URL: "https://10.0.0.1:6443", Err: io.EOF}), true},
		"a server that starts":       {apierrors.NewServiceUnavailable("not yet"), true},
		"somebody who stops":         {&url.Error{Op: "Get", URL: "https://10.0.0.1:6443", Err: context.Canceled}, false},
		"a refusal":                  {apierrors.NewForbidden(pods, "", nil), false},
		"a file":                     {io.EOF, false},
	} {
		if got := unreachable(c.err); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
