package gate

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/iampolicy"
)

// document is a policy of the product's as JSON.
func document(t *testing.T, d iampolicy.Document) string {
	t.Helper()
	text, err := d.JSON()
	require.NoError(t, err)
	return text
}

// session exchanges a token of the issuer for credentials of a role.
func (l *lab) session(t *testing.T, i *issuer, role string) aws.Config {
	t.Helper()
	out, err := l.webIdentity(role, i.token(t, l, "ES256", nil), nil)
	require.NoError(t, err)
	return l.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
}

// TestChainedRole holds what the product writes for an identity that assumes a second role: the permission on its own
// role, and the trust policy that the stack's output gives to whoever owns the second one. Each side checks the
// external id by itself.
func TestChainedRole(t *testing.T) {
	const target, externalID = "arn:aws:iam::111122223333:role/reader", "e-42"
	l := newLab(t)
	withObjects(l)
	i := newIssuer(t, l, "oidc.example.com", "ES256")
	pod := l.role("lab-reports", i.trust(), document(t, iampolicy.New(iampolicy.AssumeRole(target, externalID, false)...)))
	idle := l.role("lab-idle", i.trust(), "")
	require.Equal(t, target, l.role("reader", document(t, iampolicy.AssumeRoleTrust(pod, externalID, false)), putOnly))
	l.role("writer", document(t, iampolicy.AssumeRoleTrust(pod, externalID, false)), putOnly)
	trust := func(policy string) {
		_, err := l.iam().UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("reader"), PolicyDocument: &policy})
		require.NoError(t, err)
	}
	assume := func(caller aws.Config, change func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
		in := &sts.AssumeRoleInput{RoleArn: aws.String(target), RoleSessionName: aws.String("default.uploader"), ExternalId: aws.String(externalID)}
		if change != nil {
			change(in)
		}
		return sts.NewFromConfig(caller).AssumeRole(ctx, in)
	}
	wrong := func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("e-41") }
	none := func(in *sts.AssumeRoleInput) { in.ExternalId = nil }
	caller := l.session(t, i, pod)

	// The trust policy of the output.
	out, err := assume(caller, nil)
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/reader/default.uploader", *out.AssumedRoleUser.Arn)
	require.NoError(t, put(l.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken), "in/x", ""))
	failure(t, put(caller, "in/x", ""), "AccessDenied", "", 403)
	for _, change := range []func(*sts.AssumeRoleInput){wrong, none} {
		_, err = assume(caller, change)
		failure(t, err, "AccessDenied", "sts:AssumeRole on resource: "+target, 403)
	}
	_, err = assume(l.session(t, i, idle), nil)
	failure(t, err, "AccessDenied", "sts:AssumeRole on resource: "+target, 403)
	_, err = assume(caller, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) })
	require.Error(t, err, "a chained session is an hour at most")

	// A trust policy that leaves it to the account of the pod's role, as between accounts: the pod's own permission
	// decides, with its condition.
	trust(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::111122223333:root"}}]}`)
	_, err = assume(caller, nil)
	require.NoError(t, err)
	for _, change := range []func(*sts.AssumeRoleInput){wrong, none} {
		_, err = assume(caller, change)
		failure(t, err, "AccessDenied", "sts:AssumeRole on resource: "+target, 403)
	}
	_, err = assume(l.session(t, i, idle), nil)
	failure(t, err, "AccessDenied", "sts:AssumeRole on resource: "+target, 403)
}

