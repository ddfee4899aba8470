package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// dataDir is K3s's directory of a server, /var/lib/rancher/k3s/server, with the root of its machine.
type dataDir struct{ root, dir string }

// bootstrapFiles are what all servers of a cluster have in common and keep in the datastore (ControlRuntimeBootstrap in
// K3s's pkg/daemons/config/types.go).
var bootstrapFiles = []string{
	"tls/server-ca.crt", "tls/server-ca.key", "tls/client-ca.crt", "tls/client-ca.key",
	"tls/request-header-ca.crt", "tls/request-header-ca.key",
	"tls/etcd/peer-ca.crt", "tls/etcd/peer-ca.key", "tls/etcd/server-ca.crt", "tls/etcd/server-ca.key",
	"tls/service.key", "cred/passwd", "cred/ipsec.psk", "cred/encryption-config.json",
}

// bootstrapFile is one of them, with the time of the file that it came from (bootstrap.File).
type bootstrapFile struct {
	Content   []byte    `json:"content"`
	Timestamp time.Time `json:"timestamp"`
}

// timeSkew is how much newer a file may be (systemTimeSkew in pkg/cluster/bootstrap.go).
const timeSkew = 3 * time.Second

func (d dataDir) path(name string) string { return filepath.Join(d.dir, name) }

// etcd is where its data is; name, below it, is the member's name.
func (d dataDir) etcd() string { return d.path("db/etcd") }

// initialized tells whether etcd has run here (ETCD.IsInitialized: there is a directory of its log).
func (d dataDir) initialized() bool {
	info, err := os.Stat(d.path("db/etcd/member/wal"))
	return err == nil && info.IsDir()
}

// forgetRemoved moves the data of a member that was removed from its cluster out of the way, so that it joins again
// (ETCD.Register).
func (d dataDir) forgetRemoved() error {
	if _, err := os.Stat(d.path("db/etcd/tombstone")); err != nil {
		return nil
	}
	return os.Rename(d.etcd(), d.etcd()+"-backup-"+fmt.Sprint(time.Now().Unix()))
}

// memberName is the node's name with a suffix, made once, or anew (ETCD.setName).
func (d dataDir) memberName(node string, anew bool) (string, error) {
	path := d.path("db/etcd/name")
	if data, err := os.ReadFile(path); err == nil && !anew {
		return string(data), nil
	}
	suffix := make([]byte, 4)
	if _, err := rand.Read(suffix); err != nil {
		return "", err
	}
	name := node + "-" + hex.EncodeToString(suffix)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return name, os.WriteFile(path, []byte(name), 0o600)
}

