// Command recorder records the previews that the review is tested with, from running labs:
//
//	go -C scripts run ./lab up --setup irsa-s3
//	go -C scripts run ./lab up --setup roles-anywhere
//	go -C scripts run ./review/internal/recorder
//	go -C scripts test ./review -update          # rewrites the comments, and fails so that they are read
//
// Each recording is a change of the configuration of Pulumi.lab.yaml, or of the program (package edits), against the
// stack as it runs. What differs between machines and runs without meaning anything (source positions, times) is left
// out.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/review/internal/recorder/lab"
)

type recording struct {
	name, setup string
	config      []string // key=value, as of `lab up --config`
	edits       string
	// from is the config that the stack is brought to before, also key=value; nil leaves it as it runs.
	from []string
}

var recordings = []recording{
	{name: "harmless-identity-added", setup: "irsa-s3", config: []string{
		`identities=[{name: uploader, namespace: default, serviceAccount: uploader, statements: [{sid: PutOwnObjects, actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/uploader/*"]}]},` +
			` {name: reports, namespace: billing, serviceAccount: reports, createNamespace: true, statements: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::example-invoices/*"]}], managedPolicyArns: ["arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy"]}]`}},
	{name: "harmless-permissions-changed", setup: "irsa-s3", config: []string{
		`identities=[{name: uploader, namespace: default, serviceAccount: uploader, maxSessionSeconds: 7200, statements: [{sid: OwnObjects, actions: ["s3:PutObject", "s3:GetObject"], resources: ["${demo.bucketArn}/uploader/*"]}]}]`}},
	{name: "harmless-agent-added", setup: "irsa-s3", config: []string{`cluster.agents=3`}},
	{name: "harmless-pulls-by-pods", setup: "irsa-s3", config: []string{"cluster.imagePulls=pod", `cluster.credentialProvider={url: "https://artifacts.example.com/ecr-credential-provider", sha256: "` + strings.Repeat("0a", 32) + `"}`,
		`identities=[{name: uploader, namespace: default, serviceAccount: uploader, statements: [{sid: PutOwnObjects, actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/uploader/*"]}],` +
			` pull: ["arn:aws:ecr:eu-central-1:111122223333:repository/team/app"]}]`}},
	{name: "harmless-tags", setup: "irsa-s3", config: []string{`tags={team: platform, cost-centre: "4711"}`}},
	{name: "harmless-shorter-certificates", setup: "roles-anywhere", config: []string{`rolesAnywhere.leafValidityHours=1440`, `rolesAnywhere.sessionSeconds=1800`}},
	{name: "danger-issuer-moved", setup: "irsa-s3", config: []string{`issuer.bucket=another-issuer-111122223333`}},
	{name: "danger-metadata-open", setup: "irsa-s3", edits: "metadata-open"},
	{name: "danger-trust-wildcard", setup: "irsa-s3", edits: "trust-wildcard"},
	{name: "danger-bucket-public", setup: "irsa-s3", edits: "bucket-public"},
	{name: "danger-ca-replaced", setup: "roles-anywhere", config: []string{`rolesAnywhere.caValidityHours=8760`}},
	{name: "danger-zone-moved", setup: "irsa-s3", config: []string{`network.zones=[eu-central-1b]`}},

	// Rotations, step by step, and the ways that make calls fail. Each begins where the stack is as it was made.
	{name: "rotation-key-next", setup: "irsa-s3", from: keys("1=active"), config: keys("1=active", "2=next")},
	{name: "naive-key-swapped", setup: "irsa-s3", config: keys("2=active")},
	{name: "naive-key-unpublished", setup: "irsa-s3", config: keys("1=retiring", "2=active")},
	{name: "rotation-key-active", setup: "irsa-s3", from: keys("1=active", "2=next"), config: keys("1=retiring", "2=active")},
	{name: "rotation-key-dropped", setup: "irsa-s3", config: keys("1=active")},
	{name: "naive-key-removed", setup: "irsa-s3", config: keys("2=active")},
	{name: "rotation-key-retired", setup: "irsa-s3", from: keys("1=retiring", "2=active"), config: keys("2=active")},
	{name: "rotation-key-back", setup: "irsa-s3", config: keys("1=active", "2=next")},

	{name: "rotation-issuer-next", setup: "irsa-s3", from: keys("1=active"), config: issuers("1=active", "cdn=next")},
	{name: "naive-issuer-swapped", setup: "irsa-s3", config: issuers("cdn=active")},
	{name: "naive-issuer-unpublished", setup: "irsa-s3", config: issuers("1=retiring", "cdn=active")},
	{name: "rotation-issuer-active", setup: "irsa-s3", from: issuers("1=active", "cdn=next"), config: issuers("1=retiring", "cdn=active")},
	{name: "naive-issuer-removed", setup: "irsa-s3", config: issuers("cdn=active")},
	{name: "rotation-issuer-retired", setup: "irsa-s3", from: issuers("1=retiring", "cdn=active"), config: issuers("cdn=active")},
	{name: "rotation-issuer-back", setup: "irsa-s3", config: issuers("1=active", "cdn=next")},

	{name: "rotation-ca-next", setup: "roles-anywhere", from: authorities("1=active"), config: authorities("1=active", "2=next")},
	{name: "naive-ca-swapped", setup: "roles-anywhere", config: authorities("2=active")},
	{name: "naive-ca-untrusted", setup: "roles-anywhere", config: authorities("1=retiring", "2=active")},
	{name: "rotation-ca-active", setup: "roles-anywhere", from: authorities("1=active", "2=next"), config: authorities("1=retiring", "2=active")},
	{name: "naive-ca-removed", setup: "roles-anywhere", config: authorities("2=active")},
	{name: "rotation-ca-retired", setup: "roles-anywhere", from: authorities("1=retiring", "2=active"), config: authorities("2=active")},
	{name: "rotation-ca-back", setup: "roles-anywhere", config: authorities("1=active", "2=next")},

	{name: "harmless-certificate-revoked", setup: "roles-anywhere", from: authorities("1=active"), config: []string{`rolesAnywhere.revoked=[uploader]`}},

	// A role of several service accounts: one more of them, a prefix for each, and one less.
	{name: "harmless-account-added", setup: "irsa-s3", from: accounts("worker"), config: accounts("worker", "batch/export")},
	{name: "harmless-account-removed", setup: "irsa-s3", config: accounts()},
	{name: "harmless-prefixes", setup: "roles-anywhere", from: accounts("worker"), config: []string{
		`identities=[{name: uploader, namespace: default, serviceAccount: uploader, serviceAccounts: [worker, batch/export], createNamespace: true,` +
			` prefixPerPod: ["arn:aws:s3:::acme-tenants"], ` + ownObjects + `}]`}},
}

