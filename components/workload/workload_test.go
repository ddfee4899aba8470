package workload_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/workload"
)

const (
	roleArn = "arn:aws:iam::111122223333:role/lab-uploader"
	keyText = "-----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----\n"
	image   = "public.ecr.aws/aws-cli/aws-cli:2.34.43"
)

func identity() workload.Identity {
	return workload.Identity{Namespace: "default", ServiceAccount: "uploader", Region: "eu-central-1"}
}

func demo() *workload.Demo {
	return &workload.Demo{Bucket: pulumi.String("lab-demo"), Prefix: "uploader/", Image: image}
}

func rolesAnywhereArgs() *workload.RolesAnywhereArgs {
	return &workload.RolesAnywhereArgs{
		Identity: identity(), RoleArn: pulumi.String(roleArn),
		ProfileArn:     pulumi.String("arn:aws:rolesanywhere:eu-central-1:111122223333:profile/2c3d"),
		TrustAnchorArn: pulumi.String("arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/0a1b"),
		CertPem:        pulumi.String("CERT"), KeyPem: pulumi.String(keyText),
		Demo: demo(),
	}
}

// cases are all ways of getting credentials, and of delivering the helper.
func cases() map[string]func(*pulumi.Context) (*workload.Workload, error) {
	rolesAnywhere := func(helper workload.Helper) func(*pulumi.Context) (*workload.Workload, error) {
		return func(ctx *pulumi.Context) (*workload.Workload, error) {
			args := rolesAnywhereArgs()
			args.Helper = helper
			return workload.NewRolesAnywhere(ctx, "uploader", args)
		}
	}
	return map[string]func(*pulumi.Context) (*workload.Workload, error){
		"instance-profile": func(ctx *pulumi.Context) (*workload.Workload, error) {
			return workload.NewInstanceProfile(ctx, "uploader", &workload.InstanceProfileArgs{
				Identity: identity(), RoleArn: pulumi.String("arn:aws:iam::111122223333:role/lab-agent"), Demo: demo(),
			})
		},
		"web-identity": func(ctx *pulumi.Context) (*workload.Workload, error) {
			return workload.NewWebIdentity(ctx, "uploader", &workload.WebIdentityArgs{
				Identity: identity(), RoleArn: pulumi.String(roleArn), Demo: demo(),
			})
		},
		"roles-anywhere-image-volume": rolesAnywhere(workload.Helper{}),
		"roles-anywhere-named": func(ctx *pulumi.Context) (*workload.Workload, error) {
			args := rolesAnywhereArgs()
			args.SessionName = "default.uploader"
			return workload.NewRolesAnywhere(ctx, "uploader", args)
		},
		"roles-anywhere-sidecar": rolesAnywhere(workload.Helper{Delivery: workload.DeliverySidecar}),
		"roles-anywhere-node":    rolesAnywhere(workload.Helper{Delivery: workload.DeliveryNode, NodeSHA256: strings.Repeat("ab", 32)}),
	}
}

func TestWorkloads(t *testing.T) {
	for name, program := range cases() {
		t.Run(name, func(t *testing.T) {
			var account, prove string
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				w, err := program(ctx)
				if err != nil {
					return err
				}
				pulumitest.Result(ctx, w.ServiceAccount, &account)
				pulumitest.Result(ctx, w.Prove, &prove)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if account != "uploader" || prove != "kubectl --namespace default exec uploader --container app -- aws sts get-caller-identity" {
				t.Errorf("service account %q, prove %q", account, prove)
			}
			pulumitest.Golden(t, name+"/graph.txt", recorder.Graph())
			for _, child := range []string{"account", "config", "certificate", "pod"} {
				for _, r := range recorder.Resources() {
					if r.Name == "uploader-"+child {
						pulumitest.Golden(t, name+"/"+child+".json", strings.ReplaceAll(r.JSON(), quoted(t, script(t)), `"<demo.sh>"`))
					}
				}
			}
		})
	}
}

func script(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("demo.sh")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// pod is the part of a pod's manifest that the tests below look at.
type pod struct {
	Spec struct {
		AutomountServiceAccountToken bool
		HostNetwork                  bool
		SecurityContext              struct {
			RunAsNonRoot                   bool
			RunAsUser, RunAsGroup, FsGroup int
			SeccompProfile                 struct{ Type string }
		}
		InitContainers, Containers []container
		Volumes                    []map[string]any
	}
}

type container struct {
	Name, Image, RestartPolicy string
	Env                        []struct{ Name, Value string }
	SecurityContext            struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Privileged               bool
		Capabilities             struct{ Drop, Add []string }
	}
}

