// Package awsres holds the resources and functions of the stand-in aws provider, which behaves like pulumi-aws v6.83.4
// for the types that this project uses. Every call to AWS goes through the AWS SDK with its default configuration, so
// that the SDK's own environment variables (endpoint, CA bundle, credentials, proxy) decide where it goes.
package awsres

import (
	"os"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

type (
	m        = engine.Map
	call     = engine.Call[*Client]
	checker  = engine.Checker[*Client]
	diff     = engine.Difference[*Client]
	resource = engine.Resource[*Client]
	function = engine.Function[*Client]
)

// Version is the version of the plugin that this one stands for; the plugin's directory is named after it.
const Version = "6.83.4"

// Serve runs the provider under a version until the Pulumi engine ends it.
func Serve(version string) error { return engine.Serve(Package(version), os.Args[1:], os.Stdout) }

// Package returns the provider under a version.
func Package(version string) engine.Package[*Client] {
	p := engine.Package[*Client]{
		Name: "aws", Version: version, Facts: facts.AWS(),
		Resources:   map[string]*resource{},
		Functions:   map[string]function{},
		CheckConfig: checkConfig,
		ReplaceOn:   []string{"region"},
		Configure:   configure,
		TagsAll:     func(c *Client, tags m) m { return c.tagsAll(tags) },
		OwnTags:     func(c *Client, all, old m) m { return c.ownTags(all, old) },
	}
	for _, service := range []struct {
		resources map[string]*resource
		functions map[string]function
	}{
		{ec2Network, nil},
		{ec2Private, nil},
		{ec2Security, nil},
		{ec2Compute, ec2Functions},
		{iamResources, nil},
		{s3Resources, nil},
		{s3LogResources, nil},
		{cloudfrontResources, cloudfrontFunctions},
		{acmResources, nil},
		{route53Resources, route53Functions},
		{rolesAnywhereResources, nil},
		{cloudControlResources, nil},
		{ssmResources, ssmFunctions},
		{elbResources, nil},
		{cloudwatchResources, nil},
		{snsResources, nil},
		{eventResources, nil},
		{nil, accountFunctions},
	} {
		for token, r := range service.resources {
			p.Resources[token] = r
		}
		for token, f := range service.functions {
			p.Functions[token] = f
		}
	}
	return p
}
