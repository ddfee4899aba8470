package config

import (
	"fmt"
	"reflect"
	"slices"

	"k3s-aws-auth/components/keyset"
)

// choices are the values of each key that takes one of a few, by its path, in
// which [] stands for any entry of a list. The empty text among them says that the
// key may be left empty. Setups and presets are not here: their packages say what
// there is.
var choices = map[string][]string{
	"cluster.mode":                     {ModeCreate, ModeExisting},
	"cluster.cpuCredits":               {CreditsStandard, CreditsUnlimited},
	"cluster.apiAccess":                {APIPrivate, APIPublic},
	"cluster.imagePulls":               {"", PullsByNode, PullsByPod},
	"network.nat":                      {NATNone, NATPerZone, NATSingle},
	"signingKeys[].state":              keyset.States(),
	"issuers[].state":                  keyset.States(),
	"rolesAnywhere.cas[].state":        keyset.States(),
	"issuers[].dns":                    {DNSExternal, DNSRoute53},
	"issuer.dns":                       {DNSExternal, DNSRoute53},
	"issuer.thumbprint":                {"dynamic", "none"},
	"issuer.priceClass":                {"PriceClass_100", "PriceClass_200", "PriceClass_All"},
	"rolesAnywhere.sessionName":        {SessionPod, SessionSerial},
	"rolesAnywhere.helper.delivery":    {DeliveryImageVolume, DeliveryNode, DeliverySidecar},
	"injection":                        {InjectionAdmissionPolicy, InjectionManifest, InjectionWebhook},
	"webhook.tolerations[].operator":   {"Equal", "Exists"},
	"webhook.tolerations[].effect":     {"", "NoExecute", "NoSchedule", "PreferNoSchedule"},
	"identities[].podSecurity":         {"", LevelRestricted, LevelBaseline, LevelPrivileged},
	"identities[].statements[].effect": {"Allow", "Deny"},
}

// validateChoices checks every key of choices.
func validateChoices(c *Config, p *Problems) { checkChoices("", "", reflect.ValueOf(*c), p) }

// checkChoices checks the keys below a value. kind is the path of the value in
// choices.
func checkChoices(path, kind string, value reflect.Value, p *Problems) {
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			if key := keyOf(value.Type().Field(i)); key != "" {
				checkChoices(join(path, key), join(kind, key), value.Field(i), p)
			}
		}
	case reflect.Slice:
		for i := range value.Len() {
			checkChoices(fmt.Sprintf("%s[%d]", path, i), kind+"[]", value.Index(i), p)
		}
	case reflect.String:
		if allowed, few := choices[kind]; few && !slices.Contains(allowed, value.String()) {
			named := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
			p.Add(path, Quote(value.String()), "%s%s", oneOf(named), didYouMean(value.String(), named))
		}
	}
}
