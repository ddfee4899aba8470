package chain

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"
	authv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/kube"
)

// world is a cluster, an account and an issuer that answer from what a test puts into them, and count who asks.
type world struct {
	mu       sync.Mutex
	asked    map[string]int
	issuer   string
	pods     []corev1.Pod
	accounts []corev1.ServiceAccount
	secrets  []corev1.Secret
	maps     []corev1.ConfigMap
	nodes    []corev1.Node
	leases   []coordinationv1.Lease
	// forbidden are paths of the API server and actions of AWS that are refused.
	forbidden []string
	token     string
	roles     []string
	instances []string
	// sessions lets tokens be made that STS takes.
	sessions bool
}

func (w *world) count(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[what]++
	return slices.Contains(w.forbidden, what)
}

const jwks = `{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","n":"n","e":"AQAB"}]}`

func (w *world) cluster(rw http.ResponseWriter, r *http.Request) {
	if w.count(r.URL.Path) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(rw).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: 403, Reason: "Forbidden", Message: "forbidden: " + r.URL.Path})
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	write := func(kind, version string, items any) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]any{}, "items": items})
	}
	switch path := r.URL.Path; {
	case path == "/.well-known/openid-configuration":
		fmt.Fprintf(rw, `{"issuer":%q}`, w.issuer)
	case path == "/openid/v1/jwks":
		fmt.Fprint(rw, jwks)
	case path == "/api/v1/pods":
		write("PodList", "v1", w.pods)
	case path == "/api/v1/serviceaccounts":
		write("ServiceAccountList", "v1", w.accounts)
	case path == "/api/v1/secrets":
		write("SecretList", "v1", w.secrets)
	case path == "/api/v1/configmaps":
		write("ConfigMapList", "v1", w.maps)
	case path == "/api/v1/nodes":
		write("NodeList", "v1", w.nodes)
	case strings.HasSuffix(path, "/leases"):
		write("LeaseList", "coordination.k8s.io/v1", w.leases)
	case strings.HasSuffix(path, "/mutatingwebhookconfigurations"):
		write("MutatingWebhookConfigurationList", "admissionregistration.k8s.io/v1", []any{})
	case strings.HasSuffix(path, "/token") && r.Method == http.MethodPost:
		// The client may write protobuf: the audience is in it as it is.
		body, _ := io.ReadAll(r.Body)
		if usable := strings.Contains(string(body), stsAudience); usable == strings.Contains(string(body), Nobody) || usable && !w.sessions {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		asked := authv1.TokenRequest{TypeMeta: metav1.TypeMeta{Kind: "TokenRequest", APIVersion: "authentication.k8s.io/v1"}, Status: authv1.TokenRequestStatus{Token: w.token}}
		rw.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(rw).Encode(asked)
	default:
		rw.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(rw).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: 404, Reason: "NotFound", Message: "no " + path})
	}
}

