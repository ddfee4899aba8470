// Package tlsres holds the resources and functions of the stand-in tls provider, which behaves like pulumi-tls v5.5.1:
// keys, certificate requests and certificates, all made in the provider process, and the reading of the certificates
// that a server presents.
package tlsres

import (
	"context"
	"crypto/sha1" // #nosec G505 -- the ids of pulumi-tls are SHA-1 digests; nothing is protected by them
	"encoding/hex"
	"os"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// Client is the provider's configuration: there is none.
type Client struct{}

type (
	m         = engine.Map
	resources = map[string]*engine.Resource[Client]
	call      = engine.Call[Client]
)

// Version is the version of the plugin that this one stands for; the plugin's directory is named after it.
const Version = "5.5.1"

// Serve runs the provider under a version until the Pulumi engine ends it.
func Serve(version string) error { return engine.Serve(Package(version), os.Args[1:], os.Stdout) }

// Package returns the provider under a version.
func Package(version string) engine.Package[Client] {
	return engine.Package[Client]{
		Name: "tls", Version: version, Facts: facts.TLS(),
		Resources: resources{
			"tls:index/privateKey:PrivateKey":               {Create: createPrivateKey},
			"tls:index/certRequest:CertRequest":             {Create: createCertRequest},
			"tls:index/selfSignedCert:SelfSignedCert":       {Create: createSelfSigned, Diff: renewal, Check: checkSelfSigned},
			"tls:index/locallySignedCert:LocallySignedCert": {Create: createLocallySigned, Diff: renewal},
		},
		Functions: map[string]engine.Function[Client]{
			"tls:index/getCertificate:getCertificate": getCertificate,
			"tls:index/getPublicKey:getPublicKey":     getPublicKey,
		},
		CheckConfig: func(in m) (m, []engine.Failure) {
			var failures []engine.Failure
			for name := range in {
				if name != "version" && name != "__internal" && name != "pluginDownloadURL" {
					failures = append(failures, engine.Failure{
						Property: name,
						Reason:   "the stand-in tls provider takes no configuration: its one way out is the proxy of the environment",
					})
				}
			}
			return in, failures
		},
		Configure: func(context.Context, m) (Client, error) { return Client{}, nil },
	}
}

// digest is pulumi-tls's id of some bytes: the SHA-1 of their form without white space at the ends.
func digest(data []byte) string {
	sum := sha1.Sum([]byte(strings.TrimSpace(string(data)))) // #nosec G401 -- an id
	return hex.EncodeToString(sum[:])
}
