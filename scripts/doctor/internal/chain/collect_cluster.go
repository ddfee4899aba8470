package chain

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/stack"
)

// What marks objects of the program (components/workload, components/injection).
const (
	partOfLabel      = "app.kubernetes.io/part-of"
	partOf           = "k3s-aws-auth"
	injectionLabel   = "k3s-aws-auth/injection"
	annotationPrefix = "eks.amazonaws.com/"
	ownPrefix        = "k3s-aws-auth/"
	stsAudience      = "sts.amazonaws.com"
)

// Nobody is the audience of the token whose claims are looked at: neither AWS nor the API server takes it.
const Nobody = "doctor.k3s-aws-auth.invalid"

func (c *collector) cluster(ctx context.Context) {
	if c.Cluster == nil {
		c.miss("the cluster", errors.New("no kubeconfig was given"))
		return
	}
	// The first answer tells whether there is an API server at all: every other part would say the same again.
	if err := c.api(ctx); err != nil && !answered(err) {
		c.miss("the cluster", err)
		return
	}
	var secrets []corev1.Secret
	var configMaps []corev1.ConfigMap
	var pods []corev1.Pod
	var leases []coordinationv1.Lease
	core := c.Cluster.Client.CoreV1()
	c.parallel(
		func() { c.serviceAccounts(ctx) },
		func() {
			c.miss(partPods, each(ctx, func(o metav1.ListOptions) (runtime.Object, error) { return core.Pods("").List(ctx, o) }, func(p *corev1.Pod) { pods = append(pods, *p) }))
		},
		func() {
			if c.NoSecrets {
				c.decline(partSecrets, "--no-secrets")
				return
			}
			c.miss(partSecrets, each(ctx, func(o metav1.ListOptions) (runtime.Object, error) { return core.Secrets("").List(ctx, o) }, func(s *corev1.Secret) { secrets = append(secrets, *s) }))
		},
		func() {
			c.miss(partConfigMaps, each(ctx, func(o metav1.ListOptions) (runtime.Object, error) { return core.ConfigMaps("").List(ctx, o) }, func(m *corev1.ConfigMap) { configMaps = append(configMaps, *m) }))
		},
		func() {
			c.miss(partNodes, each(ctx, func(o metav1.ListOptions) (runtime.Object, error) { return core.Nodes().List(ctx, o) }, func(n *corev1.Node) {
				c.facts.Cluster.Nodes = append(c.facts.Cluster.Nodes, nodeOf(n))
			}))
		},
		func() {
			c.miss(partLeases, each(ctx, func(o metav1.ListOptions) (runtime.Object, error) {
				return c.Cluster.Client.CoordinationV1().Leases("kube-node-lease").List(ctx, o)
			}, func(l *coordinationv1.Lease) { leases = append(leases, *l) }))
		},
		func() { c.miss(partInjection, c.injectors(ctx)) },
	)
	if slices.ContainsFunc(c.facts.Cluster.Accounts, func(a ServiceAccount) bool { return a.PullRole != "" }) {
		c.miss(partNodeRoles, c.pullTokens(ctx))
	}
	c.nodeClocks(leases)
	c.pods(pods, secrets, configMaps)
	if !c.NoToken {
		c.miss(partToken, c.token(ctx))
	} else {
		c.decline(partToken, "--no-token")
	}
}

// answered tells an API server's refusal from one that is not there.
func answered(err error) bool {
	var status kube.StatusError
	return errors.As(err, &status)
}

// each calls do for all objects of a list, which is read in pages.
func each[T any](ctx context.Context, list func(metav1.ListOptions) (runtime.Object, error), do func(*T)) error {
	p := pager.New(func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(o) })
	return p.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		item, ok := any(o).(*T)
		if !ok {
			return fmt.Errorf("the API server lists a %T", o)
		}
		do(item)
		return nil
	})
}

// api reads the API server's discovery document and key set, and what the connection shows.
func (c *collector) api(ctx context.Context) error {
	answer, err := c.Cluster.Get(ctx, "/.well-known/openid-configuration")
	if err != nil {
		if answered(err) {
			c.miss(partAPI, err)
		}
		return err
	}
	out := &c.facts.Cluster
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		out.Ahead = seconds(time.Until(date))
	}
	if leaf := answer.Server; leaf != nil {
		out.Serving = &Validity{leaf.NotBefore, leaf.NotAfter}
	}
	if cert := c.Cluster.ClientCertificate(); cert != nil {
		out.Client = &Validity{cert.NotBefore, cert.NotAfter}
	}
	var d struct{ Issuer string }
	if err := json.Unmarshal(answer.Body, &d); err != nil {
		c.miss(partAPI, err)
		return nil
	}
	out.Issuer = d.Issuer
	if answer, err = c.Cluster.Get(ctx, "/openid/v1/jwks"); err == nil {
		out.Keys, err = keySet(answer.Body)
	}
	c.miss(partAPI, err)
	return nil
}

