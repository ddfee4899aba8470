// Package build makes the programs that the lab runs, out of Go modules only: the Pulumi engine, the Kubernetes
// provider, the Kubernetes control plane and aws_signing_helper from upstream, and the lab's own plugins and helpers.
// Each is kept in the user's cache directory under a key of its sources and versions, so that a second call returns
// without starting the compiler.
package build

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Versions under which the engine looks the plugins up: those of the SDKs in the product's go.mod.
const (
	PulumiVersion             = "v3.225.1"
	KubernetesProviderVersion = "v4.32.0"
	AWSProviderVersion        = "v6.83.4"
	TLSProviderVersion        = "v5.0.0"
)

// Tools are the paths of what was built.
type Tools struct {
	// PulumiRoot is a directory with bin/pulumi, as the Automation API wants it.
	PulumiRoot string
	// PulumiHome has the provider plugins, and nothing of the user's.
	PulumiHome string
	// Kubernetes is the control plane: etcd, apiserver, controller-manager and scheduler as subcommands.
	Kubernetes string
	// SigningHelper is the credential helper of IAM Roles Anywhere.
	SigningHelper string
	// Sandbox makes namespaces and runs pods. Empty where the system is not Linux.
	Sandbox string
	// K3s stands in for K3s and systemd on the lab's machines.
	K3s string
	// Probe is the AWS client of pods on machines without the AWS CLI.
	Probe string
}

type target struct {
	name    string
	dir     string // module directory, relative to scripts/
	pkg     string
	ldflags string
	sources []string // directories, relative to scripts/, whose files are part of the key
	linux   bool
	dest    string // relative to the tool's cache directory
	overlay func(ctx context.Context, dir string) (map[string]string, error)
}

var targets = []target{
	{name: "pulumi", dir: "tools", pkg: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", dest: "bin/pulumi",
		ldflags: "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion},
	{name: "pulumi-resource-kubernetes", dir: "tools", pkg: "./pulumi-resource-kubernetes",
		sources: []string{"tools/pulumi-resource-kubernetes"}, ldflags: "-X main.Version=" + KubernetesProviderVersion,
		overlay: kubernetesSchema},
	{name: "kubernetes", dir: "tools", pkg: "./kubernetes", sources: []string{"tools/kubernetes"}},
	{name: "aws_signing_helper", dir: "tools/aws_signing_helper", pkg: "github.com/aws/rolesanywhere-credential-helper",
		ldflags: "-X github.com/aws/rolesanywhere-credential-helper/cmd.Version=1.4.0",
		sources: []string{"tools/aws_signing_helper"}},
	{name: "pulumi-resource-aws", dir: ".", pkg: "./lab/pulumi-resource-aws",
		sources: []string{"lab/pulumi-resource-aws", "lab/internal/standin"}},
	{name: "pulumi-resource-tls", dir: ".", pkg: "./lab/pulumi-resource-tls",
		sources: []string{"lab/pulumi-resource-tls", "lab/internal/standin"}},
	{name: "sandbox", dir: ".", pkg: "./lab/sandbox", sources: []string{"lab/sandbox", "lab/internal/sandbox"}, linux: true},
	{name: "k3s", dir: ".", pkg: "./lab/k3s", sources: []string{"lab/k3s"}},
	{name: "aws", dir: ".", pkg: "./lab/probe", sources: []string{"lab/probe"}},
}

// All builds what is missing and returns where everything is. scripts is the directory of the scripts module; out
// gets the progress. The first call on a machine compiles for about ten minutes on two cores.
func All(ctx context.Context, scripts string, out io.Writer) (*Tools, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no cache directory for the built tools: %w", err)
	}
	root := filepath.Join(cache, "k3s-aws-auth", "tools")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(root, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	version, err := goOutput(ctx, scripts, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	var missing []target
	for _, t := range targets {
		if t.linux && runtime.GOOS != "linux" {
			continue
		}
		key, err := t.key(scripts, string(version))
		if err != nil {
			return nil, err
		}
		paths[t.name] = filepath.Join(root, t.name+"-"+key, t.path())
		if _, err := os.Stat(paths[t.name]); err != nil {
			missing = append(missing, t)
		}
	}
	for i, t := range missing {
		if err := t.build(ctx, scripts, paths[t.name], out, i+1, len(missing)); err != nil {
			return nil, fmt.Errorf("build %s: %w", t.name, err)
		}
	}
	tools := &Tools{
		PulumiRoot:    filepath.Dir(filepath.Dir(paths["pulumi"])),
		Kubernetes:    paths["kubernetes"],
		SigningHelper: paths["aws_signing_helper"],
		Sandbox:       paths["sandbox"],
		K3s:           paths["k3s"],
		Probe:         paths["aws"],
	}
	tools.PulumiHome, err = pulumiHome(root, map[string]string{
		"kubernetes-" + KubernetesProviderVersion: paths["pulumi-resource-kubernetes"],
		"aws-" + AWSProviderVersion:               paths["pulumi-resource-aws"],
		"tls-" + TLSProviderVersion:               paths["pulumi-resource-tls"],
	})
	return tools, err
}

// path is where a target's program is in its directory of the cache.
func (t target) path() string { return cmp.Or(t.dest, t.name) }

// key identifies a target's inputs: compiler, flags, module versions and own sources.
func (t target) key(scripts, goVersion string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, goVersion, t.pkg, t.ldflags)
	files := []string{filepath.Join(t.dir, "go.mod"), filepath.Join(t.dir, "go.sum")}
	for _, dir := range t.sources {
		err := filepath.WalkDir(filepath.Join(scripts, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			rel, err := filepath.Rel(scripts, path)
			files = append(files, rel)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(scripts, f))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", f, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func (t target) build(ctx context.Context, scripts, dest string, out io.Writer, n, of int) error {
	dir := filepath.Join(scripts, t.dir)
	label := fmt.Sprintf("building %s (%d of %d)", t.name, n, of)
	tmp := filepath.Join(filepath.Dir(dest), "."+filepath.Base(dest)+".part")
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return err
	}
	var flags []string
	if t.upstream() {
		flags = append(flags, "-trimpath")
	}
	if t.overlay != nil {
		file, err := t.writeOverlay(ctx, dir)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		flags = append(flags, "-overlay", file)
	}
	list := append([]string{"list", "-deps", "-f", "{{.ImportPath}}"}, flags...)
	deps, err := goOutput(ctx, dir, append(list, t.pkg)...)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-v", "-ldflags", strings.TrimSpace("-s -w " + t.ldflags), "-o", tmp}, flags...)
	cmd := goCommand(ctx, dir, append(args, t.pkg)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	packages := bar(out, label, strings.Count(string(deps), "\n"))
	var said []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		// With -v the compiler names each package that it compiles; anything with a space in it is a message.
		if !strings.Contains(line, " ") {
			_ = packages.Add(1)
			continue
		}
		said = append(said, line)
	}
	_ = packages.Finish()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(said[max(0, len(said)-40):], "\n"))
	}
	if err := os.Rename(tmp, dest); err != nil {
		return err
	}
	return dropOld(strings.TrimSuffix(dest, string(filepath.Separator)+filepath.FromSlash(t.path())), t.name)
}

