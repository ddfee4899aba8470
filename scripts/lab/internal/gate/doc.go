// Package gate is the one endpoint in front of the lab's emulated AWS account. It is the identity plane itself (IAM,
// STS, IAM Roles Anywhere), checks the signature of every call, evaluates identity, resource, session and trust
// policies before it lets a call through to a service, ends TLS for every AWS host name, answers the lab's DNS
// questions and keeps a CloudTrail-like record.
//
// A verdict is never faked: a call is allowed because a signature, a certificate chain, a policy and a clock said so.
// What is not modelled answers NotImplemented, never a success.
//
// Services live in packages below this one. Each implements Service and, where it needs them, the optional interfaces
// in service.go. The order of a call is:
//
//	route (Host, else credential scope) → authenticate → Service.Requirements → authorize → Service.Serve → event
package gate
