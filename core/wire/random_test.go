package wire

import (
	"math"
	"math/rand"
	"os"
	"strconv"
	"testing"
	"time"
)

// newRand is seeded by MILLRACE_SEED, or by the clock, and prints its seed when
// the test fails.
func newRand(t testing.TB) *rand.Rand {
	seed := time.Now().UnixNano()
	if s := os.Getenv("MILLRACE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("MILLRACE_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewSource(seed))
}

// message is what the four hot messages have in common.
type message interface {
	Append(dst []byte, version int16) []byte
	Decode(version int16, body []byte) error
	Reset()
}

// hot is one of the four messages; joining hots enrols it in every test here.
type hot struct {
	name     string
	key      int16
	min, max int16
	new      func() message
	random   func(rng *rand.Rand, version int16) message
}

var hots = []hot{
	{"ProduceRequest", KeyProduce, ProduceMin, ProduceMax, func() message { return new(ProduceRequest) }, randomProduceRequest},
	{"ProduceResponse", KeyProduce, ProduceMin, ProduceMax, func() message { return new(ProduceResponse) }, randomProduceResponse},
	{"FetchRequest", KeyFetch, FetchMin, FetchMax, func() message { return new(FetchRequest) }, randomFetchRequest},
	{"FetchResponse", KeyFetch, FetchMin, FetchMax, func() message { return new(FetchResponse) }, randomFetchResponse},
}

func randomBytes(rng *rand.Rand, max int) []byte {
	b := make([]byte, rng.Intn(max+1))
	rng.Read(b)
	return b
}

func randomNullable(rng *rand.Rand, max int) []byte {
	if rng.Intn(3) == 0 {
		return nil
	}
	return randomBytes(rng, max)
}

func randomID(rng *rand.Rand) (id [16]byte) {
	if rng.Intn(4) > 0 {
		rng.Read(id[:])
	}
	return id
}

// randomTopic is a name or an id, whichever the version has.
func randomTopic(rng *rand.Rand, version int16) (name []byte, id [16]byte) {
	if version <= 12 {
		return randomBytes(rng, 200), id
	}
	return nil, randomID(rng)
}

func randomNodes(rng *rand.Rand) (nodes []NodeEndpoint) {
	for n := rng.Intn(3); n > 0; n-- {
		nodes = append(nodes, NodeEndpoint{ID: rng.Int31(), Host: randomBytes(rng, 150), Port: rng.Int31(), Rack: randomNullable(rng, 5)})
	}
	return nodes
}

func randomLeader(rng *rand.Rand) LeaderHint {
	if rng.Intn(2) == 0 {
		return LeaderHint{}
	}
	return LeaderHint{Known: true, ID: rng.Int31(), Epoch: rng.Int31()}
}

func randomProduceRequest(rng *rand.Rand, version int16) message {
	r := &ProduceRequest{TransactionalID: randomNullable(rng, 30), Acks: int16(rng.Intn(3) - 1), TimeoutMillis: rng.Int31()}
	for n := rng.Intn(4); n > 0; n-- {
		t := r.AddTopic()
		t.Name, t.ID = randomTopic(rng, version)
		for n := rng.Intn(4); n > 0; n-- {
			p := t.AddPartition()
			p.Index, p.Records = rng.Int31(), randomNullable(rng, 300)
		}
	}
	return r
}

func randomProduceResponse(rng *rand.Rand, version int16) message {
	r := &ProduceResponse{ThrottleMillis: rng.Int31()}
	for n := rng.Intn(4); n > 0; n-- {
		t := r.AddTopic()
		t.Name, t.ID = randomTopic(rng, version)
		for n := rng.Intn(4); n > 0; n-- {
			p := t.AddPartition()
			p.Index, p.ErrorCode = rng.Int31(), int16(rng.Uint32())
			p.BaseOffset, p.LogAppendTime = rng.Int63(), rng.Int63()
			if version >= 5 {
				p.LogStart = rng.Int63()
			}
			if version >= 8 {
				for n := rng.Intn(3); n > 0; n-- {
					p.RecordErrors = append(p.RecordErrors, RecordError{Index: rng.Int31(), Message: randomNullable(rng, 20)})
				}
				p.ErrorMessage = randomNullable(rng, 200)
			}
			if version >= 10 {
				p.Leader = randomLeader(rng)
			}
		}
	}
	if version >= 10 {
		r.Nodes = randomNodes(rng)
	}
	return r
}

