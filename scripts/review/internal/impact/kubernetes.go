package impact

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	ours "k3s-aws-auth/components/names"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// kubernetesKind returns the kind of a Kubernetes type.
func kubernetesKind(t string) (string, bool) {
	if !strings.HasPrefix(t, "kubernetes:") {
		return "", false
	}
	kind := t[strings.LastIndex(t, ":")+1:]
	return strings.TrimSuffix(kind, "Patch"), true
}

const metadata = "apiVersion kind metadata status"

// kubernetesOpinions are by kind. Every other kind is not understood.
var kubernetesOpinions = map[string]opinion{
	"Pod": {judged: "spec", quiet: metadata, made: true, gone: true}, "Deployment": {judged: "spec", quiet: metadata, made: true, gone: true},
	"DaemonSet": {judged: "spec", quiet: metadata, made: true, gone: true}, "StatefulSet": {judged: "spec", quiet: metadata, made: true, gone: true},
	"ReplicaSet": {judged: "spec", quiet: metadata, made: true, gone: true}, "ReplicationController": {judged: "spec", quiet: metadata, made: true, gone: true},
	"Job": {judged: "spec", quiet: metadata, made: true, gone: true}, "CronJob": {judged: "spec", quiet: metadata, made: true, gone: true},
	"PodTemplate":    {judged: "template", quiet: metadata, made: true, gone: true},
	"ServiceAccount": {judged: "metadata secrets imagePullSecrets automountServiceAccountToken", quiet: "apiVersion kind", made: true, gone: true},
	"Secret":         {judged: "type data stringData", quiet: metadata + " immutable", made: true, gone: true},
	"ConfigMap":      {judged: "metadata data binaryData", quiet: "apiVersion kind immutable", made: true, gone: true},
	"Namespace":      {judged: "metadata", quiet: "apiVersion kind spec", made: true, gone: true},
	"Service":        {judged: "spec", quiet: metadata, made: true, gone: true},
	"ClusterRole":    {judged: "rules aggregationRule", quiet: metadata, made: true, gone: true}, "Role": {judged: "rules", quiet: metadata, made: true, gone: true},
	"ClusterRoleBinding": {judged: "roleRef subjects", quiet: metadata, made: true, gone: true}, "RoleBinding": {judged: "roleRef subjects", quiet: metadata, made: true, gone: true},
	"PodDisruptionBudget": {quiet: everything, made: true, gone: true}, "HorizontalPodAutoscaler": {quiet: everything, made: true, gone: true},
	"PriorityClass": {quiet: everything, made: true, gone: true}, "ResourceQuota": {quiet: everything, made: true, gone: true}, "LimitRange": {quiet: everything, made: true, gone: true},
	"PersistentVolumeClaim": {quiet: everything, made: true, gone: true},
	// Those that change or refuse what others make. That they are judged at all is a warning of its own.
	"MutatingAdmissionPolicy": {judged: "spec", quiet: metadata, made: true, gone: true}, "MutatingAdmissionPolicyBinding": {judged: "spec", quiet: metadata, made: true, gone: true},
	"ValidatingAdmissionPolicy": {judged: "spec", quiet: metadata, made: true, gone: true}, "ValidatingAdmissionPolicyBinding": {judged: "spec", quiet: metadata, made: true, gone: true},
	"MutatingWebhookConfiguration": {judged: "webhooks", quiet: metadata, made: true, gone: true}, "ValidatingWebhookConfiguration": {judged: "webhooks", quiet: metadata, made: true, gone: true},
}

// kubernetes looks at what the cluster gives to whom: pods on their machine, RBAC, admission and service accounts.
func (w *world) kubernetes() []Sign {
	var signs []Sign
	for _, c := range w.p.Changes {
		kind, ok := kubernetesKind(c.Now().Type)
		if !ok || c.Op == preview.Import || c.Op == preview.Same && c.Before == c.After {
			continue
		}
		if from, to := namespaceOf(c.Before), namespaceOf(c.After); c.Before != nil && c.After != nil && from != to && slices.Contains([]string{"Role", "RoleBinding", "Secret", "ConfigMap", "Service"}, kind) {
			if kind == "Secret" || kind == "ConfigMap" {
				signs = append(signs, sign(Warning, "cluster-configuration", fmt.Sprintf("the %s %s moves to the namespace %s", kind, c.Now().Name(), orUnknown(to)), "who may read there reads it from now on, and what read it does not find it", "see whose namespace it is", c))
			}
			c = &preview.Change{Op: preview.Create, After: c.After} // it is new where it is
		}
		switch kind {
		case "ClusterRoleBinding", "RoleBinding":
			signs = append(signs, w.binding(c)...)
		case "ClusterRole", "Role":
			signs = append(signs, clusterRole(c)...)
		case "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
			"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			signs = append(signs, w.admission(c, kind)...)
		case "ServiceAccount":
			signs = append(signs, serviceAccount(c)...)
		case "Secret":
			signs = append(signs, plainSecret(c)...)
			if t, _ := c.After.Text("type"); t == "kubernetes.io/service-account-token" && (c.Before == nil || changed(c, "type")) {
				signs = append(signs, sign(Warning, "long-lived-token", c.Now().Name()+" is a ServiceAccount's token without an end",
					"whoever reads the Secret can be the ServiceAccount for good", "use projected tokens, which run out", c))
			}
		case "ConfigMap":
			signs = append(signs, configMap(c)...)
		case "Namespace":
			signs = append(signs, namespace(c)...)
		case "Service":
			signs = append(signs, service(c)...)
		default:
			signs = append(signs, w.pods(c)...)
		}
	}
	return signs
}

