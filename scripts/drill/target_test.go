package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/setups"
)

// TestMatch finds a cluster's setup by what it has. A fifth setup is found by its facts, or refused by its name, and
// what no setup has is an error.
func TestMatch(t *testing.T) {
	list, err := setups.Around()
	require.NoError(t, err)
	for _, s := range list {
		for _, name := range []string{"", s.Name} {
			found, err := match(list, name, s.Presents, s.Issuer)
			require.NoError(t, err, s.Name)
			require.Equal(t, s, found)
		}
	}
	_, err = match(list, "", setups.Certificate, setups.Bucket)
	require.ErrorContains(t, err, "no setup of instance-profile, irsa-s3, irsa-cloudfront, roles-anywhere has what the cluster has: pods that present certificate, issuer's documents: bucket")
	_, err = match(list, "irsa-s3", setups.Metadata, setups.Nowhere)
	require.ErrorContains(t, err, "the cluster is not of setup irsa-s3: it has pods that present instance-metadata")
	_, err = match(list, "toy", setups.Token, setups.Bucket)
	require.ErrorContains(t, err, `found "toy"`)

	toy := setups.Setup{Name: "toy", Presents: setups.Token, Issuer: setups.Distribution, OwnRoles: true, SessionName: setups.ServiceAccount}
	five := append(list, toy)
	found, err := match(five, "toy", setups.Token, setups.Distribution)
	require.NoError(t, err)
	require.Equal(t, toy, found)
	_, err = match(five, "", setups.Token, setups.Distribution)
	require.ErrorContains(t, err, "--setup must say which of irsa-cloudfront, toy it is")
	_, err = match(five, "toy", setups.Token, setups.Bucket)
	require.ErrorContains(t, err, "the cluster is not of setup toy")
}

// TestFound reads what a pod presents. A pod that shows nothing is no pod of the setup in which pods show nothing, unless
// its role is a machine's.
func TestFound(t *testing.T) {
	pod := func(volumes ...corev1.Volume) *Target {
		return &Target{RoleName: "role", Model: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "uploader"}, Spec: corev1.PodSpec{Volumes: volumes}}}
	}
	token := corev1.Volume{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "sts.amazonaws.com"}}}}}}
	federated := func(host string) string {
		return `{"Statement":[{"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/` + host + `"}}]}`
	}
	machine := `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}}]}`
	for name, tt := range map[string]struct {
		target           *Target
		trust            string
		presents, issuer string
	}{
		"bucket":       {pod(token), federated("lab-issuer.s3.eu-central-1.amazonaws.com"), setups.Token, setups.Bucket},
		"distribution": {pod(token), federated("oidc.example.com"), setups.Token, setups.Distribution},
		"machine":      {pod(), machine, setups.Metadata, setups.Nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			presents, issuer, err := tt.target.found(t.Context(), tt.trust)
			require.NoError(t, err)
			require.Equal(t, []string{tt.presents, tt.issuer}, []string{presents, issuer})
		})
	}
	for _, trust := range []string{"{}", federated("oidc.example.com"), `{"Statement":[{"Principal":{"Service":"pods.eks.amazonaws.com"}}]}`} {
		_, _, err := pod().found(t.Context(), trust)
		require.ErrorContains(t, err, "pod uploader has neither a token nor a certificate for AWS, and role role is none of a machine")
	}
	_, _, err := pod(token).found(t.Context(), machine)
	require.ErrorContains(t, err, "names no OIDC provider")
}
