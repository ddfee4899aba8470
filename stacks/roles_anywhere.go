package stacks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/alarms"
	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/podrole"
	ra "k3s-aws-auth/components/rolesanywhere"
	"k3s-aws-auth/components/rules"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// rolesAnywhere gives each identity a certificate of a CA of the stack's own,
// and pods exchange it for credentials of the identity's role.
var rolesAnywhere = setup{
	name: "roles-anywhere",
	facts: config.Facts{
		Presents: config.PresentsCertificate, Issuer: config.IssuerNone, OwnRoles: true, SourceIdentity: true, SessionName: config.SessionOfCertificate,
	},
	check: func(cfg *config.Config, p *config.Problems) {
		refuseLongNames(cfg, p)
		if n := len(cfg.Identities); n > rules.MaxProfileRoles {
			p.Add("identities", fmt.Sprintf("%d identities", n), "at most %d for setup roles-anywhere, the roles of a profile", rules.MaxProfileRoles)
		}
		refuseWithoutTokens(cfg, p)
		if cfg.Injection == config.InjectionWebhook {
			p.Add("injection", config.Quote(cfg.Injection), "%s or %s for setup roles-anywhere: the webhook gives pods tokens, not certificates",
				config.InjectionAdmissionPolicy, config.InjectionManifest)
		}
		helper := cfg.RolesAnywhere.Helper
		if minor := cfg.KubernetesMinor(); helper.Delivery == config.DeliveryImageVolume && minor > 0 && minor < 35 {
			p.Add("rolesAnywhere.helper.delivery", helper.Delivery, "another delivery for %s: "+
				"image volumes are on by default from Kubernetes 1.35", cfg.Cluster.Version)
		}
		if cfg.ArmAgents() && helper.Image == "" && helper.Delivery != config.DeliveryNode {
			p.Add("rolesAnywhere.helper.image", "nothing", "an image for arm64 with its digest, since agents of type %s "+
				"cannot run the default one", cfg.Cluster.AgentInstanceType)
		}
		for i, identity := range cfg.Identities {
			if identity.MaxSessionSeconds < cfg.RolesAnywhere.SessionSeconds {
				p.Add(fmt.Sprintf("identities[%d].maxSessionSeconds", i), strconv.Itoa(identity.MaxSessionSeconds),
					"at least rolesAnywhere.sessionSeconds (%d) for setup roles-anywhere, since longer sessions are refused, not cut",
					cfg.RolesAnywhere.SessionSeconds)
			}
		}
	},
	deploy: func(ctx *pulumi.Context, cfg *config.Config) error {
		acct, err := lookUpAccount(ctx, cfg)
		if err != nil {
			return err
		}
		anchor, err := ra.NewAnchor(ctx, named(cfg, "ca"), &ra.AnchorArgs{
			CAs:             cfg.CASet(),
			CAValidityHours: cfg.RolesAnywhere.CAValidityHours,
			Protect:         cfg.Production,
			Tags:            cfg.ResourceTags(),
		})
		if err != nil {
			return err
		}
		bucket, err := newDemoBucket(ctx, cfg, acct)
		if err != nil {
			return err
		}
		site := acct.site(bucket)
		// Roles Anywhere sets it to the certificate's name, and it stays.
		site.SourceIdentity = cfg.Facts().SourceIdentity
		roles := make([]*podrole.PodRole, len(cfg.Identities))
		for i, identity := range cfg.Identities {
			roles[i], err = newPodRole(ctx, cfg, identity, site, podrole.RolesAnywhereTrust(podrole.Certificates{
				TrustAnchorArns: pulumi.StringArray{anchor.Arn},
				CommonNames:     commonNames(identity),
				Suspended:       identity.Suspended,
			}))
			if err != nil {
				return err
			}
		}
		// By what they are, so that the list's order does not show in the profile.
		order := make([]int, len(roles))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			return strings.Compare(cfg.Identities[a].Account().Key(), cfg.Identities[b].Account().Key())
		})
		var arns pulumi.StringArray
		for _, i := range order {
			arns = append(arns, roles[i].Arn)
		}
		profileArgs := &ra.ProfileArgs{
			RoleArns:        arns,
			DurationSeconds: cfg.RolesAnywhere.SessionSeconds,
			Tags:            cfg.ResourceTags(),
		}
		if cfg.RolesAnywhere.SessionName == config.SessionPod {
			profileArgs.Named = &ra.NamedArgs{Partition: acct.partition, Region: acct.region, AccountID: acct.id}
		}
		profile, err := ra.NewProfile(ctx, named(cfg, "profile"), profileArgs)
		if err != nil {
			return err
		}
		cluster, err := newCluster(ctx, cfg, servesInjection(cfg, identityPlane{}))
		if err != nil {
			return err
		}
		certificates, err := workload.Certificates(&workload.CertificatesArgs{
			Region: cfg.Region, SessionSeconds: cfg.RolesAnywhere.SessionSeconds,
			Named: cfg.RolesAnywhere.SessionName == config.SessionPod, Helper: helper(cfg),
		})
		if err != nil {
			return err
		}
		injector, err := newInjector(ctx, cfg, cluster, certificates)
		if err != nil {
			return err
		}
		kubernetes, err := newKubernetesSide(ctx, cfg, cluster, bucket, workload.RolesAnywhereType)
		if err != nil {
			return err
		}
		kubernetes.sourceIdentity = site.SourceIdentity
		renewal, err := ra.NewRenewal(ctx, named(cfg, "leaf-renewal"), cfg.RolesAnywhere.LeafValidityHours,
			cfg.RolesAnywhere.LeafEarlyRenewalHours, pulumi.Parent(anchor))
		if err != nil {
			return err
		}
		leaves := map[string][]*ra.Leaf{} // by their identities' names
		for i, identity := range cfg.Identities {
			for _, who := range identity.Accounts() {
				leaf, err := newLeaf(ctx, cfg, identity, who, anchor, renewal)
				if err != nil {
					return err
				}
				leaves[identity.Name] = append(leaves[identity.Name], leaf)
				if err := kubernetes.certificate(identity, who, roles[i], anchor, profile, leaf, injector); err != nil {
					return err
				}
			}
		}
		if err := newRevocation(ctx, cfg, anchor, leaves); err != nil {
			return err
		}
		if err := newAlarms(ctx, cfg, acct, watched{rolesAnywhere: &alarms.RolesAnywhere{
			TrustAnchorArn: anchor.Arn, LeafRenewalHours: cfg.RolesAnywhere.LeafEarlyRenewalHours,
		}}); err != nil {
			return err
		}
		ctx.Export("trustAnchorArn", anchor.Arn)
		ctx.Export("profileArn", profile.NamedArn)
		kubernetes.export()
		return nil
	},
}

