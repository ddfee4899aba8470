package forge

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/sigv4"
)

// Session is a CreateSession request of IAM Roles Anywhere before it is signed.
type Session struct {
	// Host is rolesanywhere.<region>.amazonaws.com.
	Host, Region                   string
	AnchorARN, ProfileARN, RoleARN string
	// Body is sent as JSON.
	Body map[string]any
	// At is the time of the signature, now where zero.
	At time.Time
}

// Sign makes the request as the credential helper does: ARNs in the query, the rest in the body, signed with the key of
// the certificate ("Signing process" of the Roles Anywhere User Guide).
func (s Session) Sign(ctx context.Context, id Certified) (*http.Request, error) {
	body := s.Body
	if body == nil {
		body = map[string]any{}
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	query := url.Values{"trustAnchorArn": {s.AnchorARN}, "profileArn": {s.ProfileARN}, "roleArn": {s.RoleARN}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.Host+"/sessions?"+query.Encode(), bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	at := s.At
	if at.IsZero() {
		at = time.Now()
	}
	at = at.UTC()
	algorithm := sigv4.X509RSA
	if _, ok := id.Key.(*ecdsa.PrivateKey); ok {
		algorithm = sigv4.X509ECDSA
	}
	signature := &sigv4.Signature{Algorithm: algorithm, KeyID: id.Cert.SerialNumber.String(), Date: at.Format("20060102"), Region: s.Region,
		Service: "rolesanywhere", SignedHeaders: []string{"content-type", "host", "x-amz-date", "x-amz-x509"}, Time: at}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Date", at.Format(sigv4.TimeFormat))
	r.Header.Set("X-Amz-X509", encode(id.Cert))
	if len(id.Chain) > 0 {
		var chain []string
		for _, c := range id.Chain {
			chain = append(chain, encode(c))
		}
		r.Header.Set("X-Amz-X509-Chain", strings.Join(chain, ","))
		signature.SignedHeaders = append(signature.SignedHeaders, "x-amz-x509-chain")
	}
	sum := sha256.Sum256(payload)
	digest := sha256.Sum256([]byte(signature.StringToSign(r, hex.EncodeToString(sum[:]))))
	value, err := id.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s", algorithm, signature.KeyID, signature.Scope(),
		strings.Join(signature.SignedHeaders, ";"), hex.EncodeToString(value)))
	return r, nil
}

func encode(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }
