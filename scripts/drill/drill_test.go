package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/setups"
)

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestEveryDrillSaysWhatItExpectsInEverySetup(t *testing.T) {
	list, err := setups.Around()
	require.NoError(t, err)
	// One more, of facts that no other has together.
	list = append(list, setups.Setup{Name: "toy", Presents: setups.Certificate, Issuer: setups.Nowhere, SessionName: setups.CertificateSerial})
	ids := map[string]bool{}
	for _, d := range allDrills() {
		require.False(t, ids[d.ID], "two drills %s", d.ID)
		ids[d.ID] = true
		require.NotEmpty(t, d.Title, d.ID)
		require.NotEmpty(t, d.Does, d.ID)
		require.NotNil(t, d.Told, "%s does not say what doctor finds", d.ID)
		for _, s := range list {
			e, why := d.Expect(s)
			if why != "" {
				require.Zero(t, e, "%s both runs and does not in %s", d.ID, s.Name)
				continue
			}
			for _, v := range views {
				require.Contains(t, []Outcome{Works, Fails}, e.Of(v), "%s %s %s", d.ID, s.Name, v)
				if e.Of(v) == Fails {
					require.NotEmpty(t, e.Error, "%s in %s names no error", d.ID, s.Name)
				}
			}
			if d.ExpectSDK != nil {
				sdk, _ := d.ExpectSDK(s)
				require.NotEqual(t, e, sdk, "%s in %s: nothing differs for SDKs", d.ID, s.Name)
			}
			for _, v := range e.Restart {
				require.Equal(t, Fails, e.Of(v), "%s in %s restarts what works", d.ID, s.Name)
			}
		}
	}
	for _, want := range []string{"F-01", "F-02a", "F-02b", "F-03", "F-04", "F-05", "F-06"} {
		require.True(t, slices.ContainsFunc(allDrills(), func(d *Drill) bool { return d.Article == want }), want)
	}
}

func TestChoose(t *testing.T) {
	all := allDrills()
	for _, c := range []struct {
		only []string
		want []string
	}{
		{[]string{"role-deleted"}, []string{"role-deleted"}},
		{[]string{"f-02"}, []string{"clock-agent", "clock-server"}},
		{[]string{"F-05", "provider-deleted", "F-03"}, nil},
	} {
		got, err := choose(all, c.only)
		if c.want == nil {
			var usage cli.UsageError
			require.ErrorAs(t, err, &usage, "a drill that is chosen twice adds nothing")
			continue
		}
		require.NoError(t, err)
		var ids []string
		for _, d := range got {
			ids = append(ids, d.ID)
		}
		require.Equal(t, c.want, ids)
	}
	_, err := choose(all, []string{"nothing"})
	require.ErrorContains(t, err, "no drill")
}

func samplesOf(states ...string) []Sample {
	var out []Sample
	for i, s := range states {
		out = append(out, Sample{View: Fresh, Began: day.Add(time.Duration(i) * time.Second), OK: s != "bad", Other: s == "other", Text: s})
	}
	return out
}

func TestJudge(t *testing.T) {
	for want, states := range map[Outcome][]string{
		Silent: nil, Works: {"ok", "ok"}, Fails: {"ok", "bad", "ok"}, Another: {"ok", "other"},
	} {
		require.Equal(t, want, judge(samplesOf(states...)), states)
	}
}

func result(kept, fresh, fresher Outcome, text string) *Result {
	return &Result{Drill: "x", Setup: "irsa-s3", Status: AsExpected, Expected: sessionsGoOn("No provider|Nobody"), Views: map[View]ViewResult{
		Kept: {Outcome: kept, Error: text}, Fresh: {Outcome: fresh, Error: text}, New: {Outcome: fresher, Error: text}}}
}

func TestCompare(t *testing.T) {
	require.Empty(t, compare(result(Works, Fails, Fails, "…: Nobody is there")))
	require.Len(t, compare(result(Fails, Works, Fails, "Nobody")), 2)
	require.Len(t, compare(result(Works, Fails, Fails, "another text")), 2)
	r := result(Works, Fails, Fails, "Nobody")
	v := r.Views[New]
	v.Restart = true
	r.Views[New] = v
	require.ErrorContains(t, errors.New(strings.Join(compare(r), "")), "new: needs a restart")
	r.Expected.Restart = []View{New}
	require.Empty(t, compare(r))
	require.Len(t, compare(result(Works, Silent, Fails, "Nobody")), 1, "no call is no proof")
}

