package cloudcontrol

import (
	_ "embed"
	"net/http"
	"net/url"

	"k3s-aws-auth/scripts/lab/internal/typeschema"
)

// crlSchema is pulumi/pulumi-aws-native aws-cloudformation-schema/aws-rolesanywhere-crl.json.
//
//go:embed crl.json
var crlSchema string

// crlType are revocation lists: aws-rolesanywhere-crl of aws-cloudformation/aws-cloudformation-resource-providers-rolesanywhere
// (BaseRolesAnywhereClient.java, UpdateHandler.java). Its update hands on name and list alone: another TrustAnchorArn is
// taken and changes nothing, though the schema does not call it create-only.
var crlType = &resourceType{
	schema: crlSchema,
	create: func(h *handler, m typeschema.Model) (string, error) {
		body := map[string]any{"name": m["Name"], "crlData": crlBytes(m)}
		for name, key := range map[string]string{"Enabled": "enabled", "TrustAnchorArn": "trustAnchorArn"} {
			if v, ok := m[name]; ok {
				body[key] = v
			}
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
	},
	read: func(h *handler, id string) (typeschema.Model, string, error) {
		is, err := h.crl(http.MethodGet, "/crl/"+url.PathEscape(id), nil)
		if err != nil {
			return nil, "", err
		}
		tags, err := h.tags(is.ARN)
		return typeschema.Model{"CrlId": is.ID, "Name": is.Name, "Enabled": is.Enabled, "CrlData": string(is.Data),
			"TrustAnchorArn": is.Anchor, "Tags": tagList(tags)}, is.ARN, err
	},
	update: func(h *handler, id string, desired typeschema.Model) error {
		at := "/crl/" + url.PathEscape(id)
		if on, set := desired["Enabled"]; set {
			if _, err := h.crl(http.MethodPost, at+verb(on), nil); err != nil {
				return err
			}
		}
		_, err := h.crl(http.MethodPatch, at, map[string]any{"name": desired["Name"], "crlData": crlBytes(desired)})
		return err
	},
	delete: func(h *handler, id string) error {
		_, err := h.crl(http.MethodDelete, "/crl/"+url.PathEscape(id), nil)
		return err
	},
}

type crl struct {
	ID      string `json:"crlId"`
	ARN     string `json:"crlArn"`
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	Data    []byte `json:"crlData"`
	Anchor  string `json:"trustAnchorArn"`
}

// crlBytes are a valid model's list, which the API takes as bytes.
func crlBytes(m typeschema.Model) []byte { return []byte(m["CrlData"].(string)) }

func (h *handler) crl(method, target string, body any) (*crl, error) {
	var out struct{ CRL crl }
	err := h.ask(method, target, body, &out)
	return &out.CRL, err
}
