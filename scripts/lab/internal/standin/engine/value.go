package engine

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"
	"google.golang.org/protobuf/types/known/structpb"
)

// Map is an object of property values.
type Map = map[string]any

// Unknown is a value that a preview does not know yet.
type Unknown struct{}

// Secret wraps a value whose secretness the peer sent along. It exists only between decoding and reveal, and on the way
// out.
type Secret struct{ Value any }

// Asset is an asset or archive property. Its contents are absent where the engine elided them (old states, diffs).
type Asset struct {
	// Raw is the asset in the protocol's form.
	Raw Map
}

// Hash returns the SHA-256 by which assets are compared.
func (a *Asset) Hash() string { s, _ := a.Raw["hash"].(string); return s }

// Bytes returns the asset's contents: its text, file or the body behind its URI. Archives are refused.
func (a *Asset) Bytes(ctx context.Context) ([]byte, error) {
	if a.Raw[sig.Key] == sig.ArchiveSig {
		return nil, fmt.Errorf("archives are not supported by this provider")
	}
	if text, ok := a.Raw["text"].(string); ok && text != "" {
		return []byte(text), nil
	}
	if path, ok := a.Raw["path"].(string); ok && path != "" {
		return os.ReadFile(path) // #nosec G304 -- the path is the program's own asset
	}
	if uri, ok := a.Raw["uri"].(string); ok && uri != "" {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req) // #nosec G107 -- the URI is the program's own asset
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("reading asset %s: %s", uri, resp.Status)
		}
		return io.ReadAll(resp.Body)
	}
	return nil, nil // an asset of empty text
}

// decode turns a protocol object into values. Secrets stay wrapped; output values become what they hold.
func decode(s *structpb.Struct) (Map, error) {
	if s == nil {
		return Map{}, nil
	}
	m := Map{}
	for k, v := range s.GetFields() {
		d, err := decodeValue(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		if d != nil {
			m[k] = d
		}
	}
	return m, nil
}

func decodeValue(v *structpb.Value) (any, error) {
	switch k := v.GetKind().(type) {
	case nil, *structpb.Value_NullValue:
		return nil, nil
	case *structpb.Value_StringValue:
		if sig.IsUnknown(k.StringValue) {
			return Unknown{}, nil
		}
		return k.StringValue, nil
	case *structpb.Value_NumberValue:
		return k.NumberValue, nil
	case *structpb.Value_BoolValue:
		return k.BoolValue, nil
	case *structpb.Value_ListValue:
		list := make([]any, 0, len(k.ListValue.GetValues()))
		for i, e := range k.ListValue.GetValues() {
			d, err := decodeValue(e)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			list = append(list, d)
		}
		return list, nil
	case *structpb.Value_StructValue:
		return decodeObject(k.StructValue)
	}
	return nil, fmt.Errorf("a value of a kind that the protocol does not have")
}

func decodeObject(s *structpb.Struct) (any, error) {
	m, err := decode(s)
	if err != nil {
		return nil, err
	}
	switch m[sig.Key] {
	case nil:
		return m, nil
	case sig.Secret:
		return Secret{Value: m["value"]}, nil
	case sig.OutputValue:
		v, known := m["value"]
		if !known {
			v = Unknown{}
		}
		if secret, _ := m["secret"].(bool); secret {
			return Secret{Value: v}, nil
		}
		return v, nil
	case sig.AssetSig, sig.ArchiveSig:
		return &Asset{Raw: m}, nil
	case sig.ByteString:
		text, _ := m["value"].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("byte string: %w", err)
		}
		return string(raw), nil
	case sig.ResourceReference:
		if id, ok := m["id"]; ok {
			return id, nil
		}
		return m["urn"], nil
	default:
		return nil, fmt.Errorf("a value with the unknown signature %v", m[sig.Key])
	}
}

// encode turns values into a protocol object.
func encode(m Map) (*structpb.Struct, error) {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(m))}
	for k, v := range m {
		if v == nil {
			continue
		}
		e, err := encodeValue(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		s.Fields[k] = e
	}
	return s, nil
}

func encodeValue(v any) (*structpb.Value, error) {
	switch v := v.(type) {
	case nil:
		return structpb.NewNullValue(), nil
	case Unknown:
		return structpb.NewStringValue(sig.UnknownStringValue), nil
	case Secret:
		inner, err := encodeValue(v.Value)
		if err != nil {
			return nil, err
		}
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			sig.Key: structpb.NewStringValue(sig.Secret), "value": inner,
		}}), nil
	case *Asset:
		return encodeValue(v.Raw)
	case string:
		return structpb.NewStringValue(v), nil
	case bool:
		return structpb.NewBoolValue(v), nil
	case float64:
		return structpb.NewNumberValue(v), nil
	case int:
		return structpb.NewNumberValue(float64(v)), nil
	case []any:
		list := &structpb.ListValue{Values: make([]*structpb.Value, 0, len(v))}
		for i, e := range v {
			x, err := encodeValue(e)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			list.Values = append(list.Values, x)
		}
		return structpb.NewListValue(list), nil
	case Map:
		s, err := encode(v)
		if err != nil {
			return nil, err
		}
		return structpb.NewStructValue(s), nil
	}
	return nil, fmt.Errorf("a %T is no property value", v)
}

// reveal returns v without secret wrappers.
func reveal(v any) any {
	switch v := v.(type) {
	case Secret:
		return reveal(v.Value)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = reveal(e)
		}
		return out
	case Map:
		return revealMap(v)
	}
	return v
}

func revealMap(m Map) Map {
	out := make(Map, len(m))
	for k, v := range m {
		out[k] = reveal(v)
	}
	return out
}

// remark gives the values of out the secretness that the values of the same name have in in.
func remark(out, in Map) {
	for k, was := range in {
		now, ok := out[k]
		if !ok {
			continue
		}
		nowObject, a := now.(Map)
		wasObject, b := was.(Map)
		if a && b {
			remark(nowObject, wasObject)
		} else if _, already := now.(Secret); !already && containsSecret(was) {
			out[k] = Secret{Value: now}
		}
	}
}

func containsSecret(v any) bool {
	switch v := v.(type) {
	case Secret:
		return true
	case []any:
		for _, e := range v {
			if containsSecret(e) {
				return true
			}
		}
	case Map:
		for _, e := range v {
			if containsSecret(e) {
				return true
			}
		}
	}
	return false
}

// containsUnknown says whether v or anything in it is unknown.
func containsUnknown(v any) bool {
	switch v := v.(type) {
	case Unknown:
		return true
	case []any:
		for _, e := range v {
			if containsUnknown(e) {
				return true
			}
		}
	case Map:
		for _, e := range v {
			if containsUnknown(e) {
				return true
			}
		}
	}
	return false
}

// isZero says whether v is what Terraform takes for "not set": nil, "", 0, false or an empty collection.
func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case Map:
		for k, e := range v {
			if k != defaultsKey && !isZero(e) {
				return false
			}
		}
		return true
	}
	return false
}

// clone copies v deeply. Assets are shared: nothing changes them.
func clone(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	case Map:
		return cloneMap(v)
	}
	return v
}

func cloneMap(m Map) Map {
	out := make(Map, len(m))
	for k, v := range m {
		out[k] = clone(v)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// pathKey appends a map key to a Pulumi property path, quoting it where the path's grammar needs it.
func pathKey(path, key string) string {
	if key == "" || strings.ContainsAny(key, `."[] `) {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func pathIndex(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func isIntegral(f float64) bool { return f == math.Trunc(f) && !math.IsInf(f, 0) }
