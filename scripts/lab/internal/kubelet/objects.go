package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// objectWatches watches the Secrets and ConfigMaps that pods refer to, each one by name as the node authorizer allows
// it, and tells the pods' workers when one appears, changes or goes.
type objectWatches struct {
	client kubernetes.Interface
	nudge  func(types.UID)

	mu      sync.Mutex
	watches map[objectKey]*objectWatch
}

type objectKey struct{ kind, namespace, name string }

type objectWatch struct {
	pods   sets.Set[types.UID]
	cancel context.CancelFunc
}

func newObjectWatches(client kubernetes.Interface, nudge func(types.UID)) *objectWatches {
	return &objectWatches{client: client, nudge: nudge, watches: map[objectKey]*objectWatch{}}
}

// references lists the Secrets and ConfigMaps that a pod names.
func references(pod *corev1.Pod) sets.Set[objectKey] {
	keys := sets.New[objectKey]()
	add := func(kind, name string) {
		if name != "" {
			keys.Insert(objectKey{kind, pod.Namespace, name})
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil {
			add("secret", v.Secret.SecretName)
		}
		if v.ConfigMap != nil {
			add("configmap", v.ConfigMap.Name)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.Secret != nil {
					add("secret", s.Secret.Name)
				}
				if s.ConfigMap != nil {
					add("configmap", s.ConfigMap.Name)
				}
			}
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			for _, e := range c.EnvFrom {
				if e.SecretRef != nil {
					add("secret", e.SecretRef.Name)
				}
				if e.ConfigMapRef != nil {
					add("configmap", e.ConfigMapRef.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					add("secret", e.ValueFrom.SecretKeyRef.Name)
				}
				if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
					add("configmap", e.ValueFrom.ConfigMapKeyRef.Name)
				}
			}
		}
	}
	return keys
}

// add watches what a pod refers to, until remove.
func (o *objectWatches) add(pod *corev1.Pod) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range references(pod) {
		if w := o.watches[key]; w != nil {
			w.pods.Insert(pod.UID)
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		o.watches[key] = &objectWatch{pods: sets.New(pod.UID), cancel: cancel}
		go o.watch(ctx, key)
	}
}

func (o *objectWatches) remove(pod types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, w := range o.watches {
		if w.pods.Delete(pod); w.pods.Len() == 0 {
			w.cancel()
			delete(o.watches, key)
		}
	}
}

func (o *objectWatches) watch(ctx context.Context, key objectKey) {
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", key.name).String()}
	for ctx.Err() == nil {
		var w watch.Interface
		var err error
		if key.kind == "secret" {
			w, err = o.client.CoreV1().Secrets(key.namespace).Watch(ctx, options)
		} else {
			w, err = o.client.CoreV1().ConfigMaps(key.namespace).Watch(ctx, options)
		}
		if err == nil {
			for range w.ResultChan() {
				o.mu.Lock()
				var pods []types.UID
				if watched := o.watches[key]; watched != nil {
					pods = watched.pods.UnsortedList()
				}
				o.mu.Unlock()
				for _, pod := range pods {
					o.nudge(pod)
				}
			}
			w.Stop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// objects reads Secrets, ConfigMaps and the API server's Service from the API server.
func (k *Kubelet) objects(ctx context.Context) objects { return apiObjects{ctx, k.o.Client} }

type apiObjects struct {
	ctx    context.Context
	client kubernetes.Interface
}

func (a apiObjects) secret(namespace, name string) (*corev1.Secret, error) {
	return a.client.CoreV1().Secrets(namespace).Get(a.ctx, name, metav1.GetOptions{})
}

func (a apiObjects) configMap(namespace, name string) (*corev1.ConfigMap, error) {
	return a.client.CoreV1().ConfigMaps(namespace).Get(a.ctx, name, metav1.GetOptions{})
}

func (a apiObjects) kubernetes() (*corev1.Service, error) {
	s, err := a.client.CoreV1().Services(metav1.NamespaceDefault).Get(a.ctx, "kubernetes", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return s, err
}
