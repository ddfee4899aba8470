// Package daemon is the process behind a lab: it holds the emulated account with the gate in front of it, and the
// machines, and writes down where they are.
package daemon

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/route53"

	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/services"
	"k3s-aws-auth/scripts/lab/internal/gate/sns"
	"k3s-aws-auth/scripts/lab/internal/machines"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// The emulated account: an id of AWS's own examples.
const (
	accountID = "111122223333"
	region    = "eu-central-1"
)

// Options say which lab it is. Log gets what would stand in a machine's or a service's log.
type Options struct {
	Setup, Dir string
	// Project and Plugins are written down for the lab's other commands.
	Project string
	Plugins map[string]string
	Tools   *build.Tools
	// CredentialProvider returns the path of ECR's, built where it is missing: machines ask for it that pull images.
	CredentialProvider func() (string, error)
	Log                io.Writer
}

// Run holds a lab until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	dir, tools, log := o.Dir, o.Tools, o.Log
	sockets, err := os.MkdirTemp("", "lab-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sockets)
	g, err := gate.New(gate.Options{Dir: dir, AccountID: accountID, Region: region, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if err := os.WriteFile(state.Trust(dir), append(g.CA(), systemRoots()...), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(state.CABundle(dir), g.CA(), 0o600); err != nil {
		return err
	}
	served, err := services.Register(g, services.Options{AddressBase: addressBase(dir)})
	if err != nil {
		return err
	}
	defer served.Close()

	endpoint, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = g.ServeTLS(endpoint, "host") }()
	proxy, err := serveHTTP(g.Proxy(gate.Past))
	if err != nil {
		return err
	}
	defer proxy.Close()

	lab := &state.Lab{Setup: o.Setup, Project: o.Project, Plugins: o.Plugins, PID: os.Getpid(), Endpoint: "https://" + endpoint.Addr().String(),
		Proxy: "http://" + proxy.Addr().String(), Region: region, AccountID: accountID}
	lab.AccessKeyID, lab.SecretKey = g.Admin()

	box, err := sandbox.Start(ctx, sandbox.Options{Binary: tools.Sandbox, Dir: filepath.Join(dir, "sandbox"), CA: state.CABundle(dir), Log: log})
	if err != nil && !errors.Is(err, sandbox.ErrUnsupported) {
		return err
	}
	if err == nil {
		defer box.Close()
	} else {
		fmt.Fprintf(log, "no sandbox: %v\n", err)
		box = nil
	}
	client := awsConfig(g, lab.Endpoint)
	if lab.HostedZoneID, err = hostedZone(ctx, client, lab.AccessKeyID, lab.SecretKey); err != nil {
		return err
	}
	if lab.BoundaryARN, err = boundary(ctx, client, lab.AccessKeyID, lab.SecretKey); err != nil {
		return err
	}
	if err := pushImages(ctx, client, lab); err != nil {
		return err
	}
	m, err := machines.New(machines.Options{
		Dir: filepath.Join(dir, "machines"), Sockets: sockets, Kubernetes: tools.Kubernetes, K3s: tools.K3s,
		Gate: g, EC2: served.EC2, ELB: served.ELB, Sandbox: box, AWS: client, Images: images(tools, o.Dir), Log: log, CredentialProvider: o.CredentialProvider,
		HostEnv: []string{"AWS_ENDPOINT_URL=" + lab.Endpoint, "AWS_CA_BUNDLE=" + state.CABundle(dir), "SSL_CERT_FILE=" + state.CABundle(dir)},
	})
	if err != nil {
		return err
	}
	defer m.Close()
	served.EC2.SetMachines(m)
	lab.Weaker = m.Weaker()

	if lab.ControlToken, err = newToken(); err != nil {
		return err
	}
	control, err := serveHTTP(guard(lab.ControlToken, controls(g, m, g.Inventory(), served.SNS.Messages)))
	if err != nil {
		return err
	}
	defer control.Close()
	lab.Control = "http://" + control.Addr().String()
	if err := lab.Save(dir); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// addressBase keeps the public addresses of labs that run side by side apart: 127.x.y.z is one machine's for all users.
func addressBase(dir string) netip.Addr {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	n := h.Sum32()
	return netip.AddrFrom4([4]byte{127, byte(20 + n%200), byte(n >> 8), 1})
}

// awsConfig leads to the gate whatever the user's own settings are.
func awsConfig(g *gate.Gate, endpoint string) aws.Config {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: g.CertPool(), MinVersion: tls.VersionTLS12}
	return aws.Config{Region: region, BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: transport}}
}

func serveHTTP(h http.Handler) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return l, nil
}

