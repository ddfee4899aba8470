package main

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/exchange"
	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// calling is a pod that takes new credentials all the time, as one with the identity of a demo pod.
func (w *whole) calling(c *kube.Cluster, demo *corev1.Pod, name string) *corev1.Pod {
	w.t.Helper()
	return w.another(c, exchange.Pod(demo), name)
}

// calls are how many calls of a pod were answered, and what the others said.
func (w *whole) calls(c *kube.Cluster, pod *corev1.Pod) (answered int, failed []string) {
	w.t.Helper()
	data, err := c.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: exchange.AppContainer}).DoRaw(w.ctx)
	require.NoError(w.t, err)
	for _, e := range exchange.Parse(string(data)) {
		if e.OK {
			answered++
		} else {
			failed = append(failed, e.Text)
		}
	}
	return answered, failed
}

// issued is what a new token of a pod's service account says of who signed it.
func (w *whole) issued(c *kube.Cluster, pod *corev1.Pod) (kid, issuer string) {
	w.t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sts.amazonaws.com"}}}
	made, err := c.Client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(w.ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	require.NoError(w.t, err)
	var header struct{ Kid string }
	var claims struct{ Iss string }
	for i, into := range []any{&header, &claims} {
		part, err := base64.RawURLEncoding.DecodeString(strings.Split(made.Status.Token, ".")[i])
		require.NoError(w.t, err)
		require.NoError(w.t, json.Unmarshal(part, into))
	}
	return header.Kid, claims.Iss
}

// members are a set with these members, each name=state, as the value of a key.
func members(set ...string) string {
	var list []map[string]string
	for _, m := range set {
		name, state, _ := strings.Cut(m, "=")
		list = append(list, map[string]string{"name": name, "state": state})
	}
	text, _ := json.Marshal(list)
	return string(text)
}

// rotating is a run of scripts/rotate on the lab's stack.
type rotating struct {
	w       *whole
	program string
	args    []string
	env     []string
	said    string // the path of what it prints
	cmd     *exec.Cmd
	ended   chan error
}

// rotate starts scripts/rotate.
func (w *whole) rotate(args ...string) *rotating {
	w.t.Helper()
	_, scripts, err := directories()
	require.NoError(w.t, err)
	dir := w.t.TempDir()
	for _, name := range []string{"rotate", "review"} {
		build := exec.CommandContext(w.ctx, "go", "build", "-o", filepath.Join(dir, name), "./"+name)
		build.Dir = scripts
		out, err := build.CombinedOutput()
		require.NoError(w.t, err, string(out))
	}
	root, env := w.pulumiEnviron()
	r := &rotating{w: w, program: filepath.Join(dir, "rotate"), said: filepath.Join(dir, "said"),
		env:  append(env, "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH")),
		args: append([]string{"--dir", filepath.Join(w.dir, "work"), "--stack", "lab", "--review", filepath.Join(dir, "review"), "--yes"}, args...)}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			said, _ := os.ReadFile(r.said)
			w.t.Logf("rotate %s: %s", args, said)
		}
	})
	r.start()
	return r
}

func (r *rotating) start() {
	r.w.t.Helper()
	out, err := os.OpenFile(r.said, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(r.w.t, err)
	defer out.Close()
	r.cmd = exec.CommandContext(r.w.ctx, r.program, r.args...)
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr, r.ended = r.env, out, out, make(chan error, 1)
	require.NoError(r.w.t, r.cmd.Start())
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(r.cmd, r.ended)
}

// kills ends it without a warning n times, each at a moment that nobody knows, and starts it again; fewer times where it
// has come to its own end.
func (r *rotating) kills(n int) {
	r.w.t.Helper()
	for range n {
		moment := time.Duration(rand.Int64N(int64(12 * time.Second)))
		time.Sleep(moment)
		if len(r.ended) > 0 {
			return
		}
		r.w.t.Log("killed after", moment)
		require.NoError(r.w.t, r.cmd.Process.Kill())
		if err := <-r.ended; err == nil { // it was faster
			r.ended <- err
			return
		}
		r.start()
	}
}

// waits waits until it waits for something, and is no more than that.
func (r *rotating) waits(what string) {
	r.w.t.Helper()
	require.Eventually(r.w.t, func() bool {
		select {
		case err := <-r.ended:
			require.Fail(r.w.t, "rotate has ended", "%v", err)
		default:
		}
		said, err := os.ReadFile(r.said)
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		last := lines[len(lines)-1]
		return err == nil && strings.HasPrefix(last, "waiting until ") && strings.Contains(last, what)
	}, 3*time.Minute, 200*time.Millisecond, "does not wait for %q", what)
}

// age lets time pass for the stack's history, which says how long something is deployed.
func (w *whole) age(d time.Duration) {
	w.t.Helper()
	n := 0
	require.NoError(w.t, filepath.WalkDir(state.Backend(w.dir), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".history.json") {
			return err
		}
		n++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var update map[string]json.RawMessage
		if err := json.Unmarshal(data, &update); err != nil {
			return err
		}
		for _, key := range []string{"startTime", "endTime"} {
			var at int64
			if err := json.Unmarshal(update[key], &at); err != nil {
				return err
			}
			update[key] = json.RawMessage(strconv.FormatInt(at-int64(d/time.Second), 10))
		}
		if data, err = json.Marshal(update); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	}))
	require.NotZero(w.t, n)
}

// mountedKey is the key by which the token is signed that a pod has now.
func (w *whole) mountedKey(c *kube.Cluster, pod *corev1.Pod) string {
	w.t.Helper()
	said, err := c.Exec(w.ctx, pod.Namespace, pod.Name, exchange.AppContainer, "/bin/sh", "-c", `cut -d. -f1 "$AWS_WEB_IDENTITY_TOKEN_FILE"`)
	require.NoError(w.t, err)
	var header struct{ Kid string }
	part, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(said))
	require.NoError(w.t, err)
	require.NoError(w.t, json.Unmarshal(part, &header))
	return header.Kid
}

// TestSigningKeyRotation lets scripts/rotate change the key of tokens, killed three times in each phase and started again, under pods that call AWS all the time. A pod whose token the kubelet renews in the time that the tool waits
// has no call that fails. For one to which that time does not come the last step is too early, as if the tool had not waited:
// its calls must fail, or the measurement could not.
func TestSigningKeyRotation(t *testing.T) {
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	young := w.calling(c, demo, "young-token")
	first, _ := w.issued(c, demo)

	r := w.rotate("key", "2")
	r.kills(3)
	r.waits("before 2 was in it")
	kid, _ := w.issued(c, demo)
	require.Equal(t, first, kid, "a key that is next signs nothing")
	old := w.calling(c, demo, "old-token")
	require.Equal(t, first, w.mountedKey(c, old))

	w.age(2 * time.Hour)
	r.kills(3)
	r.waits("what 1 has signed")
	second, _ := w.issued(c, demo)
	require.NotEqual(t, first, second)
	body := strings.NewReader(`{"namespace":"default","pod":"old-token"}`)
	require.NoError(t, control(w.ctx, w.lab, http.MethodPost, "/_lab/tokens", body, nil))
	require.Eventually(t, func() bool { return w.mountedKey(c, old) == second }, time.Minute, time.Second, "an old token is not renewed")
	renewed := w.calling(c, demo, "new-token")
	before, failed := w.calls(c, young)
	require.Empty(t, failed, "of %d calls", before)
	require.Greater(t, before, 20)

	w.age(25 * time.Hour)
	r.kills(3)
	select {
	case err := <-r.ended:
		require.NoError(t, err)
	case <-time.After(2 * time.Minute):
		require.Fail(t, "rotate does not end")
	}
	require.Eventually(t, func() bool {
		_, failed := w.calls(c, young)
		return slices.ContainsFunc(failed, func(s string) bool { return strings.Contains(s, "InvalidIdentityToken") })
	}, time.Minute, time.Second, "a token of a key that is not published any more is good")
	for _, pod := range []*corev1.Pod{old, renewed} {
		answered, failed := w.calls(c, pod)
		require.Empty(t, failed, "%s: of %d calls", pod.Name, answered)
		require.Greater(t, answered, 10, pod.Name)
	}
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}

// shut waits until calls of a pod are refused, and opened until they are answered again.
func (w *whole) shut(c *kube.Cluster, pod *corev1.Pod, want string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		_, failed := w.calls(c, pod)
		return len(failed) > 0 && strings.Contains(failed[len(failed)-1], want)
	}, time.Minute, time.Second, "no call is refused with %q", want)
}

func (w *whole) opened(c *kube.Cluster, pod *corev1.Pod) {
	w.t.Helper()
	before, _ := w.calls(c, pod)
	require.Eventually(w.t, func() bool {
		now, _ := w.calls(c, pod)
		return now > before+2
	}, time.Minute, time.Second, "no call is answered")
}

