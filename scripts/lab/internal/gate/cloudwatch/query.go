package cloudwatch

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// The query protocol is the older one of CloudWatch's two, which AWS serves alike: SDKs of before mid-2025 speak it,
// and with them the AWS provider 5.100. What it says is turned into the other one's values, so that each operation is
// written once.

const namespace = "http://monitoring.amazonaws.com/doc/2010-08-01/"

// ProtocolFor tells the two apart by the path, which the query protocol does not use.
func (s *Service) ProtocolFor(r *http.Request) gate.Protocol {
	if strings.HasPrefix(r.URL.Path, pathPrefix) {
		return gate.ProtocolCBOR
	}
	return gate.ProtocolQuery
}

// The members that are no strings; none has two types in the operations of this package.
var (
	whole  = []string{"Period", "EvaluationPeriods", "DatapointsToAlarm", "MaxRecords"}
	truths = []string{"ActionsEnabled", "ReturnData"}
)

// fromQuery reads a form's parameters as an operation's input.
func fromQuery(form map[string][]string) (cbor.Map, error) {
	root := &branch{}
	for key, values := range form {
		if key == "Action" || key == "Version" || len(values) == 0 {
			continue
		}
		at := root
		for _, part := range strings.Split(key, ".") {
			at = at.child(part)
		}
		at.value = &values[0]
	}
	v, err := root.cbor("")
	if err != nil {
		return nil, err
	}
	m, ok := v.(cbor.Map)
	if !ok {
		m = cbor.Map{} // no parameters
	}
	return m, nil
}

// branch is a node of the tree that the dots in parameters' names make.
type branch struct {
	value    *string
	children map[string]*branch
}

func (b *branch) child(name string) *branch {
	if b.children == nil {
		b.children = map[string]*branch{}
	}
	if b.children[name] == nil {
		b.children[name] = &branch{}
	}
	return b.children[name]
}

func (b *branch) cbor(name string) (cbor.Value, error) {
	if b.children == nil {
		return scalar(name, b.value)
	}
	if list := b.children["member"]; list != nil {
		out := cbor.List{}
		for i := 1; i <= len(list.children); i++ {
			v, ok := list.children[strconv.Itoa(i)]
			if !ok {
				return nil, malformed(name, "a list whose members are not counted from 1")
			}
			x, err := v.cbor(name)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	}
	out := cbor.Map{}
	for key, c := range b.children {
		v, err := c.cbor(key)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}

func malformed(name, found string) error {
	return gate.Errorf(http.StatusBadRequest, "MalformedInput", "parameter %s: %s", name, found)
}

func scalar(name string, text *string) (cbor.Value, error) {
	switch {
	case text == nil:
		return cbor.List{}, nil
	case *text == "" && name != "AlarmDescription": // how the protocol writes an empty list
		return cbor.List{}, nil
	case slices.Contains(whole, name):
		n, err := strconv.ParseUint(*text, 10, 32)
		if err != nil {
			return nil, malformed(name, *text+" is not a whole number")
		}
		return cbor.Uint(n), nil
	case name == "Threshold":
		f, err := strconv.ParseFloat(*text, 64)
		if err != nil {
			return nil, malformed(name, *text+" is not a number")
		}
		return cbor.Float64(f), nil
	case slices.Contains(truths, name):
		return cbor.Bool(*text == "true"), nil
	}
	return cbor.String(*text), nil
}

// writeQuery answers in the query protocol.
func writeQuery(w http.ResponseWriter, c *gate.Call, out cbor.Map) {
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	_, _ = w.Write(wire.Elem(c.Action+"Response", wire.Elem(c.Action+"Result", members(out)...),
		wire.Elem("ResponseMetadata", wire.Text("RequestId", c.RequestID))).NS(namespace).Bytes())
}

func members(m cbor.Map) []wire.Node {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]wire.Node, 0, len(m))
	for _, name := range names {
		out = append(out, toXML(name, m[name]))
	}
	return out
}

func toXML(name string, v cbor.Value) wire.Node {
	switch v := v.(type) {
	case cbor.Map:
		return wire.Elem(name, members(v)...)
	case cbor.List:
		out := wire.Elem(name)
		for _, x := range v {
			out.Children = append(out.Children, toXML("member", x))
		}
		return out
	case *cbor.Tag: // the only one is a time, in seconds
		seconds, _ := v.Value.(cbor.Float64)
		return wire.Text(name, time.UnixMilli(int64(float64(seconds)*1000)))
	case cbor.Bool:
		return wire.Text(name, bool(v))
	case cbor.Float64:
		return wire.Text(name, float64(v))
	case cbor.Float32:
		return wire.Text(name, float64(v))
	case cbor.String:
		return wire.Text(name, string(v))
	}
	return wire.Text(name, number(v))
}
