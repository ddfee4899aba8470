package s3

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/policy"
)

func TestPublicPolicy(t *testing.T) {
	statement := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*",` + rest + `}]}`
	}
	for name, x := range map[string]struct {
		rest   string
		public bool
	}{
		"everybody":              {`"Principal":"*"`, true},
		"everybody as AWS":       {`"Principal":{"AWS":"*"}`, true},
		"not somebody":           {`"NotPrincipal":{"AWS":"arn:aws:iam::111122223333:root"}`, true},
		"an account":             {`"Principal":{"AWS":"111122223333"}`, false},
		"a service":              {`"Principal":{"Service":"cloudfront.amazonaws.com"}`, false},
		"fixed source ARN":       {`"Principal":"*","Condition":{"StringEquals":{"aws:SourceArn":"arn:aws:cloudfront::111122223333:distribution/E1"}}`, false},
		"wild source ARN":        {`"Principal":"*","Condition":{"StringLike":{"aws:SourceArn":"arn:aws:cloudfront::*"}}`, true},
		"policy variable":        {`"Principal":"*","Condition":{"StringEquals":{"aws:PrincipalArn":"${aws:PrincipalArn}"}}`, true},
		"an office":              {`"Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`, false},
		"one address":            {`"Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.7"}}`, false},
		"half of the internet":   {`"Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","128.0.0.0/1"]}}`, true},
		"all but an office":      {`"Principal":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`, true},
		"an organisation":        {`"Principal":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`, false},
		"an organisation if set": {`"Principal":"*","Condition":{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}`, true},
		"a key that says little": {`"Principal":"*","Condition":{"StringEquals":{"aws:UserAgent":"curl"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := policy.Parse([]byte(statement(x.rest)))
			require.NoError(t, err)
			require.Equal(t, x.public, publicPolicy(d))
		})
	}
	d, err := policy.Parse([]byte(strings.Replace(statement(`"Principal":"*"`), "Allow", "Deny", 1)))
	require.NoError(t, err)
	require.False(t, publicPolicy(d), "a Deny makes nothing public")
}

func TestValidName(t *testing.T) {
	for _, good := range []string{"lab-issuer-111122223333-eu-central-1", "abc", "a.b.c", strings.Repeat("a", 63)} {
		require.True(t, validName(good), good)
	}
	for _, bad := range []string{"ab", "Abc", "a_b", "-ab", "ab-", "a..b", "a.-b", "192.168.0.1", "xn--abc", "abc-s3alias", strings.Repeat("a", 64)} {
		require.False(t, validName(bad), bad)
	}
}

func TestEscape(t *testing.T) {
	require.Equal(t, "a%20b%2Bc/d%25/%C3%A4", escape("a b+c/d%/ä"))
}
