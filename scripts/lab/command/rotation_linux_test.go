package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	if w.programs == "" {
		_, scripts, err := directories()
		require.NoError(w.t, err)
		w.programs = w.t.TempDir()
		build := exec.CommandContext(w.ctx, "go", "build", "-o", w.programs+"/", "./rotate", "./review")
		build.Dir = scripts
		out, err := build.CombinedOutput()
		require.NoError(w.t, err, string(out))
	}
	dir := w.t.TempDir()
	root, env := w.pulumiEnviron()
	// It finds the cluster by the stack alone: a shell may lead to another one, or to none.
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") })
	r := &rotating{w: w, program: filepath.Join(w.programs, "rotate"), said: filepath.Join(dir, "said"),
		env:  append(env, "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH")),
		args: append([]string{"--dir", filepath.Join(w.dir, "work"), "--stack", "lab", "--review", filepath.Join(w.programs, "review"), "--yes"}, args...)}
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

// ends waits for its end, and returns what it has said.
func (r *rotating) ends() (said string, err error) {
	r.w.t.Helper()
	select {
	case err = <-r.ended:
	case <-time.After(3 * time.Minute):
		require.Fail(r.w.t, "rotate does not end")
	}
	text, readErr := os.ReadFile(r.said)
	require.NoError(r.w.t, readErr)
	return string(text), err
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

// TestSigningKeyRotation lets scripts/rotate change the key of tokens, killed three times in each phase and started again, and back
// from an update that failed, under pods that call AWS all the time. A pod whose token the kubelet renews in the time that the tool waits
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

	// The update that makes it active leaves the server stopped: the way back starts it.
	require.NoError(t, r.cmd.Process.Kill())
	require.Error(t, <-r.ended)
	w.age(2 * time.Hour)
	w.fails("StartInstances", "key", "2")
	require.Contains(t, w.aborts("key", "2"), "1 active, 2 retiring: 1 is accepted everywhere")
	kid, _ = w.issued(c, demo)
	require.Equal(t, first, kid)

	r = w.rotate("key", "2")
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
	said, err := w.rotate("key", "2", "--abort").ends()
	require.Error(t, err)
	require.Contains(t, said, "2 is the only member that is left: there is nothing to go back to")
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

// trouble fails an operation of whoever deploys, until the next trouble; without one it ends.
func (w *whole) trouble(action string) {
	w.t.Helper()
	body := `{"longestSession":"0s","troubles":[]}`
	if action != "" {
		body = `{"longestSession":"0s","troubles":[{"source":"host","action":"` + action + `","code":"InsufficientInstanceCapacity",
			"message":"not now","status":500,"until":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}]}`
	}
	require.NoError(w.t, control(w.ctx, w.lab, http.MethodPost, "/_lab/trouble", strings.NewReader(body), nil))
}

// fails lets the next step of a rotation fail by an operation of AWS.
func (w *whole) fails(action string, args ...string) {
	w.t.Helper()
	w.trouble(action)
	said, err := w.rotate(append(args, "--step")...).ends()
	require.Error(w.t, err)
	require.Contains(w.t, said, "not now")
	w.trouble("")
}

// aborts runs a rotation with --abort to its end, or to where it waits. The review must find no danger in what it does.
func (w *whole) aborts(args ...string) string {
	w.t.Helper()
	said, err := w.rotate(append(args, "--abort", "--step")...).ends()
	require.NoError(w.t, err, said)
	for _, judged := range reviewed.FindAllString(said, -1) {
		require.Regexp(w.t, "nothing dangerous|no danger", judged)
	}
	return said
}

var reviewed = regexp.MustCompile("(?m)^### .*")

// TestAborts goes back from every phase of a rotation of the key, and from updates that end on their way, one of which leaves
// the only server stopped, under pods that call AWS all the time: none of their calls fails. The end of a rotation, from which
// there is no way back, is that of TestSigningKeyRotation, which goes back once; TestAuthorityRotation does from each phase.
func TestAborts(t *testing.T) {
	long(t)
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	first, _ := w.issued(c, demo)
	pods := []*corev1.Pod{w.calling(c, demo, "from-before")}
	step := func(args ...string) {
		t.Helper()
		said, err := w.rotate(append([]string{"key", "2"}, args...)...).ends()
		require.NoError(t, err, said)
	}
	signs := func(want string) {
		t.Helper()
		kid, _ := w.issued(c, demo)
		require.Equal(t, want, kid)
	}

	step("--edit")
	require.Contains(t, w.aborts("key", "2"), "1 active: nothing of 2 was ever in use")
	w.fails("PutParameter", "key", "2") // the key is published, and no server has it
	require.Contains(t, w.aborts("key", "2"), "done: 2 is not there")
	step("--step")
	require.Contains(t, w.aborts("key", "2"), "1 active: nothing of 2 was ever in use")
	signs(first)

	step("--step")
	said, err := w.rotate("key", "3", "--abort").ends()
	require.Error(t, err, "a name that is not there")
	require.Contains(t, said, "the set is 1 active, 2 next")
	w.age(2 * time.Hour)
	w.fails("StartInstances", "key", "2") // the server is stopped, to sign with the new key when it starts
	require.Contains(t, w.aborts("key", "2"), "1 active, 2 retiring: 1 is accepted everywhere")
	signs(first)
	pods = append(pods, w.calling(c, demo, "gone-back"))

	step("--step") // forward again, at once: it is accepted everywhere still
	second, _ := w.issued(c, demo)
	require.NotEqual(t, first, second)
	signed := w.calling(c, demo, "of-the-new-key")
	require.Equal(t, second, w.mountedKey(c, signed))
	pods = append(pods, signed)
	w.age(25 * time.Hour)
	file := filepath.Join(w.dir, "work", "Pulumi.lab.yaml")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	step("--edit")
	said, err = w.rotate("key", "2", "--abort").ends()
	require.Error(t, err)
	require.Contains(t, said, "set it back to 1 retiring, 2 active")
	require.NoError(t, os.WriteFile(file, before, 0o600))

	back := w.rotate("key", "2", "--abort")
	back.kills(2)
	back.waits("what 2 has signed")
	signs(first)
	body := strings.NewReader(`{"namespace":"default","pod":"of-the-new-key"}`)
	require.NoError(t, control(w.ctx, w.lab, http.MethodPost, "/_lab/tokens", body, nil))
	require.Eventually(t, func() bool { return w.mountedKey(c, signed) == first }, time.Minute, time.Second, "an old token is not renewed")
	w.age(25 * time.Hour)
	said, err = back.ends()
	require.NoError(t, err, said)
	require.Contains(t, said, "done: 2 is not there")
	for _, pod := range pods {
		w.opened(c, pod)
		answered, failed := w.calls(c, pod)
		require.Empty(t, failed, "%s: of %d calls", pod.Name, answered)
		t.Logf("%s: %d calls, none failed", pod.Name, answered)
	}
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}

// crashes ends Pulumi, which works for r, without a warning, as soon as r has said something.
func (r *rotating) crashes(after string) {
	r.w.t.Helper()
	require.Eventually(r.w.t, func() bool {
		said, err := os.ReadFile(r.said)
		return err == nil && strings.Contains(string(said), after)
	}, time.Minute, 20*time.Millisecond, "does not say %q", after)
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.cmd.Process.Pid))
	require.NoError(r.w.t, err)
	killed := 0
	for _, thread := range threads {
		children, _ := os.ReadFile(thread)
		for id := range strings.FieldsSeq(string(children)) {
			name, _ := os.ReadFile("/proc/" + id + "/comm")
			if pid, err := strconv.Atoi(id); err == nil && strings.HasPrefix(string(name), "pulumi") {
				require.NoError(r.w.t, syscall.Kill(pid, syscall.SIGKILL))
				killed++
			}
		}
	}
	require.NotZero(r.w.t, killed, "Pulumi has ended already")
}

