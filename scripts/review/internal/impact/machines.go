package impact

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// bootText is what a machine runs when it boots, decoded: EC2 takes it plain or as base64, and cloud-init unpacks gzip.
func bootText(r *preview.Resource) (text string, known bool) {
	for _, p := range []string{"userData", "userDataBase64"} {
		v, ok := r.Value(p).(string)
		if !ok || v == "" {
			continue
		}
		if strings.Contains(v, preview.Unknown) || v == preview.Secret {
			return "", false
		}
		return decoded(v), true
	}
	return "", false
}

const maxBoot = 1 << 20

func decoded(text string) string {
	raw := []byte(text)
	if data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil && len(data) > 0 {
		raw = data
	}
	if r, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
		if data, err := io.ReadAll(io.LimitReader(r, maxBoot)); err == nil {
			raw = data
		}
	}
	if text = string(raw); strings.Contains(text, "Content-Type:") {
		return plainParts(text)
	}
	return text
}

// plainParts are the parts of MIME data as cloud-init reads them, or the data itself.
func plainParts(text string) string {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return text
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return text
	}
	if !strings.HasPrefix(kind, "multipart/") {
		body, err := io.ReadAll(io.LimitReader(m.Body, maxBoot))
		if err != nil || !strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "base64") {
			return text
		}
		return decoded(string(body))
	}
	var parts []string
	for r := multipart.NewReader(m.Body, parameters["boundary"]); ; {
		p, err := r.NextRawPart()
		if err != nil {
			if !errors.Is(err, io.EOF) || len(parts) == 0 {
				return text
			}
			return strings.Join(parts, "\n")
		}
		body, err := io.ReadAll(io.LimitReader(p, maxBoot))
		if err != nil {
			return text
		}
		part := string(body)
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "base64") {
			part = decoded(part)
		}
		parts = append(parts, "# "+p.Header.Get("Content-Type"), part)
	}
}

var bootFlag = regexp.MustCompile(`(?m)^\s*-\s*["']?([a-z][a-z0-9-]*)[+-]?=([^"'\n]*?)["']?\s*$`)

// flagArgument is K3s' argument with flags of a process in one line: a list or a text in its configuration, or on its command
// line (docs.k3s.io, "k3s server", "Customized Flags for Kubernetes Processes").
var (
	flagArgument = regexp.MustCompile(`(?m)\b(?:kube-apiserver|kube-controller-manager|kube-cloud-controller-manager|kube-scheduler|kube-proxy|kubelet|etcd)-arg\+?["']?[:=\t ]+([^\s#](?:[^\n]*?))(?:\s-|$)`)
	oneFlag      = regexp.MustCompile(`(?:^|[\s"',\[])([a-z][a-z0-9-]*)=([^"'\s,\]]*)`)
)

// bootFlags are the flags of the cluster's processes in a machine's boot data, each with its values in their order.
func bootFlags(text string) map[string][]string {
	flags := map[string][]string{}
	for _, m := range bootFlag.FindAllStringSubmatch(text, -1) {
		flags[m[1]] = append(flags[m[1]], strings.TrimSpace(m[2]))
	}
	for _, m := range flagArgument.FindAllStringSubmatch(text, -1) {
		for _, f := range oneFlag.FindAllStringSubmatch(m[1], -1) {
			flags[f[1]] = append(flags[f[1]], f[2])
		}
	}
	return flags
}

// substance leaves of boot data what is not a comment or an empty line.
func substance(text string) string {
	var lines []string
	for i, line := range strings.Split(text, "\n") {
		t := strings.TrimSpace(line)
		if t == "" || strings.HasPrefix(t, "#") && i > 0 && !strings.HasPrefix(t, "#!") {
			continue
		}
		lines = append(lines, strings.TrimRight(line, " \t\r"))
	}
	return strings.Join(lines, "\n")
}

var issuerLine = regexp.MustCompile(`(?m)^\s*-\s*["']?service-account-issuer=.*\n?`)

