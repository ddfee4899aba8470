// Package prove asks a lab's pods who they are to AWS and lets them write to S3, from inside the containers that the
// program declared, and tells whether the answers are those that the setup promises.
package prove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"k3s-aws-auth/scripts/internal/kube"
)

// Identity is one proven pod identity.
type Identity struct {
	Name           string `json:"name"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	RoleARN        string `json:"roleArn"`
	CallerARN      string `json:"callerArn"`
	SessionName    string `json:"sessionName"`
	// PutObject is "ok" or AWS's error.
	PutObject string `json:"putObject"`
}

// Declared is an entry of the program's output `identities`, and the demo pod that has it.
type Declared struct {
	Name           string `json:"name"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	RoleARN        string `json:"roleArn"`
	// SessionName is what the program says that sessions are called; empty where it leaves that to others.
	SessionName string `json:"sessionName"`

	// Pod is the identity's demo pod, Bucket and Prefix where it may write: all three as the cluster has them.
	Pod, Bucket, Prefix string `json:"-"`
}

// Cluster is a lab's cluster, whose demo pods can be asked.
type Cluster struct{ *kube.Cluster }

// Identities proves each identity of the program's outputs. It returns what it saw, with an error that names every
// identity that is not what the program promised.
func Identities(ctx context.Context, kubeconfig string, outputs auto.OutputMap) ([]Identity, error) {
	connection, err := kube.Connect(kubeconfig)
	if err != nil {
		return nil, err
	}
	cluster := &Cluster{connection}
	list, err := cluster.Declared(ctx, outputs)
	if err != nil {
		return nil, err
	}
	out, errs := make([]Identity, len(list)), make([]error, len(list))
	var asked sync.WaitGroup
	for i, d := range list {
		asked.Go(func() {
			var err error
			if out[i], err = cluster.prove(ctx, d); err != nil {
				errs[i] = fmt.Errorf("identity %s: %w", d.Name, err)
			}
		})
	}
	asked.Wait()
	return out, errors.Join(errs...)
}

// Declared reads the identities from the program's outputs and finds the demo pod of each.
func (c *Cluster) Declared(ctx context.Context, outputs auto.OutputMap) ([]Declared, error) {
	data, err := json.Marshal(outputs["identities"].Value)
	if err != nil {
		return nil, err
	}
	var list []Declared
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("output identities: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("the program's outputs have no identities")
	}
	for i := range list {
		if err := c.locate(ctx, &list[i]); err != nil {
			return nil, fmt.Errorf("identity %s: %w", list[i].Name, err)
		}
	}
	return list, nil
}

// locate finds the pod that runs as an identity's service account and says in its environment where it writes.
func (c *Cluster) locate(ctx context.Context, d *Declared) error {
	pods, err := c.Client.CoreV1().Pods(d.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.serviceAccountName", d.ServiceAccount).String()})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Spec.Containers {
			if container.Name != Container {
				continue
			}
			env := map[string]string{}
			for _, e := range container.Env {
				env[e.Name] = e.Value
			}
			if key := env["DEMO_KEY"]; key != "" {
				d.Pod, d.Bucket, d.Prefix = pod.Name, env["DEMO_BUCKET"], path.Dir(key)+"/"
				return nil
			}
		}
	}
	return fmt.Errorf("namespace %s has no demo pod of service account %s: the lab needs demo: true", d.Namespace, d.ServiceAccount)
}

func (c *Cluster) prove(ctx context.Context, d Declared) (Identity, error) {
	id := Identity{Name: d.Name, Namespace: d.Namespace, ServiceAccount: d.ServiceAccount, RoleARN: d.RoleARN, PutObject: "ok"}
	// Each call starts a client of its own, which is most of the time that it takes.
	var put error
	var writes sync.WaitGroup
	writes.Go(func() { put = c.Put(ctx, d.Namespace, d.Pod, d.Bucket, d.Prefix+"lab/proof.txt") })
	arn, err := c.caller(ctx, d)
	writes.Wait()
	if put != nil {
		id.PutObject = put.Error()
	}
	// A pod that runs already names its sessions anew once its changed ConfigMap has reached it.
	for deadline := time.Now().Add(2 * time.Minute); err == nil && d.SessionName != "" && !strings.HasSuffix(arn, "/"+d.SessionName) &&
		time.Now().Before(deadline); time.Sleep(time.Second) {
		arn, err = c.caller(ctx, d)
	}
	if err != nil {
		return id, errors.Join(err, put)
	}
	id.CallerARN = arn
	if id.SessionName, err = d.is(arn); err != nil {
		return id, err
	}
	return id, put
}

// caller asks AWS from inside a pod who it is.
func (c *Cluster) caller(ctx context.Context, d Declared) (arn string, err error) {
	said, err := c.Exec(ctx, d.Namespace, d.Pod, Container, "aws", "sts", "get-caller-identity", "--output", "json")
	if err != nil {
		return "", err
	}
	var caller struct{ Arn string }
	if err := json.Unmarshal([]byte(said), &caller); err != nil {
		return "", fmt.Errorf("get-caller-identity answered %q: %w", said, err)
	}
	return caller.Arn, nil
}

// is returns the name of a caller's session, and an error where the caller is not the identity.
func (d Declared) is(arn string) (session string, err error) {
	role, session, err := splitSession(arn)
	if err != nil {
		return "", err
	}
	if want := roleName(d.RoleARN); role != want {
		return session, fmt.Errorf("the pod is %s, not a session of role %s", arn, want)
	}
	if d.SessionName != "" && session != d.SessionName {
		return session, fmt.Errorf("the pod is %s, but the program calls its sessions %s", arn, d.SessionName)
	}
	return session, nil
}

// Container is the name of the demo pods' own container.
const Container = "app"

// Put lets a pod write an object.
func (c *Cluster) Put(ctx context.Context, namespace, pod, bucket, key string) error {
	_, err := c.Exec(ctx, namespace, pod, Container,
		"/bin/sh", "-ec", `echo proof >/tmp/proof.txt; exec aws s3api put-object --bucket "$0" --key "$1" --body /tmp/proof.txt`, bucket, key)
	return err
}

// splitSession takes arn:aws:sts::<account>:assumed-role/<role>/<session> apart.
func splitSession(arn string) (role, session string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[2] == "sts" {
		if f := strings.Split(parts[5], "/"); len(f) == 3 && f[0] == "assumed-role" {
			return f[1], f[2], nil
		}
	}
	return "", "", fmt.Errorf("%q is not the ARN of a role's session", arn)
}

// roleName is the last part of a role's ARN: session ARNs have no path.
func roleName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }
