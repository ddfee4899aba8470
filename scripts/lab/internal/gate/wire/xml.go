// Package wire has the small pieces that AWS's protocols share: an XML tree for answers, the flattened parameters of
// the query protocols, and identifiers in AWS's forms.
package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
	"time"
)

// Node is one element of an XML answer: text or children. The zero Node writes nothing, so that optional elements
// can stand in a list unconditionally.
type Node struct {
	Name     string
	Attrs    []xml.Attr
	Text     string
	Children []Node
}

// Text is an element with a scalar: string, bool, int, int64, float64 or time.Time (ISO 8601 with milliseconds, UTC).
func Text(name string, value any) Node {
	return Node{Name: name, Text: scalar(value)}
}

// Opt is Text, or nothing where the value is the empty string or a nil pointer.
func Opt(name string, value any) Node {
	switch v := value.(type) {
	case *string:
		if v == nil {
			return Node{}
		}
		value = *v
	case *bool:
		if v == nil {
			return Node{}
		}
		value = *v
	case *int:
		if v == nil {
			return Node{}
		}
		value = *v
	}
	if s := scalar(value); s != "" {
		return Node{Name: name, Text: s}
	}
	return Node{}
}

// Elem is an element with children; zero Nodes among them are dropped.
func Elem(name string, children ...Node) Node {
	return Node{Name: name, Children: children}
}

// List is an element that holds one child called member for each entry.
func List[T any](name, member string, entries []T, children func(T) []Node) Node {
	out := Node{Name: name}
	for _, e := range entries {
		out.Children = append(out.Children, Node{Name: member, Children: children(e)})
	}
	return out
}

// Texts is an element that holds one text child called member for each string.
func Texts(name, member string, entries []string) Node {
	out := Node{Name: name}
	for _, e := range entries {
		out.Children = append(out.Children, Node{Name: member, Text: e})
	}
	return out
}

// NS returns the node with a default XML namespace.
func (n Node) NS(namespace string) Node {
	n.Attrs = append([]xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}, n.Attrs...)
	return n
}

// Bytes renders the node as a document with the XML declaration.
func (n Node) Bytes() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	n.write(&b)
	return b.Bytes()
}

func (n Node) write(b *bytes.Buffer) {
	if n.Name == "" {
		return
	}
	b.WriteByte('<')
	b.WriteString(n.Name)
	for _, a := range n.Attrs {
		b.WriteByte(' ')
		b.WriteString(a.Name.Local)
		b.WriteString(`="`)
		_ = xml.EscapeText(b, []byte(a.Value))
		b.WriteByte('"')
	}
	if n.Text == "" && len(n.Children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteByte('>')
	_ = xml.EscapeText(b, []byte(n.Text))
	for _, c := range n.Children {
		c.write(b)
	}
	b.WriteString("</")
	b.WriteString(n.Name)
	b.WriteByte('>')
}

func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	default:
		return fmt.Sprint(v)
	}
}

// Tree is a parsed XML element of unknown shape: what a request body is read into before a service takes it apart,
// and what is written back unchanged where a service keeps a configuration whole.
type Tree struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []Tree     `xml:",any"`
}

// ParseTree reads a document. It returns an error for malformed XML.
func ParseTree(body []byte) (*Tree, error) {
	var t Tree
	if err := xml.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("malformed XML: %w", err)
	}
	return &t, nil
}

// Find returns the first descendant on the path of child names, or nil.
func (t *Tree) Find(path ...string) *Tree {
	at := t
	for _, name := range path {
		if at == nil {
			return nil
		}
		var next *Tree
		for i := range at.Children {
			if at.Children[i].XMLName.Local == name {
				next = &at.Children[i]
				break
			}
		}
		at = next
	}
	return at
}

// All returns the children of the given name.
func (t *Tree) All(name string) []*Tree {
	var out []*Tree
	if t == nil {
		return nil
	}
	for i := range t.Children {
		if t.Children[i].XMLName.Local == name {
			out = append(out, &t.Children[i])
		}
	}
	return out
}

// Get returns the text at the path, trimmed of surrounding white space; empty where absent.
func (t *Tree) Get(path ...string) string {
	if f := t.Find(path...); f != nil {
		return string(bytes.TrimSpace([]byte(f.Text)))
	}
	return ""
}

// Bool reads a boolean at the path; absent is false.
func (t *Tree) Bool(path ...string) bool {
	return t.Get(path...) == "true"
}

// Int reads a number at the path, and fallback where it is absent or no number.
func (t *Tree) Int(fallback int64, path ...string) int64 {
	n, err := strconv.ParseInt(t.Get(path...), 10, 64)
	if err != nil {
		return fallback
	}
	return n
}

// Node turns the tree into an answer's node, under another name where one is given. Namespaces are dropped, since
// the answer's root declares its own.
func (t *Tree) Node(name string) Node {
	if name == "" {
		name = t.XMLName.Local
	}
	out := Node{Name: name}
	if len(t.Children) == 0 {
		out.Text = t.Text
		return out
	}
	for i := range t.Children {
		out.Children = append(out.Children, t.Children[i].Node(""))
	}
	return out
}
