package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

// labHands do in a lab what a person does on machines, by the lab's own interface.
type labHands struct{ lab *labs.Lab }

// ChangeAPIServers restarts the API servers.
func (h labHands) ChangeAPIServers(ctx context.Context, c Change) error {
	body := map[string]any{"action": "start", "issuers": c.Issuers, "signingKey": c.SigningKey}
	if c.Clock != 0 {
		body["tokenClock"] = c.Clock.String()
	}
	return h.lab.Call(ctx, http.MethodPost, "/_lab/apiserver", body, nil)
}

// StopAPIServers ends the API servers.
func (h labHands) StopAPIServers(ctx context.Context) error {
	return h.lab.Call(ctx, http.MethodPost, "/_lab/apiserver", map[string]any{"action": "stop"}, nil)
}

// AgentClock lets AWS see what the agents' pods and machines send as dated by a shifted clock.
func (h labHands) AgentClock(ctx context.Context, d time.Duration) error {
	for _, source := range []string{"pod/", "node/"} {
		if err := h.lab.Call(ctx, http.MethodPost, "/_lab/skew", map[string]any{"source": source, "offset": d.String()}, nil); err != nil {
			return err
		}
	}
	return nil
}

// PassTime lets the lab's machines age.
func (h labHands) PassTime(ctx context.Context, days int) error {
	return h.lab.Call(ctx, http.MethodPost, "/_lab/pass", map[string]any{"days": days}, nil)
}

// ForgetKeys drops the issuers' keys from the lab's STS.
func (h labHands) ForgetKeys(ctx context.Context) error { return h.lab.FlushKeys(ctx) }

// labAccount is what a lab's file says about its emulated account.
type labAccount struct {
	Endpoint    string `json:"endpoint"`
	Region      string `json:"region"`
	AccessKeyID string `json:"accessKeyId"`
	SecretKey   string `json:"secretKey"`
	AccountID   string `json:"accountId"`
}

// image is the one that the identities of a lab with cluster.imagePulls may be pulled from.
func (a labAccount) image() string {
	return fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/team-a/app:1", a.AccountID, a.Region)
}

// labTarget connects to a running lab.
func labTarget(lab *labs.Lab, list setups.List) (*Target, error) {
	dir := filepath.Dir(lab.Kubeconfig)
	data, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		return nil, err
	}
	var account labAccount
	if err := json.Unmarshal(data, &account); err != nil {
		return nil, fmt.Errorf("lab of %s: %w", lab.Setup, err)
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "ca-bundle.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the lab's CA bundle has no certificate")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	cluster, err := kube.Connect(lab.Kubeconfig)
	if err != nil {
		return nil, err
	}
	return &Target{Setups: list, Setup: setups.Setup{Name: lab.Setup}, Cluster: cluster, Hands: labHands{lab}, Pace: labPace, PullImage: account.image(),
		AWS: aws.Config{Region: account.Region, BaseEndpoint: &account.Endpoint, HTTPClient: &http.Client{Transport: transport},
			Credentials: credentials.NewStaticCredentialsProvider(account.AccessKeyID, account.SecretKey, "")}}, nil
}
