package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// maxProbeOutput is how much of a probe's output an event shows.
const maxProbeOutput = 10 << 10

// probe watches over a container's start: the startup probe first, where there is one, then readiness and liveness
// side by side. The first look is right after the initial delay, the next ones follow after each period. The worker's
// mutex is held.
func (w *worker) probe(ctx context.Context, pod *corev1.Pod, c *container, proc Process) {
	begin := func() {
		if p := c.spec.ReadinessProbe; p != nil && c.kind != initContainer {
			w.tasks.Go(func() {
				w.repeat(ctx, pod, c, proc, "Readiness", p, func(healthy bool) bool {
					w.set(proc, c, func() { c.ready = healthy })
					return true
				})
			})
		}
		if p := c.spec.LivenessProbe; p != nil && c.kind != initContainer {
			w.tasks.Go(func() {
				w.repeat(ctx, pod, c, proc, "Liveness", p, func(healthy bool) bool {
					if !healthy {
						w.restart(pod, c, proc, "liveness", p)
					}
					return healthy
				})
			})
		}
	}
	p := c.spec.StartupProbe
	if p == nil {
		begin()
		return
	}
	w.tasks.Go(func() {
		w.repeat(ctx, pod, c, proc, "Startup", p, func(healthy bool) bool {
			if !healthy {
				w.restart(pod, c, proc, "startup", p)
				return false
			}
			w.set(proc, c, func() {
				c.started = true
				c.ready = c.spec.ReadinessProbe == nil && c.kind != initContainer
			})
			begin()
			return false
		})
	})
}

// set changes a container's state, if it is still this start of it, and wakes the worker where something changed.
func (w *worker) set(proc Process, c *container, change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.proc != proc {
		return
	}
	before := [2]bool{c.started, c.ready}
	change()
	if before != [2]bool{c.started, c.ready} {
		w.nudge()
	}
}

func (w *worker) restart(pod *corev1.Pod, c *container, proc Process, kind string, p *corev1.Probe) {
	if w.current().DeletionTimestamp != nil {
		return
	}
	w.k.event(pod, c, corev1.EventTypeNormal, "Killing", "Container %s failed %s probe, will be restarted", c.spec.Name, kind)
	grace := w.grace(pod)
	if p.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*p.TerminationGracePeriodSeconds) * time.Second
	}
	proc.Kill(grace)
}

// repeat probes until the container ends or verdict returns false. It calls verdict with every result from the one on
// that reaches its threshold.
func (w *worker) repeat(ctx context.Context, pod *corev1.Pod, c *container, proc Process, name string, p *corev1.Probe, verdict func(healthy bool) bool) {
	period := time.Duration(max(p.PeriodSeconds, 1)) * time.Second
	timer := time.NewTimer(time.Duration(p.InitialDelaySeconds) * time.Second)
	defer timer.Stop()
	var successes, failures int32
	for {
		select {
		case <-ctx.Done():
			return
		case <-proc.Done():
			return
		case <-timer.C:
		}
		output, err := w.check(ctx, pod, c, proc, p)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-proc.Done():
			return // what fails because the container ends says nothing
		default:
		}
		if err == nil {
			successes, failures = successes+1, 0
			if successes >= max(p.SuccessThreshold, 1) && !verdict(true) {
				return
			}
		} else {
			successes, failures = 0, failures+1
			w.k.event(pod, c, corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", name, strings.TrimSpace(firstText(output, err.Error())))
			if failures >= max(p.FailureThreshold, 1) && !verdict(false) {
				return
			}
		}
		timer.Reset(period)
	}
}

func firstText(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}

// check makes one probe. The error is nil where the container is healthy.
func (w *worker) check(ctx context.Context, pod *corev1.Pod, c *container, proc Process, p *corev1.Probe) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case p.Exec != nil:
		w.mu.Lock()
		env, dir := c.env, c.dir
		w.mu.Unlock()
		return execProbe(ctx, proc, sandbox.ExecSpec{Args: p.Exec.Command, Env: env, Dir: dir})
	case p.HTTPGet != nil:
		return w.httpProbe(ctx, pod, c, p.HTTPGet)
	case p.TCPSocket != nil:
		address, err := w.target(pod, c, p.TCPSocket.Host, p.TCPSocket.Port)
		if err != nil {
			return "", err
		}
		conn, err := w.k.o.Runner.Dial(ctx, w.namespace(pod), address)
		if err != nil {
			return "", err
		}
		return "", conn.Close()
	}
	return "", errors.New("a kind of probe that the lab's kubelet does not know")
}

func (w *worker) namespace(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		return ""
	}
	return string(pod.UID)
}

func execProbe(ctx context.Context, proc Process, spec sandbox.ExecSpec) (string, error) {
	r, pipe, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	spec.Stdout, spec.Stderr = pipe, pipe
	e, err := proc.Exec(spec)
	_ = pipe.Close()
	if err != nil {
		return "", err
	}
	read := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, io.LimitReader(r, maxProbeOutput))
		read <- b.String()
		_, _ = io.Copy(io.Discard, r)
	}()
	select {
	case <-e.Done():
	case <-ctx.Done():
		e.Kill(0)
		return "", fmt.Errorf("command timed out: %q", strings.Join(spec.Args, " "))
	}
	status := e.Wait()
	var output string
	select {
	case output = <-read:
	case <-time.After(100 * time.Millisecond): // a process that it left behind keeps the pipe open
	}
	if status.Code != 0 {
		return output, fmt.Errorf("command %q exited with %d", strings.Join(spec.Args, " "), status.Code)
	}
	return output, nil
}

// target is the address that a network probe goes to: inside the pod's own network by default.
func (w *worker) target(pod *corev1.Pod, c *container, host string, port intstr.IntOrString) (string, error) {
	number := port.IntValue()
	if port.Type == intstr.String && number == 0 {
		i := slices.IndexFunc(c.spec.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
		if i < 0 {
			return "", fmt.Errorf("couldn't find port named %q", port.StrVal)
		}
		number = int(c.spec.Ports[i].ContainerPort)
	}
	if host == "" {
		w.mu.Lock()
		host = w.info(pod).podIP
		w.mu.Unlock()
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

func (w *worker) httpProbe(ctx context.Context, pod *corev1.Pod, c *container, get *corev1.HTTPGetAction) (string, error) {
	if get.Scheme == corev1.URISchemeHTTPS {
		return "", errors.New("the lab's kubelet probes no HTTPS")
	}
	address, err := w.target(pod, c, get.Host, get.Port)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/"+strings.TrimPrefix(get.Path, "/"), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", "kube-probe/1.35")
	for _, h := range get.HTTPHeaders {
		request.Header.Add(h.Name, h.Value)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return w.k.o.Runner.Dial(ctx, w.namespace(pod), address)
	}}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxProbeOutput))
	if answer.StatusCode < 200 || answer.StatusCode >= 400 {
		return fmt.Sprintf("HTTP probe failed with statuscode: %d", answer.StatusCode), errors.New("unhealthy")
	}
	return string(body), nil
}
