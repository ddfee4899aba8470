//go:build unix

package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// maxMessage bounds a message's JSON (a container's environment and files are the largest parts).
const maxMessage = 32 << 20

// maxFiles is how many open files a message may carry; the kernel's own limit is 253.
const maxFiles = 16

// Conn exchanges messages with open files over a unix stream socket. Send is safe for concurrent use, Receive is not.
type Conn struct {
	c  *net.UnixConn
	mu sync.Mutex
}

// NewConn takes over an open unix stream socket.
func NewConn(f *os.File) (*Conn, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("sandbox socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sandbox socket: %T is not a unix socket", c), c.Close())
	}
	return &Conn{c: u}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return c.c.Close() }

// Send writes a message and attaches files to it; the caller keeps its own copies of the files.
func (c *Conn) Send(v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxMessage || len(files) > maxFiles {
		return fmt.Errorf("sandbox message: %d bytes and %d files are more than %d and %d", len(body), len(files), maxMessage, maxFiles)
	}
	// The header goes out on its own with the files attached: a stream keeps the boundary of a write that carries
	// files, so a reader that asks for exactly eight bytes gets exactly these files.
	var header [8]byte
	binary.BigEndian.PutUint32(header[:4], uint32(len(body)))
	binary.BigEndian.PutUint32(header[4:], uint32(len(files)))
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = syscall.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, _, err := c.c.WriteMsgUnix(header[:], rights, nil); err != nil {
		return err
	}
	_, err = c.c.Write(body)
	return err
}

// Receive reads the next message into v and returns the files that came with it. io.EOF means that the peer is gone.
func (c *Conn) Receive(v any) ([]*os.File, error) {
	var header [8]byte
	oob := make([]byte, syscall.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := c.c.ReadMsgUnix(header[:], oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	files, err := parseRights(oob[:oobn])
	if err == nil && n < len(header) {
		_, err = io.ReadFull(c.c, header[n:])
	}
	if err == nil {
		err = c.body(header, len(files), v)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func (c *Conn) body(header [8]byte, files int, v any) error {
	size, want := binary.BigEndian.Uint32(header[:4]), binary.BigEndian.Uint32(header[4:])
	if size > maxMessage {
		return fmt.Errorf("sandbox message of %d bytes is larger than %d", size, maxMessage)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.c, body); err != nil {
		return err
	}
	if int(want) != files {
		return fmt.Errorf("sandbox message came with %d files instead of %d", files, want)
	}
	return json.Unmarshal(body, v)
}

func parseRights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
