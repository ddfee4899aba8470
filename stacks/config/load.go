package config

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// source is where raw values come from: a Pulumi context, or a test.
type source interface {
	// value returns the text of a full key such as k3s-aws-auth:setup.
	value(key string) (string, bool)
	// secret reports whether Pulumi holds the key's value as a secret.
	secret(key string) bool
	// keys lists every full key that the stack sets, as far as it is known.
	keys() []string
}

// Load reads, completes and validates the stack's configuration. Its error
// joins every problem, one line each, sorted by key; see [Problem].
func Load(ctx *pulumi.Context, setups []Setup) (*Config, error) {
	return load(contextSource{ctx}, ctx.Project(), ctx.Stack(), setups)
}

// Parse does what Load does, for a stack's values that were read elsewhere: as
// Pulumi hands them to a program, plain values as their text, lists and objects as
// JSON, by their full keys. secrets are the keys that hold a secret.
func Parse(values map[string]string, secrets []string, stack string, setups []Setup) (*Config, error) {
	return load(valueSource{values, secrets}, Project, stack, setups)
}

func load(from source, project, stack string, setups []Setup) (*Config, error) {
	cfg, p := Defaults(stack), &Problems{}
	target := reflect.ValueOf(&cfg).Elem()
	fields := keysOf(target.Type())
	for _, full := range from.keys() {
		if key, ours := strings.CutPrefix(full, project+":"); ours && indexOf(fields, key) < 0 {
			p.Add(join("", key), "an unknown key", "one of %s%s", strings.Join(fields, ", "), didYouMean(key, fields))
		}
	}
	for _, key := range fields {
		full := project + ":" + key
		text, ok := from.value(full)
		if !ok {
			continue
		}
		if from.secret(full) && (key != "cluster" || !hasKubeconfig(text)) {
			p.Add(key, "a secret", "plain, since its values become names, policies and the shape of what is deployed, "+
				"which every preview shows; all key material is made by the program itself")
			continue
		}
		decodeTop(key, text, fieldOf(target, key), p)
	}
	if cfg.ClusterName == "" {
		cfg.ClusterName = stack
	}
	for i := range cfg.Identities {
		cfg.Identities[i].useUsualAccount()
	}
	cfg.Region, _ = from.value("aws:region")
	if cfg.Cluster.Kubeconfig != "" && !from.secret(project+":cluster") {
		p.Add("cluster.kubeconfig", "plain text", "a secret: pulumi config set --path cluster.kubeconfig --secret")
	}
	cfg.defaultTags = defaultTags(from)
	chosen, _ := of(setups, cfg.Setup)
	cfg.facts = chosen.Facts
	validate(&cfg, setups, p)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return &cfg, nil
}

// defaultTags reads what the AWS provider adds to every resource's tags. What is not
// readable is the provider's to refuse.
func defaultTags(from source) map[string]any {
	var defaults struct {
		Tags map[string]any `json:"tags"`
	}
	if text, _ := from.value("aws:defaultTags"); from.secret("aws:defaultTags") || json.Unmarshal([]byte(text), &defaults) != nil {
		return nil
	}
	return defaults.Tags
}

// hasKubeconfig reports whether the text of the key cluster has the one value
// that is a secret. Pulumi tells only that something within a key is one.
func hasKubeconfig(text string) bool {
	var cluster struct {
		Kubeconfig string `json:"kubeconfig"`
	}
	return json.Unmarshal([]byte(text), &cluster) == nil && cluster.Kubeconfig != ""
}

// decodeTop reads a top-level value. Pulumi hands plain values over as their
// text and lists and objects as JSON.
func decodeTop(key, text string, target reflect.Value, p *Problems) {
	switch target.Kind() {
	case reflect.String:
		decode(key, text, target, p)
	case reflect.Bool:
		switch text {
		case "true", "false":
			target.SetBool(text == "true")
		default:
			p.Add(key, describe(text), "true or false")
		}
	default:
		raw, err := parseJSON(text)
		if err != nil {
			// The text is no JSON, so it is a plain value.
			raw = text
		}
		decode(key, raw, target, p)
	}
}

func indexOf(list []string, word string) int {
	for i, s := range list {
		if s == word {
			return i
		}
	}
	return -1
}

// valueSource is values that are at hand.
type valueSource struct {
	values  map[string]string
	secrets []string
}

func (s valueSource) value(key string) (string, bool) { v, ok := s.values[key]; return v, ok }
func (s valueSource) secret(key string) bool          { return indexOf(s.secrets, key) >= 0 }
func (s valueSource) keys() []string                  { return sortedKeys(s.values) }

// contextSource reads from a running program's context.
type contextSource struct{ ctx *pulumi.Context }

func (s contextSource) value(key string) (string, bool) { return s.ctx.GetConfig(key) }

func (s contextSource) secret(key string) bool { return s.ctx.IsConfigSecret(key) }

// keys lists the keys that a language host passes in the environment. A context
// answers only for keys that one asks for, so a program that runs inside its
// driver (the Automation API's inline programs) cannot see unknown ones.
func (s contextSource) keys() []string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(os.Getenv(pulumi.EnvConfig)), &all); err != nil {
		return nil
	}
	return sortedKeys(all)
}
