package services_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/services"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

// lab is a gate with all services; clients reach it by AWS's own host names over its TLS.
type lab struct {
	*gate.Gate
	*services.Services
	t      *testing.T
	offset atomic.Int64
	// permissions holds the actions that calls were found to need.
	permissions sync.Map
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t}
	g, err := gate.New(gate.Options{AccountID: account, Region: region, Log: testLog{t}, Now: func() time.Time {
		return time.Now().Add(time.Duration(l.offset.Load()))
	}, Decided: func(in policy.Request, _ policy.Verdict) { l.permissions.Store(in.Action, true) }})
	require.NoError(t, err)
	l.Gate = g
	l.Services, err = services.Register(g, services.Options{EmulatorURL: os.Getenv("LAB_EMULATOR_URL")})
	require.NoError(t, err)
	t.Cleanup(func() {
		l.Services.Close()
		_ = g.Close()
	})
	return l
}

// testLog sends the gate's log to the test's.
type testLog struct{ t *testing.T }

// Write logs one line.
func (w testLog) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

func (l *lab) later(d time.Duration) { l.offset.Add(int64(d)) }

// config is an SDK configuration for a key; empty means the admin's.
func (l *lab) config(in string, key ...string) aws.Config {
	if len(key) == 0 {
		id, secret := l.Admin()
		key = []string{id, secret, ""}
	}
	return aws.Config{Region: in, Credentials: credentials.NewStaticCredentialsProvider(key[0], key[1], key[2]),
		HTTPClient: l.Client(30 * time.Second), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported}
}

// user makes a user with one policy and returns its configuration.
func (l *lab) user(name, policy string) aws.Config {
	l.t.Helper()
	ctx := context.Background()
	c := iam.NewFromConfig(l.config(region))
	_, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	require.NoError(l.t, err)
	if policy != "" {
		_, err = c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy})
		require.NoError(l.t, err)
	}
	k, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	require.NoError(l.t, err)
	return l.config(region, *k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
}

// requireCode holds an error against AWS's code and a part of its message.
func requireCode(t *testing.T, err error, code string, parts ...string) {
	t.Helper()
	require.Error(t, err)
	var api smithy.APIError
	require.True(t, errors.As(err, &api), "%v", err)
	require.Equal(t, code, api.ErrorCode(), "%v", err)
	for _, p := range parts {
		require.Contains(t, api.ErrorMessage(), p)
	}
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(b)
}
