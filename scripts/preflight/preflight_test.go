package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/stackfile"
)

// fake is an account that has everything, but for what a test takes away.
type fake struct {
	fails, blocked, trail      bool
	zones, offers, endpoints   []string
	running, addresses, quotas int
	linked                     bool
	denied                     string
	asked                      []string
	zoneName                   string
}

var errFails = errors.New("AccessDenied: not for you")

func good() *fake {
	all := []string{"eu-central-1a", "eu-central-1b", "eu-central-1c"}
	return &fake{zones: all, offers: all, endpoints: all, quotas: 32, trail: true, linked: true, zoneName: "example.com"}
}

func (f *fake) err() error {
	if f.fails {
		return errFails
	}
	return nil
}

func (f *fake) Identity(context.Context) (string, string, error) {
	return "111122223333", "arn:aws:iam::111122223333:user/deployer", nil
}
func (f *fake) Zones(context.Context) ([]string, error)            { return f.zones, f.err() }
func (f *fake) Offers(context.Context, string) ([]string, error)   { return f.offers, f.err() }
func (f *fake) VCPUs(context.Context, string) (int, error)         { return 2, f.err() }
func (f *fake) RunningVCPUs(context.Context) (int, error)          { return f.running, f.err() }
func (f *fake) Addresses(context.Context) (int, error)             { return f.addresses, f.err() }
func (f *fake) RoleExists(context.Context, string) (bool, error)   { return f.linked, f.err() }
func (f *fake) PolicyExists(context.Context, string) (bool, error) { return true, f.err() }
func (f *fake) BucketExists(context.Context, string) (bool, error) { return true, f.err() }
func (f *fake) Distributions(context.Context) (int, error)         { return 1, f.err() }
func (f *fake) ReadEventsLogged(context.Context) (bool, error)     { return f.trail, f.err() }
func (f *fake) Quota(_ context.Context, _, _ string) (float64, error) {
	return float64(f.quotas), f.err()
}
func (f *fake) EndpointZones(context.Context, string) ([]string, error) { return f.endpoints, f.err() }
func (f *fake) PublicPoliciesBlocked(context.Context, string) (bool, error) {
	return f.blocked, f.err()
}
func (f *fake) HostedZone(context.Context, string) (string, error) { return f.zoneName, f.err() }
func (f *fake) Denied(_ context.Context, _ string, s iampolicy.Statement) ([]string, error) {
	f.asked = append(f.asked, s.Actions...)
	if slices.Contains(s.Actions, f.denied) {
		return []string{f.denied}, f.err()
	}
	return nil, f.err()
}

// stack is one of the repository's stack files, with a text of it replaced.
func stack(t *testing.T, name string, replace ...string) *stackfile.Stack {
	t.Helper()
	content, err := os.ReadFile("../../" + name)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(content))), 0o600))
	s, err := stackfile.Read(path)
	require.NoError(t, err)
	return s
}

// run returns the findings that are not ok, as "status check".
func run(t *testing.T, s *stackfile.Stack, aws account) []string {
	t.Helper()
	c := &checker{aws: aws, stack: s, cfg: s.Config}
	require.NoError(t, c.run(t.Context()))
	var out []string
	for _, f := range c.findings {
		require.NotEmpty(t, f.Found, f.Check)
		if f.Status != ok {
			require.Truef(t, f.Status == unknown || f.Do != "", "%s says what to do", f.Check)
			out = append(out, f.Status+" "+f.Check)
		}
	}
	return out
}