// seconds rounds, since a Date has no fraction.
func seconds(d time.Duration) *float64 {
	s := d.Round(time.Second).Seconds()
	return &s
}

func (c *collector) serviceAccounts(ctx context.Context) {
	core := c.Cluster.Client.CoreV1()
	c.miss(partAccounts, each(ctx, func(o metav1.ListOptions) (runtime.Object, error) { return core.ServiceAccounts("").List(ctx, o) }, func(a *corev1.ServiceAccount) {
		out := ServiceAccount{Namespace: a.Namespace, Name: a.Name,
			PartOf: a.Labels[partOfLabel] == partOf, Labelled: a.Labels[injectionLabel] == "enabled",
			Role: a.Annotations[annotationPrefix+"role-arn"], Audience: a.Annotations[annotationPrefix+"audience"], PullRole: a.Annotations[annotationPrefix+"ecr-role-arn"],
			Certificate: a.Annotations[ownPrefix+"certificate"]}
		if role := a.Annotations[ownPrefix+"role-arn"]; role != "" {
			out.Helper = &Helper{Role: role, Profile: a.Annotations[ownPrefix+"profile-arn"], Anchor: a.Annotations[ownPrefix+"trust-anchor-arn"],
				SessionName: a.Annotations[ownPrefix+"session-name"]}
		}
		c.facts.Cluster.Accounts = append(c.facts.Cluster.Accounts, out)
	}))
}

func nodeOf(n *corev1.Node) Node {
	out := Node{Name: n.Name}
	if id := n.Spec.ProviderID[strings.LastIndexByte(n.Spec.ProviderID, '/')+1:]; strings.HasPrefix(n.Spec.ProviderID, "aws://") && strings.HasPrefix(id, "i-") {
		out.Instance = id
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out.Addresses = append(out.Addresses, a.Address)
		}
	}
	_, out.Server = n.Labels["node-role.kubernetes.io/control-plane"]
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			out.Ready, out.posted = condition.Status == corev1.ConditionTrue, condition.LastHeartbeatTime.Time
		}
	}
	return out
}

func (c *collector) nodeClocks(leases []coordinationv1.Lease) {
	if c.facts.Cluster.Ahead == nil {
		return
	}
	now := time.Now().Add(time.Duration(*c.facts.Cluster.Ahead * float64(time.Second)))
	for _, l := range leases {
		if n := c.facts.node(l.Name); n != nil && l.Spec.RenewTime != nil {
			n.Ahead = seconds(l.Spec.RenewTime.Sub(now))
		}
	}
	// A status is up to 5 minutes old, so it tells of a clock that is ahead alone.
	for i := range c.facts.Cluster.Nodes {
		if n := &c.facts.Cluster.Nodes[i]; n.posted.Sub(now) > skew*time.Second && (n.Ahead == nil || *n.Ahead < n.posted.Sub(now).Seconds()) {
			n.Ahead = seconds(n.posted.Sub(now))
		}
	}
}

// injectors are the program's admission policy, and webhooks for pods' identities.
func (c *collector) injectors(ctx context.Context) error {
	beta := c.Cluster.Client.AdmissionregistrationV1beta1()
	selector := metav1.ListOptions{LabelSelector: partOfLabel + "=" + partOf}
	policies, err := beta.MutatingAdmissionPolicies().List(ctx, selector)
	if err != nil && !apierrors.IsNotFound(err) { // an API server without the API
		return err
	}
	if err == nil && len(policies.Items) > 0 {
		bindings, err := beta.MutatingAdmissionPolicyBindings().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range policies.Items {
			i := Injector{Kind: admissionPolicy, Name: p.Name, Why: "no binding names it"}
			for _, b := range bindings.Items {
				if b.Spec.PolicyName == p.Name {
					i.Works, i.Why = true, ""
				}
			}
			c.facts.Cluster.Injectors = append(c.facts.Cluster.Injectors, i)
		}
	}
	hooks, err := c.Cluster.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, h := range hooks.Items {
		for _, w := range h.Webhooks {
			if !strings.Contains(w.Name+h.Name, "pod-identity") || w.ClientConfig.Service == nil {
				continue
			}
			i := Injector{Kind: webhook, Name: h.Name}
			slices, err := c.Cluster.Client.DiscoveryV1().EndpointSlices(w.ClientConfig.Service.Namespace).List(ctx,
				metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + w.ClientConfig.Service.Name})
			if err != nil {
				return err
			}
			for _, s := range slices.Items {
				for _, e := range s.Endpoints {
					i.Works = i.Works || e.Conditions.Ready == nil || *e.Conditions.Ready
				}
			}
			if !i.Works {
				i.Why = "no pod behind its service " + w.ClientConfig.Service.Namespace + "/" + w.ClientConfig.Service.Name + " is ready"
			}
			c.facts.Cluster.Injectors = append(c.facts.Cluster.Injectors, i)
		}
	}
	return nil
}

