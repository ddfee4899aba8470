package cloudfront

import (
	"net/http"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// decorate applies the response headers policy to the answer for a viewer.
func (st *site) decorate(h http.Header, r *http.Request) {
	if st.headers == nil {
		return
	}
	set := func(name, value string, override bool) {
		if value != "" && (override || h.Get(name) == "") {
			h.Set(name, value)
		}
	}
	for _, x := range st.headers.Find("RemoveHeadersConfig", "Items").All("ResponseHeadersPolicyRemoveHeader") {
		h.Del(x.Get("Header"))
	}
	cors(st.headers.Find("CorsConfig"), h, r, set)
	sec := st.headers.Find("SecurityHeadersConfig")
	if x := sec.Find("StrictTransportSecurity"); x != nil {
		value := "max-age=" + x.Get("AccessControlMaxAgeSec")
		if x.Bool("IncludeSubdomains") {
			value += "; includeSubDomains"
		}
		if x.Bool("Preload") {
			value += "; preload"
		}
		set("Strict-Transport-Security", value, x.Bool("Override"))
	}
	if x := sec.Find("ContentTypeOptions"); x != nil {
		set("X-Content-Type-Options", "nosniff", x.Bool("Override"))
	}
	for name, path := range map[string][2]string{"X-Frame-Options": {"FrameOptions", "FrameOption"}, "Referrer-Policy": {"ReferrerPolicy", "ReferrerPolicy"},
		"Content-Security-Policy": {"ContentSecurityPolicy", "ContentSecurityPolicy"}} {
		if x := sec.Find(path[0]); x != nil {
			set(name, x.Get(path[1]), x.Bool("Override"))
		}
	}
	if x := sec.Find("XSSProtection"); x != nil {
		value := "0"
		if x.Bool("Protection") {
			value = "1"
			if x.Bool("ModeBlock") {
				value += "; mode=block"
			}
			if report := x.Get("ReportUri"); report != "" {
				value += "; report=" + report
			}
		}
		set("X-XSS-Protection", value, x.Bool("Override"))
	}
	for _, x := range st.headers.Find("CustomHeadersConfig", "Items").All("ResponseHeadersPolicyCustomHeader") {
		set(x.Get("Header"), x.Get("Value"), x.Bool("Override"))
	}
}

// cors answers a request that names an origin which the policy allows.
func cors(c *wire.Tree, h http.Header, r *http.Request, set func(name, value string, override bool)) {
	origin := r.Header.Get("Origin")
	if c == nil || origin == "" {
		return
	}
	list := func(name, member string) []string {
		var out []string
		for _, x := range c.Find(name, "Items").All(member) {
			out = append(out, strings.TrimSpace(x.Text))
		}
		return out
	}
	origins, override := list("AccessControlAllowOrigins", "Origin"), c.Bool("OriginOverride")
	switch {
	case slices.Contains(origins, "*"):
		set("Access-Control-Allow-Origin", "*", override)
	case slices.Contains(origins, origin):
		set("Access-Control-Allow-Origin", origin, override)
		h.Add("Vary", "Origin")
	default:
		return
	}
	if c.Bool("AccessControlAllowCredentials") {
		set("Access-Control-Allow-Credentials", "true", override)
	}
	set("Access-Control-Expose-Headers", strings.Join(list("AccessControlExposeHeaders", "Header"), ", "), override)
}