const ownObjects = `statements: [{sid: PutOwnObjects, actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/uploader/*"]}]`

// accounts are service accounts beside the uploader that have its role.
func accounts(others ...string) []string {
	return []string{`identities=[{name: uploader, namespace: default, serviceAccount: uploader, serviceAccounts: [` + strings.Join(others, ", ") + `], ` + ownObjects + `}]`}
}

// keys, issuers and authorities are a set of members, each name=state.
func keys(set ...string) []string        { return []string{"signingKeys=" + members(set, nil)} }
func authorities(set ...string) []string { return []string{"rolesAnywhere.cas=" + members(set, nil)} }

// issuers are behind CloudFront where they are called cdn.
func issuers(set ...string) []string {
	config := []string{"issuer.domain=null", "issuers=" + members(set, map[string]string{"domain": "oidc.lab.example.com", "dns": "external"})}
	if slices.Contains(set, "cdn=active") {
		config = append(config, "setup=irsa-cloudfront")
	}
	return config
}

func members(set []string, cdn map[string]string) string {
	var list []map[string]string
	for _, member := range set {
		name, state, _ := strings.Cut(member, "=")
		m := map[string]string{"name": name, "state": state}
		if name == "cdn" {
			maps.Copy(m, cdn)
		}
		list = append(list, m)
	}
	text, _ := json.Marshal(list)
	return string(text)
}