// token asks for a token that nobody takes, and keeps its claims. Without an identity's service account there is nothing to
// learn from one.
func (c *collector) token(ctx context.Context) error {
	if !c.facts.sees(partAccounts) {
		return nil
	}
	var namespace, name string
	for _, i := range Identities(c.facts) {
		if i.Presents == presentsToken && c.facts.account(i.Namespace, i.Account) != nil {
			namespace, name = i.Namespace, i.Account
			break
		}
	}
	if name == "" {
		return nil
	}
	life, asked := int64(600), time.Now().UTC()
	r, err := c.Cluster.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authv1.TokenRequest{
		Spec: authv1.TokenRequestSpec{Audiences: []string{Nobody}, ExpirationSeconds: &life}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	c.facts.Cluster.Token, err = claimsOf(r.Status.Token)
	if err == nil {
		c.facts.Cluster.Token.Asked = asked.Truncate(time.Second)
	}
	return err
}

// claimsOf reads a token without keeping or verifying it.
func claimsOf(token string) (*Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("the API server gives no JWT")
	}
	var head struct {
		Key string `json:"kid"`
	}
	var body struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
		Issued  int64  `json:"iat"`
		Begins  int64  `json:"nbf"`
		Ends    int64  `json:"exp"`
	}
	for i, v := range []any{&head, &body} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, errors.New("the API server gives no JWT")
		}
		if err := json.Unmarshal(data, v); err != nil {
			return nil, errors.New("the API server gives no JWT")
		}
	}
	at := func(n int64) time.Time { return time.Unix(n, 0).UTC() }
	return &Claims{Issuer: body.Issuer, Subject: body.Subject, KeyID: head.Key, Issued: at(body.Issued), Begins: at(body.Begins), Ends: at(body.Ends)}, nil
}

// shown are the variables whose values say where credentials are and are none.
var shown = []string{"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_ROLE_SESSION_NAME"}

// static are the variables that go before every other credential in all SDKs
// (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html).
var static = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

// keyPattern is a long-term access key's id (IAM User Guide, "Understanding unique ID prefixes").
var keyPattern = regexp.MustCompile(`\bAKIA[A-Z0-9]{16}\b|(?i)\baws_secret_access_key\s*=`)

// staticEntries are the names of entries that have access keys: by their name, or in their text.
func staticEntries[T ~string | ~[]byte](data map[string]T) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if slices.ContainsFunc(static, func(s string) bool { return strings.EqualFold(s, name) }) || keyPattern.MatchString(string(data[name])) {
			out = append(out, name)
		}
	}
	return out
}

