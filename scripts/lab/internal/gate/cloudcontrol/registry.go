package cloudcontrol

import (
	"encoding/xml"
	"net/http"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
)

// Registry is CloudFormation's public registry, which tells the schemas of Cloud Control's types, and nothing else of
// CloudFormation. It implements gate.Service.
type Registry struct{}

// Name is the signing name.
func (Registry) Name() string { return "cloudformation" }

// Protocol is query.
func (Registry) Protocol() gate.Protocol { return gate.ProtocolQuery }

// Requirements asks for the action on everything: public types are nobody's resource.
func (Registry) Requirements(c *gate.Call) ([]policy.Request, error) {
	if c.Action != "DescribeType" {
		return nil, gate.NotImplemented("CloudFormation action " + c.Action)
	}
	return []policy.Request{{Action: "cloudformation:DescribeType", Resource: "*"}}, nil
}

// Serve answers a type's schema.
func (Registry) Serve(w http.ResponseWriter, c *gate.Call) {
	name := c.Form.Get("TypeName")
	if c.Form.Get("Type") != "RESOURCE" || name == "" {
		gate.WriteError(w, c, gate.NotImplemented("DescribeType without Type=RESOURCE and a TypeName"))
		return
	}
	if err := checkType(name); err != nil {
		e := gate.AsError(err)
		if e.Code == "TypeNotFoundException" {
			e.Status = http.StatusNotFound
		}
		gate.WriteError(w, c, e)
		return
	}
	gate.WriteQuery(w, c, "http://cloudformation.amazonaws.com/doc/2010-05-15/", struct {
		XMLName          xml.Name `xml:"result"`
		Type             string
		TypeName         string
		Schema           string
		ProvisioningType string
		DeprecatedStatus string
		Visibility       string
	}{Type: "RESOURCE", TypeName: name, Schema: types[name].schema, ProvisioningType: "FULLY_MUTABLE", DeprecatedStatus: "LIVE", Visibility: "PUBLIC"})
}
