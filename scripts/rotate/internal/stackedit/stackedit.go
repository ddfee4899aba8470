// Package stackedit changes a stack's file as `pulumi config set` and `rm` do, all of a change at once: whoever is killed in
// the middle leaves the file as it was.
package stackedit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/stacks/config"
)

// File is a stack's file. Comments and the order of keys stay.
type File struct {
	path     string
	document yaml.Node
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
	return f, nil
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

// SetMembers makes a list that of a set. Members that stay keep what else they say; new gives what else new ones say.
func (f *File) SetMembers(set []keyset.Member, fresh map[string]map[string]string, path ...string) error {
	old, err := f.List(path...)
	if err != nil {
		return err
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, m := range set {
		var node *yaml.Node
		for _, candidate := range old {
			if name := child(candidate, "name"); name != nil && name.Value == m.Name {
				node = candidate
			}
		}
		if node == nil {
			node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			put(node, "name", m.Name)
		}
		put(node, "state", string(m.State))
		for _, key := range []string{"bucket", "domain", "dns", "hostedZoneId"} {
			if value := fresh[m.Name][key]; value != "" && child(node, key) == nil {
				put(node, key, value)
			}
		}
		list.Content = append(list.Content, node)
	}
	return f.Set(list, path...)
}

// put sets a text of a mapping, as a string whatever it looks like.
func put(mapping *yaml.Node, key, value string) {
	node := &yaml.Node{}
	node.SetString(value)
	var probe any
	if yaml.Unmarshal([]byte(value), &probe) == nil {
		if _, text := probe.(string); !text {
			node.Style = yaml.DoubleQuotedStyle
		}
	}
	if old := child(mapping, key); old != nil {
		*old = *node
		return
	}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, node)
}

// Save holds the file against the program's rules and puts it in the place of the one that was read.
func (f *File) Save() (err error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2) // as Pulumi itself writes it
	if err := errors.Join(encoder.Encode(&f.document), encoder.Close()); err != nil {
		return err
	}
	if err := check(filepath.Base(f.path), text.Bytes()); err != nil {
		return err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	beside, err := os.CreateTemp(filepath.Dir(f.path), ".stack-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(beside.Name()) }()
	_, err = beside.Write(text.Bytes())
	if err = errors.Join(err, beside.Chmod(info.Mode().Perm()), beside.Sync(), beside.Close()); err != nil {
		return err
	}
	return os.Rename(beside.Name(), f.path)
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