func namespaceOf(r *preview.Resource) string {
	s, _ := r.Value("metadata", "namespace").(string)
	return s
}

// podSpec finds the pod in a workload.
func podSpec(r *preview.Resource) any {
	if r == nil {
		return nil
	}
	for _, path := range [][]string{{"spec", "jobTemplate", "spec", "template", "spec"}, {"spec", "template", "spec"}, {"template", "spec"}, {"spec"}} {
		if v := r.Value(path...); v != nil {
			return v
		}
	}
	return nil
}

// privileges are the ways in which a pod reaches beyond itself, one line each.
func privileges(spec map[string]any) map[string]Level {
	out := map[string]Level{}
	on := func(m map[string]any, key string) bool { v, _ := m[key].(bool); return v }
	for _, key := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} {
		if on(spec, key) {
			level := Danger
			if key == "shareProcessNamespace" {
				level = Warning
			}
			out[key] = level
		}
	}
	if spec["automountServiceAccountToken"] != false { // what a ServiceAccount says of it counts less
		out["automountServiceAccountToken"] = Warning
	}
	if name, _ := spec["serviceAccountName"].(string); name != "" {
		out["serviceAccountName "+name] = Warning
	} else if name, _ := spec["serviceAccount"].(string); name != "" {
		out["serviceAccountName "+name] = Warning
	}
	if name, _ := spec["nodeName"].(string); name != "" {
		out["nodeName "+name] = Warning
	}
	for _, v := range asList(spec["tolerations"]) {
		t, _ := v.(map[string]any)
		key, _ := t["key"].(string)
		if key == "" || strings.Contains(key, "control-plane") || strings.Contains(key, "master") || key == "CriticalAddonsOnly" {
			out["a toleration of the servers' taint"] = Warning
		}
	}
	nodes, _ := spec["nodeSelector"].(map[string]any)
	for key := range nodes {
		if strings.Contains(key, "control-plane") || strings.Contains(key, "master") || strings.Contains(key, "etcd") {
			out["a place on the servers"] = Warning
		}
	}
	for _, v := range asList(spec["hostAliases"]) {
		m, _ := v.(map[string]any)
		out[fmt.Sprintf("another address of %s", strings.Join(list(m["hostnames"]), ", "))] = Warning
	}
	dns, _ := spec["dnsConfig"].(map[string]any)
	for _, server := range list(dns["nameservers"]) {
		out["the name server "+server] = Warning
	}
	for _, v := range asList(spec["volumes"]) {
		m, _ := v.(map[string]any)
		if h, ok := m["hostPath"].(map[string]any); ok {
			out[fmt.Sprintf("hostPath %v", h["path"])] = Danger
			if written(spec, m["name"]) {
				out[fmt.Sprintf("hostPath %v to write to", h["path"])] = Danger
			}
		}
		if s, ok := m["secret"].(map[string]any); ok {
			out[fmt.Sprintf("the Secret %v", s["secretName"])] = Warning
		}
		if s, ok := m["csi"].(map[string]any); ok {
			out[fmt.Sprintf("a volume of %v", s["driver"])] = Warning
		}
		p, _ := m["projected"].(map[string]any)
		for _, v := range asList(p["sources"]) {
			s, _ := v.(map[string]any)
			if t, ok := s["serviceAccountToken"].(map[string]any); ok {
				out[fmt.Sprintf("a token for the audience %v", t["audience"])] = Warning
				if number(t["expirationSeconds"]) > day {
					out[fmt.Sprintf("a token that is good for %d s", number(t["expirationSeconds"]))] = Warning
				}
			}
			if x, ok := s["secret"].(map[string]any); ok {
				out[fmt.Sprintf("the Secret %v", x["name"])] = Warning
			}
		}
	}
	security := func(m map[string]any) {
		s, _ := m["securityContext"].(map[string]any)
		if on(s, "privileged") {
			out["privileged"] = Danger
		}
		if n, ok := s["runAsUser"].(float64); ok && n == 0 {
			out["runAsUser 0"] = Warning
		}
		caps, _ := s["capabilities"].(map[string]any)
		for _, name := range list(caps["add"]) {
			level := Warning
			name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
			if slices.Contains([]string{"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH", "NET_ADMIN", "NET_RAW", "BPF"}, name) {
				level = Danger
			}
			out["capability "+name] = level
		}
		if p, _ := s["procMount"].(string); p == "Unmasked" {
			out["procMount Unmasked"] = Danger
		}
		for _, profile := range []string{"seccompProfile", "appArmorProfile"} {
			p, _ := s[profile].(map[string]any)
			if t, _ := p["type"].(string); t == "Unconfined" || t == "Localhost" {
				out[profile+" "+t] = Warning
			}
		}
		if o, _ := s["seLinuxOptions"].(map[string]any); len(o) > 0 {
			out[fmt.Sprintf("seLinuxOptions %v", o["type"])] = Warning
		}
		for _, v := range asList(s["sysctls"]) {
			m, _ := v.(map[string]any)
			out[fmt.Sprintf("sysctl %v", m["name"])] = Warning
		}
		if o, _ := s["windowsOptions"].(map[string]any); on(o, "hostProcess") {
			out["hostProcess"] = Danger
		}
	}
	security(spec)
	ofPod, _ := spec["securityContext"].(map[string]any)
	if ofPod["seccompProfile"] == nil {
		out["no seccomp profile for the pod"] = Warning
	}
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		for _, v := range asList(spec[kind]) {
			m, _ := v.(map[string]any)
			security(m)
			own, _ := m["securityContext"].(map[string]any)
			caps, _ := own["capabilities"].(map[string]any)
			for what, kept := range map[string]bool{ // what Kubernetes allows where nothing is said
				"allowPrivilegeEscalation":   own["allowPrivilegeEscalation"] != false,
				"leave to run as root":       own["runAsNonRoot"] != true && (ofPod["runAsNonRoot"] != true || own["runAsNonRoot"] == false),
				"a writable root filesystem": own["readOnlyRootFilesystem"] != true,
				"the runtime's capabilities": !slices.Contains(list(caps["drop"]), "ALL"),
			} {
				if kept {
					out[what] = Warning
				}
			}
			if image, _ := m["image"].(string); image != "" && image != preview.Unknown {
				out["an image of "+repository(image)] = Warning
			}
			for _, p := range asList(m["ports"]) {
				if port, _ := p.(map[string]any); number(port["hostPort"]) > 0 {
					out[fmt.Sprintf("hostPort %d", number(port["hostPort"]))] = Warning
				}
			}
			for _, e := range append(asList(m["env"]), asList(m["envFrom"])...) {
				env, _ := e.(map[string]any)
				if name, _ := env["name"].(string); decidesWhoAndWhere.MatchString(name) && env["value"] != nil && !unknown(env["value"]) {
					out[fmt.Sprintf("%s %v", name, env["value"])] = Warning
				}
				from, _ := env["valueFrom"].(map[string]any)
				for _, ref := range []any{from["secretKeyRef"], env["secretRef"]} {
					if r, ok := ref.(map[string]any); ok {
						out[fmt.Sprintf("the Secret %v", r["name"])] = Warning
					}
				}
			}
		}
	}
	return out
}

