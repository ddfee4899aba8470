package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/deployer"
	"k3s-aws-auth/scripts/internal/graph"
	"k3s-aws-auth/stacks"
	"k3s-aws-auth/stacks/config"
)

var update = flag.Bool("update", false, "rewrite the golden files; the run then fails, so that they are read")

// run runs the command and returns what it prints.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.Execute()
	return out.String(), err
}

// TestGolden holds the estimates of the project's own stack files.
func TestGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"lab":    {"../../Pulumi.lab.yaml"},
		"prod":   {"../../Pulumi.prod.yaml", "--pods", "100", "--nat-gb", "50", "--snapshot-gb", "5"},
		"prices": {"prices"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(args...)
			require.NoError(t, err)
			golden := filepath.Join("testdata", name+".txt")
			want, err := os.ReadFile(golden)
			if *update && (err != nil || string(want) != got) {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
				t.Fatalf("%s is rewritten: read it", golden)
			}
			require.NoError(t, err)
			require.Equal(t, string(want), got, "if that is meant: go test ./cost -update")
		})
	}
}

// TestPricesSayWhereTheyAreFrom holds that each price has a source and a date, and both regions or all.
func TestPricesSayWhereTheyAreFrom(t *testing.T) {
	table, err := loadPrices()
	require.NoError(t, err)
	require.Equal(t, []string{"eu-central-1", "us-east-1"}, table.regions)
	keys := map[string]bool{}
	for _, p := range table.list {
		require.False(t, keys[p.Key], "%s is there twice", p.Key)
		keys[p.Key] = true
		require.NotEmpty(t, p.What, p.Key)
		require.NotEmpty(t, p.Unit, p.Key)
		require.Equal(t, p.Global == nil, len(p.Regions) == len(table.regions), "%s is global, or has every region", p.Key)
	}
	today := time.Now().Add(24 * time.Hour)
	for _, r := range table.rows() {
		source, err := url.Parse(r.Source)
		require.NoError(t, err, r.Key)
		require.Equal(t, "https", source.Scheme, r.Key)
		require.NotEmpty(t, source.Host, r.Key)
		date, err := time.Parse(time.DateOnly, r.Date)
		require.NoError(t, err, r.Key)
		require.True(t, date.Before(today), r.Key)
		require.GreaterOrEqual(t, r.USD, 0.0, r.Key)
		// A page of AWS's own shows its prices by script: it alone confirms none.
		if r.Confirmed {
			require.NotEqual(t, "aws.amazon.com", source.Host, r.Key)
		}
	}
}

// TestTotalsAreSums holds that what is shown adds up, and that the setups differ in identities alone.
func TestTotalsAreSums(t *testing.T) {
	text, err := run("../../Pulumi.prod.yaml", "--pods", "5000", "--json", "--region", "us-east-1")
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	require.Equal(t, []string{"us-east-1"}, r.Regions)
	sum, cluster := 0.0, 0.0
	for _, i := range r.Items {
		sum += i.Monthly["us-east-1"]
		if i.Part == partCluster {
			cluster += i.Monthly["us-east-1"]
		}
	}
	require.InDelta(t, r.Total["us-east-1"], sum, 0.001)
	require.Len(t, r.Setups, len(stacks.Setups()))
	for _, c := range r.Setups {
		require.InDelta(t, cluster+c.Identity["us-east-1"], c.Total["us-east-1"], 0.001, c.Setup)
	}
}

func TestOtherConfigurations(t *testing.T) {
	read := func(lines string) (*report, error) {
		path := filepath.Join(t.TempDir(), "Pulumi.mine.yaml")
		require.NoError(t, os.WriteFile(path, []byte("config:\n  aws:region: eu-central-1\n"+lines+`
  k3s-aws-auth:identities: [{name: a, namespace: n, serviceAccount: s, managedPolicyArns: ["arn:aws:iam::aws:policy/X"]}]
`), 0o600))
		text, err := run(path, "--json")
		if err != nil {
			return nil, err
		}
		var r report
		return &r, json.Unmarshal([]byte(text), &r)
	}
	items := func(r *report) (list []string) {
		for _, i := range r.Items {
			list = append(list, i.What)
		}
		return list
	}
	const net = "  k3s-aws-auth:network: {zones: [eu-central-1a, eu-central-1b], apiCidrs: [203.0.113.7/32]"

	r, err := read("  k3s-aws-auth:setup: roles-anywhere\n" + net + ", private: true, nat: single}\n  k3s-aws-auth:cluster: {apiAccess: private}\n")
	require.NoError(t, err)
	require.Equal(t, []string{"3 × t3.medium", "3 × 20 GiB gp3", "1 × public IPv4", "1 × NAT gateway", "1 × network load balancer", "1 × trust anchor with its sessions"}, items(r))

	// A public load balancer has an address in each zone, machines in public subnets one each.
	r, err = read("  k3s-aws-auth:setup: instance-profile\n" + net + "}\n  k3s-aws-auth:cluster: {servers: 3}\n  k3s-aws-auth:alarms: {enabled: true}\n")
	require.NoError(t, err)
	require.Equal(t, []string{"5 × t3.medium", "5 × 20 GiB gp3", "7 × public IPv4", "2 × network load balancer"}, items(r))

	// A cluster of somebody else's, whose kubeconfig is encrypted.
	r, err = read("  k3s-aws-auth:setup: irsa-cloudfront\n  k3s-aws-auth:cluster: {mode: existing, kubeconfig: {secure: v1:xyz}}\n  k3s-aws-auth:issuer: {domain: oidc.example.com, hostedZoneId: Z1}\n")
	require.NoError(t, err)
	require.Equal(t, []string{"1 × public certificate", "1 × hosted zone"}, items(r))
	require.InDelta(t, 0.5, r.Total["eu-central-1"], 0.001)
	refused := slices.DeleteFunc(r.Setups, func(c comparison) bool { return c.Refused == "" })
	require.Len(t, refused, 1, "one setup alone needs machines of the program's own")
	require.Contains(t, refused[0].Refused, "cluster.mode: found existing: must be create for setup ")

	_, err = read("  k3s-aws-auth:setup: irsa\n")
	require.ErrorContains(t, err, `setup: found "irsa": must be instance-profile, irsa-cloudfront, irsa-s3 or roles-anywhere`)
	require.ErrorContains(t, err, "network.zones: found nothing")
}

