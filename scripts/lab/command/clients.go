package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/exchange"
	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func clientsCommand() *cobra.Command {
	var setup, files string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "clients -- COMMAND...",
		Short: "Lead a client of AWS through a day in three minutes, and say what it has survived",
		Long: `Lead a client of AWS through a day in three minutes, and say what it has survived: sessions that end, a token that the kubelet
renews, throttling, an issuer that does not answer, a clock that is wrong.

COMMAND runs in a pod of the lab that has the demo pod's identity, in the directory ` + state.ClientMount + `, which has the files of --files. It
is one process that calls AWS about twice a second and prints a line for each call: "ok" or "failed", and what AWS said.

Exit code 0 is for a client that works at the end of each hour of its day, 1 for one that does not.`,
		Example: `  lab clients --files lab/clients/python -- python3 client.py
  lab clients --setup roles-anywhere --files lab/clients/cli --json -- sh client.sh`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usage(errors.New("found no command: name the client after --, such as lab clients -- python3 client.py"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, dir, err := theLab(setup)
			if err != nil {
				return err
			}
			facts, err := setupOf(lab.Project, lab.Setup)
			if err != nil {
				return err
			}
			if err := os.RemoveAll(state.Client(dir)); err != nil {
				return err
			}
			if files == "" {
				err = os.Mkdir(state.Client(dir), 0o755)
			} else {
				err = os.CopyFS(state.Client(dir), os.DirFS(files))
			}
			if err != nil {
				return fmt.Errorf("--files: %w", err)
			}
			cluster, err := kube.Connect(state.Kubeconfig(dir))
			if err != nil {
				return err
			}
			d := day{lab: lab, cluster: cluster, setup: facts.Name, token: facts.PresentsToken(), out: os.Stderr}
			hours, err := d.run(cmd.Context(), args)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(os.Stdout).Encode(hours)
			} else {
				hoursTable(os.Stdout, hours)
			}
			if err == nil && slices.ContainsFunc(hours, func(h hour) bool { return !h.Works }) {
				err = errors.New("the client does not work at the end of each hour")
			}
			return err
		},
	}
	setupFlag(cmd, &setup, "", false)
	cmd.Flags().StringVar(&files, "files", "", "directory with the client's files")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list on standard output")
	return cmd
}

// hour is a part of the day, and what became of the client's calls.
type hour struct {
	Name   string `json:"name"`
	Calls  int    `json:"calls"`
	Failed int    `json:"failed"`
	// Exchanges are how often a new session was asked for, and Refused how many of them AWS refused.
	Exchanges int `json:"exchanges"`
	Refused   int `json:"refused"`
	// TokenIssued is when the token was issued that was presented last; empty where pods present none.
	TokenIssued string `json:"tokenIssued,omitempty"`
	// Works tells whether the last calls succeeded, with a token that is not older than its renewal.
	Works bool `json:"works"`
	// Error is what the client last said of a call that failed.
	Error string `json:"error,omitempty"`
}

// day leads one client through its hours.
type day struct {
	lab     *state.Lab
	cluster *kube.Cluster
	setup   string
	token   bool // whether pods present tokens
	out     io.Writer
}

// session is how long sessions last on this day, and trouble how long AWS fails: longer, so that every client has to ask for
// a session meanwhile. An hour of the day has room for what comes after.
const (
	session = 12 * time.Second
	trouble = session + 2*time.Second
	anHour  = trouble + session
)

// clientScript gives each line of a client a time.
const clientScript = `cd ` + state.ClientMount + ` && "$@" 2>&1 | while IFS= read -r line; do printf '%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" "$line"; done`

