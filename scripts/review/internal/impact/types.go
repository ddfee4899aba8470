package impact

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// opinion is what the review thinks of a type. Properties that are in neither list are not understood, and said to be so.
type opinion struct {
	// judged are the properties that a function of this package looks at; quiet are those that give nobody anything.
	judged, quiet string
	// fresh are those that give nobody anything in what is new.
	fresh string
	// made and gone tell whether creation and deletion are judged, or give nobody anything.
	made, gone bool
	// policy is the property with a policy of the resource.
	policy string
}

const everything = "*"

// opinions has every type that the program registers (a test holds it to that), and those beside it that carry identity. What
// is not here is listed as not understood.
var opinions = map[string]opinion{
	// Components have no properties; their children are judged.
	"pulumi:pulumi:Stack": {quiet: everything, made: true, gone: true},

	"aws:iam/role:Role": {judged: "assumeRolePolicy inlinePolicies managedPolicyArns maxSessionDuration name namePrefix path permissionsBoundary",
		quiet: "description forceDetachPolicies", made: true, gone: true},
	"aws:iam/rolePolicy:RolePolicy":                       {judged: "policy role", quiet: "name namePrefix", made: true, gone: true},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment":   {judged: "policyArn role", made: true, gone: true},
	"aws:iam/userPolicy:UserPolicy":                       {judged: "policy user", quiet: "name namePrefix", made: true, gone: true},
	"aws:iam/userPolicyAttachment:UserPolicyAttachment":   {judged: "policyArn user", made: true, gone: true},
	"aws:iam/groupPolicy:GroupPolicy":                     {judged: "policy group", quiet: "name namePrefix", made: true, gone: true},
	"aws:iam/groupPolicyAttachment:GroupPolicyAttachment": {judged: "policyArn group", made: true, gone: true},
	"aws:iam/policyAttachment:PolicyAttachment":           {judged: "policyArn roles users groups", quiet: "name", made: true, gone: true},
	"aws:iam/policy:Policy":                               {judged: "policy", quiet: "description name namePrefix path", made: true, gone: true},
	"aws:iam/user:User":                                   {judged: "permissionsBoundary", quiet: "forceDestroy name", made: true, gone: true},
	"aws:iam/group:Group":                                 {quiet: "name", made: true, gone: true},
	"aws:iam/instanceProfile:InstanceProfile":             {judged: "role name path", quiet: "namePrefix", made: true, gone: true},
	"aws:iam/openIdConnectProvider:OpenIdConnectProvider": {judged: "url clientIdLists thumbprintLists", made: true, gone: true},

	// They take away what the list does not have, denials made by hand among it; the second attaches what it has, too.
	"aws:iam/rolePoliciesExclusive:RolePoliciesExclusive":                   {quiet: "roleName"},
	"aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive": {judged: "policyArns", quiet: "roleName"},

	"aws:rolesanywhere/trustAnchor:TrustAnchor": {judged: "enabled source", quiet: "name notificationSettings", made: true, gone: true},
	"aws:rolesanywhere/profile:Profile":         {judged: "enabled sessionPolicy managedPolicyArns roleArns durationSeconds requireInstanceProperties acceptRoleSessionName", quiet: "name", made: true, gone: true},

	typeCRL: {judged: "enabled crlData trustAnchorArn", quiet: "name", made: true, gone: true},

	// Of what type it is decides; see typed.
	typeCloudControl: {},

	"aws:ec2/instance:Instance": {judged: "ami iamInstanceProfile metadataOptions userData userDataBase64 vpcSecurityGroupIds securityGroups keyName associatePublicIpAddress sourceDestCheck launchTemplate subnetId rootBlockDevice ebsBlockDevices",
		quiet: "creditSpecification getPasswordData instanceType userDataReplaceOnChange monitoring ebsOptimized disableApiTermination availabilityZone privateIp volumeTags cpuOptions maintenanceOptions hibernation tenancy", made: true, gone: true},
	"aws:ec2/launchTemplate:LaunchTemplate": {judged: "imageId iamInstanceProfile metadataOptions userData vpcSecurityGroupIds securityGroupNames networkInterfaces keyName blockDeviceMappings",
		quiet: "instanceType tagSpecifications description name namePrefix creditSpecification monitoring ebsOptimized", made: true, gone: true},
	"aws:ec2/eip:Eip":                                                                            {judged: "instance networkInterface", quiet: "domain address publicIpv4Pool", made: true, gone: true},
	"aws:ec2/eipAssociation:EipAssociation":                                                      {judged: "instanceId allocationId", quiet: "allowReassociation", made: true, gone: true},
	"aws:ec2/vpc:Vpc":                                                                            {quiet: everything, made: true, gone: true},
	"aws:ec2/subnet:Subnet":                                                                      {judged: "mapPublicIpOnLaunch assignIpv6AddressOnCreation", quiet: "availabilityZone availabilityZoneId cidrBlock ipv6CidrBlock ipv6Native enableDns64 vpcId enableResourceNameDnsARecordOnLaunch enableResourceNameDnsAaaaRecordOnLaunch privateDnsHostnameTypeOnLaunch", made: true, gone: true},
	"aws:ec2/internetGateway:InternetGateway":                                                    {quiet: everything, made: true, gone: true},
	"aws:ec2/natGateway:NatGateway":                                                              {quiet: everything, made: true, gone: true},
	"aws:ec2/routeTable:RouteTable":                                                              {quiet: "vpcId", made: true, gone: true},
	"aws:ec2/routeTableAssociation:RouteTableAssociation":                                        {judged: "routeTableId gatewayId", quiet: "subnetId", made: true, gone: true},
	"aws:ec2/route:Route":                                                                        {judged: "gatewayId natGatewayId destinationCidrBlock destinationIpv6CidrBlock destinationPrefixListId carrierGatewayId coreNetworkArn egressOnlyGatewayId localGatewayId networkInterfaceId transitGatewayId vpcEndpointId vpcPeeringConnectionId", quiet: "routeTableId", made: true, gone: true},
	"aws:ec2/vpcEndpoint:VpcEndpoint":                                                            {quiet: "vpcId serviceName vpcEndpointType subnetIds securityGroupIds routeTableIds privateDnsEnabled autoAccept", made: true, gone: true, policy: "policy"},
	"aws:ec2/securityGroup:SecurityGroup":                                                        {judged: "ingress", quiet: "description name namePrefix revokeRulesOnDelete vpcId egress", made: true, gone: true},
	"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup":                                          {judged: "ingress", quiet: "vpcId egress revokeRulesOnDelete", made: true, gone: true},
	"aws:ec2/securityGroupRule:SecurityGroupRule":                                                {judged: "type cidrBlocks ipv6CidrBlocks prefixListIds sourceSecurityGroupId self fromPort toPort protocol securityGroupId", quiet: "description", made: true, gone: true},
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":                                  {judged: "cidrIpv4 cidrIpv6 prefixListId referencedSecurityGroupId fromPort toPort ipProtocol securityGroupId", quiet: "description", made: true, gone: true},
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule":                                    {quiet: everything, made: true, gone: true},
	"aws:lb/loadBalancer:LoadBalancer":                                                           {judged: "internal", quiet: "name namePrefix loadBalancerType subnets subnetMappings enableCrossZoneLoadBalancing enableDeletionProtection idleTimeout ipAddressType accessLogs", made: true, gone: true},
	"aws:lb/targetGroup:TargetGroup":                                                             {quiet: everything, made: true, gone: true},
	"aws:lb/targetGroupAttachment:TargetGroupAttachment":                                         {judged: "targetId", quiet: "port availabilityZone targetGroupArn", made: true, gone: true},
	"aws:lb/listener:Listener":                                                                   {fresh: "defaultActions", quiet: "loadBalancerArn port protocol", made: true, gone: true},
	"aws:acm/certificate:Certificate":                                                            {judged: "domainName subjectAlternativeNames privateKey certificateBody certificateChain", quiet: "validationMethod options keyAlgorithm earlyRenewalDuration validationOptions", made: true, gone: true},
	"aws:acm/certificateValidation:CertificateValidation":                                        {quiet: everything, made: true, gone: true},
	"aws:route53/record:Record":                                                                  {judged: "name type zoneId records aliases setIdentifier weightedRoutingPolicies failoverRoutingPolicies geolocationRoutingPolicies latencyRoutingPolicies multivalueAnswerRoutingPolicy cidrRoutingPolicy geoproximityRoutingPolicy", quiet: "ttl allowOverwrite healthCheckId", made: true, gone: true},
	"aws:cloudfront/distribution:Distribution":                                                   {judged: "aliases defaultCacheBehavior orderedCacheBehaviors enabled origins originGroups viewerCertificate restrictions webAclId customErrorResponses", quiet: "comment priceClass httpVersion isIpv6Enabled waitForDeployment loggingConfig defaultRootObject retainOnDelete", made: true, gone: true},
	"aws:cloudfront/originAccessControl:OriginAccessControl":                                     {judged: "originAccessControlOriginType signingBehavior signingProtocol", quiet: "description name", made: true, gone: true},
	"aws:cloudfront/cachePolicy:CachePolicy":                                                     {fresh: "minTtl defaultTtl maxTtl parametersInCacheKeyAndForwardedToOrigin", quiet: "comment name", made: true, gone: true},
	"aws:s3/bucketV2:BucketV2":                                                                   {judged: "acl policy grants forceDestroy", quiet: "bucket bucketPrefix", made: true, gone: true, policy: "policy"},
	"aws:s3/bucket:Bucket":                                                                       {judged: "acl policy grants forceDestroy", quiet: "bucket bucketPrefix", made: true, gone: true, policy: "policy"},
	"aws:s3/bucketAclV2:BucketAclV2":                                                             {judged: "acl accessControlPolicy", quiet: "bucket expectedBucketOwner", made: true, gone: true},
	"aws:s3/bucketPolicy:BucketPolicy":                                                           {judged: "policy", quiet: "bucket", made: true, gone: true, policy: "policy"},
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock":                                     {judged: "blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets", quiet: "bucket skipDestroy", made: true, gone: true},
	"aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock":                                   {judged: "blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets accountId", made: true, gone: true},
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls":                                     {judged: "rule", quiet: "bucket", made: true, gone: true},
	"aws:s3/bucketObjectv2:BucketObjectv2":                                                       {judged: "acl bucket key content contentBase64 source sourceHash cacheControl contentType contentEncoding websiteRedirect storageClass serverSideEncryption kmsKeyId", quiet: "forceDestroy etag metadata", made: true, gone: true},
	"aws:s3/bucketObject:BucketObject":                                                           {judged: "acl bucket key content contentBase64 source sourceHash cacheControl contentType contentEncoding websiteRedirect storageClass serverSideEncryption kmsKeyId", quiet: "forceDestroy etag metadata", made: true, gone: true},
	"aws:s3/bucketVersioningV2:BucketVersioningV2":                                               {fresh: "versioningConfiguration", quiet: "bucket mfa", made: true, gone: false},
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2":                       {fresh: "rules", quiet: "bucket", made: true, gone: true},
	"aws:s3/bucketLoggingV2:BucketLoggingV2":                                                     {fresh: "targetBucket", quiet: "bucket targetPrefix", made: true, gone: false},
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": {fresh: "rules", quiet: "bucket", made: true, gone: true},
	"aws:sns/topic:Topic":                                                                        {quiet: "name namePrefix displayName kmsMasterKeyId", made: true, gone: false, policy: "policy"},
	"aws:sns/topicPolicy:TopicPolicy":                                                            {quiet: "arn", made: true, gone: true, policy: "policy"},
	"aws:sns/topicSubscription:TopicSubscription":                                                {quiet: "topic", made: true},
	"aws:cloudwatch/eventRule:EventRule":                                                         {fresh: "eventPattern scheduleExpression state", quiet: "name namePrefix description", made: true},
	"aws:cloudwatch/eventTarget:EventTarget":                                                     {fresh: "arn", quiet: "rule targetId inputTransformer", made: true},
	"aws:cloudwatch/metricAlarm:MetricAlarm":                                                     {fresh: "namespace metricName dimensions statistic extendedStatistic comparisonOperator threshold period datapointsToAlarm evaluationPeriods treatMissingData alarmActions okActions insufficientDataActions", quiet: "name alarmDescription", made: true},
	"aws:ssm/parameter:Parameter":                                                                {judged: "type value insecureValue name", quiet: "description tier overwrite dataType allowedPattern", made: true, gone: true},

	// Beside the program's own: policies of resources.
	"aws:kms/key:Key":                                    {quiet: "description deletionWindowInDays enableKeyRotation", made: true, gone: true, policy: "policy"},
	"aws:kms/keyPolicy:KeyPolicy":                        {quiet: "keyId", made: true, policy: "policy"},
	"aws:sqs/queue:Queue":                                {quiet: "name namePrefix delaySeconds messageRetentionSeconds visibilityTimeoutSeconds", made: true, gone: true, policy: "policy"},
	"aws:sqs/queuePolicy:QueuePolicy":                    {quiet: "queueUrl", made: true, gone: true, policy: "policy"},
	"aws:secretsmanager/secretPolicy:SecretPolicy":       {quiet: "secretArn blockPublicPolicy", made: true, gone: true, policy: "policy"},
	"aws:secretsmanager/secret:Secret":                   {quiet: "name namePrefix description recoveryWindowInDays", made: true, gone: true, policy: "policy"},
	"aws:ecr/repositoryPolicy:RepositoryPolicy":          {quiet: "repository", made: true, gone: true, policy: "policy"},
	"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy":        {quiet: "vpcEndpointId", made: true, policy: "policy"},
	"aws:s3/accessPoint:AccessPoint":                     {quiet: "bucket name", gone: true, policy: "policy"},
	"aws:s3control/accessPointPolicy:AccessPointPolicy":  {quiet: "accessPointArn", made: true, gone: true, policy: "policy"},
	"aws:cloudwatch/eventBusPolicy:EventBusPolicy":       {quiet: "eventBusName", made: true, gone: true, policy: "policy"},
	"aws:cloudwatch/logResourcePolicy:LogResourcePolicy": {quiet: "policyName", made: true, gone: true, policy: "policyDocument"},
	"aws:efs/fileSystemPolicy:FileSystemPolicy":          {quiet: "fileSystemId", made: true, policy: "policy"},
	"aws:backup/vaultPolicy:VaultPolicy":                 {quiet: "backupVaultName", made: true, policy: "policy"},
	"aws:dynamodb/resourcePolicy:ResourcePolicy":         {quiet: "resourceArn", made: true, gone: true, policy: "policy"},

	"tls:index/privateKey:PrivateKey":               {judged: "algorithm ecdsaCurve rsaBits", made: true, gone: true},
	"tls:index/certRequest:CertRequest":             {fresh: "subject dnsNames ipAddresses uris", judged: "privateKeyPem", made: true, gone: true},
	"tls:index/selfSignedCert:SelfSignedCert":       {judged: "isCaCertificate allowedUses privateKeyPem subject validityPeriodHours dnsNames ipAddresses uris", quiet: "earlyRenewalHours setSubjectKeyId setAuthorityKeyId", made: true, gone: true},
	"tls:index/locallySignedCert:LocallySignedCert": {judged: "isCaCertificate allowedUses certRequestPem caPrivateKeyPem caCertPem validityPeriodHours", quiet: "earlyRenewalHours setSubjectKeyId", made: true, gone: true},

	"pulumi:providers:kubernetes": {quiet: "kubeconfig clusterIdentifier version __internal enableServerSideApply", made: true, gone: true},
	"pulumi:providers:aws":        {quiet: "version __internal defaultTags skipCredentialsValidation skipMetadataApiCheck skipRegionValidation", made: true, gone: true},
	"pulumi:providers:tls":        {quiet: everything, made: true, gone: true},
	"pulumi:providers:random":     {quiet: everything, made: true, gone: true},
}

