package criu

import (
	"encoding/binary"
	"errors"
)

// Marks at the start of CRIU's file stats-dump, and fields of its message.
const (
	statsService = 0x55105940
	statsMagic   = 0x57093306
	fieldDump    = 1 // StatsEntry.dump
	fieldWritten = 7 // DumpStatsEntry.pages_written
)

// MaxStats bounds the size of stats-dump in bytes. CRIU 4.2 writes about 60.
const MaxStats = 4096

var errStats = errors.New("it is not a stats-dump of criu")

// PagesWritten reads the number of memory pages that a dump or a pre-dump wrote from
// its file stats-dump:
//
//	0   the mark of service files, little-endian like all numbers
//	4   the mark of statistics
//	8   length of the message
//	12  StatsEntry, a protobuf message
func PagesWritten(stats []byte) (uint64, error) {
	const header = 12
	if len(stats) < header || binary.LittleEndian.Uint32(stats) != statsService || binary.LittleEndian.Uint32(stats[4:]) != statsMagic {
		return 0, errStats
	}
	message := stats[header:]
	if int64(binary.LittleEndian.Uint32(stats[8:])) != int64(len(message)) {
		return 0, errStats
	}
	dump, _, err := field(message, fieldDump)
	if err != nil {
		return 0, err
	}
	_, pages, err := field(dump, fieldWritten)
	return pages, err
}

// field returns a field of a protobuf message that consists of numbers and of nested
// messages: the bytes of a nested message, or a number.
func field(message []byte, number uint64) (nested []byte, value uint64, err error) {
	const varint, bytes = 0, 2 // wire types
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, 0, errStats
		}
		message = message[n:]
		v, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, 0, errStats
		}
		message = message[n:]
		nested = nil
		switch key & 7 {
		case varint:
		case bytes:
			if v > uint64(len(message)) {
				return nil, 0, errStats
			}
			nested, message = message[:v], message[v:]
		default:
			return nil, 0, errStats
		}
		if key>>3 == number {
			return nested, v, nil
		}
	}
	return nil, 0, errStats
}
