package machines

import (
	"errors"
	"io"
	"net"
)

// forwarder carries TCP connections from a public address to a machine, as an Elastic IP does. Until target knows an
// address, connections are closed at once.
type forwarder struct {
	listener net.Listener
	target   func() string
}

func forward(address string, target func() string) (*forwarder, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return forwardFrom(l, target), nil
}

// forwardFrom carries what a listener accepts.
func forwardFrom(l net.Listener, target func() string) *forwarder {
	f := &forwarder{listener: l, target: target}
	go f.accept()
	return f
}

func (f *forwarder) accept() {
	for {
		c, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go f.carry(c)
	}
}

func (f *forwarder) carry(from net.Conn) {
	defer from.Close()
	address := f.target()
	if address == "" {
		return
	}
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	pipe := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src)
		if c, ok := dst.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
		done <- struct{}{}
	}
	go pipe(to, from)
	go pipe(from, to)
	<-done
	<-done
}

func (f *forwarder) Close() error { return f.listener.Close() }
