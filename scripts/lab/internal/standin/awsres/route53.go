package awsres

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var route53Resources = map[string]*resource{
	"aws:route53/record:Record": {
		Create: createRecord, Read: readRecord, Update: updateRecord, Delete: deleteRecord, Check: checkRecord,
		Echo: map[string]func(any) any{"name": func(v any) any {
			if s, ok := v.(string); ok {
				return recordName(s)
			}
			return v
		}},
		PreviewEcho: true,
		Same: map[string]func(old, new any) bool{"aliases.name": func(old, new any) bool {
			a, _ := old.(string)
			b, _ := new.(string)
			return strings.TrimPrefix(recordName(a), "dualstack.") == strings.TrimPrefix(recordName(b), "dualstack.")
		}},
	},
	"aws:route53/zone:Zone": {
		Create: createZone, Read: readZone, Update: updateZone, Delete: deleteZone,
		Echo: map[string]func(any) any{"name": func(v any) any {
			if s, ok := v.(string); ok {
				return strings.TrimSuffix(s, ".")
			}
			return v
		}},
		PreviewEcho: true,
	},
}

var route53Functions = map[string]function{"aws:route53/getZone:getZone": getZone}

const noSuchZone = "NoSuchHostedZone"

// recordName is the form of a record's name in the state: lower case, without the trailing period.
func recordName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

func zoneID(id string) string { return strings.TrimPrefix(id, "/hostedzone/") }

// unescape undoes the octal escapes of names that Route 53 returns: only the wildcard's occurs in practice.
func unescape(name string) string { return strings.ReplaceAll(name, `\052`, "*") }

// synced waits until a change is on all of Route 53's name servers.
func (c *Client) synced(ctx context.Context, change *types.ChangeInfo) error {
	if change == nil || change.Status == types.ChangeStatusInsync {
		return nil
	}
	id := strings.TrimPrefix(aws.ToString(change.Id), "/change/")
	return engine.Wait(ctx, 30*time.Minute, "Route 53 change "+id, func(ctx context.Context) (bool, error) {
		out, err := c.route53().GetChange(ctx, &route53.GetChangeInput{Id: &id})
		if optional(err) == nil && err != nil {
			return true, nil
		}
		return err == nil && out.ChangeInfo.Status == types.ChangeStatusInsync, err
	})
}

// --- Record

// routingPolicies exclude each other and need a set identifier; the stand-in makes simple records only.
var routingPolicies = []string{
	"cidrRoutingPolicy", "failoverRoutingPolicies", "geolocationRoutingPolicies", "geoproximityRoutingPolicy", "latencyRoutingPolicies",
	"multivalueAnswerRoutingPolicy", "weightedRoutingPolicies",
}

func checkRecord(c *checker) {
	if c.Given("records") && !c.Given("ttl") {
		c.Fail("ttl", "Missing required argument. %q: all of `records,ttl` must be specified.", "ttl")
	}
	for _, name := range append([]string{"setIdentifier"}, routingPolicies...) {
		if c.Given(name) {
			c.Fail(name, "The stand-in aws provider makes records of the simple routing policy only.")
		}
	}
}

// fqdn returns a record's full name: the zone's is appended where it is not there.
func fqdn(name, zone string) string {
	name, zone = recordName(name), recordName(zone)
	switch {
	case name == "" || name == "@":
		return zone
	case name == zone, strings.HasSuffix(name, "."+zone):
		return name
	}
	return name + "." + zone
}

func recordSet(in m, zone string) *types.ResourceRecordSet {
	kind := types.RRType(engine.Str(in, "type"))
	set := &types.ResourceRecordSet{
		Name: aws.String(fqdn(engine.Str(in, "name"), zone)), Type: kind, TTL: engine.Int64Ptr(in, "ttl"),
		HealthCheckId: engine.StrPtr(in, "healthCheckId"),
	}
	for _, v := range engine.Strs(in, "records") {
		if kind == types.RRTypeTxt || kind == types.RRTypeSpf {
			v = `"` + v + `"`
		}
		set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: aws.String(v)})
	}
	for _, a := range engine.Objs(in, "aliases") {
		set.AliasTarget = &types.AliasTarget{
			DNSName: engine.StrPtr(a, "name"), HostedZoneId: engine.StrPtr(a, "zoneId"), EvaluateTargetHealth: engine.Bool(a, "evaluateTargetHealth"),
		}
	}
	return set
}

