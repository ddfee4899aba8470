package exchange

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// TestScript runs the script with a client that fails at its second call.
func TestScript(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "aws"), []byte("#!/bin/sh\nif [ -e \"$HOME/called\" ]; then echo 'An error' >&2; echo occurred >&2; exit 255; fi\ntouch \"$HOME/called\"\necho arn:aws:sts::1:assumed-role/r/s\n"), 0o755))
	cmd := exec.Command("timeout", "1", "sh", "-c", script)
	cmd.Env = append(os.Environ(), "HOME="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
	out, _ := cmd.Output()
	all := Parse(string(out))
	require.GreaterOrEqual(t, len(all), 2)
	require.True(t, all[0].OK)
	require.Equal(t, "arn:aws:sts::1:assumed-role/r", all[0].Role())
	require.False(t, all[1].OK)
	require.Equal(t, "An error occurred", all[1].Text)
}

func TestPod(t *testing.T) {
	model := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "agent-0", ServiceAccountName: "uploader", Volumes: []corev1.Volume{{Name: "token"}},
		Containers: []corev1.Container{{Name: "app", Image: "demo", ReadinessProbe: &corev1.Probe{}, Env: []corev1.EnvVar{{Name: "AWS_ROLE_ARN", Value: "r"}}}, {Name: "sidecar", Image: "helper"}}}}
	model.Namespace = "default"
	pod := Pod(model)
	require.Equal(t, "uploader", pod.Spec.ServiceAccountName)
	require.Equal(t, model.Spec.Volumes, pod.Spec.Volumes)
	require.Equal(t, model.Spec.Containers[0].Env, pod.Spec.Containers[0].Env)
	require.Equal(t, "helper", pod.Spec.Containers[1].Image)
	require.Empty(t, pod.Spec.NodeName)

	server := corev1.VolumeMount{Name: "kube-api-access-x7k2p", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}
	own := corev1.VolumeMount{Name: "token", MountPath: "/token"}
	model.Spec.Volumes = append(model.Spec.Volumes, corev1.Volume{Name: server.Name})
	model.Spec.InitContainers = []corev1.Container{{Name: "helper", VolumeMounts: []corev1.VolumeMount{server, own}}}
	model.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{own, server}
	spec := Pod(model).Spec
	require.Equal(t, []corev1.Volume{{Name: "token"}}, spec.Volumes)
	require.Equal(t, []corev1.VolumeMount{own}, spec.InitContainers[0].VolumeMounts)
	require.Equal(t, []corev1.VolumeMount{own}, spec.Containers[0].VolumeMounts)
	require.Len(t, model.Spec.Volumes, 2, "the model stays")
	require.Nil(t, pod.Spec.Containers[0].ReadinessProbe)
	require.NotEqual(t, "demo", pod.Spec.Containers[0].Image)
}
