package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/exchange"
	"k3s-aws-auth/scripts/internal/kube"
)

// patience is how long the pod may be silent before that counts as a failure.
const patience = 20 * time.Second

// load is a pod that exchanges its identity for credentials again and again.
type load struct {
	cluster         *kube.Cluster
	namespace, name string

	mu   sync.Mutex
	seen []exchange.Exchange
}

// startLoad makes the pod, like the first demo pod, and waits for its first good exchanges.
func startLoad(ctx context.Context, kubeconfig string) (*load, error) {
	cluster, err := kube.Connect(kubeconfig)
	if err != nil {
		return nil, err
	}
	pods, err := cluster.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool {
		return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
			return c.Name == exchange.AppContainer && slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "DEMO_KEY" })
		})
	})
	if i < 0 {
		return nil, errors.New("the cluster has no demo pod, so nobody can exchange credentials: the stack needs demo: true")
	}
	pod := exchange.Pod(&pods.Items[i])
	pod.GenerateName = "upgrade-load-"
	made, err := cluster.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("a pod for the load: %w", err)
	}
	l := &load{cluster: cluster, namespace: made.Namespace, name: made.Name}
	for deadline := time.Now().Add(time.Minute); ; {
		err := l.look(ctx)
		if n := len(l.seen); err == nil && n >= 3 && l.seen[n-1].OK {
			l.seen = l.seen[n-1:] // from here on each one counts
			return l, nil
		}
		if time.Now().After(deadline) {
			l.stop()
			return nil, errors.Join(fmt.Errorf("the load's pod makes no exchange within a minute, before the upgrade: %v", l.seen), err)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			l.stop()
			return nil, err
		}
	}
}

// look reads the exchanges since the pod began, and keeps those that begin no earlier than the first that is kept.
func (l *load) look(ctx context.Context) error {
	log, err := l.cluster.Client.CoreV1().Pods(l.namespace).GetLogs(l.name, &corev1.PodLogOptions{Container: exchange.AppContainer}).DoRaw(ctx)
	if err != nil {
		return err
	}
	all := exchange.Parse(string(log))
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) > 0 {
		first := l.seen[0].Began
		all = slices.DeleteFunc(all, func(e exchange.Exchange) bool { return e.Began.Before(first) })
	}
	if len(all) >= len(l.seen) {
		l.seen = all
	}
	return nil
}

// failure is the first exchange that failed, was answered for another role, or did not come.
func failure(seen []exchange.Exchange, now time.Time) error {
	for _, e := range seen {
		switch {
		case !e.OK:
			return fmt.Errorf("an exchange failed at %s: %s", e.Began.Format(time.RFC3339Nano), e.Text)
		case e.Role() != seen[0].Role():
			return fmt.Errorf("an exchange was answered for %s at %s, and for %s before the upgrade", e.Role(), e.Began.Format(time.RFC3339Nano), seen[0].Role())
		}
	}
	if n := len(seen); n == 0 || now.Sub(seen[n-1].Began) > patience {
		return fmt.Errorf("no exchange for %s", patience)
	}
	return nil
}

// watch ends the upgrade at the first failure.
func (l *load) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	silent := time.Now()
	for sleep(ctx, time.Second) == nil {
		if err := l.look(ctx); err != nil { // the API server may restart; the pod goes on
			if time.Since(silent) > patience && ctx.Err() == nil {
				cancel(fmt.Errorf("the exchanges cannot be read for %s: %w", patience, err))
			}
			continue
		}
		silent = time.Now()
		l.mu.Lock()
		err := failure(l.seen, time.Now())
		l.mu.Unlock()
		if err != nil {
			cancel(err)
		}
	}
}

// end reads the exchanges for the last time and returns how many there were, and the longest gap between two in seconds.
func (l *load) end(ctx context.Context) (n int, gap float64, err error) {
	if err := l.look(ctx); err != nil {
		return 0, 0, err
	}
	for i := 1; i < len(l.seen); i++ {
		gap = max(gap, l.seen[i].Began.Sub(l.seen[i-1].Began).Seconds())
	}
	return len(l.seen), gap, failure(l.seen, time.Now())
}

// stop deletes the pod.
func (l *load) stop() {
	grace := int64(0)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = l.cluster.Client.CoreV1().Pods(l.namespace).Delete(ctx, l.name, metav1.DeleteOptions{GracePeriodSeconds: &grace}) // the lab goes down anyway
}