var joinToken = regexp.MustCompile(`(?m)^\s*(?:export\s+)?(?:K3S_TOKEN|K3S_AGENT_TOKEN|token|agent-token)\s*[:=]\s*["']?([^"'\s$]{8,})`)

// Who pulls images by a credential provider of the kubelet.
const (
	machineItself = "machine"
	eachPod       = "pod"
)

// pullsAs is as whom a machine's kubelet asks for credentials, by the configuration of its credential providers in what it
// boots with (kubelet.config.k8s.io/v1); empty where it has none.
func pullsAs(boot string) string {
	switch {
	case !strings.Contains(boot, "CredentialProviderConfig"):
		return ""
	case strings.Contains(boot, "tokenAttributes:"):
		return eachPod
	}
	return machineItself
}

// bootData: what machines run when they boot, the flags of the API server among it.
func (w *world) bootData() []Sign {
	var signs []Sign
	for _, t := range []string{typeInstance, typeLaunchTemplate} {
		for _, c := range w.byType[t] {
			if c.After == nil || c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import {
				continue
			}
			name := c.Now().Name()
			is, known := bootText(c.After)
			was, wasKnown := bootText(c.Before)
			if !known {
				if c.Before != nil && len(differs(c, "userData", "userDataBase64")) > 0 || c.Before == nil && !w.initial && !w.newParent(c.Now()) && cmp.Or(c.After.Value("userData"), c.After.Value("userDataBase64")) != nil {
					signs = append(signs, sign(Warning, "unclear", "what "+name+" runs when it boots is known only after the update", "the preview cannot show the flags of its processes", "make what it is computed from exist first", c))
				}
				continue
			}
			// Key material in what is not plain text is seen only here.
			if showsSecret(was+textOf(c.After.Inputs["userData"]), is) {
				signs = append(signs, sign(Danger, "secret-plain", name+": a secret would be in its user data", "every process on the machine reads it, and pods where they reach the metadata service", "give it by a parameter that the machine's role reads", c))
			}
			if m := joinToken.FindString(is); m != "" && !joinToken.MatchString(was) {
				signs = append(signs, sign(Danger, "secret-plain", name+": a join token would be in its user data", "whoever reads it can join a machine to the cluster", "give it by a parameter that the machine's role reads", c))
			}
			if c.Before == nil && !w.initial && !w.newParent(c.Now()) && !w.bootsLikeAnother(c, is) {
				signs = append(signs, sign(Warning, "boot-data-changed", "what the new machine "+name+" runs when it boots is what no other one runs", "the machine's role, and on servers the cluster's keys, are in the hands of what it runs", "read it in the preview", c))
			}
			if c.Before == nil || !wasKnown {
				signs = append(signs, flagSigns(c, nil, bootFlags(is))...)
				continue
			}
			if issuerLine.ReplaceAllString(substance(was), "") == issuerLine.ReplaceAllString(substance(is), "") && (len(bootFlags(was)["service-account-issuer"]) == 0) == (len(bootFlags(is)["service-account-issuer"]) == 0) {
				continue // comments, or issuers, which are judged with the issuers
			}
			if pullsAs(was) == machineItself && pullsAs(is) == eachPod && !removed(c) { // a replaced one has another disk
				signs = append(signs, sign(Warning, "images-kept", "what "+name+" has pulled with its own role stays every pod's on it", "a pod that may not pull an image starts it from the machine's disk: the kubelet has written down that it is for all of them", "replace the machine after this update (docs/images.md)", c))
			}
			before, after := bootFlags(was), bootFlags(is)
			if steps, explained := w.keySteps(c); explained {
				signs = append(signs, steps...)
				for _, flag := range []string{keyFile, signingFile, managerFile} {
					delete(before, flag)
					delete(after, flag)
				}
				was, is = withoutSigning(was), withoutSigning(is)
			}
			flags := flagSigns(c, before, after)
			signs = append(signs, flags...)
			if len(flags) == 0 && issuerLine.ReplaceAllString(substance(was), "") != issuerLine.ReplaceAllString(substance(is), "") {
				signs = append(signs, sign(Warning, "boot-data-changed", "what "+name+" runs when it boots changes", "the machine's role, and on servers the cluster's keys, are in the hands of what it runs", "read the difference in the preview", c))
			}
		}
	}
	return signs
}

