package config

import "slices"

// Setup is what others than a setup itself know of it.
type Setup struct {
	// Name is the value of the configuration key setup.
	Name string `json:"name"`
	Facts
	// Check adds what is wrong with the configuration for this setup alone. It
	// may be nil.
	Check func(*Config, *Problems) `json:"-"`
}

// Facts are what configuration and tools decide by: none of them asks for a
// setup's name. setups.json tells them tools outside of this module.
type Facts struct {
	Presents Presents `json:"presents"`
	Issuer   Place    `json:"issuer"`
	// OwnRoles says that each identity has a role of its own.
	OwnRoles bool `json:"ownRoles"`
	// SourceIdentity says that pods' sessions carry a source identity, which
	// stays with the sessions that are got by them.
	SourceIdentity bool        `json:"sourceIdentity"`
	SessionName    SessionName `json:"sessionName"`
}

// Presents is what a pod shows to AWS.
type Presents string

// What pods may present.
const (
	PresentsMetadata    Presents = "instance-metadata"     // a session of its machine, from the metadata service
	PresentsToken       Presents = "service-account-token" // a token that the API server has signed
	PresentsCertificate Presents = "certificate"           // an X.509 certificate of the program's CA
)

// Place is where the cluster, as the issuer of the tokens that pods present,
// publishes its documents.
type Place string

// Places of the issuer's documents.
const (
	IssuerNone         Place = "none"         // AWS reads no documents
	IssuerBucket       Place = "bucket"       // a public bucket, whose host name is the issuer's
	IssuerDistribution Place = "distribution" // a CDN on a domain of one's own, before a private bucket
)

// SessionName is what pods' sessions are called, in their ARNs and in CloudTrail,
// unless the configuration says otherwise (rolesAnywhere.sessionName).
type SessionName string

// What names a session.
const (
	SessionOfInstance    SessionName = "instance-id"        // the machine's (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-roles.html)
	SessionOfAccount     SessionName = "service-account"    // the identity's, which its pods ask for: names.Session
	SessionOfCertificate SessionName = "certificate-serial" // of CreateSession, unless the profile accepts another
)

// of finds a setup by its name.
func of(setups []Setup, name string) (Setup, bool) {
	i := slices.IndexFunc(setups, func(s Setup) bool { return s.Name == name })
	if i < 0 {
		return Setup{}, false
	}
	return setups[i], true
}

// Facts are those of the setup that is chosen.
func (c *Config) Facts() Facts { return c.facts }

// Injects reports whether the setup gives pods something that could be injected.
func (c *Config) Injects() bool { return c.facts.Presents == PresentsToken }
