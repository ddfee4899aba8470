package stacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"
	"reflect"

	"k3s-aws-auth/components/workload"
)

// entry is an identity of the tests below.
type entry struct {
	Name            string           `json:"name"`
	Namespace       string           `json:"namespace"`
	ServiceAccount  string           `json:"serviceAccount"`
	ServiceAccounts []string         `json:"serviceAccounts,omitempty"`
	CreateNamespace bool             `json:"createNamespace"`
	Statements      []map[string]any `json:"statements"`
}

func (e entry) key() string { return e.Namespace + "." + e.ServiceAccount }

// keys are those of all its service accounts, each with the name of its demo pod.
func (e entry) keys() map[string]string {
	all := map[string]string{e.key(): e.Namespace + "." + e.Name}
	for _, text := range e.ServiceAccounts {
		namespace, name, _ := strings.Cut(text, "/")
		all[namespace+"."+name] = namespace + "." + e.Name + "-" + name
	}
	return all
}

func (e entry) meets(other entry) bool {
	theirs := other.keys()
	for key := range e.keys() {
		if _, both := theirs[key]; both {
			return true
		}
	}
	return e.Name == other.Name
}

// lists are lists of identities that change at random.
type lists struct{ *rand.Rand }

func (l lists) entry(taken []entry) entry {
	for {
		e := entry{Name: fmt.Sprintf("id-%d", l.IntN(12)), Namespace: []string{"default", "billing", "shop"}[l.IntN(3)],
			ServiceAccount: fmt.Sprintf("sa-%d", l.IntN(4))}
		e.CreateNamespace = e.Namespace != "default" && l.IntN(2) == 0
		e.Statements = []map[string]any{{"actions": []string{"s3:GetObject"}, "resources": []string{"arn:aws:s3:::example/" + e.key() + "/*"}}}
		for range l.IntN(3) {
			other := entry{Namespace: []string{"default", "billing", "shop"}[l.IntN(3)], ServiceAccount: fmt.Sprintf("sa-%d", l.IntN(4))}
			if _, has := e.keys()[other.key()]; !has {
				e.ServiceAccounts = append(e.ServiceAccounts, other.Namespace+"/"+other.ServiceAccount)
			}
		}
		if !slices.ContainsFunc(taken, e.meets) {
			return e
		}
	}
}

// change returns another list, and what was done.
func (l lists) change(list []entry) (string, []entry) {
	list = slices.Clone(list)
	i := l.IntN(len(list))
	switch l.IntN(9) {
	case 0:
		l.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return "permute", list
	case 1:
		return "add", slices.Insert(list, i, l.entry(list))
	case 2:
		if len(list) > 1 {
			return "remove", slices.Delete(list, i, i+1)
		}
	case 3:
		list[i].Name = l.entry(list).Name
		return "rename", list
	case 4:
		if j := l.IntN(len(list)); j != i {
			list[i].Name, list[j].Name = list[j].Name, list[i].Name
			return "swap names", list
		}
	case 5:
		list[i].ServiceAccount += "x"
		return "another service account", list
	case 6:
		if more := list[i].ServiceAccounts; len(more) > 0 {
			j := l.IntN(len(list))
			list[i].ServiceAccounts = slices.Clone(more[1:])
			list[j].ServiceAccounts = append(slices.Clone(list[j].ServiceAccounts), more[0])
			return "move a service account", list
		}
	case 7:
		if more := list[i].ServiceAccounts; len(more) > 0 {
			namespace, name, _ := strings.Cut(more[0], "/")
			list[i].ServiceAccounts = append(slices.Clone(more[1:]), list[i].Namespace+"/"+list[i].ServiceAccount)
			list[i].Namespace, list[i].ServiceAccount = namespace, name
			return "another service account first", list
		}
	case 8:
		if more := list[i].ServiceAccounts; len(more) > 0 {
			list[i].ServiceAccounts = slices.Clone(more[1:])
			return "remove a service account", list
		}
	}
	return "nothing", list
}

// TestNamesFollowNoList adds, moves, renames and removes identities at random: of
// those that are not concerned, and of namespaces that somebody still has, nothing
// changes, and one object of the cluster has one logical name for good. Otherwise
// Pulumi would make it under the new one and delete it under the old one.
func TestNamesFollowNoList(t *testing.T) {
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			l := lists{rand.New(rand.NewPCG(uint64(len(setup)), 1))}
			run := func(list []entry) map[string]registered {
				text, err := json.Marshal(list)
				require.NoError(t, err)
				e := runLab(t, setup, true, func(values map[string]string) { values["k3s-aws-auth:identities"] = string(text) })
				all := map[string]registered{}
				for _, r := range e.resources {
					all[r.URN] = r
				}
				return all
			}
			list := []entry{}
			for range 4 {
				list = append(list, l.entry(list))
			}
			logical := map[string]string{} // by type and name of the object
			before := run(list)
			for range 12 {
				what, changed := l.change(list)
				after := run(changed)
				for _, urn := range differing(before, after) {
					require.True(t, concerns(urn, list, changed), "%s: %v -> %v changes %s", what, list, changed, urn)
				}
				for urn, r := range after {
					object, ok := objectOf(r)
					if was, known := logical[object]; ok && known {
						require.Equal(t, was, urn, "%s: another logical name of %s", what, object)
					}
					logical[object] = urn
				}
				list, before = changed, after
			}
		})
	}
}

