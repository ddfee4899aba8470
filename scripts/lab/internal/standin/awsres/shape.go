package awsres

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// The SDK's structures and the provider's properties mostly carry the same names. fill and dump convert between them by
// reflection; names lists the exceptions: a property's dotted path (or its bare name) to the structure's field, "-" for
// a property that has none there.
type names map[string]string

func (n names) of(path, name string) (string, bool) {
	if f, ok := n[path]; ok {
		return f, true
	}
	f, ok := n[name]
	return f, ok
}

// fill sets the fields of the structure that dst points to from properties.
func fill(dst any, src m, exceptions names) error {
	return fillObject(reflect.ValueOf(dst).Elem(), src, exceptions, "")
}

func fillObject(dst reflect.Value, src m, exceptions names, path string) error {
	for name, v := range src {
		if name == "__defaults" || v == nil {
			continue
		}
		where := join(path, name)
		field := name
		if f, ok := exceptions.of(where, name); ok {
			if f == "-" {
				continue
			}
			field = f
		}
		f := fieldOf(dst, field)
		if !f.IsValid() {
			return fmt.Errorf("%s: %s has no such field", where, dst.Type())
		}
		if err := fillValue(f, v, exceptions, where); err != nil {
			return err
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fieldOf finds a field by a property's name: in any case, singular or plural.
func fieldOf(s reflect.Value, name string) reflect.Value {
	candidates := []string{name, name + "s", strings.TrimSuffix(name, "s")}
	if stem, ok := strings.CutSuffix(name, "ies"); ok {
		candidates = append(candidates, stem+"y")
	}
	t := s.Type()
	for _, c := range candidates {
		for i := range t.NumField() {
			if t.Field(i).IsExported() && strings.EqualFold(t.Field(i).Name, c) {
				return s.Field(i)
			}
		}
	}
	return reflect.Value{}
}

// counted says whether a structure is one of CloudFront's lists: Quantity and Items.
func counted(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	_, q := t.FieldByName("Quantity")
	_, i := t.FieldByName("Items")
	return q && i
}

// onlyCounted says whether a counted list has nothing else to it.
func onlyCounted(t reflect.Type) bool {
	n := 0
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			n++
		}
	}
	return counted(t) && n == 2
}

func fillValue(dst reflect.Value, v any, exceptions names, path string) error {
	mismatch := func() error { return fmt.Errorf("%s: a %T does not fit %s", path, v, dst.Type()) }
	switch dst.Kind() {
	case reflect.Pointer:
		p := reflect.New(dst.Type().Elem())
		if err := fillValue(p.Elem(), v, exceptions, path); err != nil {
			return err
		}
		dst.Set(p)
	case reflect.String:
		switch v := v.(type) {
		case string:
			dst.SetString(v)
		case float64:
			dst.SetString(strconv.FormatFloat(v, 'f', -1, 64))
		case bool:
			dst.SetString(strconv.FormatBool(v))
		default:
			return mismatch()
		}
	case reflect.Int32, reflect.Int64:
		switch v := v.(type) {
		case float64:
			dst.SetInt(int64(v))
		case string:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			dst.SetInt(n)
		default:
			return mismatch()
		}
	case reflect.Float64:
		f, ok := v.(float64)
		if !ok {
			return mismatch()
		}
		dst.SetFloat(f)
	case reflect.Bool:
		switch v := v.(type) {
		case bool:
			dst.SetBool(v)
		case string:
			dst.SetBool(v == "true")
		default:
			return mismatch()
		}
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			list = []any{v} // a block that the provider holds once and the API in a list
		}
		out := reflect.MakeSlice(dst.Type(), len(list), len(list))
		for i, e := range list {
			if err := fillValue(out.Index(i), e, exceptions, path); err != nil {
				return err
			}
		}
		dst.Set(out)
	case reflect.Map:
		texts, ok := v.(m)
		if !ok {
			return mismatch()
		}
		out := reflect.MakeMap(dst.Type())
		for k, e := range texts {
			text, ok := e.(string)
			if !ok {
				return mismatch()
			}
			out.SetMapIndex(reflect.ValueOf(k), reflect.ValueOf(text))
		}
		dst.Set(out)
	case reflect.Struct:
		_, isList := v.([]any)
		if counted(dst.Type()) && (isList || onlyCounted(dst.Type())) {
			return fillCounted(dst, v, exceptions, path)
		}
		object, ok := v.(m)
		if !ok {
			return mismatch()
		}
		return fillObject(dst, object, exceptions, path)
	default:
		return mismatch()
	}
	return nil
}

