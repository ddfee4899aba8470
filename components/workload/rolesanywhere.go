package workload

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/rules"
)

// How the Roles Anywhere credential helper gets into a pod. docs/roles-anywhere.md
// compares them.
const (
	// DeliveryImageVolume mounts the published image as a volume; an init
	// container of the app's own image copies the binary out of it (image
	// volumes are noexec), and SDKs run it by credential_process. The default.
	DeliveryImageVolume = "image-volume"
	// DeliverySidecar runs the published image as a native sidecar that
	// serves credentials on 127.0.0.1 as the instance metadata service does.
	DeliverySidecar = "sidecar"
	// DeliveryNode mounts a binary that is installed on the node; SDKs run it
	// by credential_process. Pod Security forbids the hostPath volume from
	// baseline on.
	DeliveryNode = "node"
)

// DefaultHelperImage is the published helper image, version 1.8.5, for x86-64
// nodes only: the digest is that of the platform's own manifest. Nodes with
// arm64 processors need an image of their own (Helper.Image).
const DefaultHelperImage = "public.ecr.aws/rolesanywhere/credential-helper:1.8.5-amd64-2026.08.24.20.52" +
	"@sha256:56b03f3acba0bda06c94189ab62c4a497fd1912f3d08311fb99ab24e4e4c2f84"

// serveHidesFailures is the warning about a sidecar of the default image.
const serveHidesFailures = "the credential helper's serve mode hides failed sessions up to release 1.8.5, which is the default image: " +
	"it answers Success with empty keys; set the image of a release after September 2026, or use image-volume"

const (
	// imageBinary is the helper's path in the published image.
	imageBinary = "/usr/local/bin/aws_signing_helper"
	// Paths in the pod.
	helperDirectory      = "/opt/rolesanywhere"
	helperBinary         = helperDirectory + "/aws_signing_helper"
	imageDirectory       = "/mnt/credential-helper"
	certificateDirectory = "/var/run/secrets/rolesanywhere"
	configDirectory      = "/etc/rolesanywhere"
	configKey            = "config"
	servePort            = 9911
)

// Helper describes how the credential helper gets into pods. In every case it
// is pinned: by the image's digest, or by the binary's checksum.
type Helper struct {
	// Delivery is one of the three ways; empty means [DeliveryImageVolume].
	Delivery string
	// Image is the helper's image with a digest (image-volume and sidecar);
	// empty means [DefaultHelperImage].
	Image string
	// InstallerImage has /bin/cp or, on node, /bin/sh and sha256sum, for the
	// init container; empty means the demo's image. Use the app's own image,
	// which the node has to pull anyway.
	InstallerImage string
	// NodePath is the helper's absolute path on the node; empty means
	// [rules.DefaultHelperPath].
	NodePath string
	// NodeSHA256 is the hex SHA-256 of the binary on the node, checked at each
	// pod start; required with DeliveryNode.
	NodeSHA256 string
}

// Deliveries returns the ways of delivery, the default first.
func Deliveries() []string {
	return []string{DeliveryImageVolume, DeliverySidecar, DeliveryNode}
}

// RolesAnywhereArgs describes a workload that presents a certificate.
type RolesAnywhereArgs struct {
	Identity
	// RoleArn, ProfileArn and TrustAnchorArn are what CreateSession names.
	RoleArn        pulumi.StringInput
	ProfileArn     pulumi.StringInput
	TrustAnchorArn pulumi.StringInput
	// CertPem and KeyPem (secret) are the identity's certificate.
	CertPem pulumi.StringInput
	KeyPem  pulumi.StringInput
	// SessionName names the sessions, 2 to 64 letters, digits and _+=,.@-; the
	// profile must accept one. Empty leaves it to Roles Anywhere, which takes the
	// certificate's serial number. It proves nothing: whoever has the certificate
	// can ask for any other.
	SessionName string
	// SessionSeconds is the length of a session, 900 to 43200; 0 means 3600.
	// The profile's duration caps it.
	SessionSeconds int
	Helper         Helper
	// Injector is what gives pods the helper with all that it needs, made with
	// [Certificates] of the same Helper. Nil leaves that to the pods' manifests.
	Injector *injection.Injector
	Demo     *Demo
}

