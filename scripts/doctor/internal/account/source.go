package account

import "github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"

// sourceOf are the keys of a trust anchor's certificates, or the private CA of AWS that it trusts.
func sourceOf(data types.SourceData) (keys []string, pca string) {
	switch d := data.(type) {
	case *types.SourceDataMemberX509CertificateData:
		return keysOf(d.Value), ""
	case *types.SourceDataMemberAcmPcaArn:
		return nil, d.Value
	}
	return nil, ""
}
