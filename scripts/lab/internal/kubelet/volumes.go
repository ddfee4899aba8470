package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// volumeSet is the volumes of one pod on disk.
type volumeSet struct {
	k      *Kubelet
	dir    string            // of the pod
	paths  map[string]string // volume name → what is mounted
	memory []string
}

func (k *Kubelet) newVolumeSet(pod *corev1.Pod) *volumeSet {
	return &volumeSet{k: k, dir: filepath.Join(k.o.Dir, "pods", string(pod.UID)), paths: map[string]string{}}
}

// sync makes or updates every volume. The result is when to look again, at the latest (tokens are refreshed in time),
// and one error per volume that cannot be mounted, by volume name.
func (v *volumeSet) sync(ctx context.Context, pod *corev1.Pod, info podInfo) (refresh time.Time, failed map[string]error) {
	failed = map[string]error{}
	owners := podOwnership(pod, v.k.o.image)
	// What needs no contents first: other volumes' contents may name it.
	order := make([]*corev1.Volume, 0, len(pod.Spec.Volumes))
	for i := range pod.Spec.Volumes {
		order = append(order, &pod.Spec.Volumes[i])
	}
	slices.SortStableFunc(order, func(a, b *corev1.Volume) int { return len(v.place(a)) - len(v.place(b)) })
	for _, volume := range order {
		path, at, err := v.one(ctx, pod, volume, info, owners)
		if err != nil {
			failed[volume.Name] = err
			continue
		}
		v.paths[volume.Name] = path
		if !at.IsZero() && (refresh.IsZero() || at.Before(refresh)) {
			refresh = at
		}
	}
	return refresh, failed
}

func (v *volumeSet) one(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume, info podInfo, owners ownership) (path string, refresh time.Time, err error) {
	path = v.place(volume)
	src := v.k.objects(ctx)
	var payload map[string]projection
	switch {
	case volume.EmptyDir != nil:
		return path, refresh, v.emptyDir(volume, path)
	case volume.HostPath != nil:
		path, err = v.hostPath(volume.HostPath)
		return path, refresh, err
	case volume.Image != nil:
		path, err = v.k.imageVolume(volume.Image.Reference)
		return path, refresh, err
	case volume.Secret != nil:
		payload, err = secretPayload(pod, volume.Secret.SecretName, volume.Secret.Items, modeOf(volume.Secret.DefaultMode), optional(volume.Secret.Optional), src)
	case volume.ConfigMap != nil:
		payload, err = configMapPayload(pod, volume.ConfigMap.Name, volume.ConfigMap.Items, modeOf(volume.ConfigMap.DefaultMode), optional(volume.ConfigMap.Optional), src)
	case volume.DownwardAPI != nil:
		payload, err = downwardPayload(pod, volume.DownwardAPI.Items, modeOf(volume.DownwardAPI.DefaultMode), info)
	case volume.Projected != nil:
		payload, refresh, err = v.projected(ctx, pod, volume.Projected, info, owners, src)
	default:
		return "", refresh, errors.New("a kind of volume that the lab's kubelet does not know")
	}
	if err != nil {
		return "", refresh, err
	}
	for name, p := range payload {
		p.mode = owners.effective(p.mode&0o777, p.mode&tokenMark != 0)
		p.data = []byte(v.k.o.Runner.Rewrite(string(p.data), v.mounts(pod)))
		payload[name] = p
	}
	_, err = writeAtomic(path, payload, v.k.o.Now())
	return path, refresh, err
}

// place is where a volume's own directory is, "" for kinds that have none.
func (v *volumeSet) place(volume *corev1.Volume) string {
	var kind string
	switch {
	case volume.EmptyDir != nil:
		kind = "empty-dir"
	case volume.Secret != nil:
		kind = "secret"
	case volume.ConfigMap != nil:
		kind = "configmap"
	case volume.DownwardAPI != nil:
		kind = "downward-api"
	case volume.Projected != nil:
		kind = "projected"
	default:
		return ""
	}
	return filepath.Join(v.dir, "volumes", "kubernetes.io~"+kind, volume.Name)
}

// tokenMark marks a service account token's projection: its owner can be another than the other files'.
const tokenMark = os.ModeSticky

