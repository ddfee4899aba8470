package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// Reasons of waiting and terminated containers.
const (
	reasonContainerCreating = "ContainerCreating"
	reasonPodInitializing   = "PodInitializing"
	reasonCrashLoop         = "CrashLoopBackOff"
	reasonConfigError       = "CreateContainerConfigError"
	reasonRunError          = "RunContainerError"
	reasonImagePull         = "ErrImagePull"
	reasonImageBackOff      = "ImagePullBackOff"
	reasonImageNever        = "ErrImageNeverPull"
	reasonCompleted         = "Completed"
	reasonError             = "Error"
	reasonStartError        = "StartError"
)

// container is the run-time state of one of a pod's containers. The worker's mutex guards what changes.
type container struct {
	spec corev1.Container
	kind containerKind

	proc     Process
	env      []string
	dir      string
	id       string // of the current or last start
	starts   int32  // including those that failed
	restarts int32
	begun    time.Time
	state    corev1.ContainerState
	last     corev1.ContainerState
	started  bool
	ready    bool

	delay     time.Duration // of the restart after the next
	notBefore time.Time
	pulls     int
	pullErr   error  // of the last pull
	event     string // the last warning, so that it is not repeated at every look
}

func (c *container) running() bool { return c.state.Running != nil }

// ended is how the container last ended, if it is not running.
func (c *container) ended() *corev1.ContainerStateTerminated {
	switch {
	case c.state.Running != nil:
		return nil
	case c.state.Terminated != nil:
		return c.state.Terminated
	}
	return c.last.Terminated
}

// status is the container's part of the pod's status; waiting is the reason where it has not been started yet.
func (c *container) status(waiting string) containerStatus {
	started := c.started
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: imageID(c), RestartCount: c.restarts,
		State: *c.state.DeepCopy(), LastTerminationState: *c.last.DeepCopy(), Ready: c.ready, Started: &started,
	}
	if c.id != "" {
		s.ContainerID = "lab://" + c.id
	}
	if s.State == (corev1.ContainerState{}) {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: waiting}
	}
	if c.kind == initContainer {
		s.Ready = s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
	}
	return containerStatus{c.kind, s}
}

func imageID(c *container) string {
	if c.id == "" {
		return ""
	}
	return "lab://" + c.spec.Image
}

// pullError is what a container runtime answers for an image that no registry has.
func pullError(reference string) error {
	return fmt.Errorf("failed to pull and unpack image %q: failed to resolve reference %q: %s: not found", reference, reference, reference)
}

// waitingError is why a container cannot be started now.
type waitingError struct{ reason, message string }

func (e *waitingError) Error() string { return e.reason + ": " + e.message }

// start starts a container whose turn it is. A *waitingError says what it waits for.
func (w *worker) start(ctx context.Context, pod *corev1.Pod, c *container) error {
	k := w.k
	image, err := w.ensureImage(ctx, pod, c)
	if err != nil {
		return err
	}
	if err := verifyNonRoot(pod, &c.spec, image); err != nil {
		return w.configError(pod, c, err)
	}
	declared, err := environment(pod, &c.spec, w.info(pod), k.objects(ctx))
	if err != nil {
		return w.configError(pod, c, err)
	}
	spec, log, err := w.containerSpec(pod, c, image, declared)
	if err != nil {
		return w.configError(pod, c, err)
	}
	stdout, stderr, output, err := w.output(log)
	if err != nil {
		return w.configError(pod, c, err)
	}
	spec.Stdout, spec.Stderr = stdout, stderr
	begun := k.o.Now()
	proc, err := k.o.Runner.Run(spec)
	_ = errors.Join(stdout.Close(), stderr.Close())
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.starts > 0 {
		c.restarts++
	}
	c.starts++
	if c.state.Terminated != nil {
		c.last = corev1.ContainerState{Terminated: c.state.Terminated}
	}
	c.id, c.env, c.dir, c.begun, c.event = uuid.NewString(), spec.Env, spec.Dir, begun, ""
	if err != nil {
		message := fmt.Sprintf("failed to create containerd task: failed to create shim task: OCI runtime create failed: "+
			"runc create failed: unable to start container process: error during container init: %v: unknown", err)
		k.event(pod, c, corev1.EventTypeWarning, "Failed", "Error: %s", message)
		code := int32(128)
		if errors.Is(err, sandbox.ErrNotFound) {
			code = 127
		}
		now := metav1.NewTime(k.o.Now())
		c.last = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reasonStartError, Message: message, StartedAt: metav1.NewTime(begun), FinishedAt: now, ContainerID: "lab://" + c.id}}
		c.state = corev1.ContainerState{}
		c.delayRestart(k, now.Time)
		return &waitingError{reasonRunError, message}
	}
	k.event(pod, c, corev1.EventTypeNormal, "Created", "Container created")
	k.event(pod, c, corev1.EventTypeNormal, "Started", "Container started")
	c.proc = proc
	c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(begun)}}
	c.started = c.spec.StartupProbe == nil
	c.ready = c.started && c.spec.ReadinessProbe == nil && c.kind != initContainer
	probing, stop := context.WithCancel(ctx)
	w.tasks.Go(func() {
		defer stop()
		exit := proc.Wait()
		output.Wait() // the log is complete before the end is reported
		w.exited(pod, c, exit)
	})
	w.probe(probing, pod, c, proc)
	return nil
}

