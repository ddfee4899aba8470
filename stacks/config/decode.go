package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Decoding is strict and complete: encoding/json would stop at the first
// mistake, fold letter case and let a key be spelled wrong, and every one of
// those turns a typo into a default.

// defaulter is a list entry that has defaults of its own.
type defaulter interface{ setDefaults() }

// parseJSON reads one JSON value and nothing after it.
func parseJSON(text string) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse: more than one value")
	}
	return value, nil
}

// decode writes raw, parsed JSON, into target and records every unknown key
// and every value of a wrong kind. What raw leaves out, or gives as null, keeps
// what target holds.
func decode(path string, raw any, target reflect.Value, p *Problems) {
	if raw == nil {
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		decodeStruct(path, raw, target, p)
	case reflect.Map:
		decodeMap(path, raw, target, p)
	case reflect.Slice:
		decodeSlice(path, raw, target, p)
	case reflect.String:
		if text, ok := raw.(string); ok {
			if stampPattern.MatchString(text) {
				p.Add(path, "the date "+Quote(text), "text: put it in quotes, or YAML makes a moment of it")
				return
			}
			target.SetString(text)
			return
		}
		p.Add(path, describe(raw), "text (put it in quotes)")
	case reflect.Bool:
		if value, ok := raw.(bool); ok {
			target.SetBool(value)
			return
		}
		p.Add(path, describe(raw), "true or false")
	case reflect.Int:
		if number, ok := integer(raw); ok {
			target.SetInt(number)
			return
		}
		p.Add(path, describe(raw), "a whole number")
	default:
		panic("config: no decoder for " + target.Type().String())
	}
}

// stampPattern matches how Go writes a moment: what is left of a date that stands
// in a stack's file without quotes once Pulumi has read it.
var stampPattern = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)? [+-][0-9]{4} \S+$`)

func decodeStruct(path string, raw any, target reflect.Value, p *Problems) {
	fields := keysOf(target.Type())
	object, ok := raw.(map[string]any)
	if !ok {
		p.Add(path, describe(raw), "an object with keys among %s", strings.Join(fields, ", "))
		return
	}
	for _, key := range sortedKeys(object) {
		i := slices.Index(fields, key)
		if i < 0 {
			p.Add(join(path, key), "an unknown key", "one of %s%s", strings.Join(fields, ", "), didYouMean(key, fields))
			continue
		}
		decode(join(path, key), object[key], fieldOf(target, key), p)
	}
}

func decodeMap(path string, raw any, target reflect.Value, p *Problems) {
	object, ok := raw.(map[string]any)
	if !ok {
		p.Add(path, describe(raw), "an object")
		return
	}
	result := reflect.MakeMapWithSize(target.Type(), len(object))
	for _, key := range sortedKeys(object) {
		value := reflect.New(target.Type().Elem()).Elem()
		if object[key] == nil {
			p.Add(join(path, key), "null", "a value, or left out")
			continue
		}
		if stampPattern.MatchString(key) {
			p.Add(join(path, key), "the date "+Quote(key)+" as a key", "text: put it in quotes, or YAML makes a moment of it")
			continue
		}
		decode(join(path, key), object[key], value, p)
		result.SetMapIndex(reflect.ValueOf(key), value)
	}
	target.Set(result)
}

func decodeSlice(path string, raw any, target reflect.Value, p *Problems) {
	list, ok := raw.([]any)
	if !ok {
		p.Add(path, describe(raw), "a list")
		return
	}
	result := reflect.MakeSlice(target.Type(), len(list), len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		element := result.Index(i)
		if d, ok := element.Addr().Interface().(defaulter); ok {
			d.setDefaults()
		}
		if item == nil {
			p.Add(at, "null", "a value, or left out")
			continue
		}
		decode(at, item, element, p)
	}
	target.Set(result)
}

// keysOf lists the configuration keys of a struct type, sorted.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := keyOf(t.Field(i)); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// keyOf is the configuration key of a field, or "" if it has none.
func keyOf(field reflect.StructField) string {
	key := field.Tag.Get("json")
	if key == "-" {
		return ""
	}
	return key
}

func fieldOf(target reflect.Value, key string) reflect.Value {
	for i := range target.NumField() {
		if keyOf(target.Type().Field(i)) == key {
			return target.Field(i)
		}
	}
	panic("config: no field for key " + key)
}

// integer reads a whole number. Pulumi hands some of them over as 3.0.
func integer(raw any) (int64, bool) {
	number, ok := raw.(json.Number)
	if !ok {
		return 0, false
	}
	if n, err := strconv.ParseInt(number.String(), 10, strconv.IntSize); err == nil {
		return n, true
	}
	f, err := number.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<31 {
		return 0, false
	}
	return int64(f), true
}

// describe shows any parsed value in a problem.
func describe(raw any) string {
	switch value := raw.(type) {
	case nil:
		return "nothing"
	case string:
		if value == "" {
			return `""`
		}
		return Quote(value)
	case bool:
		return strconv.FormatBool(value)
	case json.Number:
		return "the number " + value.String()
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// join appends a key to a path, in the syntax of `pulumi config set --path`.
func join(path, key string) string {
	switch plain := plainKey.MatchString(key); {
	case plain && path == "":
		return key
	case plain:
		return path + "." + key
	}
	return path + "[" + strconv.Quote(key) + "]"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
