// Package kube reaches a cluster and its pods as kubectl does: by a kubeconfig, with exec through the API server.
package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
)

// Cluster reaches the pods of one cluster.
type Cluster struct {
	Client kubernetes.Interface
	config *rest.Config
}

// Connect reads a kubeconfig, without asking the cluster anything yet. Without one it is the cluster that this process runs
// in a pod of, as the pod's service account.
func Connect(kubeconfig string) (*Cluster, error) {
	config, err := rest.InClusterConfig()
	if kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, err
	}
	return connect(config)
}

// ConnectText is Connect for a kubeconfig that is in no file.
func ConnectText(kubeconfig []byte) (*Cluster, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	return connect(config)
}

// Apart is the same cluster, reached by connections of its own: behind a load balancer, perhaps by another server.
func (c *Cluster) Apart() (*Cluster, error) {
	config := rest.CopyConfig(c.config)
	// Transports with a dialer are not shared (k8s.io/client-go/transport/cache.go).
	config.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	return connect(config)
}

func connect(config *rest.Config) (*Cluster, error) {
	config.QPS = -1
	// That an API will be gone in some later release is no news to who asks a cluster now.
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	return &Cluster{Client: client, config: config}, err
}

// ClientCertificate is the certificate of the kubeconfig's user; nil where the user has none within it.
func (c *Cluster) ClientCertificate() *x509.Certificate {
	block, _ := pem.Decode(c.config.CertData)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// Answer is what the API server answered to a GET.
type Answer struct {
	Body   []byte
	Header http.Header
	// Server is the certificate of whoever answered.
	Server *x509.Certificate
}

// StatusError is an answer of an API server that refuses.
type StatusError struct{ Path, Status string }

func (e StatusError) Error() string { return e.Path + ": " + e.Status }

// Get asks the API server for a path as the kubeconfig's user.
func (c *Cluster) Get(ctx context.Context, path string) (*Answer, error) {
	client, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(path).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, StatusError{path, resp.Status}
	}
	answer := &Answer{Body: body, Header: resp.Header}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		answer.Server = resp.TLS.PeerCertificates[0]
	}
	return answer, nil
}

// Exec runs a command in a container of a pod and returns what it printed. An error has what it said on standard error.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, command ...string) (string, error) {
	req := c.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.config, "GET", req.URL().String())
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
