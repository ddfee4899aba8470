package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func certificateDrills() []*Drill {
	const ownCA = "trust a CA of the drill's own beside the stack's (it never sees the stack's key) and put "
	return []*Drill{
		{
			ID: "secret-deleted", Article: "F-03", Title: "Secret with the certificate deleted",
			Does:   "delete the Secret with the identity's certificate, and later make it again",
			Told:   toldAlways("certificate-secret-missing"),
			Expect: withCertificate(onlyNewPods("MountVolume.SetUp failed")),
			Note:   "Running pods keep the files that they have mounted.",
			Inject: deleteSecret,
		},
		{
			ID: "leaf-expired", Title: "certificate expired",
			Does:   ownCA + "an expired certificate of the identity's name into its Secret",
			Told:   toldAlways("certificate-ended"),
			Expect: withCertificate(sessionsGoOn(accessDenied)),
			Note:   "AWS does not document the text for an expired certificate.",
			Inject: func(ctx context.Context, t *Target, r *Recovery) error {
				_, err := replaceLeaf(ctx, t, r, time.Now().Add(-time.Hour))
				return err
			},
		},
		{
			ID: "leaf-revoked", Title: "certificate revoked",
			Does:   ownCA + "a certificate of the identity's name into its Secret that an imported CRL revokes",
			Told:   toldAlways("certificate-revoked"),
			Expect: withCertificate(sessionsGoOn(accessDenied)),
			Note:   "Sessions that were issued go on until they end. AWS does not document the text for a revoked certificate.",
			Inject: revokeLeaf,
		},
		{
			ID: "anchor-disabled", Title: "trust anchor disabled",
			Does:   "disable the trust anchor",
			Told:   toldAlways("anchor-disabled"),
			Expect: withCertificate(sessionsGoOn(accessDenied)),
			Note:   "AWS does not document the text for a disabled trust anchor.",
			Inject: func(ctx context.Context, t *Target, r *Recovery) error {
				client, id := t.RolesAnywhere(), idOf(t.AnchorARN)
				r.Add("enable trust anchor "+id, func(ctx context.Context) error {
					_, err := client.EnableTrustAnchor(ctx, &rolesanywhere.EnableTrustAnchorInput{TrustAnchorId: &id})
					return err
				})
				_, err := client.DisableTrustAnchor(ctx, &rolesanywhere.DisableTrustAnchorInput{TrustAnchorId: &id})
				return err
			},
		},
		{
			ID: "profile-without-role", Title: "profile without the role",
			Does:   "take the identity's role out of the Roles Anywhere profile",
			Told:   toldAlways("profile-role"),
			Expect: withCertificate(sessionsGoOn(unableToAssume)),
			Note:   "The error is the one of a deleted role or a wrong name: AWS does not tell which.",
			Inject: emptyProfile,
		},
	}
}

func idOf(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// secret reads the identity's Secret and returns how to put it back.
func secret(ctx context.Context, t *Target) (*corev1.Secret, func(context.Context) error, error) {
	secrets := t.Cluster.Client.CoreV1().Secrets(t.Model.Namespace)
	before, err := secrets.Get(ctx, t.SecretName, metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	restore := func(ctx context.Context) error {
		again := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: before.Name, Namespace: before.Namespace, Labels: before.Labels,
			Annotations: before.Annotations, OwnerReferences: before.OwnerReferences, Finalizers: before.Finalizers},
			Type: before.Type, Data: before.Data, Immutable: before.Immutable}
		_, err := secrets.Create(ctx, again, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			_, err = secrets.Update(ctx, again, metav1.UpdateOptions{})
		}
		return err
	}
	return before, restore, nil
}

func deleteSecret(ctx context.Context, t *Target, r *Recovery) error {
	_, restore, err := secret(ctx, t)
	if err != nil {
		return err
	}
	r.Add("make Secret "+t.SecretName+" again", restore)
	return t.Cluster.Client.CoreV1().Secrets(t.Model.Namespace).Delete(ctx, t.SecretName, metav1.DeleteOptions{})
}

