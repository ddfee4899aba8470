// Command go is a client on the AWS SDK for Go for `lab clients`: one process that asks AWS who it is, twice a second, and
// prints a line for each answer.
package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	window := flag.Duration("window", 0, "how long before its end a session counts as ended")
	flag.Parse()
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = *window }))
	if err != nil {
		fmt.Println("failed", oneLine(err))
		return
	}
	client := sts.NewFromConfig(cfg)
	for ; ; time.Sleep(500 * time.Millisecond) {
		who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			fmt.Println("failed", oneLine(err))
			continue
		}
		fmt.Println("ok", aws.ToString(who.Arn))
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }
