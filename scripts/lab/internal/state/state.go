// Package state keeps what the lab's commands need to find a running lab: one directory for each setup below the
// user's cache directory, with one file that only the user can read.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Lab is a running lab.
type Lab struct {
	Setup string `json:"setup"`
	// PID is the daemon that holds the gate, the machines and the kubelets.
	PID int `json:"pid"`
	// Endpoint is the gate: every AWS service, by HTTPS.
	Endpoint string `json:"endpoint"`
	// Proxy is an HTTP proxy through which AWS's and the issuer's own host names lead to the gate.
	Proxy string `json:"proxy"`
	// Control is the lab's own interface (events, external DNS), guarded by ControlToken.
	Control      string `json:"control"`
	ControlToken string `json:"controlToken"`
	Region       string `json:"region"`
	AccountID    string `json:"accountId"`
	AccessKeyID  string `json:"accessKeyId"`
	SecretKey    string `json:"secretKey"`
	// HostedZoneID is a Route 53 zone that the account owns from the beginning: lab.example.com.
	HostedZoneID string `json:"hostedZoneId"`
	// BoundaryARN is a managed policy that the account has from the beginning, to bound roles with.
	BoundaryARN string `json:"boundaryArn"`
	// Project is the directory of the Pulumi program that it runs, and Plugins are the provider plugins that somebody has
	// named in place of the lab's own, by the provider's name.
	Project string            `json:"project"`
	Plugins map[string]string `json:"plugins,omitempty"`
	// Weaker lists what this host cannot check: nothing on Linux with namespaces.
	Weaker []string `json:"weaker,omitempty"`
}

// RootVariable names a directory for the labs in place of the user's cache, so that several may run one setup.
const RootVariable = "K3S_AWS_AUTH_LABS"

// Root is the directory of all labs.
func Root() (string, error) {
	if root := os.Getenv(RootVariable); root != "" {
		return filepath.Abs(root)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for the labs: %w", err)
	}
	return filepath.Join(cache, "k3s-aws-auth", "labs"), nil
}

// Dir is the directory of one setup's lab.
func Dir(setup string) (string, error) {
	root, err := Root()
	return filepath.Join(root, setup), err
}

// Trust is the file of a lab's directory with the lab's CA and those that the machine trusts anyway.
func Trust(dir string) string { return filepath.Join(dir, "trust.pem") }

// CABundle is the file of a lab's directory with the CAs that its clients trust.
func CABundle(dir string) string { return filepath.Join(dir, "ca-bundle.pem") }

// Kubeconfig is the admin's kubeconfig of a lab's cluster.
func Kubeconfig(dir string) string { return filepath.Join(dir, "kubeconfig") }

// Backend is the directory of a lab's Pulumi states.
func Backend(dir string) string { return filepath.Join(dir, "pulumi") }

// Passphrase is the file of the passphrase for the secrets in them.
func Passphrase(dir string) string { return filepath.Join(dir, "passphrase") }

// DaemonLog is the log of a lab's daemon.
func DaemonLog(dir string) string { return filepath.Join(dir, "daemon.log") }

// What `lab clients` runs: the image, where its files are in the container, and where in a lab's directory.
const (
	ClientImage = "k3s-aws-auth/client"
	ClientMount = "/client"
)

// Client is the directory of a lab's with the files of a client.
func Client(dir string) string { return filepath.Join(dir, "client") }

func file(dir string) string { return filepath.Join(dir, "lab.json") }

// Save writes the lab's file, whole or not at all.
func (l *Lab) Save(dir string) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	tmp := file(dir) + ".part"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file(dir))
}

// ErrNotRunning says that a setup has no lab.
var ErrNotRunning = errors.New("no lab is running")

// Load returns the lab of a setup, or ErrNotRunning where there is none or its daemon has died.
func Load(setup string) (*Lab, string, error) {
	dir, err := Dir(setup)
	if err != nil {
		return nil, "", err
	}
	data, err := os.ReadFile(file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, dir, fmt.Errorf("%w for setup %s", ErrNotRunning, setup)
	}
	if err != nil {
		return nil, dir, err
	}
	l := &Lab{}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, dir, fmt.Errorf("%s: %w", file(dir), err)
	}
	if syscall.Kill(l.PID, 0) != nil {
		return nil, dir, fmt.Errorf("%w for setup %s: its daemon (process %d) has ended, see %s", ErrNotRunning, setup, l.PID, DaemonLog(dir))
	}
	return l, dir, nil
}

// Running lists the setups that have a lab, sorted.
func Running() ([]string, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var setups []string
	for _, e := range entries {
		if _, _, err := Load(e.Name()); err == nil {
			setups = append(setups, e.Name())
		}
	}
	slices.Sort(setups)
	return setups, nil
}
