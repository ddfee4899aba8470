package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// Images of private ECR repositories are pulled: from the registry, with the credentials that the kubelet's credential
// providers give for the pod. What runs in their place is a program of this machine all the same, that of the image which
// the pulled one names as its base.

// Pulls is how a machine pulls images from registries.
type Pulls struct {
	// Dir and Config are the kubelet's image-credential-provider-bin-dir and image-credential-provider-config, on the
	// machine; empty where it has none.
	Dir, Config string
	// Run runs a program of the machine, with text on its standard input, and returns what it wrote to its standard output.
	// The error has what it wrote to its standard error.
	Run func(ctx context.Context, args, env []string, stdin []byte) ([]byte, error)
	// Registry asks registries from the machine's network.
	Registry *http.Client
}

var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)

// fromRegistry tells whether an image is pulled rather than found in the table.
func fromRegistry(reference string) bool {
	host, _, _ := strings.Cut(reference, "/")
	return ecrHost.MatchString(host)
}

// images are those that the machine has pulled, with who may have them
// (k8s.io/kubernetes/pkg/kubelet/images/pullmanager, KubeletEnsureSecretPulledImages: a pod whose ServiceAccount has not
// pulled an image by itself has to pull it again, whatever is on the disk).
type images struct {
	mu     sync.Mutex
	pulled map[string]*pulledImage
}

type pulledImage struct {
	image    Image
	everyone bool // pulled with the machine's own credentials
	accounts []coordinates
}

// get returns a pulled image.
func (i *images) get(reference string) (*pulledImage, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p, ok := i.pulled[reference]
	return p, ok
}

// accessible tells whether a pod with one of these credentials may have the image without a pull of its own.
func (i *images) accessible(p *pulledImage, credentials []credential) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return p.everyone || slices.ContainsFunc(credentials, func(c credential) bool {
		return c.account != nil && slices.Contains(p.accounts, *c.account)
	})
}

// record notes by whose credentials an image was pulled.
func (i *images) record(reference string, image Image, by *coordinates) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.pulled[reference]
	if p == nil {
		p = &pulledImage{image: image}
		i.pulled[reference] = p
	}
	if by == nil {
		p.everyone = true
	} else if !slices.Contains(p.accounts, *by) {
		p.accounts = append(p.accounts, *by)
	}
}

// known tells whether the machine has what stands for a reference.
func (k *Kubelet) known(reference string) bool {
	if fromRegistry(reference) {
		_, ok := k.images.get(reference)
		return ok
	}
	_, ok := k.o.image(reference)
	return ok
}

// ensureImage is the image of a container whose turn it is. A *waitingError says why there is none.
func (w *worker) ensureImage(ctx context.Context, pod *corev1.Pod, c *container) (Image, error) {
	k, reference := w.k, c.spec.Image
	if !fromRegistry(reference) || k.o.Pulls == nil {
		image, ok := k.o.image(reference)
		if !ok {
			return Image{}, w.pull(pod, c, pullError(reference))
		}
		w.present(pod, c)
		return image, nil
	}
	if err := w.pullBackOff(pod, c); err != nil {
		return Image{}, err
	}
	credentials := k.providers.provide(ctx, pod, repository(reference), k.logf)
	if p, has := k.images.get(reference); has && c.spec.ImagePullPolicy != corev1.PullAlways && k.images.accessible(p, credentials) {
		w.present(pod, c)
		return p.image, nil
	}
	if c.spec.ImagePullPolicy == corev1.PullNever {
		return Image{}, w.pull(pod, c, nil)
	}
	k.event(pod, c, corev1.EventTypeNormal, "Pulling", "Pulling image %q", reference)
	began := k.o.Now()
	image, by, size, err := k.pullImage(ctx, reference, credentials)
	if err != nil {
		return Image{}, w.pull(pod, c, err)
	}
	k.images.record(reference, image, by)
	took := k.o.Now().Sub(began)
	k.event(pod, c, corev1.EventTypeNormal, "Pulled", "Successfully pulled image %q in %s (%s including waiting). Image size: %d bytes.", reference, took, took, size)
	return image, nil
}

// present says once that a container's image is there.
func (w *worker) present(pod *corev1.Pod, c *container) {
	if c.event == "" {
		w.k.event(pod, c, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine and can be accessed by the pod", c.spec.Image)
	}
}

// pullImage pulls with the first credentials that do, or with none where there are none, and says whose they were.
func (k *Kubelet) pullImage(ctx context.Context, reference string, credentials []credential) (Image, *coordinates, int, error) {
	if len(credentials) == 0 {
		credentials = []credential{{}}
	}
	var errs []error
	for _, c := range credentials {
		base, size, err := k.fetch(ctx, reference, c)
		if err != nil {
			errs = append(errs, fmt.Errorf("failed to pull and unpack image %q: failed to resolve reference %q: %w", reference, reference, err))
			continue
		}
		image, ok := k.o.image(base)
		if !ok {
			return Image{}, nil, 0, fmt.Errorf("image %s names %q as its base, for which the lab has no program", reference, base)
		}
		return image, c.account, size, nil
	}
	return Image{}, nil, 0, errors.Join(errs...)
}

// baseAnnotation is the standard annotation of a manifest that names the image which it is made of
// (https://specs.opencontainers.org/image-spec/annotations/).
const baseAnnotation = "org.opencontainers.image.base.name"

// fetch gets an image's manifest and all that it names, as a container runtime does, and returns the name of its base.
func (k *Kubelet) fetch(ctx context.Context, reference string, c credential) (base string, size int, err error) {
	host, name, _ := strings.Cut(repository(reference), "/")
	tag := strings.TrimLeft(strings.TrimPrefix(reference, host+"/"+name), ":@")
	if tag == "" {
		tag = "latest"
	}
	at := "https://" + host + "/v2/" + name
	if _, err := k.ask(ctx, http.MethodHead, at+"/manifests/"+tag, c, reference); err != nil {
		return "", 0, err
	}
	text, err := k.ask(ctx, http.MethodGet, at+"/manifests/"+tag, c, reference)
	if err != nil {
		return "", 0, err
	}
	var manifest struct {
		Annotations map[string]string         `json:"annotations"`
		Config      struct{ Digest string }   `json:"config"`
		Layers      []struct{ Digest string } `json:"layers"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return "", 0, err
	}
	size = len(text)
	for _, digest := range append([]struct{ Digest string }{manifest.Config}, manifest.Layers...) {
		layer, err := k.ask(ctx, http.MethodGet, at+"/blobs/"+digest.Digest, c, reference)
		if err != nil {
			return "", 0, err
		}
		size += len(layer)
	}
	return manifest.Annotations[baseAnnotation], size, nil
}

// ask makes one request of a registry, and fails in a container runtime's words.
func (k *Kubelet) ask(ctx context.Context, method, url string, c credential, reference string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "containerd/v2.1.5-k3s1.35")
	if c.username != "" {
		r.SetBasicAuth(c.username, c.password)
	}
	answer, err := k.o.Pulls.Registry.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	switch {
	case answer.StatusCode == http.StatusOK:
		return body, nil
	case answer.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: not found", reference)
	case answer.StatusCode == http.StatusUnauthorized && c.username == "":
		return nil, errors.New("pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials")
	}
	return nil, fmt.Errorf("unexpected status from %s request to %s: %s", method, url, answer.Status)
}
