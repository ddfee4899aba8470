package machines

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

func TestForward(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello"))
			c.Close()
		}
	}()
	var target atomic.Value
	target.Store("")
	f, err := forward("127.0.0.1:0", func() string { return target.Load().(string) })
	require.NoError(t, err)
	defer f.Close()
	read := func() string {
		c, err := net.Dial("tcp", f.listener.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		data, _ := io.ReadAll(c)
		return string(data)
	}
	require.Empty(t, read(), "an address that leads nowhere gives nothing")
	target.Store(server.Addr().String())
	require.Equal(t, "hello", read())
}

func TestAnswer(t *testing.T) {
	resolve := func(name string) ([]string, bool) {
		if name == "sts.eu-central-1.amazonaws.com." {
			return []string{"127.0.0.1"}, true
		}
		return nil, false
	}
	ask := func(name string, typ dnsmessage.Type) dnsmessage.Message {
		q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{
			{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}}}
		packed, err := q.Pack()
		require.NoError(t, err)
		reply, err := dnsAnswer(packed, resolve)
		require.NoError(t, err)
		var m dnsmessage.Message
		require.NoError(t, m.Unpack(reply))
		require.Equal(t, uint16(7), m.ID)
		return m
	}
	known := ask("sts.eu-central-1.amazonaws.com.", dnsmessage.TypeA)
	require.Len(t, known.Answers, 1)
	require.Equal(t, &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}, known.Answers[0].Body)
	require.Empty(t, ask("sts.eu-central-1.amazonaws.com.", dnsmessage.TypeAAAA).Answers, "there is no IPv6 here, which is no error")
	require.Equal(t, dnsmessage.RCodeNameError, ask("elsewhere.example.com.", dnsmessage.TypeA).RCode)
	_, err := dnsAnswer([]byte("x"), resolve)
	require.Error(t, err)
}
