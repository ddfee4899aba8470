package machines

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

// Paths of what the program's user data gives a node, beside K3s's own.
const (
	bootEnvPath    = "etc/k3s-aws-auth/boot.env"
	parametersPath = "etc/k3s-aws-auth/parameters"
)

// parameter is one secret that a node reads at boot: an SSM parameter and the file that it becomes.
type parameter struct {
	name, path string
	mode       os.FileMode
}

func readParameters(root string) ([]parameter, error) {
	data, err := os.ReadFile(filepath.Join(root, parametersPath))
	if err != nil {
		return nil, err
	}
	var out []parameter
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("/%s: %q is not a name, a path and a mode", parametersPath, line)
		}
		mode, err := strconv.ParseUint(f[2], 8, 32)
		if err != nil {
			return nil, fmt.Errorf("/%s: mode %q is not octal", parametersPath, f[2])
		}
		out = append(out, parameter{name: f[0], path: f[1], mode: os.FileMode(mode)})
	}
	return out, nil
}

// readEnv reads KEY=value lines, with or without quotes.
func readEnv(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		k, v, ok := strings.Cut(line, "=")
		if ok && !strings.HasPrefix(line, "#") {
			out[k] = strings.Trim(v, `"'`)
		}
	}
	return out, nil
}

// fetch reads a node's parameters with the node's own credentials and writes them where its list says. Permissions may
// still be on their way right after the machine started, so a refusal is tried again for two minutes.
func fetch(ctx context.Context, client *ssm.Client, root string) error {
	list, err := readParameters(root)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, p := range list {
		for wait := 100 * time.Millisecond; ; wait *= 2 {
			out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.name, WithDecryption: aws.Bool(true)})
			if err == nil {
				if err := writeBelow(root, p.path, []byte(*out.Parameter.Value), p.mode); err != nil {
					return err
				}
				break
			}
			var api smithy.APIError
			if !errors.As(err, &api) || wait > 30*time.Second {
				return fmt.Errorf("parameter %s: %w", p.name, err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("parameter %s: %w", p.name, err)
			case <-time.After(wait):
			}
		}
	}
	return nil
}
