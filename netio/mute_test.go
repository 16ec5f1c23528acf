package netio

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMute: what a muted connection sends is served when the mute is over, in
// order, whether it had been read already or comes later; its replies leave, and
// other connections go on.
func TestMute(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const d = 100 * time.Millisecond
		var mu sync.Mutex
		var until time.Time
		early := 0
		b.start(testHandler{serve: func(f *Frame) {
			if string(f.Bytes()) == "other" {
				b.echo(f)
				return
			}
			mu.Lock()
			if time.Now().Before(until) {
				early++
			}
			until = time.Now().Add(d)
			mu.Unlock()
			text := string(f.Bytes())
			if text == "later" { // from a goroutine that is not the loop
				go func() {
					f.Conn().Mute(d)
					b.echo(f)
				}()
				return
			}
			f.Conn().Mute(d / 2)
			f.Conn().Mute(d)
			f.Conn().Mute(d / 4) // takes nothing back
			b.echo(f)
		}})
		c := b.dial()
		_, err := c.Write(slices.Concat(frame([]byte("a")), frame([]byte("b")), frame([]byte("later")))) // one read brings all
		require.NoError(t, err)
		c.expect([]byte("a"))
		o := b.dial()
		o.send([]byte("other"))
		o.expect([]byte("other"))
		c.expect([]byte("b"))
		c.expect([]byte("later"))
		c.send([]byte("a"))
		c.expect([]byte("a"))
		mu.Lock()
		defer mu.Unlock()
		require.Zero(t, early, "served while muted")
	})
}

// TestMuteEnds: neither closing nor stopping waits for a mute.
func TestMuteEnds(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: func(f *Frame) {
			f.Conn().Mute(time.Hour)
			b.reply(f, []byte("r"))
		}})
		c := b.dial()
		c.send([]byte("a"))
		c.send([]byte("b"))
		c.expect([]byte("r"))
		c.Close()
		o := b.dial()
		o.send([]byte("a"))
		o.expect([]byte("r"))
	})
}
