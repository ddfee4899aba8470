package machines

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatcher(t *testing.T) {
	for matcher, want := range map[string][]int{"200": {200}, "200,401": {200, 401}, "200-399": {200, 204, 399}, "": nil} {
		var got []int
		for _, status := range []int{200, 204, 399, 401, 500, 503} {
			if matches(matcher, status) {
				got = append(got, status)
			}
		}
		require.Equal(t, want, got, matcher)
	}
}
