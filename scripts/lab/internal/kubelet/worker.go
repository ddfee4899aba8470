package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// worker runs one pod. Its goroutine alone starts containers; ends, probes and the watch change state under the mutex
// and wake it.
type worker struct {
	k       *Kubelet
	volumes *volumeSet
	wake    chan struct{}
	tasks   sync.WaitGroup

	mu         sync.Mutex
	pod        *corev1.Pod
	deleted    bool // the object is gone
	net        sandbox.PodNet
	networked  bool
	containers []*container // in the pod's order, init containers first
	started    metav1.Time
	stopping   bool // containers are being stopped for good
	stopped    bool // and all have ended
	published  *corev1.PodStatus

	retryMount   time.Duration
	retryMountAt time.Time
	mountEvents  map[string]string
	mounted      bool
}

// Waits between attempts to mount; a change of a watched object ends one at once.
const (
	firstMountRetry = 500 * time.Millisecond
	lastMountRetry  = 8 * time.Second
	longestSleep    = time.Minute
)

func newWorker(k *Kubelet, pod *corev1.Pod) *worker {
	w := &worker{
		k: k, pod: pod, volumes: k.newVolumeSet(pod), wake: make(chan struct{}, 1), started: metav1.NewTime(k.o.Now()), mountEvents: map[string]string{},
	}
	if pod.Status.StartTime != nil {
		w.started = *pod.Status.StartTime
	}
	restarts := map[string]int32{}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.ContainerID != "" {
			restarts[s.Name] = s.RestartCount + 1 // an earlier run of this kubelet had it
		}
	}
	add := func(spec corev1.Container, kind containerKind) {
		c := &container{spec: spec, kind: kind, restarts: restarts[spec.Name]}
		w.containers = append(w.containers, c)
	}
	for _, c := range pod.Spec.InitContainers {
		kind := initContainer
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			kind = sidecarContainer
		}
		add(c, kind)
	}
	for _, c := range pod.Spec.Containers {
		add(c, mainContainer)
	}
	return w
}

func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) update(pod *corev1.Pod, deleted bool) {
	w.mu.Lock()
	w.pod = pod
	w.deleted = w.deleted || deleted
	w.mu.Unlock()
	w.nudge()
}

func (w *worker) current() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

// info is what the downward API tells beyond the pod's object. Only the worker's own goroutine may ask.
func (w *worker) info(pod *corev1.Pod) podInfo {
	i := podInfo{podIP: w.net.IP, hostIP: w.k.o.hostIP(), nodeName: w.k.o.NodeName}
	if pod.Spec.HostNetwork {
		i.podIP = i.hostIP
	}
	return i
}

