package k3s

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

func pullArgs(byPods bool) *ClusterArgs {
	args := labArgs()
	args.ImagePulls = &ImagePulls{
		ProviderURL: "https://example.com/ecr-credential-provider", ProviderSHA256: strings.Repeat("0a", 32),
		Repositories: []string{"arn:aws:ecr:eu-central-1:111122223333:repository/bb", "arn:aws:ecr:us-east-1:444455556666:repository/team/a",
			"arn:aws:ecr:eu-central-1:111122223333:repository/team/c"},
		ByPods: byPods,
	}
	return args
}

// Only agents get the provider, and only the role that pulls may.
func TestImagePulls(t *testing.T) {
	for name, byPods := range map[string]bool{"node": false, "pod": true} {
		c := preview(t, pullArgs(byPods))
		files := c.bootFiles(t, "lab-agent-0")
		pulumitest.Golden(t, "pulls/"+name+"-providers.yaml", files["/var/lib/rancher/credentialprovider/config.yaml"])
		pulumitest.Golden(t, "pulls/agent-config.yaml", files["/etc/rancher/k3s/config.yaml"])
		pulumitest.Golden(t, "pulls/agent-boot.env", files["/etc/k3s-aws-auth/boot.env"])
		server := c.bootFiles(t, "lab-server-0")
		require.NotContains(t, server, "/var/lib/rancher/credentialprovider/config.yaml")
		require.NotContains(t, server["/etc/k3s-aws-auth/boot.env"], "PROVIDER")
		require.NotContains(t, server["/etc/rancher/k3s/config.yaml"], "credential")
		var policies []string
		for _, r := range c.Resources() {
			if r.Type == "aws:iam/rolePolicy:RolePolicy" && strings.Contains(r.Inputs["policy"].StringValue(), "ecr:") {
				policies = append(policies, r.Name)
				pulumitest.Golden(t, "pulls/"+r.Name+".json", pulumitest.IndentJSON(t, r.Inputs["policy"].StringValue()))
			}
		}
		if byPods {
			require.Empty(t, policies, "a node that somebody has stolen pulls nothing by itself")
		} else {
			require.Equal(t, []string{"lab-agent-image-pulls"}, policies)
		}
	}
}

func TestImagePullsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*ClusterArgs){
		"ImagePulls.ProviderURL":            func(a *ClusterArgs) { a.ImagePulls.ProviderURL = "https://example.com/$(reboot)" },
		"ImagePulls.ProviderSHA256":         func(a *ClusterArgs) { a.ImagePulls.ProviderSHA256 = "" },
		"ImagePulls.Repositories: is empty": func(a *ClusterArgs) { a.ImagePulls.Repositories = nil },
		"ImagePulls.Repositories[1]": func(a *ClusterArgs) {
			a.ImagePulls.Repositories[1] = "arn:aws:ecr:eu-central-1:111122223333:repository/*"
		},
		"ImagePulls.ByPods": func(a *ClusterArgs) { a.Version = "v1.34.2+k3s1" },
	} {
		args := pullArgs(true)
		require.NoError(t, args.validate())
		change(args)
		require.ErrorContains(t, args.validate(), want)
	}
}

// The provider is downloaded once, checked before it can run, and gone where it is
// not wanted any more; what somebody else's image has stays.
func TestBootInstallsTheProvider(t *testing.T) {
	const program = "#!/bin/sh\necho a provider\n"
	sum := sha256.Sum256([]byte(program))
	dir := "var/lib/rancher/credentialprovider/"
	start := func(digest string) (*machine, string) {
		m := newMachine(t, "agent", "x86_64", "")
		m.write("provider", program, 0o644)
		require.NoError(t, os.MkdirAll(filepath.Join(m.root, dir), 0o755))
		m.write(dir+"config.yaml", "written by cloud-init\n", 0o644)
		before := m.read("etc/k3s-aws-auth/boot.env")
		m.write("etc/k3s-aws-auth/boot.env", before+"PROVIDER_URL=https://example.com/ecr-credential-provider\nPROVIDER_SHA256="+digest+"\n", 0o644)
		return m, before
	}
	m, off := start(hex.EncodeToString(sum[:]))
	out, err := m.boot()
	require.NoError(t, err, out)
	require.Contains(t, m.calls(), "https://example.com/ecr-credential-provider\n")
	require.Equal(t, program, m.read(dir+"bin/ecr-credential-provider"))
	info, err := os.Stat(filepath.Join(m.root, dir+"bin/ecr-credential-provider"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode())
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.NotContains(t, m.calls(), "example.com")
	m.write(dir+"bin/ecr-credential-provider", "changed", 0o755)
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.Equal(t, program, m.read(dir+"bin/ecr-credential-provider"), "another program is replaced")

	m.write(dir+"bin/another-provider", "of the image", 0o755)
	m.write("etc/k3s-aws-auth/boot.env", off, 0o644)
	for range 2 {
		out, err = m.boot("prepare")
		require.NoError(t, err, out)
		require.NoFileExists(t, filepath.Join(m.root, dir+"bin/ecr-credential-provider"))
		require.NoFileExists(t, filepath.Join(m.root, dir+"config.yaml"))
		require.FileExists(t, filepath.Join(m.root, dir+"bin/another-provider"))
	}
	m.write(dir+"config.yaml", "somebody else's", 0o644)
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.Equal(t, "somebody else's", m.read(dir+"config.yaml"))

	m, _ = start(strings.Repeat("0", 64))
	out, err = m.boot()
	require.Error(t, err)
	require.Contains(t, out, "https://example.com/ecr-credential-provider does not have the expected digest, 0000")
	require.Contains(t, out, "FAILED while installing the credential provider of the kubelet")
	require.NoFileExists(t, filepath.Join(m.root, dir+"bin/ecr-credential-provider"))
	require.NotContains(t, m.calls(), "systemctl", "K3s does not start without it")
}