func TestWhatIsMissing(t *testing.T) {
	for name, tc := range map[string]struct {
		file    string
		replace []string
		change  func(*fake)
		want    []string
	}{
		"nothing":           {"Pulumi.lab.yaml", nil, func(*fake) {}, nil},
		"nothing, prod":     {"Pulumi.prod.yaml", []string{"example-etcd-snapshots", "acme-etcd"}, func(*fake) {}, nil},
		"a new account":     {"Pulumi.lab.yaml", nil, func(f *fake) { f.quotas = 5 }, []string{"missing vCPU quota"}},
		"machines that run": {"Pulumi.lab.yaml", nil, func(f *fake) { f.running = 27 }, []string{"missing vCPU quota"}},
		"addresses":         {"Pulumi.lab.yaml", nil, func(f *fake) { f.addresses = 32 }, []string{"missing Elastic IP quota"}},
		"type":              {"Pulumi.lab.yaml", nil, func(f *fake) { f.offers = []string{"eu-central-1b"} }, []string{"missing zones with t3.medium", "missing zones with t3.medium"}},
		"zone":              {"Pulumi.prod.yaml", nil, func(f *fake) { f.zones = f.zones[:2] }, []string{"missing availability zones"}},
		"endpoints": {"Pulumi.prod.yaml", nil, func(f *fake) { f.endpoints = f.endpoints[:2] },
			[]string{"missing interface endpoint of ssm", "missing interface endpoint of ssmmessages", "missing interface endpoint of sts"}},
		"public access":             {"Pulumi.lab.yaml", nil, func(f *fake) { f.blocked = true }, []string{"missing S3 Block Public Access of the account"}},
		"public access, not needed": {"Pulumi.lab.yaml", []string{"irsa-s3", "roles-anywhere"}, func(f *fake) { f.blocked = true }, nil},
		"another zone's domain":     {"Pulumi.prod.yaml", nil, func(f *fake) { f.zoneName = "example.org" }, []string{"missing hosted zone"}},
		"trail":                     {"Pulumi.prod.yaml", nil, func(f *fake) { f.trail = false }, []string{"missing CloudTrail"}},
		"permission":                {"Pulumi.lab.yaml", nil, func(f *fake) { f.denied = "iam:PassRole" }, []string{"missing permissions for `pulumi up`"}},
		"permission to destroy":     {"Pulumi.lab.yaml", nil, func(f *fake) { f.denied = "ec2:DeleteVpc" }, []string{"missing permissions for changes and `pulumi destroy`"}},
		"first use": {"Pulumi.prod.yaml", nil, func(f *fake) { f.linked, f.denied = false, "iam:CreateServiceLinkedRole" },
			[]string{"missing permissions for `pulumi up`"}},
		"not the first use": {"Pulumi.prod.yaml", nil, func(f *fake) { f.denied = "iam:CreateServiceLinkedRole" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			tc.change(f)
			require.Equal(t, tc.want, run(t, stack(t, tc.file, tc.replace...), f))
		})
	}
}

// TestWhatIsNotSeen holds that an answer that AWS refuses is unknown, never ok.
func TestWhatIsNotSeen(t *testing.T) {
	f := good()
	f.fails = true
	for _, status := range run(t, stack(t, "Pulumi.prod.yaml", "setup: irsa-cloudfront", "setup: irsa-s3"), f) {
		require.True(t, strings.HasPrefix(status, "unknown "), status)
	}
}

func TestCommand(t *testing.T) {
	var out, errs bytes.Buffer
	execute := func(args ...string) int {
		out.Reset()
		errs.Reset()
		cmd := root()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		return cli.Run(t.Context(), cmd, &errs)
	}
	for _, phase := range []string{"up", "later"} {
		require.Equal(t, 0, execute("policy", "../../Pulumi.lab.yaml", "--account", "444455556666", "--phase", phase), errs.String())
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			require.True(t, json.Valid([]byte(line)))
			require.Contains(t, line, "444455556666")
			require.LessOrEqual(t, len(line), 6144)
		}
	}
	// A cluster of somebody else's is not asked.
	path := filepath.Join(t.TempDir(), "Pulumi.mine.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`config:
  aws:region: eu-central-1
  k3s-aws-auth:setup: irsa-s3
  k3s-aws-auth:cluster: {mode: existing, kubeconfig: {secure: "v1:xyz"}}
  k3s-aws-auth:identities: [{name: a, namespace: n, serviceAccount: s, managedPolicyArns: ["arn:aws:iam::aws:policy/X"]}]
`), 0o600))
	out.Reset()
	require.Equal(t, 0, execute("policy", path, "--account", "444455556666"), errs.String())
	require.Contains(t, out.String(), "iam:CreateOpenIDConnectProvider")
	require.NotContains(t, out.String(), "ec2:RunInstances")

	require.Equal(t, 2, execute("policy", "../../Pulumi.lab.yaml"))
	require.Equal(t, 2, execute("policy", "../../Pulumi.lab.yaml", "--account", "444455556666", "--phase", "down"))
	require.Equal(t, 2, execute())
	require.Equal(t, 1, execute("../../Pulumi.none.yaml"))
}

func TestSource(t *testing.T) {
	require.Equal(t, "arn:aws:iam::1:role/admin", source("arn:aws:sts::1:assumed-role/admin/me"))
	require.Equal(t, "arn:aws:iam::1:user/me", source("arn:aws:iam::1:user/me"))
}