// delayRestart sets when the container may be started again: at once after the first end, then after growing waits
// that are forgotten when it ran long.
func (c *container) delayRestart(k *Kubelet, now time.Time) {
	if !c.begun.IsZero() && now.Sub(c.begun) > 2*k.o.MaxRestartBackoff {
		c.delay = 0
	}
	c.notBefore = now.Add(c.delay)
	if c.delay == 0 {
		c.delay = k.o.RestartBackoff
	} else {
		c.delay = min(2*c.delay, k.o.MaxRestartBackoff)
	}
}

// exited records how a container ended and wakes the worker.
func (w *worker) exited(pod *corev1.Pod, c *container, exit sandbox.ExitStatus) {
	w.mu.Lock()
	now := w.k.o.Now()
	ended := &corev1.ContainerStateTerminated{
		ExitCode: int32(exit.Code), Reason: reasonCompleted, StartedAt: metav1.NewTime(c.begun), FinishedAt: metav1.NewTime(now), ContainerID: "lab://" + c.id,
	}
	if exit.Code != 0 {
		ended.Reason = reasonError
	}
	ended.Message = w.terminationMessage(pod, c, exit.Code)
	c.state = corev1.ContainerState{Terminated: ended}
	c.started, c.ready, c.proc = false, false, nil
	c.delayRestart(w.k, now)
	w.mu.Unlock()
	w.k.logf("%s/%s: container %s ended with %d", pod.Namespace, pod.Name, c.spec.Name, exit.Code)
	w.nudge()
}

const (
	maxTerminationMessage = 4096
	maxMessageLines       = 80
	maxMessageLogBytes    = 2048
)

// terminationMessage reads the message file, or the end of the log where the policy says so.
func (w *worker) terminationMessage(pod *corev1.Pod, c *container, code int) string {
	if f, err := os.Open(w.messagePath(c)); err == nil {
		data, _ := io.ReadAll(io.LimitReader(f, maxTerminationMessage))
		_ = f.Close()
		if len(data) > 0 {
			return string(data)
		}
	}
	if c.spec.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || code == 0 {
		return ""
	}
	var b strings.Builder
	path := w.k.logPath(pod.Namespace, pod.Name, string(pod.UID), c.spec.Name, c.starts-1)
	_ = readLogs(context.Background(), &b, path, logOptions{tail: maxMessageLines}, nil)
	text := b.String()
	return text[max(0, len(text)-maxMessageLogBytes):]
}

func (w *worker) messagePath(c *container) string {
	return filepath.Join(w.volumes.dir, "containers", c.spec.Name, "termination-log")
}

