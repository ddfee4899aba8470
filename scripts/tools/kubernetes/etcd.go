package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// How K3s manages members (k3s-io/k3s, pkg/etcd/etcd.go). Its ticker is 15 s; the lab's is quicker, since nobody learns
// anything from the wait.
const (
	manageInterval   = time.Second
	learnerMaxStall  = 5 * time.Minute
	memberStatusWait = 2 * time.Second
)

// etcd runs one member without fsync: the lab's data lives as long as the lab. With --join it becomes a further member
// of the cluster that answers there, as K3s's joining servers do: as a learner, which the leader promotes, and for as
// long as it takes where etcd refuses for now (ETCD.Start, join and manageLearners in K3s's pkg/etcd/etcd.go). With
// --reset the member starts as the only one, with the data that it has, and ends once it does.
func etcd() error {
	name := flag.String("name", "default", "name of the member")
	dir := flag.String("data-dir", "", "directory of the data")
	client := flag.String("client-url", "", "URL to serve clients on")
	peer := flag.String("peer-url", "", "URL to serve other members on")
	join := flag.String("join", "", "client URLs of members of the cluster to join")
	reset := flag.Bool("reset", false, "make this member the only one, and end")
	report := flag.String("members", "", "file that gets the members, as this one sees them")
	flag.Parse()
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.LogLevel, cfg.UnsafeNoFsync, cfg.ForceNewCluster = *name, *dir, "warn", true, *reset
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
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	if *join != "" {
		members, err := joinCluster(stop, strings.Split(*join, ","), *name, *peer)
		if err != nil {
			return fmt.Errorf("etcd cluster join failed: %w", err)
		}
		cfg.InitialCluster, cfg.ClusterState = members, embed.ClusterStateFlagExisting
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	if *reset {
		<-e.Server.ReadyNotify()
		e.Close()
		return nil
	}
	go manage(stop, *client, *report)
	select {
	case err := <-e.Err():
		return err
	case <-e.Server.StopNotify():
		// A member that was taken out of its cluster leaves a mark, and K3s moves its data out of the way at the next
		// start, to join again (Embedded.ETCD in K3s's pkg/daemons/executor/etcd.go, ETCD.Register in pkg/etcd/etcd.go).
		if stop.Err() != nil {
			return nil
		}
		_ = os.WriteFile(filepath.Join(*dir, "tombstone"), nil, 0o600)
		return errors.New("this member has been removed from its cluster")
	case <-stop.Done():
		e.Close()
		return nil
	}
}

func connect(urls ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: 2 * time.Second})
}

