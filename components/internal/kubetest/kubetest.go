// Package kubetest has what tests of clusters that others made have in common.
package kubetest

// Kubeconfig is one with another context, cluster and user beside those that it
// uses: server, ca and user are lines of YAML of these.
func Kubeconfig(server, ca, user string) string {
	return `apiVersion: v1
kind: Config
current-context: mine
contexts:
- name: mine
  context: {cluster: c, user: u}
- name: other
  context: {cluster: other, user: other}
clusters:
- name: other
  cluster: {server: "https://other.example.com"}
- name: c
  cluster:
    server: ` + server + `
    ` + ca + `
users:
- name: other
  user: {token: other}
- name: u
  user:
    ` + user + "\n"
}