// day is how long tokens are good that the program asks for, in seconds.
const day = 86400

// written tells whether a container may write to a volume.
func written(spec map[string]any, volume any) bool {
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		for _, v := range asList(spec[kind]) {
			m, _ := v.(map[string]any)
			for _, x := range asList(m["volumeMounts"]) {
				if mount, _ := x.(map[string]any); mount["name"] == volume && mount["readOnly"] != true {
					return true
				}
			}
		}
	}
	return false
}

// decidesWhoAndWhere matches the variables that say which identity an SDK takes, where it sends tokens and requests, and whose
// certificates it trusts there (AWS SDKs and Tools Reference Guide, "Settings reference").
var decidesWhoAndWhere = regexp.MustCompile(`^(AWS_(ENDPOINT_URL.*|ROLE_ARN|WEB_IDENTITY_TOKEN_FILE|PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE|CA_BUNDLE|CONTAINER_.*|EC2_METADATA_.*)|(?i:https?_proxy|all_proxy)|SSL_CERT_(FILE|DIR)|LD_PRELOAD)$`)

// repository is what an image's name has before its tag and digest: who makes the image.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		image = image[:i]
	}
	return image
}

// pods: what a workload newly reaches on its machine or in the cluster.
func (w *world) pods(c *preview.Change) []Sign {
	if c.After == nil {
		return nil
	}
	v := podSpec(c.After)
	if unknown(v) || v == preview.Secret {
		return []Sign{sign(Warning, "unclear", c.Now().Name()+": the pod is known only after the update", "the preview cannot show what it reaches", "make what it is computed from exist first", c)}
	}
	spec, _ := v.(map[string]any)
	was, _ := podSpec(c.Before).(map[string]any)
	old := privileges(was)
	var signs []Sign
	if c.Before != nil {
		if to := namespaceOf(c.After); to != namespaceOf(c.Before) {
			signs = append(signs, sign(Warning, "pod-privileged", fmt.Sprintf("%s moves to the namespace %s", c.Now().Name(), orUnknown(to)), "it is another ServiceAccount's, with what that may do", "see whose namespace it is", c))
		}
	}
	now := privileges(spec)
	for _, p := range sortedKeys(now) {
		level := now[p]
		if _, had := old[p]; had {
			continue
		}
		if c.Before == nil && level == Warning {
			continue // a new pod has a ServiceAccount, and mounts what is its own
		}
		why := "the pod reaches more than it did"
		switch {
		case level == Danger && strings.HasPrefix(p, "hostPath"):
			why = "whoever is in the pod reads, or writes, files of the machine: K3s' keys and other pods' tokens are among them"
		case p == "hostNetwork":
			why = "the pod reaches the machine's role, whatever the hop limit says"
		case level == Danger:
			why = "whoever is in the pod gets onto the machine, and so has its role and other pods' tokens"
		}
		signs = append(signs, sign(level, "pod-privileged", c.Now().Name()+" gets "+p, why, "leave it out, or give it to a workload of its own that nothing else shares", c))
	}
	if unknown(spec["serviceAccountName"]) {
		signs = append(signs, sign(Warning, "unclear", c.Now().Name()+": its ServiceAccount is known only after the update", "the preview cannot show whose identity it has", "make it exist first", c))
	}
	return signs
}

