package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// theme is the colours for one kind of background: GitHub's own, on which most people see the pictures.
type theme struct {
	text, muted, lane, card, border string
	accents                         map[string]string
}

var (
	light = theme{
		text: "#1f2328", muted: "#59636e", lane: "#f6f8fa", card: "#ffffff", border: "#d1d9e0",
		accents: map[string]string{"amber": "#9a6700", "blue": "#0969da", "teal": "#1b7c83", "purple": "#8250df", "red": "#d1242f"},
	}
	dark = theme{
		text: "#f0f6fc", muted: "#9198a1", lane: "#151b23", card: "#0d1117", border: "#3d444d",
		accents: map[string]string{"amber": "#d29922", "blue": "#4493f8", "teal": "#39c5cf", "purple": "#ab7df8", "red": "#f85149"},
	}
)

// icons are drawn with a pen, in a square of 24.
var icons = map[string]string{ //nolint:gosec // strokes, no credentials
	"machine":     "M3 5h18v6H3zM3 13h18v6H3zM6.5 8h.01M6.5 16h.01M11 8h7M11 16h7",
	"token":       "M3 7h18v3a2 2 0 0 0 0 4v3H3v-3a2 2 0 0 0 0-4zM14 7v2M14 11v2M14 15v2M7 11h3M7 13h3",
	"certificate": "M10.5 18H4V3h16v9M8 7h8M8 10.5h4M16.5 19a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM14.7 18.4V22l1.8-1.1 1.8 1.1v-3.6",
	"shield":      "M12 2.5l8 3v6c0 5-3.4 8.4-8 10-4.6-1.6-8-5-8-10v-6zM8.3 12l2.6 2.6 4.8-5.1",
	"role":        "M4 6h16v14H4zM9 6V3h6v3M12 13a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 17c.5-1.6 2-2.5 4-2.5s3.5.9 4 2.5",
	"key":         "M8 20a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM11.5 11.5L20 3M16 7l3 3M8 15h.01",
	"store":       "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zM4 6v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
	"globe":       "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3 12h18M12 3c2.5 2.4 3.7 5.4 3.7 9s-1.2 6.6-3.7 9c-2.5-2.4-3.7-5.4-3.7-9s1.2-6.6 3.7-9z",
}

// Sizes, in pixels of a picture that is shown as wide as it is.
const (
	wide, narrowWide = 840, 400
	margin           = 12 // within a lane
	between          = 10 // lanes
	nameHeight       = 32
	nameSize         = 14
	arrow            = 26 // between steps that are beside each other
	pad              = 10 // within a step
	iconSize         = 22
	titleSize        = 14.5
	textSize         = 13.0
	lineHeight       = 17.0
	captionSize      = 12.0
)

// canvas collects a picture from the top down.
type canvas struct {
	bytes.Buffer
	theme theme
	y     float64
}

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// write puts one line of text at a place. style is one of the classes in the head of the picture.
func (c *canvas) write(x, y float64, style, fill, text string) {
	c.add(`<text x="%g" y="%g" class="%s" fill="%s">%s</text>`, x, y, style, fill, escape(text))
}

func escape(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a strings.Builder takes everything
	return out.String()
}

// draw returns the SVG of a picture.
func draw(p Picture, t theme, narrow bool) ([]byte, error) {
	c := &canvas{theme: t}
	width := float64(wide)
	if narrow {
		width = narrowWide
	}
	if !narrow && len(p.Headings) > 0 {
		step := stepWidth(width, len(p.Headings))
		for i, heading := range p.Headings {
			c.write(margin+float64(i)*(step+arrow)+pad, 14, "caption", t.muted, heading)
		}
		c.y = 24
	}
	for i, lane := range p.Lanes {
		if i > 0 {
			c.y += between
		}
		number := ""
		if p.Numbered {
			number = fmt.Sprint(i + 1)
		}
		if err := c.lane(lane, number, p.Headings, width, narrow); err != nil {
			return nil, fmt.Errorf("lane %s: %w", lane.Name, err)
		}
	}
	return c.page(p.Title, width), nil
}

