package stacks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/components/podrole"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// deployIRSA publishes the issuers, wherever that is, and makes what follows: a
// cluster that signs for them, their IAM providers, and a role for each identity,
// which only tokens of its service account can assume.
func deployIRSA(ctx *pulumi.Context, cfg *config.Config) error {
	acct, err := lookUpAccount(ctx, cfg)
	if err != nil {
		return err
	}
	keys, err := newSigningKeys(ctx, cfg, acct.activeIssuerURL(cfg))
	if err != nil {
		return err
	}
	issuers, what, err := publishIssuers(ctx, cfg, acct, keys)
	if err != nil {
		return err
	}
	if err := checkTrust(cfg, acct, issuers); err != nil {
		return err
	}
	provider, err := newOIDCProvider(ctx, cfg, issuers)
	if err != nil {
		return err
	}
	cluster, err := newCluster(ctx, cfg, servesInjection(cfg, identityPlane{
		issuers: pulumi.ToStringArray(activeFirst(issuers)), signingKeys: keys.private,
	}))
	if err != nil {
		return err
	}
	if err := newPullTokens(ctx, cfg, cluster); err != nil {
		return err
	}
	injector, err := newInjector(ctx, cfg, cluster, nil)
	if err != nil {
		return err
	}
	bucket, err := newDemoBucket(ctx, cfg, acct)
	if err != nil {
		return err
	}
	kubernetes, err := newKubernetesSide(ctx, cfg, cluster, bucket, workload.WebIdentityType)
	if err != nil {
		return err
	}
	for _, identity := range cfg.Identities {
		role, err := newPodRole(ctx, cfg, identity, acct.site(bucket), podrole.WebIdentityTrust(podrole.Tokens{
			Issuers: trusted(acct, provider, issuers, identity), Audience: oidcissuer.AudienceSTS,
			Subjects: subjects(identity), Suspended: identity.Suspended,
		}))
		if err != nil {
			return err
		}
		for _, who := range identity.Accounts() {
			if err := kubernetes.webIdentity(identity, who, role, injector); err != nil {
				return err
			}
		}
	}
	if err := newAlarms(ctx, cfg, acct, what); err != nil {
		return err
	}
	ctx.Export("issuerUrl", pulumi.String(activeFirst(issuers)[0]))
	kubernetes.export()
	return nil
}

// newOIDCProvider registers the issuers with IAM, each once it can be read, and
// behind them those of other accounts' clusters, which are others' to publish.
func newOIDCProvider(ctx *pulumi.Context, cfg *config.Config, issuers []issuer) (*oidcissuer.Provider, error) {
	args := &oidcissuer.ProviderArgs{Thumbprint: cfg.Issuer.Thumbprint, Protect: cfg.Production, Tags: cfg.ResourceTags()}
	for _, i := range issuers {
		args.Issuers = append(args.Issuers, oidcissuer.Issuer{URL: i.url, Ready: i.ready})
	}
	for _, url := range cfg.Issuer.Register {
		args.Issuers = append(args.Issuers, oidcissuer.Issuer{URL: url})
	}
	return oidcissuer.NewProvider(ctx, named(cfg, "oidc"), args)
}

// trusted lists the issuers whose tokens an identity's role accepts: those of the
// cluster, and those of other clusters that the identity names. The latter are
// registered by this stack or by another one.
func trusted(acct *account, provider *oidcissuer.Provider, issuers []issuer, identity config.Identity) []podrole.WebIdentityIssuer {
	var all []podrole.WebIdentityIssuer
	registered := map[string]podrole.WebIdentityIssuer{}
	for i, r := range provider.Issuers {
		known := podrole.WebIdentityIssuer{Arn: r.Arn, HostPath: r.IssuerHostPath}
		registered[r.URL] = known
		if i < len(issuers) {
			all = append(all, known)
		}
	}
	for _, url := range identity.Issuers {
		other, ours := registered[url]
		if !ours {
			other = podrole.WebIdentityIssuer{
				Arn:      pulumi.String(acct.oidcProviderArn(url)),
				HostPath: pulumi.String(strings.TrimPrefix(url, "https://")),
			}
		}
		all = append(all, other)
	}
	return all
}

// subjects are an identity's service accounts in their tokens.
func subjects(identity config.Identity) []string {
	var all []string
	for _, who := range identity.Accounts() {
		all = append(all, who.Subject())
	}
	return all
}

// checkTrust reports what is wrong with whom identities are to trust, beside the
// cluster's own issuers, whose URLs the configuration alone does not tell. A role
// that has no room left to be suspended could not be shut in an emergency.
func checkTrust(cfg *config.Config, acct *account, issuers []issuer) error {
	var own []string
	for _, i := range issuers {
		own = append(own, i.url)
	}
	p := &config.Problems{}
	refuseOwn := func(key string, urls []string) {
		for i, url := range urls {
			if slices.Contains(own, url) {
				p.Add(fmt.Sprintf("%s[%d]", key, i), config.Quote(url), "the issuer of another cluster: this one's is registered and trusted anyway")
			}
		}
	}
	refuseOwn("issuer.register", cfg.Issuer.Register)
	for i, identity := range cfg.Identities {
		at := fmt.Sprintf("identities[%d].", i)
		refuseOwn(at+"issuers", identity.Issuers)
		var trust []iampolicy.WebIdentity
		for _, url := range slices.Concat(own, identity.Issuers) {
			trust = append(trust, iampolicy.WebIdentity{ProviderArn: acct.oidcProviderArn(url), IssuerHostPath: strings.TrimPrefix(url, "https://")})
		}
		size, err := podrole.TrustCharacters(iampolicy.WebIdentityTrust(trust, oidcissuer.AudienceSTS, subjects(identity)...))
		if err != nil {
			return fmt.Errorf("trust policy of identity %s: %w", identity.Name, err)
		}
		refuseLongTrust(at, identity, size, p)
	}
	return p.Err()
}

// refuseLongTrust adds a trust policy that is too long, under the key of whichever
// list makes it so.
func refuseLongTrust(at string, identity config.Identity, size int, p *config.Problems) {
	if size <= podrole.MaxTrustPolicyCharacters {
		return
	}
	key, shorter := "issuers", "list fewer issuers"
	if len(identity.ServiceAccounts) > 0 {
		key, shorter = "serviceAccounts", "list fewer, and the others in another entry of identities"
	}
	p.Add(at+key, fmt.Sprintf("a trust policy of %d characters, with what suspends the identity", size), "at most %d, IAM's quota: %s",
		podrole.MaxTrustPolicyCharacters, shorter)
}
