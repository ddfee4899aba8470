package account

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// large is an account with so many roles beside the stack's: those of a usual account, and identities of the cluster.
func large(t testing.TB, roles, identities int) (*world, []PodOf) {
	w := load(t, web)
	var pods []PodOf
	for i := range identities {
		name := fmt.Sprintf("team-%02d.service-%03d", i%10, i)
		conditions := strings.Replace(oneSubject, "default:other", fmt.Sprintf("team-%02d:service-%03d", i%10, i), 1)
		r := w.role(name, w.web(conditions), doc(allow("s3:GetObject", fmt.Sprintf("arn:aws:s3:::data-%d/*", i)), allow("sqs:SendMessage", "arn:aws:sqs:*:*:jobs")))
		if i > 2 { // three of them are not the stack's
			w.stack.Roles = append(w.stack.Roles, StackRole{Entity: r.Entity, Trust: r.Trust, Kind: Pod, Pods: []string{fmt.Sprintf("team-%02d/service-%03d", i%10, i)}})
		}
		for p := range 2 {
			pods = append(pods, PodOf{fmt.Sprintf("service-%03d-7d9f8b6c5-%d", i, p), fmt.Sprintf("team-%02d/service-%03d", i%10, i)})
		}
	}
	shared := []string{
		w.managed("logs", doc(allow("logs:*", "*"), allow("xray:Put*", "*"))),
		w.managed("reader", doc(statement("Allow", `"Action":["s3:Get*","s3:List*","ec2:Describe*","ssm:Describe*"],"Resource":"*"`), deny("ssm:GetParameter*", "*"))),
	}
	for i := len(w.Roles); i < roles; i++ {
		trust, inline := lambda, doc(allow("dynamodb:*", fmt.Sprintf("arn:aws:dynamodb:*:*:table/t-%d", i)), allow("ssm:GetParameter", fmt.Sprintf("arn:aws:ssm:*:*:parameter/app-%d/*", i)))
		if i%5 == 0 {
			trust = trustOf("arn:aws:iam::" + w.Account + ":root")
		}
		w.role(fmt.Sprintf("role-%d", i), trust, inline).Attached = shared[i%2 : i%2+1]
	}
	return w, pods
}

func TestThePictureOfALargeCluster(t *testing.T) {
	w, pods := large(t, 110, 100)
	for i := range w.Roles {
		if w.Roles[i].ARN == w.pod.ARN {
			w.Roles[i].Inline = append(w.Roles[i].Inline, Inline{"x", doc(allow("sqs:*", "*"))})
		}
	}
	r := Analyze(w.Snapshot, w.stack)
	require.Len(t, r.Reach, 101)
	require.Equal(t, []string{"policy-by-hand", "role-not-in-stack"}, ids(r))
	for _, dark := range []bool{false, true} {
		c := lightColours
		if dark {
			c = darkColours
		}
		svg := r.Picture(pods, dark)
		decoder := xml.NewDecoder(strings.NewReader(string(svg)))
		red := 0
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			element, ok := token.(xml.StartElement)
			if !ok || element.Name.Local != "rect" {
				continue
			}
			for _, a := range element.Attr {
				if a.Name.Local == "fill" && a.Value == c.redBack {
					red++
				}
			}
		}
		require.Equal(t, 3*3+1, red, "three roles, and one box of permissions")
		for _, p := range pods {
			require.Contains(t, string(svg), "pod "+p.Name)
		}
		require.Contains(t, string(svg), `fill="`+c.red+`">sqs:* on *`)
	}
}

func TestWhatIsTooLongKeepsBothEnds(t *testing.T) {
	require.Equal(t, "short", fit("short", 100))
	got := fit("s3:GetObject on arn:aws:s3:::a-very-long-bucket-name/with/a/path/*", 200)
	require.LessOrEqual(t, len([]rune(got)), 28)
	require.True(t, strings.HasPrefix(got, "s3:GetObject on") && strings.HasSuffix(got, "/path/*"), got)
}

// One judgement of an account of 1,000 roles, with a cluster of 100 identities.
func BenchmarkAnalyze(b *testing.B) {
	w, _ := large(b, 1000, 100)
	for b.Loop() {
		Analyze(w.Snapshot, w.stack)
	}
}