// TestCrash ends Pulumi in the middle of a server's restart, and goes back as docs/runbooks/signing-key.md says.
func TestCrash(t *testing.T) {
	long(t)
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	first, _ := w.issued(c, demo)
	pod := w.calling(c, demo, "from-before")
	said, err := w.rotate("key", "2", "--step").ends()
	require.NoError(t, err, said)
	w.age(2 * time.Hour)
	r := w.rotate("key", "2", "--step")
	r.crashes("aws:ec2:Instance lab-cluster-server-0 updating")
	_, err = r.ends()
	require.Error(t, err)

	said, err = w.rotate("key", "2", "--abort", "--step").ends()
	require.Error(t, err)
	require.Contains(t, said, "the stack is locked by another update")
	w.pulumi("cancel", "--yes", "--stack", "lab")
	server, err := w.ec2().DescribeInstances(w.ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("tag:Name"), Values: []string{"*server-0"}}}})
	require.NoError(t, err)
	machine := server.Reservations[0].Instances[0]
	t.Log("the server is", machine.State.Name)
	if machine.State.Name != types.InstanceStateNameRunning {
		_, err = w.ec2().StartInstances(w.ctx, &ec2.StartInstancesInput{InstanceIds: []string{*machine.InstanceId}})
		require.NoError(t, err)
	}
	w.refresh()
	require.Contains(t, w.aborts("key", "2"), "what 2 has signed is still in use")
	kid, _ := w.issued(c, demo)
	require.Equal(t, first, kid)
	w.age(25 * time.Hour)
	require.Contains(t, w.aborts("key", "2"), "done: 2 is not there")
	w.opened(c, pod)
	answered, failed := w.calls(c, pod)
	require.Empty(t, failed, "of %d calls", answered)
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

