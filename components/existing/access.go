// Package existing is a Kubernetes cluster that somebody else made: the way into
// it by a kubeconfig, and what its API server says of its tokens.
package existing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Paths of an API server's own OpenID Connect documents.
const (
	discoveryPath = "/.well-known/openid-configuration"
	jwksPath      = "/openid/v1/jwks"
)

// Limits of a question to the API server.
const (
	deadline    = 30 * time.Second
	maxDocument = 16 << 20 // a namespace may have thousands of ServiceAccounts
)

// ErrNoDocument is what a cluster answers that does not show the document.
var ErrNoDocument = errors.New("the cluster does not show it")

// Access is a way into a cluster. Its errors never quote the kubeconfig.
type Access struct {
	// Endpoint is the API server's URL.
	Endpoint string

	headers http.Header // who asks
	client  *http.Client
}

// kubeconfig is what [Parse] reads of a kubeconfig.
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Clusters       []struct {
		Name    string `yaml:"name"`
		Cluster struct {
			Server        string `yaml:"server"`
			CAData        string `yaml:"certificate-authority-data"`
			CAFile        string `yaml:"certificate-authority"`
			TLSServerName string `yaml:"tls-server-name"`
			Insecure      bool   `yaml:"insecure-skip-tls-verify"`
			ProxyURL      string `yaml:"proxy-url"`
			Uncompressed  bool   `yaml:"disable-compression"`
		} `yaml:"cluster"`
	} `yaml:"clusters"`
	Users    []namedUser `yaml:"users"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
			User    string `yaml:"user"`
		} `yaml:"context"`
	} `yaml:"contexts"`
}

// twice finds a name that a list has twice: which one counts would be a matter of
// who reads it.
func (k kubeconfig) twice() (list, name string) {
	seen := map[[2]string]bool{}
	find := func(in, entry string) {
		if seen[[2]string{in, entry}] && list == "" {
			list, name = in, entry
		}
		seen[[2]string{in, entry}] = true
	}
	for _, c := range k.Clusters {
		find("clusters", c.Name)
	}
	for _, u := range k.Users {
		find("users", u.Name)
	}
	for _, c := range k.Contexts {
		find("contexts", c.Name)
	}
	return list, name
}

type namedUser struct {
	Name string `yaml:"name"`
	User user   `yaml:"user"`
}

// user is what a kubeconfig says of who asks, with every field that client-go has
// (k8s.io/client-go/tools/clientcmd/api/v1, AuthInfo).
type user struct {
	CertData         string              `yaml:"client-certificate-data"`
	KeyData          string              `yaml:"client-key-data"`
	CertFile         string              `yaml:"client-certificate"`
	KeyFile          string              `yaml:"client-key"`
	Token            string              `yaml:"token"`
	TokenFile        string              `yaml:"tokenFile"`
	Username         string              `yaml:"username"`
	Password         string              `yaml:"password"`
	Impersonate      string              `yaml:"as"`
	ImpersonateUID   string              `yaml:"as-uid"`
	ImpersonateGroup []string            `yaml:"as-groups"`
	ImpersonateExtra map[string][]string `yaml:"as-user-extra"`
	AuthProvider     map[string]any      `yaml:"auth-provider"`
	Exec             map[string]any      `yaml:"exec"`
}

// selfContained is what to do about a field that names a file of another machine.
const selfContained = "is a file: make the kubeconfig self-contained with `kubectl config view --raw --minify --flatten`"

// credentials returns the client's certificate, if the user has one, and the
// headers of every request: with both, client-go sends both.
func (u user) credentials() (*tls.Certificate, http.Header, error) {
	for _, file := range []struct{ key, value string }{
		{"client-certificate", u.CertFile}, {"client-key", u.KeyFile}, {"tokenFile", u.TokenFile},
	} {
		if file.value != "" {
			return nil, nil, fmt.Errorf("kubeconfig: %s %s", file.key, selfContained)
		}
	}
	switch {
	case u.Exec != nil:
		return nil, nil, errors.New("kubeconfig: its user is a command (exec), which would run with the rights of whoever deploys: give it a token or a certificate")
	case u.AuthProvider != nil:
		return nil, nil, errors.New("kubeconfig: its user is of an auth-provider, which this program does not know: give it a token or a certificate")
	case u.Impersonate == "" && (u.ImpersonateUID != "" || len(u.ImpersonateGroup) > 0 || len(u.ImpersonateExtra) > 0):
		return nil, nil, errors.New("kubeconfig: as-uid, as-groups and as-user-extra need as, without which the API server refuses them")
	case strings.ContainsFunc(u.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, nil, errors.New("kubeconfig: its user's token has white space or other characters that no token has: is it cut, or a block of YAML?")
	case u.Token != "" && (u.Username != "" || u.Password != ""):
		return nil, nil, errors.New("kubeconfig: its user has a token and a password, of which client-go takes one only")
	}
	headers := http.Header{}
	var pair *tls.Certificate
	if u.CertData != "" || u.KeyData != "" {
		cert, certErr := base64.StdEncoding.DecodeString(u.CertData)
		key, keyErr := base64.StdEncoding.DecodeString(u.KeyData)
		loaded, err := tls.X509KeyPair(cert, key)
		if certErr != nil || keyErr != nil || err != nil {
			return nil, nil, errors.New("kubeconfig: client-certificate-data and client-key-data are no pair")
		}
		pair = &loaded
	}
	switch {
	case u.Token != "":
		headers.Set("Authorization", "Bearer "+u.Token)
	case u.Username != "" || u.Password != "":
		headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username+":"+u.Password)))
	case pair == nil:
		return nil, nil, errors.New("kubeconfig: its user has neither client-certificate-data nor a token")
	}
	if u.Impersonate == "" {
		return pair, headers, nil
	}
	// Names of headers as k8s.io/client-go/transport writes them.
	headers.Set("Impersonate-User", u.Impersonate)
	if u.ImpersonateUID != "" {
		headers.Set("Impersonate-Uid", u.ImpersonateUID)
	}
	for _, group := range u.ImpersonateGroup {
		headers.Add("Impersonate-Group", group)
	}
	for key, values := range u.ImpersonateExtra {
		for _, value := range values {
			headers.Add("Impersonate-Extra-"+headerKey(strings.ToLower(key)), value)
		}
	}
	return pair, headers, nil
}

// headerKey escapes what may not stand in a header's name, as headerKeyEscape of
// k8s.io/client-go/transport does: more than what a URL's path escapes.
func headerKey(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		if c != '%' && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("!#$&'*+-.^_`|~", c) >= 0) {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// proxy returns whom to ask for the connection: the kubeconfig's proxy, else what
// the environment says, as client-go does.
func proxy(address string) (func(*http.Request) (*url.URL, error), error) {
	if address == "" {
		return http.ProxyFromEnvironment, nil
	}
	through, err := url.Parse(address)
	if err != nil || through.Host == "" || (through.Scheme != "http" && through.Scheme != "https" && through.Scheme != "socks5") {
		return nil, errors.New("kubeconfig: proxy-url must be a URL with http, https or socks5")
	}
	return http.ProxyURL(through), nil
}

