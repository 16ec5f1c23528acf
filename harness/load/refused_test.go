package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// TestRefused: whatever bit of a batch falls over, franz-go's error is taken for
// damage. Only the fields in front of what the CRC covers can change without one:
// there, what the records' own stamps and offsets say is left. Where the CRC was
// made anew, as by a broker that damages what it stores, so does what lies inside.
func TestRefused(t *testing.T) {
	const crcFrom, covered = 17, 21 // the CRC, and what it is of
	for _, codec := range []batching.Codec{batching.None, batching.Gzip, batching.Snappy, batching.LZ4, batching.Zstd} {
		for _, reseal := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/resealed=%v", codec, reseal), func(t *testing.T) {
				build := batching.NewBuilder(batching.Options{Codec: codec})
				for i := range 20 {
					require.NoError(t, build.Append(1e12, fmt.Appendf(nil, "key %d", i), fmt.Appendf(nil, "value value value %d", i), nil))
				}
				whole, err := build.Build(nil)
				require.NoError(t, err)
				read := func(raw []byte) (int, error) {
					rp := kmsg.NewFetchResponseTopicPartition()
					rp.RecordBatches = raw
					fp, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "events"}, &rp, kgo.DefaultDecompressor(), nil)
					return len(fp.Records), fp.Err
				}
				n, err := read(whole)
				require.NoError(t, err)
				require.Equal(t, 20, n)
				met := 0
				for bit := range len(whole) * 8 {
					raw := append([]byte(nil), whole...)
					raw[bit/8] ^= 1 << (bit % 8)
					if reseal {
						if bit/8 < covered {
							continue
						}
						binary.BigEndian.PutUint32(raw[crcFrom:], crc32.Checksum(raw[covered:], castagnoli))
					}
					switch _, err := read(raw); {
					case err != nil:
						require.True(t, refused(err), "bit %d: %v", bit, err)
						met++
					case !reseal:
						require.Less(t, bit/8, crcFrom, "bit %d went unnoticed", bit)
					}
				}
				if reseal {
					t.Logf("%d of %d bits were refused", met, 8*(len(whole)-covered))
				}
				require.True(t, met > 0 || reseal && codec == batching.None, "nothing was refused")
			})
		}
	}
	require.True(t, refused(&kgo.ErrDecompressTooLarge{Topic: "events"}))
	// The negative control: what is no damage is not taken for it.
	for _, err := range []error{
		kerr.NotLeaderForPartition, kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.OffsetOutOfRange, kerr.UnknownServerError,
		kgo.ErrClientClosed, &kgo.ErrDataLoss{Topic: "a"}, &kgo.ErrGroupSession{Err: kerr.RebalanceInProgress}, &kgo.ErrFirstReadEOF{},
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, errors.New("dial tcp: connection refused"),
	} {
		require.False(t, refused(err), "%v", err)
	}
}
