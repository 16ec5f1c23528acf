package clients_test

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eachDriver runs a test for every installed driver that can do what it takes.
// Without drivers there is nothing to run, which `make test` leaves to `make
// test-clients`.
func eachDriver(t *testing.T, op string, f func(t *testing.T, d *driver)) {
	for _, d := range extras.Drivers {
		if d.can(op) {
			t.Run(d.Name, func(t *testing.T) {
				t.Parallel()
				f(t, d)
			})
		}
	}
}

// TestDriverAdmin: a topic is made, looked at, grown and deleted.
func TestDriverAdmin(t *testing.T) {
	eachDriver(t, "admin", func(t *testing.T, d *driver) {
		a := d.do(t, request{Op: "admin", Broker: shared(t), Topic: topicName(t)})
		require.True(t, a.Created)
		require.NotEmpty(t, a.CreatedAgain, "a topic that exists cannot be made again")
		require.Contains(t, a.CreatedAgain, "xist")
		require.Equal(t, "7200000", a.Retention)
		require.Equal(t, 4, a.Partitions)
		require.True(t, a.Listed)
		require.True(t, a.Deleted)
		require.False(t, a.ListedAfterwards)
	})
}

// TestDriverGroup: every assignor of the client, a static member, and topics by a
// pattern; where the group has committed, the next member goes on.
func TestDriverGroup(t *testing.T) {
	eachDriver(t, "consume", func(t *testing.T, d *driver) {
		b := groupBroker(t, t.TempDir())
		confs := map[string]map[string]string{"": nil}
		for name, value := range d.about.Assignors {
			confs[name] = map[string]string{d.about.AssignorKey: value}
		}
		if d.can("kip848") && serves(t, b.addr, 68) {
			confs["consumer"] = map[string]string{"group.protocol": "consumer"}
		}
		if d.can("static") {
			confs["static"] = map[string]string{"group.instance.id": "me"}
		}
		for name, conf := range confs {
			topic := topicName(t) + name
			createTopic(t, b.addr, topic, 3)
			for round := range 2 {
				wrote := writeTo(t, b.addr, topic, fmt.Sprint(round, "-"), 20)
				require.ElementsMatch(t, wrote, d.member(conf)(t, b.addr, "group"+name, topic, len(wrote)), "assignor %q, round %d", name, round)
			}
		}
		if d.can("pattern") {
			one, two := topicName(t)+"-match-1", topicName(t)+"-match-2"
			createTopic(t, b.addr, one, 1)
			createTopic(t, b.addr, two, 2)
			wrote := append(writeTo(t, b.addr, one, "one-", 10), writeTo(t, b.addr, two, "two-", 10)...)
			require.ElementsMatch(t, wrote, d.member(nil)(t, b.addr, "by-pattern", "^.*-match-[12]", len(wrote)))
		}
		require.NoError(t, b.end(syscall.SIGTERM))
	})
}

// TestDriverGroupShared: two members of one client share a group, for every
// assignor that it has: each reads its half, and nothing is read by both.
func TestDriverGroupShared(t *testing.T) {
	eachDriver(t, "consume", func(t *testing.T, d *driver) {
		b := own(t, t.TempDir(), "--set", "group.initial.rebalance.delay.ms=1000")
		var pair []*instance
		for range 2 { // up before the group is: starting takes longer than the delay
			i, err := d.start()
			require.NoError(t, err)
			_, err = i.ask(request{Op: "hello"})
			require.NoError(t, err)
			pair = append(pair, i)
		}
		confs := map[string]map[string]string{}
		for name, value := range d.about.Assignors {
			confs[name] = map[string]string{d.about.AssignorKey: value}
		}
		for name, conf := range confs {
			topic := topicName(t) + name
			createTopic(t, b.addr, topic, 4)
			wrote := writeTo(t, b.addr, topic, "v", 40) // ten in each partition
			r := request{Op: "consume", Broker: b.addr, Topic: topic, Group: topic, N: 20, Conf: conf}
			type result struct {
				a   answer
				err error
			}
			results := make(chan result, len(pair))
			for _, i := range pair {
				go func() {
					a, err := i.ask(r)
					results <- result{a, err}
				}()
			}
			var got []string
			for range pair {
				res := <-results
				require.NoError(t, res.err, name)
				got = append(got, res.a.Values...)
			}
			require.ElementsMatch(t, wrote, got, name)
		}
		for _, i := range pair {
			i.kill()
		}
		require.NoError(t, b.end(syscall.SIGTERM))
	})
}

