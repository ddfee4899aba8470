package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"k3s-aws-auth/scripts/internal/forge"
	"k3s-aws-auth/scripts/internal/kube"
)

// control makes sure that the right credential is accepted, and that a right request with its session is.
func (t *Target) control(ctx context.Context) error {
	session, err := t.session(ctx)
	if err != nil {
		return err
	}
	r, err := t.put(ctx, request{})
	if err != nil {
		return err
	}
	if err := t.send(r); err != nil {
		return fmt.Errorf("a put of %s with a right signature: %w", session.AccessKeyID, err)
	}
	if t.Setup.PresentsCertificate() {
		return t.controlCertificates(ctx)
	}
	return nil
}

// controlCertificates makes sure that certificates that are issued here, as the cases' are, are accepted: with the key
// usage clientAuth, which the identity's own has, and without it, which AWS does not ask for.
func (t *Target) controlCertificates(ctx context.Context) error {
	ca, err := t.authority()
	if err != nil {
		return err
	}
	for what, usages := range map[string][]x509.ExtKeyUsage{"with": {x509.ExtKeyUsageClientAuth}, "without": nil} {
		id, err := t.leafOf(ca, func(c *x509.Certificate) { c.ExtKeyUsage = usages })
		if err != nil {
			return broken(err)
		}
		if _, err := t.createSession(ctx, id, nil, nil); err != nil {
			return fmt.Errorf("a certificate %s clientAuth: %w", what, err)
		}
	}
	return nil
}

// session is the identity's own session, got in the way of the setup.
func (t *Target) session(ctx context.Context) (aws.Credentials, error) {
	if t.cached.session != nil {
		return *t.cached.session, nil
	}
	var c aws.Credentials
	var err error
	switch {
	case t.Setup.PresentsMetadata():
		c, err = t.machineSession(ctx, t.Identity.Pod.Name)
	case t.Setup.PresentsCertificate():
		c, err = t.certificateSession(ctx)
	case t.Setup.PresentsToken():
		c, err = t.tokenSession(ctx)
	default:
		err = fmt.Errorf("setup %s: pods present %q, which is none of a machine's session, a token and a certificate", t.Setup.Name, t.Setup.Presents)
	}
	if err != nil {
		return c, broken(fmt.Errorf("the identity's own session: %w", err))
	}
	t.cached.session = &c
	return c, nil
}

// tokenSession is the session of the identity's own ServiceAccount.
func (t *Target) tokenSession(ctx context.Context) (aws.Credentials, error) {
	token, err := t.token(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	out, err := sts.NewFromConfig(t.config(aws.Credentials{})).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &t.Identity.RoleARN, RoleSessionName: aws.String("refusals"), WebIdentityToken: &token})
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey,
		SessionToken: *out.Credentials.SessionToken}, nil
}

// token is the identity's own, of the right audience.
func (t *Target) token(ctx context.Context) (string, error) {
	if t.cached.token == "" {
		token, err := t.Cluster.Token(ctx, t.Identity.Namespace, t.Identity.ServiceAccount, stsAudience)
		if err != nil {
			return "", broken(err)
		}
		t.cached.token = token
	}
	return t.cached.token, nil
}

// certificateSession is the session of the identity's own certificate.
func (t *Target) certificateSession(ctx context.Context) (aws.Credentials, error) {
	id, err := t.leaf()
	if err != nil {
		return aws.Credentials{}, err
	}
	return t.createSession(ctx, id, nil, nil)
}

// createSession asks Roles Anywhere for a session. plan changes the request before it is signed, alter afterwards.
func (t *Target) createSession(ctx context.Context, id forge.Certified, plan func(*forge.Session), alter func(*http.Request)) (aws.Credentials, error) {
	s, err := t.sessionRequest()
	if err != nil {
		return aws.Credentials{}, err
	}
	if plan != nil {
		plan(&s)
	}
	r, err := s.Sign(ctx, id)
	if err != nil {
		return aws.Credentials{}, broken(err)
	}
	if alter != nil {
		alter(r)
	}
	body, err := t.receive(r)
	if err != nil {
		return aws.Credentials{}, err
	}
	var out struct {
		Set []struct {
			Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }
		} `json:"credentialSet"`
	}
	if err := json.Unmarshal(body, &out); err != nil || len(out.Set) == 0 {
		return aws.Credentials{}, broken(fmt.Errorf("CreateSession answered %q: %w", body, err))
	}
	c := out.Set[0].Credentials
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
}

