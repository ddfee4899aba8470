// Package verify holds a lab's setup against callers who must not get in, and its state, user data, tags and logs
// against the secrets that must not be there. Every verdict is AWS's own answer to a real call.
package verify

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/internal/stack"
	"k3s-aws-auth/scripts/lab/internal/prove"
)

// Case is one caller that must be refused, and what came of it.
type Case struct {
	Name string `json:"name"`
	// Want is the error code (or the text) that the refusal must have, Got the answer verbatim.
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

// Target is a lab with one of its identities, seen by somebody who tries to be it.
type Target struct {
	Setup   setups.Setup
	Dir     string
	AWS     aws.Config
	Cluster *prove.Cluster
	Outputs auto.OutputMap
	// Secrets has the plain values of the stack's secrets.
	Secrets *Secrets
	// SigningKey signs the cluster's tokens; nil where the setup has no use for it.
	SigningKey *rsa.PrivateKey
	// SigningHelper is the credential helper's program.
	SigningHelper string

	Identity prove.Declared
	// Pulls is the stack's cluster.imagePulls. Own is the image that may be pulled, Other one that nobody may.
	Pulls      string
	Own, Other string
}

// attempt is a try to get in: nil means that it succeeded.
type attempt struct {
	name string
	want string
	try  func(ctx context.Context) error
}

// Refusals tries every wrong caller of the target's setup.
func (t *Target) Refusals(ctx context.Context) ([]Case, error) {
	attempts, done, err := t.attempts(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var cases []Case
	var errs []error
	for _, a := range attempts {
		c := Case{Name: a.name, Want: a.want, Got: "no error: the caller got in"}
		if err := a.try(ctx); err != nil {
			c.Got = message(err)
			c.OK = strings.Contains(c.Got, a.want)
		}
		if !c.OK {
			errs = append(errs, fmt.Errorf("%s: want %q, got %q", c.Name, c.Want, c.Got))
		}
		cases = append(cases, c)
	}
	return cases, errors.Join(errs...)
}

func (t *Target) attempts(ctx context.Context) ([]attempt, func(), error) {
	done := func() {}
	all := []attempt{{
		name: "a put outside the identity's prefix",
		want: "AccessDenied",
		try: func(ctx context.Context) error {
			return t.Cluster.Put(ctx, t.Identity.Namespace, t.Identity.Pod, t.Identity.Bucket, "elsewhere/"+t.Identity.Prefix+"x")
		},
	}}
	if t.Setup.ShutsMetadata() {
		// A region is no credential, and without one the client would fail for its lack.
		stranger, remove, err := t.Cluster.Start(ctx, kube.Stranger{Namespace: t.Identity.Namespace, Model: t.Identity.Pod,
			Container: prove.Container, Env: map[string]string{"AWS_REGION": t.AWS.Region}})
		if err != nil {
			return nil, nil, err
		}
		done = remove
		all = append(all, attempt{
			name: "a pod that asks the node for its credentials",
			want: "Unable to locate credentials",
			try: func(ctx context.Context) error {
				_, err := t.Cluster.Exec(ctx, t.Identity.Namespace, stranger, prove.Container, "aws", "sts", "get-caller-identity")
				return err
			},
		})
	}
	var own []attempt
	var err error
	switch {
	case t.Outputs["issuerUrl"].Value != nil:
		own, err = t.tokenAttempts(ctx)
	case t.Outputs["trustAnchorArn"].Value != nil:
		own, err = t.certificateAttempts()
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	pulls, err := t.pullAttempts(ctx)
	if err != nil {
		done()
		return nil, nil, err
	}
	return slices.Concat(all, own, pulls), done, nil
}

// message prefers AWS's code and text to what the SDK puts around them.
func message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}

// Secrets are the values that the stack keeps secret.
type Secrets struct{ *stack.State }

// ParseSecrets reads the deployment of a state exported with its secrets in plain.
func ParseSecrets(deployment []byte) (*Secrets, error) {
	s, err := stack.Parse(deployment)
	return &Secrets{s}, err
}

// Place is somewhere a secret must not be.
type Place struct {
	Name string
	Data []byte
}

// Leaks searches places for every secret of the stack. It reports where one was found without repeating it.
func (s *Secrets) Leaks(places []Place) (needles int, err error) {
	set := map[string]bool{}
	for _, secret := range s.Secrets() {
		for _, n := range fragments(secret) {
			set[n] = true
		}
	}
	var errs []error
	for _, p := range places {
		for n := range set {
			if bytes.Contains(p.Data, []byte(n)) {
				errs = append(errs, fmt.Errorf("%s has a secret in plain (it begins with %q)", p.Name, n[:6]))
			}
		}
	}
	return len(set), errors.Join(errs...)
}