// mounts are the mounts of all containers, for text that names them. Two containers may mount different volumes at one
// path, in which case the first counts.
func (v *volumeSet) mounts(pod *corev1.Pod) []sandbox.Mount {
	var mounts []sandbox.Mount
	seen := sets.New[string]()
	places := map[string]string{}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if places[volume.Name] = v.place(volume); places[volume.Name] == "" {
			places[volume.Name] = v.paths[volume.Name]
		}
	}
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if image, ok := v.k.o.image(c.Image); ok {
			for target, source := range image.Files {
				if !seen.Has(target) {
					seen.Insert(target)
					mounts = append(mounts, sandbox.Mount{Source: source, Target: target})
				}
			}
		}
		for _, m := range c.VolumeMounts {
			if path := places[m.Name]; path != "" && !seen.Has(m.MountPath) {
				seen.Insert(m.MountPath)
				mounts = append(mounts, sandbox.Mount{Source: filepath.Join(path, m.SubPath), Target: m.MountPath})
			}
		}
	}
	return mounts
}

func modeOf(mode *int32) os.FileMode {
	if mode == nil {
		return 0o644
	}
	return os.FileMode(*mode) & 0o777
}

func (v *volumeSet) emptyDir(volume *corev1.Volume, path string) error {
	if _, made := v.paths[volume.Name]; made {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o777); err != nil { //nolint:gosec // as Kubernetes: a pod's users share it
		return err
	}
	if volume.EmptyDir.Medium != corev1.StorageMediumMemory {
		return nil
	}
	var limit int64
	if volume.EmptyDir.SizeLimit != nil {
		limit = volume.EmptyDir.SizeLimit.Value()
	}
	if err := v.k.o.Runner.Memory(path, limit); err != nil {
		return err
	}
	v.memory = append(v.memory, path)
	return nil
}

// hostPath finds or makes a path of the machine's root.
func (v *volumeSet) hostPath(h *corev1.HostPathVolumeSource) (string, error) {
	path := filepath.Join(v.k.o.NodeRoot, filepath.Clean("/"+h.Path))
	kind := corev1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	info, err := os.Stat(path)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return "", err
	}
	switch kind {
	case corev1.HostPathDirectoryOrCreate, corev1.HostPathUnset:
		if missing {
			// A container runtime makes the missing source of a bind as a directory.
			return path, os.MkdirAll(path, 0o755)
		}
		if kind != corev1.HostPathUnset && !info.IsDir() {
			return "", fmt.Errorf("hostPath type check failed: %s is not a directory", h.Path)
		}
	case corev1.HostPathDirectory:
		if missing || !info.IsDir() {
			return "", fmt.Errorf("hostPath type check failed: %s is not a directory", h.Path)
		}
	case corev1.HostPathFileOrCreate:
		if missing {
			return path, os.WriteFile(path, nil, 0o644)
		}
		if !info.Mode().IsRegular() {
			return "", fmt.Errorf("hostPath type check failed: %s is not a file", h.Path)
		}
	case corev1.HostPathFile:
		if missing || !info.Mode().IsRegular() {
			return "", fmt.Errorf("hostPath type check failed: %s is not a file", h.Path)
		}
	default:
		return "", fmt.Errorf("hostPath type check failed: the lab's machines have no %s %s", kind, h.Path)
	}
	return path, nil
}

