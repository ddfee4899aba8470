package target

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

//go:embed bench.sh
var script string

const (
	// Container is the name of the demo pod's own container, whose command is replaced.
	Container = "app"
	// RunLabel marks the pods of one run.
	RunLabel = "k3s-aws-auth/bench-run"
)

// PodOptions say how a measured pod differs from the demo pod.
type PodOptions struct {
	// Name is the pod's, Run the value of its RunLabel.
	Name, Run string
	// Image replaces the app container's image where it is not empty.
	Image string
	// Timeout is how long the pod goes on trying, in whole seconds.
	Timeout time.Duration
	// Version asks for the client's version, after the measurement.
	Version bool
}

// Pod makes a measured pod of the program's demo pod: the identity, the volumes, the init containers and sidecars are
// the demo pod's own; only the app container's command is another, the pod ends once it has its answer, and images are
// not pulled where they are present. An error says what the demo pod lacks.
func Pod(demo *corev1.Pod, o PodOptions) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: demo.Namespace, Labels: map[string]string{RunLabel: o.Run}},
		Spec:       *demo.Spec.DeepCopy(),
	}
	s := &pod.Spec
	s.NodeName = ""
	s.RestartPolicy = corev1.RestartPolicyNever
	grace := int64(1)
	s.TerminationGracePeriodSeconds = &grace
	i := slices.IndexFunc(s.Containers, func(c corev1.Container) bool { return c.Name == Container })
	if i < 0 {
		return nil, fmt.Errorf("pod %s/%s has no container %s", demo.Namespace, demo.Name, Container)
	}
	app := &s.Containers[i]
	app.Command, app.Args = []string{"/bin/sh", "-c", script}, nil
	app.ReadinessProbe, app.LivenessProbe, app.StartupProbe = nil, nil, nil
	app.TerminationMessagePath, app.TerminationMessagePolicy = corev1.TerminationMessagePathDefault, corev1.TerminationMessageReadFile
	if o.Image != "" {
		app.Image = o.Image
	}
	version := "0"
	if o.Version {
		version = "1"
	}
	app.Env = append(app.Env,
		corev1.EnvVar{Name: "BENCH_TIMEOUT", Value: strconv.Itoa(int(o.Timeout.Seconds()))}, corev1.EnvVar{Name: "BENCH_VERSION", Value: version})
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for k := range list {
			list[k].ImagePullPolicy = corev1.PullIfNotPresent
		}
	}
	return pod, nil
}

// Role returns the name of the role that a demo pod expects to be, and whether the pod is a demo pod.
func Role(pod *corev1.Pod) (string, bool) {
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if c.Name == Container && e.Name == "DEMO_ROLE" && e.Value != "" {
				return e.Value, true
			}
		}
	}
	return "", false
}

// Helper tells how the Roles Anywhere credential helper gets into a pod: image-volume, sidecar, node, or "" where it
// has none. The names are those of the program's configuration.
func Helper(pod *corev1.Pod) string {
	helper := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == "credential-helper" })
	if helper < 0 {
		return ""
	}
	if policy := pod.Spec.InitContainers[helper].RestartPolicy; policy != nil && *policy == corev1.ContainerRestartPolicyAlways {
		return "sidecar"
	}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.Image != nil:
			return "image-volume"
		case v.HostPath != nil:
			return "node"
		}
	}
	return "other"
}

// Said is what a measured pod reports. Times are the container's own clock; Answered is zero where STS never answered.
type Said struct {
	Start, Answered time.Time
	Attempts        int
	Version         string
	// Caller is the caller's ARN, Text all that the client printed last.
	Caller, Text string
}

// Parse reads a termination message of a measured pod.
func Parse(message string) (*Said, error) {
	head, text, _ := strings.Cut(message, "\n\n")
	said := &Said{Text: strings.TrimSpace(text)}
	for line := range strings.Lines(head) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch word {
		case "start":
			said.Start, err = nanoseconds(value)
		case "answered":
			said.Answered, err = nanoseconds(value)
		case "attempts":
			said.Attempts, err = strconv.Atoi(value)
		case "version":
			said.Version = value
		}
		if err != nil {
			return nil, fmt.Errorf("the pod reported %q: %w", line, err)
		}
	}
	if said.Start.IsZero() {
		return nil, errors.New("the pod reported no start: " + strconv.Quote(message))
	}
	var caller struct{ Arn string }
	if err := json.Unmarshal([]byte(said.Text), &caller); err == nil {
		said.Caller = caller.Arn
	}
	return said, nil
}

func nanoseconds(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("not nanoseconds (the image's date may know no %%N): %w", err)
	}
	return time.Unix(0, n), nil
}

// IsSessionOf tells whether a caller's ARN is a session of the role of that name.
func IsSessionOf(arn, role string) bool {
	parts := strings.Split(arn, ":")
	return len(parts) == 6 && parts[2] == "sts" && strings.HasPrefix(parts[5], "assumed-role/"+role+"/")
}
