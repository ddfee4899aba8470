package chain

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	whole "k3s-aws-auth/scripts/internal/account"
)

// account reads what the chain has in AWS, by lists: a call for each hundred or thousand things, never one for each.
func (c *collector) account(ctx context.Context) {
	out := &c.facts.Account
	out.Region = c.AWS.Region
	who, err := sts.NewFromConfig(c.AWS).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		c.miss(partCaller, err)
		return
	}
	out.ID, out.Caller = aws.ToString(who.Account), aws.ToString(who.Arn)
	server, known := awsmiddleware.GetServerTime(who.ResultMetadata)
	if at, ok := awsmiddleware.GetResponseAt(who.ResultMetadata); ok && known {
		out.Ahead = seconds(server.Sub(at))
	}
	ids := Identities(c.facts)
	has := func(presents string) bool {
		return slices.ContainsFunc(ids, func(i Identity) bool { return i.Presents == presents })
	}
	all := []func(){
		func() { c.miss(partRoles, c.roles(ctx, has(presentsCertificate))) },
		func() { c.miss(partInstances, c.instances(ctx)) },
	}
	if has(presentsToken) {
		all = append(all, func() {
			var err error
			out.Providers, err = whole.Providers(ctx, iam.NewFromConfig(c.AWS))
			c.miss(partProviders, err)
		})
	}
	if has(presentsCertificate) {
		api := rolesanywhere.NewFromConfig(c.AWS)
		all = append(all, func() {
			var err error
			out.Anchors, err = whole.Anchors(ctx, api)
			c.miss(partAnchors, err)
			out.Profiles, err = whole.Profiles(ctx, api)
			c.miss(partProfiles, err)
			c.miss(partCRLs, c.crls(ctx, api))
		})
	}
	c.parallel(all...)
	c.keepRoles(ids)
}

// roles reads all roles of the account with their policies, and how long their sessions may be where that counts: the
// account's details do not tell (https://docs.aws.amazon.com/IAM/latest/APIReference/API_RoleDetail.html).
func (c *collector) roles(ctx context.Context, lengths bool) error {
	api := iam.NewFromConfig(c.AWS)
	read := &whole.Snapshot{}
	if err := read.Details(ctx, api, iamtypes.EntityTypeRole, iamtypes.EntityTypeLocalManagedPolicy); err != nil {
		return err
	}
	documents := map[string]string{}
	for _, p := range read.Policies {
		documents[p.ARN] = p.Document
	}
	longest := map[string]int{}
	if lengths {
		pages := iam.NewListRolesPaginator(api, &iam.ListRolesInput{MaxItems: aws.Int32(1000)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, r := range page.Roles {
				longest[aws.ToString(r.Arn)] = int(aws.ToInt32(r.MaxSessionDuration))
			}
		}
	}
	for _, r := range read.Roles {
		role := Role{ARN: r.ARN, Trust: r.Trust, MaxSeconds: longest[r.ARN], Machines: r.Machines, Boundary: r.Boundary, BoundaryPolicy: documents[r.Boundary]}
		for _, p := range r.Inline {
			role.Policies = append(role.Policies, p.Document)
		}
		for _, arn := range r.Attached {
			if d, ok := documents[arn]; ok {
				role.Policies = append(role.Policies, d)
			} else {
				role.Unread = append(role.Unread, arn)
			}
		}
		c.facts.Account.Roles = append(c.facts.Account.Roles, role)
	}
	return nil
}

// keepRoles leaves the roles of identities and of the cluster's machines: the others are nobody's business here.
func (c *collector) keepRoles(ids []Identity) {
	wanted, elsewhere := map[string]bool{}, map[string]bool{}
	for _, i := range ids {
		wanted[i.Role] = true
	}
	for _, p := range c.facts.Cluster.Pods {
		for _, container := range p.Containers {
			wanted[container.Env["AWS_ROLE_ARN"]] = true
		}
		if h := c.facts.helper(&p); h != nil {
			wanted[h.Role] = true
		}
	}
	machines := map[string]bool{}
	for _, i := range c.facts.Account.Instances {
		machines[i.Profile] = true
	}
	c.facts.Account.Roles = slices.DeleteFunc(c.facts.Account.Roles, func(r Role) bool {
		return !wanted[r.ARN] && !slices.ContainsFunc(r.Machines, func(m string) bool { return machines[m] })
	})
	for _, p := range c.facts.Cluster.Pods {
		if h := c.facts.helper(&p); h != nil && h.Anchor != "" && (segment(h.Anchor, 3) != c.facts.Account.Region || segment(h.Anchor, 4) != c.facts.Account.ID) {
			elsewhere[h.Anchor] = true
		}
	}
	for arn := range elsewhere {
		c.miss("trust anchor "+arn, fmt.Errorf("it is not of the account and region that were looked at, %s and %s", c.facts.Account.ID, c.facts.Account.Region))
	}
	for arn := range wanted {
		if account := segment(arn, 4); account != "" && account != c.facts.Account.ID {
			c.miss("role "+arn, errors.New("it is of another account than the caller's, "+c.facts.Account.ID))
		}
	}
}

// blocks are the contents of PEM.
func blocks(data []byte) (out [][]byte) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return out
		}
		out = append(out, block.Bytes)
	}
}

