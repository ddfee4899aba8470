package main

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/exchange"
	"k3s-aws-auth/scripts/internal/kube"
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

// TestSigningKeyRotation changes the key of tokens in three steps, under pods with tokens of the old key and of the new one
// that call AWS all the time. The naive step, to remove a key that tokens in use are signed with, must fail, or the
// measurement could not.
func TestSigningKeyRotation(t *testing.T) {
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	old := w.calling(c, demo, "old-token")
	first, _ := w.issued(c, demo)

	w.up("signingKeys=" + members("1=active", "2=next"))
	kid, _ := w.issued(c, demo)
	require.Equal(t, first, kid, "a key that is next signs nothing")
	w.up("signingKeys=" + members("1=retiring", "2=active"))
	second, _ := w.issued(c, demo)
	require.NotEqual(t, first, second)
	renewed := w.calling(c, demo, "new-token")
	before, failed := w.calls(c, old)
	require.Empty(t, failed, "of %d calls", before)
	require.Greater(t, before, 20)

	// Not by the lab's own `up`, which would prove the demo pod, whose token is of the old key too.
	w.pulumi("config", "set", "--stack", "lab", "--path", "signingKeys[0].name", "2")
	w.pulumi("config", "set", "--stack", "lab", "--path", "signingKeys[0].state", "active")
	w.pulumi("config", "rm", "--stack", "lab", "--path", "signingKeys[1]")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	require.Eventually(t, func() bool {
		_, failed := w.calls(c, old)
		return slices.ContainsFunc(failed, func(s string) bool { return strings.Contains(s, "InvalidIdentityToken") })
	}, time.Minute, time.Second, "a token of a key that is not published any more is good")
	answered, failed := w.calls(c, renewed)
	require.Empty(t, failed, "of %d calls", answered)
	require.Greater(t, answered, 10)
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

// TestIssuerMigration leads a stack from an issuer in a public bucket to one behind CloudFront, under pods with tokens of
// each that call AWS all the time.
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
