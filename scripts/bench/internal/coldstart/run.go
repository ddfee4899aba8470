package coldstart

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"k3s-aws-auth/scripts/bench/internal/target"
	"k3s-aws-auth/scripts/internal/labs"
)

// Options of a run.
type Options struct {
	// Name is the name of the pod; pods of a burst get a number behind it.
	Name string
	// Timeout is how long the pod goes on trying; it gets as long again for everything else.
	Timeout time.Duration
	// Version asks for the client's version.
	Version bool
}

// Run makes a pod of a case, waits until it has its answer, takes it away and waits until it is gone. The sample is
// complete as far as it goes also where it has an error.
func Run(ctx context.Context, c *target.Case, o Options) *Sample {
	return Burst(ctx, c, o, 1).Samples[0]
}

// BurstResult is what several pods at once did.
type BurstResult struct {
	Samples []*Sample
	// Events is the lab's record from the first pod to the last answer; nil without a lab.
	Events []labs.Event
}

// Burst is Run with several pods, given to the API server at once. With one pod it is its name that is given.
func Burst(ctx context.Context, c *target.Case, o Options, pods int) *BurstResult {
	res := &BurstResult{}
	for i := range pods {
		name := o.Name
		if pods > 1 {
			name = fmt.Sprintf("%s-%d", o.Name, i+1)
		}
		res.Samples = append(res.Samples, &Sample{Pod: name, Phases: Nowhere(), Load: load()})
	}
	fail := func(err error) *BurstResult {
		for _, s := range res.Samples {
			if s.Err == nil {
				s.Err = err
			}
		}
		return res
	}
	api := c.Cluster.Client.CoreV1().Pods(c.Demo.Namespace)
	if c.Lab != nil {
		if c.ColdKeys {
			if err := c.Lab.FlushKeys(ctx); err != nil {
				return fail(err)
			}
		}
		if _, err := c.News(ctx); err != nil {
			return fail(err)
		}
	}
	deadline, cancel := context.WithTimeout(ctx, 2*o.Timeout)
	defer cancel()
	addresses := observe(deadline, api, c, o, res.Samples)
	if err := remove(ctx, api, res.Samples); err != nil {
		fail(err)
	}
	if c.Lab == nil {
		return res
	}
	events, err := c.News(ctx)
	if err != nil {
		return fail(err)
	}
	res.Events = events
	for i, s := range res.Samples {
		s.Credentials, s.STS, s.Calls = Read(events, c.Demo.Namespace+"/"+s.Pod, addresses[i], s.Began)
		s.Observed = true
	}
	return res
}

// observe creates the pods and fills the samples from what a watch shows, until all have ended. It returns the pods'
// addresses.
func observe(ctx context.Context, api typed.PodInterface, c *target.Case, o Options, samples []*Sample) []string {
	addresses := make([]string, len(samples))
	failAll := func(err error) []string {
		for _, s := range samples {
			if s.Err == nil && math.IsNaN(s.Answered) {
				s.Err = err
			}
		}
		return addresses
	}
	w, err := api.Watch(ctx, metav1.ListOptions{LabelSelector: target.RunLabel + "=" + o.Name})
	if err != nil {
		return failAll(fmt.Errorf("watch the pods: %w", err))
	}
	defer w.Stop()
	began := time.Now()
	created := make(chan struct{})
	go func() {
		defer close(created)
		for i := range samples {
			create(ctx, api, c, o, samples[i])
		}
	}()
	// The samples belong to the creator until it is done; what the watch shows is kept by name.
	pods := map[string]*seen{}
	finished := func() bool {
		ended := 0
		for _, s := range pods {
			if s.ended {
				ended++
			}
		}
		return ended >= len(samples)
	}
	done := false
	for !finished() {
		select {
		case <-created:
			created = nil
			done = true
			for _, s := range samples {
				if s.Err != nil {
					pods[s.Pod] = &seenNothing
				}
			}
			continue
		case event, ok := <-w.ResultChan():
			if !ok || event.Type == watch.Error {
				err = errors.New("the watch of the pods ended before they did")
				if ctx.Err() != nil {
					err = fmt.Errorf("no answer within %s", 2*o.Timeout)
				}
			} else if pod, isPod := event.Object.(*corev1.Pod); isPod {
				note(pods, pod, event.Type, time.Since(began).Seconds())
				continue
			}
		case <-ctx.Done():
			err = fmt.Errorf("no answer within %s", 2*o.Timeout)
		}
		if err != nil {
			break
		}
	}
	if !done {
		<-created
	}
	for i, s := range samples {
		if v, ok := pods[s.Pod]; ok {
			addresses[i] = v.address
			v.fill(s, s.Began.Sub(began).Seconds(), c.Role)
		}
	}
	if err != nil {
		return failAll(err)
	}
	return addresses
}

