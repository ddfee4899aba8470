package gate

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
)

const awsManagedPrefix = "arn:" + Partition + ":iam::aws:policy"

var loadAWSManaged = sync.OnceValue(func() map[string]*managedPolicy {
	out := map[string]*managedPolicy{}
	created := time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)
	for name, text := range policy.AWSManaged {
		doc, err := policy.Parse([]byte(text))
		if err != nil {
			panic(fmt.Sprintf("AWS-managed policy %s: %v", name, err))
		}
		slash := strings.LastIndexByte(name, '/')
		arn := awsManagedPrefix + name
		out[arn] = &managedPolicy{name: name[slash+1:], path: name[:slash+1], id: "ANPA" + fmt.Sprintf("%017X", len(name)*7919), arn: arn,
			created: created, updated: created, defaultVersion: "v1", nextVersion: 2,
			versions: []*policyVersion{{id: "v1", created: created, policyText: policyText{text: text, doc: doc}}}}
	}
	return out
})

func awsManaged(arn string) (*managedPolicy, bool) {
	p, ok := loadAWSManaged()[arn]
	return p, ok
}

func awsManagedNames() []string {
	all := sortedKeys(policy.AWSManaged)
	for i := range all {
		all[i] = all[i][strings.LastIndexByte(all[i], '/')+1:]
	}
	return all
}