// everyoneInCluster are the groups that everybody, or every pod, is in.
var everyoneInCluster = []string{"system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:masters", "system:nodes"}

// mightyRole matches the roles that every cluster has and that have a strong rule: in the whole cluster, or in a namespace, whose
// ServiceAccounts one can then be (Kubernetes, "Using RBAC Authorization", and its bootstrap policy).
var mightyRole = regexp.MustCompile(`^(cluster-admin|admin|edit|system:(masters|node|aggregate-to-admin|aggregate-to-edit|kube-controller-manager|kubelet-api-admin|persistent-volume-provisioner|controller:.*))$`)

func (w *world) binding(c *preview.Change) []Sign {
	if c.After == nil {
		return nil
	}
	ref, _ := c.After.Value("roleRef").(map[string]any)
	roleName, _ := ref["name"].(string)
	subjects := func(r *preview.Resource) []string {
		var out []string
		for _, v := range asList(r.Value("subjects")) {
			m, _ := v.(map[string]any)
			who := fmt.Sprintf("%v %v", m["kind"], m["name"])
			if ns, _ := m["namespace"].(string); ns != "" {
				who = fmt.Sprintf("%v %v/%v", m["kind"], ns, m["name"])
			}
			out = append(out, who)
		}
		return out
	}
	gained := subjects(c.After)
	if c.Before != nil && !changed(c, "roleRef") {
		gained = difference(gained, subjects(c.Before))
	}
	if unknown(c.After.Value("subjects")) || unknown(c.After.Value("roleRef")) || unknown(roleName) {
		return []Sign{sign(Warning, "unclear", c.Now().Name()+": whom it gives what is known only after the update", "the preview cannot show it", "make it exist first", c)}
	}
	var signs []Sign
	for _, who := range gained {
		if who == "Group system:nodes" {
			if of, only := w.pullTokens(roleName); only {
				signs = append(signs, sign(Warning, "pull-tokens", "nodes may ask for tokens of "+of+" to pull images by", "a node gets them of pods that run on it alone, and can be what these are then: that is how pods are pulled with their own roles",
					"name the ServiceAccounts whose identities list repositories", c))
				continue
			}
		}
		level := Warning
		why := "whoever is that may do what the role says"
		_, name, _ := strings.Cut(who, " ")
		strong := mightyRole.MatchString(roleName) || w.strongRole(roleName)
		if slices.ContainsFunc(everyoneInCluster, func(g string) bool { return name == g || strings.HasPrefix(name, g+":") }) {
			level, why = Danger, "everybody in the cluster, or every pod of a namespace, is that"
			if who == "Group system:masters" {
				why = "nothing can be denied to it"
			}
		}
		if who == "User system:anonymous" {
			level, why = Danger, "that is whoever reaches the API server"
		}
		if strong {
			level, why = Danger, "with that role one can be every ServiceAccount, and so every identity"
		}
		signs = append(signs, sign(level, "rbac-gained", fmt.Sprintf("%s gets the role %s", who, roleName), why, "bind a role with the verbs and resources that are used, to one ServiceAccount", c))
	}
	return signs
}