// page is the whole picture of what the canvas has.
func (c *canvas) page(title string, width float64) []byte {
	head := &canvas{}
	head.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-label="%s">`,
		width, c.y, width, c.y, escape(title))
	head.add(`<title>%s</title>`, escape(title))
	head.add(`<style>
text { font-family: -apple-system, BlinkMacSystemFont, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: %gpx }
.name { font-family: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: %dpx; font-weight: 600 }
.title { font-size: %gpx; font-weight: 600 }
.caption { font-size: %gpx; font-weight: 600 }
.remark { font-size: %gpx }
.number { font-size: 12px; font-weight: 700 }
.pen { fill: none; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round }
</style>`, textSize, nameSize, titleSize, captionSize, textSize)
	head.Write(c.Bytes())
	head.add(`</svg>`)
	return head.Bytes()
}

// stepWidth is the width of each of n steps that are beside each other.
func stepWidth(width float64, n int) float64 {
	return (width - 2*margin - float64(n-1)*arrow) / float64(n)
}

// lane draws a lane at the canvas's place, and moves that below it.
func (c *canvas) lane(l Lane, number string, headings []string, width float64, narrow bool) error {
	accent, top := c.theme.accents[l.Colour], c.y
	step := stepWidth(width, len(l.Steps))
	if narrow {
		step = width - 2*margin
	}
	body := &canvas{theme: c.theme, y: top + nameHeight}
	height := 0.0 // of the steps that are beside each other: that of the highest
	lines := make([][]string, len(l.Steps))
	for i, s := range l.Steps {
		room := step - 2*pad - iconSize - 10
		if measure(s.Title, titleSize, true) > room {
			return fmt.Errorf("the title %q is too long for a step", s.Title)
		}
		lines[i] = wrap(s.Text, room)
		height = max(height, stepHeight(len(lines[i]), narrow && len(headings) > 0))
	}
	for i, s := range l.Steps {
		x, heading := margin+float64(i)*(step+arrow), ""
		if narrow {
			x, height = margin, stepHeight(len(lines[i]), len(headings) > 0)
			if len(headings) > 0 {
				heading = headings[i]
			}
		}
		body.step(s, lines[i], heading, x, step, height, accent)
		switch last := i == len(l.Steps)-1; {
		case !narrow && !last:
			body.arrow(x+step+4, body.y+height/2, accent)
		case narrow && !last:
			body.y += height + 8
		}
	}
	bottom := body.y + height + margin
	c.add(`<rect x="0.5" y="%g" width="%g" height="%g" rx="10" fill="%s" stroke="%s"/>`, top+0.5, width-1, bottom-top-1, c.theme.lane, c.theme.border)
	x := float64(margin)
	if number != "" {
		c.add(`<circle cx="%g" cy="%g" r="9.5" fill="%s"/>`, x+9.5, top+nameHeight/2+1, accent)
		c.add(`<text x="%g" y="%g" class="number" text-anchor="middle" fill="%s">%s</text>`, x+9.5, top+nameHeight/2+5.3, c.theme.card, number)
		x += 28
	}
	c.write(x, top+nameHeight/2+6, "name", accent, l.Name)
	remark := measure(l.Remark, textSize, false)
	if x+measureName(l.Name)+16+remark > width-margin {
		return fmt.Errorf("the remark %q is too long beside the name", l.Remark)
	}
	c.add(`<text x="%g" y="%g" class="remark" text-anchor="end" fill="%s">%s</text>`, width-margin, top+nameHeight/2+5, c.theme.muted, escape(l.Remark))
	c.Write(body.Bytes())
	c.y = bottom
	return nil
}

// stepHeight is the height of a step with so many lines of text, and a caption above its title or none.
func stepHeight(lines int, caption bool) float64 {
	height := 2*pad + 14 + float64(lines)*lineHeight
	if caption {
		height += 16
	}
	return height
}

// step draws a step at the canvas's height.
func (c *canvas) step(s Step, lines []string, caption string, x, width, height float64, accent string) {
	c.add(`<rect x="%g" y="%g" width="%g" height="%g" rx="7" fill="%s" stroke="%s"/>`, x+0.5, c.y+0.5, width-1, height-1, c.theme.card, c.theme.border)
	c.add(`<path class="pen" stroke="%s" transform="translate(%g %g) scale(%.4f)" d="%s"/>`, accent, x+pad-2, c.y+pad-3, float64(iconSize)/24, icons[s.Icon])
	left, y := x+pad+iconSize+8, c.y+pad+12
	if caption != "" {
		c.write(left, y-2, "caption", c.theme.muted, caption)
		y += 16
	}
	c.write(left, y, "title", c.theme.text, s.Title)
	for _, line := range lines {
		y += lineHeight
		c.write(left, y, "text", c.theme.muted, line)
	}
}

// arrow draws one to the right.
func (c *canvas) arrow(x, y float64, accent string) {
	c.add(`<path class="pen" stroke="%s" d="M%g %gh%dm-5 -5l5 5-5 5"/>`, accent, x, y, arrow-8)
}

// softBreak is where a long word may be broken: a zero-width space.
const softBreak = "\u200b"

// wrap breaks a text into lines that are no wider than room.
func wrap(text string, room float64) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		glue := " "
		for _, part := range strings.Split(word, softBreak) {
			if longer := line + glue + part; line != "" && measure(longer, textSize, false) <= room {
				line = longer
			} else {
				lines, line = append(lines, line), part
			}
			glue = ""
		}
	}
	return append(lines, line)[1:]
}

// measure is about how wide a line is: nobody knows which font shows it, so this is that of a wide one.
func measure(text string, size float64, bold bool) float64 {
	sum := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("iljtfrI.,;:'|!()[]/ ", r):
			sum += 0.33
		case strings.ContainsRune("mwMW@%…", r):
			sum += 0.88
		case r >= 'A' && r <= 'Z':
			sum += 0.69
		default:
			sum += 0.56
		}
	}
	if bold {
		sum *= 1.07
	}
	return sum * size
}

// measureName is how wide a lane's name is, in a font whose letters are all alike.
func measureName(name string) float64 { return 0.61 * nameSize * float64(len([]rune(name))) }
