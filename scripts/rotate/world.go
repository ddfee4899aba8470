package main

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/stack"
	"k3s-aws-auth/scripts/internal/stackfile"
	"k3s-aws-auth/scripts/rotate/internal/walk"
	"k3s-aws-auth/stacks/config"
)

const (
	// remembered is how long AWS may remember what it has read of an issuer or an anchor. It gives no bound: STS and IAM are
	// eventually consistent (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency).
	remembered = time.Hour
	// shortestToken is what a token lives at most that was asked for without a length, by no pod's volume: the API server's
	// default (pkg/apis/authentication/v1/defaults.go of Kubernetes).
	shortestToken = time.Hour
	// volumeDefault is what a pod's volume asks for that says nothing (pkg/apis/core/v1/defaults.go).
	volumeDefault = time.Hour
	// delivered is how long a changed Secret takes into a running pod at most: the kubelet syncs each minute, from a cache of
	// a minute (https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod).
	delivered = 2 * time.Minute
	// apart is how far the clocks of AWS, the cluster and who deploys may be apart.
	apart = 5 * time.Minute
)

// world is what can be seen of a deployed stack.
type world struct {
	config  *config.Config
	state   *stack.State
	cluster *kube.Cluster
	aws     aws.Config
	now     time.Time
}

// look reads the state of a stack, and asks AWS for the time: how long something has been so must not hang on this machine's
// clock.
func (p *place) look(ctx context.Context) (*world, error) {
	file, err := stackfile.Read(p.file())
	if err != nil {
		return nil, err
	}
	w := &world{config: file.Config}
	exported, err := p.ask(ctx, "stack", "export", "--show-secrets", "--stack", p.stack)
	if err != nil {
		return nil, err
	}
	if w.state, err = stack.ParseExport(exported); err != nil {
		return nil, err
	}
	if w.cluster, err = w.connect(); err != nil {
		return nil, err
	}
	if w.aws, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(w.config.Region)); err != nil {
		return nil, err
	}
	who, err := sts.NewFromConfig(w.aws).GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, err
	}
	now, ok := middleware.GetServerTime(who.ResultMetadata)
	if !ok {
		return nil, errors.New("the answer of STS has no date")
	}
	w.now = now
	return w, nil
}

// connect reaches the cluster by the kubeconfig that the program's own provider has: the stack's output of it is gone after an
// update that failed, and the shell's may lead to another cluster.
func (w *world) connect() (*kube.Cluster, error) {
	text, err := w.state.Named("pulumi:providers:kubernetes", w.resource("cluster-kubernetes"), "kubeconfig")
	if err != nil {
		return nil, err
	}
	return kube.ConnectText([]byte(text))
}

// anchor is the ARN of the stack's trust anchor.
func (w *world) anchor() (string, error) {
	return w.state.Named("aws:rolesanywhere/trustAnchor:TrustAnchor", w.resource("ca-anchor"), "arn")
}

func (w *world) resource(part string) string { return w.config.ClusterName + "-" + part }

// observe completes an observation with what the world shows. That the cluster cannot be reached is part of it: while it
// restarts, the only server of a cluster is away, and one that an update has left stopped is away until the next update.
func (k *kind) observe(ctx context.Context, w *world, o *walk.Observed) error {
	err := k.see(ctx, w, o)
	if unreachable(err) {
		o.Blind = err.Error()
		return nil
	}
	return err
}

func (k *kind) see(ctx context.Context, w *world, o *walk.Observed) error {
	o.Now, o.Most = w.now, k.most
	o.Accepting = remembered + apart
	if o.Deployed == nil {
		return nil
	}
	settled := o.Settled && o.File.Same(o.Deployed)
	if k.name == "ca" {
		// A pod has asked for a session anew by then, with the certificate that it has got.
		o.Living = time.Duration(w.config.RolesAnywhere.SessionSeconds)*time.Second + delivered + apart
		if settled {
			return w.certificates(ctx, o)
		}
		return nil
	}
	o.Accepting += time.Duration(w.config.Issuer.CacheTTLSeconds) * time.Second
	pods, err := w.cluster.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	o.Living = longest(pods.Items, o) + apart
	if settled {
		return w.tokens(ctx, k, o)
	}
	return nil
}

