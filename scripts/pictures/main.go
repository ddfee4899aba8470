// Command pictures draws the pictures of the documents from their texts, docs/pictures/*.yaml, and charts from what the lab has
// recorded, docs/pictures/*.json: each as SVG, wide for a page and narrow for a phone, for light and for dark backgrounds.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/scripts/internal/cli"
)

func main() { cli.Main(command()) }

func command() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "pictures",
		Short: "Draw the pictures of the documents from their texts",
		Args:  cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			drawn, err := drawAll(dir)
			if err != nil {
				return err
			}
			for name, svg := range drawn {
				if err := os.WriteFile(filepath.Join(dir, name), svg, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cli.Strict(cmd)
	cmd.Flags().StringVar(&dir, "dir", "../docs/pictures", "`DIRECTORY` of the texts and the pictures")
	return cmd
}

// Picture is the text of one: lanes below each other, in each of which one thing leads to the next.
type Picture struct {
	Title string `yaml:"title"`
	// Headings name the steps of all lanes; there may be none.
	Headings []string `yaml:"headings"`
	// Numbered says that the lanes come one after the other.
	Numbered bool   `yaml:"numbered"`
	Lanes    []Lane `yaml:"lanes"`
}

// Lane is one way, or one stage of it.
type Lane struct {
	Name   string `yaml:"name"`
	Colour string `yaml:"colour"` // a key of a theme's accents
	Remark string `yaml:"remark"`
	Steps  []Step `yaml:"steps"`
}

// Step is one thing of a lane.
type Step struct {
	Icon  string `yaml:"icon"` // a key of icons
	Title string `yaml:"title"`
	Text  string `yaml:"text"`
}

// variants are how each picture is drawn, by what stands between its name and .svg.
var variants = map[string]struct {
	theme  theme
	narrow bool
}{
	"light": {light, false}, "dark": {dark, false}, "narrow-light": {light, true}, "narrow-dark": {dark, true},
}

// drawAll returns the pictures of all texts and recordings in a directory by their files' names.
func drawAll(dir string) (map[string][]byte, error) {
	recordings, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	texts, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s has no texts of pictures", dir)
	}
	drawn := map[string][]byte{}
	for _, path := range recordings {
		chart, err := readChart(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for variant, how := range variants {
			drawn[strings.TrimSuffix(filepath.Base(path), ".json")+"."+variant+".svg"] = chart.draw(how.theme, how.narrow)
		}
	}
	for _, path := range texts {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var p Picture
		decoder := yaml.NewDecoder(bytes.NewReader(content))
		decoder.KnownFields(true)
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for variant, how := range variants {
			svg, err := draw(p, how.theme, how.narrow)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", path, variant, err)
			}
			drawn[strings.TrimSuffix(filepath.Base(path), ".yaml")+"."+variant+".svg"] = svg
		}
	}
	return drawn, nil
}

// check refuses a text that cannot be drawn.
func (p Picture) check() error {
	if p.Title == "" || len(p.Lanes) == 0 {
		return fmt.Errorf("a picture needs a title and lanes")
	}
	for _, lane := range p.Lanes {
		if _, known := light.accents[lane.Colour]; !known {
			return fmt.Errorf("lane %s: found colour %q, which no theme has", lane.Name, lane.Colour)
		}
		if len(lane.Steps) != len(p.Lanes[0].Steps) || len(p.Headings) > 0 && len(lane.Steps) != len(p.Headings) {
			return fmt.Errorf("lane %s: has %d steps, unlike the others or the headings", lane.Name, len(lane.Steps))
		}
		for _, step := range lane.Steps {
			if icons[step.Icon] == "" {
				return fmt.Errorf("lane %s: found icon %q, which there is none of", lane.Name, step.Icon)
			}
		}
	}
	return nil
}
