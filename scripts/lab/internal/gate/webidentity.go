package gate

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"k3s-aws-auth/scripts/internal/policy"
)

// tokenAlgorithms are the signature algorithms that STS accepts.
var tokenAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// maxToken is the greatest length of a web identity token in characters.
const maxToken = 20000

// maxTokenSkew is how far in the future a token's nbf may be. STS's own allowance is not documented.
const maxTokenSkew = 5 * time.Minute

func invalidIdentity(message string) *Error {
	return &Error{Code: "InvalidIdentityToken", Message: message, Status: http.StatusBadRequest}
}

const (
	noVerificationKey = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"
	wrongThumbprint   = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
)

// tokenClaims are the claims that STS reads.
type tokenClaims struct {
	jwt.Claims
	AuthorizedParty string       `json:"azp"`
	Methods         jwt.Audience `json:"amr"`
	Tags            *tokenTags   `json:"https://aws.amazon.com/tags"`
	SourceIdentity  string       `json:"https://aws.amazon.com/source_identity"`
}

type tokenTags struct {
	Principal  map[string]jwt.Audience `json:"principal_tags"`
	Transitive []string                `json:"transitive_tag_keys"`
}

// assumeRoleWithWebIdentity verifies the token and decides by the role's trust policy. The order of checks is: form of
// the request and token, provider of the issuer, audience, expiry, signature (by the keys that the issuer publishes),
// trust, duration.
func (s *stsService) assumeRoleWithWebIdentity(c *Call) (any, error) {
	f := c.Form
	in, err := s.readInput(f)
	if err != nil {
		return nil, err
	}
	if f.Get("ProviderId") != "" {
		return nil, NotImplemented("ProviderId (OAuth 2.0 access tokens)")
	}
	text := f.Get("WebIdentityToken")
	switch {
	case text == "":
		return nil, validationError("1 validation error detected: Value null at 'webIdentityToken' failed to satisfy constraint: Member must not be null")
	case len(text) > maxToken:
		return nil, validationError("1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length less than or equal to %d", maxToken)
	}
	claims, provider, err := s.verifyToken(c, text)
	if err != nil {
		return nil, err
	}
	audience := []string(claims.Audience)
	if claims.AuthorizedParty != "" {
		audience = []string{claims.AuthorizedParty}
	}
	context := map[string][]string{
		"aws:FederatedProvider": {provider.arn},
		"sts:RoleSessionName":   {in.name},
		provider.url + ":aud":   audience,
		provider.url + ":sub":   {claims.Subject},
	}
	if claims.AuthorizedParty != "" {
		context[provider.url+":oaud"] = claims.Audience
	}
	if len(claims.Methods) > 0 {
		context[provider.url+":amr"] = claims.Methods
	}
	tags := claims.sessionTags()
	if err := tags.check(); err != nil {
		return nil, err
	}
	actions := []string{"sts:AssumeRoleWithWebIdentity"}
	if len(tags.tags) > 0 {
		tags.context(context)
		actions = append(actions, "sts:TagSession")
	}
	if claims.SourceIdentity != "" {
		if err := checkSessionName("sourceIdentity", claims.SourceIdentity); err != nil {
			return nil, err
		}
		context["sts:SourceIdentity"] = []string{claims.SourceIdentity}
		actions = append(actions, "sts:SetSourceIdentity")
	}
	role, exists := s.g.iam.roleByARN(in.roleARN)
	for _, action := range actions {
		req := s.g.request(c, policy.Request{Action: action, Resource: in.roleARN, Principal: &policy.Principal{Federated: provider.arn}, Context: context})
		if exists {
			verdict := policy.Authorize(policy.Input{Request: req, Resource: []*policy.Document{role.trust}, ResourceMustAllow: true})
			if verdict.Allowed() {
				continue
			}
			s.g.explain(c, req, verdict)
		} else {
			s.g.logf("sts: role %s does not exist", in.roleARN)
		}
		return nil, Errorf(http.StatusForbidden, "AccessDenied", "Not authorized to perform %s", action)
	}
	duration, err := sessionDuration(in.seconds, role)
	if err != nil {
		return nil, err
	}
	credentials, p := s.g.newSession(sessionSpec{role: role, name: in.name, duration: duration, sourceIdentity: claims.SourceIdentity,
		tags: tags.tags, transitive: tags.transitive, policies: in.policies, region: c.Region,
		context: map[string][]string{"aws:FederatedProvider": {provider.arn}}})
	c.issued(p)
	credentials.Expiration = c.callerTime(credentials.Expiration)
	return struct {
		Subject        string         `xml:"SubjectFromWebIdentityToken"`
		Audience       string         `xml:"Audience"`
		User           xmlAssumedRole `xml:"AssumedRoleUser"`
		Credentials    xmlCredentials `xml:"Credentials"`
		Provider       string         `xml:"Provider"`
		PackedSize     int            `xml:"PackedPolicySize"`
		SourceIdentity string         `xml:"SourceIdentity,omitempty"`
	}{claims.Subject, strings.Join(audience, ","), xmlAssumedRole{p.UserID, p.ARN}, credentials.xml(), provider.arn, in.packed,
		claims.SourceIdentity}, nil
}

