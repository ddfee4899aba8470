package kubeclient

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// kubeconfig is what [Parse] reads of a kubeconfig, and [Admin.Kubeconfig] writes.
type kubeconfig struct {
	APIVersion     string         `yaml:"apiVersion"`
	Kind           string         `yaml:"kind"`
	Clusters       []namedCluster `yaml:"clusters"`
	Users          []namedUser    `yaml:"users"`
	Contexts       []namedContext `yaml:"contexts"`
	CurrentContext string         `yaml:"current-context"`
}

type namedCluster struct {
	Name    string `yaml:"name"`
	Cluster struct {
		Server        string `yaml:"server"`
		CAData        string `yaml:"certificate-authority-data,omitempty"`
		CAFile        string `yaml:"certificate-authority,omitempty"`
		TLSServerName string `yaml:"tls-server-name,omitempty"`
		Insecure      bool   `yaml:"insecure-skip-tls-verify,omitempty"`
		ProxyURL      string `yaml:"proxy-url,omitempty"`
		Uncompressed  bool   `yaml:"disable-compression,omitempty"`
	} `yaml:"cluster"`
}

type namedContext struct {
	Name    string `yaml:"name"`
	Context struct {
		Cluster string `yaml:"cluster"`
		User    string `yaml:"user"`
	} `yaml:"context"`
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
	CertData         string              `yaml:"client-certificate-data,omitempty"`
	KeyData          string              `yaml:"client-key-data,omitempty"`
	CertFile         string              `yaml:"client-certificate,omitempty"`
	KeyFile          string              `yaml:"client-key,omitempty"`
	Token            string              `yaml:"token,omitempty"`
	TokenFile        string              `yaml:"tokenFile,omitempty"`
	Username         string              `yaml:"username,omitempty"`
	Password         string              `yaml:"password,omitempty"`
	Impersonate      string              `yaml:"as,omitempty"`
	ImpersonateUID   string              `yaml:"as-uid,omitempty"`
	ImpersonateGroup []string            `yaml:"as-groups,omitempty"`
	ImpersonateExtra map[string][]string `yaml:"as-user-extra,omitempty"`
	AuthProvider     map[string]any      `yaml:"auth-provider,omitempty"`
	Exec             map[string]any      `yaml:"exec,omitempty"`
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
		return nil, nil, errors.New("kubeconfig: its user has an auth-provider, which this program does not know: give it a token or a certificate")
	case u.Impersonate == "" && (u.ImpersonateUID != "" || len(u.ImpersonateGroup) > 0 || len(u.ImpersonateExtra) > 0):
		return nil, nil, errors.New("kubeconfig: as-uid, as-groups and as-user-extra need as, without which the API server refuses them")
	case strings.ContainsFunc(u.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, nil, errors.New("kubeconfig: its user's token has white space or other characters that no token has: was it cut off, or is it a block of YAML?")
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
			return nil, nil, errors.New("kubeconfig: client-certificate-data and client-key-data do not belong together")
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
	case time.Now().After(pair.Leaf.NotAfter):
		return nil, nil, fmt.Errorf("kubeconfig: its user's certificate ended on %s: make a new kubeconfig", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
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
// or token itself, and honours whatever else client-go reads of it. It fails for one that
// refers to files or commands, which are another machine's, and for one that does
// not verify the server: the keys that are read there decide who gets credentials.
// No error quotes the kubeconfig.
func Parse(text string) (*Client, error) {
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
	client, settings := &Client{}, &tls.Config{MinVersion: tls.VersionTLS12}
	transport := &http.Transport{TLSClientConfig: settings}
	for _, c := range config.Clusters {
		if c.Name != clusterName {
			continue
		}
		server, err := url.Parse(c.Cluster.Server)
		if err != nil || server.Scheme != "https" || server.Host == "" {
			return nil, errors.New("kubeconfig: server must be an https URL")
		}
		// Whoever reads the stack's outputs reads the URL, and paths are put behind it.
		if server.User != nil || strings.ContainsAny(c.Cluster.Server, "?#") {
			return nil, errors.New("kubeconfig: server must be a URL without user, query and fragment")
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
		client.Endpoint = strings.TrimRight(c.Cluster.Server, "/")
	}
	if client.Endpoint == "" {
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
	client.headers = headers
	client.http = &http.Client{
		Timeout:   deadline,
		Transport: transport,
		// A redirect could take the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client, nil
}

// Admin is an administrator's way into a cluster, by a client certificate.
type Admin struct {
	// ClusterName is the name of cluster, user and context, so that several
	// kubeconfigs merge into one file.
	ClusterName string
	// Endpoint is https://host:port.
	Endpoint string
	// CAPem verifies the server; CertPem and KeyPem are the client's.
	CAPem, CertPem, KeyPem string
}

// Kubeconfig renders the kubeconfig, in which everything is.
func (a Admin) Kubeconfig() (string, error) {
	encode := func(pem string) string { return base64.StdEncoding.EncodeToString([]byte(pem)) }
	cluster, user, context := namedCluster{Name: a.ClusterName}, namedUser{Name: a.ClusterName}, namedContext{Name: a.ClusterName}
	cluster.Cluster.Server = a.Endpoint
	cluster.Cluster.CAData = encode(a.CAPem)
	user.User.CertData = encode(a.CertPem)
	user.User.KeyData = encode(a.KeyPem)
	context.Context.Cluster, context.Context.User = a.ClusterName, a.ClusterName
	body, err := yaml.Marshal(kubeconfig{
		APIVersion:     "v1",
		Kind:           "Config",
		Clusters:       []namedCluster{cluster},
		Users:          []namedUser{user},
		Contexts:       []namedContext{context},
		CurrentContext: a.ClusterName,
	})
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	return string(body), nil
}
