package injection

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// What a ServiceAccount says about the identity of pods that present a
// certificate. None of it is the EKS webhook's: in a cluster that runs that, these
// pods would get a token too.
const (
	// CertificateAnnotation is the name of the Secret with the certificate.
	CertificateAnnotation = "k3s-aws-auth/certificate"
	// ConfigAnnotation is the name of the ConfigMap with the AWS configuration.
	ConfigAnnotation = "k3s-aws-auth/aws-config"
	// These are what CreateSession names, where pods have no AWS configuration.
	RoleAnnotation        = "k3s-aws-auth/role-arn"
	ProfileAnnotation     = "k3s-aws-auth/profile-arn"
	TrustAnchorAnnotation = "k3s-aws-auth/trust-anchor-arn"
)

// Parts is what a pod's manifest has to have an identity. A policy gives the same
// to pods whose manifests have nothing of it.
type Parts struct {
	// Env and Mounts are for containers that call AWS, the rest for the pod.
	Env            corev1.EnvVarArray
	Mounts         corev1.VolumeMountArray
	Volumes        corev1.VolumeArray
	InitContainers corev1.ContainerArray
	// Own are the variables by which a container has credentials of its own: a
	// policy leaves it alone. Where one has a value of Env, and a helper that is
	// not the policy's, the pod's manifest has the parts already, and a policy
	// leaves all of the pod alone.
	Own []string
	// Refused are pods that the parts would not work in.
	Refused []Refusal
}

// Refusal is a condition in CEL, of the pod `object` or of `variables.pending`, its
// containers that are to get the parts; and what the maker of such a pod reads.
type Refusal struct{ Condition, Message string }

// AppImage stands in [Parts] for the image of a pod's first container that is to
// get them.
const AppImage = "${variables.pending[0].image}"

// Annotation stands in [Parts] for what the pod's ServiceAccount says in an
// annotation, without which the pod is refused. Parameters have no type that a list
// of texts would take, hence string.
func Annotation(key string) string { return `${string(params.metadata.annotations["` + key + `"])}` }

