// Package build makes the programs that the lab runs, out of Go modules only: the Pulumi engine, the Kubernetes
// provider, the Kubernetes control plane and aws_signing_helper from upstream, the project's own Pulumi program, and the
// lab's command, plugins and helpers. Each is kept in the user's cache directory under a key of its sources and versions,
// so that a second call returns without starting the compiler.
//
// It imports nothing but the standard library, since the lab's first stage, which has to be there within seconds on a
// machine that has compiled nothing yet, is made of it.
package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Versions under which the engine looks the plugins up: those of the SDKs in the product's go.mod.
const (
	PulumiVersion = "v3.225.1"
	// KubernetesProviderVersion is what the SDK asks for, and so the name of the plugin's directory. What the lab builds
	// for it is the newest release whose module the Go module proxy has, 4.25.0, with one behaviour of the newer one:
	// docs/lab.md says what differs.
	KubernetesProviderVersion = "v4.32.0"
	AWSProviderVersion        = "v6.83.4"
	TLSProviderVersion        = "v5.5.1"
)

// ScriptsVariable tells the lab's command the directory of the scripts module that it was built from.
const ScriptsVariable = "K3S_AWS_AUTH_SCRIPTS"

// Tools are the paths of what was built.
type Tools struct {
	// PulumiRoot is a directory with bin/pulumi, as the Automation API wants it, and the language host beside it.
	PulumiRoot string
	// PulumiHome has the provider plugins, and nothing of the user's.
	PulumiHome string
	// Plugins are the programs of the provider plugins, by the provider's name.
	Plugins map[string]string
	// Program is the compiled main.go of the project.
	Program string
	// Kubernetes is the control plane: etcd, apiserver, controller-manager and scheduler as subcommands.
	Kubernetes string
	// SigningHelper is the credential helper of IAM Roles Anywhere. Empty where it was not asked for.
	SigningHelper string
	// Sandbox makes namespaces and runs pods. Empty where the system is not Linux.
	Sandbox string
	// K3s stands in for K3s and systemd on the lab's machines.
	K3s string
	// Trivial is a program that does nothing, to measure against. Empty where it was not asked for.
	Trivial string
	// Probe is the AWS client of pods on machines without the AWS CLI.
	Probe string
}

// target is one program.
type target struct {
	name    string
	dir     string // module directory, relative to scripts/
	pkg     string
	sources []string // files and directories, relative to scripts/, that are part of the key
	linux   bool
}

// The names of the targets that somebody may ask for by name.
const (
	command       = "lab"
	signingHelper = "aws_signing_helper"
	provider      = "ecr-credential-provider"
	trivial       = "trivial"
	projectName   = "program"
)