// pullVerb is what lets nodes ask for tokens of an audience, which is the rule's resource
// (k8s.io/kubernetes/plugin/pkg/admission/noderestriction).
const pullVerb = "request-serviceaccounts-token-audience"

// pullTokens says of which ServiceAccounts a role of the stack lets nodes ask for tokens for STS, if it lets them do nothing
// else: a token for another audience, as of a vault or the API server itself, pulls no image.
func (w *world) pullTokens(name string) (of string, only bool) {
	var accounts []string
	for _, c := range w.p.Changes {
		if kind, ok := kubernetesKind(c.Now().Type); !ok || kind != "ClusterRole" || c.After == nil || c.After.Value("metadata", "name") != name {
			continue
		}
		for _, r := range rules(c.After) {
			if r.verb != pullVerb || r.group != "" || r.resource != ours.PullAudience || unknown(c.After.Value("rules")) {
				return "", false
			}
			accounts = append(accounts, r.name)
		}
		if c.After.Value("aggregationRule") != nil {
			return "", false
		}
	}
	if slices.Contains(accounts, "*") {
		return "every ServiceAccount", true
	}
	return several(accounts), len(accounts) > 0
}

func (w *world) strongRole(name string) bool {
	for _, c := range w.p.Changes {
		if kind, ok := kubernetesKind(c.Now().Type); ok && (kind == "ClusterRole" || kind == "Role") && c.After != nil {
			meta, _ := c.After.Value("metadata").(map[string]any)
			if n, _ := meta["name"].(string); n == name || c.After.Name() == name {
				for _, r := range rules(c.After) {
					if r.strong() {
						return true
					}
				}
			}
		}
	}
	return false
}

// rule of RBAC, one verb on one resource.
type rbacRule struct{ group, resource, verb, name string }

// rules takes the rules of a role apart.
func rules(r *preview.Resource) []rbacRule {
	if r == nil {
		return nil
	}
	var out []rbacRule
	for _, v := range asList(r.Value("rules")) {
		m, _ := v.(map[string]any)
		names := list(m["resourceNames"])
		if len(names) == 0 {
			names = []string{"*"}
		}
		groups, resources := list(m["apiGroups"]), list(m["resources"])
		if urls := list(m["nonResourceURLs"]); len(urls) > 0 {
			groups, resources = append(groups, ""), append(resources, urls...)
		}
		for _, g := range groups {
			for _, res := range resources {
				for _, verb := range list(m["verbs"]) {
					for _, n := range names {
						out = append(out, rbacRule{g, res, verb, n})
					}
				}
			}
		}
	}
	return out
}

func (r rbacRule) covers(o rbacRule) bool {
	in := func(a, b string) bool { return a == "*" || a == b }
	resource := in(r.resource, o.resource) || strings.HasPrefix(r.resource, "*/") && strings.HasSuffix(o.resource, r.resource[1:]) ||
		strings.HasPrefix(r.resource, "/") && strings.HasSuffix(r.resource, "*") && strings.HasPrefix(o.resource, strings.TrimSuffix(r.resource, "*"))
	return in(r.group, o.group) && resource && in(r.verb, o.verb) && in(r.name, o.name)
}

