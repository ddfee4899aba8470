package account

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// colours are GitHub's, on which most people see the pictures.
type colours struct{ text, muted, back, card, border, line, red, redBack string }

var (
	lightColours = colours{"#1f2328", "#59636e", "#f6f8fa", "#ffffff", "#d1d9e0", "#0969da", "#cf222e", "#ffebe9"}
	darkColours  = colours{"#f0f6fc", "#9198a1", "#151b23", "#0d1117", "#3d444d", "#4493f8", "#f85149", "#3c1618"}
)

// Measures of the picture, in pixels. Every role is a row, with as many lines as it has to say, so that it stays readable
// however many there are.
const (
	pictureWide  = 1280
	lineHigh     = 17
	rowPad       = 8
	rowGap       = 6
	columnPods   = 16
	columnRole   = 440
	columnMay    = 800
	widthPods    = 392
	widthRole    = 328
	widthMay     = 464
	headHigh     = 56
	charWide     = 7.3 // of the font at 12 pixels, at most: 0.6 of its size, and a little
	mostPods     = 4
	mostMay      = 6
	pictureTitle = "What the cluster can become: pods, roles, permissions"
)

type line struct {
	text string
	red  bool
}

// Picture draws the report as SVG: pods on the left, the roles that they can become, and what these allow. What is not of the
// stack is red.
func (r *Report) Picture(pods []PodOf, dark bool) []byte {
	c := lightColours
	if dark {
		c = darkColours
	}
	byAccount := map[string][]string{}
	for _, p := range pods {
		byAccount[p.Account] = append(byAccount[p.Account], p.Name)
	}
	var body bytes.Buffer
	y := headHigh
	for _, x := range r.Reach {
		y += r.row(&body, x, byAccount, c, y)
	}
	used := map[string]bool{}
	for _, x := range r.Reach {
		for _, a := range x.Accounts {
			used[a] = true
		}
	}
	without := 0
	for a, list := range byAccount {
		if !used[a] {
			without += len(list)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n", pictureWide, y+28, pictureWide, y+28, pictureTitle)
	fmt.Fprintf(&out, "<title>%s</title>\n", pictureTitle)
	fmt.Fprintln(&out, `<style>text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace } .head { font: 600 13px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }</style>`)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="%s"/>`+"\n", pictureWide, y+28, c.back)
	red := 0
	for _, x := range r.Reach {
		if !x.InStack && !x.Known || len(x.Beyond) > 0 {
			red++
		}
	}
	write(&out, columnPods, 22, "head", c.text, fmt.Sprintf("Account %s, stack %s: %d roles, %d with something that is not of the stack (red)", r.Account, orNone(r.Stack), len(r.Reach), red))
	for _, h := range []struct {
		x    int
		text string
	}{{columnPods, "Pods"}, {columnRole, "Roles"}, {columnMay, "Permissions"}} {
		write(&out, h.x, 46, "head", c.muted, h.text)
	}
	out.Write(body.Bytes())
	if len(pods) > 0 {
		write(&out, columnPods, y+16, "", c.muted, fmt.Sprintf("%d pods have no identity here", without))
	}
	fmt.Fprintln(&out, "</svg>")
	return out.Bytes()
}

// withoutIssuer leaves out the issuer of a trustee, which in a picture is nearly always the cluster's.
func withoutIssuer(who string) string {
	if i := strings.LastIndex(who, " of "); i > 0 && !strings.Contains(who[i+4:], " ") {
		return who[:i]
	}
	return who
}

// row draws one role, and returns how high that is.
func (r *Report) row(w *bytes.Buffer, x Reach, pods map[string][]string, c colours, y int) int {
	foreign := !x.InStack && !x.Known
	left := []line{}
	for _, who := range x.Who {
		left = append(left, line{withoutIssuer(strings.TrimPrefix(who, "ServiceAccount ")), foreign})
	}
	for _, a := range x.Accounts {
		names := pods[a]
		slices.Sort(names)
		for i, n := range names {
			if i == mostPods-1 && len(names) > mostPods {
				left = append(left, line{fmt.Sprintf("  … and %d more pods", len(names)-i), false})
				break
			}
			left = append(left, line{"  pod " + n, false})
		}
	}
	middle := []line{{strings.TrimPrefix(short(x.Role), "role/"), foreign}}
	switch {
	case foreign:
		middle = append(middle, line{"not of the stack", true})
	case x.Known:
		middle = append(middle, line{"accepted", false})
	}
	if x.Via != "" {
		middle = append(middle, line{"via " + strings.TrimPrefix(short(x.Via), "role/"), foreign})
	}
	beyond := map[string]bool{}
	for _, p := range x.Beyond {
		beyond[p] = true
	}
	sorted := slices.Clone(x.Permissions) // what is not of the stack first
	slices.SortStableFunc(sorted, func(a, b string) int {
		switch {
		case beyond[a] == beyond[b]:
			return 0
		case beyond[a]:
			return -1
		}
		return 1
	})
	var right []line
	for i, p := range sorted {
		if i == mostMay-1 && len(sorted) > mostMay {
			right = append(right, line{fmt.Sprintf("… and %d more", len(sorted)-i), foreign})
			break
		}
		right = append(right, line{p, foreign || beyond[p]})
	}
	high := max(len(left), len(middle), len(right))*lineHigh + 2*rowPad
	for _, b := range []struct {
		x, width int
		lines    []line
		red      bool
	}{{columnPods, widthPods, left, foreign}, {columnRole, widthRole, middle, foreign}, {columnMay, widthMay, right, foreign || len(x.Beyond) > 0}} {
		back, border := c.card, c.border
		if b.red {
			back, border = c.redBack, c.red
		}
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="%s" stroke="%s"/>`+"\n", b.x, y, b.width, high, back, border)
		for i, l := range b.lines {
			fill := c.text
			if l.red {
				fill = c.red
			}
			write(w, b.x+10, y+rowPad+12+i*lineHigh, "", fill, fit(l.text, b.width-20))
		}
	}
	stroke := c.line
	if foreign {
		stroke = c.red
	}
	for _, from := range []int{columnPods + widthPods, columnRole + widthRole} {
		fmt.Fprintf(w, `<path d="M%d %dh%d" stroke="%s" stroke-width="1.6" fill="none"/>`+"\n", from, y+high/2, columnRole-columnPods-widthPods, stroke)
	}
	return high + rowGap
}

func write(w *bytes.Buffer, x, y int, class, fill, text string) {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(text)) // a strings.Builder takes everything
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(w, `<text x="%d" y="%d"%s fill="%s">%s</text>`+"\n", x, y, class, fill, escaped.String())
}

// fit cuts the middle out of what is too long, since both ends of a name tell.
func fit(text string, width int) string {
	room := int(float64(width) / charWide)
	runes := []rune(text)
	if len(runes) <= room {
		return text
	}
	head := room * 3 / 5
	return string(runes[:head]) + "…" + string(runes[len(runes)-(room-head-1):])
}