// joinCluster announces a member to a cluster and returns the whole cluster as --initial-cluster wants it. Where etcd
// refuses because another learner is not promoted yet, or because a member does not answer, it tries again for ever.
func joinCluster(ctx context.Context, clients []string, name, peer string) (string, error) {
	c, err := connect(clients...)
	if err != nil {
		return "", err
	}
	defer c.Close()
	for {
		members, err := addMember(ctx, c, name, peer)
		switch {
		case err == nil:
			return members, nil
		case errors.Is(err, rpctypes.ErrTooManyLearners), errors.Is(err, rpctypes.ErrUnhealthy):
			fmt.Fprintf(os.Stderr, "Waiting for other members to finish joining etcd cluster: %v\n", err)
		case errors.Is(err, errMemberList):
			fmt.Fprintf(os.Stderr, "Waiting to retrieve etcd cluster member list: %v\n", err)
		default:
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

var errMemberList = errors.New("failed to get MemberList from server")

func addMember(ctx context.Context, c *clientv3.Client, name, peer string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	list, err := c.MemberList(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMemberList, err)
	}
	node := nodeOf(name)
	add, members := true, list.Members
	for _, m := range members {
		own := len(m.PeerURLs) > 0 && m.PeerURLs[0] == peer
		if m.Name == "" && own {
			m.Name = name
		}
		switch {
		case m.Name == name && own:
			add = false
		case m.Name != name && nodeOf(m.Name) == node:
			return "", errors.New("duplicate node name found, please use a unique name for this node")
		}
	}
	if add {
		added, err := c.MemberAddAsLearner(ctx, []string{peer})
		if err != nil {
			return "", err
		}
		added.Member.Name = name
		members = append(members, added.Member)
	}
	var out []string
	for _, m := range members {
		for _, u := range m.PeerURLs {
			out = append(out, m.Name+"="+u)
		}
	}
	return strings.Join(out, ","), nil
}

// nodeOf is the node of a member's name, which is the node's with a suffix.
func nodeOf(member string) string {
	if i := strings.LastIndex(member, "-"); i > 1 {
		return member[:i]
	}
	return member
}

// reported is what a member's report says; see the lab's package cluster.
type reported struct {
	Leader  bool             `json:"leader"`
	Members []reportedMember `json:"members"`
}

type reportedMember struct {
	Name    string `json:"name"`
	Learner bool   `json:"learner"`
	// Error is why it does not answer.
	Error string `json:"error,omitempty"`
}

// manage promotes learners, removes those that have stalled, and reports the members: all of it where this member leads,
// as K3s does.
func manage(ctx context.Context, own, path string) {
	c, err := connect(own)
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return
	}
	defer c.Close()
	type progress struct {
		index uint64
		at    time.Time
	}
	learners := map[uint64]progress{}
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(manageInterval):
		}
		seen := reported{}
		status, err := statusOf(ctx, c, own)
		if err == nil && status.Header.MemberId == status.Leader {
			list, err := memberList(ctx, c)
			if err != nil {
				continue
			}
			seen.Leader = true
			for _, m := range list {
				r := reportedMember{Name: m.Name, Learner: m.IsLearner}
				var index uint64
				if len(m.ClientURLs) == 0 {
					r.Error = "it has not started"
				} else if s, err := statusOf(ctx, c, m.ClientURLs[0]); err != nil {
					r.Error = "failed to check etcd member status: " + err.Error()
				} else {
					index = s.RaftAppliedIndex
				}
				if m.IsLearner {
					call, cancel := context.WithTimeout(ctx, memberStatusWait)
					if _, err := c.MemberPromote(call, m.ID); err == nil {
						r.Learner = false
					} else if p, ok := learners[m.ID]; !ok || index > p.index {
						learners[m.ID] = progress{index, time.Now()}
					} else if time.Since(p.at) > learnerMaxStall {
						_, err := c.MemberRemove(call, m.ID)
						fmt.Fprintf(os.Stderr, "Removed learner %s from etcd cluster: %v\n", m.Name, err)
					}
					cancel()
				}
				seen.Members = append(seen.Members, r)
			}
		}
		data, err := json.Marshal(seen)
		if err != nil || path == "" || string(data) == last {
			continue
		}
		if err := os.WriteFile(path+".part", data, 0o600); err == nil && os.Rename(path+".part", path) == nil {
			last = string(data)
		}
	}
}

func statusOf(ctx context.Context, c *clientv3.Client, client string) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, memberStatusWait)
	defer cancel()
	return c.Status(ctx, client)
}

func memberList(ctx context.Context, c *clientv3.Client) ([]*etcdserverpb.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, memberStatusWait)
	defer cancel()
	list, err := c.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	return list.Members, nil
}

// etcdClient is the commands that speak to a running member. A value is read from standard input or printed; where there
// is none, nothing is printed.
func etcdClient(command string) error {
	client := flag.String("client-url", "", "client URL of a member")
	name := flag.String("name", "", "name of the member to remove")
	key := flag.String("key", "", "key to read or write")
	file := flag.String("file", "", "file of all keys and values")
	flag.Parse()
	c, err := connect(*client)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch command {
	case "etcd-remove":
		list, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range list.Members {
			if m.Name == *name {
				if _, err := c.MemberRemove(ctx, m.ID); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
					return err
				}
			}
		}
		return nil
	case "etcd-get":
		got, err := c.Get(ctx, *key)
		if err != nil || got.Count == 0 {
			return err
		}
		_, err = os.Stdout.Write(got.Kvs[0].Value)
		return err
	case "etcd-put":
		value, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		_, err = c.Put(ctx, *key, string(value))
		return err
	case "etcd-save":
		return save(ctx, c, *file)
	}
	return load(ctx, c, *file)
}

// pair is one key of a snapshot.
type pair struct{ Key, Value []byte }

// save writes all keys at one revision: the lab's form of a snapshot.
func save(ctx context.Context, c *clientv3.Client, path string) error {
	all, err := c.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	pairs := make([]pair, 0, len(all.Kvs))
	for _, kv := range all.Kvs {
		pairs = append(pairs, pair{kv.Key, kv.Value})
	}
	data, err := json.Marshal(pairs)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// load writes a snapshot's keys into an empty member.
func load(ctx context.Context, c *clientv3.Client, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var pairs []pair
	if err := json.Unmarshal(data, &pairs); err != nil {
		return fmt.Errorf("%s is no snapshot: %w", path, err)
	}
	for len(pairs) > 0 {
		n := min(64, len(pairs))
		var puts []clientv3.Op
		for _, p := range pairs[:n] {
			puts = append(puts, clientv3.OpPut(string(p.Key), string(p.Value)))
		}
		if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
			return err
		}
		pairs = pairs[n:]
	}
	return nil
}