var targets = []target{
	{name: command, dir: ".", pkg: "./lab/command", sources: []string{"lab/command", "lab/internal", "internal"}},
	{name: "pulumi", dir: "tools", pkg: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", sources: []string{"tools/_leaner"}},
	{name: "pulumi-resource-kubernetes", dir: "tools", pkg: "github.com/pulumi/pulumi-kubernetes/provider/v4/cmd/pulumi-resource-kubernetes",
		sources: []string{"tools/_leaner"}},
	{name: "kubernetes", dir: "tools", pkg: "./kubernetes", sources: []string{"tools/kubernetes"}},
	{name: signingHelper, dir: "tools/aws_signing_helper", pkg: "github.com/aws/rolesanywhere-credential-helper",
		sources: []string{"tools/aws_signing_helper/pkcs11"}},
	{name: provider, dir: "tools/ecr_credential_provider", pkg: "k8s.io/cloud-provider-aws/cmd/ecr-credential-provider", linux: true},
	{name: "pulumi-language-go", dir: ".", pkg: "./lab/pulumi-language-go", sources: []string{"lab/pulumi-language-go"}},
	{name: "pulumi-resource-aws", dir: ".", pkg: "./lab/pulumi-resource-aws",
		sources: []string{"lab/pulumi-resource-aws", "lab/internal/standin", "lab/internal/typeschema"}},
	{name: "pulumi-resource-tls", dir: ".", pkg: "./lab/pulumi-resource-tls",
		sources: []string{"lab/pulumi-resource-tls", "lab/internal/standin"}},
	{name: "sandbox", dir: ".", pkg: "./lab/sandbox", sources: []string{"lab/sandbox", "lab/internal/sandbox"}, linux: true},
	{name: "k3s", dir: ".", pkg: "./lab/machine-commands", sources: []string{"lab/machine-commands"}},
	{name: "aws", dir: ".", pkg: "./lab/awscli", sources: []string{"lab/awscli"}},
	{name: trivial, dir: ".", pkg: "./lab/trivial", sources: []string{"lab/trivial", "lab/internal/trivial"}},
}

// program is the project's own program. Its module may be this checkout's or another one's.
func program(scripts, project string) (target, error) {
	rel, err := filepath.Rel(scripts, project)
	if err != nil {
		return target{}, err
	}
	return target{name: projectName, dir: rel, pkg: ".", sources: []string{rel}}, nil
}

// ldflags are those of a module's programs: one set for all, so that each is built the same whether alone or together
// with the others. A variable that a program does not have is passed over by the linker.
func ldflags(dir string) string {
	flags := "-s -w"
	switch filepath.ToSlash(dir) {
	case "tools":
		flags += " -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion + " -X main.Version=" + KubernetesProviderVersion
	case "tools/aws_signing_helper":
		flags += " -X github.com/aws/rolesanywhere-credential-helper/cmd.Version=1.8.4"
	}
	return flags
}

// Wish says what of the programs is needed beside those that every lab needs.
type Wish struct {
	// Project is the directory of the Pulumi program to compile; the one that scripts is in, where empty.
	Project string
	// SigningHelper asks for aws_signing_helper, Trivial for the program that does nothing.
	SigningHelper, Trivial bool
	// Plugins are paths of provider plugins to use in place of the lab's own, by the provider's name: aws, tls, kubernetes.
	// A path is the plugin's program, or the directory that it is in.
	Plugins map[string]string
}

// Command builds the lab's command where it is missing and returns its path.
func Command(ctx context.Context, scripts string, out io.Writer) (string, error) {
	wanted := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.name != command })
	paths, err := ensure(ctx, scripts, wanted, out)
	return paths[command], err
}

// CredentialProvider builds upstream's credential provider of ECR where it is missing and returns its path. It is not
// among All's: few labs pull images.
func CredentialProvider(ctx context.Context, scripts string, out io.Writer) (string, error) {
	wanted := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.name != provider })
	paths, err := ensure(ctx, scripts, wanted, out)
	if err == nil && paths[provider] == "" {
		err = errors.New("the credential provider of ECR is for Linux, as the lab's machines are")
	}
	return paths[provider], err
}

// All builds what is missing and returns where everything is. scripts is the directory of the scripts module; out
// gets the progress. The first call on a machine compiles for minutes.
func All(ctx context.Context, scripts string, out io.Writer, wish Wish) (*Tools, error) {
	own, err := program(scripts, cmp.Or(wish.Project, filepath.Dir(scripts)))
	if err != nil {
		return nil, err
	}
	wanted := append(slices.Clone(targets), own)
	for kind := range wish.Plugins {
		wanted = slices.DeleteFunc(wanted, func(t target) bool { return t.name == "pulumi-resource-"+kind })
	}
	wanted = slices.DeleteFunc(wanted, func(t target) bool {
		return t.name == command || t.name == provider || t.name == signingHelper && !wish.SigningHelper || t.name == trivial && !wish.Trivial
	})
	paths, err := ensure(ctx, scripts, wanted, out)
	if err != nil {
		return nil, err
	}
	tools := &Tools{
		Program:       paths[projectName],
		Kubernetes:    paths["kubernetes"],
		SigningHelper: paths[signingHelper],
		Trivial:       paths[trivial],
		Sandbox:       paths["sandbox"],
		K3s:           paths["k3s"],
		Probe:         paths["aws"],
	}
	root, err := cacheDir()
	if err != nil {
		return nil, err
	}
	if tools.PulumiRoot, err = links(root, "pulumi-cli", map[string]string{
		"bin/pulumi":             paths["pulumi"],
		"bin/pulumi-language-go": paths["pulumi-language-go"],
	}); err != nil {
		return nil, err
	}
	tools.Plugins = map[string]string{}
	plugins := map[string]string{}
	for kind, version := range map[string]string{"kubernetes": KubernetesProviderVersion, "aws": AWSProviderVersion, "tls": TLSProviderVersion} {
		name := "pulumi-resource-" + kind
		path := paths[name]
		if given, ok := wish.Plugins[kind]; ok {
			if path, err = Plugin(kind, given); err != nil {
				return nil, err
			}
		}
		tools.Plugins[kind] = path
		plugins["plugins/resource-"+kind+"-"+version+"/"+name] = path
	}
	tools.PulumiHome, err = links(root, "pulumi-home", plugins)
	return tools, err
}

