// Command awscli is a small AWS client on the AWS SDK for Go, which the lab builds under the name aws for machines
// without the AWS CLI. It has just what the demo pod and the proofs use, with the CLI's names, output and errors:
//
//	aws sts get-caller-identity [--output json|text] [--query Arn]
//	aws configure export-credentials --format env
//	aws s3api put-object --bucket BUCKET --key KEY --body FILE
//	aws s3api get-object --bucket BUCKET --key KEY FILE
//	aws s3api list-objects-v2 --bucket BUCKET [--prefix PREFIX]
//
// Region and credentials come from the SDK's default chain. Exit status as the CLI's: 0, 252 usage, 253 no
// credentials or region, 254 an error that AWS answered, 255 anything else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

const help = `usage: aws sts get-caller-identity [--output json|text] [--query Arn]
       aws configure export-credentials --format env
       aws s3api put-object --bucket BUCKET --key KEY --body FILE
       aws s3api get-object --bucket BUCKET --key KEY FILE
       aws s3api list-objects-v2 --bucket BUCKET [--prefix PREFIX]

Every command also takes --region NAME, --endpoint-url URL, --output json|text and --query FIELD.
This is the lab's own small client with the AWS CLI's names, not the AWS CLI.

examples:
  aws sts get-caller-identity --query Arn --output text
  aws s3api put-object --bucket demo --key uploader/a.json --body /tmp/caller.json
`

// Exit statuses of the AWS CLI.
const (
	exitUsage         = 252
	exitConfiguration = 253
	exitService       = 254
	exitOther         = 255
)

// run executes one command and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && (args[0] == "help" || args[0] == "--help") {
		_, _ = io.WriteString(stdout, help)
		return 0
	}
	if len(args) > 0 && args[0] == "--version" {
		_, _ = io.WriteString(stdout, "aws-lab/1 (AWS SDK for Go v2)\n")
		return 0
	}
	c, err := parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "\naws: error: %v\n\n%s", err, help)
		return exitUsage
	}
	if c == nil {
		_, _ = io.WriteString(stdout, help)
		return 0
	}
	out, err := c.operation.call(ctx, c)
	if err == nil {
		err = show(stdout, c, out)
	}
	if err != nil {
		message, status := describe(err, c.operation.name)
		_, _ = fmt.Fprintf(stderr, "\n%s\n", message)
		return status
	}
	return 0
}

// usageError is a mistake in the command line that shows only when it is carried out.
type usageError struct{ error }

var errUsage = errors.New("usage")

func (usageError) Is(target error) bool { return target == errUsage }