func main() {
	only := flag.String("only", "", "record only what matches this `regexp`")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err == nil {
		err = record(wanted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

func record(only *regexp.Regexp) error {
	scripts, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "recorder-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	host, err := lab.Host(scripts, dir)
	if err != nil {
		return err
	}
	environments := map[string][]string{}
	for _, r := range recordings {
		if !only.MatchString(r.name) {
			continue
		}
		if environments[r.setup] == nil {
			if environments[r.setup], err = lab.Environment(scripts, r.setup, host); err != nil {
				return err
			}
		}
		fmt.Fprintln(os.Stderr, "recording", r.name)
		if err := r.record(scripts, dir, environments[r.setup]); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

func (r *recording) record(scripts, dir string, env []string) error {
	if r.from != nil {
		if err := r.deploy(scripts, filepath.Join(dir, r.name+"-from"), env); err != nil {
			return err
		}
	}
	work := filepath.Join(dir, r.name)
	if err := r.project(filepath.Dir(scripts), work, r.config, env); err != nil {
		return err
	}
	out, err := pulumi(work, append(env, "REVIEW_EDITS="+r.edits), "preview", "--stack", "lab", "--json", "--show-sames", "--non-interactive")
	if err != nil {
		return err
	}
	var digest map[string]any
	if err := json.Unmarshal(out, &digest); err != nil {
		return err
	}
	delete(digest, "duration")
	delete(digest, "diagnostics") // where the language host was found
	var compact bytes.Buffer
	encoder := json.NewEncoder(&compact)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(stripped(digest)); err != nil {
		return err
	}
	if bytes.Contains(compact.Bytes(), []byte("PRIVATE KEY")) {
		return errors.New("the preview has a private key in plain")
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(compact.Bytes()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(scripts, "review", "testdata", r.name+".json.gz"), packed.Bytes(), 0o644)
}

// deploy brings the stack to where the recording begins: by the lab, which makes the DNS records that an issuer's owner would
// make, or, where the setup of the stack changes, by Pulumi alone.
func (r *recording) deploy(scripts, work string, env []string) error {
	if slices.ContainsFunc(r.from, func(change string) bool { return strings.HasPrefix(change, "setup=") }) {
		if err := r.project(filepath.Dir(scripts), work, r.from, env); err != nil {
			return err
		}
		_, err := pulumi(work, env, "up", "--yes", "--skip-preview", "--stack", "lab", "--non-interactive")
		return err
	}
	args := []string{"run", "./lab", "up", "--setup", r.setup}
	for _, change := range r.from {
		args = append(args, "--config", change)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = scripts
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lab up: %w\n%s", err, out)
	}
	return nil
}

// pulumi runs the lab's Pulumi CLI in a project, and returns what it prints.
func pulumi(dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.Command("pulumi", args...)
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, p := range filepath.SplitList(path) {
				if _, err := os.Stat(filepath.Join(p, "pulumi")); err == nil {
					cmd.Path, cmd.Err = filepath.Join(p, "pulumi"), nil
					break
				}
			}
		}
	}
	cmd.Dir, cmd.Env = dir, env
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pulumi %s: %w\n%s\n%s", args[0], err, said.String(), out)
	}
	return out, nil
}

// project writes Pulumi.yaml, and Pulumi.lab.yaml with the changes; null takes a key away. The salt is the one of the stack
// that runs.
func (r *recording) project(root, work string, changes []string, env []string) error {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "Pulumi.yaml"), data, 0o600); err != nil {
		return err
	}
	var stack, running map[string]any
	if data, err = os.ReadFile(filepath.Join(root, "Pulumi.lab.yaml")); err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, &stack); err != nil {
		return err
	}
	for _, kv := range env {
		if passphrase, ok := strings.CutPrefix(kv, "PULUMI_CONFIG_PASSPHRASE_FILE="); ok {
			if data, err = os.ReadFile(filepath.Join(filepath.Dir(passphrase), "work", "Pulumi.lab.yaml")); err != nil {
				return err
			}
		}
	}
	if err := yaml.Unmarshal(data, &running); err != nil {
		return err
	}
	if salt, ok := running["encryptionsalt"]; ok {
		stack["encryptionsalt"] = salt
	}
	config, ok := stack["config"].(map[string]any)
	if !ok {
		return errors.New("no config in Pulumi.lab.yaml")
	}
	config["k3s-aws-auth:setup"] = r.setup
	for _, change := range changes {
		key, text, _ := strings.Cut(change, "=")
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return err
		}
		path := strings.Split("k3s-aws-auth:"+key, ".")
		at := config
		for _, p := range path[:len(path)-1] {
			next, ok := at[p].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[p] = next
			}
			at = next
		}
		if value == nil {
			delete(at, path[len(path)-1])
			continue
		}
		at[path[len(path)-1]] = value
	}
	if data, err = yaml.Marshal(stack); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(work, "Pulumi.lab.yaml"), data, 0o600)
}

// stripped leaves out what says where and when, and not what.
func stripped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"sourcePosition", "stackTrace", "created", "modified"} {
			delete(v, k)
		}
		for k := range v {
			v[k] = stripped(v[k])
		}
	case []any:
		for i := range v {
			v[i] = stripped(v[i])
		}
	}
	return v
}
