package main

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"

	"k3s-aws-auth/scripts/internal/forge"
)

const raMismatch = "Invalid signature"

// Tries with the identity's own certificate and key, but a request that is not what was signed, or asks for too much.
var sessionCases = []Case{
	resigned("session-role-altered", "a signed CreateSession whose role was changed", raMismatch, nil, func(t *Target, r *http.Request) {
		replaceQuery(r, "roleArn", t.Identity.RoleARN+"-other")
	}),
	resigned("session-profile-altered", "a signed CreateSession whose profile was changed", raMismatch, nil, func(_ *Target, r *http.Request) {
		replaceQuery(r, "profileArn", r.URL.Query().Get("profileArn")+"0")
	}),
	resigned("session-body-altered", "a signed CreateSession with another duration", raMismatch, func(s *forge.Session) { s.Body = map[string]any{"durationSeconds": 900} },
		body(`{"durationSeconds":999}`)),
	resigned("session-date-altered", "a signed CreateSession that claims another time", raMismatch, nil, func(_ *Target, r *http.Request) {
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err == nil {
			r.Header.Set("X-Amz-Date", at.Add(time.Second).Format("20060102T150405Z"))
		}
	}),
	resigned("session-region", "CreateSession signed for another region", "Credential should be scoped to a valid region", func(s *forge.Session) { s.Region = "eu-west-1" }, nil),
	resigned("session-replayed", "a CreateSession that was signed 20 minutes ago", "", func(s *forge.Session) { s.At = time.Now().Add(-oldMinute) }, nil),
	resigned("session-future", "a CreateSession that is signed for in 20 minutes", "", func(s *forge.Session) { s.At = time.Now().Add(oldMinute) }, nil),
	resigned("session-serial-altered", "a signed CreateSession that names another serial number", "", nil, authorization("Credential=", "Credential=1")),
	resigned("session-certificate-swapped", "a signed CreateSession with another certificate of the same CA in its header", "", nil, func(t *Target, r *http.Request) {
		ca, err := t.authority()
		if err != nil {
			return
		}
		if other, err := t.leafOf(ca, nil); err == nil {
			r.Header.Set("X-Amz-X509", base64.StdEncoding.EncodeToString(other.Cert.Raw))
		}
	}),
	resigned("session-certificate-unsigned", "a CreateSession whose certificate is not among the signed headers", "", nil, authorization(";x-amz-x509", "")),
	resigned("session-chain-added", "a signed CreateSession with a chain that nobody signed", "", nil, func(_ *Target, r *http.Request) {
		r.Header.Set("X-Amz-X509-Chain", r.Header.Get("X-Amz-X509"))
	}),
	resigned("session-algorithm-rsa", "a CreateSession by an elliptic-curve key that says it is RSA", "", nil, authorization("AWS4-X509-ECDSA-SHA256", "AWS4-X509-RSA-SHA256")),
	resigned("session-algorithm-hmac", "a CreateSession that says its signature is an HMAC", "", nil, authorization("AWS4-X509-ECDSA-SHA256", "AWS4-HMAC-SHA256")),
	resigned("session-unsigned", "a CreateSession without a signature", "", nil, func(_ *Target, r *http.Request) { r.Header.Del("Authorization") }),
	{Name: "session-role-name", For: certificates, What: "a CreateSession that chooses its session name, by a profile that accepts none", Code: denied,
		Text: "Not authorized to set roleSessionName.",
		Try: func(ctx context.Context, t *Target) error { // the stack's own profile may accept one
			return t.otherProfile(ctx, t.Identity.RoleARN, 3600, func(profile string) error {
				return t.profileSession(ctx, t.Identity.RoleARN, profile, map[string]any{"roleSessionName": "admin"})
			})
		}},
	resigned("session-role-missing", "a CreateSession for a role that the profile does not list", unable, func(s *forge.Session) { s.RoleARN += "-gone" }, nil),
	{Name: "session-by-administrator", For: certificates, What: "a CreateSession signed with an administrator's access key", Code: denied,
		Try: func(ctx context.Context, t *Target) error {
			s, err := t.sessionRequest()
			if err != nil {
				return err
			}
			q := request{method: http.MethodPost, host: s.Host, path: "/sessions", service: "rolesanywhere", credentials: t.admin, body: "{}",
				headers: map[string]string{"Content-Type": "application/json"}}
			q.query = strings.ReplaceAll("trustAnchorArn="+s.AnchorARN+"&profileArn="+s.ProfileARN+"&roleArn="+s.RoleARN, ":", "%3A")
			r, err := t.put(ctx, q)
			if err != nil {
				return err
			}
			return t.send(r)
		}},
	{Name: "session-other-role-in-profile", For: certificates, What: "the identity's certificate for another role of its own profile", Code: denied, Text: unable,
		Try: func(ctx context.Context, t *Target) error {
			role, err := t.roleOfAnother(ctx)
			if err != nil {
				return err
			}
			return t.otherProfile(ctx, role, 3600, func(profile string) error { return t.profileSession(ctx, role, profile, nil) })
		}},
	{Name: "session-role-of-other-profile", For: certificates, What: "the identity's role by a profile that does not list it", Code: denied, Text: unable,
		Try: func(ctx context.Context, t *Target) error {
			role, err := t.roleOfAnother(ctx)
			if err != nil {
				return err
			}
			return t.otherProfile(ctx, role, 3600, func(profile string) error { return t.profileSession(ctx, t.Identity.RoleARN, profile, nil) })
		}},
	{Name: "session-too-long", For: certificates, What: "a profile's session that is longer than the role's maximum", Code: "ValidationException",
		Text: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
		Try: func(ctx context.Context, t *Target) error {
			return t.otherProfile(ctx, t.Identity.RoleARN, 43200, func(profile string) error {
				return t.profileSession(ctx, t.Identity.RoleARN, profile, map[string]any{"durationSeconds": 43200})
			})
		}},
	{Name: "profile-disabled", For: certificates, What: "the identity's role by a profile that is disabled", Code: denied,
		Try: func(ctx context.Context, t *Target) error {
			return t.otherProfile(ctx, t.Identity.RoleARN, 3600, func(profile string) error {
				if err := t.profileSession(ctx, t.Identity.RoleARN, profile, nil); err != nil {
					return broken(err)
				}
				id := profile[strings.LastIndexByte(profile, '/')+1:]
				if _, err := t.anywhere().DisableProfile(ctx, &rolesanywhere.DisableProfileInput{ProfileId: &id}); err != nil {
					return broken(err)
				}
				return t.profileSession(ctx, t.Identity.RoleARN, profile, nil)
			})
		}},
}

