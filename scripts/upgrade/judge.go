package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// holdsNothing are the types whose resources hold neither identity nor data, so that another one is as good: what points
// from one thing to another, and pods, which Kubernetes replaces by itself. Every other type may hold something.
var holdsNothing = []string{
	"aws:cloudwatch/eventTarget:EventTarget",
	"aws:cloudwatch/metricAlarm:MetricAlarm",
	"aws:ec2/route:Route",
	"aws:ec2/routeTableAssociation:RouteTableAssociation",
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
	"kubernetes:core/v1:Pod",
}

// Step is what an upgrade does to one resource.
type Step struct {
	Op      string   `json:"op"` // create, update, replace or delete
	URN     string   `json:"urn"`
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Reasons []string `json:"reasons,omitempty"`
	// leaf says that it is a certificate which signs no other.
	leaf bool
}

// renewal are the reasons for which a leaf certificate is signed anew: for the same key and subject, by the same CA.
var renewal = []string{"earlyRenewalHours", "readyForRenewal", "validityPeriodHours"}

// ofIdentity is what an identity's certificate is made of, in the URNs of components/rolesanywhere.
const ofIdentity = "::k3s-aws-auth:rolesanywhere:Leaf$"

// withKey are the reasons for which the parts of an identity's certificate are made anew with its key. The key has none: what
// renews it is a moment that a preview does not know as long as nothing has told it, and an unknown one always counts as
// another (shouldTriggerReplace in pulumi/pulumi pkg/resource/deploy/step_generator.go), though the update then keeps the key.
var withKey = map[string][]string{
	"tls:index/privateKey:PrivateKey":               {},
	"tls:index/certRequest:CertRequest":             {"privateKeyPem"},
	"tls:index/locallySignedCert:LocallySignedCert": {"certRequestPem"},
}

// renews reports whether a step renews a leaf certificate, as every run does in time, or an identity's with its key. The one
// before is good until it ends.
func (s Step) renews() bool {
	reasons, part := withKey[s.Type]
	if part && s.Op == "replace" && strings.Contains(s.URN, ofIdentity) &&
		!slices.ContainsFunc(s.Reasons, func(r string) bool { return !slices.Contains(reasons, r) && !slices.Contains(renewal, r) }) {
		return true
	}
	return s.leaf && s.Op == "replace" && len(s.Reasons) > 0 && !slices.ContainsFunc(s.Reasons, func(r string) bool { return !slices.Contains(renewal, r) })
}

// operations are the steps of a preview by what they come to; "" is none. Those of one replacement come to one.
var operations = map[string]string{
	"same": "", "read": "", "refresh": "",
	"create": "create", "import": "create",
	"update": "update",
	"delete": "delete", "discard": "delete",
	"replace": "replace", "create-replacement": "replace", "delete-replaced": "replace", "read-replacement": "replace",
	"import-replacement": "replace", "discard-replaced": "replace", "remove-pending-replace": "replace",
}