// fillCounted sets one of CloudFront's counted lists, from a list or from an object that holds it as `items`.
func fillCounted(dst reflect.Value, v any, exceptions names, path string) error {
	list, ok := v.([]any)
	if object, isObject := v.(m); isObject {
		list, ok = object["items"].([]any)
		if !ok {
			list, ok = []any{}, true
		}
		path = join(path, "items")
	}
	if !ok {
		return fmt.Errorf("%s: a %T is no list", path, v)
	}
	if err := fillValue(dst.FieldByName("Items"), list, exceptions, path); err != nil {
		return err
	}
	return fillValue(dst.FieldByName("Quantity"), float64(len(list)), exceptions, path)
}

// dump returns the properties of a shape that the structure src (or what it points to) has set.
func dump(src any, shape *facts.Object, exceptions names) m {
	v := reflect.ValueOf(src)
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return m{}
		}
		v = v.Elem()
	}
	return dumpObject(v, shape, exceptions, "")
}

func dumpObject(src reflect.Value, shape *facts.Object, exceptions names, path string) m {
	out := m{}
	for _, name := range shape.Order {
		where := join(path, name)
		field := name
		if f, ok := exceptions.of(where, name); ok {
			if f == "-" {
				continue
			}
			field = f
		}
		f := fieldOf(src, field)
		if !f.IsValid() {
			continue
		}
		if v := dumpValue(f, shape.Properties[name], exceptions, where); v != nil {
			out[name] = v
		}
	}
	return out
}

func dumpValue(src reflect.Value, p *facts.Property, exceptions names, path string) any {
	for src.Kind() == reflect.Pointer {
		if src.IsNil() {
			return nil
		}
		src = src.Elem()
	}
	switch p.Type {
	case "object":
		if src.Kind() == reflect.Slice { // a block that the provider holds once and the API in a list
			if src.Len() == 0 {
				return nil
			}
			src = src.Index(0)
		}
		if src.Kind() != reflect.Struct || p.Object == nil {
			return nil
		}
		if onlyCounted(src.Type()) && p.Object.Properties["items"] != nil {
			items := dumpValue(src.FieldByName("Items"), p.Object.Properties["items"], exceptions, join(path, "items"))
			if items == nil {
				return nil
			}
			return m{"items": items}
		}
		return dumpObject(src, p.Object, exceptions, path)
	case "list":
		if counted(src.Type()) {
			src = src.FieldByName("Items")
		}
		if src.Kind() != reflect.Slice || src.IsNil() {
			return nil
		}
		out := make([]any, 0, src.Len())
		for i := range src.Len() {
			e := src.Index(i)
			if p.Object != nil {
				if s := reflect.Indirect(e); s.Kind() == reflect.Struct {
					out = append(out, dumpObject(s, p.Object, exceptions, path))
				}
				continue
			}
			elem := p.Elem
			if elem == "" || elem == "object" {
				elem = "string"
			}
			if v := dumpScalar(e, elem); v != nil {
				out = append(out, v)
			}
		}
		return out
	case "map":
		if src.Kind() != reflect.Map {
			return nil
		}
		out := m{}
		for _, k := range src.MapKeys() {
			out[k.String()] = src.MapIndex(k).String()
		}
		return out
	}
	return dumpScalar(src, p.Type)
}

func dumpScalar(src reflect.Value, kind string) any {
	var v any
	switch src.Kind() {
	case reflect.String:
		if src.String() == "" && kind != "string" {
			return nil
		}
		v = src.String()
	case reflect.Int32, reflect.Int64:
		v = float64(src.Int())
	case reflect.Float64:
		v = src.Float()
	case reflect.Bool:
		v = src.Bool()
	default:
		return nil
	}
	switch kind {
	case "string":
		switch x := v.(type) {
		case float64:
			return strconv.FormatFloat(x, 'f', -1, 64)
		case bool:
			return strconv.FormatBool(x)
		}
	case "int", "number":
		if s, ok := v.(string); ok {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return nil
			}
			return f
		}
	case "bool":
		if s, ok := v.(string); ok {
			return s == "true"
		}
	}
	return v
}