func (w *world) account(rw http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	action := r.PostForm.Get("Action")
	if w.count(action) {
		rw.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(rw, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no %s</Message></Error></ErrorResponse>`, action)
		return
	}
	var inner strings.Builder
	switch action {
	case "GetCallerIdentity":
		inner.WriteString(`<Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/admin</Arn>`)
	case "GetAccountAuthorizationDetails":
		inner.WriteString("<RoleDetailList>")
		for _, arn := range w.roles {
			trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/%[1]s"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%[1]s:aud":"sts.amazonaws.com","%[1]s:sub":"system:serviceaccount:default:%[2]s"}}}]}`,
				host(w.issuer), nameOf(arn))
			fmt.Fprintf(&inner, `<member><Arn>%s</Arn><AssumeRolePolicyDocument>%s</AssumeRolePolicyDocument><RolePolicyList><member><PolicyName>p</PolicyName><PolicyDocument>%s</PolicyDocument></member></RolePolicyList></member>`,
				arn, url.PathEscape(trust), url.PathEscape(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`))
		}
		inner.WriteString("</RoleDetailList>")
	case "AssumeRoleWithWebIdentity":
		fmt.Fprintf(&inner, `<AssumedRoleUser><Arn>%s/doctor</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>secret-of-a-session</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>`, r.PostForm.Get("RoleArn"))
	case "ListOpenIDConnectProviders":
		fmt.Fprintf(&inner, `<OpenIDConnectProviderList><member><Arn>arn:aws:iam::111122223333:oidc-provider/%s</Arn></member></OpenIDConnectProviderList>`, host(w.issuer))
	case "GetOpenIDConnectProvider":
		fmt.Fprintf(&inner, `<Url>%s</Url><ClientIDList><member>sts.amazonaws.com</member></ClientIDList>`, host(w.issuer))
	case "DescribeInstances":
		fmt.Fprint(rw, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet>`)
		for _, i := range w.instances {
			fmt.Fprintf(rw, `<item><instancesSet><item><instanceId>%s</instanceId><privateIpAddress>10.0.0.5</privateIpAddress><metadataOptions><httpEndpoint>enabled</httpEndpoint><httpTokens>required</httpTokens><httpPutResponseHopLimit>1</httpPutResponseHopLimit></metadataOptions></item></instancesSet></item>`, i)
		}
		fmt.Fprint(rw, `</reservationSet></DescribeInstancesResponse>`)
		return
	}
	fmt.Fprintf(rw, `<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>`, action, inner.String())
}

func (w *world) documents(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "openid-configuration") {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, w.issuer, w.issuer+"/keys")
		return
	}
	fmt.Fprint(rw, jwks)
}

