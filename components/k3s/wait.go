package k3s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k3s-aws-auth/components/kubeclient"
)

// How long the API server may take, from the moment its machine runs. A first
// boot takes two to three minutes, and four to six where the machine is throttled to
// its baseline (T3 with standard credits).
const apiDeadline = 10 * time.Minute

// Pauses between two questions to the API server, doubling from the first to
// the last.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = time.Second
)

// errAPINotReady is what waitForAPI fails with when the deadline passes.
var errAPINotReady = errors.New("the Kubernetes API is not ready")

// waitForAPI returns once the API server says that it is ready (200 from
// /readyz) over a connection verified both ways, or with an error that has the
// last answer and hint when the deadline passes. progress is told when the
// answer changes.
func waitForAPI(ctx context.Context, access kubeclient.Admin, deadline time.Duration, hint string, progress func(string)) error {
	return poll(ctx, access, deadline, errAPINotReady, hint, progress, askReady)
}

// finalError ends a wait before its deadline.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

// poll asks until there is no error, or a final one. It fails with failed, the
// last answer and hint when the deadline passes. ask also returns what the server
// said, empty if it said nothing.
func poll(ctx context.Context, access kubeclient.Admin, deadline time.Duration, failed error, hint string, progress func(string),
	ask func(context.Context, *kubeclient.Client) (answer string, err error),
) error {
	kubeconfig, err := access.Kubeconfig()
	if err != nil {
		return err
	}
	way, err := kubeclient.Parse(kubeconfig)
	if err != nil {
		return err
	}
	client, done := way.Keep()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	last := ""
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		answer, err := ask(ctx, client)
		if err == nil {
			return nil
		}
		if over := (finalError{}); errors.As(err, &over) {
			return over.error
		}
		if ctx.Err() == nil || answer != "" {
			if text := err.Error(); text != last {
				last = text
				progress(text)
			}
		}
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("waiting for the Kubernetes API at %s: %w", access.Endpoint, ctx.Err())
			}
			return fmt.Errorf("%w at %s after %s. Last answer: %s. %s", failed, access.Endpoint, deadline, last, hint)
		case <-time.After(pause):
		}
	}
}

// askReady asks once. answer is what the server said, empty if it said nothing.
func askReady(ctx context.Context, client *kubeclient.Client) (answer string, err error) {
	said, err := do(ctx, client, kubeclient.Request{Path: "/readyz", Accept: "*/*"})
	if err != nil {
		return "", err
	}
	if said.Status != http.StatusOK {
		err = errors.New(said.String())
	}
	return said.String(), err
}

// do asks once, and not for long: the next question may reach another server.
func do(ctx context.Context, client *kubeclient.Client, request kubeclient.Request) (kubeclient.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return client.Do(ctx, request)
}

// bootHint says how to find out why a server did not come up, and how to go on.
func bootHint(instanceID, region string) string {
	return fmt.Sprintf("If connections time out, is this machine's public address in APICIDRs? "+
		"Otherwise the server says why: `aws ec2 get-console-output --latest --output text --region %[2]s --instance-id %[1]s` "+
		"(look for k3s-boot; where it is missing, cloud-init did not run it), or `aws ssm start-session --region %[2]s --target %[1]s` and there `sudo journalctl -u k3s` "+
		"and `sudo /usr/local/sbin/k3s-boot` to try again. Nothing is lost: the next `pulumi up` goes on from here.",
		instanceID, region)
}
