package gate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/sigv4"
)

// authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func newAuthority(t *testing.T, name string, parent *authority, change func(*x509.Certificate)) authority {
	t.Helper()
	key := newKey(t, "ES256")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour),
		NotAfter: time.Now().Add(240 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	if change != nil {
		change(template)
	}
	signer, above := key, template
	if parent != nil {
		signer, above = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert, key}
}

// leaf is an end-entity certificate with its key and the intermediates to send.
type leaf struct {
	cert  *x509.Certificate
	key   crypto.Signer
	chain []*x509.Certificate
}

func (a authority) leaf(t *testing.T, name, algorithm string, change func(*x509.Certificate)) leaf {
	t.Helper()
	key := newKey(t, algorithm)
	serial, err := randomSerial()
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"default"}}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return leaf{cert: cert, key: key}
}

// createSession signs and sends CreateSession as the credential helper does: ARNs in the query, the duration in the body.
func (l *lab) createSession(id leaf, anchor, profile, role string, body map[string]any, change func(*http.Request)) (map[string]any, *Error) {
	l.t.Helper()
	payload, err := json.Marshal(body)
	require.NoError(l.t, err)
	query := url.Values{"trustAnchorArn": {anchor}, "profileArn": {profile}, "roleArn": {role}}
	r, err := http.NewRequest("POST", "https://rolesanywhere.eu-central-1.amazonaws.com/sessions?"+query.Encode(), bytes.NewReader(payload))
	require.NoError(l.t, err)
	algorithm := sigv4.X509RSA
	if _, ok := id.key.(*ecdsa.PrivateKey); ok {
		algorithm = sigv4.X509ECDSA
	}
	at := time.Now().UTC()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Date", at.Format(sigv4.TimeFormat))
	r.Header.Set("X-Amz-X509", base64.StdEncoding.EncodeToString(id.cert.Raw))
	headers := []string{"content-type", "host", "x-amz-date", "x-amz-x509"}
	if len(id.chain) > 0 {
		var all []string
		for _, c := range id.chain {
			all = append(all, base64.StdEncoding.EncodeToString(c.Raw))
		}
		r.Header.Set("X-Amz-X509-Chain", strings.Join(all, ","))
		headers = append(headers, "x-amz-x509-chain")
	}
	canonical := "POST\n/sessions\n" + strings.ReplaceAll(query.Encode(), "+", "%20") + "\n"
	for _, h := range headers {
		value := r.Header.Get(h)
		if h == "host" {
			value = r.URL.Host
		}
		canonical += h + ":" + value + "\n"
	}
	hash := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	canonical += "\n" + strings.Join(headers, ";") + "\n" + hash(payload)
	scope := at.Format("20060102") + "/eu-central-1/rolesanywhere/aws4_request"
	digest := sha256.Sum256([]byte(algorithm + "\n" + at.Format(sigv4.TimeFormat) + "\n" + scope + "\n" + hash([]byte(canonical))))
	signature, err := id.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(l.t, err)
	r.Header.Set("Authorization", algorithm+" Credential="+id.cert.SerialNumber.String()+"/"+scope+", SignedHeaders="+strings.Join(headers, ";")+", Signature="+hex.EncodeToString(signature))
	if change != nil {
		change(r)
	}
	resp, err := l.http.Do(r)
	require.NoError(l.t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(l.t, err)
	var out map[string]any
	require.NoError(l.t, json.Unmarshal(b, &out), string(b))
	if resp.StatusCode != http.StatusCreated {
		message, _ := out["message"].(string)
		return nil, &Error{Code: resp.Header.Get("x-amzn-ErrorType"), Message: message, Status: resp.StatusCode}
	}
	return out, nil
}

// anywhere is a lab with a CA, a trust anchor, a profile and a role.
type anywhere struct {
	*lab
	ca                    authority
	anchor, profile, role string
	anchorID, profileID   string
}

const raTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],
"Principal":{"Service":"rolesanywhere.amazonaws.com"},"Condition":{"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"uploader"},"ArnEquals":{"aws:SourceArn":%q}}}]}`

func (l *lab) ra() *rolesanywhere.Client { return rolesanywhere.NewFromConfig(l.admin()) }

func (l *lab) trustAnchor(name string, ca authority) (id, arn string) {
	l.t.Helper()
	out, err := l.ra().CreateTrustAnchor(ctx, &rolesanywhere.CreateTrustAnchorInput{Name: &name, Enabled: aws.Bool(true),
		Source: &types.Source{SourceType: types.TrustAnchorTypeCertificateBundle, SourceData: &types.SourceDataMemberX509CertificateData{Value: ca.pem()}}})
	require.NoError(l.t, err)
	return *out.TrustAnchor.TrustAnchorId, *out.TrustAnchor.TrustAnchorArn
}

func newAnywhere(t *testing.T) *anywhere {
	t.Helper()
	a := &anywhere{lab: newLab(t), ca: newAuthority(t, "ca", nil, nil)}
	withObjects(a.lab)
	a.anchorID, a.anchor = a.trustAnchor("lab", a.ca)
	a.role = a.lab.role("app", fmt.Sprintf(raTrust, a.anchor), putOnly)
	p, err := a.ra().CreateProfile(ctx, &rolesanywhere.CreateProfileInput{Name: aws.String("lab"), RoleArns: []string{a.role}, Enabled: aws.Bool(true), DurationSeconds: aws.Int32(3600)})
	require.NoError(t, err)
	a.profile, a.profileID = *p.Profile.ProfileArn, *p.Profile.ProfileId
	return a
}

func (a *anywhere) session(id leaf) (map[string]any, *Error) {
	return a.createSession(id, a.anchor, a.profile, a.role, map[string]any{"durationSeconds": 900}, nil)
}

func TestCreateSession(t *testing.T) {
	for _, algorithm := range []string{"ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			a := newAnywhere(t)
			id := a.ca.leaf(t, "uploader", algorithm, nil)
			out, e := a.session(id)
			require.Nil(t, e)
			set := out["credentialSet"].([]any)[0].(map[string]any)
			serial := hex.EncodeToString(id.cert.SerialNumber.Bytes())
			user := set["assumedRoleUser"].(map[string]any)
			require.Equal(t, "arn:aws:sts::111122223333:assumed-role/app/"+serial, user["arn"])
			require.Equal(t, "CN=uploader", set["sourceIdentity"])
			require.Equal(t, a.role, set["roleArn"])
			require.Contains(t, out["subjectArn"], "arn:aws:rolesanywhere:eu-central-1:111122223333:subject/")
			c := set["credentials"].(map[string]any)
			expires, err := time.Parse(time.RFC3339, c["expiration"].(string))
			require.NoError(t, err)
			require.WithinDuration(t, a.Now().Add(15*time.Minute), expires, 2*time.Second)
			cfg := a.config(c["accessKeyId"].(string), c["secretAccessKey"].(string), c["sessionToken"].(string))
			who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
			require.NoError(t, err)
			require.Equal(t, user["arn"], *who.Arn)
			require.NoError(t, put(cfg, "in/x", ""))
			failure(t, put(cfg, "x", ""), "AccessDenied", "", 403)
			_, p, f := a.credentials(c["accessKeyId"].(string), c["sessionToken"].(string))
			require.Empty(t, f)
			require.Equal(t, map[string]string{"x509Subject/CN": "uploader", "x509Subject/OU": "default", "x509Issuer/CN": "ca"}, p.Tags)

			again, e := a.session(id)
			require.Nil(t, e)
			require.Equal(t, out["subjectArn"], again["subjectArn"])
			subjects, err := a.ra().ListSubjects(ctx, &rolesanywhere.ListSubjectsInput{})
			require.NoError(t, err)
			require.Len(t, subjects.Subjects, 1)
			subject, err := a.ra().GetSubject(ctx, &rolesanywhere.GetSubjectInput{SubjectId: subjects.Subjects[0].SubjectId})
			require.NoError(t, err)
			require.Len(t, subject.Subject.Credentials, 1)
		})
	}
}