// strongRules lead to every ServiceAccount, or to a machine (Kubernetes, "Role Based Access Control Good Practices"). K3s makes of
// a HelmChart whatever it says, as cluster-admin.
var strongRules = func() (list []rbacRule) {
	add := func(group, resources, verbs string) {
		for _, r := range strings.Fields(resources) {
			for _, v := range strings.Fields(verbs) {
				list = append(list, rbacRule{group, r, v, ""})
			}
		}
	}
	const write = "create patch update"
	add("", "secrets", "get list watch")
	add("", "serviceaccounts/token", "create")
	add("", "pods replicationcontrollers persistentvolumes", write)
	add("", "pods/exec pods/attach nodes/proxy", "create get")
	add("", "pods/ephemeralcontainers", "patch update")
	add("", "users groups serviceaccounts", "impersonate")
	add("apps", "deployments daemonsets statefulsets replicasets", write)
	add("batch", "jobs cronjobs", write)
	add("rbac.authorization.k8s.io", "clusterroles roles", "escalate bind")
	add("admissionregistration.k8s.io", "mutatingwebhookconfigurations validatingwebhookconfigurations mutatingadmissionpolicies mutatingadmissionpolicybindings", write)
	add("apiregistration.k8s.io", "apiservices", write)
	add("certificates.k8s.io", "certificatesigningrequests/approval", "update patch")
	add("certificates.k8s.io", "signers", "approve sign")
	add("helm.cattle.io", "helmcharts helmchartconfigs", write)
	return list
}()

func (r rbacRule) strong() bool {
	return slices.ContainsFunc(strongRules, func(s rbacRule) bool { s.name = r.name; return r.covers(s) })
}

// aggregated begins the labels by which a ClusterRole becomes part of another (Kubernetes, "Using RBAC Authorization").
const aggregated = "rbac.authorization.k8s.io/aggregate-to-"

func clusterRole(c *preview.Change) []Sign {
	if c.After == nil {
		return nil
	}
	if unknown(c.After.Value("rules")) {
		return []Sign{sign(Warning, "unclear", c.Now().Name()+": its rules are known only after the update", "the preview cannot show them", "make them exist first", c)}
	}
	was := rules(c.Before)
	var strong, plain []string
	for _, r := range rules(c.After) {
		if slices.ContainsFunc(was, func(o rbacRule) bool { return o.covers(r) }) {
			continue
		}
		text := r.verb + " " + r.resource
		if r.name != "*" {
			text += " " + r.name
		}
		if r.strong() {
			strong = append(strong, text)
		} else {
			plain = append(plain, text)
		}
	}
	var signs []Sign
	safe := "name the verbs and resources that are used"
	if len(strong) > 0 {
		signs = append(signs, sign(Danger, "rbac-gained", fmt.Sprintf("%s may %s", c.Now().Name(), several(strong)), "that leads to every ServiceAccount, and so to every identity", safe, c))
	}
	if len(plain) > 0 && c.Before != nil {
		signs = append(signs, sign(Warning, "rbac-gained", fmt.Sprintf("%s may %s", c.Now().Name(), several(plain)), "whoever has the role may do more", safe, c))
	}
	label := func(r *preview.Resource) []string {
		m, _ := r.Value("metadata", "labels").(map[string]any)
		return slices.DeleteFunc(sortedKeys(m), func(k string) bool { return !strings.HasPrefix(k, aggregated) })
	}
	for _, k := range difference(label(c.After), label(c.Before)) {
		level := Warning
		if slices.ContainsFunc(rules(c.After), rbacRule.strong) {
			level = Danger
		}
		signs = append(signs, sign(level, "rbac-gained", fmt.Sprintf("all that %s may becomes part of the role %s", c.Now().Name(), strings.TrimPrefix(k, aggregated)), "whoever has that role may do it", safe, c))
	}
	if changed(c, "aggregationRule") || c.Before == nil && c.After.Value("aggregationRule") != nil {
		signs = append(signs, sign(Warning, "rbac-gained", c.Now().Name()+" takes its rules from other roles", "whoever makes a role with that label adds to it", "list the rules", c))
	}
	return signs
}

// several joins a list, with a count of what is beyond a few.
func several(list []string) string {
	if len(list) <= 3 {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:3], ", "), len(list)-3)
}

func (w *world) admission(c *preview.Change, kind string) []Sign {
	mutating := strings.HasPrefix(kind, "Mutating")
	name := kind + " " + c.Now().Name()
	safe := "look at what it matches and what it writes"
	switch {
	case c.Op == preview.Delete:
		why := "pods no longer get what it injects, an identity among it"
		if !mutating {
			why = "what it refused is let through"
		}
		return []Sign{sign(Warning, "admission-changed", name+" is deleted", why, "see that nothing depends on it", c)}
	case c.Before == nil && w.initial && mutating && strings.HasSuffix(kind, "Binding"), c.Before == nil && w.initial && strings.Contains(kind, "Policy"):
		return nil // the program's own injection, with all else
	case c.Before == nil && mutating:
		return []Sign{sign(Warning, "admission-changed", name+" is new", "it can change every pod, its ServiceAccount and its volumes", safe, c)}
	case c.Before == nil && strings.Contains(kind, "Webhook"):
		return []Sign{sign(Warning, "admission-changed", name+" is new", "whoever answers there is shown what it matches, Secrets among it where it does", safe, c)}
	case c.Before == nil:
		return nil
	case len(differs(c, "spec", "webhooks")) > 0 || c.Op == preview.Replace:
		return []Sign{sign(Warning, "admission-changed", name+" changes", "it decides what pods are made of, or which are refused", safe, c)}
	}
	return nil
}

