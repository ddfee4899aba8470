package kubelet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodStatus(t *testing.T) {
	yes, no := true, false
	status := func(kind containerKind, name string, change func(*corev1.ContainerStatus)) containerStatus {
		s := corev1.ContainerStatus{Name: name, Started: &no}
		change(&s)
		s.Ready = s.Ready && (kind == initContainer || s.State.Terminated == nil)
		return containerStatus{kind, s}
	}
	running := func(s *corev1.ContainerStatus) {
		s.State.Running, s.Started, s.Ready = &corev1.ContainerStateRunning{}, &yes, true
	}
	unready := func(s *corev1.ContainerStatus) { running(s); s.Ready = false }
	starting := func(s *corev1.ContainerStatus) { unready(s); s.Started = &no }
	waiting := func(s *corev1.ContainerStatus) {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonContainerCreating}
	}
	ended := func(code int32) func(*corev1.ContainerStatus) {
		return func(s *corev1.ContainerStatus) {
			s.State.Terminated, s.Ready = &corev1.ContainerStateTerminated{ExitCode: code}, code == 0
		}
	}
	crashing := func(s *corev1.ContainerStatus) {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonCrashLoop}
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1}
	}
	type conditions struct{ initialized, ready, reason string }
	for _, test := range []struct {
		name       string
		containers []containerStatus
		terminal   bool
		phase      corev1.PodPhase
		want       conditions
	}{
		{"creating", []containerStatus{status(mainContainer, "a", waiting)}, false, corev1.PodPending, conditions{"True", "False", "ContainersNotReady"}},
		{"running", []containerStatus{status(mainContainer, "a", running)}, false, corev1.PodRunning, conditions{"True", "True", ""}},
		{"not ready", []containerStatus{status(mainContainer, "a", unready)}, false, corev1.PodRunning, conditions{"True", "False", "ContainersNotReady"}},
		{"init runs", []containerStatus{status(initContainer, "i", unready), status(mainContainer, "a", waiting)}, false, corev1.PodPending, conditions{"False", "False", "ContainersNotReady"}},
		{"init done", []containerStatus{status(initContainer, "i", ended(0)), status(mainContainer, "a", running)}, false, corev1.PodRunning, conditions{"True", "True", ""}},
		{"init crashes", []containerStatus{status(initContainer, "i", crashing), status(mainContainer, "a", waiting)}, false, corev1.PodPending, conditions{"False", "False", "ContainersNotReady"}},
		{"sidecar starts", []containerStatus{status(sidecarContainer, "s", starting), status(mainContainer, "a", waiting)}, false, corev1.PodPending, conditions{"False", "False", "ContainersNotReady"}},
		{"sidecar not ready", []containerStatus{status(sidecarContainer, "s", unready), status(mainContainer, "a", running)}, false, corev1.PodRunning, conditions{"True", "False", "ContainersNotReady"}},
		{"sidecar restarts later", []containerStatus{status(sidecarContainer, "s", crashing), status(mainContainer, "a", running)}, false, corev1.PodRunning, conditions{"True", "False", "ContainersNotReady"}},
		{"crash loop", []containerStatus{status(mainContainer, "a", crashing)}, false, corev1.PodRunning, conditions{"True", "False", "ContainersNotReady"}},
		{"succeeded", []containerStatus{status(mainContainer, "a", ended(0))}, true, corev1.PodSucceeded, conditions{"True", "False", "PodCompleted"}},
		{"failed", []containerStatus{status(mainContainer, "a", ended(0)), status(mainContainer, "b", ended(2))}, true, corev1.PodFailed, conditions{"True", "False", "PodFailed"}},
		{"never started", []containerStatus{status(initContainer, "i", ended(1)), status(mainContainer, "a", waiting)}, true, corev1.PodFailed, conditions{"False", "False", "PodFailed"}},
		{"ends, not yet for good", []containerStatus{status(mainContainer, "a", ended(0))}, false, corev1.PodRunning, conditions{"True", "False", "ContainersNotReady"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
			got := podStatus(pod, observed{containers: test.containers, network: true, podIP: "10.42.0.2", hostIP: "127.0.0.1", terminal: test.terminal})
			require.Equal(t, test.phase, got.Phase)
			find := func(kind corev1.PodConditionType) corev1.PodCondition {
				for _, c := range got.Conditions {
					if c.Type == kind {
						require.EqualValues(t, 3, c.ObservedGeneration)
						return c
					}
				}
				t.Fatalf("no condition %s", kind)
				return corev1.PodCondition{}
			}
			require.Equal(t, test.want, conditions{string(find(corev1.PodInitialized).Status), string(find(corev1.PodReady).Status), find(corev1.PodReady).Reason})
			require.Equal(t, find(corev1.PodReady).Status, find(corev1.ContainersReady).Status)
			require.Equal(t, "10.42.0.2", got.PodIPs[0].IP)
		})
	}
}

func TestPodStatusKeepsOtherConditions(t *testing.T) {
	long := metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	now := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "gate"}}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: "gate", Status: corev1.ConditionFalse}, {Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: long},
		}},
	}
	yes := true
	got := podStatus(pod, observed{now: now, containers: []containerStatus{{mainContainer, corev1.ContainerStatus{Name: "a", Started: &yes, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}})
	byType := map[corev1.PodConditionType]corev1.PodCondition{}
	for _, c := range got.Conditions {
		byType[c.Type] = c
	}
	require.Equal(t, corev1.ConditionFalse, byType["gate"].Status)
	require.Equal(t, long, byType[corev1.PodScheduled].LastTransitionTime)
	require.Equal(t, now, byType[corev1.PodReady].LastTransitionTime)
	require.Equal(t, "ReadinessGatesNotReady", byType[corev1.PodReady].Reason)
	require.Equal(t, corev1.ConditionTrue, byType[corev1.ContainersReady].Status)
}

func TestRestartDelays(t *testing.T) {
	k := &Kubelet{o: Options{RestartBackoff: time.Second, MaxRestartBackoff: 5 * time.Second}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &container{}
	var waits []time.Duration
	for range 6 {
		c.begun = now
		now = now.Add(100 * time.Millisecond)
		c.delayRestart(k, now)
		waits = append(waits, c.notBefore.Sub(now))
	}
	require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}, waits)
	c.begun = now
	now = now.Add(time.Hour)
	c.delayRestart(k, now)
	require.Zero(t, c.notBefore.Sub(now), "a long run forgets the waits")
}

func TestVerifyNonRoot(t *testing.T) {
	yes, zero, user := true, int64(0), int64(1000)
	pod := func(p *corev1.PodSecurityContext) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}, Spec: corev1.PodSpec{SecurityContext: p}}
	}
	for _, test := range []struct {
		name  string
		pod   *corev1.PodSecurityContext
		image int64
		err   string
	}{
		{"not asked for", nil, 0, ""},
		{"image runs as root", &corev1.PodSecurityContext{RunAsNonRoot: &yes}, 0, `container has runAsNonRoot and image will run as root (pod: "p_ns(u)", container: c)`},
		{"image has a user", &corev1.PodSecurityContext{RunAsNonRoot: &yes}, 65532, ""},
		{"user given", &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user}, 0, ""},
		{"root given", &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &zero}, 65532, `container's runAsUser breaks non-root policy (pod: "p_ns(u)", container: c)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := verifyNonRoot(pod(test.pod), &corev1.Container{Name: "c"}, Image{User: test.image})
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, test.err)
			}
		})
	}
}
