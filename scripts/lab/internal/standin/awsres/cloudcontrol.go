package awsres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
	"k3s-aws-auth/scripts/lab/internal/typeschema"
)

// cloudControlResources follow internal/service/cloudcontrol/resource.go: the schema is asked for when a new resource is
// planned, and kept in the state; a desired state is held against it; changes are sent as the patch between the old desired
// state and the new one, whatever is there; a refresh sees `properties` alone, so that what others change is not put right.
// There is no importer: a read without a type name fails, as it does there.
var cloudControlResources = map[string]*resource{
	"aws:cloudcontrol/resource:Resource": {
		Check: checkCloudControl, Create: createCloudControl, Read: readCloudControl, Update: updateCloudControl, Delete: deleteCloudControl,
		Diff: func(d *diff) {
			schema, err := typeschema.Parse(engine.Str(d.Old, "schema"))
			was, wasErr := typeschema.Decode(engine.Str(d.Old, "desiredState"))
			is, isErr := typeschema.Decode(engine.Str(d.In, "desiredState"))
			if err != nil || wasErr != nil || isErr != nil {
				return
			}
			for _, o := range typeschema.Diff(was, is) {
				if typeschema.Listed(schema.CreateOnly, o.Path) {
					d.Replace("desiredState")
				}
			}
		},
		Volatile: func(changed map[string]bool) []string {
			if changed["desiredState"] {
				return []string{"properties"}
			}
			return nil
		},
	},
}

// checkCloudControl holds a new resource against its type's schema, which it asks CloudFormation for.
func checkCloudControl(c *checker) {
	if _, known := c.In["typeName"].(string); len(c.Old) > 0 || !known {
		return
	}
	schema, err := c.Client.schemaOf(context.Background(), c.In)
	if err != nil {
		c.Fail("typeName", "%v", err)
		return
	}
	if desired, known := c.In["desiredState"].(string); known {
		if err := validDesired(schema, desired); err != nil {
			c.Fail("desiredState", "%v", err)
		}
	}
}

func validDesired(schema, desired string) error {
	s, err := typeschema.Parse(schema)
	if err != nil {
		return err
	}
	m, err := typeschema.Decode(desired)
	if err == nil {
		err = s.Validate(m)
	}
	if err != nil {
		return fmt.Errorf("validating desired_state against CloudFormation Resource Schema: %w", err)
	}
	return nil
}

func createCloudControl(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "typeName")
	schema, err := c.Client.schemaOf(ctx, c.In)
	if err != nil {
		return "", nil, err
	}
	if err := validDesired(schema, engine.Str(c.In, "desiredState")); err != nil {
		return "", nil, err
	}
	begun, err := c.Client.cloudControl(ctx, "CreateResource", m{"TypeName": name, "DesiredState": engine.Str(c.In, "desiredState"), "ClientToken": uuid.NewString()})
	if err != nil {
		return "", nil, fmt.Errorf("creating Cloud Control API (%s) Resource: %w", name, err)
	}
	end, err := c.Client.progressed(ctx, begun)
	if err != nil {
		return begun.ProgressEvent.Identifier, m{"schema": schema}, fmt.Errorf("waiting for Cloud Control API (%s) Resource (%s) create: %w", name, begun.ProgressEvent.Identifier, err)
	}
	return end.ProgressEvent.Identifier, m{"schema": schema}, nil
}

func readCloudControl(ctx context.Context, c *call) (m, error) {
	name := engine.Str(c.In, "typeName")
	out, err := c.Client.cloudControl(ctx, "GetResource", m{"TypeName": name, "Identifier": c.ID})
	if is(err, anywhereGone) || err != nil && strings.Contains(err.Error(), "not found") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading Cloud Control API (%s) Resource (%s): %w", name, c.ID, err)
	}
	return m{"properties": out.ResourceDescription.Properties}, nil
}

func updateCloudControl(ctx context.Context, c *call) (m, error) {
	if !c.Changed["desiredState"] {
		return nil, nil
	}
	name := engine.Str(c.In, "typeName")
	if err := validDesired(engine.Str(c.Old, "schema"), engine.Str(c.In, "desiredState")); err != nil {
		return nil, err
	}
	was, err := typeschema.Decode(engine.Str(c.Old, "desiredState"))
	if err != nil {
		return nil, fmt.Errorf("creating JSON Patch: %w", err)
	}
	is, err := typeschema.Decode(engine.Str(c.In, "desiredState"))
	if err != nil {
		return nil, fmt.Errorf("creating JSON Patch: %w", err)
	}
	patch, err := json.Marshal(typeschema.Diff(was, is))
	if err != nil {
		return nil, fmt.Errorf("creating JSON Patch: %w", err)
	}
	begun, err := c.Client.cloudControl(ctx, "UpdateResource", m{"TypeName": name, "Identifier": c.ID, "PatchDocument": string(patch), "ClientToken": uuid.NewString()})
	if err != nil {
		return nil, fmt.Errorf("updating Cloud Control API (%s) Resource (%s): %w", name, c.ID, err)
	}
	if _, err := c.Client.progressed(ctx, begun); err != nil {
		return nil, fmt.Errorf("waiting for Cloud Control API (%s) Resource (%s) update: %w", name, c.ID, err)
	}
	return nil, nil
}