// opinionOf returns the opinion of a type. Kubernetes' types are told apart by their kind, whatever their version.
func opinionOf(t string) (opinion, bool) {
	if o, ok := opinions[t]; ok {
		return o, true
	}
	if kind, ok := kubernetesKind(t); ok {
		o, known := kubernetesOpinions[kind]
		return o, known
	}
	return opinion{}, false
}

// HasOpinion tells whether the review knows what a type of resource can give to whom. Components are known by their children.
func HasOpinion(t string, custom bool) bool {
	_, ok := opinionOf(t)
	return ok || !custom
}

// changedProperties are the roots of the properties that differ, without what follows from others.
func changedProperties(c *preview.Change) []string {
	seen := map[string]bool{}
	if c.Before != nil && c.After != nil {
		for _, m := range []map[string]any{c.Before.Inputs, c.After.Inputs} {
			for k := range m {
				if !sameValue(c.Before.Inputs[k], c.After.Inputs[k]) {
					seen[k] = true
				}
			}
		}
		// Both are masked, and the engine says that they differ.
		for _, p := range c.Properties {
			root, _, _ := strings.Cut(p, ".")
			root, _, _ = strings.Cut(root, "[")
			if c.Op != preview.Same && holdsSecret(c.After.Inputs[root]) {
				seen[root] = true
			}
		}
	}
	for _, k := range []string{"tags", "tagsAll", "__defaults", "__internal"} {
		delete(seen, k)
	}
	return sortedKeys(seen)
}

