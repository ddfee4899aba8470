package cluster

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReconcile holds a server's files against those of its cluster as K3s does.
func TestReconcile(t *testing.T) {
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	stored := map[string]bootstrapFile{"tls/service.key": {[]byte("the cluster's"), then}, "cred/passwd": {[]byte("the cluster's"), then}, "tls/etcd/peer-ca.crt": {[]byte("a CA"), then}}
	lay := func(t *testing.T, age time.Duration) dataDir {
		root := t.TempDir()
		d := dataDir{root: root, dir: filepath.Join(root, "var/lib/rancher/k3s/server")}
		require.NoError(t, d.write(stored))
		write(t, d.path("cred/passwd"), "its own")
		at := then.Add(age)
		require.NoError(t, os.Chtimes(d.path("cred/passwd"), at, at))
		return d
	}
	content := func(d dataDir) string {
		data, err := os.ReadFile(d.path("cred/passwd"))
		require.NoError(t, err)
		return string(data)
	}
	t.Run("newer", func(t *testing.T) {
		d := lay(t, 3*time.Second)
		err := d.reconcile(stored, false)
		require.EqualError(t, err, "/var/lib/rancher/k3s/server/cred/passwd newer than datastore and could cause a cluster outage. Remove the file(s) from disk and "+
			"restart to be recreated from datastore.")
		require.Equal(t, "its own", content(d))
	})
	t.Run("newer at a reset", func(t *testing.T) {
		d := lay(t, time.Minute)
		require.NoError(t, d.reconcile(stored, true))
		require.Equal(t, "the cluster's", content(d))
	})
	t.Run("older", func(t *testing.T) {
		d := lay(t, 2*time.Second)
		require.NoError(t, d.reconcile(stored, false))
		require.Equal(t, "the cluster's", content(d))
		info, err := os.Stat(d.path("cred/passwd"))
		require.NoError(t, err)
		require.Equal(t, then.Unix(), info.ModTime().Unix(), "a file has the time of the one it came from")
	})
	t.Run("a directory is missing", func(t *testing.T) {
		d := lay(t, time.Minute)
		require.NoError(t, os.RemoveAll(d.path("cred")))
		write(t, d.path("tls/service.key"), "newer, and of no account")
		require.NoError(t, d.reconcile(stored, false))
		require.Equal(t, "the cluster's", content(d))
		key, err := os.ReadFile(d.path("tls/service.key"))
		require.NoError(t, err)
		require.Equal(t, "the cluster's", string(key))
	})
}

func TestMemberName(t *testing.T) {
	d := dataDir{dir: t.TempDir()}
	first, err := d.memberName("ip-10-0-0-4", false)
	require.NoError(t, err)
	require.Regexp(t, `^ip-10-0-0-4-[0-9a-f]{8}$`, first)
	again, err := d.memberName("ip-10-0-0-4", false)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.False(t, d.initialized(), "a name alone is no member")
	anew, err := d.memberName("ip-10-0-0-4", true)
	require.NoError(t, err)
	require.NotEqual(t, first, anew)
}

func TestConfigDirectory(t *testing.T) {
	root := t.TempDir()
	main := filepath.Join(root, "etc/rancher/k3s/config.yaml")
	write(t, main, "server: https://one:6443\ntoken-file: /t\nkubelet-arg: a=1\n")
	config, err := ReadConfig(root)
	require.NoError(t, err)
	require.Equal(t, "k3s://node", config.ProviderID("node"))
	write(t, main+".d/a.yaml", "server: https://two:6443\nkubelet-arg+: [provider-id=aws:///zone/i-1]\n")
	write(t, main+".d/not-yaml.txt", "server: https://three:6443\n")
	config, err = ReadConfig(root)
	require.NoError(t, err)
	require.Equal(t, "https://two:6443", config.Server)
	require.Equal(t, stringList{"a=1", "provider-id=aws:///zone/i-1"}, config.KubeletArg)
	require.Equal(t, "aws:///zone/i-1", config.ProviderID("node"))
	write(t, main+".d/b.yaml", "kubelet-arg: [b=2]\n")
	config, err = ReadConfig(root)
	require.NoError(t, err)
	require.Equal(t, stringList{"b=2"}, config.KubeletArg)
}

// TestLeavesAge lets certificates age: they are made anew at a start within 120 days of their end, and not before.
func TestLeavesAge(t *testing.T) {
	root := nodeRoot(t)
	dir := filepath.Join(root, "var/lib/rancher/k3s/server/tls")
	ca, err := loadAuthority(dir, "client-ca")
	require.NoError(t, err)
	s := &Server{Config: &Config{DataDir: "/var/lib/rancher/k3s"}, clientCA: ca, serverCA: ca, requestHeaderCA: ca}
	crt, key := filepath.Join(dir, "client-admin.crt"), filepath.Join(dir, "client-admin.key")
	keep := func() time.Time {
		require.NoError(t, ca.keep(crt, key, "system:admin", nil, nil))
		cert, err := readCertificate(crt)
		require.NoError(t, err)
		return cert.NotAfter
	}
	first := keep()
	require.InDelta(t, 365*24, time.Until(first).Hours(), 24)
	require.Equal(t, first, keep())
	require.NoError(t, s.Age(root, 240*24*time.Hour))
	aged := keep()
	require.InDelta(t, 125*24, time.Until(aged).Hours(), 24, "it stays")
	require.NoError(t, s.Age(root, 10*24*time.Hour))
	require.InDelta(t, 365*24, time.Until(keep()).Hours(), 24, "it is made anew")
	_, err = loadAuthority(dir, "client-ca")
	require.NoError(t, err, "CAs do not age")
}
