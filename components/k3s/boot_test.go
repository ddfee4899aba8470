package k3s

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

func unzip(t *testing.T, data []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	script, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(script)
}

// script is boot.sh as a machine gets it: without the lines that are only a
// comment.
func script(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("boot.sh")
	require.NoError(t, err)
	var kept strings.Builder
	for i, line := range strings.SplitAfter(string(source), "\n") {
		if i == 0 || !strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// The compressed script is boot.sh's.
func TestBootScriptIsPacked(t *testing.T) {
	want := script(t)
	if pulumitest.Updating() && unzip(t, bootScript) != want {
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		require.NoError(t, err)
		_, err = w.Write([]byte(want))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoError(t, os.WriteFile("boot.sh.gz", packed.Bytes(), 0o600))
		bootScript = packed.Bytes()
	}
	require.Equal(t, want, unzip(t, bootScript), "boot.sh.gz is not boot.sh's; rewrite it with: go test . -update")
}

func TestBootScriptParses(t *testing.T) {
	out, err := exec.Command("bash", "-n", "boot.sh").CombinedOutput()
	require.NoError(t, err, string(out))
	require.True(t, strings.HasPrefix(script(t), "#!/usr/bin/env bash\nset -euo pipefail\n"))
	require.NotContains(t, script(t), "\n#")
}

func TestBootScriptIsLinted(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed")
	}
	out, err := exec.Command(shellcheck, "boot.sh").CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestUserDataIsCloudConfig(t *testing.T) {
	cloudInit, err := exec.LookPath("cloud-init")
	if err != nil {
		t.Skip("cloud-init is not installed")
	}
	c := preview(t, prodArgs())
	for _, name := range []string{"lab-server-0", "lab-server-1", "lab-agent-0"} {
		path := filepath.Join(t.TempDir(), name)
		data := plain(c.Find(t, "aws:ec2/instance:Instance", name).Inputs["userData"]).StringValue()
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
		out, err := exec.Command(cloudInit, "schema", "--config-file", path).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// binary is what the release has for every architecture here.
const binary = "#!/bin/sh\n[ $1 = --version ] || echo \"k3s $*\" >>\"$ROOT/calls\"\necho 'k3s version v1.35.4+k3s1 (0123abcd)'\n"

// machine is a directory in which the boot script believes to be a machine: its
// absolute paths lie below it, and the commands that would reach beyond it are
// played by scripts on its PATH.
type machine struct {
	t    *testing.T
	root string
}

// tools are the machine's own commands. curl plays the metadata service, SSM and
// the release; each call adds its arguments to calls.
var tools = map[string]string{
	"curl": `#!/bin/bash
echo "curl $*" >>"$ROOT/calls"
output="" url="" data="" config=""
while (($#)); do
  case $1 in
    --output) output=$2; shift ;;
    --data) data=$2; shift ;;
    --config) config=$(cat); shift ;;
    --max-time|--connect-timeout|--speed-limit|--speed-time|--request|--header|--aws-sigv4|--cacert|--cert|--key) shift ;;
    http*) url=$1 ;;
  esac
  shift
done
answer() { if [[ $output ]]; then cat >"$output"; else cat; fi; }
if [[ -e $ROOT/flaky ]]; then rm "$ROOT/flaky"; exit 7; fi
if [[ -e $ROOT/unreachable && $url == *"$(cat "$ROOT/unreachable")"* ]]; then echo "curl: (28) Connection timed out" >&2; exit 28; fi
case $url in
  http://169.254.169.254/latest/api/token) echo metadata-token | answer ;;
  http://169.254.169.254/latest/meta-data/iam/security-credentials/) printf lab-role | answer ;;
  http://169.254.169.254/latest/meta-data/iam/security-credentials/lab-role)
    echo '{"AccessKeyId":"ASIATEST","SecretAccessKey":"very/secret+key","Token":"session=="}' | answer ;;
  https://ssm.eu-central-1.amazonaws.com/)
    [[ $config == *'user = "ASIATEST:very/secret+key"'* && $config == *'X-Amz-Security-Token: session=='* ]] || exit 22
    name=${data#*\"Name\":\"} name=${name%%\"*}
    if [[ $data == *Overwrite* ]]; then
      echo "put $data" >>"$ROOT/calls"
      value=${data#*\"Value\":\"} && printf %s "${value%%\"*}" >"$ROOT/parameter-founder"
      echo '{"Version":2}'; exit
    fi
    if [[ $name == */founder ]]; then
      printf '{"Parameter":{"Name":"%s","Value":"%s"}}' "$name" "$(cat "$ROOT/parameter-founder")"; exit
    fi
    if [[ $name == *denied* ]]; then echo '{"__type":"AccessDeniedException"}'; exit 22; fi
    if [[ $name == *missing* ]]; then echo '{"__type":"ParameterNotFound"}'; exit 22; fi
    if [[ -e $ROOT/late ]]; then echo '{"__type":"InvalidSignatureException","message":"Signature expired: 20260101T000000Z is now earlier than 20260101T050000Z"}'; exit 22; fi
    printf '{"Parameter":{"Name":"%s","Value":"line 1 of %s\\nline 2\\n"}}' "$name" "$name" ;;
  http://169.254.169.254/latest/meta-data/instance-id) cat "$ROOT/instance-id" | answer ;;
  http://169.254.169.254/latest/meta-data/placement/availability-zone) printf eu-central-1b | answer ;;
  https://127.0.0.1:6443/readyz) [[ ! -e $ROOT/unready ]] || exit 22 ;;
  https://join.example.com:6443/) [[ -e $ROOT/cluster ]] || exit 7 ;;
  https://join.example.com:6443/api/v1/nodes\?*) [[ -e $ROOT/cluster ]] || exit 7 ;;
  */sha256sum-*.txt) cat "$ROOT/digests" | answer ;;
  https://example.com/ecr-credential-provider) cat "$ROOT/provider" | answer ;;
  */k3s|*/k3s-arm64) cat "$ROOT/release" | answer ;;
  *) echo "no such place: $url" >&2; exit 6 ;;
esac
`,
	"systemctl": `#!/bin/bash
[[ $1 == is-active || $1 == show ]] || echo "systemctl $*" >>"$ROOT/calls"
case $1 in
  is-active) [[ ! -e $ROOT/broken ]]; exit ;;
  show) if [[ -e $ROOT/broken ]]; then cat "$ROOT/broken"; else echo 0; fi; exit ;;
esac
if [[ $* == "start --no-block k3s-agent.service" && ! -e $ROOT/refused ]]; then
  mkdir -p "$ROOT/var/lib/rancher/k3s/agent" && echo certificate >"$ROOT/var/lib/rancher/k3s/agent/client-kubelet.crt"
fi
`,
	"mktemp":     "#!/bin/bash\nif [[ -e $ROOT/full ]]; then echo 'mktemp: No space left on device' >&2; exit 1; fi\nexec /usr/bin/mktemp \"$@\"\n",
	"mv":         "#!/bin/bash\nexec /bin/mv \"$@\"\n",
	"openssl":    "#!/bin/bash\necho \"openssl $*\" >>\"$ROOT/calls\"\n",
	"journalctl": "#!/bin/bash\necho 'the journal of k3s'\n",
	"uname":      "#!/bin/bash\ncat \"$ROOT/arch\"\n",
	"sleep":      "#!/bin/bash\necho \"sleep $*\" >>\"$ROOT/calls\"\n",
}

func newMachine(t *testing.T, role, arch, digest string, parameters ...string) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir()}
	for _, dir := range []string{"etc/k3s-aws-auth", "etc/systemd/system", "usr/local/bin", "usr/local/sbin", "var/lib", "bin"} {
		require.NoError(t, os.MkdirAll(filepath.Join(m.root, dir), 0o755))
	}
	for name, script := range tools {
		// The whole script can be killed at its n-th call of a tool.
		_, body, _ := strings.Cut(script, "\n")
		m.write("bin/"+name, `#!/bin/bash
if [[ -e $ROOT/kill-at ]]; then
  echo >>"$ROOT/count"
  (($(wc -l <"$ROOT/count") != $(cat "$ROOT/kill-at"))) || kill -KILL 0
fi
`+body, 0o755)
	}
	boot := script(t)
	for _, dir := range []string{"/etc/", "/usr/local/", "/var/lib/"} {
		boot = strings.ReplaceAll(boot, dir, m.root+dir)
	}
	m.write("usr/local/sbin/k3s-boot", boot, 0o755)
	m.write("etc/k3s-aws-auth/boot.env", "ROLE="+role+"\nK3S_VERSION=v1.35.4+k3s1\nK3S_SHA256="+digest+"\nREGION=eu-central-1\nDNS_SUFFIX=amazonaws.com\n", 0o644)
	var lines strings.Builder
	for _, parameter := range parameters {
		name, path, _ := strings.Cut(parameter, " ")
		lines.WriteString(name + " " + m.root + path + " 0600\n")
	}
	m.write("etc/k3s-aws-auth/parameters", lines.String(), 0o644)
	m.write("arch", arch, 0o644)
	m.write("instance-id", "i-0", 0o644)
	m.write("release", binary, 0o644)
	sum := sha256.Sum256([]byte(binary))
	m.write("digests", strings.Repeat("0", 64)+"  k3s-airgap-images.tar\n"+hex.EncodeToString(sum[:])+"  k3s\n"+hex.EncodeToString(sum[:])+"  k3s-arm64\n", 0o644)
	return m
}

func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(filepath.Join(m.root, path), []byte(text), mode))
}

