package kubelet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// The kubelet's credential providers, as k8s.io/kubernetes/pkg/credentialprovider/plugin of v1.35 has them: which images
// are theirs, what they are asked with, how long their answers are kept.

// providers are those of one machine.
type providers struct {
	client kubernetes.Interface
	pulls  *Pulls
	now    func() time.Time
	list   []provider

	mu    sync.Mutex
	cache map[string]answered // by provider, registry or image, and ServiceAccount
}

type answered struct {
	auth    map[string]authConfig
	expires time.Time
}

// credential is one way to pull an image. account is nil where it is the machine's own.
type credential struct {
	username, password string
	account            *coordinates
}

// coordinates are a ServiceAccount by which images are pulled.
type coordinates struct {
	namespace, name string
	uid             types.UID
}

const (
	providerAPI    = "credentialprovider.kubelet.k8s.io/v1"
	providerConfig = "kubelet.config.k8s.io/v1"
	providerTime   = time.Minute // for one answer
)

// provider is an entry of a CredentialProviderConfig.
type provider struct {
	Name                 string           `json:"name"`
	APIVersion           string           `json:"apiVersion"`
	MatchImages          []string         `json:"matchImages"`
	DefaultCacheDuration *metav1.Duration `json:"defaultCacheDuration"`
	Args                 []string         `json:"args"`
	Env                  []corev1.EnvVar  `json:"env"`
	TokenAttributes      *tokenAttributes `json:"tokenAttributes"`
}

type tokenAttributes struct {
	Audience            string   `json:"serviceAccountTokenAudience"`
	CacheType           string   `json:"cacheType"`
	RequireAccount      *bool    `json:"requireServiceAccount"`
	RequiredAnnotations []string `json:"requiredServiceAccountAnnotationKeys"`
	OptionalAnnotations []string `json:"optionalServiceAccountAnnotationKeys"`
}

type authConfig struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// newProviders reads the configuration. A kubelet does not start with one that it cannot use.
func newProviders(o *Options) (*providers, error) {
	p := &providers{client: o.Client, pulls: o.Pulls, now: o.Now, cache: map[string]answered{}}
	if o.Pulls == nil || o.Pulls.Config == "" {
		return p, nil
	}
	data, err := os.ReadFile(filepath.Join(o.NodeRoot, o.Pulls.Config))
	if err != nil {
		return nil, fmt.Errorf("failed to register CRI auth plugins: %w", err)
	}
	var config struct {
		APIVersion string     `json:"apiVersion"`
		Kind       string     `json:"kind"`
		Providers  []provider `json:"providers"`
	}
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		return nil, fmt.Errorf("failed to register CRI auth plugins: error decoding config %q: %w", o.Pulls.Config, err)
	}
	if config.APIVersion != providerConfig || config.Kind != "CredentialProviderConfig" || len(config.Providers) == 0 {
		return nil, fmt.Errorf("failed to register CRI auth plugins: %s is no CredentialProviderConfig of %s with at least one provider", o.Pulls.Config, providerConfig)
	}
	for _, one := range config.Providers {
		if err := one.validate(); err != nil {
			return nil, fmt.Errorf("failed to register CRI auth plugins: failed to validate credential provider config: provider %s: %w", one.Name, err)
		}
		program := filepath.Join(o.Pulls.Dir, one.Name)
		if info, err := os.Stat(filepath.Join(o.NodeRoot, program)); err != nil || info.Mode()&0o111 == 0 {
			return nil, fmt.Errorf("failed to register CRI auth plugins: plugin binary executable %s did not exist", program)
		}
	}
	p.list = config.Providers
	return p, nil
}

func (p *provider) validate() error {
	t := p.TokenAttributes
	switch {
	case p.Name == "" || strings.ContainsAny(p.Name, "/ "):
		return errors.New("a name without slashes and spaces is needed")
	case p.APIVersion != providerAPI:
		return fmt.Errorf("apiVersion %q: the lab knows %s", p.APIVersion, providerAPI)
	case len(p.MatchImages) == 0:
		return errors.New("at least 1 item in matchImages is required")
	case p.DefaultCacheDuration == nil || p.DefaultCacheDuration.Duration < 0:
		return errors.New("defaultCacheDuration is required")
	case t == nil:
		return nil
	case t.Audience == "" || t.RequireAccount == nil:
		return errors.New("tokenAttributes needs serviceAccountTokenAudience and requireServiceAccount")
	case t.CacheType != "Token" && t.CacheType != "ServiceAccount":
		return errors.New("tokenAttributes needs cacheType, Token or ServiceAccount")
	case !*t.RequireAccount && len(t.RequiredAnnotations) > 0:
		return errors.New("requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set")
	}
	return nil
}

