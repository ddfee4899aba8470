package kubelet

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
)

// objects reads what a pod refers to.
type objects interface {
	secret(namespace, name string) (*corev1.Secret, error)
	configMap(namespace, name string) (*corev1.ConfigMap, error)
	// kubernetes is the Service of the API server; nil where there is none yet.
	kubernetes() (*corev1.Service, error)
}

// serviceEnvironment are the variables by which every container finds the API server: InClusterConfig of client-go reads the
// first two. A kubelet gives those of the namespace's other services too, which have no addresses here (kubernetes/kubernetes
// pkg/kubelet/envvars/envvars.go, kubelet_pods.go getServiceEnvVarMap).
func serviceEnvironment(s *corev1.Service) (names []string, values map[string]string) {
	values = map[string]string{}
	if s == nil || len(s.Spec.Ports) == 0 {
		return nil, values
	}
	set := func(name, value string) { names, values[name] = append(names, name), value }
	first, host := s.Spec.Ports[0], s.Spec.ClusterIP
	port, protocol := strconv.Itoa(int(first.Port)), strings.ToLower(string(first.Protocol))
	url := protocol + "://" + net.JoinHostPort(host, port)
	set("KUBERNETES_SERVICE_HOST", host)
	set("KUBERNETES_SERVICE_PORT", port)
	set("KUBERNETES_SERVICE_PORT_"+strings.ToUpper(first.Name), port)
	set("KUBERNETES_PORT", url)
	of := fmt.Sprintf("KUBERNETES_PORT_%s_%s", port, strings.ToUpper(protocol))
	set(of, url)
	set(of+"_PROTO", protocol)
	set(of+"_PORT", port)
	set(of+"_ADDR", host)
	return names, values
}

// podInfo is what the downward API knows beyond the pod object itself.
type podInfo struct{ podIP, hostIP, nodeName string }

// expand replaces $(NAME) by a variable's value, and $$(NAME) by $(NAME) as it is; an unknown name stays as written.
func expand(text string, value func(string) (string, bool)) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 >= len(text) {
			b.WriteByte(text[i])
			continue
		}
		switch next := text[i+1]; next {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				b.WriteString("$(")
				i++
				continue
			}
			name := text[i+2 : i+end]
			if v, ok := value(name); ok {
				b.WriteString(v)
			} else {
				b.WriteString(text[i : i+end+1])
			}
			i += end
		default:
			b.WriteByte('$')
			b.WriteByte(next)
			i++
		}
	}
	return b.String()
}

// environment computes a container's variables, in the order in which they were first named. Its errors are those of a
// kubelet's CreateContainerConfigError.
func environment(pod *corev1.Pod, c *corev1.Container, info podInfo, src objects) ([]string, error) {
	var names []string
	values := map[string]string{}
	set := func(name, value string) {
		if _, ok := values[name]; !ok {
			names = append(names, name)
		}
		values[name] = value
	}
	for _, from := range c.EnvFrom {
		data, err := envFrom(pod, from, src)
		if err != nil {
			return nil, err
		}
		keys := make([]string, 0, len(data))
		for k := range data {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if name := from.Prefix + k; len(validation.IsRelaxedEnvVarName(name)) == 0 {
				set(name, data[k])
			}
		}
	}
	kubernetes, err := src.kubernetes()
	if err != nil {
		return nil, err
	}
	found, services := serviceEnvironment(kubernetes)
	lookup := func(name string) (string, bool) {
		if v, ok := values[name]; ok {
			return v, true
		}
		v, ok := services[name]
		return v, ok
	}
	for _, e := range c.Env {
		value := expand(e.Value, lookup)
		if e.ValueFrom != nil {
			v, ok, err := valueFrom(pod, c, e.ValueFrom, info, src)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue // an optional reference without a value sets nothing
			}
			value = v
		}
		set(e.Name, value)
	}
	for _, name := range found { // what the pod says itself goes before
		if _, own := values[name]; !own {
			set(name, services[name])
		}
	}
	env := make([]string, 0, len(names))
	for _, name := range names {
		env = append(env, name+"="+values[name])
	}
	return env, nil
}

func optional(b *bool) bool { return b != nil && *b }

