package machines

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// cloudConfig is what the lab understands of cloud-init's #cloud-config
// (https://cloudinit.readthedocs.io/en/latest/reference/modules.html). Any other key is an error.
type cloudConfig struct {
	WriteFiles []writeFile `json:"write_files"`
	RunCmd     []any       `json:"runcmd"`

	// How apt and the system are set up concerns no identity.
	PackageUpdate  bool     `json:"package_update"`
	PackageUpgrade bool     `json:"package_upgrade"`
	Packages       []string `json:"packages"`
	Output         any      `json:"output"`
}

type writeFile struct {
	Path        string `json:"path"`
	Content     string `json:"content"`
	Encoding    string `json:"encoding"`
	Permissions string `json:"permissions"`
	Owner       string `json:"owner"`
	Append      bool   `json:"append"`
	Defer       bool   `json:"defer"`
}

func parseCloudConfig(userData []byte) (*cloudConfig, error) {
	if !bytes.HasPrefix(userData, []byte("#cloud-config\n")) {
		return nil, errors.New("the user data is not a #cloud-config")
	}
	c := &cloudConfig{}
	if err := yaml.UnmarshalStrict(userData, c); err != nil {
		return nil, fmt.Errorf("#cloud-config: %w", err)
	}
	return c, nil
}

// apply writes the files below a root, as cloud-init's write_files does.
func (c *cloudConfig) apply(root string) error {
	for _, f := range c.WriteFiles {
		data, err := f.decode()
		if err != nil {
			return fmt.Errorf("write_files %s: %w", f.Path, err)
		}
		mode := uint64(0o644)
		if f.Permissions != "" {
			if mode, err = strconv.ParseUint(f.Permissions, 8, 32); err != nil {
				return fmt.Errorf("write_files %s: permissions %q are not octal", f.Path, f.Permissions)
			}
		}
		if f.Append || !filepath.IsAbs(f.Path) {
			return fmt.Errorf("write_files %q: the lab writes whole files to absolute paths", f.Path)
		}
		if err := writeBelow(root, f.Path, data, os.FileMode(mode)); err != nil {
			return fmt.Errorf("write_files: %w", err)
		}
	}
	return nil
}

func (f writeFile) decode() ([]byte, error) {
	data := []byte(f.Content)
	var err error
	switch f.Encoding {
	case "", "text/plain":
		return data, nil
	case "b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		if data, err = base64.StdEncoding.DecodeString(f.Content); err != nil {
			return nil, err
		}
	case "gz", "gzip":
	default:
		return nil, fmt.Errorf("encoding %q is unknown", f.Encoding)
	}
	if strings.HasPrefix(f.Encoding, "gz") {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	return data, nil
}

// writeBelow writes one file of a machine below its root.
func writeBelow(root, path string, data []byte, mode os.FileMode) error {
	full := filepath.Join(root, filepath.Clean("/"+path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(full, data, mode); err != nil {
		return err
	}
	return os.Chmod(full, mode)
}