func (c *collector) crls(ctx context.Context, api *rolesanywhere.Client) error {
	pages := rolesanywhere.NewListCrlsPaginator(api, &rolesanywhere.ListCrlsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, l := range page.Crls {
			der := l.CrlData
			if found := blocks(der); bytes.HasPrefix(bytes.TrimSpace(der), []byte("-----")) && len(found) > 0 {
				der = found[0]
			}
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				return fmt.Errorf("%s: %w", aws.ToString(l.CrlArn), err)
			}
			out := CRL{ARN: aws.ToString(l.CrlArn), Anchor: aws.ToString(l.TrustAnchorArn), Enabled: aws.ToBool(l.Enabled), Issuer: base64.StdEncoding.EncodeToString(list.RawIssuer)}
			for _, e := range list.RevokedCertificateEntries {
				out.Serials = append(out.Serials, hex.EncodeToString(e.SerialNumber.Bytes()))
			}
			c.facts.Account.CRLs = append(c.facts.Account.CRLs, out)
		}
	}
	return nil
}

// instances finds the machines of the cluster's nodes. A filter takes 200 values
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html).
func (c *collector) instances(ctx context.Context) error {
	wanted := map[string][]string{}
	for _, n := range c.facts.Cluster.Nodes {
		if n.Instance != "" {
			wanted["instance-id"] = append(wanted["instance-id"], n.Instance)
		} else {
			wanted["private-ip-address"] = append(wanted["private-ip-address"], n.Addresses...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		for chunk := range slices.Chunk(wanted[name], 200) {
			pages := ec2.NewDescribeInstancesPaginator(ec2.NewFromConfig(c.AWS), &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{
				{Name: &name, Values: chunk}, {Name: aws.String("instance-state-name"), Values: []string{"running"}}}})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return err
				}
				for _, r := range page.Reservations {
					for _, i := range r.Instances {
						c.facts.Account.Instances = append(c.facts.Account.Instances, instanceOf(&i))
					}
				}
			}
		}
	}
	var unknown []string
	for i := range c.facts.Cluster.Nodes {
		if n := &c.facts.Cluster.Nodes[i]; c.facts.instance(n) == nil {
			unknown = append(unknown, n.Name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("no machine of this account and region, or more than one, has the address of node %s", strings.Join(unknown, ", "))
	}
	return nil
}

func instanceOf(i *ec2types.Instance) Instance {
	out := Instance{ID: aws.ToString(i.InstanceId), Addresses: []string{aws.ToString(i.PrivateIpAddress)}}
	if p := i.IamInstanceProfile; p != nil {
		arn := aws.ToString(p.Arn)
		out.Profile = arn[strings.LastIndexByte(arn, '/')+1:]
	}
	if m := i.MetadataOptions; m != nil {
		out.Endpoint, out.Tokens = m.HttpEndpoint == ec2types.InstanceMetadataEndpointStateEnabled, m.HttpTokens == ec2types.HttpTokensStateRequired
		out.HopLimit = int(aws.ToInt32(m.HttpPutResponseHopLimit))
	}
	return out
}
