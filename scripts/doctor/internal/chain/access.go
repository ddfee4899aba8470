package chain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"k8s.io/client-go/tools/clientcmd"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/stack"
)

// Here is what this process's environment leads to: KUBECONFIG, unless another is given, and the AWS SDK's configuration.
func Here(ctx context.Context, kubeconfig, region string) (Access, error) {
	var a Access
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return a, err
	}
	if region != "" {
		cfg.Region = region
	}
	if cfg.Region == "" {
		return a, errors.New("no region: set AWS_REGION, or give --region")
	}
	if kubeconfig == "" {
		kubeconfig = clientcmd.NewDefaultClientConfigLoadingRules().GetDefaultFilename()
		// Without a file, client-go takes a pod's own service account.
		if _, err := os.Stat(kubeconfig); errors.Is(err, fs.ErrNotExist) && os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
			kubeconfig = ""
		}
	}
	cluster, err := kube.Connect(kubeconfig)
	if err != nil {
		return a, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return Access{Cluster: cluster, AWS: cfg, Web: web(http.DefaultTransport.(*http.Transport).Clone())}, nil
}

// web is a client that follows no redirect: what answers in place of the issuer is to be seen.
func web(transport *http.Transport) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Lab is a running lab's cluster and account.
func Lab(lab *labs.Lab) (Access, error) {
	var a Access
	dir := filepath.Dir(lab.Kubeconfig)
	data, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		return a, err
	}
	var made struct {
		Endpoint, Proxy, Region, AccessKeyID, SecretKey string
	}
	if err := json.Unmarshal(data, &made); err != nil {
		return a, fmt.Errorf("lab of %s: %w", lab.Setup, err)
	}
	proxy, err := url.Parse(made.Proxy)
	if err != nil {
		return a, err
	}
	trusting := func(file string) (*http.Transport, error) {
		pem, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the lab's %s has no certificate", file)
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy, t.TLSClientConfig = nil, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		return t, nil
	}
	api, err := trusting("ca-bundle.pem")
	if err != nil {
		return a, err
	}
	world, err := trusting("trust.pem")
	if err != nil {
		return a, err
	}
	world.Proxy = http.ProxyURL(proxy)
	if a.Cluster, err = kube.Connect(lab.Kubeconfig); err != nil {
		return a, err
	}
	a.AWS = aws.Config{Region: made.Region, BaseEndpoint: &made.Endpoint, HTTPClient: &http.Client{Transport: api},
		Credentials: credentials.NewStaticCredentialsProvider(made.AccessKeyID, made.SecretKey, "")}
	a.Web = web(world)
	return a, nil
}

// FromExport reads what counts here of what `pulumi stack export` has printed. presents tells what pods of a setup present.
func FromExport(export []byte, presents func(setup string) (string, error)) (*Stack, error) {
	var file struct{ Deployment json.RawMessage }
	if err := json.Unmarshal(export, &file); err != nil {
		return nil, fmt.Errorf("the stack's export: %w", err)
	}
	if file.Deployment == nil {
		return nil, errors.New("the stack's export has no deployment: it must be what `pulumi stack export` prints")
	}
	state, err := stack.Parse(file.Deployment)
	if err != nil {
		return nil, err
	}
	out := &Stack{}
	var identities []struct{ Namespace, ServiceAccount, RoleArn string }
	var errs []error
	for name, v := range map[string]any{"setup": &out.Setup, "issuerUrl": &out.Issuer, "identities": &identities} {
		_, err := state.Output(name, v)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, i := range identities {
		out.Identities = append(out.Identities, StackIdentity{i.Namespace, i.ServiceAccount, i.RoleArn})
	}
	out.Presents, err = presents(out.Setup)
	return out, err
}
