package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/setups"
)

// appContainer is the demo pods' own container.
const appContainer = "app"

// Target is a cluster with one of its pod identities. All of it but the connections is found out from the cluster and
// the account: a drill needs no Pulumi stack.
type Target struct {
	// Setups are those that there are, and Setup is the cluster's. Before Discover it has a name alone, or none.
	Setups  setups.List
	Setup   setups.Setup
	Cluster *kube.Cluster
	AWS     aws.Config
	Hands   Hands
	Pace    Pace
	// Doctor is asked during each failure; nil where nobody wants that.
	Doctor *Doctor

	// Model is the identity's demo pod: what drills' own pods are made from.
	Model *corev1.Pod
	// Image replaces the model's image in the drills' pods where it is not empty.
	Image string
	// PullImage is an image of a private ECR repository that the identity's pods may be pulled from; empty where none is
	// known.
	PullImage string
	// RoleName and RoleARN are the role that the identity's pods have.
	RoleName, RoleARN string
	// IssuerHost is the OIDC issuer without https://; empty without web identity.
	IssuerHost string
	// AnchorARN and ProfileARN are those of Roles Anywhere; empty elsewhere.
	AnchorARN, ProfileARN string
	// SecretName is the Secret with the identity's certificate; empty elsewhere.
	SecretName string
}

// Discover completes a target. identity is the name of a demo pod, or empty for the first one.
func (t *Target) Discover(ctx context.Context, identity string) error {
	pods, err := t.Cluster.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if (identity == "" || p.Name == identity) && environment(p)["DEMO_ROLE"] != "" && p.Labels[drillLabel] == "" {
			t.Model = p
			break
		}
	}
	if t.Model == nil {
		return errors.New("the cluster has no demo pod (a container app with DEMO_ROLE): the stack needs demo: true")
	}
	env := environment(t.Model)
	t.RoleName = env["DEMO_ROLE"]
	role, err := t.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: &t.RoleName})
	if err != nil {
		return fmt.Errorf("the identity's role %s: %w", t.RoleName, err)
	}
	t.RoleARN = aws.ToString(role.Role.Arn)
	trust, err := url.QueryUnescape(aws.ToString(role.Role.AssumeRolePolicyDocument))
	if err != nil {
		return err
	}
	presents, issuer, err := t.found(ctx, trust)
	if err != nil {
		return err
	}
	t.Setup, err = match(t.Setups, t.Setup.Name, presents, issuer)
	return err
}

// found is what the model presents to AWS, and where the issuer's documents are: facts of a setup. What gives no sign of
// any is an error, not the setup without signs of its own.
func (t *Target) found(ctx context.Context, trust string) (presents, issuer string, err error) {
	if webIdentity(t.Model) {
		if t.IssuerHost, err = issuerOf(trust); err != nil {
			return "", "", fmt.Errorf("role %s: %w", t.RoleName, err)
		}
		if bucketHost.MatchString(t.IssuerHost) {
			return setups.Token, setups.Bucket, nil
		}
		return setups.Token, setups.Distribution, nil
	}
	has, err := t.certificate(ctx)
	switch {
	case err != nil:
		return "", "", err
	case has:
		return setups.Certificate, setups.Nowhere, nil
	case machineService.MatchString(trust):
		return setups.Metadata, setups.Nowhere, nil
	}
	return "", "", fmt.Errorf("pod %s has neither a token nor a certificate for AWS, and role %s is none of a machine: "+
		"what the pod presents is not known, and so neither what to expect", t.Model.Name, t.RoleName)
}

// match finds the setup with the facts that were found, which must be the one of a name where there is a name.
func match(list setups.List, name, presents, issuer string) (setups.Setup, error) {
	facts := "pods that present " + presents + ", issuer's documents: " + issuer
	fits := list.Where(func(s setups.Setup) bool { return s.Presents == presents && s.Issuer == issuer })
	if name != "" {
		s, err := list.Get(name)
		if _, ok := fits.Find(name); err == nil && !ok {
			err = fmt.Errorf("the cluster is not of setup %s: it has %s", name, facts)
		}
		return s, err
	}
	switch len(fits) {
	case 0:
		return setups.Setup{}, fmt.Errorf("no setup of %s has what the cluster has: %s", strings.Join(list.Names(), ", "), facts)
	case 1:
		return fits[0], nil
	}
	return setups.Setup{}, fmt.Errorf("the cluster has %s: --setup must say which of %s it is", facts, strings.Join(fits.Names(), ", "))
}

