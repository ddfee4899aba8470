package daemon

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/kubelet"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// images says which program of this machine stands for which container image. dir is the lab's directory.
func images(tools *build.Tools, dir string) map[string]kubelet.Image {
	client := awsClient(tools)
	own := awsClient(tools)
	own.Entrypoint = nil
	own.Files[state.ClientMount] = state.Client(dir)
	own.Env = append(own.Env, "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt") // Node.js has its own list of CAs
	return map[string]kubelet.Image{
		"public.ecr.aws/aws-cli/aws-cli": client,
		"amazon/aws-cli":                 client,
		// The SDK for Go under the CLI's name, to compare the two clients; on AWS an image that a user builds of lab/awscli.
		"k3s-aws-auth/sdk-client": sdkClient(tools),
		// A client of somebody's own, which `lab clients` has put there.
		state.ClientImage: own,
		"public.ecr.aws/rolesanywhere/credential-helper": {
			Files:      map[string]string{"/usr/local/bin/aws_signing_helper": tools.SigningHelper},
			Entrypoint: []string{"/usr/local/bin/aws_signing_helper"},
			User:       65532,
		},
	}
}

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// clientEnv: the CLI brings its own list of CAs and does not look at the system's.
var clientEnv = []string{"AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt", "PYTHONDONTWRITEBYTECODE=1"}

// awsClient is the AWS CLI of this machine where there is one, else the lab's own client under its name.
func awsClient(tools *build.Tools) kubelet.Image {
	if cli := awsCLI(); cli != "" {
		image := kubelet.Image{Entrypoint: []string{cli}, Env: append(slices.Clone(clientEnv), "PATH="+filepath.Dir(cli)+":"+systemPath)}
		// Containers do not see the homes of this machine: a CLI that lives in one comes with all that it is installed with.
		if prefix := filepath.Dir(filepath.Dir(cli)); strings.HasPrefix(prefix, "/root/") || strings.HasPrefix(prefix, "/home/") {
			image.Files = map[string]string{prefix: prefix}
		} else {
			image.Files = map[string]string{}
		}
		// Version 1 of the CLI cannot export credentials; the image that it stands for can.
		image.Files["/usr/local/bin/aws-session"] = tools.Probe
		return image
	}
	return sdkClient(tools)
}

// sdkClient is the lab's own client on the AWS SDK for Go.
func sdkClient(tools *build.Tools) kubelet.Image {
	return kubelet.Image{
		Files:      map[string]string{"/usr/local/bin/aws": tools.Probe},
		Entrypoint: []string{"/usr/local/bin/aws"},
		Env:        append(slices.Clone(clientEnv), "PATH="+systemPath),
	}
}

// awsCLI finds the AWS CLI's own program, behind the links and the version manager that may stand before it.
func awsCLI() string {
	path, err := exec.LookPath("aws")
	if err != nil {
		return ""
	}
	if filepath.Base(filepath.Dir(path)) == "shims" {
		out, err := exec.Command("pyenv", "which", "aws").Output()
		if err != nil {
			return ""
		}
		path = strings.TrimSpace(string(out))
	}
	path, err = filepath.EvalSymlinks(path)
	if err != nil || filepath.Base(path) != "aws" {
		return ""
	}
	return path
}
