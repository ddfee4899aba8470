package oidcissuer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// publicPolicyLag is how long S3 may go on refusing a public policy once the
// bucket's block allows it. AWS documents no bound; its support recommends a
// delay (https://github.com/env0/templates/pull/258, and 174 there). The provider
// tries again for MalformedPolicy and NoSuchBucket, not for the AccessDenied of
// this (terraform-provider-aws, internal/service/s3/bucket_policy.go).
const publicPolicyLag = 15 * time.Second

// lag keeps two changes apart that AWS takes one after the other, and cannot take
// at once. It works by hooks of the engine, so that it costs nothing in a preview
// and in an update that changes neither.
type lag struct {
	length time.Duration

	mu    sync.Mutex
	since time.Time // when the first was changed; zero where it was not
}

// changed notes that the first change is done.
func (l *lag) changed(*pulumi.ResourceHookArgs) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Now()
	return nil
}

// wait returns when the second change may be tried.
func (l *lag) wait(ctx context.Context) error {
	l.mu.Lock()
	since := l.since
	l.mu.Unlock()
	if since.IsZero() {
		return nil
	}
	select {
	case <-time.After(time.Until(since.Add(l.length))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newLag returns the options of the resource that is changed first and of the one
// that has to wait. name is unique in the program.
func newLag(ctx *pulumi.Context, name string, length time.Duration) (first, second pulumi.ResourceOption, err error) {
	l := &lag{length: length}
	changed, err := ctx.RegisterResourceHook(name+"-changed", l.changed, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("hook %s-changed: %w", name, err)
	}
	wait, err := ctx.RegisterResourceHook(name+"-wait", func(*pulumi.ResourceHookArgs) error { return l.wait(ctx.Context()) }, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("hook %s-wait: %w", name, err)
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{AfterCreate: []*pulumi.ResourceHook{changed}, AfterUpdate: []*pulumi.ResourceHook{changed}}),
		pulumi.ResourceHooks(&pulumi.ResourceHookBinding{BeforeCreate: []*pulumi.ResourceHook{wait}, BeforeUpdate: []*pulumi.ResourceHook{wait}}), nil
}
