package harness

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

// agentsFor serves n agents in this process.
func agentsFor(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		ctx, cancel := context.WithCancel(context.Background())
		at := make(chan string, 1)
		var serving sync.WaitGroup
		serving.Go(func() {
			_ = ServeAgent(ctx, AgentOptions{Listen: "127.0.0.1:0"}, func(addr string) { at <- addr })
		})
		t.Cleanup(func() { cancel(); serving.Wait() })
		addrs = append(addrs, <-at)
	}
	return addrs
}

// TestRunByAgents: the run directory is that of any run, with an entry for each
// agent.
func TestRunByAgents(t *testing.T) {
	s := shortScenario(t, "producers.count=2", "consumers.members=2", "goals=[errors == 0, ledger.lost == 0]")
	o := options(t, s, "child")
	o.Binary, o.Agents = coreBinary(t), agentsFor(t, 2)
	run, err := Run(deadline(t), o)
	require.NoError(t, err)
	require.Equal(t, results.Pass, run.Verdict.Outcome, "%+v", run.Verdict)
	stored, err := results.Open(run.Dir)
	require.NoError(t, err)
	trial := stored.Trial
	require.Len(t, trial.Agents, 2)
	var acked int64
	for i, a := range trial.Agents {
		require.Equal(t, o.Agents[i], a.Address)
		require.Positive(t, a.Env.CPUs)
		require.Equal(t, 1, a.Producers)
		if a.Audit.CeilingRate == 0 { // a machine that is too busy for it says so
			require.Contains(t, strings.Join(trial.Notes, "\n"), a.Address+": the generator's ceiling")
		}
		require.Positive(t, a.Cores)
		acked += a.Acked.Records
	}
	require.Equal(t, trial.Steady.Acked.Records, acked)
	require.EqualValues(t, 2400, trial.Ledger.Acknowledged)
	require.True(t, trial.Ledger.Checked)
}

func TestAgentsThatCannot(t *testing.T) {
	s := shortScenario(t)
	for name, c := range map[string]struct {
		addrs []string
		s     *Scenario
		want  string
	}{
		"nobody":       {[]string{"127.0.0.1:1"}, s, "agent 127.0.0.1:1"},
		"twice":        {[]string{"127.0.0.1:1", "127.0.0.1:1"}, s, "twice"},
		"no port":      {[]string{"gen1"}, s, "HOST:PORT"},
		"one idle":     {[]string{"a:1", "b:1", "c:1", "d:1", "e:1"}, s, "nothing to do"},
		"members come": {[]string{"127.0.0.1:1"}, shortScenario(t, "consumers.protocol=classic", "phases=[{steady: 1s, rate: 10/s, members: 2}]"), "members"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, c.s, "external:127.0.0.1:1")
			o.Agents = c.addrs
			run, err := Run(deadline(t), o)
			require.Nil(t, run)
			require.ErrorContains(t, err, c.want)
		})
	}
	err := ServeAgent(context.Background(), AgentOptions{Listen: "0.0.0.0:0"}, func(string) { t.Error("it listens to all without a token") })
	require.ErrorContains(t, err, "token")
}

// TestAgentAtItsLimit: one agent that could not keep up makes the run INVALID,
// by name, though all together were hardly late.
func TestAgentAtItsLimit(t *testing.T) {
	s := shortScenario(t, "goals=[throughput >= 1500/s]")
	trial := &results.Trial{
		Steady: results.Phase{LenS: 10, ScheduledRate: 1500, Sent: results.Flow{Records: 14900, Rate: 1490}, Acked: results.Flow{Records: 14900, Rate: 1490}},
		Ledger: results.Ledger{Checked: true, Acknowledged: 14900, ReadBack: 14900},
		Agents: []results.Agent{
			{Address: "gen1:7070", ScheduledRate: 750, Sent: results.Flow{Records: 7500, Rate: 750}},
			{Address: "gen2:7070", ScheduledRate: 750, Sent: results.Flow{Records: 7400, Rate: 740}, Audit: results.Audit{LateShare: 0.2}},
		},
	}
	v := judge(s, trial, ending{})
	require.Equal(t, results.Invalid, v.Outcome, "%+v", v)
	require.Contains(t, v.Goals[0].Reason, "agent gen2:7070")
	require.False(t, trial.Agents[0].Audit.Limited)
	require.True(t, trial.Agents[1].Audit.Limited)
}