// writeOverlay writes the file that tells the compiler where the target's missing sources are.
func (t target) writeOverlay(ctx context.Context, dir string) (path string, err error) {
	replace, err := t.overlay(ctx, dir)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp("", "overlay-*.json")
	if err != nil {
		return "", err
	}
	return file.Name(), errors.Join(json.NewEncoder(file).Encode(map[string]any{"Replace": replace}), file.Close())
}

// keep is how long a build that is no longer asked for stays in the cache: a lab that runs may still use it.
const keep = 7 * 24 * time.Hour

// dropOld removes what earlier sources or versions of the same target left in the cache.
func dropOld(dir, name string) error {
	siblings, err := filepath.Glob(filepath.Join(filepath.Dir(dir), name+"-*"))
	if err != nil {
		return err
	}
	for _, s := range siblings {
		info, err := os.Stat(s)
		// The suffix is a key of 16 digits: "pulumi-*" must not reach "pulumi-resource-aws-…".
		if err != nil || s == dir || len(filepath.Base(s)) != len(name)+17 || time.Since(info.ModTime()) < keep {
			continue
		}
		if err := os.RemoveAll(s); err != nil {
			return err
		}
	}
	return nil
}

// kubernetesSchema gives the provider's main the two files of its module that it embeds.
func kubernetesSchema(ctx context.Context, dir string) (map[string]string, error) {
	const module = "github.com/pulumi/pulumi-kubernetes/provider/v4"
	found, err := goOutput(ctx, dir, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return nil, err
	}
	from := filepath.Join(strings.TrimSpace(string(found)), "cmd", "pulumi-resource-kubernetes")
	replace := map[string]string{}
	for _, name := range []string{"schema.json", "terraform-mapping.json"} {
		replace[filepath.Join(dir, "pulumi-resource-kubernetes", name)] = filepath.Join(from, name)
	}
	return replace, nil
}

// pulumiHome lays the plugins out as the engine looks for them.
func pulumiHome(root string, plugins map[string]string) (string, error) {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(plugins)) {
		fmt.Fprintln(h, id, plugins[id])
	}
	home := filepath.Join(root, "pulumi-home-"+hex.EncodeToString(h.Sum(nil))[:16])
	for id, binary := range plugins {
		kind := id[:strings.Index(id, "-")]
		dir := filepath.Join(home, "plugins", "resource-"+id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		link := filepath.Join(dir, "pulumi-resource-"+kind)
		if err := os.Symlink(binary, link); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return home, dropOld(home, "pulumi-home")
}

// upstream tells whether a target is built from the tools' modules. Those are built without cgo, since a machine may
// have no C compiler. The scripts' own module is built with the user's settings, so that `go run` and this share their
// compiled packages.
func (t target) upstream() bool { return strings.HasPrefix(t.dir, "tools") }

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	if filepath.Base(dir) != "scripts" {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	return cmd
}

func goOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := goCommand(ctx, dir, args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	return out, err
}