// start serves the world and is the way to it.
func (w *world) start(t *testing.T) Access {
	t.Helper()
	w.asked = map[string]int{}
	issuer := httptest.NewTLSServer(http.HandlerFunc(w.documents))
	t.Cleanup(issuer.Close)
	w.issuer = issuer.URL
	cluster := httptest.NewUnstartedServer(http.HandlerFunc(w.cluster))
	cluster.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that a client begins and does not need
	cluster.StartTLS()
	t.Cleanup(cluster.Close)
	account := httptest.NewServer(http.HandlerFunc(w.account))
	t.Cleanup(account.Close)
	encode := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	w.token = encode([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + encode([]byte(fmt.Sprintf(`{"iss":%q,"sub":"s","iat":%d,"nbf":%d,"exp":%d}`, w.issuer, now, now, now+600))) + "." + encode([]byte("signature"))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],
"clusters":[{"name":"x","cluster":{"server":%q,"certificate-authority-data":%q}}],"users":[{"name":"x","user":{"token":"t"}}]}`, cluster.URL, base64.StdEncoding.EncodeToString(ca))), 0o600))
	connection, err := kube.Connect(file)
	require.NoError(t, err)
	return Access{Cluster: connection, Web: issuer.Client(), AWS: aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String(account.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} }}}
}

// identity adds a service account with a role, and pods of it as the program's manifests make them.
func (w *world) identity(name string, pods int) {
	arn := "arn:aws:iam::111122223333:role/" + name
	w.roles = append(w.roles, arn)
	w.accounts = append(w.accounts, corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{annotationPrefix + "role-arn": arn}}})
	for i := range pods {
		w.pods = append(w.pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%d", name, i)}, Spec: corev1.PodSpec{
			ServiceAccountName: name, NodeName: "node",
			Volumes: []corev1.Volume{{Name: "aws-iam-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: stsAudience, Path: "token"}}}}}}},
			Containers: []corev1.Container{{Name: "app", Env: []corev1.EnvVar{{Name: "AWS_REGION", Value: "eu-central-1"}, {Name: "AWS_ROLE_ARN", Value: arn},
				{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: "/aws/token"}}, VolumeMounts: []corev1.VolumeMount{{Name: "aws-iam-token", MountPath: "/aws/"}}}},
		}})
	}
}

// TestCollectLists reads 100 identities with two pods each, by as many calls as for one.
func TestCollectLists(t *testing.T) {
	calls := func(identities int) (map[string]int, *Facts) {
		w := &world{}
		access := w.start(t)
		for i := range identities {
			w.identity(fmt.Sprintf("id-%03d", i), 2)
		}
		return w.asked, Collect(context.Background(), access, nil)
	}
	few, one := calls(1)
	began := time.Now()
	many, hundred := calls(100)
	require.Less(t, time.Since(began), 10*time.Second)
	forget := func(m map[string]int) []string {
		return slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(k string) bool { return strings.HasSuffix(k, "/token") })
	}
	require.Equal(t, forget(few), forget(many))
	for what, n := range many {
		require.Equal(t, 1, n, what)
	}
	for n, f := range map[int]*Facts{1: one, 100: hundred} {
		r := Examine(f)
		require.Empty(t, r.Unseen)
		require.Empty(t, r.Findings)
		require.Equal(t, n, r.Identities)
		require.Equal(t, 2*n, r.Pods)
	}
}

// TestCollectKeepsNoSecret fills a cluster with secrets and looks for each in the dump.
func TestCollectKeepsNoSecret(t *testing.T) {
	w := &world{}
	access := w.start(t)
	w.identity("uploader", 1)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private := pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	id := "AKIA" + "IOSFODNN7EXAMPLE"
	values := []string{id, "wJalrXUtnFEMI", "hunter2", w.token, strings.Split(w.token, ".")[1], base64.StdEncoding.EncodeToString(private)[:40], string(private)[40:80]}
	w.secrets = []corev1.Secret{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "cert"}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pemOf("CERTIFICATE", der), "tls.key": private}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "keys"}, Data: map[string][]byte{"AWS_ACCESS_KEY_ID": []byte(id), "AWS_SECRET_ACCESS_KEY": []byte("wJalrXUtnFEMI")}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}, Data: map[string][]byte{"password": []byte("hunter2")}},
	}
	w.maps = []corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "files"}, Data: map[string]string{"credentials": "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = wJalrXUtnFEMI"}}}
	app := &w.pods[0].Spec.Containers[0]
	app.Env = append(app.Env, corev1.EnvVar{Name: "AWS_ACCESS_KEY_ID", Value: id}, corev1.EnvVar{Name: "PASSWORD", Value: "hunter2"})
	app.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}}}
	app.Args = []string{"--password", "hunter2"}
	w.pods[0].Spec.Volumes = append(w.pods[0].Spec.Volumes, corev1.Volume{Name: "c", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "cert"}}},
		corev1.Volume{Name: "m", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "files"}}}})
	f := Collect(context.Background(), access, nil)
	require.Empty(t, f.Unseen)
	dump, err := json.Marshal(f)
	require.NoError(t, err)
	var report strings.Builder
	r := Examine(f)
	r.Text(&report)
	require.NoError(t, r.SARIF(&report))
	for _, v := range values {
		require.NotContains(t, string(dump), v)
		require.NotContains(t, report.String(), v)
	}
	require.NotContains(t, string(dump), "other", "a Secret that nobody mounts is left out")
	require.Equal(t, []string{"static-keys-first", "static-keys", "static-keys", "static-keys"}, idsOf(r.Findings))
	require.Equal(t, "container app gets AWS_ACCESS_KEY_ID, AWS_ACCESS_KEY_ID of Secret keys, AWS_SECRET_ACCESS_KEY of Secret keys", r.Findings[0].Seen)
	require.Len(t, f.secret("default", "cert").Certificates, 1)
}

func idsOf(list []Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.ID)
	}
	return out
}

// TestUnseen refuses one call after another: what it was for is said, and nothing is made up.
func TestUnseen(t *testing.T) {
	for call, part := range map[string]string{
		"/api/v1/pods": partPods, "/api/v1/serviceaccounts": partAccounts, "/api/v1/secrets": partSecrets, "/api/v1/configmaps": partConfigMaps, "/api/v1/nodes": partNodes,
		"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases":      partLeases,
		"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": partInjection,
		"/.well-known/openid-configuration":                                   partAPI,
		"/openid/v1/jwks":                                                     partAPI,
		"/api/v1/namespaces/default/serviceaccounts/uploader/token":           partToken,
		"GetCallerIdentity":                                                   partCaller, "GetAccountAuthorizationDetails": partRoles, "ListOpenIDConnectProviders": partProviders, "GetOpenIDConnectProvider": partProviders,
		"DescribeInstances": partInstances,
	} {
		t.Run(part+call, func(t *testing.T) {
			w := &world{forbidden: []string{call}}
			access := w.start(t)
			w.identity("uploader", 1)
			w.nodes = []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "node"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.5"}}}}}
			w.instances = []string{"i-1"}
			r := Examine(Collect(context.Background(), access, nil))
			require.Empty(t, r.Findings)
			require.Len(t, r.Unseen, 1)
			require.Equal(t, part, r.Unseen[0].What)
			require.NotEmpty(t, r.Unseen[0].Why)
			require.ErrorContains(t, r.err(), "could not be looked at")
		})
	}
	w := &world{}
	access := w.start(t)
	w.identity("uploader", 1)
	access.NoSecrets, access.NoToken = true, true
	r := Examine(Collect(context.Background(), access, nil))
	require.Empty(t, r.Findings)
	require.Equal(t, []Unseen{{partToken, "--no-token", true}, {partSecrets, "--no-secrets", true}}, r.Unseen)
	require.NoError(t, r.err(), "who leaves a part out knows that it is not judged")
	require.Zero(t, w.asked["/api/v1/secrets"])
}

// TestMachines finds machines by their id or address, and takes none where two have it.
func TestMachines(t *testing.T) {
	for name, test := range map[string]struct {
		provider  string
		instances []string
		found     string
	}{
		"by address":         {"k3s://node", []string{"i-1"}, "i-1"},
		"by id":              {"aws:///eu-central-1a/i-2", []string{"i-1", "i-2"}, "i-2"},
		"two of the address": {"k3s://node", []string{"i-1", "i-2"}, ""},
		"none":               {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{instances: test.instances}
			access := w.start(t)
			w.identity("uploader", 1)
			w.nodes = []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "node"}, Spec: corev1.NodeSpec{ProviderID: test.provider},
				Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.5"}}}}}
			f := Collect(context.Background(), access, nil)
			if test.found == "" {
				require.Nil(t, f.instance(f.node("node")))
				require.Len(t, f.Unseen, 1)
				require.Contains(t, f.Unseen[0].Why, "node node")
				return
			}
			require.Equal(t, test.found, f.instance(f.node("node")).ID)
			require.Empty(t, f.Unseen)
		})
	}
}

// TestNodeClocks dates leases and statuses: a lease tells of both directions, a status of a clock that is ahead alone.
func TestNodeClocks(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		lease, status time.Duration
		ready         bool
		want          time.Duration
	}{
		"right":                   {-9 * time.Second, -4 * time.Minute, true, 0},
		"lease ahead":             {5 * time.Hour, 0, true, 5 * time.Hour},
		"status ahead":            {0, 5 * time.Hour, true, 5 * time.Hour},
		"behind":                  {-time.Hour, -time.Hour, true, -time.Hour},
		"away for an hour":        {-time.Hour, -time.Hour, false, 0},
		"ahead, and away for one": {4 * time.Hour, 0, false, 4 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{instances: []string{"i-1"}}
			access := w.start(t)
			w.identity("uploader", 1)
			status := corev1.ConditionFalse
			if test.ready {
				status = corev1.ConditionTrue
			}
			w.nodes = []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "node"}, Status: corev1.NodeStatus{
				Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.5"}},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, LastHeartbeatTime: metav1.NewTime(now.Add(test.status))}}}}}
			renewed := metav1.NewMicroTime(now.Add(test.lease))
			w.leases = []coordinationv1.Lease{{ObjectMeta: metav1.ObjectMeta{Name: "node", Namespace: "kube-node-lease"}, Spec: coordinationv1.LeaseSpec{RenewTime: &renewed}}}
			f := Collect(context.Background(), access, nil)
			found := Check(f)
			if test.want == 0 {
				require.Empty(t, found)
				return
			}
			require.Equal(t, []string{"clock-node"}, idsOf(found))
			require.InDelta(t, test.want.Seconds(), *f.node("node").Ahead, 5)
		})
	}
}

// TestNoCluster tells once that nobody answers.
func TestNoCluster(t *testing.T) {
	w := &world{}
	access := w.start(t)
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],
"clusters":[{"name":"x","cluster":{"server":%q}}],"users":[{"name":"x","user":{"token":"t"}}]}`, nobody.URL)), 0o600))
	var err error
	access.Cluster, err = kube.Connect(file)
	require.NoError(t, err)
	r := Examine(Collect(context.Background(), access, nil))
	require.Len(t, r.Unseen, 1)
	require.Equal(t, "the cluster", r.Unseen[0].What)
	require.Contains(t, r.Unseen[0].Why, "refused")
}