// session is a session that a pod has now, as a shell reads it.
func (w *whole) session(c *kube.Cluster, pod *corev1.Pod) string {
	w.t.Helper()
	said, err := c.Exec(w.ctx, pod.Namespace, pod.Name, exchange.AppContainer, "aws", "configure", "export-credentials", "--format", "env")
	require.NoError(w.t, err)
	require.Contains(w.t, said, "AWS_SESSION_TOKEN=")
	return said
}

// writes lets a pod write its object in a session that it has taken before.
func (w *whole) writes(c *kube.Cluster, pod *corev1.Pod, session string) error {
	_, err := c.Exec(w.ctx, pod.Namespace, pod.Name, exchange.AppContainer, "/bin/sh", "-ec",
		session+`
echo again >/tmp/again
aws s3api put-object --bucket "$DEMO_BUCKET" --key "$DEMO_KEY" --body /tmp/again`)
	return err
}

// closed waits until a session is denied, and says how long that took.
func (w *whole) closed(c *kube.Cluster, pod *corev1.Pod, session string) {
	w.t.Helper()
	begin := time.Now()
	var err error
	require.Eventually(w.t, func() bool {
		err = w.writes(c, pod, session)
		return err != nil
	}, 10*time.Second, 100*time.Millisecond, "the session goes on")
	require.ErrorContains(w.t, err, "AccessDenied")
	require.ErrorContains(w.t, err, "with an explicit deny in an identity-based policy")
	w.t.Logf("a session that ran is denied %s after the update", time.Since(begin).Round(time.Millisecond))
}

// TestRevocation revokes an identity's certificate, and suspends an identity, under a pod that takes new credentials all the
// time; and takes both back. Sessions that run go on where a certificate is revoked, and are denied on their next call where the
// identity is suspended, also when it is open again; those that are taken then work. Another identity notices nothing.
func TestRevocation(t *testing.T) {
	shutsOut(t, "roles-anywhere")
}

// TestSuspension is the same for pods that present tokens, which have no certificate to revoke.
func TestSuspension(t *testing.T) {
	long(t)
	shutsOut(t, "irsa-s3")
}