// TestChainedRoleWithSourceIdentity holds that a session with a source identity, as Roles Anywhere makes them, hands it
// on only where both sides may.
func TestChainedRoleWithSourceIdentity(t *testing.T) {
	const target, root = "arn:aws:iam::111122223333:role/reader", `{"AWS":"arn:aws:iam::111122223333:root"}`
	l := newLab(t)
	anyone := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:SetSourceIdentity"],"Principal":` + root + `}]}`
	for name, c := range map[string]struct {
		permissions, trust bool
		works              bool
	}{
		"both sides":   {true, true, true},
		"trust alone":  {false, true, true}, // it names the role itself, in one account
		"one side":     {true, false, false},
		"neither side": {false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			pod := l.role("lab-reports", anyone, document(t, iampolicy.New(iampolicy.AssumeRole(target, "", c.permissions)...)))
			l.role("reader", document(t, iampolicy.AssumeRoleTrust(pod, "", c.trust)), "")
			first, err := sts.NewFromConfig(l.admin()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &pod, RoleSessionName: aws.String("0123"), SourceIdentity: aws.String("CN=default.uploader")})
			require.NoError(t, err)
			caller := l.config(*first.Credentials.AccessKeyId, *first.Credentials.SecretAccessKey, *first.Credentials.SessionToken)
			out, err := sts.NewFromConfig(caller).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(target), RoleSessionName: aws.String("chained")})
			if !c.works {
				failure(t, err, "AccessDenied", "sts:SetSourceIdentity on resource: "+target, 403)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "CN=default.uploader", aws.ToString(out.SourceIdentity))
		})
	}
	// Where the trust policy leaves it to the account, the permission is needed too.
	for _, may := range []bool{true, false} {
		name := map[bool]string{true: "may", false: "maynot"}[may]
		pod := l.role("lab-"+name, anyone, document(t, iampolicy.New(iampolicy.AssumeRole(target+"-"+name, "", may)...)))
		role := l.role("reader-"+name, anyone, "")
		first, err := sts.NewFromConfig(l.admin()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &pod, RoleSessionName: aws.String("0123"), SourceIdentity: aws.String("CN=a")})
		require.NoError(t, err)
		caller := l.config(*first.Credentials.AccessKeyId, *first.Credentials.SecretAccessKey, *first.Credentials.SessionToken)
		_, err = sts.NewFromConfig(caller).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("chained")})
		if may {
			require.NoError(t, err)
		} else {
			failure(t, err, "AccessDenied", "sts:SetSourceIdentity on resource: "+role, 403)
		}
	}
}

// TestTwoClusters holds the trust policy that the product writes for an identity of several clusters: a token of a
// second issuer is good where it is listed, and refused where it is not, and for another service account.
func TestTwoClusters(t *testing.T) {
	l := newLab(t)
	a, b := newIssuer(t, l, "oidc.a.example.com", "ES256"), newIssuer(t, l, "oidc.b.example.com", "ES256")
	trust := func(issuers ...*issuer) string {
		var all []iampolicy.WebIdentity
		for _, i := range issuers {
			all = append(all, iampolicy.WebIdentity{ProviderArn: i.prov, IssuerHostPath: i.url[len("https://"):]})
		}
		return document(t, iampolicy.WebIdentityTrust(all, "sts.amazonaws.com", iampolicy.Subject("default", "uploader")))
	}
	own, both := l.role("own", trust(a), ""), l.role("both", trust(a, b), "")
	l.session(t, a, own)
	l.session(t, a, both)
	l.session(t, b, both)
	_, err := l.webIdentity(own, b.token(t, l, "ES256", nil), nil)
	failure(t, err, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
	_, err = l.webIdentity(both, b.token(t, l, "ES256", func(claims map[string]any, _ *jose.SigningKey, _ *string) {
		claims["sub"] = "system:serviceaccount:default:other"
	}), nil)
	failure(t, err, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
	// A token says who it is by its issuer: the keys of one are no good for the other.
	forged := b.token(t, l, "ES256", func(_ map[string]any, key *jose.SigningKey, _ *string) { key.Key = a.key })
	_, err = l.webIdentity(both, forged, nil)
	failure(t, err, "InvalidIdentityToken", "", 400)
	// And where its issuer is registered no more, it is nobody's.
	_, err = l.iam().DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &b.prov})
	require.NoError(t, err)
	_, err = l.webIdentity(both, b.token(t, l, "ES256", nil), nil)
	failure(t, err, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://oidc.b.example.com", 400)
}
