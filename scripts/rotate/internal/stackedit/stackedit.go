// Package stackedit changes a stack's file as `pulumi config set` and `rm` do, all of a change at once: whoever is killed in
// the middle leaves the file as it was.
package stackedit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/stacks/config"
)

// File is a stack's file. Comments and the order of keys stay.
type File struct {
	path     string
	document yaml.Node
	before   string // as it would be written without a change
}

// Open reads a file.
func Open(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path}
	if err := yaml.Unmarshal(data, &f.document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(f.document.Content) != 1 || f.document.Content[0].Kind != yaml.MappingNode || child(f.document.Content[0], "config") == nil {
		return nil, fmt.Errorf("%s: found no config in it", path)
	}
	f.before, err = f.text()
	return f, err
}

// text is the file as Pulumi itself would write it.
func (f *File) text() (string, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	err := errors.Join(encoder.Encode(&f.document), encoder.Close())
	return text.String(), err
}

// child is the value of a mapping's key, or nil.
func child(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; mapping != nil && mapping.Kind == yaml.MappingNode && i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// find is the value of a key of the program; path leads into its objects.
func (f *File) find(path []string) (parent, value *yaml.Node) {
	value = child(f.document.Content[0], "config")
	for i, key := range path {
		if i == 0 {
			key = config.Project + ":" + key
		}
		parent, value = value, child(value, key)
	}
	return parent, value
}

// Text is a value that is no object or list; empty where it is not there.
func (f *File) Text(path ...string) string {
	if _, value := f.find(path); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// Set sets a value, which may be a node, and makes the objects around it.
func (f *File) Set(value any, path ...string) error {
	node, ok := value.(*yaml.Node)
	if !ok {
		node = &yaml.Node{}
		if err := node.Encode(value); err != nil {
			return err
		}
	}
	at := child(f.document.Content[0], "config")
	for i, key := range path {
		if i == 0 {
			key = config.Project + ":" + key
		}
		if at.Kind != yaml.MappingNode {
			return fmt.Errorf("%s: %v is in something that is no object", f.path, path)
		}
		next := child(at, key)
		last := i == len(path)-1
		switch {
		case last && next != nil:
			node.LineComment, node.FootComment = next.LineComment, next.FootComment
			*next = *node
			return nil
		case next == nil:
			next = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			if last {
				next = node
			}
			at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, next)
		}
		at = next
	}
	return nil
}

// Remove takes a value away, and the objects around it that are empty then. It is no error if it is not there.
func (f *File) Remove(path ...string) {
	parent, value := f.find(path)
	if value == nil {
		return
	}
	for i := 0; i+1 < len(parent.Content); i += 2 {
		if parent.Content[i+1] == value {
			parent.Content = append(parent.Content[:i:i], parent.Content[i+2:]...)
		}
	}
	if len(parent.Content) == 0 && len(path) > 1 {
		f.Remove(path[:len(path)-1]...)
	}
}

// List are the elements of a list; none where it is not there.
func (f *File) List(path ...string) ([]*yaml.Node, error) {
	_, value := f.find(path)
	if value == nil {
		return nil, nil
	}
	if value.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s: %v must be a list", f.path, path)
	}
	return value.Content, nil
}

// Member is what a list's member of a name says; empty where it says nothing.
func (f *File) Member(key, name string, path ...string) (string, error) {
	list, err := f.List(path...)
	for _, node := range list {
		if n, value := child(node, "name"), child(node, key); n != nil && n.Value == name && value != nil {
			return value.Value, err
		}
	}
	return "", err
}

// SetIn sets a text or a bool of the element of a list; nil takes it away.
func (f *File) SetIn(i int, key string, value any, path ...string) error {
	list, err := f.List(path...)
	if err != nil {
		return err
	}
	if i >= len(list) || list[i].Kind != yaml.MappingNode {
		return fmt.Errorf("%s: %v[%d] must be an object", f.path, path, i)
	}
	switch value := value.(type) {
	case nil:
		for at := 0; at+1 < len(list[i].Content); at += 2 {
			if list[i].Content[at].Value == key {
				list[i].Content = append(list[i].Content[:at:at], list[i].Content[at+2:]...)
			}
		}
	case string:
		put(list[i], key, scalar(value))
	case bool:
		put(list[i], key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(value)})
	default:
		return fmt.Errorf("%s: %v[%d].%s cannot be a %T", f.path, path, i, key, value)
	}
	return nil
}

// SetTexts makes a list one of texts.
func (f *File) SetTexts(texts []string, path ...string) error {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, text := range texts {
		list.Content = append(list.Content, scalar(text))
	}
	return f.Set(list, path...)
}

// SetMembers makes a list that of a set. Members that stay keep what else they say; fresh gives what
// else new ones say, and is no other than what members that stay say.
func (f *File) SetMembers(set []keyset.Member, fresh map[string]map[string]string, path ...string) error {
	old, err := f.List(path...)
	if err != nil {
		return err
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, m := range set {
		var node *yaml.Node
		kept := false
		for _, candidate := range old {
			if name := child(candidate, "name"); name != nil && name.Value == m.Name {
				node, kept = candidate, true
			}
		}
		if node == nil {
			node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			put(node, "name", scalar(m.Name))
		}
		put(node, "state", scalar(string(m.State)))
		for _, key := range []string{"bucket", "domain", "dns", "hostedZoneId"} {
			value, has := fresh[m.Name][key], child(node, key)
			switch {
			case value == "":
			case !kept:
				put(node, key, scalar(value))
			case has == nil && key != "dns" || has != nil && has.Value != value:
				return fmt.Errorf("%s: member %s has not %s %q: another one takes another name", f.path, m.Name, key, value)
			}
		}
		list.Content = append(list.Content, node)
	}
	return f.Set(list, path...)
}

// put sets a value of a mapping.
func put(mapping *yaml.Node, key string, node *yaml.Node) {
	if old := child(mapping, key); old != nil {
		*old = *node
		return
	}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, node)
}

// Save holds the file against the program's rules and puts it in the place of the one that was read. A file that has not
// changed is not written.
func (f *File) Save() (changed bool, err error) {
	text, err := f.text()
	if err != nil || text == f.before {
		return false, err
	}
	if err := check(filepath.Base(f.path), []byte(text)); err != nil {
		return false, err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return false, err
	}
	beside, err := os.CreateTemp(filepath.Dir(f.path), ".stack-*")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(beside.Name()) }()
	_, err = beside.WriteString(text)
	if err = errors.Join(err, beside.Chmod(info.Mode().Perm()), beside.Sync(), beside.Close()); err != nil {
		return false, err
	}
	return true, os.Rename(beside.Name(), f.path)
}

// check reads a text as the program would.
func check(name string, text []byte) error {
	dir, err := os.MkdirTemp("", "stack-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	_, err = stackfile.Read(path)
	return err
}

// scalar is a text, in quotes where it looks like something else.
func scalar(value string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(value)
	var probe any
	if yaml.Unmarshal([]byte(value), &probe) == nil {
		if _, text := probe.(string); !text {
			node.Style = yaml.DoubleQuotedStyle
		}
	}
	return node
}
