package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // a checksum that S3 offers, not a protection
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"math/bits"
	"net/http"
	"strconv"
	"strings"
)

// ErrChunks says that the aws-chunked framing or one of its signatures or checksums is wrong.
var ErrChunks = errors.New("malformed aws-chunked payload")

// IsChunked tells whether the payload is in aws-chunked framing.
func IsChunked(r *http.Request) bool {
	switch r.Header.Get("X-Amz-Content-Sha256") {
	case StreamingSigned, StreamingSignedTrailer, StreamingUnsignedTrailer:
		return true
	}
	return false
}

// DecodeChunks removes the aws-chunked framing of a verified request's payload. Chunk and trailer signatures are
// verified where the payload is of a signed kind (secret is then the caller's), the length is held against
// X-Amz-Decoded-Content-Length, and checksum trailers against the payload. The trailers are returned. Errors: ErrChunks,
// ErrMismatch.
func (s *Signature) DecodeChunks(r *http.Request, body []byte, secret string) (payload []byte, trailer http.Header, err error) {
	kind := r.Header.Get("X-Amz-Content-Sha256")
	signed := kind != StreamingUnsignedTrailer
	previous := s.Value
	key := s.key(secret)
	var out bytes.Buffer
	rest := body
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if !ok {
			return nil, nil, fmt.Errorf("%w: chunk header without end", ErrChunks)
		}
		sizeText, extension, _ := strings.Cut(string(line), ";")
		size, err := strconv.ParseUint(sizeText, 16, 31)
		if err != nil || uint64(len(after)) < size {
			return nil, nil, fmt.Errorf("%w: chunk size %q", ErrChunks, sizeText)
		}
		chunk := after[:size]
		rest = after[size:]
		if signed {
			signature := strings.TrimPrefix(extension, "chunk-signature=")
			text := HMAC + "-PAYLOAD\n" + s.Time.UTC().Format(TimeFormat) + "\n" + s.Scope() + "\n" + previous + "\n" +
				hexHash(nil) + "\n" + hexHash(chunk)
			if !hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac(key, text)))) {
				return nil, nil, fmt.Errorf("%w: chunk", ErrMismatch)
			}
			previous = signature
		}
		if size == 0 {
			break
		}
		out.Write(chunk)
		if !bytes.HasPrefix(rest, []byte("\r\n")) {
			return nil, nil, fmt.Errorf("%w: chunk without end", ErrChunks)
		}
		rest = rest[2:]
	}
	payload = out.Bytes()
	if want := r.Header.Get("X-Amz-Decoded-Content-Length"); want != "" && want != strconv.Itoa(len(payload)) {
		return nil, nil, fmt.Errorf("%w: %d bytes, X-Amz-Decoded-Content-Length is %s", ErrChunks, len(payload), want)
	}
	trailer, text, signature, err := readTrailer(rest)
	if err != nil {
		return nil, nil, err
	}
	if kind == StreamingSignedTrailer {
		toSign := HMAC + "-TRAILER\n" + s.Time.UTC().Format(TimeFormat) + "\n" + s.Scope() + "\n" + previous + "\n" +
			hexHash([]byte(text))
		if !hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac(key, toSign)))) {
			return nil, nil, fmt.Errorf("%w: trailer", ErrMismatch)
		}
	}
	for name, values := range trailer {
		if want, ok := Checksum(name, payload); ok && (len(values) != 1 || values[0] != want) {
			return nil, nil, fmt.Errorf("%w: %s is %q, computed %q", ErrChunks, name, values, want)
		}
	}
	return payload, trailer, nil
}

// readTrailer returns the trailing headers, the text of them that is signed, and the trailer's signature.
func readTrailer(rest []byte) (http.Header, string, string, error) {
	header := http.Header{}
	var signed strings.Builder
	signature := ""
	for line := range strings.SplitSeq(string(rest), "\r\n") {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, "", "", fmt.Errorf("%w: trailer %q", ErrChunks, line)
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "x-amz-trailer-signature" {
			signature = value
			continue
		}
		signed.WriteString(name + ":" + value + "\n")
		header.Add(name, value)
	}
	return header, signed.String(), signature, nil
}

// crc64NVME is the table of CRC-64/NVME.
var crc64NVME = crc64.MakeTable(bits.Reverse64(0xad93d23594c93659))

// Checksum computes the base64 value of one of S3's checksum headers (any case) for a payload. ok is false for other
// names.
func Checksum(name string, payload []byte) (value string, ok bool) {
	var sum []byte
	switch strings.ToLower(name) {
	case "x-amz-checksum-crc32":
		sum = binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(payload))
	case "x-amz-checksum-crc32c":
		sum = binary.BigEndian.AppendUint32(nil, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	case "x-amz-checksum-crc64nvme":
		sum = binary.BigEndian.AppendUint64(nil, crc64.Checksum(payload, crc64NVME))
	case "x-amz-checksum-sha1":
		h := sha1.Sum(payload) //nolint:gosec // a checksum that S3 offers, not a protection
		sum = h[:]
	case "x-amz-checksum-sha256":
		h := sha256.Sum256(payload)
		sum = h[:]
	default:
		return "", false
	}
	return base64.StdEncoding.EncodeToString(sum), true
}
