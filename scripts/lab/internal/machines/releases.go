package machines

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
)

// releases serves github.com/k3s-io/k3s's release downloads to machines: the lab's stand-in for the k3s binary, one for
// each version, and its digests. It also serves the credential provider of ECR, where its upstream does.
type releases struct {
	gate     *gate.Gate
	binary   []byte
	provider func() (string, error) // the program's path
}

const (
	releasesHost  = "github.com"
	artifactsHost = "artifacts.k8s.io"
)

func newReleases(g *gate.Gate, path string, provider func() (string, error)) (*releases, error) {
	binary, err := os.ReadFile(path)
	return &releases{gate: g, binary: binary, provider: provider}, err
}

func isReleasesHost(name string) bool { return name == releasesHost || name == artifactsHost }

// Name, Protocol, Requirements and Serve make it a service of the gate; it has a site and no API.
func (*releases) Name() string            { return "k3s-releases" }
func (*releases) Protocol() gate.Protocol { return gate.ProtocolRESTJSON }
func (*releases) Requirements(*gate.Call) ([]policy.Request, error) {
	return nil, gate.NotImplemented("an API of the release server")
}

// Serve answers nothing: Requirements refuses every call.
func (*releases) Serve(http.ResponseWriter, *gate.Call) {}

// HandlesHost claims the release servers' names.
func (*releases) HandlesHost(host string) bool { return isReleasesHost(host) }

// TLSConfig brings a certificate for a release server's name.
func (r *releases) TLSConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !isReleasesHost(hello.ServerName) {
		return nil, nil
	}
	certificate, err := r.gate.Mint(hello.ServerName)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}, nil
}

// LookupDNS answers for the release servers' names.
func (*releases) LookupDNS(name string) []gate.DNSRecord {
	if !isReleasesHost(name) {
		return nil
	}
	return []gate.DNSRecord{{Name: name, Type: "A", Value: "127.0.0.1"}}
}

var releasePath = regexp.MustCompile(`^/k3s-io/k3s/releases/download/([^/]+)/(k3s|k3s-arm64|sha256sum-(?:amd64|arm64)\.txt)$`)

// ProviderURL is where the lab's machines find the credential provider.
const ProviderURL = "https://" + artifactsHost + providerPath

const providerPath = "/binaries/cloud-provider-aws/v1.35.3/linux/amd64/ecr-credential-provider-linux-amd64"

// ServeHost serves a file of a release.
func (r *releases) ServeHost(w http.ResponseWriter, req *http.Request) {
	if host, _, _ := strings.Cut(req.Host, ":"); host == artifactsHost {
		if req.URL.Path != providerPath || r.provider == nil {
			http.NotFound(w, req)
			return
		}
		path, err := r.provider()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.ServeFile(w, req, path)
		return
	}
	m := releasePath.FindStringSubmatch(req.URL.EscapedPath())
	if m == nil {
		http.NotFound(w, req)
		return
	}
	version, err := url.PathUnescape(m[1])
	// GitHub takes the + of a version only in its escaped form.
	if err != nil || strings.Contains(m[1], "+") {
		http.NotFound(w, req)
		return
	}
	binary := r.release(version)
	if strings.HasPrefix(m[2], "sha256sum") {
		sum := sha256.Sum256(binary)
		name := "k3s"
		if strings.Contains(m[2], "arm64") {
			name = "k3s-arm64"
		}
		_, _ = fmt.Fprintf(w, "%s  %s\n", hex.EncodeToString(sum[:]), name)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(binary)
}

// release is the binary of a version: the stand-in, which finds its version at its own end.
func (r *releases) release(version string) []byte {
	return append(append([]byte(nil), r.binary...), versionMark+version+"\n"...)
}

// versionMark stands before the version at the end of a release's binary; see command k3s.
const versionMark = "\nK3S_VERSION="

// releaseOf reads which release a machine's binary is.
func releaseOf(path string) (string, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	at := bytes.LastIndex(binary, []byte(versionMark))
	if at < 0 {
		return "", fmt.Errorf("%s is not a K3s of the lab's release server", path)
	}
	return strings.TrimSpace(string(binary[at+len(versionMark):])), nil
}
