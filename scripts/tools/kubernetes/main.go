// Command kubernetes is the lab's Kubernetes control plane in one binary: etcd, the API server, the controller
// manager and the scheduler of k8s.io/kubernetes, each by its upstream entry point and with its upstream flags.
//
//	kubernetes etcd --data-dir DIR --client-url http://127.0.0.1:2379
//	kubernetes apiserver [kube-apiserver's flags]
//	kubernetes controller-manager [kube-controller-manager's flags]
//	kubernetes scheduler [kube-scheduler's flags]
package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const usage = "usage: kubernetes etcd|apiserver|controller-manager|scheduler [flags]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	name := os.Args[1]
	os.Args = append([]string{"kube-" + name}, os.Args[2:]...)
	switch name {
	case "etcd":
		if err := etcd(); err != nil {
			fmt.Fprintln(os.Stderr, "etcd:", err)
			os.Exit(1)
		}
	case "apiserver":
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

// etcd runs a single member without fsync: the lab's data lives as long as the lab.
func etcd() error {
	dir := flag.String("data-dir", "", "directory of the data")
	client := flag.String("client-url", "", "URL to serve clients on")
	flag.Parse()
	u, err := url.Parse(*client)
	if err != nil || u.Host == "" || *dir == "" {
		return fmt.Errorf("--data-dir and --client-url are required (found %q and %q)", *dir, *client)
	}
	cfg := embed.NewConfig()
	cfg.Dir = *dir
	cfg.LogLevel = "warn"
	cfg.UnsafeNoFsync = true
	cfg.ListenClientUrls = []url.URL{*u}
	cfg.AdvertiseClientUrls = []url.URL{*u}
	// A lone member needs no peers, yet embed listens for them: a unix socket keeps that off the network.
	peer := url.URL{Scheme: "unix", Host: filepath.Base(*dir) + ".peer:0"}
	cfg.ListenPeerUrls = []url.URL{peer}
	cfg.AdvertisePeerUrls = []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	if err := os.Chdir(filepath.Dir(*dir)); err != nil {
		return err
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case err := <-e.Err():
		return err
	case <-stop:
		e.Close()
		return nil
	}
}
