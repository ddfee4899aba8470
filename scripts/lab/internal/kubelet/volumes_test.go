package kubelet

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

func TestWriteAtomic(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	file := func(text string, mode os.FileMode) projection { return projection{[]byte(text), mode} }
	changed, err := writeAtomic(dir, map[string]projection{"a": file("1", 0o644), "d/b": file("2", 0o400)}, now)
	require.NoError(t, err)
	require.True(t, changed)
	link, err := os.Readlink(filepath.Join(dir, "a"))
	require.NoError(t, err)
	require.Equal(t, "..data/a", link)
	first, err := os.Readlink(filepath.Join(dir, "..data"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(first, "..2026_01_02_03_04_05."), first)
	data, err := os.ReadFile(filepath.Join(dir, "d/b"))
	require.NoError(t, err)
	require.Equal(t, "2", string(data))
	info, err := os.Stat(filepath.Join(dir, "d/b"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o400), info.Mode().Perm())

	changed, err = writeAtomic(dir, map[string]projection{"a": file("1", 0o644), "d/b": file("2", 0o400)}, now)
	require.NoError(t, err)
	require.False(t, changed, "the same again writes nothing")

	for _, next := range []map[string]projection{
		{"a": file("other", 0o644), "d/b": file("2", 0o400)},
		{"a": file("other", 0o600), "d/b": file("2", 0o400)},
		{"a": file("other", 0o600)},
		{"a": file("other", 0o600), "c": file("3", 0o644)},
		{},
	} {
		before, err := os.Readlink(filepath.Join(dir, "..data"))
		require.NoError(t, err)
		changed, err = writeAtomic(dir, next, now)
		require.NoError(t, err)
		require.True(t, changed)
		after, err := os.Readlink(filepath.Join(dir, "..data"))
		require.NoError(t, err)
		require.NotEqual(t, before, after)
		require.NoDirExists(t, filepath.Join(dir, before))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		var visible []string
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "..") {
				visible = append(visible, e.Name())
			}
		}
		require.Len(t, visible, len(next)) // no two of these files share a directory
	}
	for _, name := range []string{"../x", "/x", "..x", "a/../b", ""} {
		_, err := writeAtomic(dir, map[string]projection{name: file("", 0o644)}, now)
		require.ErrorContains(t, err, "invalid path", name)
	}
}

func TestPayloads(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}}
	src := fakeObjects{secrets: map[string]map[string]string{"s": {"a": "1", "b": "2"}}, configMaps: map[string]map[string]string{"c": {"a": "1"}}}
	mode := int32(0o440)
	got, err := secretPayload(pod, "s", []corev1.KeyToPath{{Key: "b", Path: "x/y", Mode: &mode}, {Key: "a", Path: "z"}}, 0o600, false, src)
	require.NoError(t, err)
	require.Equal(t, map[string]projection{"x/y": {[]byte("2"), 0o440}, "z": {[]byte("1"), 0o600}}, got)
	_, err = secretPayload(pod, "no", nil, 0o600, false, src)
	require.EqualError(t, err, `secret "no" not found`)
	got, err = secretPayload(pod, "no", nil, 0o600, true, src)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = secretPayload(pod, "s", []corev1.KeyToPath{{Key: "no", Path: "x"}}, 0o600, false, src)
	require.EqualError(t, err, "references non-existent secret key: no")
	_, err = configMapPayload(pod, "c", []corev1.KeyToPath{{Key: "no", Path: "x"}}, 0o600, false, src)
	require.EqualError(t, err, "configmap references non-existent config key: no")
}