// Changes reads what a preview (`pulumi preview --json`) changes, sorted by URN. A preview that failed or is none is an
// error, and so is a step that is not known.
func Changes(data []byte) ([]Step, error) {
	start := bytes.IndexByte(data, '{')
	if start < 0 {
		return nil, errors.New("the preview has no JSON")
	}
	var d struct {
		Steps []struct {
			Op      string   `json:"op"`
			URN     string   `json:"urn"`
			Reasons []string `json:"replaceReasons"`
			New     struct {
				Inputs struct {
					CA bool `json:"isCaCertificate"`
				} `json:"inputs"`
			} `json:"newState"`
		} `json:"steps"`
		Diagnostics []struct{ Message, Severity string } `json:"diagnostics"`
		Summary     map[string]int                       `json:"changeSummary"`
	}
	if err := json.Unmarshal(data[start:], &d); err != nil {
		return nil, fmt.Errorf("the preview: %w", err)
	}
	for _, m := range d.Diagnostics {
		if m.Severity == "error" {
			return nil, fmt.Errorf("the preview failed: %s", strings.TrimSpace(m.Message))
		}
	}
	if d.Summary == nil {
		return nil, errors.New("the preview has no summary, so it did not end")
	}
	byURN := map[string]*Step{}
	for _, s := range d.Steps {
		op, known := operations[s.Op]
		if !known {
			return nil, fmt.Errorf("the preview has a step %q that this tool does not know, for %s", s.Op, s.URN)
		}
		if op == "" {
			continue
		}
		parts := strings.Split(s.URN, "::")
		if len(parts) < 4 {
			return nil, fmt.Errorf("the preview has a step for %q, which is no URN", s.URN)
		}
		types := strings.Split(parts[2], "$")
		step := &Step{Op: op, URN: s.URN, Type: types[len(types)-1], Name: strings.Join(parts[3:], "::"), Reasons: s.Reasons}
		step.leaf = step.Type == "tls:index/locallySignedCert:LocallySignedCert" && !s.New.Inputs.CA
		if before, ok := byURN[s.URN]; ok {
			if before.Op != op { // deleted and made again: that is a replacement
				step.Op = "replace"
			}
			step.Reasons = append(step.Reasons, before.Reasons...)
			step.leaf = step.leaf && before.leaf
		}
		slices.Sort(step.Reasons)
		step.Reasons = slices.Compact(step.Reasons)
		byURN[s.URN] = step
	}
	steps := []Step{}
	for _, s := range byURN {
		steps = append(steps, *s)
	}
	slices.SortFunc(steps, func(a, b Step) int { return strings.Compare(a.URN, b.URN) })
	return steps, nil
}

// Judge is an error that names every resource which an upgrade may not replace or delete, and every type that it replaces
// or deletes without a word about it in the changelog.
func Judge(steps []Step, changelog string) error {
	upgrading := Upgrading(changelog)
	var errs []error
	for _, s := range steps {
		if s.Op != "replace" && s.Op != "delete" {
			continue
		}
		why := ""
		if len(s.Reasons) > 0 {
			why = " (" + strings.Join(s.Reasons, ", ") + ")"
		}
		switch {
		case strings.HasPrefix(s.Type, "pulumi:providers:"): // what depends on it has steps of its own
		case !slices.Contains(holdsNothing, s.Type) && !s.renews():
			errs = append(errs, fmt.Errorf("the upgrade would %s %s %s%s, which may hold identity or data: keep it by an alias, or migrate it in steps", s.Op, s.Type, s.Name, why))
		case !strings.Contains(upgrading, "`"+s.Type+"`"):
			errs = append(errs, fmt.Errorf("the upgrade would %s %s %s%s: CHANGELOG.md must name `%s` under \"Upgrading\" of [Unreleased]", s.Op, s.Type, s.Name, why, s.Type))
		}
	}
	return errors.Join(errs...)
}

// Upgrading is what the newest section of the changelog says about the upgrade: that of [Unreleased], or of the newest
// release where there is none or it is empty.
func Upgrading(changelog string) string {
	for _, release := range Releases(changelog) {
		if strings.TrimSpace(release.Text) != "" {
			return release.Upgrading
		}
	}
	return ""
}

// Release is a section of the changelog.
type Release struct {
	// Name is "Unreleased" or a version.
	Name, Text string
	// Upgrading is the text under its heading "Upgrading".
	Upgrading string
}

// Releases reads a changelog in the form of Keep a Changelog, newest first.
func Releases(changelog string) []Release {
	var list []Release
	for _, section := range strings.Split("\n"+changelog, "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		name := strings.TrimSpace(heading)
		if from, to := strings.IndexByte(name, '['), strings.IndexByte(name, ']'); from == 0 && to > 0 {
			name = name[1:to]
		}
		r := Release{Name: name, Text: text}
		for _, part := range strings.Split("\n"+text, "\n### ")[1:] {
			if title, body, _ := strings.Cut(part, "\n"); strings.TrimSpace(title) == "Upgrading" {
				r.Upgrading = body
			}
		}
		list = append(list, r)
	}
	return list
}
