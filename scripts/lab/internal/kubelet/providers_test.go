package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// matchImages as a kubelet reads them: the comment of CredentialProvider.MatchImages.
func TestMatches(t *testing.T) {
	const image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/app"
	for pattern, want := range map[string]bool{
		"111122223333.dkr.ecr.eu-central-1.amazonaws.com":       true,
		"*.dkr.ecr.*.amazonaws.com":                             true,
		"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team":  true,
		"111122223333.dkr.ecr.eu-central-1.amazonaws.com/other": false,
		"111122223333.dkr.ecr.eu-central-1.amazonaws.com:8443":  false,
		"*.amazonaws.com": false,
		"444455556666.dkr.ecr.eu-central-1.amazonaws.com": false,
		"*.dkr.ecr.*.amazonaws.com.cn":                    false,
	} {
		require.Equal(t, want, matches(pattern, image), pattern)
	}
}

const podProvider = `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages: ["111122223333.dkr.ecr.eu-central-1.amazonaws.com"]
    defaultCacheDuration: 0s
    tokenAttributes:
      serviceAccountTokenAudience: sts.amazonaws.com
      cacheType: ServiceAccount
      requireServiceAccount: true
      requiredServiceAccountAnnotationKeys: [eks.amazonaws.com/ecr-role-arn]
    env: [{name: AWS_EC2_METADATA_DISABLED, value: "true"}]
`

// providing is a machine with the configuration, and what its providers are asked by.
type providing struct {
	*providers
	requests []string
	env      []string
	tokens   []*authenticationv1.TokenRequest
	refuse   error
	now      time.Time
}

func newProviding(t *testing.T, config string, accounts ...runtime.Object) (*providing, error) {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{"etc/config.yaml": config, "bin/ecr-credential-provider": "#!/bin/sh\n"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o755))
	}
	p := &providing{now: time.Unix(1e9, 0)}
	client := fake.NewClientset(accounts...)
	client.PrependReactor("create", "serviceaccounts", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "token" {
			return false, nil, nil
		}
		request := a.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenRequest)
		p.tokens = append(p.tokens, request)
		if p.refuse != nil {
			return true, nil, p.refuse
		}
		answer := request.DeepCopy()
		answer.Status.Token = fmt.Sprintf("token %d", len(p.tokens))
		return true, answer, nil
	})
	var err error
	p.providers, err = newProviders(&Options{NodeRoot: root, Client: client, Now: func() time.Time { return p.now }, Pulls: &Pulls{Dir: "/bin", Config: "/etc/config.yaml",
		Run: func(_ context.Context, args, env []string, stdin []byte) ([]byte, error) {
			require.Equal(t, []string{"/bin/ecr-credential-provider"}, args)
			p.requests, p.env = append(p.requests, string(stdin)), env
			return []byte(`{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"6h0m0s",` +
				`"auth":{"111122223333.dkr.ecr.eu-central-1.amazonaws.com":{"username":"AWS","password":"secret"}}}`), nil
		}}})
	return p, err
}

func account(name string, annotations map[string]string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: "uid-of-sa", Annotations: annotations}}
}

func podOf(account string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "pod-uid"}, Spec: corev1.PodSpec{ServiceAccountName: account}}
}

// A provider is asked with a token of the pod and the annotations that it requires, once as long as its answer is good.
func TestProvidersAskForThePod(t *testing.T) {
	p, err := newProviding(t, podProvider, account("app", map[string]string{"eks.amazonaws.com/ecr-role-arn": "arn:aws:iam::111122223333:role/app", "other": "x"}), account("plain", nil))
	require.NoError(t, err)
	const image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/app"
	log := ""
	logf := func(format string, args ...any) { log += fmt.Sprintf(format, args...) }
	ask := func(account, image string) []credential { return p.provide(t.Context(), podOf(account), image, logf) }

	got := ask("app", image)
	require.Equal(t, []credential{{"AWS", "secret", &coordinates{"n", "app", "uid-of-sa"}}}, got)
	require.JSONEq(t, `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"`+image+`",
		"serviceAccountToken":"token 1","serviceAccountAnnotations":{"eks.amazonaws.com/ecr-role-arn":"arn:aws:iam::111122223333:role/app"}}`, p.requests[0])
	require.Equal(t, []string{"AWS_EC2_METADATA_DISABLED=true"}, p.env)
	require.Equal(t, []string{"sts.amazonaws.com"}, p.tokens[0].Spec.Audiences)
	require.Equal(t, "Pod", p.tokens[0].Spec.BoundObjectRef.Kind)
	require.EqualValues(t, "pod-uid", p.tokens[0].Spec.BoundObjectRef.UID)
	require.EqualValues(t, "uid-of-sa", p.tokens[0].UID)

	require.Equal(t, got, ask("app", image+"-2"), "the answer was for the registry")
	require.Len(t, p.requests, 1)
	require.Empty(t, ask("plain", image), "without the annotation nobody is asked")
	require.Empty(t, ask("app", "public.ecr.aws/team/app"), "another registry is not the provider's")
	require.Len(t, p.requests, 1)
	p.now = p.now.Add(7 * time.Hour)
	require.Equal(t, got, ask("app", image))
	require.Len(t, p.requests, 2)

	// Without a token there is nothing, whatever is kept.
	p.refuse = errors.New(`audience "sts.amazonaws.com" not found in pod spec volume`)
	require.Empty(t, ask("app", image))
	require.Contains(t, log, `Failed to provide credentials for image `+image+` of pod p_n(pod-uid) by provider ecr-credential-provider: failed to get service account token: audience`)
}