// SecretName is the name of the Secret with an identity's certificate.
func SecretName(serviceAccount string) string {
	return names.Shorten(serviceAccount+"-rolesanywhere", names.MaxKubernetesObject)
}

// ConfigMapName is the name of the ConfigMap with an identity's AWS
// configuration file.
func ConfigMapName(serviceAccount string) string {
	return names.Shorten(serviceAccount+"-aws-config", names.MaxKubernetesObject)
}

// NewRolesAnywhere makes the ServiceAccount, the Secret with the certificate
// and, except with the sidecar, the ConfigMap with the AWS configuration file
// that runs the helper. A renewed certificate reaches running pods through the
// mounted Secret; the helper reads it anew for each session.
func NewRolesAnywhere(ctx *pulumi.Context, name string, args *RolesAnywhereArgs, opts ...pulumi.ResourceOption) (*Workload, error) {
	if args == nil {
		return nil, fmt.Errorf("RolesAnywhere %q: args are missing", name)
	}
	helper := args.Helper.withDefaults(args.Demo)
	faults := helper.faults(args.Demo != nil)
	sessionSeconds := cmp.Or(args.SessionSeconds, rules.DefaultSessionSeconds)
	if sessionSeconds < rules.MinSessionSeconds || sessionSeconds > rules.MaxSessionSeconds {
		faults = append(faults, fmt.Errorf("SessionSeconds is %d, must be %d to %d", sessionSeconds, rules.MinSessionSeconds, rules.MaxSessionSeconds))
	}
	if args.SessionName != "" && !sessionNamePattern.MatchString(args.SessionName) {
		faults = append(faults, fmt.Errorf("SessionName is %q, must be 2 to 64 letters, digits and _+=,.@-", args.SessionName))
	}
	if err := validate("RolesAnywhere", name, args.Identity, args.Demo, map[string]pulumi.StringInput{
		"RoleArn": args.RoleArn, "ProfileArn": args.ProfileArn, "TrustAnchorArn": args.TrustAnchorArn,
		"CertPem": args.CertPem, "KeyPem": args.KeyPem,
	}, faults); err != nil {
		return nil, err
	}
	b, err := newBuilder(ctx, RolesAnywhereType, name, args.Identity, opts)
	if err != nil {
		return nil, err
	}
	what := certified{
		region: args.Region, secret: SecretName(args.ServiceAccount), mode: secretMode,
		arguments: helperArguments(args, sessionSeconds), security: restricted(),
	}
	if helper.Delivery != DeliverySidecar {
		what.config = ConfigMapName(args.ServiceAccount)
	}
	var annotations pulumi.StringMap
	if args.Injector != nil {
		annotations = what.annotations(args)
		b.labels = map[string]string{injection.Label: injection.LabelValue}
	}
	if err := b.serviceAccount(annotations); err != nil {
		return nil, err
	}
	if err := b.certificate(args); err != nil {
		return nil, err
	}
	if helper.Delivery == DeliverySidecar && helper.Image == DefaultHelperImage {
		if err := ctx.Log.Warn(serveHidesFailures, &pulumi.LogArgs{Resource: b.component}); err != nil {
			return nil, err
		}
	}
	if what.config != "" {
		if err := b.configFile(what.arguments, args.Region); err != nil {
			return nil, err
		}
	}
	if args.Injector != nil {
		return b.finish(args.Demo, args.RoleArn, parts{by: args.Injector, identity: pulumi.String(what.secret)})
	}
	return b.finish(args.Demo, args.RoleArn, parts{Parts: helper.parts(what)})
}

