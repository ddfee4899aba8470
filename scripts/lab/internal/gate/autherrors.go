package gate

import "net/http"

// authFailure is a reason for which a call is not authenticated.
type authFailure string

const (
	failUnsigned         authFailure = "unsigned"
	failMalformed        authFailure = "malformed"
	failScopeDate        authFailure = "scope date"
	failUnsignedHeaders  authFailure = "unsigned headers"
	failMismatch         authFailure = "mismatch"
	failRegion           authFailure = "region"
	failSkewed           authFailure = "skewed"
	failPresignedExpired authFailure = "presigned expired"
	failUnknownKey       authFailure = "unknown key"
	failBadToken         authFailure = "bad token"
	failExpiredToken     authFailure = "expired token"
)

const (
	mismatchText = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	invalidToken = "The security token included in the request is invalid."
	expiredToken = "The security token included in the request is expired"
	wrongRegion  = "Credential should be scoped to a valid region. "
)

// authError is the error that a service of the given protocol answers for a failure of authentication; detail replaces
// or completes the text where AWS's text has such a part (for failRegion it is the expected region). Codes by the
// "Common errors" page of each service's API reference.
func authError(p Protocol, failure authFailure, detail string) *Error {
	switch p {
	case ProtocolS3:
		return authErrorS3(failure, detail)
	case ProtocolEC2:
		return authErrorEC2(failure, detail)
	case ProtocolJSON11, ProtocolJSON10:
		return authErrorJSON(http.StatusBadRequest, failure, detail)
	case ProtocolRESTJSON:
		return authErrorJSON(http.StatusForbidden, failure, detail)
	}
	code, message, status := "SignatureDoesNotMatch", detail, http.StatusForbidden
	switch failure {
	case failUnsigned:
		code, message = "MissingAuthenticationToken", "Request is missing Authentication Token"
	case failMalformed:
		code, status = "IncompleteSignature", http.StatusBadRequest
	case failRegion:
		message = wrongRegion
	case failPresignedExpired:
		code, message = "RequestExpired", "Request has expired."
	case failUnknownKey, failBadToken:
		code, message = "InvalidClientTokenId", invalidToken
	case failExpiredToken:
		code, message = "ExpiredToken", expiredToken
	}
	return &Error{Code: code, Message: orText(message, mismatchText), Status: status}
}

func authErrorS3(failure authFailure, detail string) *Error {
	code, message, status := "SignatureDoesNotMatch", mismatchS3, http.StatusForbidden
	switch failure {
	case failUnsigned:
		code, message = "AccessDenied", "Access Denied"
	case failMalformed, failScopeDate:
		code, message, status = "AuthorizationHeaderMalformed", "The authorization header is malformed; "+detail, http.StatusBadRequest
	case failUnsignedHeaders:
		e := Errorf(status, "AccessDenied", "There were headers present in the request which were not signed")
		e.Extra = map[string]string{"HeadersNotSigned": detail}
		return e
	case failRegion:
		e := Errorf(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; a region is wrong; expecting '%s'", detail)
		e.Extra = map[string]string{"Region": detail}
		return e
	case failSkewed:
		code, message = "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
	case failPresignedExpired:
		code, message = "AccessDenied", "Request has expired"
	case failUnknownKey:
		code, message = "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
	case failBadToken:
		code, message, status = "InvalidToken", "The provided token is malformed or otherwise invalid.", http.StatusBadRequest
	case failExpiredToken:
		code, message, status = "ExpiredToken", "The provided token has expired.", http.StatusBadRequest
	}
	return &Error{Code: code, Message: message, Status: status}
}

const mismatchS3 = "The request signature we calculated does not match the signature you provided. Check your key and signing method."

func authErrorEC2(failure authFailure, detail string) *Error {
	code, message, status := "AuthFailure", "AWS was not able to validate the provided access credentials", http.StatusUnauthorized
	switch failure {
	case failUnsigned:
		code, message, status = "MissingParameter", "The request must contain the parameter AWSAccessKeyId", http.StatusBadRequest
	case failMalformed, failScopeDate:
		code, message, status = "IncompleteSignature", detail, http.StatusBadRequest
	case failSkewed, failPresignedExpired, failExpiredToken:
		code, message, status = "RequestExpired", "Request has expired.", http.StatusBadRequest
	}
	return &Error{Code: code, Message: message, Status: status}
}

func authErrorJSON(status int, failure authFailure, detail string) *Error {
	code, message := "InvalidSignatureException", detail
	switch failure {
	case failUnsigned:
		code, message = "MissingAuthenticationTokenException", "Missing Authentication Token"
	case failMalformed:
		code = "IncompleteSignatureException"
	case failRegion:
		message = wrongRegion
	case failUnknownKey, failBadToken:
		code, message = "UnrecognizedClientException", invalidToken
	case failExpiredToken:
		code, message = "ExpiredTokenException", expiredToken
	}
	return &Error{Code: code, Message: orText(message, mismatchText), Status: status}
}

func orText(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
