package main

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

//go:embed prices.yaml
var pricesYAML []byte

// quote is a price in one region, or in all.
type quote struct {
	USD       float64 `json:"usd"`
	Source    string  `json:"source"`
	Date      string  `json:"date"`
	Confirmed bool    `json:"confirmed"`
	Note      string  `json:"note,omitempty"`
}

// price is one entry of the table.
type price struct {
	Key     string           `json:"key"`
	What    string           `json:"what"`
	Unit    string           `json:"unit"`
	Global  *quote           `json:"global,omitempty"`
	Regions map[string]quote `json:"regions,omitempty"`
}

// prices is the table, for some regions.
type prices struct {
	list    []price
	regions []string
}

func loadPrices() (*prices, error) {
	table := &prices{}
	if err := yaml.UnmarshalStrict(pricesYAML, &table.list); err != nil {
		return nil, fmt.Errorf("the table of prices: %w", err)
	}
	for _, p := range table.list {
		for region := range p.Regions {
			if !slices.Contains(table.regions, region) {
				table.regions = append(table.regions, region)
			}
		}
	}
	slices.Sort(table.regions)
	return table, nil
}

func (t *prices) has(key string) bool {
	return slices.ContainsFunc(t.list, func(p price) bool { return p.Key == key })
}

// override sets a price for all regions.
func (t *prices) override(key string, usd float64) {
	given := quote{USD: usd, Source: "--price", Confirmed: true}
	for i := range t.list {
		if t.list[i].Key == key {
			t.list[i].Global, t.list[i].Regions = &given, nil
			return
		}
	}
	t.list = append(t.list, price{Key: key, What: "given by --price", Unit: "hour", Global: &given})
}

// of is the price of a key in a region.
func (t *prices) of(key, region string) (quote, error) {
	for _, p := range t.list {
		if p.Key != key {
			continue
		}
		if p.Global != nil {
			return *p.Global, nil
		}
		if q, ok := p.Regions[region]; ok {
			return q, nil
		}
	}
	return quote{}, fmt.Errorf("no price of %s in %s: give it as --price %s=<dollars>", key, region, key)
}

// row is one line of the list of prices.
type row struct {
	Key    string `json:"key"`
	What   string `json:"what"`
	Unit   string `json:"unit"`
	Region string `json:"region"` // or "all"
	quote
}

func (t *prices) rows() []row {
	var rows []row
	for _, p := range t.list {
		if p.Global != nil {
			rows = append(rows, row{p.Key, p.What, p.Unit, "all", *p.Global})
		}
		for _, region := range t.regions {
			if q, ok := p.Regions[region]; ok {
				rows = append(rows, row{p.Key, p.What, p.Unit, region, q})
			}
		}
	}
	return rows
}

func (t *prices) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tREGION\tUSD\tPER\tCONFIRMED\tDATE\tSOURCE\tNOTE")
	for _, r := range t.rows() {
		confirmed := "yes"
		if !r.Confirmed {
			confirmed = "unconfirmed"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Key, r.Region, plain(r.USD), r.Unit, confirmed, r.Date, r.Source, r.Note)
	}
	return w.Flush()
}