// certified is what the parts of a pod that presents a certificate depend on.
type certified struct {
	region string
	// secret and config are the names of the Secret and, except with the sidecar,
	// of the ConfigMap.
	secret, config string
	// mode is that of the certificate and its key.
	mode int
	// volumes begins the names of the volumes.
	volumes string
	// arguments and security are those of the helper and of its container.
	arguments pulumi.StringArray
	security  corev1.SecurityContextArgs
}

// annotations are what a ServiceAccount says for [Certificates].
func (c certified) annotations(args *RolesAnywhereArgs) pulumi.StringMap {
	annotations := pulumi.StringMap{injection.CertificateAnnotation: pulumi.String(c.secret)}
	if c.config != "" {
		annotations[injection.ConfigAnnotation] = pulumi.String(c.config)
		return annotations
	}
	annotations[injection.RoleAnnotation] = args.RoleArn
	annotations[injection.ProfileAnnotation] = args.ProfileArn
	annotations[injection.TrustAnchorAnnotation] = args.TrustAnchorArn
	if args.SessionName != "" {
		annotations[injection.SessionNameAnnotation] = pulumi.String(args.SessionName)
	}
	return annotations
}

// CertificatesArgs describes the pods of a cluster that present certificates.
type CertificatesArgs struct {
	// Region is the AWS region that pods call.
	Region string
	// SessionSeconds is as in [RolesAnywhereArgs], and Named says whether its
	// SessionName is set.
	SessionSeconds int
	Named          bool
	// Helper is as in [RolesAnywhereArgs]; its InstallerImage is that of each pod.
	Helper Helper
}

// Certificates are the parts by which an admission policy gives pods of annotated
// ServiceAccounts what the manifest of a demo pod has, with three differences. The
// volumes have names that no ordinary pod has. The helper's own container says by
// itself what the restricted Pod Security Standard asks for, since an ordinary pod
// may say it in each container. And every user of the pod reads the certificate:
// fsGroup would be for the pod's other volumes too.
func Certificates(args *CertificatesArgs) (*injection.Parts, error) {
	helper := args.Helper.withDefaults(nil)
	helper.InstallerImage = injection.AppImage
	if err := errors.Join(helper.faults(true)...); err != nil {
		return nil, err
	}
	named := &RolesAnywhereArgs{
		Identity:       Identity{Region: args.Region},
		RoleArn:        pulumi.String(injection.Annotation(injection.RoleAnnotation)),
		ProfileArn:     pulumi.String(injection.Annotation(injection.ProfileAnnotation)),
		TrustAnchorArn: pulumi.String(injection.Annotation(injection.TrustAnchorAnnotation)),
	}
	if args.Named {
		named.SessionName = injection.Annotation(injection.SessionNameAnnotation)
	}
	what := certified{
		region: args.Region, secret: injection.Annotation(injection.CertificateAnnotation), config: injection.Annotation(injection.ConfigAnnotation),
		mode: 0o444, volumes: "rolesanywhere-",
		arguments: helperArguments(named, cmp.Or(args.SessionSeconds, rules.DefaultSessionSeconds)), security: restricted(),
	}
	what.security.RunAsNonRoot = pulumi.Bool(true)
	what.security.RunAsUser = pulumi.Int(rules.NonRoot)
	what.security.SeccompProfile = corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")}
	parts := helper.parts(what)
	parts.Refused = append(parts.Refused, injection.Refusal{
		// What the helper's container says of Linux is not valid there.
		Condition: `object.spec.?os.?name.orValue("") == "windows" || object.spec.?nodeSelector[?"kubernetes.io/os"].orValue("") == "windows"`,
		Message:   "the pod is for Windows, for which there is no credential helper: name its containers in skip-containers",
	})
	return &parts, nil
}

// parts is what a pod has to present a certificate.
func (h Helper) parts(what certified) injection.Parts {
	in := injection.Parts{
		Env: regionEnv(what.region),
		Volumes: corev1.VolumeArray{corev1.VolumeArgs{
			Name: pulumi.String(what.volumes + "certificate"),
			Secret: corev1.SecretVolumeSourceArgs{
				SecretName:  pulumi.String(what.secret),
				DefaultMode: pulumi.Int(what.mode),
			},
		}},
	}
	if h.Delivery == DeliverySidecar {
		h.sidecar(&in, what)
	} else {
		h.process(&in, what)
	}
	return in
}

