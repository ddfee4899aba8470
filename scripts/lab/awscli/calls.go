package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// field is one member of an answer, in the order in which the CLI prints them.
type field struct {
	Name  string
	Value any
}

type output []field

// load reads configuration as the SDK does; the options override it.
func load(ctx context.Context, c *command) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if r := c.values["region"]; r != "" {
		options = append(options, config.WithRegion(r))
	}
	if e := c.values["endpoint-url"]; e != "" {
		options = append(options, config.WithBaseEndpoint(e))
	}
	// The SDK makes the STS client for web identity before it reads AWS_ENDPOINT_URL, and so calls AWS's own address;
	// the service's variable it reads in time. The AWS CLI honours both.
	if general, ok := os.LookupEnv("AWS_ENDPOINT_URL"); ok {
		if _, ok := os.LookupEnv("AWS_ENDPOINT_URL_STS"); !ok {
			if err := os.Setenv("AWS_ENDPOINT_URL_STS", general); err != nil {
				return aws.Config{}, err
			}
		}
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, err
	}
	cfg.Logger = logging.Nop{} // it would say on stderr that an answer has no checksum
	if cfg.Region == "" {
		return cfg, errNoRegion
	}
	return cfg, nil
}

var errNoRegion = errors.New("you must specify a region. You can also configure your region by running \"aws configure\"")

func getCallerIdentity(ctx context.Context, c *command) (output, error) {
	cfg, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	answer, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, err
	}
	return output{{"UserId", aws.ToString(answer.UserId)}, {"Account", aws.ToString(answer.Account)}, {"Arn", aws.ToString(answer.Arn)}}, nil
}

// exportCredentials returns the credentials that the chain finds as shell exports (the CLI's format env). They are good
// until they expire and are never refreshed.
func exportCredentials(ctx context.Context, c *command) (output, error) {
	if f := c.values["format"]; f != "env" {
		return nil, usageError{fmt.Errorf("argument --format: found %q: this client has env alone", f)}
	}
	cfg, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	out := output{{"AWS_ACCESS_KEY_ID", found.AccessKeyID}, {"AWS_SECRET_ACCESS_KEY", found.SecretAccessKey}}
	if found.SessionToken != "" {
		out = append(out, field{"AWS_SESSION_TOKEN", found.SessionToken})
	}
	return out, nil
}

func putObject(ctx context.Context, c *command) (output, error) {
	body, err := os.Open(c.values["body"])
	if err != nil {
		return nil, usageError{fmt.Errorf("error parsing parameter '--body': blob values must be a path to a file: %w", err)}
	}
	defer func() { _ = body.Close() }()
	cfg, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	answer, err := s3.NewFromConfig(cfg, style).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(c.values["bucket"]), Key: aws.String(c.values["key"]), Body: body})
	if err != nil {
		return nil, err
	}
	return output{{"ETag", aws.ToString(answer.ETag)}}, nil
}

func getObject(ctx context.Context, c *command) (out output, err error) {
	cfg, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	answer, err := s3.NewFromConfig(cfg, style).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(c.values["bucket"]), Key: aws.String(c.values["key"])})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	file, err := os.OpenFile(c.argument, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(file, answer.Body)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	out = output{{"ContentLength", n}, {"ETag", aws.ToString(answer.ETag)}}
	if t := aws.ToString(answer.ContentType); t != "" {
		out = append(out, field{"ContentType", t})
	}
	return out, nil
}

func listObjects(ctx context.Context, c *command) (output, error) {
	cfg, err := load(ctx, c)
	if err != nil {
		return nil, err
	}
	input := &s3.ListObjectsV2Input{Bucket: aws.String(c.values["bucket"])}
	if p, ok := c.values["prefix"]; ok {
		input.Prefix = aws.String(p)
	}
	type object struct {
		Key          string
		LastModified string
		ETag         string
		Size         int64
	}
	contents := []object{}
	pages := s3.NewListObjectsV2Paginator(s3.NewFromConfig(cfg, style), input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			contents = append(contents, object{aws.ToString(o.Key), aws.ToTime(o.LastModified).UTC().Format(time.RFC3339), aws.ToString(o.ETag), aws.ToInt64(o.Size)})
		}
	}
	if len(contents) == 0 {
		return nil, nil
	}
	return output{{"Contents", contents}}, nil
}

// style lets an endpoint that is not AWS's own be addressed by path, since its host name has no bucket in front.
func style(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil }

// show writes an answer as the CLI does: indented JSON, or the bare values as text; --query picks one member.
func show(w io.Writer, c *command, out output) error {
	if len(out) == 0 {
		return nil
	}
	if c.values["format"] == "env" {
		for _, f := range out {
			if _, err := fmt.Fprintf(w, "export %s=%v\n", f.Name, f.Value); err != nil {
				return err
			}
		}
		return nil
	}
	format := c.values["output"]
	if format == "" {
		format = os.Getenv("AWS_DEFAULT_OUTPUT")
	}
	text := format == "text"
	if q := c.values["query"]; q != "" {
		for _, f := range out {
			if f.Name != q {
				continue
			}
			if s, ok := f.Value.(string); ok && text {
				_, err := fmt.Fprintln(w, s)
				return err
			}
			return encode(w, f.Value)
		}
		word := "null"
		if text {
			word = "None"
		}
		_, err := fmt.Fprintln(w, word)
		return err
	}
	if text {
		// The CLI prints members in the order of their names.
		var values []string
		for _, name := range []string{"Account", "Arn", "ContentLength", "ContentType", "Contents", "ETag", "UserId"} {
			for _, f := range out {
				if f.Name == name {
					values = append(values, fmt.Sprint(f.Value))
				}
			}
		}
		_, err := fmt.Fprintln(w, strings.Join(values, "\t"))
		return err
	}
	var b strings.Builder
	b.WriteString("{\n")
	for i, f := range out {
		value, err := json.MarshalIndent(f.Value, "    ", "    ")
		if err != nil {
			return err
		}
		comma := ","
		if i == len(out)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "    %q: %s%s\n", f.Name, value, comma)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	return e.Encode(v)
}

// describe turns an error into the CLI's message and exit status.
func describe(err error, operation string) (string, int) {
	var api smithy.APIError
	var inner *smithy.OperationError
	switch {
	case errors.Is(err, errUsage):
		return err.Error(), exitUsage
	case errors.Is(err, errNoRegion):
		return err.Error(), exitConfiguration
	case errors.As(err, &api):
		// The innermost operation is the one that AWS refused: with web identity it is AssumeRoleWithWebIdentity, on
		// the way to the credentials of the call that was asked for.
		for e := err; errors.As(e, &inner); e = inner.Err {
			operation = inner.Operation()
		}
		return fmt.Sprintf("An error occurred (%s) when calling the %s operation: %s", api.ErrorCode(), operation, api.ErrorMessage()), exitService
	case strings.Contains(err.Error(), "failed to refresh cached credentials"), strings.Contains(err.Error(), "get credentials"):
		// Where the chain ends without credentials, or their source fails: the CLI says only the former, which hides
		// the cause that somebody needs.
		return "Unable to locate credentials. You can configure credentials by running \"aws configure\". (" + err.Error() + ")", exitConfiguration
	}
	return err.Error(), exitOther
}