func holdsSecret(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, preview.Secret)
	case map[string]any:
		for _, x := range v {
			if holdsSecret(x) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsSecret)
	}
	return false
}

// sameValue compares without the bookkeeping of defaults.
func sameValue(a, b any) bool { return reflect.DeepEqual(plainValue(a), plainValue(b)) }

func plainValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k != "__defaults" {
				out[k] = plainValue(x)
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		if len(v) == 0 {
			return nil
		}
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = plainValue(x)
		}
		return out
	}
	return v
}

// notUnderstood lists every change that nothing here has an opinion on: as a warning, never as nothing.
func (w *world) notUnderstood() []Sign {
	var signs []Sign
	const safe = "look at it in the preview itself"
	for _, c := range w.p.Changes {
		now := c.Now()
		if c.Op == preview.Same && c.Before == c.After || !now.Custom && !strings.HasPrefix(now.Type, "kubernetes:") || c.Op == preview.Import {
			continue
		}
		if was, is := providerOf(c.Before), providerOf(c.After); was != is && was != "" && is != "" && !w.initial {
			signs = append(signs, sign(Warning, "provider-changed", fmt.Sprintf("%s is made by another provider, %s in place of %s", now.Type, is, was),
				"that may be another account, region or cluster", safe, c))
		}
		o, known := opinionOf(now.Type)
		if !known || now.Type == typeCloudControl {
			if c.Op != preview.Same {
				kind, _ := now.Text("typeName")
				signs = append(signs, sign(Warning, "not-understood", fmt.Sprintf("%s is to %s, a type that this review does not know", strings.TrimSpace(now.Type+" "+kind), c.Op),
					"it may give somebody something", safe, c))
			}
			continue
		}
		switch {
		case c.Op == preview.Create && strings.HasPrefix(now.Type, "kubernetes:") && strings.HasSuffix(now.Type, "Patch"):
			signs = append(signs, sign(Warning, "not-understood", now.Type+" is new", "it changes an object that is not in this preview", safe, c))
		case c.Op == preview.Create && !o.made && !w.initial:
			signs = append(signs, sign(Warning, "not-understood", now.Type+" is new", "whom it gives what is not known here", safe, c))
		case c.Op == preview.Create && !w.initial && !w.newParent(now) && !strings.HasPrefix(now.Type, "pulumi:"):
			if odd := o.oddities(now); len(odd) > 0 {
				signs = append(signs, sign(Warning, "not-understood", fmt.Sprintf("%s is new, with %s", now.Type, strings.Join(odd, ", ")), "whom that gives what is not known here", safe, c))
			}
		case c.Op == preview.Delete && !o.gone:
			signs = append(signs, sign(Warning, "not-understood", now.Type+" goes", "what it kept from happening is not known here", safe, c))
		case c.Before == nil || c.After == nil:
		default:
			var odd []string
			for _, p := range changedProperties(c) {
				if o.quiet != everything && p != o.policy && !has(o.quiet, p) && !has(o.judged, p) {
					odd = append(odd, p)
				}
			}
			if len(odd) > 0 {
				signs = append(signs, sign(Warning, "not-understood", fmt.Sprintf("%s changes %s", now.Type, strings.Join(odd, ", ")),
					"whom that gives what is not known here", safe, c))
			}
		}
	}
	return signs
}

