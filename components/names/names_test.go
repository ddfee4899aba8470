package names_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"k3s-aws-auth/components/names"
)

func TestShorten(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"short stays", "uploader", 64, "uploader"},
		{"exact limit stays", strings.Repeat("a", 64), 64, strings.Repeat("a", 64)},
		{"empty stays", "", 64, ""},
		{"one over is hashed", strings.Repeat("a", 65), 64, strings.Repeat("a", 53) + "-mnjwdrelxh"},
		{"separators before the hash go", "aaaa-._bbbbbbbbbbbbbbbb", 17, "aaaa-slj3witrx4"},
		{"only separators leave the hash", strings.Repeat("-", 40), 20, "2bsnqwnpm7"},
		{"a character is not cut", "aéééééééééééé", 14, "aé-anqzzjpar7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := names.Shorten(tc.in, tc.limit); got != tc.want {
				t.Errorf("Shorten(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
			}
		})
	}
}

func TestShortenKeepsLongNamesApart(t *testing.T) {
	stem := strings.Repeat("team-", 20)
	if a, b := names.Shorten(stem+"a", 64), names.Shorten(stem+"b", 64); a == b {
		t.Errorf("both names became %q", a)
	}
}

func TestShortenRefusesTinyLimits(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a limit without room for the hash was accepted")
		}
	}()
	names.Shorten("x", names.MinLimit-1)
}

func TestAutonamedLeavesRoomForTheProvider(t *testing.T) {
	logical := names.Autonamed(strings.Repeat("x", 300), names.MaxOriginAccess)
	if got := len(logical + "-1234567"); got > names.MaxOriginAccess {
		t.Errorf("autoname has %d characters, limit %d", got, names.MaxOriginAccess)
	}
}

func TestIdentity(t *testing.T) {
	if got := names.Session("default", "uploader"); got != "default.uploader" {
		t.Errorf("session = %q", got)
	}
	// The namespace has no dots, so these two can never be the same name.
	if a, b := names.CommonName("a", "b.c"), names.CommonName("a-b", "c"); a == b {
		t.Errorf("both are %q", a)
	}
	long := names.CommonName(strings.Repeat("n", 63), strings.Repeat("s", 253))
	if len("CN="+long) > 64 {
		t.Errorf("source identity of %q is longer than 64", long)
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("default.uploader", 61)
	f.Add(strings.Repeat("a", 100), 12)
	f.Add(strings.Repeat("é", 40), 33)
	f.Add(strings.Repeat("-._", 30), 20)
	alphabet := regexp.MustCompile(`^[\w+=,.@-]*$`)
	f.Fuzz(func(t *testing.T, name string, limit int) {
		if limit < names.MinLimit || limit > 1024 {
			t.Skip("outside the limits that services have")
		}
		got := names.Shorten(name, limit)
		if len(got) > limit {
			t.Fatalf("%q has %d bytes, limit %d", got, len(got), limit)
		}
		if len(name) <= limit && got != name {
			t.Fatalf("%q became %q though it fits", name, got)
		}
		if names.Shorten(name, limit) != got {
			t.Fatal("not deterministic")
		}
		if utf8.ValidString(name) && !utf8.ValidString(got) {
			t.Fatalf("%q is no longer UTF-8", got)
		}
		if alphabet.MatchString(name) && !alphabet.MatchString(got) {
			t.Fatalf("%q left the alphabet of STS names", got)
		}
		if len(name) > limit && names.Shorten(name+"x", limit) == got {
			t.Fatalf("two names became %q", got)
		}
	})
}