func randomFetchRequest(rng *rand.Rand, version int16) message {
	r := &FetchRequest{
		ReplicaID: rng.Int31() - 1, ReplicaEpoch: -1, MaxWaitMillis: rng.Int31(), MinBytes: rng.Int31(), MaxBytes: rng.Int31(),
		Isolation: int8(rng.Intn(2)), SessionEpoch: -1,
	}
	if version >= 7 {
		r.SessionID, r.SessionEpoch = rng.Int31(), rng.Int31()-1
	}
	for n := rng.Intn(4); n > 0; n-- {
		t := r.AddTopic()
		t.Name, t.ID = randomTopic(rng, version)
		for n := rng.Intn(4); n > 0; n-- {
			randomFetchPartition(rng, version, t.AddPartition())
		}
	}
	if version >= 7 {
		for n := rng.Intn(3); n > 0; n-- {
			var f ForgottenTopic
			f.Name, f.ID = randomTopic(rng, version)
			for n := rng.Intn(3); n > 0; n-- {
				f.Partitions = append(f.Partitions, rng.Int31())
			}
			r.Forgotten = append(r.Forgotten, f)
		}
	}
	if version >= 11 {
		r.Rack = randomBytes(rng, 10)
	}
	if version >= 12 {
		r.ClusterID = randomNullable(rng, 150)
	}
	if version >= 15 {
		if r.ReplicaEpoch = rng.Int63(); rng.Intn(2) == 0 {
			r.ReplicaID, r.ReplicaEpoch = -1, -1
		}
	}
	return r
}

func randomFetchPartition(rng *rand.Rand, version int16, p *FetchPartition) {
	p.Index, p.Offset, p.MaxBytes = rng.Int31(), rng.Int63(), rng.Int31()
	if version >= 5 {
		p.LogStart = rng.Int63()
	}
	if version >= 9 {
		p.LeaderEpoch = rng.Int31()
	}
	if version >= 12 {
		p.LastFetchedEpoch = rng.Int31()
	}
	if version >= 17 {
		p.DirectoryID = randomID(rng)
	}
	if p.HighWatermark = math.MaxInt64; version >= 18 && rng.Intn(2) == 0 {
		p.HighWatermark = rng.Int63()
	}
}

func randomFetchResponse(rng *rand.Rand, version int16) message {
	r := &FetchResponse{ThrottleMillis: rng.Int31()}
	if version >= 7 {
		r.ErrorCode, r.SessionID = int16(rng.Uint32()), rng.Int31()
	}
	for n := rng.Intn(4); n > 0; n-- {
		t := r.AddTopic()
		t.Name, t.ID = randomTopic(rng, version)
		for n := rng.Intn(4); n > 0; n-- {
			randomFetchPartitionResponse(rng, version, t.AddPartition())
		}
	}
	if version >= 16 {
		r.Nodes = randomNodes(rng)
	}
	return r
}

func randomFetchPartitionResponse(rng *rand.Rand, version int16, p *FetchPartitionResponse) {
	p.Index, p.ErrorCode = rng.Int31(), int16(rng.Uint32())
	p.HighWatermark, p.LastStable = rng.Int63(), rng.Int63()
	if version >= 5 {
		p.LogStart = rng.Int63()
	}
	if rng.Intn(2) == 0 {
		p.StartAborted()
		for n := rng.Intn(3); n > 0; n-- {
			p.Aborted = append(p.Aborted, AbortedTxn{ProducerID: rng.Int63(), FirstOffset: rng.Int63()})
		}
	}
	if version >= 11 {
		p.PreferredReplica = rng.Int31()
	}
	if p.Records, p.RecordsLen = randomNullable(rng, 300), -1; p.Records != nil {
		p.RecordsLen = len(p.Records)
	}
	if version >= 12 {
		p.Leader = randomLeader(rng)
		if rng.Intn(2) == 0 {
			p.Diverging = EpochEnd{Known: true, Epoch: rng.Int31(), EndOffset: rng.Int63()}
		}
	}
}