// certificate makes the Secret. Its data is base64 of secret outputs, so it is
// a secret of the stack too.
func (b *builder) certificate(args *RolesAnywhereArgs) error {
	encoded := func(text pulumi.StringInput) pulumi.StringOutput {
		return text.ToStringOutput().ApplyT(func(text string) string {
			return base64.StdEncoding.EncodeToString([]byte(text))
		}).(pulumi.StringOutput)
	}
	secret, err := corev1.NewSecret(b.ctx, b.name+"-certificate", &corev1.SecretArgs{
		Metadata: b.metadata(SecretName(b.identity.ServiceAccount)),
		Type:     pulumi.String("kubernetes.io/tls"),
		Data: pulumi.StringMap{
			"tls.crt": encoded(args.CertPem),
			// Secret whatever the caller passed.
			"tls.key": pulumi.ToSecret(encoded(args.KeyPem)).(pulumi.StringOutput),
		},
	}, b.child()...)
	if err != nil {
		return fmt.Errorf("secret with the certificate of %s/%s: %w", b.identity.Namespace, b.identity.ServiceAccount, err)
	}
	b.before = append(b.before, secret)
	return nil
}

// configFile makes the ConfigMap with the AWS configuration file. SDKs run the
// command through a shell or split it at spaces; no part of it has any.
func (b *builder) configFile(arguments pulumi.StringArray, region string) error {
	content := arguments.ToStringArrayOutput().ApplyT(func(arguments []string) string {
		return fmt.Sprintf("[default]\nregion = %s\ncredential_process = %s credential-process %s\n",
			region, helperBinary, strings.Join(arguments, " "))
	}).(pulumi.StringOutput)
	config, err := corev1.NewConfigMap(b.ctx, b.name+"-config", &corev1.ConfigMapArgs{
		Metadata: b.metadata(ConfigMapName(b.identity.ServiceAccount)),
		Data:     pulumi.StringMap{configKey: content},
	}, b.child()...)
	if err != nil {
		return fmt.Errorf("AWS configuration of %s/%s: %w", b.identity.Namespace, b.identity.ServiceAccount, err)
	}
	b.before = append(b.before, config)
	return nil
}

// helperArguments are the arguments that both modes of the helper take, of
// which --role-session-name is in its releases from 1.4.0 to 1.8.5 at least
// (cmd/credentials.go). Without a name none is given: a profile that does not
// accept one refuses even the right one, "Not authorized to set roleSessionName."
func helperArguments(args *RolesAnywhereArgs, sessionSeconds int) pulumi.StringArray {
	arguments := pulumi.StringArray{
		pulumi.String("--certificate"), pulumi.String(certificateDirectory + "/tls.crt"),
		pulumi.String("--private-key"), pulumi.String(certificateDirectory + "/tls.key"),
		pulumi.String("--trust-anchor-arn"), args.TrustAnchorArn,
		pulumi.String("--profile-arn"), args.ProfileArn,
		pulumi.String("--role-arn"), args.RoleArn,
		pulumi.String("--region"), pulumi.String(args.Region),
		pulumi.String("--session-duration"), pulumi.String(strconv.Itoa(sessionSeconds)),
	}
	if args.SessionName != "" {
		arguments = append(arguments, pulumi.String("--role-session-name"), pulumi.String(args.SessionName))
	}
	return arguments
}