// sessionRequest is the right request of the identity.
func (t *Target) sessionRequest() (forge.Session, error) {
	s := forge.Session{Host: "rolesanywhere." + t.Region + "." + dnsSuffix, Region: t.Region, RoleARN: t.Identity.RoleARN}
	var err error
	if s.AnchorARN, err = t.output("trustAnchorArn"); err != nil {
		return s, err
	}
	s.ProfileARN, err = t.output("profileArn")
	return s, err
}

// leaf is the identity's own certificate.
func (t *Target) leaf() (forge.Certified, error) {
	key, cert, err := t.State.Leaf()
	return forge.Certified{Cert: cert, Key: key}, broken(err)
}

// authority is the CA that the trust anchor trusts.
func (t *Target) authority() (forge.Certified, error) {
	key, cert, err := t.State.Authority()
	return forge.Certified{Cert: cert, Key: key}, broken(err)
}

const (
	metadataAddress = "http://169.254.169.254/latest/"
	tokenHeader     = "X-aws-ec2-metadata-token" //nolint:gosec // the name of a header
	ttlHeader       = "X-aws-ec2-metadata-token-ttl-seconds"
)

// curl calls the metadata service from a pod, as a program in it would. A refusal's code is the HTTP status, "timeout"
// where nothing answers within two seconds.
func (t *Target) curl(ctx context.Context, pod, path string, arguments ...string) (string, error) {
	command := append([]string{"curl", "--silent", "--max-time", "2", "--write-out", "\n%{http_code}"}, arguments...)
	out, err := t.Cluster.Exec(ctx, t.Identity.Namespace, pod, container, append(command, metadataAddress+path)...)
	i := strings.LastIndexByte(out, '\n')
	if i < 0 {
		return "", broken(fmt.Errorf("curl in pod %s: %w", pod, err))
	}
	switch body, status := strings.TrimSpace(out[:i]), out[i+1:]; {
	case status == "000" && err != nil && strings.Contains(err.Error(), "exit code 28"):
		return "", &answer{"timeout", "the metadata service did not answer within two seconds"}
	case err != nil:
		return "", broken(fmt.Errorf("curl in pod %s: %w", pod, err))
	case status != "200":
		return "", &answer{status, body}
	default:
		return body, nil
	}
}

// metadataToken asks for a token of IMDSv2.
func (t *Target) metadataToken(ctx context.Context, pod string) (string, error) {
	return t.curl(ctx, pod, "api/token", "--request", "PUT", "--header", ttlHeader+": 60")
}

// machineSession is the session of a pod's machine, from its metadata.
func (t *Target) machineSession(ctx context.Context, pod string) (aws.Credentials, error) {
	var c aws.Credentials
	token, err := t.metadataToken(ctx, pod)
	if err != nil {
		return c, err
	}
	const credentials = "meta-data/iam/security-credentials/" //nolint:gosec // a path
	role, err := t.curl(ctx, pod, credentials, "--header", tokenHeader+": "+token)
	if err != nil {
		return c, err
	}
	text, err := t.curl(ctx, pod, credentials+role, "--header", tokenHeader+": "+token)
	if err != nil {
		return c, err
	}
	var out struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil || out.AccessKeyID == "" {
		return c, fmt.Errorf("the metadata's credentials are %q: %w", text, err)
	}
	return aws.Credentials{AccessKeyID: out.AccessKeyID, SecretAccessKey: out.SecretAccessKey, SessionToken: out.Token}, nil
}

// stranger is a pod without an identity on the machine of the identity's pod.
func (t *Target) stranger(ctx context.Context) (string, error) {
	if t.cached.stranger == "" {
		name, err := t.strangerOn(ctx, "")
		if err != nil {
			return "", err
		}
		t.cached.stranger = name
	}
	return t.cached.stranger, nil
}

// strangerOn starts a pod without an identity on a node; the identity's own where empty. It goes when the target does.
func (t *Target) strangerOn(ctx context.Context, node string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// A region is no credential, and without one the client would fail for its lack.
	name, remove, err := t.Cluster.Start(ctx, kube.Stranger{Namespace: t.Identity.Namespace, Model: t.Identity.Pod.Name, Container: container,
		Node: node, Env: map[string]string{"AWS_REGION": t.Region}})
	if err != nil {
		return "", broken(err)
	}
	t.made = append(t.made, remove)
	return name, nil
}