// injected gives the parts to pods.
func (p *Parts) injected() (*injected, error) {
	i := &injected{condition: annotated("service-account-has-a-certificate", CertificateAnnotation)}
	r := &renderer{}
	var env []variable
	for _, e := range p.Env {
		e := e.(corev1.EnvVarArgs)
		v := variable{name: r.plain(e.Name), value: r.value("", e.Value)}
		if other, ok := regions[v.name]; ok {
			v.unless = []string{other}
		}
		env = append(env, v)
	}
	var mounts []mount
	for _, m := range p.Mounts {
		m := m.(corev1.VolumeMountArgs)
		mounts = append(mounts, mount{r.plain(m.Name), r.plain(m.MountPath)})
	}
	var helpers, patches, refused, own []string
	refuse := func(condition, message string) {
		refused = append(refused, condition+"\n  ? "+refusal(message)+" :\n")
	}
	for _, f := range p.Refused {
		refuse(f.Condition, f.Message)
	}
	for _, v := range p.Volumes {
		name := r.plain(v.(corev1.VolumeArgs).Name)
		there := `object.spec.?volumes.orValue([]).exists(v, v.name == ` + strconv.Quote(name)
		refuse(there+" && !("+strings.Join(r.same("v", v), " && ")+"))",
			"the pod has a volume "+name+" of its own: give it another name")
		patches = append(patches, there+`) ? [] : [JSONPatch{op: "add", path: "/spec/volumes/-", value: `+r.value("Object.spec.volumes", v)+"}]")
	}
	for _, m := range mounts {
		refuse(fmt.Sprintf(`variables.pending.exists(c, c.?volumeMounts.orValue([]).exists(m, m.mountPath.matches("^%s(/.*)?$") && m.name != "%s"))`, m.path, m.volume),
			"a container mounts a volume of its own at "+m.path+": mount it elsewhere")
	}
	// Container runtimes make a mount's directory in what is mounted above it,
	// and a pod of which they cannot would never start.
	if above := parents(mounts); len(above) > 0 {
		i.add("unwritable", `object.spec.?volumes.orValue([]).filter(v, has(v.configMap) || has(v.secret) || has(v.projected) || has(v.downwardAPI) || has(v.image)).map(v, v.name)`)
		refuse(fmt.Sprintf(`variables.pending.exists(c, c.?volumeMounts.orValue([]).exists(m, m.mountPath.matches("^(%s)/*$") && (m.?readOnly.orValue(false) || m.name in variables.unwritable)))`,
			strings.Join(above, "|")), "a container has a read-only mount at one of "+strings.Join(above, ", ")+", in which nothing else can be mounted: mount it elsewhere")
	}
	for _, c := range p.InitContainers {
		c := c.(corev1.ContainerArgs)
		name := r.plain(c.Name)
		there := `object.spec.?initContainers.orValue([]).exists(c, c.name == ` + strconv.Quote(name)
		var mounted []string
		for _, m := range c.VolumeMounts.(corev1.VolumeMountArray) {
			mounted = append(mounted, `c.?volumeMounts.orValue([]).exists(m, m.name == `+r.value("", m.(corev1.VolumeMountArgs).Name)+")")
		}
		helpers = append(helpers, strconv.Quote(name))
		own = append(own, there+" && !("+strings.Join(mounted, " && ")+"))")
		refuse(own[len(own)-1], "the pod has an init container "+name+" of its own: give it another name")
		refuse(`object.spec.containers.exists(c, c.name == `+strconv.Quote(name)+")", "the pod has a container "+name+" of its own: give it another name")
		// The first of all: the pod's own init containers may call AWS.
		patches = append(patches, there+`) ? [] : [JSONPatch{op: "add", path: "/spec/initContainers/0", value: `+r.value("Object.spec.initContainers", c)+"}]")
	}
	i.add("skipped", skippedExpression)
	i.add("manifest", "("+strings.Join(own, " || ")+") &&\n  "+allContainers+`.exists(c, c.?env.orValue([]).exists(e, `+strings.Join(p.given(r), " || ")+"))")
	i.add("pending", fmt.Sprintf(`(object.spec.containers + object.spec.?initContainers.orValue([]).filter(c, !(c.name in [%s]))).filter(c,
  !variables.manifest && !(c.name in variables.skipped) && !c.?env.orValue([]).exists(e, e.name.matches("^(%s)$")))`,
		strings.Join(helpers, ", "), strings.Join(p.Own, "|")))
	refuse(`[`+strings.Join(r.annotations, ", ")+`].exists(value, value == "")`, "an annotation of the ServiceAccount is empty")
	i.add("own", `size(variables.pending) == 0 ? "" :`+"\n"+strings.Join(refused, "")+`""`)
	i.add("environment", environment(env))
	// The API server tells who is refused the whole expression that failed, and
	// the reason behind it. This one is short.
	i.patch(`variables.own == "" ? [] : [JSONPatch{op: "test", path: "/kind", value: variables.own}]`)
	// Lists that an apply configuration may not touch are in these: a command, a
	// volume's sources. The containers come last, since they are no longer
	// pending then.
	list := func(of string) string {
		return `(has(object.spec.` + of + `) ? [] : [JSONPatch{op: "add", path: "/spec/` + of + `", value: []}])`
	}
	i.patch("size(variables.pending) == 0 ? [] :\n" +
		strings.Join(append([]string{list("volumes"), list("initContainers")}, parenthesised(patches)...), " +\n"))
	i.apply(containersExpression("c.name in variables.pending.map(p, p.name)", mounts...))
	return i, r.err
}

// parents are the directories that mounts are in.
func parents(mounts []mount) []string {
	var all []string
	for _, m := range mounts {
		for above := path.Dir(m.path); above != "/"; above = path.Dir(above) {
			if !slices.Contains(all, above) {
				all = append(all, above)
			}
		}
	}
	slices.Sort(all)
	return all
}