func TestWorkloads(t *testing.T) {
	controls := true
	for _, c := range []struct {
		kind, owner, hash, want string
	}{
		{"ReplicaSet", "app-7d4f9c", "7d4f9c", "Deployment app"},
		{"ReplicaSet", "by-hand", "", "ReplicaSet by-hand"},
		{"Job", "report-29392345", "", "CronJob report"},
		{"Job", "report-2", "", "Job report-2"},
		{"StatefulSet", "db", "", "StatefulSet db"},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: c.kind, Name: c.owner, Controller: &controls}}}}
		if c.hash != "" {
			p.Labels = map[string]string{"pod-template-hash": c.hash}
		}
		require.Equal(t, c.want, workloadOf(p))
	}
	require.Empty(t, workloadOf(&corev1.Pod{}))
}

// TestSessions asks for sessions: what AWS refuses is found where nothing else says why, and no credential stays.
func TestSessions(t *testing.T) {
	look := func(w *world, change func(*Facts)) (*Facts, *Report) {
		access := w.start(t)
		access.Sessions = true
		w.identity("one", 1)
		w.identity("two", 2)
		f := Collect(context.Background(), access, nil)
		if change != nil {
			change(f)
		}
		return f, Examine(f)
	}
	f, r := look(&world{sessions: true}, nil)
	require.Empty(t, r.Findings)
	require.NoError(t, r.err())
	require.Len(t, f.Sessions, 2)
	require.Equal(t, "arn:aws:iam::111122223333:role/one/doctor", f.Sessions[0].Caller)
	text, err := json.Marshal(f)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret-of-a-session")
	require.NotContains(t, string(text), ".c2lnbmF0dXJl", "a token's signature")

	_, r = look(&world{sessions: true, forbidden: []string{"AssumeRoleWithWebIdentity"}}, nil)
	require.Len(t, r.Findings, 2)
	require.Equal(t, "session-refused", r.Findings[0].ID)
	require.Contains(t, r.Findings[0].Seen, "AccessDenied")
	_, r = look(&world{sessions: true, forbidden: []string{"AssumeRoleWithWebIdentity"}}, func(f *Facts) { f.Account.Providers = nil })
	require.Len(t, r.Findings, 1, "why it is refused was found")
	require.Equal(t, "provider-missing", r.Findings[0].ID)

	_, r = look(&world{}, nil) // no token may be made
	require.Empty(t, r.Findings)
	require.Len(t, r.Unseen, 2)
}
