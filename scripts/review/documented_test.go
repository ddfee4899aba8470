package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEverySignIsDocumented: docs/review.md has every sign that the code can raise.
func TestEverySignIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "review.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("internal", "impact", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	raised := regexp.MustCompile(`(?:Danger|Warning|level|Sign\{ID:|id, what :=|id =), ?"([a-z0-9-]+)"|(?:ID:|id, what :=|id =) "([a-z0-9-]+)"`)
	n := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		code, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range raised.FindAllStringSubmatch(string(code), -1) {
			n++
			if id := m[1] + m[2]; !strings.Contains(string(doc), "`"+id+"`") {
				t.Errorf("docs/review.md does not say what %s is (%s)", id, f)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d signs found: the pattern no longer fits the code", n)
	}
}