// keyID is the kid that Kubernetes gives a key (pkg/serviceaccount/jwt.go).
func keyID(key *rsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), err
}

// tokens looks for what the issuers publish, what the servers sign, and what else is signed.
func (w *world) tokens(ctx context.Context, k *kind, o *walk.Observed) error {
	keys, issuers := set(w.config.SigningKeySet()), map[string]string{}
	if k.name == "key" {
		keys = o.Deployed
	}
	ids := map[string]string{}
	var all []string
	for _, m := range keys {
		public, err := w.state.PublicKey(w.resource("signing-key-" + m.Name))
		if err != nil {
			o.Missing = append(o.Missing, err.Error())
			continue
		}
		if ids[m.Name], err = keyID(public); err != nil {
			return err
		}
		all = append(all, ids[m.Name])
	}
	listed := kinds["issuer"].has(w.config)
	if k.name == "issuer" {
		listed = o.Deployed
	}
	for _, m := range listed {
		part := "issuer"
		if m.Name != keyset.DefaultName {
			part += "-" + m.Name
		}
		url, err := w.state.IssuerURL(w.resource(part))
		if err != nil {
			o.Missing = append(o.Missing, err.Error())
			continue
		}
		issuers[m.Name] = url
		published, err := readKeys(ctx, url)
		lacks := ""
		if err != nil {
			lacks = fmt.Sprintf("documents of %s: %v", url, err)
		} else if !slices.Equal(slices.Sorted(slices.Values(published)), slices.Sorted(slices.Values(all))) {
			lacks = fmt.Sprintf("%s publishes %d keys, not just those %d of the stack", url, len(published), len(all))
		}
		if lacks == "" {
			continue
		}
		if k.name == "issuer" && m.State != keyset.Active {
			o.Broken = append(o.Broken, walk.Broken{Name: m.Name, What: lacks})
			continue
		}
		o.Missing = append(o.Missing, lacks)
	}
	kid, issuer := ids[keys.Active()], issuers[listed.Active()]
	if err := w.signs(ctx, kid, issuer, o); err != nil || k.name != "key" {
		return err
	}
	return w.secrets(ctx, kid, o)
}

// readKeys reads an issuer's documents as the world does, and returns the ids of its keys.
func readKeys(ctx context.Context, issuer string) ([]string, error) {
	var discovery struct {
		Issuer string
		JWKS   string `json:"jwks_uri"`
	}
	if err := readJSON(ctx, issuer+"/.well-known/openid-configuration", &discovery); err != nil {
		return nil, err
	}
	if discovery.Issuer != issuer {
		return nil, fmt.Errorf("they are those of %q", discovery.Issuer)
	}
	var published struct{ Keys []struct{ Kid string } }
	if err := readJSON(ctx, discovery.JWKS, &published); err != nil {
		return nil, err
	}
	var ids []string
	for _, k := range published.Keys {
		ids = append(ids, k.Kid)
	}
	return ids, nil
}

func readJSON(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}

// asks is how many connections are tried for each server: with three servers behind a load balancer, one is missed by all of
// thirty with a chance of 1 in 100,000.
const asks = 10

// signs asks for tokens by new connections, so that each server answers some.
func (w *world) signs(ctx context.Context, kid, issuer string, o *walk.Observed) error {
	identity := w.config.Identities[0]
	n := 1
	if w.config.Cluster.Servers > 1 {
		n = asks * w.config.Cluster.Servers
	}
	for range n {
		own, err := w.cluster.Apart()
		if err != nil {
			return err
		}
		token, err := own.Token(ctx, identity.Namespace, identity.ServiceAccount, "sts.amazonaws.com")
		if err != nil {
			return err
		}
		signed, named, err := tokenOf(token)
		if err != nil {
			return err
		}
		if signed != kid {
			o.Missing = append(o.Missing, "a server signs with another key than the active one")
			return nil
		}
		if named != issuer {
			o.Missing = append(o.Missing, "a server names "+named+" in its tokens, not "+issuer)
			return nil
		}
	}
	return nil
}

// tokenOf is what a token says of who signed it. Nothing is verified.
func tokenOf(token string) (kid, issuer string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", "", errors.New("a token has not three parts")
	}
	var header struct{ Kid string }
	var claims struct{ Iss string }
	for i, into := range []any{&header, &claims} {
		part, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return "", "", errors.New("a token is no base64")
		}
		if err := json.Unmarshal(part, into); err != nil {
			return "", "", errors.New("a token is no JSON")
		}
	}
	return header.Kid, claims.Iss, nil
}

