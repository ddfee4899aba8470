package state

import "fmt"

// The repositories that the lab's account has from the beginning, as a user's account has those of its teams. Each has
// one image, which is the AWS CLI's.
const (
	OwnRepository   = "team-a/app" // that labs with image pulls may pull from
	OtherRepository = "team-b/app" // that nobody may
	ImageTag        = "1"
)

// RepositoryARN is the ARN of one of them.
func (l *Lab) RepositoryARN(name string) string {
	return fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", l.Region, l.AccountID, name)
}

// Image is the reference of one's image.
func (l *Lab) Image(name string) string {
	return fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/%s:%s", l.AccountID, l.Region, name, ImageTag)
}