// helper is how the credential helper gets into pods.
func helper(cfg *config.Config) workload.Helper {
	h := cfg.RolesAnywhere.Helper
	return workload.Helper{Delivery: h.Delivery, Image: h.Image, NodePath: h.NodePath, NodeSHA256: h.NodeSHA256}
}

// commonNames are an identity's service accounts in their certificates.
func commonNames(identity config.Identity) []string {
	var all []string
	for _, who := range identity.Accounts() {
		all = append(all, who.CommonName())
	}
	return all
}

// refuseLongNames adds identities whose role could not name all their certificates.
func refuseLongNames(cfg *config.Config, p *config.Problems) {
	anchor := fmt.Sprintf("arn:%s:rolesanywhere:%s:111122223333:trust-anchor/00000000-0000-0000-0000-000000000000", cfg.Partition(), cfg.Region)
	for i, identity := range cfg.Identities {
		// Without names, which are reported, it is no policy.
		if size, err := podrole.TrustCharacters(iampolicy.RolesAnywhereTrust([]string{anchor}, commonNames(identity)...)); err == nil {
			refuseLongTrust(fmt.Sprintf("identities[%d].", i), identity, size, p)
		}
	}
}

// newLeaf makes the certificate of a service account of an identity. Its common
// name is one that the trust policy of the identity's role asks for.
func newLeaf(ctx *pulumi.Context, cfg *config.Config, identity config.Identity, who config.Account, anchor *ra.Anchor, renewal pulumi.StringInput) (*ra.Leaf, error) {
	return ra.NewLeaf(ctx, named(cfg, who.Key()+"-leaf"), &ra.LeafArgs{
		CommonName:        who.CommonName(),
		CAKeyPem:          anchor.CAKeyPem,
		CACertPem:         anchor.CACertPem,
		ValidityHours:     cfg.RolesAnywhere.LeafValidityHours,
		EarlyRenewalHours: cfg.RolesAnywhere.LeafEarlyRenewalHours,
		Renewal:           renewal,
	}, formerly(cfg, identity, who, "-leaf"))
}

// newRevocation revokes the certificates that rolesAnywhere.revoked lists.
func newRevocation(ctx *pulumi.Context, cfg *config.Config, anchor *ra.Anchor, leaves map[string][]*ra.Leaf) error {
	if len(cfg.RolesAnywhere.Revoked) == 0 {
		return nil
	}
	_, err := ra.NewRevocation(ctx, named(cfg, "revoked"), &ra.RevocationArgs{
		Anchor: anchor, Serials: serials(cfg.RolesAnywhere.Revoked, leaves), Tags: cfg.ResourceTags(),
	})
	return err
}

// serials are those of a list of serial numbers and of identities' names, which
// stand for the present certificates of all their service accounts.
func serials(list []string, leaves map[string][]*ra.Leaf) pulumi.StringArray {
	var all pulumi.StringArray
	for _, r := range list {
		for _, leaf := range leaves[r] {
			all = append(all, leaf.Serial)
		}
		if len(leaves[r]) == 0 {
			all = append(all, pulumi.String(r))
		}
	}
	return all
}
