package preview

import (
	"strings"
	"testing"
)

const (
	stackURN = "urn:pulumi:dev::proj::pulumi:pulumi:Stack::proj-dev"
	paramURN = "urn:pulumi:dev::proj::k:c:Comp$aws:ssm/parameter:Parameter::p"
)

func TestParse(t *testing.T) {
	p, err := Parse([]byte("Enter your passphrase\n"+`{"steps":[
	 {"op":"update","urn":"`+paramURN+`","oldState":{"urn":"`+paramURN+`","type":"aws:ssm/parameter:Parameter","inputs":{"value":"[secret]"}},
	  "newState":{"urn":"`+paramURN+`","type":"aws:ssm/parameter:Parameter","inputs":{"value":"x"}},"diffReasons":["value"],"detailedDiff":{"value":{"diffKind":"update"}}}],
	 "diagnostics":[{"severity":"error","message":" broken \n"},{"severity":"warning","message":"w"}]}`),
		[]byte(`{"deployment":{"resources":[{"urn":"`+stackURN+`","type":"pulumi:pulumi:Stack"},
	 {"urn":"`+paramURN+`","type":"aws:ssm/parameter:Parameter","inputs":{"value":{"4dabf18193072939515e22adb298388d":"1b47061264138c4ac30d75fd1eb44270","ciphertext":"c"}}},
	 {"urn":"`+paramURN+`","type":"aws:ssm/parameter:Parameter","delete":true}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Stack != "dev" || p.Project != "proj" || !p.Complete || len(p.Changes) != 2 || len(p.Errors) != 1 || p.Errors[0] != "broken" {
		t.Errorf("%+v", p)
	}
	for _, c := range p.Changes {
		if c.Now().URN != paramURN {
			continue
		}
		if c.Op != Update || c.Before.Value("value") != Secret || c.After.Value("value") != "x" || len(c.Properties) != 1 {
			t.Errorf("%+v", c)
		}
		if c.Now().Name() != "p" || TypeOf(paramURN) != "aws:ssm/parameter:Parameter" {
			t.Errorf("name %q, type %q", c.Now().Name(), TypeOf(paramURN))
		}
	}
}

// TestAliases: what an alias carries over is one resource, under its new name, and so is what refers to it. Without the alias
// a step that shows another resource's state contradicts itself.
func TestAliases(t *testing.T) {
	const oldURN, childURN = "urn:pulumi:dev::proj::k:c:Comp::old", "urn:pulumi:dev::proj::aws:x:Y::child"
	const newURN = "urn:pulumi:dev::proj::k:c:Comp::new"
	steps := func(aliases string) string {
		return `{"steps":[{"op":"update","urn":"` + newURN + `","oldState":{"urn":"` + oldURN + `","inputs":{"a":1}},"newState":{"urn":"` + newURN + `","inputs":{"a":2},"aliases":[` + aliases + `]}},
		{"op":"same","urn":"` + childURN + `","oldState":{"urn":"` + childURN + `","parent":"` + oldURN + `","dependencies":["` + oldURN + `"],"propertyDependencies":{"p":["` + oldURN + `"]}},
		 "newState":{"urn":"` + childURN + `","parent":"` + newURN + `","dependencies":["` + newURN + `"],"propertyDependencies":{"p":["` + newURN + `"]}}}]}`
	}
	state := []byte(`{"deployment":{"resources":[{"urn":"` + oldURN + `","inputs":{"a":1}},{"urn":"` + childURN + `","parent":"` + oldURN + `"}]}}`)
	for _, s := range [][]byte{nil, state} {
		p, err := Parse([]byte(steps(`"`+oldURN+`"`)), s)
		if err != nil || len(p.Changes) != 2 || len(p.Contradictions) != 0 || p.Changes[1].Now().URN != newURN || p.Changes[1].Op != Update {
			t.Fatalf("%+v, %v", p, err)
		}
		child := p.Changes[0].Before
		if child.Parent != newURN || child.Dependencies[0] != newURN || child.PropertyDependencies["p"][0] != newURN {
			t.Errorf("the child refers to the old name: %+v", child)
		}
	}
	if p, err := Parse([]byte(steps("")), nil); err != nil || len(p.Contradictions) == 0 {
		t.Errorf("no contradiction: %+v, %v", p, err)
	}
}

// TestFieldsByCase: a field in another case is another field, and hides nothing.
func TestFieldsByCase(t *testing.T) {
	p, err := Parse([]byte(`{"steps":[{"op":"create","urn":"`+paramURN+`","newState":{}}],"Steps":[],"changeSummary":{"create":1}}`), nil)
	if err != nil || len(p.Changes) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string][2]string{
		"nothing":         {"", ""},
		"no JSON":         {"error: no stack selected", ""},
		"another object":  {`{"version":3}`, ""},
		"cut off":         {`{"steps":[{"op":"cre`, ""},
		"no URN":          {`{"steps":[{"op":"create"}]}`, ""},
		"an unknown step": {`{"steps":[{"op":"explode","urn":"u"}]}`, ""},
		"no states":       {`{"steps":[{"op":"create","urn":"u"}]}`, ""},
		"another state":   {`{"changeSummary":{"same":1}}`, `{"version":3}`},
		"a field twice":   {`{"steps":[],"changeSummary":{"same":1},"steps":[]}`, ""},
		"another stack's": {`{"steps":[{"op":"same","urn":"` + stackURN + `","oldState":{},"newState":{}}]}`, `{"deployment":{"resources":[{"urn":"urn:pulumi:prod::proj::pulumi:pulumi:Stack::proj-prod"}]}}`},
		"a broken state":  {`{"changeSummary":{"same":1}}`, `{`},
	} {
		var state []byte
		if c[1] != "" {
			state = []byte(c[1])
		}
		if p, err := Parse([]byte(c[0]), state); err == nil {
			t.Errorf("%s: taken as a preview: %+v", name, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"steps":[{"op":"same","urn":"a::b::c::d","oldState":{"urn":"a::b::c::d"},"newState":{"urn":"a::b::c::d"}}]}`), []byte(`{"deployment":{"resources":[]}}`))
	f.Fuzz(func(_ *testing.T, data, state []byte) {
		p, err := Parse(data, state)
		if err != nil {
			return
		}
		for _, c := range p.Changes {
			_ = c.Now().Name()
			_ = strings.ToLower(c.Now().ParentType())
		}
	})
}