// resigned tries a CreateSession of the identity's own certificate that is changed before (plan) or after (alter) it is
// signed.
func resigned(name, what, text string, plan func(*forge.Session), alter func(*Target, *http.Request)) Case {
	return Case{Name: name, For: certificates, What: what, Code: denied, Text: text, Try: func(ctx context.Context, t *Target) error {
		own, err := t.leaf()
		if err != nil {
			return err
		}
		_, err = t.createSession(ctx, own, plan, func(r *http.Request) {
			if alter != nil {
				alter(t, r)
			}
		})
		return err
	}}
}

// profileSession asks for a session of a role by a profile, with the identity's own certificate.
func (t *Target) profileSession(ctx context.Context, role, profile string, body map[string]any) error {
	own, err := t.leaf()
	if err != nil {
		return err
	}
	_, err = t.createSession(ctx, own, func(s *forge.Session) { s.RoleARN, s.ProfileARN, s.Body = role, profile, body }, nil)
	return err
}

// otherProfile makes another profile with one role, lets use try it, and removes it.
func (t *Target) otherProfile(ctx context.Context, role string, seconds int32, use func(profile string) error) error {
	out, err := t.anywhere().CreateProfile(ctx, &rolesanywhere.CreateProfileInput{Name: aws.String(unique("profile")), RoleArns: []string{role},
		Enabled: aws.Bool(true), DurationSeconds: &seconds})
	if err != nil {
		return broken(err)
	}
	defer func() {
		_, _ = t.anywhere().DeleteProfile(context.WithoutCancel(ctx), &rolesanywhere.DeleteProfileInput{ProfileId: out.Profile.ProfileId})
	}()
	return use(*out.Profile.ProfileArn)
}
