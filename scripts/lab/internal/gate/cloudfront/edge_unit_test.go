package cloudfront

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

func tree(t *testing.T, document string) *wire.Tree {
	t.Helper()
	out, err := wire.ParseTree([]byte(document))
	require.NoError(t, err)
	return out
}

func TestTTL(t *testing.T) {
	optimized, disabled := managedPolicies[0].object().config, managedPolicies[2].object().config
	bounded := tree(t, `<CachePolicyConfig><MinTTL>10</MinTTL><DefaultTTL>60</DefaultTTL><MaxTTL>300</MaxTTL></CachePolicyConfig>`)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for name, x := range map[string]struct {
		policy  *wire.Tree
		control string
		status  int
		seconds int
	}{
		"default":                     {optimized, "", 200, 86400},
		"max-age":                     {optimized, "public, max-age=300", 200, 300},
		"s-maxage wins":               {optimized, "max-age=300, s-maxage=60", 200, 60},
		"nothing cached, but minimum": {optimized, "no-store", 200, 1},
		"caching disabled":            {disabled, "max-age=300", 200, 0},
		"above the maximum":           {bounded, "max-age=3600", 200, 300},
		"below the minimum":           {bounded, "max-age=1", 200, 10},
		"bounded default":             {bounded, "", 200, 60},
		"an error":                    {optimized, "", 403, 10},
		"an error with max-age":       {optimized, "max-age=60", 404, 60},
		"an error, configured":        {optimized, "", 500, 0},
		"a redirect":                  {optimized, "max-age=60", 301, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if x.control != "" {
				h.Set("Cache-Control", x.control)
			}
			st := &site{policy: x.policy, errorTTL: map[int]int64{500: 0}}
			require.Equal(t, time.Duration(x.seconds)*time.Second, st.ttl(h, x.status, now))
		})
	}
	expires := http.Header{"Expires": {now.Add(90 * time.Second).Format(http.TimeFormat)}}
	require.Equal(t, 90*time.Second, (&site{policy: optimized}).ttl(expires, 200, now))
	legacy := &site{behavior: tree(t, `<B><MinTTL>0</MinTTL><DefaultTTL>5</DefaultTTL><MaxTTL>9</MaxTTL></B>`)}
	require.Equal(t, 5*time.Second, legacy.ttl(http.Header{}, 200, now))
}

func TestMatchPath(t *testing.T) {
	for _, x := range []struct {
		pattern, path string
		match         bool
	}{
		{"/.well-known/*", "/.well-known/openid-configuration", true}, {".well-known/*", "/.well-known/x", true}, {"*.json", "/a/keys.json", true},
		{"/keys.jso?", "/keys.json", true}, {"/Keys.json", "/keys.json", false}, {"/a", "/ab", false}, {"*", "/", true},
	} {
		require.Equal(t, x.match, matchPath(x.pattern, x.path), "%s on %s", x.pattern, x.path)
	}
}

func TestOriginHost(t *testing.T) {
	for host, want := range map[string]string{"b.s3.eu-central-1.amazonaws.com": "eu-central-1", "b.s3.amazonaws.com": "us-east-1", "a.b.s3.eu-west-1.amazonaws.com": "eu-west-1"} {
		got, ok := originHost(host)
		require.True(t, ok, host)
		require.Equal(t, want, got)
	}
	for _, host := range []string{"example.com", "b.s3-website.eu-central-1.amazonaws.com", "s3.eu-central-1.amazonaws.com", "ec2.eu-central-1.amazonaws.com"} {
		_, ok := originHost(host)
		require.False(t, ok, host)
	}
}

func TestDecorate(t *testing.T) {
	st := &site{headers: tree(t, `<C><SecurityHeadersConfig>
		<StrictTransportSecurity><Override>true</Override><AccessControlMaxAgeSec>60</AccessControlMaxAgeSec><IncludeSubdomains>true</IncludeSubdomains></StrictTransportSecurity>
		<FrameOptions><Override>false</Override><FrameOption>DENY</FrameOption></FrameOptions></SecurityHeadersConfig>
		<CustomHeadersConfig><Items><ResponseHeadersPolicyCustomHeader><Header>X-A</Header><Value>1</Value><Override>true</Override></ResponseHeadersPolicyCustomHeader></Items></CustomHeadersConfig>
		<RemoveHeadersConfig><Items><ResponseHeadersPolicyRemoveHeader><Header>Server</Header></ResponseHeadersPolicyRemoveHeader></Items></RemoveHeadersConfig>
		<CorsConfig><AccessControlAllowOrigins><Items><Origin>https://a.example</Origin></Items></AccessControlAllowOrigins><OriginOverride>true</OriginOverride></CorsConfig></C>`)}
	h := http.Header{"Server": {"AmazonS3"}, "X-Frame-Options": {"SAMEORIGIN"}}
	r := &http.Request{Header: http.Header{"Origin": {"https://a.example"}}}
	st.decorate(h, r)
	require.Equal(t, http.Header{"X-Frame-Options": {"SAMEORIGIN"}, "Strict-Transport-Security": {"max-age=60; includeSubDomains"}, "X-A": {"1"},
		"Access-Control-Allow-Origin": {"https://a.example"}, "Vary": {"Origin"}}, h)
	h = http.Header{}
	st.decorate(h, &http.Request{Header: http.Header{"Origin": {"https://b.example"}}})
	require.Empty(t, h.Get("Access-Control-Allow-Origin"))
}

func TestCacheKey(t *testing.T) {
	st := &site{origin: tree(t, `<O><Id>s3</Id></O>`), behavior: tree(t, `<B/>`), policy: tree(t, `<C><ParametersInCacheKeyAndForwardedToOrigin>
		<QueryStringsConfig><QueryStringBehavior>whitelist</QueryStringBehavior><QueryStrings><Items><Name>v</Name></Items></QueryStrings></QueryStringsConfig>
		<HeadersConfig><HeaderBehavior>whitelist</HeaderBehavior><Headers><Items><Name>X-Tenant</Name></Items></Headers></HeadersConfig>
		<CookiesConfig><CookieBehavior>none</CookieBehavior></CookiesConfig></ParametersInCacheKeyAndForwardedToOrigin></C>`)}
	key := func(url, tenant, cookie string) string {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		require.NoError(t, err)
		r.Header.Set("X-Tenant", tenant)
		r.Header.Set("Cookie", cookie)
		return st.key(r)
	}
	base := key("https://h/a?v=1", "t", "c=1")
	require.Equal(t, base, key("https://h/a?v=1&other=2", "t", "c=2"))
	require.NotEqual(t, base, key("https://h/a?v=2", "t", "c=1"))
	require.NotEqual(t, base, key("https://h/a?v=1", "u", "c=1"))
	require.NotEqual(t, base, key("https://h/b?v=1", "t", "c=1"))
}
