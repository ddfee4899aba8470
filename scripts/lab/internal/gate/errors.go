package gate

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// Protocol is one of AWS's wire protocols.
type Protocol int

const (
	// ProtocolQuery is form-encoded with XML answers: IAM, STS, Elastic Load Balancing.
	ProtocolQuery Protocol = iota
	// ProtocolEC2 is EC2's variant of query.
	ProtocolEC2
	// ProtocolS3 is rest-xml with S3's bare <Error>.
	ProtocolS3
	// ProtocolRESTXML is rest-xml with <ErrorResponse>: Route 53, CloudFront.
	ProtocolRESTXML
	// ProtocolJSON11 is application/x-amz-json-1.1 with X-Amz-Target: SSM, ACM.
	ProtocolJSON11
	// ProtocolJSON10 is application/x-amz-json-1.0 with X-Amz-Target: Cloud Control.
	ProtocolJSON10
	// ProtocolRESTJSON is rest-json: Roles Anywhere.
	ProtocolRESTJSON
	// ProtocolCBOR is Smithy RPC v2 CBOR: CloudWatch.
	ProtocolCBOR
)

// jsonTypes are the content types of the protocols that name their operation in X-Amz-Target.
var jsonTypes = map[Protocol]string{ProtocolJSON11: "application/x-amz-json-1.1", ProtocolJSON10: "application/x-amz-json-1.0"}

// Error is an AWS error: a code, a message and an HTTP status.
type Error struct {
	Code, Message string
	// Status is the HTTP status; 400 where 0.
	Status int
	// Resource and Extra (in order of sorted names) appear in S3's errors, e.g. BucketName.
	Resource string
	Extra    map[string]string
}

// Error returns "Code: message".
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an Error with a formatted message.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: status}
}

// NotImplemented is the answer for what the lab does not model; what names it in the user's words.
func NotImplemented(what string) *Error {
	return &Error{Code: "NotImplemented", Status: http.StatusNotImplemented,
		Message: what + " is not implemented by this lab"}
}

// AsError returns the AWS error in err's chain, else an InternalFailure with err's text.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

// WriteError answers with an error in the protocol of the call and remembers it for the event record.
func WriteError(w http.ResponseWriter, c *Call, err error) {
	e := AsError(err)
	c.failure = e
	writeError(w, c.protocol, e, c.RequestID, c.R)
}

// writeError writes one error document.
func writeError(w http.ResponseWriter, p Protocol, e *Error, requestID string, r *http.Request) {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	fault := "Sender"
	if status >= 500 {
		fault = "Receiver"
	}
	h := w.Header()
	h.Set("x-amzn-RequestId", requestID)
	var body []byte
	switch p {
	case ProtocolJSON11, ProtocolJSON10:
		h.Set("Content-Type", jsonTypes[p])
		body, _ = json.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
	case ProtocolRESTJSON:
		h.Set("Content-Type", "application/json")
		h.Set("x-amzn-ErrorType", e.Code)
		body, _ = json.Marshal(map[string]string{"message": e.Message})
	case ProtocolCBOR:
		body = cborError(h, e)
	case ProtocolS3:
		h.Set("Content-Type", "application/xml")
		h.Set("x-amz-request-id", requestID)
		h.Set("x-amz-id-2", requestID)
		body = s3Error(e, requestID)
	case ProtocolEC2:
		h.Set("Content-Type", "text/xml;charset=UTF-8")
		body = marshalXML(ec2ErrorResponse{Errors: []xmlError{{Code: e.Code, Message: e.Message}}, RequestID: requestID})
	case ProtocolRESTXML:
		h.Set("Content-Type", "text/xml")
		body = marshalXML(queryErrorResponse{Error: xmlError{Type: fault, Code: e.Code, Message: e.Message}, RequestID: requestID})
	default:
		h.Set("Content-Type", "text/xml")
		body = marshalXML(queryErrorResponse{Error: xmlError{Type: fault, Code: e.Code, Message: e.Message}, RequestID: requestID})
	}
	w.WriteHeader(status)
	if r == nil || r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

type xmlError struct {
	Type    string `xml:"Type,omitempty"`
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
}

type queryErrorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Error     xmlError `xml:"Error"`
	RequestID string   `xml:"RequestId"`
}

type ec2ErrorResponse struct {
	XMLName   xml.Name   `xml:"Response"`
	Errors    []xmlError `xml:"Errors>Error"`
	RequestID string     `xml:"RequestID"`
}

type xmlText struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

type s3ErrorResponse struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string   `xml:"Code"`
	Message   string   `xml:"Message"`
	Extra     []xmlText
	Resource  string `xml:"Resource,omitempty"`
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

func s3Error(e *Error, requestID string) []byte {
	out := s3ErrorResponse{Code: e.Code, Message: e.Message, Resource: e.Resource, RequestID: requestID, HostID: requestID}
	for _, name := range sortedKeys(e.Extra) {
		out.Extra = append(out.Extra, xmlText{XMLName: xml.Name{Local: name}, Value: e.Extra[name]})
	}
	return marshalXML(out)
}

// marshalXML returns a document with the XML declaration. It panics where the value cannot be marshalled: the types are
// the program's own.
func marshalXML(v any) []byte {
	b, err := xml.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	return append([]byte(xml.Header), b...)
}

// WriteQuery answers a query call of the given XML namespace: <ActionResponse><ActionResult>…</ActionResult>
// <ResponseMetadata/></ActionResponse>. result is a struct whose fields become the result's elements; nil for none.
func WriteQuery(w http.ResponseWriter, c *Call, namespace string, result any) {
	response := queryResponse{XMLName: xml.Name{Space: namespace, Local: c.Action + "Response"}}
	if result != nil {
		response.Result = &queryResult{name: c.Action + "Result", value: result}
	}
	response.Metadata.RequestID = c.RequestID
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(marshalXML(response))
}

type queryResponse struct {
	XMLName  xml.Name
	Result   *queryResult
	Metadata struct {
		RequestID string `xml:"RequestId"`
	} `xml:"ResponseMetadata"`
}

type queryResult struct {
	name  string
	value any
}

// MarshalXML writes the result under the name of its action.
func (r *queryResult) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(r.value, xml.StartElement{Name: xml.Name{Local: r.name}})
}

// WriteJSON answers a JSON call; the content type follows the protocol of the call.
func WriteJSON(w http.ResponseWriter, c *Call, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	w.Header().Set("Content-Type", cmp.Or(jsonTypes[c.protocol], "application/json"))
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
