package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/lab/internal/foreign"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// existingFile is where a lab keeps the cluster that it did not make with the program.
func existingFile(dir string) string { return filepath.Join(dir, "existing.json") }

// existingCluster gives the stack the kubeconfig of a cluster that somebody else made in the lab's account. The cluster is
// made where the lab has none yet, with what its owner has to do for the setup: its tokens have the issuer's URL.
func existingCluster(ctx context.Context, lab *state.Lab, dir, setup string, p *program.Program) error {
	if len(lab.Weaker) > 0 {
		return fmt.Errorf("--existing needs machines that do what their user data says: %s", strings.Join(lab.Weaker, "; "))
	}
	c, err := loadExisting(dir)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "making a cluster without the program")
		c, err = makeExisting(ctx, lab, dir, setup, p)
	}
	if err != nil {
		return err
	}
	return p.SetSecret(ctx, "cluster.kubeconfig", c.Kubeconfig)
}

func makeExisting(ctx context.Context, lab *state.Lab, dir, setup string, p *program.Program) (*foreign.Cluster, error) {
	issuer, err := issuerURL(ctx, lab, setup, p)
	if err != nil {
		return nil, err
	}
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	c, err := foreign.Make(ctx, account, issuer)
	if err != nil {
		return nil, errors.Join(err, c.Remove(context.WithoutCancel(ctx), account))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return c, os.WriteFile(existingFile(dir), text, 0o600)
}

// issuerURL is the URL that the setup will publish: it is known beforehand, as docs/config.md tells the cluster's owner.
func issuerURL(ctx context.Context, lab *state.Lab, setup string, p *program.Program) (string, error) {
	s, err := setupOf(lab.Project, setup)
	if err != nil {
		return "", err
	}
	switch s.Issuer {
	case setups.Bucket:
		name, err := p.Config(ctx, "clusterName")
		return fmt.Sprintf("https://%s-issuer-%s-%s.s3.%[3]s.amazonaws.com", name, lab.AccountID, lab.Region), err
	case setups.Distribution:
		domain, err := p.Config(ctx, "issuer.domain")
		return "https://" + domain, err
	}
	return "", nil
}

func loadExisting(dir string) (*foreign.Cluster, error) {
	text, err := os.ReadFile(existingFile(dir))
	if err != nil {
		return nil, err
	}
	c := &foreign.Cluster{}
	return c, json.Unmarshal(text, c)
}

// removeExisting takes away the cluster that the program did not make, where the lab has one.
func removeExisting(ctx context.Context, dir string) error {
	c, err := loadExisting(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	if err := c.Remove(ctx, account); err != nil {
		return err
	}
	return os.Remove(existingFile(dir))
}