// A kubelet does not start with a configuration that it cannot use.
func TestProvidersAreChecked(t *testing.T) {
	for change, want := range map[string]string{
		"":                                  "",
		"v1\nkind:|v2\nkind:":               "is no CredentialProviderConfig",
		"name: ecr|name: gcr":               "plugin binary executable /bin/gcr-credential-provider did not exist",
		"defaultCacheDuration: 0s|args: []": "defaultCacheDuration is required",
		"cacheType: ServiceAccount|cacheType: Pod":                 "needs cacheType",
		"requireServiceAccount: true|requireServiceAccount: false": "cannot be false",
		"matchImages|matchImage":                                   "unknown field",
	} {
		from, to, _ := strings.Cut(change, "|")
		_, err := newProviding(t, strings.Replace(podProvider, from, to, 1))
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want, change)
		}
	}
}

// registry answers by the user of a request.
type registry func(r *http.Request) (int, string)

func (f registry) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Body: readCloser{strings.NewReader(body)}}, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// What one ServiceAccount has pulled, another one has to pull too; what the machine itself has pulled is everybody's.
func TestPulledImagesAreWhosePulledThem(t *testing.T) {
	const reference = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/app:1"
	manifest, err := json.Marshal(map[string]any{"config": map[string]string{"digest": "sha256:c"}, "layers": []any{map[string]string{"digest": "sha256:l"}},
		"annotations": map[string]string{baseAnnotation: "base"}})
	require.NoError(t, err)
	var asked []string
	k := &Kubelet{images: images{pulled: map[string]*pulledImage{}}, o: Options{Images: map[string]Image{"base": {User: 7}}, Pulls: &Pulls{Registry: &http.Client{Transport: registry(func(r *http.Request) (int, string) {
		user, _, ok := r.BasicAuth()
		asked = append(asked, r.Method+" "+r.URL.Path)
		switch {
		case !ok:
			return http.StatusUnauthorized, ""
		case user == "denied":
			return http.StatusForbidden, ""
		case strings.Contains(r.URL.Path, "/manifests/"):
			return http.StatusOK, string(manifest)
		}
		return http.StatusOK, "layer"
	})}}}}
	own, other := &coordinates{"n", "own", "1"}, &coordinates{"n", "other", "2"}
	image, by, size, err := k.pullImage(t.Context(), reference, []credential{{"denied", "x", other}, {"AWS", "x", own}})
	require.NoError(t, err)
	require.Equal(t, Image{User: 7}, image)
	require.Equal(t, own, by)
	require.Equal(t, len(manifest)+2*len("layer"), size)
	require.Contains(t, asked, "GET /v2/team/app/blobs/sha256:l")

	k.images.record(reference, image, by)
	p, has := k.images.get(reference)
	require.True(t, has)
	require.True(t, k.images.accessible(p, []credential{{account: own}}))
	require.False(t, k.images.accessible(p, []credential{{account: other}}))
	require.False(t, k.images.accessible(p, nil))
	k.images.record(reference, image, nil)
	require.True(t, k.images.accessible(p, nil))

	_, _, _, err = k.pullImage(t.Context(), reference, nil)
	require.ErrorContains(t, err, "authorization failed: no basic auth credentials")
	_, _, _, err = k.pullImage(t.Context(), reference, []credential{{"denied", "x", other}})
	require.ErrorContains(t, err, "unexpected status from HEAD request to https://111122223333.dkr.ecr.eu-central-1.amazonaws.com/v2/team/app/manifests/1: 403 Forbidden")
}
