package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRoomToShut holds that whatever policy is accepted, its identity can be shut in
// an emergency.
func TestRoomToShut(t *testing.T) {
	own := []Setup{{Name: "zeta", Facts: Facts{Presents: PresentsToken, OwnRoles: true}}}
	parse := func(n int, more string) error {
		values := valid()
		values["k3s-aws-auth:identities"] = fmt.Sprintf(`[{"name":"a","namespace":"n","serviceAccount":"s"%s,"statements":[{"actions":["s3:GetObject"],"resources":["arn:aws:s3:::%s"]}]}]`,
			more, strings.Repeat("b", n))
		_, err := Parse(values, nil, "lab", own)
		return err
	}
	most := 9800
	for parse(most+1, "") == nil {
		most++
	}
	require.Greater(t, most, 9800)
	require.NoError(t, parse(most, `,"suspended":true,"revokeSessionsBefore":"2026-11-30T12:00:00+00:00"`))
	require.ErrorContains(t, parse(most+1, ""), "identities[0].statements: found a policy of 10241 characters, with what shuts the identity: must be at most 10240 characters")
}