func attack(intruder Outcome) *Result {
	r := result(Works, Works, intruder, "")
	r.Attack = true
	return r
}

func TestCells(t *testing.T) {
	different := result(Works, Works, Works, "")
	different.Status = Different
	for _, c := range []struct {
		r    *Result
		want string
	}{
		{result(Works, Works, Works, ""), "✓"},
		{result(Works, Works, Fails, ""), "⚠→✗"},
		{result(Works, Fails, Fails, ""), "⚠→✗"},
		{result(Fails, Fails, Fails, ""), "✗"},
		{different, "✓ !"},
		{attack(Fails), "shut"},
		{attack(Works), "open"},
		{&Result{Status: NotThere}, "n/a"},
		{&Result{Status: Skipped}, "?"},
		{&Result{Status: Broken}, "?"},
	} {
		require.Equal(t, c.want, cell(c.r))
	}
}

func TestReports(t *testing.T) {
	r := result(Works, Fails, Fails, "Nobody | none")
	r.Injected, r.Recovering = day, day.Add(time.Minute)
	r.Errors = errorLines(samplesOf("bad", "ok", "bad"))
	none := &Result{Drill: "x", Setup: "roles-anywhere", Status: NotThere, Reason: "no token"}
	results := []*Result{r, none}

	var table, markdown, comma bytes.Buffer
	writeTable(&table, results, []string{"irsa-s3", "roles-anywhere"})
	require.Regexp(t, `–\s+x\s+⚠→✗\s+n/a\s+yes`, table.String())
	writeMarkdown(&markdown, results, []string{"irsa-s3", "roles-anywhere"}, "somewhere")
	require.Contains(t, markdown.String(), "| roles-anywhere | – | – | – | – | n/a: no token |")
	require.Contains(t, markdown.String(), "- 03:04:05.000, fresh, +0.0 s, 2 ×: `bad`")
	require.NoError(t, writeCSV(&comma, results))
	lines, err := csv.NewReader(&comma).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 1+3+1)
	require.Equal(t, "Nobody | none", lines[2][len(lines[2])-1])
}

func TestParseSamples(t *testing.T) {
	log := "fresh\t2026-01-02T03:04:05.250Z\tok\tarn:aws:sts::1:assumed-role/uploader/x\n" +
		"kept\t2026-01-02T03:04:06Z\tok\tarn:aws:sts::1:assumed-role/uploader2/x\nnonsense\n" +
		"new\t2026-01-02T08:04:06Z\terror\tAn error occurred:\ttabs stay\n"
	got := parseSamples(log, "uploader", day.Add(3*time.Second))
	require.Equal(t, []Sample{
		{View: Fresh, Began: day.Add(250 * time.Millisecond), OK: true, Text: "arn:aws:sts::1:assumed-role/uploader/x"},
		{View: Kept, Began: day.Add(time.Second), OK: true, Other: true, Text: "arn:aws:sts::1:assumed-role/uploader2/x"},
		{View: New, Began: day.Add(3 * time.Second), Text: "An error occurred:\ttabs stay"},
	}, got, "the last pod's clock is five hours ahead: the time of arrival counts")
}

func TestBetween(t *testing.T) {
	s := samplesOf("bad", "ok", "bad", "ok")
	require.Len(t, between(s, Fresh, day.Add(time.Second), day.Add(3*time.Second)), 2)
	require.Len(t, between(s, Fresh, day.Add(time.Second), time.Time{}), 3)
	require.Empty(t, between(s, Kept, day, time.Time{}))
	first, ok := firstOK(s)
	require.True(t, ok)
	require.Equal(t, day.Add(time.Second), first.Began)
}