// bootsLikeAnother tells whether a machine that was there before ran the same.
func (w *world) bootsLikeAnother(c *preview.Change, text string) bool {
	return slices.ContainsFunc(w.byType[c.Now().Type], func(o *preview.Change) bool {
		was, known := bootText(o.Before)
		return known && substance(was) == substance(text)
	})
}

// dangerousFlags are flags of the API server, the controller manager and the kubelet that decide who is who (Kubernetes'
// command line reference of kube-apiserver and kubelet).
func dangerousFlag(name, value string) string {
	on, err := strconv.ParseBool(value) // as Kubernetes reads it: 1 and T are true too
	off := err == nil && !on
	switch name {
	case "authorization-mode":
		if strings.Contains(value, "AlwaysAllow") {
			return "everybody may do everything in the cluster"
		}
	case "anonymous-auth":
		if on {
			return "callers without credentials are let in as system:anonymous"
		}
	case "insecure-port", "insecure-bind-address":
		return "the API server answers without authentication"
	case "enable-admission-plugins":
		if strings.Contains(value, "AlwaysAdmit") {
			return "nothing is refused at admission"
		}
	case "token-auth-file", "basic-auth-file":
		return "whoever writes that file makes users"
	case "service-account-lookup":
		if off {
			return "tokens of deleted ServiceAccounts stay good"
		}
	case "read-only-port":
		if value != "0" {
			return "the kubelet answers without authentication"
		}
	}
	return ""
}

// whoIsWho are the flags whose every change decides which tokens and certificates are accepted, or what they may do.
var whoIsWho = []string{"service-account-key-file", "service-account-signing-key-file", "service-account-private-key-file", "api-audiences", "client-ca-file",
	"requestheader-client-ca-file", "requestheader-allowed-names", "authentication-token-webhook-config-file", "authorization-webhook-config-file",
	"authentication-config", "authorization-config", "authorization-mode", "anonymous-auth", "oidc-issuer-url", "oidc-client-id", "oidc-username-claim", "oidc-username-prefix",
	"oidc-groups-claim", "oidc-groups-prefix", "oidc-ca-file", "oidc-required-claim", "enable-admission-plugins", "disable-admission-plugins",
	"service-account-jwks-uri", "service-account-max-token-expiration", "encryption-provider-config", "kubelet-certificate-authority", "cluster-signing-key-file"}

func flagSigns(c *preview.Change, before, after map[string][]string) []Sign {
	var signs []Sign
	name := c.Now().Name()
	names := map[string]bool{}
	for _, m := range []map[string][]string{before, after} {
		for k := range m {
			names[k] = true
		}
	}
	const safe = "leave the flag as it was; look it up in the Kubernetes reference before"
	for _, flag := range sortedKeys(names) {
		was, is := before[flag], after[flag]
		if slices.Equal(was, is) || flag == "service-account-issuer" && before != nil && len(is) > 0 {
			continue // issuers are judged with the issuers
		}
		dangerous := false
		for _, v := range difference(is, was) {
			if why := dangerousFlag(flag, v); why != "" {
				dangerous = true
				signs = append(signs, sign(Danger, "flag-dangerous", fmt.Sprintf("%s runs with %s=%s", name, flag, v), why, safe, c))
			}
		}
		switch {
		case dangerous || before == nil:
		case flag == "service-account-issuer":
			signs = append(signs, sign(Danger, "issuer-dropped", name+" no longer names an issuer", "tokens are signed for the cluster's default issuer, which AWS does not know", "keep the issuer's flag", c))
		case slices.Contains(whoIsWho, flag):
			signs = append(signs, sign(Warning, "flag-changed", fmt.Sprintf("%s runs with %s=%s in place of %s", name, flag, orNone(strings.Join(is, ", ")), orNone(strings.Join(was, ", "))),
				"the flag decides who is who, or who may do what", safe, c))
		default:
			signs = append(signs, sign(Warning, "flag-changed", fmt.Sprintf("%s changes the flag %s", name, flag), "it is a flag of the cluster's processes", safe, c))
		}
	}
	return signs
}