func (c *Client) zoneName(ctx context.Context, id string) (string, error) {
	out, err := c.route53().GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &id})
	if err != nil {
		return "", fmt.Errorf("reading Route 53 Hosted Zone (%s): %w", id, err)
	}
	return aws.ToString(out.HostedZone.Name), nil
}

func (c *Client) changeRecords(ctx context.Context, zone string, changes ...types.Change) error {
	var out *route53.ChangeResourceRecordSetsOutput
	err := engine.Retry(ctx, time.Minute, func(err error) bool { return is(err, noSuchZone, "PriorRequestNotComplete") }, func(ctx context.Context) error {
		var err error
		out, err = c.route53().ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
			HostedZoneId: &zone, ChangeBatch: &types.ChangeBatch{Comment: aws.String("Managed by Terraform"), Changes: changes},
		})
		return err
	})
	if err != nil {
		return err
	}
	return c.synced(ctx, out.ChangeInfo)
}

func createRecord(ctx context.Context, c *call) (string, m, error) {
	zone := zoneID(engine.Str(c.In, "zoneId"))
	zoneName, err := c.Client.zoneName(ctx, zone)
	if err != nil {
		return "", nil, err
	}
	set := recordSet(c.In, zoneName)
	action := types.ChangeActionCreate
	if engine.Bool(c.In, "allowOverwrite") {
		action = types.ChangeActionUpsert
	}
	if err := c.Client.changeRecords(ctx, zone, types.Change{Action: action, ResourceRecordSet: set}); err != nil {
		return "", nil, fmt.Errorf("creating Route 53 Record (%s %s): %w", aws.ToString(set.Name), set.Type, err)
	}
	return fmt.Sprintf("%s_%s_%s", zone, recordName(engine.Str(c.In, "name")), set.Type), nil, nil
}

func findRecord(ctx context.Context, c *Client, zone, name string, kind types.RRType) (*types.ResourceRecordSet, error) {
	out, err := c.route53().ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{
		HostedZoneId: &zone, StartRecordName: &name, StartRecordType: kind, MaxItems: aws.Int32(100),
	})
	if is(err, noSuchZone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading Route 53 Record (%s %s): %w", name, kind, err)
	}
	for i, r := range out.ResourceRecordSets {
		if r.Type == kind && recordName(unescape(aws.ToString(r.Name))) == recordName(name) {
			return &out.ResourceRecordSets[i], nil
		}
	}
	return nil, engine.ErrGone
}

