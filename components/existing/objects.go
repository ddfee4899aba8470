package existing

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/components/kubeclient"
)

// Wanted is what a stack is about to make in a cluster.
type Wanted struct {
	// Namespaces are those to make, by name.
	Namespaces []string
	// Accounts are the ServiceAccounts to make, by namespace.
	Accounts map[string][]string
}

// Mark is what a stack writes on its objects, by which it knows them again.
type Mark struct {
	// PartOf is label and value of everything that the program makes.
	PartOf [2]string
	// Owner is label and value of one stack. Objects without the label are from
	// before it was written.
	Owner [2]string
	// Former are the labels and values of namespaces that earlier releases made,
	// which wrote no label of their own.
	Former map[string][]string
}

// Taken is an object that is there and that the stack did not make.
type Taken struct {
	// Namespace is the object itself, if Account is empty, or where it is.
	Namespace, Account string
	// By says who made it, as far as the object tells.
	By string
}

// metadata is what the API server tells of an object to whoever asks for no more
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
type metadata struct {
	Metadata struct {
		Name          string            `json:"name"`
		Labels        map[string]string `json:"labels"`
		Annotations   map[string]string `json:"annotations"`
		ManagedFields []struct {
			Manager string `json:"manager"`
		} `json:"managedFields"`
	} `json:"metadata"`
}

// takenDeadline is how long the API server may be unreachable meanwhile.
const takenDeadline = time.Minute

// Taken returns what of the wanted is there already and was not made by the
// stack, sorted. Pulumi itself finds out too late, when half of an update is done,
// and before provider 4.29 not at all: it took the object over, and deleted it with
// the stack (https://github.com/pulumi/pulumi-kubernetes/pull/4278). It asks once
// for each namespace. It fails where the API server does not answer, or refuses
// to: what cannot be seen is not free.
func (a *Access) Taken(ctx context.Context, want Wanted, mark Mark) ([]Taken, error) {
	ctx, cancel := context.WithTimeout(ctx, takenDeadline)
	defer cancel()
	var taken []Taken
	for _, name := range sorted(want.Namespaces) {
		var found metadata
		exists, err := a.metadata(ctx, "/api/v1/namespaces/"+url.PathEscape(name), "PartialObjectMetadata", &found)
		if err != nil {
			return nil, fmt.Errorf("whether namespace %s is there: %w", name, err)
		}
		if exists && !mark.made(found) && !mark.formerNamespace(found) {
			taken = append(taken, Taken{Namespace: name, By: found.maker(mark)})
		}
	}
	namespaces := make([]string, 0, len(want.Accounts))
	for namespace := range want.Accounts {
		namespaces = append(namespaces, namespace)
	}
	for _, namespace := range sorted(namespaces) {
		var list struct {
			Items []metadata `json:"items"`
		}
		path := "/api/v1/namespaces/" + url.PathEscape(namespace) + "/serviceaccounts"
		if _, err := a.metadata(ctx, path, "PartialObjectMetadataList", &list); err != nil {
			return nil, fmt.Errorf("which ServiceAccounts namespace %s has: %w", namespace, err)
		}
		for _, name := range sorted(want.Accounts[namespace]) {
			for _, found := range list.Items {
				if found.Metadata.Name == name && !mark.made(found) {
					taken = append(taken, Taken{Namespace: namespace, Account: name, By: found.maker(mark)})
				}
			}
		}
	}
	return taken, nil
}

// metadata asks for an object's metadata, or those of a list, until the API server
// answers.
func (a *Access) metadata(ctx context.Context, path, kind string, into any) (exists bool, err error) {
	for {
		answer, err := a.Do(ctx, kubeclient.Request{Path: path, Accept: "application/json;as=" + kind + ";g=meta.k8s.io;v=v1"})
		switch status := answer.Status; {
		case err == nil && status == http.StatusOK:
			return true, json.Unmarshal(answer.Body, into)
		case err == nil && status == http.StatusNotFound:
			return false, nil
		case err == nil && (status == http.StatusForbidden || status == http.StatusUnauthorized):
			return false, fmt.Errorf("%s%s: %d %s: the kubeconfig's user must be allowed to read it", a.Endpoint, path, status, http.StatusText(status))
		case err == nil:
			err = fmt.Errorf("%s%s: %d %s", a.Endpoint, path, status, http.StatusText(status))
		}
		select {
		case <-ctx.Done():
			return false, err
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// made reports whether the stack, or one before it that wrote no owner, has made
// the object.
func (m Mark) made(object metadata) bool {
	owner, owned := object.Metadata.Labels[m.Owner[0]]
	return object.Metadata.Labels[m.PartOf[0]] == m.PartOf[1] && (!owned || owner == m.Owner[1])
}

// formerNamespace reports whether a namespace is one of an earlier release: it has
// exactly its labels, and Pulumi has written them.
func (m Mark) formerNamespace(object metadata) bool {
	if len(m.Former) == 0 {
		return false
	}
	for label, values := range m.Former {
		if !slices.Contains(values, object.Metadata.Labels[label]) {
			return false
		}
	}
	for _, field := range object.Metadata.ManagedFields {
		// Its name is pulumi-kubernetes, with a suffix of its own for each object.
		if strings.HasPrefix(field.Manager, "pulumi-kubernetes") || field.Manager == "pulumi-resource-kubernetes" {
			return true
		}
	}
	return false
}

// maker says who made an object, as far as it tells.
func (object metadata) maker(mark Mark) string {
	m := object.Metadata
	release, owner, by := m.Annotations["meta.helm.sh/release-name"], m.Labels[mark.Owner[0]], m.Labels["app.kubernetes.io/managed-by"]
	switch {
	case release != "":
		return "Helm release " + release
	case owner != "":
		return "the stack of cluster " + owner
	case by != "":
		return by
	case len(m.ManagedFields) > 0:
		return m.ManagedFields[0].Manager
	}
	return "somebody else"
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
