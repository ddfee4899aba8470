package workload

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/rules"
)

const appContainer = "app"

// demoScript proves the identity; see the file.
//
//go:embed demo.sh
var demoScript string

// Demo describes the pod that proves an identity: it becomes ready only when
// it has called STS as the expected role and has put an object.
type Demo struct {
	// Bucket is the bucket that the pod puts its object into.
	Bucket pulumi.StringInput
	// Prefix is the beginning of the object's key; the pod's name and .json
	// follow.
	Prefix string
	// Image has /bin/sh, the usual core utilities and the AWS CLI.
	Image string
	// PodName is the pod's name; empty means the service account's.
	PodName string
	// ResourceName is the pod's logical name, and FormerName one that it had;
	// empty means the workload's name and "-pod". It has to follow from namespace
	// and PodName alone: where two identities swap their pods' names, each pod is
	// then changed in its place, and none is made while another has its name.
	ResourceName, FormerName string
}

func (d *Demo) podName(identity Identity) string {
	if d.PodName == "" {
		return identity.ServiceAccount
	}
	return d.PodName
}

func (d *Demo) faults(identity Identity) []error {
	var errs []error
	if d.Bucket == nil {
		errs = append(errs, errors.New("Demo.Bucket is missing"))
	}
	if d.Image == "" {
		errs = append(errs, errors.New("Demo.Image is missing"))
	}
	name := d.podName(identity)
	errs = append(errs, rules.Fault("Demo.PodName", name, rules.Subdomain(name)))
	if strings.HasPrefix(d.Prefix, "/") || len(d.Prefix) > 512 {
		errs = append(errs, fmt.Errorf("Demo.Prefix is %q, must not begin with a slash and have at most 512 characters", d.Prefix))
	}
	return errs
}

// demoPod makes the pod. Pulumi's own wait for a ready pod is then the proof.
func (b *builder) demoPod(demo *Demo, roleArn pulumi.StringInput, in parts) error {
	name := demo.podName(b.identity)
	roleName := roleArn.ToStringOutput().ApplyT(func(arn string) string {
		return arn[strings.LastIndex(arn, "/")+1:]
	}).(pulumi.StringOutput)
	environment := slices.Concat(in.Env, corev1.EnvVarArray{
		env("HOME", "/tmp"), // the root file system is read-only
		corev1.EnvVarArgs{Name: pulumi.String("DEMO_ROLE"), Value: roleName},
		corev1.EnvVarArgs{Name: pulumi.String("DEMO_BUCKET"), Value: demo.Bucket.ToStringOutput()},
		env("DEMO_KEY", demo.Prefix+name+".json"),
	})
	account := pulumi.String(b.identity.ServiceAccount).ToStringOutput()
	if in.by != nil {
		who := injection.Account{Namespace: b.identity.Namespace, Name: b.identity.ServiceAccount, Identity: in.identity}
		if b.account != nil {
			who.Resource = b.account
		}
		account = in.by.Await(b.ctx, who)
	}
	options := b.child()
	if demo.FormerName != "" {
		options = append(options, pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(demo.FormerName)}}))
	}
	_, err := corev1.NewPod(b.ctx, cmp.Or(demo.ResourceName, b.name+"-pod"), &corev1.PodArgs{
		Metadata: b.metadata(name),
		Spec: corev1.PodSpecArgs{
			ServiceAccountName: account,
			// The demo does not call the Kubernetes API.
			AutomountServiceAccountToken: pulumi.Bool(false),
			RestartPolicy:                pulumi.String("Always"),
			// The script waits for its next try in sleeps of its own.
			TerminationGracePeriodSeconds: pulumi.Int(5),
			SecurityContext: corev1.PodSecurityContextArgs{
				RunAsNonRoot: pulumi.Bool(true),
				RunAsUser:    pulumi.Int(rules.NonRoot),
				RunAsGroup:   pulumi.Int(rules.NonRoot),
				// Non-root pods can read tokens and keys only through it.
				FsGroup:        pulumi.Int(rules.NonRoot),
				SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
			},
			InitContainers: in.InitContainers,
			Containers: corev1.ContainerArray{corev1.ContainerArgs{
				Name:            pulumi.String(appContainer),
				Image:           pulumi.String(demo.Image),
				ImagePullPolicy: pulumi.String("IfNotPresent"),
				Command:         pulumi.ToStringArray([]string{"/bin/sh", "-ec", demoScript}),
				Env:             environment,
				SecurityContext: restricted(),
				Resources:       resources("20m", "96Mi", "384Mi"),
				VolumeMounts: slices.Concat(in.Mounts, corev1.VolumeMountArray{corev1.VolumeMountArgs{
					Name: pulumi.String("tmp"), MountPath: pulumi.String("/tmp"),
				}}),
				ReadinessProbe: corev1.ProbeArgs{
					Exec:          corev1.ExecActionArgs{Command: pulumi.ToStringArray([]string{"test", "-f", "/tmp/proven"})},
					PeriodSeconds: pulumi.Int(1),
				},
			}},
			Volumes: slices.Concat(in.Volumes, corev1.VolumeArray{corev1.VolumeArgs{
				Name:     pulumi.String("tmp"),
				EmptyDir: corev1.EmptyDirVolumeSourceArgs{SizeLimit: pulumi.String("64Mi")},
			}}),
		},
	}, options...)
	if err != nil {
		return fmt.Errorf("demo pod %s/%s: %w", b.identity.Namespace, name, err)
	}
	return nil
}

// restricted is the security context of every container here, as the
// restricted Pod Security Standard wants it.
func restricted() corev1.SecurityContextArgs {
	return corev1.SecurityContextArgs{
		AllowPrivilegeEscalation: pulumi.Bool(false),
		ReadOnlyRootFilesystem:   pulumi.Bool(true),
		Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
	}
}

func resources(cpu, memory, memoryLimit string) corev1.ResourceRequirementsArgs {
	return corev1.ResourceRequirementsArgs{
		Requests: pulumi.StringMap{"cpu": pulumi.String(cpu), "memory": pulumi.String(memory)},
		Limits:   pulumi.StringMap{"memory": pulumi.String(memoryLimit)},
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
