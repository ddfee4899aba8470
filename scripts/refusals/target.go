package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/plainbody"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/internal/stack"
)

const (
	container   = "app" // of the demo pods
	stsAudience = "sts.amazonaws.com"
	dnsSuffix   = "amazonaws.com"
)

// Target is a stack, seen by somebody who tries to get in.
type Target struct {
	// Setup is the stack's; newTarget knows its name alone.
	Setup           setups.Setup
	Region, Account string
	Cluster         *kube.Cluster
	State           *stack.State
	Identity        Identity
	// Peer is another service account with the role of Identity, where each has its own prefix; nil where there is none.
	Peer   *Identity
	Images Images

	admin  aws.Credentials
	http   *http.Client
	made   []func()
	cached cached
}

// Identity is the stack's first pod identity, and the demo pod that has it.
type Identity struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	RoleARN        string `json:"roleArn"`
	// Prefixes are where it has objects of its own, by prefixPerPod.
	Prefixes []string `json:"prefixes"`

	Pod    corev1.Pod `json:"-"`
	Bucket string     `json:"-"`
	Prefix string     `json:"-"`
	// Injected is set where the API server gives pods their identity, Pulls where they are pulled with their own role.
	Injected bool `json:"-"`
	Pulls    bool `json:"-"`
}

// cached is what several cases use and nobody changes.
type cached struct {
	session  *aws.Credentials
	token    string
	stranger string
}

// newTarget reads the stack that an environment leads to.
func newTarget(ctx context.Context, env map[string]string, name string) (*Target, error) {
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	state, err := stack.Export(ctx, list, name)
	if err != nil {
		return nil, err
	}
	t := &Target{State: state, Region: env["AWS_REGION"], Images: Images{env[ownImageVariable], env[otherImageVariable]}, admin: aws.Credentials{AccessKeyID: env["AWS_ACCESS_KEY_ID"],
		SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"], SessionToken: env["AWS_SESSION_TOKEN"]}}
	if t.http, err = client(env); err != nil {
		return nil, err
	}
	if t.Cluster, err = kube.Connect(env["KUBECONFIG"]); err != nil {
		return nil, err
	}
	var identities []Identity
	for output, v := range map[string]any{"setup": &t.Setup.Name, "identities": &identities} {
		if found, err := state.Output(output, v); err != nil || !found {
			return nil, errors.Join(err, fmt.Errorf("the stack has no output %s", output))
		}
	}
	if len(identities) == 0 {
		return nil, errors.New("the stack has no identities")
	}
	t.Identity = identities[0]
	if err := t.locate(ctx, &t.Identity); err != nil {
		return nil, err
	}
	for i := range identities[1:] {
		if peer := &identities[1+i]; t.Peer == nil && len(peer.Prefixes) > 0 && peer.RoleARN == t.Identity.RoleARN {
			if err := t.locate(ctx, peer); err != nil {
				return nil, err
			}
			t.Peer = peer
		}
	}
	who, err := sts.NewFromConfig(t.config(t.admin)).GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, err
	}
	t.Account = aws.ToString(who.Account)
	return t, nil
}

// close removes what the cases share.
func (t *Target) close() {
	for _, remove := range slices.Backward(t.made) {
		remove()
	}
}

// client reaches AWS by its own host names, through the environment's proxy where it has one.
func client(env map[string]string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if text := env["HTTPS_PROXY"]; text != "" {
		proxy, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("HTTPS_PROXY: %w", err)
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	if file := env["AWS_CA_BUNDLE"]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %s has no certificate", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, nil
}

// config is an SDK's configuration for a caller. Retries are off, so that each error shows at once.
func (t *Target) config(c aws.Credentials) aws.Config {
	var provider aws.CredentialsProvider = aws.AnonymousCredentials{}
	if c.AccessKeyID != "" {
		provider = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
	}
	client := *t.http
	client.Transport = plainbody.Transport(client.Transport)
	return aws.Config{Region: t.Region, HTTPClient: &client, Credentials: provider, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
}

// locate finds an identity's demo pod, which says in its environment where it writes.
func (t *Target) locate(ctx context.Context, id *Identity) error {
	account, err := t.Cluster.Client.CoreV1().ServiceAccounts(id.Namespace).Get(ctx, id.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return err
	}
	id.Injected = account.Labels["k3s-aws-auth/injection"] == "enabled"
	_, id.Pulls = account.Annotations[pullAnnotation]
	pods, err := t.Cluster.Client.CoreV1().Pods(id.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.serviceAccountName", id.ServiceAccount).String()})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		for _, c := range pod.Spec.Containers {
			env := map[string]string{}
			for _, e := range c.Env {
				env[e.Name] = e.Value
			}
			if key := env["DEMO_KEY"]; c.Name == container && key != "" {
				id.Pod, id.Bucket, id.Prefix = pod, env["DEMO_BUCKET"], path.Dir(key)+"/"
				return nil
			}
		}
	}
	return fmt.Errorf("namespace %s has no demo pod of service account %s: the stack needs demo: true", id.Namespace, id.ServiceAccount)
}

// send makes a request as it is. A nil error means that it succeeded; a refusal is an *answer.
func (t *Target) send(r *http.Request) error {
	_, err := t.receive(r)
	return err
}

// receive is send with what was answered.
func (t *Target) receive(r *http.Request) ([]byte, error) {
	resp, err := t.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return body, nil
	}
	return nil, readAnswer(resp, body)
}

// readAnswer finds code and message in an error of any of AWS's protocols. The code is the HTTP status where there is no
// other.
func readAnswer(resp *http.Response, body []byte) *answer {
	a := &answer{Code: strconv.Itoa(resp.StatusCode), Message: strings.TrimSpace(string(body))}
	var query struct {
		Error struct{ Code, Message string }
	}
	var rest struct{ Code, Message string }
	var js struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	switch {
	case xml.Unmarshal(body, &query) == nil && query.Error.Code != "":
		a.Code, a.Message = query.Error.Code, query.Error.Message
	case xml.Unmarshal(body, &rest) == nil && rest.Code != "":
		a.Code, a.Message = rest.Code, rest.Message
	case json.Unmarshal(body, &js) == nil:
		a.Message = js.Message
		if code := resp.Header.Get("X-Amzn-Errortype"); code != "" {
			js.Type = code
		}
		if js.Type != "" {
			a.Code, _, _ = strings.Cut(js.Type[strings.LastIndexByte(js.Type, '#')+1:], ":")
		}
	}
	return a
}

// get asks for an address without any credential.
func (t *Target) get(ctx context.Context, method, address string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return broken(err)
	}
	return t.send(r)
}

// output reads an output of the stack that must be there.
func (t *Target) output(name string) (string, error) {
	var v string
	found, err := t.State.Output(name, &v)
	if err == nil && !found {
		err = fmt.Errorf("the stack has no output %s", name)
	}
	return v, broken(err)
}

// issuerBucket is the bucket of the cluster's OIDC documents.
func (t *Target) issuerBucket() (string, error) {
	b, err := t.State.Text("aws:s3/bucketV2:BucketV2", "issuer", "bucket")
	return b, broken(err)
}

// bucketHost is a bucket's host at S3.
func (t *Target) bucketHost(bucket string) string {
	return bucket + ".s3." + t.Region + "." + dnsSuffix
}

// objectURL is an object's address at S3.
func (t *Target) objectURL(bucket, key string) string {
	return "https://" + t.bucketHost(bucket) + "/" + key
}

func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
