package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"k3s-aws-auth/scripts/internal/kube"
)

// caller asks AWS again and again, from inside a pod, who it is. Each time is a new process, which reads the AWS
// configuration and takes new credentials.
type caller struct {
	mu     sync.Mutex
	asked  int
	failed []string
	name   string
}

// watch starts asking. The function that it returns ends that.
func (w *whole) watch(c *kube.Cluster, pod *corev1.Pod) (*caller, func()) {
	seen, stop, done := &caller{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			said, err := c.Exec(w.ctx, pod.Namespace, pod.Name, "app", "aws", "sts", "get-caller-identity", "--output", "json")
			var who struct{ Arn string }
			if err == nil {
				err = json.Unmarshal([]byte(said), &who)
			}
			seen.mu.Lock()
			seen.asked++
			if err != nil {
				seen.failed = append(seen.failed, time.Now().Format(time.TimeOnly)+" "+err.Error())
			} else {
				seen.name = who.Arn[strings.LastIndexByte(who.Arn, '/')+1:]
			}
			seen.mu.Unlock()
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return seen, func() { close(stop); <-done }
}

// called tells whether the last session's name fits.
func (c *caller) called(pattern string) func() bool {
	is := regexp.MustCompile("^" + pattern + "$")
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return is.MatchString(c.name)
	}
}

// TestSessionNames changes rolesAnywhere.sessionName to pod and back, as docs/roles-anywhere.md says, under a pod that asks
// for credentials all the time: it has them throughout, and is never restarted.
func TestSessionNames(t *testing.T) {
	const serial, patience = "[0-9a-f]{20,40}", 3 * time.Minute
	w := newWhole(t, "roles-anywhere")
	w.up("cluster.agents=1")
	w.downAtEnd()
	c := w.kube()
	demo := w.demo(c)
	seen, stop := w.watch(c, demo)
	require.Eventually(t, seen.called(serial), patience, 100*time.Millisecond)

	w.up("rolesAnywhere.sessionName=pod")
	require.Eventually(t, seen.called("default\\.uploader"), patience, 100*time.Millisecond)

	w.pulumi("config", "set", "--stack", "lab", "--path", "rolesAnywhere.sessionName", "serial")
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab", "--target", "**:ConfigMap::**")
	require.Eventually(t, seen.called(serial), patience, 100*time.Millisecond)
	w.pulumi("up", "--yes", "--skip-preview", "--stack", "lab")
	time.Sleep(2 * time.Second) // some more calls, without the profile
	stop()
	require.Empty(t, seen.failed, "of %d calls", seen.asked)
	require.Greater(t, seen.asked, 8, "each call starts a client")
	require.Equal(t, demo.UID, w.demo(c).UID, "the pod is the same")
	w.pulumi("preview", "--stack", "lab", "--expect-no-changes")
}