func (m *machine) read(path string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, path))
	require.NoError(m.t, err)
	return string(text)
}

// calls returns what the machine's commands were called with since the last time.
func (m *machine) calls() string {
	text, _ := os.ReadFile(filepath.Join(m.root, "calls"))
	_ = os.Remove(filepath.Join(m.root, "calls"))
	return strings.ReplaceAll(string(text), m.root, "")
}

func (m *machine) boot(args ...string) (output string, err error) {
	m.t.Helper()
	command := exec.Command(filepath.Join(m.root, "usr/local/sbin/k3s-boot"), args...)
	command.Env = []string{"PATH=" + filepath.Join(m.root, "bin") + ":" + os.Getenv("PATH"), "ROOT=" + m.root, "HOME=" + m.root}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := command.CombinedOutput()
	return strings.ReplaceAll(string(out), m.root, ""), err
}

func TestBootServer(t *testing.T) {
	m := newMachine(t, "server", "x86_64", "",
		"/k3s-aws-auth/lab/server/client-ca.key /var/lib/rancher/k3s/server/tls/client-ca.key",
		"/k3s-aws-auth/lab/server/service-account/1.key /etc/rancher/k3s/service-account/1.key",
		"/k3s-aws-auth/lab/server/token /etc/rancher/k3s/token")
	m.write("flaky", "", 0o644) // the first connection fails
	out, err := m.boot()
	require.NoError(t, err, out)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Equal(t, "k3s-boot: done: K3s v1.35.4+k3s1, server", lines[len(lines)-1])

	require.Equal(t, "line 1 of /k3s-aws-auth/lab/server/client-ca.key\nline 2\n", m.read("var/lib/rancher/k3s/server/tls/client-ca.key"), "a file is the parameter's value to the byte")
	for path, mode := range map[string]os.FileMode{
		"etc/rancher/k3s/service-account/1.key": 0o600, "etc/rancher/k3s/service-account": 0o700 | os.ModeDir, "var/lib/rancher/k3s/server/tls/client-ca.key": 0o600, "var/lib/rancher/k3s/server/tls": 0o700 | os.ModeDir,
		"var/lib/rancher/k3s/server": 0o700 | os.ModeDir, "var/lib/rancher/k3s": 0o755 | os.ModeDir,
		"etc/rancher/k3s/token": 0o600, "usr/local/bin/k3s": 0o755, "etc/systemd/system/k3s.service": 0o644,
	} {
		info, err := os.Stat(filepath.Join(m.root, path))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), path)
	}
	target, err := os.Readlink(filepath.Join(m.root, "usr/local/bin/kubectl"))
	require.NoError(t, err)
	require.Equal(t, "k3s", target)
	unit := m.read("etc/systemd/system/k3s.service")
	require.Contains(t, unit, "Type=notify\n")
	require.Contains(t, unit, "/usr/local/bin/k3s server\n")
	require.Contains(t, m.read("etc/systemd/system/k3s-boot.service"), "Before=k3s.service\n")

	calls := m.calls()
	require.Contains(t, calls, "https://github.com/k3s-io/k3s/releases/download/v1.35.4%2Bk3s1/k3s\n", "a + in a URL's path must be written %2B")
	require.Contains(t, calls, "/v1.35.4%2Bk3s1/sha256sum-amd64.txt\n")
	require.Contains(t, calls, "--aws-sigv4 aws:amz:eu-central-1:ssm ")
	require.Contains(t, calls, "--request PUT --header X-aws-ec2-metadata-token-ttl-seconds:")
	require.NotContains(t, calls, "very/secret+key", "credentials must not show in the process list")
	require.NotContains(t, calls, "session==")
	require.True(t, strings.HasSuffix(calls, "systemctl daemon-reload\nsystemctl enable --quiet k3s.service k3s-boot.service\nsystemctl enable --quiet --now k3s-renew.timer\n"+
		"systemctl stop k3s.service\nsystemctl start --no-block k3s.service\n"), calls)
	require.Equal(t, "kubelet-arg+: [provider-id=aws:///eu-central-1b/i-0]\n", m.read("etc/rancher/k3s/config.yaml.d/provider-id.yaml"))
	leftovers, err := filepath.Glob(filepath.Join(m.root, "usr/local/bin/.k3s*"))
	require.NoError(t, err)
	require.Empty(t, leftovers)

	// A later boot asks nobody for anything, keeps the files that K3s owns by now
	// and leaves the start to systemd.
	m.write("var/lib/rancher/k3s/server/tls/client-ca.key", "rotated by K3s\n", 0o600)
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.Equal(t, "rotated by K3s\n", m.read("var/lib/rancher/k3s/server/tls/client-ca.key"))
	calls = m.calls()
	require.NotContains(t, calls, "curl")
	require.NotContains(t, calls, "systemctl start")

	// A key that has left the set is not on the disk any more, and one that came is.
	parameters := m.read("etc/k3s-aws-auth/parameters")
	m.write("etc/k3s-aws-auth/parameters", strings.ReplaceAll(parameters, "service-account/1.key", "service-account/2.key"), 0o644)
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.Equal(t, "line 1 of /k3s-aws-auth/lab/server/service-account/2.key\nline 2\n", m.read("etc/rancher/k3s/service-account/2.key"))
	require.NoFileExists(t, filepath.Join(m.root, "etc/rancher/k3s/service-account/1.key"))
	m.calls()

	// Another version in the user data of that boot is installed.
	m.write("etc/k3s-aws-auth/boot.env", strings.Replace(m.read("etc/k3s-aws-auth/boot.env"), "v1.35.4+k3s1", "v1.36.0+k3s1", 1), 0o644)
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.Contains(t, m.calls(), "/v1.36.0%2Bk3s1/k3s\n")
}

