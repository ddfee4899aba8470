package coldstart

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"k3s-aws-auth/scripts/bench/internal/target"
	"k3s-aws-auth/scripts/internal/kube"
)

// cluster is a fake API server that runs pods as the given function does: it gets a created pod and changes its status.
func cluster(run func(pod *corev1.Pod)) (*target.Case, *fake.Clientset) {
	client := fake.NewClientset()
	client.PrependReactor("create", "pods", func(a ktesting.Action) (bool, runtime.Object, error) {
		pod := a.(ktesting.CreateAction).GetObject().(*corev1.Pod).DeepCopy()
		go func() {
			time.Sleep(20 * time.Millisecond)
			pod.Spec.NodeName = "node-1"
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
			pod.Status.PodIP = "10.42.0.9"
			_ = client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod.DeepCopy(), pod.Namespace)
			time.Sleep(5 * time.Millisecond)
			run(pod)
			_ = client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, pod.Namespace)
		}()
		return false, nil, nil
	})
	demo := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "uploader", Namespace: "default"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: target.Container, Image: "cli"}}}}
	return &target.Case{Name: "c", Target: &target.Target{Cluster: &kube.Cluster{Client: client}, Demo: demo, Role: "r"}}, client
}

func ended(pod *corev1.Pod, message string) {
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: target.Container,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}}}}
}

func report(arn string) string {
	now := time.Now()
	return fmt.Sprintf("start %d\nanswered %d\nattempts 1\n\n{\"Arn\":%q}", now.UnixNano(), now.Add(time.Second).UnixNano(), arn)
}

func TestRun(t *testing.T) {
	c, client := cluster(func(pod *corev1.Pod) { ended(pod, report("arn:aws:sts::111122223333:assumed-role/r/s")) })
	s := Run(context.Background(), c, Options{Name: "bench-1", Timeout: 5 * time.Second})
	require.NoError(t, s.Err)
	require.InDelta(t, 1, s.StartToAnswer(), 1e-6)
	require.Equal(t, "node-1", s.Node)
	require.Greater(t, s.Scheduled, 0.0)
	require.False(t, s.Observed)
	pods, err := client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, pods.Items, "the pod is gone")
}

func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(*corev1.Pod)
		text string
	}{
		{"another role", func(p *corev1.Pod) { ended(p, report("arn:aws:sts::111122223333:assumed-role/node/i-1")) }, "not a session of role r"},
		{"refused", func(p *corev1.Pod) { ended(p, "start 1\nattempts 3\n\nAccessDenied") }, "in 3 attempts: AccessDenied"},
		{"no report", func(p *corev1.Pod) { ended(p, "") }, "without a report"},
		{"malformed report", func(p *corev1.Pod) { ended(p, "what") }, "no start"},
		{"never starts", func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: target.Container, State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"}}}}
		}, "ErrImagePull: not found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, _ := cluster(c.run)
			s := Run(context.Background(), k, Options{Name: "bench-1", Timeout: 200 * time.Millisecond})
			require.ErrorContains(t, s.Err, c.text)
			require.Greater(t, s.Created, 0.0, "what was observed is kept")
		})
	}
}

func TestRunIsNotAdmitted(t *testing.T) {
	c, client := cluster(func(*corev1.Pod) {})
	client.PrependReactor("create", "pods", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("forbidden by the quota")
	})
	s := Run(context.Background(), c, Options{Name: "bench-1", Timeout: time.Second})
	require.ErrorContains(t, s.Err, "forbidden by the quota")
}

func TestBurst(t *testing.T) {
	c, _ := cluster(func(pod *corev1.Pod) { ended(pod, report("arn:aws:sts::111122223333:assumed-role/r/s")) })
	res := Burst(context.Background(), c, Options{Name: "burst", Timeout: 5 * time.Second}, 5)
	require.Len(t, res.Samples, 5)
	for i, s := range res.Samples {
		require.NoError(t, s.Err)
		require.Equal(t, fmt.Sprintf("burst-%d", i+1), s.Pod)
	}
}

func TestInterrupted(t *testing.T) {
	c, client := cluster(func(*corev1.Pod) {})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	s := Run(ctx, c, Options{Name: "bench-1", Timeout: time.Minute})
	require.Error(t, s.Err)
	pods, err := client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, pods.Items, "an interrupted run takes its pod away too")
}