func create(ctx context.Context, api typed.PodInterface, c *target.Case, o Options, s *Sample) {
	s.Began = time.Now()
	pod, err := target.Pod(c.Demo, target.PodOptions{Name: s.Pod, Run: o.Name, Image: c.Image, Timeout: o.Timeout, Version: o.Version})
	if err == nil {
		_, err = api.Create(ctx, pod, metav1.CreateOptions{})
	}
	if err != nil {
		s.Err = fmt.Errorf("create the pod: %w", err)
		return
	}
	s.Created = time.Since(s.Began).Seconds()
}

// seen is what the watch showed of a pod, in seconds since the watch began.
type seen struct {
	scheduled, network float64
	node, address      string
	ended              bool
	message            string
	problem            string
}

var seenNothing = seen{ended: true, scheduled: math.NaN(), network: math.NaN()}

// note keeps the first time of each condition, and how the pod ended.
func note(all map[string]*seen, pod *corev1.Pod, kind watch.EventType, at float64) {
	s := all[pod.Name]
	if s == nil {
		s = &seen{scheduled: math.NaN(), network: math.NaN()}
		all[pod.Name] = s
	}
	first := func(t corev1.PodConditionType, into *float64) {
		for _, c := range pod.Status.Conditions {
			if c.Type == t && c.Status == corev1.ConditionTrue && math.IsNaN(*into) {
				*into = at
			}
		}
	}
	first(corev1.PodScheduled, &s.scheduled)
	first(corev1.PodReadyToStartContainers, &s.network)
	s.node = pod.Spec.NodeName
	if pod.Status.PodIP != "" {
		s.address = pod.Status.PodIP
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Message != "":
			s.problem = c.Name + ": " + c.State.Waiting.Reason + ": " + c.State.Waiting.Message
		case c.Name == target.Container && c.State.Terminated != nil:
			s.ended, s.message = true, c.State.Terminated.Message
		}
	}
	if pod.Status.Phase == corev1.PodFailed || kind == watch.Deleted {
		s.ended = true
	}
}

// fill completes a sample; offset is when the pod was given to the API server.
func (v *seen) fill(s *Sample, offset float64, role string) {
	s.Node = v.node
	s.Scheduled, s.Network = v.scheduled-offset, v.network-offset
	if s.Err != nil {
		return
	}
	if v.message == "" {
		switch {
		case v.problem != "":
			s.Err = errors.New(v.problem)
		case v.ended:
			s.Err = errors.New("the pod ended without a report")
		}
		return
	}
	said, err := target.Parse(v.message)
	if err != nil {
		s.Err = err
		return
	}
	s.Started, s.Attempts, s.Version, s.Caller = said.Start.Sub(s.Began).Seconds(), said.Attempts, said.Version, said.Caller
	switch {
	case said.Answered.IsZero():
		s.Err = fmt.Errorf("STS did not answer in %d attempts: %s", said.Attempts, said.Text)
	case !target.IsSessionOf(said.Caller, role):
		s.Err = fmt.Errorf("the caller is not a session of role %s: %s", role, said.Text)
	default:
		s.Answered = said.Answered.Sub(s.Began).Seconds()
	}
}

// remove deletes the pods at once and waits until they are gone, also where the run was interrupted.
func remove(ctx context.Context, api typed.PodInterface, samples []*Sample) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	zero := int64(0)
	for _, s := range samples {
		if err := api.Delete(ctx, s.Pod, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the pod: %w", err)
		}
	}
	for _, s := range samples {
		for {
			_, err := api.Get(ctx, s.Pod, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if err != nil {
				return fmt.Errorf("wait until the pod is gone: %w", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// load is the load average of the last minute, where the system tells it.
func load() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return math.NaN()
	}
	var l float64
	if _, err := fmt.Sscan(strings.TrimSpace(string(data)), &l); err != nil {
		return math.NaN()
	}
	return l
}