// What a container's user may read is what it could read on a real node.
func TestOwnership(t *testing.T) {
	group, user := int64(65532), int64(65532)
	root, plain, rootGroup := identity{0, 0}, identity{65532, 65532}, identity{65532, 0}
	for _, test := range []struct {
		name  string
		o     ownership
		mode  os.FileMode
		token bool
		want  os.FileMode // of the owner, who the mapped user is
	}{
		{"root reads 0400", ownership{readers: []identity{root}}, 0o400, false, 0o4},
		{"root reads even 0000", ownership{readers: []identity{root}}, 0, false, 0o4},
		{"others read 0644", ownership{readers: []identity{plain}}, 0o644, false, 0o4},
		{"others do not read 0400", ownership{readers: []identity{plain}}, 0o400, false, 0},
		{"others do not read 0440", ownership{readers: []identity{plain}}, 0o440, false, 0},
		{"group root reads 0440", ownership{readers: []identity{rootGroup}}, 0o440, false, 0o4},
		{"fsGroup reads 0400", ownership{fsGroup: &group, readers: []identity{plain}}, 0o400, false, 0o4},
		{"one of two does not", ownership{readers: []identity{root, plain}}, 0o400, false, 0},
		{"token of a shared user", ownership{fsUser: &user, readers: []identity{plain}}, 0o600, true, 0o6},
		{"a Secret beside it", ownership{fsUser: &user, readers: []identity{plain}}, 0o600, false, 0},
		{"token with fsGroup", ownership{fsGroup: &group, readers: []identity{plain}}, 0o600, true, 0o4},
		{"token without either", ownership{readers: []identity{plain}}, 0o644, true, 0o4},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, test.o.effective(test.mode, test.token)>>6&0o7)
		})
	}
	require.Equal(t, os.FileMode(0o600), ownership{fsGroup: &group}.token(0o644))
	require.Equal(t, os.FileMode(0o644), ownership{}.token(0o644))
}

func TestTokensAreRefreshed(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	client := fake.NewClientset()
	asked := 0
	var fail error
	client.PrependReactor("create", "serviceaccounts", func(action k8stesting.Action) (bool, runtime.Object, error) {
		asked++
		if fail != nil {
			return true, nil, fail
		}
		r := action.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenRequest).DeepCopy()
		require.Equal(t, "Pod", r.Spec.BoundObjectRef.Kind)
		r.Status = authenticationv1.TokenRequestStatus{Token: strings.Repeat("t", asked), ExpirationTimestamp: metav1.NewTime(now.Add(time.Duration(*r.Spec.ExpirationSeconds) * time.Second))}
		return true, r, nil
	})
	m := &tokenManager{client: client, now: func() time.Time { return now }, tokens: map[tokenKey]token{}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}, Spec: corev1.PodSpec{ServiceAccountName: "sa"}}
	seconds := int64(1000)
	get := func() string {
		value, _, err := m.get(context.Background(), pod, "sts.amazonaws.com", &seconds)
		require.NoError(t, err)
		return value
	}
	start := now
	require.Equal(t, "t", get())
	now = start.Add(799 * time.Second)
	require.Equal(t, "t", get())
	now = start.Add(800 * time.Second)
	require.Equal(t, "tt", get(), "at 80 % of its life")
	m.age("another")
	require.Equal(t, "tt", get())
	m.age("u")
	require.Equal(t, "ttt", get(), "as if its life had passed")
	fail = context.DeadlineExceeded
	now = start.Add(1700 * time.Second)
	require.Equal(t, "ttt", get(), "the old one is good while it lives")
	now = start.Add(1801 * time.Second)
	_, _, err := m.get(context.Background(), pod, "sts.amazonaws.com", &seconds)
	require.ErrorContains(t, err, "failed to fetch token")
	m.forget("u")
	require.Empty(t, m.tokens)

	day := int64(7 * 86400)
	require.Equal(t, now.Add(24*time.Hour), refreshTime(&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day},
		Status: authenticationv1.TokenRequestStatus{ExpirationTimestamp: metav1.NewTime(now.Add(7 * 24 * time.Hour))}}, now), "never older than a day")
}

func TestSubPath(t *testing.T) {
	volume := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(volume, "a/b"), 0o755))
	require.NoError(t, os.Symlink("/etc", filepath.Join(volume, "out")))
	require.NoError(t, os.Symlink("a", filepath.Join(volume, "in")))
	root, err := filepath.EvalSymlinks(volume)
	require.NoError(t, err)
	got, err := subPath(volume, "in/b", false)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "a/b"), got)
	got, err = subPath(volume, "new/dir", true)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "new/dir"), got)
	for _, bad := range []string{"out", "out/passwd", "..", "../x", "/etc", "missing"} {
		_, err := subPath(volume, bad, false)
		require.Error(t, err, bad)
	}
}

