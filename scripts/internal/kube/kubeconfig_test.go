package kube

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"

	"k3s-aws-auth/components/kubeclient"
)

// TestEveryFieldOfAKubeconfig holds the program's own reader against client-go's: a field that client-go reads is honoured
// (it is in the list, and accepted) or refused by its name.
func TestEveryFieldOfAKubeconfig(t *testing.T) {
	honoured := map[string]string{
		"server": "", "tls-server-name": "x.example.com", "proxy-url": "http://proxy.example.com:3128", "disable-compression": "true",
		"client-certificate-data": "", "client-key-data": "", "certificate-authority-data": "", // by the package's own tests, with real ones
		"token": "t", "username": "u", "password": "p", "as": "x",
		"as-uid": "x", "as-groups": "[x]", "as-user-extra": "{a: [x]}", // with as
		"extensions": "[]", // of other programs
		"namespace":  "x",  // the default of resources that name none, of which the program makes none
		"cluster":    "c", "user": "u",
	}
	refused := map[string]string{
		"certificate-authority": "/ca", "insecure-skip-tls-verify": "true", "client-certificate": "/c", "client-key": "/k",
		"tokenFile": "/t", "auth-provider": "{name: x}", "exec": "{command: x}",
	}
	for part, kind := range map[string]reflect.Type{
		"cluster": reflect.TypeFor[clientcmd.Cluster](), "user": reflect.TypeFor[clientcmd.AuthInfo](), "context": reflect.TypeFor[clientcmd.Context](),
	} {
		for i := range kind.NumField() {
			field, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			value, taken := honoured[field]
			if taken && value == "" {
				continue
			}
			if !taken {
				var known bool
				value, known = refused[field]
				require.True(t, known, "client-go reads %s of a %s: honour it in components/kubeclient, or refuse it", field, part)
			}
			with := map[string]string{"cluster": `server: "https://c.example.com"`, "user": "token: t", "context": "cluster: c, user: u"}
			switch {
			case part == "context" && (field == "cluster" || field == "user"):
			case field == "token":
			case field == "username" || field == "password": // beside a token they are refused
				with[part] = "username: u, password: p"
			case strings.HasPrefix(field, "as-"):
				with[part] += ", as: x, " + field + ": " + value
			default:
				with[part] += ", " + field + ": " + value
			}
			_, err := kubeclient.Parse(fmt.Sprintf("current-context: x\ncontexts: [{name: x, context: {%s}}]\nclusters: [{name: c, cluster: {%s}}]\nusers: [{name: u, user: {%s}}]\n",
				with["context"], with["cluster"], with["user"]))
			if taken {
				require.NoError(t, err, field)
			} else {
				require.ErrorContains(t, err, field)
			}
		}
	}
}