// machines: which role a machine has, and how it is reached.
func (w *world) machines() []Sign {
	var signs []Sign
	was, is := w.machineRoles(before), w.machineRoles(after)
	serverRoles := w.serverRoles()
	const safe = "give each kind of machine a role of its own"
	gets := func(c *preview.Change, role string) {
		if v, _ := c.After.Text("iamInstanceProfile"); role == "" && v == "" && len(c.After.PropertyDependencies["iamInstanceProfile"]) == 0 {
			signs = append(signs, sign(Warning, "profile-swapped", c.Now().Name()+" loses its role", "what runs on the machine has no permissions any more: it cannot read its secrets when it boots", safe, c))
		} else if serverRoles[role] && !isServer(c.After) {
			signs = append(signs, sign(Danger, "profile-swapped", fmt.Sprintf("%s gets the role of the servers, %s", c.Now().Name(), lastName(role)),
				"the servers' role reads the signing key: whoever is on the machine can be every identity", safe, c))
		} else if c.Before != nil {
			signs = append(signs, sign(Warning, "profile-swapped", fmt.Sprintf("%s gets the role %s", c.Now().Name(), orUnknown(lastName(role))),
				"what runs on the machine has the permissions of that role", safe, c))
		}
	}
	for _, t := range []string{typeInstance, typeLaunchTemplate} {
		for _, c := range w.byType[t] {
			if c.After == nil || c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import {
				continue
			}
			old, now := roleOf(c.Before, was), roleOf(c.After, is)
			switch {
			case c.Before == nil && now != "":
				gets(c, now)
			case c.Before == nil:
			case now != "" && now != old, now == "" && changed(c, "iamInstanceProfile"):
				gets(c, now)
			}
			if c.Before == nil {
				continue
			}
			for _, p := range differs(c, "vpcSecurityGroupIds", "securityGroups", "securityGroupNames", "networkInterfaces") {
				signs = append(signs, sign(Warning, "machine-reached", fmt.Sprintf("%s changes its %s", c.Now().Name(), p), "other addresses may reach it", "see which rules the new groups have", c))
			}
			for _, p := range differs(c, "keyName", "associatePublicIpAddress", "sourceDestCheck", "subnetId") {
				if p == "subnetId" && w.madeHere(c.After, p) {
					continue
				}
				signs = append(signs, sign(Warning, "machine-reached", fmt.Sprintf("%s changes its %s", c.Now().Name(), p), "somebody else may get onto the machine, or pass through it", "leave it as it was", c))
			}
			for _, p := range differs(c, "rootBlockDevice", "ebsBlockDevices", "blockDeviceMappings") {
				if encrypted(c.Before.Value(p)) > encrypted(c.After.Value(p)) {
					signs = append(signs, sign(Warning, "secret-plain", c.Now().Name()+": a disk would not be encrypted ("+p+")", "its snapshots and copies show what the machine holds, on servers the signing key", "keep encrypted at true", c))
				}
			}
			for _, p := range differs(c, "ami", "imageId", "launchTemplate") {
				signs = append(signs, sign(Warning, "image-changed", fmt.Sprintf("%s runs another image (%s)", c.Now().Name(), p), "whoever makes the image has the machine, and its role", "see that the image's owner is the one that you expect", c))
			}
		}
	}
	for _, c := range w.byType[typeProfile] {
		if c.Before == nil || c.After == nil || !changed(c, "role") {
			if removed(c) {
				signs = append(signs, sign(Warning, "profile-replaced", "the instance profile "+c.Now().Name()+" is "+verb(c), "machines of the old one lose their role", "keep its name and path", c))
			}
			continue
		}
		role := is[c.After.URN]
		level, why := Warning, "all machines of the profile have the permissions of that role"
		if serverRoles[role] && !serverRoles[was[c.Before.URN]] {
			level, why = Danger, "the servers' role reads the signing key: whoever is on such a machine can be every identity"
		}
		signs = append(signs, sign(level, "profile-swapped", fmt.Sprintf("the instance profile %s gets the role %s", c.Now().Name(), orUnknown(lastName(role))), why, safe, c))
	}
	return signs
}