func podOf(t *testing.T, recorder *pulumitest.Recorder) pod {
	t.Helper()
	var out pod
	if err := json.Unmarshal([]byte(recorder.Get(t, "uploader-pod").JSON()), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// All pods meet the restricted Pod Security Standard; only the helper from the
// node needs a volume that it forbids.
func TestPodsAreRestricted(t *testing.T) {
	allowed := []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}
	for name, program := range cases() {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error { _, err := program(ctx); return err })
			if err != nil {
				t.Fatal(err)
			}
			spec := podOf(t, recorder).Spec
			if spec.HostNetwork || spec.AutomountServiceAccountToken {
				t.Errorf("hostNetwork %v, automount %v", spec.HostNetwork, spec.AutomountServiceAccountToken)
			}
			if c := spec.SecurityContext; !c.RunAsNonRoot || c.RunAsUser == 0 || c.FsGroup != c.RunAsGroup || c.SeccompProfile.Type != "RuntimeDefault" {
				t.Errorf("pod's security context %+v", c)
			}
			for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
				s := c.SecurityContext
				if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || s.Privileged ||
					!slices.Equal(s.Capabilities.Drop, []string{"ALL"}) || len(s.Capabilities.Add) != 0 {
					t.Errorf("%s: security context %+v", c.Name, s)
				}
			}
			for _, volume := range spec.Volumes {
				for kind := range volume {
					if kind == "name" || slices.Contains(allowed, kind) || (kind == "hostPath" && name == "roles-anywhere-node") {
						continue
					}
					t.Errorf("volume %v is of kind %s", volume["name"], kind)
				}
			}
		})
	}
}

// In B, C and D a pod whose configuration is lost must fail, not become the
// node.
func TestPodsDoNotFallBackToTheNode(t *testing.T) {
	for name, program := range cases() {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error { _, err := program(ctx); return err })
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{}
			for _, variable := range podOf(t, recorder).Spec.Containers[0].Env {
				if _, twice := env[variable.Name]; twice {
					t.Errorf("%s is set twice", variable.Name)
				}
				env[variable.Name] = variable.Value
			}
			disabled, endpoint := env["AWS_EC2_METADATA_DISABLED"] == "true", env["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
			switch name {
			case "instance-profile":
				if disabled || endpoint != "" {
					t.Error("the node's role is out of reach")
				}
			case "roles-anywhere-sidecar":
				if disabled || endpoint != "http://127.0.0.1:9911" {
					t.Errorf("metadata disabled %v, endpoint %q", disabled, endpoint)
				}
			default:
				if !disabled {
					t.Error("the node's role is within reach")
				}
			}
			if env["AWS_REGION"] != "eu-central-1" {
				t.Errorf("AWS_REGION is %q", env["AWS_REGION"])
			}
		})
	}
}

func TestCertificateIsASecret(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		_, err := workload.NewRolesAnywhere(ctx, "uploader", rolesAnywhereArgs())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := recorder.Get(t, "uploader-certificate")
	if !secret.IsSecret("data") {
		t.Error("the key is in plain in the state")
	}
	data := secret.Input("data").(map[string]any)
	if got, _ := base64.StdEncoding.DecodeString(data["tls.key"].(string)); string(got) != keyText {
		t.Errorf("tls.key is %q", got)
	}
	for _, r := range recorder.Resources() {
		if r.Name != "uploader-certificate" && (strings.Contains(r.JSON(), "PRIVATE KEY") || strings.Contains(r.JSON(), data["tls.key"].(string))) {
			t.Errorf("%s has the key", r.Name)
		}
	}
}

