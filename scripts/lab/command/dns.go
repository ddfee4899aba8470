package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// recordNeeded is how the program shows a DNS record that somebody has to add.
var recordNeeded = regexp.MustCompile(`DNS record needed: (\S+) (\S+) (\S+) `)

// readingTime is how long the person takes to add a record that the deployment shows.
const readingTime = 500 * time.Millisecond

// externalDNS plays the person at the DNS provider: it reads what the deployment shows and adds each record a moment
// later, while the deployment waits.
func externalDNS(ctx context.Context, lab *state.Lab) program.Watcher {
	added := map[string]bool{}
	return func(e apitype.EngineEvent) {
		if e.DiagnosticEvent == nil {
			return
		}
		m := recordNeeded.FindStringSubmatch(e.DiagnosticEvent.Message)
		if m == nil || added[m[0]] {
			return
		}
		added[m[0]] = true
		go func() {
			time.Sleep(readingTime)
			body, err := json.Marshal(map[string]string{"name": m[1], "type": m[2], "value": m[3]})
			if err == nil {
				err = control(ctx, lab, http.MethodPost, "/_lab/dns", strings.NewReader(string(body)), nil)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "lab: the DNS record of %s was not added: %v\n", m[1], err)
			}
		}()
	}
}