// encrypted counts the encrypted disks in what an instance or launch template says of its disks.
func encrypted(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n += encrypted(x)
		}
	case map[string]any:
		if v["encrypted"] == true || v["encrypted"] == "true" {
			n++
		}
		n += encrypted(v["ebs"])
	}
	return n
}

// routes: which networks the machines' own newly leads to, and which machines the internet leads to.
func (w *world) routes() []Sign {
	var signs []Sign
	tableIsNew := func(r *preview.Resource) bool {
		for _, urn := range r.PropertyDependencies["routeTableId"] {
			if c := w.byURN[urn]; c != nil && c.Before == nil {
				return true
			}
		}
		return false
	}
	const why, safe = "other machines may try to reach these", "see whose network it is"
	for _, c := range w.byType["aws:ec2/route:Route"] {
		if c.After == nil || w.initial || c.Op == preview.Import {
			continue
		}
		var target []string
		for p := range c.After.Inputs {
			if p != "routeTableId" && p != "natGatewayId" && p != "egressOnlyGatewayId" && !strings.HasPrefix(p, "destination") && !strings.HasPrefix(p, "__") && (c.Before == nil || changed(c, p)) {
				target = append(target, p)
			}
		}
		slices.Sort(target)
		switch {
		case c.Before == nil && tableIsNew(c.After) && slices.Equal(target, []string{"gatewayId"}):
		case len(target) > 0 && c.Op != preview.Same, len(differs(c, "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")) > 0:
			signs = append(signs, sign(Warning, "machine-reached", "the route "+c.Now().Name()+" leads to another network", why, safe, c))
		}
	}
	for _, c := range w.byType["aws:ec2/routeTableAssociation:RouteTableAssociation"] {
		if len(differs(c, "routeTableId", "gatewayId")) > 0 {
			signs = append(signs, sign(Warning, "machine-reached", c.Now().Name()+": the subnet gets another route table", why, "see where its routes lead", c))
		}
	}
	for _, c := range w.byType["aws:ec2/subnet:Subnet"] {
		if d := differs(c, "mapPublicIpOnLaunch", "assignIpv6AddressOnCreation"); len(d) > 0 && c.After.Value(d[0]) == true {
			signs = append(signs, sign(Warning, "machine-reached", c.Now().Name()+": new machines get a public address", "whoever the firewall lets in reaches them from the internet", "leave it off", c))
		}
	}
	return signs
}

// lastName is the logical name in a URN, or what comes after a slash.
func lastName(s string) string {
	if i := strings.LastIndex(s, "::"); i >= 0 {
		return s[i+2:]
	}
	return s[strings.LastIndex(s, "/")+1:]
}