// process adds what credential_process needs: the configuration file, the
// certificate, and the binary by image volume or from the node.
func (h Helper) process(in *injection.Parts, what certified) {
	// Of the two names of a profile's variable, botocore and the SDKs for Go read
	// both (aws-sdk-go-v2 config/env_config.go, botocore/session.py).
	in.Own = []string{"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"}
	in.Env = append(in.Env, noMetadata(), env("AWS_CONFIG_FILE", configDirectory+"/"+configKey),
		// Version 1 of the SDK for Go, which many controllers have, reads no
		// configuration file without it (aws-sdk-go aws/session/session.go).
		env("AWS_SDK_LOAD_CONFIG", "1"))
	config, helper, image := what.volumes+"aws-config", what.volumes+"helper", what.volumes+"helper-image"
	in.Mounts = corev1.VolumeMountArray{
		readOnly(what.volumes+"certificate", certificateDirectory),
		readOnly(config, configDirectory),
	}
	in.Volumes = append(in.Volumes, corev1.VolumeArgs{
		Name:      pulumi.String(config),
		ConfigMap: corev1.ConfigMapVolumeSourceArgs{Name: pulumi.String(what.config)},
	})
	if h.Delivery == DeliveryNode {
		in.Mounts = append(in.Mounts, readOnly(helper, helperBinary))
		in.Volumes = append(in.Volumes, corev1.VolumeArgs{
			Name: pulumi.String(helper),
			HostPath: corev1.HostPathVolumeSourceArgs{
				Path: pulumi.String(h.NodePath),
				// Without the type, a missing file would become a directory.
				Type: pulumi.String("File"),
			},
		})
		in.InitContainers = corev1.ContainerArray{h.installer(what.security,
			[]string{"/bin/sh", "-ec", `echo "$HELPER_SHA256  ` + helperBinary + `" | sha256sum -c -`},
			corev1.EnvVarArray{env("HELPER_SHA256", h.NodeSHA256)},
			corev1.VolumeMountArray{readOnly(helper, helperBinary)},
		)}
		return
	}
	in.Mounts = append(in.Mounts, readOnly(helper, helperDirectory))
	in.Volumes = append(in.Volumes,
		corev1.VolumeArgs{
			Name: pulumi.String(image),
			Image: corev1.ImageVolumeSourceArgs{
				Reference:  pulumi.String(h.Image),
				PullPolicy: pulumi.String("IfNotPresent"),
			},
		},
		corev1.VolumeArgs{
			Name:     pulumi.String(helper),
			EmptyDir: corev1.EmptyDirVolumeSourceArgs{SizeLimit: pulumi.String("128Mi")},
		})
	in.InitContainers = corev1.ContainerArray{h.installer(what.security,
		// -f: the pod's sandbox may be made anew, with the copy still there.
		[]string{"/bin/cp", "-f", imageDirectory + imageBinary, helperBinary},
		nil,
		corev1.VolumeMountArray{
			readOnly(image, imageDirectory),
			corev1.VolumeMountArgs{Name: pulumi.String(helper), MountPath: pulumi.String(helperDirectory)},
		},
	)}
}

// installer is the init container that copies or checks the helper.
func (h Helper) installer(security corev1.SecurityContextArgs, command []string, environment corev1.EnvVarArray, mounts corev1.VolumeMountArray) corev1.ContainerArgs {
	return corev1.ContainerArgs{
		Name:            pulumi.String("credential-helper"),
		Image:           pulumi.String(h.InstallerImage),
		ImagePullPolicy: pulumi.String("IfNotPresent"),
		Command:         pulumi.ToStringArray(command),
		Env:             environment,
		VolumeMounts:    mounts,
		SecurityContext: security,
		Resources:       resources("10m", "16Mi", "128Mi"),
	}
}

