package machines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"k3s-aws-auth/scripts/lab/internal/cluster"
)

// k3sCommand plays the commands of K3s that its documentation of snapshots has: `k3s server --cluster-reset` and `k3s
// etcd-snapshot save|ls`.
func (s *initSystem) k3sCommand(args []string) (string, error) {
	config, err := cluster.ReadConfig(s.vm.root)
	if err != nil {
		return "", err
	}
	flags, words := map[string]string{}, []string{}
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "--"); ok {
			name, value, given := strings.Cut(name, "=")
			if !given {
				value = "true"
			}
			flags[name] = value
			continue
		}
		words = append(words, a)
	}
	// A flag of the command counts more than config.yaml.
	take := func(name string) string {
		v := flags[name]
		delete(flags, name)
		return v
	}
	switch take("etcd-s3") {
	case "true":
		config.EtcdS3 = true
	case "false":
		config.EtcdS3 = false
	}
	restore, reset, name := take("cluster-reset-restore-path"), take("cluster-reset") == "true", take("name")
	for f := range flags {
		return "", fmt.Errorf("the lab has no flag --%s of k3s %s", f, strings.Join(words, " "))
	}
	switch strings.Join(words, " ") {
	case "server":
		if reset {
			return s.clusterReset(config, restore)
		}
	case "etcd-snapshot save":
		return s.snapshot(config, name)
	case "etcd-snapshot ls", "etcd-snapshot list":
		return s.snapshots(config)
	}
	return "", fmt.Errorf("the lab has no k3s %s", strings.Join(args, " "))
}

const snapshotDir = "server/db/snapshots"

// clusterReset restores a snapshot, or makes the server's own data a cluster of one. With etcd-s3 in its configuration K3s
// takes the path for the name of an object of the bucket (ETCD.Reset in pkg/etcd/etcd.go), whatever is on the disk.
func (s *initSystem) clusterReset(config *cluster.Config, from string) (string, error) {
	if state := s.state([]string{"k3s.service"}); state == "active" || state == "activating" {
		return "", errors.New("listen tcp :6443: bind: address already in use")
	}
	s.role.Lock()
	defer s.role.Unlock()
	local := ""
	if from != "" {
		local = filepath.Join(s.vm.root, from)
		if config.EtcdS3 && config.Server == "" {
			body, err := s.download(config, from)
			if err != nil {
				return "", fmt.Errorf("failed to download snapshot from S3: %w", err)
			}
			local = filepath.Join(s.vm.root, config.DataDir, snapshotDir, path.Base(from))
			if err := os.MkdirAll(filepath.Dir(local), 0o700); err != nil {
				return "", err
			}
			if err := os.WriteFile(local, body, 0o600); err != nil {
				return "", err
			}
		}
	}
	options := cluster.ServerOptions{Name: s.vm.name, Root: s.vm.root, Dir: filepath.Join(s.m.o.Dir, s.vm.instance.ID, "control-plane"),
		Kubernetes: s.m.o.Kubernetes, PrivateIP: s.vm.instance.PrivateIP}
	if err := cluster.Reset(s.ctx, options, config, local); err != nil {
		return "", err
	}
	return `level=info msg="` + cluster.ResetDone + "\"\n", nil
}

// snapshot saves etcd on the disk and, as config.yaml says, in the bucket, with the machine's own credentials.
func (s *initSystem) snapshot(config *cluster.Config, name string) (string, error) {
	server := s.m.serverOf(s.vm.instance.ID)
	if server == nil {
		return "", errors.New("see server log for details: https://127.0.0.1:6443/db/snapshot: 503 Service Unavailable")
	}
	if name == "" {
		name = "on-demand"
	}
	file := fmt.Sprintf("%s-%s-%d", name, s.vm.name, time.Now().Unix())
	local := filepath.Join(s.vm.root, config.DataDir, snapshotDir, file)
	if err := os.MkdirAll(filepath.Dir(local), 0o700); err != nil {
		return "", err
	}
	if err := server.Save(s.ctx, local); err != nil {
		return "", err
	}
	if config.EtcdS3 {
		data, err := os.ReadFile(local)
		if err != nil {
			return "", err
		}
		// Controller.Upload in pkg/etcd/s3/s3.go: path.Join(folder, name).
		if _, err := s.bucket(config).PutObject(s.ctx, &s3.PutObjectInput{Bucket: &config.EtcdS3Bucket, Key: aws.String(path.Join(config.EtcdS3Folder, file)),
			Body: bytes.NewReader(data)}); err != nil {
			return "", fmt.Errorf("failed to upload snapshot to S3: %w", err)
		}
	}
	return "Snapshot " + file + " saved.\n", nil
}

// snapshots lists what is on the disk and in the bucket. The folder is a prefix of objects' names just as it is written
// (Controller.ListSnapshots in pkg/etcd/s3/s3.go): without a slash at its end it has folders that begin alike.
func (s *initSystem) snapshots(config *cluster.Config) (string, error) {
	var lines []string
	entries, err := os.ReadDir(filepath.Join(s.vm.root, config.DataDir, snapshotDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, e := range entries {
		lines = append(lines, e.Name()+" file://"+filepath.Join(config.DataDir, snapshotDir, e.Name()))
	}
	if config.EtcdS3 {
		out, err := s.bucket(config).ListObjectsV2(s.ctx, &s3.ListObjectsV2Input{Bucket: &config.EtcdS3Bucket, Prefix: &config.EtcdS3Folder})
		if err != nil {
			return "", err
		}
		for _, o := range out.Contents {
			lines = append(lines, path.Base(*o.Key)+" s3://"+config.EtcdS3Bucket+"/"+*o.Key)
		}
	}
	slices.Sort(lines)
	return strings.Join(append(lines, ""), "\n"), nil
}

func (s *initSystem) download(config *cluster.Config, name string) ([]byte, error) {
	key := path.Join(config.EtcdS3Folder, name)
	out, err := s.bucket(config).GetObject(s.ctx, &s3.GetObjectInput{Bucket: &config.EtcdS3Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// bucket is S3 with the credentials of the machine's role.
func (s *initSystem) bucket(config *cluster.Config) *s3.Client {
	own := s.m.o.AWS.Copy()
	own.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return s.m.roleCredentials(s.vm)
	}))
	own.Region = config.EtcdS3Region
	return s3.NewFromConfig(own, func(o *s3.Options) { o.UsePathStyle = true })
}
