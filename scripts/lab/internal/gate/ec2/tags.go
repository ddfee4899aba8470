package ec2

import (
	"net/http"
	"sort"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

func init() {
	register(map[string]action{
		"CreateTags":   {"ResourceId Tag", createTags, tagResources},
		"DeleteTags":   {"ResourceId Tag", deleteTags, tagResources},
		"DescribeTags": {"Filter MaxResults NextToken", describeTags, nil},
	})
}

// actions is the dispatch table; each file registers its own.
var actions = map[string]action{}

func register(more map[string]action) {
	for name, a := range more {
		actions[name] = a
	}
}

// kinds maps an id's prefix to the resource type of tags and ARNs.
var kinds = []struct{ prefix, kind string }{
	{"vpc-", "vpc"}, {"subnet-", "subnet"}, {"igw-", "internet-gateway"}, {"rtb-", "route-table"}, {"sg-", "security-group"},
	{"sgr-", "security-group-rule"}, {"eipalloc-", "elastic-ip"}, {"i-", "instance"}, {"vol-", "volume"},
	{"lt-", "launch-template"}, {"eni-", "network-interface"}, {"ami-", "image"}, {"acl-", "network-acl"},
	{"nat-", "natgateway"}, {"vpce-", "vpc-endpoint"},
}

func kindOf(id string) string {
	for _, k := range kinds {
		if strings.HasPrefix(id, k.prefix) {
			return k.kind
		}
	}
	return ""
}

// named returns a resources function for the ids in the given parameters (single or list).
func named(parameters ...string) func(*request) []string {
	return func(q *request) []string {
		var out []string
		for _, p := range parameters {
			ids := q.Strings(p)
			if v := q.Str(p); v != "" {
				ids = append(ids, v)
			}
			for _, id := range ids {
				if k := kindOf(id); k != "" {
					out = append(out, k+"/"+id)
				} else {
					out = append(out, "*")
				}
			}
		}
		if len(out) == 0 {
			return []string{"*"}
		}
		return out
	}
}

// created returns a resources function for a new resource of a kind (its ARN ends in *) and the named ones beside it.
func created(kind string, parameters ...string) func(*request) []string {
	return func(q *request) []string {
		out := []string{kind + "/*"}
		for _, p := range parameters {
			if id := q.Str(p); id != "" {
				if k := kindOf(id); k != "" {
					out = append(out, k+"/"+id)
				}
			}
		}
		return out
	}
}

func tagResources(q *request) []string { return named("ResourceId")(q) }

// exists tells whether the region has a taggable resource of that id.
func (r *region) exists(id string) bool {
	has := func(ok bool) bool { return ok }
	switch kindOf(id) {
	case "vpc":
		_, ok := r.vpcs.get(id)
		return has(ok)
	case "subnet":
		_, ok := r.subnets.get(id)
		return has(ok)
	case "internet-gateway":
		_, ok := r.gateways.get(id)
		return has(ok)
	case "route-table":
		_, ok := r.routeTables.get(id)
		return has(ok)
	case "security-group":
		_, ok := r.groups.get(id)
		return has(ok)
	case "security-group-rule":
		_, ok := r.rules.get(id)
		return has(ok)
	case "elastic-ip":
		_, ok := r.addresses.get(id)
		return has(ok)
	case "instance":
		_, ok := r.instances.get(id)
		return has(ok)
	case "volume":
		_, ok := r.volumes.get(id)
		return has(ok)
	case "launch-template":
		_, ok := r.templates.get(id)
		return has(ok)
	case "natgateway":
		_, ok := r.nats.get(id)
		return has(ok)
	case "vpc-endpoint":
		_, ok := r.endpoints.get(id)
		return has(ok)
	case "network-interface":
		for _, i := range r.instances.all() {
			if i.eni == id {
				return true
			}
		}
	case "network-acl":
		for _, v := range r.vpcs.all() {
			if v.acl == id {
				return true
			}
		}
	}
	return false
}

const maxTags = 50

// checkTags validates keys and values as EC2 does.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return gate.Errorf(http.StatusBadRequest, "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	for k, v := range tags {
		switch {
		case k == "":
			return invalid("Tag keys must not be empty.")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return invalid("Tag keys starting with 'aws:' are reserved for internal use")
		case len([]rune(k)) > 128:
			return invalid("Tag key exceeds the maximum length of 128 characters")
		case len([]rune(v)) > 256:
			return invalid("Tag value exceeds the maximum length of 256 characters")
		}
	}
	return nil
}

