package chain

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"k3s-aws-auth/scripts/doctor/internal/causes"
)

// Session is what AWS said to a token of a service account that asked for a session.
type Session struct {
	Namespace string `json:"namespace"`
	Account   string `json:"serviceAccount"`
	Role      string `json:"roleArn"`
	// Caller is the ARN of the session, which was thrown away; Error why there is none.
	Caller string `json:"caller,omitempty"`
	Error  string `json:"error,omitempty"`
}

// shortest is the shortest session that STS gives, in seconds
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html).
const shortest = 900

// sessions asks for a session of every identity whose pods present tokens, as such a pod would: with a token for the audience of
// its service account. Tokens and credentials are thrown away.
func (c *collector) sessions(ctx context.Context) {
	ids := Identities(c.facts)
	if slices.ContainsFunc(ids, func(i Identity) bool { return i.Presents != presentsToken }) {
		c.miss(partSessions, errors.New("only service accounts that present tokens are tried: a certificate's key is not read, and a machine's role cannot be had from here"))
	}
	ids = slices.DeleteFunc(ids, func(i Identity) bool { return i.Presents != presentsToken || i.Role == "" })
	api := sts.NewFromConfig(c.AWS)
	found := make([]*Session, len(ids))
	slots := make(chan struct{}, 8)
	var all []func()
	for i, id := range ids {
		all = append(all, func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			token, err := c.Cluster.Token(ctx, id.Namespace, id.Account, c.facts.audience(id))
			if err != nil {
				c.miss(partSessions+" of "+id.String(), err)
				return
			}
			s := &Session{Namespace: id.Namespace, Account: id.Account, Role: id.Role}
			made, err := api.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: &id.Role, RoleSessionName: aws.String("doctor"),
				WebIdentityToken: &token, DurationSeconds: aws.Int32(shortest)})
			if err != nil {
				s.Error = plain(err)
			} else {
				s.Caller = aws.ToString(made.AssumedRoleUser.Arn)
			}
			found[i] = s
		})
	}
	c.parallel(all...)
	for _, s := range found {
		if s != nil {
			c.facts.Sessions = append(c.facts.Sessions, *s)
		}
	}
}

// refused tells of sessions that AWS refuses where nothing that was looked at says why.
func (c *checker) refused() {
	for _, s := range c.Sessions {
		id := find(c.ids, func(i *Identity) bool { return i.Namespace == s.Namespace && i.Account == s.Account })
		if s.Error == "" || id == nil || slices.ContainsFunc(c.found, func(f Finding) bool {
			return f.Severity == Broken && (len(f.Identities) == 0 || slices.Contains(f.Identities, id.String()))
		}) {
			continue
		}
		c.add("session-refused", "role "+s.Role, []Identity{*id}, "AWS says "+s.Error, "role", s.Role)
		last := &c.found[len(c.found)-1]
		for _, m := range causes.Explain(s.Error) {
			for _, r := range m.Cause.Reasons {
				last.Causes = append(last.Causes, Cause{r.Why, m.Cause.ID})
			}
		}
	}
}
