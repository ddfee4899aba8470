package kubelet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// reconnectPause is how long the kubelet waits before it asks an API server again that did not answer. client-go's own
// wait grows to a minute: good for a thousand nodes, and long for a lab in which API servers are restarted on purpose.
const reconnectPause = 500 * time.Millisecond

// podInformer watches this node's pods.
func (k *Kubelet) podInformer() cache.SharedInformer {
	mine := fields.OneTermEqualSelector("spec.nodeName", k.o.NodeName).String()
	pods := k.o.Client.CoreV1().Pods("")
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = mine
			return persist(ctx, func() (runtime.Object, error) { return pods.List(ctx, o) })
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = mine
			return persist(ctx, func() (watch.Interface, error) { return pods.Watch(ctx, o) })
		},
	}
	return cache.NewSharedInformer(cache.ToListWatcherWithWatchListSemantics(list, k.o.Client), &corev1.Pod{}, 0)
}

// persist repeats a call until an API server answers it.
func persist[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for {
		answer, err := call()
		if err == nil || !absent(err) || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case <-time.After(reconnectPause):
		}
	}
}

// absent tells whether an error says that no API server is there, or none that is ready.
func absent(err error) bool {
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsForbidden(err)
}
