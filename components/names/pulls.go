package names

// What kubelets and the credential provider of ECR have agreed on.
const (
	// PullRoleAnnotation is the annotation of a ServiceAccount that names the role by
	// which its pods are pulled (kubernetes/cloud-provider-aws,
	// cmd/ecr-credential-provider/main.go, since v1.34).
	PullRoleAnnotation = "eks.amazonaws.com/ecr-role-arn"
	// PullAudience is the audience of the tokens that the provider exchanges.
	PullAudience = "sts.amazonaws.com"
)
