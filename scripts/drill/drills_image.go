package main

import (
	"context"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/setups"
)

// ownImageVariable names an image of a private ECR repository that the identity's pods may be pulled from. A lab's is known.
const ownImageVariable = "K3S_AWS_AUTH_OWN_IMAGE"

// pullAnnotation is on service accounts whose pods are pulled with their own role.
const pullAnnotation = "eks.amazonaws.com/ecr-role-arn"

const (
	noPodPulls = "no pod is pulled with a role of its own here (cluster.imagePulls: pod)"
	noImage    = "no image is named by " + ownImageVariable
	notPulled  = "no basic auth credentials"
)

func imageDrills() []*Drill {
	unpulled := Expectation{Kept: Works, Fresh: Works, New: Fails, Error: notPulled}
	return []*Drill{
		{
			ID: "pull-annotation", Title: "service account loses the role that its pods are pulled with",
			Does:   "take the annotation " + pullAnnotation + " from the identity's service account, and later put it back",
			Told:   toldAlways("pull-annotation"),
			Expect: where(setups.Setup.PresentsToken, unpulled, noPodPulls),
			Note:   "Pods that run go on. A kubelet that has backed off pulls again by itself.",
			Pulled: true, Absent: noPulls,
			Inject: dropPullAnnotation,
		},
		{
			ID: "image-taken", Title: "another service account's image",
			Does:   "start a pod of another service account with the identity's image, on whatever node (nothing is changed)",
			Told:   toldNothing,
			Expect: where(setups.Setup.PresentsToken, unpulled, noPodPulls),
			Note:   "The node may have the image on its disk: a kubelet gives it to those alone that have pulled it.",
			Pulled: true, Absent: noPulls, Stranger: true,
		},
	}
}

// noPulls tells why there is nothing to pull.
func noPulls(ctx context.Context, t *Target) (string, error) {
	account, err := t.account(ctx)
	switch {
	case err != nil:
		return "", err
	case account.Annotations[pullAnnotation] == "":
		return noPodPulls, nil
	case t.PullImage == "":
		return noImage, nil
	}
	return "", nil
}

// account is the identity's ServiceAccount.
func (t *Target) account(ctx context.Context) (*corev1.ServiceAccount, error) {
	return t.Cluster.Client.CoreV1().ServiceAccounts(t.Model.Namespace).Get(ctx, t.Model.Spec.ServiceAccountName, metav1.GetOptions{})
}

func dropPullAnnotation(ctx context.Context, t *Target, r *Recovery) error {
	accounts := t.Cluster.Client.CoreV1().ServiceAccounts(t.Model.Namespace)
	account, err := t.account(ctx)
	if err != nil {
		return err
	}
	role := account.Annotations[pullAnnotation]
	r.Add("annotate service account "+account.Name+" again", func(ctx context.Context) error {
		account, err := t.account(ctx)
		if err != nil {
			return err
		}
		account.Annotations[pullAnnotation] = role
		_, err = accounts.Update(ctx, account, metav1.UpdateOptions{})
		return err
	})
	delete(account.Annotations, pullAnnotation)
	_, err = accounts.Update(ctx, account, metav1.UpdateOptions{})
	return err
}

// namedImage is the image that the environment names.
func namedImage() string { return os.Getenv(ownImageVariable) }
