package machines

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/cluster"
	"k3s-aws-auth/scripts/lab/internal/kubelet"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// pulls is how a machine pulls images: with the credential provider that K3s gives its kubelet, where both of it are there
// (k3s-io/k3s, pkg/daemons/agent: ImageCredProvAvailable). Without namespaces it pulls none.
func (m *Machines) pulls(vm *machine, config *cluster.Config) *kubelet.Pulls {
	if m.o.Sandbox == nil {
		return nil
	}
	pulls := &kubelet.Pulls{
		Registry: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: m.o.Gate.CertPool(), MinVersion: tls.VersionTLS12},
			DialContext:     func(ctx context.Context, _, address string) (net.Conn, error) { return m.dialFrom(ctx, vm, address) },
		}},
		Run: func(ctx context.Context, args, env []string, stdin []byte) ([]byte, error) {
			return m.filter(ctx, vm, args, env, stdin)
		},
	}
	dir, dirErr := os.Stat(filepath.Join(vm.root, config.ProviderDir))
	file, fileErr := os.Stat(filepath.Join(vm.root, config.ProviderConfig))
	if dirErr == nil && dir.IsDir() && fileErr == nil && !file.IsDir() {
		pulls.Dir, pulls.Config = config.ProviderDir, config.ProviderConfig
	}
	return pulls
}

// dialFrom connects from inside a machine's network to a host as its DNS knows it.
func (m *Machines) dialFrom(ctx context.Context, vm *machine, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, _ := m.resolve(host)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("lookup %s: no such host", host)
	}
	return m.o.Sandbox.DialNode(ctx, vm.instance.ID, net.JoinHostPort(addresses[0], port))
}

// filter runs a program on a machine with text on its standard input, and returns its standard output.
func (m *Machines) filter(ctx context.Context, vm *machine, args, env []string, stdin []byte) ([]byte, error) {
	mounts, err := sandbox.NodeMounts(vm.root)
	if err != nil {
		return nil, err
	}
	var in, out, said struct{ r, w *os.File } // its standard input, output and error
	defer func() {
		for _, f := range []*os.File{in.r, in.w, out.r, out.w, said.r, said.w} {
			_ = f.Close() // what is closed, or was never opened, answers with an error
		}
	}()
	if in.r, in.w, err = os.Pipe(); err != nil {
		return nil, err
	}
	if out.r, out.w, err = os.Pipe(); err != nil {
		return nil, err
	}
	if said.r, said.w, err = os.Pipe(); err != nil {
		return nil, err
	}
	p, err := m.o.Sandbox.Run(sandbox.ContainerSpec{
		Node: vm.instance.ID, Hostname: vm.name, Args: args, Mounts: mounts, Stdin: in.r, Stdout: out.w, Stderr: said.w,
		Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, env...),
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(in.r.Close(), out.w.Close(), said.w.Close()); err != nil { // the program's own ends
		return nil, err
	}
	var output, text bytes.Buffer
	read := make(chan error, 2)
	go func() { _, err := io.Copy(&output, out.r); read <- err }()
	go func() { _, err := io.Copy(&text, said.r); read <- err }()
	_, err = in.w.Write(stdin)
	err = errors.Join(err, in.w.Close())
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill(0)
		err = errors.Join(err, ctx.Err())
	}
	err = errors.Join(err, <-read, <-read)
	if status := p.Wait(); status.Code != 0 {
		err = errors.Join(err, fmt.Errorf("exit status %d: %s", status.Code, strings.TrimSpace(text.String())))
	}
	return output.Bytes(), err
}
