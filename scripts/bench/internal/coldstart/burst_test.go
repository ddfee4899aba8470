package coldstart

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"

	"k3s-aws-auth/scripts/bench/internal/target"
	"k3s-aws-auth/scripts/internal/labs"
)

func TestTally(t *testing.T) {
	got := Tally([]labs.Event{
		event(0, "rolesanywhere", createSession, "pod/default/burst-1", status(201)),
		event(0.2, "rolesanywhere", createSession, "pod/default/burst-2", status(429)),
		event(1.1, "rolesanywhere", createSession, "pod/default/burst-2", status(201)),
		event(0, "rolesanywhere", createSession, "pod/default/uploader", status(201)),
		event(0, "rolesanywhere", createSession, "pod/other/burst-1", status(201)),
		event(0, "imds", "PUT", "node/i-1"),
		event(0, "s3", "GetObject", "aws"),
		event(0, "cloudfront", "ViewerRequest", "", cache("Hit")),
		event(0, "cloudfront", "ViewerRequest", "", cache("Miss")),
		event(0, "sts", callerIdentity, "host"),
	}, "default", "burst")
	require.Equal(t, []Count{
		{"issuer documents, fetched by AWS", 1, 0, 1},
		{"issuer documents, fetched by AWS from the edge: hit", 1, 0, 1},
		{"issuer documents, fetched by AWS from the edge: miss", 1, 0, 1},
		{"metadata service", 1, 0, 1},
		{"rolesanywhere:CreateSession", 3, 1, 2},
	}, got)
	require.Empty(t, Tally(nil, "default", "burst"))
}

func TestCronJob(t *testing.T) {
	c, client := cluster(func(*corev1.Pod) {})
	client.PrependReactor("create", "cronjobs", func(a ktesting.Action) (bool, runtime.Object, error) {
		job := a.(ktesting.CreateAction).GetObject().(*batchv1.CronJob)
		template := job.Spec.JobTemplate.Spec.Template
		for _, name := range []string{"x-1", "x-2"} {
			pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
			pod.Name, pod.Namespace, pod.CreationTimestamp = name, job.Namespace, metav1.NewTime(time.Now().Add(-time.Second))
			ended(pod, report("arn:aws:sts::111122223333:assumed-role/r/s"))
			_ = client.Tracker().Add(pod)
		}
		return false, nil, nil
	})
	res, err := CronJob(context.Background(), c, Options{Name: "burst", Timeout: time.Second}, 2, 1)
	require.NoError(t, err)
	require.Len(t, res.Samples, 2)
	for _, s := range res.Samples {
		require.NoError(t, s.Err)
		require.InDelta(t, 1, s.StartToAnswer(), 1e-6)
	}
	pods, err := client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{LabelSelector: target.RunLabel + "=burst"})
	require.NoError(t, err)
	require.Empty(t, pods.Items)
}