// pods takes what counts of pods, and of the Secrets and ConfigMaps that they mount or that have static keys.
func (c *collector) pods(pods []corev1.Pod, secrets []corev1.Secret, configMaps []corev1.ConfigMap) {
	type object struct{ namespace, name string }
	entries := map[string]map[object][]string{"Secret": {}, "ConfigMap": {}}
	for _, s := range secrets {
		entries["Secret"][object{s.Namespace, s.Name}] = slices.Sorted(maps.Keys(s.Data))
	}
	for _, m := range configMaps {
		entries["ConfigMap"][object{m.Namespace, m.Name}] = slices.Sorted(maps.Keys(m.Data))
	}
	mounted := map[string]map[object]bool{"Secret": {}, "ConfigMap": {}}
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		from := func(kind, name, prefix string) (out []string) {
			for _, entry := range entries[kind][object{p.Namespace, name}] {
				if slices.Contains(static, prefix+entry) {
					out = append(out, prefix+entry+" of "+kind+" "+name)
				}
			}
			return out
		}
		out := podOf(p, from)
		for _, v := range out.Secrets {
			mounted["Secret"][object{p.Namespace, v.Name}] = true
		}
		for _, v := range out.ConfigMaps {
			mounted["ConfigMap"][object{p.Namespace, v.Name}] = true
		}
		c.facts.Cluster.Pods = append(c.facts.Cluster.Pods, out)
	}
	for _, s := range secrets {
		out := Secret{Namespace: s.Namespace, Name: s.Name, Static: staticEntries(s.Data)}
		if mounted["Secret"][object{s.Namespace, s.Name}] || s.Labels[partOfLabel] == partOf {
			if s.Type == corev1.SecretTypeTLS || s.Data[corev1.TLSCertKey] != nil {
				out.pair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
			}
		} else if len(out.Static) == 0 {
			continue
		}
		c.facts.Cluster.Secrets = append(c.facts.Cluster.Secrets, out)
	}
	for _, m := range configMaps {
		out := ConfigMap{Namespace: m.Namespace, Name: m.Name, Static: staticEntries(m.Data)}
		if mounted["ConfigMap"][object{m.Namespace, m.Name}] || m.Labels[partOfLabel] == partOf {
			for name, text := range m.Data {
				if config, ok := configOf(text); ok {
					if out.Files == nil {
						out.Files = map[string]Config{}
					}
					out.Files[name] = config
				}
			}
		} else if len(out.Static) == 0 {
			continue
		}
		c.facts.Cluster.ConfigMaps = append(c.facts.Cluster.ConfigMaps, out)
	}
}

// ofCronJob is how a CronJob names its Jobs: with the minute for which they are.
var ofCronJob = regexp.MustCompile(`-[0-9]{7,}$`)

// workloadOf is the workload that a pod is of. A Deployment's ReplicaSet has its name with the hash of the template, which the
// pod has as a label
// (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label).
func workloadOf(p *corev1.Pod) string {
	owner := metav1.GetControllerOf(p)
	switch {
	case owner == nil:
		return ""
	case owner.Kind == "ReplicaSet" && p.Labels["pod-template-hash"] != "":
		return "Deployment " + strings.TrimSuffix(owner.Name, "-"+p.Labels["pod-template-hash"])
	case owner.Kind == "Job" && ofCronJob.MatchString(owner.Name):
		return "CronJob " + ofCronJob.ReplaceAllString(owner.Name, "")
	}
	return owner.Kind + " " + owner.Name
}

func podOf(p *corev1.Pod, from func(kind, name, prefix string) []string) Pod {
	out := Pod{Namespace: p.Namespace, Name: p.Name, Account: p.Spec.ServiceAccountName, Node: p.Spec.NodeName, Workload: workloadOf(p), Phase: string(p.Status.Phase), HostNetwork: p.Spec.HostNetwork}
	for name := range strings.SplitSeq(p.Annotations[annotationPrefix+"skip-containers"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			out.Skip = append(out.Skip, name)
		}
	}
	var user *int64
	if s := p.Spec.SecurityContext; s != nil {
		out.FSGroup, user = s.FSGroup, s.RunAsUser
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.State.Waiting != nil && out.Waiting == "" {
			out.Waiting = s.State.Waiting.Reason
		}
	}
	for _, v := range p.Spec.Volumes {
		switch {
		case v.Secret != nil:
			volume := Volume{Volume: v.Name, Name: v.Secret.SecretName, Optional: v.Secret.Optional != nil && *v.Secret.Optional}
			if v.Secret.DefaultMode != nil {
				volume.Mode = *v.Secret.DefaultMode
			}
			out.Secrets = append(out.Secrets, volume)
		case v.ConfigMap != nil:
			out.ConfigMaps = append(out.ConfigMaps, Volume{Volume: v.Name, Name: v.ConfigMap.Name, Optional: v.ConfigMap.Optional != nil && *v.ConfigMap.Optional})
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				// Without an audience, or from a kube-api-access volume, it is the API server's own.
				if t := s.ServiceAccountToken; t != nil && t.Audience != "" {
					token := TokenVolume{Volume: v.Name, Audience: t.Audience, Path: t.Path}
					if t.ExpirationSeconds != nil {
						token.Seconds = *t.ExpirationSeconds
					}
					out.Tokens = append(out.Tokens, token)
				}
			}
		}
	}
	for _, list := range []struct {
		containers []corev1.Container
		init       bool
	}{{p.Spec.InitContainers, true}, {p.Spec.Containers, false}} {
		for i := range list.containers {
			c := containerOf(&list.containers[i], list.init, from)
			if c.User == nil {
				c.User = user
			}
			out.Containers = append(out.Containers, c)
		}
	}
	return out
}

