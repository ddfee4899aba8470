package gate

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

func init() {
	registerIAM(providerResource, map[string]func(*iamStore, url.Values) (any, error){
		"CreateOpenIDConnectProvider":             createProvider,
		"GetOpenIDConnectProvider":                getProvider,
		"DeleteOpenIDConnectProvider":             deleteProvider,
		"AddClientIDToOpenIDConnectProvider":      addClientID,
		"RemoveClientIDFromOpenIDConnectProvider": removeClientID,
		"UpdateOpenIDConnectProviderThumbprint":   updateThumbprint,
		"TagOpenIDConnectProvider":                tagProvider,
		"UntagOpenIDConnectProvider":              untagProvider,
		"ListOpenIDConnectProviderTags":           listProviderTags,
	})
	registerIAM(anyResource, map[string]func(*iamStore, url.Values) (any, error){"ListOpenIDConnectProviders": listProviders})
}

var thumbprintPattern = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// checkIssuer reads the URL of a provider: https, a host without port, no query, no fragment, at most 255 characters.
// It returns host and path.
func checkIssuer(text string) (string, error) {
	if text == "" || len(text) > 255 {
		return "", validationError("1 validation error detected: Value '%s' at 'url' failed to satisfy constraint: Member must have length between 1 and 255", text)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", validationError("Invalid Open ID Connect Provider URL")
	}
	return strings.TrimPrefix(text, "https://"), nil
}

func checkThumbprints(list []string) error {
	if len(list) > 5 {
		return limitExceeded("Thumbprint list must contain fewer than 5 entries.")
	}
	for _, t := range list {
		if !thumbprintPattern.MatchString(t) {
			return invalidInput("Thumbprint %s is not 40 hexadecimal characters.", t)
		}
	}
	return nil
}

