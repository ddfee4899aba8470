package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root  = "../.."
	texts = root + "/docs/pictures"
)

// TestUpToDate holds that the pictures are what their texts say.
func TestUpToDate(t *testing.T) {
	drawn, err := drawAll(texts)
	require.NoError(t, err)
	found, err := filepath.Glob(filepath.Join(texts, "*.svg"))
	require.NoError(t, err)
	var names []string
	for _, path := range found {
		names = append(names, filepath.Base(path))
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(drawn[filepath.Base(path)]), string(content), "%s is stale: run `make generate`", path)
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(drawn)), names, "run `make generate`")
}

// TestWellFormed holds that pictures are XML, name themselves for those who do not see them, and load nothing.
func TestWellFormed(t *testing.T) {
	drawn, err := drawAll(texts)
	require.NoError(t, err)
	for name, svg := range drawn {
		decoder := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err = decoder.Token(); err != nil {
				break
			}
		}
		require.True(t, errors.Is(err, io.EOF), "%s: %v", name, err)
		require.Contains(t, string(svg), "<title>", name)
		require.NotRegexp(t, `href|url\(|@import|<script|NaN`, string(svg), name)
	}
}

// TestRefusesTexts holds that a text that cannot be drawn is refused with what is wrong with it.
func TestRefusesTexts(t *testing.T) {
	step := "{icon: key, title: A, text: b}"
	for text, want := range map[string]string{
		"title: x\n": "needs a title and lanes",
		"title: x\nlanes: [{name: a, colour: pink, steps: [" + step + "]}]\n":                                                 `found colour "pink"`,
		"title: x\nlanes: [{name: a, colour: blue, steps: [{icon: cat, title: A, text: b}]}]\n":                               `found icon "cat"`,
		"title: x\nheadings: [a, b]\nlanes: [{name: a, colour: blue, steps: [" + step + "]}]\n":                               "unlike the others or the headings",
		"title: x\nlanes: [{name: a, color: blue, steps: [" + step + "]}]\n":                                                  "field color not found",
		"title: x\nlanes: [{name: a, colour: blue, steps: [{icon: key, title: " + strings.Repeat("M", 60) + ", text: b}]}]\n": "too long for a step",
		"title: x\nlanes: [{name: a, remark: " + strings.Repeat("m", 99) + ", colour: blue, steps: [" + step + "]}]\n":        "too long beside the name",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yaml"), []byte(text), 0o600))
		_, err := drawAll(dir)
		require.ErrorContains(t, err, want, text)
	}
}

// TestRefusesRecordings holds that a recording that cannot be drawn is refused.
func TestRefusesRecordings(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "needs a title",
		`{"title":"x","binSeconds":5,"ways":[{"name":"a","bins":[]}]}`:        "way a has no bins",
		`{"title":"x","binSeconds":5,"ways":[{"name":"a","bars":[[1,0]]}]}`:   "unknown field",
		`{"title":"x","binSeconds":0,"ways":[{"name":"a","bins":[[1,0]]}]}`:   "needs a title",
		`{"title":"x","binSeconds":5,"ways":[{"name":"a","bins":[["1",0]]}]}`: "cannot unmarshal",
	} {
		path := filepath.Join(t.TempDir(), "x.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := readChart(path)
		require.ErrorContains(t, err, want, text)
	}
}

// documents are all pages of the repository, by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "scripts/*/*.md", "components/*/*.md", "stacks/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, path := range found {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			pages[path] = string(content)
		}
	}
	return pages
}

var element = regexp.MustCompile(`(?s)<picture>.*?</picture>`)

// TestShown holds that every picture is shown by a document, in all its variants and with words for those who do not see it.
func TestShown(t *testing.T) {
	drawn, err := drawAll(texts)
	require.NoError(t, err)
	shown := map[string]int{}
	for path, page := range documents(t) {
		for _, picture := range element.FindAllString(page, -1) {
			match := regexp.MustCompile(`<img alt="[^"]{60,}" src="(\S*pictures/)(\S+)\.light\.svg">`).FindStringSubmatch(picture)
			require.NotNil(t, match, "%s: %s", path, picture)
			base := match[1] + match[2]
			shown[match[2]]++
			for media, variant := range map[string]string{
				"(max-width: 500px) and (prefers-color-scheme: dark)": "narrow-dark",
				"(max-width: 500px)":           "narrow-light",
				"(prefers-color-scheme: dark)": "dark",
			} {
				require.Contains(t, picture, `<source media="`+media+`" srcset="`+base+"."+variant+`.svg">`, path)
			}
		}
	}
	for name := range drawn {
		name, _, _ = strings.Cut(name, ".")
		require.Positive(t, shown[name], "no document shows %s", name)
	}
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	code     = regexp.MustCompile("`[^`\n]*`")
	linked   = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	target   = regexp.MustCompile(`\]\([^)]*\)`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are what GitHub makes of a page's headings.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		text := target.ReplaceAllString(match[1], "]")
		all[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(text), ""), " ", "-")] = true
	}
	return all
}

// TestLinks holds that what documents link to in this repository is there, down to the heading.
func TestLinks(t *testing.T) {
	pages, found := documents(t), 0
	for path, page := range pages {
		text := code.ReplaceAllString(fenced.ReplaceAllString(page, ""), "")
		for _, match := range linked.FindAllStringSubmatch(text, -1) {
			link, err := url.Parse(match[1] + match[2])
			require.NoError(t, err, "%s: %s", path, match[0])
			if link.Scheme != "" {
				continue
			}
			found++
			to := path
			if link.Path != "" {
				to = filepath.Join(filepath.Dir(path), filepath.FromSlash(link.Path))
				_, err := os.Stat(to)
				require.NoError(t, err, "%s links to %s", path, match[0])
			}
			if link.Fragment != "" {
				require.True(t, anchors(pages[to])[link.Fragment], "%s links to %s, where no heading is called so", path, link)
			}
		}
	}
	require.Greater(t, found, 100)
}

// TestFirstScreen holds that what a newcomer sees first is what this is, the picture and the two commands, within about a
// screen: 14 lines of text beside the picture.
func TestFirstScreen(t *testing.T) {
	page := documents(t)[filepath.Join(root, "README.md")]
	picture := element.FindStringIndex(page)
	require.NotNil(t, picture)
	require.Less(t, strings.Count(page[:picture[0]], "\n"), 8)
	commands, _, found := strings.Cut(page[picture[1]:], "\n```\n")
	require.True(t, found)
	require.Contains(t, commands, "make lab ")
	require.Contains(t, commands, "make test ")
	require.Less(t, strings.Count(commands, "\n"), 7)
}