func containerOf(c *corev1.Container, init bool, from func(kind, name, prefix string) []string) Container {
	out := Container{Name: c.Name, Init: init}
	if c.SecurityContext != nil {
		out.User = c.SecurityContext.RunAsUser
	}
	for _, e := range c.Env {
		switch {
		case slices.Contains(static, e.Name):
			place := e.Name
			if s := e.ValueFrom; s != nil && s.SecretKeyRef != nil {
				place += " of Secret " + s.SecretKeyRef.Name
			}
			out.Static = append(out.Static, place)
		case slices.Contains(shown, e.Name):
			if out.Env == nil {
				out.Env = map[string]string{}
			}
			if out.Env[e.Name] = e.Value; e.ValueFrom != nil {
				out.Env[e.Name] = elsewhere
			}
		}
	}
	for _, e := range c.EnvFrom {
		switch {
		case e.SecretRef != nil:
			out.Static = append(out.Static, from("Secret", e.SecretRef.Name, e.Prefix)...)
		case e.ConfigMapRef != nil:
			out.Static = append(out.Static, from("ConfigMap", e.ConfigMapRef.Name, e.Prefix)...)
		}
	}
	for _, m := range c.VolumeMounts {
		out.Mounts = append(out.Mounts, Mount{Volume: m.Name, Path: strings.TrimRight(m.MountPath, "/"), SubPath: m.SubPath + m.SubPathExpr})
	}
	out.Helper = helperOf(slices.Concat(c.Command, c.Args))
	return out
}

// elsewhere stands for a value that a variable has from somewhere else than the manifest.
const elsewhere = "(from elsewhere)"

// helperOf reads the arguments of the credential helper, which the AWS CLI's and SDKs' tools call aws_signing_helper.
func helperOf(words []string) *Helper {
	flags := map[string]string{}
	for i, w := range words {
		name, value, inOne := strings.Cut(w, "=")
		if !strings.HasPrefix(name, "--") {
			continue
		}
		if !inOne && i+1 < len(words) {
			value = words[i+1]
		}
		flags[strings.TrimPrefix(name, "--")] = strings.Trim(value, `"'`)
	}
	if flags["trust-anchor-arn"] == "" && flags["profile-arn"] == "" {
		return nil
	}
	h := &Helper{Certificate: flags["certificate"], Key: flags["private-key"], Anchor: flags["trust-anchor-arn"], Profile: flags["profile-arn"],
		Role: flags["role-arn"], Region: flags["region"], SessionName: flags["role-session-name"]}
	h.Seconds, _ = strconv.Atoi(flags["session-duration"]) // 0 where it is not given: the profile's
	return h
}

// configOf reads an AWS configuration file's profile default; false where the text is none.
func configOf(text string) (Config, bool) {
	var c Config
	section, some := "", false
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.TrimSpace(strings.Trim(line, "[]"))
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if section != "default" || !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "region":
			c.Region = value
		case "role_arn":
			c.Role, some = value, true
		case "web_identity_token_file":
			c.TokenFile, some = value, true
		case "credential_process":
			some = true
			if c.Process = helperOf(strings.Fields(value)); c.Process == nil {
				c.Process = &Helper{}
			}
		}
	}
	return c, some
}

// pair takes the certificates of a Secret, and says what is wrong with its key without keeping it.
func (s *Secret) pair(certificate, key []byte) {
	var leaf *x509.Certificate
	for rest := certificate; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			s.Problem = "tls.crt has something else than certificates"
			return
		}
		if leaf == nil {
			leaf = cert
		}
		s.Certificates = append(s.Certificates, base64.StdEncoding.EncodeToString(block.Bytes))
	}
	if leaf == nil {
		s.Problem = "tls.crt has no certificate"
		return
	}
	block, _ := pem.Decode(key)
	if block == nil {
		s.Problem = "tls.key has no PEM"
		return
	}
	private, err := stack.ParseKey(block)
	if err != nil {
		s.Problem = "tls.key has no private key"
		return
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	s.Foreign = !ok || !public.Equal(private.Public())
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

func readAll(resp *http.Response) ([]byte, error) {
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