func checkClientIDs(list []string) error {
	if len(list) > 100 {
		return limitExceeded("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	}
	for _, id := range list {
		if id == "" || len(id) > 255 {
			return validationError("1 validation error detected: Value at 'clientIDList' failed to satisfy constraint: Member must have length between 1 and 255")
		}
	}
	return nil
}

// createProvider makes a provider. Without thumbprints IAM connects to the URL and keeps the thumbprint of the topmost
// certificate that it is shown; where it cannot connect, the call fails (IAM API reference,
// CreateOpenIDConnectProvider).
func createProvider(s *iamStore, f url.Values) (any, error) {
	issuer, err := checkIssuer(f.Get("Url"))
	if err != nil {
		return nil, err
	}
	clients, thumbprints, tags := formList(f, "ClientIDList"), formList(f, "ThumbprintList"), formTags(f)
	if err := checkClientIDs(clients); err != nil {
		return nil, err
	}
	if err := checkThumbprints(thumbprints); err != nil {
		return nil, err
	}
	if err := checkTags(nil, tags); err != nil {
		return nil, err
	}
	if err := s.uniqueIssuer(issuer); err != nil {
		return nil, err
	}
	if len(thumbprints) == 0 { // outside of the lock: this goes through the gate's own TLS
		thumbprint, err := s.g.fetchThumbprint(issuer)
		if err != nil {
			s.g.logf("iam: connecting to %s: %v", issuer, err)
			return nil, Errorf(http.StatusBadRequest, "OpenIdIdpCommunicationError", "Unable to connect to the OpenID Connect identity provider URL https://%s", issuer)
		}
		thumbprints = []string{thumbprint}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := s.arn("oidc-provider", "/", issuer)
	if _, ok := s.providers[arn]; ok {
		return nil, alreadyExists("Provider with url https://%s already exists.", issuer)
	}
	p := &oidcProvider{url: issuer, arn: arn, created: s.g.Now(), clientIDs: clients}
	for _, t := range thumbprints {
		p.thumbprints = append(p.thumbprints, strings.ToLower(t))
	}
	p.tags.set(tags)
	s.providers[arn] = p
	return struct {
		ARN  string `xml:"OpenIDConnectProviderArn"`
		Tags []tag  `xml:"Tags>member"`
	}{arn, tags}, nil
}

func (s *iamStore) uniqueIssuer(issuer string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.providers[s.arn("oidc-provider", "/", issuer)]; ok {
		return alreadyExists("Provider with url https://%s already exists.", issuer)
	}
	return nil
}

func getProvider(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.provider(f.Get("OpenIDConnectProviderArn"))
	if err != nil {
		return nil, err
	}
	return struct {
		URL         string   `xml:"Url"`
		Clients     []string `xml:"ClientIDList>member"`
		Thumbprints []string `xml:"ThumbprintList>member"`
		Created     string   `xml:"CreateDate"`
		Tags        []tag    `xml:"Tags>member"`
	}{p.url, slices.Clone(p.clientIDs), slices.Clone(p.thumbprints), stamp(p.created), p.tags.clone()}, nil
}

func listProviders(s *iamStore, _ url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	type entry struct {
		ARN string `xml:"Arn"`
	}
	out := struct {
		List []entry `xml:"OpenIDConnectProviderList>member"`
	}{}
	for _, arn := range sortedKeys(s.providers) {
		out.List = append(out.List, entry{arn})
	}
	return out, nil
}

// deleteProvider is idempotent in AWS: a provider that is not there is not an error.
func deleteProvider(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.providers, f.Get("OpenIDConnectProviderArn"))
	return nil, nil
}

// changeProvider runs a change under the lock.
func changeProvider(s *iamStore, f url.Values, change func(*oidcProvider) error) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.provider(f.Get("OpenIDConnectProviderArn"))
	if err != nil {
		return nil, err
	}
	return nil, change(p)
}

func addClientID(s *iamStore, f url.Values) (any, error) {
	return changeProvider(s, f, func(p *oidcProvider) error {
		id := f.Get("ClientID")
		if slices.Contains(p.clientIDs, id) {
			return nil
		}
		all := append(slices.Clone(p.clientIDs), id)
		if err := checkClientIDs(all); err != nil {
			return err
		}
		p.clientIDs = all
		return nil
	})
}

func removeClientID(s *iamStore, f url.Values) (any, error) {
	return changeProvider(s, f, func(p *oidcProvider) error {
		p.clientIDs = slices.DeleteFunc(slices.Clone(p.clientIDs), func(id string) bool { return id == f.Get("ClientID") })
		return nil
	})
}

func updateThumbprint(s *iamStore, f url.Values) (any, error) {
	list := formList(f, "ThumbprintList")
	if len(list) == 0 {
		return nil, invalidInput("Thumbprint list must contain at least one entry.")
	}
	if err := checkThumbprints(list); err != nil {
		return nil, err
	}
	return changeProvider(s, f, func(p *oidcProvider) error {
		p.thumbprints = nil
		for _, t := range list {
			p.thumbprints = append(p.thumbprints, strings.ToLower(t))
		}
		return nil
	})
}

func tagProvider(s *iamStore, f url.Values) (any, error) {
	return changeProvider(s, f, func(p *oidcProvider) error { return tagWith(&p.tags, formTags(f)) })
}

func untagProvider(s *iamStore, f url.Values) (any, error) {
	return changeProvider(s, f, func(p *oidcProvider) error {
		p.tags.remove(formList(f, "TagKeys"))
		return nil
	})
}

func listProviderTags(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.provider(f.Get("OpenIDConnectProviderArn"))
	if err != nil {
		return nil, err
	}
	items, pg, err := paged(f, p.tags.clone())
	return tagList{items, pg}, err
}

// providerView is a copy of what a web identity is checked against.
type providerView struct {
	arn, url    string
	clientIDs   []string
	thumbprints []string
}

// providerByIssuer finds the provider whose URL equals an issuer to the byte.
func (s *iamStore) providerByIssuer(issuer string) (providerView, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	host, ok := strings.CutPrefix(issuer, "https://")
	if !ok {
		return providerView{}, false
	}
	for _, p := range s.providers {
		if p.url == host {
			return providerView{p.arn, p.url, slices.Clone(p.clientIDs), slices.Clone(p.thumbprints)}, true
		}
	}
	return providerView{}, false
}