func TestCreateSessionCertificates(t *testing.T) {
	a := newAnywhere(t)
	other := newAuthority(t, "ca", nil, nil) // the same name, another key
	middle := newAuthority(t, "intermediate", &a.ca, nil)
	stranger := newAuthority(t, "intermediate", &other, nil)
	notCA := newAuthority(t, "not a CA", &a.ca, func(c *x509.Certificate) { c.IsCA = false })
	chained := middle.leaf(t, "uploader", "ES256", nil)
	with := func(id leaf, chain ...*x509.Certificate) leaf {
		id.chain = chain
		return id
	}
	const (
		untrusted    = "Untrusted signing certificate"
		insufficient = "Untrusted certificate. Insufficient certificate"
		expired      = "Untrusted certificate. Certificate is expired or not yet valid"
	)
	for name, c := range map[string]struct {
		id   leaf
		want string
	}{
		"good":                  {a.ca.leaf(t, "uploader", "ES256", nil), ""},
		"other CA":              {other.leaf(t, "uploader", "ES256", nil), untrusted},
		"chain":                 {with(chained, middle.cert), ""},
		"chain not sent":        {chained, untrusted},
		"chain of another":      {with(stranger.leaf(t, "uploader", "ES256", nil), stranger.cert), untrusted},
		"chain through a leaf":  {with(notCA.leaf(t, "uploader", "ES256", nil), notCA.cert), untrusted},
		"expired":               {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), expired},
		"not yet valid":         {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), expired},
		"is a CA":               {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) { c.IsCA = true }), insufficient},
		"no digital signature":  {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), insufficient},
		"short RSA key":         {a.ca.leaf(t, "uploader", "RS1024", nil), insufficient},
		"no subject":            {a.ca.leaf(t, "", "ES256", func(c *x509.Certificate) { c.Subject = pkix.Name{} }), insufficient},
		"other common name":     {a.ca.leaf(t, "reader", "ES256", nil), "Unable to assume role for " + a.role},
		"common name in case":   {a.ca.leaf(t, "Uploader", "ES256", nil), "Unable to assume role for " + a.role},
		"name as source is bad": {a.ca.leaf(t, "up loader", "ES256", nil), "Unable to assume role for " + a.role},
		"long common name":      {a.ca.leaf(t, strings.Repeat("a", 62), "ES256", nil), "Unable to assume role for " + a.role},
		"two common names": {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: "admin"}, {Type: []int{2, 5, 4, 3}, Value: "uploader"}}
		}), "Unable to assume role for " + a.role},
		"client auth":      {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), ""},
		"no constraints":   {a.ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) { c.BasicConstraintsValid = false }), ""},
		"the anchor's own": {leaf{cert: a.ca.cert, key: a.ca.key}, insufficient},
	} {
		t.Run(name, func(t *testing.T) {
			_, e := a.session(c.id)
			if c.want == "" {
				require.Nil(t, e)
				return
			}
			require.NotNil(t, e)
			require.Equal(t, "AccessDeniedException", e.Code)
			require.Equal(t, c.want, e.Message)
			require.Equal(t, 403, e.Status)
		})
	}
	events := a.Events()
	last := events[len(events)-1]
	require.Equal(t, "CreateSession", last.Action)
	require.NotEmpty(t, last.Details["serial"])
}

