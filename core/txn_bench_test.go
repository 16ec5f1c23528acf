package core

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkTransaction is one transaction of a record in each of ten partitions,
// by franz-go over loopback, with the promise of the page cache. p50-ms is the
// median of the whole, commit-p50-ms that of its EndTxn.
func BenchmarkTransaction(b *testing.B) {
	for _, version := range []int16{1, 2} {
		b.Run(fmt.Sprintf("version=%d", version), func(b *testing.B) {
			const partitions = 10
			broker := start(b, testConfig(b))
			p := dial(b, broker)
			createTopic(b, p, "t", partitions)
			if version == 1 {
				u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
				u.Feature, u.MaxVersionLevel, u.UpgradeType = "transaction.version", 1, safeDowngrade
				req := kmsg.NewPtrUpdateFeaturesRequest()
				req.FeatureUpdates = append(req.FeatureUpdates, u)
				require.Zero(b, ask[*kmsg.UpdateFeaturesResponse](p, 2, req).ErrorCode)
			}
			c, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.TransactionalID("tx"), kgo.ProducerLinger(0),
				kgo.RecordPartitioner(kgo.ManualPartitioner()))
			require.NoError(b, err)
			defer c.Close()
			ctx := context.Background()
			value := make([]byte, 100)
			var whole, ends []time.Duration
			once := func() {
				began := time.Now()
				if err := c.BeginTransaction(); err != nil {
					b.Fatal(err)
				}
				for i := range int32(partitions) {
					c.Produce(ctx, &kgo.Record{Topic: "t", Partition: i, Value: value}, nil)
				}
				if err := c.Flush(ctx); err != nil {
					b.Fatal(err)
				}
				ending := time.Now()
				if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
					b.Fatal(err)
				}
				whole, ends = append(whole, time.Since(began)), append(ends, time.Since(ending))
			}
			once()
			whole, ends = nil, nil
			for b.Loop() {
				once()
			}
			b.ReportMetric(medianMillis(whole), "p50-ms")
			b.ReportMetric(medianMillis(ends), "commit-p50-ms")
		})
	}
}

func medianMillis(ds []time.Duration) float64 {
	slices.Sort(ds)
	return ds[len(ds)/2].Seconds() * 1000
}

// BenchmarkIdleSession is a fetch in an incremental session none of whose
// partitions has anything new, over loopback: it costs the same however many
// there are.
func BenchmarkIdleSession(b *testing.B) {
	for _, partitions := range []int32{10, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			p := dial(b, start(b, testConfig(b)))
			createTopic(b, p, "t", partitions)
			req := fetchRequest("t", 0, 0)
			req.MinBytes, req.SessionEpoch = 0, 0
			part := req.Topics[0].Partitions[0]
			for i := int32(1); i < partitions; i++ {
				part.Partition = i
				req.Topics[0].Partitions = append(req.Topics[0].Partitions, part)
			}
			opened := ask[*kmsg.FetchResponse](p, 12, req)
			require.NotZero(b, opened.SessionID)
			next := fetchRequest("t", 0, 0)
			next.Topics, next.MinBytes, next.SessionID = nil, 0, opened.SessionID
			b.ReportAllocs()
			for b.Loop() {
				next.SessionEpoch++
				if next.SessionEpoch == 0 {
					next.SessionEpoch = 1
				}
				if got := ask[*kmsg.FetchResponse](p, 12, next); got.ErrorCode != 0 || len(got.Topics) != 0 {
					b.Fatal(got.ErrorCode, len(got.Topics))
				}
			}
		})
	}
}