// specTags returns the tags that a create call carries for a resource type, and refuses other types.
func (q *request) specTags(allowed ...string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, spec := range q.Structs("TagSpecification") {
		kind := spec.Str("ResourceType")
		ok := false
		for _, a := range allowed {
			ok = ok || a == kind
		}
		if !ok {
			return nil, invalid("'%s' is not a valid taggable resource type for this operation.", kind)
		}
		if out[kind] == nil {
			out[kind] = map[string]string{}
		}
		for _, t := range spec.Structs("Tag") {
			out[kind][t.Str("Key")] = t.Str("Value")
		}
		if err := checkTags(out[kind]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (q *request) setTags(id string, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	if q.s.tags[id] == nil {
		q.s.tags[id] = map[string]string{}
	}
	for k, v := range tags {
		q.s.tags[id][k] = v
	}
}

// tagSet is the tagSet element of a resource, sorted by key.
func (q *request) tagSet(id string) wire.Node { return tagNode(q.s.tags[id]) }

func tagNode(tags map[string]string) wire.Node {
	keys := make([]string, 0, len(tags))
	for k := range tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return wire.List("tagSet", "item", keys, func(k string) []wire.Node {
		return nodes(wire.Text("key", k), wire.Text("value", tags[k]))
	})
}

func createTags(q *request) ([]wire.Node, error) {
	ids, add := q.Strings("ResourceId"), map[string]string{}
	for _, t := range q.Structs("Tag") {
		add[t.Str("Key")] = t.Str("Value")
	}
	for _, id := range ids {
		if !q.r.exists(id) {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidID", "The ID '%s' is not valid", id)
		}
		all := map[string]string{}
		for k, v := range q.s.tags[id] {
			all[k] = v
		}
		for k, v := range add {
			all[k] = v
		}
		if err := checkTags(all); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		q.setTags(id, add)
	}
	return returnTrue, nil
}

func deleteTags(q *request) ([]wire.Node, error) {
	for _, id := range q.Strings("ResourceId") {
		tags := q.Structs("Tag")
		if len(tags) == 0 {
			delete(q.s.tags, id)
		}
		for _, t := range tags {
			// A value that is given must match, also the empty one; without a value the tag goes whatever its value.
			if v := t.Ptr("Value"); v == nil || q.s.tags[id][t.Str("Key")] == *v {
				delete(q.s.tags[id], t.Str("Key"))
			}
		}
	}
	return returnTrue, nil
}

func describeTags(q *request) ([]wire.Node, error) {
	type tag struct{ id, key, value string }
	var all []tag
	for id, tags := range q.s.tags {
		if !q.r.exists(id) {
			continue
		}
		for k, v := range tags {
			all = append(all, tag{id, k, v})
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].id != all[j].id {
			return all[i].id < all[j].id
		}
		return all[i].key < all[j].key
	})
	all, err := filtered(q, all, func(t tag) string { return t.id }, func(t tag, name string) ([]string, bool) {
		switch name {
		case "resource-id":
			return []string{t.id}, true
		case "resource-type":
			return []string{kindOf(t.id)}, true
		case "key":
			return []string{t.key}, true
		case "value":
			return []string{t.value}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("tagSet", "item", all, func(t tag) []wire.Node {
		return nodes(wire.Text("resourceId", t.id), wire.Text("resourceType", kindOf(t.id)), wire.Text("key", t.key),
			wire.Text("value", t.value))
	})), nil
}