func TestBootAgent(t *testing.T) {
	sum := sha256.Sum256([]byte(binary))
	m := newMachine(t, "agent", "aarch64", hex.EncodeToString(sum[:]), "/k3s-aws-auth/lab/agent/token /etc/rancher/k3s/agent-token")
	out, err := m.boot()
	require.NoError(t, err, out)
	calls := m.calls()
	require.Contains(t, calls, "/k3s-arm64\n")
	require.NotContains(t, calls, "sha256sum-", "a given digest is the only one that counts")
	require.Contains(t, calls, "systemctl start --no-block k3s-agent.service\n")
	unit := m.read("etc/systemd/system/k3s-agent.service")
	require.Contains(t, unit, "Type=exec\n")
	require.Contains(t, unit, "/usr/local/bin/k3s agent\n")
}

// member makes the machine one of several servers, with what cloud-init writes
// for it at each boot.
func (m *machine) member(number int) {
	env := strings.Split(m.read("etc/k3s-aws-auth/boot.env"), "SERVER=")[0]
	config := "server: https://join.example.com:6443\ntoken-file: t\n"
	env += "SERVER=" + strconv.Itoa(number) + "\nJOIN=https://join.example.com:6443\n"
	if number == 0 {
		env += "FOUNDER=/k3s-aws-auth/lab/server/founder\n"
		config = "cluster-init: true\ntoken-file: t\n"
	}
	m.write("etc/k3s-aws-auth/boot.env", env, 0o644)
	require.NoError(m.t, os.MkdirAll(filepath.Join(m.root, "etc/rancher/k3s"), 0o755))
	m.write("etc/rancher/k3s/config.yaml", config, 0o600)
}