// TestDriverTransact: what is committed is read, what is aborted is not, and who
// is fenced hears of it.
func TestDriverTransact(t *testing.T) {
	eachDriver(t, "transact", func(t *testing.T, d *driver) {
		addr, topic := shared(t), topicName(t)
		createTopic(t, addr, topic, 1)
		a := d.do(t, request{Op: "transact", Broker: addr, Topic: topic, ID: topic})
		require.NotEmpty(t, a.Fenced, "the first producer must not go on")
		want := []string{"value 0", "value 2", "value 4"}
		require.Equal(t, [][]string{want}, readCommitted(t, addr, topic, 1))
		for _, r := range extras.Drivers {
			if !r.can("read") || !r.can("committed") {
				continue
			}
			got := r.do(t, request{Op: "read", Broker: addr, Topic: topic, N: len(want), Committed: true})
			var vs []string
			for _, rec := range got.Records {
				vs = append(vs, string(rec.Value))
			}
			require.Equal(t, want, vs, "as %s reads it", r.Name)
		}
	})
}

// TestDriverIdempotent: a producer writes while the broker is killed again and
// again; in the end everything is there once, and in order.
func TestDriverIdempotent(t *testing.T) {
	eachDriver(t, "stream", func(t *testing.T, d *driver) {
		const n, kills = 600, 3
		dir, topic := t.TempDir(), topicName(t)
		b := own(t, dir)
		addr := b.addr
		createTopic(t, addr, topic, 1)
		done := make(chan error, 1)
		go func() {
			_, err := d.ask(request{Op: "stream", Broker: addr, Topic: topic, N: n})
			done <- err
		}()
		for k := range kills {
			atLeast(t, addr, topic, int64((k+1)*n/(kills+2)))
			require.NoError(t, b.end(syscall.SIGKILL))
			b = own(t, dir, "--listen", addr)
		}
		require.NoError(t, <-done)
		rs := franzRead(t, addr, topic, 0, n)
		for i, r := range rs {
			require.Equal(t, strconv.Itoa(i), string(r.Value), "at offset %d", i)
		}
		require.Equal(t, int64(n), endOf(t, addr, topic))
		require.NoError(t, b.end(syscall.SIGTERM))
	})
}

// TestDriverExactlyOnce: consume, transform, produce, while now the client and
// now the broker is killed. Each value arrives once.
func TestDriverExactlyOnce(t *testing.T) {
	eachDriver(t, "copy", func(t *testing.T, d *driver) {
		const n = 400
		dir, from := t.TempDir(), topicName(t)
		to := from + "-copy"
		set := []string{"--set", "group.initial.rebalance.delay.ms=0"}
		b := own(t, dir, set...)
		addr := b.addr
		createTopic(t, addr, from, 2)
		createTopic(t, addr, to, 1)
		writeTo(t, addr, from, "", n)
		r := request{Op: "copy", Broker: addr, Topic: from, To: to, Group: from, ID: from}
		var copier *instance
		var failed chan error
		begin := func() {
			var err error
			copier, err = d.start()
			require.NoError(t, err)
			failed = make(chan error, 1)
			go func(i *instance, failed chan error) {
				_, err := i.ask(r)
				failed <- err
			}(copier, failed)
		}
		begin()
		for round, least := range []int64{60, 140, 220, 300} {
			waitFor(t, func() bool {
				select {
				case err := <-failed: // a client may give up when its broker dies: the next one takes over
					t.Log(err)
					copier.kill()
					begin()
				default:
				}
				return endOf(t, addr, to) > least
			})
			if round%2 == 0 {
				copier.kill()
				begin()
			} else {
				require.NoError(t, b.end(syscall.SIGKILL))
				b = own(t, dir, append(set, "--listen", addr)...)
			}
		}
		var got []string
		waitFor(t, func() bool {
			select {
			case err := <-failed:
				t.Log(err)
				copier.kill()
				begin()
			default:
			}
			got = readCommitted(t, addr, to, 1)[0]
			return len(got) >= n
		})
		copier.kill()
		slices.Sort(got)
		require.Len(t, got, n)
		require.Len(t, slices.Compact(got), n, "each once")
		require.NoError(t, b.end(syscall.SIGTERM))
	})
}

// serves: the broker has the API.
func serves(t *testing.T, addr string, api int16) bool {
	t.Helper()
	versions, err := admin(t, addr).ApiVersions(bounded(t))
	require.NoError(t, err)
	for _, v := range versions {
		if _, ok := v.KeyMaxVersion(api); ok {
			return true
		}
	}
	return false
}

// endOf is where partition 0 of a topic ends.
func endOf(t *testing.T, addr, topic string) int64 {
	t.Helper()
	ends, err := admin(t, addr).ListEndOffsets(bounded(t), topic)
	require.NoError(t, err)
	end, _ := ends.Lookup(topic, 0)
	require.NoError(t, end.Err)
	return end.Offset
}

func atLeast(t *testing.T, addr, topic string, n int64) {
	t.Helper()
	waitFor(t, func() bool { return endOf(t, addr, topic) >= n })
}

// waitFor is a condition that holds within twice patience: some of what these
// tests do waits for a session or a transaction to time out.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * patience); !holds(); time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "nothing happened for too long")
	}
}