// Plugin is the program of a provider plugin that somebody names: the program, or the directory that has it.
func Plugin(kind, path string) (string, error) {
	if !slices.Contains([]string{"aws", "kubernetes", "tls"}, kind) {
		return "", fmt.Errorf("--plugin: found %q: must be aws, kubernetes or tls", kind)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, "pulumi-resource-"+kind)
		info, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("--plugin %s: %w", kind, err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("--plugin %s: found %s: must be the plugin's program, or the directory that pulumi-resource-%s is in", kind, path, kind)
	}
	return path, nil
}

// cacheDir is where what was built is kept.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for the built tools: %w", err)
	}
	root := filepath.Join(cache, "k3s-aws-auth", "tools")
	return root, os.MkdirAll(root, 0o755)
}

// ensure builds those of the wanted targets that are missing, those of one module by one call of the compiler, and
// returns each one's path.
func ensure(ctx context.Context, scripts string, wanted []target, out io.Writer) (map[string]string, error) {
	root, err := cacheDir()
	if err != nil {
		return nil, err
	}
	version, err := goOutput(ctx, scripts, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return nil, err
	}
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(t target) bool { return t.linux && runtime.GOOS != "linux" })
	paths := map[string]string{}
	for _, t := range wanted {
		key, err := t.key(scripts, string(version))
		if err != nil {
			return nil, err
		}
		paths[t.name] = filepath.Join(root, t.name+"-"+key, t.name)
	}
	missing := func() (list []target) {
		for _, t := range wanted {
			if _, err := os.Stat(paths[t.name]); err != nil {
				list = append(list, t)
			}
		}
		return list
	}
	if len(missing()) == 0 {
		return paths, nil
	}
	// What another process builds meanwhile is found once it is done.
	unlock, err := lock(filepath.Join(root, "lock"), out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	list := missing()
	if slices.ContainsFunc(list, func(t target) bool { return t.dir == "tools" || t.name == command }) {
		if err := warnOfFullDisk(ctx, scripts, root, out); err != nil {
			return nil, err
		}
	}
	var modules []string
	for _, t := range list {
		if !slices.Contains(modules, t.dir) {
			modules = append(modules, t.dir)
		}
	}
	for i, dir := range modules {
		together := slices.DeleteFunc(slices.Clone(list), func(t target) bool { return t.dir != dir })
		step := fmt.Sprintf("%d of %d", i+1, len(modules))
		if err := compile(ctx, root, scripts, dir, together, paths, out, step); err != nil {
			return nil, explainFullDisk(ctx, scripts, root, fmt.Errorf("build %s: %w", names(together), err))
		}
	}
	return paths, nil
}

func names(list []target) string {
	var all []string
	for _, t := range list {
		all = append(all, t.name)
	}
	return strings.Join(all, ", ")
}

// key identifies a target's inputs: compiler, flags, module versions and own sources.
func (t target) key(scripts, goVersion string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, goVersion, t.pkg, ldflags(t.dir))
	files, err := t.files(scripts)
	if err != nil {
		return "", err
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

// files lists a target's own sources and what fixes those of others, relative to scripts.
func (t target) files(scripts string) ([]string, error) {
	files := []string{filepath.Join(t.dir, "go.mod"), filepath.Join(t.dir, "go.sum")}
	for _, source := range t.sources {
		own, err := sourceFiles(scripts, source)
		if err != nil {
			return nil, err
		}
		files = append(files, own...)
	}
	return files, nil
}

// sourceFiles lists the files below a directory that a program may be made of: not its tests, documents and stack files,
// and not what belongs to other modules.
func sourceFiles(scripts, source string) (files []string, err error) {
	root := filepath.Join(scripts, source)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path == root {
				return nil
			}
			_, other := os.Stat(filepath.Join(path, "go.mod"))
			if other == nil || name == "testdata" || strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".md") || strings.HasPrefix(name, ".") ||
			strings.HasPrefix(name, "Pulumi.") || filepath.Dir(path) == root && (name == "go.mod" || name == "go.sum") {
			return nil
		}
		rel, err := filepath.Rel(scripts, path)
		files = append(files, rel)
		return err
	})
	return files, err
}

// digest tells sets of programs apart.
func digest(programs map[string]string) string {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(programs)) {
		fmt.Fprintln(h, id, programs[id])
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