// The first machine starts the cluster, and goes on to do so when it is
// interrupted or restarted.
func TestBootFounder(t *testing.T) {
	m := newMachine(t, "server", "x86_64", "")
	m.write("instance-id", "i-1", 0o644)
	m.write("parameter-founder", "none", 0o644)
	m.member(0)
	out, err := m.boot()
	require.NoError(t, err, out)
	require.Equal(t, "i-1", m.read("parameter-founder"))
	require.Equal(t, "cluster-init: true\ntoken-file: t\n", m.read("etc/rancher/k3s/config.yaml"))
	calls := m.calls()
	require.Contains(t, calls, `put {"Name":"/k3s-aws-auth/lab/server/founder","Value":"i-1","Overwrite":true}`)
	require.NotContains(t, calls, "join.example.com", "who starts a cluster waits for nobody")
	require.NotContains(t, calls, "DELETE")

	// Interrupted after it had signed: it finds its own name there.
	require.NoError(t, os.Remove(filepath.Join(m.root, "etc/k3s-aws-auth/founder")))
	m.member(0)
	out, err = m.boot()
	require.NoError(t, err, out)
	require.Contains(t, m.read("etc/rancher/k3s/config.yaml"), "cluster-init: true\n")
	require.NotContains(t, m.calls(), "put ")

	// At a later boot it asks nobody.
	m.member(0)
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.NotContains(t, m.calls(), "curl")
}