func TestHostPath(t *testing.T) {
	root := t.TempDir()
	v := &volumeSet{k: &Kubelet{o: Options{NodeRoot: root}}}
	kind := func(k corev1.HostPathType) *corev1.HostPathType { return &k }
	path, err := v.hostPath(&corev1.HostPathVolumeSource{Path: "/../../opt/helper", Type: kind(corev1.HostPathDirectoryOrCreate)})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "opt/helper"), path, "a path never leaves the machine's root")
	_, err = v.hostPath(&corev1.HostPathVolumeSource{Path: "/opt/none", Type: kind(corev1.HostPathDirectory)})
	require.EqualError(t, err, "hostPath type check failed: /opt/none is not a directory")
	_, err = v.hostPath(&corev1.HostPathVolumeSource{Path: "/opt/helper", Type: kind(corev1.HostPathFile)})
	require.EqualError(t, err, "hostPath type check failed: /opt/helper is not a file")
}

func TestRewrite(t *testing.T) {
	r := NewHostRunner(t.TempDir(), nil)
	mounts := []sandbox.Mount{
		{Source: "/v/tmp", Target: "/tmp"}, {Source: "/v/deep", Target: "/tmp/deep"}, {Source: "/v/token", Target: "/var/run/secrets/eks.amazonaws.com/serviceaccount"}, {Source: "/x/b", Target: "/b"}, {Target: "/memory"},
	}
	for in, want := range map[string]string{
		"/tmp":            "/v/tmp",
		"/tmp/proven":     "/v/tmp/proven",
		"/tmp/deep/er":    "/v/deep/er",
		"/tmpfile":        "/tmpfile",
		"/usr/tmp":        "/usr/tmp",
		"cat /tmp/a>/b/c": "cat /v/tmp/a>/x/b/c",
		"A=/b:/tmp":       "A=/x/b:/v/tmp",
		"/tmp/b":          "/v/tmp/b",
		`test -f "/tmp"`:  `test -f "/v/tmp"`,
		"/run/secrets/eks.amazonaws.com/serviceaccount/token": "/v/token/token",
		"credential_process = /b/helper --cert /tmp/c\n":      "credential_process = /x/b/helper --cert /v/tmp/c\n",
		"/memory": "/memory",
		"":        "",
	} {
		require.Equal(t, want, r.Rewrite(in, mounts), in)
	}
	require.NotEmpty(t, r.Weaker())
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "0.log")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w, err := newLogWriter(path, func() time.Time { at = at.Add(time.Second); return at })
	require.NoError(t, err)
	long := strings.Repeat("x", maxLogLine+10)
	w.copy("stdout", strings.NewReader("one\ntwo\n"+long+"\nlast without newline"))
	require.NoError(t, w.Close())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(raw), "2026-01-02T03:04:06Z stdout F one\n"), string(raw[:60]))
	require.Contains(t, string(raw), " stdout P xxx")
	read := func(o logOptions) string {
		var b bytes.Buffer
		require.NoError(t, readLogs(context.Background(), &b, path, o, func() bool { return true }))
		return b.String()
	}
	all := "one\ntwo\n" + long + "\nlast without newline\n"
	require.Equal(t, all, read(logOptions{tail: -1}))
	require.Equal(t, all, read(logOptions{tail: -1, follow: true}))
	require.Equal(t, "last without newline\n", read(logOptions{tail: 1}))
	require.Empty(t, read(logOptions{tail: 0}))
	require.Equal(t, "one\ntw", read(logOptions{tail: -1, limit: 6}))
	require.True(t, strings.HasPrefix(read(logOptions{tail: -1, timestamps: true}), "2026-01-02T03:04:06Z one\n2026-01-02T03:04:07Z two\n"))
	require.Equal(t, "last without newline\n", read(logOptions{tail: -1, since: at}))
}
