package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// shortestRefresh keeps two requests for one token apart, whatever the clocks say.
const shortestRefresh = 5 * time.Second

// maxTokenAge is the age after which a token is refreshed even if it lives longer.
const maxTokenAge = 24 * time.Hour

// tokenManager keeps the service account tokens of this node's pods and refreshes each at 80 % of its life.
type tokenManager struct {
	client kubernetes.Interface
	now    func() time.Time

	mu     sync.Mutex
	tokens map[tokenKey]token
}

type tokenKey struct {
	pod      types.UID
	audience string
	seconds  int64
}

type token struct {
	value   string
	expires time.Time
	refresh time.Time
}

// get returns a token bound to the pod, and when it must be asked for again. An empty audience is the API server's own.
// Where a refresh fails, the old token is good until it expires.
func (m *tokenManager) get(ctx context.Context, pod *corev1.Pod, audience string, seconds *int64) (string, time.Time, error) {
	lifetime := int64(3600)
	if seconds != nil {
		lifetime = *seconds
	}
	key := tokenKey{pod.UID, audience, lifetime}
	m.mu.Lock()
	cached, ok := m.tokens[key]
	m.mu.Unlock()
	now := m.now()
	if ok && now.Before(cached.refresh) {
		return cached.value, cached.refresh, nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &lifetime,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	answer, err := m.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		if ok && now.Before(cached.expires) {
			return cached.value, now.Add(10 * time.Second), nil
		}
		return "", time.Time{}, fmt.Errorf("failed to fetch token: %w", err)
	}
	fresh := token{value: answer.Status.Token, expires: answer.Status.ExpirationTimestamp.Time}
	fresh.refresh = refreshTime(answer, now)
	if soonest := now.Add(shortestRefresh); fresh.refresh.Before(soonest) {
		fresh.refresh = soonest // the API server's clock is behind ours
	}
	m.mu.Lock()
	m.tokens[key] = fresh
	m.mu.Unlock()
	return fresh.value, fresh.refresh, nil
}

// refreshTime is 80 % into a token's life as the API server granted it, or a day after its issue if that is sooner.
func refreshTime(t *authenticationv1.TokenRequest, now time.Time) time.Time {
	expires := t.Status.ExpirationTimestamp.Time
	lifetime := expires.Sub(now)
	if t.Spec.ExpirationSeconds != nil {
		lifetime = time.Duration(*t.Spec.ExpirationSeconds) * time.Second
	}
	issued := expires.Add(-lifetime)
	at := issued.Add(lifetime * 8 / 10)
	if day := issued.Add(maxTokenAge); day.Before(at) {
		return day
	}
	return at
}

// age lets a pod's tokens be due for a refresh. They are as valid as they were.
func (m *tokenManager) age(pod types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, t := range m.tokens {
		if key.pod == pod {
			t.refresh = time.Time{}
			m.tokens[key] = t
		}
	}
}

func (m *tokenManager) forget(pod types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.tokens {
		if key.pod == pod {
			delete(m.tokens, key)
		}
	}
}