// TestNamespace holds that a namespace is made for nobody in particular, that what
// is in it waits for it, and that Pulumi never deletes it.
func TestNamespace(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		namespace, err := workload.NewNamespace(ctx, "lab-team", &workload.NamespaceArgs{Name: "team", Owner: "lab", Level: workload.LevelBaseline})
		if err != nil {
			return err
		}
		args := rolesAnywhereArgs()
		args.Namespace, args.After = "team", []pulumi.Resource{namespace.Resource}
		_, err = workload.NewRolesAnywhere(ctx, "uploader", args)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	made := recorder.Get(t, "lab-team-namespace")
	labels := made.Input("metadata").(map[string]any)["labels"].(map[string]any)
	want := map[string]any{
		"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted",
		"app.kubernetes.io/part-of": "k3s-aws-auth", "k3s-aws-auth/cluster": "lab",
	}
	if !reflect.DeepEqual(labels, want) {
		t.Errorf("labels %v", labels)
	}
	if made.Parent != "lab-team" || !made.RetainOnDelete {
		t.Errorf("parent %q, retained %v", made.Parent, made.RetainOnDelete)
	}
	for _, child := range []string{"account", "certificate", "config", "pod"} {
		if !slices.Contains(recorder.Get(t, "uploader-"+child).DependsOn, "lab-team-namespace") {
			t.Errorf("%s does not wait for its namespace", child)
		}
	}
	for name, args := range map[string]*workload.NamespaceArgs{"nil": nil, "name": {Name: "Team"}, "level": {Name: "team", Level: "none"}} {
		if _, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
			_, err := workload.NewNamespace(ctx, "lab-team", args)
			return err
		}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestExistingAccount holds that another's ServiceAccount is left alone, and that
// the workload says what it needs.
func TestExistingAccount(t *testing.T) {
	var annotate, account string
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		who := identity()
		who.ExistingAccount = true
		w, err := workload.NewWebIdentity(ctx, "uploader", &workload.WebIdentityArgs{Identity: who, RoleArn: pulumi.String(roleArn), Demo: demo()})
		if err == nil {
			pulumitest.Result(ctx, w.Annotate, &annotate)
			pulumitest.Result(ctx, w.ServiceAccount, &account)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := recorder.OfType("kubernetes:core/v1:ServiceAccount"); len(got) != 0 {
		t.Errorf("made %v", got)
	}
	want := "kubectl --namespace default annotate serviceaccount uploader --overwrite eks.amazonaws.com/audience=sts.amazonaws.com " +
		"eks.amazonaws.com/role-arn=" + roleArn + " eks.amazonaws.com/sts-regional-endpoints=true eks.amazonaws.com/token-expiration=86400"
	if annotate != want || account != "uploader" {
		t.Errorf("annotate %q, account %q", annotate, account)
	}
}

// TestExistingAccountIsInjected holds that whoever makes a ServiceAccount is told all
// that an admission policy reads of it.
func TestExistingAccountIsInjected(t *testing.T) {
	var annotate string
	_, err := pulumitest.Run(t, pulumitest.Options{Preview: true}, func(ctx *pulumi.Context) error {
		args := rolesAnywhereArgs()
		args.ExistingAccount, args.Injector = true, &injection.Injector{}
		args.Helper.Delivery, args.Demo = workload.DeliverySidecar, nil
		w, err := workload.NewRolesAnywhere(ctx, "uploader", args)
		if err == nil {
			pulumitest.Result(ctx, w.Annotate, &annotate)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:rolesanywhere:eu-central-1:111122223333:"
	want := "kubectl --namespace default annotate serviceaccount uploader --overwrite k3s-aws-auth/certificate=uploader-rolesanywhere " +
		"k3s-aws-auth/profile-arn=" + arn + "profile/2c3d k3s-aws-auth/role-arn=" + roleArn + " k3s-aws-auth/trust-anchor-arn=" + arn + "trust-anchor/0a1b" +
		" && kubectl --namespace default label serviceaccount uploader --overwrite k3s-aws-auth/injection=enabled"
	if annotate != want {
		t.Errorf("annotate %q, want %q", annotate, want)
	}
}

func TestWithoutDemo(t *testing.T) {
	var prove string
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		w, err := workload.NewWebIdentity(ctx, "uploader", &workload.WebIdentityArgs{Identity: identity(), RoleArn: pulumi.String(roleArn)})
		if err == nil {
			pulumitest.Result(ctx, w.Prove, &prove)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := recorder.Graph(); strings.Contains(got, "Pod") || prove != "" {
		t.Errorf("prove %q\n%s", prove, got)
	}
}

func TestRefuses(t *testing.T) {
	type args = workload.RolesAnywhereArgs
	for name, tc := range map[string]struct {
		change func(*args)
		want   string
	}{
		"namespace":    {func(a *args) { a.Namespace = "Default" }, "namespace"},
		"account":      {func(a *args) { a.ServiceAccount = "*" }, "ServiceAccount"},
		"region":       {func(a *args) { a.Region = "" }, "region"},
		"missing":      {func(a *args) { a.RoleArn, a.CertPem = nil, nil }, "missing: CertPem, RoleArn"},
		"session":      {func(a *args) { a.SessionSeconds = 60 }, "SessionSeconds"},
		"delivery":     {func(a *args) { a.Helper.Delivery = "download" }, "Delivery"},
		"tag only":     {func(a *args) { a.Helper.Image = "public.ecr.aws/rolesanywhere/credential-helper:latest" }, "pinned by a digest"},
		"node hash":    {func(a *args) { a.Helper.Delivery = workload.DeliveryNode }, "NodeSHA256"},
		"node path":    {func(a *args) { a.Helper.Delivery, a.Helper.NodePath = workload.DeliveryNode, "../x" }, "NodePath"},
		"demo bucket":  {func(a *args) { a.Demo.Bucket = nil }, "Demo.Bucket"},
		"demo image":   {func(a *args) { a.Demo.Image = "" }, "Demo.Image"},
		"demo pod":     {func(a *args) { a.Demo.PodName = "A b" }, "Demo.PodName"},
		"demo prefix":  {func(a *args) { a.Demo.Prefix = "/x" }, "Demo.Prefix"},
		"installer":    {func(a *args) { a.Demo.Image = "" }, "InstallerImage"},
		"long account": {func(a *args) { a.ServiceAccount = strings.Repeat("a", 254) }, "ServiceAccount"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
				a := rolesAnywhereArgs()
				tc.change(a)
				_, err := workload.NewRolesAnywhere(ctx, "uploader", a)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if n := len(recorder.Resources()); n != 0 {
				t.Errorf("%d resources before the refusal", n)
			}
		})
	}
	for name, run := range map[string]func(*pulumi.Context) error{
		"instance profile": func(ctx *pulumi.Context) error { _, err := workload.NewInstanceProfile(ctx, "x", nil); return err },
		"web identity":     func(ctx *pulumi.Context) error { _, err := workload.NewWebIdentity(ctx, "x", nil); return err },
		"roles anywhere":   func(ctx *pulumi.Context) error { _, err := workload.NewRolesAnywhere(ctx, "x", nil); return err },
		"token life": func(ctx *pulumi.Context) error {
			_, err := workload.NewWebIdentity(ctx, "x", &workload.WebIdentityArgs{Identity: identity(), RoleArn: pulumi.String(roleArn), TokenExpirationSeconds: 60})
			return err
		},
	} {
		if _, err := pulumitest.Run(t, pulumitest.Options{}, run); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPassesFailuresOn(t *testing.T) {
	for _, child := range []string{"account", "certificate", "config", "pod"} {
		_, err := pulumitest.Run(t, pulumitest.Options{Fail: func(r pulumitest.Resource) error {
			if r.Name == "uploader-"+child {
				return errors.New("boom")
			}
			return nil
		}}, func(ctx *pulumi.Context) error {
			_, err := workload.NewRolesAnywhere(ctx, "uploader", rolesAnywhereArgs())
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: error %v", child, err)
		}
	}
}

func TestDefaultDelivery(t *testing.T) {
	if got := workload.Deliveries()[0]; got != workload.DeliveryImageVolume {
		t.Errorf("default delivery %s", got)
	}
	if err := workload.ValidateHelperImage(workload.DefaultHelperImage); err != nil {
		t.Error(err)
	}
}

func TestDemoScriptIsClean(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.Command(shellcheck, "demo.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDemoScript runs the script with an aws command of the test's own, which
// fails as often as a file says and answers with the caller that another says.
func TestDemoScript(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh")
	}
	for name, tc := range map[string]struct {
		caller string
		fails  string
		proven bool
		log    string
	}{
		"at once":         {"arn:aws:sts::111122223333:assumed-role/lab-uploader/default.uploader", "", true, "proven: role lab-uploader"},
		"after a failure": {"arn:aws:sts::111122223333:assumed-role/lab-uploader/default.uploader", "1", true, "not proven yet"},
		"the node's role": {"arn:aws:sts::111122223333:assumed-role/lab-agent/i-0123", "", false, "not a session of role lab-uploader"},
		// A role whose name only begins alike is another role.
		"a longer name": {"arn:aws:sts::111122223333:assumed-role/lab-uploader-2/x", "", false, "not a session of role lab-uploader"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(file, text string, mode os.FileMode) {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("aws", `#!/bin/sh
if [ "$2" = put-object ]; then
	if [ -s "$FAKE/fails" ]; then : >"$FAKE/fails"; echo "AccessDenied" >&2; exit 254; fi
	echo "$*" >"$FAKE/put"
	exit 0
fi
cat "$FAKE/caller"
`, 0o755)
			write("caller", `{"Arn": "`+tc.caller+`"}`+"\n", 0o644)
			write("fails", tc.fails, 0o644)
			// The script's fixed paths under the test's own directory.
			text := strings.ReplaceAll(script(t), "/tmp/", dir+"/")
			command := exec.Command("/bin/sh", "-ec", text)
			command.Env = append(os.Environ(), "FAKE="+dir, "PATH="+dir+":"+os.Getenv("PATH"),
				"DEMO_ROLE=lab-uploader", "DEMO_BUCKET=lab-demo", "DEMO_KEY=uploader/uploader.json")
			var log strings.Builder
			command.Stdout, command.Stderr = &log, &log
			command.WaitDelay = 100 * time.Millisecond
			// In a container the script's pauses end with it; here they are its group's.
			command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }()
			patience := time.Second
			if tc.proven {
				patience = time.Minute
			}
			proven := false
			for deadline := time.Now().Add(patience); time.Now().Before(deadline) && !proven; time.Sleep(20 * time.Millisecond) {
				_, err := os.Stat(filepath.Join(dir, "proven"))
				proven = err == nil
			}
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
				t.Errorf("the script did not stop cleanly: %v", err)
			}
			if proven != tc.proven || !strings.Contains(log.String(), tc.log) {
				t.Errorf("proven %v, want %v; log:\n%s", proven, tc.proven, log.String())
			}
			put, err := os.ReadFile(filepath.Join(dir, "put"))
			if tc.proven && !strings.Contains(string(put), "s3api put-object --bucket lab-demo --key uploader/uploader.json --body") {
				t.Errorf("put %q, %v", put, err)
			}
			if !tc.proven && err == nil {
				t.Error("an object was put by the wrong role")
			}
		})
	}
}

// A long identity's names keep to their limits.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("a", 250)
	for _, name := range []string{workload.SecretName(long), workload.ConfigMapName(long)} {
		if len(name) > 253 {
			t.Errorf("%q has %d characters", name, len(name))
		}
	}
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: func(pulumitest.Resource) resource.PropertyMap { return nil }}, func(ctx *pulumi.Context) error {
		_, err := workload.NewWebIdentity(ctx, "uploader", &workload.WebIdentityArgs{
			Identity: workload.Identity{Namespace: strings.Repeat("n", 63), ServiceAccount: strings.Repeat("s", 200), Region: "eu-central-1"},
			RoleArn:  pulumi.String(roleArn), Demo: demo(),
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range podOf(t, recorder).Spec.Containers[0].Env {
		if variable.Name == "AWS_ROLE_SESSION_NAME" && len(variable.Value) > 64 {
			t.Errorf("session name %q", variable.Value)
		}
	}
	labels := recorder.Get(t, "uploader-account").Input("metadata").(map[string]any)["labels"].(map[string]any)
	if got := labels["app.kubernetes.io/name"].(string); len(got) > 63 {
		t.Errorf("label %q", got)
	}
}

// injected makes a workload whose pods get their identity from an admission
// policy of a cluster with this kubeconfig: for certificates with a helper, else
// for tokens.
func injected(kubeconfig string, helper *workload.Helper) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		policy := &injection.AdmissionPolicyArgs{Name: "lab", Region: "eu-central-1", Kubeconfig: pulumi.String(kubeconfig)}
		if helper != nil {
			var err error
			policy.Certificates, err = workload.Certificates(&workload.CertificatesArgs{Region: "eu-central-1", Named: true, Helper: *helper})
			if err != nil {
				return err
			}
		}
		injector, err := injection.NewAdmissionPolicy(ctx, "lab-injection", policy)
		if err != nil {
			return err
		}
		if helper == nil {
			_, err = workload.NewWebIdentity(ctx, "uploader", &workload.WebIdentityArgs{
				Identity: identity(), RoleArn: pulumi.String(roleArn), Injector: injector, Demo: demo(),
			})
			return err
		}
		args := rolesAnywhereArgs()
		args.SessionName, args.Helper, args.Injector = "default.uploader", *helper, injector
		_, err = workload.NewRolesAnywhere(ctx, "uploader", args)
		return err
	}
}

// helpers are all deliveries of the helper, by the name of their golden files.
func helpers() map[string]*workload.Helper {
	return map[string]*workload.Helper{
		"roles-anywhere-injected-image-volume": {},
		"roles-anywhere-injected-sidecar":      {Delivery: workload.DeliverySidecar},
		"roles-anywhere-injected-node":         {Delivery: workload.DeliveryNode, NodeSHA256: strings.Repeat("ab", 32)},
	}
}

// TestInjectedPodIsOrdinary holds that a pod whose identity is injected says
// nothing about it itself, and what its policy and its ServiceAccount say instead.
func TestInjectedPodIsOrdinary(t *testing.T) {
	all := helpers()
	all["web-identity-injected"] = nil
	for name, helper := range all {
		t.Run(name, func(t *testing.T) {
			recorder, err := pulumitest.Run(t, pulumitest.Options{Preview: true}, injected("unread", helper))
			if err != nil {
				t.Fatal(err)
			}
			pulumitest.Golden(t, name+"/account.json", recorder.Get(t, "uploader-account").JSON())
			pulumitest.Golden(t, "web-identity-injected/pod.json", // of all alike
				strings.ReplaceAll(recorder.Get(t, "uploader-pod").JSON(), quoted(t, script(t)), `"<demo.sh>"`))
			if helper != nil {
				pulumitest.Golden(t, name+"/policy.json", recorder.Get(t, "lab-injection-policy").JSON())
			}
			spec := podOf(t, recorder).Spec
			for _, env := range spec.Containers[0].Env {
				if strings.HasPrefix(env.Name, "AWS_") {
					t.Errorf("the pod itself sets %s", env.Name)
				}
			}
			if len(spec.InitContainers) > 0 || len(spec.Volumes) != 1 {
				t.Errorf("the pod itself has init containers %v and volumes %v", spec.InitContainers, spec.Volumes)
			}
		})
	}
}

// TestInjectedPodWaits holds that the pod is not made before its identity would
// be injected.
func TestInjectedPodWaits(t *testing.T) {
	for name, helper := range map[string]*workload.Helper{"token": nil, "certificate": {}} {
		recorder, err := pulumitest.Run(t, pulumitest.Options{}, injected("no cluster", helper))
		if err == nil || !strings.Contains(err.Error(), "kubeconfig") {
			t.Errorf("%s: error %v, want one about the kubeconfig", name, err)
		}
		for _, r := range recorder.Resources() {
			if r.Name == "uploader-pod" {
				t.Errorf("%s: the pod was made without an answer from the cluster", name)
			}
		}
	}
}

// TestCertificatesAreRefused holds that a policy is not made of a helper that no
// pod could have.
func TestCertificatesAreRefused(t *testing.T) {
	for want, helper := range map[string]workload.Helper{
		"Helper.Delivery":           {Delivery: "download"},
		"must be pinned":            {Image: "registry.example.com/helper:latest"},
		"NodeSHA256":                {Delivery: workload.DeliveryNode},
		"Helper.NodePath is \"${x}": {Delivery: workload.DeliveryNode, NodeSHA256: strings.Repeat("ab", 32), NodePath: "${x}"},
	} {
		if _, err := workload.Certificates(&workload.CertificatesArgs{Region: "eu-central-1", Helper: helper}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Kubelets may ask for the tokens of these ServiceAccounts, and of no others.
func TestPullTokens(t *testing.T) {
	run := func(args *workload.PullTokensArgs) (*pulumitest.Recorder, error) {
		return pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
			_, err := workload.NewPullTokens(ctx, "lab-pull-tokens", args)
			return err
		})
	}
	r, err := run(&workload.PullTokensArgs{Name: "lab-pull-tokens", ServiceAccounts: []string{"reporter", "uploader"}})
	if err != nil {
		t.Fatal(err)
	}
	role := r.Find(t, "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "lab-pull-tokens-role").Inputs
	want := `[{"apiGroups":[""],"resourceNames":["reporter","uploader"],"resources":["sts.amazonaws.com"],"verbs":["request-serviceaccounts-token-audience"]}]`
	if got, _ := json.Marshal(role["rules"].Mappable()); string(got) != want {
		t.Errorf("the role allows %s, want %s", got, want)
	}
	binding := r.Find(t, "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "lab-pull-tokens-binding").Inputs
	want = `[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:nodes"}]`
	if got, _ := json.Marshal(binding["subjects"].Mappable()); string(got) != want {
		t.Errorf("the role is bound to %s, want %s", got, want)
	}
	for want, args := range map[string]*workload.PullTokensArgs{
		"args are missing":            nil,
		"ServiceAccounts are missing": {Name: "a"},
		"ServiceAccounts[0]":          {Name: "a", ServiceAccounts: []string{"*"}},
	} {
		if _, err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