func deleteCloudControl(ctx context.Context, c *call) error {
	name := engine.Str(c.In, "typeName")
	begun, err := c.Client.cloudControl(ctx, "DeleteResource", m{"TypeName": name, "Identifier": c.ID, "ClientToken": uuid.NewString()})
	if err != nil {
		return fmt.Errorf("deleting Cloud Control API (%s) Resource (%s): %w", name, c.ID, err)
	}
	end, err := c.Client.progressed(ctx, begun)
	if err != nil && end.ProgressEvent.ErrorCode != "NotFound" {
		return fmt.Errorf("waiting for Cloud Control API (%s) Resource (%s) delete: %w", name, c.ID, err)
	}
	return nil
}

// cloudControlAnswer has what the answers have that are read.
type cloudControlAnswer struct {
	ProgressEvent struct {
		Identifier, RequestToken, OperationStatus, StatusMessage, ErrorCode string
	}
	ResourceDescription struct{ Properties string }
}

// progressed waits for the end of a request: the last event, also where it failed.
func (c *Client) progressed(ctx context.Context, begun cloudControlAnswer) (end cloudControlAnswer, err error) {
	err = engine.Wait(ctx, 2*time.Hour, "the request", func(ctx context.Context) (bool, error) {
		end, err = c.cloudControl(ctx, "GetResourceRequestStatus", m{"RequestToken": begun.ProgressEvent.RequestToken})
		switch e := end.ProgressEvent; {
		case err != nil:
			return false, err
		case e.OperationStatus == "PENDING", e.OperationStatus == "IN_PROGRESS":
			return false, nil
		case e.OperationStatus != "SUCCESS":
			return false, fmt.Errorf("unexpected state '%s', wanted target 'SUCCESS'. last error: %s: %s", e.OperationStatus, e.ErrorCode, e.StatusMessage)
		}
		return true, nil
	})
	return end, err
}

// cloudControl makes a call of Cloud Control, which speaks JSON 1.0.
func (c *Client) cloudControl(ctx context.Context, action string, in m) (out cloudControlAnswer, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	answer, err := c.signed(ctx, "cloudcontrolapi", body, map[string]string{
		"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "CloudApiService." + action})
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(answer, &out)
}

// schemaOf is the schema that a resource's inputs give, else its type's.
func (c *Client) schemaOf(ctx context.Context, in m) (string, error) {
	if schema := engine.Str(in, "schema"); schema != "" {
		return schema, nil
	}
	return c.typeSchema(ctx, engine.Str(in, "typeName"))
}

// typeSchema asks CloudFormation for a type's schema.
func (c *Client) typeSchema(ctx context.Context, name string) (string, error) {
	form := url.Values{"Action": {"DescribeType"}, "Version": {"2010-05-15"}, "Type": {"RESOURCE"}, "TypeName": {name}}
	answer, err := c.signed(ctx, "cloudformation", []byte(form.Encode()), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	if err != nil {
		return "", fmt.Errorf("reading CloudFormation Type (%s): %w", name, err)
	}
	var out struct {
		Schema string `xml:"DescribeTypeResult>Schema"`
	}
	if err := xml.Unmarshal(answer, &out); err != nil {
		return "", fmt.Errorf("reading CloudFormation Type (%s): %w", name, err)
	}
	return out.Schema, nil
}

// signed posts a body to a service of which this provider has no client of the SDK, with the SDK's own signer, endpoint,
// credentials and HTTP client. An error has the service's code and message.
func (c *Client) signed(ctx context.Context, service string, body []byte, headers map[string]string) ([]byte, error) {
	endpoint := aws.ToString(c.cfg.BaseEndpoint)
	if endpoint == "" {
		endpoint = "https://" + service + "." + c.Region + "." + c.DNSSuffix
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	who, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(hash[:]), service, c.Region, time.Now()); err != nil {
		return nil, err
	}
	res, err := c.cfg.HTTPClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return answer, nil
	}
	failure := &smithy.GenericAPIError{}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/x-amz-json") {
		var of struct {
			Type    string `json:"__type"`
			Message string
		}
		_ = json.Unmarshal(answer, &of)
		failure.Code, failure.Message = of.Type[strings.LastIndexByte(of.Type, '#')+1:], of.Message
	} else {
		var of struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		_ = xml.Unmarshal(answer, &of)
		failure.Code, failure.Message = of.Code, of.Message
	}
	if failure.Code == "" {
		failure.Code, failure.Message = "UnknownError", fmt.Sprintf("%s: %s", res.Status, answer)
	}
	return nil, failure
}