// unsaid are warnings of what is judged elsewhere and cannot be seen any more, since it is known only after the update or masked,
// where none of the signs is about its resource.
func (w *world) unsaid(said []Sign) []Sign {
	var signs []Sign
	told := map[string]bool{}
	for _, s := range said {
		for _, name := range s.Resources {
			told[name] = true
		}
	}
	for _, c := range w.p.Changes {
		o, known := opinionOf(c.Now().Type)
		if !known || told[c.Now().Name()] || c.Before == nil || c.After == nil || c.Op == preview.Import || c.Before == c.After {
			continue
		}
		var gone []string
		for _, p := range changedProperties(c) {
			follows := (strings.HasPrefix(c.Now().Type, "tls:") || isObject(c.Now().Type) || p == o.policy) && w.madeHere(c.After, p) // judged by what it is made of
			if (has(o.judged, p) || p == o.policy) && !follows && conceals(c.Before.Inputs[p], c.After.Inputs[p]) {
				gone = append(gone, p)
			}
		}
		if len(gone) > 0 {
			signs = append(signs, sign(Warning, "unclear", fmt.Sprintf("%s of %s cannot be seen in the preview", strings.Join(gone, ", "), c.Now().Name()),
				"it is known only after the update, or secret, and decides who may do what", "make what it is computed from exist first", c))
		}
	}
	return signs
}

