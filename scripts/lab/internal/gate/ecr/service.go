// Package ecr is Amazon ECR's private registry: repositories, images that are pushed by its API, the token of a registry,
// and the registry itself as clients of Docker's protocol pull from it. Whoever pulls is the principal that asked for the
// token, and each request needs that principal's permission as BatchGetImage or GetDownloadUrlForLayer on the repository,
// as CloudTrail shows pulls. Policies of repositories and registries, pushes by Docker's protocol, pull-through caches,
// lists and deletions answer NotImplemented.
package ecr

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
)

// tokenLife is how long the token of a registry is good
// (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html).
const tokenLife = 12 * time.Hour

// Service implements gate.Service, gate.HostHandler and gate.Inventory. Make it with New.
type Service struct {
	g *gate.Gate

	mu           sync.Mutex
	repositories map[string]*repository // by ARN
	tokens       map[string]token       // by password
	uploads      map[string]*bytes.Buffer
	downloads    map[string]download // by the last part of a layer's URL
}

type repository struct {
	arn, name string
	manifests map[string][]byte // by digest
	tags      map[string]string // to digests
	layers    map[string][]byte // by digest
}

// token is who may pull with it, and where: permissions are looked up at each pull.
type token struct {
	principal *gate.Principal
	region    string
	expires   time.Time
}

type download struct {
	layer   []byte
	expires time.Time
}

// New makes the service for a gate's account.
func New(g *gate.Gate) *Service {
	return &Service{g: g, repositories: map[string]*repository{}, tokens: map[string]token{}, uploads: map[string]*bytes.Buffer{}, downloads: map[string]download{}}
}

// Name is the signing name.
func (s *Service) Name() string { return "ecr" }

// Protocol is JSON 1.1.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolJSON11 }

// input has all members of all actions that are modelled.
type input struct {
	RegistryID      string            `json:"registryId"`
	RepositoryName  string            `json:"repositoryName"`
	RepositoryNames []string          `json:"repositoryNames"`
	ImageIDs        []imageID         `json:"imageIds"`
	MediaTypes      []string          `json:"acceptedMediaTypes"`
	ImageManifest   string            `json:"imageManifest"`
	MediaType       string            `json:"imageManifestMediaType"`
	ImageTag        string            `json:"imageTag"`
	ImageDigest     string            `json:"imageDigest"`
	LayerDigest     string            `json:"layerDigest"`
	LayerDigests    []string          `json:"layerDigests"`
	UploadID        string            `json:"uploadId"`
	PartFirstByte   int64             `json:"partFirstByte"`
	PartLastByte    int64             `json:"partLastByte"`
	LayerPartBlob   []byte            `json:"layerPartBlob"`
	Tags            []json.RawMessage `json:"tags"`
}

type imageID struct {
	Tag    string `json:"imageTag,omitempty"`
	Digest string `json:"imageDigest,omitempty"`
}

var actions = map[string]func(*Service, *gate.Call, *input) (any, error){
	"GetAuthorizationToken":  (*Service).authorize,
	"CreateRepository":       (*Service).create,
	"DescribeRepositories":   (*Service).describe,
	"InitiateLayerUpload":    (*Service).initiate,
	"UploadLayerPart":        (*Service).upload,
	"CompleteLayerUpload":    (*Service).complete,
	"PutImage":               (*Service).put,
	"BatchGetImage":          (*Service).get,
	"GetDownloadUrlForLayer": (*Service).locate,
}

