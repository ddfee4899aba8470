package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// watchScript is what the drills' pods run.
//
//go:embed watch.sh
var watchScript string

// sdkImage is the lab's client on the AWS SDK for Go under the CLI's name. It is what drills use in labs: its calls take
// milliseconds, where each call of the CLI starts an interpreter.
const sdkImage = "k3s-aws-auth/sdk-client"

// drillLabel marks the drills' own pods.
const drillLabel = "k3s-aws-auth-drill"

// likeness is what a drill's pod has of the demo pod's identity.
type likeness int

const (
	// same has all of it in its own manifest, whoever put it into the demo pod's.
	same likeness = iota
	// ordinary has the ServiceAccount and nothing else, as a pod whose identity is injected.
	ordinary
	// stranger has nothing of it.
	stranger
)

// drillPod makes a pod like the identity's demo pod that runs watchScript for the given views.
func drillPod(model *corev1.Pod, pause time.Duration, like likeness, views ...View) *corev1.Pod {
	spec := model.Spec.DeepCopy()
	spec.NodeName, spec.EphemeralContainers = "", nil
	grace := int64(0)
	spec.TerminationGracePeriodSeconds = &grace
	spec.RestartPolicy = corev1.RestartPolicyAlways
	var names []string
	for _, v := range views {
		names = append(names, string(v))
	}
	var app corev1.Container
	for _, c := range spec.Containers {
		if c.Name == appContainer {
			app = c
		}
	}
	app.Command, app.Args = []string{"/bin/sh", "-c", watchScript}, nil
	app.ReadinessProbe, app.LivenessProbe, app.StartupProbe = nil, nil, nil
	if like == stranger {
		no := false
		spec.ServiceAccountName, spec.DeprecatedServiceAccount, spec.AutomountServiceAccountToken = "default", "", &no
	}
	if like != same {
		spec.InitContainers = nil
		app.Env = slices.DeleteFunc(app.Env, func(e corev1.EnvVar) bool {
			return strings.HasPrefix(e.Name, "AWS_") && e.Name != "AWS_REGION" && e.Name != "AWS_DEFAULT_REGION"
		})
		kept := map[string]bool{}
		spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool {
			kept[v.Name] = v.EmptyDir != nil
			return v.EmptyDir == nil
		})
		app.VolumeMounts = slices.DeleteFunc(app.VolumeMounts, func(m corev1.VolumeMount) bool { return !kept[m.Name] })
	}
	app.Env = append(app.Env, corev1.EnvVar{Name: "DRILL_VIEWS", Value: strings.Join(names, " ")},
		corev1.EnvVar{Name: "DRILL_PAUSE", Value: strconv.FormatFloat(pause.Seconds(), 'f', 1, 64)})
	spec.Containers = slices.DeleteFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == appContainer })
	spec.Containers = append([]corev1.Container{app}, spec.Containers...)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "drill-", Namespace: model.Namespace,
		Labels: map[string]string{drillLabel: names[0]}}, Spec: *spec}
}

// Pod is a running pod of a drill and what its calls came to so far.
type Pod struct {
	t       *Target
	name    string
	made    time.Time
	samples []Sample
}

// start makes a pod.
func (t *Target) start(ctx context.Context, like likeness, views ...View) (*Pod, error) {
	return t.startWith(ctx, t.Image, like, views...)
}

// startOf makes the new pod of a drill.
func (t *Target) startOf(ctx context.Context, d *Drill, like likeness) (*Pod, error) {
	if d.Pulled {
		return t.startWith(ctx, t.PullImage, like, New)
	}
	return t.start(ctx, like, New)
}

// startWith makes a pod with an image, the model's where it is empty.
func (t *Target) startWith(ctx context.Context, image string, like likeness, views ...View) (*Pod, error) {
	pod := drillPod(t.Model, t.Pace.Pause, like, views...)
	if image != "" {
		pod.Spec.Containers[0].Image = image
	}
	p, err := t.Cluster.Client.CoreV1().Pods(t.Model.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return &Pod{t: t, name: p.Name, made: time.Now()}, nil
}

// look reads the pod's calls. Where it has not called yet, what keeps it from starting counts as a failed call.
func (p *Pod) look(ctx context.Context) error {
	core := p.t.Cluster.Client.CoreV1()
	log, err := core.Pods(p.t.Model.Namespace).GetLogs(p.name, &corev1.PodLogOptions{Container: appContainer}).DoRaw(ctx)
	if err == nil && len(log) > 0 {
		p.samples = parseSamples(string(log), p.t.RoleName, time.Now())
		return nil
	}
	events, eventsErr := core.Events(p.t.Model.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.name", p.name).String()})
	if eventsErr != nil {
		return eventsErr
	}
	p.samples = nil
	for _, e := range events.Items {
		if e.Type == corev1.EventTypeWarning && !slices.Contains([]string{"Error: ErrImagePull", "Error: ImagePullBackOff"}, e.Message) { // these say nothing of why
			p.samples = append(p.samples, Sample{View: New, Began: eventTime(e), Text: e.Reason + ": " + e.Message})
		}
	}
	return nil
}

func eventTime(e corev1.Event) time.Time {
	for _, t := range []time.Time{e.EventTime.Time, e.FirstTimestamp.Time, e.LastTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return e.CreationTimestamp.Time
}

// remove deletes the pod, whatever ctx says.
func (p *Pod) remove(ctx context.Context) error {
	if p == nil {
		return nil
	}
	grace := int64(0)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := p.t.Cluster.Client.CoreV1().Pods(p.t.Model.Namespace).Delete(ctx, p.name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// healthy waits until each view of the pod has a success that began after since.
func (p *Pod) healthy(ctx context.Context, since time.Time, within time.Duration, views ...View) error {
	deadline := time.Now().Add(within)
	for {
		err := p.look(ctx)
		missing := slices.DeleteFunc(slices.Clone(views), func(v View) bool {
			_, ok := firstOK(between(p.samples, v, since, time.Time{}))
			return ok
		})
		if err == nil && len(missing) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			last := "nothing"
			if n := len(p.samples); n > 0 {
				last = p.samples[n-1].Text
			}
			return fmt.Errorf("pod %s has no good call of %v within %s (last: %s)", p.name, missing, within, last)
		}
		if err := sleep(ctx, p.t.Pace.Poll); err != nil {
			return err
		}
	}
}

// heals tells whether each view of the pod does well by itself: whether it has a success that began after since. A pod
// gets its time for that, and two calls at least.
func (p *Pod) heals(ctx context.Context, since time.Time, views ...View) (bool, error) {
	patient, deadline := time.Now().Add(p.t.Pace.Heal), time.Now().Add(p.t.Pace.Start)
	for {
		err := p.look(ctx)
		well, tried := 0, 0
		for _, v := range views {
			calls := between(p.samples, v, since, time.Time{})
			if _, ok := firstOK(calls); ok {
				well++
			} else if len(calls) >= 2 {
				tried++
			}
		}
		switch now := time.Now(); {
		case err == nil && well == len(views):
			return true, nil
		case tried > 0 && now.After(patient), now.After(deadline):
			return false, nil
		}
		if err := sleep(ctx, p.t.Pace.Poll); err != nil {
			return false, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
