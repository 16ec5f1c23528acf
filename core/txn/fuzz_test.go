package txn

import "testing"

// FuzzLoad: no record makes the machine fall over, then or in what follows.
func FuzzLoad(f *testing.F) {
	m := New(Defaults(), new(Budget))
	_, _, fx, err := m.Init(1, InitRequest{ID: "a", Timeout: 1, Producer: noProducer, Epoch: noEpoch, NewID: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fx.Records[0].Key, fx.Records[0].Value)
	if fx, err = m.Add(1, "a", 1, 0, []Partition{{"t", 1}, {"u", 2}}); err != nil {
		f.Fatal(err)
	}
	f.Add(fx.Records[0].Key, fx.Records[0].Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		m := New(Defaults(), new(Budget))
		if m.Load(key, value) != nil {
			return
		}
		for _, d := range m.Loaded() {
			m.Complete(1, d)
		}
		for _, d := range m.Tick(1 << 40).Decisions {
			m.Complete(1, d)
		}
		for _, d := range m.List() {
			if _, _, _, err := m.Init(2, InitRequest{ID: d.ID, Timeout: 1, Producer: noProducer, Epoch: noEpoch, NewID: 9}); err == nil && d.Epoch == 1<<15-1 && d.Producer != 9 {
				if now, _ := m.Describe(d.ID); now.Producer != 9 {
					t.Fatal("an epoch has overflown")
				}
			}
		}
	})
}
