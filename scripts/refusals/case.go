package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"k3s-aws-auth/scripts/internal/setups"
)

// Case is a caller that must be refused.
type Case struct {
	// Name is unique, in words joined by hyphens.
	Name string
	// For says by a setup's facts whether it is tried there; nil means everywhere.
	For func(setups.Setup) bool
	// Here says by the stack itself whether it is tried there; nil means always.
	Here func(*Target) bool
	// What is tried, in words.
	What string
	// Code is the error code that AWS answers, or the HTTP status where the service has no codes (the metadata service,
	// CloudFront), or "timeout" where nothing may answer at all.
	Code string
	// Text is a part of the message; empty where AWS documents none.
	Text string
	// Try makes the call. nil means that the caller got in.
	Try func(ctx context.Context, t *Target) error
}

// The setups of cases, by what their pods present, what these reach, and where the issuer's documents are.
var (
	tokens       = setups.Setup.PresentsToken
	certificates = setups.Setup.PresentsCertificate
	reaching     = setups.Setup.PresentsMetadata
	notReaching  = setups.Setup.ShutsMetadata
	inBucket     = setups.Setup.IssuerIsBucket
	atEdge       = setups.Setup.IssuerIsDistribution
)

// Result is a case and what came of it in one setup.
type Result struct {
	Setup string `json:"setup"`
	Name  string `json:"name"`
	What  string `json:"what"`
	// Want is the code and the text that the refusal must have, Got the answer verbatim.
	Want    string  `json:"want"`
	Got     string  `json:"got"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
}

// cases are all of them, in the order in which they are tried.
var cases = slices.Concat(signedCases, permissionCases, metadataCases, tokenCases, issuerCases, bucketCases, edgeCases, certificateCases,
	sessionCases, injectionCases, imageCases)

// casesOf are the cases of a setup whose names contain one of the given parts; all where none is given.
func casesOf(setup setups.Setup, only []string) []Case {
	var out []Case
	for _, c := range cases {
		of := c.For == nil || c.For(setup)
		named := len(only) == 0 || slices.ContainsFunc(only, func(part string) bool { return strings.Contains(c.Name, part) })
		if of && named {
			out = append(out, c)
		}
	}
	return out
}

// answer is a refusal that came over plain HTTP.
type answer struct {
	Code, Message string
}

// Error has code and message as AWS's SDKs show them.
func (a *answer) Error() string { return a.Code + ": " + a.Message }

// brokenError says that a case could not be tried, which is no refusal.
type brokenError struct{ error }

// Unwrap returns the reason.
func (e brokenError) Unwrap() error { return e.error }

// broken marks an error of the case's own preparations.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return brokenError{err}
}

// where is the case, tried only where the stack has what it needs.
func (c Case) where(here func(*Target) bool) Case {
	c.Here = here
	return c
}

// judge compares what a try got with what it must get.
func (c Case) judge(err error) (got string, ok bool) {
	if err == nil {
		return "no error: the caller got in", false
	}
	var failed brokenError
	if errors.As(err, &failed) {
		return "the case could not be tried: " + err.Error(), false
	}
	code, message, refused := refusal(err)
	if !refused {
		return "no answer of AWS: " + err.Error(), false
	}
	return code + ": " + message, code == c.Code && strings.Contains(message, c.Text)
}

// refusal reads AWS's code and message from an error.
func refusal(err error) (code, message string, ok bool) {
	var plain *answer
	if errors.As(err, &plain) {
		return plain.Code, plain.Message, true
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode(), api.ErrorMessage(), true
	}
	return "", "", false
}

func (c Case) want() string {
	if c.Text == "" {
		return c.Code
	}
	return fmt.Sprintf("%s: …%s…", c.Code, c.Text)
}
