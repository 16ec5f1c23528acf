package wire

import (
	"fmt"
	"testing"
)

// What a broker does with the smallest hot requests: decode one partition,
// write its answer.

func BenchmarkParseHeader(b *testing.B) {
	for _, version := range []int16{7, 11} {
		b.Run(fmt.Sprintf("version=%d", version), func(b *testing.B) {
			frame := AppendRequestHeader(nil, Header{Key: KeyProduce, Version: version, ClientID: []byte("client")})
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ParseHeader(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProduce(b *testing.B) {
	for _, version := range []int16{7, 11, 13} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("version=%d/batch=%d", version, size), func(b *testing.B) {
				sent := &ProduceRequest{Acks: -1, TimeoutMillis: 30000}
				t := sent.AddTopic()
				t.Name = []byte("events")
				t.AddPartition().Records = make([]byte, size)
				body := sent.Append(nil, version)
				var req ProduceRequest
				var resp ProduceResponse
				var dst []byte
				b.ReportAllocs()
				for b.Loop() {
					if err := req.Decode(version, body); err != nil {
						b.Fatal(err)
					}
					resp.Reset()
					for i := range req.Topics {
						t := resp.AddTopic()
						t.Name, t.ID = req.Topics[i].Name, req.Topics[i].ID
						for j := range req.Topics[i].Partitions {
							t.AddPartition().Index = req.Topics[i].Partitions[j].Index
						}
					}
					dst = AppendResponseHeader(append(dst[:0], 0, 0, 0, 0), KeyProduce, version, 1)
					dst = resp.Append(dst, version)
				}
			})
		}
	}
}

func BenchmarkFetch(b *testing.B) {
	for _, version := range []int16{11, 16} {
		for _, partitions := range []int{1, 16} {
			b.Run(fmt.Sprintf("version=%d/partitions=%d", version, partitions), func(b *testing.B) {
				var sent FetchRequest
				sent.Reset()
				t := sent.AddTopic()
				t.Name = []byte("events")
				for i := range partitions {
					t.AddPartition().Index = int32(i)
				}
				body := sent.Append(nil, version)
				var req FetchRequest
				var resp FetchResponse
				var dst []byte
				b.ReportAllocs()
				for b.Loop() {
					if err := req.Decode(version, body); err != nil {
						b.Fatal(err)
					}
					resp.Reset()
					for i := range req.Topics {
						t := resp.AddTopic()
						t.Name, t.ID = req.Topics[i].Name, req.Topics[i].ID
						for j := range req.Topics[i].Partitions {
							p := t.AddPartition()
							p.Index, p.RecordsLen = req.Topics[i].Partitions[j].Index, 1<<20
						}
					}
					dst = AppendResponseHeader(append(dst[:0], 0, 0, 0, 0), KeyFetch, version, 1)
					dst = resp.Append(dst, version)
				}
			})
		}
	}
}

func BenchmarkFetchResponseDecode(b *testing.B) {
	for _, version := range []int16{11, 16} {
		b.Run(fmt.Sprintf("version=%d", version), func(b *testing.B) {
			var sent FetchResponse
			t := sent.AddTopic()
			t.Name = []byte("events")
			p := t.AddPartition()
			p.Records = make([]byte, 1<<20)
			p.RecordsLen = len(p.Records)
			body := encode(&sent, version)
			var resp FetchResponse
			b.ReportAllocs()
			for b.Loop() {
				if err := resp.Decode(version, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeKmsg(b *testing.B) {
	body := []byte{0, 0, 0, 1, 0, 6, 'e', 'v', 'e', 'n', 't', 's', 1, 0, 0}
	b.Run("api=Metadata/version=8", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeKmsg(3, 8, body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
