package target

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

func demoPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", ResourceVersion: "7", UID: "u", Annotations: map[string]string{"pulumi.com/x": "y"}},
		Spec: corev1.PodSpec{
			NodeName: "node-1", RestartPolicy: corev1.RestartPolicyAlways, ServiceAccountName: "uploader",
			InitContainers: []corev1.Container{{Name: "credential-helper", Image: "helper", ImagePullPolicy: corev1.PullAlways}},
			Containers: []corev1.Container{{
				Name: Container, Image: "cli", Command: []string{"demo"}, ReadinessProbe: &corev1.Probe{},
				Env:          []corev1.EnvVar{{Name: "DEMO_ROLE", Value: "lab-uploader"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/token"}},
			}},
			Volumes: []corev1.Volume{{Name: "token"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func TestPodIsTheDemoPodWithAnotherCommand(t *testing.T) {
	demo := demoPod("uploader")
	pod, err := Pod(demo, PodOptions{Name: "bench-1", Run: "r", Timeout: 90 * time.Second, Version: true})
	require.NoError(t, err)
	require.Equal(t, metav1.ObjectMeta{Name: "bench-1", Namespace: "default", Labels: map[string]string{RunLabel: "r"}}, pod.ObjectMeta)
	require.Equal(t, corev1.PodStatus{}, pod.Status)
	require.Empty(t, pod.Spec.NodeName, "the scheduler is part of the measurement")
	require.Equal(t, corev1.RestartPolicyNever, pod.Spec.RestartPolicy)
	app := pod.Spec.Containers[0]
	require.Equal(t, []string{"/bin/sh", "-c", script}, app.Command)
	require.Nil(t, app.ReadinessProbe)
	require.Equal(t, "cli", app.Image)
	require.Equal(t, demo.Spec.Containers[0].VolumeMounts, app.VolumeMounts)
	require.Contains(t, app.Env, corev1.EnvVar{Name: "BENCH_TIMEOUT", Value: "90"})
	require.Contains(t, app.Env, corev1.EnvVar{Name: "BENCH_VERSION", Value: "1"})
	require.Equal(t, corev1.PullIfNotPresent, app.ImagePullPolicy)
	require.Equal(t, corev1.PullIfNotPresent, pod.Spec.InitContainers[0].ImagePullPolicy)
	require.Equal(t, []string{"demo"}, demo.Spec.Containers[0].Command, "the demo pod is left as it is")

	pod, err = Pod(demo, PodOptions{Image: "sdk"})
	require.NoError(t, err)
	require.Equal(t, "sdk", pod.Spec.Containers[0].Image)
	require.Equal(t, "helper", pod.Spec.InitContainers[0].Image)

	demo.Spec.Containers[0].Name = "other"
	_, err = Pod(demo, PodOptions{})
	require.ErrorContains(t, err, "no container app")
}

func TestHelper(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	for want, change := range map[string]func(*corev1.PodSpec){
		"":             func(s *corev1.PodSpec) { s.InitContainers = nil },
		"sidecar":      func(s *corev1.PodSpec) { s.InitContainers[0].RestartPolicy = &always },
		"image-volume": func(s *corev1.PodSpec) { s.Volumes[0].Image = &corev1.ImageVolumeSource{} },
		"node":         func(s *corev1.PodSpec) { s.Volumes[0].HostPath = &corev1.HostPathVolumeSource{} },
		"other":        func(*corev1.PodSpec) {},
	} {
		pod := demoPod("a")
		change(&pod.Spec)
		require.Equal(t, want, Helper(pod))
	}
}

func TestParse(t *testing.T) {
	said, err := Parse("start 1700000000123456789\nanswered 1700000001123456789\nattempts 2\nversion aws-cli/2\n\n{\"Arn\": \"arn:aws:sts::111122223333:assumed-role/r/s\"}\n")
	require.NoError(t, err)
	require.Equal(t, time.Second, said.Answered.Sub(said.Start))
	require.Equal(t, []any{2, "aws-cli/2", "arn:aws:sts::111122223333:assumed-role/r/s"}, []any{said.Attempts, said.Version, said.Caller})

	said, err = Parse("start 1\nattempts 9\n\nAn error occurred (AccessDenied)")
	require.NoError(t, err)
	require.True(t, said.Answered.IsZero())
	require.Equal(t, "An error occurred (AccessDenied)", said.Text)
	require.Empty(t, said.Caller)

	for _, bad := range []string{"", "attempts 1", "start 17N", "start 1\nattempts x"} {
		_, err := Parse(bad)
		require.Error(t, err, bad)
	}
}

func TestIsSessionOf(t *testing.T) {
	require.True(t, IsSessionOf("arn:aws:sts::111122223333:assumed-role/lab-a/i-1", "lab-a"))
	require.False(t, IsSessionOf("arn:aws:sts::111122223333:assumed-role/lab-ab/i-1", "lab-a"))
	require.False(t, IsSessionOf("arn:aws:iam::111122223333:user/lab-a", "lab-a"))
	require.False(t, IsSessionOf("", ""))
}

func TestDemo(t *testing.T) {
	pods := []corev1.Pod{*demoPod("b"), *demoPod("a"), {ObjectMeta: metav1.ObjectMeta{Name: "0"}}}
	bench := demoPod("0-bench")
	bench.Labels = map[string]string{RunLabel: "x"}
	pods = append(pods, *bench)
	pod, role, err := demo(pods, "")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "lab-uploader"}, []string{pod.Name, role})
	pod, _, err = demo(pods, "b")
	require.NoError(t, err)
	require.Equal(t, "b", pod.Name)
	_, _, err = demo(pods, "c")
	require.ErrorContains(t, err, "there are a, b")
	_, _, err = demo(nil, "")
	require.ErrorContains(t, err, "demo: true")
}

func TestCases(t *testing.T) {
	targets := []*Target{{Name: "ip", Setup: setups.Setup{Presents: setups.Metadata}, Lab: &labs.Lab{}}, {Name: "s3", Setup: setups.Setup{Presents: setups.Token}, Lab: &labs.Lab{}}}
	names := func(cases []*Case) (out []string) {
		for _, c := range cases {
			out = append(out, c.Name)
		}
		return out
	}
	cases, err := Cases(targets, []string{ClientCLI}, "sdk", []bool{false})
	require.NoError(t, err)
	require.Equal(t, []string{"ip", "s3"}, names(cases))
	cases, err = Cases(targets, []string{ClientCLI, ClientSDK}, "sdk", []bool{false, true})
	require.NoError(t, err)
	require.Equal(t, []string{"ip/cli", "ip/sdk", "s3/cli", "s3/cli/cold-keys", "s3/sdk", "s3/sdk/cold-keys"}, names(cases))
	require.Equal(t, "sdk", cases[1].Image)
	require.Empty(t, cases[0].Image)
	targets[1].Lab = nil
	_, err = Cases(targets, []string{ClientCLI}, "", []bool{true})
	require.ErrorContains(t, err, "only the lab")
}

// The script reports in the form that Parse reads, whether the client answers or not.
func TestScript(t *testing.T) {
	for _, c := range []struct {
		name, client string
		answers      bool
	}{
		{"answer", `#!/bin/sh
case $1 in --version) echo fake/1 ;; *) echo '{"Arn": "arn:aws:sts::1:assumed-role/r/s"}' ;; esac`, true},
		{"refusal", "#!/bin/sh\necho 'An error occurred (AccessDenied)' >&2\nexit 254", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/aws", c.client)
			text := strings.NewReplacer("/dev/termination-log", dir+"/message", "/tmp/bench", dir+"/bench").Replace(script)
			cmd := exec.Command("/bin/sh", "-c", text)
			cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "BENCH_TIMEOUT=0", "BENCH_VERSION=1"}
			out, err := cmd.CombinedOutput()
			if date, _ := exec.Command("date", "+%N").Output(); strings.Contains(string(date), "N") {
				t.Skip("this system's date has no nanoseconds")
			}
			require.Equal(t, c.answers, err == nil, string(out))
			said, err := Parse(read(t, dir+"/message"))
			require.NoError(t, err)
			require.Equal(t, 1, said.Attempts)
			require.Equal(t, c.answers, !said.Answered.IsZero())
			if c.answers {
				require.Equal(t, "arn:aws:sts::1:assumed-role/r/s", said.Caller)
				require.Equal(t, "fake/1", said.Version)
				return
			}
			require.Equal(t, "An error occurred (AccessDenied)", said.Text)
		})
	}
}