func (d *day) run(ctx context.Context, command []string) (hours []hour, err error) {
	pod, err := d.start(ctx, command)
	if err != nil {
		return nil, err
	}
	source := "pod/" + pod.Namespace + "/" + pod.Name
	defer func() {
		after := context.WithoutCancel(ctx)
		err = errors.Join(err, d.trouble(after, "", 0), d.skew(after, source, 0),
			d.cluster.Client.CoreV1().Pods(pod.Namespace).Delete(after, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	}()
	action := "CreateSession"
	if d.token {
		action = "AssumeRoleWithWebIdentity"
	}
	failing := func(code, message string, status int) func() error {
		return func() error {
			return d.trouble(ctx, fmt.Sprintf(`{"source":%q,"action":%q,"code":%q,"message":%q,"status":%d,"until":%q}`,
				source, action, code, message, status, time.Now().Add(trouble).UTC().Format(time.RFC3339Nano)), session)
		}
	}
	steps := []struct {
		name                 string
		begin                func() error
		skip, renewed, twice bool
	}{
		{name: "sessions end"},
		{name: "the kubelet renews the token", skip: !d.token, renewed: true, begin: func() error {
			return control(ctx, d.lab, http.MethodPost, "/_lab/tokens", strings.NewReader(fmt.Sprintf(`{"namespace":%q,"pod":%q}`, pod.Namespace, pod.Name)), nil)
		}},
		{name: "AWS throttles for a while", begin: failing("Throttling", "Rate exceeded", http.StatusBadRequest)},
		{name: "the issuer does not answer for a while", skip: !d.token, begin: failing("IDPCommunicationError", "Error communicating with the identity provider.", http.StatusBadRequest)},
		{name: "AWS fails for a while", begin: failing("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.", http.StatusInternalServerError)},
		// Last, since nothing here can set the client's clock right again: it goes on with the times that it was told.
		{name: "its clock is 10 minutes behind", twice: true, begin: func() error { return d.skew(ctx, source, -10*time.Minute) }},
	}
	for _, s := range steps {
		if s.skip {
			continue
		}
		fmt.Fprintf(d.out, "%s: %s\n", d.setup, s.name)
		began, length := time.Now(), anHour
		if s.twice { // a session of before, and one that was given meanwhile
			length *= 2
		}
		if s.begin != nil {
			if err := s.begin(); err != nil {
				return hours, err
			}
		}
		select {
		case <-ctx.Done():
			return hours, ctx.Err()
		case <-time.After(length):
		}
		h, err := d.look(ctx, pod, s.name, action, source, began)
		if err != nil {
			return hours, err
		}
		if s.renewed {
			issued, err := time.Parse(time.RFC3339, h.TokenIssued)
			h.Works = h.Works && err == nil && !issued.Before(began.Truncate(time.Second))
		}
		hours = append(hours, h)
	}
	return hours, nil
}

// start runs the client in a pod like the demo pod, and waits for its first answer.
func (d *day) start(ctx context.Context, command []string) (*corev1.Pod, error) {
	// Sessions are short from the first on.
	if err := d.trouble(ctx, "", session); err != nil {
		return nil, err
	}
	list, err := d.cluster.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=k3s-aws-auth"})
	if err != nil {
		return nil, err
	}
	var model *corev1.Pod
	for i, p := range list.Items {
		if slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == exchange.AppContainer }) {
			model = &list.Items[i]
			break
		}
	}
	if model == nil {
		return nil, errors.New("the lab has no demo pod to be like")
	}
	pod := exchange.Pod(model)
	pod.GenerateName = "client-"
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == exchange.AppContainer {
			c.Image, c.Command = state.ClientImage, append([]string{"/bin/sh", "-c", clientScript, "client"}, command...)
		}
	}
	pods := d.cluster.Client.CoreV1().Pods(pod.Namespace)
	if pod, err = pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("the client's pod: %w", err)
	}
	var said []call
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		said, err = d.calls(ctx, pod, time.Time{})
		if err == nil && slices.ContainsFunc(said, func(c call) bool { return c.ok }) {
			return pod, nil
		}
	}
	last := "it prints no line that begins with ok or failed"
	if err != nil {
		last = err.Error()
	} else if len(said) > 0 {
		last = said[len(said)-1].text
	}
	_ = pods.Delete(context.WithoutCancel(ctx), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	return nil, fmt.Errorf("the client has no call that succeeds within a minute: %s", last)
}

// call is one call of the client.
type call struct {
	ok   bool
	text string
}

// calls are those of the client since a time.
func (d *day) calls(ctx context.Context, pod *corev1.Pod, since time.Time) ([]call, error) {
	log, err := d.cluster.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: exchange.AppContainer}).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	return parseCalls(log, since), nil
}

func parseCalls(log []byte, since time.Time) (calls []call) {
	for line := range bytes.Lines(log) {
		when, text, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
		at, err := time.Parse(time.RFC3339Nano, when)
		state, said, _ := strings.Cut(text, " ")
		if err != nil || at.Before(since) || state != "ok" && state != "failed" {
			continue
		}
		calls = append(calls, call{state == "ok", said})
	}
	return calls
}

// look says what became of the client's calls since an hour began.
func (d *day) look(ctx context.Context, pod *corev1.Pod, name, action, source string, began time.Time) (hour, error) {
	h := hour{Name: name}
	calls, err := d.calls(ctx, pod, began)
	if err != nil {
		return h, err
	}
	h.Calls = len(calls)
	for _, c := range calls {
		if !c.ok {
			h.Failed++
			h.Error = c.text
		}
	}
	const last = 2
	h.Works = h.Calls >= last && !slices.ContainsFunc(calls[h.Calls-last:], func(c call) bool { return !c.ok })
	var events []struct {
		Time                      time.Time
		Action, Source, ErrorCode string
		Details                   map[string]string
	}
	if err := control(ctx, d.lab, http.MethodGet, "/_lab/events", nil, &events); err != nil {
		return h, err
	}
	for _, e := range events {
		if e.Source == source && e.Action == action && !e.Time.Before(began) {
			h.Exchanges++
			h.TokenIssued = e.Details["iat"]
			if e.ErrorCode != "" {
				h.Refused++
			}
		}
	}
	return h, nil
}

// trouble lets AWS fail calls (a list in JSON, without its brackets), and sessions end after longest; 0 is as AWS has it.
func (d *day) trouble(ctx context.Context, list string, longest time.Duration) error {
	return control(ctx, d.lab, http.MethodPost, "/_lab/trouble", strings.NewReader(fmt.Sprintf(`{"longestSession":%q,"troubles":[%s]}`, longest, list)), nil)
}

func (d *day) skew(ctx context.Context, source string, offset time.Duration) error {
	return control(ctx, d.lab, http.MethodPost, "/_lab/skew", strings.NewReader(fmt.Sprintf(`{"source":%q,"offset":%q}`, source, offset)), nil)
}

func hoursTable(out io.Writer, hours []hour) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOUR\tCALLS\tFAILED\tSESSIONS ASKED FOR\tREFUSED\tWORKS AT ITS END\tLAST ERROR")
	for _, h := range hours {
		works := "yes"
		if !h.Works {
			works = "NO"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%.120s\n", h.Name, h.Calls, h.Failed, h.Exchanges, h.Refused, works, h.Error)
	}
	w.Flush()
}