func envFrom(pod *corev1.Pod, from corev1.EnvFromSource, src objects) (map[string]string, error) {
	switch {
	case from.ConfigMapRef != nil:
		m, err := src.configMap(pod.Namespace, from.ConfigMapRef.Name)
		if apierrors.IsNotFound(err) && optional(from.ConfigMapRef.Optional) {
			return nil, nil
		}
		if err != nil {
			return nil, quoteNotFound(err, "configmap", from.ConfigMapRef.Name)
		}
		return m.Data, nil
	case from.SecretRef != nil:
		s, err := src.secret(pod.Namespace, from.SecretRef.Name)
		if apierrors.IsNotFound(err) && optional(from.SecretRef.Optional) {
			return nil, nil
		}
		if err != nil {
			return nil, quoteNotFound(err, "secret", from.SecretRef.Name)
		}
		data := map[string]string{}
		for k, v := range s.Data {
			data[k] = string(v)
		}
		return data, nil
	}
	return nil, nil
}

func valueFrom(pod *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource, info podInfo, src objects) (string, bool, error) {
	switch {
	case from.FieldRef != nil:
		v, err := fieldValue(pod, from.FieldRef.FieldPath, info)
		return v, err == nil, err
	case from.ResourceFieldRef != nil:
		v, err := resourceValue(pod, c, from.ResourceFieldRef)
		return v, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := src.configMap(pod.Namespace, ref.Name)
		if apierrors.IsNotFound(err) && optional(ref.Optional) {
			return "", false, nil
		}
		if err != nil {
			return "", false, quoteNotFound(err, "configmap", ref.Name)
		}
		v, ok := m.Data[ref.Key]
		if !ok && !optional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, pod.Namespace, ref.Name)
		}
		return v, ok, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := src.secret(pod.Namespace, ref.Name)
		if apierrors.IsNotFound(err) && optional(ref.Optional) {
			return "", false, nil
		}
		if err != nil {
			return "", false, quoteNotFound(err, "secret", ref.Name)
		}
		v, ok := s.Data[ref.Key]
		if !ok && !optional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, pod.Namespace, ref.Name)
		}
		return string(v), ok, nil
	}
	return "", false, fmt.Errorf("a variable's source that the lab's kubelet does not know: %v", from)
}

// fieldValue is the downward API's value of a field path.
func fieldValue(pod *corev1.Pod, path string, info podInfo) (string, error) {
	if name, key, ok := subscript(path); ok {
		switch name {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
		return "", fmt.Errorf("unsupported fieldPath: %v", path)
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return info.nodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return info.podIP, nil
	case "status.hostIP", "status.hostIPs":
		return info.hostIP, nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %v", path)
}

// subscript splits metadata.labels['key'].
func subscript(path string) (name, key string, ok bool) {
	name, rest, ok := strings.Cut(path, "['")
	if !ok || !strings.HasSuffix(rest, "']") {
		return "", "", false
	}
	return name, strings.TrimSuffix(rest, "']"), true
}

func formatMap(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	lines := make([]string, 0, len(keys))
	for _, k := range keys {
		lines = append(lines, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return strings.Join(lines, "\n")
}

// resourceValue is a container's limit or request in units of the divisor, rounded up. Nothing is limited in the lab:
// where a limit is not declared there is no node allocatable to fall back to, which is an error here.
func resourceValue(pod *corev1.Pod, c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	if ref.ContainerName != "" && ref.ContainerName != c.Name {
		found := slices.IndexFunc(pod.Spec.Containers, func(x corev1.Container) bool { return x.Name == ref.ContainerName })
		if found < 0 {
			return "", fmt.Errorf("container %s not found", ref.ContainerName)
		}
		c = &pod.Spec.Containers[found]
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	list := c.Resources.Requests
	if kind == "limits" {
		list = c.Resources.Limits
	}
	q, ok := list[corev1.ResourceName(name)]
	if !ok {
		return "", fmt.Errorf("container %s declares no %s", c.Name, ref.Resource)
	}
	divisor, value := int64(1), q.Value()
	if name == string(corev1.ResourceCPU) {
		value = q.MilliValue()
		divisor = 1000
		if !ref.Divisor.IsZero() {
			divisor = ref.Divisor.MilliValue()
		}
	} else if !ref.Divisor.IsZero() {
		divisor = ref.Divisor.Value()
	}
	return strconv.FormatInt((value+divisor-1)/divisor, 10), nil
}
