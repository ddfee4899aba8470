package stacks

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkIdentities is what the program itself costs, without engine and
// providers, for each of more and more identities.
func BenchmarkIdentities(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			type object = map[string]any
			var list []object
			for i := range n {
				name := fmt.Sprintf("identity-%d", i)
				list = append(list, object{"name": name, "namespace": "default", "serviceAccount": name,
					"statements": []object{{"actions": []string{"s3:GetObject"}, "resources": []string{"arn:aws:s3:::example/" + name + "/*"}}}})
			}
			text, err := json.Marshal(list)
			require.NoError(b, err)
			values := labConfig(b)
			values["k3s-aws-auth:setup"], values["k3s-aws-auth:demo"] = "irsa-s3", "false"
			values["k3s-aws-auth:identities"] = string(text)
			for b.Loop() {
				require.NoError(b, (&testEngine{known: true}).run(b, values))
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/float64(n), "µs/identity")
		})
	}
}
