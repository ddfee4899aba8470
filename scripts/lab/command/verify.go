package main

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/internal/stack"
	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/prove"
	"k3s-aws-auth/scripts/lab/internal/state"
	"k3s-aws-auth/scripts/lab/internal/verify"
)

// verification is the JSON of `verify`.
type verification struct {
	Setup string `json:"setup"`
	// Changes is what a second `up` changed; it must be empty.
	Changes map[string]int `json:"changes"`
	Refused []verify.Case  `json:"refused"`
	// Alarms are the messages that the refused callers gave rise to, where the stack has alarms.
	Alarms []string `json:"alarms,omitempty"`
	// Injected is what pods of an ordinary Deployment have, where the cluster injects identities.
	Injected []verify.Case `json:"injected,omitempty"`
	// Secrets is how many pieces of secrets were looked for, in Places.
	Secrets int      `json:"secrets"`
	Places  []string `json:"places"`
}

func verifyCommand() *cobra.Command {
	var setup string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Hold a running lab against wrong callers, leaked secrets and a second update",
		Long: `Verify runs the program again, which must change nothing, tries every wrong caller of the setup, each of which
must be refused with AWS's own error, and searches state, preview, user data, tags and logs for the stack's secrets. Of a
stack with alarms it shows those that the wrong callers gave rise to. Where the cluster injects identities, an ordinary
Deployment must have the identity of its ServiceAccount, and a Deployment of another ServiceAccount nothing.`,
		Example: "  lab verify --setup roles-anywhere",
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := onlyOne(setup)
			if err != nil {
				return err
			}
			v, err := check(cmd.Context(), name)
			if v != nil && asJSON {
				return errors.Join(err, json.NewEncoder(os.Stdout).Encode(v))
			}
			if v != nil {
				for _, c := range v.Refused {
					mark := "refused"
					if !c.OK {
						mark = "WRONG  "
					}
					fmt.Printf("%s  %s: %s\n", mark, c.Name, firstLine(c.Got))
				}
				for _, text := range v.Alarms {
					fmt.Printf("alarm    %s\n", firstLine(text))
				}
				for _, c := range v.Injected {
					mark := "injected"
					if !c.OK {
						mark = "WRONG   "
					}
					fmt.Printf("%s %s: %s\n", mark, c.Name, firstLine(c.Got))
				}
				fmt.Printf("%d pieces of secrets looked for in %d places\n", v.Secrets, len(v.Places))
			}
			return err
		},
	}
	setupFlag(cmd, &setup, "", false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

func firstLine(s string) string { return strings.SplitN(s, "\n", 2)[0] }

func check(ctx context.Context, setup string) (*verification, error) {
	lab, dir, err := state.Load(setup)
	if err != nil {
		return nil, err
	}
	facts, err := setupOf(lab.Project, setup)
	if err != nil {
		return nil, err
	}
	tools, err := tools(ctx, lab.Project, lab.Plugins, setup)
	if err != nil {
		return nil, err
	}
	p, err := program.Open(ctx, lab, dir, tools, program.Changes{})
	if err != nil {
		return nil, err
	}
	v := &verification{Setup: setup}
	show := newProgress(os.Stderr, "second up "+setup)
	again, err := p.Up(ctx, show.and(nil))
	show.end()
	if err != nil {
		return v, err
	}
	v.Changes = again.Changes
	var errs []error
	if again.Changed() {
		errs = append(errs, fmt.Errorf("a second up is not empty: %v", again.Changes))
	}
	target, err := newTarget(ctx, facts, lab, dir, tools, p)
	if err != nil {
		return v, err
	}
	v.Refused, err = target.Refusals(ctx)
	errs = append(errs, err)
	if again.Outputs["alarmTopics"].Value != nil {
		v.Alarms, err = alarms(ctx, lab)
		// Of wrong callers of a machine's role AWS hears nothing.
		if err == nil && len(v.Alarms) == 0 && facts.OwnRoles {
			err = errors.New("callers were refused, and no alarm told of them")
		}
		errs = append(errs, err)
	}
	v.Injected, err = target.Injection(ctx)
	errs = append(errs, err)
	places, err := places(ctx, p, target, dir)
	if err != nil {
		return v, errors.Join(append(errs, err)...)
	}
	for _, place := range places {
		v.Places = append(v.Places, place.Name)
	}
	v.Secrets, err = target.Secrets.Leaks(places)
	errs = append(errs, err)
	if v.Secrets == 0 {
		errs = append(errs, errors.New("the state has no secrets at all, so looking for them proves nothing"))
	}
	return v, errors.Join(errs...)
}

// alarms returns what the account's services have published to its topics, each text once.
func alarms(ctx context.Context, lab *state.Lab) ([]string, error) {
	var messages []struct{ Text string }
	if err := control(ctx, lab, http.MethodGet, "/_lab/messages", nil, &messages); err != nil {
		return nil, err
	}
	var texts []string
	for _, m := range messages {
		if !slices.Contains(texts, m.Text) {
			texts = append(texts, m.Text)
		}
	}
	return texts, nil
}

func newTarget(ctx context.Context, setup setups.Setup, lab *state.Lab, dir string, tools *build.Tools, p *program.Program) (*verify.Target, error) {
	outputs, err := p.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	connection, err := kube.Connect(state.Kubeconfig(dir))
	if err != nil {
		return nil, err
	}
	cluster := &prove.Cluster{Cluster: connection}
	identities, err := cluster.Declared(ctx, outputs)
	if err != nil {
		return nil, err
	}
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := p.PlainState(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := verify.ParseSecrets(plain)
	if err != nil {
		return nil, err
	}
	var signingKey *rsa.PrivateKey
	if setup.PresentsToken() {
		if signingKey, err = clusterSigningKey(dir, secrets); err != nil {
			return nil, err
		}
	}
	pulls, _ := p.Config(ctx, "cluster.imagePulls") // an error says that it is not set
	return &verify.Target{Pulls: pulls, Own: lab.Image(state.OwnRepository), Other: lab.Image(state.OtherRepository), Setup: setup, Dir: dir, AWS: aws, Cluster: cluster, Outputs: outputs, Secrets: secrets, SigningKey: signingKey,
		SigningHelper: tools.SigningHelper, Identity: identities[0]}, nil
}

// clusterSigningKey is the key of the cluster's tokens: the program's own or, of a cluster that it did not make, its
// owner's.
func clusterSigningKey(dir string, secrets *verify.Secrets) (*rsa.PrivateKey, error) {
	c, err := loadExisting(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return secrets.SigningKey()
	}
	if err != nil {
		return nil, err
	}
	return stack.ParseSigningKey(c.SigningKey)
}

// places gathers everything that others may read: what is kept, shown, handed to machines or logged.
func places(ctx context.Context, p *program.Program, t *verify.Target, dir string) ([]verify.Place, error) {
	exported, err := p.State(ctx)
	if err != nil {
		return nil, err
	}
	preview, err := p.Preview(ctx)
	if err != nil {
		return nil, err
	}
	places := []verify.Place{{Name: "the exported stack", Data: exported}, {Name: "the preview as JSON", Data: preview}}
	client := ec2.NewFromConfig(t.AWS)
	instances, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
	if err != nil {
		return nil, err
	}
	for _, r := range instances.Reservations {
		for _, i := range r.Instances {
			data, err := client.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: i.InstanceId, Attribute: "userData"})
			if err != nil {
				return nil, err
			}
			if data.UserData == nil || data.UserData.Value == nil {
				continue
			}
			user, err := verify.Unpack(*data.UserData.Value)
			if err != nil {
				return nil, err
			}
			places = append(places, verify.Place{Name: "user data of " + *i.InstanceId, Data: user})
			tags, err := json.Marshal(i.Tags)
			if err != nil {
				return nil, err
			}
			places = append(places, verify.Place{Name: "tags of " + *i.InstanceId, Data: tags})
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".log" {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			places = append(places, verify.Place{Name: path, Data: data})
		}
		return err
	})
	return places, err
}
