package prove

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhoIsProven holds the caller that a pod saw against what the program's outputs say.
func TestWhoIsProven(t *testing.T) {
	var plain, named Declared
	require.NoError(t, json.Unmarshal([]byte(`{"name":"uploader","roleArn":"arn:aws:iam::111122223333:role/some/path/lab-uploader"}`), &plain))
	require.NoError(t, json.Unmarshal([]byte(`{"name":"uploader","roleArn":"arn:aws:iam::111122223333:role/lab-uploader","sessionName":"default.uploader"}`), &named))
	const session = "arn:aws:sts::111122223333:assumed-role/lab-uploader/"
	for _, name := range []string{"0123abcd", "default.uploader"} {
		got, err := plain.is(session + name)
		require.NoError(t, err)
		require.Equal(t, name, got)
	}
	got, err := named.is(session + "default.uploader")
	require.NoError(t, err)
	require.Equal(t, "default.uploader", got)
	for arn, want := range map[string]string{
		session + "0123abcd":      "the program calls its sessions default.uploader",
		session + "default.other": "the program calls its sessions default.uploader",
		"arn:aws:sts::111122223333:assumed-role/lab-other/default.uploader": "not a session of role lab-uploader",
		"arn:aws:iam::111122223333:user/default.uploader":                   "is not the ARN of a role's session",
	} {
		_, err := named.is(arn)
		require.ErrorContains(t, err, want)
	}
}