// A machine that replaces server 0 joins what the first one started, at its
// first boot and at all others, and never starts a cluster of its own.
func TestBootReplacedFounder(t *testing.T) {
	m := newMachine(t, "server", "x86_64", "")
	m.write("instance-id", "i-2", 0o644)
	m.write("parameter-founder", "i-1", 0o644)
	m.write("cluster", "", 0o644)
	m.member(0)
	out, err := m.boot()
	require.NoError(t, err, out)
	require.Contains(t, out, "i-1 started this cluster: this machine joins it")
	require.Equal(t, "server: https://join.example.com:6443\ntoken-file: t\n", m.read("etc/rancher/k3s/config.yaml"))
	require.Equal(t, "i-1", m.read("parameter-founder"))
	calls := m.calls()
	require.Less(t, strings.Index(calls, "https://join.example.com:6443/"), strings.Index(calls, "systemctl start"), "it waits for a server first")
	require.Contains(t, calls, "https://join.example.com:6443/api/v1/nodes?labelSelector=k3s-aws-auth%2Fserver%3D0\n")
	require.Less(t, strings.Index(calls, "--request DELETE"), strings.Index(calls, "systemctl start"), "etcd takes no member while one is away")

	m.member(0) // cloud-init writes the configuration anew
	require.NoError(t, os.MkdirAll(filepath.Join(m.root, "var/lib/rancher/k3s/server/db/etcd/member"), 0o700))
	out, err = m.boot("prepare")
	require.NoError(t, err, out)
	require.Equal(t, "server: https://join.example.com:6443\ntoken-file: t\n", m.read("etc/rancher/k3s/config.yaml"))
	require.NotContains(t, m.calls(), "curl")

	// With a datastore of its own it needs nobody to start again.
	require.NoError(t, os.Remove(filepath.Join(m.root, "cluster")))
	out, err = m.boot()
	require.NoError(t, err, out)
	require.NotContains(t, m.calls(), "join.example.com")
}

