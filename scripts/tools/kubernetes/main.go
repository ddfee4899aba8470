// Command kubernetes is the lab's Kubernetes control plane in one binary: etcd, the API server, the controller
// manager and the scheduler of k8s.io/kubernetes, each by its upstream entry point and with its upstream flags.
//
//	kubernetes etcd --data-dir DIR --client-url http://127.0.0.1:2379 --peer-url http://127.0.0.1:2380 [--name N] [--join URL,URL] [--reset] [--members FILE]
//	kubernetes etcd-remove --client-url http://127.0.0.1:2379 --name N
//	kubernetes etcd-get|etcd-put --client-url http://127.0.0.1:2379 --key K
//	kubernetes etcd-save|etcd-load --client-url http://127.0.0.1:2379 --file FILE
//	kubernetes apiserver [kube-apiserver's flags]
//	kubernetes controller-manager [kube-controller-manager's flags]
//	kubernetes scheduler [kube-scheduler's flags]
package main

import (
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/transport"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const usage = "usage: kubernetes etcd|etcd-remove|etcd-get|etcd-put|etcd-save|etcd-load|apiserver|controller-manager|scheduler [flags]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	// Client certificates are read from their files again every second rather than every five minutes: the lab lets them
	// age in one go.
	transport.CertCallbackRefreshDuration = time.Second
	name := os.Args[1]
	os.Args = append([]string{"kube-" + name}, os.Args[2:]...)
	switch name {
	case "etcd":
		if err := etcd(); err != nil {
			fmt.Fprintln(os.Stderr, "etcd:", err)
			os.Exit(1)
		}
	case "etcd-remove", "etcd-get", "etcd-put", "etcd-save", "etcd-load":
		if err := etcdClient(name); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
	case "apiserver":
		if err := shiftClock(); err != nil {
			fmt.Fprintln(os.Stderr, "apiserver:", err)
			os.Exit(2)
		}
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}