// Parse reads the current context of a kubeconfig that carries its certificates
// or token itself, and honours whatever else client-go reads of it. It fails for one that refers to files or commands, which are
// another machine's, and for one that does not verify the server: the keys that
// are read there decide who gets credentials.
func Parse(text string) (*Access, error) {
	var config kubeconfig
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return nil, errors.New("kubeconfig: is not YAML") // the cause would quote it
	}
	if list, name := config.twice(); list != "" {
		return nil, fmt.Errorf("kubeconfig: %s has %q twice, which client-go refuses", list, name)
	}
	clusterName, userName := "", ""
	for _, c := range config.Contexts {
		if c.Name == config.CurrentContext {
			clusterName, userName = c.Context.Cluster, c.Context.User
		}
	}
	if clusterName == "" {
		return nil, errors.New("kubeconfig: current-context names no context with a cluster")
	}
	access, settings := &Access{}, &tls.Config{MinVersion: tls.VersionTLS12}
	transport := &http.Transport{TLSClientConfig: settings}
	for _, c := range config.Clusters {
		if c.Name != clusterName {
			continue
		}
		server, err := url.Parse(c.Cluster.Server)
		if err != nil || server.Scheme != "https" || server.Host == "" {
			return nil, errors.New("kubeconfig: server must be an https URL")
		}
		if c.Cluster.Insecure {
			return nil, errors.New("kubeconfig: insecure-skip-tls-verify would let anybody in between decide whose tokens are valid")
		}
		if c.Cluster.CAFile != "" {
			return nil, errors.New("kubeconfig: certificate-authority " + selfContained)
		}
		if c.Cluster.CAData != "" {
			pem, err := base64.StdEncoding.DecodeString(c.Cluster.CAData)
			settings.RootCAs = x509.NewCertPool()
			if err != nil || !settings.RootCAs.AppendCertsFromPEM(pem) {
				return nil, errors.New("kubeconfig: certificate-authority-data has no certificate")
			}
		}
		settings.ServerName = c.Cluster.TLSServerName
		transport.DisableCompression = c.Cluster.Uncompressed
		if transport.Proxy, err = proxy(c.Cluster.ProxyURL); err != nil {
			return nil, err
		}
		access.Endpoint = strings.TrimRight(c.Cluster.Server, "/")
	}
	if access.Endpoint == "" {
		return nil, errors.New("kubeconfig: has no cluster for its current context")
	}
	i := slices.IndexFunc(config.Users, func(u namedUser) bool { return u.Name == userName })
	if i < 0 {
		return nil, errors.New("kubeconfig: has no user for its current context")
	}
	pair, headers, err := config.Users[i].User.credentials()
	if err != nil {
		return nil, err
	}
	if pair != nil {
		settings.Certificates = []tls.Certificate{*pair}
	}
	access.headers = headers
	access.client = &http.Client{
		Timeout:   deadline,
		Transport: transport,
		// A redirect could take the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return access, nil
}

