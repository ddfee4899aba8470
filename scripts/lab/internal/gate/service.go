package gate

import (
	"crypto/tls"
	"net/http"

	"k3s-aws-auth/scripts/internal/policy"
)

// Service is one AWS service behind the gate. Implementations are safe for concurrent use.
type Service interface {
	// Name is the service's signing name: "s3", "ec2", "ssm", "acm", "route53", "cloudfront", "elasticloadbalancing".
	Name() string
	// Protocol is the wire protocol, which decides the form of errors.
	Protocol() Protocol
	// Requirements says what the caller must be allowed to do. It parses as much of the call as that takes, and for REST
	// protocols sets Call.Action. Context needs only the service's own condition keys: the gate adds the global ones
	// (aws:PrincipalArn, aws:SourceIp, aws:RequestedRegion, ...). An empty list means that the call needs no permission.
	// An error (usually *Error, e.g. NoSuchBucket or NotImplemented) ends the call.
	Requirements(c *Call) ([]policy.Request, error)
	// Serve answers an authorized call. Errors go through WriteError, so that the event records them.
	Serve(w http.ResponseWriter, c *Call)
}

// ResourcePolicies is implemented by services whose resources carry policies (S3 buckets).
type ResourcePolicies interface {
	// ResourcePolicies returns the policies attached to the resource of one requirement; none is not an error. An error
	// ends the call.
	ResourcePolicies(c *Call, req policy.Request) ([]*policy.Document, error)
}

// Protocols is implemented by services that speak more than one wire protocol.
type Protocols interface {
	// ProtocolFor returns the protocol of a request, in place of Service.Protocol.
	ProtocolFor(r *http.Request) Protocol
}

// protocolOf is the protocol of a request for a service.
func protocolOf(s Service, r *http.Request) Protocol {
	if p, ok := s.(Protocols); ok {
		return p.ProtocolFor(r)
	}
	return s.Protocol()
}

// AnonymousCalls is implemented by services that may accept unsigned calls. For other services an unsigned call is
// MissingAuthenticationToken.
type AnonymousCalls interface {
	// AllowsAnonymous tells whether this unsigned call goes on to authorization with a nil Principal.
	AllowsAnonymous(c *Call) bool
}

// HostHandler is implemented by services that serve whole sites by Host, not AWS API calls: CloudFront's edge. Such
// requests are neither authenticated nor authorized by the gate.
type HostHandler interface {
	// HandlesHost gets a lower-case host name without port.
	HandlesHost(host string) bool
	ServeHost(w http.ResponseWriter, r *http.Request)
}

// CertificateSource is implemented by services that bring their own certificates for host names: CloudFront presents
// the ACM certificate of an alias. The gate's web CA signs for all other names it knows.
type CertificateSource interface {
	// TLSConfig returns the configuration for a handshake, or nil where the name is not the service's. An error aborts
	// the handshake.
	TLSConfig(hello *tls.ClientHelloInfo) (*tls.Config, error)
}

// Resolver is implemented by services that answer for DNS names: Route 53's zones, *.cloudfront.net, load balancers.
type Resolver interface {
	// LookupDNS returns the records of a lower-case name without trailing dot: of type A or CNAME (an alias record of
	// Route 53 is given as its target by CNAME), or of any other type that was asked for by Gate.Lookup. An empty result
	// means that the service does not know the name.
	LookupDNS(name string) []DNSRecord
}

// Inventory is implemented by services that can list what is left in the account: kind (such as "s3 bucket") to ids.
// What an account has from birth (managed policies, default VPC) is not listed.
type Inventory interface {
	Inventory() map[string][]string
}

// InstanceProfiles is implemented by the EC2 service: it tells which instance profile a machine has.
type InstanceProfiles interface {
	// InstanceProfileOf returns the name or ARN of the instance profile associated with a running instance.
	InstanceProfileOf(instanceID string) (profile string, ok bool)
}

// DNSRecord is one record of the gate's DNS view.
type DNSRecord struct {
	Name  string `json:"name"`
	Type  string `json:"type"` // A, AAAA, CNAME, TXT
	Value string `json:"value"`
	TTL   int    `json:"ttl,omitempty"`
}