// madeHere tells whether a property is computed from something that is made in the same change.
func (w *world) madeHere(r *preview.Resource, property string) bool {
	return slices.ContainsFunc(r.PropertyDependencies[property], func(urn string) bool {
		c := w.byURN[urn]
		return c != nil && (c.Op == preview.Create || c.Op == preview.Replace)
	})
}

// conceals tells whether a value has something unknown or secret where an earlier one had something else.
func conceals(before, after any) bool {
	switch v := after.(type) {
	case string:
		return before != after && (strings.Contains(v, preview.Unknown) || strings.Contains(v, preview.Secret) && !strings.Contains(textOf(before), preview.Secret))
	case map[string]any:
		b, _ := before.(map[string]any)
		for k, x := range v {
			if conceals(b[k], x) {
				return true
			}
		}
	case []any:
		b, _ := before.([]any)
		for i, x := range v {
			var old any
			if i < len(b) {
				old = b[i]
			}
			if conceals(old, x) {
				return true
			}
		}
	}
	return false
}

// oddities are the properties of something new that nothing here has an opinion on; the provider's defaults are none.
func (o opinion) oddities(r *preview.Resource) []string {
	defaults := append(list(r.Inputs["__defaults"]), "tags", "tagsAll", "__defaults", "__internal", o.policy)
	var odd []string
	for _, p := range sortedKeys(r.Inputs) {
		if plainValue(r.Inputs[p]) != nil && o.quiet != everything && !has(o.quiet, p) && !has(o.judged, p) && !has(o.fresh, p) && !slices.Contains(defaults, p) {
			odd = append(odd, p)
		}
	}
	return odd
}