func (t *tokenClaims) sessionTags() sessionTags {
	out := sessionTags{tags: map[string]string{}}
	if t.Tags == nil {
		return out
	}
	for k, v := range t.Tags.Principal {
		if len(v) > 0 {
			out.tags[k] = v[0]
		}
	}
	out.transitive = t.Tags.Transitive
	return out
}

// verifyToken returns the claims of a token that a provider of the account vouches for.
func (s *stsService) verifyToken(c *Call, text string) (*tokenClaims, providerView, error) {
	var claims tokenClaims
	token, err := jwt.ParseSigned(text, tokenAlgorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, providerView{}, invalidIdentity("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil || claims.Issuer == "" || claims.Expiry == nil {
		return nil, providerView{}, invalidIdentity("Missing a required claim")
	}
	c.Detail("iss", claims.Issuer)
	c.Detail("sub", claims.Subject)
	if claims.IssuedAt != nil {
		c.Detail("iat", stamp(claims.IssuedAt.Time()))
	}
	c.Detail("aud", strings.Join(claims.Audience, ","))
	c.Detail("exp", strconv.FormatInt(claims.Expiry.Time().Unix(), 10))
	provider, ok := s.g.iam.providerByIssuer(claims.Issuer)
	if !ok {
		return nil, provider, invalidIdentity("No OpenIDConnect provider found in your account for " + claims.Issuer)
	}
	if claims.Subject == "" {
		return nil, provider, invalidIdentity("Missing a required claim: sub")
	}
	accepted := claims.Audience
	if claims.AuthorizedParty != "" {
		accepted = jwt.Audience{claims.AuthorizedParty}
	}
	if !slices.ContainsFunc(accepted, func(a string) bool { return slices.Contains(provider.clientIDs, a) }) {
		return nil, provider, invalidIdentity("Incorrect token audience")
	}
	now := c.Time
	if expiry := claims.Expiry.Time(); !now.Before(expiry) {
		return nil, provider, Errorf(http.StatusBadRequest, "ExpiredTokenException",
			"Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), expiry.Unix())
	}
	if claims.NotBefore != nil && claims.NotBefore.Time().Sub(now) > maxTokenSkew {
		return nil, provider, invalidIdentity("Token is not yet valid")
	}
	key, err := s.verificationKey(c, provider, token.Headers[0])
	if err != nil {
		return nil, provider, err
	}
	if err := token.Claims(key, &tokenClaims{}); err != nil {
		s.g.logf("sts: token of %s: %v", claims.Issuer, err)
		return nil, provider, invalidIdentity("Provided Token is not a valid JWT: the signature cannot be verified")
	}
	return &claims, provider, nil
}

// verificationKey finds the issuer's key with the token's kid and type.
func (s *stsService) verificationKey(c *Call, provider providerView, header jose.Header) (any, error) {
	for _, fresh := range []bool{false, true} { // an unknown kid is looked for again in a fresh JWKS
		set, cached, err := s.keys.get(s.g, provider, fresh)
		if err != nil {
			s.g.logf("sts: keys of https://%s: %v", provider.url, err)
			c.Detail("jwks", err.Error())
			var thumbprint *thumbprintError
			var unreachable *unreachableError
			switch {
			case errors.As(err, &thumbprint):
				return nil, invalidIdentity(wrongThumbprint)
			case errors.As(err, &unreachable):
				return nil, Errorf(http.StatusBadRequest, "IDPCommunicationError", "Error communicating with the identity provider https://%s", provider.url)
			}
			return nil, invalidIdentity(noVerificationKey)
		}
		var found []jose.JSONWebKey
		for _, k := range set.Keys {
			if k.Use != "enc" && (header.KeyID == "" || k.KeyID == header.KeyID) && fits(k, header.Algorithm) {
				found = append(found, k)
			}
		}
		if len(found) == 1 {
			return found[0].Key, nil
		}
		if !cached || len(found) > 1 {
			break
		}
	}
	s.g.logf("sts: https://%s publishes no key %q for %s", provider.url, header.KeyID, header.Algorithm)
	return nil, invalidIdentity(noVerificationKey)
}
