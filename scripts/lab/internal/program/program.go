// Package program runs a project's Pulumi program through the Pulumi engine against a lab: its compiled main.go, as a
// process of its own that Pulumi's language host starts; the same Pulumi.yaml and stack file, a private home for plugins,
// a state file in the lab's directory.
package program

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optdestroy"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/state"
)

const stackName = "lab"

// Program is a project's stack in a lab.
type Program struct {
	stack   auto.Stack
	project string
	log     string
}

// projectName reads the name of a project, which its configuration keys begin with.
func projectName(root string) (string, error) {
	path := filepath.Join(root, "Pulumi.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var file struct {
		Name string `json:"name"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if file.Name == "" {
		return "", fmt.Errorf("%s: no name", path)
	}
	return file.Name, nil
}

// Environment is what makes a tool work on a lab as it would on AWS: endpoints, trust and credentials, and nothing
// else. The keys are those that the AWS SDKs, the Pulumi CLI, kubectl and Go programs honour.
func Environment(l *state.Lab, dir string) map[string]string {
	// Not every client reads a network in NO_PROXY, so the usual names of loopback stand beside it.
	return map[string]string{
		"AWS_ENDPOINT_URL":                            l.Endpoint,
		"AWS_CA_BUNDLE":                               state.CABundle(dir),
		"AWS_REGION":                                  l.Region,
		"AWS_DEFAULT_REGION":                          l.Region,
		"AWS_ACCESS_KEY_ID":                           l.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":                       l.SecretKey,
		"AWS_EC2_METADATA_DISABLED":                   "true",
		"AWS_CONFIG_FILE":                             filepath.Join(dir, "no-config"),
		"AWS_SHARED_CREDENTIALS_FILE":                 filepath.Join(dir, "no-credentials"),
		"HTTPS_PROXY":                                 l.Proxy,
		"NO_PROXY":                                    "localhost,127.0.0.1,127.0.0.0/8",
		"SSL_CERT_FILE":                               state.Trust(dir),
		"KUBECONFIG":                                  state.Kubeconfig(dir),
		"K3S_AWS_AUTH_OWN_IMAGE":                      l.Image(state.OwnRepository),
		"K3S_AWS_AUTH_OTHER_IMAGE":                    l.Image(state.OtherRepository),
		"PULUMI_BACKEND_URL":                          "file://" + filepath.ToSlash(state.Backend(dir)),
		"PULUMI_CONFIG_PASSPHRASE_FILE":               state.Passphrase(dir),
		"PULUMI_SKIP_UPDATE_CHECK":                    "true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
	}
}

// enter sets the lab's environment in this process, and takes the user's own account out of it.
func enter(l *state.Lab, dir string) error {
	for k, v := range Environment(l, dir) {
		if err := os.Setenv(k, v); err != nil {
			return err
		}
	}
	unset := []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE"}
	if len(l.Plugins) > 0 {
		// A published plugin gets no address of the lab: AWS's host names lead there, by the proxy.
		unset = append(unset, "AWS_ENDPOINT_URL")
	}
	for _, k := range unset {
		if err := os.Unsetenv(k); err != nil {
			return err
		}
	}
	return nil
}

// Pulumi is a command of the lab's Pulumi CLI, for any program. It sets the lab's environment in this process, as [Open] does.
func Pulumi(ctx context.Context, l *state.Lab, dir string, tools *build.Tools, args ...string) (*exec.Cmd, error) {
	if err := enter(l, dir); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(tools.PulumiRoot, "bin", "pulumi"), args...)
	cmd.Env = append(os.Environ(), "PULUMI_HOME="+tools.PulumiHome)
	return cmd, nil
}

// Changes are what a lab's configuration differs by from the project's. The zero value stands for the lab's stack file as
// it is or, where the lab has a stack already, for what that has.
type Changes struct {
	// Stack names the file of the project to begin with, Pulumi.<Stack>.yaml; lab where empty.
	Stack string
	// Values are key=value, as --config takes them.
	Values []string
	// Provider is what agents download to pull images, where the stack has cluster.imagePulls.
	Provider *Provider
}

// Provider is the credential provider of ECR, as the lab's machines find it.
type Provider struct{ URL, SHA256 string }

func (c Changes) none() bool { return c.Stack == "" && len(c.Values) == 0 }

func (c Changes) file() string {
	if c.Stack == "" {
		return "Pulumi." + stackName + ".yaml"
	}
	return "Pulumi." + c.Stack + ".yaml"
}

// Setup is the setup that a stack file of the project chooses.
func Setup(root, stack string) (string, error) {
	project, err := projectName(root)
	if err != nil {
		return "", err
	}
	name := Changes{Stack: stack}.file()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return "", err
	}
	var file struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	setup, _ := file.Config[project+":setup"].(string)
	if setup == "" {
		return "", fmt.Errorf("%s chooses no setup", name)
	}
	return setup, nil
}

// Refuse says why the lab cannot deploy a configuration, before anything of it is made, or returns nil.
func Refuse(root string, changes Changes) error {
	project, err := projectName(root)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(root, changes.file()))
	if err != nil {
		return err
	}
	var file struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return fmt.Errorf("%s: %w", changes.file(), err)
	}
	if file.Config == nil {
		file.Config = map[string]any{}
	}
	for _, c := range changes.Values {
		if err := change(file.Config, project, c); err != nil {
			return err
		}
	}
	if file.Config[project+":injection"] == "webhook" {
		return errors.New("injection webhook: the lab has no service addresses, so its API server could not call the webhook, nor the webhook the " +
			"API server: no pod would get its identity. Deploy injection=admission-policy or injection=manifest here; `make test-lab` holds the " +
			"webhook's manifests to the API server")
	}
	return nil
}

// PullsImages tells whether a configuration has cluster.imagePulls.
func PullsImages(root string, changes Changes) (bool, error) {
	project, err := projectName(root)
	if err != nil {
		return false, err
	}
	data, err := os.ReadFile(filepath.Join(root, changes.file()))
	if err != nil {
		return false, err
	}
	var file struct {
		Config map[string]any `json:"config"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return false, fmt.Errorf("%s: %w", changes.file(), err)
	}
	for _, c := range changes.Values {
		if err := change(file.Config, project, c); err != nil {
			return false, err
		}
	}
	cluster, _ := file.Config[project+":cluster"].(map[string]any)
	return cluster["imagePulls"] != nil, nil
}

