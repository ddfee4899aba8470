package presets

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/components/rules"
)

// reservedParameters is where this program keeps what clusters are made of,
// their signing keys among them: whoever can read it can be anybody. It is the
// part of a parameter's ARN behind "parameter/".
const reservedParameters = "k3s-aws-auth/"

var (
	// Names, and patterns of names, that begin with a character of their own.
	secretPattern    = regexp.MustCompile(`^arn:([a-z-]+):secretsmanager:[a-z0-9-]+:\d{12}:secret:([0-9A-Za-z/_+=.@!-][0-9A-Za-z/_+=.@!*?-]*)$`)
	parameterPattern = regexp.MustCompile(`^arn:([a-z-]+):ssm:[a-z0-9-]+:\d{12}:parameter/([0-9A-Za-z_.-][0-9A-Za-z_.*?/-]*)$`)
	keyPattern       = regexp.MustCompile(`^arn:([a-z-]+):kms:[a-z0-9-]+:\d{12}:key/[0-9a-zA-Z-]+$`)
	// A secret's ARN ends in six characters that Secrets Manager makes up; a
	// policy without them matches nothing.
	secretEnd = regexp.MustCompile(`(-[0-9A-Za-z?]{6}|\*)$`)
)

// Validate returns what is wrong with a preset's name and lists, in the order of
// the configuration's keys, which are below the preset: "name", or "secretArns[1]". A partition that is empty is not compared with.
// Without a name there must be no lists.
func Validate(name, partition string, lists Lists) []*rules.Problem {
	var problems []*rules.Problem
	add := func(key, found, format string, args ...any) {
		problems = append(problems, &rules.Problem{Key: key, Found: found, Must: fmt.Sprintf(format, args...)})
	}
	p, known := registry[name]
	if !known && name != "" {
		add("name", strconv.Quote(name), "one of %s", strings.Join(Names(), ", "))
	}
	given := lists.byKey()
	has := func(key string) bool { return len(given[key]) > 0 }
	if known && len(p.needs) > 0 && !slices.ContainsFunc(p.needs, has) {
		add(p.needs[0], "nothing", "a list of %s for preset %s", strings.Join(described(p.needs), ", or "), name)
	}
	for _, key := range []string{keyZones, keySecrets, keyParameters, keyKeys} {
		switch {
		case !has(key):
		case name == "":
			add(key, entries(given[key]), "left out without preset.name")
			continue
		case known && !slices.Contains(p.takes, key):
			add(key, entries(given[key]), "left out for preset %s%s", name, takes(p))
			continue
		}
		for i, value := range given[key] {
			at := fmt.Sprintf("%s[%d]", key, i)
			if must := fault(key, value, partition); must != "" {
				add(at, strconv.Quote(value), "%s", must)
			} else if slices.Index(given[key], value) < i {
				add(at, strconv.Quote(value), "listed once")
			}
		}
	}
	return problems
}

func (l Lists) byKey() map[string][]string {
	return map[string][]string{keyZones: l.HostedZoneIDs, keySecrets: l.SecretARNs, keyParameters: l.ParameterARNs, keyKeys: l.KMSKeyARNs}
}

// fault returns what an entry of a list must be, or "" where it is that.
func fault(key, value, partition string) string {
	switch key {
	case keyZones:
		if rules.ZoneID(value) != "" {
			return "the id of one Route 53 zone, such as Z0123456789ABCDEFGHIJ, without wildcards"
		}
	case keySecrets:
		match := secretPattern.FindStringSubmatch(value)
		switch {
		case match == nil:
			return "the ARN of a secret, such as arn:aws:secretsmanager:eu-central-1:111122223333:secret:prod/db-AbCdEf. " +
				"Wildcards may stand in its name, but not at the beginning of it"
		case !secretEnd.MatchString(match[2]):
			return "a secret's whole ARN, with the six characters at its end, or with -?????? or * in their place"
		}
		return elsewhere(match[1], partition)
	case keyParameters:
		match := parameterPattern.FindStringSubmatch(value)
		switch {
		case match == nil:
			return "the ARN of a parameter, such as arn:aws:ssm:eu-central-1:111122223333:parameter/prod/db. " +
				"Wildcards may stand in its name, but not at the beginning of it"
		case reaches(match[2], reservedParameters):
			return "apart from /" + reservedParameters + ", where the program keeps the keys of clusters"
		}
		return elsewhere(match[1], partition)
	case keyKeys:
		match := keyPattern.FindStringSubmatch(value)
		if match == nil {
			return "the ARN of one KMS key, such as arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab, " +
				"not of an alias, without wildcards"
		}
		return elsewhere(match[1], partition)
	}
	return ""
}

func elsewhere(partition, own string) string {
	if own != "" && partition != own {
		return "in partition " + own
	}
	return ""
}

// reaches reports whether the pattern matches anything that begins with
// prefix. It takes at most the product of both lengths steps.
func reaches(pattern, prefix string) bool {
	// rest[j] says whether what is left of the pattern reaches prefix[j:].
	rest := make([]bool, len(prefix)+1)
	rest[len(prefix)] = true // nothing is asked for any more
	for i := len(pattern) - 1; i >= 0; i-- {
		now := make([]bool, len(prefix)+1)
		now[len(prefix)] = true
		for j := len(prefix) - 1; j >= 0; j-- {
			switch pattern[i] {
			case '*':
				now[j] = rest[j] || now[j+1]
			case '?', prefix[j]:
				now[j] = rest[j+1]
			}
		}
		rest = now
	}
	return rest[0]
}

func entries(list []string) string {
	if len(list) == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", len(list))
}

func takes(p preset) string {
	if len(p.takes) == 0 {
		return ", which takes no lists"
	}
	return ", which takes " + strings.Join(p.takes, ", ")
}

func described(keys []string) []string {
	var out []string
	for _, key := range keys {
		switch key {
		case keyZones:
			out = append(out, "Route 53 zone ids")
		case keySecrets:
			out = append(out, "secrets' ARNs")
		case keyParameters:
			out = append(out, "parameters' ARNs (parameterArns)")
		}
	}
	return out
}