// matches tells whether an image is one of a pattern's (credentialprovider.URLsMatchStr): as many parts of the host's
// name, each of which may have wildcards, the same port, and a path that begins with the pattern's.
func matches(pattern, image string) bool {
	patternHost, patternPath, _ := strings.Cut(pattern, "/")
	host, imagePath, _ := strings.Cut(image, "/")
	patternHost, patternPort, _ := strings.Cut(patternHost, ":")
	host, port, _ := strings.Cut(host, ":")
	globs, parts := strings.Split(patternHost, "."), strings.Split(host, ".")
	if len(globs) != len(parts) || patternPort != port || !strings.HasPrefix(imagePath, patternPath) {
		return false
	}
	for i, glob := range globs {
		if ok, err := path.Match(glob, parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// provide asks every provider whose image it is. One that fails gives nothing, and the log says why.
func (p *providers) provide(ctx context.Context, pod *corev1.Pod, image string, logf func(string, ...any)) []credential {
	var out []credential
	for i := range p.list {
		one := &p.list[i]
		if !slices.ContainsFunc(one.MatchImages, func(pattern string) bool { return matches(pattern, image) }) {
			continue
		}
		auth, account, err := p.ask(ctx, one, pod, image)
		if err != nil {
			logf("Failed to provide credentials for image %s of pod %s by provider %s: %v", image, podKey(pod), one.Name, err)
			continue
		}
		for _, pattern := range slices.Sorted(maps.Keys(auth)) {
			if matches(pattern, image) {
				out = append(out, credential{auth[pattern].Username, auth[pattern].Password, account})
			}
		}
	}
	return out
}

// ask asks one provider, or what it has answered before.
func (p *providers) ask(ctx context.Context, one *provider, pod *corev1.Pod, image string) (map[string]authConfig, *coordinates, error) {
	request := map[string]any{"kind": "CredentialProviderRequest", "apiVersion": one.APIVersion, "image": image}
	var account *coordinates
	key := one.Name
	if t := one.TokenAttributes; t != nil {
		if pod.Spec.ServiceAccountName == "" {
			return nil, nil, nil
		}
		found, annotations, err := p.account(ctx, t, pod)
		if err != nil || found == nil {
			return nil, nil, err
		}
		account = found
		token, err := p.token(ctx, t, pod, account)
		if err != nil {
			return nil, nil, fmt.Errorf("failed to get service account token: %w", err)
		}
		request["serviceAccountToken"], request["serviceAccountAnnotations"] = token, annotations
		parts := []any{one.Name, account.namespace, account.name, account.uid, annotations}
		if t.CacheType == "Token" {
			parts = append(parts, sha256.Sum256([]byte(token)))
		}
		text, err := json.Marshal(parts)
		if err != nil {
			return nil, nil, err
		}
		key = string(text)
	}
	registry, _, _ := strings.Cut(image, "/")
	if auth, ok := p.cached(key, image, registry, ""); ok {
		return auth, account, nil
	}
	auth, kept, life, err := p.run(ctx, one, request, image)
	if err != nil {
		return nil, nil, err
	}
	if life > 0 {
		p.mu.Lock()
		p.cache[key+"\n"+kept] = answered{auth, p.now().Add(life)}
		p.mu.Unlock()
	}
	return auth, account, nil
}

func (p *providers) cached(key string, places ...string) (map[string]authConfig, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, place := range places {
		if a, ok := p.cache[key+"\n"+place]; ok && p.now().Before(a.expires) {
			return a.auth, true
		}
	}
	return nil, false
}

// account reads the pod's ServiceAccount; nil where it lacks an annotation that the provider requires.
func (p *providers) account(ctx context.Context, t *tokenAttributes, pod *corev1.Pod) (*coordinates, map[string]string, error) {
	account, err := p.client.CoreV1().ServiceAccounts(pod.Namespace).Get(ctx, pod.Spec.ServiceAccountName, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("failed to get service account: %w", err)
	}
	annotations := map[string]string{}
	for _, key := range t.RequiredAnnotations {
		value, ok := account.Annotations[key]
		if !ok {
			return nil, nil, nil
		}
		annotations[key] = value
	}
	for _, key := range t.OptionalAnnotations {
		if value, ok := account.Annotations[key]; ok {
			annotations[key] = value
		}
	}
	return &coordinates{account.Namespace, account.Name, account.UID}, annotations, nil
}

// token asks for a token of the pod, with the node's own credentials: the API server says whether this node may.
func (p *providers) token(ctx context.Context, t *tokenAttributes, pod *corev1.Pod, account *coordinates) (string, error) {
	answer, err := p.client.CoreV1().ServiceAccounts(account.namespace).CreateToken(ctx, account.name, &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{UID: account.uid},
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:      []string{t.Audience},
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return answer.Status.Token, nil
}

// run runs the provider's program, and returns what it answers, for what place that is good, and how long.
func (p *providers) run(ctx context.Context, one *provider, request any, image string) (auth map[string]authConfig, place string, life time.Duration, err error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, "", 0, err
	}
	var env []string
	for _, v := range one.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	timed, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	out, err := p.pulls.Run(timed, append([]string{filepath.Join(p.pulls.Dir, one.Name)}, one.Args...), env, text)
	if err != nil {
		return nil, "", 0, fmt.Errorf("failed to get credential from external registry credential provider: error execing credential provider plugin %s for image %s: %w", one.Name, image, err)
	}
	var response struct {
		APIVersion    string                `json:"apiVersion"`
		Kind          string                `json:"kind"`
		CacheKeyType  string                `json:"cacheKeyType"`
		CacheDuration *metav1.Duration      `json:"cacheDuration"`
		Auth          map[string]authConfig `json:"auth"`
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&response); err != nil || response.Kind != "CredentialProviderResponse" {
		return nil, "", 0, errors.New("error decoding credential provider plugin response from stdout") // it may hold credentials
	}
	if response.APIVersion != one.APIVersion {
		return nil, "", 0, fmt.Errorf("apiVersion from credential plugin response did not match expected apiVersion:%s, actual apiVersion:%s", one.APIVersion, response.APIVersion)
	}
	switch response.CacheKeyType {
	case "Image":
		place = image
	case "Registry":
		place, _, _ = strings.Cut(image, "/")
	case "Global":
	default:
		return nil, "", 0, fmt.Errorf("credential provider plugin did not return a valid cacheKeyType: %s", response.CacheKeyType)
	}
	life = one.DefaultCacheDuration.Duration
	if response.CacheDuration != nil {
		life = response.CacheDuration.Duration
	}
	return response.Auth, place, life, nil
}
