package gate

import (
	"net/http"

	"github.com/aws/smithy-go/encoding/cbor"
)

// cborError is the body of an error in Smithy RPC v2 CBOR; it sets the headers that go with it.
func cborError(h http.Header, e *Error) []byte {
	h.Set("Content-Type", "application/cbor")
	h.Set("Smithy-Protocol", "rpc-v2-cbor")
	return cbor.Encode(cbor.Map{"__type": cbor.String(e.Code), "message": cbor.String(e.Message)})
}
