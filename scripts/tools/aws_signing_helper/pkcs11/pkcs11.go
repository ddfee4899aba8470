// Package pkcs11 stands in for github.com/miekg/pkcs11 where there is no C compiler: it has the names that
// aws_signing_helper uses, and every call answers that PKCS #11 is not supported.
package pkcs11

import "errors"

var errUnsupported = errors.New("PKCS #11 is not supported by this build of aws_signing_helper")

type (
	Ctx           struct{}
	SessionHandle uint
	ObjectHandle  uint
	SlotInfo      struct {
		SlotDescription string
		ManufacturerID  string
		Flags           uint
		HardwareVersion Version
		FirmwareVersion Version
	}
	TokenInfo struct {
		Label          string
		ManufacturerID string
		Model          string
		SerialNumber   string
		Flags          uint
	}
	Info struct {
		CryptokiVersion    Version
		ManufacturerID     string
		Flags              uint
		LibraryDescription string
		LibraryVersion     Version
	}
	Version   struct{ Major, Minor byte }
	Attribute struct {
		Type  uint
		Value []byte
	}
	Mechanism struct {
		Mechanism uint
		Parameter []byte
	}
)

// The values are those of the PKCS #11 standard, version 2.40.
const (
	CKA_CLASS               = 0x00
	CKA_LABEL               = 0x03
	CKA_VALUE               = 0x11
	CKA_KEY_TYPE            = 0x100
	CKA_ID                  = 0x102
	CKA_ALWAYS_AUTHENTICATE = 0x202
	CKF_SERIAL_SESSION      = 0x04
	CKK_RSA                 = 0x00
	CKK_EC                  = 0x03
	CKM_ECDSA               = 0x1041
	CKM_SHA256_RSA_PKCS     = 0x40
	CKM_SHA384_RSA_PKCS     = 0x41
	CKM_SHA512_RSA_PKCS     = 0x42
	CKO_CERTIFICATE         = 0x01
	CKO_PRIVATE_KEY         = 0x03
	CKS_RO_PUBLIC_SESSION   = 0
	CKU_USER                = 1
	CKU_CONTEXT_SPECIFIC    = 2
)

func New(string) *Ctx                                                 { return nil }
func NewAttribute(typ uint, _ any) *Attribute                         { return &Attribute{Type: typ} }
func NewMechanism(mech uint, _ any) *Mechanism                        { return &Mechanism{Mechanism: mech} }
func (*Ctx) Initialize() error                                        { return errUnsupported }
func (*Ctx) Finalize() error                                          { return errUnsupported }
func (*Ctx) Destroy()                                                 {}
func (*Ctx) GetSlotList(bool) ([]uint, error)                         { return nil, errUnsupported }
func (*Ctx) GetSlotInfo(uint) (SlotInfo, error)                       { return SlotInfo{}, errUnsupported }
func (*Ctx) GetTokenInfo(uint) (TokenInfo, error)                     { return TokenInfo{}, errUnsupported }
func (*Ctx) OpenSession(uint, uint) (SessionHandle, error)            { return 0, errUnsupported }
func (*Ctx) CloseSession(SessionHandle) error                         { return errUnsupported }
func (*Ctx) Login(SessionHandle, uint, string) error                  { return errUnsupported }
func (*Ctx) Logout(SessionHandle) error                               { return errUnsupported }
func (*Ctx) FindObjectsInit(SessionHandle, []*Attribute) error        { return errUnsupported }
func (*Ctx) FindObjectsFinal(SessionHandle) error                     { return errUnsupported }
func (*Ctx) Sign(SessionHandle, []byte) ([]byte, error)               { return nil, errUnsupported }
func (*Ctx) SignInit(SessionHandle, []*Mechanism, ObjectHandle) error { return errUnsupported }

func (*Ctx) FindObjects(SessionHandle, int) ([]ObjectHandle, bool, error) {
	return nil, false, errUnsupported
}

func (*Ctx) GetAttributeValue(SessionHandle, ObjectHandle, []*Attribute) ([]*Attribute, error) {
	return nil, errUnsupported
}
