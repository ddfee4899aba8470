package ecr

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
)

// The registry as clients of Docker's protocol see it
// (https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html).

var (
	registryHost  = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.` + regexp.QuoteMeta(gate.DNSSuffix) + `$`)
	layersHost    = regexp.MustCompile(`^prod-[a-z0-9-]+-starport-layer-bucket\.s3\.[a-z0-9-]+\.` + regexp.QuoteMeta(gate.DNSSuffix) + `$`)
	manifestsPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	blobsPath     = regexp.MustCompile(`^/v2/(.+)/blobs/([^/]+)$`)
)

// layerHost is the bucket of ECR's own that layers come from.
func layerHost(region string) string {
	return "prod-" + region + "-starport-layer-bucket.s3." + region + "." + gate.DNSSuffix
}

// HandlesHost claims the registries and their bucket.
func (s *Service) HandlesHost(host string) bool {
	return registryHost.MatchString(host) || layersHost.MatchString(host)
}

// ServeHost answers a pull.
func (s *Service) ServeHost(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	if layersHost.MatchString(host) {
		s.serveLayer(w, r)
		return
	}
	place := registryHost.FindStringSubmatch(host)
	if place[1] != s.g.AccountID() {
		fail(w, http.StatusNotImplemented, "UNSUPPORTED", "the lab has no registry of account "+place[1])
		return
	}
	who, ok := s.bearer(r, place[2])
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="https://`+host+`/",service="ecr.`+gate.DNSSuffix+`"`)
		http.Error(w, "Not Authorized", http.StatusUnauthorized)
		return
	}
	manifest, layer := manifestsPath.FindStringSubmatch(r.URL.Path), blobsPath.FindStringSubmatch(r.URL.Path)
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		fail(w, http.StatusNotImplemented, "UNSUPPORTED", "the lab's registry takes no "+r.Method)
	case r.URL.Path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case manifest != nil:
		s.serveManifest(w, r, who, manifest[1], manifest[2])
	case layer != nil:
		var out struct {
			URL string `json:"downloadUrl"`
		}
		if s.call(w, r, who, "GetDownloadUrlForLayer", map[string]any{"repositoryName": layer[1], "layerDigest": layer[2]}, &out) {
			http.Redirect(w, r, out.URL, http.StatusTemporaryRedirect)
		}
	default:
		http.NotFound(w, r)
	}
}

// bearer is whose token a request has, of this region and not expired.
func (s *Service) bearer(r *http.Request, region string) (token, bool) {
	user, password, ok := r.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tokens[password]
	return t, ok && user == "AWS" && known && t.region == region && s.g.Now().Before(t.expires)
}

func (s *Service) serveManifest(w http.ResponseWriter, r *http.Request, who token, name, reference string) {
	id := imageID{Tag: reference}
	if strings.HasPrefix(reference, "sha256:") {
		id = imageID{Digest: reference}
	}
	var out struct {
		Images []struct {
			ID        imageID `json:"imageId"`
			Manifest  string  `json:"imageManifest"`
			MediaType string  `json:"imageManifestMediaType"`
		} `json:"images"`
	}
	if !s.call(w, r, who, "BatchGetImage", map[string]any{"repositoryName": name, "imageIds": []imageID{id}}, &out) {
		return
	}
	if len(out.Images) == 0 {
		fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "Requested image not found")
		return
	}
	image := out.Images[0]
	w.Header().Set("Content-Type", image.MediaType)
	w.Header().Set("Docker-Content-Digest", image.ID.Digest)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(image.Manifest))
	}
}

// call makes the API's call that a request of the registry is, in the name of the token's principal, and answers where
// it fails.
func (s *Service) call(w http.ResponseWriter, r *http.Request, who token, action string, in, out any) bool {
	body, err := json.Marshal(in)
	if err != nil {
		panic("ecr: " + err.Error()) // text alone
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "https://api.ecr."+who.region+"."+gate.DNSSuffix+"/", bytes.NewReader(body))
	if err != nil {
		panic("ecr: " + err.Error()) // the host is the package's own
	}
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921."+action)
	req.Header.Set("User-Agent", r.UserAgent())
	call := &gate.Call{Service: "ecr", Region: who.region, Principal: who.principal, R: req, Body: body, Source: gate.SourceOf(r)}
	answer := &answer{header: http.Header{}}
	s.g.Dispatch(answer, call)
	if e := call.Failure(); e != nil {
		status, code := http.StatusForbidden, "DENIED"
		switch e.Code {
		case "RepositoryNotFoundException":
			status, code = http.StatusNotFound, "NAME_UNKNOWN"
		case "LayersNotFoundException":
			status, code = http.StatusNotFound, "BLOB_UNKNOWN"
		case "AccessDeniedException":
		default:
			status, code = http.StatusInternalServerError, "UNKNOWN"
		}
		fail(w, status, code, e.Message)
		return false
	}
	if err := json.Unmarshal(answer.body.Bytes(), out); err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return false
	}
	return true
}

func (s *Service) serveLayer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	d, ok := s.downloads[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if !ok || s.g.Now().After(d.expires) {
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(d.layer)
}

// fail answers with an error of Docker's protocol.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}

// answer keeps an answer of the gate.
type answer struct {
	header http.Header
	body   bytes.Buffer
}

// Header returns the answer's headers.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader forgets the status: the call tells of failures.
func (a *answer) WriteHeader(int) {}

// Write keeps a part of the body.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
