package load

import (
	"encoding/binary"
	"hash/crc32"
)

// stamp is what a record carries for the ledger and for end-to-end latency.
//
// It lies in a record header of its own, key "mr", and not in the value: a value
// taken from a file stays the real line, a JSON event stays JSON, and every
// consumer can skip it. 28 bytes, big-endian:
//
//	 0 run       uint32  tells this run's records from others in the topic
//	 4 producer  uint16
//	 6 zero      uint16
//	 8 sequence  int64   of the producer in the partition, from 0
//	16 intended  int64   ns since the start of the run
//	24 crc       uint32  CRC-32C of the value, then the key, then bytes 0 to 23
//
// The checksum covers what the broker's and the client's own checks do not: a
// batch that was damaged before its CRC was set, or put together wrongly.
//
// The lean client carries none of this in its records; see lean.go.
type stamp struct {
	run      uint32
	producer int
	sequence int64
	intended int64
}

const (
	stampKey  = "mr"
	stampSize = 28
	// stampOverhead is what the header adds to a record: the stamp, its length
	// (1 byte), the key, and its length (1 byte).
	stampOverhead = stampSize + 1 + len(stampKey) + 1
)

// put writes the stamp of a record whose value has the given CRC-32C.
func (s stamp) put(b *[stampSize]byte, valueSum uint32, key []byte) {
	binary.BigEndian.PutUint32(b[0:], s.run)
	binary.BigEndian.PutUint16(b[4:], uint16(s.producer))
	binary.BigEndian.PutUint16(b[6:], 0)
	binary.BigEndian.PutUint64(b[8:], uint64(s.sequence))
	binary.BigEndian.PutUint64(b[16:], uint64(s.intended))
	binary.BigEndian.PutUint32(b[24:], stampSum(valueSum, key, b[:24]))
}

// parseStamp reads a stamp; ours is false where the bytes are no stamp of the
// run, sound where the checksum fits the value and the key.
func parseStamp(b []byte, run uint32, key, value []byte) (s stamp, ours, sound bool) {
	if len(b) != stampSize {
		return s, false, false
	}
	s.run = binary.BigEndian.Uint32(b[0:])
	s.producer = int(binary.BigEndian.Uint16(b[4:]))
	s.sequence = int64(binary.BigEndian.Uint64(b[8:]))
	s.intended = int64(binary.BigEndian.Uint64(b[16:]))
	sum := binary.BigEndian.Uint32(b[24:])
	sound = sum == stampSum(crc32.Checksum(value, castagnoli), key, b[:24])
	return s, s.run == run, sound
}

func stampSum(valueSum uint32, key, head []byte) uint32 {
	return crc32.Update(crc32.Update(valueSum, castagnoli, key), castagnoli, head)
}