// imageVolume lays an image's files out in a directory. The links and copies are shared by all pods.
func (k *Kubelet) imageVolume(reference string) (string, error) {
	image, ok := k.o.image(reference)
	if !ok {
		return "", pullError(reference)
	}
	k.imageMu.Lock()
	defer k.imageMu.Unlock()
	var key strings.Builder
	targets := make([]string, 0, len(image.Files))
	for target := range image.Files {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	for _, target := range targets {
		info, err := os.Stat(image.Files[target])
		if err != nil {
			return "", fmt.Errorf("image %s: %w", reference, err)
		}
		fmt.Fprintf(&key, "%s %s %d %d\n", target, image.Files[target], info.Size(), info.ModTime().UnixNano())
	}
	sum := sha256.Sum256([]byte(key.String()))
	dir := filepath.Join(k.o.Dir, "images", hex.EncodeToString(sum[:12]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	building := dir + ".new"
	if err := os.RemoveAll(building); err != nil {
		return "", err
	}
	if err := os.MkdirAll(building, 0o755); err != nil {
		return "", err
	}
	for _, target := range targets {
		if err := copyTree(image.Files[target], filepath.Join(building, filepath.Clean("/"+target))); err != nil {
			return "", fmt.Errorf("image %s: %w", reference, err)
		}
	}
	return dir, os.Rename(building, dir)
}

// copyTree copies a file or directory; files are linked where the file system allows it.
func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	if from, err = filepath.EvalSymlinks(from); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func secretPayload(pod *corev1.Pod, name string, items []corev1.KeyToPath, mode os.FileMode, mayMiss bool, src objects) (map[string]projection, error) {
	secret, err := src.secret(pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && mayMiss {
			return map[string]projection{}, nil
		}
		return nil, quoteNotFound(err, "secret", name)
	}
	return keysToPaths(secret.Data, items, mode, mayMiss, "references non-existent secret key: %s")
}

func configMapPayload(pod *corev1.Pod, name string, items []corev1.KeyToPath, mode os.FileMode, mayMiss bool, src objects) (map[string]projection, error) {
	m, err := src.configMap(pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && mayMiss {
			return map[string]projection{}, nil
		}
		return nil, quoteNotFound(err, "configmap", name)
	}
	data := map[string][]byte{}
	for k, v := range m.Data {
		data[k] = []byte(v)
	}
	for k, v := range m.BinaryData {
		data[k] = v
	}
	return keysToPaths(data, items, mode, mayMiss, "configmap references non-existent config key: %s")
}

// quoteNotFound gives a missing object's error the singular noun that a kubelet's has; the API server's is plural.
func quoteNotFound(err error, kind, name string) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %q not found", kind, name)
	}
	return err
}

func keysToPaths(data map[string][]byte, items []corev1.KeyToPath, mode os.FileMode, mayMiss bool, missing string) (map[string]projection, error) {
	payload := map[string]projection{}
	if len(items) == 0 {
		for k, v := range data {
			payload[k] = projection{v, mode}
		}
		return payload, nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		if !ok {
			if mayMiss {
				continue
			}
			return nil, fmt.Errorf(missing, item.Key)
		}
		m := mode
		if item.Mode != nil {
			m = modeOf(item.Mode)
		}
		payload[item.Path] = projection{v, m}
	}
	return payload, nil
}

func downwardPayload(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode os.FileMode, info podInfo) (map[string]projection, error) {
	payload := map[string]projection{}
	var errs []error
	for _, item := range items {
		m := mode
		if item.Mode != nil {
			m = modeOf(item.Mode)
		}
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = fieldValue(pod, item.FieldRef.FieldPath, info)
		case item.ResourceFieldRef != nil:
			value, err = resourceValue(pod, &pod.Spec.Containers[0], item.ResourceFieldRef)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		payload[item.Path] = projection{[]byte(value), m}
	}
	return payload, errors.Join(errs...)
}

func (v *volumeSet) projected(ctx context.Context, pod *corev1.Pod, source *corev1.ProjectedVolumeSource, info podInfo, owners ownership, src objects) (map[string]projection, time.Time, error) {
	mode := modeOf(source.DefaultMode)
	payload := map[string]projection{}
	var refresh time.Time
	var errs []error
	for _, s := range source.Sources {
		var part map[string]projection
		var err error
		switch {
		case s.Secret != nil:
			part, err = secretPayload(pod, s.Secret.Name, s.Secret.Items, mode, optional(s.Secret.Optional), src)
		case s.ConfigMap != nil:
			part, err = configMapPayload(pod, s.ConfigMap.Name, s.ConfigMap.Items, mode, optional(s.ConfigMap.Optional), src)
		case s.DownwardAPI != nil:
			part, err = downwardPayload(pod, s.DownwardAPI.Items, mode, info)
		case s.ServiceAccountToken != nil:
			t := s.ServiceAccountToken
			var value string
			var at time.Time
			value, at, err = v.k.tokens.get(ctx, pod, t.Audience, t.ExpirationSeconds)
			part = map[string]projection{t.Path: {[]byte(value), owners.token(mode) | tokenMark}}
			if err == nil && (refresh.IsZero() || at.Before(refresh)) {
				refresh = at
			}
		default:
			err = errors.New("a projected source that the lab's kubelet does not know")
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for path, p := range part {
			payload[path] = p
		}
	}
	return payload, refresh, errors.Join(errs...)
}

// remove takes the pod's volumes away.
func (v *volumeSet) remove() error {
	var errs []error
	for _, dir := range v.memory {
		errs = append(errs, v.k.o.Runner.ReleaseMemory(dir))
	}
	return errors.Join(append(errs, os.RemoveAll(v.dir))...)
}