// sidecar adds the helper as a native sidecar: an init container that keeps
// running and is stopped last. It has no probe, because the kubelet's reach the
// pod's address and the helper listens on 127.0.0.1 only, and its image has no
// shell for an exec probe: the app's first calls may come before it listens.
func (h Helper) sidecar(in *injection.Parts, what certified) {
	in.Own = []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE"}
	in.Refused = []injection.Refusal{{
		Condition: `object.spec.?hostNetwork.orValue(false)`,
		Message:   "the pod is on its node's network, where the credential helper would serve everybody: take hostNetwork out",
	}, {
		Condition: `variables.pending.exists(c, c.?env.orValue([]).exists(e, e.name == "AWS_EC2_METADATA_DISABLED" && !e.?value.orValue("").matches("(?i)^false$")))`,
		Message:   "a container sets AWS_EC2_METADATA_DISABLED, and so would not ask the credential helper: take it out",
	}, {
		// Whichever comes first has it, and where that is the other, the rest of the pod
		// asks it for credentials.
		Condition: fmt.Sprintf(`(object.spec.containers + object.spec.?initContainers.orValue([])).exists(c, c.?ports.orValue([]).exists(p, p.containerPort == %d && p.?protocol.orValue("TCP") == "TCP"))`, servePort),
		Message:   fmt.Sprintf("a container has port %d, which is the credential helper's: take another", servePort),
	}}
	in.Env = append(in.Env, env("AWS_EC2_METADATA_SERVICE_ENDPOINT", fmt.Sprintf("http://127.0.0.1:%d", servePort)))
	in.InitContainers = corev1.ContainerArray{corev1.ContainerArgs{
		Name:            pulumi.String("credential-helper"),
		Image:           pulumi.String(h.Image),
		ImagePullPolicy: pulumi.String("IfNotPresent"),
		RestartPolicy:   pulumi.String("Always"),
		Command:         pulumi.ToStringArray([]string{imageBinary}),
		Args: slices.Concat(pulumi.StringArray{pulumi.String("serve")}, what.arguments, pulumi.StringArray{
			pulumi.String("--port"), pulumi.String(strconv.Itoa(servePort)),
			// Answers must not leave the pod's own network namespace.
			pulumi.String("--hop-limit"), pulumi.String("1"),
		}),
		Env:             regionEnv(what.region),
		VolumeMounts:    corev1.VolumeMountArray{readOnly(what.volumes+"certificate", certificateDirectory)},
		SecurityContext: what.security,
		Resources:       resources("10m", "32Mi", "128Mi"),
	}}
}

func (h Helper) withDefaults(demo *Demo) Helper {
	if h.Delivery == "" {
		h.Delivery = DeliveryImageVolume
	}
	if h.Image == "" {
		h.Image = DefaultHelperImage
	}
	if h.InstallerImage == "" && demo != nil {
		h.InstallerImage = demo.Image
	}
	if h.NodePath == "" {
		h.NodePath = rules.DefaultHelperPath
	}
	return h
}

// sessionNamePattern is STS's of a RoleSessionName
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
var sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// ValidateHelperImage reports whether an image reference is pinned by a
// digest. A tag beside it is for people; the digest decides.
func ValidateHelperImage(reference string) error {
	if rules.DigestImage(reference) != "" {
		return fmt.Errorf("helper image %q must be pinned by a digest: name[:tag]@sha256:<64 hex digits>", reference)
	}
	return nil
}

func (h Helper) faults(pod bool) []error {
	var errs []error
	if !slices.Contains(Deliveries(), h.Delivery) {
		return []error{fmt.Errorf("Helper.Delivery is %q, must be one of %s", h.Delivery, strings.Join(Deliveries(), ", "))}
	}
	if h.Delivery == DeliveryNode {
		if rules.SHA256(h.NodeSHA256) != "" {
			errs = append(errs, errors.New("Helper.NodeSHA256 must be the 64 lower-case hex digits of the binary's SHA-256"))
		}
		if !strings.HasPrefix(h.NodePath, "/") || strings.Contains(h.NodePath, "..") {
			errs = append(errs, fmt.Errorf("Helper.NodePath is %q, must be an absolute path with no parent directories in it", h.NodePath))
		}
	} else if err := ValidateHelperImage(h.Image); err != nil {
		errs = append(errs, err)
	}
	if pod && h.Delivery != DeliverySidecar && h.InstallerImage == "" {
		errs = append(errs, errors.New("Helper.InstallerImage is missing"))
	}
	return errs
}