func readRecord(ctx context.Context, c *call) (m, error) {
	in := c.Old
	if engine.Str(in, "zoneId") == "" { // an import: ZONEID_NAME_TYPE
		zone, rest, ok := strings.Cut(c.ID, "_")
		i := strings.LastIndex(rest, "_")
		if !ok || i < 0 {
			return nil, fmt.Errorf("unexpected format of ID (%q), expected ZONEID_NAME_TYPE", c.ID)
		}
		in = m{"zoneId": zone, "name": rest[:i], "type": rest[i+1:]}
	}
	zone := zoneID(engine.Str(in, "zoneId"))
	zoneName, err := c.Client.zoneName(ctx, zone)
	if is(err, noSuchZone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, err
	}
	full := fqdn(engine.Str(in, "name"), zoneName)
	r, err := findRecord(ctx, c.Client, zone, full, types.RRType(engine.Str(in, "type")))
	if err != nil {
		return nil, err
	}
	state := m{"zoneId": zone, "name": recordName(engine.Str(in, "name")), "type": string(r.Type), "fqdn": full, "healthCheckId": aws.ToString(r.HealthCheckId)}
	if r.TTL != nil && r.AliasTarget == nil {
		state["ttl"] = float64(*r.TTL)
	}
	values := []any{}
	for _, v := range r.ResourceRecords {
		text := aws.ToString(v.Value)
		if r.Type == types.RRTypeTxt || r.Type == types.RRTypeSpf {
			text = strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`)
		}
		values = append(values, text)
	}
	state["records"] = values
	aliases := []any{}
	if a := r.AliasTarget; a != nil {
		aliases = append(aliases, m{
			"name": recordName(aws.ToString(a.DNSName)), "zoneId": aws.ToString(a.HostedZoneId), "evaluateTargetHealth": a.EvaluateTargetHealth,
		})
	}
	state["aliases"] = aliases
	return state, nil
}

func updateRecord(ctx context.Context, c *call) (m, error) {
	zone := zoneID(engine.Str(c.In, "zoneId"))
	zoneName, err := c.Client.zoneName(ctx, zone)
	if err != nil {
		return nil, err
	}
	set := recordSet(c.In, zoneName)
	changes := []types.Change{{Action: types.ChangeActionUpsert, ResourceRecordSet: set}}
	if c.Changed["type"] { // a record of another type is another record
		old, err := findRecord(ctx, c.Client, zone, aws.ToString(set.Name), types.RRType(engine.Str(c.Old, "type")))
		if err != nil && !errors.Is(err, engine.ErrGone) {
			return nil, err
		}
		changes[0].Action = types.ChangeActionCreate
		if old != nil {
			changes = append([]types.Change{{Action: types.ChangeActionDelete, ResourceRecordSet: old}}, changes...)
		}
	}
	if err := c.Client.changeRecords(ctx, zone, changes...); err != nil {
		return nil, fmt.Errorf("updating Route 53 Record (%s): %w", c.ID, err)
	}
	return nil, nil
}

func deleteRecord(ctx context.Context, c *call) error {
	zone := zoneID(engine.Str(c.Old, "zoneId"))
	zoneName, err := c.Client.zoneName(ctx, zone)
	if is(err, noSuchZone) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := findRecord(ctx, c.Client, zone, fqdn(engine.Str(c.Old, "name"), zoneName), types.RRType(engine.Str(c.Old, "type")))
	if errors.Is(err, engine.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	err = c.Client.changeRecords(ctx, zone, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: old})
	if says(err, "InvalidChangeBatch", "not found") || is(err, noSuchZone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting Route 53 Record (%s): %w", c.ID, err)
	}
	return nil
}

// --- Zone

func zoneTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func (c *Client) tagZone(ctx context.Context, id string, set map[string]string, remove []string) error {
	if len(set) == 0 && len(remove) == 0 {
		return nil
	}
	if _, err := c.route53().ChangeTagsForResource(ctx, &route53.ChangeTagsForResourceInput{
		ResourceId: &id, ResourceType: types.TagResourceTypeHostedzone, AddTags: zoneTags(set), RemoveTagKeys: remove,
	}); err != nil {
		return fmt.Errorf("tagging Route 53 Hosted Zone (%s): %w", id, err)
	}
	return nil
}

func createZone(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	vpcs := engine.Objs(c.In, "vpcs")
	in := &route53.CreateHostedZoneInput{
		Name: &name, CallerReference: aws.String(engine.UniqueSuffix()), DelegationSetId: engine.StrPtr(c.In, "delegationSetId"),
		HostedZoneConfig: &types.HostedZoneConfig{Comment: engine.StrPtr(c.In, "comment"), PrivateZone: len(vpcs) > 0},
	}
	if len(vpcs) > 0 {
		in.VPC = c.Client.zoneVPC(vpcs[0])
	}
	out, err := c.Client.route53().CreateHostedZone(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("creating Route 53 Hosted Zone (%s): %w", name, err)
	}
	id := zoneID(aws.ToString(out.HostedZone.Id))
	if err := c.Client.synced(ctx, out.ChangeInfo); err != nil {
		return id, nil, err
	}
	for i, v := range vpcs {
		if i == 0 {
			continue
		}
		if _, err := c.Client.route53().AssociateVPCWithHostedZone(ctx, &route53.AssociateVPCWithHostedZoneInput{HostedZoneId: &id, VPC: c.Client.zoneVPC(v)}); err != nil {
			return id, nil, fmt.Errorf("associating Route 53 Hosted Zone (%s) with a VPC: %w", id, err)
		}
	}
	return id, nil, c.Client.tagZone(ctx, id, c.Tags(), nil)
}

func (c *Client) zoneVPC(v m) *types.VPC {
	region := engine.Str(v, "vpcRegion")
	if region == "" {
		region = c.Region
	}
	return &types.VPC{VPCId: engine.StrPtr(v, "vpcId"), VPCRegion: types.VPCRegion(region)}
}

func readZone(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.route53().GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &c.ID})
	if is(err, noSuchZone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading Route 53 Hosted Zone (%s): %w", c.ID, err)
	}
	state := m{
		"arn": fmt.Sprintf("arn:%s:route53:::hostedzone/%s", c.Client.Partition, c.ID), "zoneId": c.ID,
		"name": strings.TrimSuffix(aws.ToString(out.HostedZone.Name), "."), "comment": "", "delegationSetId": "", "nameServers": []any{},
		"primaryNameServer": "",
	}
	if cfg := out.HostedZone.Config; cfg != nil {
		state["comment"] = aws.ToString(cfg.Comment)
	}
	if d := out.DelegationSet; d != nil {
		servers := []string{}
		for _, s := range d.NameServers {
			servers = append(servers, strings.TrimSuffix(s, "."))
		}
		if len(servers) > 0 {
			state["primaryNameServer"] = servers[0]
		}
		state["nameServers"] = engine.SortedList(servers)
		if id := strings.TrimPrefix(aws.ToString(d.Id), "/delegationset/"); id != "" {
			state["delegationSetId"] = id
		}
	}
	vpcs := []any{}
	for _, v := range out.VPCs {
		vpcs = append(vpcs, m{"vpcId": aws.ToString(v.VPCId), "vpcRegion": string(v.VPCRegion)})
	}
	state["vpcs"] = vpcs
	state["tags"], err = c.Client.readZoneTags(ctx, c.ID)
	return state, err
}

func (c *Client) readZoneTags(ctx context.Context, id string) (m, error) {
	out, err := c.route53().ListTagsForResource(ctx, &route53.ListTagsForResourceInput{ResourceId: &id, ResourceType: types.TagResourceTypeHostedzone})
	if err != nil {
		return m{}, optional(err)
	}
	tags := m{}
	if out.ResourceTagSet != nil {
		for _, t := range out.ResourceTagSet.Tags {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return tags, nil
}

func updateZone(ctx context.Context, c *call) (m, error) {
	if c.Changed["comment"] {
		if _, err := c.Client.route53().UpdateHostedZoneComment(ctx, &route53.UpdateHostedZoneCommentInput{
			Id: &c.ID, Comment: aws.String(engine.Str(c.In, "comment")),
		}); err != nil {
			return nil, fmt.Errorf("updating Route 53 Hosted Zone (%s) comment: %w", c.ID, err)
		}
	}
	if c.Changed["vpcs"] {
		was, now := map[string]m{}, map[string]m{}
		for _, v := range engine.Objs(c.Old, "vpcs") {
			was[engine.Str(v, "vpcId")] = v
		}
		for _, v := range engine.Objs(c.In, "vpcs") {
			now[engine.Str(v, "vpcId")] = v
			if _, had := was[engine.Str(v, "vpcId")]; had {
				continue
			}
			if _, err := c.Client.route53().AssociateVPCWithHostedZone(ctx, &route53.AssociateVPCWithHostedZoneInput{HostedZoneId: &c.ID, VPC: c.Client.zoneVPC(v)}); err != nil {
				return nil, fmt.Errorf("associating Route 53 Hosted Zone (%s) with a VPC: %w", c.ID, err)
			}
		}
		for id, v := range was {
			if _, has := now[id]; has {
				continue
			}
			if _, err := c.Client.route53().DisassociateVPCFromHostedZone(ctx, &route53.DisassociateVPCFromHostedZoneInput{HostedZoneId: &c.ID, VPC: c.Client.zoneVPC(v)}); err != nil {
				return nil, fmt.Errorf("disassociating Route 53 Hosted Zone (%s) from a VPC: %w", c.ID, err)
			}
		}
	}
	set, remove := c.TagChanges()
	return nil, c.Client.tagZone(ctx, c.ID, set, remove)
}

func deleteZone(ctx context.Context, c *call) error {
	if engine.Bool(c.Old, "forceDestroy") {
		if err := emptyZone(ctx, c); err != nil {
			return err
		}
	}
	out, err := c.Client.route53().DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &c.ID})
	if is(err, noSuchZone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting Route 53 Hosted Zone (%s): %w", c.ID, err)
	}
	return absent(c.Client.synced(ctx, out.ChangeInfo), "NoSuchChange")
}

// emptyZone deletes every record of a zone but the two that AWS made with it.
func emptyZone(ctx context.Context, c *call) error {
	name, err := c.Client.zoneName(ctx, c.ID)
	if err != nil {
		return absent(err, noSuchZone)
	}
	pages := route53.NewListResourceRecordSetsPaginator(c.Client.route53(), &route53.ListResourceRecordSetsInput{HostedZoneId: &c.ID})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("emptying Route 53 Hosted Zone (%s): %w", c.ID, err)
		}
		var changes []types.Change
		for i, r := range page.ResourceRecordSets {
			if recordName(aws.ToString(r.Name)) == recordName(name) && (r.Type == types.RRTypeNs || r.Type == types.RRTypeSoa) {
				continue
			}
			changes = append(changes, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: &page.ResourceRecordSets[i]})
		}
		if len(changes) > 0 {
			if err := c.Client.changeRecords(ctx, c.ID, changes...); err != nil {
				return fmt.Errorf("emptying Route 53 Hosted Zone (%s): %w", c.ID, err)
			}
		}
	}
	return nil
}

// getZone finds one hosted zone by its id or name.
func getZone(ctx context.Context, c *call) (m, error) {
	id, name := zoneID(engine.Str(c.In, "zoneId")), recordName(engine.Str(c.In, "name"))
	if (id == "") == (name == "") {
		return nil, errors.New("exactly one of zoneId and name is needed")
	}
	vpc := engine.Str(c.In, "vpcId")
	private := engine.Bool(c.In, "privateZone") || vpc != ""
	if id == "" {
		var matches []string
		pages := route53.NewListHostedZonesPaginator(c.Client.route53(), &route53.ListHostedZonesInput{})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("listing Route 53 Hosted Zones: %w", err)
			}
			for _, z := range page.HostedZones {
				isPrivate := z.Config != nil && z.Config.PrivateZone
				if recordName(aws.ToString(z.Name)) == name && isPrivate == private {
					matches = append(matches, zoneID(aws.ToString(z.Id)))
				}
			}
		}
		matches, err := c.Client.narrowZones(ctx, matches, vpc, engine.StrMap(c.In, "tags"))
		switch {
		case err != nil:
			return nil, err
		case len(matches) == 0:
			return nil, fmt.Errorf("no matching Route 53 Hosted Zone found for %s", name)
		case len(matches) > 1:
			sort.Strings(matches)
			return nil, fmt.Errorf("multiple Route 53 Hosted Zones matched %s: %s", name, strings.Join(matches, ", "))
		}
		id = matches[0]
	}
	out, err := c.Client.route53().GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &id})
	if err != nil {
		return nil, fmt.Errorf("reading Route 53 Hosted Zone (%s): %w", id, err)
	}
	z := out.HostedZone
	state := m{
		"id": id, "zoneId": id, "arn": fmt.Sprintf("arn:%s:route53:::hostedzone/%s", c.Client.Partition, id), "name": strings.TrimSuffix(aws.ToString(z.Name), "."),
		"callerReference": aws.ToString(z.CallerReference), "comment": "", "linkedServiceDescription": "", "linkedServicePrincipal": "",
		"privateZone": z.Config != nil && z.Config.PrivateZone, "resourceRecordSetCount": float64(aws.ToInt64(z.ResourceRecordSetCount)),
		"nameServers": []any{}, "primaryNameServer": "", "vpcId": vpc,
	}
	if z.Config != nil {
		state["comment"] = aws.ToString(z.Config.Comment)
	}
	if l := z.LinkedService; l != nil {
		state["linkedServiceDescription"], state["linkedServicePrincipal"] = aws.ToString(l.Description), aws.ToString(l.ServicePrincipal)
	}
	if d := out.DelegationSet; d != nil && len(d.NameServers) > 0 {
		state["nameServers"] = engine.List(d.NameServers)
		state["primaryNameServer"] = d.NameServers[0]
	}
	state["tags"], err = c.Client.readZoneTags(ctx, id)
	return state, err
}

// narrowZones keeps the zones that belong to a VPC and carry the tags.
func (c *Client) narrowZones(ctx context.Context, ids []string, vpc string, tags map[string]string) ([]string, error) {
	var kept []string
	for _, id := range ids {
		if vpc != "" {
			out, err := c.route53().GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: aws.String(id)})
			if err != nil {
				return nil, fmt.Errorf("reading Route 53 Hosted Zone (%s): %w", id, err)
			}
			found := false
			for _, v := range out.VPCs {
				found = found || aws.ToString(v.VPCId) == vpc
			}
			if !found {
				continue
			}
		}
		if len(tags) > 0 {
			have, err := c.readZoneTags(ctx, id)
			if err != nil {
				return nil, err
			}
			match := true
			for k, v := range tags {
				match = match && have[k] == v
			}
			if !match {
				continue
			}
		}
		kept = append(kept, id)
	}
	return kept, nil
}