// run works until the pod is gone, or ctx ends, and leaves nothing of it behind on the machine.
func (w *worker) run(ctx context.Context) {
	w.k.watches.add(w.current())
	defer w.cleanUp()
	for {
		at := w.sync(ctx)
		w.mu.Lock()
		gone := w.deleted && w.stopped
		w.mu.Unlock()
		if gone || ctx.Err() != nil {
			return
		}
		sleep := longestSleep
		if !at.IsZero() {
			sleep = min(max(at.Sub(w.k.o.Now()), time.Millisecond), longestSleep)
		}
		timer := time.NewTimer(sleep)
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (w *worker) cleanUp() {
	w.mu.Lock()
	processes := w.processes()
	w.mu.Unlock()
	for _, p := range processes {
		p.Kill(0)
	}
	w.tasks.Wait()
	pod := w.current()
	w.k.watches.remove(pod.UID)
	w.k.tokens.forget(pod.UID)
	err := w.net.Close()
	if w.networked && !pod.Spec.HostNetwork {
		err = errors.Join(err, w.k.o.Runner.RemovePod(string(pod.UID)))
	}
	if err := errors.Join(err, w.volumes.remove()); err != nil && !errors.Is(err, sandbox.ErrClosed) {
		w.k.logf("%s/%s: clean up: %v", pod.Namespace, pod.Name, err)
	}
}

func (w *worker) processes() []Process {
	var out []Process
	for _, c := range w.containers {
		if c.proc != nil {
			out = append(out, c.proc)
		}
	}
	return out
}

// sync brings the pod one look nearer to its manifest, publishes its status and says when to look again at the latest.
func (w *worker) sync(ctx context.Context) time.Time {
	pod := w.current()
	var next time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	w.mu.Lock()
	stopping, deleted := w.stopping, w.deleted
	w.mu.Unlock()
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if !stopping && (deleted || pod.DeletionTimestamp != nil || ended) {
		w.stop(pod, w.grace(pod))
		stopping = true
	}
	if deleted {
		// Gone from the API server, by force or after its grace: nothing is left to wait for.
		w.mu.Lock()
		processes := w.processes()
		w.mu.Unlock()
		for _, p := range processes {
			go p.Kill(0)
		}
	}
	if !stopping {
		if err := w.network(pod); err != nil {
			w.k.event(pod, nil, corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
			sooner(w.k.o.Now().Add(firstMountRetry))
		} else {
			at, mounted := w.mount(ctx, pod)
			sooner(at)
			if mounted {
				sooner(w.advance(ctx, pod))
			}
		}
	}
	if !ended || w.published != nil {
		// A pod that had ended before this kubelet saw it keeps the status that it has.
		w.publish(ctx, pod)
	}
	w.mu.Lock()
	finished := w.stopped && pod.DeletionTimestamp != nil && !w.deleted
	w.mu.Unlock()
	if finished {
		// Only the kubelet's own deletion, without grace, makes the API server forget the pod.
		zero := int64(0)
		err := w.k.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			sooner(w.k.o.Now().Add(firstMountRetry))
		}
	}
	return next
}

func (w *worker) grace(pod *corev1.Pod) time.Duration {
	switch {
	case pod.DeletionGracePeriodSeconds != nil:
		return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

// network gives the pod its network once.
func (w *worker) network(pod *corev1.Pod) error {
	if w.networked {
		return nil
	}
	if pod.Spec.HostNetwork {
		w.networked = true
		return nil
	}
	net, err := w.k.o.Runner.AddPod(string(pod.UID))
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.net, w.networked = net, true
	w.mu.Unlock()
	if w.k.o.OnPodNetwork != nil && net.HTTPS != nil {
		w.k.o.OnPodNetwork(pod, net)
	}
	return nil
}

// mount mounts the volumes and keeps them up to date. It reports whether all are there, and when to look again.
func (w *worker) mount(ctx context.Context, pod *corev1.Pod) (time.Time, bool) {
	refresh, failed := w.volumes.sync(ctx, pod, w.info(pod))
	if len(failed) == 0 {
		w.mounted, w.retryMount = true, 0
		clear(w.mountEvents)
		return refresh, true
	}
	if ctx.Err() != nil {
		return time.Time{}, false
	}
	now := w.k.o.Now()
	if !now.Before(w.retryMountAt) {
		w.retryMount = min(max(2*w.retryMount, firstMountRetry), lastMountRetry)
		w.retryMountAt = now.Add(w.retryMount)
	}
	for name, err := range failed {
		message := fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", name, err)
		if w.mountEvents[name] != message {
			w.mountEvents[name] = message
			w.k.event(pod, nil, corev1.EventTypeWarning, "FailedMount", "%s", message)
		}
	}
	// A volume that was there and cannot be updated keeps what it had: running containers go on.
	return w.retryMountAt, w.mounted
}

// advance starts what is to run now: init containers one after the other, then the main containers; and starts again
// what ended and is to be restarted. It returns when a wait for a restart is over.
func (w *worker) advance(ctx context.Context, pod *corev1.Pod) time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	w.mu.Lock()
	initialized := false
	for _, c := range w.containers {
		if c.kind == mainContainer && (c.starts > 0) {
			initialized = true
		}
	}
	w.mu.Unlock()
	blocked := false
	for _, c := range w.containers {
		switch c.kind {
		case initContainer:
			if initialized || blocked {
				continue
			}
			w.mu.Lock()
			running, ended := c.running(), c.ended()
			w.mu.Unlock()
			switch {
			case running:
				blocked = true
			case ended != nil && ended.ExitCode == 0 && ended.Reason == reasonCompleted:
			case ended != nil && pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
				w.stop(pod, 0)
				return time.Time{}
			default:
				sooner(w.ensure(ctx, pod, c))
				blocked = true
			}
		case sidecarContainer:
			if blocked && !initialized {
				continue
			}
			sooner(w.ensure(ctx, pod, c))
			w.mu.Lock()
			blocked = blocked || !c.started
			w.mu.Unlock()
		case mainContainer:
			if blocked && !initialized {
				continue
			}
			w.mu.Lock()
			ended := c.ended()
			w.mu.Unlock()
			again := ended == nil || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways ||
				pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure && ended.ExitCode != 0
			if again {
				sooner(w.ensure(ctx, pod, c))
			}
		}
	}
	if w.completed(pod) {
		w.stop(pod, w.grace(pod))
	}
	return next
}

// completed tells whether every main container has ended and none is to be restarted.
func (w *worker) completed(pod *corev1.Pod) bool {
	if pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.containers {
		if c.kind != mainContainer {
			continue
		}
		ended := c.ended()
		if ended == nil || ended.ExitCode != 0 && pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
			return false
		}
	}
	return true
}

// ensure starts a container that is not running, unless it has to wait; then it says until when.
func (w *worker) ensure(ctx context.Context, pod *corev1.Pod, c *container) time.Time {
	w.mu.Lock()
	running, notBefore, ended := c.running(), c.notBefore, c.ended()
	known := w.k.known(c.spec.Image)
	w.mu.Unlock()
	if running {
		return time.Time{}
	}
	now := w.k.o.Now()
	var err error
	switch {
	case ended != nil && known && now.Before(notBefore):
		wait := notBefore.Sub(ended.FinishedAt.Time).Round(100 * time.Millisecond)
		err = &waitingError{reasonCrashLoop, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", wait, c.spec.Name, podKey(pod))}
		w.mu.Lock()
		if c.event != reasonCrashLoop {
			c.event = reasonCrashLoop
			w.k.event(pod, c, corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s", c.spec.Name, podKey(pod))
		}
		w.mu.Unlock()
	default:
		err = w.start(ctx, pod, c)
	}
	var waiting *waitingError
	if !errors.As(err, &waiting) {
		return time.Time{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.state.Terminated != nil {
		c.last = corev1.ContainerState{Terminated: c.state.Terminated}
	}
	c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: waiting.reason, Message: waiting.message}}
	return c.notBefore
}

// stop ends the pod's containers for good: the main ones first, then the sidecars in reverse order, each with what is
// left of the grace period.
func (w *worker) stop(pod *corev1.Pod, grace time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		return
	}
	w.stopping = true
	deadline := time.Now().Add(grace)
	kill := func(c *container) {
		w.mu.Lock()
		proc := c.proc
		w.mu.Unlock()
		if proc == nil {
			return
		}
		w.k.event(pod, c, corev1.EventTypeNormal, "Killing", "Stopping container %s", c.spec.Name)
		proc.Kill(max(time.Until(deadline), 0))
	}
	w.tasks.Go(func() {
		var mains sync.WaitGroup
		for _, c := range w.containers {
			if c.kind != sidecarContainer {
				mains.Go(func() { kill(c) })
			}
		}
		mains.Wait()
		for _, c := range slices.Backward(w.containers) {
			if c.kind == sidecarContainer {
				kill(c)
			}
		}
		// The ends are recorded by other goroutines.
		for {
			w.mu.Lock()
			left := len(w.processes())
			w.stopped = left == 0
			w.mu.Unlock()
			if left == 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		w.nudge()
	})
}

// publish sends the pod's status where it differs from what the API server has.
func (w *worker) publish(ctx context.Context, pod *corev1.Pod) {
	w.mu.Lock()
	if w.deleted {
		w.mu.Unlock()
		return
	}
	o := observed{network: w.networked, podIP: w.info(w.pod).podIP, hostIP: w.k.o.hostIP(), started: w.started, terminal: w.stopped, now: metav1.NewTime(w.k.o.Now())}
	waiting := reasonContainerCreating
	if len(w.pod.Spec.InitContainers) > 0 {
		waiting = reasonPodInitializing
	}
	for _, c := range w.containers {
		o.containers = append(o.containers, c.status(waiting))
	}
	latest := w.pod
	status := podStatus(latest, o)
	same := w.published != nil && equality.Semantic.DeepEqual(*w.published, status)
	w.mu.Unlock()
	if same {
		return
	}
	if err := w.patch(ctx, latest, status); err != nil {
		if !apierrors.IsNotFound(err) && ctx.Err() == nil {
			w.k.logf("%s/%s: status: %v", pod.Namespace, pod.Name, err)
			time.AfterFunc(firstMountRetry, w.nudge)
		}
		return
	}
	w.mu.Lock()
	w.published = &status
	w.mu.Unlock()
}

// patch changes the status from what the watch last showed, and only for this very pod.
func (w *worker) patch(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	before, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: w.base(pod)})
	if err != nil {
		return err
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: status})
	if err != nil {
		return err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil {
		return err
	}
	if string(patch) == "{}" {
		return nil
	}
	var withUID map[string]any
	if err := json.Unmarshal(patch, &withUID); err != nil {
		return err
	}
	withUID["metadata"] = map[string]any{"uid": pod.UID}
	if patch, err = json.Marshal(withUID); err != nil {
		return err
	}
	_, err = w.k.o.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// base is the status that the API server has: what was last sent, until the watch shows something newer.
func (w *worker) base(pod *corev1.Pod) corev1.PodStatus {
	if w.published != nil {
		return *w.published
	}
	return pod.Status
}
