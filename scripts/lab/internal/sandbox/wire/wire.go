// Package wire is the protocol between the lab's daemon and the sandbox binary: requests, responses and exit events
// as JSON messages over one stream socket, with open files (listeners, connections, a container's streams) attached
// to a message by SCM_RIGHTS.
package wire

import "os"

// Op names what a request asks for.
type Op string

// What a sandbox can be asked for; each line says what the request and its answer hold.
const (
	OpHello      Op = "hello"       // answers once the sandbox's own namespaces are ready
	OpAddNode    Op = "add-node"    // Node → Addresses; files: metadata, HTTPS and DNS sockets
	OpRemoveNode Op = "remove-node" // Name
	OpAddPod     Op = "add-pod"     // Pod → Addresses; files: HTTPS and DNS sockets
	OpRemovePod  Op = "remove-pod"  // Name
	OpListen     Op = "listen"      // Socket → file: a bound socket
	OpDial       Op = "dial"        // Socket → file: a connected socket
	OpTmpfs      Op = "tmpfs"       // Tmpfs: a memory file system that later containers see
	OpUnmount    Op = "unmount"     // Name: a path given to OpTmpfs
	OpRun        Op = "run"         // Container; files: stdin, stdout, stderr → Process
	OpExec       Op = "exec"        // Exec; files: stdin, stdout, stderr → Process
	OpSignal     Op = "signal"      // Signal
)

// Request is one message to the sandbox. ID is chosen by the sender and comes back in the response.
type Request struct {
	ID        uint64     `json:"id"`
	Op        Op         `json:"op"`
	Name      string     `json:"name,omitempty"`
	Node      *Node      `json:"node,omitempty"`
	Pod       *Pod       `json:"pod,omitempty"`
	Socket    *Socket    `json:"socket,omitempty"`
	Tmpfs     *Tmpfs     `json:"tmpfs,omitempty"`
	Container *Container `json:"container,omitempty"`
	Exec      *Exec      `json:"exec,omitempty"`
	Signal    *Signal    `json:"signal,omitempty"`
}

// Response answers the request with the same ID; with ID 0 it is an exit event.
type Response struct {
	ID        uint64   `json:"id,omitempty"`
	Error     string   `json:"error,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Process   uint64   `json:"process,omitempty"`
	Exit      *Exit    `json:"exit,omitempty"`
}

// Exit tells that a process ended.
type Exit struct {
	Process uint64 `json:"process"`
	Code    int    `json:"code"`   // exit status, or 128 + signal as a shell counts
	Signal  int    `json:"signal"` // 0 where it exited by itself
}

// Node asks for a node's network namespace and the metadata namespace beside it. Addresses (IPv4, without prefix
// length) become local to the node, such as its private address.
type Node struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses,omitempty"`
}

// Pod asks for a pod's network namespace, routed through its node's.
type Pod struct {
	Name string `json:"name"`
	Node string `json:"node"`
}

// Socket names a socket in a namespace: Network as in package net (tcp4, udp4), Address a literal IP and port.
type Socket struct {
	Namespace string `json:"namespace"`
	Network   string `json:"network"`
	Address   string `json:"address"`
	TimeoutMS int    `json:"timeoutMs,omitempty"`
}

// NodeNamespace and PodNamespace name network namespaces in Socket and Container.
func NodeNamespace(node string) string { return "node/" + node }

// PodNamespace is the name of a pod's network namespace.
func PodNamespace(pod string) string { return "pod/" + pod }

// MetadataNamespace is the name of the namespace in which a node's metadata service listens.
func MetadataNamespace(node string) string { return "imds/" + node }

// Tmpfs asks for a memory file system on an existing directory. Bytes 0 leaves the kernel's limit.
type Tmpfs struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes,omitempty"`
}

// Mount puts Source (a file or directory of the host, without symbolic links) at Target in the container's root, or
// an empty memory file system where Source is "".
type Mount struct {
	Source   string `json:"source,omitempty"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	NoExec   bool   `json:"noExec,omitempty"`
}

// File is written into the container's root before anything is mounted in it.
type File struct {
	Path string      `json:"path"`
	Data string      `json:"data"`
	Mode os.FileMode `json:"mode"`
}

// Container describes a process in its own user, mount, pid, uts and ipc namespaces and a scratch root.
type Container struct {
	Namespace        string   `json:"namespace"` // network namespace
	RootDir          string   `json:"rootDir"`   // an empty directory of the host to build the root on
	Args             []string `json:"args"`
	Env              []string `json:"env"`
	Dir              string   `json:"dir,omitempty"` // working directory, "" = /
	UID              int      `json:"uid"`
	GID              int      `json:"gid"`
	Hostname         string   `json:"hostname,omitempty"`
	Mounts           []Mount  `json:"mounts,omitempty"`
	Files            []File   `json:"files,omitempty"`
	ReadOnlyRoot     bool     `json:"readOnlyRoot,omitempty"`
	DropCapabilities bool     `json:"dropCapabilities,omitempty"`
	NoNewPrivileges  bool     `json:"noNewPrivileges,omitempty"`
	TTY              bool     `json:"tty,omitempty"` // stdin is a terminal and becomes the controlling one
}

// Exec describes a further process in the namespaces of a running container.
type Exec struct {
	Process uint64   `json:"process"` // the container's process
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Dir     string   `json:"dir,omitempty"`
	TTY     bool     `json:"tty,omitempty"`
}

// Signal asks for a signal to a process, or to its whole session where Group is set.
type Signal struct {
	Process uint64 `json:"process"`
	Number  int    `json:"number"`
	Group   bool   `json:"group,omitempty"`
}
