package config

import (
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/components/rules"
)

// policyInjectionMinor is the first minor version of Kubernetes that has
// MutatingAdmissionPolicy as a beta API.
const policyInjectionMinor = 34

func validateInjection(c *Config, p *Problems) {
	if minor := c.KubernetesMinor(); c.Injection == InjectionAdmissionPolicy && minor != 0 && minor < policyInjectionMinor {
		p.Add("cluster.version", Quote(c.Cluster.Version), "Kubernetes 1.%d or newer for injection admission-policy", policyInjectionMinor)
	}
	w := c.Webhook
	if rules.Label(w.Namespace) != "" || w.Namespace == "default" || strings.HasPrefix(w.Namespace, "kube-") {
		p.Add("webhook.namespace", Quote(w.Namespace), "a namespace of its own, which the program makes: lower-case letters, digits and hyphens")
	}
	for i, identity := range c.Identities {
		if c.Injection == InjectionWebhook && identity.Namespace == w.Namespace {
			p.Add(fmt.Sprintf("identities[%d].namespace", i), Quote(identity.Namespace), "another namespace than webhook.namespace, "+
				"whose pods the webhook leaves alone")
		}
	}
	if rules.PinnedImage(w.Image) != "" {
		p.Add("webhook.image", Quote(w.Image), "an image with a tag other than latest, or a digest")
	}
	between("webhook.replicas", w.Replicas, 1, 10, "", p)
	for _, key := range sortedKeys(w.NodeSelector) {
		if !nodeLabelPattern.MatchString(key) || !labelValuePattern.MatchString(w.NodeSelector[key]) {
			p.Add(join("webhook.nodeSelector", key), Quote(key+"="+w.NodeSelector[key]), "a node's label and its value")
		}
	}
	for i, t := range w.Tolerations {
		at := fmt.Sprintf("webhook.tolerations[%d]", i)
		switch {
		case t.Key == "" && t.Operator != "Exists":
			p.Add(at+".key", "nothing", "the key of a taint, unless operator is Exists")
		case t.Key != "" && !nodeLabelPattern.MatchString(t.Key):
			p.Add(at+".key", Quote(t.Key), "the key of a taint")
		}
		if t.Value != "" && (t.Operator == "Exists" || !labelValuePattern.MatchString(t.Value)) {
			p.Add(at+".value", Quote(t.Value), "the value of a taint, left out where operator is Exists")
		}
	}
}

// maxEmails keeps the list to what one team reads: SNS itself allows millions.
const maxEmails = 20

func validateAlarms(a Alarms, p *Problems) {
	if len(a.Emails) > 0 && !a.Enabled {
		p.Add("alarms.enabled", strconv.FormatBool(a.Enabled), "true where alarms.emails names somebody")
	}
	if len(a.Emails) > maxEmails {
		p.Add("alarms.emails", fmt.Sprintf("%d addresses", len(a.Emails)), "at most %d", maxEmails)
	}
	for i, address := range a.Emails {
		at := fmt.Sprintf("alarms.emails[%d]", i)
		if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address {
			p.Add(at, Quote(address), "a mail address such as ops@example.com")
		}
		if first := slices.Index(a.Emails, address); first < i {
			p.Add(at, Quote(address), "another address than alarms.emails[%d]", first)
		}
	}
}
