package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// Kubelet runs the pods of one node.
type Kubelet struct {
	o        Options
	recorder record.EventRecorder
	tokens   *tokenManager
	watches  *objectWatches
	server   *server
	imageMu  sync.Mutex

	providers *providers
	images    images

	mu      sync.Mutex
	workers map[types.UID]*worker
	wg      sync.WaitGroup
	ready   chan struct{}
}

// New checks the options and opens the port for logs and exec; Run does the rest.
func New(o Options) (*Kubelet, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	for _, dir := range []string{o.Dir, o.NodeRoot} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("kubelet of %s: %w", o.NodeName, err)
		}
	}
	// What an earlier run mounted is of no use to this one; its logs are.
	if err := os.RemoveAll(filepath.Join(o.Dir, "pods")); err != nil {
		return nil, fmt.Errorf("kubelet of %s: %w", o.NodeName, err)
	}
	k := &Kubelet{o: o, workers: map[types.UID]*worker{}, ready: make(chan struct{}), images: images{pulled: map[string]*pulledImage{}}}
	var err error
	if k.providers, err = newProviders(&k.o); err != nil {
		return nil, fmt.Errorf("kubelet of %s: %w", o.NodeName, err)
	}
	k.tokens = &tokenManager{client: o.Client, now: o.Now, tokens: map[tokenKey]token{}}
	k.watches = newObjectWatches(o.Client, k.nudge)
	server, err := newServer(k)
	if err != nil {
		return nil, fmt.Errorf("kubelet of %s: %w", o.NodeName, err)
	}
	k.server = server
	return k, nil
}

// Ready is closed once the node is registered as ready and its pods are being watched.
func (k *Kubelet) Ready() <-chan struct{} { return k.ready }

// Run registers the node and runs its pods until ctx ends; then it kills their processes and returns. The API server's
// objects stay as they are.
func (k *Kubelet) Run(ctx context.Context) error {
	events := record.NewBroadcaster()
	defer events.Shutdown()
	sink := events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: k.o.Client.CoreV1().Events("")})
	defer sink.Stop()
	k.recorder = events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: k.o.NodeName})

	served := make(chan error, 1)
	go func() { served <- k.server.serve() }()
	defer k.server.close()

	if err := k.register(ctx); err != nil {
		return fmt.Errorf("register node %s: %w", k.o.NodeName, err)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	k.wg.Go(func() { k.heartbeat(running) })

	pods := k.podInformer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.observe(running, o, false) },
		UpdateFunc: func(_, o any) { k.observe(running, o, false) },
		DeleteFunc: func(o any) { k.observe(running, o, true) },
	})
	if err != nil {
		return err
	}
	var informing sync.WaitGroup
	informing.Go(func() { pods.RunWithContext(running) })
	if cache.WaitForCacheSync(running.Done(), pods.HasSynced) {
		close(k.ready)
	}
	var result error
	select {
	case <-ctx.Done():
	case err := <-served:
		if !errors.Is(err, http.ErrServerClosed) {
			result = fmt.Errorf("kubelet of %s: serve logs and exec: %w", k.o.NodeName, err)
		}
	}
	stop()
	k.wg.Wait()
	informing.Wait()
	return result
}

// observe takes a pod's new state from the watch to its worker.
func (k *Kubelet) observe(ctx context.Context, object any, deleted bool) {
	if d, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = d.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.workers[pod.UID]
	switch {
	case w != nil:
		w.update(pod, deleted)
	case deleted || ctx.Err() != nil:
	default:
		w = newWorker(k, pod)
		k.workers[pod.UID] = w
		k.wg.Go(func() {
			w.run(ctx)
			k.mu.Lock()
			delete(k.workers, pod.UID)
			k.mu.Unlock()
		})
	}
}

// nudge makes a pod's worker look at its volumes again.
func (k *Kubelet) nudge(pod types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod]; w != nil {
		w.nudge()
	}
}

// AgeTokens refreshes the tokens of a pod, as if 80 % of their life had passed, and reports whether the pod is here.
func (k *Kubelet) AgeTokens(namespace, name string) bool {
	w := k.find(namespace, name, "")
	if w == nil {
		return false
	}
	k.tokens.age(w.current().UID)
	w.nudge()
	return true
}

// find returns the worker of a pod by name; uid "" matches any.
func (k *Kubelet) find(namespace, name, uid string) *worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.workers {
		if p := w.current(); p.Namespace == namespace && p.Name == name && (uid == "" || string(p.UID) == uid) {
			return w
		}
	}
	return nil
}

func (k *Kubelet) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(k.o.Log, "%s kubelet %s: %s\n", time.Now().Format("15:04:05.000"), k.o.NodeName, fmt.Sprintf(format, args...))
}

// event records an event about a pod, or about one of its containers.
func (k *Kubelet) event(pod *corev1.Pod, c *container, kind, reason, format string, args ...any) {
	ref := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	if c != nil {
		list := "containers"
		if c.kind != mainContainer {
			list = "initContainers"
		}
		ref.FieldPath = fmt.Sprintf("spec.%s{%s}", list, c.spec.Name)
	}
	k.recorder.Eventf(ref, kind, reason, format, args...)
	k.logf("%s/%s: %s: %s", pod.Namespace, pod.Name, reason, fmt.Sprintf(format, args...))
}