func TestBootJoin(t *testing.T) {
	m := newMachine(t, "server", "x86_64", "")
	m.write("cluster", "", 0o644)
	m.member(2)
	out, err := m.boot()
	require.NoError(t, err, out)
	calls := m.calls()
	require.NotContains(t, calls, "founder", "only server 0 asks who started the cluster")
	require.Contains(t, calls, "--cacert /var/lib/rancher/k3s/server/tls/server-ca.crt https://join.example.com:6443/")
	require.Contains(t, calls, "https://join.example.com:6443/api/v1/nodes?labelSelector=k3s-aws-auth%2Fserver%3D2\n")
}

// state is all that a boot leaves behind, by path.
func (m *machine) state() map[string]string {
	files := map[string]string{}
	for _, dir := range []string{"etc", "usr", "var"} {
		require.NoError(m.t, filepath.WalkDir(filepath.Join(m.root, dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, m.root)] = strings.ReplaceAll(string(text), m.root, "")
			return err
		}))
	}
	return files
}

// Killed at any step and run again, the script ends as if nothing had been, and
// a run after that changes nothing.
func TestBootIsKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("boots dozens of machines")
	}
	start := func(t *testing.T) *machine {
		m := newMachine(t, "server", "x86_64", "",
			"/k3s-aws-auth/lab/server/service-account/1.key /etc/rancher/k3s/service-account/1.key",
			"/k3s-aws-auth/lab/server/token /etc/rancher/k3s/token")
		m.write("instance-id", "i-1", 0o644)
		m.write("parameter-founder", "none", 0o644)
		m.member(0)
		return m
	}
	undisturbed := start(t)
	out, err := undisturbed.boot()
	require.NoError(t, err, out)
	want := undisturbed.state()
	for n := 1; ; n++ {
		m := start(t)
		m.write("kill-at", strconv.Itoa(n), 0o644)
		_, err := m.boot()
		require.NoError(t, os.Remove(filepath.Join(m.root, "kill-at")))
		if err == nil {
			require.Greater(t, n, 15, "it was not killed often enough to mean anything")
			return
		}
		again := 1
		if n%5 == 0 {
			again = 2
		}
		for range again {
			out, err := m.boot()
			require.NoError(t, err, "killed at call %d: %s", n, out)
			require.Empty(t, cmp.Diff(want, m.state()), "killed at call %d", n)
		}
	}
}