// given are the conditions that a variable e has the value that the parts give to
// it, of those by which a container has credentials of its own.
func (p *Parts) given(r *renderer) []string {
	var all []string
	for _, e := range p.Env {
		e := e.(corev1.EnvVarArgs)
		if name := r.plain(e.Name); slices.Contains(p.Own, name) {
			all = append(all, fmt.Sprintf("e.name == %q && e.?value.orValue(\"\") == %s", name, r.value("", e.Value)))
		}
	}
	return all
}

// regions are the two variables that speak for each other.
var regions = map[string]string{"AWS_REGION": "AWS_DEFAULT_REGION", "AWS_DEFAULT_REGION": "AWS_REGION"}

func parenthesised(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, "("+s+")")
	}
	return out
}

// renderer writes a manifest's parts in CEL. It keeps the first error, and which
// annotations it needs.
type renderer struct {
	err         error
	annotations []string
}

// placeholder is a value that a policy finds out for each pod.
var placeholder = regexp.MustCompile(`^\$\{(.*)\}$`)

// value is an input as a CEL expression. Objects are of the type that path names:
// Kubernetes wants the path of the field, without the places in lists.
func (r *renderer) value(path string, input any) string {
	v := reflect.ValueOf(input)
	switch v.Kind() { //nolint:exhaustive // the rest is no part of a manifest
	case reflect.String:
		if m := placeholder.FindStringSubmatch(v.String()); m != nil {
			if m[0] != AppImage && !slices.Contains(r.annotations, m[1]) {
				r.annotations = append(r.annotations, m[1])
			}
			return m[1]
		}
		return strconv.Quote(v.String())
	case reflect.Bool, reflect.Int:
		return fmt.Sprint(input)
	case reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, r.value(path, v.Index(i).Interface()))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case reflect.Map:
		var all []string
		for _, key := range v.MapKeys() {
			all = append(all, strconv.Quote(key.String())+": "+r.value("", v.MapIndex(key).Interface()))
		}
		slices.Sort(all)
		return "{" + strings.Join(all, ", ") + "}"
	case reflect.Struct:
		if _, later := input.(pulumi.Output); later {
			break
		}
		var all []string
		fields(v, func(name string, field any) {
			all = append(all, name+": "+r.value(path+"."+name, field))
		})
		return path + "{" + strings.Join(all, ", ") + "}"
	}
	if r.err == nil {
		r.err = fmt.Errorf("%s is a %T, which is not known when a policy is written", path, input)
	}
	return "null"
}

// plain is a text that no pod changes.
func (r *renderer) plain(input pulumi.Input) string {
	if s, ok := input.(pulumi.String); ok {
		return string(s)
	}
	r.value("a name", input)
	return ""
}

// same are the conditions that what of names has all texts of the objects in an
// input. Numbers, such as the mode of files, are a pod's to choose, and so is when
// to pull an image: the admission plugin AlwaysPullImages changes that in the
// policy's own volume, and pods are made again from such manifests.
func (r *renderer) same(of string, input any) []string {
	var all []string
	fields(reflect.ValueOf(input), func(name string, field any) {
		if reflect.TypeOf(field).Kind() != reflect.Struct {
			return
		}
		of := of + ".?" + name
		fields(reflect.ValueOf(field), func(name string, text any) {
			if reflect.TypeOf(text).Kind() == reflect.String && name != "pullPolicy" {
				all = append(all, of+".?"+name+`.orValue("") == `+r.value("", text))
			}
		})
	})
	return all
}

// fields calls do for each field of a manifest's struct that is set.
func fields(v reflect.Value, do func(name string, field any)) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsNil() || f.Elem().Kind() == reflect.Slice && f.Elem().Len() == 0 {
			continue
		}
		do(v.Type().Field(i).Tag.Get("pulumi"), f.Interface())
	}
}