func shutsOut(t *testing.T, setup string) {
	w := newWhole(t, setup)
	identity := func(name string) string {
		return `{name: ` + name + `, namespace: default, serviceAccount: ` + name + `, statements: [{sid: PutOwnObjects, actions: ["s3:PutObject"],
			resources: ["${demo.bucketArn}/` + name + `/*"]}]}`
	}
	w.up("cluster.agents=1", "identities=["+identity("uploader")+","+identity("other")+"]")
	w.downAtEnd()
	c := w.kube()
	pod := w.calling(c, w.demo(c), "calling")
	other := w.calling(c, w.demoOf(c, "other"), "calling-too")
	held, others := w.session(c, pod), w.session(c, other)
	require.NoError(t, w.writes(c, pod, held))
	// How others fare, at every point of it: in the session that they have, and in new ones.
	unaffected := func() {
		t.Helper()
		require.NoError(t, w.writes(c, other, others))
		w.opened(c, other)
		answered, failed := w.calls(c, other)
		require.Empty(t, failed, "of %d calls", answered)
	}
	w.opened(c, pod)

	if setup == "roles-anywhere" {
		said, err := w.rotate("revoke", "uploader").ends()
		require.NoError(t, err, said)
		w.shut(c, pod, "revoked")
		require.NoError(t, w.writes(c, pod, held), "a session that runs goes on")
		unaffected()
		w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
		said, err = w.rotate("unrevoke", "uploader").ends()
		require.NoError(t, err, said)
		w.opened(c, pod)
	}

	said, err := w.rotate("suspend", "uploader").ends()
	require.NoError(t, err, said)
	w.closed(c, pod, held)
	w.shut(c, pod, "AccessDenied")
	unaffected()

	said, err = w.rotate("resume", "uploader").ends()
	require.NoError(t, err, said)
	require.Contains(t, said, "Sessions from before")
	w.opened(c, pod)
	fresh := w.session(c, pod)
	require.NoError(t, w.writes(c, pod, fresh), "a session from after the moment works")
	w.closed(c, pod, held)
	unaffected()

	w.pulumi("config", "rm", "--stack", "lab", "--path", "identities[0].revokeSessionsBefore")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	require.NoError(t, w.writes(c, pod, held), "it was the moment that shut it")
	unaffected()
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

// TestAuthorityRotation lets scripts/rotate change the CA of the identities' certificates, go back from each phase and forward
// again, under a pod that presents its certificate all the time and is never restarted.
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

	step := func() {
		t.Helper()
		said, err := w.rotate("ca", "2", "--step").ends()
		require.NoError(t, err, said)
	}
	reaches := func() string {
		t.Helper()
		is, _ := secret()
		require.Eventually(t, func() bool { return strings.TrimSpace(mounted()) == strings.TrimSpace(is) }, 3*time.Minute, time.Second,
			"the new certificate does not reach the pod")
		return is
	}
	step()
	still, _ := secret()
	require.Equal(t, first, still, "a CA that is next signs nothing")
	require.Contains(t, w.aborts("ca", "2"), "1 active: nothing of 2 was ever in use")
	step()
	w.age(2 * time.Hour)
	step()
	second := reaches()
	require.NotEqual(t, first, second)
	require.Contains(t, w.aborts("ca", "2"), "1 active, 2 retiring: 1 is accepted everywhere")
	if takesLong { // kubelets take a minute for a changed Secret
		require.NotEqual(t, second, reaches())
	}
	step()
	reaches()
	w.age(2 * time.Hour)
	step()
	w.opened(c, pod)
	answered, failed := w.calls(c, pod)
	require.Empty(t, failed, "of %d calls", answered)
	require.Greater(t, answered, 20)
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}

// takesLong says that there is time for what takes minutes more than CI has.
var takesLong = os.Getenv("LAB_LONG") == "1"

// long skips a test for which there is not.
func long(t *testing.T) {
	t.Helper()
	if !takesLong {
		t.Skip("it takes minutes: set LAB_LONG=1, as in LAB_LONG=1 make test-lab")
	}
}