func TestBootFails(t *testing.T) {
	server := func(t *testing.T, digest string, parameters ...string) *machine {
		return newMachine(t, "server", "x86_64", digest, parameters...)
	}
	// Time does not pass in a test: every retry gives up at once.
	hurry := func(m *machine) {
		script := m.read("usr/local/sbin/k3s-boot")
		m.write("usr/local/sbin/k3s-boot", strings.NewReplacer("retry 300 ", "retry 0 ", "retry 600 ", "retry 0 ", "retry 900 ", "retry 0 ", "patience=600", "patience=0", "patience=900", "patience=0").Replace(script), 0o755)
	}
	tests := []struct {
		name    string
		machine func(t *testing.T) *machine
		want    []string
	}{
		{"no permission", func(t *testing.T) *machine {
			return server(t, "", "/k3s-aws-auth/lab/denied/token /etc/rancher/k3s/token")
		}, []string{"AccessDeniedException", "cannot read /k3s-aws-auth/lab/denied/token", "FAILED while fetching /k3s-aws-auth/lab/denied/token"}},
		{"no parameter", func(t *testing.T) *machine {
			return server(t, "", "/k3s-aws-auth/lab/missing/token /etc/rancher/k3s/token")
		}, []string{"ParameterNotFound", "cannot read /k3s-aws-auth/lab/missing/token"}},
		{"no metadata", func(t *testing.T) *machine {
			m := server(t, "", "/k3s-aws-auth/lab/server/token /etc/rancher/k3s/token")
			m.write("unreachable", "169.254.169.254", 0o644)
			return m
		}, []string{"no credentials of an instance profile from http://169.254.169.254/latest", "FAILED while fetching"}},
		{"a clock hours behind", func(t *testing.T) *machine {
			m := server(t, "", "/k3s-aws-auth/lab/server/token /etc/rancher/k3s/token")
			m.write("late", "", 0o644)
			return m
		}, []string{"Signature expired", "for the reason above", "FAILED while fetching"}},
		{"no releases", func(t *testing.T) *machine {
			m := server(t, "")
			m.write("unreachable", "github.com", 0o644)
			return m
		}, []string{"Connection timed out", "cannot download https://github.com/k3s-io/k3s/releases/download/v1.35.4%2Bk3s1/sha256sum-amd64.txt", "FAILED while installing K3s"}},
		{"a full disk", func(t *testing.T) *machine {
			m := server(t, "")
			m.write("full", "", 0o644)
			return m
		}, []string{"No space left on device", "FAILED while installing K3s"}},
		{"damaged binary", func(t *testing.T) *machine { return server(t, strings.Repeat("1", 64)) },
			[]string{"does not have the expected digest, 1111", "FAILED while installing K3s v1.35.4+k3s1"}},
		{"no digest", func(t *testing.T) *machine {
			m := server(t, "")
			m.write("digests", strings.Repeat("0", 64)+"  k3s-airgap-images.tar\n", 0o644)
			return m
		}, []string{"lists no digest of k3s"}},
		{"odd machine", func(t *testing.T) *machine { return newMachine(t, "server", "riscv64", "") }, []string{"no K3s for riscv64"}},
		{"odd role", func(t *testing.T) *machine { return newMachine(t, "boss", "x86_64", "") }, []string{"unknown ROLE boss"}},
		{"no settings", func(t *testing.T) *machine {
			m := server(t, "")
			require.NoError(t, os.Remove(filepath.Join(m.root, "etc/k3s-aws-auth/boot.env")))
			return m
		}, []string{"FAILED while reading /etc/k3s-aws-auth/boot.env"}},
		{"K3s does not start", func(t *testing.T) *machine {
			m := server(t, "")
			m.write("broken", "0", 0o644)
			return m
		}, []string{"the journal of k3s", "FAILED while starting k3s"}},
		{"a join that is never admitted", func(t *testing.T) *machine {
			m := server(t, "")
			m.write("broken", "0", 0o644)
			m.write("cluster", "", 0o644)
			m.member(1)
			return m
		}, []string{"the journal of k3s", "FAILED while starting k3s"}},
		{"not admitted", func(t *testing.T) *machine {
			m := newMachine(t, "agent", "x86_64", "")
			m.write("refused", "", 0o644)
			return m
		}, []string{"the journal of k3s", "no server has admitted this agent", "FAILED while joining the cluster"}},
		{"nobody to join", func(t *testing.T) *machine {
			m := server(t, "")
			m.member(1)
			return m
		}, []string{"no server answers at https://join.example.com:6443", "FAILED while waiting for a server at https://join"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := tt.machine(t)
			hurry(m)
			out, err := m.boot()
			require.Error(t, err, out)
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			require.Regexp(t, `^k3s-boot: FAILED while .* To try again: sudo /usr/local/sbin/k3s-boot$`, lines[len(lines)-1], "the last line says how it ended")
			require.NoFileExists(t, filepath.Join(m.root, "etc/rancher/k3s/token"), "no half file")
			leftovers, err := filepath.Glob(filepath.Join(m.root, "usr/local/bin/.k3s*"))
			require.NoError(t, err)
			require.Empty(t, leftovers)
		})
	}
}

