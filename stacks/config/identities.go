package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/presets"
	"k3s-aws-auth/components/rules"
)

// validateIdentities checks the list. demo says whether the demo bucket may be
// named: also where the demo key is wrong, which is then what is reported.
func validateIdentities(c *Config, demo bool, p *Problems) {
	if len(c.Identities) == 0 {
		p.Add("identities", "nothing", "a list with at least one pod identity")
	}
	names, levels := map[string]string{}, map[string]int{}
	accounts, pods := map[Account]string{}, map[Account]string{}
	for i, identity := range c.Identities {
		at := fmt.Sprintf("identities[%d]", i)
		validateIdentity(at, c, identity, demo, p)
		if first, taken := names[identity.Name]; taken && identity.Name != "" {
			p.Add(at+".name", Quote(identity.Name), "another name than that of %s", first)
		} else {
			names[identity.Name] = at
		}
		for _, account := range identity.Accounts() {
			level := identity.PodSecurity
			if level == "" || !identity.CreateNamespace || builtIn(account.Namespace) {
				continue
			}
			if first, said := levels[account.Namespace]; !said {
				levels[account.Namespace] = i
			} else if other := c.Identities[first].PodSecurity; other != level {
				p.Add(at+".podSecurity", Quote(level), "%s, which identities[%d].podSecurity says of the same namespace", other, first)
			}
		}
		distinct := func(key, text string, account Account) {
			if first, taken := accounts[account]; taken {
				p.Add(key, Quote(text), "another service account than that of %s, since a service account has one identity", first)
				return
			}
			accounts[account] = at
			pod := Account{account.Namespace, identity.PodName(account)}
			if first, taken := pods[pod]; taken && c.Demo && !p.Has(at+".name") {
				p.Add(key, Quote(text), "another service account, or demo false: the demo pod would be called %s, as that of %s is", pod.Name, first)
			}
			pods[pod] = at
		}
		if identity.ServiceAccount != "" {
			distinct(at+".serviceAccount", identity.ServiceAccount, identity.Account())
		}
		for j, text := range identity.ServiceAccounts {
			distinct(fmt.Sprintf("%s.serviceAccounts[%d]", at, j), text, identity.account(text))
		}
	}
	validateApart(c, p)
}

func validateIdentity(at string, c *Config, i Identity, demo bool, p *Problems) {
	if len(i.Name) > maxIdentityName || rules.Label(i.Name) != "" {
		p.Add(at+".name", Quote(i.Name), "lower-case letters, digits and hyphens, with a letter or digit at both ends, "+
			"at most %d characters", maxIdentityName)
	}
	validateNamespace(at+".namespace", i, p)
	validateAccounts(at, c, i, p)
	validateServiceAccount(at+".serviceAccount", i.ServiceAccount, p)
	validateLevel(at+".podSecurity", i, c, p)
	between(at+".maxSessionSeconds", i.MaxSessionSeconds, rules.MinRoleSessionSeconds, rules.MaxSessionSeconds, " seconds", p)
	if len(i.Statements) == 0 && len(i.ManagedPolicyArns) == 0 && len(i.AssumeRoles) == 0 && len(i.Pull) == 0 && i.Preset.Name == "" && len(i.PrefixPerPod) == 0 {
		p.Add(at+".statements", "nothing", "at least one statement, unless managedPolicyArns, preset, prefixPerPod, assumeRoles or pull give permissions")
	}
	sids := map[string]int{}
	for j, s := range i.Statements {
		key := fmt.Sprintf("%s.statements[%d]", at, j)
		validateStatement(key, s, demo, c, p)
		if first, taken := sids[s.Sid]; taken && s.Sid != "" {
			p.Add(key+".sid", Quote(s.Sid), "another sid than that of %s.statements[%d]", at, first)
		} else {
			sids[s.Sid] = j
		}
	}
	validatePreset(at, c, i, sids, p)
	validatePrefixes(at, c, i, demo, p)
	if n := c.policyCharacters(i); n > rules.MaxInlinePolicy && !p.within(at+".statements") {
		with := ""
		if c.facts.OwnRoles {
			with = ", with what shuts the identity"
		}
		p.Add(at+".statements", fmt.Sprintf("a policy of %d characters%s", n, with), "at most %d characters as JSON, "+
			"IAM's limit for a role; managed policies have one of their own", rules.MaxInlinePolicy)
	}
	if n := len(i.ManagedPolicyArns); n > rules.MaxManagedPolicies {
		p.Add(at+".managedPolicyArns", fmt.Sprintf("%d policies", n), "at most %d", rules.MaxManagedPolicies)
	}
	for j, arn := range i.ManagedPolicyArns {
		key := fmt.Sprintf("%s.managedPolicyArns[%d]", at, j)
		if validatePolicyArn(key, arn, c, p) && slices.Index(i.ManagedPolicyArns, arn) < j {
			p.Add(key, Quote(arn), "listed once")
		}
	}
	validatePull(at, c, i, sids, p)
	validateAssumed(at+".assumeRoles", i.AssumeRoles, c, p)
	validateIssuerURLs(at+".issuers", i.Issuers, p)
}