// TestRevocation revokes an identity's certificate, and suspends an identity, under a pod that takes new credentials all the
// time; and takes both back.
func TestRevocation(t *testing.T) {
	w := newWhole(t, "roles-anywhere")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	pod := w.calling(c, w.demo(c), "calling")
	set := func(args ...string) {
		w.pulumi(append([]string{"config"}, args...)...)
		w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	}
	w.opened(c, pod)

	set("set", "--stack", "lab", "--path", "rolesAnywhere.revoked[0]", "uploader")
	w.shut(c, pod, "revoked")
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
	set("rm", "--stack", "lab", "--path", "rolesAnywhere.revoked")
	w.opened(c, pod)

	set("set", "--stack", "lab", "--path", "identities[0].suspended", "true")
	w.shut(c, pod, "AccessDenied")
	set("rm", "--stack", "lab", "--path", "identities[0].suspended")
	w.opened(c, pod)
}

// TestIssuerMigration leads a stack from an issuer in a public bucket to one behind CloudFront, and on to another bucket, under
// pods with tokens of each that call AWS all the time.
func TestIssuerMigration(t *testing.T) {
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	old := w.calling(c, demo, "old-issuer")
	_, bucket := w.issued(c, demo)

	w.up("issuer.domain=null", `issuers=[{"name":"1","state":"active"},{"name":"cdn","state":"next","domain":"oidc.lab.example.com","dns":"external"}]`)
	_, still := w.issued(c, demo)
	require.Equal(t, bucket, still, "an issuer that is next is in no token")

	set := func(path, value string) { w.pulumi("config", "set", "--stack", "lab", "--path", path, value) }
	set("setup", "irsa-cloudfront")
	set("issuers[0].state", "retiring")
	set("issuers[1].state", "active")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	_, distribution := w.issued(c, demo)
	require.Equal(t, "https://oidc.lab.example.com", distribution)
	renewed := w.calling(c, demo, "new-issuer")
	answered, failed := w.calls(c, old)
	require.Empty(t, failed, "of %d calls", answered)
	require.Greater(t, answered, 20)

	w.pulumi("config", "rm", "--stack", "lab", "--path", "issuers[0]")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	w.shut(c, old, "InvalidIdentityToken")
	w.opened(c, renewed)
	answered, failed = w.calls(c, renewed)
	require.Empty(t, failed, "of %d calls", answered)

	set("issuers[1].name", "home")
	set("issuers[1].state", "next")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	_, still = w.issued(c, demo)
	require.Equal(t, distribution, still)
	set("setup", "irsa-s3")
	set("issuers[0].state", "retiring")
	set("issuers[1].state", "active")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	_, home := w.issued(c, demo)
	require.Contains(t, home, ".s3.")
	require.NotEqual(t, bucket, home)
	back := w.calling(c, demo, "home-issuer")
	w.opened(c, back)
	answered, failed = w.calls(c, renewed)
	require.Empty(t, failed, "of %d calls", answered)
	w.pulumi("config", "rm", "--stack", "lab", "--path", "issuers[0]")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	w.shut(c, renewed, "InvalidIdentityToken")
	w.opened(c, back)
	answered, failed = w.calls(c, back)
	require.Empty(t, failed, "of %d calls", answered)
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}

// TestAuthorityRotation changes the CA of the identities' certificates, under a pod that presents its certificate all the
// time and is never restarted.
func TestAuthorityRotation(t *testing.T) {
	w := newWhole(t, "roles-anywhere")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	pod := w.calling(c, w.demo(c), "calling")
	secret := func() (certificate, key string) {
		t.Helper()
		s, err := c.Client.CoreV1().Secrets(pod.Namespace).Get(w.ctx, "uploader-rolesanywhere", metav1.GetOptions{})
		require.NoError(t, err)
		return string(s.Data["tls.crt"]), string(s.Data["tls.key"])
	}
	mounted := func() string {
		said, err := c.Exec(w.ctx, pod.Namespace, pod.Name, "app", "cat", "/var/run/secrets/rolesanywhere/tls.crt")
		require.NoError(t, err)
		return said
	}
	first, _ := secret()

	w.up("rolesAnywhere.cas=" + members("1=active", "2=next"))
	still, _ := secret()
	require.Equal(t, first, still, "a CA that is next signs nothing")
	w.up("rolesAnywhere.cas=" + members("1=retiring", "2=active"))
	second, _ := secret()
	require.NotEqual(t, first, second)
	require.Eventually(t, func() bool { return strings.TrimSpace(mounted()) == strings.TrimSpace(second) }, 3*time.Minute, time.Second,
		"the new certificate does not reach the pod")
	w.up("rolesAnywhere.cas=" + members("2=active"))
	w.opened(c, pod)
	answered, failed := w.calls(c, pod)
	require.Empty(t, failed, "of %d calls", answered)
	require.Greater(t, answered, 20)
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}
