package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"time"

	"k3s-aws-auth/scripts/internal/setups"
)

// skew is that of the published comparison: five hours ahead.
const skew = 5 * time.Hour

// strayIssuer is an issuer that no account has.
const strayIssuer = "https://issuer-of-a-drill.invalid"

func clusterDrills() []*Drill {
	return []*Drill{
		{
			ID: "issuer-changed", Article: "F-01", Title: "K3s issuer changed",
			Does:   "restart the API servers with another service-account-issuer (" + strayIssuer + ") in place of the stack's",
			Told:   toldWithToken("issuer-changed"),
			Expect: either(setups.Setup.PresentsToken, onlyNewPods(noProvider, New), unaffected),
			Note: "Existing pods go on with the tokens that they have until the kubelet renews them, at 80 % of their life. " +
				"A pod made during the failure keeps its token just as long: it must be made anew.",
			Inject: changeServers(func() (Change, error) { return Change{Issuers: []string{strayIssuer}}, nil }),
		},
		{
			ID: "clock-agent", Article: "F-02a", Title: "agents' clocks 5 h ahead",
			Does:   "set the clocks of all agents five hours ahead",
			Told:   toldAlways("clock-node"),
			Expect: inAll(allFail(skewed)),
			// The SDKs correct their clock by AWS's answers; the credential helper does not.
			ExpectSDK: either(setups.Setup.PresentsCertificate, sessionsGoOn(skewed), unaffected),
			Note: "The client decides. SDKs that correct their clock by AWS's answers (as that for Go) go on. The AWS CLI fails: by the " +
				"signature's date, or because what it was just given has expired by its own clock. The credential helper of Roles Anywhere " +
				"does not correct its clock.",
			Inject: func(ctx context.Context, t *Target, r *Recovery) error {
				r.Add("set the agents' clocks right", func(ctx context.Context) error { return t.Hands.AgentClock(ctx, 0) })
				return t.Hands.AgentClock(ctx, skew)
			},
		},
		{
			ID: "clock-server", Article: "F-02b", Title: "servers' clocks 5 h ahead",
			Does:   "set the clocks of all servers five hours ahead",
			Told:   toldWithToken("clock-server"),
			Expect: either(setups.Setup.PresentsToken, onlyNewPods("InvalidIdentityToken", New), unaffected),
			Note: "The server writes a token's times: new ones are not valid yet. AWS does not document how far ahead nbf may be, nor the " +
				"text. A pod made during the failure keeps such a token: it must be made anew.",
			Inject: changeServers(func() (Change, error) { return Change{Clock: skew}, nil }),
		},
		{
			ID: "signing-key-replaced", Title: "signing key replaced, not published",
			Does:   "restart the API servers with a new ServiceAccount signing key that is not in the issuer's JWKS",
			Told:   toldWithToken("key-not-published"),
			Expect: either(setups.Setup.PresentsToken, onlyNewPods(noKey, New), unaffected),
			Note:   "Tokens of the old key stay good for AWS while it is published. A pod made during the failure must be made anew.",
			Inject: changeServers(func() (Change, error) {
				key, err := rsa.GenerateKey(rand.Reader, 2048)
				if err != nil {
					return Change{}, err
				}
				return Change{SigningKey: string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))}, nil
			}),
		},
		{
			ID: "api-server-down", Title: "API server down",
			Does:   "stop the API servers",
			Told:   toldAlways(unseenCluster),
			Expect: inAll(onlyNewPods(refused)),
			Note:   "AWS does not need the API server: tokens, certificates and sessions go on until they end. Nothing new starts.",
			Outage: true,
			Inject: func(ctx context.Context, t *Target, r *Recovery) error {
				r.Add("start the API servers", func(ctx context.Context) error { return t.Hands.ChangeAPIServers(ctx, Change{}) })
				return t.Hands.StopAPIServers(ctx)
			},
		},
		{
			ID: "a-year-passes", Title: "a year without maintenance",
			Does:   "let 400 days pass for K3s's own certificates, which it renews only when it starts",
			Told:   toldNothing,
			Expect: inAll(unaffected),
			Note: "A timer on each machine restarts K3s in time. Without one everything that speaks to the API server ends after 365 days, and the " +
				"pods with their tokens.",
			Absent: func(_ context.Context, t *Target) (string, error) {
				if _, person := t.Hands.(*Person); person {
					return errOnlyInALab.Error(), nil
				}
				return "", nil
			},
			Inject: func(ctx context.Context, t *Target, _ *Recovery) error { return t.Hands.PassTime(ctx, 400) },
		},
	}
}

// changeServers injects a change of the API servers.
func changeServers(change func() (Change, error)) func(context.Context, *Target, *Recovery) error {
	return func(ctx context.Context, t *Target, r *Recovery) error {
		c, err := change()
		if err != nil {
			return err
		}
		r.Add("restart the API servers as they were", func(ctx context.Context) error { return t.Hands.ChangeAPIServers(ctx, Change{}) })
		if err := t.Hands.ChangeAPIServers(ctx, c); err != nil {
			return err
		}
		return t.Hands.ForgetKeys(ctx)
	}
}