// Issuer returns the issuer that the API server writes into tokens: the first of
// its --service-account-issuer. Its error is [ErrNoDocument] where the cluster
// shows no discovery document.
func (a *Access) Issuer(ctx context.Context) (string, error) {
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := a.get(ctx, discoveryPath, &document); err != nil {
		return "", fmt.Errorf("discovery document of the cluster: %w", err)
	}
	if document.Issuer == "" {
		return "", fmt.Errorf("discovery document of the cluster: %w: it names no issuer", ErrNoDocument)
	}
	return document.Issuer, nil
}

// PublicKeys returns the keys that verify the cluster's tokens, as PEM, in the
// order of its JWKS, with the ids that stand there. It fails if there is none, or
// one that IAM does not read.
func (a *Access) PublicKeys(ctx context.Context) ([]string, error) {
	var set keySet
	if err := a.get(ctx, jwksPath, &set); err != nil {
		return nil, fmt.Errorf("JWKS of the cluster: %w", err)
	}
	keys, err := set.publicKeys()
	if err != nil {
		return nil, fmt.Errorf("JWKS of the cluster: %w", err)
	}
	return keys, nil
}

// Do asks the API server, over a connection of its own: behind a load balancer
// any of several may answer. It returns the answer's status and body.
func (a *Access) Do(ctx context.Context, method, path string, body io.Reader) (int, []byte, error) {
	// The API server answers 406 where the type of a document is not asked for: it
	// has one for the discovery document and another for the JWKS
	// (k8s.io/kubernetes/pkg/routes/openidmetadata.go).
	return a.do(ctx, method, path, body, "application/json, application/jwk-set+json")
}

func (a *Access) do(ctx context.Context, method, path string, body io.Reader, accept string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.Endpoint+path, body)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Accept", accept)
	request.Close = true
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range a.headers {
		request.Header[name] = values
	}
	response, err := a.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	return response.StatusCode, answer, nil
}

// get reads a JSON document of the API server.
func (a *Access) get(ctx context.Context, path string, into any) error {
	code, body, err := a.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	switch code {
	case http.StatusOK:
	case http.StatusNotFound:
		return fmt.Errorf("%s%s: %w (%s)", a.Endpoint, path, ErrNoDocument, status)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s%s: %s: the kubeconfig's user may not read it; ClusterRole system:service-account-issuer-discovery allows it",
			a.Endpoint, path, status)
	default:
		return fmt.Errorf("%s%s: %s", a.Endpoint, path, status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s%s: is not the JSON that it should be: %w", a.Endpoint, path, err)
	}
	return nil
}