// settlePulls gives a stack that pulls images what is the lab's own: the credential provider that it has built and, where
// the configuration names none, the repository of its account.
func settlePulls(config map[string]any, project string, l *state.Lab, provider *Provider) {
	cluster, _ := config[project+":cluster"].(map[string]any)
	if provider == nil || cluster["imagePulls"] == nil {
		return
	}
	cluster["credentialProvider"] = map[string]any{"url": provider.URL, "sha256": provider.SHA256}
	own := []any{l.RepositoryARN(state.OwnRepository)}
	if cluster["imagePulls"] == "node" && cluster["pullRepositories"] == nil {
		cluster["pullRepositories"] = own
	}
	identities, _ := config[project+":identities"].([]any)
	for _, i := range identities {
		if identity, ok := i.(map[string]any); ok && cluster["imagePulls"] == "pod" && identity["pull"] == nil {
			identity["pull"] = own
		}
	}
}

// labDomain is the issuer's domain in a lab's own hosted zone.
const labDomain = "oidc.lab.example.com"

// settle puts a stack that was made for an account of its own into the lab's: the issuer's domain becomes one of the
// lab's hosted zone, the permissions boundary the one that the lab's account has, and each identity that cannot prove
// itself on the demo bucket gets to do so.
func settle(config map[string]any, project string, l *state.Lab) error {
	values := []string{`demo="true"`}
	if arn, _ := config[project+":permissionsBoundary"].(string); arn != "" {
		values = append(values, "permissionsBoundary="+l.BoundaryARN)
	}
	if issuer, ok := config[project+":issuer"].(map[string]any); ok && issuer["domain"] != nil {
		values = append(values, "issuer.domain="+labDomain, "issuer.dns=route53", "issuer.hostedZoneId="+l.HostedZoneID)
	}
	for _, v := range values {
		if err := change(config, project, v); err != nil {
			return err
		}
	}
	identities, _ := config[project+":identities"].([]any)
	for _, i := range identities {
		identity, ok := i.(map[string]any)
		text, err := yaml.Marshal(i)
		if err != nil || !ok || strings.Contains(string(text), "${demo.bucketArn}") {
			continue // what is no identity, the program refuses
		}
		statements, _ := identity["statements"].([]any)
		identity["statements"] = append(statements, map[string]any{
			"actions": []any{"s3:PutObject"}, "resources": []any{fmt.Sprintf("${demo.bucketArn}/%s/*", identity["name"])},
		})
	}
	return nil
}

