// Package exchange is a pod that exchanges its identity for credentials again and again, and what its log says: what an
// upgrade and a rotation are held against.
package exchange

import (
	_ "embed"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// script is what the pod runs.
//
//go:embed exchange.sh
var script string

const (
	// AppContainer is the demo pods' own container.
	AppContainer = "app"
	// sdkImage is the lab's client on the AWS SDK for Go under the CLI's name, whose calls take milliseconds.
	sdkImage = "k3s-aws-auth/sdk-client"
)

// Exchange is one exchange: a new process without any cache, which must first get credentials to ask who it is.
type Exchange struct {
	Began time.Time
	OK    bool
	// Text is the caller's ARN, or the client's whole error.
	Text string
}

// Role is the role of an answer's ARN, without the session.
func (e Exchange) Role() string {
	if i := strings.LastIndexByte(e.Text, '/'); i >= 0 {
		return e.Text[:i]
	}
	return e.Text
}

// Pod is a pod like a demo pod that exchanges all the time. It has no name yet, and nothing of what the API server gave the model
// when it was made: the volume of its own token.
func Pod(model *corev1.Pod) *corev1.Pod {
	spec := model.Spec.DeepCopy()
	spec.NodeName, spec.EphemeralContainers, spec.RestartPolicy = "", nil, corev1.RestartPolicyNever
	grace := int64(0)
	spec.TerminationGracePeriodSeconds = &grace
	ofTheServer := func(volume string) bool { return strings.HasPrefix(volume, "kube-api-access-") }
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return ofTheServer(v.Name) })
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			list[i].VolumeMounts = slices.DeleteFunc(list[i].VolumeMounts, func(m corev1.VolumeMount) bool { return ofTheServer(m.Name) })
		}
	}
	for i := range spec.Containers {
		if c := &spec.Containers[i]; c.Name == AppContainer {
			c.Image, c.Command, c.Args = sdkImage, []string{"/bin/sh", "-c", script}, nil
			c.ReadinessProbe, c.LivenessProbe, c.StartupProbe = nil, nil, nil
		}
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: model.Namespace}, Spec: *spec}
}

// Parse reads the whole lines of the pod's log.
func Parse(log string) []Exchange {
	var all []Exchange
	lines := strings.Split(log, "\n")
	for _, line := range lines[:len(lines)-1] {
		f := strings.SplitN(line, "\t", 3)
		if len(f) != 3 {
			continue
		}
		began, err := time.Parse(time.RFC3339Nano, f[0])
		if err != nil {
			continue
		}
		all = append(all, Exchange{Began: began, OK: f[1] == "ok", Text: strings.TrimSpace(f[2])})
	}
	return all
}