// validatePreset checks what is said of a preset. sids are those of the
// identity's own statements, which are in one policy with the preset's.
func validatePreset(at string, c *Config, i Identity, sids map[string]int, p *Problems) {
	partition := ""
	if rules.Region(c.Region) == "" {
		partition = c.Partition()
	}
	for _, problem := range presets.Validate(i.Preset.Name, partition, i.Preset.lists()) {
		p.Add(at+".preset."+problem.Key, problem.Found, "%s", problem.Must)
	}
	statements, err := c.presetStatements(i, c.sampleSite())
	if err != nil {
		return // reported above, or of the region's making
	}
	for _, s := range statements {
		if own, taken := sids[s.Sid]; taken {
			p.Add(fmt.Sprintf("%s.statements[%d].sid", at, own), Quote(s.Sid), "another sid than those of preset %s", i.Preset.Name)
		}
	}
}

// validatePolicyArn checks the ARN of a managed policy and reports whether it is
// one.
func validatePolicyArn(key, arn string, c *Config, p *Problems) bool {
	switch {
	case rules.PolicyARN(arn) != "":
		p.Add(key, Quote(arn), "the ARN of a managed policy such as arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	default:
		return c.inPartition(key, arn, p)
	}
	return false
}

// CheckAccount holds what the configuration names in IAM against the account that
// is deployed to, which only a run knows: a role takes managed policies and a
// boundary of AWS or of its own account
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html).
func (c *Config) CheckAccount(account string) error {
	p := &Problems{}
	check := func(key, arn string) {
		if owner := rules.PolicyOwner(arn); owner != "" && owner != "aws" && owner != account {
			p.Add(key, Quote(arn), "a policy of AWS or of account %s, to which the stack is deployed", account)
		}
	}
	check("permissionsBoundary", c.PermissionsBoundary)
	for i, identity := range c.Identities {
		for j, arn := range identity.ManagedPolicyArns {
			check(fmt.Sprintf("identities[%d].managedPolicyArns[%d]", i, j), arn)
		}
	}
	return p.Err()
}

// validateAssumed checks the roles that an identity may assume in its turn.
func validateAssumed(key string, roles []Assumed, c *Config, p *Problems) {
	for j, role := range roles {
		at := fmt.Sprintf("%s[%d]", key, j)
		switch {
		case !roleArnPattern.MatchString(role.RoleArn):
			p.Add(at+".roleArn", Quote(role.RoleArn), "the ARN of one role such as arn:aws:iam::111122223333:role/reader")
		case !c.inPartition(at+".roleArn", role.RoleArn, p):
		case slices.IndexFunc(roles, func(r Assumed) bool { return r.RoleArn == role.RoleArn }) < j:
			p.Add(at+".roleArn", Quote(role.RoleArn), "listed once")
		}
		if role.ExternalID != "" && (len(role.ExternalID) > maxExternalID || !externalIDPattern.MatchString(role.ExternalID)) {
			p.Add(at+".externalId", Quote(role.ExternalID), "2 to %d letters, digits and _+=,.@:/-", maxExternalID)
		}
	}
}

func validateNamespace(key string, i Identity, p *Problems) {
	switch {
	case strings.ContainsAny(i.Namespace, "*?"):
		p.Add(key, Quote(i.Namespace), "the name of one namespace: a wildcard would let every namespace have the role")
	case rules.Label(i.Namespace) != "":
		p.Add(key, Quote(i.Namespace), "a namespace: lower-case letters, digits and hyphens, with a letter or digit at both ends, "+
			"at most %d characters", rules.MaxLabel)
	case i.CreateNamespace && !slices.ContainsFunc(i.Accounts(), func(a Account) bool { return !builtIn(a.Namespace) }):
		p.Add(strings.TrimSuffix(key, "namespace")+"createNamespace", "true", "false, since Kubernetes makes %s itself", i.Namespace)
	}
}

// validateLevel checks the Pod Security level of a namespace that the program
// makes.
func validateLevel(key string, i Identity, c *Config, p *Problems) {
	switch {
	case i.PodSecurity == "" || p.Has(key):
	case !i.CreateNamespace:
		p.Add(key, Quote(i.PodSecurity), "left out unless createNamespace is true: the program does not set the level of a namespace that somebody else made")
	case c.defaultLevel() == LevelPrivileged && i.PodSecurity != LevelPrivileged:
		p.Add(key, Quote(i.PodSecurity), "privileged with rolesAnywhere.helper.delivery node, whose pods have a hostPath volume")
	}
}

