package services_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"
	"github.com/stretchr/testify/require"
)

// revoking is a CA with a trust anchor of its own.
type revoking struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	anchor string
}

func newRevoking(t *testing.T, c aws.Config, name string) *revoking {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	made := do(t, rolesanywhere.NewFromConfig(c).CreateTrustAnchor, &rolesanywhere.CreateTrustAnchorInput{Name: &name, Enabled: aws.Bool(true),
		Source: &types.Source{SourceType: types.TrustAnchorTypeCertificateBundle, SourceData: &types.SourceDataMemberX509CertificateData{Value: text}}})
	return &revoking{t, key, cert, *made.TrustAnchor.TrustAnchorArn}
}

// list is a revocation list with these serial numbers, as PEM.
func (r *revoking) list(serials ...int64) string {
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: r.cert.NotBefore, NextUpdate: r.cert.NotAfter}
	for _, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: r.cert.NotBefore})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, r.cert, r.key)
	require.NoError(r.t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// TestCloudControlCRL follows a revocation list by Cloud Control, with its errors.
func TestCloudControlCRL(t *testing.T) {
	l := newLab(t)
	c := l.config(region)
	ca, other := newRevoking(t, c, "ca"), newRevoking(t, c, "other")
	const kind = "AWS::RolesAnywhere::CRL"
	state := func(list string) string {
		text, err := json.Marshal(map[string]any{"CrlData": list, "Enabled": true, "Name": "revoked", "TrustAnchorArn": ca.anchor,
			"Tags": []any{map[string]string{"Key": "a", "Value": "1"}}})
		require.NoError(t, err)
		return string(text)
	}
	first := ca.list(7)
	made := ended(t, c, control(t, c, "CreateResource", map[string]any{"TypeName": kind, "DesiredState": state(first)}))
	require.Equal(t, "SUCCESS", made.OperationStatus, made.StatusMessage)
	id := made.Identifier

	read := func() map[string]any {
		var properties map[string]any
		require.NoError(t, json.Unmarshal([]byte(control(t, c, "GetResource", map[string]any{"TypeName": kind, "Identifier": id}).ResourceDescription.Properties), &properties))
		return properties
	}
	require.Equal(t, map[string]any{"CrlId": id, "CrlData": first, "Enabled": true, "Name": "revoked", "TrustAnchorArn": ca.anchor,
		"Tags": []any{map[string]any{"Key": "a", "Value": "1"}}}, read())

	patch := func(path string, value any) progressEvent {
		document, err := json.Marshal([]any{map[string]any{"op": "replace", "path": path, "value": value}})
		require.NoError(t, err)
		return ended(t, c, control(t, c, "UpdateResource", map[string]any{"TypeName": kind, "Identifier": id, "PatchDocument": string(document)}))
	}
	second := ca.list(7, 8)
	require.Equal(t, "SUCCESS", patch("/CrlData", second).OperationStatus)
	require.Equal(t, "SUCCESS", patch("/Enabled", false).OperationStatus)
	require.Equal(t, "SUCCESS", patch("/Tags/0/Value", "2").OperationStatus)
	detail := do(t, rolesanywhere.NewFromConfig(c).GetCrl, &rolesanywhere.GetCrlInput{CrlId: &id}).Crl
	require.Equal(t, second, string(detail.CrlData), "the API takes the text's bytes")
	require.False(t, *detail.Enabled)
	require.Equal(t, []any{map[string]any{"Key": "a", "Value": "2"}}, read()["Tags"])

	require.Equal(t, "SUCCESS", patch("/TrustAnchorArn", other.anchor).OperationStatus, "the handler does not look")
	require.Equal(t, ca.anchor, read()["TrustAnchorArn"], "and does not hand it on")

	for path, value := range map[string]any{"/CrlId": "x", "/CrlData": other.list(7), "/Name": 1, "/TrustAnchorArn": "x"} {
		require.Equal(t, "FAILED", patch(path, value).OperationStatus, path)
	}
	require.Equal(t, second, read()["CrlData"], "a list that another CA signed changes nothing")

	require.Equal(t, "ResourceNotFoundException", control(t, c, "GetResource", map[string]any{"TypeName": "AWS::RolesAnywhere::Profile", "Identifier": id}).Type)
	gone := func() progressEvent {
		return ended(t, c, control(t, c, "DeleteResource", map[string]any{"TypeName": kind, "Identifier": id}))
	}
	require.Equal(t, "SUCCESS", gone().OperationStatus)
	require.Equal(t, "NotFound", gone().ErrorCode)
	require.Empty(t, l.Inventory()["rolesanywhere crl"])
}

// TestCloudControlCRLPermissions: making a list takes each permission of its handler, and none of IAM.
func TestCloudControlCRLPermissions(t *testing.T) {
	l := newLab(t)
	ca := newRevoking(t, l.config(region), "ca")
	text, err := json.Marshal(map[string]any{"CrlData": ca.list(7), "Name": "revoked", "TrustAnchorArn": ca.anchor, "Tags": []any{map[string]string{"Key": "a", "Value": "1"}}})
	require.NoError(t, err)
	in := map[string]any{"TypeName": "AWS::RolesAnywhere::CRL", "DesiredState": string(text)}
	own := `"cloudformation:CreateResource","cloudformation:GetResourceRequestStatus"`
	handler := []string{"rolesanywhere:ImportCrl", "rolesanywhere:TagResource", "rolesanywhere:ListTagsForResource"}
	for missing := -1; missing < len(handler); missing++ {
		allowed := own
		for i, action := range handler {
			if i != missing {
				allowed += `,"` + action + `"`
			}
		}
		who := l.user(fmt.Sprint("user", missing), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[`+allowed+`],"Resource":"*"}]}`)
		e := ended(t, who, control(t, who, "CreateResource", in))
		if missing < 0 {
			require.Equal(t, "SUCCESS", e.OperationStatus, e.StatusMessage)
			continue
		}
		require.Equal(t, "AccessDenied", e.ErrorCode, handler[missing])
		require.Contains(t, e.StatusMessage, "is not authorized to perform: "+handler[missing])
	}
}