func TestRecoveryUndoesBackwardsOnceAndThroughFailures(t *testing.T) {
	retryPause = 0
	var order []string
	r := &Recovery{}
	note := func(name string) func(context.Context) error {
		return func(context.Context) error { order = append(order, name); return nil }
	}
	r.Add("first", note("first"))
	tries := 0
	r.Add("broken", func(context.Context) error { tries++; return errors.New("no") })
	r.Add("last", note("last"))
	err := r.Run(t.Context())
	require.ErrorContains(t, err, `recovery "broken" failed, do it by hand`)
	require.Equal(t, []string{"last", "first"}, order)
	require.Equal(t, 3, tries)
	require.NoError(t, r.Run(t.Context()), "nothing is undone twice")
	require.Equal(t, []string{"last", "first"}, order)
}

func TestRecoveryRunsAfterAnInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	r, done := &Recovery{}, false
	r.Add("step", func(ctx context.Context) error { done = true; return ctx.Err() })
	require.NoError(t, r.Run(ctx), "the step's own context has not ended")
	require.True(t, done)
}

func TestProductionMark(t *testing.T) {
	for _, tags := range []map[string]string{
		{"environment": "production"}, {"k3s-aws-auth/production": "true"}, {"Env": "Prod"}, {"k3s-aws-auth:stage": "prod-eu"}, {"protected": "true"}, {"Production": ""},
		{"deletion-protection": "yes"}, {"acme.example/stack": "live"},
	} {
		require.NotEmpty(t, productionMark(tags), tags)
	}
	for _, tags := range []map[string]string{
		{}, {"environment": "lab"}, {"protected": "false"}, {"name": "production"}, {"env": "product-catalogue"}, {"protection": "off"},
	} {
		require.Empty(t, productionMark(tags), tags)
	}
}

func TestOtherSubject(t *testing.T) {
	got, err := otherSubject(`{"Statement":[{"Condition":{"StringEquals":{"h:aud":"sts","h:sub":["system:serviceaccount:a:b"]}}}]}`)
	require.NoError(t, err)
	require.JSONEq(t, `{"Statement":[{"Condition":{"StringEquals":{"h:aud":"sts","h:sub":["system:serviceaccount:a:b-drill"]}}}]}`, got)
	got, err = otherSubject(`{"Statement":[{"Condition":{"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"a.b"}}}]}`)
	require.NoError(t, err)
	require.Contains(t, got, "a.b-drill")
	_, err = otherSubject(`{"Statement":[{"Condition":{}}]}`)
	require.ErrorContains(t, err, "no subject")
}

func TestIssuerOf(t *testing.T) {
	got, err := issuerOf(`{"Statement":[{"Principal":{"Federated":"arn:aws:iam::1:oidc-provider/oidc.example.com/x"}}]}`)
	require.NoError(t, err)
	require.Equal(t, "oidc.example.com/x", got)
	got, err = issuerOf(`{"Statement":[{"Principal":{"Federated":["arn:aws:iam::1:oidc-provider/a","arn:aws:iam::1:oidc-provider/b"]}}]}`)
	require.NoError(t, err)
	require.Equal(t, "a", got)
	_, err = issuerOf(`{"Statement":[]}`)
	require.Error(t, err)
}

func model() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "uploader", Namespace: "default"}, Spec: corev1.PodSpec{NodeName: "a",
		ServiceAccountName: "uploader", InitContainers: []corev1.Container{{Name: "helper"}},
		Containers: []corev1.Container{{Name: appContainer, Image: "i", ReadinessProbe: &corev1.Probe{},
			Env:          []corev1.EnvVar{{Name: "AWS_REGION", Value: "r"}, {Name: "AWS_ROLE_ARN", Value: "x"}, {Name: "DEMO_ROLE", Value: "uploader"}},
			VolumeMounts: []corev1.VolumeMount{{Name: "tmp"}, {Name: "token"}}}},
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}}}
}

