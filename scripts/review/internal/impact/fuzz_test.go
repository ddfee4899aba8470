package impact

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// recordedPreviews are the recordings of the command's tests.
func recordedPreviews(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob("../../testdata/*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var out [][]byte
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		out = append(out, data)
	}
	return out
}

// FuzzReview: no JSON makes the review panic.
func FuzzReview(f *testing.F) {
	for _, s := range []string{
		`{"steps":[{"op":"update","urn":"a::b::c::d","oldState":{"urn":"a::b::c::d"},"newState":{}}]}`,
		`{"steps":[{"op":"create","urn":"x","newState":{"type":"aws:iam/role:Role","custom":true,"inputs":{"assumeRolePolicy":[1]}}}]}`,
		`{"steps":[{"op":"update","urn":"u","oldState":{"type":"kubernetes:core/v1:Pod"},"newState":{"type":"kubernetes:core/v1:Pod","custom":true,"inputs":{"spec":{"containers":[null,{"env":[3]}]}}}}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if p, err := preview.Parse(data, nil); err == nil {
			Review(p)
		}
	})
}

func odds() []any {
	return []any{nil, true, 1.5, "", "x", "*", preview.Unknown, preview.Secret, []any{}, []any{nil}, []any{map[string]any{}}, map[string]any{}, map[string]any{"a": nil},
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[]},"Action":[],"Resource":[]}]}`, `{"keys":[{}]}`, "arn:", "::::::"}
}

func anything(r *rand.Rand) any {
	list := odds()
	return list[r.Intn(len(list))]
}

// scramble replaces something deep inside of a value by something odd.
func scramble(r *rand.Rand, v any) any {
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 || r.Intn(12) == 0 {
			return anything(r)
		}
		i := r.Intn(len(x))
		for _, k := range sortedKeys(x) {
			if i == 0 {
				x[k] = scramble(r, x[k])
				break
			}
			i--
		}
		return x
	case []any:
		if len(x) == 0 || r.Intn(12) == 0 {
			return anything(r)
		}
		i := r.Intn(len(x))
		x[i] = scramble(r, x[i])
		return x
	}
	return anything(r)
}

// TestNoPanicOnScrambledPreviews: recordings with odd values anywhere are an error, or judged.
func TestNoPanicOnScrambledPreviews(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, data := range recordedPreviews(t) {
		for range 8 {
			var v any
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			steps := v.(map[string]any)["steps"].([]any)
			for range 60 {
				i := r.Intn(len(steps))
				if step, ok := steps[i].(map[string]any); ok {
					side := "newState"
					if r.Intn(3) == 0 {
						side = "oldState"
					}
					if state, ok := step[side].(map[string]any); ok && r.Intn(8) > 0 {
						for _, part := range []string{"inputs", "outputs"} {
							if m, ok := state[part].(map[string]any); ok {
								scramble(r, m)
							}
						}
						if r.Intn(4) == 0 {
							step["op"] = []string{"update", "replace", "create", "delete", "same", "import", "delete-replaced"}[r.Intn(7)]
						}
					} else {
						steps[i] = scramble(r, step)
					}
				}
			}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := preview.Parse(text, nil); err == nil {
				Review(p)
			}
		}
	}
}