func TestCreateSessionRequests(t *testing.T) {
	a := newAnywhere(t)
	id := a.ca.leaf(t, "uploader", "ES256", nil)
	otherRole := a.lab.role("other", fmt.Sprintf(raTrust, a.anchor), "")
	_, otherAnchor := a.trustAnchor("second", a.ca)
	noSource := a.lab.role("no-source", strings.Replace(fmt.Sprintf(raTrust, a.anchor), `,"sts:SetSourceIdentity"`, "", 1), "")
	noTag := a.lab.role("no-tag", strings.Replace(fmt.Sprintf(raTrust, a.anchor), `,"sts:TagSession"`, "", 1), "")
	_, err := a.ra().UpdateProfile(ctx, &rolesanywhere.UpdateProfileInput{ProfileId: &a.profileID, RoleArns: []string{a.role, noSource, noTag, "arn:aws:iam::111122223333:role/gone"}})
	require.NoError(t, err)
	body := map[string]any{"durationSeconds": 900}
	gone := strings.Replace(a.anchor, a.anchorID, "00000000-0000-0000-0000-000000000000", 1)
	for name, c := range map[string]struct {
		anchor, profile, role string
		body                  map[string]any
		change                func(*http.Request)
		code, text            string
		status                int
	}{
		"good":                {a.anchor, a.profile, a.role, body, nil, "", "", 0},
		"no body":             {a.anchor, a.profile, a.role, nil, nil, "", "", 0},
		"role not in profile": {a.anchor, a.profile, otherRole, body, nil, "AccessDeniedException", "Unable to assume role for " + otherRole, 403},
		"role gone":           {a.anchor, a.profile, "arn:aws:iam::111122223333:role/gone", body, nil, "AccessDeniedException", "Unable to assume role for arn:aws:iam::111122223333:role/gone", 403},
		"no source identity":  {a.anchor, a.profile, noSource, body, nil, "AccessDeniedException", "Unable to assume role for " + noSource, 403},
		"no tag session":      {a.anchor, a.profile, noTag, body, nil, "AccessDeniedException", "Unable to assume role for " + noTag, 403},
		"other anchor":        {otherAnchor, a.profile, a.role, body, nil, "AccessDeniedException", "Unable to assume role for " + a.role, 403},
		"anchor gone":         {gone, a.profile, a.role, body, nil, "ResourceNotFoundException", gone, 404},
		"profile gone":        {a.anchor, a.profile + "x", a.role, body, nil, "ResourceNotFoundException", "", 404},
		"no role":             {a.anchor, a.profile, "", body, nil, "ValidationException", "roleArn", 400},
		"short":               {a.anchor, a.profile, a.role, map[string]any{"durationSeconds": 899}, nil, "ValidationException", "durationSeconds", 400},
		"long":                {a.anchor, a.profile, a.role, map[string]any{"durationSeconds": 43201}, nil, "ValidationException", "durationSeconds", 400},
		"role session name":   {a.anchor, a.profile, a.role, map[string]any{"roleSessionName": "me"}, nil, "AccessDeniedException", "Not authorized to set roleSessionName.", 403},
		"signature":           {a.anchor, a.profile, a.role, body, func(r *http.Request) { r.URL.RawQuery += "&x=1" }, "AccessDeniedException", "Invalid signature", 403},
		"unsigned":            {a.anchor, a.profile, a.role, body, func(r *http.Request) { r.Header.Del("Authorization") }, "AccessDeniedException", "", 403},
		"garbage certificate": {a.anchor, a.profile, a.role, body, func(r *http.Request) { r.Header.Set("X-Amz-X509", "AAAA") }, "ValidationException", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, e := a.createSession(id, c.anchor, c.profile, c.role, c.body, c.change)
			if c.code == "" {
				require.Nil(t, e)
				return
			}
			require.NotNil(t, e)
			require.Equal(t, c.code, e.Code, e.Message)
			require.Contains(t, e.Message, c.text)
			require.Equal(t, c.status, e.Status)
		})
	}

	// The duration is the shorter of profile and request, and must fit the role.
	_, err = a.ra().UpdateProfile(ctx, &rolesanywhere.UpdateProfileInput{ProfileId: &a.profileID, DurationSeconds: aws.Int32(7200)})
	require.NoError(t, err)
	_, e := a.createSession(id, a.anchor, a.profile, a.role, nil, nil)
	require.Equal(t, "ValidationException", e.Code)
	require.Equal(t, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", e.Message)
	_, e = a.createSession(id, a.anchor, a.profile, a.role, map[string]any{"durationSeconds": 3600}, nil)
	require.Nil(t, e)

	_, err = a.ra().UpdateProfile(ctx, &rolesanywhere.UpdateProfileInput{ProfileId: &a.profileID, AcceptRoleSessionName: aws.Bool(true), DurationSeconds: aws.Int32(3600),
		SessionPolicy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`)})
	require.NoError(t, err)
	out, e := a.createSession(id, a.anchor, a.profile, a.role, map[string]any{"roleSessionName": "default.uploader"}, nil)
	require.Nil(t, e)
	set := out["credentialSet"].([]any)[0].(map[string]any)
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/app/default.uploader", set["assumedRoleUser"].(map[string]any)["arn"])
	c := set["credentials"].(map[string]any)
	failure(t, put(a.config(c["accessKeyId"].(string), c["secretAccessKey"].(string), c["sessionToken"].(string)), "in/x", ""), "AccessDenied", "because no session policy allows", 403)

	_, err = a.ra().DisableProfile(ctx, &rolesanywhere.DisableProfileInput{ProfileId: &a.profileID})
	require.NoError(t, err)
	_, e = a.session(id)
	require.Equal(t, "Profile is disabled", e.Message)
	_, err = a.ra().EnableProfile(ctx, &rolesanywhere.EnableProfileInput{ProfileId: &a.profileID})
	require.NoError(t, err)
	_, err = a.ra().DisableTrustAnchor(ctx, &rolesanywhere.DisableTrustAnchorInput{TrustAnchorId: &a.anchorID})
	require.NoError(t, err)
	_, e = a.session(id)
	require.Equal(t, "Trust anchor is disabled", e.Message)
	_, err = a.ra().EnableTrustAnchor(ctx, &rolesanywhere.EnableTrustAnchorInput{TrustAnchorId: &a.anchorID})
	require.NoError(t, err)
	_, e = a.session(id)
	require.Nil(t, e)
	a.clock.Add(16 * time.Minute)
	_, e = a.session(id)
	require.Contains(t, e.Message, "Signature expired")
	_, err = a.iam().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("inline")})
	failure(t, err, "SignatureDoesNotMatch", "", 403)
}

func (a authority) crl(t *testing.T, serials ...*big.Int) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(24 * time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestRevocation(t *testing.T) {
	a := newAnywhere(t)
	id, kept := a.ca.leaf(t, "uploader", "ES256", nil), a.ca.leaf(t, "uploader", "ES256", nil)
	_, e := a.session(id)
	require.Nil(t, e)
	other := newAuthority(t, "other", nil, nil)
	_, err := a.ra().ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String("bad"), TrustAnchorArn: &a.anchor, CrlData: other.crl(t)})
	failure(t, err, "ValidationException", "not signed by the trust anchor", 400)
	_, err = a.ra().ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String("bad"), TrustAnchorArn: &a.anchor, CrlData: []byte("x")})
	failure(t, err, "ValidationException", "Invalid CRL", 400)
	made, err := a.ra().ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String("crl"), TrustAnchorArn: &a.anchor, Enabled: aws.Bool(true), CrlData: a.ca.crl(t, id.cert.SerialNumber)})
	require.NoError(t, err)
	_, e = a.session(id)
	require.NotNil(t, e)
	require.Equal(t, "AccessDeniedException", e.Code)
	require.Contains(t, e.Message, "revoked")
	_, e = a.session(kept)
	require.Nil(t, e)
	require.Equal(t, []string{id.cert.SerialNumber.String()}, a.Revocations()[0].Serials)
	_, err = a.ra().DisableCrl(ctx, &rolesanywhere.DisableCrlInput{CrlId: made.Crl.CrlId})
	require.NoError(t, err)
	_, e = a.session(id)
	require.Nil(t, e)
	_, err = a.ra().EnableCrl(ctx, &rolesanywhere.EnableCrlInput{CrlId: made.Crl.CrlId})
	require.NoError(t, err)
	_, e = a.session(id)
	require.NotNil(t, e)
	_, err = a.ra().UpdateCrl(ctx, &rolesanywhere.UpdateCrlInput{CrlId: made.Crl.CrlId, CrlData: a.ca.crl(t, kept.cert.SerialNumber)})
	require.NoError(t, err)
	_, e = a.session(id)
	require.Nil(t, e)
	_, e = a.session(kept)
	require.NotNil(t, e)
	list, err := a.ra().ListCrls(ctx, &rolesanywhere.ListCrlsInput{})
	require.NoError(t, err)
	require.Len(t, list.Crls, 1)
	_, err = a.ra().ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String("two"), TrustAnchorArn: &a.anchor, CrlData: a.ca.crl(t)})
	require.NoError(t, err)
	_, err = a.ra().ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String("three"), TrustAnchorArn: &a.anchor, CrlData: a.ca.crl(t)})
	failure(t, err, "ValidationException", "2 CRLs", 400)
	_, err = a.ra().DeleteCrl(ctx, &rolesanywhere.DeleteCrlInput{CrlId: made.Crl.CrlId})
	require.NoError(t, err)
	_, err = a.ra().GetCrl(ctx, &rolesanywhere.GetCrlInput{CrlId: made.Crl.CrlId})
	failure(t, err, "ResourceNotFoundException", "", 404)
}

func TestTrustAnchors(t *testing.T) {
	l := newLab(t)
	good := newAuthority(t, "ca", nil, nil)
	leafLike := newAuthority(t, "leaf", nil, func(c *x509.Certificate) { c.IsCA = false })
	noSign := newAuthority(t, "ca", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	create := func(name, bundle string, change func(*rolesanywhere.CreateTrustAnchorInput)) (*rolesanywhere.CreateTrustAnchorOutput, error) {
		in := &rolesanywhere.CreateTrustAnchorInput{Name: &name, Source: &types.Source{SourceType: types.TrustAnchorTypeCertificateBundle,
			SourceData: &types.SourceDataMemberX509CertificateData{Value: bundle}}}
		if change != nil {
			change(in)
		}
		return l.ra().CreateTrustAnchor(ctx, in)
	}
	for name, c := range map[string]struct{ anchor, bundle, text string }{
		"not a CA":   {"a", leafLike.pem(), "Incorrect basic constraints for CA certificate"},
		"no signing": {"a", noSign.pem(), "Incorrect key usage for CA certificate"},
		"not PEM":    {"a", "certificate", "not a PEM bundle"},
		"three":      {"a", good.pem() + good.pem() + good.pem(), "at most 2"},
		"name":       {"a/b", good.pem(), "'name'"},
	} {
		_, err := create(c.anchor, c.bundle, nil)
		require.Error(t, err, name)
		failure(t, err, "ValidationException", c.text, 400)
	}
	_, err := create("pca", "", func(in *rolesanywhere.CreateTrustAnchorInput) {
		in.Source = &types.Source{SourceType: types.TrustAnchorTypeAwsAcmPca, SourceData: &types.SourceDataMemberAcmPcaArn{Value: "arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/x"}}
	})
	failure(t, err, "NotImplemented", "AWS Private CA", 501)

	made, err := create("lab", good.pem(), func(in *rolesanywhere.CreateTrustAnchorInput) {
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
		in.NotificationSettings = []types.NotificationSetting{{Event: types.NotificationEventCaCertificateExpiry, Enabled: aws.Bool(true), Threshold: aws.Int32(30)}}
	})
	require.NoError(t, err)
	a := made.TrustAnchor
	require.False(t, *a.Enabled, "not enabled unless asked for")
	require.Len(t, a.NotificationSettings, 2)
	require.Equal(t, int32(30), *a.NotificationSettings[0].Threshold)
	require.Equal(t, "rolesanywhere.amazonaws.com", *a.NotificationSettings[1].ConfiguredBy)
	require.Equal(t, good.pem(), a.Source.SourceData.(*types.SourceDataMemberX509CertificateData).Value)
	renamed, err := l.ra().UpdateTrustAnchor(ctx, &rolesanywhere.UpdateTrustAnchorInput{TrustAnchorId: a.TrustAnchorId, Name: aws.String("renamed")})
	require.NoError(t, err)
	require.Equal(t, "renamed", *renamed.TrustAnchor.Name)
	put, err := l.ra().PutNotificationSettings(ctx, &rolesanywhere.PutNotificationSettingsInput{TrustAnchorId: a.TrustAnchorId,
		NotificationSettings: []types.NotificationSetting{{Event: types.NotificationEventEndEntityCertificateExpiry, Enabled: aws.Bool(false)}}})
	require.NoError(t, err)
	require.False(t, *put.TrustAnchor.NotificationSettings[1].Enabled)
	reset, err := l.ra().ResetNotificationSettings(ctx, &rolesanywhere.ResetNotificationSettingsInput{TrustAnchorId: a.TrustAnchorId,
		NotificationSettingKeys: []types.NotificationSettingKey{{Event: types.NotificationEventEndEntityCertificateExpiry}}})
	require.NoError(t, err)
	require.True(t, *reset.TrustAnchor.NotificationSettings[1].Enabled)
	_, err = l.ra().TagResource(ctx, &rolesanywhere.TagResourceInput{ResourceArn: a.TrustAnchorArn, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("d")}}})
	require.NoError(t, err)
	_, err = l.ra().UntagResource(ctx, &rolesanywhere.UntagResourceInput{ResourceArn: a.TrustAnchorArn, TagKeys: []string{"a"}})
	require.NoError(t, err)
	tags, err := l.ra().ListTagsForResource(ctx, &rolesanywhere.ListTagsForResourceInput{ResourceArn: a.TrustAnchorArn})
	require.NoError(t, err)
	require.Len(t, tags.Tags, 1)
	require.Equal(t, "c", *tags.Tags[0].Key)
	list, err := l.ra().ListTrustAnchors(ctx, &rolesanywhere.ListTrustAnchorsInput{PageSize: aws.Int32(1)})
	require.NoError(t, err)
	require.Len(t, list.TrustAnchors, 1)
	elsewhere := l.admin()
	elsewhere.Region = "eu-west-1"
	list, err = rolesanywhere.NewFromConfig(elsewhere).ListTrustAnchors(ctx, &rolesanywhere.ListTrustAnchorsInput{})
	require.NoError(t, err)
	require.Empty(t, list.TrustAnchors)
	require.Equal(t, map[string][]string{"rolesanywhere trust anchor": {*a.TrustAnchorId}}, l.Inventory())
	_, err = l.ra().DeleteTrustAnchor(ctx, &rolesanywhere.DeleteTrustAnchorInput{TrustAnchorId: a.TrustAnchorId})
	require.NoError(t, err)
	_, err = l.ra().GetTrustAnchor(ctx, &rolesanywhere.GetTrustAnchorInput{TrustAnchorId: a.TrustAnchorId})
	failure(t, err, "ResourceNotFoundException", "", 404)
	require.Empty(t, l.Inventory())
}

func TestProfiles(t *testing.T) {
	l := newLab(t)
	arn := l.role("app", trustEC2, "")
	create := func(change func(*rolesanywhere.CreateProfileInput)) (*rolesanywhere.CreateProfileOutput, error) {
		in := &rolesanywhere.CreateProfileInput{Name: aws.String("p"), RoleArns: []string{arn}}
		if change != nil {
			change(in)
		}
		return l.ra().CreateProfile(ctx, in)
	}
	for text, change := range map[string]func(*rolesanywhere.CreateProfileInput){
		"durationSeconds":   func(in *rolesanywhere.CreateProfileInput) { in.DurationSeconds = aws.Int32(899) },
		"Invalid Role ARN":  func(in *rolesanywhere.CreateProfileInput) { in.RoleArns = []string{"app"} },
		"session policy":    func(in *rolesanywhere.CreateProfileInput) { in.SessionPolicy = aws.String("{") },
		"managedPolicyArns": func(in *rolesanywhere.CreateProfileInput) { in.ManagedPolicyArns = make([]string, 11) },
	} {
		_, err := create(change)
		failure(t, err, "ValidationException", text, 400)
	}
	made, err := create(nil)
	require.NoError(t, err)
	p := made.Profile
	require.False(t, *p.Enabled)
	require.Equal(t, int32(3600), *p.DurationSeconds)
	require.Len(t, p.AttributeMappings, 3)
	require.Equal(t, "arn:aws:iam::111122223333:user/admin", *p.CreatedBy)
	updated, err := l.ra().UpdateProfile(ctx, &rolesanywhere.UpdateProfileInput{ProfileId: p.ProfileId, DurationSeconds: aws.Int32(900), RoleArns: []string{}})
	require.NoError(t, err)
	require.Equal(t, int32(900), *updated.Profile.DurationSeconds)
	_, err = l.ra().PutAttributeMapping(ctx, &rolesanywhere.PutAttributeMappingInput{ProfileId: p.ProfileId, CertificateField: types.CertificateFieldX509Subject, MappingRules: []types.MappingRule{{Specifier: aws.String("CN")}}})
	failure(t, err, "NotImplemented", "rolesanywhere:PutAttributeMapping", 501)
	list, err := l.ra().ListProfiles(ctx, &rolesanywhere.ListProfilesInput{})
	require.NoError(t, err)
	require.Len(t, list.Profiles, 1)
	_, err = l.ra().DeleteProfile(ctx, &rolesanywhere.DeleteProfileInput{ProfileId: p.ProfileId})
	require.NoError(t, err)
	_, err = l.ra().GetProfile(ctx, &rolesanywhere.GetProfileInput{ProfileId: p.ProfileId})
	failure(t, err, "ResourceNotFoundException", "", 404)

	// Whoever makes a profile must be allowed to pass its roles.
	builder := l.role("builder", trustAccount, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"rolesanywhere:*","Resource":"*"}]}`)
	_, err = rolesanywhere.NewFromConfig(l.assume(l.admin(), builder, "ci")).CreateProfile(ctx, &rolesanywhere.CreateProfileInput{Name: aws.String("p"), RoleArns: []string{arn}})
	failure(t, err, "AccessDeniedException", "iam:PassRole on resource: "+arn, 403)
}

func TestCertificateTags(t *testing.T) {
	ca := newAuthority(t, "ca", nil, nil)
	san, err := url.Parse("spiffe://lab/uploader")
	require.NoError(t, err)
	id := ca.leaf(t, "uploader", "ES256", func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "uploader", Organization: []string{"o"}, OrganizationalUnit: []string{"a", "b"}, Country: []string{"DE"}, SerialNumber: "7"}
		c.DNSNames = []string{"one.example", "two.example"}
		c.URIs = []*url.URL{san}
	})
	require.Equal(t, map[string]string{"x509Subject/CN": "uploader", "x509Subject/O": "o", "x509Subject/OU": "a/b", "x509Subject/C": "DE",
		"x509Subject/serialNumber": "7", "x509Issuer/CN": "ca", "x509SAN/DNS": "one.example", "x509SAN/URI": "spiffe://lab/uploader"}, certificateTags(id.cert))
	small := *id.cert
	small.SerialNumber = big.NewInt(10)
	require.Equal(t, "0a", hexSerial(&small))
}
