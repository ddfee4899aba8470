// Package settings reads the configuration of an example.
package settings

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Read returns the values of keys, which are the project's own where they name no
// other. Its error lists every key that has none.
func Read(ctx *pulumi.Context, keys ...string) (map[string]string, error) {
	values := map[string]string{}
	var errs []error
	for _, key := range keys {
		full := key
		if !strings.Contains(key, ":") {
			full = ctx.Project() + ":" + key
		}
		value, given := ctx.GetConfig(full)
		if !given || value == "" {
			errs = append(errs, fmt.Errorf("%s: found nothing: set it with `pulumi config set %[1]s`", full))
		}
		values[key] = value
	}
	return values, errors.Join(errs...)
}