// pull fails, as a container runtime does that cannot pull an image for a cause.
func (w *worker) pull(pod *corev1.Pod, c *container, cause error) error {
	w.mu.Lock()
	never := c.spec.ImagePullPolicy == corev1.PullNever
	w.mu.Unlock()
	if never {
		message := fmt.Sprintf("Container image %q is not present with pull policy of Never", c.spec.Image)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.warn(pod, c, "ErrImageNeverPull", message)
		c.notBefore = w.k.o.Now().Add(w.k.o.MaxRestartBackoff)
		return &waitingError{reasonImageNever, message}
	}
	if err := w.pullBackOff(pod, c); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c.pulls++
	c.pullErr = cause
	c.delayRestart(w.k, w.k.o.Now())
	if c.pulls == 1 {
		c.delayRestart(w.k, w.k.o.Now()) // the first failure waits too
	}
	c.event = ""
	if !fromRegistry(c.spec.Image) || w.k.o.Pulls == nil { // what was tried has said so
		w.k.event(pod, c, corev1.EventTypeNormal, "Pulling", "Pulling image %q", c.spec.Image)
	}
	w.k.event(pod, c, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %v", c.spec.Image, cause)
	w.k.event(pod, c, corev1.EventTypeWarning, "Failed", "Error: %s", reasonImagePull)
	return &waitingError{reasonImagePull, cause.Error()}
}

// pullBackOff says that a pull that has failed is not tried again yet, or nil.
func (w *worker) pullBackOff(pod *corev1.Pod, c *container) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.pullErr == nil || !w.k.o.Now().Before(c.notBefore) {
		return nil
	}
	message := fmt.Sprintf("Back-off pulling image %q: %s: %v", c.spec.Image, reasonImagePull, c.pullErr)
	if c.event != reasonImageBackOff {
		c.event = reasonImageBackOff
		w.k.event(pod, c, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.spec.Image)
		w.k.event(pod, c, corev1.EventTypeWarning, "Failed", "Error: %s", reasonImageBackOff)
	}
	return &waitingError{reasonImageBackOff, message}
}

// warn records a warning once per cause.
func (w *worker) warn(pod *corev1.Pod, c *container, reason, message string) {
	if c.event != message {
		c.event = message
		w.k.event(pod, c, corev1.EventTypeWarning, reason, "%s", message)
	}
}

func (w *worker) configError(pod *corev1.Pod, c *container, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warn(pod, c, "Failed", "Error: "+err.Error())
	c.notBefore = w.k.o.Now().Add(w.k.o.RestartBackoff)
	return &waitingError{reasonConfigError, err.Error()}
}

// output makes the pipes whose contents go to the log file. The wait group is done when the log is complete.
func (w *worker) output(log string) (stdout, stderr *os.File, done *sync.WaitGroup, err error) {
	writer, err := newLogWriter(log, time.Now)
	if err != nil {
		return nil, nil, nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, errors.Join(err, writer.Close())
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, errors.Join(err, writer.Close(), outR.Close(), outW.Close())
	}
	done = &sync.WaitGroup{}
	for stream, r := range map[string]*os.File{"stdout": outR, "stderr": errR} {
		done.Go(func() {
			writer.copy(stream, r)
			_ = r.Close()
		})
	}
	go func() {
		done.Wait()
		_ = writer.Close()
	}()
	return outW, errW, done, nil
}

const containerPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// containerSpec turns a container of a manifest into what a Runner runs, and says where its log goes.
func (w *worker) containerSpec(pod *corev1.Pod, c *container, image Image, declared []string) (sandbox.ContainerSpec, string, error) {
	k := w.k
	identity := containerIdentity(pod, &c.spec, image)
	spec := sandbox.ContainerSpec{
		Hostname: pod.Spec.Hostname, UID: int(identity.uid), GID: int(identity.gid), Dir: c.spec.WorkingDir,
	}
	if spec.Hostname == "" {
		spec.Hostname = pod.Name
	}
	if len(spec.Hostname) > 63 {
		spec.Hostname = strings.TrimRight(spec.Hostname[:63], "-.")
	}
	if !pod.Spec.HostNetwork {
		spec.Pod = string(pod.UID)
	} else {
		spec.Hostname = k.o.NodeName
	}
	if spec.Dir == "" {
		spec.Dir = image.WorkingDir
	}
	if s := c.spec.SecurityContext; s != nil {
		spec.ReadOnlyRoot = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
		spec.NoNewPrivileges = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
		spec.DropCapabilities = s.Capabilities != nil && slices.ContainsFunc(s.Capabilities.Drop, func(x corev1.Capability) bool { return strings.EqualFold(string(x), "ALL") })
	}
	home := "/root"
	if identity.uid != 0 {
		home = "/"
	}
	spec.Env = mergeEnv([]string{containerPath, "HOSTNAME=" + spec.Hostname, "HOME=" + home}, image.Env, declared, k.o.ExtraEnv)

	value := func(name string) (string, bool) { return lookupEnv(declared, name) }
	expanded := func(list []string) (out []string) {
		for _, s := range list {
			out = append(out, expand(s, value))
		}
		return out
	}
	// A command replaces the image's entrypoint and its arguments; args alone replace only the arguments.
	switch {
	case len(c.spec.Command) > 0:
		spec.Args = expanded(slices.Concat(c.spec.Command, c.spec.Args))
	case len(c.spec.Args) > 0:
		spec.Args = slices.Concat(image.Entrypoint, expanded(c.spec.Args))
	default:
		spec.Args = slices.Concat(image.Entrypoint, image.Cmd)
	}
	if len(spec.Args) == 0 {
		return spec, "", errors.New("no command specified")
	}
	mounts, err := w.containerMounts(pod, c, image, declared)
	if err != nil {
		return spec, "", err
	}
	spec.Mounts = mounts
	if len(pod.Spec.HostAliases) > 0 {
		spec.Files = append(spec.Files, hostAliases(pod, spec.Hostname))
	}
	return spec, k.logPath(pod.Namespace, pod.Name, string(pod.UID), c.spec.Name, c.starts), nil
}

