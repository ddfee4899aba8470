package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mark stands behind amounts of unconfirmed prices.
const mark = "?"

// plain is a number without an exponent and without zeros at its end.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// table is lines of cells, the first of which is text and the others amounts.
type table [][]string

// write pads the first column to the right and the others to the left. Amounts have a place for the mark.
func (t table) write(out io.Writer) {
	widths := make([]int, len(t[0]))
	for _, line := range t {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range t {
		text := line[0] + strings.Repeat(" ", widths[0]-utf8.RuneCountInString(line[0]))
		for i, cell := range line[1:] {
			text += "  " + strings.Repeat(" ", widths[i+1]-utf8.RuneCountInString(cell)) + cell
		}
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
}

func (r *report) write(out io.Writer) {
	fmt.Fprintf(out, "Stack %s, setup %s, configured for %s: dollars a month\n\n", r.Stack, r.Setup, r.Region)
	unconfirmed := false
	items := table{{"item"}}
	for _, region := range r.Regions {
		items[0] = append(items[0], region+" ")
	}
	for _, i := range r.Items {
		line := []string{i.Part + ": " + i.What}
		for _, region := range r.Regions {
			cell := amount(i.Monthly[region]) + " "
			if slices.Contains(i.Unconfirmed, region) {
				unconfirmed = true
				cell = amount(i.Monthly[region]) + mark
			}
			line = append(line, cell)
		}
		items = append(items, line)
	}
	total := []string{"total"}
	for _, region := range r.Regions {
		cell := amount(r.Total[region]) + " "
		if slices.ContainsFunc(r.Items, func(i item) bool { return slices.Contains(i.Unconfirmed, region) }) {
			cell = amount(r.Total[region]) + mark
		}
		total = append(total, cell)
	}
	append(items, total).write(out)

	fmt.Fprint(out, "\nAll setups with this cluster, and in parentheses what of it is for identities:\n\n")
	setups := table{append([]string{"setup"}, items[0][1:]...)}
	for _, c := range r.Setups {
		line := []string{c.Setup}
		for _, region := range r.Regions {
			if c.Refused != "" {
				line = append(line, "- ")
				continue
			}
			line = append(line, fmt.Sprintf("%s (%s) ", amount(c.Total[region]), amount(c.Identity[region])))
		}
		setups = append(setups, line)
	}
	setups.write(out)

	fmt.Fprintln(out)
	if unconfirmed {
		fmt.Fprintf(out, "%s = by prices that no page confirmed; `cost prices` says where to check it\n", mark)
	}
	for _, c := range r.Setups {
		if c.Refused != "" {
			fmt.Fprintf(out, "- %s does not fit this configuration: %s\n", c.Setup, c.Refused)
		}
	}
	for _, a := range r.Assumptions {
		fmt.Fprintln(out, "- "+a)
	}
}

func amount(usd float64) string { return strconv.FormatFloat(usd, 'f', 2, 64) }
