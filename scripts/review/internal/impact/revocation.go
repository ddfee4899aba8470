package impact

import (
	"crypto/x509"
	pemfile "encoding/pem"
	"fmt"
	"strings"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// typeCRL is a list of revoked certificates, which Cloud Control makes; see typed.
const typeCRL = "aws:rolesanywhere/crl:Crl"

// revocations: certificates that get sessions again.
func (w *world) revocations() []Sign {
	var signs []Sign
	const why, safe = "who holds a copy of a revoked certificate gets sessions with it", "leave a certificate revoked until it has run out"
	for _, c := range w.byType[typeCRL] {
		if c.Before == nil || c.Op == preview.Same && c.Before == c.After || c.Op == preview.Import {
			continue
		}
		name := "the list of revoked certificates " + c.Now().Name()
		was, wasKnown := revoked(c.Before)
		is, isKnown := revoked(c.After)
		switch {
		case c.After == nil:
			signs = append(signs, sign(Warning, "certificate-unrevoked", name+" goes", why, safe, c))
		case !enabled(c.After) && enabled(c.Before):
			signs = append(signs, sign(Warning, "certificate-unrevoked", name+" is switched off", why, safe, c))
		case !wasKnown || !isKnown:
			signs = append(signs, sign(Warning, "unclear", name+" is known only after the update", why, "make what it is computed from exist first", c))
		case changed(c, "trustAnchorArn"):
			signs = append(signs, sign(Warning, "certificate-unrevoked", name+" is for another trust anchor", why, safe, c))
		default:
			if gone := difference(was, is); len(gone) > 0 {
				signs = append(signs, sign(Warning, "certificate-unrevoked", fmt.Sprintf("%s no longer has %s", name, strings.Join(gone, ", ")), why, safe, c))
			}
		}
	}
	return signs
}

// revoked are the serial numbers in a list of revoked certificates, in hexadecimal.
func revoked(r *preview.Resource) (serials []string, known bool) {
	text, _ := r.Value("crlData").(string)
	block, _ := pemfile.Decode([]byte(text))
	if block == nil {
		return nil, false
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return nil, false
	}
	for _, e := range list.RevokedCertificateEntries {
		serials = append(serials, e.SerialNumber.Text(16))
	}
	return serials, true
}