var (
	bucketHost = regexp.MustCompile(`^[a-z0-9-]+\.s3[.-][a-z0-9-]+\.amazonaws\.com`)
	anchorArg  = regexp.MustCompile(`--trust-anchor-arn[ =](\S+)`)
	// machineService is the principal of roles that EC2 gives to machines.
	machineService = regexp.MustCompile(`"ec2\.amazonaws\.com(\.cn)?"`)
	profileArg     = regexp.MustCompile(`--profile-arn[ =](\S+)`)
)

// certificate reads what a pod of Roles Anywhere is given: in its AWS configuration or as its sidecar's arguments.
func (t *Target) certificate(ctx context.Context) (bool, error) {
	var said []string
	for _, v := range t.Model.Spec.Volumes {
		switch {
		case v.Secret != nil:
			t.SecretName = v.Secret.SecretName
		case v.ConfigMap != nil:
			m, err := t.Cluster.Client.CoreV1().ConfigMaps(t.Model.Namespace).Get(ctx, v.ConfigMap.Name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			for _, text := range m.Data {
				said = append(said, text)
			}
		}
	}
	for _, c := range t.Model.Spec.InitContainers {
		said = append(said, strings.Join(c.Args, " "))
	}
	all := strings.Join(said, "\n")
	anchor, profile := anchorArg.FindStringSubmatch(all), profileArg.FindStringSubmatch(all)
	if anchor == nil || profile == nil || t.SecretName == "" {
		return false, nil
	}
	t.AnchorARN, t.ProfileARN = anchor[1], profile[1]
	return true, nil
}

// environment is what the demo container is given in plain.
func environment(p *corev1.Pod) map[string]string {
	env := map[string]string{}
	for _, c := range p.Spec.Containers {
		if c.Name == appContainer {
			for _, e := range c.Env {
				env[e.Name] = e.Value
			}
		}
	}
	return env
}

// webIdentity tells whether a pod has a token for STS.
func webIdentity(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ServiceAccountToken != nil && strings.HasPrefix(s.ServiceAccountToken.Audience, "sts.amazonaws.com")
		})
	})
}

// issuerOf reads the first OIDC provider that a trust policy names.
func issuerOf(trust string) (string, error) {
	var document struct {
		Statement []struct {
			Principal struct{ Federated any }
		}
	}
	if err := json.Unmarshal([]byte(trust), &document); err != nil {
		return "", fmt.Errorf("trust policy: %w", err)
	}
	for _, s := range document.Statement {
		text := fmt.Sprint(s.Principal.Federated)
		if _, host, ok := strings.Cut(text, ":oidc-provider/"); ok {
			host, _, _ = strings.Cut(strings.Trim(host, "[]"), " ")
			return host, nil
		}
	}
	return "", errors.New("the trust policy names no OIDC provider")
}

// ProviderARN is that of the issuer's IAM OIDC provider.
func (t *Target) ProviderARN() string {
	account := strings.Split(t.RoleARN, ":")
	return strings.Join(account[:5], ":") + ":oidc-provider/" + t.IssuerHost
}

// IAM and the others are clients of the target's account.
func (t *Target) IAM() *iam.Client { return iam.NewFromConfig(t.AWS) }

// S3 reads and writes the issuer's bucket.
func (t *Target) S3() *s3.Client {
	return s3.NewFromConfig(t.AWS, func(o *s3.Options) { o.UsePathStyle = t.AWS.BaseEndpoint != nil })
}

// CloudFront manages the issuer's distribution.
func (t *Target) CloudFront() *cloudfront.Client { return cloudfront.NewFromConfig(t.AWS) }

// RolesAnywhere manages trust anchor, profile and revocation lists.
func (t *Target) RolesAnywhere() *rolesanywhere.Client { return rolesanywhere.NewFromConfig(t.AWS) }

// EC2 reads the machines' tags.
func (t *Target) EC2() *ec2.Client { return ec2.NewFromConfig(t.AWS) }
