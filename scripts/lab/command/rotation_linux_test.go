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

	"k3s-aws-auth/scripts/internal/kube"
)

// callScript asks who it is again and again, each time with new credentials, and prints a line for each answer.
const callScript = `touch /tmp/proven
while :; do
  rm -rf "$HOME/.aws/cli/cache"
  if said=$(aws sts get-caller-identity --query Arn --output text 2>&1); then echo "ok $said"; else echo "failed $said" | tr '\n' ' '; echo; fi
  sleep 0.1
done`

// calling is a pod that calls AWS all the time.
func (w *whole) calling(c *kube.Cluster, demo *corev1.Pod, name string) *corev1.Pod {
	w.t.Helper()
	model := demo.DeepCopy()
	model.Spec.Containers[0].Command = []string{"/bin/sh", "-c", callScript}
	return w.another(c, model, name)
}

// calls are how many calls of a pod were answered, and what the others said.
func (w *whole) calls(c *kube.Cluster, pod *corev1.Pod) (answered int, failed []string) {
	w.t.Helper()
	data, err := c.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(w.ctx)
	require.NoError(w.t, err)
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "ok ") {
			answered++
		} else if strings.TrimSpace(line) != "" {
			failed = append(failed, strings.TrimSpace(line))
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

// members are the changes of the configuration by which a set has these members, each name=state, whatever the set had.
func members(key string, set ...string) []string {
	var list []map[string]string
	for _, m := range set {
		name, state, _ := strings.Cut(m, "=")
		list = append(list, map[string]string{"name": name, "state": state})
	}
	text, _ := json.Marshal(list)
	return []string{key + "=" + string(text)}
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

	w.up(members("signingKeys", "1=active", "2=next")...)
	kid, _ := w.issued(c, demo)
	require.Equal(t, first, kid, "a key that is next signs nothing")
	w.up(members("signingKeys", "1=retiring", "2=active")...)
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
