package k3s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
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

// apiAccess is an API server and an admin's way into it.
type apiAccess struct {
	// endpoint is https://host:port.
	endpoint string
	// caPEM verifies the server; certPEM and keyPEM are the client's.
	caPEM, certPEM, keyPEM string
}

// waitForAPI returns once the API server says that it is ready (200 from
// /readyz) over a connection verified both ways, or with an error that has the
// last answer and hint when the deadline passes. progress is told when the
// answer changes.
func waitForAPI(ctx context.Context, access apiAccess, deadline time.Duration, hint string, progress func(string)) error {
	return access.poll(ctx, deadline, errAPINotReady, hint, progress, func(ctx context.Context, client *http.Client) (string, error) {
		return askReady(ctx, client, access.endpoint)
	})
}

// finalError ends a wait before its deadline.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

// poll asks until there is no error, or a final one. It fails with failed, the
// last answer and hint when the deadline passes. ask also returns what the server
// said, empty if it said nothing.
func (access apiAccess) poll(ctx context.Context, deadline time.Duration, failed error, hint string, progress func(string), ask func(context.Context, *http.Client) (string, error)) error {
	client, err := access.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
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
				return fmt.Errorf("waiting for the Kubernetes API at %s: %w", access.endpoint, ctx.Err())
			}
			return fmt.Errorf("%w at %s after %s. Last answer: %s. %s", failed, access.endpoint, deadline, last, hint)
		case <-time.After(pause):
		}
	}
}

// askReady asks once. answer is what the server said, empty if it said nothing.
func askReady(ctx context.Context, client *http.Client, endpoint string) (answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/readyz", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 512))
	if response.StatusCode == http.StatusOK {
		return string(body), nil
	}
	answer = strings.Join(strings.Fields(response.Status+" "+string(body)), " ")
	return answer, errors.New(answer)
}

func (access apiAccess) client() (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(access.caPEM)) {
		return nil, errors.New("the server CA has no certificate")
	}
	certificate, err := tls.X509KeyPair([]byte(access.certPEM), []byte(access.keyPEM))
	if err != nil {
		return nil, fmt.Errorf("the admin's client certificate: %w", err)
	}
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment, // as the Kubernetes provider does
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

// bootHint says how to find out why a server did not come up, and how to go on.
func bootHint(instanceID, region string) string {
	return fmt.Sprintf("If connections time out, is this machine's public address in APICIDRs? "+
		"Otherwise the server says why: `aws ec2 get-console-output --latest --output text --region %[2]s --instance-id %[1]s` "+
		"(look for k3s-boot; where it is missing, cloud-init did not run it), or `aws ssm start-session --region %[2]s --target %[1]s` and there `sudo journalctl -u k3s` "+
		"and `sudo /usr/local/sbin/k3s-boot` to try again. Nothing is lost: the next `pulumi up` goes on from here.",
		instanceID, region)
}
