package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Chart is what the lab has recorded of ways to do one thing (TestRecordRotation in lab/command).
type Chart struct {
	Title      string `json:"title"`
	BinSeconds int    `json:"binSeconds"`
	Ways       []Way  `json:"ways"`
}

// Way is what pods saw of one way: in each piece of time, how many of their exchanges were answered and how many failed.
type Way struct {
	Name  string   `json:"name"`
	Marks []Mark   `json:"marks"`
	Bins  [][2]int `json:"bins"`
}

// Mark says when what was done.
type Mark struct {
	Second int    `json:"second"`
	Text   string `json:"text"`
}

// readChart reads a recording, and refuses one that cannot be drawn.
func readChart(path string) (*Chart, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c Chart
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	if c.Title == "" || c.BinSeconds <= 0 || len(c.Ways) == 0 {
		return nil, errors.New("a chart needs a title, binSeconds and ways")
	}
	for _, w := range c.Ways {
		if len(w.Bins) == 0 {
			return nil, fmt.Errorf("way %s has no bins", w.Name)
		}
	}
	return &c, nil
}

// plotHeight is the height of the bars' room, axisHeight that of the times below it.
const plotHeight, axisHeight = 90, 20

// draw returns the SVG of a chart: a panel for each way, all of one scale.
func (c *Chart) draw(t theme, narrow bool) []byte {
	width := float64(wide)
	if narrow {
		width = narrowWide
	}
	most, longest := 1, 1
	for _, w := range c.Ways {
		longest = max(longest, len(w.Bins))
		for _, b := range w.Bins {
			most = max(most, b[0]+b[1])
		}
	}
	out := &canvas{theme: t}
	for i, w := range c.Ways {
		if i > 0 {
			out.y += between
		}
		out.way(w, c.BinSeconds, (width-2*margin)/float64(longest), float64(plotHeight)/float64(most), width)
	}
	return out.page(c.Title, width)
}

// way draws a panel at the canvas's place, and moves that below it.
func (c *canvas) way(w Way, binSeconds int, bar, scale, width float64) {
	answered, failed := 0, 0
	for _, b := range w.Bins {
		answered, failed = answered+b[0], failed+b[1]
	}
	top := c.y
	base := top + nameHeight + 12 + plotHeight
	bottom := base + axisHeight + float64(len(w.Marks))*lineHeight + margin
	c.add(`<rect x="0.5" y="%g" width="%g" height="%g" rx="10" fill="%s" stroke="%s"/>`, top+0.5, width-1, bottom-top-1, c.theme.lane, c.theme.border)
	good, bad := c.theme.accents["teal"], c.theme.accents["red"]
	c.write(margin, top+nameHeight/2+6, "name", c.theme.text, w.Name)
	colour := good
	if failed > 0 {
		colour = bad
	}
	c.add(`<text x="%g" y="%g" class="caption" text-anchor="end" fill="%s">%d answered, %d failed</text>`, width-margin, top+nameHeight/2+5, colour, answered, failed)
	for i, b := range w.Bins {
		x, y := margin+float64(i)*bar, base
		for part, fill := range []string{good, bad} {
			if b[part] == 0 {
				continue
			}
			height := float64(b[part]) * scale
			y -= height
			c.add(`<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s"/>`, x+0.5, y, max(bar-1, 1), height, fill)
		}
	}
	c.add(`<path d="M%d %gH%g" stroke="%s"/>`, margin, base, width-margin, c.theme.muted)
	for i, m := range w.Marks {
		x := margin + float64(m.Second)/float64(binSeconds)*bar
		c.add(`<path d="M%.2f %gV%g" stroke="%s" stroke-dasharray="3 3"/>`, x, top+nameHeight+4, base+4, c.theme.text)
		c.add(`<text x="%.2f" y="%g" class="caption" text-anchor="middle" fill="%s">%d</text>`, x, base+15, c.theme.text, i+1)
		c.write(margin, base+axisHeight+float64(i+1)*lineHeight-3, "text", c.theme.muted, fmt.Sprintf("%d  %s", i+1, m.Text))
	}
	end := len(w.Bins) * binSeconds
	c.add(`<text x="%g" y="%g" class="remark" text-anchor="end" fill="%s">%d s</text>`, margin+float64(len(w.Bins))*bar, base+15, c.theme.muted, end)
	c.y = bottom
}