func serviceAccount(c *preview.Change) []Sign {
	if c.Before == nil || c.After == nil {
		if c.Op == preview.Delete {
			return []Sign{sign(Warning, "service-account-changed", "the ServiceAccount "+c.Now().Name()+" is deleted", "its tokens are refused at once", "take its pods away first", c)}
		}
		return nil
	}
	var signs []Sign
	annotation := func(r *preview.Resource, key string) string {
		m, _ := r.Value("metadata", "annotations").(map[string]any)
		s, _ := m[key].(string)
		return s
	}
	const pulls = "eks.amazonaws.com/ecr-role-arn" // docs/images.md; one that is new gives no pod another identity
	if was, is := annotation(c.Before, pulls), annotation(c.After, pulls); was != "" && was != is {
		signs = append(signs, sign(Warning, "service-account-changed", fmt.Sprintf("%s of the ServiceAccount %s changes", pulls, c.Now().Name()),
			"its pods are pulled with another role, or not at all", "see that the role trusts this ServiceAccount, and may pull their images", c))
	}
	for _, key := range []string{"eks.amazonaws.com/role-arn", "eks.amazonaws.com/audience", "k3s-aws-auth/certificate", "k3s-aws-auth/aws-config",
		"k3s-aws-auth/role-arn", "k3s-aws-auth/profile-arn", "k3s-aws-auth/trust-anchor-arn"} { // docs/injection.md
		if was, is := annotation(c.Before, key), annotation(c.After, key); was != is {
			switch {
			case unknown(is):
				is = "something that is known only after the update"
			case is == "":
				is = "nothing"
			}
			signs = append(signs, sign(Warning, "service-account-changed", fmt.Sprintf("%s of the ServiceAccount %s becomes %s", key, c.Now().Name(), is),
				"its pods get another identity, or none", "see that the role trusts this ServiceAccount", c))
		}
	}
	label := func(r *preview.Resource) string {
		m, _ := r.Value("metadata", "labels").(map[string]any)
		s, _ := m["k3s-aws-auth/injection"].(string)
		return s
	}
	if label(c.Before) != label(c.After) && label(c.After) != "enabled" {
		signs = append(signs, sign(Warning, "service-account-changed", "the ServiceAccount "+c.Now().Name()+" loses the label k3s-aws-auth/injection",
			"the admission policy looks at it no longer: new pods go without their identity", "let their manifests have it first", c))
	}
	const expiration = "eks.amazonaws.com/token-expiration"
	if n := number(annotation(c.After, expiration)); n > day && n > number(annotation(c.Before, expiration)) {
		signs = append(signs, sign(Warning, "service-account-changed", fmt.Sprintf("tokens of the ServiceAccount %s are good for %d s", c.Now().Name(), n), "a stolen token is good that long", "a day is enough: the kubelet renews them", c))
	}
	for _, key := range []string{"name", "namespace"} {
		was, _ := c.Before.Value("metadata", key).(string)
		is, _ := c.After.Value("metadata", key).(string)
		if was != is {
			signs = append(signs, sign(Warning, "service-account-changed", fmt.Sprintf("the %s of the ServiceAccount %s becomes %s", key, c.Now().Name(), is),
				"the subject of its tokens changes with it: roles trust the old one", "make the new one beside the old one", c))
		}
	}
	if d := differs(c, "secrets", "imagePullSecrets", "automountServiceAccountToken"); len(d) > 0 {
		signs = append(signs, sign(Warning, "service-account-changed", fmt.Sprintf("the ServiceAccount %s changes %s", c.Now().Name(), strings.Join(d, ", ")), "its pods get other secrets", "see that they need them", c))
	}
	return signs
}

// plainSecret: the values of a Secret that the program does not mark as secret.
func plainSecret(c *preview.Change) []Sign {
	if c.After == nil {
		return nil
	}
	for _, p := range []string{"data", "stringData"} {
		was, _ := c.Before.Value(p).(map[string]any)
		is, _ := c.After.Value(p).(map[string]any)
		for _, k := range sortedKeys(is) {
			if v, ok := is[k].(string); ok && v != "" && v != preview.Secret && v != preview.Unknown && was[k] != v {
				return []Sign{sign(Warning, "secret-plain", fmt.Sprintf("%s: %s.%s would be in plain", c.Now().Name(), p, k),
					"state, previews and logs show it to everybody who reads them", "mark it as secret (pulumi.ToSecret)", c)}
			}
		}
	}
	return nil
}