// secrets looks for tokens that never end: those in Secrets, which the controller manager signs.
func (w *world) secrets(ctx context.Context, kid string, o *walk.Observed) error {
	list, err := w.cluster.Client.CoreV1().Secrets("").List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
	if err != nil {
		return err
	}
	for _, s := range list.Items {
		signed, _, err := tokenOf(string(s.Data[corev1.ServiceAccountTokenKey]))
		if err == nil && signed != "" && signed != kid {
			o.InUse = append(o.InUse, fmt.Sprintf("Secret %s/%s has a token that never ends: delete it and make it anew", s.Namespace, s.Name))
		}
	}
	return nil
}

// longest reads how long tokens live: the longest of any pod that was there before the set became what it is. A pod that came
// later has tokens of the active member alone.
func longest(pods []corev1.Pod, o *walk.Observed) time.Duration {
	most := shortestToken
	before := o.Since.Add(apart)
	retiring := slices.ContainsFunc(o.Deployed, func(m keyset.Member) bool { return m.State == keyset.Retiring })
	for _, pod := range pods {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if ended || retiring && pod.CreationTimestamp.After(before) {
			continue
		}
		for _, v := range pod.Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for _, source := range v.Projected.Sources {
				if source.ServiceAccountToken == nil {
					continue
				}
				length := volumeDefault
				if s := source.ServiceAccountToken.ExpirationSeconds; s != nil {
					length = time.Duration(*s) * time.Second
				}
				most = max(most, length)
			}
		}
	}
	return most
}

// certificates looks for the CAs that the trust anchor has, and for who has signed the identities' certificates.
func (w *world) certificates(ctx context.Context, o *walk.Observed) error {
	arn, err := w.anchor()
	if err != nil {
		return err
	}
	anchor, err := rolesanywhere.NewFromConfig(w.aws).GetTrustAnchor(ctx, &rolesanywhere.GetTrustAnchorInput{TrustAnchorId: aws.String(arn[strings.LastIndexByte(arn, '/')+1:])})
	if err != nil {
		return err
	}
	bundle := ""
	if source, ok := anchor.TrustAnchor.Source.SourceData.(*types.SourceDataMemberX509CertificateData); ok {
		bundle = source.Value
	}
	var active *x509.Certificate
	for _, m := range o.Deployed {
		ca, err := w.state.Certificate(w.resource("ca-ca-" + m.Name + "-cert"))
		if err != nil {
			o.Missing = append(o.Missing, err.Error())
			continue
		}
		if !slices.ContainsFunc(certificatesOf([]byte(bundle)), ca.Equal) {
			o.Missing = append(o.Missing, "the trust anchor has no CA "+m.Name)
		}
		if m.State == keyset.Active {
			active = ca
		}
	}
	if n := len(certificatesOf([]byte(bundle))); n != len(o.Deployed) {
		o.Missing = append(o.Missing, fmt.Sprintf("the trust anchor has %d CAs, not %d", n, len(o.Deployed)))
	}
	if active == nil {
		return nil
	}
	for _, identity := range w.config.Identities {
		for _, who := range identity.Accounts() {
			leaf, err := w.leaf(ctx, who)
			if err != nil {
				o.Missing = append(o.Missing, err.Error())
			} else if leaf.CheckSignatureFrom(active) != nil {
				o.Missing = append(o.Missing, fmt.Sprintf("the Secret of %s has a certificate of another CA than the active one", who.Key()))
			}
		}
	}
	return nil
}

// leaf is the certificate that a service account's pods have.
func (w *world) leaf(ctx context.Context, who config.Account) (*x509.Certificate, error) {
	secrets, err := w.cluster.Client.CoreV1().Secrets(who.Namespace).Get(ctx, workload.SecretName(who.Name), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	list := certificatesOf(secrets.Data[corev1.TLSCertKey])
	if len(list) == 0 {
		return nil, fmt.Errorf("the Secret of %s has no certificate", who.Key())
	}
	return list[0], nil
}

func certificatesOf(text []byte) []*x509.Certificate {
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, c)
		}
	}
	return list
}