// complete makes the secrets that no one brought (genUsers, genEncryptionConfigAndState, genEncryptedNetworkInfo and
// genServiceAccount in pkg/daemons/control/deps/deps.go).
func (d dataDir) complete(encrypt bool) error {
	secret := func() string {
		random := make([]byte, 32)
		_, _ = rand.Read(random)
		return base64.StdEncoding.EncodeToString(random)
	}
	files := map[string]string{
		"cred/passwd":    secret() + ",server,server,k3s:server\n",
		"cred/ipsec.psk": secret(),
	}
	if _, err := os.Stat(d.path("tls/service.key")); err != nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		files["tls/service.key"] = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	}
	if encrypt {
		files["cred/encryption-config.json"] = `{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],` +
			`"providers":[{"aescbc":{"keys":[{"name":"aescbckey","secret":"` + secret() + `"}]}},{"identity":{}}]}]}`
	}
	for name, content := range files {
		if _, err := os.Stat(d.path(name)); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(d.path(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// reconcile holds the files against those of the datastore (ReconcileBootstrapData). Where one of K3s's directories is
// missing, all files are written. Else older ones are, and newer ones are an error, but for a reset of the cluster.
func (d dataDir) reconcile(files map[string]bootstrapFile, reset bool) error {
	if len(files) == 0 {
		return nil
	}
	for _, dir := range []string{"cred", "tls", "tls/etcd"} {
		if entries, err := os.ReadDir(d.path(dir)); err != nil || len(entries) == 0 {
			return d.write(files)
		}
	}
	var newer []string
	outdated := false
	for _, name := range bootstrapFiles {
		stored, ok := files[name]
		if !ok {
			continue
		}
		content, err := os.ReadFile(d.path(name))
		if errors.Is(err, os.ErrNotExist) {
			outdated = true
			continue
		}
		if err != nil {
			return err
		}
		if bytes.Equal(content, stored.Content) {
			continue
		}
		info, err := os.Stat(d.path(name))
		if err != nil {
			return err
		}
		if info.ModTime().Unix()-stored.Timestamp.Unix() >= int64(timeSkew/time.Second) && !reset {
			newer = append(newer, strings.TrimPrefix(d.path(name), d.root))
			continue
		}
		outdated = true
	}
	if len(newer) > 0 {
		return errors.New(strings.Join(newer, ", ") + " newer than datastore and could cause a cluster outage. Remove the file(s) from disk and " +
			"restart to be recreated from datastore.")
	}
	if outdated {
		return d.write(files)
	}
	return nil
}

// write brings the files in, with their times (WriteToDiskFromStorage in pkg/bootstrap/bootstrap.go).
func (d dataDir) write(files map[string]bootstrapFile) error {
	for name, f := range files {
		if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(d.path(name), f.Content, 0o600); err != nil {
			return err
		}
		if err := os.Chtimes(d.path(name), f.Timestamp, f.Timestamp); err != nil {
			return err
		}
	}
	return nil
}

// read is the files as they are (ReadFromDisk).
func (d dataDir) read() (map[string]bootstrapFile, error) {
	files := map[string]bootstrapFile{}
	for _, name := range bootstrapFiles {
		content, err := os.ReadFile(d.path(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(d.path(name))
		if err != nil {
			return nil, err
		}
		files[name] = bootstrapFile{content, info.ModTime()}
	}
	return files, nil
}

// bootstrapKey is where the datastore keeps the files: by the servers' token, by which K3s also encrypts them
// (storageKey in pkg/cluster/storage.go). The lab does not encrypt.
func (s *Server) bootstrapKey() string {
	sum := sha256.Sum256([]byte(s.password))
	return "/bootstrap/" + hex.EncodeToString(sum[:])[:12]
}

// bootstrapData is what a server gives to one that joins.
func (s *Server) bootstrapData() (map[string]bootstrapFile, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := s.etcdCommand(ctx, nil, "etcd-get", "--key", s.bootstrapKey())
	if err != nil || len(out) == 0 {
		return nil, err
	}
	var files map[string]bootstrapFile
	return files, json.Unmarshal(out, &files)
}

// keepBootstrapData writes the files into a datastore that has none. One that has them is the authority: the server that
// starts from its own is held against it.
func (s *Server) keepBootstrapData(own bool) error {
	stored, err := s.bootstrapData()
	if err != nil {
		return err
	}
	if len(stored) > 0 {
		if !own {
			return nil
		}
		return s.data.reconcile(stored, false)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	keys, err := s.etcdCommand(ctx, nil, "etcd-get", "--key", "/bootstrap")
	if err != nil {
		return err
	}
	if len(keys) > 0 && string(keys) != s.bootstrapKey() {
		return errors.New("bootstrap data already found and encrypted with different token")
	}
	files, err := s.data.read()
	if err != nil {
		return err
	}
	data, err := json.Marshal(files)
	if err != nil {
		return err
	}
	if _, err = s.etcdCommand(ctx, data, "etcd-put", "--key", s.bootstrapKey()); err != nil {
		return err
	}
	_, err = s.etcdCommand(ctx, []byte(s.bootstrapKey()), "etcd-put", "--key", "/bootstrap")
	return err
}

// waitEtcd waits until etcd serves this member, with a majority.
func (s *Server) waitEtcd(ctx context.Context, args []string) error {
	at := args[slices.Index(args, "--client-url")+1]
	for {
		if err := s.Err(); err != nil {
			return err
		}
		if conn, err := net.DialTimeout("tcp", strings.TrimPrefix(at, "http://"), time.Second); err == nil {
			_ = conn.Close()
			call, cancel := context.WithTimeout(ctx, time.Minute)
			_, err := s.etcdCommand(call, nil, "etcd-get", "--key", "/ready")
			cancel()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