func hostAliases(pod *corev1.Pod, hostname string) sandbox.File {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n", hostname)
	for _, a := range pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	return sandbox.File{Path: "/etc/hosts", Data: b.String(), Mode: 0o644}
}

// mergeEnv joins lists of variables; a later value of a name replaces the earlier in its place.
func mergeEnv(lists ...[]string) []string {
	var out []string
	at := map[string]int{}
	for _, e := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			out[i] = e
			continue
		}
		at[name] = len(out)
		out = append(out, e)
	}
	return out
}

// containerMounts are the image's files, the declared mounts and the termination message file.
func (w *worker) containerMounts(pod *corev1.Pod, c *container, image Image, declared []string) ([]sandbox.Mount, error) {
	var mounts []sandbox.Mount
	targets := make([]string, 0, len(image.Files))
	for target := range image.Files {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	for _, target := range targets {
		mounts = append(mounts, sandbox.Mount{Source: image.Files[target], Target: target, ReadOnly: true})
	}
	volumeMounts := slices.Clone(c.spec.VolumeMounts)
	// A mount inside another one comes after it.
	slices.SortStableFunc(volumeMounts, func(a, b corev1.VolumeMount) int {
		return strings.Count(filepath.Clean(a.MountPath), "/") - strings.Count(filepath.Clean(b.MountPath), "/")
	})
	for _, m := range volumeMounts {
		source, ok := w.volumes.paths[m.Name]
		if !ok {
			return nil, fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, c.spec.Name)
		}
		sub := m.SubPath
		if m.SubPathExpr != "" {
			sub = expand(m.SubPathExpr, func(name string) (string, bool) { return lookupEnv(declared, name) })
		}
		volume := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		isImage := volume >= 0 && pod.Spec.Volumes[volume].Image != nil
		readOnlyKind := isImage || volume >= 0 && (pod.Spec.Volumes[volume].Secret != nil || pod.Spec.Volumes[volume].ConfigMap != nil ||
			pod.Spec.Volumes[volume].Projected != nil || pod.Spec.Volumes[volume].DownwardAPI != nil)
		if sub != "" {
			resolved, err := subPath(source, sub, !readOnlyKind)
			if err != nil {
				return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", m.Name, c.spec.Name, err)
			}
			source = resolved
		}
		mounts = append(mounts, sandbox.Mount{Source: source, Target: m.MountPath, ReadOnly: m.ReadOnly || readOnlyKind, NoExec: isImage})
	}
	message := w.messagePath(c)
	if err := os.MkdirAll(filepath.Dir(message), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(message, nil, 0o666); err != nil {
		return nil, err
	}
	target := c.spec.TerminationMessagePath
	if target == "" {
		target = corev1.TerminationMessagePathDefault
	}
	return append(mounts, sandbox.Mount{Source: message, Target: target}), nil
}

func lookupEnv(env []string, name string) (string, bool) {
	for _, e := range env {
		if n, v, _ := strings.Cut(e, "="); n == name {
			return v, true
		}
	}
	return "", false
}

// subPath finds a path inside a volume, following links but never out of the volume; where it may, it makes the missing
// directory as a kubelet does.
func subPath(volume, sub string, create bool) (string, error) {
	clean := filepath.Clean(sub)
	if filepath.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%q leads out of the volume", sub)
	}
	path := filepath.Join(volume, clean)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && create {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return "", err
		}
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%q does not exist in the volume", sub)
	}
	root, err := filepath.EvalSymlinks(volume)
	if err != nil {
		return "", err
	}
	if resolved != root && !strings.HasPrefix(resolved, root+"/") {
		return "", fmt.Errorf("%q leads out of the volume", sub)
	}
	return resolved, nil
}