// Open makes the stack of a setup in a lab, or opens it where it is there, with changes of the project's configuration. It
// sets the lab's environment in this process, so that the engine and all that it starts have it.
func Open(ctx context.Context, l *state.Lab, dir string, tools *build.Tools, changes Changes) (*Program, error) {
	return OpenOther(ctx, l, dir, tools, changes, tools.Program)
}

// OpenOther is Open for another compiled program than the project's, with the same project and configuration.
func OpenOther(ctx context.Context, l *state.Lab, dir string, tools *build.Tools, changes Changes, binary string) (*Program, error) {
	root := l.Project
	project, err := projectName(root)
	if err != nil {
		return nil, err
	}
	if err := enter(l, dir); err != nil {
		return nil, err
	}
	work := filepath.Join(dir, "work")
	for _, d := range []string{work, state.Backend(dir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	if err := passphrase(state.Passphrase(dir)); err != nil {
		return nil, err
	}
	fresh, err := copyStack(root, work, l, changes, binary)
	if err != nil {
		return nil, err
	}
	command, err := auto.NewPulumiCommand(&auto.PulumiCommandOptions{Root: tools.PulumiRoot})
	if err != nil {
		return nil, err
	}
	open := auto.SelectStackLocalSource
	if fresh {
		open = auto.NewStackLocalSource
	}
	stack, err := open(ctx, stackName, work, auto.Pulumi(previewAsJSON{command}), auto.PulumiHome(tools.PulumiHome))
	if err != nil {
		return nil, fmt.Errorf("open the stack: %w", err)
	}
	return &Program{stack: stack, project: project, log: filepath.Join(dir, "pulumi.log")}, nil
}

// SetSecret sets a value of the stack's configuration, which is kept encrypted; dots lead into objects.
func (p *Program) SetSecret(ctx context.Context, key, value string) error {
	return p.stack.SetConfigWithOptions(ctx, p.project+":"+key, auto.ConfigValue{Value: value, Secret: true}, &auto.ConfigOptions{Path: true})
}

// Config is a value of the stack's configuration; dots lead into objects.
func (p *Program) Config(ctx context.Context, key string) (string, error) {
	value, err := p.stack.GetConfigWithOptions(ctx, p.project+":"+key, &auto.ConfigOptions{Path: true})
	return value.Value, err
}

func passphrase(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(hex.EncodeToString(b)), 0o600)
}

// change sets one value of the lab's configuration: key=value, where the key may lead into objects by dots and the value
// is YAML.
func change(config map[string]any, project, assignment string) error {
	key, text, ok := strings.Cut(assignment, "=")
	path := strings.Split(key, ".")
	if !ok || slices.Contains(path, "") {
		return fmt.Errorf("--config: found %q: must be key=value, such as issuer.thumbprint=dynamic", assignment)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Errorf("--config %s: %w", key, err)
	}
	if !strings.Contains(path[0], ":") {
		path[0] = project + ":" + path[0]
	}
	at := config
	for i, p := range path[:len(path)-1] {
		if at[p] == nil {
			at[p] = map[string]any{}
		}
		next, ok := at[p].(map[string]any)
		if !ok {
			return fmt.Errorf("--config %s: %s is no object, so nothing in it can be changed by itself", key, strings.Join(path[:i+1], "."))
		}
		at = next
	}
	last := path[len(path)-1]
	if value == nil { // Pulumi takes a key without a value for an empty text, which most keys refuse
		delete(at, last)
		return nil
	}
	at[last] = value
	return nil
}

// copyStack copies the project, with binary for its program, and the stack file that the changes name, selects the lab's
// setup and makes the changes. fresh is true where there was no stack.
func copyStack(root, work string, l *state.Lab, changes Changes, binary string) (fresh bool, err error) {
	project, err := copyProject(root, work, binary)
	if err != nil {
		return false, err
	}
	dest := filepath.Join(work, "Pulumi."+stackName+".yaml")
	old, err := os.ReadFile(dest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	fresh = err != nil
	var stack, before map[string]any
	data, err := os.ReadFile(filepath.Join(root, changes.file()))
	if err != nil {
		return false, err
	}
	if err := errors.Join(yaml.Unmarshal(data, &stack), yaml.Unmarshal(old, &before)); err != nil {
		return false, err
	}
	config, ok := stack["config"].(map[string]any)
	if !ok {
		return false, errors.New("no config in " + changes.file())
	}
	config[project+":setup"] = l.Setup
	if changes.Stack != "" {
		if err := settle(config, project, l); err != nil {
			return false, err
		}
	}
	for _, c := range changes.Values {
		if err := change(config, project, c); err != nil {
			return false, err
		}
	}
	settlePulls(config, project, l, changes.Provider)
	// The salt belongs to the lab's own passphrase, not to the one of whoever works with the file.
	delete(stack, "encryptionsalt")
	if salt, ok := before["encryptionsalt"]; ok {
		stack["encryptionsalt"] = salt
	}
	if len(before) > 0 && changes.none() {
		// A lab that was made with changes keeps them.
		stack["config"] = before["config"]
	}
	if data, err = yaml.Marshal(stack); err != nil {
		return false, err
	}
	return fresh, os.WriteFile(dest, data, 0o600)
}

// copyProject copies Pulumi.yaml, with the compiled program as its runtime's option, and returns the project's name.
func copyProject(root, work, binary string) (name string, err error) {
	if name, err = projectName(root); err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	if err != nil {
		return "", err
	}
	project := map[string]any{}
	if err := yaml.Unmarshal(data, &project); err != nil {
		return "", err
	}
	project["runtime"] = map[string]any{"name": "go", "options": map[string]any{"binary": binary}}
	if data, err = yaml.Marshal(project); err != nil {
		return "", err
	}
	return name, os.WriteFile(filepath.Join(work, "Pulumi.yaml"), data, 0o600)
}

// Result is what an update did.
type Result struct {
	// Changes counts resources by operation: create, update, replace, delete, same.
	Changes map[string]int
	// Resources is the number of resources in the stack that are not the stack itself or a provider.
	Resources int
	// Real is how many it made that are not components: in AWS, in the cluster, or keys and certificates.
	Real    int
	Outputs auto.OutputMap
}

// Changed tells whether anything but "same" was counted.
func (r *Result) Changed() bool {
	for op, n := range r.Changes {
		if op != string(apitype.OpSame) && n > 0 {
			return true
		}
	}
	return false
}

// Watcher is told each event of the engine, in order.
type Watcher func(apitype.EngineEvent)

// Up runs `pulumi up`.
func (p *Program) Up(ctx context.Context, watch Watcher) (*Result, error) {
	log, err := p.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	stream, counted := follow(watch)
	res, err := p.stack.Up(ctx, optup.EventStreams(stream), optup.ProgressStreams(log), optup.ErrorProgressStreams(log), optup.SuppressOutputs())
	count := counted()
	if err != nil {
		return nil, failure("up", err, count, p.log)
	}
	return &Result{Changes: count.changes, Resources: count.resources, Real: count.real, Outputs: res.Outputs}, nil
}

// Preview runs `pulumi preview --json` and returns what it prints.
func (p *Program) Preview(ctx context.Context) ([]byte, error) {
	res, err := p.stack.Preview(ctx)
	if err != nil {
		return nil, fmt.Errorf("pulumi preview: %w", err)
	}
	return []byte(res.StdOut), nil
}

// previewAsJSON is the engine's command line whose previews are JSON, for which the Automation API has no option.
type previewAsJSON struct{ auto.PulumiCommand }

// Run adds --json to previews.
func (c previewAsJSON) Run(ctx context.Context, workdir string, stdin io.Reader, out, errOut []io.Writer, env []string, args ...string) (string, string, int, error) {
	if len(args) > 0 && args[0] == "preview" {
		args = append(args, "--json")
	}
	return c.PulumiCommand.Run(ctx, workdir, stdin, out, errOut, env, args...)
}

// Destroy runs `pulumi destroy` and removes the stack.
func (p *Program) Destroy(ctx context.Context, watch Watcher) error {
	log, err := p.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	stream, counted := follow(watch)
	_, err = p.stack.Destroy(ctx, optdestroy.EventStreams(stream), optdestroy.ProgressStreams(log), optdestroy.ErrorProgressStreams(log))
	count := counted()
	if err != nil {
		return failure("destroy", err, count, p.log)
	}
	return nil
}

// Unprotect takes the protection off every resource of the stack that has one, as `pulumi state unprotect --all` does
// for whoever means to destroy it, and returns how many there were.
func (p *Program) Unprotect(ctx context.Context) (int, error) {
	state, err := p.State(ctx)
	if err != nil {
		return 0, err
	}
	var exported struct {
		Deployment struct {
			Resources []struct {
				Protect bool `json:"protect"`
			} `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(state, &exported); err != nil {
		return 0, fmt.Errorf("read the stack: %w", err)
	}
	protected := 0
	for _, r := range exported.Deployment.Resources {
		if r.Protect {
			protected++
		}
	}
	if protected == 0 {
		return 0, nil
	}
	_, err = p.command(ctx, "unprotect the stack", "state", "unprotect", "--all", "--yes", "--stack", stackName)
	return protected, err
}

// command runs the Pulumi CLI on the stack and returns what it prints.
func (p *Program) command(ctx context.Context, what string, args ...string) (string, error) {
	w := p.stack.Workspace()
	out, said, _, err := w.PulumiCommand().Run(ctx, w.WorkDir(), nil, nil, nil, []string{"PULUMI_HOME=" + w.PulumiHome()}, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", what, err, said)
	}
	return out, nil
}

// Outputs reads the outputs of the last update.
func (p *Program) Outputs(ctx context.Context) (auto.OutputMap, error) { return p.stack.Outputs(ctx) }

// State exports the stack's state as it is kept: secrets stay encrypted.
func (p *Program) State(ctx context.Context) ([]byte, error) {
	out, err := p.command(ctx, "export the stack", "stack", "export", "--stack", stackName)
	return []byte(out), err
}

// PlainState exports the stack's resources with their secrets in plain, as the Automation API does, for who searches
// for them. It is not written anywhere.
func (p *Program) PlainState(ctx context.Context) ([]byte, error) {
	d, err := p.stack.Export(ctx)
	return d.Deployment, err
}

func (p *Program) openLog() (*os.File, error) {
	return os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

type count struct {
	changes   map[string]int
	resources int
	real      int
	problems  []string
}

// follow counts what the engine does and passes the events on.
//
// An engine that ends before it has an event to tell, because the stack is locked or its file is refused, never closes
// the stream (sdk/go/auto/stack.go, eventsServer). All others have closed it before the update returns.
func follow(watch Watcher) (stream chan<- events.EngineEvent, counted func() count) {
	told, over, done := make(chan events.EngineEvent, 64), make(chan struct{}), make(chan count, 1)
	go func() {
		c := count{changes: map[string]int{}}
		defer func() { done <- c }()
		for {
			select {
			case e, more := <-told:
				if !more {
					return
				}
				c.add(e)
				if watch != nil {
					watch(e.EngineEvent)
				}
			case <-over:
				if len(told) == 0 {
					return
				}
			}
		}
	}()
	return told, func() count {
		close(over)
		return <-done
	}
}

func (c *count) add(e events.EngineEvent) {
	switch {
	case e.ResourcePreEvent != nil:
		m := e.ResourcePreEvent.Metadata
		if m.Op != apitype.OpSame {
			c.changes[string(m.Op)]++
		}
		if m.Op == apitype.OpCreate && m.New != nil && m.New.Custom && !isInfrastructure(m.Type) {
			c.real++
		}
		if !isInfrastructure(m.Type) {
			c.resources++
		}
	case e.DiagnosticEvent != nil && e.DiagnosticEvent.Severity == "error":
		c.problems = append(c.problems, e.DiagnosticEvent.URN+": "+e.DiagnosticEvent.Message)
	}
}

func isInfrastructure(t string) bool {
	return t == "pulumi:pulumi:Stack" || len(t) > 17 && t[:17] == "pulumi:providers:"
}

func failure(what string, err error, c count, log string) error {
	if len(c.problems) == 0 {
		return fmt.Errorf("pulumi %s: %w", what, err)
	}
	var errs []error
	for _, p := range c.problems {
		errs = append(errs, errors.New(p))
	}
	return fmt.Errorf("pulumi %s failed (whole output in %s):\n%w", what, log, errors.Join(errs...))
}
