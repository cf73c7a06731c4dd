package systemd

import "io"

// Message types of the D-Bus protocol.
const (
	methodCall = iota + 1
	methodReturn
	methodError
	signal
)

// Header fields, by their numbers.
const (
	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
	fields           = 9
)

// maxMessage is far above the size of systemd's messages, and harmless.
const maxMessage = 1 << 20

// message is one message:
//
//	byte  byte   byte    byte   uint32   uint32   array of (byte, variant)   to 8 bytes
//	'l'   type   flags   1      length   serial   header fields              padding      body
type message struct {
	kind   byte
	serial uint32
	header [fields]any // by field; nil for none
	body   []byte
}

// newMessage returns a message with a body of values.
func newMessage(kind byte, header map[int]any, sig string, body ...any) (*message, error) {
	m := &message{kind: kind}
	for field, v := range header {
		m.header[field] = v
	}
	if sig != "" {
		m.header[fieldSignature] = sig
	}
	var e encoder
	e.values(sig, body)
	m.body = e.buf
	return m, e.err
}

func (m *message) encode() ([]byte, error) {
	types := [fields]string{fieldPath: "o", fieldReplySerial: "u", fieldSignature: "g"}
	var header []any
	for field, v := range m.header {
		if v == nil {
			continue
		}
		t := types[field]
		if t == "" {
			t = "s"
		}
		header = append(header, []any{byte(field), Variant{t, v}})
	}
	var e encoder
	e.values("yyyyuua(yv)", []any{byte('l'), m.kind, byte(0), byte(1), uint32(len(m.body)), m.serial, header})
	e.pad(8)
	return append(e.buf, m.body...), e.err
}

// readMessage reads one message. It does not parse the body.
func readMessage(r io.Reader) (*message, error) {
	const begin, length = 16, 12 // of the header fields
	head := make([]byte, begin)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body, header := order.Uint32(head[4:]), order.Uint32(head[length:])
	if head[0] != 'l' || head[3] != 1 || body > maxMessage || header > maxMessage {
		return nil, errMessage
	}
	rest := make([]byte, (header+7)&^7+body)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, err
	}
	m := &message{kind: head[1], serial: order.Uint32(head[8:]), body: rest[(header+7)&^7:]}
	d := decoder{buf: append(head, rest[:header]...), at: begin}
	for d.err == nil && d.at < len(d.buf) {
		field := d.take(1, 8)[0]
		if v := d.value("v"); field < fields {
			m.header[field] = v
		}
	}
	return m, d.err
}

// text returns a header field, "" if it is missing.
func (m *message) text(field int) string {
	s, _ := m.header[field].(string)
	return s
}

// values parses a body with this signature.
func (m *message) values(sig string) ([]any, error) {
	if m.text(fieldSignature) != sig {
		return nil, errMessage
	}
	d := decoder{buf: m.body}
	var all []any
	for i := range sig {
		all = append(all, d.value(sig[i:i+1]))
	}
	return all, d.err
}
