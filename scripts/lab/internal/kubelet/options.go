// Package kubelet is the lab's kubelet: it registers a node, runs the pods that are bound to it as processes through a
// Runner, mounts what their manifests mount, reports status and events in a kubelet's words, and serves logs and exec
// to the API server. It leaves out what identities do not need: cgroups, pulls from other registries than ECR's, attachable volumes, lifecycle
// hooks, service environment variables, pod eviction.
package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// Image is what the lab has in place of a container image.
type Image struct {
	Files      map[string]string // path in the root → file or directory of this machine
	Env        []string          // NAME=value
	Entrypoint []string          // what runs where the container names no command
	Cmd        []string          // its arguments where the container names no args and no command
	User       int64             // numeric USER of the image
	WorkingDir string
}

// Options configures a Kubelet. Required are NodeName, Client, Runner, Dir and ClientCAs.
type Options struct {
	NodeName   string
	ProviderID string // such as aws:///eu-central-1a/i-0123; "" where the node has none
	Labels     map[string]string
	Taints     []corev1.Taint
	Addresses  []corev1.NodeAddress // default InternalIP 127.0.0.1 and Hostname NodeName
	Capacity   corev1.ResourceList  // default 2 CPUs, 4 GiB, 110 pods
	Version    string               // kubelet version in the node's status, default v1.35.4
	OSImage    string

	Client kubernetes.Interface // with the node's own credentials
	Runner Runner
	Dir    string // state: volumes, logs, image files; private to this kubelet
	// NodeRoot is the machine's persistent root: a hostPath volume's path is looked up below it. Default Dir/root.
	NodeRoot string
	// Images maps a reference without tag and digest to what stands for it. A reference that is not here cannot be pulled.
	Images map[string]Image
	// Pulls is how images of private ECR repositories are pulled; nil where none can be.
	Pulls *Pulls
	// ExtraEnv is appended to the environment of every container; it is for what the machine, not the manifest, gives.
	ExtraEnv []string

	ListenAddress string           // of logs and exec, default 127.0.0.1:0
	ServingCert   *tls.Certificate // default: a self-signed certificate for the listen address
	ClientCAs     *x509.CertPool   // of the client certificates that may use logs and exec
	// AllowClient says whose verified certificate is let in. Default: one of the group system:masters, which the API
	// server's own certificate for kubelets has, and a node's certificate of the same CA has not.
	AllowClient func(*x509.Certificate) bool

	// OnPodNetwork is called once a pod has its network and before its first container, so that the caller can serve
	// on the pod's sockets. They are closed when the pod goes. Not called for pods in the node's network.
	OnPodNetwork func(pod *corev1.Pod, net sandbox.PodNet)

	Log io.Writer        // default discards
	Now func() time.Time // default time.Now; token refresh and status times follow it
	// Skew is how far the machine's clock is off: the node's status is dated by it, with the next heartbeat. Its lease is
	// not: the controller manager takes a lease that goes back in time for one that nobody renews, for as long.
	Skew func() time.Duration

	RestartBackoff    time.Duration // first wait between restarts, default 1 s; doubles up to MaxRestartBackoff
	MaxRestartBackoff time.Duration // default 60 s
}

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	var errs []error
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"NodeName", o.NodeName == ""}, {"Client", o.Client == nil}, {"Runner", o.Runner == nil}, {"Dir", o.Dir == ""}, {"ClientCAs", o.ClientCAs == nil},
	} {
		if required.missing {
			errs = append(errs, fmt.Errorf("kubelet: %s is required", required.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	o.Dir = dir
	if o.NodeRoot == "" {
		o.NodeRoot = filepath.Join(o.Dir, "root")
	}
	if len(o.Addresses) == 0 {
		o.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: o.NodeName}}
	}
	if o.Capacity == nil {
		o.Capacity = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"),
			corev1.ResourcePods: resource.MustParse("110"), corev1.ResourceEphemeralStorage: resource.MustParse("20Gi"),
		}
	}
	if o.Version == "" {
		o.Version = "v1.35.4"
	}
	if o.OSImage == "" {
		o.OSImage = "Ubuntu 24.04 LTS"
	}
	if o.ListenAddress == "" {
		o.ListenAddress = "127.0.0.1:0"
	}
	if o.AllowClient == nil {
		o.AllowClient = func(c *x509.Certificate) bool { return slices.Contains(c.Subject.Organization, "system:masters") }
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Skew == nil {
		o.Skew = func() time.Duration { return 0 }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RestartBackoff == 0 {
		o.RestartBackoff = time.Second
	}
	if o.MaxRestartBackoff == 0 {
		o.MaxRestartBackoff = time.Minute
	}
	return nil
}

// hostIP is the address that pods see as their host's.
func (o *Options) hostIP() string {
	for _, a := range o.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return "127.0.0.1"
}

// repository cuts tag and digest off an image reference.
func repository(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	return name
}

// image finds what stands for a reference.
func (o *Options) image(reference string) (Image, bool) {
	i, ok := o.Images[repository(reference)]
	return i, ok
}
