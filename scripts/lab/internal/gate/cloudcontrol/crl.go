package cloudcontrol

import (
	_ "embed"
	"net/http"
	"net/url"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/typeschema"
)

// crlType is the type of lists of revoked certificates.
const crlType = "AWS::RolesAnywhere::CRL"

// crlSchema is its schema: pulumi/pulumi-aws-native aws-cloudformation-schema/aws-rolesanywhere-crl.json.
//
//go:embed crl.json
var crlSchema string

// crls is the handler of lists of revoked certificates: aws-rolesanywhere-crl of the same resource providers. The list is
// text in the model, PEM, and the same bytes in the API (CreateHandler.java: asString(UTF_8)).
type crls struct{ *handler }

type crl struct {
	ID      string `json:"crlId"`
	ARN     string `json:"crlArn"`
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	Data    []byte `json:"crlData"`
	Anchor  string `json:"trustAnchorArn"`
}

func (h crls) create(m typeschema.Model) (string, error) {
	if m["TrustAnchorArn"] == nil {
		return "", gate.Errorf(http.StatusBadRequest, "InvalidRequest", "TrustAnchorArn is required to import a CRL")
	}
	body := map[string]any{"name": m["Name"], "crlData": []byte(m["CrlData"].(string)), "trustAnchorArn": m["TrustAnchorArn"]}
	if v, ok := m["Enabled"]; ok {
		body["enabled"] = v
	}
	if tags := tagsOf(m); len(tags) > 0 {
		body["tags"] = tags
	}
	made, err := h.crl(http.MethodPost, "/crls", body)
	if err != nil {
		return "", err
	}
	_, err = h.tags(made.ARN)
	return made.ID, err
}

func (h crls) read(id string) (typeschema.Model, string, error) {
	v, err := h.crl(http.MethodGet, "/crl/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, "", err
	}
	tags, err := h.tags(v.ARN)
	return typeschema.Model{"CrlId": v.ID, "Name": v.Name, "Enabled": v.Enabled, "CrlData": string(v.Data), "TrustAnchorArn": v.Anchor,
		"Tags": modelTags(tags)}, v.ARN, err
}

func (h crls) update(id string, m typeschema.Model) error {
	at := "/crl/" + url.PathEscape(id)
	if _, err := h.crl(http.MethodPost, at+switched(m), nil); err != nil {
		return err
	}
	_, err := h.crl(http.MethodPatch, at, map[string]any{"name": m["Name"], "crlData": []byte(m["CrlData"].(string))})
	return err
}

func (h crls) delete(id string) error {
	_, err := h.crl(http.MethodDelete, "/crl/"+url.PathEscape(id), nil)
	return err
}

func (h crls) crl(method, target string, body any) (*crl, error) {
	var out struct{ CRL crl }
	err := h.ask(method, target, body, &out)
	return &out.CRL, err
}
