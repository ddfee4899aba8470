// Command kubernetes is the lab's Kubernetes control plane in one binary: etcd, the API server, the controller
// manager and the scheduler of k8s.io/kubernetes, each by its upstream entry point and with its upstream flags.
//
//	kubernetes etcd --data-dir DIR --client-url http://127.0.0.1:2379 --peer-url http://127.0.0.1:2380 [--name N] [--join URL]
//	kubernetes etcd-remove --client-url http://127.0.0.1:2379 --name N
//	kubernetes apiserver [kube-apiserver's flags]
//	kubernetes controller-manager [kube-controller-manager's flags]
//	kubernetes scheduler [kube-scheduler's flags]
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const usage = "usage: kubernetes etcd|etcd-remove|apiserver|controller-manager|scheduler [flags]"

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
	case "etcd-remove":
		if err := removeMember(); err != nil {
			fmt.Fprintln(os.Stderr, "etcd-remove:", err)
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

// etcd runs one member without fsync: the lab's data lives as long as the lab. With --join it becomes a further member
// of the cluster that answers there, as K3s's joining servers do.
func etcd() error {
	name := flag.String("name", "default", "name of the member")
	dir := flag.String("data-dir", "", "directory of the data")
	client := flag.String("client-url", "", "URL to serve clients on")
	peer := flag.String("peer-url", "", "URL to serve other members on")
	join := flag.String("join", "", "client URL of a member of the cluster to join")
	flag.Parse()
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.LogLevel, cfg.UnsafeNoFsync = *name, *dir, "warn", true
	for _, u := range []struct {
		flag, value       string
		listen, advertise *[]url.URL
	}{
		{"client-url", *client, &cfg.ListenClientUrls, &cfg.AdvertiseClientUrls},
		{"peer-url", *peer, &cfg.ListenPeerUrls, &cfg.AdvertisePeerUrls},
	} {
		parsed, err := url.Parse(u.value)
		if err != nil || parsed.Host == "" || *dir == "" {
			return fmt.Errorf("--data-dir and --%s are required (found %q and %q)", u.flag, *dir, u.value)
		}
		*u.listen, *u.advertise = []url.URL{*parsed}, []url.URL{*parsed}
	}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	if *join != "" {
		members, err := addMember(*join, *name, *peer)
		if err != nil {
			return fmt.Errorf("join %s: %w", *join, err)
		}
		cfg.InitialCluster, cfg.ClusterState = members, embed.ClusterStateFlagExisting
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

// addMember announces a member to a cluster and returns the whole cluster as --initial-cluster wants it.
func addMember(client, name, peer string) (string, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{client}, DialTimeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	added, err := c.MemberAdd(ctx, []string{peer})
	if err != nil {
		return "", err
	}
	var members []string
	for _, m := range added.Members {
		if m.ID == added.Member.ID {
			m.Name = name
		}
		for _, u := range m.PeerURLs {
			members = append(members, m.Name+"="+u)
		}
	}
	return strings.Join(members, ","), nil
}

// removeMember takes a member out of a cluster, so that it no longer counts for the majority.
func removeMember() error {
	client := flag.String("client-url", "", "client URL of a member that stays")
	name := flag.String("name", "", "name of the member to remove")
	flag.Parse()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{*client}, DialTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	list, err := c.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		if m.Name == *name {
			_, err := c.MemberRemove(ctx, m.ID)
			return err
		}
	}
	return nil
}