func validateServiceAccount(key, name string, p *Problems) {
	switch {
	case strings.ContainsAny(name, "*?"):
		p.Add(key, Quote(name), "the name of one service account: a wildcard would let every pod have the role")
	case name == "default":
		p.Add(key, Quote(name), "a name of its own: Kubernetes makes default in every namespace, "+
			"and every pod that names none has it")
	case rules.Subdomain(name) != "":
		p.Add(key, Quote(name), "lower-case letters, digits, hyphens and dots, with a letter or digit at both ends of each part, "+
			"at most %d characters", rules.MaxSubdomain)
	}
}

func validateStatement(at string, s Statement, demo bool, c *Config, p *Problems) {
	if !iampolicy.IsSid(s.Sid) {
		p.Add(at+".sid", Quote(s.Sid), "letters and digits only")
	}
	exactlyOne(at, "actions", len(s.Actions), "notActions", len(s.NotActions), p)
	exactlyOne(at, "resources", len(s.Resources), "notResources", len(s.NotResources), p)
	each(at+".actions", s.Actions, validateAction, p)
	each(at+".notActions", s.NotActions, validateAction, p)
	resource := func(key, value string, p *Problems) {
		validatePlaceholders(key, value, demo, p)
		switch must := iampolicy.ResourceFault(substitute(value, sampleBucketArn)); must {
		case "":
		case iampolicy.NoARN:
			p.Add(key, Quote(value), "*, an ARN (arn:partition:service:region:account:resource) or %s/...", DemoBucketArn)
		default:
			p.Add(key, Quote(value), "%s", must)
		}
		validateCharacters(key, value, p)
		c.inPartition(key, value, p)
	}
	each(at+".resources", s.Resources, resource, p)
	each(at+".notResources", s.NotResources, resource, p)
	for _, operator := range sortedKeys(s.Conditions) {
		key := join(at+".conditions", operator)
		if !iampolicy.IsOperator(operator) {
			p.Add(key, Quote(operator), "a condition operator of IAM, such as StringEquals or ForAnyValue:StringLike")
		}
		if len(s.Conditions[operator]) == 0 {
			p.Add(key, "nothing", "an object of condition keys and their values")
		}
		for _, name := range sortedKeys(s.Conditions[operator]) {
			values, below := s.Conditions[operator][name], join(key, name)
			if !iampolicy.IsConditionKey(name) {
				p.Add(below, Quote(name), "a condition key such as aws:SourceIp")
			}
			if len(values) == 0 {
				p.Add(below, "nothing", "a list with at least one value")
			}
			each(below, values, func(key, value string, p *Problems) {
				validatePlaceholders(key, value, demo, p)
				validateCharacters(key, value, p)
				if must := iampolicy.OperandFault(operator, value); must != "" {
					p.Add(key, describe(value), "%s for %s", must, operator)
				}
				if strings.Contains(operator, "Arn") {
					c.inPartition(key, value, p)
				}
			}, p)
		}
	}
	// The rules above are worded for a reader of the configuration; whatever the
	// policy package refuses beyond them must not get through either.
	if p.Has(at) || p.within(at) {
		return
	}
	if err := s.policy(sampleBucketArn).ValidateIdentity(); err != nil {
		p.Add(at, "a statement that IAM refuses", "corrected: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// validateCharacters checks a value for what IAM takes in a policy at all
// (PolicyDocument of https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html).
func validateCharacters(key, value string, p *Problems) {
	if strings.ContainsFunc(value, func(r rune) bool { return r > 0xff || r < ' ' }) {
		p.Add(key, Quote(value), "characters up to U+00FF, which are all that IAM takes in a policy, and no control characters")
	}
}

func validateAction(key, action string, p *Problems) {
	if !iampolicy.IsAction(action) {
		p.Add(key, Quote(action), "service:Action, with wildcards after the colon only, or *")
	}
}

func exactlyOne(at, first string, n int, second string, m int, p *Problems) {
	switch {
	case n == 0 && m == 0:
		p.Add(at+"."+first, "nothing", "a list with at least one entry, unless %s has some", second)
	case n > 0 && m > 0:
		p.Add(at+"."+second, strconv.Itoa(m)+" beside "+first, "left out, or %s must be: IAM takes one of the two", first)
	}
}

func each(at string, values []string, check func(string, string, *Problems), p *Problems) {
	for i, value := range values {
		check(fmt.Sprintf("%s[%d]", at, i), value, p)
	}
}
