package kubelet

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fakeObjects holds Secrets and ConfigMaps by name.
type fakeObjects struct {
	secrets    map[string]map[string]string
	configMaps map[string]map[string]string
	service    *corev1.Service
}

func (f fakeObjects) secret(_, name string) (*corev1.Secret, error) {
	data, ok := f.secrets[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	s := &corev1.Secret{Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s, nil
}

func (f fakeObjects) configMap(_, name string) (*corev1.ConfigMap, error) {
	data, ok := f.configMaps[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return &corev1.ConfigMap{Data: data}, nil
}

func (f fakeObjects) kubernetes() (*corev1.Service, error) { return f.service, nil }

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "EMPTY": ""}
	lookup := func(n string) (string, bool) { v, ok := values[n]; return v, ok }
	for in, want := range map[string]string{
		"plain":      "plain",
		"$(A)":       "1",
		"x$(A)y$(A)": "x1y1",
		"$(B)":       "$(B)",
		"$$(A)":      "$(A)",
		"$$$(A)":     "$1",
		"$(EMPTY)":   "",
		"$A":         "$A",
		"$(A":        "$(A",
		"end$":       "end$",
		"$()":        "$()",
	} {
		require.Equal(t, want, expand(in, lookup), in)
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"$(A)", "$$(A)", "$(", "$", "$$$$(A))("} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// Without a reference nothing changes but the escapes, which only ever shorten.
		if got := expand(text, func(string) (string, bool) { return "", false }); len(got) > len(text) {
			t.Fatalf("%q became the longer %q", text, got)
		}
	})
}

func TestEnvironment(t *testing.T) {
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", Labels: map[string]string{"l": "x"}, Annotations: map[string]string{"a/b": "y"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "sa"},
	}
	src := fakeObjects{
		secrets:    map[string]map[string]string{"s": {"key": "secret", "OTHER": "o"}},
		configMaps: map[string]map[string]string{"c": {"key": "config", "2bad": "kept", "a=b": "dropped"}},
	}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	name := func(n string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: n} }
	for _, test := range []struct {
		name string
		c    corev1.Container
		want []string
		err  string
	}{
		{"values see earlier ones", corev1.Container{Env: []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)$(C)"}, {Name: "C", Value: "3"}}}, []string{"A=1", "B=1$(C)", "C=3"}, ""},
		{"a later one replaces", corev1.Container{Env: []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}}, []string{"A=2"}, ""},
		{"fields", corev1.Container{Env: []corev1.EnvVar{
			{Name: "NAME", ValueFrom: field("metadata.name")}, {Name: "NS", ValueFrom: field("metadata.namespace")}, {Name: "UID", ValueFrom: field("metadata.uid")},
			{Name: "NODE", ValueFrom: field("spec.nodeName")}, {Name: "SA", ValueFrom: field("spec.serviceAccountName")}, {Name: "IP", ValueFrom: field("status.podIP")},
			{Name: "HOST", ValueFrom: field("status.hostIP")}, {Name: "L", ValueFrom: field("metadata.labels['l']")}, {Name: "AN", ValueFrom: field("metadata.annotations['a/b']")},
			{Name: "SESSION", Value: "$(NS).$(SA)"}}},
			[]string{"NAME=p", "NS=ns", "UID=u", "NODE=n", "SA=sa", "IP=1.2.3.4", "HOST=5.6.7.8", "L=x", "AN=y", "SESSION=ns.sa"}, ""},
		{"unknown field", corev1.Container{Env: []corev1.EnvVar{{Name: "A", ValueFrom: field("spec.other")}}}, nil, "unsupported fieldPath: spec.other"},
		{"secret key", corev1.Container{Env: []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: name("s"), Key: "key"}}}}}, []string{"A=secret"}, ""},
		{"missing secret", corev1.Container{Env: []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: name("no"), Key: "key"}}}}}, nil, `secret "no" not found`},
		{"missing key", corev1.Container{Env: []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: name("s"), Key: "no"}}}}}, nil, "couldn't find key no in Secret ns/s"},
		{"optional", corev1.Container{Env: []corev1.EnvVar{
			{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: name("no"), Key: "key", Optional: &yes}}},
			{Name: "B", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: name("c"), Key: "no", Optional: &yes}}}}}, []string{}, ""},
		{"all of a config map", corev1.Container{EnvFrom: []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: name("c")}}}}, []string{"P_2bad=kept", "P_key=config"}, ""},
		{"env over envFrom", corev1.Container{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: name("s")}}}, Env: []corev1.EnvVar{{Name: "key", Value: "own"}}}, []string{"OTHER=o", "key=own"}, ""},
		{"missing config map", corev1.Container{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: name("no")}}}}, nil, `configmap "no" not found`},
		{"resources", corev1.Container{Name: "c", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("64Mi")}}, Env: []corev1.EnvVar{
			{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "MEM", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}}}},
			[]string{"CPU=2", "MEM=64"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := environment(pod, &test.c, podInfo{podIP: "1.2.3.4", hostIP: "5.6.7.8", nodeName: "n"}, src)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

// TestServiceEnvironment holds what every container of a cluster has to find the API server by, behind what it says itself.
func TestServiceEnvironment(t *testing.T) {
	src := fakeObjects{service: &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.1",
		Ports: []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}}}}}
	got, err := environment(&corev1.Pod{}, &corev1.Container{Env: []corev1.EnvVar{
		{Name: "URL", Value: "https://$(KUBERNETES_SERVICE_HOST)"}, {Name: "KUBERNETES_PORT", Value: "mine"},
	}}, podInfo{}, src)
	require.NoError(t, err)
	require.Equal(t, []string{
		"URL=https://10.43.0.1", "KUBERNETES_PORT=mine",
		"KUBERNETES_SERVICE_HOST=10.43.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
		"KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO=tcp", "KUBERNETES_PORT_443_TCP_PORT=443", "KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1",
	}, got)
}

func TestMergeEnv(t *testing.T) {
	require.Equal(t, []string{"A=2", "B=1", "C=3"}, mergeEnv([]string{"A=1", "B=1"}, []string{"A=2"}, []string{"C=3"}))
}

func TestRepository(t *testing.T) {
	for in, want := range map[string]string{
		"public.ecr.aws/aws-cli/aws-cli:2.34.43": "public.ecr.aws/aws-cli/aws-cli",
		"a/b@sha256:00":                          "a/b",
		"a/b:1@sha256:00":                        "a/b",
		"localhost:5000/a":                       "localhost:5000/a",
		"localhost:5000/a:1":                     "localhost:5000/a",
		"a":                                      "a",
	} {
		require.Equal(t, want, repository(in), in)
	}
}

func TestOptionsNameWhatIsMissing(t *testing.T) {
	_, err := New(Options{NodeName: "n"})
	for _, name := range []string{"Client", "Runner", "Dir", "ClientCAs"} {
		require.ErrorContains(t, err, "kubelet: "+name+" is required")
	}
	require.NotErrorIs(t, err, errors.ErrUnsupported)
}