// TestMissingPrices holds that nothing is counted as free because its price is not known.
func TestMissingPrices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Pulumi.mine.yaml")
	content, err := os.ReadFile("../../Pulumi.lab.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(content, []byte("t3.medium"), []byte("c7i.large")), 0o600))
	_, err = run(path)
	require.ErrorContains(t, err, "no price of ec2.c7i.large in eu-central-1: give it as --price ec2.c7i.large=<dollars>")
	var usage cli.UsageError
	require.False(t, errors.As(err, &usage))
	text, err := run(path, "--price", "ec2.c7i.large=1", "--region", "us-east-1")
	require.NoError(t, err)
	require.Contains(t, text, "cluster: 3 × c7i.large      2190.00\n")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"a", "b"}, {"Pulumi.yaml"}, {"stack.yaml"}, {"--nonsense"}, {"prices", "x"},
		{"../../Pulumi.lab.yaml", "--region", "mars-1"}, {"../../Pulumi.lab.yaml", "--price", "vpc.nat"},
		{"../../Pulumi.lab.yaml", "--price", "vpc.nat=-1"}, {"../../Pulumi.lab.yaml", "--price", "vpc.gnat=1"},
		{"../../Pulumi.lab.yaml", "--pods", "-1"},
	} {
		_, err := run(args...)
		var usage cli.UsageError
		require.True(t, errors.As(err, &usage), "%v: %v", args, err)
	}
	_, err := run(filepath.Join(t.TempDir(), "Pulumi.none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	text, err := run("--help")
	require.NoError(t, err)
	require.True(t, strings.Contains(text, "Examples:") && strings.Contains(text, "Exit codes: 0"))
}

// TestEveryTypeHasAPriceOrIsFree holds that no resource of a stack counts as free because nobody has thought of it.
func TestEveryTypeHasAPriceOrIsFree(t *testing.T) {
	all := &graph.Graph{Resources: []graph.Resource{{Type: "tls:index/privateKey:PrivateKey", Custom: true}, {Type: "aws:not/custom:Component"}}}
	for token := range deployer.Needs() {
		if _, name, _ := strings.Cut(token, ":"); !strings.Contains(name, "/get") { // functions are no resources
			all.Resources = append(all.Resources, graph.Resource{Type: token, Custom: true})
		}
	}
	require.NoError(t, (&bill{made: all, count: map[string]int{}}).resources())
	all.Resources = append(all.Resources, graph.Resource{Type: "aws:kms/key:Key", Custom: true})
	require.ErrorContains(t, (&bill{made: all, count: map[string]int{}}).resources(), "resources without a price: aws:kms/key:Key")
}

// TestDocumentsSayWhatItCosts holds the table of docs/choose.md against the estimates.
func TestDocumentsSayWhatItCosts(t *testing.T) {
	page, err := os.ReadFile("../../docs/choose.md")
	require.NoError(t, err)
	cells := map[string][]string{}
	for _, args := range [][]string{{"../../Pulumi.lab.yaml"}, {"../../Pulumi.prod.yaml", "--pods", "100"}} {
		text, err := run(append(args, "--json")...)
		require.NoError(t, err)
		var r report
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		for _, region := range r.Regions {
			for i, c := range r.Setups {
				if i == 0 {
					cells["machines"] = append(cells["machines"], amount(c.Total[region]-c.Identity[region]))
				}
				cells[c.Setup] = append(cells[c.Setup], plain(c.Identity[region]))
			}
		}
	}
	for of, row := range cells {
		if of != "machines" {
			of = "`" + of + "`"
		}
		require.Regexp(t, `(?m)^\|[^|]*`+of+`[^|]*\| `+strings.Join(row, ` \| `)+` \|$`, string(page))
	}
}

// TestPricesFitTheProduct holds what this command repeats of the product: its default machines have a price.
func TestPricesFitTheProduct(t *testing.T) {
	table, err := loadPrices()
	require.NoError(t, err)
	cluster := config.Defaults("x").Cluster
	require.True(t, table.has("ec2."+cluster.ServerInstanceType))
	require.True(t, table.has("ec2."+cluster.AgentInstanceType))
}
