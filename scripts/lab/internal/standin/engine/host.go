package engine

import (
	"context"
	"sync"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// host is the Pulumi engine that runs the provider, as far as a provider needs it: somebody to warn.
type host struct {
	mu      sync.Mutex
	address string
	engine  pulumirpc.EngineClient
}

func (h *host) attach(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.address, h.engine = address, nil
}

// warn shows the user a warning about a resource. A warning that cannot be delivered is dropped: the operation it
// belongs to does not depend on it.
func (h *host) warn(urn, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.address == "" {
		return
	}
	if h.engine == nil {
		conn, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return
		}
		h.engine = pulumirpc.NewEngineClient(conn)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = h.engine.Log(ctx, &pulumirpc.LogRequest{
		Severity: pulumirpc.LogSeverity_WARNING, Urn: urn, Message: message,
	})
}