// differing lists what a preview between two runs would show.
func differing(before, after map[string]registered) []string {
	var urns []string
	for _, urn := range slices.Sorted(maps.Keys(before)) {
		was, is := before[urn], after[urn]
		if is.URN == "" || !was.Inputs.DeepEquals(is.Inputs) || was.Provider != is.Provider || was.Parent != is.Parent {
			urns = append(urns, urn)
		}
	}
	for _, urn := range slices.Sorted(maps.Keys(after)) {
		if before[urn].URN == "" {
			urns = append(urns, urn)
		}
	}
	return urns
}

// concerns reports whether a resource is of an identity that two lists do not have
// alike, of a namespace that they do not both want, or of what all roles are in.
func concerns(urn string, before, after []entry) bool {
	u := resource.URN(urn)
	var changed []entry
	for _, pair := range [][2][]entry{{before, after}, {after, before}} {
		for _, e := range pair[0] {
			if !slices.ContainsFunc(pair[1], func(o entry) bool { return reflect.DeepEqual(e, o) }) {
				changed = append(changed, e)
			}
		}
	}
	for _, e := range changed {
		own := []string{"lab-cluster-agent-identity-" + e.Name}
		for key, pod := range e.keys() {
			own = append(own, "lab-"+key, "lab-"+pod+"-pod")
		}
		if slices.ContainsFunc(own, func(name string) bool { return u.Name() == name || strings.HasPrefix(u.Name(), name+"-") }) {
			return true
		}
	}
	wants := func(list []entry, namespace string) bool {
		return slices.ContainsFunc(list, func(e entry) bool {
			return e.CreateNamespace && slices.ContainsFunc(slices.Collect(maps.Keys(e.keys())), func(key string) bool { return strings.HasPrefix(key, namespace+".") })
		})
	}
	for _, namespace := range []string{"billing", "shop"} {
		if wants(before, namespace) != wants(after, namespace) {
			// Whatever is there waits for it.
			if u.Name() == "lab-"+namespace || strings.HasPrefix(u.Name(), "lab-"+namespace+".") || u.Name() == "lab-"+namespace+"-namespace" ||
				u.Name() == "lab-kubernetes-adopting" {
				return true
			}
		}
	}
	return len(changed) > 0 && (u.Type() == "aws:rolesanywhere/profile:Profile" || u.Type() == resource.RootStackType)
}

// objectOf is what a resource is in the cluster.
func objectOf(r registered) (string, bool) {
	metadata, ok := r.Inputs["metadata"]
	if !ok || !strings.HasPrefix(r.Type, "kubernetes:") || !metadata.IsObject() {
		return "", false
	}
	m := metadata.ObjectValue()
	return fmt.Sprint(r.Type, " ", m["namespace"].V, "/", m["name"].V), true
}

// TestFormerNames holds that whatever an identity has, in a stack of an earlier
// release, is found again under its name of then.
func TestFormerNames(t *testing.T) {
	long := strings.Repeat("n", 40)
	for _, setup := range Setups() {
		t.Run(setup, func(t *testing.T) {
			e := runLab(t, setup, true, func(values map[string]string) {
				values["k3s-aws-auth:identities"] = `[{"name":"` + long + `","namespace":"billing","serviceAccount":"` + strings.Repeat("s", 60) + `","createNamespace":true,` +
					`"statements":[{"actions":["s3:GetObject"],"resources":["*"]}],"managedPolicyArns":["arn:aws:iam::aws:policy/ReadOnlyAccess"]}]`
			})
			kind := map[string]string{"instance-profile": workload.InstanceProfileType, "roles-anywhere": workload.RolesAnywhereType}[setup]
			if kind == "" {
				kind = workload.WebIdentityType
			}
			const project = "urn:pulumi:lab::k3s-aws-auth::"
			want := map[string][]string{
				"kubernetes:core/v1:Namespace": {project + kind + "$kubernetes:core/v1:Namespace::lab-" + long + "-namespace"},
				kind:                           {"lab-" + long},
				"kubernetes:core/v1:Pod":       {"lab-" + long + "-pod"},
			}
			if setup != "instance-profile" {
				want["k3s-aws-auth:podrole:PodRole"] = []string{"lab-" + long}
				// What the earlier release shortened, it shortened by its own name.
				want["aws:iam/role:Role"] = []string{"lab-" + long + "-role"}
				want["aws:iam/rolePolicy:RolePolicy"] = []string{"lab-" + long + "-policy"}
			}
			if setup == "roles-anywhere" {
				want["k3s-aws-auth:rolesanywhere:Leaf"] = []string{"lab-" + long + "-leaf"}
			}
			for _, r := range e.resources {
				if names, ok := want[r.Type]; ok && !strings.Contains(r.Name, "lab-cluster") {
					require.Equal(t, names, r.Aliases, r.Name)
					delete(want, r.Type)
				}
			}
			require.Empty(t, want)
		})
	}
}

// TestUsEast1KnowsEverySetting holds the keys that are handed on against those that
// the provider has.
func TestUsEast1KnowsEverySetting(t *testing.T) {
	var keys []string
	for i := range reflect.TypeFor[aws.ProviderArgs]().NumField() {
		name := reflect.TypeFor[aws.ProviderArgs]().Field(i).Name
		keys = append(keys, strings.ToLower(name[:1])+name[1:])
	}
	require.ElementsMatch(t, keys, slices.Collect(maps.Keys(awsSettings)))
}