// addresses: what others know the cluster by.
func (w *world) addresses() []Sign {
	var signs []Sign
	for _, t := range []string{"aws:ec2/eip:Eip", "aws:ec2/eipAssociation:EipAssociation"} {
		for _, c := range w.byType[t] {
			if c.Before == nil {
				continue
			}
			switch {
			case removed(c) && t == "aws:ec2/eip:Eip":
				signs = append(signs, sign(Warning, "address-released", "the address "+c.Now().Name()+" is "+verb(c), "nodes and kubeconfigs that know the API server by it reach nobody, or whoever gets the address next", "keep the address, or move its clients first", c))
			case c.Op == preview.Delete:
				signs = append(signs, sign(Warning, "address-released", "nothing answers on the address "+c.Now().Name()+" any more", "nodes and kubeconfigs that know the API server by it reach nobody", "move its clients first", c))
			case len(differs(c, "instanceId", "allocationId", "instance", "networkInterface")) > 0:
				signs = append(signs, sign(Warning, "address-moved", "the address "+c.Now().Name()+" leads to another machine", "clients of the API server reach that one", "see that it is a server", c))
			}
		}
	}
	for _, c := range w.byType["aws:lb/targetGroupAttachment:TargetGroupAttachment"] {
		to, known := c.After.Text("targetId")
		if c.Op != preview.Import && known && (c.Before == nil && !w.initial || changed(c, "targetId")) && !slices.ContainsFunc(w.byType[typeInstance], func(m *preview.Change) bool { return m.After != nil && m.After.ID == to }) {
			signs = append(signs, sign(Warning, "address-moved", "the load balancer's target "+c.Now().Name()+" becomes "+to+", which is no machine of this stack", "clients of the API server reach that one", "see that it is a server", c))
		}
	}
	for _, c := range w.byType["aws:lb/loadBalancer:LoadBalancer"] {
		if c.After != nil && c.Before != nil && changed(c, "internal") {
			signs = append(signs, sign(Warning, "open-to-internet", "the load balancer "+c.Now().Name()+" changes between internal and internet-facing", "anybody may try", "keep it internal", c))
		}
		if c.Before != nil && removed(c) {
			signs = append(signs, sign(Warning, "address-released", "the load balancer "+c.Now().Name()+" is "+verb(c), "its name, by which the API server is known, goes", "move its clients first", c))
		}
	}
	return signs
}

// opening is what a security group lets in.
type opening struct{ protocol, source, from, to string }

func (o opening) ports() string {
	switch {
	case o.protocol == "-1" || o.protocol == "all":
		return "every port and protocol"
	case o.from == o.to:
		return "port " + o.from
	}
	return "ports " + o.from + " to " + o.to
}