func configMap(c *preview.Change) []Sign {
	if namespaceOf(c.Now()) == "kube-system" && (c.Before == nil || c.After == nil || len(differs(c, "data", "binaryData")) > 0) {
		return []Sign{sign(Warning, "cluster-configuration", "the ConfigMap "+c.Now().Name()+" of kube-system changes", "the cluster itself reads it", "look at what reads it", c)}
	}
	arns := func(r *preview.Resource) (out []string) {
		data, _ := r.Value("data").(map[string]any)
		for _, k := range sortedKeys(data) {
			out = append(out, identityARN.FindAllString(textOf(data[k]), -1)...)
		}
		return out
	}
	if more := difference(arns(c.After), arns(c.Before)); c.Before != nil && len(more) > 0 {
		return []Sign{sign(Warning, "service-account-changed", fmt.Sprintf("the ConfigMap %s names %s", c.Now().Name(), strings.Join(more, ", ")), "pods that read it may take another identity", "see that it is theirs", c)}
	}
	return nil
}

// identityARN matches what an SDK or the credential helper is told to take an identity by.
var identityARN = regexp.MustCompile(`arn:aws[a-z-]*:(iam::[0-9]{12}:role|rolesanywhere:[a-z0-9-]+:[0-9]{12}:(profile|trust-anchor))/[0-9A-Za-z_+=,.@/-]+`)

func namespace(c *preview.Change) []Sign {
	if c.Before == nil || c.After == nil {
		return nil
	}
	was, _ := c.Before.Value("metadata", "labels").(map[string]any)
	is, _ := c.After.Value("metadata", "labels").(map[string]any)
	rank := []string{"restricted", "baseline", "privileged"}
	const key = "pod-security.kubernetes.io/enforce"
	old, _ := was[key].(string)
	now, _ := is[key].(string)
	if old != now && old != "" && (now == "" || slices.Index(rank, now) > slices.Index(rank, old)) {
		return []Sign{sign(Warning, "pod-security-lowered", fmt.Sprintf("pod security of the namespace %s falls from %s to %s", c.Now().Name(), old, orNone(now)),
			"pods in it may reach their machine", "keep the level, and make an exception a namespace of its own", c)}
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func service(c *preview.Change) []Sign {
	if c.After == nil {
		return nil
	}
	was, _ := c.Before.Value("spec", "type").(string)
	is, _ := c.After.Value("spec", "type").(string)
	if is != was && (is == "LoadBalancer" || is == "NodePort") {
		return []Sign{sign(Warning, "open-to-internet", "the Service "+c.Now().Name()+" becomes a "+is, "it is reachable from outside of the cluster", "use a ClusterIP", c)}
	}
	for _, p := range []string{"externalName", "selector"} {
		if c.Before != nil && !sameValue(c.Before.Value("spec", p), c.After.Value("spec", p)) {
			return []Sign{sign(Warning, "cluster-configuration", fmt.Sprintf("the Service %s leads to others (%s)", c.Now().Name(), p), "what is sent to its name goes there", "see who answers there", c)}
		}
	}
	if more := difference(list(c.After.Value("spec", "externalIPs")), list(c.Before.Value("spec", "externalIPs"))); len(more) > 0 {
		return []Sign{sign(Warning, "open-to-internet", "the Service "+c.Now().Name()+" takes external addresses", "traffic for them goes to its pods", "leave them out", c)}
	}
	old, now := list(c.Before.Value("spec", "loadBalancerSourceRanges")), list(c.After.Value("spec", "loadBalancerSourceRanges"))
	if len(old) > 0 && (len(now) == 0 || len(difference(now, old)) > 0) {
		return []Sign{sign(Warning, "open-to-internet", "the Service "+c.Now().Name()+" lets in other addresses", "more may try", "name the addresses that need it", c)}
	}
	for _, key := range []string{"service.beta.kubernetes.io/aws-load-balancer-internal", "service.beta.kubernetes.io/aws-load-balancer-scheme"} {
		if c.Before != nil && !sameValue(c.Before.Value("metadata", "annotations", key), c.After.Value("metadata", "annotations", key)) {
			return []Sign{sign(Warning, "open-to-internet", "the load balancer of the Service "+c.Now().Name()+" changes between internal and internet-facing", "anybody may try", "keep it internal", c)}
		}
	}
	return nil
}