// Requirements asks for the action on the repository. GetAuthorizationToken and a list of all repositories know no
// resource.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	if _, ok := actions[c.Action]; !ok {
		return nil, gate.NotImplemented("ECR action " + c.Action)
	}
	in := &input{}
	d := json.NewDecoder(bytes.NewReader(c.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, gate.NotImplemented("member " + field + " of ECR action " + c.Action)
		}
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	c.Data = in
	switch {
	case in.RegistryID != "" && in.RegistryID != s.g.AccountID():
		return nil, gate.NotImplemented("ECR's registry of another account")
	case len(in.Tags) > 0:
		return nil, gate.NotImplemented("tags of a repository")
	}
	var out []policy.Request
	for _, name := range append(in.RepositoryNames, in.RepositoryName) {
		if name != "" {
			out = append(out, policy.Request{Action: "ecr:" + c.Action, Resource: s.arn(c.Region, name)})
		}
	}
	if len(out) == 0 {
		out = []policy.Request{{Action: "ecr:" + c.Action, Resource: "*"}}
	}
	return out, nil
}

// Serve runs the action.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	s.mu.Lock()
	out, err := actions[c.Action](s, c, c.Data.(*input))
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	gate.WriteJSON(w, c, http.StatusOK, out)
}

// Inventory lists the repositories.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for arn := range s.repositories {
		out["ecr repository"] = append(out["ecr repository"], arn)
	}
	sort.Strings(out["ecr repository"])
	return out
}

func (s *Service) arn(region, name string) string { return s.g.ARN("ecr", region, "repository/"+name) }

// host is the registry's, of a region.
func (s *Service) host(region string) string {
	return s.g.AccountID() + ".dkr.ecr." + region + "." + gate.DNSSuffix
}

func (s *Service) find(c *gate.Call, in *input) (*repository, error) {
	r, ok := s.repositories[s.arn(c.Region, in.RepositoryName)]
	if !ok {
		return nil, gate.Errorf(http.StatusBadRequest, "RepositoryNotFoundException",
			"The repository with name '%s' does not exist in the registry with id '%s'", in.RepositoryName, s.g.AccountID())
	}
	return r, nil
}

// authorize makes a token: of the registry, for the principal that asks.
func (s *Service) authorize(c *gate.Call, _ *input) (any, error) {
	password := random()
	expires := s.g.Now().Add(tokenLife)
	s.tokens[password] = token{principal: c.Principal, region: c.Region, expires: expires}
	return map[string]any{"authorizationData": []any{map[string]any{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + password)),
		"expiresAt":          float64(expires.Unix()),
		"proxyEndpoint":      "https://" + s.host(c.Region),
	}}}, nil
}

var namePattern = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func (s *Service) create(c *gate.Call, in *input) (any, error) {
	if len(in.RepositoryName) < 2 || len(in.RepositoryName) > 256 || !namePattern.MatchString(in.RepositoryName) {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: "+
			"'must satisfy regular expression '%s''", namePattern)
	}
	r := &repository{arn: s.arn(c.Region, in.RepositoryName), name: in.RepositoryName,
		manifests: map[string][]byte{}, tags: map[string]string{}, layers: map[string][]byte{}}
	if _, exists := s.repositories[r.arn]; exists {
		return nil, gate.Errorf(http.StatusBadRequest, "RepositoryAlreadyExistsException",
			"The repository with name '%s' already exists in the registry with id '%s'", r.name, s.g.AccountID())
	}
	s.repositories[r.arn] = r
	return map[string]any{"repository": s.view(c.Region, r)}, nil
}

func (s *Service) view(region string, r *repository) map[string]any {
	return map[string]any{"repositoryArn": r.arn, "repositoryName": r.name, "registryId": s.g.AccountID(), "repositoryUri": s.host(region) + "/" + r.name}
}

func (s *Service) describe(c *gate.Call, in *input) (any, error) {
	var list []any
	if len(in.RepositoryNames) == 0 {
		for arn, r := range s.repositories {
			if strings.HasPrefix(arn, s.arn(c.Region, "")) {
				list = append(list, s.view(c.Region, r))
			}
		}
	}
	for _, name := range in.RepositoryNames {
		r, err := s.find(c, &input{RepositoryName: name})
		if err != nil {
			return nil, err
		}
		list = append(list, s.view(c.Region, r))
	}
	return map[string]any{"repositories": list}, nil
}