// openings reads the three forms in which a stack declares what is let in.
func openings(r *preview.Resource) (list []opening, clear bool) {
	if r == nil {
		return nil, true
	}
	clear = true
	add := func(m map[string]any, protocol, from, to string, sources ...string) {
		text := func(k string) string {
			switch v := m[k].(type) {
			case float64:
				return fmt.Sprintf("%.0f", v)
			case string:
				return v
			}
			return ""
		}
		p := text(protocol)
		if n, ok := map[string]string{"6": "tcp", "17": "udp", "all": "-1"}[p]; ok {
			p = n
		}
		for _, k := range sources {
			values := listOf(m[k])
			if m[k] == true {
				values = []string{"itself"}
			}
			for _, v := range values {
				if strings.Contains(v, preview.Unknown) {
					clear = false
				}
				list = append(list, opening{p, v, text(from), text(to)})
			}
		}
	}
	switch r.Type {
	case typeIngressRule:
		add(r.Inputs, "ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
	case typeGroupRule:
		if t, _ := r.Text("type"); t != "egress" {
			add(r.Inputs, "protocol", "fromPort", "toPort", "cidrBlocks", "ipv6CidrBlocks", "prefixListIds", "sourceSecurityGroupId", "self")
		}
	default:
		if unknown(r.Value("ingress")) {
			clear = false
		}
		for _, v := range asList(r.Value("ingress")) {
			if m, ok := v.(map[string]any); ok {
				add(m, "protocol", "fromPort", "toPort", "cidrBlocks", "ipv6CidrBlocks", "prefixListIds", "securityGroups", "self")
			} else {
				clear = false
			}
		}
	}
	return list, clear
}

func listOf(v any) []string {
	if s, ok := v.(string); ok && s != "" {
		return []string{s}
	}
	return list(v)
}

func worldwide(source string) bool {
	p, err := netip.ParsePrefix(source)
	return err == nil && access.Wide(p)
}

// lets tells whether an opening contains another one.
func (o opening) lets(x opening) bool {
	if o.protocol != "-1" && (o.protocol != x.protocol || !portsWithin(o, x)) {
		return false
	}
	if o.source == x.source {
		return true
	}
	wide, err1 := netip.ParsePrefix(o.source)
	narrow, err2 := netip.ParsePrefix(x.source)
	return err1 == nil && err2 == nil && wide.Bits() <= narrow.Bits() && wide.Contains(narrow.Addr())
}

func portsWithin(o, x opening) bool {
	var a, b, c, d int
	for _, p := range []struct {
		text string
		to   *int
	}{{o.from, &a}, {o.to, &b}, {x.from, &c}, {x.to, &d}} {
		if _, err := fmt.Sscan(p.text, p.to); err != nil {
			return o.from == x.from && o.to == x.to
		}
	}
	return a <= c && d <= b || a == -1 && b == -1
}

// firewall: what newly reaches the machines, in all three forms.
func (w *world) firewall() []Sign {
	var signs []Sign
	// What a group let in before, in whatever form, so that another form of the same is nothing.
	had := map[string][]opening{}
	group := func(r *preview.Resource) string {
		if r.Type == typeSecurityGroup || r.Type == typeDefaultGroup {
			return r.URN
		}
		id, known := r.Text("securityGroupId")
		for _, c := range w.byType[typeSecurityGroup] {
			if c.Now().ID == id && known {
				return c.Now().URN
			}
		}
		for _, urn := range r.PropertyDependencies["securityGroupId"] {
			if g := w.byURN[urn]; preview.TypeOf(urn) == typeSecurityGroup && (!known || g != nil && g.Now().ID == "") {
				return urn
			}
		}
		return id
	}
	types := []string{typeIngressRule, typeGroupRule, typeSecurityGroup, typeDefaultGroup}
	for _, t := range types {
		for _, c := range w.byType[t] {
			if c.Before != nil {
				list, _ := openings(c.Before)
				had[group(c.Before)] = append(had[group(c.Before)], list...)
			}
		}
	}
	for _, t := range types {
		for _, c := range w.byType[t] {
			if c.After == nil || c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import {
				continue
			}
			list, clear := openings(c.After)
			if !clear && c.Before == nil && !w.initial && !groupIsNew(w, group(c.After)) || !clear && c.Before != nil && (t == typeSecurityGroup || len(differs(c, "cidrIpv4", "cidrIpv6", "cidrBlocks", "ipv6CidrBlocks", "prefixListId", "prefixListIds")) > 0) {
				signs = append(signs, sign(Warning, "unclear", "whom "+c.Now().Name()+" lets in is known only after the update", "the preview cannot show it", "make it exist first", c))
			}
			old := had[group(c.After)]
			for _, o := range list {
				if strings.Contains(o.source, preview.Unknown) || slices.ContainsFunc(old, func(x opening) bool { return x.lets(o) }) {
					continue
				}
				switch {
				case worldwide(o.source):
					what := o.ports() + " is open to the internet"
					if strings.HasPrefix(what, "ports") {
						what = o.ports() + " are open to the internet"
					}
					if o.source != "0.0.0.0/0" && o.source != "::/0" {
						what += " (" + o.source + ")"
					}
					signs = append(signs, sign(Warning, "open-to-internet", what, "anybody may try", "name the addresses that need it (network.apiCidrs)", c))
				case w.initial || c.Before == nil && groupIsNew(w, group(c.After)):
				default:
					signs = append(signs, sign(Warning, "firewall-opened", fmt.Sprintf("%s: %s from %s", c.Now().Name(), o.ports(), o.source), "more machines may try", "name the addresses and ports that need it", c))
				}
			}
		}
	}
	return signs
}

func groupIsNew(w *world, urn string) bool {
	c := w.byURN[urn]
	return c != nil && c.Before == nil
}