// certificate writes a certificate that ends in so many days where K3s has its own.
func (m *machine) certificate(name string, days int) {
	m.t.Helper()
	path := filepath.Join(m.root, "var/lib/rancher/k3s", name)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o700))
	out, err := exec.Command("/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=leaf",
		"-days", strconv.Itoa(days), "-keyout", "/dev/null", "-out", path).CombinedOutput()
	require.NoError(m.t, err, string(out))
}

// Certificates that K3s renews only when it starts: each node restarts it in time,
// servers on days of their own.
func TestBootRenew(t *testing.T) {
	if _, err := os.Stat("/usr/bin/openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	const restarted = "systemctl start --no-block k3s"
	tests := []struct {
		name, role string
		server     int
		days       int
		// on are the days of the week, counted from the epoch's, on which it restarts.
		on []int
	}{
		{"far from their end", "server", 0, 91, nil},
		{"the only server", "server", -1, 89, []int{0}},
		{"server 0", "server", 0, 89, []int{0}},
		{"server 4, days before", "server", 4, 3, []int{4}},
		{"agent", "agent", -1, 89, []int{5, 6}},
		{"agent, days before", "agent", -1, 13, []int{0, 1, 2, 3, 4, 5, 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.role, "x86_64", "")
			// The script's own openssl, and a day that the test chooses.
			require.NoError(t, os.Remove(filepath.Join(m.root, "bin/openssl")))
			if tt.server >= 0 {
				m.member(tt.server)
			}
			m.certificate("server/tls/client-ca.crt", 1) // a CA is not K3s's to renew
			m.certificate("server/tls/etcd/client.crt", 300)
			m.certificate("agent/client-kubelet.crt", tt.days)
			script := m.read("usr/local/sbin/k3s-boot")
			var on []int
			for day := range 7 {
				m.write("usr/local/sbin/k3s-boot", strings.Replace(script, "EPOCHSECONDS", strconv.Itoa((day+700)*86400), 1), 0o755)
				_ = os.Remove(filepath.Join(m.root, "etc/k3s-aws-auth/renewed"))
				out, err := m.boot("renew")
				require.NoError(t, err, out)
				if strings.Contains(m.calls(), restarted) {
					on = append(on, day)
					require.Contains(t, out, "certificates end within 90 days")
					// Once is enough: what this did not renew, K3s does not use.
					out, err := m.boot("renew")
					require.NoError(t, err, out)
					require.NotContains(t, m.calls(), restarted)
				}
			}
			require.Equal(t, tt.on, on)
			if tt.role == "server" && len(tt.on) > 0 {
				m.write("usr/local/sbin/k3s-boot", strings.Replace(script, "EPOCHSECONDS", strconv.Itoa((tt.on[0]+700)*86400), 1), 0o755)
				_ = os.Remove(filepath.Join(m.root, "etc/k3s-aws-auth/renewed"))
				m.write("unready", "", 0o644)
				out, err := m.boot("renew")
				require.Error(t, err, "a server that is not ready stays as it is: others may be away")
				require.Contains(t, out, "FAILED while renewing certificates")
				require.NotContains(t, m.calls(), restarted)
			}
		})
	}
}