// starting makes pods one after the other, as a controller would, until its end, and returns how many have had their first
// exchange answered, and how long that has taken at most. Each must.
func (w *whole) starting(c *kube.Cluster, demo *corev1.Pod) (end func() (n int, longest time.Duration)) {
	w.t.Helper()
	stop, ended := make(chan struct{}), make(chan error, 1)
	n, longest := 0, time.Duration(0)
	go func() {
		defer close(ended)
		for {
			pod := exchange.Pod(demo)
			pod.Name = fmt.Sprintf("new-%d", n)
			begin := time.Now()
			if err := w.starts(c, pod); err != nil {
				ended <- fmt.Errorf("pod %s after %s: %w", pod.Name, time.Since(begin), err)
				return
			}
			n, longest = n+1, max(longest, time.Since(begin))
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return func() (int, time.Duration) {
		w.t.Helper()
		close(stop)
		require.NoError(w.t, <-ended)
		return n, longest
	}
}

// starts makes a pod, waits until an exchange of it is answered, and deletes it.
func (w *whole) starts(c *kube.Cluster, pod *corev1.Pod) error {
	pods := c.Client.CoreV1().Pods(pod.Namespace)
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
	defer cancel()
	// A server that restarts closes its connections: who makes pods asks again.
	again := func(do func() error) error {
		for {
			err := do()
			if err == nil || apierrors.IsAlreadyExists(err) {
				return nil
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	if err := again(func() error { _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); return err }); err != nil {
		return err
	}
	if err := again(func() error {
		said, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{Container: exchange.AppContainer}).DoRaw(ctx)
		if err != nil {
			return err
		}
		seen := exchange.Parse(string(said))
		switch {
		case len(seen) == 0:
			return errors.New("no exchange yet")
		case !seen[0].OK:
			return errors.New(seen[0].Text)
		}
		return nil
	}); err != nil {
		return err
	}
	return again(func() error {
		err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// TestSigningKeyRotationOfThree lets scripts/rotate change the key of a cluster of three servers behind a load balancer, which
// restart one after the other: no call fails, and new pods start all the time.
func TestSigningKeyRotationOfThree(t *testing.T) {
	long(t)
	w := newWhole(t, "irsa-s3")
	w.up("cluster.servers=3", "cluster.agents=2")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	old := w.calling(c, demo, "old-token")
	first, _ := w.issued(c, demo)
	end := w.starting(c, demo)

	r := w.rotate("key", "2")
	r.waits("before 2 was in it")
	w.age(2 * time.Hour)
	r.waits("what 1 has signed")
	second, _ := w.issued(c, demo)
	require.NotEqual(t, first, second)
	body := strings.NewReader(`{"namespace":"default","pod":"old-token"}`)
	require.NoError(t, control(w.ctx, w.lab, http.MethodPost, "/_lab/tokens", body, nil))
	require.Eventually(t, func() bool { return w.mountedKey(c, old) == second }, time.Minute, time.Second, "an old token is not renewed")
	young := w.calling(c, demo, "new-token")
	w.age(25 * time.Hour)
	said, err := r.ends()
	require.NoError(t, err, said)

	started, longest := end()
	for _, pod := range []*corev1.Pod{old, young} {
		w.opened(c, pod)
		answered, failed := w.calls(c, pod)
		require.Empty(t, failed, "%s: of %d calls", pod.Name, answered)
		t.Logf("%s: %d calls, none failed", pod.Name, answered)
	}
	t.Logf("%d pods have started, each within %s", started, longest.Round(time.Second))
	require.Greater(t, started, 10)
}

// TestIssuerAborts goes back from each phase of a change of the issuer, under pods with tokens of each.
func TestIssuerAborts(t *testing.T) {
	long(t)
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	pods := []*corev1.Pod{w.calling(c, demo, "from-before")}
	_, first := w.issued(c, demo)
	step := func() {
		t.Helper()
		said, err := w.rotate("issuer", "other", "--step").ends()
		require.NoError(t, err, said)
	}
	step()
	require.Contains(t, w.aborts("issuer", "other"), "1 active: nothing of other was ever in use")
	step()
	w.age(2 * time.Hour)
	step()
	_, second := w.issued(c, demo)
	require.NotEqual(t, first, second)
	signed := w.calling(c, demo, "of-the-new-issuer")
	pods = append(pods, signed)
	require.Contains(t, w.aborts("issuer", "other"), "1 active, other retiring: 1 is accepted everywhere")
	_, back := w.issued(c, demo)
	require.Equal(t, first, back)
	body := strings.NewReader(`{"namespace":"default","pod":"of-the-new-issuer"}`)
	require.NoError(t, control(w.ctx, w.lab, http.MethodPost, "/_lab/tokens", body, nil))
	time.Sleep(5 * time.Second) // the kubelet writes them
	w.age(25 * time.Hour)
	require.Contains(t, w.aborts("issuer", "other"), "done: other is not there")
	for _, pod := range pods {
		w.opened(c, pod)
		answered, failed := w.calls(c, pod)
		require.Empty(t, failed, "%s: of %d calls", pod.Name, answered)
		t.Logf("%s: %d calls, none failed", pod.Name, answered)
	}
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}

// way is what pods saw of one way to change the key: how many of their exchanges were answered and how many failed, in each
// piece of time, and when what was done.
type way struct {
	Name  string   `json:"name"`
	Marks []mark   `json:"marks"`
	Bins  [][2]int `json:"bins"` // answered, failed
}

type mark struct {
	Second int    `json:"second"`
	Text   string `json:"text"`
}

// binSeconds is how long a piece of time is.
const binSeconds = 5

// TestRecordRotation writes what docs/pictures draws of a change of the key: the right way, by scripts/rotate, and the naive one,
// by which the key is another one at once.
func TestRecordRotation(t *testing.T) {
	path := os.Getenv("LAB_RECORD")
	if path == "" {
		t.Skip("it records: set LAB_RECORD to the file to write, docs/pictures/signing-key.json, and run make generate")
	}
	w := newWhole(t, "irsa-s3")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	var pods []*corev1.Pod
	renew := func() {
		t.Helper()
		for _, pod := range pods {
			body := strings.NewReader(`{"namespace":"default","pod":"` + pod.Name + `"}`)
			require.NoError(t, control(w.ctx, w.lab, http.MethodPost, "/_lab/tokens", body, nil))
		}
	}
	for i := range 3 {
		pods = append(pods, w.calling(c, demo, fmt.Sprintf("calling-%d", i)))
	}
	record := func(name string, do func(mark func(text string))) way {
		t.Helper()
		begin, out := time.Now(), way{Name: name}
		do(func(text string) { out.Marks = append(out.Marks, mark{int(time.Since(begin).Seconds()), text}) })
		out.Bins = make([][2]int, int(time.Since(begin).Seconds())/binSeconds)
		for _, pod := range pods {
			said, err := c.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: exchange.AppContainer}).DoRaw(w.ctx)
			require.NoError(t, err)
			for _, e := range exchange.Parse(string(said)) {
				if e.Began.Before(begin) || int(e.Began.Sub(begin).Seconds()) >= len(out.Bins)*binSeconds {
					continue
				}
				column := 0
				if !e.OK {
					column = 1
				}
				out.Bins[int(e.Began.Sub(begin).Seconds())/binSeconds][column]++
			}
		}
		return out
	}
	right := record("scripts/rotate", func(mark func(string)) {
		time.Sleep(10 * time.Second)
		mark("step 1: the new key is next")
		r := w.rotate("key", "2")
		r.waits("before 2 was in it")
		time.Sleep(5 * time.Second)
		w.age(2 * time.Hour)
		mark("step 2, an hour later: it is active, and the old one retires")
		r.waits("what 1 has signed")
		mark("a new pod starts, and AWS reads the new key")
		pods = append(pods, w.calling(c, demo, "newer"))
		time.Sleep(10 * time.Second)
		mark("kubelets renew tokens, 19 hours later")
		renew()
		time.Sleep(10 * time.Second)
		w.age(25 * time.Hour)
		mark("step 3, a day later: the old key goes")
		said, err := r.ends()
		require.NoError(t, err, said)
		time.Sleep(10 * time.Second)
	})
	naive := record("all at once", func(mark func(string)) {
		time.Sleep(10 * time.Second)
		mark("the only key is another one")
		w.pulumi("config", "set", "--stack", "lab", "--path", "signingKeys[0].name", "other")
		w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
		mark("a new pod starts, and AWS reads the new key")
		pods = append(pods, w.calling(c, demo, "new"))
		time.Sleep(20 * time.Second)
		mark("kubelets renew tokens, 19 hours later")
		renew()
		time.Sleep(15 * time.Second)
	})
	for _, b := range right.Bins {
		require.Zero(t, b[1])
	}
	require.True(t, slices.ContainsFunc(naive.Bins, func(b [2]int) bool { return b[1] > 0 }), "the naive way does no harm")
	data, err := json.Marshal(map[string]any{"binSeconds": binSeconds, "title": "What pods saw of a change of the signing key, in the lab", "ways": []way{right, naive}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(data, '\n'), 0o644))
}
