package iampolicy

// Pull returns the statements by which a principal may pull images from private ECR
// repositories, and nothing else: what AWS's own AmazonEC2ContainerRegistryPullOnly
// allows, without filling a pull-through cache, and on these repositories alone. A
// pull asks for no other action: ecr:BatchCheckLayerAvailability is for pushes.
//
// A token for a registry is for all of it, so GetAuthorizationToken knows no
// resources. What may be pulled with the token is decided at each request.
//
// Source: ECR user guide, "AWS managed policies for Amazon ECR"; Service
// Authorization Reference, "Amazon Elastic Container Registry".
func Pull(repositories []string) []Statement {
	if len(repositories) == 0 {
		return nil
	}
	return []Statement{
		{Sid: "RegistryToken", Actions: []string{"ecr:GetAuthorizationToken"}, Resources: []string{"*"}},
		{Sid: "PullImages", Actions: []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, Resources: repositories},
	}
}
