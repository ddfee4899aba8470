package account

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// PodOf is a pod, by its service account (namespace/name).
type PodOf struct {
	Name    string `json:"name"`
	Account string `json:"serviceAccount"`
}

// Pods lists a cluster's.
func Pods(ctx context.Context, client kubernetes.Interface) (out []PodOf, err error) {
	options := metav1.ListOptions{Limit: 500}
	for {
		page, err := client.CoreV1().Pods("").List(ctx, options)
		if err != nil {
			return nil, err
		}
		for _, p := range page.Items {
			account := p.Spec.ServiceAccountName
			if account == "" {
				account = "default"
			}
			out = append(out, PodOf{p.Name, p.Namespace + "/" + account})
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return out, nil
		}
	}
}