func (s *Service) initiate(c *gate.Call, in *input) (any, error) {
	if _, err := s.find(c, in); err != nil {
		return nil, err
	}
	id := random()
	s.uploads[id] = &bytes.Buffer{}
	return map[string]any{"uploadId": id, "partSize": 10 << 20}, nil
}

func (s *Service) upload(_ *gate.Call, in *input) (any, error) {
	b, ok := s.uploads[in.UploadID]
	if !ok {
		return nil, gate.Errorf(http.StatusBadRequest, "UploadNotFoundException", "The upload with id '%s' does not exist", in.UploadID)
	}
	if in.PartFirstByte != int64(b.Len()) || in.PartLastByte-in.PartFirstByte+1 != int64(len(in.LayerPartBlob)) {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidLayerPartException", "The layer part is not the next one")
	}
	b.Write(in.LayerPartBlob)
	return map[string]any{"uploadId": in.UploadID, "lastByteReceived": in.PartLastByte}, nil
}

func (s *Service) complete(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in)
	if err != nil {
		return nil, err
	}
	b, ok := s.uploads[in.UploadID]
	if !ok {
		return nil, gate.Errorf(http.StatusBadRequest, "UploadNotFoundException", "The upload with id '%s' does not exist", in.UploadID)
	}
	digest := digestOf(b.Bytes())
	if len(in.LayerDigests) != 1 || in.LayerDigests[0] != digest {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidLayerException", "Layer digest does not match the layer")
	}
	delete(s.uploads, in.UploadID)
	r.layers[digest] = b.Bytes()
	return map[string]any{"layerDigest": digest, "repositoryName": r.name}, nil
}

// manifest is what is read of an image's manifest.
type manifest struct {
	MediaType string `json:"mediaType"`
	Config    blob   `json:"config"`
	Layers    []blob `json:"layers"`
}

type blob struct {
	Digest string `json:"digest"`
}

func (s *Service) put(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal([]byte(in.ImageManifest), &m); err != nil || m.MediaType == "" {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterException", "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")
	}
	for _, b := range append(m.Layers, m.Config) {
		if _, ok := r.layers[b.Digest]; !ok {
			return nil, gate.Errorf(http.StatusBadRequest, "LayersNotFoundException", "Layers with digests '%s' required for pushing image do not exist", b.Digest)
		}
	}
	digest := digestOf([]byte(in.ImageManifest))
	r.manifests[digest] = []byte(in.ImageManifest)
	if in.ImageTag != "" {
		r.tags[in.ImageTag] = digest
	}
	return map[string]any{"image": map[string]any{"repositoryName": r.name, "imageId": imageID{in.ImageTag, digest}}}, nil
}

func (s *Service) get(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in)
	if err != nil {
		return nil, err
	}
	images, failures := []any{}, []any{}
	for _, id := range in.ImageIDs {
		digest := id.Digest
		if digest == "" {
			digest = r.tags[id.Tag]
		}
		text, ok := r.manifests[digest]
		if !ok {
			failures = append(failures, map[string]any{"imageId": id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"})
			continue
		}
		var m manifest
		_ = json.Unmarshal(text, &m) // put has read it
		images = append(images, map[string]any{"repositoryName": r.name, "imageId": imageID{id.Tag, digest}, "imageManifest": string(text), "imageManifestMediaType": m.MediaType})
	}
	return map[string]any{"images": images, "failures": failures}, nil
}

func (s *Service) locate(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in)
	if err != nil {
		return nil, err
	}
	layer, ok := r.layers[in.LayerDigest]
	if !ok {
		return nil, gate.Errorf(http.StatusBadRequest, "LayersNotFoundException", "The layer with digest '%s' does not exist", in.LayerDigest)
	}
	key := random()
	s.downloads[key] = download{layer: layer, expires: s.g.Now().Add(time.Hour)}
	return map[string]any{"downloadUrl": "https://" + layerHost(c.Region) + "/" + key, "layerDigest": in.LayerDigest}, nil
}

func random() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