// zoneName is the domain that the lab's account owns from the beginning, as a user's account owns one.
const zoneName = "lab.example.com"

func hostedZone(ctx context.Context, client aws.Config, accessKey, secretKey string) (id string, err error) {
	client.Credentials = credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")
	zone, err := route53.NewFromConfig(client).CreateHostedZone(ctx, &route53.CreateHostedZoneInput{
		Name: aws.String(zoneName), CallerReference: aws.String("lab")})
	if err != nil {
		return "", fmt.Errorf("the lab's hosted zone: %w", err)
	}
	return strings.TrimPrefix(*zone.HostedZone.Id, "/hostedzone/"), nil
}

// boundaryPolicy is what an account's owners may let the roles of a cluster do at most: nothing about identities, the
// account and its organization.
const boundaryPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["account:*","iam:*","organizations:*"],"Resource":"*"}]}`

// boundary makes the policy that the account has from the beginning, as a user's platform team has made one.
func boundary(ctx context.Context, client aws.Config, accessKey, secretKey string) (arn string, err error) {
	client.Credentials = credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")
	made, err := iam.NewFromConfig(client).CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: aws.String("workload-boundary"), PolicyDocument: aws.String(boundaryPolicy)})
	if err != nil {
		return "", fmt.Errorf("the lab's permissions boundary: %w", err)
	}
	return *made.Policy.Arn, nil
}

// controls is the lab's own interface: the gate's, and what is left where beside what was there before.
func controls(g *gate.Gate, m *machines.Machines, before map[string][]string, messages func() []sns.Message) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/_lab/", g.Control())
	mux.HandleFunc("GET /_lab/inventory", func(w http.ResponseWriter, r *http.Request) {
		// A machine whose termination was answered may still be ending. What does not end in time counts as left.
		ending, cancel := context.WithTimeout(r.Context(), 30*time.Second)
		m.Settle(ending)
		cancel()
		left := g.Inventory()
		for kind, ids := range before {
			left[kind] = slices.DeleteFunc(left[kind], func(id string) bool { return slices.Contains(ids, id) })
			if len(left[kind]) == 0 {
				delete(left, kind)
			}
		}
		for kind, ids := range m.Remaining() {
			left[kind] = append(left[kind], ids...)
		}
		_ = json.NewEncoder(w).Encode(left)
	})
	mux.HandleFunc("GET /_lab/machines", func(w http.ResponseWriter, _ *http.Request) {
		status := map[string]string{}
		if err := m.Errors(); err != nil {
			status["error"] = err.Error()
		}
		_ = json.NewEncoder(w).Encode(status)
	})
	mux.HandleFunc("GET /_lab/messages", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(messages()) })
	mux.HandleFunc("POST /_lab/pass", func(w http.ResponseWriter, r *http.Request) { passTime(w, r, m) })
	mux.HandleFunc("POST /_lab/tokens", func(w http.ResponseWriter, r *http.Request) { ageTokens(w, r, m) })
	mux.HandleFunc("POST /_lab/apiserver", func(w http.ResponseWriter, r *http.Request) { changeAPIServers(w, r, m) })
	return mux
}

// systemRoots are the CAs that this machine trusts: what goes past the lab is verified as it was before.
func systemRoots() []byte {
	for _, path := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"} {
		if data, err := os.ReadFile(path); err == nil {
			return append([]byte("\n"), data...)
		}
	}
	return nil
}

func newToken() (string, error) {
	b := make([]byte, 24)
	_, err := rand.Read(b)
	return hex.EncodeToString(b), err
}

// guard lets only those in who know the token: every user of this machine shares its loopback interface.
func guard(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "the lab's token is missing or wrong", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
