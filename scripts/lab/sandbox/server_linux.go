package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// socketFD is where the daemon's socket is.
const socketFD = 3

type server struct {
	conn     *wire.Conn
	starter  *starter
	network  *network
	mu       sync.Mutex
	next     uint64
	children map[uint64]*child
}

// serve answers requests until the daemon's end of the socket is closed. Returning ends the process, and with it (as
// the first process of its pid namespace, or by their parent-death signal) every process that it started.
func serve() error {
	unix.CloseOnExec(socketFD)
	conn, err := wire.NewConn(os.NewFile(socketFD, "daemon"))
	if err != nil {
		return fmt.Errorf("file descriptor 3: %w", err)
	}
	// A terminal's ^C reaches the whole foreground group; the daemon decides when the sandbox ends.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if os.Getpid() == 1 {
		if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mount /proc for the pid namespace: %w", err)
		}
	}
	s := &server{conn: conn, starter: newStarter(), network: newNetwork(), children: map[uint64]*child{}}
	defer s.killAll()
	for {
		var req wire.Request
		files, err := conn.Receive(&req)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.answer(req, files)
	}
}

// answer handles one request and sends its response. What started answers before its exit can be told.
func (s *server) answer(req wire.Request, files []*os.File) {
	resp, reply, after, err := s.handle(req, files)
	closeFiles(files)
	resp.ID = req.ID
	if err != nil {
		resp.Error = err.Error()
		closeFiles(reply)
		reply = nil
	}
	if err := s.conn.Send(resp, reply...); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox: answer:", err)
	}
	closeFiles(reply)
	if after != nil {
		after()
	}
}

func (s *server) handle(req wire.Request, files []*os.File) (resp wire.Response, reply []*os.File, after func(), err error) {
	switch {
	case req.Op == wire.OpHello:
	case req.Op == wire.OpAddNode && req.Node != nil:
		reply, err = s.network.addNode(*req.Node)
	case req.Op == wire.OpRemoveNode:
		err = s.network.removeNode(req.Name)
	case req.Op == wire.OpAddPod && req.Pod != nil:
		var ip string
		ip, reply, err = s.network.addPod(*req.Pod)
		resp.Addresses = []string{ip}
	case req.Op == wire.OpRemovePod:
		err = s.network.removePod(req.Name)
	case (req.Op == wire.OpListen || req.Op == wire.OpDial) && req.Socket != nil:
		reply, err = s.network.socket(req.Op, *req.Socket)
	case req.Op == wire.OpTmpfs && req.Tmpfs != nil:
		err = s.tmpfs(*req.Tmpfs)
	case req.Op == wire.OpUnmount:
		err = s.unmount(req.Name)
	case req.Op == wire.OpRun && req.Container != nil && len(files) == 3:
		resp.Process, after, err = s.run(*req.Container, files)
	case req.Op == wire.OpExec && req.Exec != nil && len(files) == 3:
		resp.Process, after, err = s.exec(*req.Exec, files)
	case req.Op == wire.OpSignal && req.Signal != nil:
		err = s.signal(*req.Signal)
	default:
		err = fmt.Errorf("unknown or incomplete request %q", req.Op)
	}
	return resp, reply, after, err
}

// tmpfs and unmount change the mount namespace that containers' are copied from.
func (s *server) tmpfs(t wire.Tmpfs) error {
	options := "mode=0777"
	if t.Bytes > 0 {
		options += fmt.Sprintf(",size=%d", t.Bytes)
	}
	if err := unix.Mount("tmpfs", t.Path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("memory file system on %s: %w", t.Path, err)
	}
	return nil
}

func (s *server) unmount(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}
