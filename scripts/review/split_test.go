package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/review/internal/comment"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// split makes of a preview with unchanged resources one without them, and the state that `pulumi stack export` prints,
// whose secrets are encrypted rather than masked.
func split(t *testing.T, data []byte) (thin, state []byte) {
	t.Helper()
	var digest map[string]any
	if err := json.Unmarshal(data, &digest); err != nil {
		t.Fatal(err)
	}
	var steps, resources []any
	for _, s := range digest["steps"].([]any) {
		step := s.(map[string]any)
		if old := step["oldState"]; old != nil {
			resources = append(resources, encrypted(clone(t, old)))
		}
		if step["op"] != "same" {
			steps = append(steps, step)
		}
	}
	digest["steps"] = steps
	thin, err := json.Marshal(digest)
	if err != nil {
		t.Fatal(err)
	}
	state, err = json.Marshal(map[string]any{"version": 3, "deployment": map[string]any{"resources": resources}})
	if err != nil {
		t.Fatal(err)
	}
	return thin, state
}

func clone(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func encrypted(v any) any {
	switch v := v.(type) {
	case string:
		if v == preview.Secret {
			return map[string]any{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x:y"}
		}
	case map[string]any:
		for k := range v {
			v[k] = encrypted(v[k])
		}
	case []any:
		for i := range v {
			v[i] = encrypted(v[i])
		}
	}
	return v
}

// many multiplies the identities of a recording until there are n resources, all of whose roles change.
func many(b testing.TB, data []byte, n int) []byte {
	var digest map[string]any
	if err := json.Unmarshal(data, &digest); err != nil {
		b.Fatal(err)
	}
	steps := digest["steps"].([]any)
	var group []string
	for _, s := range steps {
		step := s.(map[string]any)
		text, err := json.Marshal(step)
		if err != nil {
			b.Fatal(err)
		}
		urn := step["urn"].(string)
		if preview.TypeOf(urn) == "aws:iam/role:Role" || preview.TypeOf(urn) == "aws:iam/rolePolicy:RolePolicy" {
			group = append(group, string(text))
		}
	}
	for i := 0; len(steps) < n; i++ {
		for _, text := range group {
			var step map[string]any
			if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "lab-", fmt.Sprintf("n%d-", i))), &step); err != nil {
				b.Fatal(err)
			}
			step["op"] = "update"
			steps = append(steps, step)
		}
	}
	digest["steps"] = steps
	out, err := json.Marshal(digest)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkReview500 is the whole review of a preview with 500 resources, four fifths of which are roles and policies
// that change: parse, judge, write.
func BenchmarkReview500(b *testing.B) {
	data := many(b, unpack(b, "harmless-permissions-changed"), 500)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		p, err := preview.Parse(data, nil)
		if err != nil {
			b.Fatal(err)
		}
		if len(p.Changes) < 500 {
			b.Fatalf("%d resources", len(p.Changes))
		}
		_ = comment.Markdown(impact.Review(p))
	}
}

// BenchmarkReview5000 is the same with ten times as many; it reports the heap that is in use at the end.
func BenchmarkReview5000(b *testing.B) {
	data := many(b, unpack(b, "harmless-permissions-changed"), 5000)
	for b.Loop() {
		p, err := preview.Parse(data, nil)
		if err != nil {
			b.Fatal(err)
		}
		text := comment.Markdown(impact.Review(p))
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MB-heap")
		_ = text
	}
}