// replaceLeaf lets the trust anchor trust a CA of the drill's beside what it trusts, and puts a certificate of that CA with
// the identity's subject, valid until notAfter, into the identity's Secret.
func replaceLeaf(ctx context.Context, t *Target, r *Recovery, notAfter time.Time) (*authority, error) {
	before, restore, err := secret(ctx, t)
	if err != nil {
		return nil, err
	}
	leaf, err := parseCertificate(before.Data[corev1.TLSCertKey])
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", t.SecretName, err)
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.issue(leaf, notAfter)
	if err != nil {
		return nil, err
	}
	client, id := t.RolesAnywhere(), idOf(t.AnchorARN)
	anchor, err := client.GetTrustAnchor(ctx, &rolesanywhere.GetTrustAnchorInput{TrustAnchorId: &id})
	if err != nil {
		return nil, err
	}
	source := anchor.TrustAnchor.Source
	bundle, ok := source.SourceData.(*types.SourceDataMemberX509CertificateData)
	if !ok {
		return nil, fmt.Errorf("trust anchor %s is no certificate bundle, and so takes no second CA", id)
	}
	update := func(ctx context.Context, s *types.Source) error {
		_, err := client.UpdateTrustAnchor(ctx, &rolesanywhere.UpdateTrustAnchorInput{TrustAnchorId: &id, Source: s})
		return err
	}
	r.Add("restore the CAs of trust anchor "+id, func(ctx context.Context) error { return update(ctx, source) })
	both := strings.TrimSpace(bundle.Value) + "\n" + string(ca.pem())
	if err := update(ctx, &types.Source{SourceType: source.SourceType, SourceData: &types.SourceDataMemberX509CertificateData{Value: both}}); err != nil {
		return nil, err
	}
	changed := before.DeepCopy()
	changed.Data[corev1.TLSCertKey], changed.Data[corev1.TLSPrivateKeyKey] = cert, key
	r.Add("restore Secret "+t.SecretName, restore)
	_, err = t.Cluster.Client.CoreV1().Secrets(t.Model.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
	return ca, err
}

func revokeLeaf(ctx context.Context, t *Target, r *Recovery) error {
	ca, err := replaceLeaf(ctx, t, r, time.Now().Add(24*time.Hour))
	if err != nil {
		return err
	}
	list, err := ca.revokeAll()
	if err != nil {
		return err
	}
	client := t.RolesAnywhere()
	imported, err := client.ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String(fmt.Sprintf("drill-%d", time.Now().Unix())),
		CrlData: list, TrustAnchorArn: &t.AnchorARN, Enabled: aws.Bool(true)})
	if err != nil {
		return err
	}
	r.Add("delete the drill's CRL", func(ctx context.Context) error {
		_, err := client.DeleteCrl(ctx, &rolesanywhere.DeleteCrlInput{CrlId: imported.Crl.CrlId})
		return err
	})
	return nil
}

func emptyProfile(ctx context.Context, t *Target, r *Recovery) error {
	client, id := t.RolesAnywhere(), idOf(t.ProfileARN)
	profile, err := client.GetProfile(ctx, &rolesanywhere.GetProfileInput{ProfileId: &id})
	if err != nil {
		return err
	}
	before := profile.Profile.RoleArns
	var others []string
	for _, arn := range before {
		if arn != t.RoleARN {
			others = append(others, arn)
		}
	}
	if len(others) == 0 {
		others = []string{t.RoleARN + "-drill"} // an update without roles changes nothing
	}
	update := func(ctx context.Context, roles []string) error {
		_, err := client.UpdateProfile(ctx, &rolesanywhere.UpdateProfileInput{ProfileId: &id, RoleArns: roles})
		return err
	}
	r.Add("restore the roles of profile "+id, func(ctx context.Context) error { return update(ctx, before) })
	return update(ctx, others)
}