// providerOf names the provider that makes a resource, the default one whatever its version; empty where nothing is said.
func providerOf(r *preview.Resource) string {
	if r == nil {
		return ""
	}
	parts := strings.Split(r.Provider, "::")
	switch {
	case len(parts) < 4:
		return ""
	case strings.HasPrefix(parts[3], "default"):
		return "the default one"
	}
	return parts[3]
}

func has(words, word string) bool { return slices.Contains(strings.Fields(words), word) }

// changed tells whether a property differs between the two states of a resource that stays.
func changed(c *preview.Change, property string) bool {
	return c.Before != nil && c.After != nil && !sameValue(c.Before.Value(property), c.After.Value(property))
}

// differs tells whether any of some properties differs, and which.
func differs(c *preview.Change, properties ...string) []string {
	var out []string
	for _, p := range properties {
		if changed(c, p) {
			out = append(out, p)
		}
	}
	return out
}

func unknown(v any) bool {
	s, ok := v.(string)
	return ok && strings.Contains(s, preview.Unknown)
}

// KnowsConstructor tells whether there is an opinion on what a constructor of an SDK's package makes, such as ec2 and Instance.
func KnowsConstructor(pkg, name string) bool {
	if strings.Contains(pkg, "v1") {
		_, known := kubernetesOpinions[name]
		return known
	}
	for t := range opinions {
		module, kind := t[strings.Index(t, ":")+1:], t[strings.LastIndex(t, ":")+1:]
		if kind == name && (strings.HasPrefix(module, pkg+"/") || pkg == "tls" && strings.HasPrefix(t, "tls:")) {
			return true
		}
	}
	return false
}
