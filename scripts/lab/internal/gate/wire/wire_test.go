package wire

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNode(t *testing.T) {
	var none *string
	n := Elem("R", Text("a", "<&>"), Text("empty", ""), Opt("gone", ""), Opt("nil", none), Text("t", time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)),
		List("l", "item", []int{1, 2}, func(i int) []Node { return []Node{Text("n", i)} }), Texts("s", "m", []string{"x"}), Node{}).NS("urn:x")
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<R xmlns="urn:x"><a>&lt;&amp;&gt;</a><empty/><t>2026-01-02T03:04:05.006Z</t>`+
		`<l><item><n>1</n></item><item><n>2</n></item></l><s><m>x</m></s></R>`, string(n.Bytes()))
}

func TestTree(t *testing.T) {
	tr, err := ParseTree([]byte(`<A xmlns="urn:x"><B><C> 1 </C><C>2</C></B><D>true</D></A>`))
	require.NoError(t, err)
	require.Equal(t, "1", tr.Get("B", "C"))
	require.Len(t, tr.Find("B").All("C"), 2)
	require.True(t, tr.Bool("D"))
	require.EqualValues(t, 7, tr.Int(7, "missing"))
	require.Nil(t, tr.Find("B", "X", "Y"))
	require.Empty(t, tr.Find("X").All("Y"), "nil trees have no children")
	require.Equal(t, `<A><B><C> 1 </C><C>2</C></B><D>true</D></A>`, string(tr.Node("").Bytes())[len(`<?xml version="1.0" encoding="UTF-8"?>`)+1:])
	_, err = ParseTree([]byte("<A>"))
	require.Error(t, err)
}

func TestParams(t *testing.T) {
	p := NewParams(url.Values{"Filter.2.Name": {"b"}, "Filter.1.Name": {"a"}, "Filter.1.Value.1": {"x"}, "Filter.10.Name": {"c"}, "L.member.1": {"m"}, "B": {"true"}, "N": {"7"},
		"S.Inner.Deep": {"d"}, "Blob": {"aGk="}})
	filters := p.Structs("Filter")
	require.Len(t, filters, 3)
	require.Equal(t, "c", filters[2].Str("Name"), "indices sort as numbers")
	require.Equal(t, []string{"x"}, filters[0].Strings("Value"))
	require.Equal(t, []string{"m"}, p.Strings("L"))
	require.True(t, p.Bool("B", false))
	require.Equal(t, 7, p.Int("N", 0))
	require.True(t, p.Has("S"))
	require.Equal(t, "d", p.Sub("S").Str("Inner.Deep"))
	require.Equal(t, "hi", string(p.Blob("Blob")))
	require.Nil(t, p.Ptr("missing"))
	require.Equal(t, []string{"B", "Blob", "Filter", "L", "N", "S"}, p.Top())
}

func FuzzTree(f *testing.F) {
	f.Add([]byte("<A><B>c</B></A>"))
	f.Fuzz(func(t *testing.T, document []byte) {
		tr, err := ParseTree(document)
		if err != nil {
			return
		}
		if _, err := ParseTree(tr.Node("Root").Bytes()); err != nil {
			t.Fatalf("what was read does not read again: %v", err)
		}
	})
}