func TestDrillPod(t *testing.T) {
	p := drillPod(model(), time.Second, same, Kept, Fresh)
	require.Equal(t, model().Spec.Volumes, p.Spec.Volumes)
	require.Equal(t, "uploader", p.Spec.ServiceAccountName)
	require.Empty(t, p.Spec.NodeName)
	require.Nil(t, p.Spec.Containers[0].ReadinessProbe)
	require.Contains(t, p.Spec.Containers[0].Env, corev1.EnvVar{Name: "DRILL_VIEWS", Value: "kept fresh"})
	require.Equal(t, "a", model().Spec.NodeName)

	plain := drillPod(model(), time.Second, ordinary, New)
	require.Equal(t, "uploader", plain.Spec.ServiceAccountName)
	require.Equal(t, p.Spec.AutomountServiceAccountToken, plain.Spec.AutomountServiceAccountToken)
	for _, e := range plain.Spec.Containers[0].Env {
		require.NotContains(t, []string{"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}, e.Name, "it must be injected again")
	}
	for _, v := range plain.Spec.Volumes {
		require.Nil(t, v.Projected)
	}
	stranger := drillPod(model(), time.Second, stranger, New)
	require.Equal(t, "default", stranger.Spec.ServiceAccountName)
	require.Len(t, stranger.Spec.Volumes, 1)
	require.Len(t, stranger.Spec.Containers[0].VolumeMounts, 1)
	require.Empty(t, stranger.Spec.InitContainers)
	require.NotContains(t, stranger.Spec.Containers[0].Env, corev1.EnvVar{Name: "AWS_ROLE_ARN", Value: "x"})
	require.Contains(t, stranger.Spec.Containers[0].Env, corev1.EnvVar{Name: "AWS_REGION", Value: "r"})
}

// TestWatchScript runs the script with an aws of the test's own.
func TestWatchScript(t *testing.T) {
	dir := t.TempDir()
	fake := "#!/bin/sh\ncase \"$1\" in\nconfigure) echo 'export AWS_SESSION_TOKEN=kept-token' ;;\n" +
		"*) [ -n \"${AWS_SESSION_TOKEN:-}\" ] && echo arn:kept || { printf 'two\\nlines\\n' >&2; exit 254; } ;;\nesac\n"
	require.NoError(t, os.WriteFile(dir+"/aws", []byte(fake), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", watchScript)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "DRILL_VIEWS=kept fresh", "DRILL_PAUSE=0.1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its loops end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var log strings.Builder
	seen := map[View]Sample{}
	buffer := make([]byte, 4096)
	for len(seen) < 2 {
		n, err := out.Read(buffer)
		require.NoError(t, err)
		log.Write(buffer[:n])
		for _, s := range parseSamples(log.String(), "x", time.Now()) {
			seen[s.View] = s
		}
	}
	require.NoError(t, cmd.Cancel())
	_ = cmd.Wait()
	require.ElementsMatch(t, []View{Kept, Fresh}, slices.Collect(maps.Keys(seen)))
	require.True(t, seen[Kept].OK)
	require.NotContains(t, log.String(), "kept-token")
	require.False(t, seen[Fresh].OK)
	require.Equal(t, "two lines", seen[Fresh].Text)
}

func TestPersonIsNeeded(t *testing.T) {
	var said bytes.Buffer
	nobody := &Person{Out: &said}
	require.ErrorIs(t, nobody.StopAPIServers(t.Context()), errByHand)
	somebody := &Person{In: strings.NewReader("\n"), Out: &said}
	require.NoError(t, somebody.ChangeAPIServers(t.Context(), Change{Issuers: []string{"https://a"}}))
	require.Contains(t, said.String(), "service-account-issuer=https://a")
}

func TestAuthority(t *testing.T) {
	ca, err := newAuthority()
	require.NoError(t, err)
	like, err := newAuthority()
	require.NoError(t, err)
	like.cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert, _, err := ca.issue(like.cert, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	leaf, err := parseCertificate(cert)
	require.NoError(t, err)
	require.Equal(t, like.cert.RawSubject, leaf.RawSubject)
	require.True(t, leaf.NotAfter.Before(time.Now()))
	text, err := ca.revokeAll()
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	list, err := x509.ParseRevocationList(block.Bytes)
	require.NoError(t, err)
	require.NoError(t, list.CheckSignatureFrom(ca.cert))
	require.Equal(t, leaf.SerialNumber, list.RevokedCertificateEntries[0].SerialNumber)
}
